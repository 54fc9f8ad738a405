"""What a venue's reply to an order or a cancel means, from an explicit table per venue. [P]

Decided from the raw reply, never from ccxt's exception classes: those do not tell a definite refusal from an unknown
outcome, in either direction. Whatever is not in the table is Unknown; nothing is a success by default.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal

from live.model import Accepted, CancelOutcome, Gone, Rejected, SubmitOutcome, Unknown


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back over the wire, untouched. status: the HTTP code."""

    status: int
    body: str


@dataclass(frozen=True, slots=True)
class NoReply:
    """No complete reply was read. sent False is a proof that no byte of the request reached a socket.

    code: why it was not sent: "local" when we refuse it and would again, "not-sent" when a later try may pass.
    """

    sent: bool
    what: str
    code: str = "not-sent"


class Meaning(StrEnum):
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    GONE = "gone"
    UNKNOWN = "unknown"


Verb = Literal["submit", "cancel"]


@dataclass(frozen=True, slots=True)
class Reading:
    """A reply boiled down to a row's key: "status placed", "error apiLimitExceeded", "http 503"."""

    key: str
    venue_order_id: str | None = None

    @property
    def word(self) -> str:
        return self.key.partition(" ")[2]


@dataclass(frozen=True, slots=True)
class OutcomeTable:
    """read: how this venue's replies are boiled down. submit, cancel: the rows; a key without a row is Unknown."""

    read: Callable[[Reply, Verb], Reading]
    submit: Mapping[str, Meaning]
    cancel: Mapping[str, Meaning]


def parse_json(body: str) -> Any:
    """JSON with exact decimals. Raises ValueError on anything else, NaN, Infinity and bottomless nesting included."""
    try:
        return json.loads(body, parse_float=Decimal, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON number")


# --- Kraken Futures ------------------------------------------------------------------------------------------------
# https://docs.kraken.com/api-reference/order-management/send-order lists the words; "result: success" only says that
# the request was understood, sendStatus.status and cancelStatus.status say what was done.


def _read_kraken_futures(reply: Reply, verb: Verb) -> Reading:
    http = Reading(f"http {reply.status}")
    try:
        payload = parse_json(reply.body)
    except ValueError:
        return http
    if not isinstance(payload, dict):
        return http
    done = payload.get("sendStatus" if verb == "submit" else "cancelStatus")
    error = _kraken_error(payload)
    match payload.get("result"):
        case "success" if isinstance(done, dict) and error is None and 200 <= reply.status < 300:
            order_id = done.get("order_id")
            return Reading(f"status {done.get('status')}", order_id if isinstance(order_id, str) and order_id else None)
        case "error" if done is None:
            return http if error is None else Reading(f"error {error}")
        case _:
            return Reading("contradictory reply")  # "success" under HTTP 500, an error beside an order, neither word


def _kraken_error(payload: Mapping[str, Any]) -> str | None:
    """The error's word: "invalidArgument: order_id" is invalidArgument; v3 also answers errors: [{message}]."""
    error = payload.get("error")
    if error is None:
        match payload.get("errors"):
            case [{"message": str(message)}, *_]:
                error = message
    return error.partition(":")[0].strip() if isinstance(error, str) and error else None


# Refused before the order book saw it. Left out on purpose, hence Unknown: "Server Error", "unknownError",
# "Unavailable", nonceDuplicate (something with our nonce did arrive), and every code of HTTP but 429.
_KRAKEN_REFUSED = (
    "error apiLimitExceeded",
    "error authenticationError",
    "error accountInactive",
    "error invalidArgument",
    "error requiredArgumentMissing",
    "error invalidAccount",
    "error invalidAmount",
    "error invalidUnit",
    "error insufficientFunds",
    "error INSUFFICIENT_MARGIN",
    "error marketUnavailable",
    "error contractNotFound",
    "error Json Parse Error",
    "http 429",
)

_KRAKEN_NOT_PLACED = (
    "invalidOrderType",
    "invalidSide",
    "invalidSize",
    "invalidPrice",
    "insufficientAvailableFunds",
    "selfFill",
    "tooManySmallOrders",
    "tooManyOrders",
    "maxPositionViolation",
    "marketSuspended",
    "marketInactive",
    "marketIsPostOnly",
    "clientOrderIdTooLong",
    "clientOrderIdTooBig",
    "clientOrderIdInvalid",
    "outsidePriceCollar",
    "postWouldExecute",
    "iocWouldNotExecute",
    "wouldCauseLiquidation",
    "wouldIncreasePriceDislocation",
    "wouldNotReducePosition",
    "fixedLeverageTooHigh",
    "wouldProcessAfterSpecifiedTime",  # it arrived after processBefore: the venue enforced our expiry
)

KRAKEN_FUTURES = OutcomeTable(
    read=_read_kraken_futures,
    submit={
        "status placed": Meaning.ACCEPTED,
        "status partiallyFilled": Meaning.ACCEPTED,
        "status filled": Meaning.ACCEPTED,
        # the id is taken: an earlier send did arrive. Only a look-up tells what became of it.
        "status clientOrderIdAlreadyExist": Meaning.UNKNOWN,
        **{f"status {word}": Meaning.REJECTED for word in _KRAKEN_NOT_PLACED},
        **dict.fromkeys(_KRAKEN_REFUSED, Meaning.REJECTED),
    },
    cancel={
        "status cancelled": Meaning.ACCEPTED,
        "status filled": Meaning.GONE,
        "status notFound": Meaning.GONE,
        "error notFound": Meaning.GONE,
        "status requiredArgumentMissing": Meaning.REJECTED,
        "status wouldProcessAfterSpecifiedTime": Meaning.REJECTED,
        **dict.fromkeys(_KRAKEN_REFUSED, Meaning.REJECTED),
    },
)

TABLES: Mapping[str, OutcomeTable] = {"krakenfutures": KRAKEN_FUTURES}

_WHY = {"status clientOrderIdAlreadyExist": "duplicate client order id: the venue has it, look it up"}


def has_table(exchange_id: str) -> bool:
    """Whether replies of this ccxt exchange can be told apart; without that no real order may be sent there."""
    return exchange_id in TABLES


def read_submit(exchange_id: str, reply: Reply | NoReply) -> SubmitOutcome:
    """What became of an order. An acceptance that names no order is Unknown: there is nothing to hold on to."""
    if isinstance(reply, NoReply):
        return _without_reply(reply)
    reading, meaning = _look_up(exchange_id, reply, "submit")
    match meaning:
        case Meaning.ACCEPTED if reading.venue_order_id is not None:
            return Accepted(reading.venue_order_id)
        case Meaning.ACCEPTED:
            return Unknown(f"{reading.key}, but without an order id")
        case Meaning.REJECTED:
            return Rejected(reading.word, _evidence(reading, reply))
        case _:
            return Unknown(_WHY.get(reading.key) or _evidence(reading, reply))


def read_cancel(exchange_id: str, reply: Reply | NoReply) -> CancelOutcome:
    """What became of a cancel. Gone.reason is the venue's word: "filled" and "notFound" mean opposite things."""
    if isinstance(reply, NoReply):
        return _without_reply(reply)
    reading, meaning = _look_up(exchange_id, reply, "cancel")
    match meaning:
        case Meaning.ACCEPTED:
            return Accepted(reading.venue_order_id)
        case Meaning.GONE:
            return Gone(reading.word)
        case Meaning.REJECTED:
            return Rejected(reading.word, _evidence(reading, reply))
        case _:
            return Unknown(_evidence(reading, reply))


def _without_reply(reply: NoReply) -> Rejected | Unknown:
    return Unknown(f"no reply: {reply.what}") if reply.sent else Rejected(reply.code, reply.what)


def _look_up(exchange_id: str, reply: Reply, verb: Verb) -> tuple[Reading, Meaning]:
    table = TABLES.get(exchange_id)
    if table is None:
        return Reading("no outcome table"), Meaning.UNKNOWN
    reading = table.read(reply, verb)
    rows = table.submit if verb == "submit" else table.cancel
    return reading, rows.get(reading.key, Meaning.UNKNOWN)


def _evidence(reading: Reading, reply: Reply) -> str:
    return f"{reading.key} (HTTP {reply.status}): {reply.body[:200]}"

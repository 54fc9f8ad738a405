"""Kraken Futures: sendStatus and cancelStatus words, error words, HTTP codes. [P]

https://docs.kraken.com/api-reference/order-management/send-order and cancel-order list the words. "result: success"
only says that the request was understood; sendStatus.status and cancelStatus.status say what was done.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from live.outcome.reply import (
    CONTRADICTION,
    HTTP_SAYS_NOTHING,
    Meaning,
    OutcomeTable,
    Reading,
    Reply,
    Verb,
    key,
    parse_object,
    plain_id,
    rows,
    text_or_none,
)


def read(reply: Reply, verb: Verb) -> Reading:
    payload = parse_object(reply.body)
    if payload is None:
        return Reading(f"http {reply.status}")
    done = payload.get("sendStatus" if verb == "submit" else "cancelStatus")
    error = error_word(payload)
    match payload.get("result"):
        case "success" if isinstance(done, dict) and error is None and 200 <= reply.status < 300:
            named = plain_id(done.get("order_id")), text_or_none(done.get("cliOrdId"))
            return Reading(key("status", done.get("status")), *named)
        case "error" if done is None:
            return Reading(f"http {reply.status}" if error is None else key("error", error))
        case _:
            return Reading(CONTRADICTION)  # "success" under HTTP 500, an error beside an order, neither word


def error_word(payload: Mapping[str, Any]) -> str | None:
    """The error's word: "invalidArgument: order_id" is invalidArgument; v3 also answers errors: [{message}]."""
    error = payload.get("error")
    if error is None:
        match payload.get("errors"):
            case [{"message": str(message)}, *_]:
                error = message
    return error.partition(":")[0].strip() if isinstance(error, str) and error else None


# Refused before the order book saw it.
_REFUSED = rows(
    Meaning.REJECTED,
    "error",
    (
        "apiLimitExceeded",
        "authenticationError",
        "accountInactive",
        "invalidArgument",
        "requiredArgumentMissing",
        "invalidAccount",
        "invalidAmount",
        "invalidUnit",
        "insufficientFunds",
        "INSUFFICIENT_MARGIN",
        "marketUnavailable",
        "contractNotFound",
        "Json Parse Error",
        "Bad Request",
    ),
) | {"http 429": Meaning.REJECTED}

# They prove nothing. nonceDuplicate and nonceBelowThreshold: something that carried our nonce did arrive.
_UNPROVEN = rows(
    Meaning.UNKNOWN,
    "error",
    ("Server Error", "unknownError", "Unavailable", "unavailable", "nonceDuplicate", "nonceBelowThreshold"),
) | {CONTRADICTION: Meaning.UNKNOWN}

_NOT_PLACED = (
    "invalidOrderType",
    "invalidSide",
    "invalidSize",
    "invalidPrice",
    "requiredArgumentMissing",
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
    "reduceOnlyWouldIncreasePosition",
    "fixedLeverageTooHigh",
    "wouldProcessAfterSpecifiedTime",  # it arrived after processBefore: the venue enforced our expiry
)

_DUPLICATE = "status clientOrderIdAlreadyExist"

KRAKEN_FUTURES = OutcomeTable(
    read=read,
    submit={
        **HTTP_SAYS_NOTHING,
        **rows(Meaning.ACCEPTED, "status", ("placed", "partiallyFilled", "filled")),
        _DUPLICATE: Meaning.UNKNOWN,
        "status cancelled": Meaning.UNKNOWN,  # documented beside the others; it may have filled in part before
        "error notFound": Meaning.UNKNOWN,
        **rows(Meaning.REJECTED, "status", _NOT_PLACED),
        **_REFUSED,
        **_UNPROVEN,
    },
    cancel={
        **HTTP_SAYS_NOTHING,
        "status cancelled": Meaning.ACCEPTED,
        "status filled": Meaning.GONE,
        "status notFound": Meaning.GONE,
        "error notFound": Meaning.GONE,
        **rows(Meaning.REJECTED, "status", ("requiredArgumentMissing", "wouldProcessAfterSpecifiedTime")),
        **_REFUSED,
        **_UNPROVEN,
    },
    duplicate=frozenset({_DUPLICATE}),
    throttled=frozenset({"error apiLimitExceeded"}),
    traded=True,
)

"""What a venue's reply to an order or a cancel means, from an explicit table per venue. [P]

Decided from the raw reply, never from ccxt's exception classes: those do not tell a definite refusal from an unknown
outcome, in either direction. Whatever is not in the table is Unknown and names itself, so that the table can grow;
nothing is a success by default.
"""

from __future__ import annotations

from collections.abc import Mapping

from live.model import Accepted, CancelOutcome, Gone, Rejected, SubmitOutcome, Unknown
from live.outcome.binance_usdm import BINANCE_USDM
from live.outcome.bybit import BYBIT
from live.outcome.kraken_futures import KRAKEN_FUTURES
from live.outcome.reply import Meaning, NoReply, OutcomeTable, Reading, Reply, Verb, parse_json

__all__ = [
    "TABLES",
    "Meaning",
    "NoReply",
    "Reply",
    "has_table",
    "is_refused_for_rate",
    "is_traded",
    "parse_json",
    "read_cancel",
    "read_submit",
]

TABLES: Mapping[str, OutcomeTable] = {"krakenfutures": KRAKEN_FUTURES, "bybit": BYBIT, "binanceusdm": BINANCE_USDM}

_ERROR_BODY = 2000  # characters; an error is short, and lists of markets are not to be parsed once more


def has_table(exchange_id: str) -> bool:
    """Whether replies of this ccxt exchange can be told apart; without that no real order may be sent there."""
    return exchange_id in TABLES


def is_traded(exchange_id: str) -> bool:
    """Whether real orders may be sent there: a table, and a sending path that was tried from end to end."""
    return has_table(exchange_id) and TABLES[exchange_id].traded


def is_refused_for_rate(exchange_id: str, reply: Reply) -> bool:
    """Whether the venue says that we ask too much, in the reply to a read as well as to an order."""
    if reply.status in (418, 429):
        return True
    table = TABLES.get(exchange_id)
    return table is not None and len(reply.body) < _ERROR_BODY and table.read(reply, "submit").key in table.throttled


def read_submit(exchange_id: str, reply: Reply | NoReply, *, client_order_id: str | None = None) -> SubmitOutcome:
    """What became of an order. An acceptance that names no order is Unknown: there is nothing to hold on to.

    client_order_id: ours; a reply that names another one is about another order and decides nothing.
    """
    if isinstance(reply, NoReply):
        return _without_reply(reply)
    reading, meaning = _look_up(exchange_id, reply, "submit")
    if _differ(reading.client_order_id, client_order_id):
        return Unknown(f"the reply is about another order: {_evidence(reading, reply)}")
    match meaning:
        case Meaning.ACCEPTED if reading.venue_order_id is not None:
            return Accepted(reading.venue_order_id)
        case Meaning.ACCEPTED:
            return Unknown(f"{reading.key}, but without an order id")
        case Meaning.REJECTED:
            return Rejected(reading.word, _evidence(reading, reply))
        case Meaning.UNKNOWN if reading.key in TABLES[exchange_id].duplicate:
            return Unknown("duplicate client order id: the venue has it, look it up")
        case _:
            return _unknown(reading, reply, meaning)


def read_cancel(
    exchange_id: str, reply: Reply | NoReply, *, client_order_id: str | None = None, venue_order_id: str | None = None
) -> CancelOutcome:
    """What became of a cancel. Gone.reason is the venue's word: "filled" and "notFound" mean opposite things.

    client_order_id, venue_order_id: of the order that was to be cancelled; a reply about another one decides nothing.
    """
    if isinstance(reply, NoReply):
        return _without_reply(reply)
    reading, meaning = _look_up(exchange_id, reply, "cancel")
    if _differ(reading.client_order_id, client_order_id) or _differ(reading.venue_order_id, venue_order_id):
        return Unknown(f"the reply is about another order: {_evidence(reading, reply)}")
    match meaning:
        case Meaning.ACCEPTED:
            return Accepted(reading.venue_order_id)
        case Meaning.GONE:
            return Gone(reading.word)
        case Meaning.REJECTED:
            return Rejected(reading.word, _evidence(reading, reply))
        case _:
            return _unknown(reading, reply, meaning)


def _differ(named: str | None, meant: str | None) -> bool:
    return named is not None and meant is not None and named != meant


def _without_reply(reply: NoReply) -> Rejected | Unknown:
    return Unknown(f"no reply: {reply.what}") if reply.sent else Rejected(reply.code, reply.what)


def _look_up(exchange_id: str, reply: Reply, verb: Verb) -> tuple[Reading, Meaning | None]:
    """What the reply says, and its row; None where the table has none."""
    table = TABLES.get(exchange_id)
    if table is None:
        return Reading("no outcome table"), None
    reading = table.read(reply, verb)
    return reading, (table.submit if verb == "submit" else table.cancel).get(reading.key)


def _unknown(reading: Reading, reply: Reply, meaning: Meaning | None) -> Unknown:
    return Unknown(_evidence(reading, reply), unlisted=reading.key if meaning is None else None)


def _evidence(reading: Reading, reply: Reply) -> str:
    return f"{reading.key} (HTTP {reply.status}): {reply.body[:200]}"

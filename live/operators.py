"""What operators' tools share: which account is meant, events in words, tables. [P]"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, get_args

from live.book import Book
from live.events import (
    Adopted,
    CancelIntended,
    Decided,
    EquityObserved,
    Event,
    ExternalFill,
    Filled,
    FlattenDone,
    IntentApproved,
    OrderAccepted,
    OrderCancelled,
    OrderIntended,
    OrderRejected,
    OrderResubmitted,
    OrderShown,
    OrderUnknown,
    Peaked,
    PersonAsked,
    WorkerStarted,
    encode,
    symbol_of,
)
from live.position import IllegalTransition, Order, Position
from live.records import Quarantined
from live.status import age_seconds
from prodsafe.environment import Environment
from prodsafe.errors import ExitCode, GateRefused, RefusalKind

if TYPE_CHECKING:
    from live.reader import Recorded

KINDS = tuple(str(next(each.default for each in fields(kind) if each.name == "kind")) for kind in get_args(Event))
"""Every kind of event there is, in words."""

NO_ACCOUNT = RefusalKind("H03", "no-account", ExitCode.REFUSED)
WHICH_ACCOUNT = RefusalKind("H04", "which-account", ExitCode.REFUSED)


def scope_of(environment: Environment) -> str | None:
    """The account scope that the environment names, as the worker takes it; None when it names none."""
    from prodsafe.lease import account_scope

    if environment.exchange_account is None or environment.environment is None:
        return None
    return account_scope(environment.exchange_id, environment.exchange_account, environment.environment)


def choose_scope(given: str | None, named: str | None, known: Sequence[str]) -> str:
    """The account an operator means: --scope, else what the environment names, else the only one there is.

    An account that no worker ever held is refused where others are known: a halt must never go to a misspelt name.
    """
    wanted = given or named
    if wanted is not None and (wanted in known or not known):
        return wanted
    if wanted is None and len(known) == 1:
        return known[0]
    if not known:
        raise GateRefused(
            NO_ACCOUNT.because(
                "no worker has ever held an account in this database, and none is named",
                mend="pass --scope, or set ENVIRONMENT, EXCHANGE_ID and EXCHANGE_ACCOUNT as the worker has them",
            )
        )
    raise GateRefused(
        WHICH_ACCOUNT.because(
            f"several accounts are known: {', '.join(known)}"
            if wanted is None
            else f"no worker has ever held this account; known: {', '.join(known)}",
            seen=wanted,
            mend=f"pass one of the known accounts: --scope {known[0]}",
        )
    )


def describe(event: Event | Quarantined) -> str:
    """What happened, in one line for a person."""
    match event:
        case Quarantined():
            return f"row cannot be read ({event.kind}): {event.reason}"
        case WorkerStarted():
            after = "a clean stop" if event.predecessor_clean else "an unclean end of its predecessor"
            return f"worker started on {event.host}, pid {event.pid}, version {event.version}, after {after}"
        case Decided():
            word = f"take {event.side}" if event.taken else "no trade"
            return f"{word}: {'; '.join(event.reasons) or 'no reason recorded'}"
        case IntentApproved(intent=intent):
            entry = "market" if intent.entry_price is None else plain(intent.entry_price)
            return (
                f"approved {intent.side} {plain(intent.qty)} at {entry}, stop {plain(intent.stop_price)},"
                f" risk {plain(intent.risk_quote)}: {'; '.join(intent.reasons)}"
            )
        case OrderIntended(spec=spec):
            price = spec.trigger_price or spec.limit_price
            at = "" if price is None else f" at {plain(price)}"
            return (
                f"{spec.client_order_id} is the {spec.leg.name.lower()}: {spec.side} {spec.type} {plain(spec.qty)}{at}"
            )
        case Filled(fill=fill) | ExternalFill(fill=fill):
            by = "" if isinstance(event, Filled) else " by no order of ours"
            return f"filled {fill.side} {plain(fill.qty)} at {plain(fill.price)}, fee {plain(fill.fee_quote)}{by}"
        case Adopted():
            entry, stop = plain(event.entry_price), plain(event.stop_price)
            return f"adopted {event.side} {plain(event.qty)} from {entry}, stop {stop}"
        case PersonAsked():
            return f"{event.who} asks to {event.action} {event.symbol or 'everything'}: {event.reason}"
        case FlattenDone():
            return f"flat, as request {event.request_id} asked"
        case EquityObserved():
            return f"equity {plain(event.equity_quote)}"
        case OrderAccepted():
            return f"{event.client_order_id} accepted as {event.venue_order_id}"
        case OrderRejected():
            return f"{event.client_order_id} refused: {event.code}: {event.reason}"
        case OrderShown():
            ended = ", ended" if event.ended else ""
            return f"{event.client_order_id} is shown with {plain(event.filled_qty)} of {plain(event.qty)} done{ended}"
        case OrderResubmitted():
            return f"{event.client_order_id} is sent again under its id: it never arrived"
        case Peaked():
            return f"the stop follows the mark to {plain(event.mark_price)}"
        case OrderUnknown():
            return f"{event.client_order_id} has an unknown fate: {event.reason}"
        case OrderCancelled() | CancelIntended():
            return (
                f"{event.client_order_id} {'cancelled' if isinstance(event, OrderCancelled) else 'is to be cancelled'}"
            )
        case _:
            return str(getattr(event, "reason", "")) or event.kind.replace("_", " ")


def fold_leniently(rows: Iterable[Recorded]) -> tuple[Book, list[str]]:
    """(book, why rows were left out): a view shows what can be known; only the worker must refuse to guess (I43)."""
    book = Book()
    return book, [why for row in rows for why in fold_on(book, row)]


def fold_on(book: Book, row: Recorded) -> list[str]:
    """Fold one row into the book; [] or why it was left out."""
    return fold_event_on(book, row.id, row.event)


def fold_event_on(book: Book, row_id: int, event: Event | Quarantined) -> list[str]:
    if isinstance(event, Quarantined):
        return [f"row {row_id} ({event.kind}) cannot be read and is left out: {event.reason}"]
    try:
        book.apply(event)
    except IllegalTransition as error:
        return [f"row {row_id} ({event.kind}) contradicts the rows before it: {error}"]
    return []


POSITION_HEADS = (
    *("id", "symbol", "side", "phase", "qty", "entry_price", "stop_price", "targets"),
    *("realised_quote", "naked_seconds", "opened_at"),
)


def position_row(position: Position, now: datetime) -> tuple[object, ...]:
    """naked_seconds: how long it has been without a stop now, else the longest such time."""
    naked = age_seconds(position.naked_since, now)
    return (
        position.id,
        position.symbol,
        position.side.value,
        position.phase.value,
        position.qty,
        position.average_entry_price,
        position.stop_price,
        " ".join(plain(target.price) for target in position.targets),
        position.realised_quote,
        position.naked_seconds if naked is None else naked,
        position.opened_at,
    )


ORDER_HEADS = (
    *("client_order_id", "symbol", "leg", "side", "type", "qty", "filled_qty", "price", "status"),
    *("venue_order_id", "reason", "intended_at"),
)


def order_row(order: Order) -> tuple[object, ...]:
    spec = order.spec
    return (
        spec.client_order_id,
        spec.symbol,
        spec.leg.name.lower(),
        spec.side.value,
        spec.type.value,
        spec.qty,
        order.filled_qty,
        spec.trigger_price or spec.limit_price,
        order.status.value,
        order.venue_order_id,
        order.reason,
        order.intended_at,
    )


def trace_line(row: Recorded) -> str:
    event = row.event
    symbol = event_symbol(row)
    words = [short_time(event_at(row)), f"#{row.id}", f"e{row.epoch}", event.kind, symbol or "-", describe(event)]
    return " ".join(printable(" ".join(words)).split())


def trace_dict(row: Recorded) -> dict[str, Any]:
    """The event's own fields under `event`; a row that cannot be read has its reason there."""
    event = row.event
    body = (
        {"kind": event.kind, "symbol": event.symbol, "unreadable": event.reason}
        if isinstance(event, Quarantined)
        else (json.loads(encode(event)))
    )
    return {"id": row.id, "epoch": row.epoch, "recorded_at": row.recorded_at.isoformat(), "event": body}


def event_at(row: Recorded) -> datetime:
    return row.recorded_at if isinstance(row.event, Quarantined) else row.event.at


def event_symbol(row: Recorded) -> str | None:
    return row.event.symbol if isinstance(row.event, Quarantined) else symbol_of(row.event)


def plain_json(value: object) -> object:
    """A cell as JSON: decimals as text without exponent, times as ISO 8601."""
    match value:
        case Decimal():
            return plain(value)
        case datetime():
            return value.isoformat()
        case _:
            return value


def plain(number: Decimal, *, digits: int = 8) -> str:
    """A decimal as people write it: no exponent, no trailing zeros, at most `digits` decimals."""
    text = f"{round(number, digits):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def short_time(at: datetime | None) -> str:
    return "-" if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Aligned columns; cells never break the line."""
    cells = [list(heads), *([plain_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[n]) for row in cells) for n in range(len(heads))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def plain_cell(value: object) -> str:
    """A value as people read it in a table; never more than one line."""
    match value:
        case None | "":
            return "-"
        case Decimal():
            return plain(value)
        case datetime():
            return short_time(value)
        case _:
            return " ".join(printable(str(value)).split())


def printable(text: str) -> str:
    """What a venue or a person wrote moves no cursor and changes no colour of the terminal that shows it."""
    return "".join(each if each.isprintable() else " " for each in text)

"""Which facts are worth a person's attention, and in what words: journal events -> notices. [P]

Derived from what was committed, so that whatever changes the book is told from one place, and nothing is told twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from live.book import Book
from live.events import (
    Adopted,
    Corrected,
    EquityObserved,
    Event,
    ExternalFill,
    Filled,
    FlattenDone,
    OrderRejected,
    OrderUnknown,
    PersonAsked,
    SymbolFrozen,
    SymbolThawed,
    WorkerStarted,
    WorkerStopped,
)
from live.model import Fill, Leg
from live.position import Position

UNPROTECTED_LOOKS = 3  # one look may fall between a fill and its stop


@dataclass(frozen=True, slots=True)
class Notice:
    """key: what it is about; the same key again soon is the same matter. urgent: worth waking somebody."""

    key: str
    text: str
    urgent: bool = False


class Notices:
    """What one worker has to tell. Remembers only the day it is and how long a symbol has been without a stop."""

    def __init__(self) -> None:
        self._last: EquityObserved | None = None
        self._naked_looks: dict[str, int] = {}

    def of(self, event: Event, book: Book) -> list[Notice]:
        """The notices of one event; `book` is as it is after it."""
        if isinstance(event, EquityObserved):
            return self._new_day(event, book)
        notice = _notice(event, book)
        return [notice] if notice else []

    def of_look(self, unprotected: Iterable[str]) -> list[Notice]:
        """Of a finished look: the positions that lack their stop for the third time in a row, and on from there."""
        self._naked_looks = {symbol: self._naked_looks.get(symbol, 0) + 1 for symbol in unprotected}
        return [
            Notice(f"unprotected {symbol}", f"{symbol} has no live stop of its full size", urgent=True)
            for symbol, looks in self._naked_looks.items()
            if looks >= UNPROTECTED_LOOKS
        ]

    def _new_day(self, event: EquityObserved, book: Book) -> list[Notice]:
        before, self._last = self._last, event
        if before is None or before.at.date() == event.at.date():
            return []
        return [Notice(f"day {before.at:%Y-%m-%d}", summary(before.at.date(), before.equity_quote, book))]


def summary(day: date, equity_quote: Decimal, book: Book) -> str:
    """One UTC day in one line."""
    closed = [each for each in book.positions.values() if each.entered_qty and _day_of(each.closed_at) == day]
    realised = sum((each.realised_quote for each in closed), Decimal(0))
    won = sum(each.realised_quote > 0 for each in closed)
    held = sum(each.qty > 0 for each in book.open_positions())
    naked = max((each.naked_seconds for each in closed), default=0.0)
    return (
        f"{day}: equity {equity_quote:,.2f}, {len(closed)} positions closed ({won} won), realised {realised:+,.2f}, "
        f"{held} open, longest without a stop {naked:.1f} s"
    )


def _day_of(at: datetime | None) -> date | None:
    return at.date() if at else None


def _notice(event: Event, book: Book) -> Notice | None:
    match event:
        case WorkerStarted():
            after = "" if event.predecessor_clean else ", after an unclean end of its predecessor"
            return Notice("worker", f"worker {event.version} started on {event.host} pid {event.pid}{after}")
        case WorkerStopped(reason=reason):
            return Notice("worker stopped", f"worker {reason}")
        case Filled(client_order_id=cid, fill=fill):
            return _filled(cid, fill, book)
        case OrderRejected() | OrderUnknown():
            return _undone(event, book)
        case Adopted():
            what = f"{event.side} {event.qty:f} {event.symbol} from {event.entry_price:f}"
            text = f"adopted {what}, which no order of ours explains; its stop goes to {event.stop_price:f}"
            return Notice(f"adopted {event.position_id}", text, urgent=True)
        case ExternalFill(fill=fill):
            what = f"{fill.side} {fill.qty:f} {fill.symbol} at {fill.price:f}"
            return Notice(f"external {fill.symbol}", f"{what} was executed by no order of ours", urgent=True)
        case Corrected(symbol=symbol, reason=reason):
            return Notice(f"corrected {symbol}", f"{symbol}: size corrected: {reason}", urgent=True)
        case SymbolFrozen(symbol=symbol, reason=reason):
            return Notice(f"frozen {symbol}", f"{symbol} takes no entries: {reason}", urgent=True)
        case SymbolThawed(symbol=symbol, reason=reason):
            return Notice(f"thawed {symbol}", f"{symbol} takes entries again: {reason}")
        case PersonAsked():
            what = f"{event.who} asked to {event.action} {event.symbol or 'everything'}: {event.reason}"
            return Notice(f"person {event.request_id}", what)
        case FlattenDone(request_id=number):
            return Notice(f"flat {number}", f"request {number} is done: the venue holds nothing of it any more")
        case _:
            return None


def _filled(client_order_id: str, fill: Fill, book: Book) -> Notice | None:
    order = book.order_of(client_order_id, fill.venue_order_id)
    position = book.positions.get(order.spec.position_id) if order else None
    if order is None or position is None:
        return None
    if order.spec.leg is Leg.ENTRY:
        return _opened(position, fill)
    if position.qty == 0:
        result = f"realised {position.realised_quote:+,.2f}, longest without a stop {position.naked_seconds:.1f} s"
        return Notice(f"closed {position.id}", f"closed {position.side} {position.symbol} at {fill.price:f}: {result}")
    leg = order.spec.leg.name.lower()
    text = f"{leg} took {fill.qty:f} of {position.side} {position.symbol} at {fill.price:f}, {position.qty:f} left"
    return Notice(f"took {order.spec.client_order_id}", text)


def _opened(position: Position, fill: Fill) -> Notice:
    what = f"{position.side} {position.qty:f} {position.symbol} at {fill.price:f}"
    text = f"opened {what}, stop {position.stop_price:f}, risk {position.risk_quote:,.2f}"
    return Notice(f"opened {position.id}", text)


def _undone(event: OrderRejected | OrderUnknown, book: Book) -> Notice | None:
    """A protective order that is not there is urgent, and so is any order that nobody can tell of."""
    order = book.order_of(event.client_order_id, None)
    if order is None:
        return None
    spec = order.spec
    what = f"{spec.leg.name.lower()} {spec.side} {spec.qty:f} {spec.symbol} ({spec.client_order_id})"
    if isinstance(event, OrderUnknown):
        return Notice(f"unknown {spec.client_order_id}", f"{what}: the venue has not said: {event.reason}", urgent=True)
    protects = spec.leg in (Leg.STOP, Leg.EXIT)
    return Notice(
        f"rejected {spec.symbol} {spec.leg}", f"{what} rejected: {event.code}: {event.reason}", urgent=protects
    )

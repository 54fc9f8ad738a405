"""Our book beside the venue's: what the difference means, and the events that mend it. [P]

Nothing here destroys what it does not understand (I3), and absence from a list is never evidence by itself (I37): an
order is only believed gone after it was looked up, and a size only corrected after two agreeing readings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from live.book import Book
from live.events import (
    Adopted,
    Corrected,
    Event,
    ExternalFill,
    Filled,
    OrderAccepted,
    OrderCancelled,
    OrderRejected,
    SymbolFrozen,
    SymbolThawed,
)
from live.model import Fill, Instrument, Side, Ticker, VenueOrder, VenueOrderStatus, VenuePosition
from live.order_id import parse
from live.position import Order, OrderStatus, Position
from live.risk import adopted_stop

FOREIGN = "foreign position"
LOOKS_FOR_UNHEARD = 2  # histories lag: one look that finds nothing proves nothing
LOOKS_FOR_LIVE = 3


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at the venue. began_at: our clock (UTC) before the first request."""

    began_at: datetime
    positions: Sequence[VenuePosition]
    open_orders: Sequence[VenueOrder]
    fills: Sequence[Fill]

    def signed_qty(self, symbol: str) -> Decimal:
        return sum((p.side.sign * p.qty for p in self.positions if p.symbol == symbol), Decimal(0))


@dataclass(frozen=True, slots=True)
class Finding:
    """A difference in words, and the events that mend it; without events it only waits or alarms."""

    text: str
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class ForeignPolicy:
    """What to do with a position that no order of ours explains. adopt False freezes its symbol instead."""

    adopt: bool
    stop_pct: Decimal


# --- orders -----------------------------------------------------------------------------------------------------------


def acknowledged(book: Book, reading: Reading) -> list[Event]:
    """Acceptances that the venue's open orders prove for orders whose reply we never saw."""
    events: list[Event] = []
    for seen in reading.open_orders:
        order = book.order_of(seen.client_order_id, seen.venue_order_id)
        if order is not None and order.status is not OrderStatus.LIVE and order.filled_qty < order.spec.qty:
            events.append(_accepted(order, seen, reading.began_at))
    return events


def to_look_up(book: Book, reading: Reading) -> list[Order]:
    """Working orders that the open orders do not show: each must be asked for before anything is concluded."""
    shown = {seen.venue_order_id for seen in reading.open_orders} | {
        seen.client_order_id for seen in reading.open_orders
    }
    return [
        order
        for order in book.working_orders()
        if order.spec.client_order_id not in shown and order.venue_order_id not in shown
    ]


def resolved(
    order: Order, found: VenueOrder | None, *, looks: int, looked_at: datetime, allowance: timedelta
) -> list[Event]:
    """What a look-up proves about an order. looks: how many in a row, this one included, found it nowhere.

    looked_at: before the look-up began (UTC). `allowance`: clock skew and the venue's own delay.
    """
    if found is None:
        return _found_nowhere(order, looks, looked_at, allowance)
    match found.status:
        case VenueOrderStatus.REJECTED:
            return [_rejected(order, "rejected", "the venue's history says so", looked_at)]
        case VenueOrderStatus.CANCELLED if found.filled_qty <= order.filled_qty:
            return [*_first_seen(order, found, looked_at), _cancelled(order, looked_at)]
        case _:  # alive, filled (its fills will tell), or a word we have no row for: alive
            return _first_seen(order, found, looked_at)


def _found_nowhere(order: Order, looks: int, looked_at: datetime, allowance: timedelta) -> list[Event]:
    """An order whose reply was lost can never appear once its expiry is past: the venue refuses it (processBefore).

    A reducing order that was live and stays gone is replaced, for doubling it cannot hurt; a live entry never is.
    """
    if order.is_unresolved and looks >= LOOKS_FOR_UNHEARD and looked_at > order.expires_at + allowance:
        reason = f"found nowhere {allowance.total_seconds():.1f} s after its expiry, {looks} times"
        return [_rejected(order, "never-arrived", reason, looked_at)]
    if order.status is OrderStatus.LIVE and order.spec.reduce_only and looks >= LOOKS_FOR_LIVE:
        return [_cancelled(order, looked_at)]
    return []


def _first_seen(order: Order, found: VenueOrder, at: datetime) -> list[Event]:
    return [_accepted(order, found, at)] if order.status is not OrderStatus.LIVE else []


def _accepted(order: Order, seen: VenueOrder, at: datetime) -> OrderAccepted:
    return OrderAccepted(at=at, client_order_id=order.spec.client_order_id, venue_order_id=seen.venue_order_id)


def _rejected(order: Order, code: str, reason: str, at: datetime) -> OrderRejected:
    return OrderRejected(at=at, client_order_id=order.spec.client_order_id, code=code, reason=reason)


def _cancelled(order: Order, at: datetime) -> OrderCancelled:
    return OrderCancelled(at=at, client_order_id=order.spec.client_order_id)


# --- fills ------------------------------------------------------------------------------------------------------------


def new_fills(book: Book, reading: Reading) -> list[Filled | ExternalFill]:
    """Fills not in the book yet, oldest first; those of no order of ours count when they hit a position of ours.

    A fill that joins no order waits while any order of its symbol is unresolved: it may belong to that one.
    """
    events: list[Filled | ExternalFill] = []
    for fill in sorted(reading.fills, key=lambda each: (each.filled_at, each.fill_id)):
        if book.knows_fill(fill.fill_id):
            continue
        order = book.order_of(fill.client_order_id, fill.venue_order_id)
        if order is not None:
            cid = order.spec.client_order_id
            events.append(Filled(at=reading.began_at, client_order_id=cid, fill=fill))
        elif event := _external(book, fill, reading.began_at):
            events.append(event)
    return events


def _external(book: Book, fill: Fill, at: datetime) -> ExternalFill | None:
    position = book.position_on(fill.symbol)
    if position is None or position.qty <= 0 or _unresolved(position):
        return None
    if fill.filled_at <= position.opened_at or book.is_ours(fill.client_order_id, fill.venue_order_id):
        return None
    if fill.side is position.side.exit and fill.qty > position.qty:
        return None  # it would flip the position: the two-reading correction decides
    return ExternalFill(at=at, position_id=position.id, fill=fill)


def _unresolved(position: Position) -> bool:
    return any(order.is_unresolved for order in position.orders.values())


# --- sizes ------------------------------------------------------------------------------------------------------------


Mismatch = Mapping[str, tuple[Decimal, Decimal]]
"""symbol -> (signed contracts in our book, at the venue), as a reading saw them differ."""


def mismatches(book: Book, reading: Reading) -> dict[str, tuple[Decimal, Decimal]]:
    """Where book and venue disagree on the signed size, symbols with an undecided order left out."""
    symbols = {position.symbol for position in reading.positions} | {p.symbol for p in book.open_positions()}
    found: dict[str, tuple[Decimal, Decimal]] = {}
    for symbol in sorted(symbols):
        position = book.position_on(symbol)
        ours = position.side.sign * position.qty if position else Decimal(0)
        theirs = reading.signed_qty(symbol)
        if ours != theirs and not (position and _unresolved(position)):
            found[symbol] = (ours, theirs)
    return found


def confirmed(before: Mismatch, now: Mismatch) -> list[str]:
    """Symbols whose disagreement two readings in a row saw alike; one reading alone may have caught a fill half-way."""
    return [symbol for symbol, sizes in now.items() if before.get(symbol) == sizes]


def mend_size(
    symbol: str,
    book: Book,
    reading: Reading,
    instruments: Mapping[str, Instrument],
    tickers: Mapping[str, Ticker],
    policy: ForeignPolicy,
    adopted_id: str,
) -> Finding:
    """The events that bring the book to the venue's size on one symbol, or freeze it."""
    at = reading.began_at
    theirs = next((each for each in reading.positions if each.symbol == symbol), None)
    ours = book.position_on(symbol)
    if ours is not None:
        same_side = theirs is not None and theirs.side is ours.side
        qty = theirs.qty if theirs is not None and same_side else Decimal(0)
        price = theirs.entry_price if theirs is not None and same_side else ours.average_entry_price
        reason = f"book {ours.side} {ours.qty}, venue {_words(theirs)}, twice"
        event = Corrected(at=at, position_id=ours.id, symbol=symbol, qty=qty, entry_price=price, reason=reason)
        return Finding(f"{symbol}: size corrected: {reason}", (event,))
    if theirs is None:
        return Finding(f"{symbol}: agrees again")
    instrument, ticker = instruments.get(symbol), tickers.get(symbol)
    if not policy.adopt or instrument is None or ticker is None:
        reason = f"{FOREIGN}: {_words(theirs)}"
        known = symbol in book.frozen
        return Finding(f"{symbol}: {reason}", () if known else (SymbolFrozen(at=at, symbol=symbol, reason=reason),))
    stop = adopted_stop(theirs.side, theirs.entry_price, ticker.mark_price, instrument, policy.stop_pct)
    adoption = Adopted(
        at=at,
        position_id=adopted_id,
        symbol=symbol,
        side=theirs.side,
        qty=theirs.qty,
        entry_price=theirs.entry_price,
        stop_price=stop,
        contract_size=instrument.contract_size,
    )
    return Finding(f"{symbol}: adopted {_words(theirs)}, stop {stop}", (adoption,))


def thawed(book: Book, reading: Reading) -> list[Event]:
    """Symbols frozen only for a foreign position that is gone now."""
    return [
        SymbolThawed(at=reading.began_at, symbol=symbol, reason="the foreign position is gone")
        for symbol, reason in book.frozen.items()
        if reason.startswith(FOREIGN) and reading.signed_qty(symbol) == 0
    ]


def unexplained_orders(book: Book, reading: Reading, scope_hash: str) -> list[Finding]:
    """Open orders that carry our scope's name but are not in our journal: somebody else writes in our name.

    They are left alone; their symbol takes no entries until a person has looked.
    """
    findings: list[Finding] = []
    for seen in reading.open_orders:
        named = parse(seen.client_order_id)
        if named is None or named.scope_hash != scope_hash or book.is_ours(seen.client_order_id, seen.venue_order_id):
            continue
        reason = f"order {seen.client_order_id} is in our name but not in our journal"
        frozen = SymbolFrozen(at=reading.began_at, symbol=seen.symbol, reason=reason)
        findings.append(Finding(f"{seen.symbol}: {reason}", () if seen.symbol in book.frozen else (frozen,)))
    return findings


def _words(position: VenuePosition | None) -> str:
    return "flat" if position is None else f"{Side(position.side)} {position.qty} at {position.entry_price}"

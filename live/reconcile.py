"""Our book beside the venue's: what the difference means, and the events that mend it. [P]

Nothing here destroys what it does not understand (I3), and absence from a list is never evidence by itself (I37): an
order is only believed gone after it was looked up, and a size only corrected after two agreeing readings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property

from live import evidence
from live.book import FILL_OVERLAP, Book
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
from live.evidence import is_kept, is_same
from live.model import Fill, Instrument, Side, Ticker, VenueOrder, VenueOrderStatus, VenuePosition
from live.order_id import parse
from live.position import NEVER_ARRIVED, Order, OrderStatus, Phase, Position
from live.risk import adopted_stop

FOREIGN = "foreign position"
IN_OUR_NAME = "is in our name but not in our journal"
LOOKS_FOR_UNHEARD = 2  # histories lag: one look that finds nothing proves nothing
LOOKS_FOR_LIVE = 3
UNEXPLAINED = timedelta(minutes=1)  # how long a size that shrank without a fill is not believed
TURNED = timedelta(seconds=6)  # the same of a position on the other side
DENIED = "wouldNotReducePosition"  # the venue's word that it holds nothing on the side that an order would reduce
ID_TAKEN = "id-taken"
DOUBT = timedelta(minutes=3)  # how long an order that was found nowhere is still looked for


@dataclass(frozen=True)
class Reading:
    """One look at the venue. began_at: our clock (UTC) before the first request. venue_ahead: its clock minus ours."""

    began_at: datetime
    positions: Sequence[VenuePosition]
    open_orders: Sequence[VenueOrder]
    fills: Sequence[Fill]
    venue_ahead: timedelta = timedelta()

    def signed_qty(self, symbol: str) -> Decimal:
        return self._signed_qty.get(symbol, Decimal(0))

    @cached_property
    def _signed_qty(self) -> Mapping[str, Decimal]:
        signed: dict[str, Decimal] = {}
        for each in self.positions:
            signed[each.symbol] = signed.get(each.symbol, Decimal(0)) + each.side.sign * each.qty
        return signed


@dataclass(frozen=True, slots=True)
class Mend:
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
    """Acceptances that the venue's open orders prove: a reply we never saw, or an end that was none."""
    events: list[Event] = []
    for seen in reading.open_orders:
        order = book.order_of(seen.client_order_id, seen.venue_order_id)
        if order is None or order.status in (OrderStatus.LIVE, OrderStatus.FILLED):
            continue
        if not is_same(order, seen) and not is_kept(order, seen):
            if order.is_unresolved:
                events.append(_taken(order, reading.began_at))
            continue
        if order.status is not OrderStatus.CANCELLED or not order.may_have_ended(reading.began_at):
            events.append(_accepted(order, seen, reading.began_at))
    return events


def shown(book: Book, reading: Reading) -> frozenset[str]:
    """Client order ids of ours that the open orders list."""
    listed = (book.order_of(seen.client_order_id, seen.venue_order_id) for seen in reading.open_orders)
    return frozenset(order.spec.client_order_id for order in listed if order is not None)


def to_look_up(book: Book, reading: Reading) -> list[Order]:
    """Working orders that the open orders do not show: each must be asked for before anything is concluded.

    With them those that a conclusion from silence ended a moment ago: a history that lags may still name them.
    """
    shown = {seen.venue_order_id for seen in reading.open_orders} | {
        seen.client_order_id for seen in reading.open_orders
    }
    return [
        order
        for order in [*book.working_orders(), *book.doubted_orders(reading.began_at - DOUBT)]
        if order.spec.client_order_id not in shown and order.venue_order_id not in shown
    ]


def resolved(
    order: Order,
    found: VenueOrder | None,
    *,
    looks: int,
    looked_at: datetime,
    allowance: timedelta,
    is_counted: bool = False,
) -> list[Event]:
    """What a look-up proves about an order. looks: how many in a row, this one included, found it nowhere.

    looked_at: before the look-up began (UTC). `allowance`: clock skew and the venue's own delay. is_counted: a size
    taken from the venue may hold what the order executed; fills that are still owed then do not hold up its end.
    """
    if found is None:
        return _found_nowhere(order, looks, looked_at, allowance)
    if not is_same(order, found) and not is_kept(order, found):
        return [_taken(order, looked_at)] if order.is_unresolved else []
    match found.status:
        case VenueOrderStatus.REJECTED if order.never_arrived:
            return []
        case VenueOrderStatus.REJECTED:
            return [_rejected(order, "rejected", "the venue's history says so", looked_at)]
        case VenueOrderStatus.CANCELLED | VenueOrderStatus.FILLED if is_counted or found.filled_qty <= order.filled_qty:
            # filled with less than we asked: the venue cuts reduce-only orders to the position
            return [*_first_seen(order, found, looked_at), _cancelled(order, looked_at)]
        case _:  # alive, ended with fills not read yet (they come before its end), or a word we have no row for: alive
            return _first_seen(order, found, looked_at)


def _found_nowhere(order: Order, looks: int, looked_at: datetime, allowance: timedelta) -> list[Event]:
    """An order whose reply was lost can never appear once its expiry is past: the venue refuses it (processBefore).

    A reducing order that was live and stays gone is replaced, for doubling it cannot hurt; a live entry is believed
    gone only when we had asked for its cancel.
    """
    if order.is_unresolved and looks >= LOOKS_FOR_UNHEARD and looked_at > order.expires_at + allowance:
        reason = f"found nowhere {allowance.total_seconds():.1f} s after its expiry, {looks} times"
        return [_rejected(order, NEVER_ARRIVED, reason, looked_at)]
    may_go = order.spec.reduce_only or order.cancel_intended_at is not None
    if order.status is OrderStatus.LIVE and may_go and looks >= LOOKS_FOR_LIVE:
        return [_cancelled(order, looked_at)]
    return []


def _first_seen(order: Order, found: VenueOrder, at: datetime) -> list[Event]:
    return [_accepted(order, found, at)] if order.status is not OrderStatus.LIVE else []


def _accepted(order: Order, seen: VenueOrder, at: datetime) -> OrderAccepted:
    return OrderAccepted(at=at, client_order_id=order.spec.client_order_id, venue_order_id=seen.venue_order_id)


def _rejected(order: Order, code: str, reason: str, at: datetime) -> OrderRejected:
    return OrderRejected(at=at, client_order_id=order.spec.client_order_id, code=code, reason=reason)


def _taken(order: Order, at: datetime) -> OrderRejected:
    return _rejected(order, ID_TAKEN, "the venue knows this id for another order of another time", at)


def _cancelled(order: Order, at: datetime) -> OrderCancelled:
    return OrderCancelled(at=at, client_order_id=order.spec.client_order_id)


# --- fills ------------------------------------------------------------------------------------------------------------


def new_fills(book: Book, reading: Reading) -> Iterator[Filled | ExternalFill]:
    """Fills not in the book yet, oldest first; those of no order of ours count when they hit a position of ours.

    Each is judged by the book as it is when asked for, so fold one before asking for the next: what a person's second
    sale means depends on the first. A fill that joins no order waits while any order of its symbol is unresolved
    or in doubt: it may belong to that one.
    """
    unknown = [fill for fill in reading.fills if not book.knows_fill(fill.fill_id)]
    for fill in sorted(unknown, key=lambda each: (each.filled_at, each.fill_id)):
        if book.knows_fill(fill.fill_id):  # told twice in one reading
            continue
        order = book.order_of(fill.client_order_id, fill.venue_order_id)
        if order is not None:
            cid = order.spec.client_order_id
            yield Filled(at=reading.began_at, client_order_id=cid, fill=fill)
        elif event := _external(book, fill, reading.began_at):
            yield event


def _external(book: Book, fill: Fill, at: datetime) -> ExternalFill | None:
    position = book.position_on(fill.symbol)
    if position is None or position.qty <= 0 or _unresolved(position):
        return None
    if any(order.spec.symbol == fill.symbol for order in book.doubted_orders(at - DOUBT)):
        return None
    is_held = fill.filled_at <= (position.holds_fills_until or position.opened_at)
    if is_held or book.is_ours(fill.client_order_id, fill.venue_order_id):
        return None
    return ExternalFill(at=at, position_id=position.id, fill=fill)


def _unresolved(position: Position) -> bool:
    return any(order.is_unresolved for order in position.orders.values())


def fills_owed(orders: Sequence[Order], found: Mapping[str, VenueOrder]) -> list[datetime]:
    """From when on (UTC) fills must be read again, for orders of which the venue says that more filled than it told."""
    return [
        order.intended_at - FILL_OVERLAP
        for order in orders
        if (seen := found.get(order.spec.client_order_id)) and seen.filled_qty > order.filled_qty
    ]


# --- sizes ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Difference:
    """Signed contracts in our book and at the venue, and since which reading (UTC) they differ just so.

    ours: without what the venue shows executed and has told no fill of; is_owed: whether there is such.
    """

    ours: Decimal
    theirs: Decimal
    since: datetime
    is_owed: bool = False

    @property
    def is_turned(self) -> bool:
        """Whether the venue shows the other side of what we hold."""
        return self.ours * self.theirs < 0

    @property
    def patience(self) -> timedelta:
        """How long to doubt it: more than we know of only adds protection; less would take some away.

        A list that is degraded lacks a position; that it shows one on the other side by mistake is less likely, and
        such a position is naked until it is believed. What an order's end has closed may linger in the positions.
        """
        if abs(self.theirs) > abs(self.ours) and not self.is_turned:
            return TURNED if self.is_owed else timedelta(0)
        return TURNED if self.is_turned else UNEXPLAINED


Mismatch = Mapping[str, Difference]


def mismatches(book: Book, reading: Reading, before: Mismatch) -> dict[str, Difference]:
    """Where book and venue disagree on the signed size; what already differed alike keeps its beginning.

    Left out are foreign positions that a frozen symbol is known for. With an undecided order no difference begins; one
    that stands already is remembered, or an exit that is tried again and again would put its mend off for ever.
    """
    symbols = {position.symbol for position in reading.positions} | {p.symbol for p in book.open_positions()}
    found: dict[str, Difference] = {}
    for symbol in sorted(symbols):
        position = book.position_on(symbol)
        ours, theirs = book.exposed_qty(symbol), reading.signed_qty(symbol)
        known = ours == 0 and book.frozen.get(symbol, "").startswith(FOREIGN) and not book.exit_wanted(symbol)
        if ours == theirs or known:
            continue
        old = before.get(symbol)
        if old is not None and (old.ours, old.theirs) == (ours, theirs):
            found[symbol] = old
        elif not (position and _unresolved(position)):
            is_owed = ours != book.signed_qty(symbol)
            found[symbol] = Difference(ours, theirs, reading.began_at, is_owed)
    return found


def confirmed(now: Mismatch, book: Book, reading: Reading) -> list[str]:
    """Symbols whose disagreement is believed: one reading alone may have caught a fill half-way.

    More than we know of is believed by the second reading. Less, without a fill that explains it, would end protection
    on the word of a list that may be degraded: until UNEXPLAINED has passed the stops stay and no entry is sent.
    """
    found = []
    for symbol, difference in now.items():
        position, stood = book.position_on(symbol), reading.began_at - difference.since
        if position is not None and _unresolved(position):
            continue
        turned = position is not None and difference.is_turned and _is_denied(position, difference.since)
        if stood > timedelta(0) and (turned or stood >= difference.patience):
            found.append(symbol)
    return found


def _is_denied(position: Position, since: datetime) -> bool:
    """Whether the venue has refused since then to reduce what we believe to hold: a second witness."""
    return any(
        order.settled_at is not None and order.settled_at >= since and order.reason.startswith(DENIED)
        for order in position.orders.values()
    )


def may_cover(position: Position, book: Book, reading: Reading | None, differing: Mismatch) -> bool:
    """Whether a stop of this position may be the only one of what the venue holds, although its own contracts are gone.

    So it is while the venue shows contracts on that side, whoever's they are, or could not be read, or differs from the
    book; and where they were adopted, until those have a stop of their own.
    """
    beside = book.position_on(position.symbol)
    if beside is not None and beside is not position:
        return not beside.is_protected
    held = reading is None or position.side.sign * reading.signed_qty(position.symbol) > 0
    return held or position.symbol in differing


def mend_size(
    symbol: str,
    book: Book,
    reading: Reading,
    instruments: Mapping[str, Instrument],
    tickers: Mapping[str, Ticker],
    policy: ForeignPolicy,
    adopted_id: str,
) -> Mend:
    """The events that bring the book to the venue's size on one symbol, or freeze it."""
    at = reading.began_at
    theirs = next((each for each in reading.positions if each.symbol == symbol), None)
    ours = book.position_on(symbol)
    if ours is not None and ours.phase is not Phase.CLEARING:
        return _corrected(book, ours, theirs, reading)
    if theirs is None:
        return Mend(f"{symbol}: agrees again")
    instrument, ticker = instruments.get(symbol), tickers.get(symbol)
    if ticker is not None and (behind := evidence.position_behind(book, theirs, ticker.mark_price, at)) is not None:
        return _corrected(book, behind, theirs, reading)
    adopt = policy.adopt or book.exit_wanted(symbol) is not None  # it can only be closed by a position of ours
    if adopt and instrument is not None and ticker is None:
        return Mend(f"{symbol}: {_words(theirs)} waits for a price to be adopted at")
    if not adopt or instrument is None or ticker is None:
        reason = f"{FOREIGN}: {_words(theirs)}"
        known = symbol in book.frozen
        return Mend(f"{symbol}: {reason}", () if known else (SymbolFrozen(at=at, symbol=symbol, reason=reason),))
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
        venue_at=at + reading.venue_ahead,
    )
    ours_now = SymbolThawed(at=at, symbol=symbol, reason="the foreign position is ours now")
    was_frozen = book.frozen.get(symbol, "").startswith(FOREIGN)
    return Mend(f"{symbol}: adopted {_words(theirs)}, stop {stop}", (adoption, *([ours_now] if was_frozen else [])))


def _corrected(book: Book, ours: Position, theirs: VenuePosition | None, reading: Reading) -> Mend:
    """Our position takes the venue's size; what is there on the other side is adopted once ours is flat."""
    same_side = theirs is not None and theirs.side is ours.side
    qty = theirs.qty if theirs is not None and same_side else Decimal(0)
    price = theirs.entry_price if theirs is not None and same_side else ours.average_entry_price
    reason = f"book {ours.side} {ours.qty}, venue {_words(theirs)}, twice"
    event = Corrected(
        at=reading.began_at,
        position_id=ours.id,
        symbol=ours.symbol,
        qty=qty,
        entry_price=price,
        reason=reason,
        venue_at=reading.began_at + reading.venue_ahead,
        resting=tuple(sorted(shown(book, reading) & ours.orders.keys())),
    )
    known = ours.qty == ours.exposed_qty == qty and ours.corrected_at is not None
    return Mend(f"{ours.symbol}: size corrected: {reason}", () if known else (event,))


@dataclass(frozen=True, slots=True)
class Gone:
    """What froze a symbol and is shown no more, and since which reading (UTC)."""

    why: str
    since: datetime


def no_longer_frozen(book: Book, reading: Reading, scope_hash: str, before: Mapping[str, Gone]) -> dict[str, Gone]:
    """Frozen symbols of which this reading no longer shows what froze them; what was gone already stays so since then.

    A foreign position is gone, too, once all that the venue holds there is in the book.

    What a row of the journal froze is never among them: only a person knows what that row meant.
    """
    now = {symbol: Gone(why, reading.began_at) for symbol, why in _gone(book, reading, scope_hash).items()}
    return {
        symbol: old if (old := before.get(symbol)) and old.why == gone.why else gone for symbol, gone in now.items()
    }


def _gone(book: Book, reading: Reading, scope_hash: str) -> dict[str, str]:
    if not book.frozen:
        return {}
    found = {}
    in_our_name = {seen.symbol for seen in strangers(book, reading, scope_hash)}
    for symbol, reason in book.frozen.items():
        if reason.startswith(FOREIGN) and (theirs := reading.signed_qty(symbol)) in (0, book.exposed_qty(symbol)):
            found[symbol] = "all that the venue holds is in the book" if theirs else "the foreign position is gone"
        elif IN_OUR_NAME in reason and symbol not in in_our_name:
            found[symbol] = "the order in our name is gone"
    return found


def thawed(gone: Mapping[str, Gone], at: datetime) -> list[Event]:
    """Gone for as long as a size that shrank is doubted: lists that are degraded may lack it several times."""
    return [
        SymbolThawed(at=at, symbol=symbol, reason=each.why)
        for symbol, each in gone.items()
        if at - each.since >= UNEXPLAINED
    ]


def superseding(client_order_ids: Iterable[str | None], scope_hash: str, epoch: int) -> str | None:
    """The id that proves a successor: one in our scope's name with the highest epoch above ours; None without any.

    Epochs only grow, and nobody but a holder of the lease makes such an id.
    """
    named = [name for name in map(parse, client_order_ids) if name is not None and name.scope_hash == scope_hash]
    latest = max(named, key=lambda name: (name.epoch, name.seq), default=None)
    return str(latest) if latest is not None and latest.epoch > epoch else None


def is_in_our_name(seen: VenueOrder, scope_hash: str) -> bool:
    name = parse(seen.client_order_id)
    return name is not None and name.scope_hash == scope_hash


def strangers(book: Book, reading: Reading, scope_hash: str) -> list[VenueOrder]:
    """Open orders in our scope's name that our journal does not know: it is not the journal that sent them."""
    ours = [seen for seen in reading.open_orders if is_in_our_name(seen, scope_hash)]
    return [seen for seen in ours if not book.is_ours(seen.client_order_id, seen.venue_order_id)]


def unexplained_orders(book: Book, reading: Reading, scope_hash: str) -> list[Mend]:
    """Open orders that carry our scope's name but are not in our journal: somebody else writes in our name.

    They are left alone; their symbol takes no entries until they are gone or a person says that they may stay.
    """
    mends: list[Mend] = []
    for seen in strangers(book, reading, scope_hash):
        reason = f"order {seen.client_order_id} {IN_OUR_NAME}"
        if (seen.symbol, reason) in book.thawed_by_person:
            continue
        frozen = SymbolFrozen(at=reading.began_at, symbol=seen.symbol, reason=reason)
        mends.append(Mend(f"{seen.symbol}: {reason}", () if seen.symbol in book.frozen else (frozen,)))
    return mends


def _words(position: VenuePosition | None) -> str:
    return "flat" if position is None else f"{Side(position.side)} {position.qty} at {position.entry_price}"

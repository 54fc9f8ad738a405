"""What we believe: the fold of the journal into positions, orders and the durable risk counters. [P]

Peak equity, the day's first equity, loss streaks, frozen symbols and cooldowns are folds too, so that no restart
forgives them (I12, W25).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import assert_never

from live.events import (
    Adopted,
    Ask,
    CancelIntended,
    Corrected,
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
    SymbolFrozen,
    SymbolThawed,
    WorkerStarted,
    WorkerStopped,
)
from live.model import Leg
from live.position import IllegalTransition, Order, Phase, Position, apply, opened, size_taken

CLOSED_KEPT = 200
FILL_OVERLAP = timedelta(minutes=10)  # how late a venue may tell of a fill
IDS_KEPT = 12 * FILL_OVERLAP  # from a position's end: longer than anything of it may still be told
IDS_FORGOTTEN_AT_ONCE = 50  # positions, for which the maps of ids are made anew
UNSEEN = timedelta(minutes=2)  # equity is marked each minute of looks: in a longer silence nobody could look


@dataclass(frozen=True, slots=True)
class Equity:
    """Account equity marks in quote currency; day_start is the first observation of the UTC day."""

    last: Decimal
    at: datetime
    peak: Decimal
    day_start: Decimal

    @property
    def drawdown_pct(self) -> Decimal:
        return (self.peak - self.last) / self.peak * 100 if self.peak > 0 else Decimal(100)

    @property
    def day_loss_pct(self) -> Decimal:
        return (self.day_start - self.last) / self.day_start * 100 if self.day_start > 0 else Decimal(100)


class Book:
    """The worker's memory. Changed only by `apply`, always after the event was committed to the journal."""

    def __init__(self) -> None:
        self.positions: dict[str, Position] = {}
        self.frozen: dict[str, str] = {}
        self.thawed_by_person: set[tuple[str, str]] = set()
        self.flattening: dict[int, PersonAsked] = {}
        self.last_request_id = 0
        self.decided: dict[str, datetime] = {}
        self.equity: Equity | None = None
        self.loss_streak = 0
        self.last_loss_at: datetime | None = None
        self.closed_at: dict[str, datetime] = {}
        self.naked_seconds_max = 0.0
        self.last_event_at: datetime | None = None
        self._unseen: deque[tuple[datetime, timedelta]] = deque(maxlen=100)  # ends and lengths of such times
        self._looked_at: datetime | None = None  # the newest mark, or a start since
        self._open_ids: dict[str, list[str]] = {}  # by symbol, in the order of their beginnings
        self._position_of_order: dict[str, str] = {}
        self._order_of_venue_id: dict[str, str] = {}
        self._position_of_fill: dict[str, str] = {}
        self._dropped: dict[str, datetime] = {}

    # --- reading

    @property
    def orders(self) -> Mapping[str, Order]:
        return {cid: order for position in self.positions.values() for cid, order in position.orders.items()}

    def open_positions(self) -> list[Position]:
        return [position for position in self.positions.values() if position.closed_at is None]

    def position_on(self, symbol: str) -> Position | None:
        """The one open position of a symbol (invariant A), entries in flight included (I6).

        Beside it an older one may still take its last orders back, flat and on its way to be closed.
        """
        open_ones = self._open_on(symbol)
        return next((position for position in open_ones if position.qty > 0), open_ones[-1] if open_ones else None)

    def signed_qty(self, symbol: str) -> Decimal:
        """Contracts held on a symbol, negative when short."""
        return sum((position.side.sign * position.qty for position in self._open_on(symbol)), Decimal(0))

    def exposed_qty(self, symbol: str) -> Decimal:
        """Signed contracts that the venue should show: an end without its fills counts, and what came after it."""
        return sum((position.side.sign * position.exposed_qty for position in self._open_on(symbol)), Decimal(0))

    def _open_on(self, symbol: str) -> list[Position]:
        return [self.positions[position_id] for position_id in self._open_ids.get(symbol, ())]

    def working_orders(self) -> list[Order]:
        return [order for position in self.open_positions() for order in position.orders.values() if order.is_working]

    def doubted_orders(self, since: datetime) -> list[Order]:
        """Orders concluded since then (UTC) never to have arrived. Time in which nobody could look does not count."""
        for ended_at, length in reversed(self._unseen):
            since -= length if since < ended_at else timedelta()
        recent = (each for each in self.positions.values() if each.closed_at is None or each.closed_at >= since)
        orders = (order for position in recent for order in position.orders.values())
        return [order for order in orders if order.never_arrived and order.settled_at and order.settled_at >= since]

    def closed_since(self, symbol: str, since: datetime) -> list[Position]:
        """Positions of a symbol that closed since then (UTC), the last one first."""
        closed = [
            (each.closed_at, each) for each in self.positions.values() if each.symbol == symbol and each.closed_at
        ]
        return [each for at, each in sorted(closed, key=lambda pair: pair[0], reverse=True) if at >= since]

    def order_of(self, client_order_id: str | None, venue_order_id: str | None) -> Order | None:
        """Our order behind what the venue speaks of; fills often carry only the venue's id."""
        cid = client_order_id if client_order_id in self._position_of_order else None
        cid = cid or self._order_of_venue_id.get(venue_order_id or "")
        if cid is None:
            return None
        position = self.positions.get(self._position_of_order[cid])
        return position.orders[cid] if position else None

    def is_ours(self, client_order_id: str | None, venue_order_id: str | None) -> bool:
        return client_order_id in self._position_of_order or venue_order_id in self._order_of_venue_id

    def knows_fill(self, fill_id: str) -> bool:
        return fill_id in self._position_of_fill

    def exit_wanted(self, symbol: str) -> str | None:
        """Why a person wants what is held on this symbol closed; None when nobody does."""
        asked = next((each for each in self.flattening.values() if each.covers(symbol)), None)
        return f"{asked.who} wants out: {asked.reason}" if asked else None

    def needs_haste(self) -> bool:
        """Whether something is under way that a slow look would leave naked or undecided.

        A stop of ours that stays for somebody else's position on a frozen symbol may stay for days: it is not.
        """
        return any(
            position.phase is not Phase.PROTECTED
            or position.working(Leg.ENTRY)
            or _replaces_stop(position)
            or self.exit_wanted(position.symbol)
            for position in self.open_positions()
            if not (position.phase is Phase.CLEARING and position.symbol in self.frozen)
        )

    def fills_since(self, started_at: datetime) -> datetime:
        """From when on fills may be unknown to us: the last full reading or the oldest undecided order, with overlap.

        Not the oldest working one: a stop may rest for weeks, and the venue lists fills a hundred at a time.
        """
        marks = [order.intended_at for order in self.working_orders() if order.is_unresolved]
        marks.append(self.equity.at if self.equity else started_at)
        return min(marks) - FILL_OVERLAP

    def note_equity(self, last: Decimal) -> None:
        """The newest equity between two journalled marks; a restart knows of a peak in it after the next mark only."""
        if self.equity is not None:
            self.equity = replace(self.equity, last=last, peak=max(self.equity.peak, last))

    # --- folding

    def apply(self, event: Event) -> None:
        """Fold one committed event. Raises IllegalTransition when it contradicts what was folded before."""
        match event:
            case Decided(symbol=symbol, closed_at=closed_at):  # most of all events, so that it stands first
                self.decided[symbol] = max(closed_at, self.decided.get(symbol, closed_at))
            case IntentApproved() | Adopted():
                self._open(event)
            case OrderIntended(spec=spec):
                self._position_of_order[spec.client_order_id] = spec.position_id
                self._move(spec.position_id, event)
            case OrderAccepted(client_order_id=cid, venue_order_id=venue_order_id):
                self._order_of_venue_id[venue_order_id] = cid
                self._move(self._owner(cid), event)
            case Filled(client_order_id=cid, fill=fill):
                self._order_of_venue_id[fill.venue_order_id] = cid
                self._fold_fill(self._owner(cid), event, fill.fill_id)
            case ExternalFill(position_id=position_id, fill=fill):
                self._fold_fill(position_id, event, fill.fill_id)
            case (
                OrderRejected(client_order_id=cid)
                | OrderUnknown(client_order_id=cid)
                | OrderResubmitted(client_order_id=cid)
                | OrderShown(client_order_id=cid)
                | CancelIntended(client_order_id=cid)
                | OrderCancelled(client_order_id=cid)
            ):
                self._move(self._owner(cid), event)
            case Corrected(position_id=position_id, symbol=symbol):
                self._include_late_fills(symbol, event)
                self._move(position_id, event)
            case Peaked(position_id=position_id):
                self._move(position_id, event)
            case SymbolFrozen(symbol=symbol, reason=reason):
                self.frozen[symbol] = reason
            case SymbolThawed(symbol=symbol):
                self.frozen.pop(symbol, None)
            case PersonAsked():
                self._obey(event)
            case FlattenDone(request_id=request_id):
                self.flattening.pop(request_id, None)
            case EquityObserved():
                self.equity = _marked(self.equity, event)
                self._looked(event.at)
            case WorkerStarted():
                if self._looked_at is not None:  # of the marks before the newest a boot reads none
                    self._looked(event.at)
            case WorkerStopped():
                pass
            case _:
                assert_never(event)
        self.last_event_at = event.at

    def _looked(self, at: datetime) -> None:
        if self._looked_at is not None and at - self._looked_at >= UNSEEN:
            self._unseen.append((at, at - self._looked_at))
        self._looked_at = at

    def _obey(self, asked: PersonAsked) -> None:
        self.last_request_id = asked.request_id
        match asked.action:
            case Ask.FLATTEN:
                self.flattening[asked.request_id] = asked
            case Ask.WITHDRAW:
                self.flattening.clear()
            case Ask.THAW:
                chosen = [(symbol, reason) for symbol, reason in self.frozen.items() if asked.covers(symbol)]
                self.thawed_by_person.update(chosen)
                for symbol, _ in chosen:
                    del self.frozen[symbol]

    def _owner(self, client_order_id: str) -> str:
        try:
            return self._position_of_order[client_order_id]
        except KeyError:
            raise IllegalTransition(f"no order {client_order_id} was ever intended") from None

    def _open(self, event: IntentApproved | Adopted) -> None:
        position = opened(event)
        beside = self.position_on(position.symbol)
        cleared_away = isinstance(event, Adopted) and beside is not None and beside.phase is Phase.CLEARING
        if position.id in self.positions or (beside and not cleared_away):
            raise IllegalTransition(f"a position on {position.symbol} is open already")
        if isinstance(event, Adopted):
            self._include_late_fills(event.symbol, event)
        self.positions[position.id] = position
        self._open_ids.setdefault(position.symbol, []).append(position.id)

    def _include_late_fills(self, symbol: str, taken: Corrected | Adopted) -> None:
        """A size taken from the venue holds every fill before it: one of a closed position, told late, adds nothing."""
        for each in self.positions.values():
            if each.symbol == symbol:
                self.positions[each.id] = size_taken(each, taken)

    def _fold_fill(self, position_id: str, event: Event, fill_id: str) -> None:
        if fill_id in self._position_of_fill:  # venues repeat themselves; a fill counts once (G)
            return
        self._position_of_fill[fill_id] = position_id
        self._move(position_id, event)

    def _move(self, position_id: str, event: Event) -> None:
        before = self.positions.get(position_id)
        if before is None:
            raise IllegalTransition(f"{event.kind} speaks of a position {position_id} that is not in the book")
        after = apply(before, event)
        self.positions[position_id] = after
        self.naked_seconds_max = max(self.naked_seconds_max, after.naked_seconds)
        if (before.closed_at is None) != (after.closed_at is None):
            self._open_ids[after.symbol] = [each.id for each in self.open_positions() if each.symbol == after.symbol]
        if before.closed_at is None and after.closed_at is not None:
            self._close(after)

    def _close(self, position: Position) -> None:
        if position.entered_qty > 0 and position.closed_at:
            self.closed_at[position.symbol] = position.closed_at
            lost = position.realised_quote < 0
            self.loss_streak = self.loss_streak + 1 if lost else 0
            self.last_loss_at = position.closed_at if lost else self.last_loss_at
        closed = [(each.closed_at, each.id) for each in self.positions.values() if each.closed_at is not None]
        for _, oldest in sorted(closed)[:-CLOSED_KEPT]:
            self._drop(self.positions.pop(oldest))

    def _drop(self, position: Position) -> None:
        """Its ids outlive it. An order that was concluded from silence may yet show itself: that one stays ours."""
        if position.closed_at and not any(order.never_arrived for order in position.orders.values()):
            self._dropped[position.id] = position.closed_at
        newest = max(self._dropped.values(), default=None)
        old = {each for each, at in self._dropped.items() if newest and newest - at >= IDS_KEPT}
        if len(old) >= IDS_FORGOTTEN_AT_ONCE:
            self._forget_ids(old)

    def _forget_ids(self, old: set[str]) -> None:
        self._position_of_order = {cid: each for cid, each in self._position_of_order.items() if each not in old}
        self._position_of_fill = {fill: each for fill, each in self._position_of_fill.items() if each not in old}
        known = self._position_of_order
        self._order_of_venue_id = {named: cid for named, cid in self._order_of_venue_id.items() if cid in known}
        self._dropped = {each: at for each, at in self._dropped.items() if each not in old}


def _replaces_stop(position: Position) -> bool:
    return len(position.working(Leg.STOP)) != 1


def next_mark(equity: Equity | None, seen: Decimal, at: datetime, *, rebased: bool) -> EquityObserved:
    """A mark that sums up all before it."""
    bare = EquityObserved(at=at, equity_quote=seen, rebased=rebased)
    after = _marked(equity, bare)
    return replace(bare, peak_quote=after.peak, day_start_quote=after.day_start)


def _marked(equity: Equity | None, event: EquityObserved) -> Equity:
    seen = event.equity_quote
    if event.peak_quote is not None and event.day_start_quote is not None:
        return Equity(last=seen, at=event.at, peak=event.peak_quote, day_start=event.day_start_quote)
    if equity is None or event.rebased:
        return Equity(last=seen, at=event.at, peak=seen, day_start=seen)
    same_day = event.at.date() == equity.at.date()
    return Equity(last=seen, at=event.at, peak=max(equity.peak, seen), day_start=equity.day_start if same_day else seen)


def fold(events: Iterable[Event]) -> Book:
    """The book after all events, oldest first."""
    book = Book()
    for event in events:
        book.apply(event)
    return book

"""What a position is after each event: the fold of one position's facts. [P]

The phase is derived from orders and fills and never stored, so that no event can leave it contradicting them; contracts
move on venue events only (invariant F).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import cached_property

from live.events import (
    Adopted,
    CancelIntended,
    Corrected,
    Event,
    ExternalFill,
    Filled,
    IntentApproved,
    OrderAccepted,
    OrderCancelled,
    OrderIntended,
    OrderRejected,
    OrderResubmitted,
    OrderShown,
    OrderUnknown,
    Peaked,
)
from live.model import Fill, Leg, Side, Target
from live.position.order import ZERO, IllegalTransition, Order, executed, intended, order_after


class Phase(StrEnum):
    ENTERING = "entering"
    OPEN = "open"  # contracts held, no live stop of their full size
    PROTECTED = "protected"
    EXITING = "exiting"
    CLEARING = "clearing"  # flat, but an order of it still works
    CLOSED = "closed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, kw_only=True)
class Position:
    """One position and every order that ever belonged to it. What follows from its fields is worked out once.

    qty: contracts open now. realised_quote: closed profit and loss net of all fees. naked_since: since when contracts
    are held without a live stop of their full size, None while protected or flat; naked_seconds: the longest such time.
    stop_price: the tightest stop that it ever had at the venue, or the initial one: a stop never moves back (D).
    entered_at: the first contracts. peak_price: the mark farthest in its favour that moved its stop, seen at peaked_at.
    counted: orders of which a size taken from the venue may hold what they executed, told or not.
    oversold: what fills took beyond the contracts that we knew of; an entry's fill that is told late may explain it.
    """

    id: str
    symbol: str
    side: Side
    opened_at: datetime
    initial_stop_price: Decimal
    stop_price: Decimal
    contract_size: Decimal = Decimal(1)
    targets: tuple[Target, ...] = ()
    wanted_qty: Decimal = ZERO
    risk_quote: Decimal = ZERO
    entry_expires_at: datetime | None = None
    orders: Mapping[str, Order] = field(default_factory=dict)
    qty: Decimal = ZERO
    entered_qty: Decimal = ZERO
    entered_at: datetime | None = None
    average_entry_price: Decimal = ZERO
    realised_quote: Decimal = ZERO
    peak_price: Decimal | None = None
    peaked_at: datetime | None = None
    naked_since: datetime | None = None
    naked_seconds: float = 0.0
    corrected_at: datetime | None = None
    holds_fills_until: datetime | None = None
    counted: frozenset[str] = frozenset()
    oversold: Fill | None = None
    closed_at: datetime | None = None

    def legs(self, leg: Leg) -> Sequence[Order]:
        return self._by_leg.get(leg, ())

    def working(self, leg: Leg) -> list[Order]:
        return [order for order in self.legs(leg) if order.is_working]

    @cached_property
    def _by_leg(self) -> Mapping[Leg, Sequence[Order]]:
        found: dict[Leg, list[Order]] = {}
        for order in self.orders.values():
            found.setdefault(order.spec.leg, []).append(order)
        return found

    @cached_property
    def exposed_qty(self) -> Decimal:
        """Contracts to be protected: those held by the fills, less what the venue shows executed and told no fill of.

        A size taken from the venue may hold what had executed before it: that counts as held, and is protected.
        """
        shown = [cid for cid, order in self.orders.items() if order.shown and order.spec.leg is not Leg.ENTRY]
        untold = [self.orders[cid].owed_qty for cid in shown if cid not in self.counted]
        return max(self.qty - sum(untold, ZERO), ZERO) if untold else self.qty

    @cached_property
    def is_exiting(self) -> bool:
        """Whether an exit is under way; one that the venue shows ended leaves the rest to the next."""
        return any(order.is_acting for order in self.legs(Leg.EXIT))

    @cached_property
    def is_protected(self) -> bool:
        exposed_qty = self.exposed_qty
        return exposed_qty == 0 or any(self._protects(order, exposed_qty) for order in self.legs(Leg.STOP))

    def _protects(self, stop: Order, exposed_qty: Decimal) -> bool:
        """Live, of the full size, and not looser than the initial stop, as it would be after a person's edit."""
        trigger = stop.trigger_price
        is_loose = trigger is None or self.side.sign * (trigger - self.initial_stop_price) < 0
        return stop.is_untouched and stop.qty >= exposed_qty and not is_loose

    @cached_property
    def phase(self) -> Phase:
        if self.qty > 0:
            if self.is_exiting:
                return Phase.EXITING
            return Phase.PROTECTED if self.is_protected else Phase.OPEN
        if self.working(Leg.ENTRY):
            return Phase.ENTERING
        if any(order.is_working for order in self.orders.values()):
            return Phase.CLEARING
        return Phase.CLOSED if self.entered_qty > 0 else Phase.CANCELLED

    @property
    def is_terminal(self) -> bool:
        return self.phase in (Phase.CLOSED, Phase.CANCELLED)


def opened(event: IntentApproved | Adopted) -> Position:
    """A position begins with an approved intent or with the adoption of what was found at the venue."""
    match event:
        case IntentApproved(intent=intent):
            return Position(
                id=intent.position_id,
                symbol=intent.symbol,
                side=intent.side,
                opened_at=event.at,
                initial_stop_price=intent.stop_price,
                stop_price=intent.stop_price,
                contract_size=intent.contract_size,
                targets=intent.targets,
                wanted_qty=intent.qty,
                risk_quote=intent.risk_quote,
                entry_expires_at=intent.expires_at,
            )
        case Adopted():
            return Position(
                id=event.position_id,
                symbol=event.symbol,
                side=event.side,
                opened_at=event.at,
                initial_stop_price=event.stop_price,
                stop_price=event.stop_price,
                contract_size=event.contract_size,
                wanted_qty=event.qty,
                qty=event.qty,
                entered_qty=event.qty,
                entered_at=event.at,
                average_entry_price=event.entry_price,
                naked_since=event.at,
                holds_fills_until=event.venue_at,
            )


def apply(position: Position, event: Event) -> Position:
    """The position after one fact. Total over the events of a position; raises IllegalTransition on any other."""
    match event:
        case OrderIntended():
            after = _intended(position, event)
        case Filled(client_order_id=cid, fill=fill):
            after = _filled(position, _order(position, cid), fill)
        case ExternalFill(fill=fill):
            after = (_entered if fill.side is position.side.entry else _exited)(position, fill, None)
        case Corrected():
            after = _corrected(position, event)
        case Peaked():
            after = _peaked(position, event)
        case (
            OrderAccepted(client_order_id=cid)
            | OrderRejected(client_order_id=cid)
            | OrderUnknown(client_order_id=cid)
            | OrderResubmitted(client_order_id=cid)
            | OrderShown(client_order_id=cid)
            | CancelIntended(client_order_id=cid)
            | OrderCancelled(client_order_id=cid)
        ):
            after = _with_order(position, order_after(_order(position, cid), event))
        case _:
            raise IllegalTransition(f"{event.kind} does not belong to position {position.id} in phase {position.phase}")
    return _clocked(after, _happened_at(event))


def _happened_at(event: Event) -> datetime:
    """A fill happened when the venue says so, or when we read it if its clock runs ahead of ours."""
    match event:
        case Filled(fill=fill) | ExternalFill(fill=fill):
            return min(event.at, fill.filled_at)
        case _:
            return event.at


def _order(position: Position, client_order_id: str) -> Order:
    try:
        return position.orders[client_order_id]
    except KeyError:
        raise IllegalTransition(f"position {position.id} never intended an order {client_order_id}") from None


def _with_order(position: Position, order: Order) -> Position:
    after = replace(position, orders={**position.orders, order.spec.client_order_id: order})
    if order.spec.leg is not Leg.STOP or not order.was_live or order.trigger_price is None:
        return after
    return replace(after, stop_price=position.side.tightest([position.stop_price, order.trigger_price]))


def _intended(position: Position, event: OrderIntended) -> Position:
    if event.spec.client_order_id in position.orders:
        raise IllegalTransition(f"client order id {event.spec.client_order_id} was used before")
    return _with_order(position, intended(event))


def _filled(position: Position, order: Order, fill: Fill) -> Position:
    moved = _entered if order.spec.leg is Leg.ENTRY else _exited
    return moved(_with_order(position, executed(order, fill)), fill, order)


def _counts(position: Position, fill: Fill, order: Order | None) -> bool:
    """A size taken from the venue holds every fill before it: adding one of them again would count it twice.

    One of an order that was asked for after that is none of them, whatever two clocks say of the same second.
    """
    if order is not None and order.intended_at >= (position.corrected_at or position.opened_at):
        return True
    return position.holds_fills_until is None or fill.filled_at > position.holds_fills_until


def size_taken(position: Position, event: Corrected | Adopted) -> Position:
    """The position once a size was taken from the venue: it holds every fill until then, and perhaps what is untold.

    Of an order that the same look listed, with no more executed than its fills say, nothing else is in it.
    """
    resting = event.resting if isinstance(event, Corrected) else ()
    counted = frozenset(cid for cid, order in position.orders.items() if cid not in resting or order.owed_qty > 0)
    return replace(position, counted=counted, corrected_at=event.at, holds_fills_until=event.venue_at or event.at)


def _corrected(position: Position, event: Corrected) -> Position:
    after = replace(size_taken(position, event), qty=event.qty)
    if position.entered_qty >= event.qty:
        return after
    entered_at = position.entered_at or event.at
    return replace(after, entered_qty=event.qty, entered_at=entered_at, average_entry_price=event.entry_price)


def _peaked(position: Position, event: Peaked) -> Position:
    """Peaks only grow, whatever order they are told in."""
    known = position.peak_price
    if known is not None and position.side.sign * (event.mark_price - known) <= 0:
        return position
    return replace(position, peak_price=event.mark_price, peaked_at=event.at)


def _entered(position: Position, fill: Fill, order: Order | None) -> Position:
    if not _counts(position, fill, order):
        return replace(position, realised_quote=position.realised_quote - fill.fee_quote)
    cost = position.average_entry_price * position.entered_qty + fill.price * fill.qty
    entered_qty = position.entered_qty + fill.qty
    position, left = _already_sold(position, fill)
    return replace(
        position,
        qty=position.qty + left,
        entered_qty=entered_qty,
        entered_at=position.entered_at or fill.filled_at,
        average_entry_price=cost / entered_qty,
        realised_quote=position.realised_quote - fill.fee_quote,
    )


def _already_sold(position: Position, fill: Fill) -> tuple[Position, Decimal]:
    """An entry told after the exit that took its contracts too adds only the rest, or a ghost of them would stay."""
    sold = position.oversold
    if sold is None or fill.filled_at > sold.filled_at:
        return position, fill.qty
    qty = min(fill.qty, sold.qty)
    gain = position.side.sign * (sold.price - fill.price) * qty * position.contract_size
    rest = replace(sold, qty=sold.qty - qty)
    return replace(position, oversold=rest, realised_quote=position.realised_quote + gain), fill.qty - qty


def _exited(position: Position, fill: Fill, order: Order | None) -> Position:
    """A fill may take more than we know of: an entry's fill is told late, or a person sold what our stop sold too.

    In that case the rest opened something else, which is for reconcile.
    """
    counts = _counts(position, fill, order)
    closed = min(fill.qty, position.qty) if counts else fill.qty
    gain = position.side.sign * (fill.price - position.average_entry_price) * closed * position.contract_size
    qty = position.qty - closed if counts else position.qty
    before = position.oversold.qty if position.oversold else ZERO
    oversold = replace(fill, qty=before + fill.qty - closed) if closed < fill.qty else position.oversold
    return replace(position, qty=qty, oversold=oversold, realised_quote=position.realised_quote + gain - fill.fee_quote)


def _clocked(position: Position, at: datetime) -> Position:
    """Keep the naked time and the moment of closing in step with the state."""
    if position.qty > 0 and not position.is_protected:
        return _open_again(replace(position, naked_since=at) if position.naked_since is None else position)
    if position.naked_since is not None:
        seconds = max((at - position.naked_since).total_seconds(), 0.0)
        position = replace(position, naked_since=None, naked_seconds=max(position.naked_seconds, seconds))
    if position.is_terminal:
        return replace(position, closed_at=position.closed_at or at)
    return _open_again(position)


def _open_again(position: Position) -> Position:
    """A fill after the cancel that closed it: open again, and to be protected."""
    return position if position.closed_at is None else replace(position, closed_at=None)

"""State machine V2: what a position is after each event, and which commands its state calls for. [P]

`apply` folds one fact, `due` reads the commands off a state, `step` is both. The phase is derived from orders and fills
and never stored, so that no event can leave it contradicting them; it moves on venue events only (invariant F). Because
commands follow from state, a crash loses none: folding the journal and asking `due` again gives what was still to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

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
    OrderUnknown,
)
from live.model import Fill, Instrument, Leg, OrderSide, OrderSpec, OrderType, Side, Target

ZERO = Decimal(0)
BREAK_EVEN_SHARE = Decimal("0.3")  # invariant J: targets must have taken this share before the stop moves to entry
NEVER_ARRIVED = "never-arrived"  # the code of an order that was found nowhere after its expiry
LATE_WORD = timedelta(seconds=5)  # a list read this soon after an order's end may still show it


class IllegalTransition(Exception):
    """An event that no history of this position explains. The engine halts entries; it never guesses."""


class OrderStatus(StrEnum):
    INTENDED = "intended"  # written down, its fate at the venue not heard of yet
    LIVE = "live"
    UNKNOWN = "unknown"  # sent, and nobody can tell; blocks new risk until evidence decides
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


class Phase(StrEnum):
    ENTERING = "entering"
    OPEN = "open"  # contracts held, no live stop of their full size
    PROTECTED = "protected"
    EXITING = "exiting"
    CLEARING = "clearing"  # flat, but an order of it still works
    CLOSED = "closed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Order:
    """One of our orders. Times are aware UTC; expires_at: after it the venue refuses the request itself."""

    spec: OrderSpec
    status: OrderStatus
    intended_at: datetime
    expires_at: datetime
    venue_order_id: str | None = None
    filled_qty: Decimal = ZERO
    reason: str = ""
    cancel_intended_at: datetime | None = None
    settled_at: datetime | None = None

    @property
    def is_working(self) -> bool:
        return self.status in (OrderStatus.INTENDED, OrderStatus.LIVE, OrderStatus.UNKNOWN)

    @property
    def is_unresolved(self) -> bool:
        return self.status in (OrderStatus.INTENDED, OrderStatus.UNKNOWN)

    @property
    def is_untouched(self) -> bool:
        """Live, without a fill and not being cancelled: a stop that began to execute protects nothing any more."""
        return self.status is OrderStatus.LIVE and self.filled_qty == 0 and self.cancel_intended_at is None

    @property
    def ended_unasked(self) -> bool:
        """Refused, or taken away by the venue or a person."""
        if self.status is OrderStatus.CANCELLED:
            return self.cancel_intended_at is None
        return self.status is OrderStatus.REJECTED

    @property
    def remaining_qty(self) -> Decimal:
        return max(self.spec.qty - self.filled_qty, ZERO)

    @property
    def never_arrived(self) -> bool:
        """Refused by nobody: it was concluded from the venue's silence."""
        return self.status is OrderStatus.REJECTED and self.reason.startswith(NEVER_ARRIVED)

    def may_have_ended(self, seen_at: datetime) -> bool:
        """Whether a list of open orders read at `seen_at` that shows this cancelled order may just be behind."""
        return self.settled_at is not None and seen_at - self.settled_at < LATE_WORD


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """One position and every order that ever belonged to it.

    qty: contracts open now. realised_quote: closed profit and loss net of all fees. naked_since: since when contracts
    are held without a live stop of their full size, None while protected or flat; naked_seconds: the longest such time.
    """

    id: str
    symbol: str
    side: Side
    opened_at: datetime
    initial_stop_price: Decimal
    contract_size: Decimal = Decimal(1)
    targets: tuple[Target, ...] = ()
    wanted_qty: Decimal = ZERO
    risk_quote: Decimal = ZERO
    entry_expires_at: datetime | None = None
    orders: Mapping[str, Order] = field(default_factory=dict)
    qty: Decimal = ZERO
    entered_qty: Decimal = ZERO
    average_entry_price: Decimal = ZERO
    realised_quote: Decimal = ZERO
    naked_since: datetime | None = None
    naked_seconds: float = 0.0
    corrected_at: datetime | None = None
    closed_at: datetime | None = None

    def legs(self, leg: Leg) -> list[Order]:
        return [order for order in self.orders.values() if order.spec.leg is leg]

    def working(self, leg: Leg) -> list[Order]:
        return [order for order in self.legs(leg) if order.is_working]

    @property
    def is_protected(self) -> bool:
        return any(order.is_untouched and order.spec.qty >= self.qty for order in self.legs(Leg.STOP))

    @property
    def phase(self) -> Phase:
        if self.qty > 0:
            if self.working(Leg.EXIT):
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

    @property
    def stop_price(self) -> Decimal:
        """Where the stop belongs: the initial one, or the entry once targets took their share; never back (D)."""
        taken = sum((order.filled_qty for order in self.legs(Leg.TARGET)), ZERO)
        if self.entered_qty == 0 or taken < BREAK_EVEN_SHARE * self.entered_qty:
            return self.initial_stop_price
        closer = max if self.side is Side.LONG else min
        return closer(self.initial_stop_price, self.average_entry_price)


# --- folding facts --------------------------------------------------------------------------------------------------


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
                contract_size=event.contract_size,
                wanted_qty=event.qty,
                qty=event.qty,
                entered_qty=event.qty,
                average_entry_price=event.entry_price,
                naked_since=event.at,
            )


def apply(position: Position, event: Event) -> Position:
    """The position after one fact. Total over the events of a position; raises IllegalTransition on any other."""
    match event:
        case OrderIntended():
            after = _with_order(position, _intended(position, event))
        case Filled(client_order_id=cid, fill=fill):
            after = _filled(position, _order(position, cid), fill)
        case ExternalFill(fill=fill):
            after = _externally_filled(position, fill)
        case Corrected():
            after = _corrected(position, event)
        case (
            OrderAccepted(client_order_id=cid)
            | OrderRejected(client_order_id=cid)
            | OrderUnknown(client_order_id=cid)
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


def order_after(
    order: Order, event: OrderAccepted | OrderRejected | OrderUnknown | CancelIntended | OrderCancelled
) -> Order:
    """The order after what the venue (or we, for a cancel) said. Duplicates and late words change nothing (G)."""
    match event, order.status:
        case OrderAccepted(), OrderStatus.INTENDED | OrderStatus.UNKNOWN | OrderStatus.LIVE:
            return replace(order, status=OrderStatus.LIVE, venue_order_id=event.venue_order_id)
        case OrderAccepted(), OrderStatus.REJECTED:  # believed refused, yet it lives: the venue is right, we were not
            alive = replace(order, status=OrderStatus.LIVE, reason="", settled_at=None)
            return replace(alive, venue_order_id=event.venue_order_id)
        case OrderAccepted(), OrderStatus.CANCELLED if not order.may_have_ended(event.at):  # believed gone, and rests
            return replace(order, status=OrderStatus.LIVE, cancel_intended_at=None, settled_at=None)
        case OrderAccepted(), _:  # the ack arrives after the end it acknowledges
            return replace(order, venue_order_id=order.venue_order_id or event.venue_order_id)
        case OrderRejected(), OrderStatus.INTENDED | OrderStatus.UNKNOWN:
            reason = f"{event.code}: {event.reason}"
            return replace(order, status=OrderStatus.REJECTED, reason=reason, settled_at=event.at)
        case OrderRejected(), OrderStatus.LIVE:  # accepted once, then undone by the venue: its remainder rests no more
            return replace(order, status=OrderStatus.CANCELLED, reason=event.reason, settled_at=event.at)
        case OrderUnknown(), OrderStatus.INTENDED:
            return replace(order, status=OrderStatus.UNKNOWN, reason=event.reason)
        case CancelIntended(), _:
            return replace(order, cancel_intended_at=event.at)
        case OrderCancelled(), _ if order.is_working:
            return replace(order, status=OrderStatus.CANCELLED, settled_at=event.at)
        case _:
            return order


def _order(position: Position, client_order_id: str) -> Order:
    try:
        return position.orders[client_order_id]
    except KeyError:
        raise IllegalTransition(f"position {position.id} never intended an order {client_order_id}") from None


def _with_order(position: Position, order: Order) -> Position:
    return replace(position, orders={**position.orders, order.spec.client_order_id: order})


def _intended(position: Position, event: OrderIntended) -> Order:
    if event.spec.client_order_id in position.orders:
        raise IllegalTransition(f"client order id {event.spec.client_order_id} was used before")
    return Order(event.spec, OrderStatus.INTENDED, intended_at=event.at, expires_at=event.expires_at)


def _filled(position: Position, order: Order, fill: Fill) -> Position:
    filled_qty = order.filled_qty + fill.qty
    status = order.status
    if filled_qty >= order.spec.qty:
        status = OrderStatus.FILLED
    elif order.is_unresolved or status is OrderStatus.REJECTED:  # a fill is the strongest acknowledgement there is
        status = OrderStatus.LIVE
    after = replace(
        order,
        filled_qty=filled_qty,
        status=status,
        venue_order_id=order.venue_order_id or fill.venue_order_id,
        settled_at=fill.filled_at if status is OrderStatus.FILLED else order.settled_at,
    )
    moved = _entered if order.spec.leg is Leg.ENTRY else _exited
    return moved(_with_order(position, after), fill)


def _externally_filled(position: Position, fill: Fill) -> Position:
    return (_entered if fill.side is position.side.entry else _exited)(position, fill)


def _counts(position: Position, fill: Fill) -> bool:
    """A correction already holds every fill before it: adding one of them again would count it twice."""
    return position.corrected_at is None or fill.filled_at > position.corrected_at


def _corrected(position: Position, event: Corrected) -> Position:
    after = replace(position, qty=event.qty, corrected_at=event.at)
    if position.entered_qty >= event.qty:
        return after
    return replace(after, entered_qty=event.qty, average_entry_price=event.entry_price)


def _entered(position: Position, fill: Fill) -> Position:
    if not _counts(position, fill):
        return replace(position, realised_quote=position.realised_quote - fill.fee_quote)
    cost = position.average_entry_price * position.entered_qty + fill.price * fill.qty
    entered_qty = position.entered_qty + fill.qty
    return replace(
        position,
        qty=position.qty + fill.qty,
        entered_qty=entered_qty,
        average_entry_price=cost / entered_qty,
        realised_quote=position.realised_quote - fill.fee_quote,
    )


def _exited(position: Position, fill: Fill) -> Position:
    """A person may have sold what our stop sold too: the rest of such a fill opened something else, for reconcile."""
    counts = _counts(position, fill)
    closed = min(fill.qty, position.qty) if counts else fill.qty
    gain = position.side.sign * (fill.price - position.average_entry_price) * closed * position.contract_size
    qty = position.qty - closed if counts else position.qty
    return replace(position, qty=qty, realised_quote=position.realised_quote + gain - fill.fee_quote)


def _clocked(position: Position, at: datetime) -> Position:
    """Keep the naked time and the moment of closing in step with the state."""
    if position.qty > 0 and not position.is_protected:
        return replace(position, naked_since=position.naked_since or at, closed_at=None)
    if position.naked_since is not None:
        seconds = max((at - position.naked_since).total_seconds(), 0.0)
        position = replace(position, naked_since=None, naked_seconds=max(position.naked_seconds, seconds))
    if position.is_terminal:
        return replace(position, closed_at=position.closed_at or at)
    return replace(position, closed_at=None)  # a fill after the cancel that closed it: open again, and to be protected


# --- what the state calls for -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """Ask for an order; execution gives it its client order id and writes it down before it leaves."""

    position_id: str
    symbol: str
    side: OrderSide
    leg: Leg
    type: OrderType
    qty: Decimal
    limit_price: Decimal | None
    trigger_price: Decimal | None
    reason: str


@dataclass(frozen=True, slots=True)
class CancelOrder:
    position_id: str
    client_order_id: str
    reason: str


Command = PlaceOrder | CancelOrder


@dataclass(frozen=True, slots=True)
class Policy:
    """How protection behaves. entries_allowed False (halt, drain) also takes resting entries back."""

    stop_attempts: int = 3
    naked_bound: timedelta = timedelta(seconds=20)
    retry: timedelta = timedelta(seconds=1)
    entries_allowed: bool = True


def step(position: Position, event: Event, instrument: Instrument, policy: Policy) -> tuple[Position, list[Command]]:
    """One fact in, the new state and what it calls for out. Performs nothing."""
    after = apply(position, event)
    return after, due(after, instrument, policy, event.at)


def due(position: Position, instrument: Instrument, policy: Policy, now: datetime) -> list[Command]:
    """The commands that this state calls for at `now` (aware UTC). In-flight orders count as already asked for."""
    return [
        *_entry_due(position, policy, now),
        *_protection_due(position, instrument, policy, now),
        *_targets_due(position, instrument, policy, now),
        *_clearing_due(position, policy, now),
    ]


def _entry_due(position: Position, policy: Policy, now: datetime) -> list[Command]:
    expired = position.entry_expires_at is not None and now >= position.entry_expires_at
    if expired:
        reason = "entry expired"
    elif not policy.entries_allowed:
        reason = "no entries now"
    elif position.entered_qty > position.qty:
        reason = "the position is closing"
    elif position.qty == 0 and position.corrected_at is not None:
        reason = "the venue holds the other side"
    else:
        return []
    return _cancels(position, position.legs(Leg.ENTRY), policy, now, reason)


def _protection_due(position: Position, instrument: Instrument, policy: Policy, now: datetime) -> list[Command]:
    if position.qty <= 0 or position.working(Leg.EXIT):
        return []
    if reason := _why_exit(position, policy, now):
        return [_exit(position, reason)] if _may_retry(position.legs(Leg.EXIT), policy, now) else []
    trigger = instrument.round_stop(position.stop_price, position.side)
    exact = [
        order
        for order in position.working(Leg.STOP)
        if order.is_untouched and (order.spec.qty, order.spec.trigger_price) == (position.qty, trigger)
    ]
    if exact:  # place new, verify, cancel old (I7): only now are the others superfluous
        superfluous = [order for order in position.legs(Leg.STOP) if order is not exact[-1]]
        return _cancels(position, superfluous, policy, now, "replaced")
    if any(order.is_unresolved for order in position.legs(Leg.STOP)):
        return []
    same = [o for o in position.legs(Leg.STOP) if (o.spec.qty, o.spec.trigger_price) == (position.qty, trigger)]
    return [_stop(position, trigger)] if _may_retry(same, policy, now) else []


def _why_exit(position: Position, policy: Policy, now: datetime) -> str | None:
    """Heal first, then escalate (I40): the bound counts from the first try, not from a fill while nobody was there.

    A stop that is accepted and soon taken away again failed as much as one that was refused.
    """
    if (since := position.naked_since) is None:
        return None
    recent = min(since, now - 2 * policy.naked_bound)
    failed = [order for order in position.legs(Leg.STOP) if order.ended_unasked and order.intended_at >= recent]
    if len(failed) >= policy.stop_attempts:
        return f"{len(failed)} stops refused or taken away"
    tries = [order for order in position.legs(Leg.STOP) if order.intended_at >= since]
    if not tries:
        return None
    if (trying := now - tries[0].intended_at) >= policy.naked_bound:
        return f"no live stop after {trying.total_seconds():.0f} s of trying"
    return None


def _targets_due(position: Position, instrument: Instrument, policy: Policy, now: datetime) -> list[Command]:
    if position.qty <= 0 or position.working(Leg.ENTRY) or position.phase is not Phase.PROTECTED:
        return []
    free = position.qty - sum((order.remaining_qty for order in position.working(Leg.TARGET)), ZERO)
    if free < 0:  # reduce-only orders may together never exceed the position (I51)
        return _cancels(position, position.working(Leg.TARGET)[-1:], policy, now, "more than the position")
    commands: list[Command] = []
    for target in scaled_targets(position, instrument):
        placed = [order for order in position.legs(Leg.TARGET) if order.spec.limit_price == target.price]
        missing = min(target.qty - sum((order.filled_qty for order in placed), ZERO), free)
        settled = not any(order.is_working for order in placed)
        if (
            settled
            and missing >= instrument.min_qty
            and len(placed) < policy.stop_attempts
            and _may_retry(placed, policy, now)
        ):
            free -= missing
            commands.append(_target(position, Target(target.price, missing)))
    return commands


def scaled_targets(position: Position, instrument: Instrument) -> list[Target]:
    """The intended targets, scaled to what was entered; what is too small to send goes to the next one (I53)."""
    if position.wanted_qty <= 0 or position.entered_qty >= position.wanted_qty:
        return list(position.targets)
    share = position.entered_qty / position.wanted_qty
    scaled: list[Target] = []
    carried = ZERO
    for target in position.targets:
        qty = instrument.round_qty_down(target.qty * share + carried)
        if qty < instrument.min_qty:
            carried += target.qty * share
            continue
        carried = target.qty * share + carried - qty
        scaled.append(Target(target.price, qty))
    return scaled


def _clearing_due(position: Position, policy: Policy, now: datetime) -> list[Command]:
    if position.qty > 0 or position.working(Leg.ENTRY):
        return []
    return _cancels(position, position.orders.values(), policy, now, "flat")


def _cancels(position: Position, orders: Iterable[Order], policy: Policy, now: datetime, reason: str) -> list[Command]:
    return [
        CancelOrder(position.id, order.spec.client_order_id, reason)
        for order in orders
        if order.status is OrderStatus.LIVE
        and (order.cancel_intended_at is None or now - order.cancel_intended_at >= 2 * policy.retry)
    ]


def _may_retry(refused: list[Order], policy: Policy, now: datetime) -> bool:
    """Whether a leg may be asked for again: the pause doubles with each refusal, well below the naked bound."""
    failed = [order for order in refused if order.status is OrderStatus.REJECTED]
    if not failed or failed[-1].settled_at is None:
        return True
    pause = min(policy.retry * (1 << min(len(failed) - 1, 6)), policy.naked_bound / 4)
    return now - failed[-1].settled_at >= pause


def _stop(position: Position, trigger: Decimal) -> PlaceOrder:
    return _reduce(position, Leg.STOP, OrderType.STOP, position.qty, "protect", trigger=trigger)


def _target(position: Position, target: Target) -> PlaceOrder:
    return _reduce(position, Leg.TARGET, OrderType.LIMIT, target.qty, "take profit", limit=target.price)


def _exit(position: Position, reason: str) -> PlaceOrder:
    return _reduce(position, Leg.EXIT, OrderType.MARKET, position.qty, reason)


def _reduce(
    position: Position,
    leg: Leg,
    order_type: OrderType,
    qty: Decimal,
    reason: str,
    *,
    limit: Decimal | None = None,
    trigger: Decimal | None = None,
) -> PlaceOrder:
    """Every order but an entry reduces: it carries the exit side, and execution marks it reduce-only."""
    return PlaceOrder(position.id, position.symbol, position.side.exit, leg, order_type, qty, limit, trigger, reason)

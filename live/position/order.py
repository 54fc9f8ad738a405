"""One of our orders: what it became, as the venue tells it. Duplicates and late words change nothing. [P]"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from live.events import (
    CancelIntended,
    OrderAccepted,
    OrderCancelled,
    OrderIntended,
    OrderRejected,
    OrderResubmitted,
    OrderShown,
    OrderUnknown,
)
from live.model import Fill, OrderSpec

ZERO = Decimal(0)
NEVER_ARRIVED = "never-arrived"  # the code of an order that was found nowhere after its expiry
NOT_SENT = "not-sent"  # the code of an order of which no byte left
LATE_WORD = timedelta(seconds=5)  # a list read this soon after an order's end may still show it

OrderEvent = (
    OrderAccepted | OrderRejected | OrderUnknown | OrderResubmitted | OrderShown | CancelIntended | OrderCancelled
)


class IllegalTransition(Exception):
    """An event that no history of this position explains. The engine halts entries; it never guesses."""


class OrderStatus(StrEnum):
    INTENDED = "intended"  # written down, its fate at the venue not heard of yet
    LIVE = "live"
    UNKNOWN = "unknown"  # sent, and nobody can tell; blocks new risk until evidence decides
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Shown:
    """The order as the venue shows it, where that is not what we asked for or were told. qty: contracts, filled too.

    ended: it rests no more, but its fills were not all told yet.
    """

    qty: Decimal
    filled_qty: Decimal
    limit_price: Decimal | None
    trigger_price: Decimal | None
    ended: bool


@dataclass(frozen=True, slots=True)
class Order:
    """One of our orders. Times are aware UTC; expires_at: after it the venue refuses the request itself.

    intended_at: the first time, however often it was sent again. refusals: how often it ended without our asking.
    """

    spec: OrderSpec
    status: OrderStatus
    intended_at: datetime
    expires_at: datetime
    venue_order_id: str | None = None
    accepted_at: datetime | None = None
    filled_qty: Decimal = ZERO
    shown: Shown | None = None
    reason: str = ""
    refusals: int = 0
    cancel_intended_at: datetime | None = None
    settled_at: datetime | None = None

    @property
    def is_working(self) -> bool:
        return self.status in (OrderStatus.INTENDED, OrderStatus.LIVE, OrderStatus.UNKNOWN)

    @property
    def is_unresolved(self) -> bool:
        return self.status in (OrderStatus.INTENDED, OrderStatus.UNKNOWN)

    @property
    def qty(self) -> Decimal:
        """Contracts as they stand at the venue: a person may have edited them."""
        return self.shown.qty if self.shown else self.spec.qty

    @property
    def trigger_price(self) -> Decimal | None:
        shown = self.shown.trigger_price if self.shown else None
        return self.spec.trigger_price if shown is None else shown

    @property
    def limit_price(self) -> Decimal | None:
        shown = self.shown.limit_price if self.shown else None
        return self.spec.limit_price if shown is None else shown

    @property
    def executed_qty(self) -> Decimal:
        """What has executed by the fills or by the venue's list, whichever tells more: fills may be told late."""
        return max(self.filled_qty, self.shown.filled_qty) if self.shown else self.filled_qty

    @property
    def owed_qty(self) -> Decimal:
        """What the venue shows executed and has told no fill of yet."""
        return max(self.executed_qty - self.filled_qty, ZERO)

    @property
    def remaining_qty(self) -> Decimal:
        return ZERO if self.has_ended else max(self.qty - self.executed_qty, ZERO)

    @property
    def has_ended(self) -> bool:
        """Whether the venue shows its end, although not all of its fills were told yet."""
        return self.shown is not None and self.shown.ended

    @property
    def is_acting(self) -> bool:
        """Whether it may still execute, or may yet arrive."""
        return self.is_working and not self.has_ended

    @property
    def is_untouched(self) -> bool:
        """Live, nothing executed, not being cancelled: a stop that began to execute protects nothing any more."""
        return self.status is OrderStatus.LIVE and self.executed_qty == 0 and not self._is_ending

    @property
    def _is_ending(self) -> bool:
        return self.cancel_intended_at is not None or self.has_ended

    @property
    def was_live(self) -> bool:
        """Whether the venue ever had it."""
        return self.venue_order_id is not None

    @property
    def never_arrived(self) -> bool:
        """Refused by nobody: it was concluded from the venue's silence."""
        return self.status is OrderStatus.REJECTED and self.reason.startswith(NEVER_ARRIVED)

    @property
    def is_absent(self) -> bool:
        """Proven never to have reached the venue, so that the same request may be sent again under the same id."""
        return self.never_arrived or (self.status is OrderStatus.REJECTED and self.reason.startswith(NOT_SENT))

    def may_have_ended(self, seen_at: datetime) -> bool:
        """Whether a list of open orders read at `seen_at` that shows this cancelled order may just be behind."""
        return self.settled_at is not None and seen_at - self.settled_at < LATE_WORD


def intended(event: OrderIntended) -> Order:
    return Order(event.spec, OrderStatus.INTENDED, intended_at=event.at, expires_at=event.expires_at)


def order_after(order: Order, event: OrderEvent) -> Order:
    """The order after what the venue said, or after what we are about to ask of it (G)."""
    match event:
        case OrderAccepted():
            return _accepted(order, event)
        case OrderRejected():
            return _rejected(order, event)
        case OrderUnknown():
            unheard = order.status is OrderStatus.INTENDED
            return replace(order, status=OrderStatus.UNKNOWN, reason=event.reason) if unheard else order
        case OrderResubmitted():
            return _resubmitted(order, event)
        case OrderShown():
            return _shown(order, event)
        case CancelIntended():
            return replace(order, cancel_intended_at=event.at)
        case OrderCancelled():
            return _ended(order, OrderStatus.CANCELLED, event.at) if order.is_working else order


def executed(order: Order, fill: Fill) -> Order:
    """The order after one execution, whatever was believed of it: a fill is the strongest acknowledgement there is."""
    filled_qty = order.filled_qty + fill.qty
    status = order.status
    if filled_qty >= max(order.spec.qty, order.qty):
        status = OrderStatus.FILLED
    elif order.is_unresolved or status is OrderStatus.REJECTED:
        status = OrderStatus.LIVE
    return replace(
        order,
        filled_qty=filled_qty,
        status=status,
        venue_order_id=order.venue_order_id or fill.venue_order_id,
        settled_at=fill.filled_at if status is OrderStatus.FILLED else order.settled_at,
    )


def _accepted(order: Order, event: OrderAccepted) -> Order:
    accepted_at = order.accepted_at or event.at
    alive = replace(order, status=OrderStatus.LIVE, venue_order_id=event.venue_order_id, accepted_at=accepted_at)
    match order.status:
        case OrderStatus.INTENDED | OrderStatus.UNKNOWN | OrderStatus.LIVE:
            return alive
        case OrderStatus.REJECTED:  # believed refused, yet it lives: the venue is right, we were not
            return replace(alive, reason="", settled_at=None)
        case OrderStatus.CANCELLED if not order.may_have_ended(event.at):  # believed gone, and rests
            return replace(alive, cancel_intended_at=None, settled_at=None, shown=None)
        case OrderStatus.CANCELLED | OrderStatus.FILLED:  # the ack arrives after the end it acknowledges
            return replace(order, venue_order_id=order.venue_order_id or event.venue_order_id)


def _rejected(order: Order, event: OrderRejected) -> Order:
    if order.is_unresolved:
        refused = _ended(order, OrderStatus.REJECTED, event.at)
        return replace(refused, reason=f"{event.code}: {event.reason}")
    if order.status is OrderStatus.LIVE:  # accepted once, then undone by the venue: its remainder rests no more
        return replace(_ended(order, OrderStatus.CANCELLED, event.at), reason=event.reason)
    return order


def _ended(order: Order, status: OrderStatus, at: datetime) -> Order:
    unasked = status is OrderStatus.REJECTED or order.cancel_intended_at is None
    return replace(order, status=status, settled_at=at, refusals=order.refusals + unasked)


def _resubmitted(order: Order, event: OrderResubmitted) -> Order:
    if not order.is_absent:
        raise IllegalTransition(f"{event.client_order_id} is {order.status}, it cannot be sent again")
    again = replace(order, status=OrderStatus.INTENDED, expires_at=event.expires_at)
    return replace(again, reason="", settled_at=None)


def _shown(order: Order, event: OrderShown) -> Order:
    """What executed never becomes less, and no end is undone: an older list may be told after a newer one."""
    most = max(event.filled_qty, order.executed_qty)
    ended = event.ended or order.has_ended
    return replace(order, shown=Shown(event.qty, most, event.limit_price, event.trigger_price, ended))

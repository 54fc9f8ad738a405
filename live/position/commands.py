"""What a position may ask for. Every order but an entry reduces: it carries the exit side and is reduce-only. [P]"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from live.model import Leg, OrderSide, OrderSpec, OrderType
from live.position.order import Order, OrderStatus
from live.position.rules import Policy
from live.position.state import Position


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

    def is_asked_by(self, spec: OrderSpec) -> bool:
        """Whether an order of that spec is just what this asks for."""
        return (spec.leg, spec.side, spec.type, spec.qty) == (self.leg, self.side, self.type, self.qty) and (
            spec.limit_price,
            spec.trigger_price,
        ) == (self.limit_price, self.trigger_price)


@dataclass(frozen=True, slots=True)
class CancelOrder:
    position_id: str
    client_order_id: str
    reason: str


Command = PlaceOrder | CancelOrder


def place_stop(position: Position, trigger: Decimal) -> PlaceOrder:
    return _reduce(position, Leg.STOP, OrderType.STOP, position.exposed_qty, "protect", trigger=trigger)


def place_target(position: Position, price: Decimal, qty: Decimal) -> PlaceOrder:
    return _reduce(position, Leg.TARGET, OrderType.LIMIT, qty, "take profit", limit=price)


def place_exit(position: Position, reason: str) -> PlaceOrder:
    return _reduce(position, Leg.EXIT, OrderType.MARKET, position.exposed_qty, reason)


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
    return PlaceOrder(position.id, position.symbol, position.side.exit, leg, order_type, qty, limit, trigger, reason)


def cancels(position: Position, orders: Iterable[Order], policy: Policy, now: datetime, reason: str) -> list[Command]:
    """Cancels of those that rest; one that was asked for is asked for again after a pause. What executed rests not."""
    return [
        CancelOrder(position.id, order.spec.client_order_id, reason)
        for order in orders
        if order.status is OrderStatus.LIVE
        and order.remaining_qty > 0
        and (order.cancel_intended_at is None or now - order.cancel_intended_at >= 2 * policy.retry)
    ]


def may_retry(refused: Iterable[Order], policy: Policy, now: datetime) -> bool:
    """Whether a leg may be asked for again: the pause doubles with each refusal, well below the naked bound."""
    failed = [(order.settled_at, order.refusals) for order in refused if order.status is OrderStatus.REJECTED]
    settled = [at for at, _ in failed if at is not None]
    if not settled:
        return True
    times = sum(refusals for _, refusals in failed)
    return now - max(settled) >= min(policy.retry * (1 << min(times - 1, 6)), policy.naked_bound / 4)

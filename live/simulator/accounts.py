"""One customer's book: orders, positions, and how long each position stood without its stop. [P]"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from live.model import OrderSide
from live.simulator.orders import (
    ZERO,
    Contract,
    Episode,
    Execution,
    Order,
    OrderEvent,
    OrderKind,
    Position,
    Quote,
    Signal,
)


@dataclass(slots=True)
class Account:
    """One customer's book. cash: collateral in quote currency, realised profit and fees included."""

    name: str
    cash: Decimal
    orders: dict[str, Order] = field(default_factory=dict)
    open_ids: dict[str, None] = field(default_factory=dict)
    client_ids: dict[str, str] = field(default_factory=dict)
    positions: dict[str, Position] = field(default_factory=dict)
    executions: list[Execution] = field(default_factory=list)
    events: list[OrderEvent] = field(default_factory=list)
    episodes: list[Episode] = field(default_factory=list)
    realised: Decimal = ZERO
    fees: Decimal = ZERO
    dead_man_at: datetime | None = None

    def open_orders(self, venue_id: str | None = None) -> list[Order]:
        """Oldest first."""
        found = (self.orders[order_id] for order_id in self.open_ids)
        return [order for order in found if venue_id in (None, order.venue_id)]

    def find(self, order_id: str | None, client_order_id: str | None) -> Order | None:
        return self.orders.get(order_id or self.client_ids.get(client_order_id or "", ""))

    def reducible(self, venue_id: str, side: OrderSide) -> Decimal:
        """How many contracts an order of this side can take off the position."""
        position = self.positions.get(venue_id)
        qty = position.qty if position else ZERO
        return max(ZERO, -qty if side is OrderSide.BUY else qty)

    def resting_reduce_only(self, venue_id: str) -> list[Order]:
        return [order for order in self.open_orders(venue_id) if order.reduce_only and order.is_resting]


def move_position(account: Account, execution: Execution, contract: Contract) -> None:
    """Fold one execution into the position: average entry when it grows, realised profit when it shrinks."""
    venue_id, now, price = execution.order.venue_id, execution.at, execution.price
    change = execution.qty if execution.order.side is OrderSide.BUY else -execution.qty
    old = account.positions.get(venue_id) or Position(venue_id, ZERO, price, now, now)
    new_qty = old.qty + change
    if old.qty * change >= 0:
        entry = (old.entry_price * abs(old.qty) + price * abs(change)) / abs(new_qty)
        account.positions[venue_id] = replace(old, qty=new_qty, entry_price=entry, filled_at=now)
    else:
        closed = min(abs(change), abs(old.qty)).copy_sign(old.qty)
        profit = closed * (price - old.entry_price) * contract.contract_size
        account.realised += profit
        account.cash += profit
        if new_qty == 0:
            del account.positions[venue_id]
        elif new_qty * old.qty > 0:
            account.positions[venue_id] = replace(old, qty=new_qty, filled_at=now)
        else:
            account.positions[venue_id] = Position(venue_id, new_qty, price, now, now)
    _turn_episodes(account, venue_id, old.qty, new_qty, now)


def _turn_episodes(account: Account, venue_id: str, old_qty: Decimal, new_qty: Decimal, now: datetime) -> None:
    """Close the position's episode when it went flat or turned, open one when it began or turned."""
    if old_qty != 0 and old_qty * new_qty <= 0 and (episode := _episode_of(account, venue_id)):
        episode.note(protected=True, now=now)
        episode.closed_at = now
    if new_qty != 0 and old_qty * new_qty <= 0:
        account.episodes.append(Episode(venue_id, "long" if new_qty > 0 else "short", now))


def note_protection(account: Account, venue_id: str, now: datetime) -> None:
    """A position is protected by one live reduce-only stop of at least its size."""
    episode, position = _episode_of(account, venue_id), account.positions.get(venue_id)
    if episode is None or position is None:
        return
    guard = OrderSide.SELL if position.qty > 0 else OrderSide.BUY
    protected = any(
        order.kind is OrderKind.STOP
        and order.reduce_only
        and order.side is guard
        and order.remaining >= abs(position.qty)
        for order in account.open_orders(venue_id)
    )
    episode.note(protected=protected, now=now)


def _episode_of(account: Account, venue_id: str) -> Episode | None:
    """The episode of the position that is open now, if one is."""
    for episode in reversed(account.episodes):
        if episode.venue_id == venue_id:
            return episode if episode.closed_at is None else None
    return None


def has_come(order: Order, quote: Quote) -> bool:
    """Whether the price that a conditional order watches has reached its trigger."""
    assert order.stop_price is not None, "a conditional order without a trigger price is refused at the door"
    watched = {Signal.MARK: quote.mark, Signal.LAST: quote.last, Signal.INDEX: quote.index}[order.signal]
    return watched >= order.stop_price if fires_above(order) else watched <= order.stop_price


def fires_above(order: Order) -> bool:
    """A buy stop and a sell take-profit wait for a higher price, the other two for a lower one."""
    return (order.kind is OrderKind.STOP) == (order.side is OrderSide.BUY)


def by_priority(orders: Iterable[Order]) -> list[Order]:
    """The most aggressive price first, then the oldest; orders without a limit come before all."""

    def key(order: Order) -> tuple[Decimal, datetime]:
        price = order.limit_price or ZERO
        return (-price if order.side is OrderSide.BUY else price), order.placed_at

    return sorted(orders, key=key)

"""The simulated venue's own values: contracts, quotes, orders, executions, positions. [P]

Quantities are contracts, prices quote currency, times aware UTC. Orders are frozen: a change makes a new one, so that
every past state stays readable in the history.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from enum import StrEnum

from live.model import OrderSide

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Contract:
    """One listing. liquidity: contracts that trade per price tick, None for as many as wanted.

    initial_margin, maintenance_margin: fractions of the notional. spread_ticks: half of the spread around the price.
    """

    venue_id: str
    tick_size: Decimal
    qty_step: Decimal
    contract_size: Decimal = Decimal(1)
    initial_margin: Decimal = Decimal("0.02")
    maintenance_margin: Decimal = Decimal("0.01")
    liquidity: Decimal | None = None
    spread_ticks: int = 1

    def on_tick(self, price: Decimal) -> bool:
        return price > 0 and price % self.tick_size == 0

    def on_step(self, qty: Decimal) -> bool:
        return qty > 0 and qty % self.qty_step == 0

    def step_down(self, qty: Decimal) -> Decimal:
        return (qty / self.qty_step).quantize(Decimal(1), rounding=ROUND_DOWN) * self.qty_step

    def margin_quote(self, qty: Decimal, price: Decimal) -> Decimal:
        return abs(qty) * price * self.contract_size * self.initial_margin


@dataclass(frozen=True, slots=True)
class Quote:
    """What the market shows now. bid <= last <= ask is not required: venues do show worse."""

    bid: Decimal
    ask: Decimal
    last: Decimal
    mark: Decimal
    index: Decimal

    @classmethod
    def around(cls, price: Decimal, contract: Contract) -> Quote:
        """A quote whose last, mark and index are `price`, half a spread from both sides of the book."""
        half = contract.tick_size * contract.spread_ticks
        return cls(max(price - half, contract.tick_size), price + half, price, price, price)


class OrderKind(StrEnum):
    """Kraken's own words for orderType."""

    LIMIT = "lmt"
    POST = "post"
    IOC = "ioc"
    MARKET = "mkt"
    STOP = "stp"
    TAKE_PROFIT = "take_profit"

    @property
    def is_conditional(self) -> bool:
        return self in (OrderKind.STOP, OrderKind.TAKE_PROFIT)


class Signal(StrEnum):
    """The price that a conditional order watches."""

    MARK = "mark"
    LAST = "last"
    INDEX = "index"


class OrderStatus(StrEnum):
    UNTOUCHED = "untouched"
    PARTIALLY_FILLED = "partiallyFilled"
    FILLED = "filled"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class NewOrder:
    """A request as the venue understood it. expires_at is processBefore.

    first_fill_fraction: a fault; the first execution takes only this share of the quantity.
    """

    venue_id: str
    side: OrderSide
    kind: OrderKind
    qty: Decimal
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    signal: Signal = Signal.LAST
    reduce_only: bool = False
    client_order_id: str | None = None
    expires_at: datetime | None = None
    first_fill_fraction: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """reduced_qty: what a reduce-only order lost because the position was smaller; qty is what is left of the wish."""

    order_id: str
    client_order_id: str | None
    venue_id: str
    side: OrderSide
    kind: OrderKind
    qty: Decimal
    limit_price: Decimal | None
    stop_price: Decimal | None
    signal: Signal
    reduce_only: bool
    placed_at: datetime
    updated_at: datetime
    filled: Decimal = ZERO
    status: OrderStatus = OrderStatus.UNTOUCHED
    triggered: bool = False
    reduced_qty: Decimal = ZERO
    first_fill_fraction: Decimal | None = None

    @property
    def remaining(self) -> Decimal:
        return self.qty - self.filled

    @property
    def is_open(self) -> bool:
        return self.status in (OrderStatus.UNTOUCHED, OrderStatus.PARTIALLY_FILLED)

    @property
    def is_waiting(self) -> bool:
        """A conditional order whose price has not come yet: not in the book."""
        return self.is_open and self.kind.is_conditional and not self.triggered

    @property
    def is_resting(self) -> bool:
        return self.is_open and not self.is_waiting

    @property
    def rests(self) -> bool:
        """Whether what does not execute at once stays in the book."""
        if self.kind.is_conditional:
            return self.limit_price is not None
        return self.kind in (OrderKind.LIMIT, OrderKind.POST)


@dataclass(frozen=True, slots=True)
class Execution:
    """fee in quote currency, positive when paid. order: as it was before this execution."""

    fill_id: str
    order: Order
    qty: Decimal
    price: Decimal
    mark_price: Decimal
    fee: Decimal
    is_maker: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """One line of the account's history; `order` is the state after it, `before` the one it replaced.

    kind: placed, updated, executed, activated, cancelled, rejected.
    """

    uid: str
    at: datetime
    kind: str
    order: Order
    reason: str
    before: Order | None = None
    execution: Execution | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """qty is signed: positive for long. entry_price is the average of what built it."""

    venue_id: str
    qty: Decimal
    entry_price: Decimal
    opened_at: datetime
    filled_at: datetime


@dataclass(slots=True)
class Episode:
    """One position from flat to flat, and how long it stood without a live reduce-only stop of at least its size."""

    venue_id: str
    side: str
    opened_at: datetime
    closed_at: datetime | None = None
    naked_since: datetime | None = None
    naked: timedelta = timedelta()
    longest_naked: timedelta = timedelta()

    def note(self, *, protected: bool, now: datetime) -> None:
        """Called at each change; the time between two changes belongs to the state before the second."""
        if not protected:
            self.naked_since = self.naked_since or now
        elif self.naked_since is not None:
            span = now - self.naked_since
            self.naked, self.longest_naked = self.naked + span, max(self.longest_naked, span)
            self.naked_since = None

    def naked_seconds(self, now: datetime) -> tuple[float, float]:
        """(all, longest) naked seconds up to `now`, a stretch that still runs included."""
        running = now - self.naked_since if self.naked_since is not None else timedelta()
        return (self.naked + running).total_seconds(), max(self.longest_naked, running).total_seconds()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The venue's word for what became of a request, and the events that it caused.

    status is Kraken's: placed, edited, cancelled, or the reason of the refusal. order is None where none is concerned.
    """

    status: str
    order: Order | None = None
    events: tuple[OrderEvent, ...] = ()

    @property
    def accepted(self) -> bool:
        return self.status in ("placed", "edited", "cancelled")

"""The words of the trade as values: frozen, Decimal, aware UTC. Nothing here decides or waits. [P]

Quantities are contracts of the venue, prices are quote currency per base unit, unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_UP, Decimal
from enum import StrEnum


class OrderSide(StrEnum):
    BUY = "buy"
    SELL = "sell"


class Side(StrEnum):
    """The direction of a position."""

    LONG = "long"
    SHORT = "short"

    @property
    def sign(self) -> int:
        return 1 if self is Side.LONG else -1

    @property
    def entry(self) -> OrderSide:
        return OrderSide.BUY if self is Side.LONG else OrderSide.SELL

    @property
    def exit(self) -> OrderSide:
        return OrderSide.SELL if self is Side.LONG else OrderSide.BUY

    def tightest(self, stops: Iterable[Decimal]) -> Decimal:
        """Of some stop prices the one nearest to profit."""
        return max(stops) if self is Side.LONG else min(stops)


class Leg(StrEnum):
    """The part an order plays in its position; the last letter group of its client order id."""

    ENTRY = "e"
    STOP = "s"
    TARGET = "t"
    EXIT = "x"


class OrderType(StrEnum):
    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"  # a market order triggered by the mark price


@dataclass(frozen=True, slots=True)
class MarginLevel:
    """Margin of a position from this notional (quote) on, as shares of it: to open, and to escape liquidation."""

    from_notional_quote: Decimal
    initial: Decimal
    maintenance: Decimal


@dataclass(frozen=True, slots=True)
class Instrument:
    """What the venue allows for one symbol.

    symbol: ccxt's unified name ("BTC/USD:USD"); venue_id: the venue's own ("PF_XBTUSD").
    contract_size: base units of one contract. tick_size: quote. qty_step, min_qty: contracts.
    margin_levels: smallest notional first; () where the venue does not tell.
    """

    symbol: str
    venue_id: str
    tick_size: Decimal
    qty_step: Decimal
    min_qty: Decimal
    contract_size: Decimal = Decimal(1)
    max_leverage: Decimal = Decimal(1)
    margin_levels: tuple[MarginLevel, ...] = ()

    def margin_at(self, notional_quote: Decimal) -> MarginLevel:
        """The level of a position of this notional. Untold, maintenance is taken for as much as the initial margin."""
        reached = [level for level in self.margin_levels if level.from_notional_quote <= notional_quote]
        share = 1 / self.max_leverage
        return reached[-1] if reached else MarginLevel(Decimal(0), share, share)

    def round_price(self, price: Decimal, rounding: str = ROUND_HALF_EVEN) -> Decimal:
        return (price / self.tick_size).quantize(Decimal(1), rounding=rounding) * self.tick_size

    def round_stop(self, price: Decimal, side: Side) -> Decimal:
        """Round a protective trigger toward the market, so that rounding never widens the loss."""
        return self.round_price(price, ROUND_UP if side is Side.LONG else ROUND_DOWN)

    def round_qty_down(self, qty: Decimal) -> Decimal:
        return (qty / self.qty_step).quantize(Decimal(1), rounding=ROUND_DOWN) * self.qty_step

    def notional_quote(self, qty: Decimal, price: Decimal) -> Decimal:
        return qty * self.contract_size * price


@dataclass(frozen=True, slots=True)
class Candle:
    """One closed bar. opened_at is aware UTC; a candle speaks about [opened_at, closed_at)."""

    symbol: str
    timeframe: timedelta
    opened_at: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal

    @property
    def closed_at(self) -> datetime:
        return self.opened_at + self.timeframe


@dataclass(frozen=True, slots=True)
class Signal:
    """An opinion with reasons, no size. known_at: the close (UTC) of the candle that made it knowable."""

    symbol: str
    side: Side
    entry_price: Decimal
    stop_price: Decimal
    targets: tuple[Decimal, ...]
    known_at: datetime
    expires_at: datetime
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Target:
    price: Decimal
    qty: Decimal


@dataclass(frozen=True, slots=True)
class TrailStep:
    """Once the mark has been from_r beyond the entry, the stop follows its peak at distance_r.

    One R: the distance from the average entry to the initial stop.
    """

    from_r: Decimal
    distance_r: Decimal

    def __str__(self) -> str:
        return f"{self.from_r}:{self.distance_r}"


@dataclass(frozen=True, slots=True)
class Intent:
    """A sized, approved wish. position_id is the root under which every order of the position hangs.

    entry_price None means a market entry. risk_quote: the loss in quote currency if the stop fills
    at its price, fees left out: R.
    """

    position_id: str
    symbol: str
    side: Side
    qty: Decimal
    entry_price: Decimal | None
    stop_price: Decimal
    targets: tuple[Target, ...]
    risk_quote: Decimal
    decided_at: datetime
    expires_at: datetime
    reasons: tuple[str, ...]
    contract_size: Decimal = Decimal(1)


@dataclass(frozen=True, slots=True)
class Denied:
    """Refused by us, before anything was sent. A limit denies with its numbers: measured against limit, in unit."""

    symbol: str
    code: str
    reason: str
    measured: Decimal | None = None
    limit: Decimal | None = None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class OrderSpec:
    """One order as we ask for it. client_order_id: ps-<scope hash>-<epoch base36>-<seq base36>-<leg> (SPEC 8)."""

    client_order_id: str
    position_id: str
    symbol: str
    side: OrderSide
    leg: Leg
    type: OrderType
    qty: Decimal
    limit_price: Decimal | None = None
    trigger_price: Decimal | None = None
    reduce_only: bool = False


# --- what the venue says -----------------------------------------------------------------------------------------


class VenueOrderStatus(StrEnum):
    """OPEN includes triggered and partly filled orders; UNKNOWN is a word we have no row for: alive, and alarming."""

    OPEN = "open"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """The venue's object as read back; never fabricated."""

    venue_order_id: str
    client_order_id: str | None
    symbol: str
    side: OrderSide
    type: OrderType
    qty: Decimal
    filled_qty: Decimal
    status: VenueOrderStatus
    reduce_only: bool
    limit_price: Decimal | None = None
    trigger_price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Fill:
    """client_order_id is None where the venue's fill record lacks it: join through venue_order_id."""

    fill_id: str
    venue_order_id: str
    client_order_id: str | None
    symbol: str
    side: OrderSide
    qty: Decimal
    price: Decimal
    fee_quote: Decimal
    filled_at: datetime


@dataclass(frozen=True, slots=True)
class VenuePosition:
    symbol: str
    side: Side
    qty: Decimal
    entry_price: Decimal


@dataclass(frozen=True, slots=True)
class Account:
    """equity_quote includes open profit and loss; available_quote is what new margin may use."""

    equity_quote: Decimal
    available_quote: Decimal
    read_at: datetime

    @property
    def used_quote(self) -> Decimal:
        """What no new margin may use: margin of positions and resting orders, and what collateral is discounted."""
        return self.equity_quote - self.available_quote


@dataclass(frozen=True, slots=True)
class Ticker:
    """read_at: our clock when it was read; quoted_at: the venue's clock when it answered, where it tells.

    funding_rate_hourly: share of the notional that longs pay shorts each hour; None where the venue does not tell.
    """

    symbol: str
    mark_price: Decimal
    bid_price: Decimal
    ask_price: Decimal
    read_at: datetime
    quoted_at: datetime | None = None
    funding_rate_hourly: Decimal | None = None
    suspended: bool = False


# --- what became of something we asked for ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Accepted:
    """The venue has it. venue_order_id is None only for a cancel."""

    venue_order_id: str | None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The venue, or we before the wire, refused: it certainly does not exist."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody here can tell whether the venue acted. Blocks new risk until evidence decides.

    unlisted: what the venue said, where its outcome table has no row for it: a person adds one.
    """

    reason: str
    unlisted: str | None = None


@dataclass(frozen=True, slots=True)
class Gone:
    """A cancel found nothing to cancel: filled, cancelled before, or never there. Only reading tells which."""

    reason: str


SubmitOutcome = Accepted | Rejected | Unknown
CancelOutcome = Accepted | Gone | Rejected | Unknown

"""The words of the trade as values: frozen, Decimal, aware UTC. Nothing here decides or waits. [P]

Quantities are contracts of the venue, prices are quote currency per base unit, unless a name says otherwise.
"""

from __future__ import annotations

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
class Instrument:
    """What the venue allows for one symbol.

    symbol: ccxt's unified name ("BTC/USD:USD"); venue_id: the venue's own ("PF_XBTUSD").
    contract_size: base units of one contract. tick_size: quote. qty_step, min_qty: contracts.
    """

    symbol: str
    venue_id: str
    tick_size: Decimal
    qty_step: Decimal
    min_qty: Decimal
    contract_size: Decimal = Decimal(1)
    max_leverage: Decimal = Decimal(1)

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
class Intent:
    """A sized, approved wish. position_id is the root under which every order of the position hangs.

    entry_price None means a market entry. risk_quote: the loss in quote currency if the stop fills at its price.
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
    """Refused by us, before anything was sent."""

    symbol: str
    code: str
    reason: str


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


@dataclass(frozen=True, slots=True)
class Ticker:
    symbol: str
    mark_price: Decimal
    bid_price: Decimal
    ask_price: Decimal
    read_at: datetime


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
    """Nobody here can tell whether the venue acted. Blocks new risk until evidence decides."""

    reason: str


@dataclass(frozen=True, slots=True)
class Gone:
    """A cancel found nothing to cancel: filled, cancelled before, or never there. Only reading tells which."""

    reason: str


SubmitOutcome = Accepted | Rejected | Unknown
CancelOutcome = Accepted | Gone | Rejected | Unknown

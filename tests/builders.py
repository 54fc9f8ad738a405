"""Builders with defaults, so that each test shows only what matters to it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from live.events import (
    EquityObserved,
    Event,
    Filled,
    IntentApproved,
    OrderAccepted,
    OrderIntended,
)
from live.model import (
    Account,
    Fill,
    Instrument,
    Intent,
    Leg,
    OrderSide,
    OrderSpec,
    OrderType,
    Side,
    Signal,
    Target,
    Ticker,
    VenueOrder,
    VenueOrderStatus,
    VenuePosition,
)

T0 = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
BTC = "BTC/USD:USD"


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def d(text: str | int) -> Decimal:
    return Decimal(text)


def instrument(**changes: object) -> Instrument:
    base = Instrument(
        symbol=BTC, venue_id="PF_XBTUSD", tick_size=d("1"), qty_step=d("0.01"), min_qty=d("0.01"), max_leverage=d(50)
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def intent(**changes: object) -> Intent:
    base = Intent(
        position_id="ps-abc-1-1",
        symbol=BTC,
        side=Side.LONG,
        qty=d("1"),
        entry_price=d(100),
        stop_price=d(90),
        targets=(Target(d(110), d("0.4")), Target(d(120), d("0.4")), Target(d(130), d("0.2"))),
        risk_quote=d(10),
        decided_at=T0,
        expires_at=at(3600),
        reasons=("because",),
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def approved(**changes: object) -> IntentApproved:
    return IntentApproved(at=T0, intent=intent(**changes))


def spec(leg: Leg = Leg.ENTRY, seq: int = 1, **changes: object) -> OrderSpec:
    entry = leg is Leg.ENTRY
    base = OrderSpec(
        client_order_id=f"ps-abc-1-{seq}-{leg.value}",
        position_id="ps-abc-1-1",
        symbol=BTC,
        side=OrderSide.BUY if entry else OrderSide.SELL,
        leg=leg,
        type={Leg.ENTRY: OrderType.LIMIT, Leg.TARGET: OrderType.LIMIT, Leg.STOP: OrderType.STOP}.get(
            leg, OrderType.MARKET
        ),
        qty=d("1"),
        limit_price=d(100) if entry else None,
        trigger_price=d(90) if leg is Leg.STOP else None,
        reduce_only=not entry,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def intended(order: OrderSpec, seconds: float = 0) -> OrderIntended:
    return OrderIntended(at=at(seconds), spec=order, expires_at=at(seconds + 2))


def accepted(order: OrderSpec, seconds: float = 0.1) -> OrderAccepted:
    return OrderAccepted(
        at=at(seconds), client_order_id=order.client_order_id, venue_order_id=f"v-{order.client_order_id}"
    )


def fill(order: OrderSpec, qty: str = "1", price: str = "100", seconds: float = 1, fill_id: str = "") -> Fill:
    return Fill(
        fill_id=fill_id or f"f-{order.client_order_id}-{seconds}",
        venue_order_id=f"v-{order.client_order_id}",
        client_order_id=None,
        symbol=order.symbol,
        side=order.side,
        qty=d(qty),
        price=d(price),
        fee_quote=d(0),
        filled_at=at(seconds),
    )


def filled(order: OrderSpec, qty: str = "1", price: str = "100", seconds: float = 1, fill_id: str = "") -> Filled:
    return Filled(at=at(seconds), client_order_id=order.client_order_id, fill=fill(order, qty, price, seconds, fill_id))


def live(order: OrderSpec, seconds: float = 0) -> list[Event]:
    """An order written down and accepted."""
    return [intended(order, seconds), accepted(order, seconds + 0.1)]


def equity(quote: str = "10000", seconds: float = 0) -> EquityObserved:
    return EquityObserved(at=at(seconds), equity_quote=d(quote))


def signal(**changes: object) -> Signal:
    base = Signal(
        symbol=BTC,
        side=Side.LONG,
        entry_price=d(1000),
        stop_price=d(990),
        targets=(d(1010), d(1020), d(1030)),
        known_at=T0,
        expires_at=at(3600),
        reasons=("sweep", "choch"),
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def account(equity_quote: str = "10000", available_quote: str = "10000") -> Account:
    return Account(d(equity_quote), d(available_quote), T0)


def ticker(mark: str = "1000", symbol: str = BTC) -> Ticker:
    return Ticker(symbol, d(mark), d(mark), d(mark), T0)


def venue_order(order: OrderSpec, **changes: object) -> VenueOrder:
    base = VenueOrder(
        venue_order_id=f"v-{order.client_order_id}",
        client_order_id=order.client_order_id,
        symbol=order.symbol,
        side=order.side,
        type=order.type,
        qty=order.qty,
        filled_qty=d(0),
        status=VenueOrderStatus.OPEN,
        reduce_only=order.reduce_only,
        limit_price=order.limit_price,
        trigger_price=order.trigger_price,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def venue_position(qty: str = "1", side: Side = Side.LONG, price: str = "100", symbol: str = BTC) -> VenuePosition:
    return VenuePosition(symbol, side, d(qty), d(price))

"""The paper venue answers like a venue: same outcomes, same reads, no key and no wire."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from live.model import (
    Accepted,
    Candle,
    Gone,
    Instrument,
    Leg,
    OrderSide,
    OrderSpec,
    OrderType,
    Rejected,
    Side,
    Ticker,
    Unknown,
    VenueOrderStatus,
)
from live.paper import PaperVenue, ScenarioMarket
from live.simulator.scenarios import make_scenario
from live.venue import Venue
from prodsafe.errors import LeaseLost, RefusalKind, VenueUnreadable

BTC = "BTC/USD:USD"
BEGAN_AT = datetime(2026, 1, 1, 12, tzinfo=UTC)


class HandClock:
    def __init__(self) -> None:
        self.at = BEGAN_AT

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class HandMarket:
    """One contract whose price a test sets; None makes the market unreadable."""

    def __init__(self, price: int | None = 60000) -> None:
        self.price = price

    async def instruments(self) -> dict[str, Instrument]:
        step = Decimal("0.0001")
        return {BTC: Instrument(BTC, "PF_XBTUSD", Decimal(1), step, step, max_leverage=Decimal(50))}

    async def candles(self, symbol: str, timeframe: timedelta, *, since: datetime) -> list[Candle]:
        return []

    async def tickers(self, symbols: Sequence[str]) -> dict[str, Ticker]:
        if self.price is None:
            kind = RefusalKind("T01", "test-market-is-dark")
            raise VenueUnreadable(kind.because("no price", mend="wait"))
        price = Decimal(self.price)
        return {symbol: Ticker(symbol, price, price - 1, price + 1, BEGAN_AT) for symbol in symbols}

    async def close(self) -> None:
        return None


class Desk:
    """A paper venue, its market and its clock."""

    def __init__(self) -> None:
        self.clock, self.market = HandClock(), HandMarket()
        self.venue: Venue = PaperVenue(self.market, clock=self.clock)
        self._seq = 0

    def spec(self, side: OrderSide, leg: Leg, kind: OrderType = OrderType.MARKET, **rest: object) -> OrderSpec:
        self._seq += 1
        values: dict[str, object] = {"qty": Decimal("0.01"), "reduce_only": leg is not Leg.ENTRY, **rest}
        return OrderSpec(f"ps-1f-1-{self._seq}-{leg}", "ps-1f-1-1", BTC, side, leg, kind, **values)  # type: ignore[arg-type]

    async def submit(self, spec: OrderSpec, **rest: object):
        values = {"expires_at": self.clock.now() + timedelta(seconds=2), "permit": lambda: None, **rest}
        return await self.venue.submit(spec, **values)  # type: ignore[arg-type]

    async def enter(self) -> OrderSpec:
        spec = self.spec(OrderSide.BUY, Leg.ENTRY)
        assert isinstance(await self.submit(spec), Accepted)
        return spec


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_position_is_entered_protected_and_stopped_out(desk: Desk):
    entry = await desk.enter()
    stop = desk.spec(OrderSide.SELL, Leg.STOP, OrderType.STOP, trigger_price=Decimal(59000))
    assert isinstance(await desk.submit(stop), Accepted)
    (position,) = await desk.venue.positions()
    assert (position.side, position.qty, position.entry_price) == (Side.LONG, Decimal("0.01"), Decimal(60001))
    (waiting,) = await desk.venue.open_orders()
    assert (waiting.client_order_id, waiting.type, waiting.reduce_only) == (stop.client_order_id, OrderType.STOP, True)

    desk.market.price = 58000

    assert await desk.venue.positions() == []
    fills = await desk.venue.fills(since=BEGAN_AT)
    assert [fill.client_order_id for fill in fills] == [entry.client_order_id, stop.client_order_id]
    found = await desk.venue.find_orders([entry, stop, desk.spec(OrderSide.BUY, Leg.ENTRY)], since=BEGAN_AT)
    assert {order.status for order in found.values()} == {VenueOrderStatus.FILLED}
    assert found.keys() == {entry.client_order_id, stop.client_order_id}
    account = await desk.venue.account()
    assert account.equity_quote == Decimal(10000) + Decimal("0.01") * (57999 - 60001) - sum(
        (fill.fee_quote for fill in fills), Decimal(0)
    )


async def test_request_that_comes_too_late_is_rejected(desk: Desk):
    outcome = await desk.submit(desk.spec(OrderSide.BUY, Leg.ENTRY), expires_at=BEGAN_AT - timedelta(seconds=1))

    assert outcome == Rejected("wouldProcessAfterSpecifiedTime", "refused by the paper venue")


async def test_a_client_order_id_that_the_venue_has_is_looked_up_and_makes_no_second_order(desk: Desk):
    entry = await desk.enter()
    before = await desk.venue.positions()

    outcome = await desk.submit(entry)

    assert isinstance(outcome, Unknown) and "duplicate client order id" in outcome.reason
    assert await desk.venue.positions() == before


async def test_lost_permit_sends_nothing(desk: Desk):
    def lost() -> None:
        raise LeaseLost(RefusalKind("T02", "test-lease-lost").because("gone", mend="stop"))

    with pytest.raises(LeaseLost):
        await desk.submit(desk.spec(OrderSide.BUY, Leg.ENTRY), permit=lost)

    assert await desk.venue.positions() == []


async def test_cancel_tells_filled_from_not_found(desk: Desk):
    filled = await desk.enter()
    resting = desk.spec(OrderSide.SELL, Leg.TARGET, OrderType.LIMIT, limit_price=Decimal(61000))
    placed = await desk.submit(resting)
    assert isinstance(placed, Accepted)

    def cancel(spec: OrderSpec, venue_order_id: str | None = None):
        return desk.venue.cancel(spec, venue_order_id, permit=lambda: None)

    assert await cancel(filled) == Gone("filled")
    assert await cancel(resting, placed.venue_order_id) == Accepted(placed.venue_order_id)
    assert await cancel(resting) == Gone("notFound")
    assert await cancel(desk.spec(OrderSide.BUY, Leg.ENTRY)) == Gone("notFound")


async def test_dark_market_is_unreadable_and_never_flat(desk: Desk):
    """W3."""
    await desk.enter()
    desk.market.price = None

    for read in (desk.venue.positions, desk.venue.open_orders, desk.venue.account):
        with pytest.raises(VenueUnreadable):
            await read()


async def test_clock_that_goes_back_does_no_harm(desk: Desk):
    await desk.enter()
    desk.clock.at -= timedelta(seconds=30)

    assert len(await desk.venue.positions()) == 1


async def test_readers_that_come_at_once_see_one_venue(desk: Desk):
    await asyncio.gather(*(desk.venue.positions() for _ in range(3)), desk.submit(desk.spec(OrderSide.BUY, Leg.ENTRY)))

    assert len(await desk.venue.positions()) == 1


async def test_scenario_market_feeds_prices_and_candles_that_agree():
    clock = HandClock()
    market = ScenarioMarket(make_scenario("walk", seed=1, began_at=BEGAN_AT), clock=clock)
    venue = PaperVenue(market, clock=clock)
    clock.at += timedelta(minutes=7)

    instruments = await venue.instruments()
    tickers = await venue.tickers(list(instruments))
    rows = await venue.candles(BTC, timedelta(minutes=5), since=BEGAN_AT - timedelta(hours=1))

    assert instruments[BTC].venue_id == "PF_XBTUSD"
    assert tickers[BTC].bid_price < tickers[BTC].mark_price < tickers[BTC].ask_price
    assert len(rows) == 14
    assert rows[-1].close == tickers[BTC].mark_price

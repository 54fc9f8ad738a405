"""The door to the exchange: real ccxt over real HTTP, against the simulated venue and against a server that lies."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web

from live.clock import SystemClock
from live.limiter import Budget, Lane, Limiter, Pool, Quota
from live.model import (
    Accepted,
    Gone,
    Leg,
    OrderSide,
    OrderSpec,
    OrderType,
    Rejected,
    Side,
    Unknown,
    VenueOrderStatus,
)
from live.outcome import NoReply
from live.simulator import DEMO_API_KEY, DEMO_API_SECRET
from live.simulator.__main__ import demo_customer
from live.simulator.faults import load_schedule
from live.simulator.kraken_futures import RateLimit
from live.simulator.scenarios import make_scenario
from live.simulator.server import SimulatorServer, TrueClock
from live.simulator.world import World
from live.venue import CcxtVenue, KrakenFuturesVenue, open_venue
from live.wire import NotSent, open_wire
from prodsafe.errors import ExitCode, GateRefused, LeaseLost, RefusalKind, VenueUnreadable

BTC = "BTC/USD:USD"
GENEROUS = Budget(per_second=1e6, burst=1e6, reserved=0)
LOST = RefusalKind("L99", "lease-lost-in-a-test", ExitCode.LEASE_LOST)


def yes() -> None:
    """A permit that is given."""


def no() -> None:
    raise LeaseLost(LOST.because("the lease ended", mend="none"))


def soon(seconds: float = 2.0) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def long_ago() -> datetime:
    return datetime.now(UTC) - timedelta(minutes=5)


def order(number: int = 1, leg: Leg = Leg.ENTRY, **changes: Any) -> OrderSpec:
    """A market entry of 0.01 BTC, unless told otherwise."""
    made = OrderSpec(
        client_order_id=f"ps-t-1-{number}-{leg.value}",
        position_id=f"ps-t-1-{number}",
        symbol=BTC,
        side=OrderSide.BUY,
        leg=leg,
        type=OrderType.MARKET,
        qty=Decimal("0.01"),
    )
    return replace(made, **changes)


def stop(number: int, trigger_price: Decimal, **changes: Any) -> OrderSpec:
    return order(
        number,
        Leg.STOP,
        **{
            "side": OrderSide.SELL,
            "type": OrderType.STOP,
            "trigger_price": trigger_price,
            "reduce_only": True,
            **changes,
        },
    )


def resting(number: int, **changes: Any) -> OrderSpec:
    """A buy far below the market."""
    return order(number, type=OrderType.LIMIT, limit_price=Decimal(1000), **changes)


def door(url: str, **options: Any) -> KrakenFuturesVenue:
    venue = open_venue("krakenfutures", api_key=DEMO_API_KEY, api_secret=DEMO_API_SECRET, url=url, **options)
    assert isinstance(venue, KrakenFuturesVenue)
    return venue


@contextmanager
def watched_signing(venue: KrakenFuturesVenue) -> Iterator[list[str]]:
    """The client order ids that are signed inside the block."""
    signed: list[str] = []
    sign = venue._sign

    async def noted(spec: OrderSpec, expires_at: datetime) -> Any:
        signed.append(spec.client_order_id)
        return await sign(spec, expires_at)

    venue._sign = noted  # type: ignore[method-assign]
    yield signed


# --- against the simulated venue ------------------------------------------------------------------------------------


@dataclass
class Simulated:
    world: World
    venue: KrakenFuturesVenue
    server: SimulatorServer

    def faults(self, *rules: dict[str, Any]) -> None:
        self.world.set_faults(load_schedule(json.dumps({"rules": list(rules)}), seed=1), self.server.clock.now())

    def sent(self, endpoint: str) -> list[Any]:
        return [request for request in self.world.ledger.requests if request.endpoint == endpoint]

    async def price(self) -> Decimal:
        return (await self.venue.tickers([BTC]))[BTC].mark_price


@pytest.fixture
async def simulated() -> AsyncIterator[Simulated]:
    clock = TrueClock()
    scenario = make_scenario("default", seed=1, began_at=clock.began_at)
    world = World(scenario, [demo_customer()], began_at=clock.began_at, seed=1)
    server = SimulatorServer(world, clock)
    venue = door(await server.start())
    yield Simulated(world, venue, server)
    await venue.close()
    await server.stop()


async def test_instruments_and_prices_are_read_through_ccxt(simulated: Simulated) -> None:
    instruments = await simulated.venue.instruments()
    tickers = await simulated.venue.tickers(list(instruments))

    assert instruments[BTC].venue_id == "PF_XBTUSD"
    assert tickers[BTC].bid_price <= tickers[BTC].mark_price <= tickers[BTC].ask_price


async def test_candles_come_in_order_from_the_asked_time(simulated: Simulated) -> None:
    since = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=2)

    candles = await simulated.venue.candles(BTC, timedelta(minutes=15), since=since)

    opened = [candle.opened_at for candle in candles]
    assert opened[0] == since
    assert opened == [since + number * timedelta(minutes=15) for number in range(len(opened))]
    assert candles[-1].closed_at > datetime.now(UTC) - timedelta(minutes=15)


async def test_candles_are_paged_over_more_than_the_venue_gives_at_once(simulated: Simulated) -> None:
    since = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=4500)

    candles = await simulated.venue.candles(BTC, timedelta(minutes=1), since=since)

    assert len(candles) in {4500, 4501}
    assert len({candle.opened_at for candle in candles}) == len(candles)


async def test_a_timeframe_that_the_venue_lacks_is_refused(simulated: Simulated) -> None:
    with pytest.raises(GateRefused, match="V07"):
        await simulated.venue.candles(BTC, timedelta(minutes=7), since=long_ago())


async def test_an_entry_its_fill_its_position_and_its_stop(simulated: Simulated) -> None:
    venue, began = simulated.venue, long_ago()
    trigger = (await simulated.price() * Decimal("0.9")).quantize(Decimal(1))

    entered = await venue.submit(order(1), expires_at=soon(), permit=yes)
    protected = await venue.submit(stop(1, trigger), expires_at=soon(), permit=yes)

    assert isinstance(entered, Accepted)
    assert isinstance(protected, Accepted)
    [position] = await venue.positions()
    [fill] = await venue.fills(since=began)
    [resting_stop] = await venue.open_orders()
    assert (position.symbol, position.side, position.qty) == (BTC, Side.LONG, Decimal("0.01"))
    assert (fill.venue_order_id, fill.qty) == (entered.venue_order_id, Decimal("0.01"))
    assert (resting_stop.type, resting_stop.reduce_only, resting_stop.trigger_price) == (OrderType.STOP, True, trigger)
    assert resting_stop.limit_price is None
    assert (await venue.account()).equity_quote > 0


async def test_what_reaches_the_venue_is_what_was_asked(simulated: Simulated) -> None:
    """The stop watches the mark price, carries our expiry, and is no stop-limit."""
    expires_at = soon()
    await simulated.venue.submit(stop(3, Decimal("61000.0")), expires_at=expires_at, permit=yes)

    [request] = simulated.sent("sendorder")
    assert request.params["triggerSignal"] == "mark"
    assert request.params["orderType"] == "stp"
    assert request.params["reduceOnly"] == "true"
    assert Decimal(request.params["stopPrice"]) == 61000
    assert Decimal(request.params["size"]) == Decimal("0.01")
    assert "limitPrice" not in request.params
    assert datetime.fromisoformat(request.params["processBefore"]) <= expires_at


async def test_a_lost_lease_leaves_the_socket_dry(simulated: Simulated) -> None:
    await simulated.venue.instruments()

    for act in (
        simulated.venue.submit(order(1), expires_at=soon(), permit=no),
        simulated.venue.cancel(order(1), None, permit=no),
    ):
        with pytest.raises(LeaseLost):
            await act

    assert simulated.world.ledger.requests == []


async def test_an_order_past_its_expiry_is_not_even_sent(simulated: Simulated) -> None:
    outcome = await simulated.venue.submit(order(1), expires_at=soon(-1), permit=yes)

    assert isinstance(outcome, Rejected)
    assert outcome.code == "not-sent"
    assert simulated.world.ledger.requests == []


async def test_an_order_that_arrives_after_its_expiry_is_refused_by_the_venue(simulated: Simulated) -> None:
    simulated.faults({"kind": "late_request", "path": "sendorder", "seconds": 0.4})

    outcome = await simulated.venue.submit(order(1), expires_at=soon(0.2), permit=yes)

    assert isinstance(outcome, Rejected)
    assert outcome.code == "wouldProcessAfterSpecifiedTime"


@pytest.mark.parametrize("kind", ["lost_reply", "late_reply", "truncated"])
async def test_an_order_whose_reply_is_lost_is_unknown_and_found_later(simulated: Simulated, kind: str) -> None:
    """W29: a timeout is no rejection; the order is there, under the id it was sent with."""
    simulated.faults({"kind": kind, "path": "sendorder", "seconds": 3, "times": 1})
    spec = resting(7)

    outcome = await simulated.venue.submit(spec, expires_at=soon(), permit=yes)
    found = await simulated.venue.find_orders([spec], since=long_ago())

    assert isinstance(outcome, Unknown)
    assert found[spec.client_order_id].status is VenueOrderStatus.OPEN
    assert found[spec.client_order_id].qty == spec.qty
    assert len(simulated.sent("sendorder")) == 1


async def test_a_filled_market_order_with_a_lost_reply_is_found(simulated: Simulated) -> None:
    simulated.faults({"kind": "lost_reply", "path": "sendorder", "times": 1})

    outcome = await simulated.venue.submit(order(8), expires_at=soon(), permit=yes)
    found = await simulated.venue.find_orders([order(8)], since=long_ago())

    assert isinstance(outcome, Unknown)
    assert found["ps-t-1-8-e"].status is VenueOrderStatus.FILLED
    assert found["ps-t-1-8-e"].type is OrderType.MARKET


async def test_after_the_five_second_window_the_history_still_tells(simulated: Simulated) -> None:
    """orders/status forgets after five seconds; "not found" there does not mean "never existed"."""
    trigger = (await simulated.price() * Decimal("0.9")).quantize(Decimal(1))
    for spec in (order(9), stop(9, trigger), resting(10)):
        await simulated.venue.submit(spec, expires_at=soon(), permit=yes)
    await simulated.venue.cancel(stop(9, trigger), None, permit=yes)
    await simulated.venue.cancel(resting(10), None, permit=yes)
    simulated.faults({"kind": "set_key", "path": "*/orders/status", "key": "orders", "value": []})

    found = await simulated.venue.find_orders([order(9), stop(9, trigger), resting(10), order(99)], since=long_ago())

    assert found["ps-t-1-9-e"].status is VenueOrderStatus.FILLED
    assert found["ps-t-1-9-s"].status is VenueOrderStatus.CANCELLED
    assert found["ps-t-1-9-s"].type is OrderType.STOP
    assert found["ps-t-1-10-e"].status is VenueOrderStatus.CANCELLED
    assert "ps-t-1-99-e" not in found


async def test_a_request_that_never_arrived_is_found_nowhere(simulated: Simulated) -> None:
    simulated.faults({"kind": "lost_request", "path": "sendorder", "times": 1})

    outcome = await simulated.venue.submit(order(11), expires_at=soon(), permit=yes)

    assert isinstance(outcome, Unknown)
    assert await simulated.venue.find_orders([order(11)], since=long_ago()) == {}
    assert len(simulated.sent("sendorder")) == 0


async def test_a_second_submit_of_one_id_is_unknown_and_does_not_trade_twice(simulated: Simulated) -> None:
    await simulated.venue.submit(resting(12), expires_at=soon(), permit=yes)

    outcome = await simulated.venue.submit(resting(12), expires_at=soon(), permit=yes)

    assert isinstance(outcome, Unknown)
    assert "duplicate" in outcome.reason
    assert len(await simulated.venue.open_orders()) == 1


async def test_cancels_by_either_id_and_of_what_is_gone(simulated: Simulated) -> None:
    """Trap 4.3.7."""
    venue = simulated.venue
    first = await venue.submit(resting(13), expires_at=soon(), permit=yes)
    await venue.submit(resting(14), expires_at=soon(), permit=yes)
    filled = await venue.submit(order(15), expires_at=soon(), permit=yes)
    assert isinstance(first, Accepted)
    assert isinstance(filled, Accepted)

    assert isinstance(await venue.cancel(resting(13), first.venue_order_id, permit=yes), Accepted)
    assert isinstance(await venue.cancel(resting(14), None, permit=yes), Accepted)
    assert await venue.cancel(order(15), filled.venue_order_id, permit=yes) in (Gone("filled"), Gone("notFound"))
    assert await venue.cancel(order(16), None, permit=yes) == Gone("notFound")
    assert await venue.open_orders() == []


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        (order(20, qty=Decimal(100000)), "insufficientAvailableFunds"),
        (order(21, side=OrderSide.SELL, leg=Leg.EXIT, reduce_only=True), "wouldNotReducePosition"),
    ],
)
async def test_the_venues_refusals_come_back_by_name(simulated: Simulated, spec: OrderSpec, code: str) -> None:
    outcome = await simulated.venue.submit(spec, expires_at=soon(), permit=yes)

    assert isinstance(outcome, Rejected)
    assert outcome.code == code


@pytest.mark.parametrize(
    "spec",
    [
        order(30, qty=Decimal("0.012345678")),  # ccxt cuts it to the step
        order(31, qty=Decimal("0.00000001")),  # ccxt refuses it
        order(32, type=OrderType.LIMIT, limit_price=Decimal("1000.123456")),  # ccxt rounds it to the tick
        stop(33, Decimal("1000.123456")),
        order(34, symbol="NOT/USD:USD"),
        order(35, type=OrderType.LIMIT),  # no price
        order(36, limit_price=Decimal(1)),  # a market order with a price
        stop(37, Decimal(1000), limit_price=Decimal(999)),  # a stop-limit is no protection
        order(38, qty=Decimal("-1")),
        order(39, qty=Decimal("NaN")),
    ],
)
async def test_what_ccxt_would_change_or_refuse_is_never_sent(simulated: Simulated, spec: OrderSpec) -> None:
    """Traps 4.3.8 to 4.3.10: rounding, dropping and passing through happen silently there."""
    outcome = await simulated.venue.submit(spec, expires_at=soon(), permit=yes)

    assert isinstance(outcome, Rejected)
    assert outcome.code == "local"
    assert simulated.world.ledger.requests == []


async def test_all_fills_are_read_when_they_need_several_pages(simulated: Simulated) -> None:
    venue = door(simulated.server.url, budget=GENEROUS)
    for number in range(130):
        side = OrderSide.BUY if number % 2 == 0 else OrderSide.SELL
        await venue.submit(order(100 + number, side=side), expires_at=soon(), permit=yes)

    fills = await venue.fills(since=long_ago())
    await venue.close()

    assert len(fills) == len({fill.fill_id for fill in fills}) == 130
    assert [fill.filled_at for fill in fills] == sorted(fill.filled_at for fill in fills)


async def test_the_venues_clock_is_measured_from_its_replies(simulated: Simulated) -> None:
    simulated.world.clock.offset = timedelta(seconds=3)

    await simulated.venue.open_orders()

    assert simulated.venue.clock_offset_seconds == pytest.approx(3.0, abs=0.2)


@pytest.mark.parametrize(
    ("path", "key", "read"),
    [
        ("openorders", "openOrders", lambda venue: venue.open_orders()),
        ("openpositions", "openPositions", lambda venue: venue.positions()),
        ("fills", "fills", lambda venue: venue.fills(since=long_ago())),
        ("accounts", "accounts", lambda venue: venue.account()),
        ("tickers", "tickers", lambda venue: venue.tickers([BTC])),
        ("instruments", "instruments", lambda venue: venue.instruments()),
        ("*/charts/*", "candles", lambda venue: venue.candles(BTC, timedelta(hours=1), since=long_ago())),
        ("*/orders/status", "orders", lambda venue: venue.find_orders([order(50)], since=long_ago())),
        ("*/history/*/orders", "elements", lambda venue: venue.find_orders([order(50)], since=long_ago())),
        ("*/history/*/triggers", "elements", lambda venue: venue.find_orders([order(50)], since=long_ago())),
    ],
)
@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "missing_key"},
        {"kind": "set_key", "value": None},
        {"kind": "set_key", "value": "none"},
        {"kind": "set_key", "value": [None]},
        {"kind": "result_error", "error": "Server Error"},
        {"kind": "html", "status": 200},
        {"kind": "http_status", "status": 503},
        {"kind": "truncated"},
        {"kind": "reset"},
        {"kind": "lost_reply"},
    ],
    ids=lambda fault: "-".join(str(value) for value in fault.values()),
)
async def test_a_degraded_reply_is_unreadable_and_never_empty(
    simulated: Simulated,
    path: str,
    key: str,
    read: Callable[[KrakenFuturesVenue], Awaitable[Any]],
    fault: dict[str, Any],
) -> None:
    """W3, trap 4.3.6."""
    await simulated.venue.instruments()
    needs_key = fault["kind"] in {"missing_key", "set_key"}
    simulated.faults({"path": path, **fault, **({"key": key} if needs_key else {})})

    with pytest.raises(VenueUnreadable):
        await read(simulated.venue)


async def test_a_degraded_instrument_list_does_not_take_the_place_of_a_good_one(simulated: Simulated) -> None:
    await simulated.venue.instruments()
    simulated.faults({"kind": "set_key", "path": "instruments", "key": "instruments", "value": []})

    with pytest.raises(VenueUnreadable):
        await simulated.venue.instruments()

    assert isinstance(await simulated.venue.submit(resting(60), expires_at=soon(), permit=yes), Accepted)


async def test_without_instruments_nothing_is_sent(simulated: Simulated) -> None:
    simulated.faults({"kind": "html", "status": 502, "path": "instruments"})

    outcome = await simulated.venue.submit(order(61), expires_at=soon(), permit=yes)

    assert isinstance(outcome, Rejected)
    assert outcome.code == "not-sent"


async def test_a_wrong_key_is_unreadable_for_reads_and_a_refusal_for_orders(simulated: Simulated) -> None:
    stranger = open_venue("krakenfutures", api_key="stranger", api_secret=DEMO_API_SECRET, url=simulated.server.url)

    outcome = await stranger.submit(order(70), expires_at=soon(), permit=yes)

    assert isinstance(outcome, Rejected)
    assert outcome.code == "authenticationError"
    with pytest.raises(VenueUnreadable, match="authenticationError"):
        await stranger.positions()
    await stranger.close()


async def test_calls_that_overlap_keep_their_replies_apart(simulated: Simulated) -> None:
    await simulated.venue.instruments()
    specs = [resting(200 + number, qty=Decimal(number + 1) / 1000) for number in range(5)]

    outcomes = await asyncio.gather(
        *(
            simulated.venue.submit(spec, expires_at=soon(), permit=no if index == 2 else yes)
            for index, spec in enumerate(specs)
        ),
        *(simulated.venue.positions() for _ in range(5)),
        return_exceptions=True,
    )

    assert [isinstance(outcome, Accepted) for outcome in outcomes[:5]] == [True, True, False, True, True]
    assert isinstance(outcomes[2], LeaseLost)
    by_size = {each.qty: each.venue_order_id for each in await simulated.venue.open_orders()}
    assert all(
        by_size[spec.qty] == outcome.venue_order_id
        for spec, outcome in zip(specs, outcomes[:5], strict=True)
        if isinstance(outcome, Accepted)
    )


# --- budgets ----------------------------------------------------------------------------------------------------------


async def test_a_storm_of_reads_stays_within_what_the_venue_grants_and_a_stop_passes_it_by(
    simulated: Simulated,
) -> None:
    """Kraken's own limit: 500 units in 10 s. W35: no stop waits behind polls."""
    simulated.server.api.rate_limit = RateLimit(cost=500, per_seconds=10)
    await simulated.venue.submit(order(90), expires_at=soon(10), permit=yes)
    trigger = (await simulated.price() * Decimal("0.9")).quantize(Decimal(1))

    storm = [asyncio.create_task(simulated.venue.open_orders()) for _ in range(50)]
    await asyncio.sleep(0.3)
    protected = await simulated.venue.submit(stop(90, trigger), expires_at=soon(10), permit=yes)
    still_waiting = sum(not read.done() for read in storm)
    await asyncio.gather(*storm)

    assert isinstance(protected, Accepted)
    assert still_waiting > 10
    quota = simulated.venue.quota
    assert quota.refused_for_rate == 0
    assert quota.longest_wait_seconds[Lane.PROTECTIVE] == pytest.approx(0.0, abs=0.01)
    assert quota.longest_wait_seconds[Lane.ORDINARY] > 0.3


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "result_error", "path": "openorders", "error": "apiLimitExceeded", "times": 1},
        {"kind": "html", "path": "openorders", "status": 429, "times": 1},
    ],
)
async def test_after_a_refusal_for_rate_the_reads_rest(simulated: Simulated, fault: dict[str, Any]) -> None:
    """Trap 4.3.14."""
    await simulated.venue.positions()
    simulated.faults(fault)

    with pytest.raises(VenueUnreadable):
        await simulated.venue.open_orders()
    began = asyncio.get_running_loop().time()
    await simulated.venue.open_orders()

    assert simulated.venue.quota.refused_for_rate == 1
    assert asyncio.get_running_loop().time() - began >= 0.9


async def test_while_the_reads_rest_an_entry_is_not_sent_and_a_stop_is(simulated: Simulated) -> None:
    """No tick stands still for half a minute because the venue asked for a pause; what protects needs none."""
    trigger = (await simulated.price() * Decimal("0.9")).quantize(Decimal(1))
    await simulated.venue.submit(order(92), expires_at=soon(), permit=yes)
    simulated.venue.quota.limiters[Pool.TRADING]._resting_until += 30

    began = asyncio.get_running_loop().time()
    entered = await simulated.venue.submit(order(93), expires_at=soon(), permit=yes)
    with pytest.raises(VenueUnreadable, match="not asked"):
        await simulated.venue.positions()
    protected = await simulated.venue.submit(stop(94, trigger), expires_at=soon(), permit=yes)

    assert isinstance(entered, Rejected) and entered.code == "not-sent"
    assert isinstance(protected, Accepted)
    assert asyncio.get_running_loop().time() - began < 1.0


# --- clocks -----------------------------------------------------------------------------------------------------------


async def test_a_clock_that_is_set_while_running_is_noticed_and_a_stop_still_gets_through(simulated: Simulated) -> None:
    """processBefore is told in the venue's time: unmoved, every stop would come too late, and too late to exit, too."""
    venue = simulated.venue
    trigger = (await simulated.price() * Decimal("0.9")).quantize(Decimal(1))
    await venue.submit(order(95), expires_at=soon(), permit=yes)
    for seconds in (30, -30):
        simulated.world.clock.offset = timedelta(seconds=seconds)
        await venue.positions()

        assert venue.clock_offset_seconds == pytest.approx(seconds, abs=0.2)
        assert isinstance(await venue.submit(stop(96 + seconds, trigger), expires_at=soon(), permit=yes), Accepted)


# --- every mutation, through ccxt and the socket ----------------------------------------------------------------------

BAD_VALUES = (None, -1, "much", "", [], {}, 1e300, "NaN")
READ_KEYS = {
    "openorders": ("openOrders", "openOrders.unfilledSize", "openOrders.symbol", "openOrders.reduceOnly", "result"),
    "openpositions": ("openPositions", "openPositions.size", "openPositions.price", "openPositions.side", "result"),
    "fills": ("fills", "fills.fill_id", "fills.size", "fills.fillTime", "result"),
    "accounts": ("accounts", "accounts.flex", "accounts.flex.portfolioValue", "result"),
    "tickers": ("tickers", "tickers.symbol", "result"),
    "instruments": ("instruments", "instruments.tickSize", "instruments.marginLevels", "result"),
}


@pytest.mark.parametrize("path", READ_KEYS)
async def test_a_poisoned_reply_is_unreadable_through_ccxt_too(simulated: Simulated, path: str) -> None:
    """Never flat, never none, never another exception; markets that ccxt has parsed stay as they were."""
    venue = simulated.venue
    await venue.submit(order(97), expires_at=soon(), permit=yes)
    await venue.submit(resting(98), expires_at=soon(), permit=yes)
    reads: dict[str, Callable[[], Awaitable[Any]]] = {
        "openorders": venue.open_orders,
        "openpositions": venue.positions,
        "fills": lambda: venue.fills(since=long_ago()),
        "accounts": venue.account,
        "tickers": lambda: venue.tickers([BTC]),
        "instruments": venue.instruments,
    }
    before = await reads[path]()
    allowed = {("openorders", "openOrders"), ("openpositions", "openPositions"), ("fills", "fills")}

    for key in READ_KEYS[path]:
        for value in BAD_VALUES:
            simulated.faults({"kind": "set_key", "path": path, "key": key, "value": value})
            if value == [] and (path, key) in allowed:
                continue  # the venue's way to say none
            if key.endswith(("symbol", "fill_id")) and value in ("much", "NaN"):
                continue  # a contract of no name here: seen, and foreign; a fill of any id is a fill
            if key.endswith("marginLevels") and value == []:
                continue  # told nothing of margin, the least leverage is assumed
            if key.endswith("portfolioValue") and value == -1:
                continue  # an account below zero
            with pytest.raises(VenueUnreadable):
                await reads[path]()

    simulated.faults()
    after = await reads[path]()
    assert type(after) is type(before)
    assert (await venue.instruments())[BTC].venue_id == "PF_XBTUSD"


@pytest.mark.parametrize(
    "key", ["sendStatus", "sendStatus.status", "sendStatus.order_id", "sendStatus.cliOrdId", "result"]
)
async def test_a_poisoned_reply_to_a_send_is_unknown_through_ccxt_too(simulated: Simulated, key: str) -> None:
    for number, value in enumerate(BAD_VALUES):
        simulated.faults({"kind": "set_key", "path": "sendorder", "key": key, "value": value})

        outcome = await simulated.venue.submit(resting(300 + number), expires_at=soon(10), permit=yes)

        if key == "sendStatus.cliOrdId" and value not in ("much", "NaN"):
            assert isinstance(outcome, Accepted)  # the id is an echo, and may be left out
        elif key == "sendStatus.order_id" and value in ("much", "NaN"):
            assert outcome == Accepted(value)  # it may be an id: reconcile finds the order by ours
        else:
            assert isinstance(outcome, Unknown), (key, value)


# --- against a server that lies ---------------------------------------------------------------------------------------


@dataclass
class Liar:
    """Answers instruments rightly, and everything else with what it is told. seen: the requests, in order."""

    url: str = ""
    status: int = 200
    text: str = "{}"
    headers: dict[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0
    seen: list[str] = field(default_factory=list)
    say: Callable[[web.Request], str] | None = None

    async def answer(self, request: web.Request) -> web.Response:
        if request.path.endswith("/instruments"):
            return web.json_response({"result": "success", "instruments": [INSTRUMENT], "serverTime": NOW})
        self.seen.append(f"{request.method} {request.path}")
        await asyncio.sleep(self.delay_seconds)
        text = self.text if self.say is None else self.say(request)
        return web.Response(status=self.status, text=text, headers=self.headers)


NOW = "2026-01-01T00:00:00.000Z"
INSTRUMENT = {
    "symbol": "PF_XBTUSD",
    "type": "flexible_futures",
    "tradeable": True,
    "tickSize": 0.5,
    "contractSize": 1,
    "contractValueTradePrecision": 4,
    "marginLevels": [{"initialMargin": 0.02, "maintenanceMargin": 0.01}],
}


@pytest.fixture
async def liar() -> AsyncIterator[Liar]:
    told = Liar()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", told.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    told.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield told
    await runner.cleanup()


@pytest.fixture
async def venue(liar: Liar) -> AsyncIterator[KrakenFuturesVenue]:
    opened = door(liar.url, send_timeout_seconds=0.5, read_timeout_seconds=0.5)
    yield opened
    await opened.close()


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, {"result": "success", "sendStatus": {"status": "placed", "order_id": "A"}}, Accepted("A")),
        (
            200,
            {"result": "success", "sendStatus": {"status": "wouldCauseLiquidation"}},
            Rejected,
        ),  # trap 3: ccxt passes
        (200, {"result": "success", "sendStatus": {"status": "marketSuspended"}}, Rejected),  # trap 4: ccxt: network
        (200, {"result": "success", "sendStatus": {"status": "selfFill"}}, Rejected),  # trap 4: ccxt: ExchangeError
        (200, {"result": "success", "sendStatus": {"status": "maxPositionViolation"}}, Rejected),  # trap 4
        (200, {"result": "success", "sendStatus": {"status": "brandNew", "order_id": "A"}}, Unknown),  # trap 3
        (200, {"result": "success", "sendStatus": {"status": "placed"}}, Unknown),
        (200, {"result": "success"}, Unknown),
        (500, {"result": "error", "error": "Server Error"}, Unknown),  # trap 5: ccxt: ExchangeError
        (200, {"result": "error", "error": "unknownError"}, Unknown),  # trap 5
        (500, {"result": "error", "errors": [{"code": 92, "message": "INSUFFICIENT_MARGIN"}]}, Rejected),
        (429, {"result": "error", "error": "apiLimitExceeded"}, Rejected),  # trap 14: ccxt: NetworkError
        (503, "<html>later</html>", Unknown),
        (200, "<html>ok</html>", Unknown),
        (200, "", Unknown),
        (200, '{"result": "succ', Unknown),
        (307, "", Unknown),
    ],
)
async def test_the_raw_reply_decides_and_not_ccxts_exception(
    liar: Liar, venue: KrakenFuturesVenue, status: int, body: Any, expected: Any
) -> None:
    liar.status, liar.text = status, body if isinstance(body, str) else json.dumps(body)
    liar.headers = {"Location": f"{liar.url}/elsewhere"} if status == 307 else {}

    outcome = await venue.submit(order(1), expires_at=soon(), permit=yes)

    assert outcome == expected if isinstance(expected, Accepted) else isinstance(outcome, expected)
    assert liar.seen == ["POST /derivatives/api/v3/sendorder"]  # once: no retry, no redirect followed


async def test_a_reply_that_takes_too_long_is_unknown_within_the_send_timeout(
    liar: Liar, venue: KrakenFuturesVenue
) -> None:
    liar.delay_seconds = 5
    await venue.instruments()
    began = asyncio.get_running_loop().time()

    outcome = await venue.submit(order(1), expires_at=soon(), permit=yes)

    assert isinstance(outcome, Unknown)
    assert asyncio.get_running_loop().time() - began < 2
    assert len(liar.seen) == 1


async def test_a_connection_that_never_stood_proves_that_nothing_was_sent(liar: Liar, unused_tcp_port: int) -> None:
    venue = door(liar.url)
    await venue.instruments()
    nowhere = f"http://127.0.0.1:{unused_tcp_port}"
    exchange = venue._wire.exchange
    exchange.urls["api"] = {key: url.replace(liar.url, nowhere) for key, url in exchange.urls["api"].items()}
    venue._wire._origins.add(nowhere)

    outcome = await venue.submit(order(1), expires_at=soon(), permit=yes)
    await venue.close()

    assert isinstance(outcome, Rejected)
    assert outcome.code == "not-sent"


async def test_a_lease_lost_while_connecting_still_stops_the_request(liar: Liar, venue: KrakenFuturesVenue) -> None:
    """The last permit is asked on the standing connection: the first byte is all that may follow it."""
    asked: list[int] = []

    def lost_meanwhile() -> None:
        asked.append(len(liar.seen))
        if len(asked) > 1:
            no()

    with pytest.raises(LeaseLost):
        await venue.submit(order(1), expires_at=soon(), permit=lost_meanwhile)

    assert asked == [0, 0]
    assert liar.seen == []


async def test_the_permit_is_asked_before_the_venue_hears_anything(liar: Liar, venue: KrakenFuturesVenue) -> None:
    liar.text = json.dumps({"result": "success", "sendStatus": {"status": "placed", "order_id": "A"}})
    asked: list[int] = []

    await venue.submit(order(1), expires_at=soon(), permit=lambda: asked.append(len(liar.seen)))

    assert asked == [0, 0]
    assert len(liar.seen) == 1


async def test_what_is_signed_ahead_stays_here_until_submit_and_leaves_once(
    liar: Liar, venue: KrakenFuturesVenue
) -> None:
    liar.text = json.dumps({"result": "success", "sendStatus": {"status": "placed", "order_id": "A"}})
    await venue.instruments()
    liar.seen.clear()
    expires_at = soon()

    await venue.sign_ahead(order(1), expires_at=expires_at)
    before = list(liar.seen)
    with watched_signing(venue) as signed:
        await venue.submit(order(1), expires_at=expires_at, permit=yes)

    assert before == []
    assert signed == [], "it was signed already"
    assert liar.seen == ["POST /derivatives/api/v3/sendorder"]


@pytest.mark.parametrize("changed", ["another order", "another expiry", "nothing, a second time"])
async def test_what_was_signed_ahead_serves_only_its_own_order_and_expiry_and_only_once(
    liar: Liar, venue: KrakenFuturesVenue, changed: str
) -> None:
    liar.text = json.dumps({"result": "success", "sendStatus": {"status": "placed", "order_id": "A"}})
    await venue.instruments()
    expires_at = soon()
    await venue.sign_ahead(order(1), expires_at=expires_at)
    if changed.startswith("nothing"):
        await venue.submit(order(1), expires_at=expires_at, permit=yes)

    with watched_signing(venue) as signed:
        await venue.submit(
            order(2 if changed == "another order" else 1),
            expires_at=expires_at + timedelta(seconds=1 if changed == "another expiry" else 0),
            permit=yes,
        )

    assert len(signed) == 1


async def test_a_request_to_another_host_is_stopped_before_the_wire(liar: Liar, venue: KrakenFuturesVenue) -> None:
    await venue.instruments()
    venue._wire.exchange.urls["api"]["private"] = "http://127.0.0.2:9/derivatives/api/"

    outcome = await venue.submit(order(1), expires_at=soon(), permit=yes)

    assert isinstance(outcome, Rejected)
    assert outcome.code == "local"
    assert liar.seen == []


async def test_a_proxy_in_the_environment_is_not_used(
    liar: Liar, venue: KrakenFuturesVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert os.environ["http_proxy"]
    liar.text = json.dumps({"result": "success", "openPositions": []})

    assert await venue.positions() == []


async def test_one_request_is_one_write_even_if_ccxt_would_retry(liar: Liar, venue: KrakenFuturesVenue) -> None:
    """W38."""
    liar.status, liar.text = 503, "{}"

    with pytest.raises(VenueUnreadable):
        await venue.open_orders()

    assert len(liar.seen) == 1


async def test_fills_hidden_behind_a_full_page_of_one_instant_are_unreadable(
    liar: Liar, venue: KrakenFuturesVenue
) -> None:
    row = {"order_id": "o", "symbol": "PF_XBTUSD", "side": "buy", "size": 1, "price": 1, "fillTime": NOW}
    row |= {"fillType": "taker"}
    liar.text = json.dumps({"result": "success", "fills": [row | {"fill_id": f"f{number}"} for number in range(100)]})

    with pytest.raises(VenueUnreadable, match="instant"):
        await venue.fills(since=datetime(2025, 1, 1, tzinfo=UTC))


async def test_fills_of_one_instant_on_both_sides_of_a_page_are_all_read(liar: Liar, venue: KrakenFuturesVenue) -> None:
    """The venue lists what is before a time: the instant at the seam is asked for once more."""
    began = datetime(2026, 1, 1, tzinfo=UTC)
    times = [began + timedelta(seconds=number // 6) for number in range(230)]
    rows = [
        {"fill_id": f"f{number}", "order_id": "o", "symbol": "PF_XBTUSD", "side": "buy", "size": 1, "price": 1}
        | {"fillTime": at.isoformat(), "fillType": "taker"}
        for number, at in enumerate(times)
    ]

    def page(request: web.Request) -> str:
        before = request.query.get("lastFillTime")
        listed = [row for row, at in zip(rows, times, strict=True) if not before or at < datetime.fromisoformat(before)]
        return json.dumps({"result": "success", "fills": listed[::-1][:100]})

    liar.say = page

    assert {fill.fill_id for fill in await venue.fills(since=began)} == {row["fill_id"] for row in rows}


async def test_pages_that_promise_more_and_bring_nothing_are_unreadable(liar: Liar, venue: KrakenFuturesVenue) -> None:
    bar = {"time": 1767225600000, "open": "1", "high": "1", "low": "1", "close": "1", "volume": 0}
    liar.text = json.dumps({"candles": [bar], "more_candles": True})

    with pytest.raises(VenueUnreadable):
        await venue.candles(BTC, timedelta(hours=1), since=datetime(2026, 1, 1, tzinfo=UTC))


# --- opening the door -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exchange_id", "options", "refusal"),
    [
        ("binanceusdm", {}, "V02"),  # its replies are written down, but nothing was ever sent there
        ("bybit", {}, "V02"),
        ("no_such_exchange", {}, "V02"),
        ("no_such_exchange", {"for_live": False}, "V03"),
        ("krakenfutures", {"url": "http://venue.example:80"}, "V04"),
        ("krakenfutures", {"url": "http://127.0.0.1.example"}, "V04"),
        ("krakenfutures", {"url": "http://user@127.0.0.1"}, "V04"),
        ("krakenfutures", {"url": "ftp://127.0.0.1"}, "V04"),
        ("krakenfutures", {"api_secret": "not base64 at all!"}, "V08"),
        ("krakenfutures", {"api_secret": ""}, "V08"),
        ("krakenfutures", {"api_key": ""}, "V08"),
        ("hyperliquid", {"for_live": False, "sandbox": True, "url": "http://[::1"}, "V04"),
    ],
)
def test_a_door_that_must_not_open_is_refused(exchange_id: str, options: dict[str, Any], refusal: str) -> None:
    keys = {"api_key": DEMO_API_KEY, "api_secret": DEMO_API_SECRET}

    with pytest.raises(GateRefused) as caught:
        open_venue(exchange_id, **(keys | options))

    assert caught.value.refusals[0].id == refusal


def test_sandbox_means_the_sandbox_and_no_secret_is_shown() -> None:
    venue = open_venue("krakenfutures", api_key="visible-key", api_secret=DEMO_API_SECRET, sandbox=True)
    exchange = venue._wire.exchange

    assert all("demo-futures.kraken.com" in url for url in exchange.urls["api"].values())
    assert venue._wire._origins == {"https://demo-futures.kraken.com"}
    assert "visible-key" not in f"{venue!r} {venue._wire!r} {exchange!r} {exchange}"
    assert exchange.enableRateLimit is False


def test_without_url_or_sandbox_the_venue_itself_is_asked_over_https() -> None:
    venue = open_venue("krakenfutures", api_key="k", api_secret=DEMO_API_SECRET)

    assert venue._wire._origins == {"https://futures.kraken.com"}


async def test_the_unified_reads_of_any_exchange_over_real_http(simulated: Simulated) -> None:
    """A second exchange is a settings change: the same questions through ccxt's own parsers."""
    wire = open_wire(
        "krakenfutures",
        api_key=DEMO_API_KEY,
        api_secret=DEMO_API_SECRET,
        api_password=None,
        sandbox=False,
        url=simulated.server.url,
        quota=Quota({pool: Limiter(GENEROUS) for pool in Pool}),
        send_timeout_seconds=1,
        read_timeout_seconds=5,
    )
    plain = CcxtVenue(wire, clock=SystemClock())
    trigger = (await simulated.price() * Decimal("0.9")).quantize(Decimal(1))
    for spec in (order(80), stop(80, trigger), resting(81)):
        await simulated.venue.submit(spec, expires_at=soon(), permit=yes)

    instruments, tickers = await plain.instruments(), await plain.tickers([BTC])
    candles = await plain.candles(BTC, timedelta(hours=1), since=datetime.now(UTC) - timedelta(hours=5))

    known = (await simulated.venue.instruments())[BTC]
    assert instruments[BTC] == replace(known, max_leverage=Decimal(1), margin_levels=())
    assert tickers[BTC].bid_price > 0
    assert len(candles) in {4, 5}
    assert await plain.positions() == await simulated.venue.positions()
    assert [fill.fill_id for fill in await plain.fills(since=long_ago())]
    assert {each.type for each in await plain.open_orders()} == {OrderType.STOP, OrderType.LIMIT}
    assert set(await plain.find_orders([resting(81)], since=long_ago())) == {"ps-t-1-81-e"}
    await plain.close()


async def test_the_unified_reads_refuse_what_ccxt_cannot_read(liar: Liar) -> None:
    wire = door(liar.url)._wire
    plain = CcxtVenue(wire, clock=SystemClock())
    await plain.instruments()

    for liar.status, liar.text in ((200, "<html>"), (503, "{}"), (200, '{"result": "error", "error": "unknownError"}')):
        with pytest.raises(VenueUnreadable):
            await plain.positions()
        with pytest.raises(VenueUnreadable):
            await plain.open_orders()
    await plain.close()


async def test_an_exchange_without_a_table_opens_to_be_read_and_sends_nothing() -> None:
    venue = open_venue("binanceusdm", api_key="", api_secret="", for_live=False)

    submitted = await venue.submit(order(1), expires_at=soon(), permit=yes)
    cancelled = await venue.cancel(order(1), None, permit=yes)
    await venue.close()

    assert isinstance(submitted, Rejected)
    assert isinstance(cancelled, Rejected)


def test_a_refusal_before_the_wire_has_a_code() -> None:
    assert NotSent("x").code == "local"
    assert NoReply(sent=False, what="x").code == "not-sent"

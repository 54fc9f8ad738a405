"""The venue's feeds through the real ccxt.pro: they hurry a look, and can do nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from live import hints
from live.model import Leg, OrderSide, OrderSpec, OrderType
from live.simulator import DEMO_API_KEY, DEMO_API_SECRET
from live.simulator.__main__ import demo_customer
from live.simulator.scenarios import make_scenario
from live.simulator.server import SimulatorServer, TrueClock
from live.simulator.world import World
from live.venue import CcxtVenue, open_venue
from live.wire import NotSent
from prodsafe.errors import GateRefused

BTC = "BTC/USD:USD"


@dataclass
class Stage:
    world: World
    server: SimulatorServer
    venue: CcxtVenue
    woken: list[float] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    sent: int = 0

    def exchange(self, **changes: Any) -> Any:
        keys = {"api_key": DEMO_API_KEY, "api_secret": DEMO_API_SECRET}
        return hints.open_exchange(
            "krakenfutures", **(keys | changes), sandbox=False, url=self.server.url, markets=self.venue.markets
        )

    def hints(self, exchange: Any, spacing_seconds: float = 0.0) -> hints.Hints:
        return hints.Hints(
            exchange,
            wake=lambda: self.woken.append(asyncio.get_running_loop().time()),
            narrate=self.said.append,
            spacing_seconds=spacing_seconds,
            sleep=lambda seconds: asyncio.sleep(min(seconds, max(0.05, spacing_seconds))),
        )

    async def buy(self) -> None:
        self.sent += 1
        spec = OrderSpec(
            client_order_id=f"ps-t-1-{self.sent}-e",
            position_id=f"ps-t-1-{self.sent}",
            symbol=BTC,
            side=OrderSide.BUY,
            leg=Leg.ENTRY,
            type=OrderType.MARKET,
            qty=Decimal("0.01"),
        )
        await self.venue.submit(spec, expires_at=datetime.now(UTC) + timedelta(seconds=5), permit=lambda: None)

    async def listeners(self, count: int) -> None:
        await until(lambda: len(self.server.feeds._open) >= count)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.02)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    clock = TrueClock()
    world = World(
        make_scenario("default", seed=1, began_at=clock.began_at), [demo_customer()], began_at=clock.began_at, seed=1
    )
    server = SimulatorServer(world, clock)
    url = await server.start()
    venue = open_venue("krakenfutures", api_key=DEMO_API_KEY, api_secret=DEMO_API_SECRET, url=url)
    await venue.instruments()
    yield Stage(world, server, venue)
    await venue.close()
    await server.stop()


async def test_a_fill_wakes(stage: Stage) -> None:
    async with hints.listening(stage.hints(stage.exchange())):
        await until(lambda: len(stage.woken) >= 1)  # the snapshots
        await asyncio.sleep(0.2)
        before = len(stage.woken)

        await stage.buy()

        await until(lambda: len(stage.woken) > before)
    assert stage.said == []


async def test_trap_13_a_replayed_delta_doubles_ccxts_count_and_changes_nothing_of_ours(stage: Stage) -> None:
    """Trap 4.3.13. ccxt adds each delta's amount: told twice that 4 of 10 are filled, it counts 8."""
    exchange = stage.exchange()
    delta = {
        "feed": "open_orders",
        "order": {
            "instrument": "PF_XBTUSD",
            "time": 1612275024153,
            "last_update_time": 1612275024153,
            "qty": 10,
            "filled": 0,
            "limit_price": 34900,
            "stop_price": 0,
            "type": "limit",
            "order_id": "forged",
            "direction": 0,
            "reduce_only": False,
        },
        "is_cancel": False,
        "reason": "new_placed_order_by_user",
    }
    filled = delta | {"order": delta["order"] | {"filled": 4, "qty": 6}, "reason": "partial_fill"}  # type: ignore[operator]
    before = (await stage.venue.positions(), await stage.venue.open_orders())

    async with hints.listening(stage.hints(exchange)):
        await until(lambda: len(stage.woken) >= 1)
        woken = len(stage.woken)
        await stage.server.feeds.push([delta, filled, filled])
        await until(lambda: len(stage.woken) > woken)
        await until(lambda: bool(exchange.orders) and exchange.orders[-1]["filled"] is not None)
        [forged] = [order for order in exchange.orders if order["id"] == "forged"]

    assert float(forged["filled"]) == 8
    assert (await stage.venue.positions(), await stage.venue.open_orders()) == before


async def test_messages_that_make_no_sense_cost_nothing(stage: Stage) -> None:
    nonsense: list[Any] = [
        {"feed": "fills", "fills": [{"instrument": None}]},
        {"feed": "fills", "fills": 7},
        {"feed": "open_orders", "order": {"instrument": "PF_NOWHERE", "order_id": None}},
        {"feed": "open_orders_snapshot", "orders": [None]},
        {"event": "alert", "message": "something"},
        [],
        "text",
        None,
    ]
    async with hints.listening(stage.hints(stage.exchange())):
        await until(lambda: len(stage.woken) >= 1)
        for message in nonsense:
            await stage.server.feeds.push([message])
            await asyncio.sleep(0.05)
        before = len(stage.woken)

        async with asyncio.timeout(20):
            while len(stage.woken) <= before:  # it listens again, if it had to reconnect
                await stage.buy()
                await asyncio.sleep(0.3)


async def test_a_connection_that_ends_costs_a_line_and_is_made_again(stage: Stage) -> None:
    async with hints.listening(stage.hints(stage.exchange())):
        await until(lambda: len(stage.woken) >= 1)
        await stage.server.feeds.hang_up()
        await until(lambda: bool(stage.said))
        await stage.listeners(1)
        before = len(stage.woken)

        async with asyncio.timeout(20):
            while len(stage.woken) <= before:
                await stage.buy()
                await asyncio.sleep(0.3)

    assert len(stage.said) == 1
    assert "the looks go on" in stage.said[0]


async def test_a_venue_without_feeds_costs_a_line(stage: Stage) -> None:
    await stage.server.stop()

    async with hints.listening(stage.hints(stage.exchange())):
        await until(lambda: bool(stage.said))
        await asyncio.sleep(0.3)

    assert len(stage.said) == 1  # once for each outage, not for each attempt
    assert stage.woken == []


async def test_a_key_that_the_venue_refuses_hints_nothing_and_is_not_shown(stage: Stage) -> None:
    async with hints.listening(stage.hints(stage.exchange(api_secret="d3Jvbmc="))):
        await until(lambda: bool(stage.said))
        await stage.buy()
        await asyncio.sleep(0.3)

    assert stage.woken == []
    assert not any(secret in line for line in stage.said for secret in (DEMO_API_KEY, DEMO_API_SECRET, "d3Jvbmc="))


async def test_a_flood_of_messages_is_not_a_flood_of_looks(stage: Stage) -> None:
    heartbeat = {"feed": "fills", "fills": []}
    async with hints.listening(stage.hints(stage.exchange(), spacing_seconds=0.4)):
        await until(lambda: len(stage.woken) >= 1)
        for _ in range(60):
            await stage.server.feeds.push([heartbeat])
            await asyncio.sleep(0.02)

    gaps = [later - earlier for earlier, later in zip(stage.woken, stage.woken[1:], strict=False)]
    assert len(stage.woken) >= 2
    assert all(gap >= 0.35 for gap in gaps)


async def test_the_simulated_feeds_refuse_what_the_venue_refuses(stage: Stage) -> None:
    asked: list[tuple[Any, str]] = [
        ({"event": "subscribe", "feed": "weather"}, "Invalid feed"),
        ({"event": "subscribe", "feed": "fills", "api_key": DEMO_API_KEY}, "Failed to subscribe"),
        ({"event": "dance"}, "Json Parse Error"),
        ([], "Json Parse Error"),
    ]
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{stage.server.url}/ws/v1") as socket:
        assert (await socket.receive_json())["event"] == "info"
        for message, answer in asked:
            await socket.send_json(message)
            assert answer in (await socket.receive_json())["message"]
        await socket.send_str("{")
        assert "Json" in (await socket.receive_json())["message"]


async def test_messages_and_hang_ups_can_be_ordered_by_hand(stage: Stage) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{stage.server.url}/ws/v1") as socket:
        await socket.receive_json()
        forged = {"feed": "fills", "fills": [{"fill_id": "forged"}]}
        told = await session.post(f"{stage.server.url}/sim/feed", json={"messages": [forged]})

        assert await told.json() == {"listeners": 1}
        assert await socket.receive_json() == forged
        refused = await session.post(f"{stage.server.url}/sim/feed", json={"messages": 7})
        assert refused.status == 400
        await session.post(f"{stage.server.url}/sim/feed", json={"hang_up": True})
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE


async def test_a_listener_asks_nothing_over_http_and_shows_no_key(stage: Stage) -> None:
    exchange = stage.exchange()

    with pytest.raises(NotSent):
        await exchange.fetch_positions()
    assert DEMO_API_KEY not in f"{exchange!r} {exchange}"
    await exchange.close()


def test_feeds_of_another_machine_are_refused() -> None:
    with pytest.raises(GateRefused, match="V04"):
        hints.open_exchange(
            "krakenfutures", api_key="k", api_secret="s", sandbox=False, url="http://venue.example", markets={}
        )

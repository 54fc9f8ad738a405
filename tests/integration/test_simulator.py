"""The simulated venue through real ccxt over real HTTP: what a client may rely on, and what goes wrong on demand."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import ccxt.async_support as ccxt
import pytest

from live.simulator import DEMO_ACCOUNT, DEMO_API_KEY, DEMO_API_SECRET
from live.simulator.kraken_futures import RateLimit
from live.simulator.scenarios import make_scenario
from live.simulator.server import SimulatorServer, TrueClock
from live.simulator.world import Customer, World

BTC = "BTC/USD:USD"


def kraken(url: str, *, secret: str = DEMO_API_SECRET) -> Any:
    """ccxt's client pointed at the simulator: this is all it takes."""
    client = ccxt.krakenfutures({"apiKey": DEMO_API_KEY, "secret": secret, "enableRateLimit": False, "timeout": 2000})
    client.urls["api"] = {
        "public": f"{url}/derivatives/api/",
        "private": f"{url}/derivatives/api/",
        "charts": f"{url}/api/charts/",
        "history": f"{url}/api/history/",
    }
    return client


class SkippingClock(TrueClock):
    """True time, with leaps forward when a test says so."""

    skipped = timedelta()

    def now(self) -> datetime:
        return super().now() + self.skipped

    def skip(self, seconds: float) -> None:
        self.skipped += timedelta(seconds=seconds)


class Sim:
    """A running simulator on a still market, its /sim door, and ccxt connected to it."""

    def __init__(self, server: SimulatorServer, clock: SkippingClock, client: Any, http: aiohttp.ClientSession) -> None:
        self.server, self.clock, self.client, self.http = server, clock, client, http

    async def get(self, name: str) -> Any:
        async with self.http.get(f"{self.server.url}/sim/{name}") as reply:
            return await reply.json()

    async def post(self, name: str, body: Any) -> Any:
        async with self.http.post(f"{self.server.url}/sim/{name}", json=body) as reply:
            return await reply.json()

    async def price(self, price: float) -> None:
        await self.post("price", {"symbol": BTC, "price": price})

    async def faults(self, *rules: dict[str, Any]) -> None:
        await self.post("faults", {"rules": list(rules)})

    def in_seconds(self, seconds: float) -> str:
        return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()

    async def buy(self, client_id: str | None = None, qty: float = 0.01, **params: Any) -> Any:
        more = {"clientOrderId": client_id} if client_id else {}
        return await self.client.create_order(BTC, "market", "buy", qty, None, {**more, **params})

    async def bid(self, price: float, client_id: str | None = None, **params: Any) -> Any:
        more = {"clientOrderId": client_id} if client_id else {}
        return await self.client.create_order(BTC, "limit", "buy", 0.01, price, {**more, **params})

    async def stop(self, price: float, client_id: str | None = None) -> Any:
        params = {"triggerPrice": price, "triggerSignal": "mark", "reduceOnly": True}
        more = {"clientOrderId": client_id} if client_id else {}
        return await self.client.create_order(BTC, "market", "sell", 0.01, None, {**params, **more})


@pytest.fixture
async def sim() -> AsyncIterator[Sim]:
    clock = SkippingClock()
    world = World(
        make_scenario("still", seed=1, began_at=clock.began_at),
        [Customer(DEMO_ACCOUNT, DEMO_API_KEY, DEMO_API_SECRET)],
        began_at=clock.began_at,
    )
    server = SimulatorServer(world, clock, price_every_seconds=0.02)
    client = kraken(await server.start())
    moving = asyncio.create_task(server.move_prices())
    async with aiohttp.ClientSession() as http:
        sim = Sim(server, clock, client, http)
        await sim.price(60000)
        yield sim
    moving.cancel()
    await client.close()
    await server.stop()


# --- reading -------------------------------------------------------------------------------------------------------


async def test_markets_come_with_tick_and_lot_size(sim: Sim):
    await sim.client.load_markets()

    market = sim.client.market(BTC)
    assert (market["id"], market["swap"], market["linear"]) == ("PF_XBTUSD", True, True)
    assert market["precision"] == {"amount": 0.0001, "price": 1.0}
    assert set(sim.client.markets) == {listing.symbol for listing in sim.server.world.prices.listings}


async def test_tickers_show_the_pinned_price_in_either_name(sim: Sim):
    await sim.post("price", {"symbol": "pf_ethusd", "price": "3333.3"})

    tickers = await sim.client.fetch_tickers([BTC, "ETH/USD:USD"])

    assert (tickers[BTC]["markPrice"], tickers[BTC]["bid"], tickers[BTC]["ask"]) == (60000, 59999, 60001)
    assert tickers["ETH/USD:USD"]["last"] == 3333.3


async def test_candles_reach_from_history_to_the_price_of_now_without_a_gap(sim: Sim):
    await sim.price(61000)
    since = datetime.now(UTC) - timedelta(days=1)

    rows = await sim.client.fetch_ohlcv(BTC, "15m", since=int(since.timestamp() * 1000))

    times = [row[0] for row in rows]
    assert times == list(range(times[0], times[0] + len(rows) * 900_000, 900_000))
    assert len(rows) >= 95
    assert rows[-1][4] == 61000
    assert rows[-1][3] <= 60000
    assert all(low <= min(open_, close) <= max(open_, close) <= high for _, open_, high, low, close, _ in rows)


async def test_candles_are_given_in_pages_of_2000(sim: Sim):
    ten_days_ago = int((datetime.now(UTC) - timedelta(days=10)).timestamp())

    page = await sim.client.chartsGetPriceTypeSymbolInterval(
        {"price_type": "trade", "symbol": "PF_XBTUSD", "interval": "1m", "from": ten_days_ago}
    )

    assert (len(page["candles"]), page["more_candles"]) == (2000, True)


async def test_balance_pays_the_fee_and_shows_the_open_loss(sim: Sim):
    await sim.buy()

    flex = (await sim.client.fetch_balance())["info"]["accounts"]["flex"]

    fee, loss = 0.01 * 60001 * 0.0005, 0.01 * 1
    assert flex["portfolioValue"] == pytest.approx(10000 - fee - loss)
    assert flex["availableMargin"] == pytest.approx(10000 - fee - loss - 0.01 * 60000 / 50)


# --- orders --------------------------------------------------------------------------------------------------------


async def test_limit_order_lives_from_placed_through_edit_to_cancelled(sim: Sim):
    placed = await sim.bid(59000, "ps-1f-1-1-e", processBefore=sim.in_seconds(5))
    assert (placed["status"], placed["clientOrderId"]) == ("open", "ps-1f-1-1-e")

    await sim.client.edit_order(placed["id"], BTC, "limit", "buy", 0.02, 59500)
    (row,) = await sim.client.fetch_open_orders(BTC)
    assert (row["amount"], row["info"]["limitPrice"], row["clientOrderId"]) == (0.02, 59500, "ps-1f-1-1-e")

    cancelled = await sim.client.cancel_order(placed["id"])
    assert cancelled["status"] == "canceled"
    assert await sim.client.fetch_open_orders(BTC) == []


async def test_market_order_makes_a_position_and_a_fill_that_names_only_the_venues_id(sim: Sim):
    """Trap 4.3.11."""
    order = await sim.buy("ps-1f-1-1-e")

    (position,) = await sim.client.fetch_positions()
    (fill,) = await sim.client.fetch_my_trades(BTC)
    assert (order["status"], order["average"]) == ("closed", 60001)
    assert (position["side"], position["contracts"], position["entryPrice"]) == ("long", 0.01, 60001)
    assert (fill["order"], fill["amount"], fill["price"]) == (order["id"], 0.01, 60001)
    assert "cliOrdId" not in fill["info"]


async def test_reduce_only_stop_on_the_mark_price_closes_the_position_when_it_comes(sim: Sim):
    await sim.buy("ps-1f-1-1-e")
    stop = await sim.stop(59000, "ps-1f-1-2-s")
    (row,) = await sim.client.fetch_open_orders(BTC)
    assert (row["type"], row["triggerPrice"], row["reduceOnly"]) == ("stop", 59000, True)
    assert row["info"]["triggerSignal"] == "mark"

    await sim.price(58900)

    assert await sim.client.fetch_positions() == []
    assert (await sim.client.fetch_order(stop["id"]))["status"] == "closed"


async def test_resting_orders_are_filled_by_the_price_loop(sim: Sim):
    await sim.bid(59000)
    sim.server.world.pinned["PF_XBTUSD"] = Decimal(58000)

    for _ in range(100):
        if await sim.client.fetch_positions():
            break
        await asyncio.sleep(0.01)

    assert (await sim.client.fetch_my_trades(BTC))[0]["takerOrMaker"] == "maker"


async def test_order_status_forgets_what_ended_more_than_five_seconds_ago(sim: Sim):
    order = await sim.buy("ps-1f-1-1-e")
    assert (await sim.client.fetch_order(order["id"]))["status"] == "closed"

    sim.clock.skip(5.1)

    with pytest.raises(ccxt.OrderNotFound):
        await sim.client.fetch_order(order["id"])


async def test_orders_are_found_by_our_own_id(sim: Sim):
    await sim.bid(59000, "ps-1f-1-1-e")

    asked = {"orderIds": [], "cliOrdIds": ["ps-1f-1-1-e", "ps-1f-1-2-e"]}
    (found,) = await sim.client.fetch_orders(None, None, None, asked)

    assert found["clientOrderId"] == "ps-1f-1-1-e"


async def test_history_tells_the_whole_life_of_orders_and_triggers(sim: Sim):
    filled = await sim.buy("ps-1f-1-1-e")
    stop = await sim.stop(59000, "ps-1f-1-2-s")
    await sim.client.cancel_order(stop["id"])

    orders = (await sim.client.historyGetOrders({"sort": "asc"}))["elements"]
    triggers = (await sim.client.historyGetTriggers({"sort": "asc"}))["elements"]
    executions = (await sim.client.historyGetExecutions())["elements"]

    assert [next(iter(row["event"])) for row in orders] == ["OrderPlaced", "OrderUpdated"]
    assert orders[1]["event"]["OrderUpdated"]["reason"] == "full_fill"
    assert orders[1]["event"]["OrderUpdated"]["newOrder"]["clientId"] == "ps-1f-1-1-e"
    assert [next(iter(row["event"])) for row in triggers] == ["OrderTriggerPlaced", "OrderTriggerCancelled"]
    assert executions[0]["event"]["Execution"]["execution"]["takerOrder"]["uid"] == filled["id"]


async def test_history_comes_in_pages(sim: Sim):
    for number in range(5):
        await sim.bid(59000 - number)

    first = await sim.client.historyGetOrders({"count": 3, "sort": "asc"})
    rest = await sim.client.historyGetOrders(
        {"count": 3, "sort": "asc", "continuationToken": first["continuationToken"]}
    )

    prices = [row["event"]["OrderPlaced"]["order"]["limitPrice"] for row in first["elements"] + rest["elements"]]
    assert prices == ["59000", "58999", "58998", "58997", "58996"]
    assert "continuationToken" not in rest


async def test_all_orders_can_be_cancelled_at_once_or_in_a_batch(sim: Sim):
    first, second, _third = [await sim.bid(59000 - number) for number in range(3)]

    batch = await sim.client.cancel_orders([first["id"], second["id"], "nobody"])
    await sim.client.cancel_all_orders(BTC)

    assert [row["status"] for row in batch] == ["canceled", "canceled", "rejected"]
    assert await sim.client.fetch_open_orders() == []
    batch_rows = [row for row in (await sim.get("ledger"))["requests"] if row["endpoint"] == "cancelorder"]
    assert [row["reason"] for row in batch_rows] == ["cancelled", "cancelled", "notFound"]


async def test_dead_man_switch_cancels_when_nobody_renews_it(sim: Sim):
    await sim.bid(59000)
    reply = await sim.client.cancel_all_orders_after(1000)
    assert reply["status"]["triggerTime"] > reply["status"]["currentTime"]

    sim.clock.skip(1.1)

    assert await sim.client.fetch_open_orders() == []


# --- refusals ------------------------------------------------------------------------------------------------------


async def test_wrong_signature_is_refused_and_nothing_happens(sim: Sim):
    forger = kraken(sim.server.url, secret="d3JvbmcgYnV0IGJhc2U2NA==")
    with pytest.raises(ccxt.AuthenticationError):
        await forger.create_order(BTC, "market", "buy", 0.01, None, {"clientOrderId": "ps-1f-1-1-e"})
    await forger.close()

    ledger = await sim.get("ledger")
    assert ledger["orders"] == []
    assert [(row["verdict"], row["reason"], row["client_order_id"]) for row in ledger["requests"]] == [
        ("rejected", "authenticationError", "ps-1f-1-1-e")
    ]


async def test_signature_of_other_parameters_is_refused(sim: Sim):
    await sim.client.load_markets()
    signed = sim.client.sign(
        "sendorder", ["private"], "POST", {"symbol": "PF_XBTUSD", "side": "buy", "size": "0.01", "orderType": "mkt"}
    )
    altered = signed["url"].replace("size=0.01", "size=9.99")

    async with sim.http.post(altered, headers=signed["headers"]) as reply:
        assert (await reply.json())["error"] == "authenticationError"


async def test_request_whose_time_has_passed_is_refused_and_ccxt_raises_nothing(sim: Sim):
    """Trap 4.3.3: an unknown sendStatus passes ccxt as a success."""
    order = await sim.bid(59000, "ps-1f-1-1-e", processBefore=sim.in_seconds(-1))

    assert order["info"]["status"] == "wouldProcessAfterSpecifiedTime"
    assert order["id"] is None
    assert (await sim.get("ledger"))["orders"] == []


async def test_deadline_is_read_on_the_venues_clock(sim: Sim):
    await sim.post("clock", {"offset_seconds": 30})

    order = await sim.bid(59000, processBefore=sim.in_seconds(20))

    assert order["info"]["status"] == "wouldProcessAfterSpecifiedTime"
    server_time = datetime.fromisoformat((await sim.client.privateGetOpenorders())["serverTime"])
    assert 29 < (server_time - datetime.now(UTC)).total_seconds() < 31


async def test_client_order_id_is_taken_for_good(sim: Sim):
    order = await sim.bid(59000, "ps-1f-1-1-e")
    await sim.client.cancel_order(order["id"])

    with pytest.raises(ccxt.DuplicateOrderId):
        await sim.bid(59000, "ps-1f-1-1-e")

    summary = (await sim.get("ledger"))["summary"]
    assert (summary["orders"], summary["resent"], summary["duplicates"]) == (1, 1, 0)


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({"limitPrice": "59000.5"}, "invalidPrice"),
        ({"size": "0.00001"}, "invalidSize"),
        ({"size": "1000"}, "insufficientAvailableFunds"),
        ({"reduceOnly": "true"}, "wouldNotReducePosition"),
        ({"orderType": "post", "limitPrice": "60001"}, "postWouldExecute"),
        ({"orderType": "ioc"}, "iocWouldNotExecute"),
        ({"orderType": "fok"}, "invalidOrderType"),
        ({"side": "long"}, "invalidSide"),
    ],
)
async def test_refusals_speak_krakens_words(sim: Sim, params: dict[str, str], status: str):
    await sim.client.load_markets()
    order = {"symbol": "PF_XBTUSD", "side": "buy", "orderType": "lmt", "size": "0.01", "limitPrice": "59000"}

    reply = await sim.client.privatePostSendorder({**order, **params})

    assert reply["sendStatus"]["status"] == status
    assert await sim.client.fetch_open_orders() == []


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"symbol": "PF_NOSUCHUSD"}, "invalidArgument: symbol"),
        ({"size": "NaN"}, "invalidArgument: size"),
        ({"size": "1e999999"}, "invalidArgument: size"),
        ({"size": ""}, "requiredArgumentMissing"),
        ({"processBefore": "soon"}, "invalidArgument: processBefore"),
        ({"triggerSignal": "moon"}, "invalidArgument: triggerSignal"),
    ],
)
async def test_malformed_requests_are_errors(sim: Sim, params: dict[str, str], error: str):
    await sim.client.load_markets()
    order = {"symbol": "PF_XBTUSD", "side": "buy", "orderType": "lmt", "size": "0.01", "limitPrice": "59000"}

    with pytest.raises(ccxt.ExchangeError, match=error):
        await sim.client.privatePostSendorder({**order, **params})


async def test_times_beyond_reason_are_errors_and_no_bug(sim: Sim):
    await sim.client.load_markets()
    beyond = {"price_type": "trade", "symbol": "PF_XBTUSD", "interval": "1m", "from": 10**17}

    with pytest.raises(ccxt.BadRequest):
        await sim.client.chartsGetPriceTypeSymbolInterval(beyond)
    with pytest.raises(ccxt.BadRequest):
        await sim.client.privatePostCancelallordersafter({"timeout": 10**17})


async def test_rate_limit_is_counted_in_cost_and_refills(sim: Sim):
    await sim.client.load_markets()
    sim.server.api.rate_limit = RateLimit(cost=25, per_seconds=0.5)

    await sim.bid(59000)
    await sim.bid(59001)
    with pytest.raises(ccxt.RateLimitExceeded):
        await sim.bid(59002)

    sim.clock.skip(0.3)
    await sim.bid(59003)
    assert len(await sim.client.fetch_open_orders()) == 3


async def test_unknown_path_is_not_found(sim: Sim):
    async with sim.http.get(f"{sim.server.url}/derivatives/api/v3/nonsense") as reply:
        assert (reply.status, (await reply.json())["error"]) == (404, "notFound")


# --- by hand -------------------------------------------------------------------------------------------------------


async def test_person_at_the_web_page_opens_a_position_without_a_client_id(sim: Sim):
    await sim.post("fill", {"symbol": BTC, "side": "sell", "qty": 0.5, "price": 60500})

    (position,) = await sim.client.fetch_positions()
    assert (position["side"], position["contracts"], position["entryPrice"]) == ("short", 0.5, 60500)
    assert (await sim.get("ledger"))["requests"][0]["origin"] == "hand"


async def test_venue_fills_a_part_of_an_order_and_cancels_the_rest(sim: Sim):
    await sim.bid(59000, "ps-1f-1-1-e")

    await sim.post("fill", {"client_order_id": "ps-1f-1-1-e", "qty": 0.004})
    (row,) = await sim.client.fetch_open_orders()
    answer = await sim.post("cancel", {"client_order_id": "ps-1f-1-1-e"})

    assert (row["filled"], row["remaining"], row["info"]["status"]) == (0.004, 0.006, "partiallyFilled")
    assert answer == {"status": "cancelled"}
    (order,) = await sim.get("orders")
    assert [state["event"] for state in order["states"]] == ["placed", "executed", "cancelled"]


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("price", {"symbol": "PF_NOSUCHUSD", "price": 1}),
        ("price", {"symbol": BTC, "price": "NaN"}),
        ("price", {"symbol": BTC, "price": -1}),
        ("price", {"symbol": BTC, "price": 0.2}),
        ("price", {"symbol": BTC}),
        ("price", "nonsense"),
        ("fill", {"symbol": BTC, "side": ["buy"], "qty": 1}),
        ("fill", {"symbol": BTC, "side": "buy", "qty": 0}),
        ("fill", {"symbol": BTC, "side": "buy", "qty": 0.00001}),
        ("fill", {"order_id": "nobody"}),
        ("cancel", {"symbol": BTC, "account": "nobody"}),
        ("cancel", {}),
        ("clock", {"offset_seconds": "late"}),
        ("clock", {"offset_seconds": 1e300}),
        ("faults", {"rules": [{"kind": "bad mood"}]}),
    ],
)
async def test_sim_refuses_what_it_does_not_understand(sim: Sim, name: str, body: Any):
    async with sim.http.post(f"{sim.server.url}/sim/{name}", json=body) as reply:
        assert reply.status == 400
        assert (await reply.json())["error"]


async def test_ledger_shows_orders_fills_and_the_naked_time(sim: Sim):
    await sim.buy("ps-1f-1-1-e")
    await asyncio.sleep(0.05)
    await sim.stop(59000, "ps-1f-1-2-s")

    ledger = await sim.get("ledger")

    assert [row["client_order_id"] for row in ledger["orders"]] == ["ps-1f-1-1-e", "ps-1f-1-2-s"]
    assert [(row["epoch"], row["seq"], row["leg"]) for row in ledger["requests"]] == [(1, 1, "e"), (1, 2, "s")]
    assert [row["client_order_id"] for row in ledger["fills"]] == ["ps-1f-1-1-e"]
    (episode,) = ledger["episodes"]
    assert not episode["naked_now"]
    assert 0.05 <= episode["naked_seconds"] == ledger["summary"]["naked_seconds_max"] < 2


# --- faults --------------------------------------------------------------------------------------------------------


async def test_lost_reply_leaves_an_order_that_the_client_does_not_know_of(sim: Sim):
    await sim.client.load_markets()
    await sim.faults({"kind": "lost_reply", "path": "sendorder"})

    with pytest.raises(ccxt.NetworkError):
        await sim.bid(59000, "ps-1f-1-1-e")

    assert [row["clientOrderId"] for row in await sim.client.fetch_open_orders()] == ["ps-1f-1-1-e"]
    ledger = await sim.get("ledger")
    assert len(ledger["requests"]) == 1  # ccxt and aiohttp did not repeat the POST
    assert ledger["summary"]["faults"] == {"lost_reply": 1}


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        ({"kind": "lost_request"}, ccxt.NetworkError),
        ({"kind": "reset"}, ccxt.NetworkError),
        ({"kind": "http_status", "status": 503}, ccxt.ExchangeError),
        ({"kind": "html", "status": 502}, ccxt.ExchangeNotAvailable),
        ({"kind": "http_status", "status": 429}, ccxt.DDoSProtection),
        ({"kind": "html", "status": 429}, ccxt.RateLimitExceeded),
        ({"kind": "result_error", "error": "apiLimitExceeded"}, ccxt.RateLimitExceeded),
        ({"kind": "result_error", "error": "unknownError"}, ccxt.ExchangeError),
    ],
)
async def test_fault_before_the_venue_acts_leaves_nothing_behind(sim: Sim, rule: dict[str, Any], error: type):
    await sim.client.load_markets()
    await sim.faults({**rule, "path": "sendorder"})

    with pytest.raises(error):
        await sim.bid(59000)

    assert await sim.client.fetch_open_orders() == []


async def test_late_request_meets_its_deadline_at_the_venue(sim: Sim):
    await sim.client.load_markets()
    await sim.faults({"kind": "late_request", "path": "sendorder", "seconds": 0.3})

    order = await sim.bid(59000, processBefore=sim.in_seconds(0.1))

    assert order["info"]["status"] == "wouldProcessAfterSpecifiedTime"
    assert (await sim.get("ledger"))["orders"] == []


async def test_late_reply_has_acted_long_before_it_is_heard(sim: Sim):
    await sim.client.load_markets()
    await sim.faults({"kind": "late_reply", "path": "sendorder", "seconds": 0.3})

    waiting = asyncio.create_task(sim.bid(59000))
    await asyncio.sleep(0.1)

    assert len(await sim.client.fetch_open_orders()) == 1
    assert not waiting.done()
    assert (await waiting)["status"] == "open"


async def test_duplicate_delivery_makes_one_order(sim: Sim):
    await sim.client.load_markets()
    await sim.faults({"kind": "duplicate", "path": "sendorder"})

    assert (await sim.bid(59000, "ps-1f-1-1-e"))["status"] == "open"

    ledger = await sim.get("ledger")
    assert [row["reason"] for row in ledger["requests"]] == ["placed", "clientOrderIdAlreadyExist"]
    assert len(ledger["orders"]) == 1


async def test_degraded_reply_reads_as_flat_in_ccxt_so_the_decoder_must_look_itself(sim: Sim):
    """Trap 4.3.6, W3."""
    await sim.bid(59000)
    await sim.faults({"kind": "missing_key", "path": "openorders", "key": "openOrders"})

    assert await sim.client.fetch_open_orders() == []
    assert "openOrders" not in await sim.client.privateGetOpenorders()


async def test_truncated_reply_is_no_json(sim: Sim):
    await sim.client.load_markets()
    await sim.faults({"kind": "truncated", "path": "openorders"})

    async with sim.http.get(**_signed(sim.client, "openorders")) as reply:
        text = await reply.text()

    assert text.startswith("{") and not text.endswith("}")


def _signed(client: Any, path: str) -> dict[str, Any]:
    signed = client.sign(path, ["private"], "GET", {})
    return {"url": signed["url"], "headers": signed["headers"]}


async def test_partial_fill_fault_leaves_the_rest_in_the_book(sim: Sim):
    await sim.client.load_markets()
    await sim.faults({"kind": "partial_fill", "path": "sendorder", "fraction": 0.25, "where": {"cliOrdId": "*-e"}})

    order = await sim.bid(60001, "ps-1f-1-1-e")

    assert (order["filled"], order["remaining"], order["status"]) == (0.0025, 0.0075, "open")


# --- the process -------------------------------------------------------------------------------------------------


async def test_process_says_where_it_listens_and_stops_cleanly_on_sigterm(tmp_path):
    (tmp_path / "faults.json").write_text('{"rules": [{"kind": "html", "path": "tickers", "nth": [1]}]}')
    command = [sys.executable, "-m", "live.simulator", "--seed", "3", "--faults", str(tmp_path / "faults.json")]
    process = subprocess.Popen([*command, "--scenario", "walk"], stdout=subprocess.PIPE, text=True, env=_plain_env())
    try:
        assert process.stdout is not None
        first_line = await asyncio.to_thread(process.stdout.readline)
        url = first_line.strip().removeprefix("EXCHANGE_URL=")
        async with aiohttp.ClientSession() as http:
            statuses = [(await http.get(f"{url}/derivatives/api/v3/tickers")).status for _ in range(2)]
    finally:
        process.send_signal(signal.SIGTERM)
        exit_code = await asyncio.to_thread(process.wait, 10)

    assert urlsplit(url).hostname == "127.0.0.1"
    assert statuses == [503, 200]
    assert exit_code == 0


def test_unreadable_faults_file_is_wrong_usage(tmp_path):
    (tmp_path / "faults.json").write_text("[{}]")

    done = subprocess.run(
        [sys.executable, "-m", "live.simulator", "--faults", str(tmp_path / "faults.json")],
        capture_output=True,
        text=True,
        env=_plain_env(),
        timeout=30,
    )

    assert done.returncode == 2
    assert "kind" in done.stderr


def test_simulator_does_not_import_ccxt():
    program = "import sys, live.simulator.__main__; sys.exit('ccxt' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], env=_plain_env(), timeout=30).returncode == 0


def _plain_env() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "PYTHONPATH")}

"""What the real ccxt makes of a venue's replies, beside what our outcome tables make of the same bytes.

The traps carry the numbers of docs/incidents.md (T1 to T14). Each test runs ccxt's own class over HTTP against a
loopback server, so that a newer ccxt which closes or opens a trap is noticed here.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import ccxt
import ccxt.async_support
import pytest
from aiohttp import web

from live import decode_kraken, order_form
from live.model import Accepted, Gone, Leg, OrderSide, OrderSpec, OrderType, Rejected, Unknown
from live.outcome import Reply, read_cancel, read_submit
from live.venue import KrakenFuturesVenue
from prodsafe.errors import VenueUnreadable

SYMBOL = "BTC/USD:USD"
MARKET: dict[str, Any] = {
    "id": "PF_XBTUSD",
    "symbol": SYMBOL,
    "base": "BTC",
    "quote": "USD",
    "settle": "USD",
    "baseId": "XBT",
    "quoteId": "USD",
    "settleId": "USD",
    "type": "swap",
    "spot": False,
    "margin": False,
    "swap": True,
    "future": False,
    "option": False,
    "active": True,
    "contract": True,
    "linear": True,
    "inverse": False,
    "contractSize": 1.0,
    "precision": {"amount": 0.001, "price": 0.5},
    "limits": {"amount": {"min": 0.001}, "price": {}, "cost": {}, "leverage": {}},
    "info": {"orderTypes": ["MARKET", "LIMIT", "STOP_MARKET"]},
}
ORDER_ID = "179f9af8-e45e-469d-b3e9-2fd4675cb7d0"


@dataclass
class Venue:
    """Answers everything with what it is told, and remembers what it was asked."""

    url: str = ""
    status: int = 200
    text: str = "{}"
    seen: list[web.Request] = field(default_factory=list)
    opened: list[Any] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.seen.append(request)
        return web.Response(status=self.status, text=self.text, content_type="application/json")

    def say(self, body: object, status: int = 200) -> Reply:
        self.status, self.text = status, body if isinstance(body, str) else json.dumps(body)
        return Reply(self.status, self.text)

    def exchange(self, exchange_id: str) -> Any:
        exchange = getattr(ccxt.async_support, exchange_id)({"apiKey": "k", "secret": "c2VjcmV0IHNlY3JldA=="})
        exchange.urls["api"] = self._here(exchange.urls["api"])
        exchange.set_markets([MARKET])
        exchange.options |= {"enableUnifiedMargin": False, "enableUnifiedAccount": True, "unifiedMarginStatus": 6}
        judge = exchange.handle_errors  # Binance's classes depend on the host that answered
        exchange.handle_errors = lambda status, reason, url, *rest: judge(
            status, reason, url.replace(self.url, "https://fapi.binance.com"), *rest
        )
        self.opened.append(exchange)
        return exchange

    def _here(self, urls: Any) -> Any:
        if isinstance(urls, str):
            return self.url + urlsplit(urls.replace("{hostname}", "venue.example")).path
        return {name: self._here(inner) for name, inner in urls.items()}

    @property
    def asked(self) -> dict[str, str]:
        """The last request's query."""
        return {name: values[-1] for name, values in parse_qs(self.seen[-1].query_string).items()}


@pytest.fixture
async def venue() -> AsyncIterator[Venue]:
    told = Venue()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", told.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    told.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield told
    for exchange in told.opened:
        await exchange.close()
    await runner.cleanup()


async def ccxt_says(ask: Any) -> Any:
    """The class of what ccxt raises, or what it returns."""
    try:
        return await ask
    except ccxt.BaseError as raised:
        return type(raised)


def sent(status: str, **more: object) -> dict[str, Any]:
    return {"result": "success", "sendStatus": {"status": status, **more}}


def error(word: str) -> dict[str, Any]:
    return {"result": "error", "error": word}


def code(number: int) -> dict[str, Any]:
    return {"code": number, "msg": "as the venue words it"}


def ret_code(number: int) -> dict[str, Any]:
    return {"retCode": number, "retMsg": "as the venue words it", "result": {}}


KRAKEN, BYBIT, BINANCE = "krakenfutures", "bybit", "binanceusdm"

# (venue, HTTP code, body, the class that ccxt raises, what it means). The class alone decides nothing: the same one
# stands for both meanings, in the network family as well as outside of it.
VERDICTS: list[tuple[str, int, Any, Any, Any]] = [
    (KRAKEN, 200, sent("marketSuspended"), ccxt.ExchangeNotAvailable, Rejected),  # trap 4
    (KRAKEN, 200, sent("wouldNotReducePosition"), ccxt.ExchangeError, Rejected),  # trap 4
    (KRAKEN, 200, sent("selfFill"), ccxt.ExchangeError, Rejected),  # trap 4
    (KRAKEN, 200, sent("tooManySmallOrders"), ccxt.ExchangeError, Rejected),  # trap 4
    (KRAKEN, 200, sent("maxPositionViolation"), ccxt.BadRequest, Rejected),  # trap 4
    (KRAKEN, 200, sent("clientOrderIdAlreadyExist"), ccxt.DuplicateOrderId, Unknown),
    (KRAKEN, 200, error("Server Error"), ccxt.ExchangeError, Unknown),  # trap 5
    (KRAKEN, 500, error("Server Error"), ccxt.ExchangeError, Unknown),  # trap 5
    (KRAKEN, 200, error("unknownError"), ccxt.ExchangeError, Unknown),  # trap 5
    (KRAKEN, 200, error("Unavailable"), ccxt.ExchangeNotAvailable, Unknown),
    (KRAKEN, 200, error("nonceDuplicate"), ccxt.InvalidNonce, Unknown),
    (KRAKEN, 200, error("Json Parse Error"), ccxt.ExchangeError, Rejected),
    (KRAKEN, 429, "slow down", ccxt.RateLimitExceeded, Rejected),  # trap 14: the network family
    (KRAKEN, 429, error("apiLimitExceeded"), ccxt.DDoSProtection, Rejected),  # trap 14
    (KRAKEN, 200, error("apiLimitExceeded"), ccxt.RateLimitExceeded, Rejected),  # trap 14
    (KRAKEN, 503, "<html>", ccxt.ExchangeNotAvailable, Unknown),
    (BYBIT, 200, ret_code(110072), ccxt.InvalidOrder, Unknown),  # duplicate id: an earlier send arrived
    (BYBIT, 200, ret_code(10016), ccxt.ExchangeError, Unknown),  # trap 5
    (BYBIT, 200, ret_code(10000), ccxt.ExchangeError, Unknown),  # trap 5
    (BYBIT, 200, ret_code(110007), ccxt.InsufficientFunds, Rejected),
    (BYBIT, 200, ret_code(110017), ccxt.InvalidOrder, Rejected),
    (BYBIT, 200, ret_code(10006), ccxt.RateLimitExceeded, Rejected),
    (BYBIT, 200, ret_code(10002), ccxt.InvalidNonce, Rejected),
    (BYBIT, 200, ret_code(110066), ccxt.ExchangeError, Rejected),
    (BINANCE, 400, code(-4116), ccxt.InvalidOrder, Unknown),  # duplicate id: an earlier send arrived
    (BINANCE, 503, code(-1006), ccxt.OperationFailed, Unknown),  # trap 5
    (BINANCE, 503, code(-1001), ccxt.OperationFailed, Unknown),  # trap 5
    (BINANCE, 408, code(-1007), ccxt.RequestTimeout, Unknown),  # trap 5
    (BINANCE, 503, code(-1008), ccxt.OperationFailed, Rejected),  # as -1006 to ccxt, and a failure by the documents
    (BINANCE, 400, code(-2019), ccxt.InsufficientFunds, Rejected),
    (BINANCE, 400, code(-2021), ccxt.OrderImmediatelyFillable, Rejected),
    (BINANCE, 400, code(-2022), ccxt.InvalidOrder, Rejected),
    (BINANCE, 400, code(-2023), ccxt.OperationFailed, Rejected),  # as -1006 to ccxt
]


@pytest.mark.parametrize(
    ("exchange_id", "status", "body", "raised", "meaning"),
    VERDICTS,
    ids=[f"{row[0]}-{row[1]}-{str(row[2])[:60]}" for row in VERDICTS],
)
async def test_traps_4_5_and_14_the_class_does_not_tell_what_the_table_tells(
    venue: Venue, exchange_id: str, status: int, body: Any, raised: type[Exception], meaning: type
) -> None:
    reply = venue.say(body, status)

    said = await ccxt_says(
        venue.exchange(exchange_id).create_order(SYMBOL, "market", "buy", 0.01, None, {"clientOrderId": "ps-a-1-1-e"})
    )

    assert said is raised
    outcome = read_submit(exchange_id, reply)
    assert isinstance(outcome, meaning)
    assert getattr(outcome, "unlisted", None) is None


def test_traps_4_5_and_14_one_class_stands_for_both_meanings() -> None:
    meanings: dict[type[Exception], set[type]] = {}
    for _, _, _, raised, meaning in VERDICTS:
        meanings.setdefault(raised, set()).add(meaning)

    both = {raised for raised, found in meanings.items() if found == {Rejected, Unknown}}
    assert {ccxt.ExchangeError, ccxt.ExchangeNotAvailable, ccxt.InvalidOrder, ccxt.OperationFailed} <= both


@pytest.mark.parametrize(
    ("exchange_id", "body", "order_id"),
    [
        (KRAKEN, sent("placed", order_id=ORDER_ID), ORDER_ID),
        (BYBIT, {"retCode": 0, "retMsg": "OK", "result": {"orderId": ORDER_ID, "orderLinkId": "x"}}, ORDER_ID),
        (BINANCE, {"orderId": 283194212, "symbol": "PF_XBTUSD", "status": "NEW", "clientOrderId": "x"}, "283194212"),
    ],
)
async def test_an_acceptance_is_one_to_both(venue: Venue, exchange_id: str, body: Any, order_id: str) -> None:
    reply = venue.say(body)

    order = await venue.exchange(exchange_id).create_order(SYMBOL, "market", "buy", 0.01)

    assert order["id"] == order_id
    assert read_submit(exchange_id, reply) == Accepted(order_id)


async def test_trap_1_an_upper_case_ioc_goes_out_as_a_resting_order(venue: Venue) -> None:
    venue.say(sent("placed", order_id=ORDER_ID))

    await venue.exchange(KRAKEN).create_order(SYMBOL, "limit", "buy", 0.01, 60000, {"timeInForce": "IOC"})

    assert venue.asked["orderType"] == "lmt"
    assert "IOC" not in str(order_form.ccxt_arguments(spec(), datetime.now(UTC)))  # the door never relies on it


async def test_trap_2_a_dead_man_of_less_than_a_second_disarms(venue: Venue) -> None:
    """ccxt takes milliseconds and cuts them to seconds; the door sends whole seconds by itself."""
    venue.say({"result": "success", "status": {"currentTime": "2026-01-01T00:00:00.000Z", "triggerTime": "0"}})
    exchange = venue.exchange(KRAKEN)

    await exchange.cancel_all_orders_after(500)
    disarmed = venue.asked["timeout"]
    await exchange.cancel_all_orders_after(1500)

    assert (disarmed, venue.asked["timeout"]) == ("0", "1")


@pytest.mark.parametrize("word", ["wouldCauseLiquidation", "somethingNew"])
async def test_trap_3_a_refusal_that_ccxt_does_not_know_passes_as_an_order(venue: Venue, word: str) -> None:
    reply = venue.say(sent(word))

    order = await venue.exchange(KRAKEN).create_order(SYMBOL, "market", "buy", 0.01)

    assert (order["id"], order["status"]) == (None, word)
    outcome = read_submit(KRAKEN, reply)
    assert not isinstance(outcome, Accepted)
    assert getattr(outcome, "unlisted", None) == (None if word == "wouldCauseLiquidation" else "status somethingNew")


@pytest.mark.parametrize(("path", "method"), [("openorders", "fetch_open_orders"), ("fills", "fetch_my_trades")])
async def test_trap_6_a_reply_without_its_list_is_empty_to_ccxt(venue: Venue, path: str, method: str) -> None:
    reply = venue.say({"result": "success", "serverTime": "2026-01-01T00:00:00.000Z"})

    assert await getattr(venue.exchange(KRAKEN), method)(SYMBOL) == []
    with pytest.raises(VenueUnreadable):
        decode_kraken.read_payload(path, reply)


async def test_trap_7_filled_and_not_found_are_one_class_to_ccxt_and_an_unknown_word_is_success(venue: Venue) -> None:
    said, ours = [], []
    for word in ("filled", "notFound", "perhaps"):
        reply = venue.say({"result": "success", "cancelStatus": {"status": word, "order_id": ORDER_ID}})
        said.append(await ccxt_says(venue.exchange(KRAKEN).cancel_order(ORDER_ID)))
        ours.append(read_cancel(KRAKEN, reply))

    assert said[:2] == [ccxt.OrderNotFound, ccxt.OrderNotFound]
    assert isinstance(said[2], dict)
    assert ours[:2] == [Gone("filled"), Gone("notFound")]
    assert isinstance(ours[2], Unknown) and ours[2].unlisted == "status perhaps"


async def test_trap_8_an_edit_drops_the_trigger_and_sends_the_size_unrounded(venue: Venue) -> None:
    venue.say({"result": "success", "editStatus": {"status": "edited", "orderId": ORDER_ID}})

    await venue.exchange(KRAKEN).edit_order(
        ORDER_ID, SYMBOL, "market", "sell", 0.0123456, None, {"triggerPrice": 61000}
    )

    assert "stopPrice" not in venue.asked
    assert venue.asked["size"] == "0.0123456"
    assert not hasattr(KrakenFuturesVenue, "edit")  # a stop is replaced: place, see it live, cancel the old one


def spec(**changes: Any) -> OrderSpec:
    made: dict[str, Any] = {
        "client_order_id": "ps-a-1-1-s",
        "position_id": "ps-a-1-1",
        "symbol": SYMBOL,
        "side": OrderSide.SELL,
        "leg": Leg.STOP,
        "type": OrderType.STOP,
        "qty": Decimal("0.01"),
        "trigger_price": Decimal(61000),
        "reduce_only": True,
    }
    return OrderSpec(**(made | changes))


@pytest.mark.parametrize(
    ("params", "lost"),
    [
        ({"stopLossPrice": 61000, "takeProfitPrice": 70000}, "70000"),  # trap 9: the take-profit is not sent
        ({"trailingPercent": 1}, "stopPrice"),  # trap 9: a market order with a field that nobody reads
        ({"stopPrice": 61000.123}, "61000.000"),  # trap 10: sent as it is, off the tick
    ],
)
async def test_traps_9_and_10_what_ccxt_would_send_is_compared_with_what_was_meant(
    venue: Venue, params: dict[str, Any], lost: str
) -> None:
    venue.say(sent("placed", order_id=ORDER_ID))
    expires_at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=2)
    meant = order_form.send_query(spec(), "PF_XBTUSD", expires_at)
    named = {"clientOrderId": "ps-a-1-1-s", "processBefore": order_form.instant(expires_at), "reduceOnly": True}

    await venue.exchange(KRAKEN).create_order(SYMBOL, "market", "sell", 0.01, None, named | params)

    url = str(venue.seen[-1].url)
    assert lost not in url
    assert order_form.difference(url, "/sendorder", meant) is not None


async def test_trap_11_without_events_ccxt_names_no_client_order(venue: Venue) -> None:
    reply = venue.say(sent("placed", order_id=ORDER_ID))

    order = await venue.exchange(KRAKEN).create_order(
        SYMBOL, "market", "buy", 0.01, None, {"clientOrderId": "ps-a-1-1-e"}
    )

    assert order["clientOrderId"] is None
    assert read_submit(KRAKEN, reply) == Accepted(ORDER_ID)  # fills are joined to our order by this id


async def test_trap_12_an_open_limit_order_has_no_price_to_ccxt(venue: Venue) -> None:
    row = {
        "order_id": ORDER_ID,
        "symbol": "PF_XBTUSD",
        "side": "buy",
        "orderType": "lmt",
        "limitPrice": 10640,
        "unfilledSize": 0.01,
        "filledSize": 0,
        "receivedTime": "2026-01-01T00:00:00.000Z",
        "status": "untouched",
        "reduceOnly": False,
    }
    reply = venue.say({"result": "success", "openOrders": [row], "serverTime": "2026-01-01T00:00:00.000Z"})

    [order] = await venue.exchange(KRAKEN).fetch_open_orders()
    [ours] = decode_kraken.read_open_orders(decode_kraken.read_payload("openorders", reply), {"PF_XBTUSD": SYMBOL})

    assert order["price"] is None
    assert ours.limit_price == 10640

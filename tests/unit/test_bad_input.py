"""Every mutation of a valid reply: the same meaning, unreadable, or unknown. Never flat, never a guess, never a crash.

The valid replies are the simulated venue's own, of an account with positions, orders of every kind, fills and history.
One value anywhere in the JSON is taken out or poisoned, then the real decoder reads it. What it lets through must mean
what the original meant, except where `permitted` says, difference by difference, what a venue may leave out or rename.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from live import decode_kraken
from live.decode import Row
from live.model import Accepted, Gone, OrderType, Rejected, Unknown, VenueOrderStatus
from live.outcome import Reply, parse_json, read_cancel, read_submit
from live.outcome.reply import plain_id
from live.simulator.asked import Asked
from live.simulator.kraken_futures import KrakenFutures, signature
from live.simulator.scenarios import make_scenario
from live.simulator.world import Customer, World
from prodsafe.errors import VenueUnreadable

BEGAN_AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
NAMES = {"PF_XBTUSD": "BTC/USD:USD", "PF_ETHUSD": "ETH/USD:USD", "PF_SOLUSD": "SOL/USD:USD", "PF_XRPUSD": "XRP/USD:USD"}
OURS = [f"ps-a1-1-{number}-{leg}" for number, leg in ((1, "e"), (1, "s"), (2, "e"), (3, "e"), (4, "e"))]
KEY, SECRET = "key", "c2VjcmV0IHNlY3JldA=="
FEES = {"maker": Decimal("0.0002"), "taker": Decimal("0.0005")}
V3 = "/derivatives/api/v3"

Spot = tuple[Any, ...]


class Desk:
    """A customer at the simulated venue: signs a request, gets the reply's text."""

    def __init__(self) -> None:
        scenario = make_scenario("default", seed=3, began_at=BEGAN_AT)
        self.world = World(scenario, [Customer("main", KEY, SECRET)], began_at=BEGAN_AT, seed=3)
        self.api = KrakenFutures(self.world)
        self.now = BEGAN_AT

    def ask(self, path: str, method: str = "GET", **params: str) -> str:
        query, nonce = urlencode(params), "1"
        authent = signature(query + nonce + path.removeprefix("/derivatives"), SECRET)
        headers = {"APIKey": KEY, "Nonce": nonce, "Authent": authent}
        self.now += timedelta(milliseconds=10)
        answer = self.api.answer(Asked(method, path, query, "", headers), self.now)
        return json.dumps(answer.body, default=float)

    def send(self, client_order_id: str, symbol: str, side: str, size: str, kind: str, **more: str) -> str:
        order = {"symbol": symbol, "side": side, "size": size, "orderType": kind, "cliOrdId": client_order_id}
        return self.ask(f"{V3}/sendorder", "POST", **order, **more)


@dataclass(frozen=True, slots=True)
class Read:
    path: str
    text: str
    rows: str
    read: Callable[[Row], Any]

    def __call__(self, text: str) -> Any:
        payload = decode_kraken.read_payload(self.path, Reply(200, text))
        found = self.read(payload)
        decode_kraken.server_time(payload)
        return found


@cache
def replies() -> tuple[dict[str, Read], dict[str, str]]:
    """Every read of the venue, and the replies to two sends and a cancel."""
    desk = Desk()
    price = desk.world.venue.quotes["PF_XBTUSD"].last
    entered = desk.send(OURS[0], "PF_XBTUSD", "buy", "0.01", "mkt")
    stop_price = str((price * Decimal("0.9")).quantize(Decimal(1)))
    stopped = desk.send(
        OURS[1], "PF_XBTUSD", "sell", "0.01", "stp", stopPrice=stop_price, triggerSignal="mark", reduceOnly="true"
    )
    resting = json.loads(desk.send(OURS[2], "PF_ETHUSD", "buy", "0.1", "lmt", limitPrice="100"))
    desk.send(OURS[3], "PF_ETHUSD", "sell", "0.2", "mkt")
    desk.send(OURS[4], "PF_SOLUSD", "buy", "1", "lmt", limitPrice="1")
    cancelled = desk.ask(f"{V3}/cancelorder", "POST", order_id=resting["sendStatus"]["order_id"])
    start = int((BEGAN_AT - timedelta(hours=6)).timestamp())
    types = dict.fromkeys(OURS, OrderType.LIMIT) | {OURS[0]: OrderType.MARKET, OURS[3]: OrderType.MARKET}

    def read(path: str, rows: str, url: str, reader: Callable[[Row], Any], **params: str) -> Read:
        return Read(path, desk.ask(url, **params), rows, reader)

    def history(payload: Row) -> Any:
        return decode_kraken.read_history([payload], NAMES, set(OURS))

    reads = {
        "instruments": read(
            "instruments", "instruments", f"{V3}/instruments", lambda p: decode_kraken.read_instruments(p, NAMES)
        ),
        "tickers": read(
            "tickers",
            "tickers",
            f"{V3}/tickers",
            lambda p: decode_kraken.read_tickers(p, NAMES, list(NAMES.values()), BEGAN_AT),
        ),
        "candles": read(
            "charts",
            "candles",
            "/api/charts/v1/trade/PF_XBTUSD/1h",
            lambda p: decode_kraken.read_candles(p, "BTC/USD:USD", timedelta(hours=1)),
            **{"from": str(start)},
        ),
        "account": read("accounts", "accounts", f"{V3}/accounts", lambda p: decode_kraken.read_account(p, BEGAN_AT)),
        "positions": read(
            "openpositions", "openPositions", f"{V3}/openpositions", lambda p: decode_kraken.read_positions(p, NAMES)
        ),
        "open orders": read(
            "openorders", "openOrders", f"{V3}/openorders", lambda p: decode_kraken.read_open_orders(p, NAMES)
        ),
        "order status": read(
            "orders/status",
            "orders",
            f"{V3}/orders/status",
            lambda p: decode_kraken.read_order_statuses(p, NAMES, types),
        ),
        "fills": read("fills", "fills", f"{V3}/fills", lambda p: decode_kraken.read_fills(p, NAMES, FEES)),
        "order history": read("history", "elements", "/api/history/v2/orders", history),
        "trigger history": read("history", "elements", "/api/history/v2/triggers", history),
    }
    return reads, {"entry": entered, "stop": stopped, "cancel": cancelled}


READS = sorted(replies()[0])

GONE = object()
POISONS: tuple[Any, ...] = (
    GONE,
    None,
    -1,
    -0.5,
    float("nan"),
    float("inf"),
    float("-inf"),
    1e300,
    10**40,
    "",
    " ",
    "NaN",
    "-1",
    "1e400",
    "<html>",
    "much",
    "PF_NOWHERE",
    [],
    {},
    [None],
    {"a": 1},
)


def spots(value: Any, at: Spot = ()) -> Iterator[Spot]:
    """The path of every value in a JSON tree but the root."""
    inner = list(value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ())
    for key, each in inner:
        yield (*at, key)
        yield from spots(each, (*at, key))


def mutated(text: str, spot: Spot, poison: Any) -> str:
    tree = json.loads(text)
    place = tree
    for key in spot[:-1]:
        place = place[key]
    if poison is GONE:
        del place[spot[-1]]
    else:
        place[spot[-1]] = copy.deepcopy(poison)
    return json.dumps(tree)


def items(found: Any) -> list[Any]:
    return list(found.values()) if isinstance(found, dict) else list(found) if isinstance(found, list) else [found]


def permitted(name: str, spot: Spot, row: Any, field: str, new: Any) -> bool:
    """Whether a reader may take `new` for `field` of `row`: what a venue may leave out, rename, or word anew."""
    match field:
        case "client_order_id":  # optional everywhere; without it, or with another, the order is foreign
            return spot[-1] in ("cliOrdId", "clientId")
        case "symbol":  # a contract of no name here keeps its own: seen, and foreign
            return isinstance(new, str) and new not in NAMES.values() and spot[-1] in ("symbol", "tradeable")
        case "venue_order_id" | "fill_id":  # any plain text may be an id; joined by it, it matches nothing of ours
            return isinstance(new, str) and bool(new) and spot[-1] in ("order_id", "orderId", "uid", "fill_id")
        case "status":  # a word of no meaning here, or a type that we never send: alive, and alarming
            return new is VenueOrderStatus.UNKNOWN
        case "type":
            return new is OrderType.LIMIT and spot[-1] in ("orderType", "cliOrdId")
        case "limit_price" | "trigger_price":  # only where it decides nothing: the order has ended or was triggered
            return new is None and row.status is not VenueOrderStatus.OPEN
        case "fee_quote":  # an unheard kind of fill pays the higher rate
            return spot[-1] == "fillType" and new > row.fee_quote
        case "equity_quote" | "available_quote":  # may be below zero, and then allow nothing
            return isinstance(new, Decimal) and new < 0
        case "max_leverage" | "margin_levels":  # told nothing of margin, the least leverage is assumed
            return "marginLevels" in spot and row.max_leverage >= 1
        case "qty_step" | "min_qty":  # minus one digit is a step of ten: a venue does list such contracts
            return spot[-1] == "contractValueTradePrecision" and new == 10
        case "quoted_at" | "funding_rate_hourly":  # optional
            return spot[-1] in ("serverTime", "fundingRate")
    return False


def may_lack(name: str, spot: Spot, rows: str) -> bool:
    """Where a row may go missing without a refusal: the list itself was cut, or a name or kind is none of ours."""
    taken_out = spot[0] == rows and (len(spot) <= 2 or spot[-1] in ("symbol", "clientId"))
    not_quoted = name == "tickers" and spot[-1] in ("bid", "ask", "markPrice")
    last_trading = name == "instruments" and spot[-1] in ("lastTradingTime", "tradeable")
    return taken_out or not_quoted or last_trading or (name.endswith("history") and len(spot) >= 3)


@pytest.mark.parametrize("name", READS)
def test_the_valid_reply_is_read(name: str) -> None:
    read = replies()[0][name]

    assert len(items(read(read.text))) >= 1


@settings(max_examples=1500, deadline=None)
@given(st.sampled_from(READS), st.data(), st.sampled_from(POISONS))
def test_one_poisoned_value_changes_nothing_or_makes_the_read_unreadable(name: str, data: Any, poison: Any) -> None:
    read = replies()[0][name]
    spot = data.draw(st.sampled_from(sorted(spots(json.loads(read.text)), key=str)))
    before = read(read.text)

    try:
        after = read(mutated(read.text, spot, poison))
    except VenueUnreadable:
        return

    judge(name, read, spot, poison, before, after)


def judge(name: str, read: Read, spot: Spot, poison: Any, before: Any, after: Any) -> None:
    """Fails on a reading that is neither the original nor a permitted difference from it."""
    told = f"{name} at {spot} with {poison!r}"
    old, new = items(before), items(after)
    if len(new) != len(old):
        assert len(new) < len(old) and may_lack(name, spot, read.rows), f"{told}: rows are missing"
        assert all(row in old for row in new) or name.endswith("history"), told
        return
    for was, now in zip(old, new, strict=True):
        for field in fields(was):
            value = getattr(now, field.name)
            if value != getattr(was, field.name) and not name.endswith("history"):
                assert permitted(name, spot, was, field.name, value), f"{told}: {field.name} became {value!r}"
            assert not isinstance(value, Decimal) or value.is_finite(), told


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(["order history", "trigger history"]), st.data(), st.sampled_from(POISONS))
def test_a_poisoned_history_never_ends_an_order_that_had_not_ended(name: str, data: Any, poison: Any) -> None:
    """An event that is lost or unheard of may leave an order alive; it never makes a living one dead or filled."""
    read = replies()[0][name]
    spot = data.draw(st.sampled_from(sorted(spots(json.loads(read.text)), key=str)))
    before = read(read.text)

    try:
        after = read(mutated(read.text, spot, poison))
    except VenueUnreadable:
        return

    alive = {VenueOrderStatus.OPEN, VenueOrderStatus.UNKNOWN}
    for client_order_id, order in after.items():
        was = before.get(client_order_id)
        assert was is not None and order.filled_qty <= was.filled_qty
        assert was.status not in alive or order.status in alive, f"{spot} {poison!r}"


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(READS), st.data())
def test_a_truncated_reply_is_unreadable(name: str, data: Any) -> None:
    read = replies()[0][name]

    with pytest.raises(VenueUnreadable):
        read(read.text[: data.draw(st.integers(0, len(read.text) - 1))])


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("text", ["", "<html>", "[]", "null", '{"result":"error","error":"unknownError"}', "NaN"])
def test_what_is_no_reply_at_all_is_unreadable(name: str, text: str) -> None:
    with pytest.raises(VenueUnreadable):
        replies()[0][name](text)


@pytest.mark.parametrize("name", ["positions", "fills", "open orders", "candles"])
def test_a_row_that_comes_twice_is_never_counted_twice(name: str) -> None:
    """Duplicate ids: refused, or the same row under the same id, which the book and the feeds keep once."""
    read = replies()[0][name]
    tree = json.loads(read.text)
    tree[read.rows].append(tree[read.rows][0])

    try:
        found = items(read(json.dumps(tree)))
    except VenueUnreadable:
        return

    keys = [(getattr(row, "fill_id", None), getattr(row, "venue_order_id", None)) for row in found]
    assert name != "positions"
    assert found[-1] == found[0] and (name == "candles" or keys[-1] == keys[0])


def test_an_empty_list_is_empty_only_where_the_venue_says_so() -> None:
    """The decoder cannot know better; reconcile wants a second reading before it believes one."""
    for name in ("positions", "open orders", "fills"):
        read = replies()[0][name]
        tree = json.loads(read.text)

        assert read(json.dumps(tree | {read.rows: []})) == []
        for poison in (None, {}, "", 0, False):
            with pytest.raises(VenueUnreadable):
                read(json.dumps(tree | {read.rows: poison}))


# --- replies to what we send ------------------------------------------------------------------------------------------


def outcome(which: str, text: str, status: int = 200) -> Any:
    if which == "cancel":
        return read_cancel("krakenfutures", Reply(status, text))
    return read_submit("krakenfutures", Reply(status, text), client_order_id=OURS[0] if which == "entry" else OURS[1])


@settings(max_examples=800, deadline=None)
@given(st.sampled_from(["entry", "stop", "cancel"]), st.data(), st.sampled_from(POISONS))
def test_one_poisoned_value_in_the_reply_to_a_send_is_the_same_or_unknown(which: str, data: Any, poison: Any) -> None:
    text = replies()[1][which]
    tree = json.loads(text)
    spot = data.draw(st.sampled_from(sorted(spots(tree), key=str)))
    before = outcome(which, text)

    after = outcome(which, mutated(text, spot, poison))

    assert isinstance(before, Accepted)
    if spot[-1] == "order_id" and plain_id(poison):
        assert after == Accepted(poison)  # it may be an id; find_orders by our own id shows the truth
    else:
        assert after == before or isinstance(after, Unknown) or (which == "cancel" and spot[-1] == "order_id")


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["entry", "stop", "cancel"]), st.data(), st.sampled_from([200, 400, 500, 503]))
def test_half_a_reply_to_a_send_is_unknown(which: str, data: Any, status: int) -> None:
    text = replies()[1][which]

    assert isinstance(outcome(which, text[: data.draw(st.integers(0, len(text) - 1))], status), Unknown)


@given(
    st.recursive(
        st.none() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["result", "sendStatus", "cancelStatus", "status", "order_id", "error"]), inner
            )
        ),
        max_leaves=8,
    )
)
def test_any_tree_at_all_gives_an_outcome(tree: Any) -> None:
    text = json.dumps(tree)

    assert isinstance(outcome("entry", text), Accepted | Rejected | Unknown)
    assert isinstance(outcome("cancel", text), Accepted | Rejected | Gone | Unknown)


def test_numbers_are_read_exactly() -> None:
    assert parse_json("[0.1, 1e-9]") == [Decimal("0.1"), Decimal("1e-9")]

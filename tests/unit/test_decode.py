"""What the venue says is read exactly or refused: never "flat", never "no orders", never a guess."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from live import decode, decode_kraken
from live.decode import Row
from live.model import OrderSide, OrderType, Side, VenueOrderStatus
from live.outcome import Reply
from prodsafe.errors import VenueUnreadable

NAMES = {"PF_XBTUSD": "BTC/USD:USD", "PF_ETHUSD": "ETH/USD:USD"}
FEES = {"maker": Decimal("0.0002"), "taker": Decimal("0.0005")}
NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINE = "ps-a1-1-7-s"


def body(path_key: str, rows: object, **more: object) -> Reply:
    return Reply(
        200, json.dumps({"result": "success", path_key: rows, "serverTime": "2026-01-01T00:00:00.000Z"} | more)
    )


def open_order(**changes: object) -> dict[str, Any]:
    return {
        "order_id": "59302619-41d2-4f0b-941f-7e7914760ad3",
        "cliOrdId": MINE,
        "symbol": "PF_XBTUSD",
        "side": "sell",
        "orderType": "stop",
        "stopPrice": 61200.5,
        "triggerSignal": "mark",
        "unfilledSize": 0.0695,
        "filledSize": 0,
        "status": "untouched",
        "reduceOnly": True,
        "receivedTime": "2026-01-01T00:00:00.000Z",
    } | changes


def position(**changes: object) -> dict[str, Any]:
    return {
        "side": "long",
        "symbol": "PF_XBTUSD",
        "price": 65000.1,
        "size": 0.02,
        "fillTime": "2026-01-01T00:00:00Z",
    } | (changes)


def fill(**changes: object) -> dict[str, Any]:
    return {
        "fill_id": "3d57ed09",
        "order_id": "693af756",
        "symbol": "PF_XBTUSD",
        "side": "buy",
        "size": 0.1,
        "price": 60000,
        "fillTime": "2026-01-01T00:00:00.123Z",
        "fillType": "maker",
    } | changes


def status_row(**changes: object) -> dict[str, Any]:
    order = {
        "type": "ORDER",
        "orderId": "a111f276",
        "cliOrdId": MINE,
        "symbol": "PF_XBTUSD",
        "side": "buy",
        "quantity": 0.1,
        "filled": 0.04,
        "limitPrice": 40,
        "reduceOnly": False,
        "timestamp": "2026-02-13T12:09:03.738Z",
    }
    return {"order": order, "status": "ENTERED_BOOK", "updateReason": None, "error": None} | changes


def candle(**changes: object) -> dict[str, Any]:
    return {"time": 1767225600000, "open": "10.5", "high": "12", "low": "9", "close": "11", "volume": 0} | changes


def ticker(**changes: object) -> dict[str, Any]:
    return {"symbol": "PF_XBTUSD", "markPrice": 65000.25, "bid": 65000, "ask": 65000.5, "suspended": False} | changes


def instrument(**changes: object) -> dict[str, Any]:
    return {
        "symbol": "PF_XBTUSD",
        "type": "flexible_futures",
        "tradeable": True,
        "tickSize": 0.5,
        "contractSize": 1,
        "contractValueTradePrecision": 4,
        "marginLevels": [{"numNonContractUnits": 0, "initialMargin": 0.02, "maintenanceMargin": 0.01}],
    } | changes


def accounts(**changes: object) -> dict[str, Any]:
    flex = {"type": "multiCollateralMarginAccount", "portfolioValue": 10012.5, "availableMargin": 9000.25, "pnl": 12.5}
    return {"cash": {"type": "cashAccount"}, "flex": flex | changes}


def element(kind: str, at_ms: int, key: str = "order", **changes: object) -> dict[str, Any]:
    order = {
        "uid": "85805e01",
        "tradeable": "PF_XBTUSD",
        "direction": "Buy",
        "quantity": "0.1",
        "filled": "0",
        "limitPrice": "69.2",
        "orderType": "Limit",
        "clientId": MINE,
        "reduceOnly": False,
    } | changes
    return {"uid": f"e{at_ms}", "timestamp": 1767225600000 + at_ms, "event": {kind: {key: order, "reason": "x"}}}


# every read of the venue: its path, the key of its rows, one good row, and the reader
READS: dict[str, tuple[str, str, Any, Callable[[Row], Any]]] = {
    "open orders": ("openorders", "openOrders", [open_order()], lambda p: decode_kraken.read_open_orders(p, NAMES)),
    "positions": ("openpositions", "openPositions", [position()], lambda p: decode_kraken.read_positions(p, NAMES)),
    "fills": ("fills", "fills", [fill()], lambda p: decode_kraken.read_fills(p, NAMES, FEES)),
    "order status": (
        "orders/status",
        "orders",
        [status_row()],
        lambda p: decode_kraken.read_order_statuses(p, NAMES, {}),
    ),
    "candles": ("charts", "candles", [candle()], lambda p: decode_kraken.read_candles(p, "BTC/USD:USD", HOUR)),
    "tickers": (
        "tickers",
        "tickers",
        [ticker()],
        lambda p: decode_kraken.read_tickers(p, NAMES, ["BTC/USD:USD"], NOW),
    ),
    "instruments": ("instruments", "instruments", [instrument()], lambda p: decode_kraken.read_instruments(p, NAMES)),
    "account": ("accounts", "accounts", accounts(), lambda p: decode_kraken.read_account(p, NOW)),
    "history": (
        "history",
        "elements",
        [element("OrderPlaced", 0), element("OrderCancelled", 1)],
        lambda p: decode_kraken.read_history([p], NAMES, {MINE}),
    ),
}


def read(name: str, rows: Any = None, **more: object) -> Any:
    path, key, good, reader = READS[name]
    return reader(decode_kraken.read_payload(path, body(key, good if rows is None else rows, **more)))


# --- the shape ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", READS)
def test_a_reply_without_its_key_is_unreadable_and_not_empty(name: str) -> None:
    """Trap 4.3.6, W3: ccxt reads it as no orders, no fills, flat."""
    path, key, *_ = READS[name]

    with pytest.raises(VenueUnreadable, match=key):
        decode_kraken.read_payload(path, Reply(200, json.dumps({"result": "success"})))


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>maintenance</html>",
        "[]",
        "null",
        "7",
        '{"result": "success", "openOrders": [',
        '{"a": NaN}',
        "[" * 99999,
    ],
)
def test_a_body_that_is_no_json_object_is_unreadable(name: str, text: str) -> None:
    with pytest.raises(VenueUnreadable):
        decode_kraken.read_payload(READS[name][0], Reply(200, text))


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize(
    "more", [{"result": "error"}, {"result": "error", "error": "apiLimitExceeded"}, {"error": "x"}]
)
def test_an_error_under_http_200_is_unreadable_even_beside_rows(name: str, more: dict[str, object]) -> None:
    with pytest.raises(VenueUnreadable):
        read(name, **more)


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("status", [301, 401, 429, 500, 503])
def test_a_failing_http_code_is_unreadable_whatever_the_body(name: str, status: int) -> None:
    path, key, good, _ = READS[name]

    with pytest.raises(VenueUnreadable, match=str(status)):
        decode_kraken.read_payload(path, Reply(status, body(key, good).body))


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("status", [200, 401])
def test_a_key_that_the_venue_does_not_know_is_a_refusal_of_its_own(name: str, status: int) -> None:
    """No waiting mends it: at boot exit 1, so that no supervisor restarts into the same answer."""
    text = json.dumps({"result": "error", "error": "authenticationError", "serverTime": "2026-01-01T00:00:00.000Z"})

    with pytest.raises(VenueUnreadable) as caught:
        decode_kraken.read_payload(READS[name][0], Reply(status, text))

    assert (caught.value.refusals[0].id, caught.value.exit_code) == ("V09", 1)


def test_a_refusal_shows_what_was_seen_and_cut_short() -> None:
    with pytest.raises(VenueUnreadable) as caught:
        decode_kraken.read_payload("openorders", Reply(200, "x" * 5000))

    assert caught.value.refusals[0].id == "V01"
    assert len(caught.value.refusals[0].seen or "") == 200


# --- open orders ----------------------------------------------------------------------------------------------------


def test_a_resting_stop_is_read_exactly() -> None:
    [order] = read("open orders")

    assert (order.type, order.side, order.status) == (OrderType.STOP, OrderSide.SELL, VenueOrderStatus.OPEN)
    assert (order.qty, order.trigger_price, order.limit_price) == (Decimal("0.0695"), Decimal("61200.5"), None)
    assert (order.symbol, order.client_order_id, order.reduce_only) == ("BTC/USD:USD", MINE, True)


def test_the_limit_price_comes_from_the_venues_own_field() -> None:
    """Trap 4.3.12: ccxt's price of an open limit order is None."""
    [order] = read("open orders", [open_order(orderType="lmt", stopPrice=None, limitPrice=10640)])

    assert order.limit_price == Decimal(10640)


def test_filled_and_unfilled_make_the_size() -> None:
    [order] = read("open orders", [open_order(status="partiallyFilled", unfilledSize=0.03, filledSize=0.01)])

    assert (order.qty, order.filled_qty) == (Decimal("0.04"), Decimal("0.01"))


@pytest.mark.parametrize("word", ["untouched", "partiallyFilled", "ENTERED_BOOK", "entered_book", "TRIGGER_PLACED"])
def test_words_of_life_are_alive(word: str) -> None:
    """I39: entered_book was once read as dead."""
    [order] = read("open orders", [open_order(status=word)])

    assert order.status is VenueOrderStatus.OPEN


def test_an_unknown_word_is_alive_and_alarming() -> None:
    [order] = read("open orders", [open_order(status="pondering")])

    assert order.status is VenueOrderStatus.UNKNOWN


@pytest.mark.parametrize("word", ["take_profit", "trailing_stop", "brandNew"])
def test_a_type_that_is_not_ours_is_never_taken_for_a_stop(word: str) -> None:
    [order] = read("open orders", [open_order(orderType=word)])

    assert (order.type, order.status) == (OrderType.LIMIT, VenueOrderStatus.UNKNOWN)


@pytest.mark.parametrize(
    "changes",
    [
        {"order_id": None},  # I56: no id is made up
        {"order_id": ""},
        {"symbol": None},
        {"side": "both"},
        {"filledSize": None},  # I54
        {"unfilledSize": None},
        {"unfilledSize": -1},
        {"unfilledSize": 0},
        {"unfilledSize": "much"},
        {"unfilledSize": True},
        {"unfilledSize": "1e99"},
        {"stopPrice": None},
        {"stopPrice": 0},
        {"reduceOnly": None},
        {"reduceOnly": "true"},
        {"status": None},
    ],
)
def test_an_order_with_a_hole_in_it_makes_the_whole_read_unreadable(changes: dict[str, object]) -> None:
    with pytest.raises(VenueUnreadable):
        read("open orders", [open_order(), open_order(**changes)])


# --- positions, fills, account ----------------------------------------------------------------------------------------


def test_a_position_is_read_exactly() -> None:
    [found] = read("positions")

    assert (found.symbol, found.side) == ("BTC/USD:USD", Side.LONG)
    assert (found.qty, found.entry_price) == (Decimal("0.02"), Decimal("65000.1"))


def test_no_positions_is_flat_only_when_the_venue_says_so() -> None:
    assert read("positions", []) == []


@pytest.mark.parametrize("symbol", ["PI_XBTUSD", "fi_xbtusd_260327"])
def test_a_position_without_a_name_here_keeps_the_venues_own(symbol: str) -> None:
    """I50: it is seen, and it is foreign."""
    [found] = read("positions", [position(symbol=symbol)])

    assert found.symbol == symbol.upper()


@pytest.mark.parametrize(
    "changes",
    [{"price": 0}, {"price": None}, {"size": 0}, {"size": -2}, {"side": None}, {"side": "flat"}, {"symbol": 5}],
)
def test_a_senseless_position_is_unreadable(changes: dict[str, object]) -> None:
    """I55: an entry price of zero once gave a stop."""
    with pytest.raises(VenueUnreadable):
        read("positions", [position(**changes)])


def test_two_positions_of_one_symbol_are_unreadable() -> None:
    with pytest.raises(VenueUnreadable):
        read("positions", [position(), position(side="short")])


def test_a_fill_is_joined_by_order_id_and_its_fee_is_by_rate() -> None:
    """Trap 4.3.11: the venue's fills carry no client id."""
    [found] = read("fills")

    assert (found.fill_id, found.venue_order_id, found.client_order_id) == ("3d57ed09", "693af756", None)
    assert found.fee_quote == Decimal("0.1") * 60000 * FEES["maker"]
    assert found.filled_at == NOW + timedelta(milliseconds=123)


@pytest.mark.parametrize(
    "changes",
    [
        {"fill_id": None},
        {"order_id": None},
        {"size": 0},
        {"price": None},
        {"fillTime": "2026-01-01T00:00:00"},
        {"side": ""},
    ],
)
def test_a_senseless_fill_is_unreadable(changes: dict[str, object]) -> None:
    with pytest.raises(VenueUnreadable):
        read("fills", [fill(**changes)])


def test_equity_counts_open_profit() -> None:
    found = read("account")

    assert (found.equity_quote, found.available_quote) == (Decimal("10012.5"), Decimal("9000.25"))


@pytest.mark.parametrize(
    "changes", [{"portfolioValue": None}, {"availableMargin": "x"}, {"portfolioValue": float("1e300")}]
)
def test_an_account_without_its_numbers_is_unreadable(changes: dict[str, object]) -> None:
    with pytest.raises(VenueUnreadable):
        read("account", accounts(**changes))


def test_an_account_without_the_flex_wallet_is_unreadable() -> None:
    with pytest.raises(VenueUnreadable):
        read("account", {"cash": {}})


# --- markets ----------------------------------------------------------------------------------------------------------


def test_an_instrument_is_read_exactly() -> None:
    found = read("instruments", [instrument(), instrument(symbol="PF_ETHUSD", contractValueTradePrecision=-3)])

    btc, eth = found["BTC/USD:USD"], found["ETH/USD:USD"]
    assert (btc.tick_size, btc.qty_step, btc.min_qty, btc.max_leverage) == (
        Decimal("0.5"),
        Decimal("0.0001"),
        Decimal("0.0001"),
        Decimal(50),
    )
    assert eth.qty_step == 1000


def test_an_untradeable_instrument_is_left_out_and_none_at_all_is_unreadable() -> None:
    both = [instrument(), instrument(symbol="PF_ETHUSD", tradeable=False)]

    assert set(read("instruments", both)) == {"BTC/USD:USD"}
    with pytest.raises(VenueUnreadable):
        read("instruments", [instrument(tradeable=False)])
    with pytest.raises(VenueUnreadable):
        read("instruments", [])


def market(venue_id: str, symbol: str, *, swap: bool = True) -> dict[str, Any]:
    return {"id": venue_id, "symbol": symbol, "swap": swap}


def test_only_perpetuals_of_the_pf_family_own_names() -> None:
    """I49: PI_ symbols took the names of PF_ ones, and majors were suspended."""
    markets = [
        market("PF_XBTUSD", "BTC/USD:USD"),
        market("PI_XBTUSD", "BTC/USD:BTC"),
        market("FF_XBTUSD_260327", "BTC/USD:USD-260327", swap=False),
        market("in_xbtusd", "in_xbtusd", swap=False),
    ]

    assert decode_kraken.read_names(markets) == {"PF_XBTUSD": "BTC/USD:USD"}


def test_two_markets_of_one_name_are_unreadable() -> None:
    with pytest.raises(VenueUnreadable):
        decode_kraken.read_names([market("PF_XBTUSD", "BTC/USD:USD"), market("PF_BTCUSD", "BTC/USD:USD")])


def test_an_index_row_does_not_quote_a_perpetual() -> None:
    """I49: bid and ask of zero came from an index symbol."""
    found = read("tickers", [ticker(), ticker(symbol="PI_XBTUSD", bid=0, ask=0), {"symbol": "in_xbtusd", "last": 1}])

    assert found["BTC/USD:USD"].bid_price == Decimal(65000)


@pytest.mark.parametrize("changes", [{"bid": 0}, {"ask": None}, {"markPrice": None}])
def test_a_symbol_that_is_not_quoted_is_absent(changes: dict[str, object]) -> None:
    assert read("tickers", [ticker(**changes)]) == {}


def test_a_negative_quote_is_unreadable() -> None:
    with pytest.raises(VenueUnreadable):
        read("tickers", [ticker(bid=-1)])


def test_a_candle_is_read_exactly() -> None:
    [found] = read("candles")

    assert (found.opened_at, found.closed_at) == (NOW, NOW + HOUR)
    assert (found.open, found.high, found.low, found.close) == tuple(map(Decimal, ("10.5", "12", "9", "11")))


@pytest.mark.parametrize(
    "changes",
    [
        {"high": "8"},
        {"low": "11.5"},
        {"open": None},
        {"close": "0"},
        {"volume": -1},
        {"time": 1767225600},
        {"time": "x"},
    ],
)
def test_a_candle_that_contradicts_itself_is_unreadable(changes: dict[str, object]) -> None:
    with pytest.raises(VenueUnreadable):
        read("candles", [candle(**changes)])


# --- status and history: what became of an order ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("ENTERED_BOOK", VenueOrderStatus.OPEN),
        ("TRIGGER_PLACED", VenueOrderStatus.OPEN),
        ("FULLY_EXECUTED", VenueOrderStatus.FILLED),
        ("CANCELLED", VenueOrderStatus.CANCELLED),
        ("REJECTED", VenueOrderStatus.REJECTED),
        ("TRIGGER_ACTIVATION_FAILURE", VenueOrderStatus.REJECTED),
        ("SOMETHING", VenueOrderStatus.UNKNOWN),
    ],
)
def test_the_words_of_the_status_path(word: str, status: VenueOrderStatus) -> None:
    [order] = read("order status", [status_row(status=word)])

    assert order.status is status


def test_an_order_still_resting_in_the_history_is_open() -> None:
    """ccxt reports an unfilled OrderPlaced as cancelled."""
    found = read("history", [element("OrderPlaced", 0)])

    assert found[MINE].status is VenueOrderStatus.OPEN


def test_a_placed_order_with_nothing_left_is_filled() -> None:
    found = read("history", [element("OrderPlaced", 0, quantity="0", filled="0.1", limitPrice="", orderType="IoC")])

    assert (found[MINE].status, found[MINE].filled_qty, found[MINE].qty) == (
        VenueOrderStatus.FILLED,
        Decimal("0.1"),
        Decimal("0.1"),
    )
    assert found[MINE].type is OrderType.MARKET


def test_the_history_is_folded_in_time_however_it_is_listed() -> None:
    events = [
        element("OrderCancelled", 5, quantity="0.06", filled="0.04"),
        element("OrderUpdated", 3, "newOrder", quantity="0.06", filled="0.04"),
        element("OrderPlaced", 0),
    ]

    for listed in (events, events[::-1], [events[1], events[0], events[2]]):
        order = read("history", listed)[MINE]
        assert (order.status, order.filled_qty, order.qty) == (
            VenueOrderStatus.CANCELLED,
            Decimal("0.04"),
            Decimal("0.10"),
        )


def test_a_triggered_stop_stays_a_stop_with_its_trigger() -> None:
    """I37: it filled, it did not vanish."""
    trigger = {"triggerOptions": {"triggerPrice": "61000", "triggerSignal": "MarkPrice"}, "limitPrice": ""}
    found = read(
        "history",
        [
            element("OrderTriggerPlaced", 0, **trigger),
            element("OrderTriggerActivated", 9, **trigger),
            element("OrderPlaced", 9, orderType="IoC", limitPrice=""),
            element("OrderUpdated", 9, "newOrder", orderType="IoC", quantity="0", filled="0.1", limitPrice=""),
        ],
    )

    order = found[MINE]
    assert (order.type, order.trigger_price, order.status) == (OrderType.STOP, Decimal(61000), VenueOrderStatus.FILLED)


def test_an_event_of_an_unheard_kind_leaves_the_order_alive_and_alarming() -> None:
    found = read("history", [element("OrderPlaced", 0), element("OrderTeleported", 1)])

    assert found[MINE].status is VenueOrderStatus.UNKNOWN


def test_a_refused_cancel_changes_nothing() -> None:
    found = read("history", [element("OrderPlaced", 0), element("CancelRejected", 1)])

    assert found[MINE].status is VenueOrderStatus.OPEN


def test_the_history_of_others_is_not_ours() -> None:
    assert (
        read("history", [element("OrderPlaced", 0, clientId="somebody"), element("OrderPlaced", 1, clientId="")]) == {}
    )


# --- every mutation of a good reply -----------------------------------------------------------------------------------

GARBAGE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=6),
    st.sampled_from(["", "0", "-1", "NaN", "Infinity", "1e400", "success", "error", "<html>", [], {}, [[]], [None]]),
)


def spots(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value in a JSON tree."""
    inner = list(value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ())
    return [at, *(spot for key, each in inner for spot in spots(each, (*at, key)))]


def mutate(value: Any, spot: tuple[Any, ...], how: str, garbage: Any) -> Any:
    """The tree with one value replaced, dropped or doubled."""
    if not spot:
        return garbage
    tree = copy.deepcopy(value)
    place = tree
    for key in spot[:-1]:
        place = place[key]
    if how == "drop":
        del place[spot[-1]]
    elif how == "double" and isinstance(place, list):
        place.append(copy.deepcopy(place[spot[-1]]))
    else:
        place[spot[-1]] = garbage
    return tree


def sensible(found: Any) -> bool:
    """Whatever a decoder lets through holds only finite, positive-where-it-must numbers."""
    items = found.values() if isinstance(found, dict) else found if isinstance(found, list) else [found]
    for item in items:
        for name in ("qty", "price", "entry_price", "open", "low", "tick_size", "qty_step", "mark_price", "bid_price"):
            value = getattr(item, name, None)
            if value is not None and not (isinstance(value, Decimal) and value.is_finite() and value > 0):
                return False
    return True


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(sorted(READS)), st.data(), st.sampled_from(["replace", "drop", "double"]), GARBAGE)
def test_any_mutation_of_a_good_reply_is_sensible_or_unreadable(name: str, data: Any, how: str, garbage: Any) -> None:
    path, key, good, reader = READS[name]
    tree = json.loads(body(key, good).body)
    spot = data.draw(st.sampled_from(spots(tree)))
    text = json.dumps(mutate(tree, spot, how, garbage))

    try:
        payload = decode_kraken.read_payload(path, Reply(200, text))
        found = reader(payload)
        decode_kraken.server_time(payload)
    except VenueUnreadable:
        return
    assert sensible(found)


@given(st.sampled_from(sorted(READS)), st.data())
def test_any_cut_of_a_good_reply_is_unreadable(name: str, data: Any) -> None:
    path, key, good, _ = READS[name]
    text = body(key, good).body
    cut = data.draw(st.integers(0, len(text) - 1))

    with pytest.raises(VenueUnreadable):
        decode_kraken.read_payload(path, Reply(200, text[:cut]))


# --- ccxt's unified structures, for exchanges without their own decoder ----------------------------------------------

UNIFIED: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "order": (
        {
            "id": "1",
            "clientOrderId": MINE,
            "symbol": "BTC/USDT:USDT",
            "side": "buy",
            "type": "limit",
            "amount": "2",
            "filled": "0",
            "status": "open",
            "reduceOnly": None,
            "price": "100.5",
            "triggerPrice": None,
        },
        decode.unified_order,
    ),
    "fill": (
        {
            "id": "9",
            "order": "1",
            "symbol": "BTC/USDT:USDT",
            "side": "sell",
            "amount": "1",
            "price": "2",
            "timestamp": 1767225600000,
            "fee": {"cost": "0.1"},
        },
        decode.unified_fill,
    ),
    "position": (
        {"symbol": "BTC/USDT:USDT", "side": "short", "contracts": "3", "entryPrice": "5"},
        decode.unified_position,
    ),
    "ticker": (
        {"symbol": "BTC/USDT:USDT", "markPrice": "5", "bid": "4.9", "ask": "5.1"},
        lambda raw: decode.unified_ticker(raw, NOW),
    ),
    "account": ({"USDT": {"total": "5", "free": "4"}}, lambda raw: decode.unified_account(raw, "USDT", NOW)),
    "candles": (
        [[1767225600000, "1", "3", "1", "2", "5"]],
        lambda raw: decode.unified_candles(raw, "BTC/USDT:USDT", HOUR),
    ),
    "instrument": (
        {
            "id": "BTCUSDT",
            "symbol": "BTC/USDT:USDT",
            "swap": True,
            "linear": True,
            "active": True,
            "contractSize": "1",
            "precision": {"amount": "0.001", "price": "0.1"},
            "limits": {"amount": {"min": "0.001"}, "leverage": {"max": None}},
        },
        decode.unified_instrument,
    ),
}


@pytest.mark.parametrize("name", UNIFIED)
def test_a_unified_structure_is_read(name: str) -> None:
    good, reader = UNIFIED[name]

    assert sensible(reader(good))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(UNIFIED)), st.data(), st.sampled_from(["replace", "drop", "double"]), GARBAGE)
def test_any_mutation_of_a_unified_structure_is_sensible_or_unreadable(
    name: str, data: Any, how: str, garbage: Any
) -> None:
    good, reader = UNIFIED[name]

    try:
        found = reader(mutate(good, data.draw(st.sampled_from(spots(good))), how, garbage))
    except VenueUnreadable:
        return
    assert found is None or sensible(found)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"status": "closed", "filled": "2"}, VenueOrderStatus.FILLED),
        ({"status": "closed", "filled": "1"}, VenueOrderStatus.CANCELLED),
        ({"status": "expired"}, VenueOrderStatus.CANCELLED),
        ({"status": None}, VenueOrderStatus.UNKNOWN),
        ({"status": "weird"}, VenueOrderStatus.UNKNOWN),
    ],
)
def test_unified_status_words(changes: dict[str, object], status: VenueOrderStatus) -> None:
    assert decode.unified_order(UNIFIED["order"][0] | changes).status is status

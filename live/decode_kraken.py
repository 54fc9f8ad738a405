"""Kraken Futures' own replies, read strictly: the shape first, then each row. ccxt parses none of them. [P]

ccxt reads a reply without `openOrders` or `fills` as "none", and a resting order in the history as cancelled; so the
raw bodies are read here. Symbols come out in ccxt's unified names; what has no name keeps the venue's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from live.decode import Row, key_refused, make_candle, make_ticker, one_per_symbol, unreadable
from live.model import (
    Account,
    Candle,
    Fill,
    Instrument,
    MarginLevel,
    OrderSide,
    OrderType,
    Ticker,
    VenueOrder,
    VenueOrderStatus,
    VenuePosition,
)
from live.outcome import Reply, parse_json
from live.outcome.kraken_futures import error_word
from prodsafe.errors import VenueUnreadable

Names = Mapping[str, str]
"""The venue's symbol in capitals -> ccxt's unified symbol, for perpetuals of the PF_ family only."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What must be there before a reply is read. result: the venue says "result: success" on this path."""

    key: str
    is_list: bool = True
    result: bool = True


SHAPES: Mapping[str, Shape] = {
    "instruments": Shape("instruments"),
    "tickers": Shape("tickers"),
    "accounts": Shape("accounts", is_list=False),
    "openpositions": Shape("openPositions"),
    "openorders": Shape("openOrders"),
    "orders/status": Shape("orders"),
    "fills": Shape("fills"),
    "cancelallordersafter": Shape("status", is_list=False),
    "charts": Shape("candles", result=False),
    "history": Shape("elements", result=False),
}


def read_payload(path: str, reply: Reply) -> Row:
    """The reply's object, once its HTTP code, result word and required key are as they must be (W3, trap 4.3.6)."""
    shape = SHAPES[path]
    try:
        row = Row(parse_json(reply.body), path)
    except ValueError as error:
        what = f"the body is not JSON ({error})" if 200 <= reply.status < 300 else f"HTTP {reply.status}"
        raise unreadable(f"{path}: {what}", reply.body) from error
    result, word = row.raw.get("result"), row.raw.get("error")
    if not 200 <= reply.status < 300:
        raise _refusal(row, f"{path}: HTTP {reply.status} {word or ''}".rstrip(), reply)
    if (result != "success" and (shape.result or result is not None)) or word is not None:
        raise _refusal(row, f"{path}: the venue answers {result!r} {word!r}", reply)
    if not isinstance(row.raw.get(shape.key), list if shape.is_list else dict):
        raise unreadable(f"{path}: {shape.key} is missing", reply.body)
    return row


def _refusal(row: Row, cause: str, reply: Reply) -> VenueUnreadable:
    """A wrong key is a refusal of its own: nothing but a new one mends it."""
    refused = error_word(row.raw) == "authenticationError"
    return key_refused(cause, reply.body) if refused else unreadable(cause, reply.body)


def server_time(row: Row) -> datetime | None:
    """The venue's clock when it answered, UTC; None on the paths that do not tell."""
    return None if row.raw.get("serverTime") is None else row.time_iso("serverTime")


# --- markets -------------------------------------------------------------------------------------------------------


def read_names(markets: Iterable[object]) -> dict[str, str]:
    """Names of every linear perpetual, tradeable now or not: a suspension must not rename a position we hold.

    markets: ccxt's structures. PI_, FI_, index symbols own no name (I49, I50).
    """
    names: dict[str, str] = {}
    for raw in markets:
        row = Row(raw, "market")
        venue_id = row.text("id").upper()
        if not venue_id.startswith("PF_") or row.raw.get("swap") is not True:
            continue
        if row.text("symbol") in names.values():
            raise unreadable("two markets share one name", row.text("symbol"))
        names[venue_id] = row.text("symbol")
    if not names:
        raise unreadable("the venue lists no perpetual at all")
    return names


def read_instruments(payload: Row, names: Names) -> dict[str, Instrument]:
    """Tradeable perpetuals by unified symbol."""
    found = {}
    for row in payload.rows("instruments"):
        symbol = names.get(row.text("symbol").upper())
        if symbol is not None and row.flag("tradeable") and row.optional_text("lastTradingTime") is None:
            found[symbol] = _instrument(row, symbol)
    if not found:
        raise unreadable("the venue lists no tradeable perpetual")
    return found


def _instrument(row: Row, symbol: str) -> Instrument:
    digits = row.decimal("contractValueTradePrecision")
    if digits != digits.to_integral_value() or abs(digits) > 12:
        raise row.wrong("contractValueTradePrecision", "is no count of digits")
    step = Decimal(1).scaleb(-int(digits))
    levels = _margin_levels(row)
    return Instrument(
        symbol=symbol,
        venue_id=row.text("symbol").upper(),
        tick_size=row.positive("tickSize"),
        qty_step=step,
        min_qty=max(step, row.optional_positive("minimumTradeSize") or step),
        contract_size=row.positive("contractSize"),
        max_leverage=1 / levels[0].initial if levels else Decimal(1),
        margin_levels=levels,
    )


def _margin_levels(instrument: Row) -> tuple[MarginLevel, ...]:
    """Smallest notional first; more than the whole notional as margin, or less than nothing, is refused."""
    levels = []
    for row in instrument.rows("marginLevels"):
        initial, maintenance = row.positive("initialMargin"), row.positive("maintenanceMargin")
        if not maintenance <= initial <= 1:
            raise row.wrong("initialMargin", "is not between the maintenance margin and 1")
        begin = row.optional_decimal("numNonContractUnits") or row.optional_decimal("contracts") or Decimal(0)
        levels.append(MarginLevel(begin, initial, maintenance))
    return tuple(sorted(levels, key=lambda level: level.from_notional_quote))


def read_candles(payload: Row, symbol: str, timeframe: timedelta) -> list[Candle]:
    return [make_candle(row, symbol, timeframe, row.time_ms("time")) for row in payload.rows("candles")]


def read_tickers(payload: Row, names: Names, wanted: Sequence[str], read_at: datetime) -> dict[str, Ticker]:
    """The wanted symbols that are quoted; index rows share the list and are left alone (I49)."""
    found: dict[str, Ticker] = {}
    if not (rows := payload.rows("tickers")):
        raise unreadable("the venue quotes nothing at all")
    for row in rows:
        symbol = names.get(row.text("symbol").upper())
        if symbol in wanted and symbol is not None:
            ticker = make_ticker(row, symbol, read_at, mark="markPrice")
            if ticker is not None:
                found[symbol] = _with_terms(ticker, row, server_time(payload))
    return found


def _with_terms(ticker: Ticker, row: Row, quoted_at: datetime | None) -> Ticker:
    """fundingRate is absolute: quote currency that one contract pays in an hour, not a share of anything."""
    funding = row.optional_decimal("fundingRate")
    return replace(
        ticker,
        quoted_at=quoted_at,
        funding_rate_hourly=None if funding is None else funding / ticker.mark_price,
        suspended=row.flag("suspended"),
    )


# --- the account ---------------------------------------------------------------------------------------------------


def read_account(payload: Row, read_at: datetime) -> Account:
    """The multi-collateral wallet: portfolioValue counts open profit and loss, availableMargin is free for orders."""
    flex = payload.row("accounts").row("flex")
    return Account(flex.decimal("portfolioValue"), flex.decimal("availableMargin"), read_at)


def read_positions(payload: Row, names: Names) -> list[VenuePosition]:
    return one_per_symbol(
        [
            VenuePosition(_symbol(row, "symbol", names), row.side("side"), row.positive("size"), row.positive("price"))
            for row in payload.rows("openPositions")
        ]
    )


def read_fills(payload: Row, names: Names, fee_rates: Mapping[str, Decimal]) -> list[Fill]:
    """Executions as listed, joined to orders through order_id: the venue often leaves cliOrdId out (trap 4.3.11).

    fee_rates: maker and taker; the venue reports no fee on a fill, so fee_quote is size x price x rate.
    """
    return [_fill(row, names, fee_rates) for row in payload.rows("fills")]


def _fill(row: Row, names: Names, fee_rates: Mapping[str, Decimal]) -> Fill:
    qty, price = row.positive("size"), row.positive("price")
    rate = fee_rates["maker" if row.text("fillType").lower() == "maker" else "taker"]
    return Fill(
        fill_id=row.text("fill_id"),
        venue_order_id=row.text("order_id"),
        client_order_id=row.optional_text("cliOrdId"),
        symbol=_symbol(row, "symbol", names),
        side=row.order_side("side"),
        qty=qty,
        price=price,
        fee_quote=qty * price * rate,
        filled_at=row.time_iso("fillTime"),
    )


def _symbol(row: Row, key: str, names: Names) -> str:
    """The unified name, or the venue's own for what is not a perpetual of ours: seen, and foreign."""
    venue_id = row.text(key).upper()
    return names.get(venue_id, venue_id)


# --- orders --------------------------------------------------------------------------------------------------------

_TYPES = {
    "lmt": OrderType.LIMIT,
    "limit": OrderType.LIMIT,
    "post": OrderType.LIMIT,
    "mkt": OrderType.MARKET,
    "market": OrderType.MARKET,
    "ioc": OrderType.MARKET,
    "stp": OrderType.STOP,
    "stop": OrderType.STOP,
}

# The words by which an order is alive, dead or done (I39). Any other word: UNKNOWN, that is alive and alarming.
_STATUS = {
    "placed": VenueOrderStatus.OPEN,
    "untouched": VenueOrderStatus.OPEN,
    "partiallyfilled": VenueOrderStatus.OPEN,
    "partially_filled": VenueOrderStatus.OPEN,
    "entered_book": VenueOrderStatus.OPEN,
    "trigger_placed": VenueOrderStatus.OPEN,
    "triggered": VenueOrderStatus.OPEN,
    "edited": VenueOrderStatus.OPEN,
    "filled": VenueOrderStatus.FILLED,
    "fully_executed": VenueOrderStatus.FILLED,
    "cancelled": VenueOrderStatus.CANCELLED,
    "rejected": VenueOrderStatus.REJECTED,
    "trigger_activation_failure": VenueOrderStatus.REJECTED,
}


def read_open_orders(payload: Row, names: Names) -> list[VenueOrder]:
    """Resting and conditional orders. Their absence here proves nothing (I37)."""
    return [_open_order(row, names) for row in payload.rows("openOrders")]


def _open_order(row: Row, names: Names) -> VenueOrder:
    filled_qty = row.not_negative("filledSize")
    return _order(
        row,
        order_id=row.text("order_id"),
        client_order_id=row.optional_text("cliOrdId"),
        symbol=_symbol(row, "symbol", names),
        side=row.order_side("side"),
        kind=_TYPES.get(row.text("orderType").lower()),
        qty=row.not_negative("unfilledSize") + filled_qty,
        filled_qty=filled_qty,
        status=_STATUS.get(row.text("status").lower(), VenueOrderStatus.UNKNOWN),
        trigger_price=row.optional_positive("stopPrice"),
    )


def read_order_statuses(payload: Row, names: Names, types: Mapping[str, OrderType]) -> list[VenueOrder]:
    """Orders that are open or ended within the last five seconds.

    types: by client order id, as we sent them, for the path does not tell the type of a plain order.
    """
    return [_order_status(row, names, types) for row in payload.rows("orders")]


def _order_status(row: Row, names: Names, types: Mapping[str, OrderType]) -> VenueOrder:
    order = row.row("order")
    trigger = order.row("priceTriggerOptions") if order.raw.get("priceTriggerOptions") is not None else None
    filled_qty = order.not_negative("filled")
    client_order_id = order.optional_text("cliOrdId")
    return _order(
        order,
        order_id=order.text("orderId"),
        client_order_id=client_order_id,
        symbol=_symbol(order, "symbol", names),
        side=order.order_side("side"),
        kind=OrderType.STOP if trigger is not None else types.get(client_order_id or "", OrderType.LIMIT),
        qty=max(order.not_negative("quantity"), filled_qty),
        filled_qty=filled_qty,
        status=_STATUS.get(row.text("status").lower(), VenueOrderStatus.UNKNOWN),
        trigger_price=trigger.positive("triggerPrice") if trigger is not None else None,
    )


def _order(
    row: Row,
    *,
    order_id: str,
    client_order_id: str | None,
    symbol: str,
    side: OrderSide,
    kind: OrderType | None,
    qty: Decimal,
    filled_qty: Decimal,
    status: VenueOrderStatus,
    trigger_price: Decimal | None,
) -> VenueOrder:
    """kind None: a type we never send (take_profit, trailing_stop), shown as a limit order of unknown status, never as
    a stop. A stop that was triggered may have lost its trigger price; one that still waits must have it."""
    if qty <= 0:
        raise unreadable(f"{row.what}: an order of no size", row.raw)
    if kind is OrderType.STOP and trigger_price is None and status is VenueOrderStatus.OPEN and filled_qty == 0:
        raise unreadable(f"{row.what}: a waiting stop without a trigger price", row.raw)
    limit_price = row.optional_positive("limitPrice")
    if kind is OrderType.LIMIT and limit_price is None and status is VenueOrderStatus.OPEN:
        raise unreadable(f"{row.what}: a resting limit order without its price", row.raw)
    if kind is None and status is VenueOrderStatus.OPEN:
        status = VenueOrderStatus.UNKNOWN
    return VenueOrder(
        venue_order_id=order_id,
        client_order_id=client_order_id,
        symbol=symbol,
        side=side,
        type=kind or OrderType.LIMIT,
        qty=qty,
        filled_qty=filled_qty,
        status=status,
        reduce_only=row.flag("reduceOnly"),
        limit_price=limit_price,
        trigger_price=trigger_price,
    )


def confirms_dead_man(reply: Reply, seconds: int) -> bool:
    """Whether the switch now stands as asked: triggerTime is "0" when it is disarmed, else when it fires."""
    try:
        status = read_payload("cancelallordersafter", reply).row("status")
        if seconds == 0:
            return status.text("triggerTime") == "0"
        return status.time_iso("triggerTime") > status.time_iso("currentTime")
    except VenueUnreadable:
        return False


# --- history -------------------------------------------------------------------------------------------------------

# event -> the key its order is under, its rank among events of one millisecond, and the status it leaves.
_EVENTS: Mapping[str, tuple[str, int, VenueOrderStatus]] = {
    "OrderTriggerPlaced": ("order", 0, VenueOrderStatus.OPEN),
    "OrderTriggerUpdated": ("newOrderTrigger", 1, VenueOrderStatus.OPEN),
    "OrderTriggerActivated": ("order", 2, VenueOrderStatus.OPEN),
    "OrderPlaced": ("order", 3, VenueOrderStatus.OPEN),
    "OrderEdited": ("newOrder", 4, VenueOrderStatus.OPEN),
    "OrderUpdated": ("newOrder", 5, VenueOrderStatus.OPEN),
    "OrderTriggerCancelled": ("order", 6, VenueOrderStatus.CANCELLED),
    "OrderRejected": ("order", 7, VenueOrderStatus.REJECTED),
    "OrderCancelled": ("order", 8, VenueOrderStatus.CANCELLED),
}
# they change nothing about an order's state
_NO_CHANGE = {"OrderNotFound", "CancelRejected", "OrderEditRejected", "OrderTriggerEditRejected"}


def read_history(pages: Iterable[Row], names: Names, client_order_ids: set[str]) -> dict[str, VenueOrder]:
    """What the account's order and trigger events tell of these client order ids, by id; events in any order.

    An event of a kind not listed leaves the order UNKNOWN, that is alive.
    """
    told: dict[str, list[tuple[datetime, int, VenueOrder]]] = {}
    for element in (row for page in pages for row in page.rows("elements")):
        for kind, body in element.row("event").raw.items():
            key, rank, status = _EVENTS.get(kind, ("order", 9, VenueOrderStatus.UNKNOWN))
            event = Row(body, f"history {kind}")
            client_order_id = _client_id(event, key)
            if kind not in _NO_CHANGE and client_order_id in client_order_ids:
                order = _history_order(event.row(key), names, status)
                told.setdefault(client_order_id, []).append((element.time_ms("timestamp"), rank, order))
    return {client_order_id: _fold(events) for client_order_id, events in told.items()}


def _client_id(event: Row, key: str) -> str:
    order = event.raw.get(key)
    found = order.get("clientId") if isinstance(order, Mapping) else None
    return found if isinstance(found, str) else ""


def _history_order(order: Row, names: Names, status: VenueOrderStatus) -> VenueOrder:
    """quantity is what is left, filled what was done: a placed order with nothing left is filled."""
    trigger = order.row("triggerOptions") if order.raw.get("triggerOptions") is not None else None
    # a trigger that waits has filled nothing, and may leave that out
    waits = trigger is not None and order.raw.get("filled") is None
    left, filled_qty = order.not_negative("quantity"), Decimal(0) if waits else order.not_negative("filled")
    if status is VenueOrderStatus.OPEN and left == 0 and filled_qty > 0:
        status = VenueOrderStatus.FILLED
    return _order(
        order,
        order_id=order.text("uid"),
        client_order_id=order.text("clientId"),
        symbol=_symbol(order, "tradeable", names),
        side=order.order_side("direction"),
        kind=OrderType.STOP if trigger is not None else _TYPES.get(order.text("orderType").lower()),
        qty=left + filled_qty,
        filled_qty=filled_qty,
        status=status,
        trigger_price=trigger.positive("triggerPrice") if trigger is not None else None,
    )


def _fold(events: list[tuple[datetime, int, VenueOrder]]) -> VenueOrder:
    """The last event's order; what it was triggered by is kept from the events before it."""
    orders = [order for _, _, order in sorted(events, key=lambda event: event[:2])]
    trigger_price = next((order.trigger_price for order in orders if order.trigger_price is not None), None)
    filled_qty = max(order.filled_qty for order in orders)
    kind = orders[0].type if trigger_price is not None else orders[-1].type
    return replace(orders[-1], type=kind, trigger_price=trigger_price, filled_qty=filled_qty)

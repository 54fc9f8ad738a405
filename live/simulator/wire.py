"""Kraken Futures' JSON shapes of the simulated venue's values; prices and sizes are numbers, as the venue sends. [P]"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from live.model import Candle, OrderSide
from live.simulator.accounts import fires_above
from live.simulator.matching import MARKET_PROTECTION, Margin
from live.simulator.orders import (
    Contract,
    Execution,
    Order,
    OrderEvent,
    OrderKind,
    OrderStatus,
    Position,
    Quote,
    Signal,
)

Json = dict[str, Any]
_SIGNALS = {Signal.MARK: "mark_price", Signal.LAST: "last_price", Signal.INDEX: "spot_price"}
_REJECT_REASONS = {
    "invalidSize": "INVALID_QUANTITY",
    "invalidPrice": "INVALID_PRICE",
    "insufficientAvailableFunds": "INSUFFICIENT_MARGIN",
    "clientOrderIdAlreadyExist": "CLIENT_ORDER_ID_IN_USE",
    "clientOrderIdTooLong": "CLIENT_ORDER_ID_TOO_LONG",
    "postWouldExecute": "POST_WOULD_EXECUTE",
    "iocWouldNotExecute": "IOC_WOULD_NOT_EXECUTE",
    "wouldNotReducePosition": "WOULD_NOT_REDUCE_POSITION",
    "marketInactive": "MARKET_SUSPENDED",
}
STATUS_WINDOW = timedelta(seconds=5)


class Clock:
    """The venue's clock: the true time plus an offset that POST /sim/clock sets. Only what is sent or compared with a
    client's time is shifted; the engine lives in true time, which never jumps.
    """

    def __init__(self) -> None:
        self.offset = timedelta()

    def text(self, at: datetime) -> str:
        """2019-09-05T16:33:50.734Z"""
        shifted = (at + self.offset).astimezone(UTC)
        return shifted.strftime("%Y-%m-%dT%H:%M:%S.") + f"{shifted.microsecond // 1000:03d}Z"

    def millis(self, at: datetime) -> int:
        return int((at + self.offset).timestamp() * 1000)


def unified_symbol(venue_id: str) -> str:
    """PF_XBTUSD -> BTC/USD:USD, ccxt's name for it."""
    base = venue_id.split("_")[1][:-3].upper()
    return f"{'BTC' if base == 'XBT' else base}/USD:USD"


def instrument(contract: Contract) -> Json:
    digits = -int(contract.qty_step.normalize().as_tuple().exponent)
    level = {"initialMargin": contract.initial_margin, "maintenanceMargin": contract.maintenance_margin}
    return {
        "symbol": contract.venue_id,
        "pair": unified_symbol(contract.venue_id).split(":")[0].replace("/", ":"),
        "base": unified_symbol(contract.venue_id).split("/")[0],
        "quote": "USD",
        "type": "flexible_futures",
        "tradeable": True,
        "postOnly": False,
        "tickSize": contract.tick_size,
        "contractSize": contract.contract_size,
        "contractValueTradePrecision": digits,
        "impactMidSize": contract.qty_step,
        "maxPositionSize": 1000000,
        "openingDate": "2022-01-01T00:00:00.000Z",
        "marginLevels": [{"numNonContractUnits": 0, **level}],
        "fundingRateCoefficient": 8,
        "maxRelativeFundingRate": 0.001,
        "category": "Layer 1",
        "tags": [],
    }


def ticker(contract: Contract, quote: Quote, clock: Clock, now: datetime) -> Json:
    depth = contract.liquidity or Decimal(1000)
    return {
        "tag": "perpetual",
        "pair": unified_symbol(contract.venue_id).split(":")[0].replace("/", ":"),
        "symbol": contract.venue_id,
        "markPrice": quote.mark,
        "indexPrice": quote.index,
        "bid": quote.bid,
        "bidSize": depth,
        "ask": quote.ask,
        "askSize": depth,
        "last": quote.last,
        "lastTime": clock.text(now),
        "lastSize": contract.qty_step,
        "vol24h": 10000,
        "volumeQuote": quote.last * 10000,
        "openInterest": 5000,
        "open24h": quote.last,
        "fundingRate": 0,
        "fundingRatePrediction": 0,
        "suspended": False,
        "postOnly": False,
    }


def candle(bar: Candle) -> Json:
    """Charts speak in text prices, and time in milliseconds."""
    return {
        "time": int(bar.opened_at.timestamp() * 1000),
        "open": str(bar.open),
        "high": str(bar.high),
        "low": str(bar.low),
        "close": str(bar.close),
        "volume": bar.volume,
    }


def accounts(margin: Margin) -> Json:
    """The cash wallet (empty) and the multi-collateral one; equity is portfolioValue and marginEquity."""
    flex = {
        "type": "multiCollateralMarginAccount",
        "currencies": {
            "USD": {
                "quantity": margin.balance,
                "value": margin.balance,
                "collateral": margin.balance,
                "available": max(margin.available, Decimal(0)),
            }
        },
        "initialMargin": margin.initial,
        "initialMarginWithOrders": margin.initial_with_orders,
        "maintenanceMargin": margin.initial / 2,
        "balanceValue": margin.balance,
        "portfolioValue": margin.equity,
        "collateralValue": margin.balance,
        "pnl": margin.unrealised,
        "unrealizedFunding": 0,
        "totalUnrealized": margin.unrealised,
        "totalUnrealizedAsMargin": margin.unrealised,
        "availableMargin": margin.available,
        "marginEquity": margin.equity,
    }
    return {"cash": {"type": "cashAccount", "balances": {"usd": 0}}, "flex": flex}


def open_position(position: Position, unrealised: Decimal, clock: Clock) -> Json:
    return {
        "side": "long" if position.qty > 0 else "short",
        "symbol": position.venue_id,
        "price": position.entry_price,
        "fillTime": clock.text(position.filled_at),
        "size": abs(position.qty),
        "unrealizedFunding": 0,
        "unrealizedPnl": unrealised,
        "pnlCurrency": "USD",
    }


def open_order(order: Order, clock: Clock) -> Json:
    """A row of openorders. A fired stop-limit shows as the limit order it became, under the same id."""
    row: Json = {
        "order_id": order.order_id,
        "symbol": order.venue_id,
        "side": order.side,
        "orderType": _open_type(order),
        "limitPrice": order.limit_price,
        "stopPrice": order.stop_price if order.is_waiting else None,
        "triggerSignal": order.signal if order.is_waiting else None,
        "unfilledSize": order.remaining,
        "filledSize": order.filled,
        "receivedTime": clock.text(order.placed_at),
        "lastUpdateTime": clock.text(order.updated_at),
        "status": order.status,
        "reduceOnly": order.reduce_only,
        "cliOrdId": order.client_order_id,
    }
    return {key: value for key, value in row.items() if value is not None}


def _open_type(order: Order) -> str:
    if order.is_waiting:
        return "stop" if order.kind is OrderKind.STOP else "take_profit"
    return "post" if order.kind is OrderKind.POST else "lmt"


def order_status(order: Order, reason: str | None, clock: Clock) -> Json:
    """A row of orders/status."""
    detail: Json = {
        "type": "TRIGGER_ORDER" if order.is_waiting else "ORDER",
        "orderId": order.order_id,
        "cliOrdId": order.client_order_id,
        "symbol": order.venue_id,
        "side": order.side,
        "quantity": order.qty,
        "filled": order.filled,
        "limitPrice": order.limit_price,
        "reduceOnly": order.reduce_only,
        "timestamp": clock.text(order.placed_at),
        "lastUpdateTimestamp": clock.text(order.updated_at),
    }
    if order.is_waiting:
        detail["priceTriggerOptions"] = {
            "triggerPrice": order.stop_price,
            "triggerSide": "TRIGGER_ABOVE" if fires_above(order) else "TRIGGER_BELOW",
            "triggerSignal": _SIGNALS[order.signal].upper(),
        }
    return {"order": detail, "status": _status_word(order), "updateReason": reason, "error": None}


def _status_word(order: Order) -> str:
    if order.is_waiting:
        return "TRIGGER_PLACED"
    return {OrderStatus.FILLED: "FULLY_EXECUTED", OrderStatus.CANCELLED: "CANCELLED"}.get(order.status, "ENTERED_BOOK")


def fill(execution: Execution, clock: Clock) -> Json:
    """A row of fills: without cliOrdId, as the venue's recorded rows are; join through order_id."""
    return {
        "fill_id": execution.fill_id,
        "order_id": execution.order.order_id,
        "symbol": execution.order.venue_id,
        "side": execution.order.side,
        "size": execution.qty,
        "price": execution.price,
        "fillTime": clock.text(execution.at),
        "fillType": "maker" if execution.is_maker else "taker",
    }


# --- orderEvents: what a mutating request caused -------------------------------------------------------------------


def order_events(events: tuple[OrderEvent, ...], order: Order, clock: Clock) -> list[Json]:
    """The request's own events. An order that executes on arrival shows no PLACE unless a part of it stays."""
    own = [event for event in events if event.order.order_id == order.order_id]
    executed = any(event.kind == "executed" for event in own)
    shown = [_event(event, clock) for event in own if event.kind != "activated"]
    if executed:
        shown = [event for event in shown if event["type"] != "PLACE"]
        if order.is_resting:
            shown.append({"type": "PLACE", "order": _order(order, clock), "reducedQuantity": None})
    return shown


def _event(event: OrderEvent, clock: Clock) -> Json:
    order = event.order
    match event.kind:
        case "placed":
            reduced = order.reduced_qty or None
            return {"type": "PLACE", **_order_or_trigger(order, clock), "reducedQuantity": reduced}
        case "executed":
            assert event.execution is not None and event.before is not None
            return {
                "type": "EXECUTION",
                "executionId": event.execution.fill_id,
                "price": event.execution.price,
                "amount": event.execution.qty,
                "orderPriorEdit": None,
                "orderPriorExecution": _order(event.before, clock, price=event.execution.price),
                "takerReducedQuantity": order.reduced_qty or None,
            }
        case "updated":
            assert event.before is not None
            old, new = _order_or_trigger(event.before, clock), _order_or_trigger(order, clock)
            return {"type": "EDIT", "old": next(iter(old.values())), "new": next(iter(new.values()))}
        case "cancelled":
            before = event.before or order
            return {"type": "CANCEL", "uid": order.order_id, **_order_or_trigger(before, clock)}
        case _:
            reason = _REJECT_REASONS.get(event.reason, "MARKET_SUSPENDED")
            shape = "orderTrigger" if order.kind.is_conditional else "order"
            value = _trigger(order, clock) if order.kind.is_conditional else _order(order, clock)
            return {"type": "REJECT", "uid": order.order_id, "reason": reason, shape: value}


def _order_or_trigger(order: Order, clock: Clock) -> Json:
    return {"orderTrigger": _trigger(order, clock)} if order.is_waiting else {"order": _order(order, clock)}


def _order(order: Order, clock: Clock, *, price: Decimal | None = None) -> Json:
    """price: what a market order executed at; it shows as immediate-or-cancel at 1 % beyond."""
    limit = order.limit_price
    if limit is None and price is not None:
        limit = price * (1 + MARKET_PROTECTION if order.side is OrderSide.BUY else 1 - MARKET_PROTECTION)
    kind = order.kind if order.kind in (OrderKind.LIMIT, OrderKind.POST) else OrderKind.IOC
    return {
        "orderId": order.order_id,
        "cliOrdId": order.client_order_id,
        "type": OrderKind.LIMIT if order.kind.is_conditional and order.limit_price is not None else kind,
        "symbol": order.venue_id,
        "side": order.side,
        "quantity": order.qty,
        "filled": order.filled,
        "limitPrice": limit,
        "reduceOnly": order.reduce_only,
        "timestamp": clock.text(order.placed_at),
        "lastUpdateTimestamp": clock.text(order.updated_at),
    }


def _trigger(order: Order, clock: Clock) -> Json:
    return {
        "uid": order.order_id,
        "clientId": order.client_order_id,
        "type": "ioc" if order.limit_price is None else "lmt",
        "symbol": order.venue_id,
        "side": order.side,
        "quantity": order.qty,
        "limitPrice": order.limit_price,
        "triggerPrice": order.stop_price,
        "triggerSide": "trigger_above" if fires_above(order) else "trigger_below",
        "triggerSignal": _SIGNALS[order.signal],
        "reduceOnly": order.reduce_only,
        "timestamp": clock.text(order.placed_at),
        "lastUpdateTimestamp": clock.text(order.updated_at),
    }

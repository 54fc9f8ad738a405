"""Kraken Futures' history: orders, triggers and executions in text decimals, milliseconds, capitalised words. [P]"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from live.model import OrderSide
from live.simulator.accounts import fires_above
from live.simulator.orders import Contract, Order, OrderEvent, OrderKind, OrderStatus, Signal
from live.simulator.wire import Clock, Json

_HISTORY_SIGNALS = {Signal.MARK: "MarkPrice", Signal.LAST: "LastPrice", Signal.INDEX: "SpotPrice"}
_HISTORY_TYPES = {OrderKind.LIMIT: "Limit", OrderKind.POST: "Post", OrderKind.IOC: "IoC", OrderKind.MARKET: "Market"}


def order_history(events: Iterable[OrderEvent], clock: Clock) -> list[Json]:
    """Elements of history/orders, oldest first: everything but what concerns waiting conditional orders."""
    shapes = ((event, _order_shape(event, clock)) for event in events)
    return [_element(event, clock, shape) for event, shape in shapes if shape is not None]


def _order_shape(event: OrderEvent, clock: Clock) -> Json | None:
    """The event as history/orders names it; an activated trigger is the placing of the order it holds."""
    conditional, waited = event.order.kind.is_conditional, event.before is not None and event.before.is_waiting
    reduced = {"reducedQuantity": text(event.order.reduced_qty) if event.order.reduced_qty else ""}
    match event.kind:
        case "rejected" if not conditional:
            return {"OrderRejected": _reasoned(event, clock, orderError=event.reason)}
        case "placed" if not conditional:
            return {"OrderPlaced": _reasoned(event, clock, **reduced, algoId="")}
        case "activated":
            return {"OrderPlaced": _reasoned(event, clock, **reduced, algoId="")}
        case "executed" | "updated" if event.before is not None and not waited:
            pair = {"oldOrder": _past(event.before, clock), "newOrder": _past(event.order, clock)}
            return {"OrderUpdated": {**pair, "reason": event.reason, **reduced}}
        case "cancelled" if not waited:
            return {"OrderCancelled": _reasoned(event, clock)}
    return None


def trigger_history(events: Iterable[OrderEvent], clock: Clock) -> list[Json]:
    """Elements of history/triggers, oldest first."""
    found: list[Json] = []
    for event in events:
        waited = event.before is not None and event.before.is_waiting
        if event.kind == "placed" and event.order.kind.is_conditional:
            found.append(_element(event, clock, {"OrderTriggerPlaced": _reasoned(event, clock)}))
        elif event.kind == "activated":
            found.append(_element(event, clock, {"OrderTriggerActivated": {"order": _past(event.order, clock)}}))
        elif event.kind == "cancelled" and waited:
            found.append(_element(event, clock, {"OrderTriggerCancelled": _reasoned(event, clock)}))
        elif event.kind == "updated" and waited and event.before is not None:
            pair = {"oldOrderTrigger": _past(event.before, clock), "newOrderTrigger": _past(event.order, clock)}
            found.append(_element(event, clock, {"OrderTriggerUpdated": {**pair, "reason": event.reason}}))
    return found


def execution_history(events: Iterable[OrderEvent], contracts: Mapping[str, Contract], clock: Clock) -> list[Json]:
    """Elements of history/executions, oldest first; only the customer's own side is shown."""
    found: list[Json] = []
    for event in events:
        if (done := event.execution) is None:
            continue
        role = "makerOrder" if done.is_maker else "takerOrder"
        notional = done.qty * done.price * contracts[done.order.venue_id].contract_size
        execution = {
            "uid": done.fill_id,
            role: _past(done.order, clock),
            "timestamp": clock.millis(done.at),
            "quantity": text(done.qty),
            "price": text(done.price),
            "markPrice": text(done.mark_price),
            "limitFilled": event.order.status is OrderStatus.FILLED,
            "usdValue": text(notional),
            "orderData": {"fee": text(done.fee)},
        }
        found.append(_element(event, clock, {"Execution": {"execution": execution, "takerReducedQuantity": ""}}))
    return found


def text(value: Decimal) -> str:
    """Plain digits; zero is '0', which ccxt compares with by spelling."""
    return format(value.normalize(), "f") if value else "0"


def _element(event: OrderEvent, clock: Clock, body: Json) -> Json:
    return {"uid": event.uid, "timestamp": clock.millis(event.at), "event": body}


def _reasoned(event: OrderEvent, clock: Clock, **more: str) -> Json:
    return {"order": _past(event.order, clock), "reason": event.reason, **more}


def _past(order: Order, clock: Clock) -> Json:
    """An order as the history shows it: quantity is what is left to fill."""
    past: Json = {
        "uid": order.order_id,
        "accountUid": "",
        "tradeable": order.venue_id,
        "direction": "Buy" if order.side is OrderSide.BUY else "Sell",
        "quantity": text(order.remaining),
        "filled": text(order.filled),
        "timestamp": clock.millis(order.placed_at),
        "limitPrice": text(order.limit_price) if order.limit_price is not None else "",
        "orderType": _HISTORY_TYPES.get(order.kind, "Limit" if order.limit_price is not None else "IoC"),
        "clientId": order.client_order_id or "",
        "reduceOnly": order.reduce_only,
        "lastUpdateTimestamp": clock.millis(order.updated_at),
    }
    if order.kind.is_conditional and order.stop_price is not None:
        past["triggerOptions"] = {
            "triggerPrice": text(order.stop_price),
            "triggerSide": "Above" if fires_above(order) else "Below",
            "triggerSignal": _HISTORY_SIGNALS[order.signal],
        }
    return past

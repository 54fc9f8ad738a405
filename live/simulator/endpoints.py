"""Kraken Futures' endpoints: each reads its parameters, asks the venue model, and shapes the answer. [P]

Bodies here lack result and serverTime, which kraken_futures.py adds to all alike.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from live.market import TIMEFRAMES
from live.model import OrderSide
from live.simulator import wire, wire_history
from live.simulator.accounts import Account
from live.simulator.asked import Asked, Call, VenueFault, deadline, decimal, integer, is_true, listed, required
from live.simulator.orders import NewOrder, Order, OrderEvent, OrderKind, Signal, Verdict
from live.simulator.wire import Json
from live.simulator.world import World

FILLS_PER_PAGE = 100
HISTORY_PER_PAGE = 1000
CANDLES_PER_PAGE = 2000
MAX_TIMEOUT_SECONDS = 86_400
MAX_UNIX_SECONDS = 10**10


# --- public -----------------------------------------------------------------------------------------------------------


def instruments(world: World, call: Call) -> Json:
    return {"instruments": [wire.instrument(contract) for contract in world.venue.contracts.values()]}


def tickers(world: World, call: Call) -> Json:
    venue = world.venue
    return {
        "tickers": [
            wire.ticker(contract, venue.quotes[venue_id], world.clock, call.now)
            for venue_id, contract in venue.contracts.items()
        ]
    }


def ticker(world: World, call: Call) -> Json:
    venue_id = listed(world, call.names["symbol"], error="contractNotFound")
    venue = world.venue
    return {"ticker": wire.ticker(venue.contracts[venue_id], venue.quotes[venue_id], world.clock, call.now)}


def orderbook(world: World, call: Call) -> Json:
    """Five levels a side, one tick apart; only the best one decides anything."""
    venue_id = listed(world, required(call.params, "symbol"), error="contractNotFound")
    contract, quote = world.venue.contracts[venue_id], world.venue.quotes[venue_id]
    depth = contract.liquidity or Decimal(1000)
    steps = [level * contract.tick_size for level in range(5)]
    bids = [[quote.bid - step, depth] for step in steps if quote.bid > step]
    return {"orderBook": {"bids": bids, "asks": [[quote.ask + step, depth] for step in steps]}}


def candles(world: World, call: Call) -> Json:
    """Candles opened in [from, to] (seconds), oldest first, at most 2000; without `from`, the latest 2000."""
    venue_id = listed(world, call.names["symbol"], error="contractNotFound")
    timeframe = TIMEFRAMES.get(call.names["interval"])
    if timeframe is None or call.names["price_type"] not in ("trade", "mark", "spot"):
        raise VenueFault("invalidArgument", status=400)
    # candles live in true time: a venue whose clock is off still has the market's bars
    end = min(_moment(call.params, "to") or call.now, call.now) + timedelta(microseconds=1)
    start = _moment(call.params, "from") or end - timeframe * CANDLES_PER_PAGE
    page_end = min(end, start + timeframe * CANDLES_PER_PAGE)
    found = world.candles(venue_id, timeframe, start, page_end)
    return {"candles": [wire.candle(bar) for bar in found], "more_candles": page_end < end}


def _moment(params: Mapping[str, str], name: str) -> datetime | None:
    seconds = integer(params, name, at_most=MAX_UNIX_SECONDS)
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


# --- private, reading ---------------------------------------------------------------------------------------------


def accounts(world: World, call: Call) -> Json:
    return {"accounts": wire.accounts(world.venue.margin(call.account(world).name))}


def open_positions(world: World, call: Call) -> Json:
    venue = world.venue
    return {
        "openPositions": [
            wire.open_position(position, venue.unrealised(position), world.clock)
            for position in call.account(world).positions.values()
        ]
    }


def open_orders(world: World, call: Call) -> Json:
    return {"openOrders": [wire.open_order(order, world.clock) for order in call.account(world).open_orders()]}


def orders_status(world: World, call: Call) -> Json:
    """Orders named by orderIds or cliOrdIds that are open or ended in the last 5 seconds; without names, all such."""
    account, asked = call.account(world), call.asked
    named = [account.orders.get(order_id) for order_id in asked.many("orderIds")]
    named += [account.find(None, client_id) for client_id in asked.many("cliOrdIds")]
    if not named:
        named = list(account.orders.values())
    seen = {order.order_id: order for order in named if order is not None}
    recent = [order for order in seen.values() if order.is_open or call.now - order.updated_at <= wire.STATUS_WINDOW]
    return {"orders": [wire.order_status(order, _last_reason(account, order), world.clock) for order in recent]}


def _last_reason(account: Account, order: Order) -> str | None:
    for event in reversed(account.events):
        if event.order.order_id == order.order_id:
            return event.reason.upper()
    return None


def fills(world: World, call: Call) -> Json:
    """The latest 100 executions, newest first, or the 100 before lastFillTime."""
    executions = call.account(world).executions
    before = _timestamp(call.params, "lastFillTime", world.clock)
    found = [done for done in reversed(executions) if before is None or done.at < before]
    return {"fills": [wire.fill(done, world.clock) for done in found[:FILLS_PER_PAGE]]}


def _timestamp(params: Mapping[str, str], name: str, clock: wire.Clock) -> datetime | None:
    value = params.get(name)
    if not value:
        return None
    try:
        return datetime.fromisoformat(value) - clock.offset
    except (ValueError, TypeError) as error:
        raise VenueFault(f"invalidArgument: {name}") from error


def history_orders(world: World, call: Call) -> Json:
    return _history_page(call, wire_history.order_history(_events(world, call), world.clock))


def history_triggers(world: World, call: Call) -> Json:
    return _history_page(call, wire_history.trigger_history(_events(world, call), world.clock))


def history_executions(world: World, call: Call) -> Json:
    contracts = world.venue.contracts
    return _history_page(call, wire_history.execution_history(_events(world, call), contracts, world.clock))


def _events(world: World, call: Call) -> list[OrderEvent]:
    """The account's history, of one contract where `tradeable` names it."""
    events, tradeable = call.account(world).events, call.params.get("tradeable")
    if not tradeable:
        return events
    venue_id = listed(world, tradeable, error="invalidArgument: tradeable")
    return [event for event in events if event.order.venue_id == venue_id]


def _history_page(call: Call, elements: list[Json]) -> Json:
    """since, before: milliseconds, inclusive; sort: desc unless asc; continuationToken: where the last page ended."""
    params = call.params
    since, before = integer(params, "since"), integer(params, "before")
    found = [
        element
        for element in elements
        if (since is None or element["timestamp"] >= since) and (before is None or element["timestamp"] <= before)
    ]
    if params.get("sort", "desc") != "asc":
        found.reverse()
    began = _token(params.get("continuationToken"))
    count = min(integer(params, "count") or HISTORY_PER_PAGE, HISTORY_PER_PAGE)
    page: Json = {"accountUid": "", "len": len(found[began : began + count]), "elements": found[began : began + count]}
    if began + count < len(found):
        page["continuationToken"] = base64.b64encode(str(began + count).encode()).decode()
    return page


def _token(value: str | None) -> int:
    try:
        return int(base64.b64decode(value)) if value else 0
    except (ValueError, binascii.Error) as error:
        raise VenueFault("invalidArgument: continuationToken") from error


def leverage_preferences(world: World, call: Call) -> Json:
    name = call.account(world).name
    rows = [
        {"symbol": venue_id, "maxLeverage": value} for (who, venue_id), value in world.leverage.items() if who == name
    ]
    return {"leveragePreferences": rows}


# --- private, acting ------------------------------------------------------------------------------------------------


def send_order(world: World, call: Call) -> Json:
    return {"sendStatus": _send(world, call, call.params)}


def edit_order(world: World, call: Call) -> Json:
    return {"editStatus": _edit(world, call, call.params)}


def cancel_order(world: World, call: Call) -> Json:
    return {"cancelStatus": _cancel(world, call, call.params)}


def _send(world: World, call: Call, params: Mapping[str, Any]) -> Json:
    venue_id = listed(world, required(params, "symbol"), error="invalidArgument: symbol")
    received = {"receivedTime": world.clock.text(call.now)}
    kind, side = required(params, "orderType"), required(params, "side")
    if kind not in set(OrderKind):
        return {"status": "invalidOrderType", **received, "orderEvents": []}
    if side not in set(OrderSide):
        return {"status": "invalidSide", **received, "orderEvents": []}
    signal = str(params.get("triggerSignal", Signal.LAST))
    if signal not in set(Signal):
        raise VenueFault("invalidArgument: triggerSignal")
    required(params, "size")
    new = NewOrder(
        venue_id=venue_id,
        side=OrderSide(side),
        kind=OrderKind(kind),
        qty=decimal(params, "size") or Decimal(0),
        limit_price=decimal(params, "limitPrice"),
        stop_price=decimal(params, "stopPrice"),
        signal=Signal(signal),
        reduce_only=is_true(params, "reduceOnly"),
        client_order_id=params.get("cliOrdId") or None,
        expires_at=deadline(params, world.clock),
        first_fill_fraction=call.first_fill_fraction,
    )
    verdict = world.venue.submit(call.account(world).name, new, call.now)
    return {**_status(world, verdict), **received, **({"cliOrdId": new.client_order_id} if new.client_order_id else {})}


def _status(world: World, verdict: Verdict) -> Json:
    """status, order_id where the engine made one, and the events that the request caused."""
    if verdict.order is None or not verdict.events:
        return {"status": verdict.status, "orderEvents": []}
    events = wire.order_events(verdict.events, verdict.order, world.clock)
    return {"status": verdict.status, "order_id": verdict.order.order_id, "orderEvents": events}


def _edit(world: World, call: Call, params: Mapping[str, Any]) -> Json:
    order_id, client_id = params.get("orderId"), params.get("cliOrdId")
    if not order_id and not client_id:
        raise VenueFault("requiredArgumentMissing")
    verdict = world.venue.edit(
        call.account(world).name,
        call.now,
        order_id=order_id,
        client_order_id=client_id,
        qty=decimal(params, "size"),
        limit_price=decimal(params, "limitPrice"),
        stop_price=decimal(params, "stopPrice"),
        expires_at=deadline(params, world.clock),
    )
    status = _status(world, verdict)
    named = {"orderId": verdict.order.order_id} if verdict.order else {}
    status.pop("order_id", None)
    return {**status, **named, "receivedTime": world.clock.text(call.now)}


def _cancel(world: World, call: Call, params: Mapping[str, Any]) -> Json:
    order_id, client_id = params.get("order_id"), params.get("cliOrdId")
    if not order_id and not client_id:
        raise VenueFault("requiredArgumentMissing")
    received = {"receivedTime": world.clock.text(call.now)}
    expires_at = deadline(params, world.clock)
    if expires_at is not None and call.now > expires_at:
        return {"status": "wouldProcessAfterSpecifiedTime", **received}
    verdict = world.venue.cancel(call.account(world).name, call.now, order_id=order_id, client_order_id=client_id)
    if not verdict.accepted:
        return {"status": verdict.status, **received}
    return {**_status(world, verdict), **received}


def batch_order(world: World, call: Call) -> Json:
    """json={"batchOrder": [{"order": "send" | "edit" | "cancel", ...}]}; each is answered in its place."""
    acts = {"send": _send, "edit": _edit, "cancel": _cancel}
    answers: list[Json] = []
    for row in batch_rows(call.asked):
        tag = {"order_tag": row["order_tag"]} if "order_tag" in row else {}
        answers.append({**acts[row["order"]](world, call, row), **tag})
    return {"batchStatus": answers}


def batch_rows(asked: Asked) -> list[Json]:
    """The parts of a batch. Raises VenueFault: a malformed one is refused before any part is acted on."""
    text = asked.signed_text.removeprefix("json=")
    try:
        # ccxt sends the JSON unescaped, others as a form
        rows = json.loads(text if text.startswith("{") else asked.params().get("json", ""))["batchOrder"]
    except (ValueError, KeyError, TypeError) as error:
        raise VenueFault("Json Parse Error") from error
    known = ("send", "edit", "cancel")
    if not isinstance(rows, list) or not all(isinstance(row, dict) and row.get("order") in known for row in rows):
        raise VenueFault("invalidArgument: batchOrder")
    return rows


def cancel_all(world: World, call: Call) -> Json:
    symbol = call.params.get("symbol")
    venue_id = listed(world, symbol, error="invalidArgument: symbol") if symbol else None
    events = world.venue.cancel_all(call.account(world).name, call.now, venue_id=venue_id)
    clock = world.clock
    shown = [shape for event in events for shape in wire.order_events((event,), event.order, clock)]
    status: Json = {
        "receivedTime": clock.text(call.now),
        "cancelOnly": venue_id or "all",
        "status": "cancelled" if events else "noOrdersToCancel",
        "cancelledOrders": [{"order_id": event.order.order_id} for event in events],
        "orderEvents": shown,
    }
    return {"cancelStatus": status}


def cancel_all_after(world: World, call: Call) -> Json:
    """timeout: whole seconds; 0 disarms."""
    required(call.params, "timeout")
    timeout = integer(call.params, "timeout", at_most=MAX_TIMEOUT_SECONDS) or 0
    at = world.venue.arm_dead_man(call.account(world).name, timeout, call.now)
    clock = world.clock
    return {"status": {"currentTime": clock.text(call.now), "triggerTime": clock.text(at) if at else "0"}}


def set_leverage(world: World, call: Call) -> Json:
    venue_id = listed(world, required(call.params, "symbol"), error="invalidArgument: symbol")
    leverage = decimal(call.params, "maxLeverage")
    if leverage is not None and not 0 < leverage <= 1 / world.venue.contracts[venue_id].initial_margin:
        raise VenueFault("invalidArgument: maxLeverage")
    key = (call.account(world).name, venue_id)
    if leverage is None:
        world.leverage.pop(key, None)
    else:
        world.leverage[key] = float(leverage)
    return {}

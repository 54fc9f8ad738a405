"""Kraken Futures' private WebSocket feeds: the challenge, open_orders and fills, snapshots and what follows them. [E]

The shapes are those of docs.kraken.com's Futures WebSocket reference. A forged or repeated message is sent to every
listener by POST /sim/feed.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
from typing import Any
from uuid import uuid4

from aiohttp import WSMsgType, web

from live.model import OrderSide
from live.simulator.accounts import Account
from live.simulator.asked import VenueFault
from live.simulator.kraken_futures import signature
from live.simulator.orders import Execution, Order, OrderEvent, OrderKind
from live.simulator.wire import Clock, Json
from live.simulator.world import Customer, World

EVERY_SECONDS = 0.02


class Feeds:
    """All listeners of one World. sent: every message of the private feeds, in order."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sent: list[Json] = []
        self._open: set[web.WebSocketResponse] = set()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(heartbeat=30)
        await socket.prepare(request)
        self._open.add(socket)
        listener = _Listener(self, socket)
        telling = asyncio.create_task(listener.tell())
        try:
            await socket.send_json({"event": "info", "version": 1})
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await listener.hear(message.data)
        finally:
            self._open.discard(socket)
            telling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await telling
        return socket

    async def push(self, messages: list[Json]) -> int:
        """Send these to every listener as they are; returns how many listen."""
        for socket in list(self._open):
            for message in messages:
                await socket.send_json(message)
        return len(self._open)

    async def hang_up(self) -> int:
        """Close every connection, as a venue's deploy does."""
        found = list(self._open)
        for socket in found:
            await socket.close(code=1012)
        return len(found)


class _Listener:
    """One connection: who it is, what it subscribed, and how far it was told."""

    def __init__(self, feeds: Feeds, socket: web.WebSocketResponse) -> None:
        self._feeds = feeds
        self._socket = socket
        self._challenge = ""
        self._customer: Customer | None = None
        self._feeds_of_interest: set[str] = set()
        self._told = 0

    async def hear(self, text: str) -> None:
        try:
            asked = json.loads(text)
            event = asked.get("event")
        except (ValueError, AttributeError):
            asked, event = {}, None
        match event:
            case "challenge":
                self._challenge = str(uuid4())
                await self._say({"event": "challenge", "message": self._challenge})
            case "subscribe" if asked.get("feed") not in ("open_orders", "fills"):
                await self._say({"event": "error", "message": "Invalid feed"})
            case "subscribe":
                self._customer = self._signed_by(asked)
                await self._subscribe(asked["feed"])
            case _:
                await self._say({"event": "error", "message": "Json Parse Error"})

    async def _subscribe(self, feed: str) -> None:
        if self._customer is None:
            await self._say({"event": "alert", "message": "Failed to subscribe to authenticated feed"})
            return
        account = self._account()
        await self._say({"event": "subscribed", "feed": feed})
        if not self._feeds_of_interest:
            self._told = len(account.events)
        self._feeds_of_interest.add(feed)
        await self._say(snapshot(feed, account, self._feeds.world.clock))

    def _signed_by(self, asked: Json) -> Customer | None:
        """The challenge is signed as a request is: base64(HMAC-SHA512(SHA256(challenge), secret))."""
        customer = self._feeds.world.customers.get(str(asked.get("api_key")))
        if customer is None or not self._challenge or asked.get("original_challenge") != self._challenge:
            return None
        try:
            expected = signature(self._challenge, customer.api_secret)
        except VenueFault:
            return None
        good = hmac.compare_digest(expected.encode(), str(asked.get("signed_challenge")).encode())
        return customer if good else None

    async def tell(self) -> None:
        """Whatever happens in the account from the subscription on."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            if self._customer is None:
                continue
            account = self._account()
            news, self._told = account.events[self._told :], len(account.events)
            for event in news:
                for message in messages(event, self._feeds.world.clock):
                    if message["feed"] in self._feeds_of_interest:
                        self._feeds.sent.append(message)
                        await self._say(message)

    def _account(self) -> Account:
        assert self._customer is not None
        return self._feeds.world.venue.accounts[self._customer.name]

    async def _say(self, message: Json) -> None:
        with contextlib.suppress(ConnectionError):  # it has hung up
            await self._socket.send_str(json.dumps(message, default=float))


def snapshot(feed: str, account: Account, clock: Clock) -> Json:
    if feed == "fills":
        rows = [_fill(execution, clock) for execution in account.executions[-100:]]
        return {"feed": "fills_snapshot", "account": account.name, "fills": rows}
    orders = [_order(order, clock) for order in account.open_orders()]
    return {"feed": "open_orders_snapshot", "account": account.name, "orders": orders}


def messages(event: OrderEvent, clock: Clock) -> list[Json]:
    """What one event of the account says on the feeds."""
    order = event.order
    found: list[Json] = []
    if event.execution is not None:
        found.append({"feed": "fills", "username": "", "fills": [_fill(event.execution, clock)]})
    if event.kind == "rejected":
        return found
    if order.is_open:
        reason = {"placed": "new_placed_order_by_user"}.get(event.kind, event.reason)
        found.append({"feed": "open_orders", "order": _order(order, clock), "is_cancel": False, "reason": reason})
    else:
        gone = {"order_id": order.order_id, "cli_ord_id": order.client_order_id}
        found.append({"feed": "open_orders", **gone, "is_cancel": True, "reason": event.reason})
    return found


def _order(order: Order, clock: Clock) -> Json:
    row: dict[str, Any] = {
        "instrument": order.venue_id,
        "time": clock.millis(order.placed_at),
        "last_update_time": clock.millis(order.updated_at),
        "qty": order.remaining,
        "filled": order.filled,
        "limit_price": order.limit_price or 0,
        "stop_price": order.stop_price or 0,
        "type": "stop" if order.kind is OrderKind.STOP else "limit",
        "order_id": order.order_id,
        "direction": 0 if order.side is OrderSide.BUY else 1,
        "reduce_only": order.reduce_only,
    }
    return row | ({"cli_ord_id": order.client_order_id} if order.client_order_id else {})


def _fill(execution: Execution, clock: Clock) -> Json:
    return {
        "instrument": execution.order.venue_id,
        "time": clock.millis(execution.at),
        "price": execution.price,
        "seq": 0,
        "buy": execution.order.side is OrderSide.BUY,
        "qty": execution.qty,
        "order_id": execution.order.order_id,
        "cli_ord_id": execution.order.client_order_id,
        "fill_id": execution.fill_id,
        "fill_type": "maker" if execution.is_maker else "taker",
        "fee_paid": execution.fee,
        "fee_currency": "USD",
    }

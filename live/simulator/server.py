"""The simulated venue on a loopback socket: carries requests, obeys the fault schedule, moves the price. [E]"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from aiohttp import web

from live.model import OrderSide
from live.simulator import ledger as ledger_json
from live.simulator.accounts import Account
from live.simulator.asked import Asked, Reply
from live.simulator.faults import FaultKind, Rule, parse_schedule, with_key, without_key
from live.simulator.feeds import Feeds
from live.simulator.kraken_futures import KrakenFutures, RateLimit
from live.simulator.ledger import LedgerFault
from live.simulator.orders import Order
from live.simulator.wire import ticker
from live.simulator.world import World

PRICE_EVERY_SECONDS = 0.25
HTML_PAGE = "<html><head><title>{status}</title></head><body><h1>The web server is having a bad day</h1></body></html>"


class TrueClock:
    """Aware UTC that never goes back: the wall clock at the start plus monotonic time since."""

    def __init__(self) -> None:
        self.began_at = datetime.now(UTC)
        self._began = time.monotonic()

    def now(self) -> datetime:
        return self.began_at + timedelta(seconds=time.monotonic() - self._began)


class SimulatorServer:
    """Serves one World on 127.0.0.1. port 0 lets the system choose; `url` says which."""

    def __init__(
        self,
        world: World,
        clock: TrueClock,
        *,
        port: int = 0,
        price_every_seconds: float = PRICE_EVERY_SECONDS,
        rate_limit: RateLimit | None = None,
    ) -> None:
        self.world = world
        self.clock = clock
        self.api = KrakenFutures(world, rate_limit=rate_limit)
        self.feeds = Feeds(world)
        self.url = ""
        self._port = port
        self._price_every_seconds = price_every_seconds
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        """Listen; returns the base address. Raises OSError when the port is taken."""
        application = web.Application(client_max_size=2**20)
        application.add_routes(_sim_routes(self.world, self.clock))
        application.router.add_get("/ws/v1", self.feeds.serve)
        application.router.add_post("/sim/feed", self._feed)
        application.router.add_route("*", "/{path:.*}", self._venue)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self.url

    async def move_prices(self) -> None:
        """Show the scenario's prices to the venue, for ever."""
        while True:
            await asyncio.sleep(self._price_every_seconds)
            self.world.tick(self.clock.now())

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _feed(self, request: web.Request) -> web.StreamResponse:
        """{"messages": [...]} goes to every listener as it is; {"hang_up": true} closes their connections."""
        try:
            body = _object(await request.text())
            messages = body.get("messages", [])
            if not isinstance(messages, list):
                raise BadSimRequest("messages are a list")
        except ValueError as error:
            return web.Response(status=400, body=_json({"error": str(error)}), content_type="application/json")
        told = await self.feeds.hang_up() if body.get("hang_up") else await self.feeds.push(messages)
        return web.Response(body=_json({"listeners": told}), content_type="application/json")

    # --- the venue's own paths ----------------------------------------------------------------------------------

    async def _venue(self, request: web.Request) -> web.StreamResponse:
        asked = await _asked(request)
        now = self.clock.now()
        params = asked.params()
        elapsed = (now - self.world.faults_began_at).total_seconds()
        rule = self.world.faults.decide(asked.method, asked.path, params, elapsed_seconds=elapsed)
        if rule is None:
            return _response(self.api.answer(asked, now))
        endpoint = asked.path.rsplit("/", 1)[-1]
        self.world.ledger.faults.append(LedgerFault(now, rule.kind, endpoint, params.get("cliOrdId")))
        return await self._struck(rule, asked, request)

    async def _struck(self, rule: Rule, asked: Asked, request: web.Request) -> web.StreamResponse:
        """Act or not, late or not, and spoil the answer as the rule says."""
        if rule.kind is FaultKind.LATE_REQUEST:
            await asyncio.sleep(rule.seconds)
        reply = self._act(rule, asked) if rule.does_act else None
        match rule.kind:
            case FaultKind.LATE_REPLY:
                await asyncio.sleep(rule.seconds)
            case FaultKind.DUPLICATE:
                self._act(rule, asked)
            case FaultKind.LOST_REQUEST | FaultKind.LOST_REPLY:
                return _drop(request, abort=False)
            case FaultKind.RESET:
                return _drop(request, abort=True)
            case FaultKind.HTTP_STATUS:
                return _response(self._error(rule, status=rule.status))
            case FaultKind.HTML:
                return web.Response(
                    status=rule.status, text=HTML_PAGE.format(status=rule.status), content_type="text/html"
                )
            case FaultKind.RESULT_ERROR:
                return _response(self._error(rule, status=200))
        assert reply is not None, "every other kind has acted"
        return _spoiled(rule, reply)

    def _act(self, rule: Rule, asked: Asked) -> Reply:
        fraction = rule.fraction if rule.kind is FaultKind.PARTIAL_FILL else None
        return self.api.answer(asked, self.clock.now(), fault=rule.kind, first_fill_fraction=fraction)

    def _error(self, rule: Rule, *, status: int) -> Reply:
        server_time = self.world.clock.text(self.clock.now())
        return Reply(status, {"result": "error", "error": rule.error, "serverTime": server_time})


async def _asked(request: web.Request) -> Asked:
    path, _, query = request.raw_path.partition("?")
    return Asked(request.method, path, query, await request.text(), dict(request.headers))


def _response(reply: Reply) -> web.Response:
    return web.Response(status=reply.status, body=_json(reply.body), content_type="application/json")


def _spoiled(rule: Rule, reply: Reply) -> web.Response:
    if rule.kind is FaultKind.MISSING_KEY:
        reply = Reply(reply.status, without_key(reply.body, rule.key))
    elif rule.kind is FaultKind.SET_KEY:
        reply = Reply(reply.status, with_key(reply.body, rule.key, rule.value))
    elif rule.kind is FaultKind.TRUNCATED:
        whole = _json(reply.body)
        return web.Response(status=reply.status, body=whole[: len(whole) // 2], content_type="application/json")
    return _response(reply)


def _drop(request: web.Request, *, abort: bool) -> web.Response:
    """Close the connection without a reply; abort resets it."""
    transport = request.transport
    if transport is not None:
        if abort and (sock := transport.get_extra_info("socket")) is not None:
            # lingering for 0 s makes close send RST instead of FIN
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response()  # aiohttp wants one; it goes nowhere


def _json(value: Any) -> bytes:
    return json.dumps(value, default=float).encode()


# --- /sim: for tests and people, on loopback only ------------------------------------------------------------------


class BadSimRequest(ValueError):
    """What a /sim caller is told, with HTTP 400."""


SimHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _sim_routes(world: World, clock: TrueClock) -> list[web.RouteDef]:
    sim = _Sim(world, clock)
    gets = {
        "ledger": sim.ledger,
        "orders": sim.orders,
        "positions": sim.positions,
        "tickers": sim.tickers,
        "faults": sim.read_faults,
        "clock": sim.read_clock,
    }
    posts = {
        "price": sim.price,
        "faults": sim.faults,
        "clock": sim.set_clock,
        "fill": sim.fill,
        "cancel": sim.cancel,
    }
    return [
        *(web.get(f"/sim/{name}", _guarded(call, reads=False)) for name, call in gets.items()),
        *(web.post(f"/sim/{name}", _guarded(call, reads=True)) for name, call in posts.items()),
    ]


def _guarded(call: Callable[[dict[str, Any]], Any], *, reads: bool) -> SimHandler:
    """Loopback only; a JSON object in, JSON out; what the caller got wrong is HTTP 400 with the reason."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.remote is None or not ipaddress.ip_address(request.remote).is_loopback:
            return web.Response(status=403, text="loopback only")
        try:
            body = _object(await request.text()) if reads else {}
            return web.Response(body=_json(call(body)), content_type="application/json")
        except (ValueError, KeyError) as error:
            return web.Response(status=400, body=_json({"error": str(error)}), content_type="application/json")

    return handle


def _object(text: str) -> dict[str, Any]:
    """The posted JSON object; a list stands for the rules of a fault schedule."""
    body = json.loads(text, parse_float=Decimal)
    if isinstance(body, list):
        body = {"rules": body}
    if not isinstance(body, dict):
        raise BadSimRequest("a JSON object is wanted")
    return body


class _Sim:
    """What /sim answers; each method takes the JSON object that was posted."""

    def __init__(self, world: World, clock: TrueClock) -> None:
        self.world = world
        self.clock = clock

    def ledger(self, _: Any) -> Any:
        return self.world.ledger.as_json(self.world.venue, self.clock.now())

    def orders(self, _: Any) -> Any:
        accounts = self.world.venue.accounts.values()
        return [row for account in accounts for row in ledger_json.orders_json(account)]

    def positions(self, _: Any) -> Any:
        return ledger_json.positions_json(self.world.venue)

    def tickers(self, _: Any) -> Any:
        venue, now = self.world.venue, self.clock.now()
        return {
            venue_id: {
                **ticker(contract, venue.quotes[venue_id], self.world.clock, now),
                "pinned": venue_id in self.world.pinned,
            }
            for venue_id, contract in venue.contracts.items()
        }

    def price(self, body: Any) -> Any:
        venue_id = self._symbol(body)
        self.world.pin(venue_id, _decimal(body, "price"), self.clock.now())
        return {"symbol": venue_id, "price": self.world.pinned[venue_id]}

    def read_faults(self, _: Any) -> Any:
        return self.world.faults.as_json()

    def faults(self, body: Any) -> Any:
        self.world.set_faults(parse_schedule(body, seed=self.world.faults.seed), self.clock.now())
        return self.world.faults.as_json()

    def read_clock(self, _: Any) -> Any:
        offset = self.world.clock.offset.total_seconds()
        return {"offset_seconds": offset, "serverTime": self.world.clock.text(self.clock.now())}

    def set_clock(self, body: Any) -> Any:
        offset = _decimal(body, "offset_seconds")
        if abs(offset) > 10**9:
            raise BadSimRequest(f"offset_seconds {offset} is too far")
        self.world.clock.offset = timedelta(seconds=float(offset))
        return self.read_clock(None)

    def fill(self, body: Any) -> Any:
        """{"order_id" | "client_order_id", "qty"?, "price"?} fills an order, as its counterparty would;
        {"symbol", "side", "qty", "price"?} trades at market, as a person at the venue's web page would.
        """
        now = self.clock.now()
        qty = _decimal(body, "qty") if "qty" in body else None
        price = _decimal(body, "price") if "price" in body else None
        if any(value is not None and value <= 0 for value in (qty, price)):
            raise BadSimRequest("qty and price are positive")
        if "order_id" in body or "client_order_id" in body:
            account, order = self._order(body)
            self.world.hand_fill(order, account.name, qty, price, now)
            return self._shown(account, order)
        if qty is None or body.get("side") not in list(OrderSide):
            raise BadSimRequest("fill needs an order, or symbol, side (buy or sell) and qty")
        account = self._account(body)
        done = self.world.hand_trade(self._symbol(body), account.name, OrderSide(body["side"]), qty, price, now)
        return self._shown(account, done)

    def cancel(self, body: Any) -> Any:
        """{"order_id" | "client_order_id"}, or {"symbol"} for all open orders of a symbol."""
        now = self.clock.now()
        if "order_id" in body or "client_order_id" in body:
            account, order = self._order(body)
            return {"status": self.world.hand_cancel(order, account.name, now)}
        account = self._account(body)
        orders = account.open_orders(self._symbol(body))
        return {"cancelled": [order.order_id for order in orders if self.world.hand_cancel(order, account.name, now)]}

    def _shown(self, account: Account, order: Order) -> Any:
        events = [event for event in account.events if event.order.order_id == order.order_id]
        return ledger_json.order_json(account, account.orders[order.order_id], events)

    def _symbol(self, body: Any) -> str:
        name = str(body["symbol"])
        try:
            return self.world.venue_id(name)
        except KeyError:
            raise BadSimRequest(f"no symbol {name!r}; there are {', '.join(self.world.venue.contracts)}") from None

    def _account(self, body: Any) -> Account:
        accounts = self.world.venue.accounts
        name = str(body.get("account", next(iter(accounts))))
        if name not in accounts:
            raise BadSimRequest(f"no account {name!r}")
        return accounts[name]

    def _order(self, body: Any) -> tuple[Account, Order]:
        for account in self.world.venue.accounts.values():
            if order := account.find(body.get("order_id"), body.get("client_order_id")):
                return account, order
        raise BadSimRequest("no such order")


def _decimal(body: Any, name: str) -> Decimal:
    if not isinstance(body, dict) or name not in body:
        raise BadSimRequest(f"{name} is missing")
    try:
        value = Decimal(str(body[name]))
    except InvalidOperation:
        raise BadSimRequest(f"{name} is not a number: {body[name]!r}") from None
    if not value.is_finite():
        raise BadSimRequest(f"{name} is not a number: {body[name]!r}")
    return value

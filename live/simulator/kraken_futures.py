"""Kraken Futures' REST interface over the venue model: who may ask, which endpoint, what the ledger says. [E]

One function, `answer`, from a request to a reply, without a socket; server.py carries both. Sources: Kraken's Futures
REST reference (docs.kraken.com), and what ccxt's krakenfutures sends and reads. Errors are HTTP 200 with result: error,
as the venue sends them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from live.simulator import endpoints
from live.simulator.asked import Asked, Call, Reply, VenueFault
from live.simulator.endpoints import batch_rows
from live.simulator.ledger import LedgerRequest
from live.simulator.wire import Json
from live.simulator.world import Customer, World


class RateLimit:
    """A bucket of cost per account, refilled steadily. Kraken gives 500 per 10 s, and apart from it 100 per 10 min for
    the history; the default here is generous."""

    def __init__(self, cost: float = 5000, per_seconds: float = 10) -> None:
        self.capacity = cost
        self.per_second = cost / per_seconds
        self._left: dict[str, tuple[float, datetime]] = {}

    def spend(self, account: str, cost: float, now: datetime) -> bool:
        left, since = self._left.get(account, (self.capacity, now))
        left = min(self.capacity, left + (now - since).total_seconds() * self.per_second)
        enough = left >= cost
        self._left[account] = (left - cost if enough else left, now)
        return enough


Handler = Callable[[World, Call], Json]


@dataclass(frozen=True, slots=True)
class Route:
    """costs_with: a parameter that makes the request dearer, and what it costs then."""

    pattern: re.Pattern[str]
    methods: tuple[str, ...]
    handler: Handler
    private: bool
    cost: float
    mutates: bool
    costs_with: tuple[str, float] | None = None

    def cost_of(self, params: Mapping[str, str]) -> float:
        return self.costs_with[1] if self.costs_with and params.get(self.costs_with[0]) else self.cost


class KrakenFutures:
    def __init__(
        self, world: World, *, rate_limit: RateLimit | None = None, history_limit: RateLimit | None = None
    ) -> None:
        self.world = world
        self.rate_limit = rate_limit or RateLimit()
        self.history_limit = history_limit or RateLimit()

    def answer(
        self,
        asked: Asked,
        now: datetime,
        *,
        fault: str | None = None,
        first_fill_fraction: Decimal | None = None,
    ) -> Reply:
        """What the venue replies, having acted. fault: named in the ledger beside the request it struck."""
        self.world.venue.advance(now)
        route, names = _route(asked)
        if route is None:
            return self._error("notFound", now, status=404)
        customer: Customer | None = None
        try:
            if route.private:
                customer = self._customer(asked)
                pool = self.history_limit if asked.path.startswith("/api/history/") else self.rate_limit
                if not pool.spend(customer.name, route.cost_of(asked.params()), now):
                    raise VenueFault("apiLimitExceeded")
            call = Call(asked, asked.params(), now, names, customer, first_fill_fraction)
            body = route.handler(self.world, call)
        except VenueFault as refused:
            if route.mutates:
                self._note(asked, customer, now, {"error": refused.error}, fault)
            return self._error(refused.error, now, status=refused.status)
        if route.mutates:
            self._note(asked, customer, now, body, fault)
        if asked.path.startswith("/api/charts/"):
            return Reply(200, body)
        success = {} if asked.path.startswith("/api/history/") else {"result": "success"}
        return Reply(200, {**success, **body, "serverTime": self.world.clock.text(now)})

    def _error(self, error: str, now: datetime, *, status: int) -> Reply:
        return Reply(status, {"result": "error", "error": error, "serverTime": self.world.clock.text(now)})

    def _customer(self, asked: Asked) -> Customer:
        """Who signed the request: Authent = base64(HMAC-SHA512(SHA256(postData + nonce + path), secret)).

        The path is signed without /derivatives. Raises VenueFault("authenticationError").
        """
        headers = {name.lower(): value for name, value in asked.headers.items()}
        customer = self.world.customers.get(headers.get("apikey", ""))
        if customer is None:
            raise VenueFault("authenticationError")
        signed = asked.signed_text + headers.get("nonce", "") + asked.path.removeprefix("/derivatives")
        expected = signature(signed, customer.api_secret)
        if not hmac.compare_digest(expected.encode(), headers.get("authent", "").encode()):
            raise VenueFault("authenticationError")
        return customer

    def _note(self, asked: Asked, customer: Customer | None, now: datetime, body: Json, fault: str | None) -> None:
        """Write what was asked and answered into the ledger; a batch is one line for each of its parts."""
        endpoint, params = asked.path.rsplit("/", 1)[-1], asked.params()
        parts: list[tuple[str, Mapping[str, Any], Json]] = [(endpoint, params, _status_of(body))]
        if "batchStatus" in body:
            rows = batch_rows(asked)
            parts = [(f"{row['order']}order", row, st) for row, st in zip(rows, body["batchStatus"], strict=True)]
        for name, asked_for, status in parts:
            order_id = asked_for.get("order_id") or asked_for.get("orderId") or status.get("order_id")
            self.world.ledger.requests.append(
                LedgerRequest(
                    at=now,
                    origin="api",
                    account=customer.name if customer else None,
                    endpoint=name,
                    client_order_id=asked_for.get("cliOrdId"),
                    order_id=order_id,
                    params=asked_for,
                    accepted=status["status"] in ACCEPTED,
                    reason=status["status"],
                    fault=fault,
                )
            )


def signature(signed_text: str, secret: str) -> str:
    """Authent for postData + nonce + path. secret: base64. Raises VenueFault for a secret that is none."""
    try:
        key = base64.b64decode(secret, validate=True)
    except (binascii.Error, ValueError) as error:
        raise VenueFault("authenticationError") from error
    digest = hashlib.sha256(signed_text.encode()).digest()
    return base64.b64encode(hmac.new(key, digest, hashlib.sha512).digest()).decode()


def _route(asked: Asked) -> tuple[Route | None, Mapping[str, str]]:
    for route in ROUTES:
        if asked.method in route.methods and (match := route.pattern.fullmatch(asked.path)):
            return route, match.groupdict()
    return None, {}


ACCEPTED = ("placed", "edited", "cancelled", "noOrdersToCancel", "done")


def _status_of(body: Json) -> Json:
    """The block of an answer that says what became of the request; those without one simply did it."""
    for block in ("sendStatus", "editStatus", "cancelStatus"):
        if block in body:
            status: Json = body[block]
            return status
    return {"status": body.get("error", "done")}


def _public(path: str, handler: Handler) -> Route:
    return Route(re.compile(path), ("GET",), handler, private=False, cost=0, mutates=False)


def _reading(path: str, handler: Handler, cost: float, *methods: str) -> Route:
    return Route(re.compile(path), methods or ("GET",), handler, private=True, cost=cost, mutates=False)


def _acting(path: str, handler: Handler, cost: float, *methods: str) -> Route:
    return Route(re.compile(path), methods or ("POST",), handler, private=True, cost=cost, mutates=True)


_V3 = "/derivatives/api/v3"
_HISTORY = "/api/history/v[23]"

# costs: Kraken Futures' rate limit table
ROUTES: tuple[Route, ...] = (
    _public(f"{_V3}/instruments", endpoints.instruments),
    _public(f"{_V3}/tickers", endpoints.tickers),
    _public(f"{_V3}/tickers/(?P<symbol>[^/]+)", endpoints.ticker),
    _public(f"{_V3}/orderbook", endpoints.orderbook),
    _public("/api/charts/v1/(?P<price_type>[^/]+)/(?P<symbol>[^/]+)/(?P<interval>[^/]+)", endpoints.candles),
    _reading(f"{_V3}/accounts", endpoints.accounts, 2),
    _reading(f"{_V3}/openpositions", endpoints.open_positions, 2),
    _reading(f"{_V3}/openorders", endpoints.open_orders, 2),
    _reading(f"{_V3}/orders/status", endpoints.orders_status, 1, "GET", "POST"),
    replace(_reading(f"{_V3}/fills", endpoints.fills, 2), costs_with=("lastFillTime", 25)),
    _reading(f"{_V3}/leveragepreferences", endpoints.leverage_preferences, 2),
    _reading(f"{_HISTORY}/orders", endpoints.history_orders, 1),
    _reading(f"{_HISTORY}/executions", endpoints.history_executions, 1),
    _reading(f"{_HISTORY}/triggers", endpoints.history_triggers, 1),
    _acting(f"{_V3}/sendorder", endpoints.send_order, 10),
    _acting(f"{_V3}/editorder", endpoints.edit_order, 10),
    _acting(f"{_V3}/cancelorder", endpoints.cancel_order, 10),
    _acting(f"{_V3}/batchorder", endpoints.batch_order, 9),
    _acting(f"{_V3}/cancelallorders", endpoints.cancel_all, 25),
    _acting(f"{_V3}/cancelallordersafter", endpoints.cancel_all_after, 25),
    _acting(f"{_V3}/leveragepreferences", endpoints.set_leverage, 10, "PUT"),
)

"""From the intent to its first byte at the venue: our Execution beside ccxt alone after one INSERT. [S]"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
from common.frame import say
from common.pairs import Figures, Times, ratio, spread

from execution_parts.listener import listening, symbol
from live.book import Book
from live.clock import SystemClock
from live.events import Decided, Filled
from live.execution import Execution
from live.journal import PostgresJournal
from live.limiter import Budget
from live.model import Fill, Instrument, Intent, Leg, Side
from live.order_id import OrderIds
from live.position import Policy, Position, due
from live.simulator import DEMO_API_KEY, DEMO_API_SECRET
from live.venue import open_venue
from prodsafe.lease import Lease, acquire
from prodsafe.lease_model import account_scope, scope_hash

SYMBOL = symbol(0)
LISTED = Instrument(SYMBOL, "", Decimal("0.5"), Decimal("0.001"), Decimal("0.001"))
UNLIMITED = Budget(per_second=1e9, burst=1e9, reserved=0.0)  # the venue's pace is not what is measured
FLOOR_TABLE = "CREATE TABLE floor (id bigint GENERATED ALWAYS AS IDENTITY, client_order_id text, payload jsonb)"
FLOOR_INSERT = "INSERT INTO floor (client_order_id, payload) VALUES (%s, %s::jsonb)"


class Bare:
    """The floor: one row, committed with fsync on a plain connection, then ccxt's create_order; nothing is checked."""

    def __init__(self, url: str, venue_url: str) -> None:
        import ccxt.async_support

        self._connection = psycopg.connect(url, autocommit=True)
        self._connection.execute(FLOOR_TABLE)
        self._exchange = ccxt.async_support.krakenfutures(
            {"apiKey": DEMO_API_KEY, "secret": DEMO_API_SECRET, "enableRateLimit": False}
        )
        api = self._exchange.urls["api"]
        self._exchange.urls["api"] = {name: _on(venue_url, each) for name, each in api.items()}
        self._sent = 0

    async def send(self) -> dict[str, float]:
        self._sent += 1
        cid, params = f"bare-{self._sent}", {"clientOrderId": f"bare-{self._sent}"}
        began_ns = time.monotonic_ns()
        self._connection.execute(FLOOR_INSERT, (cid, json.dumps({"symbol": SYMBOL, "qty": "0.5", "price": "100"})))
        order = await self._exchange.create_order(SYMBOL, "limit", "buy", 0.5, 100, params)
        return {"bare": _seconds(began_ns, order["id"])}

    async def ready(self) -> None:
        await self._exchange.load_markets()

    async def close(self) -> None:
        await self._exchange.close()
        self._connection.close()


class Ours:
    """The worker's own path: latch, journal with its fence, the lease's permit, the checked wire; entry, then stop."""

    def __init__(self, lease: Lease, journal: PostgresJournal, venue_url: str) -> None:
        clock, self.book = SystemClock(), Book()
        self._venue = open_venue(
            "krakenfutures", api_key=DEMO_API_KEY, api_secret=DEMO_API_SECRET, url=venue_url, budget=UNLIMITED
        )
        self._execution = Execution(
            journal=journal,
            venue=self._venue,
            book=self.book,
            clock=clock,
            permit=lease.permit,
            order_ids=OrderIds(scope_hash(lease.scope), lease.token.epoch),
            request_expiry=timedelta(seconds=2),
            narrate=lambda text: None,
            alert=lambda key, text: None,
        )

    async def ready(self) -> None:
        await self._venue.instruments()

    async def close(self) -> None:
        await self._venue.close()

    async def send(self) -> dict[str, float]:
        entry_id = self._execution.next_id(Leg.ENTRY)
        intent, decided = _intent(entry_id.root)
        began_ns = time.monotonic_ns()
        await self._execution.enter(intent, entry_id, decided)
        entered = _seconds(began_ns, self._position(entry_id.root).orders[str(entry_id)].venue_order_id)
        await self._filled(entry_id.root, Leg.ENTRY)

        began_ns = time.monotonic_ns()
        for command in due(self._position(entry_id.root), LISTED, Policy(), datetime.now(UTC)):
            await self._execution.perform(command)
        (stop,) = self._position(entry_id.root).legs(Leg.STOP)
        protected = _seconds(began_ns, stop.venue_order_id)
        await self._filled(entry_id.root, Leg.STOP)
        return {"entry": entered, "stop": protected}

    def _position(self, position_id: str) -> Position:
        return self.book.positions[position_id]

    async def _filled(self, position_id: str, leg: Leg) -> None:
        (order,) = self._position(position_id).legs(leg)
        now, venue_order_id = datetime.now(UTC), order.venue_order_id or ""
        fill = Fill(
            f"fill-{venue_order_id}", venue_order_id, None, SYMBOL, order.spec.side, order.spec.qty, Decimal(100),
            Decimal(0), now,
        )  # fmt: skip
        await self._execution.record(Filled(at=now, client_order_id=order.spec.client_order_id, fill=fill))


def _intent(position_id: str) -> tuple[Intent, Decided]:
    now = datetime.now(UTC)
    reasons = ("sweep of the day's low", "change of character up", "fair value gap in discount")
    intent = Intent(
        position_id=position_id,
        symbol=SYMBOL,
        side=Side.LONG,
        qty=Decimal("0.5"),
        entry_price=Decimal(100),
        stop_price=Decimal(98),
        targets=(),
        risk_quote=Decimal(1),
        decided_at=now,
        expires_at=now + timedelta(hours=1),
        reasons=reasons,
    )
    return intent, Decided(at=now, symbol=SYMBOL, closed_at=now, taken=True, side=Side.LONG, reasons=reasons, code="s")


def _on(venue_url: str, address: Any) -> Any:
    """ccxt's addresses, nested, on the listener's host with their own paths."""
    if isinstance(address, dict):
        return {name: _on(venue_url, each) for name, each in address.items()}
    return venue_url + "/" + address.split("/", 3)[3]


def _seconds(began_ns: int, stamped: str | None) -> float:
    assert stamped is not None, "the order was not accepted"
    return (int(stamped) - began_ns) / 1e9


async def _in_turns(sides: list[Callable[[], Awaitable[dict[str, float]]]], rounds: int) -> Times:
    """Each round begins with the other side; the first five are not kept."""
    taken: Times = {}
    for number in range(-5, rounds):
        for side in sides if number % 2 else sides[::-1]:
            for name, spent in (await side()).items():
                if number >= 0:
                    taken.setdefault(name, []).append(spent)
    return taken


async def _measure(url: str, venue_url: str, lease: Lease, rounds: int) -> Times:
    journal = await PostgresJournal.open(url, scope=lease.scope, epoch=lease.token.epoch, holder=lease.token.holder)
    bare, ours = Bare(url, venue_url), Ours(lease, journal, venue_url)
    try:
        await bare.ready()
        await ours.ready()
        return await _in_turns([bare.send, ours.send], rounds)
    finally:
        await bare.close()
        await ours.close()
        await journal.close()


def measure(url: str, rounds: int) -> tuple[Figures, Figures]:
    say(f"intent to wire, {rounds} rounds")
    with listening(4) as venue_url, acquire(url, [account_scope("krakenfutures", "bench", "test")]) as lease:
        lease.activate()
        taken = asyncio.run(_measure(url, venue_url, lease, rounds))
    figures: Figures = {}
    for name, times in taken.items():
        figures |= spread(f"wire_{name}_ms", times, 1e3)
    ratios = {f"wire_{name}_beside_bare": ratio(taken, name, "bare") for name in ("entry", "stop")}
    return figures, ratios

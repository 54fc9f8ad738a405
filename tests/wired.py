"""LiveTrading with the real door over HTTP to the simulated venue, all in this process and in real time."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

from live.clock import SystemClock
from live.events import Decided
from live.journal import MemoryJournal, MemoryStore
from live.live_trading import LiveTrading
from live.model import Intent, Leg, Side
from live.report import Identity
from live.settings import Settings
from live.simulator import DEMO_API_KEY, DEMO_API_SECRET
from live.simulator.__main__ import demo_customer
from live.simulator.accounts import Account
from live.simulator.faults import parse_schedule
from live.simulator.orders import OrderKind
from live.simulator.scenarios import make_scenario
from live.simulator.server import SimulatorServer, TrueClock
from live.simulator.world import World
from live.venue import CcxtVenue, open_venue

BTC = "BTC/USD:USD"
SETTINGS = Settings(live_symbols=(BTC,), live_warmup_candles=50)


@dataclass
class Wired:
    """A booted worker, its venue's door, and the venue. said, alerts: what the worker told."""

    world: World
    server: SimulatorServer
    venue: CcxtVenue
    trading: LiveTrading
    said: list[str]
    alerts: list[str]

    @property
    def account(self) -> Account:
        return next(iter(self.world.venue.accounts.values()))

    def asked(self) -> list[str]:
        """What was sent, in order: sendorder by its type, and the seconds of the switch."""
        requests = self.world.ledger.requests
        return [each.params.get("timeout") or each.params.get("orderType") or each.endpoint for each in requests]

    async def enter(self) -> str:
        """A limit entry a little below the market, sent as the loop would send it."""
        price = self.world.venue.quotes["PF_XBTUSD"].last
        limit, stop = ((price * Decimal(share)).quantize(Decimal(1)) for share in ("0.99", "0.95"))
        now = datetime.now(UTC)
        entry_id = self.trading._execution.next_id(Leg.ENTRY)
        intent = Intent(
            position_id=entry_id.root,
            symbol=BTC,
            side=Side.LONG,
            qty=Decimal("0.01"),
            entry_price=limit,
            stop_price=stop,
            targets=(),
            risk_quote=Decimal(10),
            decided_at=now,
            expires_at=now + timedelta(hours=1),
            reasons=("a test",),
        )
        decided = Decided(at=now, symbol=BTC, closed_at=now, taken=True, side=Side.LONG, reasons=())
        await self.trading._execution.enter(intent, entry_id, decided)
        return str(entry_id)

    def fill(self, client_order_id: str) -> None:
        order = self.account.find(None, client_order_id)
        assert order is not None
        self.world.hand_fill(order, self.account.name, None, None, self.server.clock.now())

    def stops(self) -> list[Any]:
        return [order for order in self.account.open_orders() if order.kind is OrderKind.STOP]

    def let_pass(self, seconds: float) -> None:
        self.world.venue.advance(self.server.clock.now() + timedelta(seconds=seconds))

    def faults(self, *rules: dict[str, Any]) -> None:
        self.world.set_faults(parse_schedule(list(rules)), self.server.clock.now())

    def ledger(self) -> dict[str, Any]:
        return self.world.ledger.as_json(self.world.venue, self.server.clock.now())


@contextlib.asynccontextmanager
async def wired(settings: Settings = SETTINGS) -> AsyncIterator[Wired]:
    clock = TrueClock()
    world = World(
        make_scenario("still", seed=1, began_at=clock.began_at), [demo_customer()], began_at=clock.began_at, seed=1
    )
    server = SimulatorServer(world, clock)
    url = await server.start()
    venue = open_venue("krakenfutures", api_key=DEMO_API_KEY, api_secret=DEMO_API_SECRET, url=url)
    holder, store = uuid4(), MemoryStore()
    journal = MemoryJournal(
        store, scope="scope", epoch=store.take("scope", holder), holder=holder, clock=SystemClock().now
    )
    identity = Identity(
        scope="scope",
        scope_hash="abc",
        epoch=1,
        holder=str(holder),
        predecessor_clean=True,
        host="h",
        pid=1,
        version="",
    )
    said: list[str] = []
    alerts: list[str] = []
    trading = LiveTrading(
        settings=settings,
        identity=identity,
        journal=journal,
        venue=venue,
        clock=SystemClock(),
        permit=lambda: None,
        lease_is_fresh=lambda: True,
        narrate=said.append,
        alert=lambda _key, text: alerts.append(text),
        tell=lambda notice: alerts.append(notice.text),
    )
    try:
        await trading.boot()
        yield Wired(world, server, venue, trading, said, alerts)
    finally:
        await venue.close()
        await server.stop()

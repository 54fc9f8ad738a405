"""A market and a venue in memory that answer at once, on a clock that moves when told: what a worker does, alone. [S]

Every second symbol holds a position of a person, which the worker adopts and protects at boot. Nothing here is timed:
what the worker will ask for is laid ready by `at` before it asks.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from uuid import UUID

from execution_parts.listener import symbol
from live.events import Event
from live.journal import MemoryJournal, MemoryStore
from live.live_trading import LiveTrading
from live.model import (
    Accepted,
    Account,
    CancelOutcome,
    Candle,
    Fill,
    Instrument,
    OrderSpec,
    Side,
    SubmitOutcome,
    Ticker,
    VenueOrder,
    VenueOrderStatus,
    VenuePosition,
)
from live.report import Identity
from live.settings import Settings
from live.venue import Permit

BEGAN = datetime(2026, 3, 2, tzinfo=UTC)
HOLDER = UUID(int=1)
TICK, STEP = Decimal("0.5"), Decimal("0.001")
EQUITY = Decimal(100_000_000)
WARM_UP = 200


class DeskClock:
    def __init__(self) -> None:
        self.time = BEGAN

    def now(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class Walk:
    """Closed candles of one symbol on a tick grid, the newest `kept` of them."""

    def __init__(self, name: str, bar: timedelta, kept: int) -> None:
        self._rng, self._name, self._bar = random.Random(f"{name}/{bar}"), name, bar
        self._ticks, self._next = 100_000, BEGAN - kept * bar
        self.candles: deque[Candle] = deque(maxlen=kept)

    def up_to(self, now: datetime) -> None:
        while self._next + self._bar <= now:
            self.candles.append(self._candle())
            self._next += self._bar

    def _candle(self) -> Candle:
        opened, rng = self._ticks, self._rng
        self._ticks = max(10_000, opened + round(rng.gauss(0, 200)))
        high = max(opened, self._ticks) + abs(round(rng.gauss(0, 80)))
        low = min(opened, self._ticks) - abs(round(rng.gauss(0, 80)))
        prices = [Decimal(ticks) / 2 for ticks in (opened, high, low, self._ticks)]
        return Candle(self._name, self._bar, self._next, *prices, Decimal(rng.randint(1, 1000)))


class DeskVenue:
    """Places every order, fills none by itself; `close` and `open` do what a stop or a person would."""

    clock_offset_seconds = 0.0

    def __init__(self, symbols: int, bar: timedelta, clock: DeskClock, *, warm_up: int = WARM_UP) -> None:
        self._clock, self._numbers = clock, count(1)
        self.names = [symbol(number) for number in range(symbols)]
        self._listed = {
            name: Instrument(name, f"PF_{name[:4]}USD", TICK, STEP, STEP, max_leverage=Decimal(50))
            for name in self.names
        }
        self._walks = {name: Walk(name, bar, warm_up + 2) for name in self.names}
        self._orders: dict[str, VenueOrder] = {}
        self._positions: dict[str, VenuePosition] = {}
        self._fills: deque[Fill] = deque(maxlen=200)
        self.sent = 0
        self.at(BEGAN)
        for name in self.names[::2]:
            self.open(name)

    def at(self, now: datetime) -> None:
        """Time has come to this: candles close and prices are quoted, before anybody asks."""
        self._clock.time = now
        for walk in self._walks.values():
            walk.up_to(now)
        self._tickers = {
            name: Ticker(name, price := walk.candles[-1].close, price - TICK, price + TICK, now)
            for name, walk in self._walks.items()
        }
        self._account = Account(EQUITY, EQUITY, now)

    def open(self, name: str) -> None:
        """A person buys."""
        price = self._tickers[name].mark_price
        self._positions[name] = VenuePosition(name, Side.LONG, Decimal(1), price)

    def close(self, name: str) -> None:
        """The stop that protects the position fills."""
        position = self._positions.pop(name, None)
        stop = next((each for each in self._orders.values() if each.symbol == name and each.trigger_price), None)
        if position is None or stop is None or stop.trigger_price is None:
            return
        del self._orders[stop.venue_order_id]
        self._fills.append(
            Fill(f"f{next(self._numbers)}", stop.venue_order_id, None, name, stop.side, position.qty,
                 stop.trigger_price, Decimal("0.1"), self._clock.now())
        )  # fmt: skip

    @property
    def held(self) -> list[str]:
        return list(self._positions)

    async def instruments(self) -> dict[str, Instrument]:
        return dict(self._listed)

    async def candles(self, symbol: str, timeframe: timedelta, *, since: datetime) -> list[Candle]:
        kept = self._walks[symbol].candles
        skipped = max(0, (since - kept[0].opened_at) // timeframe)
        return [kept[place] for place in range(skipped, len(kept))]

    async def tickers(self, symbols: Sequence[str]) -> dict[str, Ticker]:
        return {name: self._tickers[name] for name in symbols}

    async def account(self) -> Account:
        return self._account

    async def positions(self) -> list[VenuePosition]:
        return list(self._positions.values())

    async def open_orders(self) -> list[VenueOrder]:
        return list(self._orders.values())

    async def find_orders(self, specs: Sequence[OrderSpec], *, since: datetime) -> dict[str, VenueOrder]:
        return {}

    async def fills(self, *, since: datetime) -> list[Fill]:
        return [fill for fill in self._fills if fill.filled_at >= since]

    async def submit(self, spec: OrderSpec, *, expires_at: datetime, permit: Permit) -> SubmitOutcome:
        self.sent += 1
        order_id = f"v{next(self._numbers)}"
        self._orders[order_id] = VenueOrder(
            order_id, spec.client_order_id, spec.symbol, spec.side, spec.type, spec.qty, Decimal(0),
            VenueOrderStatus.OPEN, spec.reduce_only, spec.limit_price, spec.trigger_price,
        )  # fmt: skip
        return Accepted(order_id)

    async def cancel(self, spec: OrderSpec, venue_order_id: str | None, *, permit: Permit) -> CancelOutcome:
        self._orders.pop(venue_order_id or "", None)
        return Accepted(None)


class Shelf:
    """Keeps what a feed remembers, and gives none of it back."""

    async def save_snapshot(self, symbol: str, timeframe: timedelta, text: str) -> None:
        self.text = text

    async def load_snapshot(self, symbol: str, timeframe: timedelta) -> str | None:
        return None


class Forgetful(MemoryJournal):
    """A journal whose rows are elsewhere, as those of PostgreSQL are: the worker's own memory is what is measured."""

    async def append(self, events: Sequence[Event]) -> None:
        await super().append(events)
        self._store.rows.clear()
        self._store.candles.clear()


def trader(venue: DeskVenue, clock: DeskClock, timeframe: str, *, forgetful: bool = False) -> LiveTrading:
    """A worker over that venue, not yet booted; no limit is in its way."""
    store = MemoryStore()
    epoch = store.take("scope", HOLDER)
    journal = (Forgetful if forgetful else MemoryJournal)(
        store, scope="scope", epoch=epoch, holder=HOLDER, clock=clock.now
    )
    many = 2 * len(venue.names)
    return LiveTrading(
        settings=Settings(
            live_symbols=tuple(venue.names),
            live_timeframe=timeframe,
            live_warmup_candles=WARM_UP,
            risk_max_positions=many,
            risk_halt_positions=many + 1,
        ),
        identity=Identity(
            scope="scope", scope_hash="abc", epoch=epoch, holder=str(HOLDER), predecessor_clean=True,
            host="bench", pid=1, version="0",
        ),
        journal=journal,
        venue=venue,  # type: ignore[arg-type]
        clock=clock,
        permit=lambda: None,
        lease_is_fresh=lambda: True,
        narrate=lambda text: None,
        alert=lambda key, text: None,
    )  # fmt: skip

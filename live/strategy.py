"""Closed candles in, observations out: one streaming engine per symbol, fed by REST at bar boundaries. [S]"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from live.market import BadCandles, closed, last_boundary
from live.model import Candle
from live.smc.engine import Engine
from live.smc.events import Observation
from live.smc.parameters import SmcParameters
from live.smc.reasons import Code
from live.smc.snapshot import SnapshotRefused
from live.venue import Venue

PUBLISH_DELAY = timedelta(seconds=1)  # a venue shows a closed bar a moment after it closed
SAVE_EVERY = 64  # candles; those since are read again at boot, in the request that asks for the newest


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the strategy makes of one closed candle."""

    candle: Candle
    observation: Observation


@dataclass(frozen=True, slots=True)
class News:
    """Closed candles not read before, oldest first, and the opinions that may be acted on.

    problem: why the venue's candles could not be used, and the next call asks again; or why a memory was not.
    """

    candles: tuple[Candle, ...] = ()
    opinions: tuple[Opinion, ...] = ()
    problem: str | None = None


class Memory(Protocol):
    """Where a strategy's memory outlives the process: the part of the journal that a feed needs."""

    async def save_snapshot(self, symbol: str, timeframe: timedelta, text: str) -> None: ...
    async def load_snapshot(self, symbol: str, timeframe: timedelta) -> str | None: ...


class Feed:
    """The candles of one symbol and the engine that has read them all, in order, each once.

    The engine's state is a function of the candles alone, so that warm-up, live and replay agree. At boot it goes on
    from its saved memory; without one that fits, or older than a warm-up reaches, it warms up.
    """

    def __init__(
        self, symbol: str, venue: Venue, parameters: SmcParameters, *, warmup_candles: int, memory: Memory
    ) -> None:
        self.symbol = symbol
        self._venue = venue
        self._parameters = parameters
        self._timeframe = parameters.timeframe
        self._warmup_candles = warmup_candles
        self._memory = memory
        self._engine = Engine(parameters, symbol)
        self._last: Candle | None = None
        self._unsaved = 0

    def is_due(self, now: datetime) -> bool:
        """Whether a closed candle should be there that was not read yet."""
        return self._last is None or now >= self._last.closed_at + self._timeframe + PUBLISH_DELAY

    async def news(self, now: datetime) -> News:
        """What closed since the last call; after boot only its newest candle has an opinion to act on.

        Raises VenueUnreadable when the candles cannot be read.
        """
        if not self.is_due(now):
            return News()
        try:
            if self._last is None:
                return await self._boot(now)
            return await self._take(await self._closed_since(self._last.opened_at, now))
        except BadCandles as bad:
            return News(problem=f"{self.symbol}: {bad}")

    async def _boot(self, now: datetime) -> News:
        begin = last_boundary(now, self._timeframe) - self._warmup_candles * self._timeframe
        problem = None
        try:
            candles = await self._closed_since_memory(begin, now)
        except SnapshotRefused as refused:
            problem = f"{self.symbol}: warmed up anew: {refused}"
            candles = await self._closed_since(begin, now)
        news = await self._take(candles)
        return News(news.candles, news.opinions[-1:], problem)

    async def _closed_since_memory(self, begin: datetime, now: datetime) -> tuple[Candle, ...]:
        """What the engine has not read, having remembered what it could; everything since `begin` without a memory.

        Raises SnapshotRefused for a memory that cannot be gone on from.
        """
        text = await self._memory.load_snapshot(self.symbol, self._timeframe)
        if text is None:
            return await self._closed_since(begin, now)
        engine = Engine.from_snapshot(text, self._parameters, self.symbol)
        if engine.last is None or engine.last.opened_at < begin:
            raise SnapshotRefused("the snapshot is older than a warm-up reaches")
        candles = await self._closed_since(engine.last.opened_at, now)
        if not candles or engine.on_candle(candles[0]).code is not Code.DUPLICATE:
            raise SnapshotRefused("the venue does not tell the snapshot's last candle as it was read")
        self._engine, self._last = engine, candles[0]
        return candles[1:]

    async def _take(self, candles: Sequence[Candle]) -> News:
        """Feed the engine. Saved is its memory before the newest candle, so that a restart hears of that one again."""
        if not candles:
            return News()
        *older, newest = candles
        opinions = [self._opinion(candle) for candle in older]
        self._unsaved += len(candles)
        if self._unsaved >= SAVE_EVERY:
            await self._memory.save_snapshot(self.symbol, self._timeframe, self._engine.snapshot())
            self._unsaved = 0
        opinions.append(self._opinion(newest))
        self._last = newest
        return News(tuple(candles), tuple(opinions))

    def _opinion(self, candle: Candle) -> Opinion:
        return Opinion(candle, self._engine.on_candle(candle))

    async def _closed_since(self, since: datetime, now: datetime) -> tuple[Candle, ...]:
        """Closed candles opened at `since` or later that were not read before. Raises BadCandles, VenueUnreadable."""
        read = closed(await self._venue.candles(self.symbol, self._timeframe, since=since), now)
        return tuple(candle for candle in read if self._last is None or candle.opened_at > self._last.opened_at)

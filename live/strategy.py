"""Closed candles in, observations out: one streaming engine per symbol, fed by REST at bar boundaries. [S]"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from live.market import Arrivals, BadCandles, arrivals, closed, last_boundary, merge
from live.model import Candle
from live.smc.engine import Engine
from live.smc.events import Observation
from live.smc.parameters import SmcParameters
from live.smc.reasons import Code
from live.smc.snapshot import SnapshotRefused

PUBLISH_DELAY = timedelta(seconds=1)  # a venue shows a closed bar a moment after it closed
SAVE_EVERY = 128  # candles; those since are read again at boot, in the request that asks for the newest


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


NO_NEWS = News()


class CandleSource(Protocol):
    """The part of a venue that a feed needs."""

    async def candles(self, symbol: str, timeframe: timedelta, *, since: datetime) -> list[Candle]: ...


class Memory(Protocol):
    """Where a strategy's memory outlives the process: the part of the journal that a feed needs."""

    async def save_snapshot(self, symbol: str, timeframe: timedelta, text: str) -> None: ...
    async def load_snapshot(self, symbol: str, timeframe: timedelta) -> str | None: ...


class Feed:
    """The candles of one symbol and the engine that has read them all, in order, each once.

    The engine's state is a function of the candles alone, so that warm-up, live and replay agree. At boot it goes on
    from its saved memory; without one that fits, or older than a warm-up reaches, it warms up.

    An outage of the venue leaves it waiting: no candle, no opinion, no entry. Afterwards it reads all that closed
    meanwhile, in order, and has an opinion on each; the old ones are too late to be entered on.
    """

    def __init__(
        self,
        symbol: str,
        venue: CandleSource,
        parameters: SmcParameters,
        *,
        warmup_candles: int,
        memory: Memory,
        head_start: int = 0,
    ) -> None:
        """head_start: by how many candles the first save after boot comes early. Feeds that differ in it do not all
        save in one tick, which for many symbols takes longer than everything else in it."""
        self.symbol = symbol
        self._venue = venue
        self._parameters = parameters
        self._timeframe = parameters.timeframe
        self._warmup_candles = warmup_candles
        self._memory = memory
        self._head_start = head_start % SAVE_EVERY
        self._engine = Engine(parameters, symbol)
        self._last: Candle | None = None
        self._asked_at: datetime | None = None
        self._unsaved = self._head_start

    def is_due(self, now: datetime) -> bool:
        """Whether a closed candle should be there that was not read yet."""
        return self._last is None or now >= self._last.closed_at + self._timeframe + PUBLISH_DELAY

    def is_overdue(self, now: datetime) -> bool:
        """Whether a closed candle has been due for a whole candle's length, or the first since it was asked for."""
        if self._last is None:
            return self._asked_at is not None and now >= self._asked_at + self._timeframe
        return now >= self._last.closed_at + 2 * self._timeframe + PUBLISH_DELAY

    async def news(self, now: datetime) -> News:
        """What closed since the last call; after boot only its newest candle has an opinion to act on.

        Raises VenueUnreadable when the candles cannot be read.
        """
        if not self.is_due(now):
            return NO_NEWS
        self._asked_at = self._asked_at or now
        try:
            if self._last is None:
                return await self._boot(now)
            arrived = await self._closed_since(self._last.opened_at, now)
            news = await self._take(arrived.fresh)
            return News(news.candles, news.opinions, trouble(self.symbol, arrived))
        except BadCandles as bad:
            return News(problem=f"{self.symbol}: {bad}")

    async def _boot(self, now: datetime) -> News:
        begin = last_boundary(now, self._timeframe) - self._warmup_candles * self._timeframe
        problem = None
        try:
            arrived = await self._closed_since_memory(begin, now)
        except SnapshotRefused as refused:
            problem = f"{self.symbol}: warmed up anew: {refused}"
            arrived = await self._closed_since(begin, now)
        short = None if self._last else self._short(arrived, begin)
        news = await self._take(arrived.fresh)
        return News(news.candles, news.opinions[-1:], problem or trouble(self.symbol, arrived) or short)

    async def _closed_since_memory(self, begin: datetime, now: datetime) -> Arrivals:
        """What the engine has not read, having remembered what it could; everything since `begin` without a memory.

        Raises SnapshotRefused for a memory that cannot be gone on from.
        """
        text = await self._memory.load_snapshot(self.symbol, self._timeframe)
        if text is None:
            return await self._closed_since(begin, now)
        engine = Engine.from_snapshot(text, self._parameters, self.symbol)
        if engine.last is None or engine.last.opened_at < begin:
            raise SnapshotRefused("the snapshot is older than a warm-up reaches")
        arrived = await self._closed_since(engine.last.opened_at, now)
        if not arrived.fresh or engine.on_candle(arrived.fresh[0]).code is not Code.DUPLICATE:
            raise SnapshotRefused("the venue does not tell the snapshot's last candle as it was read")
        self._engine, self._last = engine, arrived.fresh[0]
        return replace(arrived, fresh=arrived.fresh[1:])

    async def _take(self, candles: Sequence[Candle]) -> News:
        """Feed the engine. Saved is its memory before the newest candle, so that a restart hears of that one again."""
        if not candles:
            return NO_NEWS
        *older, newest = candles
        opinions = [self._opinion(candle) for candle in older]
        self._unsaved += len(candles)
        if self._unsaved >= SAVE_EVERY:
            await self._memory.save_snapshot(self.symbol, self._timeframe, self._engine.snapshot())
            self._unsaved = self._head_start if self._last is None else 0
        opinions.append(self._opinion(newest))
        self._last = newest
        return News(tuple(candles), tuple(opinions))

    def _opinion(self, candle: Candle) -> Opinion:
        return Opinion(candle, self._engine.on_candle(candle))

    async def _closed_since(self, since: datetime, now: datetime) -> Arrivals:
        return await closed_since(self._venue, self.symbol, self._timeframe, since=since, last=self._last, now=now)

    def _short(self, arrived: Arrivals, begin: datetime) -> str | None:
        """A venue that tells less history than was asked for: a young contract, or a reply that was cut."""
        if not arrived.fresh or arrived.fresh[0].opened_at <= begin:
            return None
        count, since = len(arrived.fresh), arrived.fresh[0].opened_at
        return (
            f"{self.symbol}: warmed up by {count} of {self._warmup_candles} candles, the first of {since:%d %b %H:%M}"
        )


async def closed_since(
    source: CandleSource, symbol: str, length: timedelta, *, since: datetime, last: Candle | None, now: datetime
) -> Arrivals:
    """What the venue tells of candles opened at `since` or later; where it leaves a hole, it is asked once more.

    last: the newest candle that was read before. Raises BadCandles, VenueUnreadable.
    """
    published = now - PUBLISH_DELAY  # its clock may lag behind ours by less
    told = closed(await source.candles(symbol, length, since=since), published)
    arrived = arrivals(told, last, now)
    if not arrived.gaps:
        return arrived
    again = closed(await source.candles(symbol, length, since=arrived.gaps[0].begins_at), published)
    return arrivals(merge(told, again), last, now)


def trouble(symbol: str, arrived: Arrivals) -> str | None:
    """What is wrong with a reading, for a person; None when nothing is."""
    if arrived.hole:
        return f"{symbol}: {arrived.hole.missing} candles from {arrived.hole.begins_at:%d %b %H:%M} are missing"
    if arrived.revised:
        return f"{symbol}: the venue revised the candle of {arrived.revised.opened_at:%d %b %H:%M}; ours stays"
    return None

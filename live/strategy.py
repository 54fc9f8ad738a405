"""Closed candles in, observations out: one streaming engine per symbol, fed by REST at bar boundaries. [S]"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from live.market import BadCandles, closed, last_boundary
from live.model import Candle
from live.smc.engine import Engine
from live.smc.events import Observation
from live.smc.parameters import SmcParameters
from live.venue import Venue

PUBLISH_DELAY = timedelta(seconds=1)  # a venue shows a closed bar a moment after it closed


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the strategy makes of one closed candle."""

    candle: Candle
    observation: Observation


@dataclass(frozen=True, slots=True)
class News:
    """Closed candles not read before, oldest first, and the opinions that may be acted on.

    problem: why the venue's candles could not be used; the next call asks again.
    """

    candles: tuple[Candle, ...] = ()
    opinions: tuple[Opinion, ...] = ()
    problem: str | None = None


class Feed:
    """The candles of one symbol and the engine that has read them all, in order, each once.

    The engine's state is a function of the candles alone, so that warm-up, live and replay agree.
    """

    def __init__(self, symbol: str, venue: Venue, parameters: SmcParameters, *, warmup_candles: int) -> None:
        self.symbol = symbol
        self._venue = venue
        self._timeframe = parameters.timeframe
        self._warmup_candles = warmup_candles
        self._engine = Engine(parameters, symbol)
        self._last: Candle | None = None

    def is_due(self, now: datetime) -> bool:
        """Whether a closed candle should be there that was not read yet."""
        return self._last is None or now >= self._last.closed_at + self._timeframe + PUBLISH_DELAY

    async def news(self, now: datetime) -> News:
        """What closed since the last call; after the warm-up only its newest candle has an opinion to act on.

        Raises VenueUnreadable when the candles cannot be read.
        """
        if not self.is_due(now):
            return News()
        warming = self._last is None
        try:
            candles = await self._unread(now)
        except BadCandles as bad:
            return News(problem=f"{self.symbol}: {bad}")
        opinions = tuple(Opinion(candle, self._engine.on_candle(candle)) for candle in candles)
        self._last = candles[-1] if candles else self._last
        return News(candles, opinions[-1:] if warming else opinions)

    async def _unread(self, now: datetime) -> tuple[Candle, ...]:
        if self._last is None:
            since = last_boundary(now, self._timeframe) - self._warmup_candles * self._timeframe
        else:
            since = self._last.opened_at
        read = closed(await self._venue.candles(self.symbol, self._timeframe, since=since), now)
        return tuple(candle for candle in read if self._last is None or candle.opened_at > self._last.opened_at)

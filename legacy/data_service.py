"""DataService: each symbol's history first, then its candles as they close, into a bounded queue. [S]"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Never

from legacy.messages import MarketQueue, MarketUpdate
from live.clock import Clock
from live.market import BadCandles, closed, last_boundary, timeframe
from live.model import Candle
from live.paper import Market
from live.settings import Settings
from live.strategy import PUBLISH_DELAY
from prodsafe.errors import VenueUnreadable


class DataService:
    """Sends every closed candle once. What could not be read or sent is asked for again: the queue is never waited for.

    Only a bug, or a market that lacks the timeframe (GateRefused), ends it.
    """

    def __init__(
        self, market: Market, outbox: MarketQueue, *, settings: Settings, clock: Clock, narrate: Callable[[str], None]
    ) -> None:
        self._market = market
        self._outbox = outbox
        self._clock = clock
        self._narrate = narrate
        self._timeframe = timeframe(settings.live_timeframe)
        self._pause_seconds = settings.live_tick_seconds
        history_from = last_boundary(clock.now(), self._timeframe) - settings.live_warmup_candles * self._timeframe
        self._wanted_from = dict.fromkeys(settings.live_symbols, history_from)

    async def run(self) -> Never:
        """Hydrate every symbol, then poll them, until cancelled."""
        while True:
            await self.look()
            await self._clock.sleep(self._pause_seconds)

    async def look(self) -> None:
        """Send what has closed since the last look; the first one sends the history."""
        for symbol, wanted_from in self._wanted_from.items():
            if self._clock.now() >= wanted_from + self._timeframe + PUBLISH_DELAY:
                await self._send(symbol, wanted_from)

    async def _send(self, symbol: str, wanted_from: datetime) -> None:
        candles = await self._read(symbol, wanted_from)
        if not candles:
            return
        if self._outbox.full():
            self._narrate(f"queue full: {len(candles)} candles of {symbol} are kept for the next look")
            return
        self._outbox.put_nowait(MarketUpdate(symbol, self._timeframe, candles))
        self._wanted_from[symbol] = candles[-1].closed_at
        self._narrate(f"{len(candles)} candles of {symbol}, the last closed at {candles[-1].closed_at:%H:%M}")

    async def _read(self, symbol: str, wanted_from: datetime) -> tuple[Candle, ...]:
        try:
            rows = await self._market.candles(symbol, self._timeframe, since=wanted_from)
            return tuple(closed(rows, self._clock.now()))
        except VenueUnreadable as unreadable:
            self._narrate(f"{symbol} unreadable: {unreadable.refusals[0].cause}")
        except BadCandles as bad:
            self._narrate(f"{symbol}: {bad}")
        return ()

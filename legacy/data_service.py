"""DataService: each symbol's history first, then its candles as they close, into a bounded queue. [S]"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Never

from legacy.hydration import OtherMarket, ReadHistory, joined, wanted_since
from legacy.messages import MarketQueue, MarketUpdate
from live.clock import Clock
from live.market import Arrivals, BadCandles, arrivals, closed, gaps_after, last_boundary, timeframe
from live.model import Candle
from live.paper import Market
from live.settings import Settings
from live.strategy import PUBLISH_DELAY, closed_since, trouble
from prodsafe.errors import DatabaseRefused, VenueUnreadable
from prodsafe.postgres import MALFORMED_ADDRESS


class DataService:
    """Sends every closed candle once and in order. What could not be read or sent is asked for again, and so is a hole
    for as long as the worker would wait for it; the queue is never waited for.

    read_history: what a worker's journal knows; None for none. Only a bug, a market that lacks the timeframe, or an
    address that is none (GateRefused, DatabaseRefused) ends it.
    """

    def __init__(
        self,
        market: Market,
        outbox: MarketQueue,
        *,
        settings: Settings,
        clock: Clock,
        narrate: Callable[[str], None],
        read_history: ReadHistory | None = None,
    ) -> None:
        self._market = market
        self._outbox = outbox
        self._clock = clock
        self._narrate = narrate
        self._read_history = read_history
        self._timeframe = timeframe(settings.live_timeframe)
        self._pause_seconds = settings.live_tick_seconds
        self._begin = last_boundary(clock.now(), self._timeframe) - settings.live_warmup_candles * self._timeframe
        self._last: dict[str, Candle | None] = dict.fromkeys(settings.live_symbols)
        self._recorded: dict[str, Sequence[Candle]] = {}
        self._troubles: dict[str, str] = {}

    async def run(self) -> Never:
        """Hydrate every symbol, then poll them, until cancelled."""
        await self.hydrate()
        while True:
            await self.look()
            await self._clock.sleep(self._pause_seconds)

    async def hydrate(self) -> None:
        """Take what the journal knows; the first look adds what only the venue does."""
        if self._read_history is None:
            return
        try:
            history = await self._read_history(tuple(self._last), self._timeframe, self._begin)
        except DatabaseRefused as refused:
            if (why := refused.refusals[0]).kind is MALFORMED_ADDRESS:
                raise
            self._narrate(f"history comes from the venue alone; DATABASE_URL: {why.cause}; mend: {why.mend}")
            return
        for symbol, candles in history.items():
            try:
                self._recorded[symbol] = closed(candles, self._clock.now() - PUBLISH_DELAY)
            except BadCandles as bad:
                self._narrate(f"{symbol}: the journal is not used, its history comes from the venue: {bad}")

    async def look(self) -> None:
        """Send what has closed since the last look; the first one sends the history."""
        for symbol, last in self._last.items():
            if self._outbox.full():  # before the market is asked for what could not be handed on
                self._complain("queue", "queue full: trading is behind; the candles are asked for again")
                return
            if last is None or self._clock.now() >= last.closed_at + self._timeframe + PUBLISH_DELAY:
                await self._send(symbol, last)

    async def _send(self, symbol: str, last: Candle | None) -> None:
        try:
            arrived = await self._read(symbol, last)
        except VenueUnreadable as unreadable:
            self._complain(symbol, f"{symbol} unreadable: {unreadable.refusals[0].cause}; asked again at each look")
            return
        except BadCandles as bad:
            self._complain(symbol, f"{symbol}: {bad}; asked again at each look")
            return
        if arrived.fresh:
            self._hand_on(symbol, last, arrived.fresh)
        if said := trouble(symbol, arrived):
            self._complain(symbol, said)

    async def _read(self, symbol: str, last: Candle | None) -> Arrivals:
        """What follows the last candle, read as the worker's own feed reads it."""
        if last is not None:
            return await self._ask(symbol, last.opened_at, last)
        recorded = self._recorded.get(symbol, ())
        told = await self._ask(symbol, wanted_since(recorded, self._begin))
        try:
            return arrivals(joined(recorded, told.fresh), None, self._clock.now())
        except OtherMarket as other:
            del self._recorded[symbol]
            self._narrate(f"{symbol}: the journal is not used, its history comes from the venue: {other}")
            return await self._ask(symbol, self._begin)

    async def _ask(self, symbol: str, since: datetime, last: Candle | None = None) -> Arrivals:
        now = self._clock.now()
        return await closed_since(self._market, symbol, self._timeframe, since=since, last=last, now=now)

    def _hand_on(self, symbol: str, last: Candle | None, candles: tuple[Candle, ...]) -> None:
        self._outbox.put_nowait(MarketUpdate(symbol, self._timeframe, candles))
        self._last[symbol] = candles[-1]
        for over in (symbol, "queue"):
            self._troubles.pop(over, None)
        self._narrate(_told(last, candles, self._recorded.pop(symbol, ())))

    def _complain(self, about: str, text: str) -> None:
        """Say it once, until it is over or something else."""
        if self._troubles.get(about) != text:
            self._troubles[about] = text
            self._narrate(text)


def _told(last: Candle | None, candles: Sequence[Candle], recorded: Sequence[Candle]) -> str:
    newest, known = candles[-1], {candle.opened_at for candle in recorded}
    of_journal = sum(candle.opened_at in known for candle in candles)
    missing = sum(gap.missing for gap in gaps_after(last, candles))
    words = [f"{_count(len(candles))} of {newest.symbol}, the last closed at {newest.closed_at:%H:%M}"]
    if of_journal:
        words.append(f"{of_journal} of them from the journal")
    if missing:
        words.append(f"{_count(missing)} in between exist nowhere")
    return "; ".join(words)


def _count(number: int) -> str:
    return f"{number} candle{'s' * (number != 1)}"

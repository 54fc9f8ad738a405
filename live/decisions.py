"""What the candles say, taken or not: opinions become intents, and why not is recorded per closed candle. [S]"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from live.book import Book
from live.clock import Clock
from live.events import Decided
from live.execution import Execution
from live.journal import Journal
from live.look import Look
from live.model import Candle, Denied, Instrument, Intent, Leg, Signal, SubmitOutcome
from live.order_id import OrderId
from live.risk import size
from live.settings import Settings
from live.standing import Hold
from live.strategy import Feed, Opinion

MOST_AT_ONCE = 200  # rows of a statement: what an outage left of many symbols is thousands


class Decider:
    """Hears every feed each tick and enters what risk approves; while a hold stands it enters nothing.

    stopping: whether the worker was asked to stop. What is not decided by then is for the successor to hear.
    """

    def __init__(
        self,
        *,
        feeds: Sequence[Feed],
        book: Book,
        journal: Journal,
        execution: Execution,
        clock: Clock,
        settings: Settings,
        narrate: Callable[[str], None],
        stopping: Callable[[], bool],
    ) -> None:
        self._feeds = feeds
        self._book = book
        self._journal = journal
        self._execution = execution
        self._clock = clock
        self._settings = settings
        self._narrate = narrate
        self._stopping = stopping

    async def consider(self, look: Look, listed: Callable[[str], Instrument | Denied], hold: Hold | None) -> None:
        """What the candles say. A slow warm-up gives way after one pause: no fill waits for its stop behind it."""
        heard: list[Candle] = []
        silent: list[Decided] = []
        try:
            await self._hear(heard, silent, look, listed, hold)
        finally:  # in one statement each for all symbols; also where the venue fell silent among them
            await self._write(silent)
            await self._journal.save_candles(heard)

    async def _hear(
        self,
        heard: list[Candle],
        silent: list[Decided],
        look: Look,
        listed: Callable[[str], Instrument | Denied],
        hold: Hold | None,
    ) -> None:
        enough = self._clock.now() + timedelta(seconds=self._settings.live_tick_seconds)
        for feed in self._feeds:
            if self._stopping() or self._clock.now() >= enough:
                return
            news = await feed.news(self._clock.now())
            if news.problem:
                self._narrate(news.problem)
            if len(news.candles) > 1:  # a warm-up, or what an outage left: hundreds, in a statement of their own
                await self._journal.save_candles(news.candles)
            else:
                heard += news.candles
            for opinion in news.opinions:
                if opinion.candle.closed_at <= self._book.decided.get(feed.symbol, opinion.candle.opened_at):
                    continue
                if (signal := opinion.observation.signal) is None:
                    silent.append(self._silent(feed.symbol, opinion))
                # a symbol's newest row must be of its newest candle: a restart reads no other
                if len(silent) >= MOST_AT_ONCE or (signal and any(each.symbol == feed.symbol for each in silent)):
                    await self._write(silent)
                # a successor hears of the newest alone; an older one is too late to be entered on
                if signal is not None and not (opinion is news.opinions[-1] and self._stopping()):
                    await self._decide(feed.symbol, opinion, signal, look, listed, hold)

    async def _write(self, silent: list[Decided]) -> None:
        """Once, whatever becomes of it: a write that failed or was interrupted may be committed all the same."""
        written, silent[:] = tuple(silent), ()
        await self._execution.record(*written)

    def _silent(self, symbol: str, opinion: Opinion) -> Decided:
        seen = opinion.observation
        reasons = (f"candle refused: {seen.refused}",) if seen.refused else seen.reasons
        return self._decided(symbol, opinion.candle.closed_at, None, reasons, seen.code)

    async def _decide(
        self,
        symbol: str,
        opinion: Opinion,
        signal: Signal,
        look: Look,
        listed: Callable[[str], Instrument | Denied],
        hold: Hold | None,
    ) -> None:
        """Take the signal of one closed candle or not, and record why; what is taken is recorded with its order."""
        closed_at = opinion.candle.closed_at
        entry_id = self._execution.next_id(Leg.ENTRY)
        approved = self._approve(signal, entry_id.root, opinion, look, listed(symbol), hold)
        taken = self._decided(symbol, closed_at, signal, signal.reasons, opinion.observation.code, taken=True)
        outcome = approved if isinstance(approved, Denied) else await self._enter(approved, entry_id, taken)
        if isinstance(outcome, Denied):
            why = f"{outcome.code}: {outcome.reason}"
            self._narrate(f"denied {symbol}: {why}")
            reasons = (*signal.reasons, f"denied {why}")
            await self._execution.record(self._decided(symbol, closed_at, signal, reasons, outcome.code))

    async def _enter(self, intent: Intent, entry_id: OrderId, taken: Decided) -> SubmitOutcome | Denied:
        words = f"{intent.side} {intent.qty} {intent.symbol} at {intent.entry_price}, stop {intent.stop_price}"
        outcome = await self._execution.enter(intent, entry_id, taken)
        self._narrate(f"entry {words}: {type(outcome).__name__.lower()}")
        return outcome

    def _approve(
        self,
        signal: Signal,
        position_id: str,
        opinion: Opinion,
        look: Look,
        instrument: Instrument | Denied,
        hold: Hold | None,
    ) -> Intent | Denied:
        now = self._clock.now()
        if hold is not None:
            return Denied(signal.symbol, hold.code, hold.reason)
        if now - opinion.candle.closed_at >= opinion.candle.timeframe:
            age, bar = now - opinion.candle.closed_at, opinion.candle.timeframe
            numbers = Decimal(age.total_seconds()), Decimal(bar.total_seconds())
            reason = f"the candle closed {numbers[0]:.0f} s ago, limit {numbers[1]:.0f}"
            return Denied(signal.symbol, "data-age", reason, *numbers, "s")
        if isinstance(instrument, Denied):
            return instrument
        ticker = look.tickers.get(signal.symbol)
        if ticker is None:
            return Denied(signal.symbol, "no-price", "the venue quotes no mark, bid or ask")
        return size(
            signal,
            position_id=position_id,
            instrument=instrument,
            ticker=ticker,
            account=look.account,
            book=self._book,
            settings=self._settings,
            now=now,
        )

    def _decided(
        self,
        symbol: str,
        closed_at: datetime,
        signal: Signal | None,
        reasons: tuple[str, ...],
        code: str,
        *,
        taken: bool = False,
    ) -> Decided:
        side, now = signal.side if signal else None, self._clock.now()
        return Decided(at=now, symbol=symbol, closed_at=closed_at, taken=taken, side=side, reasons=reasons, code=code)

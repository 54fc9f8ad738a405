"""One tick's work with everything read already: reconcile, limits, protection, strategy, risk, the decisions' rows. [S]

Measured is the heaviest tick there is, in which a candle closes on every symbol. A worker trades one timeframe, whose
engine makes the higher one by itself; beside it stand three more feeds for each symbol, as for a strategy that hears
four timeframes apart. Times are the processor's.
"""

from __future__ import annotations

import asyncio
import gc
import time
from datetime import timedelta
from statistics import median

from common.frame import say
from common.pairs import Figures, spread

from execution_parts.desk import BEGAN, WARM_UP, DeskClock, DeskVenue, Shelf, trader
from live.live_trading import collect_garbage
from live.market import TIMEFRAMES
from live.smc.parameters import SmcParameters
from live.strategy import Feed

TRADED, OTHERS = "15m", ("1m", "5m", "1h")
JUST_AFTER = timedelta(seconds=2)


class Watched:
    """One timeframe beside the traded one: the same strategy hears it, and nothing is entered on it."""

    def __init__(self, symbols: int, name: str) -> None:
        self.bar, self._clock = TIMEFRAMES[name], DeskClock()
        self._venue = DeskVenue(symbols, self.bar, self._clock)
        parameters, shelf = SmcParameters(timeframe=self.bar), Shelf()
        self._feeds = [
            Feed(each, self._venue, parameters, warmup_candles=WARM_UP, memory=shelf, head_start=number)  # type: ignore[arg-type]
            for number, each in enumerate(self._venue.names)
        ]

    def at(self, number: int) -> None:
        self._venue.at(BEGAN + number * self.bar + JUST_AFTER)

    async def heard(self) -> None:
        for feed in self._feeds:
            await feed.news(self._clock.now())


class Crowd:
    """A worker that trades so many symbols and hears them on four timeframes."""

    def __init__(self, symbols: int) -> None:
        self.symbols = symbols
        self._venue = DeskVenue(symbols, TIMEFRAMES[TRADED], clock := DeskClock())
        self._worker = trader(self._venue, clock, TRADED)
        self._others = [Watched(symbols, name) for name in OTHERS]

    async def boot(self) -> None:
        await self._worker.boot()
        await self.closing(0)

    async def closing(self, number: int) -> tuple[float, float]:
        """Seconds of the tick in which a candle of every symbol is new, and with those of the other timeframes."""
        self._venue.at(BEGAN + number * TIMEFRAMES[TRADED] + JUST_AFTER)
        for each in self._others:
            each.at(number)
        collect_garbage()  # as the worker does in its pause
        began = time.process_time()
        await self._worker.tick()
        ticked = time.process_time() - began
        for each in self._others:
            await each.heard()
        return ticked, time.process_time() - began

    async def quiet(self, number: int) -> float:
        """Seconds of a tick with no new candle, which nearly all of them are."""
        self._venue.at(BEGAN + number * TIMEFRAMES[TRADED] + JUST_AFTER + timedelta(seconds=5))
        collect_garbage()
        began = time.process_time()
        await self._worker.tick()
        return time.process_time() - began


async def _measure(rounds: int, sizes: tuple[int, ...]) -> dict[str, list[float]]:
    crowds = [Crowd(size) for size in sizes]
    for crowd in crowds:
        say(f"warming up {crowd.symbols} symbols on {len(OTHERS) + 1} timeframes")
        await crowd.boot()
    gc.unfreeze()
    gc.collect()
    gc.freeze()  # the desk's hundred thousand candles are no part of a worker, and looking through them is not its time
    taken: dict[str, list[float]] = {}
    for number in range(1, rounds + 1):
        for crowd in crowds:
            (closing, heard), quiet = await crowd.closing(number), await crowd.quiet(number)
            if number > 3:  # the first ones still fill caches
                taken.setdefault(f"tick_{crowd.symbols}", []).append(closing)
                taken.setdefault(f"four_timeframes_tick_{crowd.symbols}", []).append(heard)
                taken.setdefault(f"quiet_tick_{crowd.symbols}", []).append(quiet)
    return taken


def measure(rounds: int, few: int, many: int, *, plays: int) -> tuple[Figures, Figures]:
    """many_beside_few: the time per symbol among many beside that among few; 1 is linear. one_play: as it came."""
    say(f"ticks of {few} and of {many} symbols, {rounds} rounds, played {plays} times")
    played = [asyncio.run(_measure(rounds, (few, many))) for _ in range(plays)]
    taken = {name: [min(times) for times in zip(*(play[name] for play in played), strict=True)] for name in played[0]}
    figures: Figures = {}
    for name, times in taken.items():
        figures |= spread(f"{name}_ms", times, 1e3)
    figures |= spread(f"one_play_tick_{few}_ms", played[0][f"tick_{few}"], 1e3)
    ratios: Figures = {}
    for kind in ("tick", "four_timeframes_tick", "quiet_tick"):
        pairs = zip(taken[f"{kind}_{few}"], taken[f"{kind}_{many}"], strict=True)
        ratios[f"{kind}_per_symbol_many_beside_few"] = round(median(b / many / (a / few) for a, b in pairs), 3)
    return figures, ratios

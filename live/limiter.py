"""The venue's request budget in two lanes: a protective order never waits behind polls. [P] budget, [E] limiter."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum


class Lane(StrEnum):
    PROTECTIVE = "protective"  # stops, exits and cancels
    ORDINARY = "ordinary"  # entries, targets and every read


@dataclass(frozen=True, slots=True)
class Budget:
    """A token bucket whose last `reserved` units only the protective lane may spend.

    per_second: units regained each second. burst: units when full. reserved: units that reads never touch, so that
    a stop needs no waiting even after a storm of polls. A cost above what a lane can ever hold is a ValueError.
    """

    per_second: float
    burst: float
    reserved: float

    def __post_init__(self) -> None:
        if not (self.per_second > 0 and 0 <= self.reserved < self.burst):
            raise ValueError(f"a budget needs per_second > 0 and 0 <= reserved < burst, not {self}")

    def floor(self, lane: Lane) -> float:
        return 0.0 if lane is Lane.PROTECTIVE else self.reserved


@dataclass(frozen=True, slots=True)
class Level:
    """Units left at a monotonic time, in seconds."""

    units: float
    at: float


def take(budget: Budget, level: Level, lane: Lane, cost: float, now: float) -> tuple[Level, float]:
    """The level after spending `cost`, and 0.0; or the refilled level, and the seconds to wait before asking again."""
    floor = budget.floor(lane)
    if cost > budget.burst - floor:
        raise ValueError(f"a cost of {cost} never fits the {lane} lane of {budget}")
    elapsed = max(0.0, now - level.at)  # a clock that steps back regains nothing
    units = min(budget.burst, level.units + elapsed * budget.per_second)
    missing = floor + cost - units
    if missing > 1e-9:  # float dust must not cause one more sleep of a nanosecond
        return Level(units, now), missing / budget.per_second
    return Level(units - cost, now), 0.0


class Limiter:
    """Waits until the budget admits a request: first come, first served within a lane, the protective lane first."""

    def __init__(
        self,
        budget: Budget,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._budget = budget
        self._clock = clock
        self._sleep = sleep
        self._level = Level(budget.burst, clock())
        self._queues = {lane: asyncio.Lock() for lane in Lane}

    async def acquire(self, lane: Lane, cost: float = 1.0) -> float:
        """Spend `cost` units; returns the seconds waited for them."""
        began = self._clock()
        async with self._queues[lane]:
            while True:
                self._level, wait_seconds = take(self._budget, self._level, lane, cost, self._clock())
                if wait_seconds == 0.0:
                    return self._clock() - began
                await self._sleep(wait_seconds)

"""The venue's request budgets in two lanes: a protective order never waits behind polls. [P] budget, [E] limiter."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum


class Lane(StrEnum):
    PROTECTIVE = "protective"  # stops, exits and cancels
    ORDINARY = "ordinary"  # entries, targets and every read


class Pool(StrEnum):
    """Budgets that a venue keeps apart."""

    TRADING = "trading"
    HISTORY = "history"
    PUBLIC = "public"


@dataclass(frozen=True, slots=True)
class Charge:
    """What one request costs, and which budget pays for it."""

    pool: Pool
    cost: float


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


@dataclass(frozen=True, slots=True)
class Waits:
    """How long requests of one lane stood in line: the number for a metric."""

    requests: int = 0
    total_seconds: float = 0.0
    longest_seconds: float = 0.0

    def and_one(self, seconds: float) -> Waits:
        return Waits(self.requests + 1, self.total_seconds + seconds, max(self.longest_seconds, seconds))


class BudgetSpent(Exception):
    """The wait for a request would be longer than it is worth: nothing was asked."""


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


def back_off_seconds(strikes: int) -> float:
    """How long the ordinary lane rests after the venue refused for rate so many times in a row."""
    return min(30.0, 2.0 ** (strikes - 1)) if strikes > 0 else 0.0


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
        self._resting_until = clock()
        self._strikes = 0
        self.strikes_total = 0
        self.waits = dict.fromkeys(Lane, Waits())

    async def acquire(self, lane: Lane, cost: float = 1.0, *, patience_seconds: float | None = None) -> float:
        """Spend `cost` units; returns the seconds waited for them.

        Raises BudgetSpent as soon as the wait would exceed patience_seconds; None waits as long as it takes.
        """
        began = self._clock()
        async with self._queues[lane]:
            while (wait_seconds := self._wait_seconds(lane, cost)) > 0.0:
                waited = self._clock() - began
                if patience_seconds is not None and waited + wait_seconds > patience_seconds:
                    raise BudgetSpent(f"the request budget is spent: {waited + wait_seconds:.1f} s to wait")
                await self._sleep(wait_seconds)
        waited = self._clock() - began
        self.waits[lane] = self.waits[lane].and_one(waited)
        return waited

    def _wait_seconds(self, lane: Lane, cost: float) -> float:
        """0.0 and the cost is spent; or how long to wait before asking again."""
        now = self._clock()
        if lane is Lane.ORDINARY and now < self._resting_until:
            return self._resting_until - now
        self._level, wait_seconds = take(self._budget, self._level, lane, cost, now)
        return wait_seconds

    def note(self, *, refused_for_rate: bool) -> None:
        """What the venue made of a request. Its bucket being empty, so is ours, whoever has emptied it; what protects
        waits for no more than the refill, everything else rests, twice as long each time in a row."""
        if not refused_for_rate:
            self._strikes = 0
            return
        now = self._clock()
        if now >= self._resting_until:  # replies to what was sent before the pause are of one strike
            self._strikes += 1
            self._resting_until = now + back_off_seconds(self._strikes)
        self.strikes_total += 1
        self._level = replace(self._level, units=min(self._level.units, 0.0), at=now)


class Quota:
    """A limiter for each of a venue's pools."""

    def __init__(self, limiters: Mapping[Pool, Limiter]) -> None:
        self.limiters = limiters

    async def acquire(self, lane: Lane, charge: Charge, *, patience_seconds: float | None = None) -> float:
        """Spend a charge from its pool; returns the seconds waited. Raises BudgetSpent."""
        return await self.limiters[charge.pool].acquire(lane, charge.cost, patience_seconds=patience_seconds)

    def note(self, charge: Charge, *, refused_for_rate: bool) -> None:
        self.limiters[charge.pool].note(refused_for_rate=refused_for_rate)

    @property
    def longest_wait_seconds(self) -> Mapping[str, float]:
        """By lane, over all pools: the number for a metric."""
        return {lane: max(each.waits[lane].longest_seconds for each in self.limiters.values()) for lane in Lane}

    @property
    def refused_for_rate(self) -> int:
        return sum(each.strikes_total for each in self.limiters.values())


# --- Kraken Futures: https://docs.kraken.com/exchange/guides/futures/ratelimits ---------------------------------------
# 500 units in 10 s for /derivatives, a pool of 100 tokens refilled in 10 minutes for /history, nothing for what is
# public. What we leave of each is for a person at the web page.

KRAKEN_FUTURES_BUDGETS: Mapping[Pool, Budget] = {
    Pool.TRADING: Budget(per_second=38.0, burst=90.0, reserved=50.0),
    Pool.HISTORY: Budget(per_second=0.15, burst=90.0, reserved=0.0),
    Pool.PUBLIC: Budget(per_second=20.0, burst=60.0, reserved=0.0),
}

KRAKEN_FUTURES_CHARGES: Mapping[str, Charge] = {
    **{path: Charge(Pool.TRADING, 10.0) for path in ("sendorder", "editorder", "cancelorder")},
    **{path: Charge(Pool.TRADING, 25.0) for path in ("cancelallorders", "cancelallordersafter", "fills/before")},
    **{path: Charge(Pool.TRADING, 2.0) for path in ("accounts", "openpositions", "openorders", "fills")},
    "orders/status": Charge(Pool.TRADING, 1.0),
    "history": Charge(Pool.HISTORY, 1.0),
    **{path: Charge(Pool.PUBLIC, 1.0) for path in ("instruments", "tickers", "charts")},
}
"""By path; fills/before is fills with lastFillTime."""

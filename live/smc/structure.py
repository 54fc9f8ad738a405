"""Market structure from closes beyond confirmed pivots: trend, break of structure, change of character. [P]

The reference is the last confirmed pivot itself, never one that a later extreme could still replace. On one candle
breaks are judged first, against the references known before it; then its own pivots become references.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any, NamedTuple

from live.smc.bars import Bar
from live.smc.pivots import Peaks, Pivot


class Step(NamedTuple):
    """What one candle did. broke: +1 up, -1 down, 0 not; broken: the pivot closed beyond; changed: against the trend.

    high, low: pivots confirmed by this candle; a low's level is negated, as seen in the mirror.
    """

    broke: int
    changed: bool
    broken: Pivot | None
    high: Pivot | None
    low: Pivot | None


NOTHING = Step(0, False, None, None, None)


class Structure:
    """Trend is 0 until the first break, which is never a change of character. A reference breaks once."""

    __slots__ = ("_high_level", "_low_level", "high", "highs", "low", "lows", "trend")

    def __init__(self, wings: int) -> None:
        self.trend = 0
        self.highs = Peaks(wings, wings)
        self.lows = Peaks(wings, wings)
        self.high: Pivot | None = None
        self.low: Pivot | None = None
        # the levels still to be broken; infinity once they are
        self._high_level = self._low_level = inf

    def push(self, bar: Bar, mirror: Bar) -> Step:
        broke, changed, broken = 0, False, None
        if bar.close > self._high_level:
            broke, broken, self._high_level = 1, self.high, inf
        elif mirror.close > self._low_level:
            broke, broken, self._low_level = -1, self.low, inf
        if broke:
            changed = self.trend == -broke
            self.trend = broke
        high, low = self.highs.push(bar), self.lows.push(mirror)
        if high is not None:
            self.high, self._high_level = high, high.level
        if low is not None:
            self.low, self._low_level = low, low.level
        if broken is None and high is None and low is None:
            return NOTHING
        return Step(broke, changed, broken, high, low)

    def dealing_range(self) -> tuple[float, float] | None:
        """The prices of the last confirmed low and high; None until both exist."""
        return None if self.high is None or self.low is None else (-self.low.level, self.high.level)

    def clear_windows(self) -> None:
        """After missing candles: no pivot may span the hole; trend and references stay, a close still breaks them."""
        self.highs.clear()
        self.lows.clear()

    def state(self) -> list[Any]:
        """Without its windows, which others may share."""
        return [self.trend, _reference(self.high, self._high_level), _reference(self.low, self._low_level)]

    def restore(self, state: list[Any], *, highs: Sequence[float], lows: Sequence[float]) -> None:
        """highs, lows: of the candles since the last hole, lows as seen in the mirror."""
        self.trend, high, low = state
        self.high, self._high_level = _referred(high)
        self.low, self._low_level = _referred(low)
        self.highs.refill(highs)
        self.lows.refill(lows)


def _reference(pivot: Pivot | None, level: float) -> list[Any] | None:
    return None if pivot is None else [*pivot, level != inf]


def _referred(state: list[Any] | None) -> tuple[Pivot | None, float]:
    if state is None:
        return None, inf
    level, number, unbroken = state
    return Pivot(level, number), level if unbroken else inf

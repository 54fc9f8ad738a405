"""Pivots: extremes that the candles on both sides confirm. [P]"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from live.smc.bars import Bar


class Pivot(NamedTuple):
    level: float
    number: int


class Peaks:
    """Confirmed pivot highs of a stream; feed mirrored bars for lows.

    A high is a pivot when it is strictly above the `before` highs before it and not below the `after` ones after it, so
    that a flat top has exactly one, its first bar. It is known `after` candles later, always.
    """

    __slots__ = ("_after", "_before", "_width", "highs")

    def __init__(self, before: int, after: int) -> None:
        self._before, self._after, self._width = before, after, before + 1 + after
        self.highs: list[float] = []

    def push(self, bar: Bar) -> Pivot | None:
        """The pivot that this bar confirms, or None."""
        highs, middle = self.highs, self._before
        highs.append(bar.high)
        if len(highs) > self._width:
            del highs[0]
        elif len(highs) < self._width:
            return None
        level = highs[middle]
        # the neighbours decide most times, so they are asked before the whole window
        if level < highs[middle + 1] or level < highs[middle - 1] or not self.is_peak(highs, middle):
            return None
        return Pivot(level, bar.number - self._after)

    def is_peak(self, highs: Sequence[float], middle: int) -> bool:
        """Whether the middle one stands out, ties decided as said above."""
        return highs[middle] > max(highs[:middle]) and highs[middle] >= max(highs[middle + 1 :])

    def clear(self) -> None:
        """The next bar does not follow the last one: no pivot may span the hole."""
        self.highs.clear()

    def refill(self, highs: Sequence[float]) -> None:
        """Take the highs of a stream that went on until now; they may reach farther back than is needed."""
        self.highs = list(highs[-self._width :])

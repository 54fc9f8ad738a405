"""Pivots: extremes that the candles on both sides confirm. [P]"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from live.smc.bars import Bar


class Pivot(NamedTuple):
    level: float
    number: int
    origin: datetime


class Peaks:
    """Confirmed pivot highs of a stream; feed mirrored bars for lows.

    A high is a pivot when it is strictly above the `wings` highs before it and not below the `wings` after it, so that
    a flat top has exactly one, its first bar. It is known `wings` candles later, always.
    """

    __slots__ = ("_bars", "_highs", "_wings")

    def __init__(self, wings: int) -> None:
        self._wings = wings
        self._highs: list[float] = []
        self._bars: list[Bar] = []

    def push(self, bar: Bar) -> Pivot | None:
        """The pivot that this bar confirms, or None."""
        highs, wings = self._highs, self._wings
        highs.append(bar.high)
        self._bars.append(bar)
        if len(highs) <= 2 * wings:
            return None
        if len(highs) > 2 * wings + 1:
            del highs[0], self._bars[0]
        level = highs[wings]
        # the neighbours decide three times out of four, so they are asked before the whole window
        if level <= highs[wings - 1] or level < highs[wings + 1]:
            return None
        if level <= max(highs[:wings]) or level < max(highs[wings + 1 :]):
            return None
        middle = self._bars[wings]
        return Pivot(level, middle.number, middle.opened_at)

    def since_pivot(self) -> list[Bar]:
        """The bars after the middle of the window, oldest first: those that have just confirmed a pivot."""
        return self._bars[self._wings + 1 :]

    def clear(self) -> None:
        self._highs.clear()
        self._bars.clear()

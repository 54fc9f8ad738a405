"""Zones that price left in a hurry: fair value gaps and order blocks. [P]

Written for rises, whose zones wait below the price; falls are rises in the mirror.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from live.smc.bars import Bar


class Zone(NamedTuple):
    """top first: zones of one stack are ordered by it. number, origin: of the candle that the zone speaks about."""

    top: float
    bottom: float
    number: int
    origin: datetime


def fair_value_gap(before: Bar, middle: Bar, after: Bar, *, min_size: float, body: bool) -> Zone | None:
    """The prices that a rise left untraded between the candles around its middle one.

    body: the middle candle must have closed above its open. min_size: in price; an empty gap is none at all.
    """
    size = after.low - before.high
    if size <= 0.0 or size < min_size or (body and middle.close <= middle.open):
        return None
    return Zone(after.low, before.high, middle.number, middle.opened_at)


def lowest(bars: Sequence[Bar]) -> Bar:
    """The lowest of at least one bar, the last one on a tie."""
    return min(reversed(bars), key=lambda bar: bar.low)


class OrderBlock:
    """The candle of the lowest low since the pivot that a rise must break: the block, once it does."""

    __slots__ = ("candidate",)

    def __init__(self) -> None:
        self.candidate: Bar | None = None

    def push(self, bar: Bar) -> None:
        if self.candidate is not None and bar.low <= self.candidate.low:
            self.candidate = bar

    def start_anew(self, since_pivot: Sequence[Bar]) -> None:
        """A new pivot is the reference; since_pivot: the bars after it, up to now."""
        self.candidate = lowest(since_pivot)

    def zone(self) -> Zone | None:
        block = self.candidate
        return None if block is None else Zone(block.high, block.low, block.number, block.opened_at)


class Zones:
    """Untouched zones below the price, the nearest last, so that a candle touches them from that end only."""

    __slots__ = ("_cap", "untouched")

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self.untouched: list[Zone] = []

    def reaches(self, bar: Bar) -> bool:
        """Whether this bar trades into any zone; most bars do not."""
        return bool(self.untouched) and bar.low <= self.untouched[-1].top

    def touch(self, bar: Bar) -> list[Zone]:
        """The zones that this bar traded into, nearest first; they are used up."""
        touched: list[Zone] = []
        while self.reaches(bar):
            touched.append(self.untouched.pop())
        return touched

    def add(self, zone: Zone) -> Zone | None:
        """Remember a zone; the farthest one is returned when it had to be forgotten."""
        self.untouched.insert(bisect_left(self.untouched, zone), zone)
        return self.untouched.pop(0) if len(self.untouched) > self._cap else None

    def __contains__(self, zone: Zone) -> bool:
        return zone in self.untouched

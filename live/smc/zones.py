"""Zones that price left in a hurry, and what becomes of them: fair value gaps and order blocks. [P]

Written for rises, whose zones wait below the price; falls are rises in the mirror. Price touches a zone by reaching its
edge and breaks it by closing beyond it.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from math import inf
from typing import Any, NamedTuple

from live.smc.bars import Bar
from live.smc.events import Kind


class Zone(NamedTuple):
    """number: of the candle that the zone speaks about."""

    top: float
    bottom: float
    number: int


ZoneChange = tuple[Kind, Zone]


# (the level at which something happens to the zone next, how much has happened, the zone): sorts by level
Waiting = tuple[float, int, Zone]


def fair_value_gap(before: Bar, middle: Bar, after: Bar, *, min_size: float, body: bool) -> Zone | None:
    """The prices that a rise left untraded between the candles around its middle one.

    body: the middle candle must have closed above its open. min_size: in price; an empty gap is none at all.
    """
    size = after.low - before.high
    if size <= 0.0 or size < min_size or (body and middle.close <= middle.open):
        return None
    return Zone(after.low, before.high, middle.number)


_FILLS = (Kind.FVG_TOUCHED, Kind.FVG_HALF, Kind.FVG_FILLED)
_FILLED = len(_FILLS)


class Gaps:
    """Gaps below the price until they are filled, sorted by the level at which each is filled further.

    The nearest is last, so that a candle fills from that end only and most candles ask one question.
    """

    __slots__ = ("_cap", "_waiting", "nearest")

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._waiting: list[Waiting] = []
        self.nearest = -inf

    def fill(self, bar: Bar) -> list[ZoneChange]:
        """What this bar filled of each gap, the nearest first: its top, its middle, all of it."""
        changes: list[ZoneChange] = []
        waiting, low = self._waiting, bar.low
        while waiting and low <= waiting[-1][0]:
            level, stage, zone = waiting.pop()
            while low <= level and stage < _FILLED:
                changes.append((_FILLS[stage], zone))
                stage += 1
                level = zone.bottom if stage > 1 else (zone.top + zone.bottom) / 2
            if stage < _FILLED:
                insort(waiting, (level, stage, zone))
        self._find_nearest()
        return changes

    def add(self, zone: Zone) -> list[ZoneChange]:
        insort(self._waiting, (zone.top, 0, zone))
        changes: list[ZoneChange] = [(Kind.FVG, zone)]
        if len(self._waiting) > self._cap:
            oldest = min(self._waiting, key=_age)
            self._waiting.remove(oldest)
            changes.append((Kind.FORGOTTEN, oldest[2]))
        self._find_nearest()
        return changes

    def _find_nearest(self) -> None:
        self.nearest = self._waiting[-1][0] if self._waiting else -inf

    def untouched(self) -> list[Zone]:
        """The nearest last."""
        return [zone for _, stage, zone in self._waiting if stage == 0]

    def state(self) -> list[Any]:
        return [[level, stage, *zone] for level, stage, zone in self._waiting]

    def restore(self, state: list[Any]) -> None:
        self._waiting = [(level, stage, Zone(*zone)) for level, stage, *zone in state]
        self._find_nearest()


def block_of(bars: Sequence[Bar]) -> Zone:
    """What a rise that breaks the pivot before these bars leaves: the lowest of them, the last one on a tie."""
    lowest = min(reversed(bars), key=lambda bar: bar.low)
    return Zone(lowest.high, lowest.low, lowest.number)


class Blocks:
    """Order blocks from their break to their death.

    fresh, until price reaches down to the top; touched, until it closes below the bottom; broken, now a breaker above
    the price, until it closes above the top again. Each list is sorted so that the nearest is last.
    A bar changes a block when its low reaches touch_at, or its close is below break_at or above die_at; most do not.
    """

    __slots__ = ("_broken", "_cap", "_fresh", "_touched", "break_at", "die_at", "touch_at")

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._fresh: list[Waiting] = []
        self._touched: list[Waiting] = []
        self._broken: list[Waiting] = []
        self._find_nearest()

    def change(self, bar: Bar) -> list[ZoneChange]:
        """What this bar did to the blocks; one candle may touch and break the same block."""
        changes: list[ZoneChange] = []
        while self._broken and -bar.close < self._broken[-1][0]:
            changes.append((Kind.ORDER_BLOCK_DEAD, self._broken.pop()[2]))
        while self._fresh and bar.low <= self._fresh[-1][0]:
            zone = self._fresh.pop()[2]
            insort(self._touched, (zone.bottom, 1, zone))
            changes.append((Kind.ORDER_BLOCK_TOUCHED, zone))
        while self._touched and bar.close < self._touched[-1][0]:
            zone = self._touched.pop()[2]
            insort(self._broken, (-zone.top, 2, zone))
            changes.append((Kind.ORDER_BLOCK_BROKEN, zone))
        self._find_nearest()
        return changes

    def add(self, zone: Zone) -> list[ZoneChange]:
        """One candle is one block, however many breaks it causes."""
        living = [*self._fresh, *self._touched, *self._broken]
        if any(known == zone for _, _, known in living):
            return []
        insort(self._fresh, (zone.top, 0, zone))
        changes: list[ZoneChange] = [(Kind.ORDER_BLOCK, zone)]
        if len(living) == self._cap:
            oldest = min(living, key=_age)
            (self._fresh, self._touched, self._broken)[oldest[1]].remove(oldest)
            changes.append((Kind.FORGOTTEN, oldest[2]))
        self._find_nearest()
        return changes

    def _find_nearest(self) -> None:
        self.touch_at = self._fresh[-1][0] if self._fresh else -inf
        self.break_at = self._touched[-1][0] if self._touched else -inf
        self.die_at = -self._broken[-1][0] if self._broken else inf

    def untouched(self) -> list[Zone]:
        """The nearest last."""
        return [zone for _, _, zone in self._fresh]

    def state(self) -> list[Any]:
        return [[zone for _, _, zone in stage] for stage in (self._fresh, self._touched, self._broken)]

    def restore(self, state: list[Any]) -> None:
        fresh, touched, broken = ([Zone(*zone) for zone in stage] for stage in state)
        self._fresh = [(zone.top, 0, zone) for zone in fresh]
        self._touched = [(zone.bottom, 1, zone) for zone in touched]
        self._broken = [(-zone.top, 2, zone) for zone in broken]
        self._find_nearest()


def _age(one: Waiting) -> int:
    return one[2].number

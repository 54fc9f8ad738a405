"""Liquidity: stops resting beyond equal pivots, and what a candle does to them. [P]

Written for highs; lows are highs in the mirror.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from math import inf
from typing import Any, NamedTuple

from live.smc.bars import Bar
from live.smc.pivots import Pivot


@dataclass(slots=True)
class Pool:
    """level, number: of its first and highest member. tolerance: frozen when the pool was born, in price."""

    level: float
    number: int
    tolerance: float
    touches: int = 1


class Taken(NamedTuple):
    """A pool consumed by a wick beyond it. swept: the candle closed back; otherwise it ran through."""

    pool: Pool
    swept: bool


class Pools:
    """Pools above the price, the nearest last.

    A new pivot high is never above a standing pool, because the candle that made it would have consumed the pool.
    So this is a stack: a pivot joins or is put upon the nearest pool, and a candle takes pools from that end only.
    """

    __slots__ = ("_cap", "nearest", "standing")

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self.standing: list[Pool] = []
        self.nearest = inf

    def _find_nearest(self) -> None:
        self.nearest = self.standing[-1].level if self.standing else inf

    def take(self, bar: Bar) -> list[Taken]:
        """The pools whose level this bar traded beyond, nearest first; they are gone."""
        taken: list[Taken] = []
        while self.standing and bar.high > self.standing[-1].level:
            pool = self.standing.pop()
            taken.append(Taken(pool, swept=bar.close <= pool.level))
        self._find_nearest()
        return taken

    def add(self, pivot: Pivot, tolerance: float) -> tuple[Pool, Pool | None]:
        """The pool that holds this pivot, and the oldest one when it had to be forgotten."""
        if self.standing and self.standing[-1].level - pivot.level <= self.standing[-1].tolerance:
            nearest = self.standing[-1]
            nearest.touches += 1
            return nearest, None
        pool = Pool(pivot.level, pivot.number, tolerance)
        self.standing.append(pool)
        forgotten = self.standing.pop(0) if len(self.standing) > self._cap else None
        self._find_nearest()
        return pool, forgotten

    def state(self) -> list[Any]:
        return [astuple(pool) for pool in self.standing]

    def restore(self, state: list[Any]) -> None:
        self.standing = [Pool(*pool) for pool in state]
        self._find_nearest()

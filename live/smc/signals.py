"""From events to a signal: sweep, change of character, zone, entry. A small machine with expiries, O(1) per candle. [P]

Written for longs; shorts are longs in the mirror. All numbers are prices or candle numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from typing import NamedTuple

from live.smc.bars import Bar
from live.smc.liquidity import Pool
from live.smc.parameters import SmcParameters
from live.smc.zones import Zone


class Stage(Enum):
    WAITING = "waiting for a sweep"
    SWEPT = "waiting for a change of character"
    SHIFTED = "waiting for a zone"


class Setup:
    """How far the sequence has come. extreme: the lowest price since the sweep; peak: the highest.

    Dropped by expiry, by a close beyond the extreme, or by a change of character the other way.
    """

    __slots__ = ("extreme", "peak", "shifted_number", "stage", "swept_level", "swept_number")

    def __init__(self) -> None:
        self.stage = Stage.WAITING
        self.swept_number = self.shifted_number = 0
        self.swept_level = self.extreme = self.peak = 0.0

    def drop(self) -> None:
        self.stage = Stage.WAITING

    def sweep(self, bar: Bar, level: float) -> None:
        """Resting liquidity below `level` was taken and rejected by this bar: the sequence starts (again)."""
        self.stage = Stage.SWEPT
        self.swept_number, self.swept_level = bar.number, level
        self.extreme, self.peak = bar.low, bar.high

    def follow(self, bar: Bar, p: SmcParameters, *, changed: int, displaced: bool) -> str | None:
        """One candle after the sweep. changed: +1 or -1 when it changed the character, else 0.

        Returns why the sequence cannot go on to a zone on this candle, or None when it can.
        """
        if self.stage is Stage.WAITING:
            return NO_SWEEP
        if bar.close < self.extreme:
            self.drop()
            return "the sweep did not hold"
        if changed < 0 and self.stage is Stage.SHIFTED:
            self.drop()
            return "the character changed back"
        self.extreme, self.peak = min(self.extreme, bar.low), max(self.peak, bar.high)
        if self.stage is Stage.SWEPT:
            return self._await_change(bar, p, changed=changed, displaced=displaced)
        if bar.number - self.shifted_number > p.zone_window_bars:
            self.drop()
            return "no usable zone came in time after the change of character"
        return None

    def _await_change(self, bar: Bar, p: SmcParameters, *, changed: int, displaced: bool) -> str | None:
        if bar.number - self.swept_number > p.choch_window_bars:
            self.drop()
            return "no change of character came in time after the sweep"
        if changed <= 0:
            return NO_CHANGE
        if not displaced:
            return "change of character without displacement"
        self.stage, self.shifted_number = Stage.SHIFTED, bar.number
        return None


NO_SWEEP = "no sweep of resting liquidity"
NO_CHANGE = "swept, no change of character yet"


class Choice(NamedTuple):
    zone: Zone
    is_gap: bool
    entry: float


def choose_zone(setup: Setup, bar: Bar, gaps: Sequence[Zone], blocks: Sequence[Zone], p: SmcParameters) -> Choice | str:
    """The zone of this leg that overlaps the optimal entry, nearest to the price first; or why there is none.

    gaps, blocks: untouched, nearest last. The gap around the breaking candle is known one candle after it, so the
    block, being second choice, waits for that candle too.
    """
    size = setup.peak - setup.extreme
    ote_top, ote_bottom = setup.peak - p.ote_min * size, setup.peak - p.ote_max * size
    stacks: list[tuple[Sequence[Zone], bool]] = [(gaps, True)]
    if bar.number > setup.shifted_number:
        stacks.append((blocks, False))
    for zones, is_gap in stacks:
        for zone in reversed(zones):
            if zone.number < setup.swept_number or zone.top < ote_bottom or zone.bottom > ote_top:
                continue
            top, bottom = min(zone.top, ote_top), max(zone.bottom, ote_bottom)
            return Choice(zone, is_gap, top if p.entry == "edge" else (top + bottom) / 2)
    return "no untouched gap or block of this leg in the optimal entry zone"


class Plan(NamedTuple):
    entry: float
    stop: float
    targets: tuple[float, ...]


def make_plan(
    entry: float, setup: Setup, bar: Bar, pools: Sequence[Pool], p: SmcParameters, *, average_range: float,
    equilibrium: float | None,
) -> Plan | str:  # fmt: skip
    """Entry, stop and targets, or why they would make no trade.

    pools: opposing liquidity above, nearest last. equilibrium: middle of the higher timeframe's dealing range; a long
    is bought in its discount half.
    """
    if equilibrium is None:
        return "the higher timeframe has no dealing range yet"
    if entry >= equilibrium:
        return "the entry is not in the discount half of the higher timeframe"
    if bar.close <= entry:
        return "the price is already at the entry"
    stop = setup.extreme - p.stop_buffer_atr * average_range
    risk = entry - stop
    if risk <= 0.0:
        return "the stop would not be beyond the entry"
    levels = [pool.level for pool in reversed(pools)]
    if levels and levels[-1] < entry + p.min_rr * risk:
        return "no opposing liquidity is far enough to be worth the risk"
    return Plan(entry, stop, tuple(_targets(entry, risk, levels, p)))


def _targets(entry: float, risk: float, levels: list[float], p: SmcParameters) -> Iterator[float]:
    """Each multiple of the risk, moved out to the nearest pool before the next multiple where there is one.

    levels: ascending.
    """
    nexts = (*p.targets_r[1:], p.targets_r[-1] + 1.0)
    for multiple, following in zip(p.targets_r, nexts, strict=True):
        nearest, beyond = entry + multiple * risk, entry + following * risk
        yield next((level for level in levels if nearest <= level < beyond), nearest)

"""From events to a signal: sweep, change of character, zone, entry. A small machine with expiries, O(1) per candle. [P]

Written for longs; shorts are longs in the mirror. All numbers are prices or candle numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from live.smc.bars import Bar
from live.smc.parameters import SmcParameters
from live.smc.ranges import Half, half, optimal_entry
from live.smc.reasons import Code
from live.smc.zones import Zone


class Stage(StrEnum):
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

    def follow(self, bar: Bar, p: SmcParameters, *, changed: int, displaced: bool) -> Code | None:
        """One candle after the sweep. changed: +1 or -1 when it changed the character, else 0.

        Returns why the sequence cannot go on to a zone on this candle, or None when it can.
        """
        if self.stage is Stage.WAITING:
            return Code.NO_SWEEP
        if bar.close < self.extreme:
            self.drop()
            return Code.SWEEP_FAILED
        if changed < 0 and self.stage is Stage.SHIFTED:
            self.drop()
            return Code.CHANGED_BACK
        self.extreme, self.peak = min(self.extreme, bar.low), max(self.peak, bar.high)
        if self.stage is Stage.SWEPT:
            return self._await_change(bar, p, changed=changed, displaced=displaced)
        if bar.number - self.shifted_number > p.zone_window_bars:
            self.drop()
            return Code.ZONE_LATE
        return None

    def _await_change(self, bar: Bar, p: SmcParameters, *, changed: int, displaced: bool) -> Code | None:
        if bar.number - self.swept_number > p.choch_window_bars:
            self.drop()
            return Code.CHANGE_LATE
        if changed <= 0:
            return Code.NO_CHANGE
        if not displaced:
            return Code.NO_DISPLACEMENT
        self.stage, self.shifted_number = Stage.SHIFTED, bar.number
        return None

    def state(self) -> list[Any]:
        return [self.stage.name, self.swept_number, self.shifted_number, self.swept_level, self.extreme, self.peak]

    def restore(self, state: list[Any]) -> None:
        stage, self.swept_number, self.shifted_number, self.swept_level, self.extreme, self.peak = state
        self.stage = Stage[stage]


class Choice(NamedTuple):
    zone: Zone
    is_gap: bool
    entry: float


def choose_zone(
    setup: Setup, bar: Bar, gaps: Sequence[Zone], blocks: Sequence[Zone], p: SmcParameters
) -> Choice | Code:
    """The zone of this leg that overlaps the optimal entry, nearest to the price first; or why there is none.

    gaps, blocks: untouched, nearest last. The gap around the breaking candle is known one candle after it, so the
    block, being second choice, waits for that candle too.
    """
    ote_bottom, ote_top = optimal_entry(setup.extreme, setup.peak, least=p.ote_min, most=p.ote_max)
    stacks: list[tuple[Sequence[Zone], bool]] = [(gaps, True)]
    if bar.number > setup.shifted_number:
        stacks.append((blocks, False))
    for zones, is_gap in stacks:
        for zone in reversed(zones):
            if zone.number < setup.swept_number or zone.top < ote_bottom or zone.bottom > ote_top:
                continue
            top, bottom = min(zone.top, ote_top), max(zone.bottom, ote_bottom)
            return Choice(zone, is_gap, top if p.entry == "edge" else (top + bottom) / 2)
    return Code.NO_ZONE


class Plan(NamedTuple):
    entry: float
    stop: float
    targets: tuple[float, ...]


def make_plan(
    entry: float, setup: Setup, bar: Bar, liquidity: Sequence[float], p: SmcParameters, *, average_range: float,
    dealing_range: tuple[float, float] | None,
) -> Plan | Code:  # fmt: skip
    """Entry, stop and targets, or why they would make no trade.

    liquidity: opposing levels above the price, ascending. dealing_range: low and high of the higher timeframe's; a long
    is bought in its discount half.
    """
    if dealing_range is None:
        return Code.NO_RANGE
    if half(entry, *dealing_range) is not Half.DISCOUNT:
        return Code.WRONG_HALF
    if bar.close <= entry:
        return Code.AT_ENTRY
    stop = setup.extreme - p.stop_buffer_atr * average_range
    risk = entry - stop
    if risk <= 0.0:
        return Code.NO_RISK
    if liquidity and liquidity[-1] < entry + p.min_rr * risk:
        return Code.LIQUIDITY_NEAR
    return Plan(entry, stop, tuple(_targets(entry, risk, liquidity, p)))


def _targets(entry: float, risk: float, liquidity: Sequence[float], p: SmcParameters) -> Iterator[float]:
    """Each multiple of the risk, moved out to the nearest liquidity before the next multiple where there is some."""
    nexts = (*p.targets_r[1:], p.targets_r[-1] + 1.0)
    for multiple, following in zip(p.targets_r, nexts, strict=True):
        nearest, beyond = entry + multiple * risk, entry + following * risk
        yield next((level for level in liquidity if nearest <= level < beyond), nearest)

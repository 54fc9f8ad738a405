"""What the strategy may be told, with units and the relations that must hold. [P]

Every default is a starting point to be tested, not a finding; none carries evidence of profit.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from datetime import time, timedelta
from hashlib import sha256
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


class Session(NamedTuple):
    """Hours of every day by the wall clock of a zone of the time zone database, so that summer time moves them.

    Half-open; ends at or before begins: on the next day.
    """

    zone: str
    begins: time
    ends: time


EXCHANGE_HOURS = (
    Session("Asia/Tokyo", time(9), time(15, 30)),
    Session("Europe/London", time(8), time(16, 30)),
    Session("America/New_York", time(9, 30), time(16)),
)


@dataclass(frozen=True, slots=True)
class SmcParameters:
    """Names end in their unit: _bars candles of `timeframe`, _atr multiples of the average range, _r multiples of risk.

    timeframe: of the candles fed to the engine. htf_bars: candles in one higher-timeframe candle.
    atr_bars: the average true range is the plain mean of that many, so that it forgets its start completely.
    internal_bars, swing_bars: candles on each side of an internal and of a swing pivot, thus also its delay;
    htf_swing_bars: the same, in higher-timeframe candles.
    fvg_min_atr: smallest fair value gap. fvg_body: its middle candle must have the gap's colour.
    displacement_atr: smallest range of a candle that may break structure for an entry.
    pool_tolerance_atr: how far apart lows count as equal, frozen at the pool's first pivot; pool_min_touches: pivots
    that make a pool worth sweeping; max_pools, max_zones: how many pools, gaps and blocks each are remembered on each
    side, oldest forgotten first.
    period_zone: whose midnights end days and weeks. sessions: whose highs and lows rest, too, besides those of the last
    day and week; a sweep of any of these starts a setup however often it was touched.
    choch_window_bars: from sweep to change of character. zone_window_bars: from there to a usable zone.
    ote_min, ote_max: the part of the leg, 0 at its end and 1 at its origin, in which an entry may lie.
    entry: where in the zone. stop_buffer_atr: beyond the sweep. targets_r: one target each. min_rr: how far away the
    nearest opposing liquidity worth having must be. expiry_bars: how long the entry stays valid.
    """

    timeframe: timedelta = timedelta(minutes=15)
    htf_bars: int = 16
    atr_bars: int = 14
    internal_bars: int = 5
    swing_bars: int = 10
    htf_swing_bars: int = 3
    fvg_min_atr: float = 0.10
    fvg_body: bool = True
    displacement_atr: float = 1.5
    pool_tolerance_atr: float = 0.10
    pool_min_touches: int = 2
    max_pools: int = 32
    max_zones: int = 32
    period_zone: str = "UTC"
    sessions: tuple[Session, ...] = EXCHANGE_HOURS
    choch_window_bars: int = 20
    zone_window_bars: int = 5
    ote_min: float = 0.62
    ote_max: float = 0.79
    entry: Literal["edge", "mid"] = "mid"
    stop_buffer_atr: float = 0.20
    targets_r: tuple[float, ...] = (1.0, 2.0, 3.0)
    min_rr: float = 2.0
    expiry_bars: int = 50

    def __post_init__(self) -> None:
        """Raises ValueError naming every relation that does not hold."""
        if wrong := self._problems():
            raise ValueError("; ".join(wrong))

    @property
    def warmup_bars(self) -> int:
        """Candles of history to feed before trusting a silence: the higher timeframe must have seen some structure."""
        return self.htf_bars * 12 * (self.htf_swing_bars + 1)

    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that differ where any parameter does."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:16]

    def _problems(self) -> list[str]:
        counts = (
            "atr_bars", "internal_bars", "swing_bars", "htf_swing_bars", "pool_min_touches", "max_pools",
            "max_zones", "choch_window_bars", "zone_window_bars", "expiry_bars",
        )  # fmt: skip
        lengths = ("fvg_min_atr", "displacement_atr", "pool_tolerance_atr", "stop_buffer_atr")
        rules = {
            "timeframe must be positive": self.timeframe > timedelta(0),
            "htf_bars must be at least 2": self.htf_bars >= 2,
            "internal_bars must be below swing_bars": self.internal_bars < self.swing_bars,
            "0 < ote_min < ote_max < 1 must hold": 0 < self.ote_min < self.ote_max < 1,
            "entry must be 'edge' or 'mid'": self.entry in ("edge", "mid"),
            "targets_r must rise from above 0": bool(self.targets_r)
            and all(a < b for a, b in zip((0.0, *self.targets_r), self.targets_r, strict=False)),
            "min_rr must be positive and not beyond the last of targets_r": bool(self.targets_r)
            and 0 < self.min_rr <= self.targets_r[-1],
        }
        zones = (self.period_zone, *(session.zone for session in self.sessions))
        rules |= {f"there must be a time zone {name!r} in the database": _is_zone(name) for name in zones}
        rules |= {f"{name} must be at least 1": getattr(self, name) >= 1 for name in counts}
        rules |= {f"{name} must not be negative": getattr(self, name) >= 0 for name in lengths}
        return [rule for rule, holds in rules.items() if not holds]


def _is_zone(name: str) -> bool:
    try:
        return bool(ZoneInfo(name).key)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # unknown, no name of a zone, a folder of the database
        return False

"""Everything the engine remembers about one direction, in coordinates in which that direction is up. [P]"""

from __future__ import annotations

from live.smc.bars import Bar
from live.smc.events import Kind
from live.smc.liquidity import Pools
from live.smc.parameters import SmcParameters
from live.smc.pivots import Peaks
from live.smc.signals import Setup
from live.smc.structure import Step
from live.smc.zones import OrderBlock, Zone, Zones, fair_value_gap

ZoneChange = tuple[Kind, Zone]


class Flank:
    """direction: +1 or -1. pools rest above its highs; gaps and blocks wait below the price; setup buys there."""

    __slots__ = ("_before", "_middle", "block", "blocks", "direction", "gaps", "name", "pools", "setup")

    def __init__(self, direction: int, p: SmcParameters) -> None:
        self.direction = direction
        self.name = "long" if direction > 0 else "short"
        self.pools = Pools(p.max_pools)
        self.gaps = Zones(p.max_zones)
        self.blocks = Zones(p.max_zones)
        self.block = OrderBlock()
        self.setup = Setup()
        self._before: Bar | None = None
        self._middle: Bar | None = None

    def update_zones(
        self, bar: Bar, step: Step, peaks: Peaks, p: SmcParameters, average_range: float
    ) -> list[ZoneChange]:
        """What this candle did to the zones: first it touches those known before it, then it leaves its own.

        step, peaks: of the internal structure on this side, after this candle.
        """
        changes: list[ZoneChange] = []
        if self.gaps.reaches(bar):
            changes += [(Kind.FVG_TOUCHED, zone) for zone in self.gaps.touch(bar)]
        if self.blocks.reaches(bar):
            changes += [(Kind.ORDER_BLOCK_TOUCHED, zone) for zone in self.blocks.touch(bar)]
        if self._before is not None and self._middle is not None and bar.low > self._before.high:
            min_size = p.fvg_min_atr * average_range
            gap = fair_value_gap(self._before, self._middle, bar, min_size=min_size, body=p.fvg_body)
            if gap is not None:
                changes += _added(self.gaps, Kind.FVG, gap)
        self._before, self._middle = self._middle, bar
        if step.broke == self.direction and (block := self.block.zone()) is not None and block not in self.blocks:
            changes += _added(self.blocks, Kind.ORDER_BLOCK, block)
        if (step.high if self.direction > 0 else step.low) is not None:
            self.block.start_anew(peaks.since_pivot())
        else:
            self.block.push(bar)
        return changes

    def clear_windows(self) -> None:
        """After missing candles: no gap spans the hole, and an unfinished setup may have failed in it."""
        self._before = self._middle = None
        self.setup.drop()


def _added(zones: Zones, kind: Kind, zone: Zone) -> list[ZoneChange]:
    forgotten = zones.add(zone)
    return [(kind, zone)] if forgotten is None else [(kind, zone), (Kind.FORGOTTEN, forgotten)]

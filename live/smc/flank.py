"""Everything the engine remembers about one direction, in coordinates in which that direction is up. [P]"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from live.smc.bars import Bar
from live.smc.levels import Levels
from live.smc.liquidity import Pools
from live.smc.parameters import SmcParameters
from live.smc.signals import Setup
from live.smc.structure import Step
from live.smc.zones import Blocks, Gaps, Zone, ZoneChange, fair_value_gap


class Flank:
    """direction: +1 or -1. pools and levels rest above its highs; gaps and blocks wait below; setup buys there.

    block: the candle of the lowest low since the pivot that a rise must break, which makes it an order block.
    """

    __slots__ = ("_before", "_middle", "block", "blocks", "direction", "gaps", "levels", "name", "pools", "setup")

    def __init__(self, direction: int, p: SmcParameters, *, periods: int) -> None:
        self.direction = direction
        self.name = "long" if direction > 0 else "short"
        self.pools = Pools(p.max_pools)
        self.levels = Levels(periods)
        self.gaps = Gaps(p.max_zones)
        self.blocks = Blocks(p.max_zones)
        self.block: Zone | None = None
        self.setup = Setup()
        self._before: Bar | None = None
        self._middle: Bar | None = None

    def update_zones(self, bar: Bar, step: Step, p: SmcParameters, average_range: float) -> list[ZoneChange]:
        """What this candle did to the zones: first it changes those known before it, then it leaves its own.

        step: of the internal structure on this candle.
        """
        changes: list[ZoneChange] = []
        if bar.low <= self.gaps.nearest:
            changes += self.gaps.fill(bar)
        blocks = self.blocks
        if bar.low <= blocks.touch_at or bar.close < blocks.break_at or bar.close > blocks.die_at:
            changes += blocks.change(bar)
        if self._before is not None and bar.low > self._before.high and self._middle is not None:
            min_size = p.fvg_min_atr * average_range
            gap = fair_value_gap(self._before, self._middle, bar, min_size=min_size, body=p.fvg_body)
            if gap is not None:
                changes += self.gaps.add(gap)
        self._before, self._middle = self._middle, bar
        if self.block is not None:
            if step.broke == self.direction:
                changes += blocks.add(self.block)
            if bar.low <= self.block.bottom:
                self.block = Zone(bar.high, bar.low, bar.number)
        return changes

    def liquidity(self) -> list[float]:
        """Every level above the price at which stops rest, ascending."""
        return sorted([*self.levels.standing(), *(pool.level for pool in self.pools.standing)])

    def clear_windows(self) -> None:
        """After missing candles: no gap spans the hole, and an unfinished setup may have failed in it."""
        self._before = self._middle = None
        self.setup.drop()

    def state(self) -> dict[str, Any]:
        return {
            "pools": self.pools.state(),
            "levels": self.levels.state(),
            "gaps": self.gaps.state(),
            "blocks": self.blocks.state(),
            "block": self.block,
            "setup": self.setup.state(),
        }

    def restore(self, state: dict[str, Any], bars: Sequence[Bar]) -> None:
        """bars: those since the last hole, as this flank sees them; at least one."""
        self.pools.restore(state["pools"])
        self.levels.restore(state["levels"])
        self.gaps.restore(state["gaps"])
        self.blocks.restore(state["blocks"])
        self.block = state["block"] and Zone(*state["block"])
        self.setup.restore(state["setup"])
        self._before, self._middle = bars[-2] if len(bars) > 1 else None, bars[-1]

"""Where peer and engine must agree exactly, they are asked after every candle: pivots and gaps, as known by then. [S]

E1, E2: raw pivots, alternated, are the peer's swings without its invented first and last row. E3: gaps and their first
touch. A pivot must be known exactly swing_length candles after it, a gap one after its middle candle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from math import isnan
from typing import Any, NamedTuple

from live.model import Candle
from live.smc import Engine, Kind, SmcParameters
from live.smc.bars import EPOCH, Bar
from live.smc.pivots import Peaks
from smc_parts.data import BAR, SYMBOL, ties
from smc_parts.peer import Peer

PARAMETERS = replace(SmcParameters(), fvg_min_atr=0.0, max_zones=1_000_000)


class PeerPeaks(Peaks):
    """The engine's pivots by the peer's rule of ties: every bar of a flat top is one."""

    def is_peak(self, highs: Sequence[float], middle: int) -> bool:
        return highs[middle] >= max(highs)


class Swing(NamedTuple):
    row: int
    sign: int
    level: float
    known: int


def raw_swings(candles: Sequence[Candle], length: int) -> list[Swing]:
    """The peer looks at length - 1 candles before and length after, and at none of its first 2 * length - 1 rows."""
    highs, lows = PeerPeaks(length - 1, length), PeerPeaks(length - 1, length)
    found = []
    for row, candle in enumerate(candles):
        bar = Bar(row, candle.opened_at, candle.closed_at, *(float(getattr(candle, n)) for n in Bar._fields[3:]))
        high, low = highs.push(bar), lows.push(bar.mirrored())
        if high is not None and high.number >= 2 * length - 1:
            found.append(Swing(high.number, 1, high.level, row))
        elif low is not None and low.number >= 2 * length - 1:
            found.append(Swing(low.number, -1, -low.level, row))
    return found


def alternated(swings: Sequence[Swing]) -> list[tuple[int, int, float]]:
    """Of each run of one sign the most extreme, the first on a tie."""
    runs = (list(run) for _, run in groupby(swings, key=lambda swing: swing.sign))
    return [max(run, key=lambda swing: (swing.sign * swing.level, -swing.row))[:3] for run in runs]


def peer_swings(table: Any) -> list[tuple[int, int, float]]:
    rows = list(zip(table["HighLow"].tolist(), table["Level"].tolist(), strict=True))
    inner = range(1, len(rows) - 1)
    return [(row, int(rows[row][0]), rows[row][1]) for row in inner if not isnan(rows[row][0])]


class Gap(NamedTuple):
    row: int
    sign: int
    bottom: float
    top: float
    known: int
    touched: int | None


def gaps(candles: Sequence[Candle]) -> list[Gap]:
    engine, found = Engine(PARAMETERS, SYMBOL), {}
    first = (candles[0].opened_at - EPOCH) // BAR
    for row, candle in enumerate(candles):
        for event in engine.on_candle(candle).events:
            at = (event.origin - EPOCH) // BAR - first
            if event.kind is Kind.FVG:
                found[at] = Gap(at, event.direction, event.bottom, event.top, row, None)
            elif event.kind is Kind.FVG_TOUCHED:
                found[at] = found[at]._replace(touched=row)
    return list(found.values())


def peer_gaps(table: Any) -> list[tuple[float, ...]]:
    rows = zip(range(len(table)), *(table[name].tolist() for name in table.columns), strict=True)
    return [row for row in rows if not isnan(row[1])]


def gaps_known(found: Sequence[Gap], row: int) -> list[tuple[float, ...]]:
    """As the peer would write them after this row: 0 where none has touched yet."""
    return [(gap.row, gap.sign, gap.top, gap.bottom, _touched(gap, row)) for gap in found if gap.known <= row]


def _touched(gap: Gap, row: int) -> int:
    return gap.touched if gap.touched is not None and gap.touched <= row else 0


def compare(peer: Peer, *, frames: int, rows: int) -> dict[str, int]:
    """Every prefix of every frame. mismatches must be 0, and what was compared must not be."""
    counts = {"prefixes": 0, "swings": 0, "gaps": 0, "late": 0, "mismatches": 0}
    for seed in range(frames):
        candles, length = ties(rows, seed=seed), (2, 3, 5)[seed % 3]
        frame, swings, all_gaps = peer.frame(candles), raw_swings(candles, length), gaps(candles)
        counts["late"] += sum(swing.known != swing.row + length for swing in swings)
        counts["late"] += sum(gap.known != gap.row + 1 for gap in all_gaps)
        for end in range(3, rows + 1):
            prefix = frame.iloc[:end]
            ours = alternated([swing for swing in swings if swing.known < end])
            our_gaps = gaps_known(all_gaps, end - 1)
            theirs = peer_swings(peer.smc.swing_highs_lows(prefix, swing_length=length))
            counts["mismatches"] += (ours != theirs) + (our_gaps != peer_gaps(peer.smc.fvg(prefix)))
            counts["prefixes"] += 1
            counts["swings"] += len(ours)
            counts["gaps"] += len(our_gaps)
    return counts

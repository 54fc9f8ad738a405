"""Why a closed candle gave a signal, or what was missing: a stable code, and the words that belong to it. [P]"""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Code(StrEnum):
    """The code is what programs count and compare; it never changes its meaning. The words are for people."""

    words: str

    def __new__(cls, code: str, words: str) -> Self:
        member = str.__new__(cls, code)
        member._value_ = code
        member.words = words
        return member

    SIGNAL = "signal", "every condition is met"

    # the candle was not taken
    FOREIGN = "candle-foreign", "not a candle of this symbol and timeframe"
    NAIVE = "candle-naive-time", "its time is naive"
    OFF_GRID = "candle-off-grid", "it does not open on the grid of its timeframe"
    IMPOSSIBLE = "candle-impossible", "prices are not positive numbers with open and close between low and high"
    DUPLICATE = "candle-duplicate", "duplicate of the last candle"
    REVISED = "candle-revised", "the last candle again with other prices: history is not rewritten"
    OLDER = "candle-older", "older than the last candle"

    # a condition of the sequence is missing
    NO_TREND = "no-higher-trend", "the higher timeframe has no trend yet"
    NO_SWEEP = "no-sweep", "no sweep of resting liquidity"
    JUST_SWEPT = "just-swept", "liquidity has just been swept"
    SWEEP_FAILED = "sweep-failed", "the sweep did not hold"
    NO_CHANGE = "no-change", "swept, no change of character yet"
    NO_DISPLACEMENT = "no-displacement", "change of character without displacement"
    CHANGE_LATE = "change-late", "no change of character came in time after the sweep"
    CHANGED_BACK = "changed-back", "the character changed back"
    NO_ZONE = "no-zone", "no untouched gap or block of this leg in the optimal entry zone"
    ZONE_LATE = "zone-late", "no usable zone came in time after the change of character"
    NO_RANGE = "no-range", "the higher timeframe has no dealing range yet"
    WRONG_HALF = "wrong-half", "a long wants the higher timeframe's discount half, a short its premium half"
    AT_ENTRY = "at-entry", "the price is already at the entry"
    NO_RISK = "no-risk", "the stop would not be beyond the entry"
    LIQUIDITY_NEAR = "liquidity-near", "no opposing liquidity is far enough to be worth the risk"

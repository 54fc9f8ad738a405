"""What the engine says about one closed candle: what became knowable, and a signal or the reasons for none. [P]"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from live.model import Signal
from live.smc.reasons import Code


class Kind(StrEnum):
    PIVOT = "pivot"  # up: a high, down: a low
    BOS = "break of structure"  # up: close above the last high
    CHOCH = "change of character"  # the same, against the trend
    FVG = "fair value gap"  # up: left by a rise, waits below the price
    FVG_TOUCHED = "fair value gap touched"
    FVG_HALF = "fair value gap half filled"
    FVG_FILLED = "fair value gap filled"  # by a wick, as the two before
    ORDER_BLOCK = "order block"
    ORDER_BLOCK_TOUCHED = "order block touched"
    ORDER_BLOCK_BROKEN = "order block broken"  # by a close beyond: a breaker block from now on
    ORDER_BLOCK_DEAD = "order block dead"  # a close back beyond the breaker
    POOL = "liquidity pool"  # up: rests above highs, down: rests below lows
    SWEEP = "sweep"  # wick beyond the pool, close back
    RUN = "run"  # close beyond the pool
    FORGOTTEN = "forgotten"  # the oldest pool or zone over the cap; a level when the next period's follows
    GAP = "candles missing"  # windows start anew; nothing spans the hole


class Scope(StrEnum):
    INTERNAL = "internal"
    SWING = "swing"
    HIGHER = "higher timeframe"
    DAY = "previous day"
    WEEK = "previous week"
    SESSION = "session"


class Event(NamedTuple):
    """Something that became knowable; never changed later, only followed by other events.

    direction: +1 or -1, see Kind. origin: the open (UTC) of the candle it speaks about; known_at: the close (UTC) of
    the candle that made it knowable. bottom, top: its prices, equal for a level; 0.0 where it has none.
    """

    kind: Kind
    scope: Scope
    direction: int
    origin: datetime
    known_at: datetime
    bottom: float
    top: float


class Observation(NamedTuple):
    """The engine's answer to one candle: a signal, or the reasons why there is none. code: what decided.

    refused: why the candle was not taken at all (duplicate, out of order, malformed); the state is then unchanged.
    """

    closed_at: datetime
    events: tuple[Event, ...]
    signal: Signal | None
    reasons: tuple[str, ...]
    code: Code
    refused: str | None = None

"""The engine's own candle: floats and a number, and its mirror image, so that every rule is written once. [P]

Seen in the mirror (prices negated, high and low exchanged) a fall is a rise. Negation of a float is exact, therefore
longs and shorts obey the same rules to the last bit.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
make = tuple.__new__  # a NamedTuple's own constructor is a Python function around this; on every candle that shows


class Bar(NamedTuple):
    """number: candles of its length since 1970 (UTC). Prices in quote currency, negated in the mirror."""

    number: int
    opened_at: datetime
    closed_at: datetime
    open: float
    high: float
    low: float
    close: float

    def mirrored(self) -> Bar:
        number, opened_at, closed_at, open_, high, low, close = self
        return make(Bar, (number, opened_at, closed_at, -open_, -low, -high, -close))

    def row(self) -> list[Any]:
        """What a snapshot keeps of it; the times follow from the number."""
        return [self.number, self.open, self.high, self.low, self.close]


def bar_of(row: list[Any], timeframe: timedelta) -> Bar:
    """The inverse of Bar.row()."""
    number, open_, high, low, close = row
    opened_at = opening(number, timeframe)
    return Bar(number, opened_at, opened_at + timeframe, open_, high, low, close)


class AverageRange:
    """The plain mean of the last true ranges; 0.0 until there are enough of them."""

    __slots__ = ("_bars", "_last_close", "_ranges", "value")

    def __init__(self, bars: int) -> None:
        self._bars = bars
        self._ranges: deque[float] = deque(maxlen=bars)
        self._last_close: float | None = None
        self.value = 0.0

    def push(self, bar: Bar) -> None:
        last = self._last_close
        high, low = bar.high, bar.low
        if last is not None:
            high = last if last > high else high
            low = last if last < low else low
        self._last_close = bar.close
        self._ranges.append(high - low)
        if len(self._ranges) == self._bars:
            self.value = sum(self._ranges) / self._bars

    def state(self) -> list[float]:
        return list(self._ranges)

    def restore(self, state: list[float], last: Bar) -> None:
        self._ranges.extend(state)
        self._last_close = last.close
        if len(state) == self._bars:
            self.value = sum(state) / self._bars


class HigherBars:
    """Joins candles into one of the higher timeframe, given out only at its close and only when none is missing."""

    __slots__ = ("_bars", "_high", "_low", "_next", "_open", "_opened_at", "last_number")

    def __init__(self, bars: int) -> None:
        self._bars = bars
        self._next: int | None = None
        self.last_number: int | None = None
        self._opened_at = EPOCH
        self._open = self._high = self._low = 0.0

    def push(self, bar: Bar) -> Bar | None:
        """The higher candle that this one completes, or None."""
        place = bar.number % self._bars
        if place == 0:
            self._opened_at, self._open, self._high, self._low = bar.opened_at, bar.open, bar.high, bar.low
        elif bar.number != self._next:
            return None
        else:
            self._high = bar.high if bar.high > self._high else self._high
            self._low = bar.low if bar.low < self._low else self._low
        self._next = bar.number + 1
        if place != self._bars - 1:
            return None
        self.last_number = bar.number // self._bars
        return Bar(self.last_number, self._opened_at, bar.closed_at, self._open, self._high, self._low, bar.close)

    def state(self) -> list[Any]:
        return [self._next, self.last_number, self._open, self._high, self._low]

    def restore(self, state: list[Any], timeframe: timedelta) -> None:
        """timeframe: of the candles pushed."""
        self._next, self.last_number, self._open, self._high, self._low = state
        if self._next is not None:
            self._opened_at = opening((self._next - 1) // self._bars * self._bars, timeframe)


def bar_number(opened_at: datetime, timeframe: timedelta) -> int:
    """Which candle of this timeframe since 1970. Raises ValueError when it does not open on the grid."""
    number, rest = divmod(opened_at - EPOCH, timeframe)
    if rest:
        raise ValueError(f"{opened_at.isoformat()} is not on the grid of {timeframe}")
    return number


@lru_cache(maxsize=512)  # most candles that an event speaks about are spoken about again
def opening(number: int, timeframe: timedelta) -> datetime:
    """When the candle of this number opens (UTC): the inverse of bar_number()."""
    return EPOCH + number * timeframe

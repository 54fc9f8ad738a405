"""How long a position stood without a stop of its size while it could have had one. [P]

Counted are the seconds in which a worker lived and the venue answered. Not counted are outages, and the time that one
failed read, untrue list or swallowed or refused request costs before the worker is due again: whoever then does
nothing is counted again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

EVERYWHERE = "every symbol"


class NakedTime:
    """Counts over one life. seconds_max: the longest that any position stood naked (s)."""

    def __init__(self) -> None:
        self.seconds_max = 0.0
        self._sides: dict[str, int] = {}
        self._seconds: dict[str, float] = {}
        self._excused_until: dict[str, datetime] = {}

    def excuse(self, until: datetime, symbol: str = EVERYWHERE) -> None:
        self._excused_until[symbol] = max(until, self._excused_until.get(symbol, until))

    def passed(self, sides: Mapping[str, int], began_at: datetime, now: datetime, *, watched: bool) -> None:
        """Time has passed. sides: of each naked position, 1 long and -1 short; one that turned is another position."""
        for symbol, side in sides.items():
            if self._sides.get(symbol) != side:
                self._seconds[symbol] = 0.0
            if watched:
                counted_from = max([began_at, *self._excuses(symbol)])
                self._seconds[symbol] += max((now - counted_from).total_seconds(), 0.0)
                self.seconds_max = max(self.seconds_max, self._seconds[symbol])
        self._sides = dict(sides)

    def _excuses(self, symbol: str) -> Iterable[datetime]:
        return (self._excused_until[each] for each in (symbol, EVERYWHERE) if each in self._excused_until)

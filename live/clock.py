"""The one clock of the runtime; simulation brings a virtual one. [E] And what replies tell of the venue's clock. [P]"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

_SAID_TO = timedelta(milliseconds=1)  # venues cut their time to whole milliseconds
_SLACK = timedelta(milliseconds=50)  # servers of one venue disagree by a little
_SURE_WITHIN = timedelta(milliseconds=250)  # half of the allowance for skew that every grace counts in
_DRIFT = 1e-4  # of the time between two measures: more than any quartz strays


class Clock(Protocol):
    def now(self) -> datetime:
        """Aware UTC."""
        ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """The venue's clock minus ours lies between low and high; measured_at: our clock then, aware UTC."""

    low: timedelta
    high: timedelta
    measured_at: datetime

    @property
    def seconds(self) -> float:
        return self._middle.total_seconds()

    @property
    def earliest(self) -> timedelta:
        """The least that it may be; after slow replies alone no more than a little below the middle."""
        return max(self.low, self._middle - _SURE_WITHIN)

    @property
    def _middle(self) -> timedelta:
        return (self.low + self.high) / 2


def refine(
    known: ClockOffset | None, *, asked_at: datetime, answered_at: datetime, said: datetime
) -> ClockOffset | None:
    """What is known of the offset after one more reply. said: the venue's time, put down between asking and answer.

    Every reply bounds the offset by its round trip, and all bounds that agree hold together, so that the quickest
    round trips decide. A reply that contradicts them shows that a clock was set: then it alone is believed.
    """
    if answered_at < asked_at:
        return known  # our own clock was set back meanwhile: the next reply tells
    fresh = ClockOffset(said - answered_at, said + _SAID_TO - asked_at, answered_at)
    if known is None:
        return fresh
    give = _SLACK + abs(answered_at - known.measured_at) * _DRIFT
    low, high = max(known.low - give, fresh.low), min(known.high + give, fresh.high)
    return fresh if low > high else ClockOffset(low, high, answered_at)

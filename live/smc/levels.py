"""Highs of completed days, weeks and sessions: where stops rest, too. Periods are half-open, by wall clocks. [P]

A candle belongs to the period in which it opened. Written for highs; lows are highs in the mirror.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from math import inf
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from live.smc.bars import Bar
from live.smc.events import Scope
from live.smc.parameters import SmcParameters

MIDNIGHT = time()


class Period(NamedTuple):
    """From `begins` until `ends`, wall clock of the zone, every `days` days; weeks begin on Monday.

    ends at or before begins: on the day after (or after the last of the days).
    """

    scope: Scope
    zone: tzinfo
    begins: time = MIDNIGHT
    ends: time = MIDNIGHT
    days: int = 1


def periods_of(p: SmcParameters) -> tuple[Period, ...]:
    zone = ZoneInfo(p.period_zone)
    sessions = (Period(Scope.SESSION, ZoneInfo(one.zone), one.begins, one.ends) for one in p.sessions)
    return (Period(Scope.DAY, zone), Period(Scope.WEEK, zone, days=7), *sessions)


def stretch_at(period: Period, at: datetime) -> tuple[datetime | None, datetime]:
    """(when the period around `at` began, when it ends); outside of one (None, when the next begins). Aware UTC."""
    day = at.astimezone(period.zone).date()
    if period.days == 7:
        day -= timedelta(days=day.weekday())
    if period.ends < period.begins:  # the one before may reach over midnight
        day -= timedelta(days=period.days)
    length = timedelta(days=period.days if period.ends <= period.begins else period.days - 1)
    while True:
        if at < (begin := _instant(day, period.begins, period.zone)):
            return None, begin
        if at < (end := _instant(day + length, period.ends, period.zone)):
            return begin, end
        day += timedelta(days=period.days)


@lru_cache(maxsize=256)  # an end is soon a begin, and every symbol asks the same
def _instant(day: date, clock: time, zone: tzinfo) -> datetime:
    """A wall clock that a change of summer time skips is the moment of the change; one that comes twice, the first."""
    return datetime.combine(day, clock, zone).astimezone(UTC)


class Turn(NamedTuple):
    """A period ended or began with this candle. begins: a new one that is seen whole."""

    period: int
    begins: bool


class Calendar:
    """Which periods the stream of candles is in. due: nothing turns for a candle that opened before; most did."""

    __slots__ = ("_ends", "_periods", "due")

    def __init__(self, periods: Sequence[Period]) -> None:
        self._periods = periods
        self._ends: list[datetime] = []
        self.due = datetime.min.replace(tzinfo=UTC)

    def turns(self, opened_at: datetime) -> list[Turn]:
        """What ended or began since the last candle.

        The period in which the stream starts counts only when it starts with it: its high is not known otherwise.
        """
        if not self._ends:
            return self._start(opened_at)
        turned = []
        for index, end in enumerate(self._ends):
            if opened_at >= end:
                begin, self._ends[index] = stretch_at(self._periods[index], opened_at)
                turned.append(Turn(index, begins=begin is not None))
        self.due = min(self._ends)
        return turned

    def _start(self, opened_at: datetime) -> list[Turn]:
        stretches = [stretch_at(period, opened_at) for period in self._periods]
        self._ends = [end for _, end in stretches]
        self.due = min(self._ends)
        return [Turn(index, begins=True) for index, (begin, _) in enumerate(stretches) if begin == opened_at]

    def restore(self, last: Bar) -> None:
        """Where it was after this candle follows from its time."""
        self._start(last.opened_at)


class Extreme(NamedTuple):
    """The high of a period and its first candle there."""

    level: float
    number: int


class LevelTaken(NamedTuple):
    period: int
    extreme: Extreme
    swept: bool


class Levels:
    """The running high of each period, and the high of the last completed one until it is traded beyond.

    A running high is infinite where there is nothing to follow. nearest: what a bar must exceed to take a level; least:
    what it must exceed to raise a running high. Both are asked on every candle.
    """

    __slots__ = ("_highs", "_numbers", "_standing", "least", "nearest")

    def __init__(self, periods: int) -> None:
        self._highs = [inf] * periods
        self._numbers = [0] * periods
        self._standing: list[Extreme | None] = [None] * periods
        self.nearest = self.least = inf

    def turn(self, turn: Turn) -> tuple[Extreme | None, Extreme | None]:
        """(the high of the period that ended, the one before it where nothing had taken that yet)."""
        period, high = turn.period, self._highs[turn.period]
        self._highs[period] = -inf if turn.begins else inf
        self.least = min(self._highs)
        if high == inf:
            return None, None
        forgotten, self._standing[period] = self._standing[period], Extreme(high, self._numbers[period])
        self._find_nearest()
        return self._standing[period], forgotten

    def take(self, bar: Bar) -> list[LevelTaken]:
        """The levels that this bar traded beyond, nearest first; they are gone."""
        standing = ((each.level, i, each) for i, each in enumerate(self._standing) if each and bar.high > each.level)
        taken = [LevelTaken(i, each, swept=bar.close <= level) for level, i, each in sorted(standing)]
        for one in taken:
            self._standing[one.period] = None
        self._find_nearest()
        return taken

    def track(self, bar: Bar) -> None:
        """Let the bar count for the periods that it is in; its first candle keeps a high that is reached again."""
        for period, high in enumerate(self._highs):
            if bar.high > high:
                self._highs[period], self._numbers[period] = bar.high, bar.number
        self.least = min(self._highs)

    def standing(self) -> list[float]:
        return [one.level for one in self._standing if one]

    def _find_nearest(self) -> None:
        self.nearest = min(self.standing(), default=inf)

    def state(self) -> list[Any]:
        running = [None if high == inf else [high, n] for high, n in zip(self._highs, self._numbers, strict=True)]
        return [running, self._standing]

    def restore(self, state: list[Any]) -> None:
        running, standing = state
        self._highs, self._numbers = map(list, zip(*(each or (inf, 0) for each in running), strict=True))
        self._standing = [each and Extreme(*each) for each in standing]
        self.least = min(self._highs)
        self._find_nearest()

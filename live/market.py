"""Rows of the venue become closed candles that can be trusted; gaps and conflicts are said aloud. [P]

Candles are kept oldest first, one symbol and one timeframe to a series; times are aware UTC. What happens when the
venue is late, wrong or away: docs/market-data.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from itertools import pairwise

from live.model import Candle

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZERO, INFINITE = Decimal(0), Decimal("Infinity")
HOLE_PATIENCE = timedelta(minutes=1)  # how long a hole may yet be filled, from the close of the candle after it

# every length of candle that the runtime, the operators' commands and the simulated venue know
TIMEFRAMES = {
    "1m": timedelta(minutes=1),
    "5m": timedelta(minutes=5),
    "15m": timedelta(minutes=15),
    "30m": timedelta(minutes=30),
    "1h": timedelta(hours=1),
    "4h": timedelta(hours=4),
    "12h": timedelta(hours=12),
    "1d": timedelta(days=1),
}


class BadCandles(ValueError):
    """Candles that cannot be true: malformed, off their grid, or two versions of one closed bar."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Candles that should exist and do not: `missing` of them, the first opened at `begins_at`, none at `ends_at`."""

    symbol: str
    begins_at: datetime
    ends_at: datetime
    missing: int


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What one reading adds to a series.

    fresh: closed candles not read before, oldest first, none beyond a hole that may yet be filled. hole: that one.
    gaps: every hole of the reading. revised: another telling of the last candle's prices; the series keeps the one
    that was decided on.
    """

    fresh: tuple[Candle, ...] = ()
    gaps: Sequence[Gap] = ()
    hole: Gap | None = None
    revised: Candle | None = None


def timeframe(text: str) -> timedelta:
    """The length of one candle: 1m 5m 15m 30m 1h 4h 12h 1d. Raises ValueError on anything else."""
    try:
        return TIMEFRAMES[text]
    except KeyError:
        raise ValueError(f"unknown timeframe {text!r}; known: {', '.join(TIMEFRAMES)}") from None


def timeframe_name(length: timedelta) -> str:
    """The inverse of timeframe(). Raises ValueError where there is no name."""
    for name, known in TIMEFRAMES.items():
        if known == length:
            return name
    raise ValueError(f"no timeframe is {length} long")


def last_boundary(now: datetime, length: timedelta) -> datetime:
    """The last moment at or before `now` at which a candle of this length closed."""
    return EPOCH + (now - EPOCH) // length * length


def problems(candle: Candle) -> list[str]:
    """Why this candle cannot be true; [] when it can."""
    if candle.opened_at.tzinfo is not UTC and candle.opened_at.utcoffset() != timedelta(0):
        return [f"opened_at {candle.opened_at} is not aware UTC"]
    found: list[str] = []
    if (candle.opened_at - EPOCH) % candle.timeframe:
        found.append(f"opened_at {candle.opened_at} is not on the grid of {candle.timeframe}")
    if wrong := _wrong_prices(candle):
        found.append(wrong)
    if not candle.volume.is_finite() or candle.volume < 0:
        found.append(f"volume is negative or not a number: {candle.volume}")
    return found


def _wrong_prices(candle: Candle) -> str | None:
    """None at once for prices that can be, as nearly all are; what is no number fails in the comparison."""
    with suppress(InvalidOperation):
        if ZERO < candle.low <= candle.open <= candle.high < INFINITE and candle.low <= candle.close <= candle.high:
            return None
    prices = _prices(candle)
    told = ", ".join(map(str, prices))
    if not all(map(Decimal.is_finite, prices)) or min(prices) <= 0:
        return f"a price is not positive: {told}"
    return f"open and close are not within low and high: {told}"


def closed(candles: Iterable[Candle], now: datetime) -> list[Candle]:
    """The candles closed at `now`, sorted, validated, each once.

    The venue's last row is usually still open; it is dropped. Raises BadCandles where a closed one cannot be true.
    """
    finished = [candle for candle in candles if candle.closed_at <= now]
    for candle in finished:
        if wrong := problems(candle):
            raise BadCandles(f"{candle.symbol} {candle.opened_at.isoformat()}: {'; '.join(wrong)}")
    in_order = all(_follows(after, before) for before, after in pairwise(finished))
    return finished if in_order else merge(finished)


def _follows(after: Candle, before: Candle) -> bool:
    return after.opened_at > before.opened_at and after.symbol == before.symbol and after.timeframe == before.timeframe


def merge(*series: Iterable[Candle]) -> list[Candle]:
    """The keyed union of closed candles: no order of arguments or arrival changes it, and no bar is lost.

    Identical duplicates are one. Raises BadCandles where two versions of a closed bar disagree: history that was
    traded on is not rewritten in silence.
    """
    union: dict[tuple[str, timedelta, datetime], Candle] = {}
    for candles in series:
        for candle in candles:
            key = (candle.symbol, candle.timeframe, candle.opened_at)
            if union.setdefault(key, candle) != candle:
                raise BadCandles(
                    f"{candle.symbol} {candle.opened_at.isoformat()}: two versions of one closed bar: "
                    f"{_row(union[key])} and {_row(candle)}"
                )
    return [union[key] for key in sorted(union)]


def gaps(candles: Sequence[Candle]) -> list[Gap]:
    """The holes in one series of closed candles, oldest first."""
    return [
        Gap(before.symbol, before.closed_at, after.opened_at, (after.opened_at - before.closed_at) // before.timeframe)
        for before, after in pairwise(candles)
        if after.opened_at != before.closed_at
    ]


def arrivals(read: Sequence[Candle], last: Candle | None, now: datetime) -> Arrivals:
    """What follows the last candle of a series in a reading of it.

    read: as closed() gives them. A hole is waited for while it is new: a venue may list a candle late. After that the
    venue had none, and the series goes on behind it.
    """
    fresh = tuple(read) if last is None else tuple([each for each in read if each.opened_at > last.opened_at])
    holes = gaps_after(last, fresh)
    hole = next((gap for gap in holes if _may_be_filled(gap, fresh, now)), None)
    told = next((candle for candle in read if candle.opened_at == last.opened_at), None) if last else None
    return Arrivals(
        fresh=fresh if hole is None else tuple(candle for candle in fresh if candle.opened_at < hole.begins_at),
        gaps=holes,
        hole=hole,
        revised=told if told and last and _prices(told) != _prices(last) else None,
    )


def gaps_after(last: Candle | None, fresh: Sequence[Candle]) -> list[Gap]:
    """The holes in what follows the last candle, the one right after it included."""
    return gaps([last, *fresh] if last else fresh)


def _may_be_filled(gap: Gap, fresh: Sequence[Candle], now: datetime) -> bool:
    after = next(candle for candle in fresh if candle.opened_at == gap.ends_at)
    return now < after.closed_at + HOLE_PATIENCE


def _prices(candle: Candle) -> tuple[Decimal, ...]:
    return candle.open, candle.high, candle.low, candle.close


def _row(candle: Candle) -> str:
    return f"o={candle.open} h={candle.high} l={candle.low} c={candle.close} v={candle.volume}"

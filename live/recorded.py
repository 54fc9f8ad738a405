"""Candles to replay: from a CSV file, from the journal, or from a scenario. What cannot be true is refused. [E]"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

from live.market import BadCandles, closed, problems, timeframe_name
from live.model import Candle
from live.simulator.scenarios import LISTINGS, make_scenario
from prodsafe.errors import GateRefused, RefusalKind

CANDLES_UNUSABLE = RefusalKind("H06", "candles-unusable")
NOTHING_TO_REPLAY = RefusalKind("H07", "nothing-to-replay")

SCENARIO_BEGAN_AT = datetime(2026, 1, 5, tzinfo=UTC)
COLUMNS = ("opened_at", "open", "high", "low", "close", "volume")
_NUMBER = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,2})?")
_EPOCH_SECONDS = re.compile(r"[0-9]{1,11}")
_ALL = 100_000_000


def read_candle_file(path: Path, symbol: str, timeframe: timedelta) -> list[Candle]:
    """The file's candles, oldest first. The first line names COLUMNS; opened_at is ISO 8601 UTC or epoch seconds.

    Candles may be missing, but none may come twice or out of order. Raises GateRefused with the line's number.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file, strict=True)
        try:
            candles = list(_candles(rows, symbol, timeframe))
        except (csv.Error, ValueError) as wrong:  # bytes that are no UTF-8 are a ValueError too
            raise _unusable(path, f"line {max(rows.line_num, 1)}: {wrong}") from None
    if (spacing := _spacing(candles)) not in (None, timeframe):
        raise _unusable(path, f"its candles are {spacing} apart, the timeframe is {timeframe}")
    return candles


def read_journal_candles(url: str, symbol: str, timeframe: timedelta) -> list[Candle]:
    """Every candle that the workers of this database have read. Raises DatabaseRefused, or GateRefused for none."""
    from live.reader import open_reader

    with open_reader(url, application_name="live/replay") as reader:
        rows = reader.candles(symbol, timeframe, limit=_ALL)
        others = [timeframe_name(each) for each in reader.timeframes(symbol)]
    if not rows:
        known = f"the timeframes recorded of it are {', '.join(others)}" if others else "no worker has read any of it"
        raise _nothing(f"the journal holds no candle of {symbol} {timeframe_name(timeframe)}; {known}")
    candles = [replace(row, opened_at=row.opened_at.astimezone(UTC)) for row in rows]  # they come in the server's zone
    try:
        return closed(candles, candles[-1].closed_at)
    except BadCandles as bad:
        mend = "name a range without it: --from, --to"
        raise GateRefused(CANDLES_UNUSABLE.because(str(bad), mend=mend)) from None


def make_scenario_candles(name: str, *, seed: int, bars: int, symbol: str, timeframe: timedelta) -> list[Candle]:
    """The first `bars` candles of the scenario after SCENARIO_BEGAN_AT. Raises GateRefused for a symbol it lacks."""
    listing = next((each for each in LISTINGS if each.symbol == symbol), None)
    if listing is None:
        raise _nothing(f"scenarios have no {symbol}; they have {', '.join(each.symbol for each in LISTINGS)}")
    scenario = make_scenario(name, seed=seed, began_at=SCENARIO_BEGAN_AT, bar=timeframe)
    return scenario.candles(listing.venue_id, timeframe, SCENARIO_BEGAN_AT, SCENARIO_BEGAN_AT + bars * timeframe)


def cut(candles: Sequence[Candle], *, begin_at: datetime | None, end_at: datetime | None) -> list[Candle]:
    """The candles closed by end_at; those before begin_at stay, for warming up. Raises GateRefused if none is left."""
    left = [candle for candle in candles if end_at is None or candle.closed_at <= end_at]
    if left and (begin_at is None or left[-1].opened_at >= begin_at):
        return left
    what = f"the candles reach from {candles[0].opened_at:%Y-%m-%d %H:%M} to {candles[-1].closed_at:%Y-%m-%d %H:%M} UTC"
    raise _nothing(what if candles else "there is no candle at all")


def _nothing(cause: str) -> GateRefused:
    mend = "name what there is: --symbol, --timeframe, --from, --to, or --csv, --scenario"
    return GateRefused(NOTHING_TO_REPLAY.because(cause, mend=mend))


def _unusable(path: Path, cause: str) -> GateRefused:
    mend = f"mend the file: the columns {','.join(COLUMNS)}, oldest first, one closed candle a line"
    return GateRefused(CANDLES_UNUSABLE.because(cause, seen=str(path), mend=mend))


def _candles(rows: Iterator[list[str]], symbol: str, timeframe: timedelta) -> Iterator[Candle]:
    """Raises ValueError at the first row that is none; `rows` then stands at that line."""
    if (heads := next(rows, [])) != list(COLUMNS):
        raise ValueError(f"the first line must be {','.join(COLUMNS)}, not {','.join(heads)[:80]}")
    last: Candle | None = None
    for row in rows:
        candle = _candle(row, symbol, timeframe)
        if last is not None and candle.opened_at <= last.opened_at:
            raise ValueError(f"{row[0]} is not after the line before it")
        last = candle
        yield candle


def _candle(row: Sequence[str], symbol: str, timeframe: timedelta) -> Candle:
    if len(row) != len(COLUMNS):
        raise ValueError(f"{len(row)} columns instead of {len(COLUMNS)}")
    numbers = [_number(name, text) for name, text in zip(COLUMNS[1:], row[1:], strict=True)]
    candle = Candle(symbol, timeframe, _time(row[0]), *numbers)
    if wrong := problems(candle):
        raise ValueError("; ".join(wrong))
    return candle


def _time(text: str) -> datetime:
    if _EPOCH_SECONDS.fullmatch(text):
        return datetime.fromtimestamp(int(text), UTC)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.utcoffset() != timedelta(0):
        raise ValueError(f"opened_at {text[:40]!r} is neither ISO 8601 in UTC (2026-03-01T00:00:00Z) nor epoch seconds")
    return at.astimezone(UTC)


def _number(name: str, text: str) -> Decimal:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{name} {text[:40]!r} is not a number")
    return Decimal(text)


def _spacing(candles: Sequence[Candle]) -> timedelta | None:
    """The shortest distance between two candles; None for fewer than two."""
    return min((after.opened_at - before.opened_at for before, after in pairwise(candles)), default=None)

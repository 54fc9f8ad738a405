"""Candles as files: CSV with a head, or JSON lines. The first line that cannot be true is refused by its number. [E]"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from live.market import Gap, problems
from live.model import Candle
from prodsafe.errors import GateRefused, RefusalKind

CANDLES_UNUSABLE = RefusalKind("H06", "candles-unusable")

COLUMNS = ("opened_at", "open", "high", "low", "close", "volume")
FORMATS = ("csv", "jsonl")
Format = Literal["csv", "jsonl"]

_NUMBER = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,2})?")
_EPOCH_SECONDS = re.compile(r"[0-9]{1,11}")
_Line = tuple[int, Sequence[str]]  # its number in the file from 1, and the texts of COLUMNS


def read_candle_file(path: Path, symbol: str, timeframe: timedelta) -> list[Candle]:
    """The file's candles, oldest first: JSON lines where the first line begins with "{", else CSV.

    CSV names COLUMNS in its first line; each JSON line is an object of them. opened_at is ISO 8601 UTC or epoch
    seconds. Candles may be missing, but none may come twice or out of order. Raises GateRefused with the line's number.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        try:
            candles = list(_candles(file, symbol, timeframe))
        except _BadLine as bad:
            raise unusable(path, f"line {bad.number}: {bad}") from None
        except UnicodeDecodeError as wrong:  # read in blocks, so its line is not known
            raise unusable(path, f"it is no text in UTF-8: {wrong}") from None
    if (spacing := _spacing(candles)) not in (None, timeframe):
        raise unusable(path, f"its candles are {spacing} apart, the timeframe is {timeframe}")
    return candles


def candle_lines(candles: Iterable[Candle], form: Format) -> Iterator[str]:
    """The lines of a file that read_candle_file gives back as the same candles."""
    if form == "csv":
        yield ",".join(COLUMNS)
    for candle in candles:
        prices = (candle.open, candle.high, candle.low, candle.close, candle.volume)
        texts = [candle.opened_at.astimezone(UTC).isoformat(), *(f"{price:f}" for price in prices)]
        yield ",".join(texts) if form == "csv" else json.dumps(dict(zip(COLUMNS, texts, strict=True)))


def require_no_gap(found: Sequence[Gap], where: str) -> None:
    """Raises GateRefused for candles that are missing, with where the first of them should be."""
    if not found:
        return
    first, missing = found[0], sum(gap.missing for gap in found)
    cause = (
        f"{missing} of its candles are missing in {len(found)} place{'s' if len(found) > 1 else ''}, first from"
        f" {first.begins_at:%Y-%m-%d %H:%M} to {first.ends_at:%Y-%m-%d %H:%M} UTC"
    )
    mend = "fill them in, name a range without them (--from, --to), or replay over the holes with --allow-gaps"
    raise GateRefused(CANDLES_UNUSABLE.because(cause, seen=where, mend=mend))


def unusable(path: Path, cause: str) -> GateRefused:
    mend = (
        f"mend the file: oldest first, one closed candle a line, as CSV with the head {','.join(COLUMNS)} or as JSON"
        " lines with these names"
    )
    return GateRefused(CANDLES_UNUSABLE.because(cause, seen=str(path), mend=mend))


class _BadLine(ValueError):
    """What is wrong with a line whose number is known."""

    def __init__(self, number: int, why: str) -> None:
        super().__init__(why)
        self.number = number


def _candles(file: Iterable[str], symbol: str, timeframe: timedelta) -> Iterator[Candle]:
    """Raises _BadLine at the first line that is none, or none after the one before."""
    last: Candle | None = None
    for number, texts in _lines(file):
        try:
            last = _candle(texts, symbol, timeframe, last)
        except ValueError as wrong:
            raise _BadLine(number, str(wrong)) from None
        yield last


def _lines(file: Iterable[str]) -> Iterator[_Line]:
    """Raises _BadLine at the first line that has not the six texts."""
    rows = iter(file)
    first = next(rows, "")
    if first.lstrip().startswith("{"):
        yield from _json_lines([first], at=1)
        yield from _json_lines(rows, at=2)
    else:
        yield from _csv_lines(first, rows)


def _csv_lines(first: str, rows: Iterator[str]) -> Iterator[_Line]:
    if first.rstrip("\r\n") != ",".join(COLUMNS):
        raise _BadLine(1, f"the first line must be {','.join(COLUMNS)}, not {first.strip()[:80]!r}")
    reader = csv.reader(rows, strict=True)
    while True:
        try:
            texts = next(reader, None)
        except csv.Error as wrong:
            raise _BadLine(reader.line_num + 1, str(wrong)) from None
        if texts is None:
            return
        if len(texts) != len(COLUMNS):
            raise _BadLine(reader.line_num + 1, f"{len(texts)} columns instead of {len(COLUMNS)}")
        yield reader.line_num + 1, texts


def _json_lines(rows: Iterable[str], *, at: int) -> Iterator[_Line]:
    for number, row in enumerate(rows, start=at):
        try:
            found: Any = json.loads(row, parse_int=str, parse_float=str, parse_constant=str)
        except (ValueError, RecursionError):
            raise _BadLine(number, "it is no JSON object") from None
        if not isinstance(found, dict) or sorted(found) != sorted(COLUMNS):
            raise _BadLine(number, f"it is no JSON object of {', '.join(COLUMNS)} and nothing else")
        yield number, [str(found[name]) for name in COLUMNS]


def _candle(texts: Sequence[str], symbol: str, timeframe: timedelta, last: Candle | None) -> Candle:
    """Raises ValueError for what is no candle, or none after the last."""
    numbers = [_number(name, text) for name, text in zip(COLUMNS[1:], texts[1:], strict=True)]
    candle = Candle(symbol, timeframe, _time(texts[0]), *numbers)
    if wrong := problems(candle):
        raise ValueError("; ".join(wrong))
    if last is not None and candle.opened_at <= last.opened_at:
        why = "comes twice" if candle.opened_at == last.opened_at else "is not after the line before it"
        raise ValueError(f"{texts[0]} {why}")
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

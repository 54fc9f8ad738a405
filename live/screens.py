"""What an operator's command shows, as values: lines with a tone, tables, and which columns fit a terminal. [P]"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import TYPE_CHECKING

from live.operators import (
    ORDER_HEADS,
    POSITION_HEADS,
    describe,
    event_at,
    event_symbol,
    order_row,
    plain_cell,
    plain_json,
    position_row,
    printable,
    table,
)
from live.position import Order, Position

if TYPE_CHECKING:
    from live.reader import Recorded

GAP = 2  # blanks between two columns
WRAPPED_WIDTH = 36  # what a column of prose needs at least


class Tone(StrEnum):
    PLAIN = "plain"
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    QUIET = "quiet"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a screen: a label, which may be blank under one like it, and words."""

    label: str
    text: str
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table for people.

    name: of the field. rank: 0 is always shown; where a terminal is too narrow the highest goes first.
    """

    name: str
    head: str
    rank: int = 0
    number: bool = False
    wraps: bool = False


@dataclass(frozen=True, slots=True)
class Grid:
    """A table. rows: field name -> value, every field of the row. none: what is said where there is no row."""

    columns: tuple[Column, ...]
    rows: Sequence[Mapping[str, object]]
    none: str
    now: datetime

    def cell(self, row: Mapping[str, object], column: Column) -> str:
        """As a terminal shows it: the day of a time only where it is not today."""
        value = row[column.name]
        return near_time(value, self.now) if isinstance(value, datetime) else plain_cell(value)

    def tone(self, row: Mapping[str, object], column: Column) -> Tone:
        return _TONES.get((column.name, str(row[column.name])), Tone.PLAIN)


def fitting(grid: Grid, width: int) -> tuple[list[Column], list[Column]]:
    """(the columns that fit side by side, those left out); what has rank 0 stays, and wraps where it must."""
    shown, hidden = list(grid.columns), []
    while _width(grid, shown) > width and (droppable := [column for column in shown if column.rank]):
        worst = max(droppable, key=lambda column: column.rank)
        shown.remove(worst)
        hidden.append(worst)
    return shown, hidden


def _width(grid: Grid, columns: Sequence[Column]) -> int:
    return sum(_natural_width(grid, column) + GAP for column in columns) - GAP


def _natural_width(grid: Grid, column: Column) -> int:
    widest = max((len(grid.cell(row, column)) for row in grid.rows), default=0)
    return max(len(column.head), min(widest, WRAPPED_WIDTH) if column.wraps else widest)


def grid_text(grid: Grid) -> str:
    """Every column, aligned, one line a row: for a pipe."""
    if not grid.rows:
        return grid.none
    heads = [column.head for column in grid.columns]
    return table(heads, [[row[column.name] for column in grid.columns] for row in grid.rows])


def grid_json(grid: Grid) -> list[dict[str, object]]:
    return [{name: plain_json(value) for name, value in row.items()} for row in grid.rows]


def lines_text(lines: Sequence[Line]) -> str:
    """One line each, labels aligned: for a pipe."""
    widest = max((len(line.label) for line in lines), default=0)
    return "\n".join(f"{line.label:<{widest}}  {printable(line.text)}".rstrip() for line in lines)


# --- the tables -------------------------------------------------------------------------------------------------------

_TONES: Mapping[tuple[str, str], Tone] = {
    ("phase", "open"): Tone.BAD,
    ("phase", "protected"): Tone.GOOD,
    ("phase", "exiting"): Tone.WARN,
    ("phase", "clearing"): Tone.WARN,
    ("status", "unknown"): Tone.BAD,
    ("status", "rejected"): Tone.WARN,
    ("status", "live"): Tone.GOOD,
    ("kind", "order_unknown"): Tone.BAD,
    ("kind", "symbol_frozen"): Tone.BAD,
    ("kind", "order_rejected"): Tone.WARN,
    ("kind", "corrected"): Tone.WARN,
    ("kind", "external_fill"): Tone.WARN,
    ("kind", "person_asked"): Tone.WARN,
    ("kind", "filled"): Tone.GOOD,
}

_POSITIONS = (
    Column("symbol", "symbol"),
    Column("side", "side"),
    Column("phase", "phase"),
    Column("qty", "size", number=True),
    Column("entry_price", "entry", number=True),
    Column("stop_price", "stop", number=True),
    Column("naked_seconds", "naked s", rank=1, number=True),
    Column("opened_at", "opened", rank=2),
    Column("targets", "targets", rank=3),
    Column("realised_quote", "realised", rank=4, number=True),
    Column("id", "position", rank=5),
)
_ORDERS = (
    Column("client_order_id", "order"),
    Column("symbol", "symbol"),
    Column("leg", "leg"),
    Column("side", "side", rank=1),
    Column("qty", "size", number=True),
    Column("price", "price", number=True),
    Column("status", "status"),
    Column("filled_qty", "filled", rank=2, number=True),
    Column("type", "type", rank=3),
    Column("intended_at", "sent", rank=4),
    Column("reason", "reason", rank=5, wraps=True),
    Column("venue_order_id", "venue's order", rank=6),
)
_EVENTS = (
    Column("at", "time (UTC)"),
    Column("row", "row", rank=2, number=True),
    Column("epoch", "epoch", rank=3, number=True),
    Column("kind", "event"),
    Column("symbol", "symbol", rank=1),
    Column("what", "what and why", wraps=True),
)


def positions_grid(positions: Sequence[Position], now: datetime) -> Grid:
    rows = [dict(zip(POSITION_HEADS, position_row(each, now), strict=True)) for each in positions]
    return Grid(_POSITIONS, rows, "no open position", now)


def orders_grid(orders: Sequence[Order], now: datetime) -> Grid:
    rows = [dict(zip(ORDER_HEADS, order_row(each), strict=True)) for each in orders]
    return Grid(_ORDERS, rows, "no working order", now)


def events_grid(rows: Sequence[Recorded], now: datetime) -> Grid:
    return Grid(_EVENTS, [_event_cells(row) for row in rows], "no such event", now)


def _event_cells(row: Recorded) -> dict[str, object]:
    return {
        "at": event_at(row),
        "row": row.id,
        "epoch": row.epoch,
        "kind": row.event.kind,
        "symbol": event_symbol(row),
        "what": describe(row.event),
    }


# --- numbers and times in words ---------------------------------------------------------------------------------------


def near_time(at: datetime, now: datetime) -> str:
    """The time of day, UTC, and the day where it is another one."""
    there, here = at.astimezone(UTC), now.astimezone(UTC)
    return there.strftime("%H:%M:%S" if there.date() == here.date() else "%Y-%m-%d %H:%M")


def money(text: str | None) -> str:
    """Decimal text with thousands apart and two decimals; what is no number is shown as it is."""
    try:
        return "-" if text is None else f"{Decimal(text):,.2f}"
    except (InvalidOperation, ValueError):
        return str(text)


def count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def lasting(seconds: float) -> str:
    """How long, in the one unit that a person would say it in."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.{0 if seconds >= 10 else 1}f} s"


def ago(at: datetime | None, now: datetime) -> str:
    return "never" if at is None else f"{lasting((now - at).total_seconds())} ago"

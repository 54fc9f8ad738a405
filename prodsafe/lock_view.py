"""What `prodsafe lock` prints for people: who holds what, since when, and how earlier holders ended. [P]"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from prodsafe.lease_model import LeaseRow

if TYPE_CHECKING:
    from prodsafe.lock_history import Tenure

WIDTH = 100
_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def leases_as_text(rows: Sequence[LeaseRow], now: datetime) -> str:
    """A line a scope, and under it what a person on call asks next. now: aware UTC, by the database's clock."""
    if not rows:
        return "no scope was ever held in this database"
    lines = _table(("SCOPE", "STATE", "LOCKED", "EPOCH", "LAST BEAT"), [_cells(row) for row in rows])
    blocks = ["\n".join([line, *_facts(row, now)]) for line, row in zip(lines[1:], rows, strict=True)]
    return "\n".join([lines[0], *blocks])


def tenures_as_text(tenures: Sequence[Tenure], now: datetime) -> str:
    """A line a holder, the latest last, and under it who that was and why it ended. now: as in leases_as_text."""
    lines = _table(("EPOCH", "FROM (UTC)", "TO (UTC)", "FOR", "END"), [_tenure_cells(each, now) for each in tenures])
    blocks = ["\n".join([line, *_tenure_facts(tenure)]) for line, tenure in zip(lines[1:], tenures, strict=True)]
    return "\n".join([lines[0], *blocks])


def duration_as_text(seconds: float) -> str:
    """The two largest units: "3 d 4 h", "2 h 13 min", "45 s"; "0 s" for less than a second, also a negative one."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        if parts or count or unit == "s":
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]).removesuffix(" 0 h").removesuffix(" 0 min").removesuffix(" 0 s") or "0 s"


def moment_as_text(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def holder_as_text(who: str, host: str, pid: int, version: str) -> str:
    return f"{who}@{host} pid {pid} {version}".rstrip()


def _cells(row: LeaseRow) -> tuple[str, ...]:
    beat = "-" if row.beat_age_seconds is None else f"{row.beat_age_seconds:.1f} s ago"
    if row.beat_age_seconds is not None and row.beat_age_seconds >= 60:
        beat = f"{duration_as_text(row.beat_age_seconds)} ago"
    return row.scope, row.state, "no" if row.lock_pid is None else "yes", str(row.epoch), beat


def _facts(row: LeaseRow, now: datetime) -> list[str]:
    since = duration_as_text((now - row.acquired_at).total_seconds())
    return [
        *_fact("since", f"{moment_as_text(row.acquired_at)} UTC ({since})"),
        *_fact("holder", holder_as_text(row.who, row.host, row.pid, row.version)),
        *_fact("grace", row.grace_as_text()),
        *_fact("reason", row.reason),
    ]


def _tenure_cells(tenure: Tenure, now: datetime) -> tuple[str, ...]:
    return (
        str(tenure.epoch),
        moment_as_text(tenure.began_at),
        moment_as_text(tenure.ended_at) if tenure.ended_at else "-",
        duration_as_text(((tenure.ended_at or now) - tenure.began_at).total_seconds()),
        tenure.end,
    )


def _tenure_facts(tenure: Tenure) -> list[str]:
    holder = holder_as_text(tenure.who, tenure.host, tenure.pid, tenure.version)
    return [*_fact("holder", holder), *_fact("reason", tenure.reason)]


def _fact(name: str, text: str) -> list[str]:
    """Nothing when there is nothing to say; a long text goes on below itself."""
    if not text:
        return []
    indent = f"    {name:<8}"
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=" " * len(indent))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]

"""What `prodsafe lock` prints for people: who holds what, since when, and how earlier holders ended. [P]"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from prodsafe.lease_model import LeaseRow
from prodsafe.lock_fleet import Holding, Sessions, condition_of, count_conditions

if TYPE_CHECKING:
    from prodsafe.lock_history import Tenure

WIDTH = 100
EXPLAINED = 10  # so many holders are told with all that a person on call asks next, more in a line each
_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def status_as_text(shown: Sequence[Holding], every: Sequence[Holding], sessions: Sessions, width: int | None) -> str:
    """The holders that were asked for, as they come, and a summary of them all.

    width: of the terminal, which cuts the lines of a long list; None cuts nothing.
    """
    if not every:
        return "no scope was ever held in this database"
    summary = _summary(len(shown), every, sessions)
    if not shown:
        return f"no holder to show\n{summary}"
    if len(shown) <= EXPLAINED:
        return f"{leases_as_text([row for holding in shown for row in holding.rows], sessions.now)}\n{summary}"
    lines = _table(
        ("SCOPE", "STATE", "LAST BEAT", "FOR", "EPOCH", "HOLDER"), [_line(one, sessions.now) for one in shown]
    )
    return "\n".join([*(line[:width] for line in lines), summary])


def status_as_dict(shown: Sequence[Holding], every: Sequence[Holding], sessions: Sessions) -> dict[str, object]:
    """The same for machines: a row a scope; `holders` counts a worker once, however many scopes it holds."""
    return {
        "leases": [{**row.as_dict(), "condition": condition_of(row)} for holding in shown for row in holding.rows],
        "holders": count_conditions(every),
        "not_shown": len(every) - len(shown),
        "standing_by": sessions.standing_by,
        "connections": {"used": sessions.used, "max": sessions.most, "reserved": sessions.reserved},
    }


def leases_as_text(rows: Sequence[LeaseRow], now: datetime) -> str:
    """A line a scope, and under it what a person on call asks next. now: aware UTC, by the database's clock."""
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


def _summary(shown: int, every: Sequence[Holding], sessions: Sessions) -> str:
    """Holders by condition; connections beside what the server allows; and that there are more, if so."""
    counted = ", ".join(f"{count} {condition}" for condition, count in count_conditions(every).items() if count)
    use = f"connections: {sessions.used} of {sessions.most}, {sessions.reserved} of them reserved"
    lines = [f"holders: {counted}; {sessions.standing_by} standing by", use]
    hidden = len(every) - shown
    return "\n".join([*lines, *([f"not shown: {hidden} of {len(every)} holders; --all shows them"] if hidden else [])])


def _line(holding: Holding, now: datetime) -> tuple[str, ...]:
    row = holding.row
    held_for = duration_as_text((now - row.acquired_at).total_seconds())
    holder = holder_as_text(row.who, row.host, row.pid, row.version)
    return row.scope, holding.condition, _beat(row), held_for, str(row.epoch), holder


def _beat(row: LeaseRow) -> str:
    if row.beat_age_seconds is None:
        return "-"
    if row.beat_age_seconds < 60:
        return f"{row.beat_age_seconds:.1f} s ago"
    return f"{duration_as_text(row.beat_age_seconds)} ago"


def _cells(row: LeaseRow) -> tuple[str, ...]:
    return row.scope, condition_of(row), "no" if row.lock_pid is None else "yes", str(row.epoch), _beat(row)


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

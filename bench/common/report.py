"""The table of docs/benchmarks.md from the last lines of the benches: ours, beside what, ratio, target, verdict. [P]

Only the standard library, and nothing here measures, runs or writes. No host name and no path goes into the document:
of a bench that failed only its exit code is told.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

BEGIN = "<!-- written by `make bench`; what stands up to the end mark is replaced by the next run -->"
END = "<!-- end of what `make bench` writes -->"
HEAD = ("bench", "what", "ours", "beside", "ratio", "target", "verdict")
MET, MISSED, UNKNOWN, NONE = "met", "**missed**", "not measured", "-"
NO_RESULT = "**no result**"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table, by the names of a bench's figures. The ratio is judged where there is one, else ours.

    theirs: the figure of the other side, named by `beside` in words.
    """

    bench: str
    what: str
    ours: str
    unit: str = ""
    beside: str = ""
    theirs: str = ""
    ratio: str = ""

    @property
    def judged(self) -> str:
        return self.ratio or self.ours


ROWS = (
    Row(
        "refusal",
        "the worker refused by its gates, whole process",
        "worker_s",
        "s",
        "python importing click and pydantic-settings",
        "floor_s",
        "ratio",
    ),
    Row(
        "migrate",
        "`migrate_schema.py` of this project with nothing to do",
        "noop_own_s",
        "s",
        "python, psycopg, connect, one query",
        "noop_floor_s",
        "noop_own_beside_floor",
    ),
    Row(
        "migrate",
        "the same for a program of 100 files",
        "noop_ours_s",
        "s",
        "the same floor",
        "noop_floor_s",
        "noop_beside_floor",
    ),
    Row("migrate", "", "noop_ours_s", "s", "alembic", "noop_alembic_s", "noop_beside_alembic"),
    Row("migrate", "", "noop_ours_s", "s", "yoyo", "noop_yoyo_s", "noop_beside_yoyo"),
    Row("migrate", "", "noop_ours_s", "s", "dbmate, a Go program", "noop_dbmate_s", "noop_beside_dbmate"),
    Row("migrate", "100 small files", "apply_ours_s", "s", "alembic", "apply_alembic_s", "apply_beside_alembic"),
    Row("migrate", "", "apply_ours_s", "s", "yoyo", "apply_yoyo_s", "apply_beside_yoyo"),
    Row("migrate", "", "apply_ours_s", "s", "dbmate", "apply_dbmate_s", "apply_beside_dbmate"),
    Row("migrate", "lint of 100 files, whole process", "lint_ours_s", "s", "squawk, a Rust program", "lint_squawk_s"),
    Row(
        "migrate",
        "the longest wait of a reader behind a queued ALTER",
        "stall_ours_s_max",
        "s",
        "alembic: as long as the window",
        "stall_alembic_s_max",
    ),
    Row(
        "lease",
        "boot to lease with all checks, whole process",
        "boot_s",
        "s",
        "the same imports, connect, one query",
        "floor_s",
        "boot_beside_floor",
    ),
    Row("lease", "", "boot_s", "s", "sqlalchemy-dlock", "boot_sqlalchemy_dlock_s", "boot_beside_sqlalchemy_dlock"),
    Row("lease", "", "boot_s", "s", "asyncpg-lock", "boot_asyncpg_lock_s", "boot_beside_asyncpg_lock"),
    Row(
        "lease",
        "a terminated session noticed, the longest",
        "detection_ms_max",
        "ms",
        "asyncpg-lock as it comes",
        "detection_asyncpg_lock_ms_max",
    ),
    Row("lease", "a silent cut noticed, the longest", "cut_s_max", "s"),
    Row("lease", "take-over after a clean release, the longest", "takeover_clean_s_max", "s"),
    Row("lease", "take-over after SIGKILL of the holder", "takeover_killed_s_max", "s"),
    Row("lease", "take-over after SIGSTOP of the holder", "takeover_frozen_s_max", "s"),
    Row(
        "lease",
        "a fenced insert, committed",
        "fenced_insert_us",
        "us",
        "a plain one",
        "plain_insert_us",
        "fenced_beside_plain_insert",
    ),
    Row("lease", "a beat", "beat_us", "us", "`SELECT 1`", "select_1_us", "beat_beside_select_1"),
    Row("lease", "false losses while all holders beat", "holders_false_losses"),
    Row("lease", "a holder's share of the server's processor, per second", "holder_server_cpu_ms_per_s", "ms"),
    Row("lease", "a holder's write-ahead log, per second", "holder_wal_bytes_per_s", "B"),
    Row("smc", "one closed candle, one symbol, mean", "mean_us", "us"),
    Row("smc", "the same, p99", "p99_us", "us"),
    Row("smc", "the same, mean", "mean_us", "us", "smartmoneyconcepts, a window of 500", "peer_us_500", "ratio_500"),
    Row("smc", "", "mean_us", "us", "smartmoneyconcepts, a window of 5,000", "peer_us_5000", "ratio_5000"),
    Row("smc", "rows rewritten while candles were added one by one", "rewrites", "", "theirs", "peer_rewrites"),
    Row("smc", "results that differ where both must agree", "mismatches"),
    Row("smc", "pivots and gaps not known exactly when they must be", "late"),
    Row("smc", "the engine's memory of one symbol", "snapshot_bytes", "B"),
    Row("smc", "growth over a million candles", "growth_kib", "KiB"),
    Row(
        "health",
        "the worst delay of a loop's turn beside 2,000 slow clients",
        "tick_delay_ms_max",
        "ms",
        "left alone",
        "alone_ms_max",
    ),
    Row(
        "execution",
        "from the intent to its first byte at the venue, journal committed: an entry, median",
        "wire_entry_ms_p50",
        "ms",
        "bare ccxt and one INSERT",
        "wire_bare_ms_p50",
        "wire_entry_beside_bare",
    ),
    Row(
        "execution",
        "the same: a stop",
        "wire_stop_ms_p50",
        "ms",
        "the same floor",
        "wire_bare_ms_p50",
        "wire_stop_beside_bare",
    ),
    Row("execution", "the tick in which candles of 50 symbols close, p99", "tick_50_ms_p99", "ms"),
    Row("execution", "the same with three more timeframes heard apart", "four_timeframes_tick_50_ms_p99", "ms"),
    Row("execution", "time per symbol of 500 beside 50, that tick", "tick_per_symbol_many_beside_few", "x"),
    Row("execution", "the same, a quiet tick", "quiet_tick_per_symbol_many_beside_few", "x"),
    Row("execution", "a worker of 50 symbols above the import of ccxt", "above_floor_mib", "MiB"),
    Row("execution", "its growth from the 6th to the 24th hour", "growth_mib", "MiB"),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one bench ended. values: every figure and ratio by name, None where it was not measured.

    at_most, at_least: the targets of some of them. told: whether its last line was a result.
    """

    bench: str
    exit_code: int
    told: bool
    ok: bool = False
    values: Mapping[str, float | None] = field(default_factory=dict)
    at_most: Mapping[str, float] = field(default_factory=dict)
    at_least: Mapping[str, float] = field(default_factory=dict)
    problems: Sequence[str] = ()
    missing_peers: Sequence[str] = ()

    @property
    def is_good(self) -> bool:
        return self.told and self.ok and self.exit_code == 0


def read_outcome(bench: str, exit_code: int, stdout: str) -> Outcome:
    """From what a bench printed: its last line is one JSON object with `ok`, or it has no result."""
    last = next((line for line in reversed(stdout.splitlines()) if line.strip()), "")
    try:
        told = json.loads(last)
    except json.JSONDecodeError:
        told = None
    if not isinstance(told, dict) or not isinstance(told.get("ok"), bool):
        return Outcome(bench, exit_code, told=False)
    return Outcome(
        bench,
        exit_code,
        told=True,
        ok=told["ok"],
        values={**_numbers(told), **_numbers(told.get("figures", {})), **_numbers(told.get("ratios", {}))},
        at_most=told.get("limits", {}),
        at_least=told.get("at_least", {}),
        problems=told.get("problems", []),
        missing_peers=told.get("missing_peers", []),
    )


def document(old: str, outcomes: Sequence[Outcome], facts: Sequence[str]) -> str:
    """The old document with what stands between the marks replaced. Raises ValueError where a mark is missing."""
    before, begin, rest = old.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document has no place for the table: it needs the lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n\n{section(outcomes, facts)}\n\n{END}{after}"


def section(outcomes: Sequence[Outcome], facts: Sequence[str]) -> str:
    """What was measured where, the table, and what went wrong. facts: a line each about the machine and versions."""
    lines = [HEAD, ["---"] * len(HEAD), *(cells for outcome in outcomes for cells in _rows_of(outcome))]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return "\n\n".join(["  \n".join(facts), table, *_troubles(outcomes)])


def _rows_of(outcome: Outcome) -> list[list[str]]:
    if not outcome.told:
        return [[f"`{outcome.bench}`", "everything", NONE, NONE, NONE, NONE, NO_RESULT]]
    rows = [row for row in ROWS if row.bench == outcome.bench]
    named = {row.judged for row in rows}
    unnamed = [name for name in {**outcome.at_most, **outcome.at_least} if name not in named]  # no target is left out
    rows += [Row(outcome.bench, f"`{name}`", name) for name in unnamed]
    return [_cells(row, outcome, first=number == 0) for number, row in enumerate(rows)]


def _cells(row: Row, outcome: Outcome, *, first: bool) -> list[str]:
    values = outcome.values
    theirs = f"{row.beside}: {_shown(values.get(row.theirs), row.unit)}" if row.theirs else row.beside or NONE
    return [
        f"`{row.bench}`" if first else "",
        row.what or "the same",
        _shown(values.get(row.ours), row.unit),
        theirs,
        _shown(values.get(row.ratio), "x") if row.ratio else NONE,
        _target(row, outcome),
        _verdict(row.judged, outcome),
    ]


def _target(row: Row, outcome: Outcome) -> str:
    unit = "x" if row.ratio else row.unit
    for sign, targets in (("<=", outcome.at_most), (">=", outcome.at_least)):
        if row.judged in targets:
            return f"{sign} {_shown(targets[row.judged], unit)}"
    return NONE


def _verdict(judged: str, outcome: Outcome) -> str:
    value = outcome.values.get(judged)
    if value is None:
        return UNKNOWN
    if judged in outcome.at_most:
        return MET if value <= outcome.at_most[judged] else MISSED
    if judged in outcome.at_least:
        return MET if value >= outcome.at_least[judged] else MISSED
    return NONE


def _troubles(outcomes: Sequence[Outcome]) -> list[str]:
    """One list, when there is anything to say beside the table."""
    lines = []
    for outcome in outcomes:
        if not outcome.told:
            lines.append(f"- `{outcome.bench}` ended with exit code {outcome.exit_code} and told no result.")
        lines += [f"- `{outcome.bench}`: {problem}." for problem in outcome.problems]
        if outcome.told and not outcome.is_good and not outcome.problems:
            lines.append(f"- `{outcome.bench}` is not ok (exit code {outcome.exit_code}).")
        lines += [
            f"- `{outcome.bench}`: {peer} is not installed, so it was not measured." for peer in outcome.missing_peers
        ]
    return ["What was missed or missing:\n\n" + "\n".join(lines)] if lines else []


def _numbers(given: Mapping[str, Any]) -> dict[str, float | None]:
    return {
        name: value
        for name, value in given.items()
        if value is None or (isinstance(value, int | float) and not isinstance(value, bool))
    }


def _shown(value: float | None, unit: str) -> str:
    """Three digits at least, no exponent: 0.0214 s, 17.2 ms, 5,353x; "not measured" for null."""
    if value is None:
        return UNKNOWN
    digits = f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
    return f"{digits}{'' if unit in ('', 'x') else ' '}{unit}"

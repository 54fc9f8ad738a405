"""Histories -> the table that the driver prints and that docs/fault-record.md shows. [P]"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from tests.chaos.checker import (
    AT_ONCE_SECONDS,
    CLAUSES,
    Figure,
    Finding,
    Verdict,
    detection_bound,
    figures,
    judge,
    unexplained_losses,
)
from tests.chaos.history import History

CLEAN_KINDS = frozenset({"terminate", "kill_backend", "restart_immediate", "restart_fast"})
"""The server itself ends the lock's session, and its end reaches the worker as a closed socket."""

HEADINGS = (
    *("fault", "struck", "violations", "not promised"),
    *("detection p50", "p99", "max", "bound", "takeover p50", "p99", "max", "bound"),
)


@dataclass(frozen=True, slots=True)
class Judged:
    """What is kept of a schedule. failed: it could not be played, which is a violation of its own."""

    seed: int
    schedule: str
    verdict: Verdict
    figures: tuple[Figure, ...]
    kinds: tuple[str, ...]
    detection_bound: float
    unexplained_losses: int = 0
    accepted: int = 0
    refused: int = 0
    notes: tuple[str, ...] = ()
    server_version: str = ""
    history_file: str = ""

    @property
    def is_sound(self) -> bool:
        return not self.verdict.violations


def judged(history: History, history_file: str) -> Judged:
    accepted = sum(arrival.accepted for arrival in history.arrivals)
    return Judged(
        seed=history.seed,
        schedule=history.schedule,
        verdict=judge(history),
        figures=tuple(figures(history)),
        kinds=tuple(strike.kind for strike in history.strikes),
        detection_bound=detection_bound(history),
        unexplained_losses=len(unexplained_losses(history)),
        accepted=accepted,
        refused=len(history.arrivals) - accepted,
        notes=tuple(f"{strike.kind}: {strike.note}" for strike in history.strikes if strike.note),
        server_version=history.server_version,
        history_file=history_file,
    )


def unplayable(seed: int, schedule: str, why: str) -> Judged:
    """A schedule that broke down is a violation: whatever it would have shown is not known."""
    return Judged(seed, schedule, Verdict((Finding("C9", f"could not be played: {why}"),), ()), (), (), 0.0)


@dataclass(slots=True)
class Row:
    """One kind of fault over all schedules; a schedule's violations count for each kind in it."""

    struck: int = 0
    violations: int = 0
    not_promised: int = 0
    detections: list[float] = field(default_factory=list)
    takeovers: list[float] = field(default_factory=list)
    detection_bound: float = 0.0
    takeover_bound: float = 0.0


def rows(results: Iterable[Judged]) -> dict[str, Row]:
    table: dict[str, Row] = defaultdict(Row)
    for result in results:
        for kind in set(result.kinds):
            table[kind].violations += len(result.verdict.violations)
            table[kind].not_promised += len(result.verdict.not_promised)
        for figure in result.figures:
            _add(table[figure.kind], figure, result.detection_bound)
    return dict(table)


def _add(row: Row, figure: Figure, bound: float) -> None:
    row.struck += 1
    if figure.detection is not None:
        row.detections.append(figure.detection)
        row.detection_bound = max(row.detection_bound, bound)
    if figure.takeover is not None:
        row.takeovers.append(figure.takeover)
        row.takeover_bound = max(row.takeover_bound, figure.takeover_bound or 0.0)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all are not above (nearest rank)."""
    ranked = sorted(values)
    return ranked[max(0, ceil(share * len(ranked)) - 1)]


def _spread(values: Sequence[float], bound: float) -> list[str]:
    if not values:
        return ["-", "-", "-", "-"]
    return [
        _seconds(percentile(values, 0.5)),
        _seconds(percentile(values, 0.99)),
        _seconds(max(values)),
        _seconds(bound),
    ]


def _seconds(value: float) -> str:
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"


def table_lines(results: Sequence[Judged], kinds: Sequence[str]) -> list[list[str]]:
    """Headings first; a kind that was never struck has a row of its own, so that a gap is seen."""
    found = rows(results)
    lines = [list(HEADINGS)]
    for kind in kinds:
        row = found.get(kind, Row())
        counts = [kind, str(row.struck), str(row.violations), str(row.not_promised)]
        lines.append(
            [*counts, *_spread(row.detections, row.detection_bound), *_spread(row.takeovers, row.takeover_bound)]
        )
    return lines


def as_text(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if n == 0 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def as_markdown(lines: Sequence[Sequence[str]]) -> str:
    head, *body = lines
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *body])


def renewed(page: str, name: str, text: str) -> str:
    """The page with what stands between its two marks of that name replaced. Raises ValueError without the marks."""
    begin, end = f"<!-- {name}: made by the driver -->\n", f"<!-- {name}: end -->"
    before, found, rest = page.partition(begin)
    _, also_found, after = rest.partition(end)
    if not found or not also_found:
        raise ValueError(f"the page has no marks {begin.strip()} and {end}")
    return f"{before}{begin}{text.strip()}\n{end}{after}"


def sentence(results: Sequence[Judged]) -> str:
    """How many schedules were violated; for none, what that bounds (rule of three, 95 % confidence)."""
    broken = sum(not result.is_sound for result in results)
    if broken:
        return f"violations in {broken} of {len(results)} schedules"
    bound = f"at most 3/{len(results)} = {300 / len(results):.1f} % by the rule of three"
    return f"0 violations in {len(results)} schedules ({bound})"


def at_once(results: Sequence[Judged]) -> tuple[int, int]:
    """(those noticed within AT_ONCE_SECONDS, all) of the losses that a closed socket tells."""
    found = [f.detection for r in results for f in r.figures if f.kind in CLEAN_KINDS and f.detection is not None]
    return sum(seconds <= AT_ONCE_SECONDS for seconds in found), len(found)


def summary(results: Sequence[Judged], *, seconds: float) -> dict[str, Any]:
    detections = [figure.detection for result in results for figure in result.figures if figure.detection is not None]
    takeovers = [figure.takeover for result in results for figure in result.figures if figure.takeover is not None]
    clauses = [finding.clause for result in results for finding in result.verdict.violations]
    within, clean = at_once(results)
    return {
        "ok": all(result.is_sound for result in results),
        "schedules": len(results),
        "violated": [result.seed for result in results if not result.is_sound],
        "violations_by_clause": {clause: clauses.count(clause) for clause in CLAUSES},
        "not_promised": sum(len(result.verdict.not_promised) for result in results),
        "bound_by_rule_of_three": 3 / len(results),
        "faults": sum(len(result.figures) for result in results),
        "fault_kinds": len({kind for result in results for kind in result.kinds}),
        "orders_accepted": sum(result.accepted for result in results),
        "orders_refused": sum(result.refused for result in results),
        "unexplained_losses": sum(result.unexplained_losses for result in results),
        "detection_seconds": _three(detections),
        "takeover_seconds": _three(takeovers),
        "clean_losses_within_50_ms": [within, clean],
        "first_seed": min(result.seed for result in results),
        "last_seed": max(result.seed for result in results),
        "seconds": round(seconds, 1),
    }


def _three(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {name: round(percentile(values, share), 4) for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))}

"""What a traced statement did, for people and machines, and whether the linter said the same. [P]"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

# by strength; who waits for whom: https://www.postgresql.org/docs/current/explicit-locking.html
MODES = (
    "ACCESS SHARE",
    "ROW SHARE",
    "ROW EXCLUSIVE",
    "SHARE UPDATE EXCLUSIVE",
    "SHARE",
    "SHARE ROW EXCLUSIVE",
    "EXCLUSIVE",
    "ACCESS EXCLUSIVE",
)
BLOCKED = {
    "SHARE": "writers wait",
    "SHARE ROW EXCLUSIVE": "writers wait",
    "EXCLUSIVE": "writers wait",
    "ACCESS EXCLUSIVE": "readers and writers wait",
}


@dataclass(frozen=True, slots=True, order=True)
class Lock:
    """One lock on a relation that was there before the file. kind: PostgreSQL's relkind, r for a table."""

    relation: str
    mode: str
    kind: str = "r"

    @property
    def is_strong(self) -> bool:
        """Whether an ordinary reader or writer of the relation has to wait for it."""
        return self.mode in BLOCKED


@dataclass(frozen=True, slots=True)
class StatementTrace:
    """What one statement did; relations are named schema.name, quoted as SQL wants them.

    locks: taken by it (in a transaction: kept until its end). held: strong ones of the statements before it.
    rewrites: tables and indexes whose storage was written anew. scans: tables that were read from end to end.
    hazards: what the linter says of it, by category.
    """

    label: str
    sql: str
    line: int
    in_transaction: bool
    locks: tuple[Lock, ...] = ()
    held: tuple[Lock, ...] = ()
    rewrites: tuple[str, ...] = ()
    scans: tuple[str, ...] = ()
    made: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    duration_ms: float = 0.0
    error: str | None = None
    hazards: tuple[str, ...] = ()

    @property
    def strongest(self) -> dict[str, str]:
        """Relation -> the strongest mode that this statement took on it."""
        found: dict[str, str] = {}
        for lock in sorted(self.locks, key=lambda lock: MODES.index(lock.mode)):
            found[lock.relation] = lock.mode
        return found

    def as_lines(self) -> list[str]:
        sql = " ".join(self.sql.split())
        shown = sql if len(sql) <= 100 else f"{sql[:97]}..."
        lines = [f"line {self.line}: {shown}"]
        if self.error:
            return [*lines, f"  fails: {self.error}"]
        how = "kept to the end of the file" if self.in_transaction else "watched from other sessions"
        for relation, mode in self.strongest.items():
            blocked = BLOCKED.get(mode)
            lines.append(f"  lock: {mode} on {relation}{f': {blocked}, {how}' if blocked else ''}")
        lines += [f"  rewrites {name}" for name in self.rewrites]
        lines += [f"  reads all of {name}" for name in self.scans]
        if self.held and (self.scans or self.rewrites):
            lines.append(f"  while {', '.join(f'{lock.relation} is locked ({lock.mode})' for lock in self.held)}")
        for verb, objects in (("makes", self.made), ("drops", self.dropped), ("changes", self.changed)):
            lines += [f"  {verb} {', '.join(objects)}"] if objects else []
        lines += [] if len(lines) > 1 else ["  no lock on a table that was there before"]
        return [*lines, f"  lint: {', '.join(self.hazards)}"] if self.hazards else lines

    def as_dict(self) -> dict[str, object]:
        return {
            "file": self.label,
            "line": self.line,
            "sql": self.sql,
            "in_transaction": self.in_transaction,
            "locks": [{"relation": lock.relation, "mode": lock.mode} for lock in self.locks],
            "held": [{"relation": lock.relation, "mode": lock.mode} for lock in self.held],
            "rewrites": list(self.rewrites),
            "scans": list(self.scans),
            "made": list(self.made),
            "dropped": list(self.dropped),
            "changed": list(self.changed),
            "duration_ms": self.duration_ms,
            "error": self.error,
            "hazards": list(self.hazards),
        }


# What a hazard of categories.json foretells; the trace must see one of them on an existing relation.
_REWRITES_OR_SCANS = ("rewrite", "scan")
FORETELLS: dict[str, tuple[str, ...]] = {
    "index-not-concurrent": ("scan",),
    "constraint-without-not-valid": ("scan",),
    "set-not-null-full-scan": ("scan",),
    "domain-column-scan": _REWRITES_OR_SCANS,
    "unique-without-index": ("scan",),
    "pk-without-index": ("scan",),
    "exclusion-constraint": ("scan",),
    "attach-partition-scan": ("scan",),
    "unbatched-dml": ("scan",),
    "volatile-default-rewrite": ("rewrite",),
    "generated-stored-rewrite": ("rewrite",),
    "serial-column-rewrite": ("rewrite",),
    "change-column-type": _REWRITES_OR_SCANS,
    "table-rewrite-command": ("rewrite",),
    "fk-without-not-valid": ("strong lock",),
    "index-drop-not-concurrent": ("strong lock",),
    "create-trigger": ("strong lock",),
    "explicit-lock": ("strong lock",),
}


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Where linter and trace tell different things about one statement, and why that can be."""

    label: str
    line: int
    what: str
    why: str

    def as_line(self) -> str:
        return f"line {self.line}: {self.what}: {self.why}"

    def as_dict(self) -> dict[str, object]:
        return {"file": self.label, "line": self.line, "what": self.what, "why": self.why}


def with_hazards(traces: Sequence[StatementTrace], findings: Iterable[tuple[int, str]]) -> list[StatementTrace]:
    """The traces of one file with the linter's findings, each (line, category), at the statements they lie in."""
    by_line: dict[int, set[str]] = {}
    for line, category in findings:
        begun = [each.line for each in traces if each.line <= line]
        by_line.setdefault(max(begun, default=0), set()).add(category)
    return [replace(each, hazards=tuple(sorted(by_line.get(each.line, set())))) for each in traces]


def disagreements(traces: Iterable[StatementTrace]) -> list[Disagreement]:
    """Where the hazards of a statement and what it did are at odds. One that failed did nothing to compare."""
    return [found for each in traces if each.error is None for found in _of_statement(each)]


def _of_statement(trace: StatementTrace) -> list[Disagreement]:
    seen, categories = _seen(trace), set(trace.hazards)
    alarms = [
        Disagreement(
            trace.label,
            trace.line,
            f"lint says {category}, the trace saw no {' or '.join(FORETELLS[category])}",
            _WHY_CLEARED,
        )
        for category in sorted(categories & FORETELLS.keys())
        if not seen & set(FORETELLS[category])
    ]
    costly = seen & {"rewrite", "scan"}
    if costly and "strong lock" in seen and not categories:
        what = f"the trace saw a {' and a '.join(sorted(costly))} under a strong lock, lint says nothing"
        alarms.append(Disagreement(trace.label, trace.line, what, _WHY_SILENT))
    return alarms


_WHY_CLEARED = "the linter has only the text; the catalog shows that this type, default or constraint needs none here"
_WHY_SILENT = "the text does not show it (dynamic SQL, a trigger, or a table whose columns the linter has not seen)"


def _seen(trace: StatementTrace) -> set[str]:
    found = set()
    if trace.rewrites:
        found.add("rewrite")
    if trace.scans:
        found.add("scan")
    if any(lock.is_strong for lock in (*trace.locks, *trace.held)):
        found.add("strong lock")
    return found

"""What a plan meets in the database now: how large the tables are that it locks, and who would keep it waiting. [E]"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from prodsafe.migrations.files import Migration
from prodsafe.migrations.locks import TableLock, is_opaque, locks_of
from prodsafe.postgres import Connection

LONG_SECONDS = 5.0

_TABLES = """
SELECT wanted.name, t.oid, t.oid::regclass::text, t.reltuples::bigint, pg_catalog.pg_total_relation_size(t.oid)
  FROM unnest(%s::text[]) AS wanted (name)
  JOIN pg_catalog.pg_class AS c ON c.oid = pg_catalog.to_regclass(wanted.name)
  LEFT JOIN pg_catalog.pg_index AS i ON i.indexrelid = c.oid
  JOIN pg_catalog.pg_class AS t ON t.oid = coalesce(i.indrelid, c.oid)
"""
_WAITS = """
SELECT pid, application_name, state, xact_start, pg_catalog.left(query, 80),
       ARRAY(SELECT DISTINCT l.relation::regclass::text || ' ' || l.mode FROM pg_catalog.pg_locks AS l
              WHERE l.pid = a.pid AND l.granted AND l.relation = ANY (%s::oid[]))
  FROM pg_catalog.pg_stat_activity AS a
 WHERE datname = pg_catalog.current_database() AND pid <> pg_catalog.pg_backend_pid() AND xact_start IS NOT NULL
   AND backend_type = 'client backend'
 ORDER BY xact_start
"""


@dataclass(frozen=True, slots=True)
class Table:
    """A table that is there now. rows: as the planner guesses, -1 when never analysed; bytes: with its indexes."""

    name: str
    rows: int
    bytes: int

    def as_words(self) -> str:
        rows = "rows not counted yet" if self.rows < 0 else f"about {self.rows:,} rows"
        return f"{rows}, {as_size(self.bytes)}"


@dataclass(frozen=True, slots=True)
class Lock:
    """One lock of a statement. table: None while nobody can use it, because these files make it."""

    lock: TableLock
    table: Table | None

    def as_line(self) -> str:
        if self.table is None:
            return f"{self.lock.mode} on {self.lock.relation} (new)"
        return f"{self.lock.mode} on {self.table.name} ({self.table.as_words()}): blocks {self.lock.blocks}"

    def as_dict(self) -> dict[str, object]:
        return {
            "mode": self.lock.mode,
            "relation": self.table.name if self.table else self.lock.relation,
            "blocks": self.lock.blocks if self.table else "nobody",
            "rows": self.table.rows if self.table else None,
            "bytes": self.table.bytes if self.table else None,
        }


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody in a transaction that may keep it waiting. began_at: aware UTC; holds: "table mode" of these tables."""

    pid: int
    application_name: str
    state: str
    began_at: datetime
    query: str
    holds: tuple[str, ...]

    def as_line(self) -> str:
        holds = f"; holds {', '.join(self.holds)}" if self.holds else ""
        who = f"server process {self.pid} ({self.application_name or 'unnamed'}, {self.state})"
        return f"{who} in a transaction since {self.began_at:%H:%M:%S} UTC{holds}: {self.query}"

    def as_dict(self) -> dict[str, object]:
        return {
            "pid": self.pid,
            "application_name": self.application_name,
            "state": self.state,
            "began_at": self.began_at.isoformat(),
            "holds": list(self.holds),
            "query": self.query,
        }


@dataclass(frozen=True, slots=True)
class Surroundings:
    """locks: by (set, version) of a file, a list for each statement; sessions: oldest transaction first."""

    locks: dict[tuple[str, int], list[list[Lock]]] = field(default_factory=dict)
    sessions: Sequence[Session] = ()


def look_around(conn: Connection, migrations: Sequence[Migration]) -> Surroundings:
    """What these files would lock, and who holds or may hold that up. Changes nothing, takes no lock."""
    names = {lock.relation for migration in migrations for each in migration.statements for lock in locks_of(each)}
    rows = conn.execute(_TABLES, [sorted(names)]).fetchall()
    tables = {name: Table(found, count, size) for name, _, found, count, size in rows}
    locks = {
        migration.key: [
            [Lock(lock, tables.get(lock.relation)) for lock in locks_of(each)] for each in migration.statements
        ]
        for migration in migrations
    }
    return Surroundings(locks, _sessions(conn, [oid for _, oid, *_ in rows]))


def opaque_lines(migration: Migration) -> list[int]:
    """Lines of statements whose locks nobody can tell from their words."""
    return [statement.line for statement in migration.statements if is_opaque(statement)]


def as_size(count: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GB"


def _sessions(conn: Connection, tables: Iterable[int]) -> list[Session]:
    now = datetime.now(UTC)
    rows = conn.execute(_WAITS, [list(tables)]).fetchall()
    found = [
        Session(pid, name or "", state or "", at.astimezone(UTC), " ".join((query or "").split()), tuple(sorted(holds)))
        for pid, name, state, at, query, holds in rows
    ]
    return [each for each in found if each.holds or (now - each.began_at).total_seconds() >= LONG_SECONDS]

"""Runs migrations on a throw-away database, statement by statement, and reports what each one did to it. [E]

Inside a transaction the locks are those that our session holds after the statement. A statement that runs outside any
transaction lets go of its locks at its end, so it is watched while two other sessions make it wait: first before its
first strong lock, then before its last one.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from prodsafe.migrations.catalog import Entry, Owned, read_catalog
from prodsafe.migrations.files import Migration
from prodsafe.migrations.ledger import read_ledger
from prodsafe.migrations.statements import Statement, Way
from prodsafe.migrations.throwaway import apply_file, connected
from prodsafe.migrations.trace_report import Lock, StatementTrace
from prodsafe.postgres import Connection

STATEMENT_SECONDS = 60.0
POLL_SECONDS = 0.002
STATS_FLUSHED_SINCE = 150000  # pg_stat_force_next_flush

_UNTOLD = ("privilege", "enforcement")
_SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
_RELATIONS = """
SELECT c.oid, quote_ident(n.nspname) || '.' || quote_ident(c.relname), c.relkind::text, c.relfilenode
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""
_FILENODES = "SELECT oid, relfilenode FROM pg_class WHERE oid = ANY (%s)"
_LOCKS = """
SELECT relation, mode FROM pg_locks
WHERE pid = %s AND locktype = 'relation' AND relation = ANY (%s)
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_WAITS = "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = %s"
_SCANS = "SELECT oid, {counter}(oid) FROM unnest(%s::oid[]) AS wanted (oid)"


@dataclass(frozen=True, slots=True)
class _Before:
    """The database as a file finds it: what there is to be waited for. names and kinds by oid."""

    names: Mapping[int, str]
    kinds: Mapping[int, str]

    @property
    def oids(self) -> list[int]:
        return list(self.names)

    @property
    def tables(self) -> list[int]:
        return [oid for oid, kind in self.kinds.items() if kind in "rpm"]


@dataclass(frozen=True, slots=True)
class _Moment:
    """What can be seen between two statements: storage files and scans by oid, objects by key."""

    filenodes: Mapping[int, int]
    scans: Mapping[int, int]
    objects: Mapping[tuple[str, str, str], Entry]


def trace(url: str, migrations: Sequence[Migration]) -> list[StatementTrace]:
    """Run the files in order on this database, which is changed by it: give a throw-away one.

    A statement that fails ends its file, which is rolled back, and the trace. Batches are not run: a throw-away
    database has no rows for them.
    """
    found: list[StatementTrace] = []
    for migration in migrations:
        if not migration.batch:
            found += _trace_file(url, migration)
        if found and found[-1].error:
            break
    return found


def pending(url: str, migrations: Sequence[Migration]) -> list[Migration]:
    """Those that the ledger of a real database does not have. Raises DatabaseRefused, SchemaNotReady (M12)."""
    with connected(url) as conn:
        applied = {row.key for row in read_ledger(conn)}
    return [migration for migration in migrations if migration.key not in applied]


def run_plainly(url: str, migrations: Sequence[Migration]) -> None:
    """Run files that are not to be reported. Raises SchemaNotReady (M28)."""
    with connected(url) as conn:
        for migration in migrations:
            apply_file(conn, migration)


def _trace_file(url: str, migration: Migration) -> list[StatementTrace]:
    with connected(url) as work:
        work.execute(f"SET statement_timeout = {round(STATEMENT_SECONDS * 1000)}")
        before = _before(work)
        if migration.transactional:
            return list(_in_one_transaction(work, migration, before))
        return list(_one_by_one(url, work, migration, before))


def _in_one_transaction(work: Connection, migration: Migration, before: _Before) -> Iterator[StatementTrace]:
    held: frozenset[Lock] = frozenset()
    work.autocommit = False
    try:
        for statement in migration.statements:
            earlier = _moment(work, before, "pg_stat_get_xact_numscans")
            began = time.monotonic()
            work.execute(statement.text.encode())
            seconds = time.monotonic() - began
            locks = frozenset(_locks(work, work.info.backend_pid, before))
            later = _moment(work, before, "pg_stat_get_xact_numscans")
            yield _report(migration, statement, before, earlier, later, locks - held, held, seconds)
            held = locks
        work.commit()
    except psycopg.Error as error:
        work.rollback()
        yield _failed(migration, statement, error)


def _one_by_one(url: str, work: Connection, migration: Migration, before: _Before) -> Iterator[StatementTrace]:
    for statement in migration.statements:
        try:
            earlier = _moment(work, before, "pg_stat_get_numscans")
            watched = _Watched(url, work, before)
            if statement.way is Way.ALONE:
                locks, seconds = watched.run(statement)
            else:
                locks, seconds = watched.run_in_transaction(statement)
            later = _moment(work, before, "pg_stat_get_numscans")
            yield _report(migration, statement, before, earlier, later, locks, frozenset(), seconds)
        except psycopg.Error as error:
            yield _failed(migration, statement, error)
            return


class _Watched:
    """One statement outside any transaction, and the locks that it asked for."""

    def __init__(self, url: str, work: Connection, before: _Before) -> None:
        self._url, self._work, self._before = url, work, before

    def run_in_transaction(self, statement: Statement) -> tuple[frozenset[Lock], float]:
        with self._work.transaction():
            began = time.monotonic()
            self._work.execute(statement.text.encode())
            seconds = time.monotonic() - began
            return frozenset(_locks(self._work, self._work.info.backend_pid, self._before)), seconds

    def run(self, statement: Statement) -> tuple[frozenset[Lock], float]:
        """Seconds include the waiting that the watchers caused."""
        errors: list[psycopg.Error] = []

        def body() -> None:
            try:
                self._work.execute(statement.text.encode())
            except psycopg.Error as error:  # carried to the caller's thread, which raises it
                errors.append(error)

        began = time.monotonic()
        with connected(self._url) as observer, self._obstacles() as obstacles:
            thread = threading.Thread(target=body, name="prodsafe-traced-statement")
            thread.start()
            seen = self._watch(observer, thread.is_alive, obstacles)
            thread.join()
        if errors:
            raise errors[0]
        return frozenset(seen), time.monotonic() - began

    def _watch(self, observer: Connection, alive: Callable[[], bool], obstacles: list[Connection]) -> set[Lock]:
        seen: set[Lock] = set()
        pid = self._work.info.backend_pid
        while alive():
            seen |= _locks(observer, pid, self._before)
            if obstacles and observer.execute(_WAITS, [pid]).fetchone() == (True,):
                seen |= _locks(observer, pid, self._before)  # looked again: it waits, so this is all that it has so far
                obstacles.pop(0).rollback()
            time.sleep(POLL_SECONDS)
        return seen

    @contextmanager
    def _obstacles(self) -> Iterator[list[Connection]]:
        """Sessions in the way: one against the first strong lock, one with an old snapshot that reads every table."""
        tables = [self._before.names[oid] for oid in self._before.tables if self._before.kinds[oid] != "m"]
        with connected(self._url) as strong, connected(self._url) as reader:
            for conn, mode in ((strong, "SHARE UPDATE EXCLUSIVE"), (reader, "ACCESS SHARE")):
                conn.autocommit, conn.isolation_level = False, psycopg.IsolationLevel.REPEATABLE_READ
                conn.execute("SELECT count(*) FROM pg_class")  # takes the snapshot
                if tables:
                    conn.execute(f"LOCK TABLE {', '.join(tables)} IN {mode} MODE")
            yield [strong, reader]


def _before(work: Connection) -> _Before:
    rows = work.execute(_RELATIONS).fetchall()
    return _Before({row[0]: row[1] for row in rows}, {row[0]: row[2] for row in rows})


def _moment(work: Connection, before: _Before, counter: str) -> _Moment:
    if counter == "pg_stat_get_numscans" and work.info.server_version >= STATS_FLUSHED_SINCE:
        work.execute("SELECT pg_stat_force_next_flush()")
        work.execute("SELECT 1")  # the flush comes with the end of a statement
    filenodes: dict[int, int] = dict(work.execute(_FILENODES, [before.oids]).fetchall())
    scans: dict[int, int] = dict(work.execute(_SCANS.format(counter=counter), [before.tables]).fetchall())
    schemas = tuple(sorted(name for (name,) in work.execute(_SCHEMAS)))
    return _Moment(filenodes, scans, {entry.key: entry for entry in read_catalog(work, Owned(schemas))})


def _locks(conn: Connection, pid: int, before: _Before) -> set[Lock]:
    rows = conn.execute(_LOCKS, [pid, before.oids]).fetchall()
    return {Lock(before.names[oid], _sql_words(mode), before.kinds[oid]) for oid, mode in rows}


def _sql_words(mode: str) -> str:
    """AccessExclusiveLock -> ACCESS EXCLUSIVE."""
    return " ".join(re.findall(r"[A-Z][a-z]+", mode.removesuffix("Lock"))).upper()


def _report(
    migration: Migration,
    statement: Statement,
    before: _Before,
    earlier: _Moment,
    later: _Moment,
    locks: frozenset[Lock],
    held: frozenset[Lock],
    seconds: float,
) -> StatementTrace:
    emptied = statement.code.lower().startswith("truncate")  # new storage too, but nothing is copied into it
    moved = [oid for oid, node in later.filenodes.items() if node != earlier.filenodes.get(oid, node)]
    scanned = [oid for oid, scans in later.scans.items() if scans > earlier.scans.get(oid, scans)]
    return StatementTrace(
        label=migration.label,
        sql=statement.clean,
        line=statement.line,
        in_transaction=migration.transactional,
        locks=tuple(sorted(locks)),
        held=tuple(sorted(lock for lock in held if lock.is_strong)),
        rewrites=() if emptied else _names(before, moved),
        scans=() if emptied else _names(before, scanned),
        made=_told(later, earlier),
        dropped=_told(earlier, later),
        changed=tuple(
            _tell(entry)
            for key, entry in later.objects.items()
            if key in earlier.objects and entry != earlier.objects[key]
        ),
        duration_ms=round(seconds * 1000, 1),
    )


def _names(before: _Before, oids: Sequence[int]) -> tuple[str, ...]:
    return tuple(sorted(before.names[oid] for oid in oids))


def _told(there: _Moment, other: _Moment) -> tuple[str, ...]:
    """The objects that only one of them has; of a whole table not its parts as well."""
    entries = [entry for key, entry in there.objects.items() if key not in other.objects]
    tables = {entry.name for entry in entries if entry.kind in ("table", "foreign table")}
    return tuple(_tell(entry) for entry in entries if entry.kind not in _UNTOLD and not _is_part(entry, tables))


def _is_part(entry: Entry, tables: set[str]) -> bool:
    owner = re.search(r" OWNED BY (.*)\.", entry.definition) if entry.kind == "sequence" else None
    return entry.parent in tables or (owner is not None and owner[1] in tables)


def _tell(entry: Entry) -> str:
    where = f" on {entry.parent}" if entry.parent else ""
    return f"{entry.kind} {entry.name}{where}{f' ({entry.state})' if entry.state else ''}"


def _failed(migration: Migration, statement: Statement, error: psycopg.Error) -> StatementTrace:
    said = f"{error.diag.message_primary or str(error).strip()} ({error.sqlstate})"
    return StatementTrace(migration.label, statement.clean, statement.line, migration.transactional, error=said)

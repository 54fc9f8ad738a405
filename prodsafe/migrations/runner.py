"""Applies a Plan: one runner at a time, one transaction per file with its ledger row in it; short table locks. [E]

One connection holds the migration lock in an open READ COMMITTED transaction, another one works. The lock is polled
for, never waited for: a blocked waiter would deadlock with what the holder runs. A kill leaves nothing half done.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import random
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
from psycopg import IsolationLevel, errors

from prodsafe.errors import ExitCode, Refusal, RefusalKind, SchemaNotReady
from prodsafe.migrations.files import Migration, MigrationSet, load
from prodsafe.migrations.plan import Applied, Plan, Standing, boot_refusals, make_plan, standings
from prodsafe.postgres import Connection, connect, lost_connections_refused, require_same_database

LOCK_HELD = RefusalKind("M08", "migration-lock-held", exit_code=ExitCode.SCHEMA_NOT_READY)
FAILED = RefusalKind("M09", "migration-failed", exit_code=ExitCode.SCHEMA_NOT_READY)
TABLE_BUSY = RefusalKind("M10", "table-lock-never-came", exit_code=ExitCode.SCHEMA_NOT_READY)
LOCK_LOST = RefusalKind("M11", "migration-lock-lost", exit_code=ExitCode.SCHEMA_NOT_READY)
INTERRUPTED = RefusalKind("M13", "migration-interrupted", exit_code=ExitCode.SCHEMA_NOT_READY)
LEDGER_UNREADABLE = RefusalKind("M12", "ledger-unreadable", exit_code=ExitCode.SCHEMA_NOT_READY)

LOCK_KEY = int.from_bytes(hashlib.sha256(b"prodsafe migration lock 1").digest()[:8], "big", signed=True)
LOCK_TIMEOUT_MS = 400  # also the longest that a reader stalls behind our queued ALTER
TABLE_LOCK_SECONDS = 120.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, POLL_SECONDS, STILL_WAITING_SECONDS = 0.2, 5.0, 0.1, 5.0

MENDS = {  # by SQLSTATE, where the file is not to blame
    "25006": "give the address of the primary, this server only reads",
    "42501": "grant this user what it lacks, or migrate as the owner of the tables",
    "53100": "make room on the server's disk",
}

# of both connections' transactions, in ms and s: the backends of a killed or cut-off runner must not live on with their
# locks, and the limits that a role or database has by default must not end a transaction that is meant to be long
_TRANSACTION_SETTINGS = {
    "client_connection_check_interval": 500,
    "tcp_keepalives_idle": 2,
    "tcp_keepalives_interval": 1,
    "tcp_keepalives_count": 3,
    "tcp_user_timeout": 4000,
    "statement_timeout": 0,
    "idle_in_transaction_session_timeout": 0,
    "lock_timeout": LOCK_TIMEOUT_MS,
}
_SET_LOCAL = "; ".join(f"SET LOCAL {name} = {value}" for name, value in _TRANSACTION_SETTINGS.items()).encode()
_LEDGER = b"""
CREATE SCHEMA IF NOT EXISTS prodsafe;
CREATE TABLE IF NOT EXISTS prodsafe.migration (
    set_name     text NOT NULL,
    version      integer NOT NULL CHECK (version > 0),
    name         text NOT NULL,
    kind         text NOT NULL CHECK (kind IN ('expand', 'contract', 'data')),
    checksum     text NOT NULL,
    raw_checksum text NOT NULL,
    applied_at   timestamptz NOT NULL,
    applied_by   text NOT NULL,
    duration_ms  bigint NOT NULL,
    PRIMARY KEY (set_name, version)
)
"""
_RECORD = """
INSERT INTO prodsafe.migration
    (set_name, version, name, kind, checksum, raw_checksum, applied_by, applied_at, duration_ms)
VALUES (%s, %s, %s, %s, %s, %s, current_user || %s, pg_catalog.clock_timestamp(), %s)
"""
# On the lock's connection only statements without parameters: one with parameters leaves its portal open, and so a
# snapshot that every CREATE INDEX CONCURRENTLY in the database then waits for.
_TRY_LOCK = b"SELECT pg_catalog.pg_try_advisory_xact_lock(%d)" % LOCK_KEY
_HOLDER = (
    b"""
SELECT activity.pid, activity.application_name, activity.client_addr::text, activity.xact_start
FROM pg_catalog.pg_locks AS held JOIN pg_catalog.pg_stat_activity AS activity USING (pid)
WHERE held.locktype = 'advisory' AND held.granted AND held.objsubid = 1
  AND held.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
  AND (held.classid::bigint << 32 | held.objid::bigint) = %d
"""
    % LOCK_KEY
)

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Result:
    """What a run did. applied: in order, with milliseconds; versions: of each set now."""

    versions: dict[str, int]
    applied: tuple[tuple[Migration, int], ...] = ()

    @property
    def summary(self) -> str:
        schema = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        done = f"{len(self.applied)} applied" if self.applied else "nothing to do"
        return f"{done}: schema at {schema}"

    def as_dict(self) -> dict[str, object]:
        applied = [{"set": m.set_name, "version": m.version, "name": m.name, "ms": ms} for m, ms in self.applied]
        return {"ok": True, "versions": self.versions, "applied": applied}


def migrate(
    url: str,
    sets: Sequence[MigrationSet],
    *,
    wait_seconds: float,
    report: Report,
    table_lock_seconds: float = TABLE_LOCK_SECONDS,
) -> Result:
    """Bring the schema up to the files. With nothing to do it takes no lock.

    wait_seconds: for another runner to end; table_lock_seconds: for the tables of one file, all tries together.
    report is told each step as it happens. Raises SchemaNotReady (M.., exit 4) or DatabaseRefused (P.., exit 1 or 6).
    """
    available = {each.name: load(each) for each in sets}
    with _interruption_refused(), _connected(url) as work, lost_connections_refused(work):
        plan = _plan(work, available)
        if not plan.apply:
            return Result(plan.versions)
        with _migration_lock(url, work, wait_seconds, report) as lock:
            plan = _plan(work, available)  # another runner may have been faster
            if plan.apply:
                _transaction(work, lambda: work.execute(_LEDGER), "the ledger", table_lock_seconds, report)
            applied = tuple(
                (migration, _apply(work, lock, migration, table_lock_seconds, report)) for migration in plan.apply
            )
    return Result({**plan.versions, **{migration.set_name: migration.version for migration, _ in applied}}, applied)


def plan_for(url: str, sets: Sequence[MigrationSet]) -> Plan:
    """What migrate() would do now. Changes nothing."""
    available = {each.name: load(each) for each in sets}
    with _connected(url) as conn, lost_connections_refused(conn):
        return make_plan(available, read_ledger(conn))


def status_for(url: str, sets: Sequence[MigrationSet]) -> list[Standing]:
    """Every migration and where it stands. Changes nothing."""
    available = {each.name: load(each) for each in sets}
    with _connected(url) as conn, lost_connections_refused(conn):
        return standings(available, read_ledger(conn))


def check_schema(conn: Connection, sets: Sequence[MigrationSet]) -> list[Refusal]:
    """Why a worker may not start on this schema (M.., exit 4); [] when it may. Reads only."""
    try:
        available = {each.name: load(each) for each in sets}
        return boot_refusals(make_plan(available, read_ledger(conn)))
    except SchemaNotReady as refused:
        return list(refused.refusals)


def read_ledger(conn: Connection) -> list[Applied]:
    """What was applied, by set and version; [] where there is no ledger yet."""
    try:
        with conn.transaction():  # so that a missing table does not end a transaction of the caller's
            rows = conn.execute(
                "SELECT set_name, version, name, checksum, applied_at, applied_by, duration_ms"
                " FROM prodsafe.migration ORDER BY set_name, version"
            ).fetchall()
    except errors.UndefinedTable:
        return []
    except (errors.InsufficientPrivilege, errors.UndefinedColumn) as error:
        raise SchemaNotReady(
            LEDGER_UNREADABLE.because(
                f"prodsafe.migration cannot be read: {error.diag.message_primary}",
                mend="grant this user SELECT on prodsafe.migration, or run as the user that migrates",
            )
        ) from error
    return [Applied(s, v, name, checksum, at.astimezone(UTC), by, ms) for s, v, name, checksum, at, by, ms in rows]


def _plan(conn: Connection, available: dict[str, list[Migration]]) -> Plan:
    plan = make_plan(available, read_ledger(conn))
    if plan.refusals:
        raise SchemaNotReady(*plan.refusals)
    return plan


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    conn = connect(url, application_name="prodsafe/migrate")
    try:
        yield conn
    finally:
        conn.close()


@contextmanager
def _interruption_refused() -> Iterator[None]:
    """A person's Ctrl-C is no success: what `&&` starts next must not run."""
    try:
        yield
    except KeyboardInterrupt:
        raise SchemaNotReady(
            INTERRUPTED.because(
                "stopped by a signal; the file at work was rolled back", mend="run the same command again"
            )
        ) from None


@contextmanager
def _migration_lock(url: str, work: Connection, wait_seconds: float, report: Report) -> Iterator[Connection]:
    """The right to migrate this database, held by an open transaction of its own connection until the block ends."""
    with _connected(url) as lock, lost_connections_refused(lock):
        require_same_database(lock, work)
        # READ COMMITTED: an idle transaction then holds no snapshot that others would have to wait for
        lock.isolation_level, lock.read_only, lock.autocommit = IsolationLevel.READ_COMMITTED, False, False
        lock.execute(_SET_LOCAL)
        _poll_for_lock(lock, wait_seconds, report)
        yield lock


def _poll_for_lock(lock: Connection, wait_seconds: float, report: Report) -> None:
    began = tell_at = time.monotonic()
    while not _try_lock(lock):
        now = time.monotonic()
        if now - began >= wait_seconds:
            raise SchemaNotReady(
                LOCK_HELD.because(
                    f"another runner migrates this database: {_holder(lock)}; waited {now - began:.1f} s",
                    mend="let it end and run again, or wait longer with --wait SECONDS",
                )
            )
        if now >= tell_at:
            report(f"waiting for another runner: {_holder(lock)}")
            tell_at = now + STILL_WAITING_SECONDS
        time.sleep(POLL_SECONDS * random.uniform(0.5, 1.5))  # many runners must not ask in step


def _try_lock(lock: Connection) -> bool:
    return lock.execute(_TRY_LOCK).fetchone() == (True,)


def _holder(lock: Connection) -> str:
    row = lock.execute(_HOLDER).fetchone()
    if row is None:
        return "one that is just ending"
    pid, application, address, since = row
    began = f" since {since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if isinstance(since, datetime) else ""
    return f"{application or 'a session'} from {address or 'the server itself'}, server process {pid}{began}"


def _apply(work: Connection, lock: Connection, migration: Migration, seconds: float, report: Report) -> int:
    """Run one file and record it, all or nothing; the milliseconds of the try that succeeded."""
    duration_ms = 0

    def run() -> None:
        nonlocal duration_ms
        began = time.monotonic()
        work.execute(migration.sql.encode())
        duration_ms = round((time.monotonic() - began) * 1000)
        work.execute(b"RESET SESSION AUTHORIZATION; RESET ALL")  # what the file SET must not reach the next one
        _record(work, migration, duration_ms)
        _require_held(lock)

    _transaction(work, run, migration.label, seconds, report, sql=migration.sql)
    report(f"applied {migration.label} in {duration_ms} ms")
    return duration_ms


def _record(work: Connection, migration: Migration, duration_ms: int) -> None:
    m = migration
    ran_by = f" ({_system_user()}@{socket.gethostname()} pid {os.getpid()})"
    work.execute(_RECORD, [m.set_name, m.version, m.name, m.kind, m.checksum, m.raw_checksum, ran_by, duration_ms])


def _require_held(lock: Connection) -> None:
    """The lock lives as long as its transaction: asked before each commit, so that who lost it records nothing."""
    try:
        lock.execute("SELECT 1")
    except psycopg.OperationalError as error:
        raise SchemaNotReady(
            LOCK_LOST.because(
                "the connection that held the migration lock ended; the file at work was rolled back",
                mend="run the same command again",
            )
        ) from error


def _transaction(
    work: Connection, run: Callable[[], object], label: str, seconds: float, report: Report, *, sql: str = ""
) -> None:
    """Run in one transaction; a busy table or a deadlock is tried again, with growing pauses, until time is up."""
    give_up_at, pause_seconds = time.monotonic() + seconds, FIRST_PAUSE_SECONDS
    while True:
        try:
            with work.transaction():
                work.execute(_SET_LOCAL)
                run()
            return
        except (errors.LockNotAvailable, errors.DeadlockDetected) as error:
            pause = pause_seconds * random.uniform(0.5, 1.5)
            if time.monotonic() + pause > give_up_at:
                raise SchemaNotReady(_table_busy(label, seconds, error)) from error
            report(f"{label}: {error.diag.message_primary}; again in {pause:.1f} s")
            time.sleep(pause)
            pause_seconds = min(pause_seconds * 2, LONGEST_PAUSE_SECONDS)
        except psycopg.Error as error:
            if work.closed:  # not the file's fault: whoever opened the connection says so
                raise
            raise SchemaNotReady(_failed(label, sql, error)) from error


def _table_busy(label: str, seconds: float, error: psycopg.Error) -> Refusal:
    return TABLE_BUSY.because(
        f"{label}: other sessions kept its tables busy for {seconds:.0f} s; rolled back",
        seen=str(error.diag.message_primary),
        mend="end the long transactions (pg_stat_activity, xact_start), then run again",
    )


def _failed(label: str, sql: str, error: psycopg.Error) -> Refusal:
    diag = error.diag
    line = sql.count("\n", 0, int(diag.statement_position) - 1) + 1 if sql and diag.statement_position else None
    said = [diag.message_primary or str(error).strip(), diag.message_detail, diag.message_hint, diag.context]
    return FAILED.because(
        f"{label}{f', line {line}' if line else ''}: {'; '.join(part for part in said if part)} ({diag.sqlstate})",
        mend=MENDS.get(diag.sqlstate or "", "correct the file (it was rolled back, nothing of it remains)")
        + "; run again",
    )


def _system_user() -> str:
    with suppress(KeyError):  # a container may run under a number without a name
        return pwd.getpwuid(os.getuid()).pw_name
    return str(os.getuid())

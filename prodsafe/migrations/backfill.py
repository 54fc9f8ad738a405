"""Runs a data file batch by batch, each one transaction with its mark, whatever ends a run: the next goes on. [E]

A deploy gives each backfill a few seconds and leaves the rest to `prodsafe migrate backfill`, which takes hours where
it must: under a lock of its own, so that deploys go on beside it.
"""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import psycopg
from psycopg import errors

from prodsafe.errors import ExitCode, RefusalKind, SchemaNotReady
from prodsafe.migrations import backfill_store as store
from prodsafe.migrations.backfill_key import (
    INTEGERS,
    KEY_UNUSABLE,
    Key,
    check_statement,
    estimated_rows,
    look_up_key,
    next_keys,
    run_statement,
)
from prodsafe.migrations.backfill_lag import Lags
from prodsafe.migrations.backfill_pace import (
    SHORTEST_PAUSE,
    Pace,
    Progress,
    Throttle,
    duration,
    pause_seconds,
    progress_line,
)
from prodsafe.migrations.batches import Batch, Unfinished
from prodsafe.migrations.files import Migration, parse
from prodsafe.migrations.ledger import record_begun, record_finished, recorded_text
from prodsafe.migrations.locking import Report, Right, require_held, try_right
from prodsafe.migrations.plan import Applied
from prodsafe.migrations.transaction import FAILED, TABLE_BUSY, Desk, begin_sql, failed
from prodsafe.postgres import Connection

AT_WORK = RefusalKind("M25", "backfill-at-work", exit_code=ExitCode.SCHEMA_NOT_READY)
TOO_SLOW = RefusalKind("M23", "batch-too-slow", exit_code=ExitCode.SCHEMA_NOT_READY)
EDITED = RefusalKind("M24", "backfill-edited", exit_code=ExitCode.SCHEMA_NOT_READY)

_LOCK_KEY = int.from_bytes(hashlib.sha256(b"prodsafe backfill lock 1").digest()[:8], "big", signed=True)
BACKFILLING = Right(_LOCK_KEY, AT_WORK, "is at the backfills of this database")
BATCH_TIMEOUT_MS = 10_000
BUSY_SECONDS, RESUME_SECONDS = 600.0, 30.0  # without one batch that got its locks; without a beginning
TOLD_AGAIN_SECONDS = 5.0

BEGIN = begin_sql(BATCH_TIMEOUT_MS).encode()
_WAITERS = """
SELECT count(DISTINCT pid) FROM pg_catalog.pg_locks
 WHERE NOT granted AND pg_catalog.pg_backend_pid() = ANY (pg_catalog.pg_blocking_pids(pid))
"""

WAITS = (errors.LockNotAvailable, errors.DeadlockDetected, errors.SerializationFailure, errors.QueryCanceled)

Tell = Callable[[Progress], None]  # called after every batch


@dataclass(slots=True)
class Stop:
    """When to end after the batch at work: asked by a signal, or at a moment of the monotonic clock."""

    ends_at: float | None = None
    asked: threading.Event = field(default_factory=threading.Event)

    def is_due(self) -> bool:
        return self.asked.is_set() or (self.ends_at is not None and time.monotonic() >= self.ends_at)

    def pause(self, seconds: float) -> None:
        left = seconds if self.ends_at is None else min(seconds, self.ends_at - time.monotonic())
        if left > 0:
            self.asked.wait(left)


@dataclass(frozen=True, slots=True)
class Done:
    """One batch. rows: met by it; waiters: sessions that waited for its locks when it was about to end."""

    progress: Progress
    rows: int
    took_ms: float
    waiters: int


@dataclass(frozen=True, slots=True)
class Work:
    """One file at work: both connections, what a person set, where it tells, and how far it was before."""

    conn: Connection
    lock: Connection
    migration: Migration
    batch: Batch
    key: Key
    throttle: Throttle
    report: Report
    since: Progress

    @property
    def label(self) -> str:
        return self.migration.label


def deploy(desk: Desk, lock: Connection, migration: Migration, row: Applied | None, ends_at: float) -> int:
    """A deploy's part: begin the file, and finish it where that is a matter of seconds; the milliseconds it took.

    lock: the migration lock's connection. ends_at: monotonic. Raises Unfinished.
    """
    began = time.monotonic()
    if row is None:
        desk.transaction(migration.label, lambda: begin(desk.work, lock, migration, desk.report))
    with _backfill_lock(lock) as ours:
        if not ours:
            raise Unfinished("another run is at it")
        work = resume(desk.work, lock, migration, Throttle(), desk.report)
        tell = teller(work.label, work.since, desk.report, every_seconds=TOLD_AGAIN_SECONDS)
        progress = run(work, Stop(min(ends_at, desk.limits.ends_at)), tell)
    if not progress.finished:
        raise Unfinished(progress.as_words())
    duration_ms = round((time.monotonic() - began) * 1000)
    desk.report(f"applied {migration.label} in {duration_ms} ms: {progress.as_words()}")
    return duration_ms


def begin(conn: Connection, lock: Connection, migration: Migration, report: Report) -> None:
    """Check key and statement and record that the file is at work, in the caller's transaction.

    Raises SchemaNotReady (M21, M22).
    """
    batch = batch_of(migration)
    key = look_up_key(conn, migration.label, batch)
    if warning := check_statement(conn, migration.label, batch, key):
        report(f"notice: {warning}")
    store.make_store(conn)
    record_begun(conn, migration)
    store.begin(conn, migration.key, key, estimated_rows(conn, key))
    require_held(lock)


def resume(
    conn: Connection,
    lock: Connection,
    migration: Migration,
    throttle: Throttle,
    report: Report,
    *,
    edited: str | None = None,
) -> Work:
    """A begun file, ready to go on. edited: "go-on" or "start-over", a person's word on a file that changed meanwhile.

    The caller holds the backfill lock. Raises SchemaNotReady (M21, M22, M24).
    """
    give_up_at = time.monotonic() + RESUME_SECONDS
    while True:
        try:
            with failures_named(conn, migration.label), conn.transaction():
                conn.execute(BEGIN)
                key, since, warning = _take_up(conn, migration, edited)
                require_held(lock)
            break
        except WAITS as error:  # a killed run's session holds its row for half a second more
            if time.monotonic() > give_up_at:
                raise _busy(migration.label, RESUME_SECONDS, error) from error
            time.sleep(SHORTEST_PAUSE * random.uniform(0.5, 1.5))
    if warning:
        report(f"notice: {warning}")
    if since.batches:
        report(f"{migration.label}: going on; {since.as_words()}")
    return Work(conn, lock, migration, batch_of(migration), key, throttle, report, since)


def _take_up(conn: Connection, migration: Migration, edited: str | None) -> tuple[Key, Progress, str | None]:
    """Its key, how far it is, and a warning; in the caller's transaction."""
    batch = batch_of(migration)
    store.make_store(conn)  # a script may have begun the file
    key = look_up_key(conn, migration.label, batch)
    before = store.progress_of(conn, migration.key, for_update=True)
    if changed := _changed(conn, migration, key, before):
        _require_choice(migration, key, changed, before, edited)
    warning = check_statement(conn, migration.label, batch, key)
    if before is None or (changed and edited == "start-over"):
        store.start_over(conn, migration.key, key, estimated_rows(conn, key))
    record_begun(conn, migration)  # with today's text: comments and size may have changed
    return key, store.progress_of(conn, migration.key) or Progress(), warning


def run(work: Work, stop: Stop, tell: Tell) -> Progress:
    """Batch after batch until nothing is left or it is told to stop; at least one. How far it is then.

    Raises SchemaNotReady (M09, M10, M11, M23), and what psycopg raises when the connection is lost.
    """
    began = time.monotonic()
    pace, busy_since, lags = Pace.starting(work.batch.size, work.throttle), began, Lags(work)
    while True:
        try:
            with failures_named(work.conn, work.label):
                lags.wait(stop)
                done = one_batch(work, pace.size, lambda: round((time.monotonic() - began) * 1000))
        except WAITS as error:
            _give_up_or_tell(work, pace, busy_since, error)
            pace = pace.refused()
            stop.pause(pace.pause_after_refusal * random.uniform(0.5, 1.5))
            if stop.is_due():
                return store.progress_of(work.conn, work.migration.key) or Progress()
            continue
        busy_since = time.monotonic()
        tell(done.progress)
        if done.progress.finished or stop.is_due():
            return done.progress
        stop.pause(pause_seconds(work.throttle, done.rows, done.took_ms, done.waiters))
        if stop.is_due():
            return done.progress
        pace = pace.after(done.rows, done.took_ms, done.waiters)


def one_batch(work: Work, size: int, duration_ms: Callable[[], int]) -> Done:
    """The next rows and the mark behind them, all or nothing; the last one also finishes the file in the ledger."""
    conn = work.conn
    began = time.monotonic()
    with conn.transaction():
        conn.execute(BEGIN)
        before = store.progress_of(conn, work.migration.key, for_update=True)
        if before is None:
            cause = f"{work.label}: its row in prodsafe.backfill is gone; nobody can say which rows are done"
            raise SchemaNotReady(FAILED.because(cause, mend="bring the row back; without it the next run starts over"))
        if before.finished:  # somebody else finished it while we had lost the lock
            return Done(before, 0, 0.0, 0)
        done, rows = _walk(work, before, size)
        store.move_on(conn, work.migration.key, done)
        if done.finished:
            record_finished(conn, work.migration.key, duration_ms())
        waiting = conn.execute(_WAITERS).fetchone()
        require_held(work.lock)
    return Done(done, rows, (time.monotonic() - began) * 1000, waiting[0] if waiting else 0)


def batch_of(migration: Migration) -> Batch:
    if migration.batch is None:
        raise ValueError(f"{migration.label} is not done in batches")
    return migration.batch


def _walk(work: Work, before: Progress, size: int) -> tuple[Progress, int]:
    keys, rows = next_keys(work.conn, work.key, before.last_key, size)
    changed = run_statement(work.conn, work.batch, work.key, keys) if keys else 0
    return replace(
        before,
        last_key=keys[1] if keys else before.last_key,
        walked=before.walked + rows,
        rows=before.rows + max(0, changed),
        batches=before.batches + (1 if keys else 0),
        finished=rows < size,
    ), rows


@contextmanager
def _backfill_lock(lock: Connection) -> Iterator[bool]:
    """The right to run batches, beside the migration lock on its connection, until the block ends."""
    with lock.transaction(force_rollback=True):  # a savepoint: going back to it gives the lock back
        yield try_right(lock, BACKFILLING)


def _changed(conn: Connection, migration: Migration, key: Key, before: Progress | None) -> str | None:
    """What is not as it was when the file began, in words."""
    if before is None or before.batches == 0:
        return None
    if before.key_type != key.type and not {before.key_type, key.type} <= INTEGERS:
        raise SchemaNotReady(
            KEY_UNUSABLE.because(
                f"{migration.label}: {key.table}.{key.column} became {key.type}; it was walked as {before.key_type} up"
                f" to {before.last_key}",
                mend="write a new data file with the new key, and finish this one by bringing the type back",
            )
        )
    text = recorded_text(conn, migration.key)
    ran = parse(migration.set_name, f"{migration.name}.sql", (text or "").encode())
    ran_batch = ran.batch if isinstance(ran, Migration) else None
    if ran_batch is not None and ran_batch.work == batch_of(migration).work:
        return None
    return f"began as {ran.checksum[:12] if isinstance(ran, Migration) else 'an unknown text'}"


def _require_choice(migration: Migration, key: Key, changed: str, before: Progress | None, edited: str | None) -> None:
    same_key = before is not None and (before.table, before.key) == (key.table, key.column)
    if edited == "start-over" or (edited == "go-on" and same_key):
        return
    raise SchemaNotReady(
        EDITED.because(
            f"{migration.label} was edited while half done ({before.as_words() if before else ''})",
            seen=f"file {migration.checksum[:12]}, {changed}",
            mend="bring the file back from version control; or choose: prodsafe migrate backfill --edited go-on (the"
            " new statement for the rest) or --edited start-over (the new statement for every row)",
        )
    )


def _give_up_or_tell(work: Work, pace: Pace, busy_since: float, error: psycopg.Error) -> None:
    said = error.diag.message_primary or str(error)
    if isinstance(error, errors.QueryCanceled) and pace.size == 1:
        raise SchemaNotReady(
            TOO_SLOW.because(
                f"{work.label}: even one row takes longer than {BATCH_TIMEOUT_MS / 1000:.0f} s: {said}",
                mend="EXPLAIN (ANALYZE) the statement for one key inside BEGIN and ROLLBACK; what is done stays done",
            )
        ) from error
    if time.monotonic() - busy_since > BUSY_SECONDS:
        raise _busy(work.label, BUSY_SECONDS, error) from error
    work.report(f"{work.label}: {said}; again with {pace.refused().size:,} rows")


def _busy(label: str, seconds: float, error: psycopg.Error) -> SchemaNotReady:
    return SchemaNotReady(
        TABLE_BUSY.because(
            f"{label}: for {duration(seconds)} no batch got its rows; what is done stays done",
            seen=error.diag.message_primary or str(error),
            mend="end the long transactions (pg_stat_activity, xact_start), then run it again",
        )
    )


@contextmanager
def failures_named(conn: Connection, label: str, *, waits: bool = False) -> Iterator[None]:
    """An error of the statement itself is a refusal (M09), waits: also a lock that never came, or its time.

    Else these are the caller's, as lost connections are.
    """
    try:
        yield
    except psycopg.Error as error:
        if conn.closed or (isinstance(error, WAITS) and not waits):
            raise
        raise SchemaNotReady(failed(label, error)) from error


def teller(label: str, since: Progress, report: Report, *, every_seconds: float, bar: bool = False) -> Tell:
    """Tells a line of progress now and then; none for what is done at once. since: the progress as this run begins."""
    began = told_at = time.monotonic()

    def tell(progress: Progress) -> None:
        nonlocal told_at
        now = time.monotonic()
        if now - told_at >= every_seconds or (bar and progress.finished):
            told_at = now
            report(f"{label}: {progress_line(progress, since=since, seconds=now - began, bar=bar)}")

    return tell

"""`prodsafe migrate backfill`: every backfill that was begun, to its end, through restarts of the server. [E]

Also its rehearsal: what is left, how many batches, and the time of one that is run and rolled back.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from prodsafe.errors import DatabaseRefused, ExitCode, RefusalKind, SchemaNotReady
from prodsafe.migrations import backfill_store as store
from prodsafe.migrations.backfill import (
    BACKFILLING,
    BEGIN,
    Stop,
    Tell,
    Work,
    batch_of,
    failures_named,
    resume,
    run,
)
from prodsafe.migrations.backfill_key import (
    check_statement,
    estimated_rows,
    last_key,
    look_up_key,
    next_keys,
    run_statement,
)
from prodsafe.migrations.backfill_pace import Progress, Throttle, duration
from prodsafe.migrations.files import Migration, MigrationSet
from prodsafe.migrations.ledger import read_ledger
from prodsafe.migrations.locking import LOCK_LOST, Report, migration_lock
from prodsafe.migrations.plan import BEHIND
from prodsafe.migrations.runner import connected, make_current_plan, read_all
from prodsafe.postgres import CONNECTION_LOST, UNREACHABLE, Connection

STOPPED = RefusalKind("M20", "backfill-stopped", exit_code=ExitCode.SCHEMA_NOT_READY)

RECONNECT_SECONDS = 300.0  # without one connection that held
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 10.0
_PASSING = (UNREACHABLE, CONNECTION_LOST, LOCK_LOST)

Available = Mapping[str, Sequence[Migration]]
Results = list[tuple[Migration, Progress]]


@dataclass(slots=True)
class _Outage:
    """How long the server has been away, and how long to wait before the next try."""

    began: float | None = None
    pause_seconds: float = FIRST_PAUSE_SECONDS

    def ended(self) -> None:
        self.began, self.pause_seconds = None, FIRST_PAUSE_SECONDS

    def next_pause(self) -> float | None:
        """Seconds; None when it has lasted too long."""
        now = time.monotonic()
        self.began = self.began or now
        if now - self.began > RECONNECT_SECONDS:
            return None
        pause, self.pause_seconds = self.pause_seconds, min(LONGEST_PAUSE_SECONDS, self.pause_seconds * 2)
        return pause * random.uniform(0.5, 1.5)


def backfill(
    url: str,
    sets: Sequence[MigrationSet],
    *,
    wait_seconds: float,
    throttle: Throttle,
    stop: Stop,
    report: Report,
    tell_of: Callable[[Work], Tell],
    edited: str | None = None,
) -> Results:
    """Finish what was begun, file after file. wait_seconds: for another run to end. edited: see resume().

    A lost connection is opened again, with growing pauses, for five minutes; the batch at work was rolled back with it.
    Raises SchemaNotReady (M03, M09, M10, M20 to M25) and, when the server stays away, DatabaseRefused (P01, P11).
    """
    available, outage, connected_once = read_all(sets), _Outage(), False
    finished: Results = []
    while True:
        try:
            with connected(url) as work:
                connected_once = True
                if not begun(work, available):
                    return finished
                with migration_lock(url, work, wait_seconds, report, right=BACKFILLING) as lock:
                    for migration in begun(work, available):
                        at_work = resume(work, lock, migration, throttle, report, edited=edited)
                        finished.append((migration, _finish(at_work, stop, tell_of(at_work), outage)))
                return finished
        except (DatabaseRefused, SchemaNotReady) as refused:
            pause = outage.next_pause() if connected_once and _passes(refused) else None
            if pause is None:
                raise
            report(f"{refused.refusals[0].cause}; again in {pause:.1f} s")
            stop.pause(pause)
            if stop.is_due():
                raise


def begun(conn: Connection, available: Available) -> list[Migration]:
    """The backfills that are not finished, in order. Raises SchemaNotReady where files and ledger disagree, or M03."""
    plan = make_current_plan(conn, available, read_ledger(conn))
    if plan.refusals:
        raise SchemaNotReady(*plan.refusals)
    waiting = [m for m in plan.apply if m.batch and m.key not in plan.unfinished]
    found = [m for m in plan.apply if m.batch and m.key in plan.unfinished]
    if waiting and not found:
        raise SchemaNotReady(
            BEHIND.because(
                f"not begun yet: {', '.join(m.label for m in waiting)}",
                seen=f"schema at {plan.schema}",
                mend="run python migrate_schema.py: it applies what comes before, and begins it",
            )
        )
    return found


def _finish(work: Work, stop: Stop, tell: Tell, outage: _Outage) -> Progress:
    def told(progress: Progress) -> None:
        outage.ended()
        tell(progress)

    progress = run(work, stop, told)
    if progress.finished:
        work.report(f"finished {work.label}: {progress.as_words()}")
        return progress
    why = "by a signal" if stop.asked.is_set() else "by --deadline"
    raise SchemaNotReady(
        STOPPED.because(
            f"{work.label}: stopped {why} after a whole batch; {progress.as_words()}",
            mend="prodsafe migrate backfill goes on from there",
        )
    )


def _passes(refused: DatabaseRefused | SchemaNotReady) -> bool:
    return any(refusal.kind in _PASSING for refusal in refused.refusals)


@dataclass(frozen=True, slots=True)
class Estimate:
    """One backfill, rehearsed. sample_ms: of one batch of sample_rows rows, run and rolled back."""

    migration: Migration
    progress: Progress
    rows_left: int | None
    first_key: str | None = None
    last_key: str | None = None
    size: int = 0
    sample_rows: int = 0
    sample_changed: int = 0
    sample_ms: float = 0.0

    @property
    def batches(self) -> int | None:
        return None if self.rows_left is None else math.ceil(self.rows_left / self.size)

    @property
    def seconds(self) -> float | None:
        """By the one batch, without pauses."""
        if self.rows_left is None or not self.sample_rows:
            return None
        return self.rows_left / self.sample_rows * self.sample_ms / 1000

    def as_line(self) -> str:
        if self.first_key is None:
            return f"{self.migration.label}: no row left to walk"
        left = "an unknown number of" if self.rows_left is None else f"about {self.rows_left:,}"
        p = self.progress
        lines = [f"{self.migration.label}: {left} rows of {p.table}, {p.key} {self.first_key} to {self.last_key}"]
        if p.batches:
            lines.append(f"  done: {p.as_words()}")
        lines.append(
            f"  one batch, run and rolled back: {self.sample_rows:,} rows, {self.sample_changed:,} changed,"
            f" {self.sample_ms:.0f} ms"
        )
        if self.batches is not None and self.seconds is not None:
            lines.append(f"  {self.batches:,} batches of {self.size:,}, about {duration(self.seconds)} without pauses")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, object]:
        m = self.migration
        return {
            "set": m.set_name,
            "version": m.version,
            "name": m.name,
            "progress": self.progress.as_dict(),
            "rows_left": self.rows_left,
            "first_key": self.first_key,
            "last_key": self.last_key,
            "size": self.size,
            "batches": self.batches,
            "sample": {"rows": self.sample_rows, "changed": self.sample_changed, "ms": round(self.sample_ms, 1)},
            "seconds": None if self.seconds is None else round(self.seconds, 1),
        }


def rehearse(url: str, sets: Sequence[MigrationSet], throttle: Throttle, report: Report) -> list[Estimate]:
    """An estimate of each backfill that is pending or unfinished; what it runs is rolled back.

    One whose table an earlier pending file has yet to make is told to report, and left out.
    """
    available = read_all(sets)
    with connected(url) as conn:
        plan = make_current_plan(conn, available, read_ledger(conn))
        if plan.refusals:
            raise SchemaNotReady(*plan.refusals)
        progress = store.read_progress(conn)
        found = []
        for migration in (m for m in plan.apply if m.batch):
            try:
                found.append(_estimate(conn, migration, progress.get(migration.key), throttle, report))
            except SchemaNotReady as refused:
                if migration.key in plan.unfinished:
                    raise
                report(f"{migration.label}: no estimate before the files before it ran: {refused.refusals[0].cause}")
    return found


def _estimate(
    conn: Connection, migration: Migration, done: Progress | None, throttle: Throttle, report: Report
) -> Estimate:
    batch = batch_of(migration)
    size = throttle.size or batch.size
    with failures_named(conn, migration.label, waits=True), conn.transaction(force_rollback=True):
        conn.execute(BEGIN)
        key = look_up_key(conn, migration.label, batch)
        progress = done or Progress(key.table, key.column, key.type, expected=estimated_rows(conn, key))
        keys, rows = next_keys(conn, key, progress.last_key, size)
        left = None if progress.expected is None else max(rows, progress.expected - progress.walked)
        if keys is None:
            return Estimate(migration, progress, 0, size=size)
        began = time.monotonic()
        changed = run_statement(conn, batch, key, keys)
        took_ms = (time.monotonic() - began) * 1000
        end = last_key(conn, key)
        if warning := check_statement(conn, migration.label, batch, key):
            report(f"notice: {warning}")
    return Estimate(migration, progress, left, keys[0], end, size, rows, max(0, changed), took_ms)

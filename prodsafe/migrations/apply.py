"""Applies a Plan: one runner at a time; each file in one transaction with its ledger row, or step by step. [E]

One connection holds the migration lock, another one works, a third one watches when something takes long. A kill at any
moment leaves nothing that the next run does not complete.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from typing import LiteralString

from psycopg import errors

from prodsafe.errors import Refusal, SchemaNotReady
from prodsafe.migrations.batches import Unfinished
from prodsafe.migrations.compatibility import Deferred
from prodsafe.migrations.files import Migration, MigrationSet
from prodsafe.migrations.fingerprints import find_drift, record_fingerprints
from prodsafe.migrations.holders import MustWait, keep_holders_out
from prodsafe.migrations.ledger import fenced_record, make_ledger
from prodsafe.migrations.locking import Report, migration_lock, take_fence
from prodsafe.migrations.plan import Plan, needs
from prodsafe.migrations.runner import Result, require_plan
from prodsafe.migrations.transaction import Desk, Limits, Script, lasting_pid
from prodsafe.migrations.watch import Watch
from prodsafe.postgres import Connection

# what a file SET must not reach the next one, nor the ledger
_RESET: LiteralString = "RESET SESSION AUTHORIZATION; RESET ALL"
# A crash of the server takes back the last of these commits, tables and ledger rows alike: the next run applies them.
# Whatever commits after them as usual makes them durable too, at the latest the fingerprint that ends a run.
_FLUSHED_LATER: LiteralString = "SET LOCAL synchronous_commit = off"


@dataclass(frozen=True, slots=True)
class Order:
    """What a run is asked for. backfill_seconds: for the batches of data files; the rest as in runner.migrate()."""

    sets: Sequence[MigrationSet]
    available: Mapping[str, Sequence[Migration]]
    upto: Mapping[str, int] | None
    limits: Limits
    backfill_seconds: float
    direct_url: str


def apply(url: str, work: Connection, order: Order, wait_seconds: float, report: Report) -> Result:
    """Take the lock and bring the schema up. Raises SchemaNotReady (M..)."""
    with migration_lock(url, work, wait_seconds, report) as lock, Watch(url, report) as watch:
        plan = require_plan(work, order.available, order.upto)  # another runner may have been faster
        if not plan.apply:
            return Result(plan.versions, deferred=plan.deferred, notices=plan.notices)
        # told, not refused: it may be the INVALID index, or the one made by hand, that a file is about to mend
        drifted = find_drift(work, order.sets)
        run = _Run(Desk(work, order.limits, watch, report, lasting_pid(work)), lock, take_fence(lock), order, plan)
        run.all()
        record_fingerprints(work, order.sets, files=order.available, drifted=drifted)  # its commit waits for the disk
    return run.result(drifted)


def record_late(url: str, work: Connection, sets: Sequence[MigrationSet], report: Report) -> None:
    """The fingerprint that a killed run or an older release did not record. No reason to wait, nor to fail."""
    # who holds the lock records when it ends; who may not write leaves it to the migrator that may
    with suppress(SchemaNotReady, errors.InsufficientPrivilege), migration_lock(url, work, 0.0, report):
        record_fingerprints(work, sets)


@dataclass(slots=True)
class _Run:
    """One plan at work. applied: with milliseconds; waiting: by set, what must wait after all; left: backfills."""

    desk: Desk
    lock: Connection
    fence: int
    order: Order
    plan: Plan
    applied: list[tuple[Migration, int]] = field(default_factory=list)
    waiting: dict[str, list[Deferred]] = field(default_factory=dict)
    left: list[Deferred] = field(default_factory=list)

    def all(self) -> None:
        """Everything in order. A set stops at a file that must wait after all; the other sets go on."""
        with ExitStack() as stack:
            steps = self._open_steps(stack)
            self.desk.transaction("the ledger", lambda: make_ledger(self.desk.work))
            for migration in self.plan.apply:
                self._one(migration, steps)

    def result(self, drifted: Mapping[str, Refusal]) -> Result:
        versions = dict(self.plan.versions)
        recorded = [*(migration for migration, _ in self.applied), *(each.migration for each in self.left)]
        for migration in recorded:  # an unfinished backfill may lie behind what is applied already
            versions[migration.set_name] = max(versions[migration.set_name], migration.version)
        return Result(
            versions,
            tuple(self.applied),
            (*(each for deferred in self.waiting.values() for each in deferred), *self.plan.deferred),
            (*self.plan.notices, *(f"{found.cause}; {found.mend}" for found in drifted.values())),
            tuple(self.left),
        )

    def _open_steps(self, stack: ExitStack) -> Desk:
        """Opened before anything runs, so that a pooler in the way is refused before the first file, not in between."""
        if not any(self._by_steps(migration) for migration in self.plan.apply):
            return self.desk
        from prodsafe.migrations.steps import steps_connection

        conn = stack.enter_context(steps_connection(self.order.direct_url, self.desk.report))
        return replace(self.desk, work=conn, pid=conn.info.backend_pid)

    def _by_steps(self, migration: Migration) -> bool:
        return not migration.batch and (not migration.transactional or migration.key in self.plan.unfinished)

    def _one(self, migration: Migration, steps: Desk) -> None:
        if ahead := self.waiting.get(migration.set_name):
            ahead.append(Deferred(migration, f"comes after {ahead[0].migration.label}"))
            return
        try:
            if needed := next((each.migration for each in self.left if needs(migration, each.migration)), None):
                raise MustWait(f"needs {needed.label}, which is not finished")
            self.applied.append((migration, self._apply(migration, steps)))
        except MustWait as waits:
            self.waiting[migration.set_name] = [Deferred(migration, str(waits))]
        except Unfinished as unfinished:
            self.left.append(Deferred(migration, str(unfinished)))

    def _apply(self, migration: Migration, steps: Desk) -> int:
        row = self.plan.unfinished.get(migration.key)
        if migration.batch:
            from prodsafe.migrations.backfill import deploy

            return deploy(self.desk, self.lock, migration, row, time.monotonic() + self.order.backfill_seconds)
        if self._by_steps(migration):
            from prodsafe.migrations.steps import run_steps

            return run_steps(steps, self.lock, migration, row)
        return self._apply_whole(migration)

    def _apply_whole(self, migration: Migration) -> int:
        """Run one file and record it, all or nothing; the milliseconds of the try that succeeded."""
        work = self.desk.work

        def keep_out() -> None:
            work.execute(_RESET)  # the file's role and search_path are not for looking at leases
            keep_holders_out(work, migration)

        flushed = [_FLUSHED_LATER] if migration.kind == "expand" else []
        took = self.desk.transaction(
            migration.label,
            keep_out if migration.kind == "contract" else None,
            first=Script(migration.sql, migration.statements),
            last=[_RESET, *flushed, fenced_record(work, migration, self.fence)],
        )
        self.desk.report(f"applied {migration.label} in {took} ms")
        return int(took)

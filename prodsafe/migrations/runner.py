"""Applies a Plan: one runner at a time; each file in one transaction with its ledger row, or step by step. [E]

One connection holds the migration lock, another one works, a third one watches when something takes long. A kill at any
moment leaves nothing that the next run does not complete.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace

from psycopg import errors

from prodsafe.errors import SchemaNotReady
from prodsafe.migrations.batches import Unfinished
from prodsafe.migrations.compatibility import Deferred
from prodsafe.migrations.files import Migration, MigrationSet, load
from prodsafe.migrations.fingerprints import find_drift, is_recorded, record_fingerprints
from prodsafe.migrations.holders import MustWait, keep_holders_out, live_holders
from prodsafe.migrations.ledger import make_ledger, read_ledger, record, recorded_text, rewrite
from prodsafe.migrations.locking import Report, migration_lock, require_held
from prodsafe.migrations.plan import EDITED, NO_SUCH_MIGRATION, Applied, Key, Plan, changed, make_plan, needs
from prodsafe.migrations.standing import Standing, standings
from prodsafe.migrations.transaction import Desk, Limits
from prodsafe.migrations.watch import Watch
from prodsafe.postgres import Connection, connect, lost_connections_refused

TABLE_LOCK_SECONDS, RUN_SECONDS, BACKFILL_SECONDS = 120.0, 3600.0, 20.0

_RESET = b";RESET SESSION AUTHORIZATION; RESET ALL"  # what a file SET must not reach the next one, nor the ledger


@dataclass(frozen=True, slots=True)
class Result:
    """What a run did. applied: in order, with milliseconds; versions: of each set now.

    deferred: what waits. unfinished: backfills that were begun and take longer than a deploy should.
    """

    versions: dict[str, int]
    applied: tuple[tuple[Migration, int], ...] = ()
    deferred: tuple[Deferred, ...] = ()
    notices: tuple[str, ...] = ()
    unfinished: tuple[Deferred, ...] = ()

    @property
    def summary(self) -> str:
        schema = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        idle = not self.applied and not self.unfinished
        done = "nothing to do" if idle else f"{len(self.applied)} applied"
        left = f"; {len(self.unfinished)} unfinished" if self.unfinished else ""
        waiting = f"; {len(self.deferred)} deferred" if self.deferred else ""
        return f"{done}{left}{waiting}: schema at {schema}"

    def as_dict(self) -> dict[str, object]:
        applied = [{"set": m.set_name, "version": m.version, "name": m.name, "ms": ms} for m, ms in self.applied]
        return {
            "ok": True,
            "versions": self.versions,
            "applied": applied,
            "deferred": [each.as_dict() for each in self.deferred],
            "unfinished": [each.as_dict() for each in self.unfinished],
            "notices": list(self.notices),
        }


def migrate(
    url: str,
    sets: Sequence[MigrationSet],
    *,
    wait_seconds: float,
    report: Report,
    table_lock_seconds: float = TABLE_LOCK_SECONDS,
    run_seconds: float = RUN_SECONDS,
    backfill_seconds: float = BACKFILL_SECONDS,
    upto: Mapping[str, int] | None = None,
    direct_url: str | None = None,
) -> Result:
    """Bring the schema up to the files. With nothing to do it takes no lock.

    wait_seconds: for another runner to end; table_lock_seconds: for the tables of one file, all tries together;
    run_seconds: for everything. backfill_seconds: for the batches of data files; what is left stays for
    `prodsafe migrate backfill`, and the files behind it that do not need it go on. upto: the last version wanted of a
    set. direct_url: where `url` leads to a pooler, the address for statements that run outside transactions. report
    is told each step as it happens.
    Raises SchemaNotReady (M.., exit 4) or DatabaseRefused (P.., exit 1 or 6).
    """
    available = load_all(sets)
    limits = Limits(table_lock_seconds, time.monotonic() + run_seconds)
    with connected(url) as work:
        plan = _read_plan(work, available, upto)
        if plan.apply:
            with migration_lock(url, work, wait_seconds, report) as lock, Watch(url, report) as watch:
                plan = _read_plan(work, available, upto)  # another runner may have been faster
                desk = Desk(work, limits, watch, report)
                result = _Run(desk, lock, direct_url or url, backfill_seconds).apply(plan, sets)
        else:
            result = Result(plan.versions, deferred=plan.deferred, notices=plan.notices)
            if not is_recorded(work, sets):
                _record_late(url, work, sets, report)
    for left in result.unfinished:
        report(f"unfinished {left.migration.label}: {left.because}; prodsafe migrate backfill goes on")
    for waiting in result.deferred:
        report(f"deferred {waiting.migration.label}: {waiting.because}; a later run applies it")
    for notice in result.notices:
        report(f"notice: {notice}")
    return result


def _record_late(url: str, work: Connection, sets: Sequence[MigrationSet], report: Report) -> None:
    """The fingerprint that a killed run or an older release did not record. No reason to wait, nor to fail."""
    # who holds the lock records when it ends; who may not write leaves it to the migrator that may
    with suppress(SchemaNotReady, errors.InsufficientPrivilege), migration_lock(url, work, 0.0, report):
        record_fingerprints(work, sets)


def repair(url: str, target: MigrationSet, version: int, *, wait_seconds: float, report: Report) -> None:
    """Record the present text of one applied file whose meaning is what ran. Raises SchemaNotReady (M06, M19)."""
    file = next((file for file in load(target) if file.version == version), None)
    limits = Limits(TABLE_LOCK_SECONDS, time.monotonic() + RUN_SECONDS)
    with (
        connected(url) as work,
        migration_lock(url, work, wait_seconds, report) as lock,
        Watch(url, report) as watch,
    ):
        row = next((row for row in read_ledger(work) if row.key == (target.name, version)), None)
        if file is None or row is None or row.running:
            raise SchemaNotReady(
                NO_SUCH_MIGRATION.because(
                    f"{target.name}={version} is not an applied file", mend="see prodsafe migrate status"
                )
            )
        plan = make_plan({target.name: [file]}, [row], reworded=_compared(work, {target.name: [file]}, [row]))
        if edited := [refusal for refusal in plan.refusals if refusal.kind is EDITED]:
            raise SchemaNotReady(*edited)

        def write() -> None:
            make_ledger(work)
            rewrite(work, file)
            require_held(lock)

        Desk(work, limits, watch, report).transaction(file.label, write)
    report(f"recorded the present text of {file.label}; what it says is what ran")


def plan_for(url: str, sets: Sequence[MigrationSet], *, upto: Mapping[str, int] | None = None) -> Plan:
    """What migrate() would do now. Changes nothing."""
    available = load_all(sets)
    with connected(url) as conn:
        return make_current_plan(conn, available, read_ledger(conn), upto)


def status_for(url: str, sets: Sequence[MigrationSet]) -> tuple[Plan, list[Standing]]:
    """What migrate() would do now, and every migration with where it stands. Changes nothing."""
    available = load_all(sets)
    with connected(url) as conn:
        applied = read_ledger(conn)
        plan = make_current_plan(conn, available, applied)
        progress = _progress(conn, plan)
    return plan, standings(available, applied, plan, progress)


def _progress(conn: Connection, plan: Plan) -> dict[Key, str]:
    if not any(migration.batch for migration in plan.apply if migration.key in plan.unfinished):
        return {}
    from prodsafe.migrations.backfill_store import read_progress

    return {key: found.as_words() for key, found in read_progress(conn).items()}


def make_current_plan(
    conn: Connection,
    available: Mapping[str, Sequence[Migration]],
    applied: Sequence[Applied],
    upto: Mapping[str, int] | None = None,
) -> Plan:
    """The plan with what only the database knows: who holds a lease, and the texts that ran; both asked when needed."""
    reworded = _compared(conn, available, applied)
    plan = make_plan(available, applied, reworded=reworded, upto=upto)
    if not any(migration.kind == "contract" for migration in plan.apply):
        return plan
    return make_plan(available, applied, reworded=reworded, upto=upto, holders=live_holders(conn))


def load_all(sets: Sequence[MigrationSet]) -> dict[str, list[Migration]]:
    return {each.name: load(each) for each in sets}


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """A connection under the runner's name; its loss is a refusal (P11)."""
    conn = connect(url, application_name="prodsafe/migrate")
    try:
        with lost_connections_refused(conn):
            yield conn
    finally:
        conn.close()


def _read_plan(conn: Connection, available: dict[str, list[Migration]], upto: Mapping[str, int] | None) -> Plan:
    plan = make_current_plan(conn, available, read_ledger(conn), upto)
    if plan.refusals:
        raise SchemaNotReady(*plan.refusals)
    return plan


def _compared(
    conn: Connection, available: Mapping[str, Sequence[Migration]], applied: Sequence[Applied]
) -> dict[Key, str]:
    doubtful = changed(available, applied)
    if not doubtful:
        return {}
    from prodsafe.migrations.meaning import compare

    return {file.key: compare(recorded_text(conn, file.key), row.checksum, file.sql) for file, row in doubtful}


def _reached(plan: Plan, recorded: Sequence[Migration]) -> dict[str, int]:
    versions = dict(plan.versions)
    for migration in recorded:  # an unfinished backfill may lie behind what is applied already
        versions[migration.set_name] = max(versions[migration.set_name], migration.version)
    return versions


@dataclass(frozen=True, slots=True)
class _Run:
    desk: Desk
    lock: Connection
    direct_url: str
    backfill_seconds: float

    def apply(self, plan: Plan, sets: Sequence[MigrationSet]) -> Result:
        """Everything in order. A set stops at a file that must wait after all; the other sets go on."""
        if not plan.apply:
            return Result(plan.versions, deferred=plan.deferred, notices=plan.notices)
        # told, not refused: it may be the INVALID index, or the one made by hand, that a file is about to mend
        drifted = find_drift(self.desk.work, sets)
        applied: list[tuple[Migration, int]] = []
        waiting: dict[str, list[Deferred]] = {}
        left: list[Deferred] = []
        with ExitStack() as stack:
            steps = self._open_steps(plan, stack)
            self.desk.transaction("the ledger", lambda: make_ledger(self.desk.work))
            for migration in plan.apply:
                if ahead := waiting.get(migration.set_name):
                    ahead.append(Deferred(migration, f"comes after {ahead[0].migration.label}"))
                    continue
                try:
                    if needed := next((each.migration for each in left if needs(migration, each.migration)), None):
                        raise MustWait(f"needs {needed.label}, which is not finished")
                    applied.append((migration, self._apply(migration, plan, steps)))
                except MustWait as waits:
                    waiting[migration.set_name] = [Deferred(migration, str(waits))]
                except Unfinished as unfinished:
                    left.append(Deferred(migration, str(unfinished)))
        record_fingerprints(self.desk.work, sets, drifted=drifted)
        return Result(
            _reached(plan, [*(migration for migration, _ in applied), *(each.migration for each in left)]),
            tuple(applied),
            (*(each for deferred in waiting.values() for each in deferred), *plan.deferred),
            (*plan.notices, *(f"{found.cause}; {found.mend}" for found in drifted.values())),
            tuple(left),
        )

    def _open_steps(self, plan: Plan, stack: ExitStack) -> Desk:
        """Opened before anything runs, so that a pooler in the way is refused before the first file, not in between."""
        if not any(self._by_steps(migration, plan) for migration in plan.apply):
            return self.desk
        from prodsafe.migrations.steps import steps_connection

        return replace(self.desk, work=stack.enter_context(steps_connection(self.direct_url, self.desk.report)))

    def _by_steps(self, migration: Migration, plan: Plan) -> bool:
        return not migration.batch and (not migration.transactional or migration.key in plan.unfinished)

    def _apply(self, migration: Migration, plan: Plan, steps: Desk) -> int:
        if migration.batch:
            from prodsafe.migrations.backfill import deploy

            row = plan.unfinished.get(migration.key)
            return deploy(self.desk, self.lock, migration, row, time.monotonic() + self.backfill_seconds)
        if self._by_steps(migration, plan):
            from prodsafe.migrations.steps import run_steps

            return run_steps(steps, self.lock, migration, plan.unfinished.get(migration.key))
        return self._apply_whole(migration)

    def _apply_whole(self, migration: Migration) -> int:
        """Run one file and record it, all or nothing; the milliseconds of the try that succeeded."""
        work, duration_ms = self.desk.work, 0

        def run() -> None:
            nonlocal duration_ms
            began = time.monotonic()
            work.execute(migration.sql.encode() + _RESET)  # one round trip
            duration_ms = round((time.monotonic() - began) * 1000)
            keep_holders_out(work, migration)
            record(work, migration, duration_ms)
            require_held(self.lock)

        self.desk.transaction(migration.label, run, sql=migration.sql)
        self.desk.report(f"applied {migration.label} in {duration_ms} ms")
        return duration_ms

"""Brings a schema up to its files, or says what doing so would mean; one runner at a time. [S]

Nothing to do is the usual case, and costs what looking costs: all that works (apply.py) is imported when there is work.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prodsafe.errors import SchemaNotReady
from prodsafe.migrations.compatibility import Deferred
from prodsafe.migrations.files import Migration, MigrationSet, read
from prodsafe.migrations.fingerprints import is_recorded
from prodsafe.migrations.holders import live_holders
from prodsafe.migrations.ledger import read_ledger, recorded_text
from prodsafe.migrations.plan import Applied, Key, Plan, changed, make_plan, unasked
from prodsafe.postgres import Connection, connect, lost_connections_refused

if TYPE_CHECKING:
    from prodsafe.migrations.locking import Report
    from prodsafe.migrations.standing import Standing

TABLE_LOCK_SECONDS, RUN_SECONDS, BACKFILL_SECONDS = 120.0, 3600.0, 20.0


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
    ends_at = time.monotonic() + run_seconds
    available = read_all(sets)
    with connected(url) as work:
        plan = require_plan(work, available, upto)
        if plan.apply:
            from prodsafe.migrations.apply import Order, apply
            from prodsafe.migrations.transaction import Limits

            limits = Limits(table_lock_seconds, ends_at)
            order = Order(sets, available, upto, limits, backfill_seconds, direct_url or url)
            result = apply(url, work, order, wait_seconds, report)
        else:
            result = Result(plan.versions, deferred=plan.deferred, notices=plan.notices)
            if not is_recorded(work, sets, plan.versions):
                from prodsafe.migrations.apply import record_late

                record_late(url, work, sets, report)
    for left in result.unfinished:
        report(f"unfinished {left.migration.label}: {left.because}; prodsafe migrate backfill goes on")
    for waiting in result.deferred:
        report(f"deferred {waiting.migration.label}: {waiting.because}; a later run applies it")
    for notice in result.notices:
        report(f"notice: {notice}")
    return result


def plan_for(url: str, sets: Sequence[MigrationSet], *, upto: Mapping[str, int] | None = None) -> Plan:
    """What migrate() would do now. Changes nothing."""
    available = read_all(sets)
    with connected(url) as conn:
        return make_current_plan(conn, available, read_ledger(conn), upto)


def status_for(url: str, sets: Sequence[MigrationSet]) -> tuple[Plan, list[Standing]]:
    """What migrate() would do now, and every migration with where it stands. Changes nothing."""
    available = read_all(sets)
    with connected(url) as conn:
        applied = read_ledger(conn)
        plan = make_current_plan(conn, available, applied)
        progress = _progress(conn, plan)
    from prodsafe.migrations.standing import standings

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
    """The plan with what only the database knows: who holds a lease, and the texts that ran; both asked when needed.

    Raises SchemaNotReady (M01, M02) for files that did not run yet and cannot.
    """
    if never_ran := unasked(available, applied):
        from prodsafe.migrations.checks import check

        if refusals := check(never_ran):
            raise SchemaNotReady(*refusals)
    reworded = compared(conn, available, applied)
    plan = make_plan(available, applied, reworded=reworded, upto=upto)
    if not any(migration.kind == "contract" for migration in plan.apply):
        return plan
    return make_plan(available, applied, reworded=reworded, upto=upto, holders=live_holders(conn))


def read_all(sets: Sequence[MigrationSet]) -> dict[str, list[Migration]]:
    """The files of each set, by name. What those say that never ran is checked by make_current_plan()."""
    return {each.name: read(each) for each in sets}


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """A connection under the runner's name; its loss is a refusal (P11)."""
    conn = connect(url, application_name="prodsafe/migrate")
    try:
        with lost_connections_refused(conn):
            yield conn
    finally:
        conn.close()


def require_plan(
    conn: Connection, available: Mapping[str, Sequence[Migration]], upto: Mapping[str, int] | None
) -> Plan:
    plan = make_current_plan(conn, available, read_ledger(conn), upto)
    if plan.refusals:
        raise SchemaNotReady(*plan.refusals)
    return plan


def compared(
    conn: Connection, available: Mapping[str, Sequence[Migration]], applied: Sequence[Applied]
) -> dict[Key, str]:
    doubtful = changed(available, applied)
    if not doubtful:
        return {}
    from prodsafe.migrations.meaning import compare

    return {file.key: compare(recorded_text(conn, file.key), row.checksum, file.sql) for file, row in doubtful}

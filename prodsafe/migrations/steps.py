"""A file that is no single transaction: statement by statement, each with a mark in the ledger before and after it. [E]

Whatever moment a run ends at, the next one goes on: a statement that was begun and not marked done is looked up (an
index, a partition), or simply runs again. A plain statement of such a file is a transaction with its mark in it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors

from prodsafe.errors import SchemaNotReady
from prodsafe.migrations.files import Migration
from prodsafe.migrations.holders import keep_holders_out
from prodsafe.migrations.index_builds import IndexBuild, dropped_index, read_build, rebuild_leftovers, refuse_other
from prodsafe.migrations.ledger import mark_step, record_begun, record_finished, recorded_text
from prodsafe.migrations.locking import LOCK_HELD, Report, require_held
from prodsafe.migrations.plan import EDITED, Applied
from prodsafe.migrations.statements import QUALIFIED, Statement, Step, Way, split, steps_of
from prodsafe.migrations.transaction import LOCK_TIMEOUT_MS, SESSION_SETTINGS, Desk, failed
from prodsafe.postgres import Connection, connect, lost_connections_refused

APPLICATION_NAME = "prodsafe/migrate/steps"
GHOST_SECONDS = 5.0

_RESET = b"RESET SESSION AUTHORIZATION; RESET ALL"
_GHOSTS = """
SELECT pid FROM pg_catalog.pg_stat_activity
 WHERE datname = pg_catalog.current_database() AND application_name = %s AND pid <> pg_catalog.pg_backend_pid()
"""
# they wait for transactions to end without standing in the way of readers and writers, so they may wait for long
_PATIENT = re.compile(r".*\bconcurrently\b|vacuum(?!.*\bfull\b)", re.IGNORECASE)
_DETACH = re.compile(
    rf"alter table (?:if exists )?(?:only )?(?P<parent>{QUALIFIED}) detach partition (?P<child>{QUALIFIED})"
    " concurrently",
    re.IGNORECASE,
)
_ATTACHED = """
SELECT inhdetachpending FROM pg_catalog.pg_inherits
 WHERE inhrelid = pg_catalog.to_regclass(%s) AND inhparent = pg_catalog.to_regclass(%s)
"""


@contextmanager
def steps_connection(url: str, report: Report) -> Iterator[Connection]:
    """A direct connection, for statements that a pooler would spread over sessions (P06); no ghost of a run beside.

    The caller holds the migration lock, so whoever else has our name has lost it.
    """
    conn = connect(url, application_name=APPLICATION_NAME, direct=True, settings=SESSION_SETTINGS)
    try:
        with lost_connections_refused(conn):
            _lay_ghosts(conn, report)
            yield conn
    finally:
        conn.close()


def run_steps(desk: Desk, lock: Connection, migration: Migration, row: Applied | None) -> int:
    """The milliseconds it took; row: how far an ended run came. Raises MustWait before a contract file begins."""
    began = time.monotonic()
    steps = steps_of(migration.statements)
    done = _resume(desk, migration, steps, row) if row else 0

    def begin() -> None:
        keep_holders_out(desk.work, migration)
        record_begun(desk.work, migration)
        require_held(lock)

    desk.transaction(migration.label, begin)
    for number, step in enumerate(steps[done:], start=done):
        again = row is not None and number < row.steps_begun
        _run_step(desk, lock, migration, number, step, begun_before=again)
    duration_ms = round((time.monotonic() - began) * 1000)

    def finish() -> None:
        record_finished(desk.work, migration.key, duration_ms)
        require_held(lock)

    desk.transaction(migration.label, finish)
    desk.report(f"applied {migration.label} in {duration_ms} ms")
    return duration_ms


def _resume(desk: Desk, migration: Migration, steps: list[Step], row: Applied) -> int:
    """How many steps are done; what is done must not have been edited, what was only begun may be."""
    before = steps_of(split(recorded_text(desk.work, migration.key) or ""))
    done = row.steps_done
    if [step.statement.clean for step in before[:done]] != [step.statement.clean for step in steps[:done]]:
        raise SchemaNotReady(
            EDITED.because(
                f"{migration.label} is half done, and its first {done} statements are not the ones that ran",
                mend="bring these back from version control; what did not run yet may be changed",
            )
        )
    desk.report(f"{migration.label}: an earlier run ended after {done} of {len(steps)} statements; going on")
    changed = before[done : done + 1] != steps[done : done + 1]
    build = read_build(before[done].statement) if changed and row.steps_begun > done else None
    if build:
        _drop_invalid(desk, migration.label, build)
    return done


def _run_step(
    desk: Desk, lock: Connection, migration: Migration, number: int, step: Step, *, begun_before: bool
) -> None:
    label = f"{migration.label} line {step.statement.line}"

    def mark(done: int) -> None:
        mark_step(desk.work, migration.key, begun=number + 1, done=done)
        require_held(lock)

    if step.statement.way is Way.TRANSACTION:

        def run() -> None:
            for text in (*step.settings, step.statement.text):
                desk.work.execute(text.encode())
            desk.work.execute(_RESET)
            mark(number + 1)

        desk.transaction(label, run)
        return
    desk.transaction(label, lambda: mark(number))
    _run_alone(desk, label, step, begun_before=begun_before)
    desk.transaction(label, lambda: mark(number + 1))


def _run_alone(desk: Desk, label: str, step: Step, *, begun_before: bool) -> None:
    conn, statement, build = desk.work, step.statement, read_build(step.statement)
    with _refused(desk, label):
        for text in step.settings:
            conn.execute(text.encode())
        if build:
            _build(desk, label, step, build)
        elif begun_before and (already := _done_already(conn, statement)):
            desk.report(f"{label}: {already}")
        else:
            _rebuild(desk, label, step, _finalizing(conn, statement) or statement.text)
        conn.execute(_RESET)


def _build(desk: Desk, label: str, step: Step, build: IndexBuild) -> None:
    found = build.wait_for_others(desk.work, desk.report, desk.limits.ends_at)
    if found and not build.is_what(desk.work, found):
        raise refuse_other(label, found)
    if found and found.valid:
        desk.report(f"{label}: index {found.name} is there already, valid and as the file says")
        return
    try:
        _execute(desk, label, step, build.sql)
    except SchemaNotReady:  # an INVALID index slows down every write, and a unique one still refuses rows
        if not desk.work.closed and not desk.limits.over:
            _drop_invalid(desk, label, build)
        raise


def _rebuild(desk: Desk, label: str, step: Step, text: str) -> None:
    _drop_leftovers(desk, label, step)
    try:
        _execute(desk, label, step, text)
    except SchemaNotReady:
        if not desk.work.closed and not desk.limits.over:
            _drop_leftovers(desk, label, step)
        raise


def _done_already(conn: Connection, statement: Statement) -> str | None:
    """What shows that a statement which was begun and not marked has had its effect, in words."""
    dropped, detached = dropped_index(statement), _DETACH.match(statement.clean)
    if dropped and conn.execute("SELECT pg_catalog.to_regclass(%s) IS NULL", [dropped]).fetchone() == (True,):
        return f"index {dropped} is gone already"
    if detached and conn.execute(_ATTACHED, [detached["child"], detached["parent"]]).fetchone() is None:
        return f"{detached['child']} is detached already"
    return None


def _finalizing(conn: Connection, statement: Statement) -> str | None:
    """What ends a DETACH CONCURRENTLY that was cut off in the middle."""
    found = _DETACH.match(statement.clean)
    if not found or conn.execute(_ATTACHED, [found["child"], found["parent"]]).fetchone() != (True,):
        return None
    return f"ALTER TABLE {found['parent']} DETACH PARTITION {found['child']} FINALIZE"


def _drop_invalid(desk: Desk, label: str, build: IndexBuild) -> None:
    found = build.look_up(desk.work)
    if found and not found.valid and not found.building:
        desk.report(f"{label}: index {found.name} is INVALID, as a build that was cut off leaves it; dropping it")
        _set_timeouts(desk, label, patient=True)
        desk.work.execute(f"DROP INDEX CONCURRENTLY {found.name}".encode())


def _drop_leftovers(desk: Desk, label: str, step: Step) -> None:
    for name in rebuild_leftovers(desk.work, step.statement):
        desk.report(f"{label}: index {name} is INVALID, as a rebuild that was cut off leaves it; dropping it")
        desk.work.execute(f"DROP INDEX CONCURRENTLY {name}".encode())


def _execute(desk: Desk, label: str, step: Step, text: str) -> None:
    """One statement outside a transaction; tried again when it did not get its locks."""

    def once() -> None:
        if build := read_build(step.statement):
            _drop_invalid(desk, label, build)  # of the try before this one
        _set_timeouts(desk, label, patient=bool(_PATIENT.match(step.statement.code)))
        with desk.watch.over(label, desk.work.info.backend_pid):
            desk.work.execute(text.encode())

    desk.retry(label, once, time.monotonic() + desk.limits.table_lock_seconds)


def _set_timeouts(desk: Desk, label: str, *, patient: bool) -> None:
    """Ours after the file's: RESET ALL took them back, and a lock_timeout would cut an index build in the middle."""
    ours = {
        **SESSION_SETTINGS,
        "lock_timeout": 0 if patient else LOCK_TIMEOUT_MS,
        "statement_timeout": desk.limits.left_ms(label),
    }
    desk.work.execute("; ".join(f"SET {name} = {value}" for name, value in ours.items()).encode())


@contextmanager
def _refused(desk: Desk, label: str) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        if desk.work.closed:
            raise
        raise SchemaNotReady(failed(label, error)) from error


def _lay_ghosts(conn: Connection, report: Report) -> None:
    """The server notices in half a second that nobody is behind a killed run's session; a frozen run's is ended."""
    give_up_at, told = time.monotonic() + GHOST_SECONDS, False
    while ghosts := [pid for (pid,) in conn.execute(_GHOSTS, [APPLICATION_NAME]).fetchall()]:
        if not told:
            report(f"waiting for what an ended run left at the server: process {', '.join(map(str, ghosts))}")
            told = True
        if time.monotonic() > give_up_at:
            _end_sessions(conn, ghosts)
        time.sleep(0.05)


def _end_sessions(conn: Connection, pids: list[int]) -> None:
    try:
        conn.execute("SELECT pg_catalog.pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", [pids])
    except errors.InsufficientPrivilege as error:
        shown = ", ".join(map(str, pids))
        raise SchemaNotReady(
            LOCK_HELD.because(
                f"an ended run of another role left its session at the server: {error.diag.message_primary}",
                seen=f"server process {shown}",
                mend=f"as that role or a superuser: SELECT pg_terminate_backend(pid) for {shown}; then run again",
            )
        ) from error

"""The SQL that a run sends, as a script for psql: for a database that a person migrates by hand. [P]

A script cannot poll, try again or heal, so it takes the lock once and stops at the first error; the runner goes on from
whatever it left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prodsafe.migrations.files import Migration
from prodsafe.migrations.ledger import MAKE_LEDGER
from prodsafe.migrations.locking import LOCK_KEY
from prodsafe.migrations.statements import Statement, Step, Way, steps_of
from prodsafe.migrations.transaction import LOCK_TIMEOUT_MS, begin_sql

_HEAD = f"""\
-- Run with: psql -X -f THIS_FILE. Nothing here tries again: run it anew, or `prodsafe migrate apply`, after an error.
\\set ON_ERROR_STOP on
SET standard_conforming_strings = on;
DO $$ BEGIN
    IF NOT pg_try_advisory_lock({LOCK_KEY}) THEN RAISE EXCEPTION 'another runner migrates this database'; END IF;
END $$;

BEGIN;
{begin_sql(0)};
{MAKE_LEDGER}COMMIT;
"""
_TAIL = f"SELECT pg_advisory_unlock({LOCK_KEY});"
_RESET = "RESET SESSION AUTHORIZATION; RESET ALL;"


def as_script(migrations: Sequence[Migration]) -> str:
    """The whole script; only a comment when there is nothing to run."""
    if not migrations:
        return "-- nothing to do"
    return "\n".join([_HEAD, *(line for each in migrations for line in _file(each)), _TAIL])


def _file(migration: Migration) -> Iterator[str]:
    if migration.kind == "contract":
        yield "-- a script cannot see who holds a lease: end every worker that needs the old shape first"
    yield f"-- {migration.label}"
    if migration.batch:
        yield "-- its batches are run by: prodsafe migrate backfill"
        yield from _transaction(_record(migration, "running"))
    elif migration.transactional:
        yield from _transaction(*map(_ended, migration.statements), _RESET, _record(migration, "applied"))
    else:
        yield from _transaction(_record(migration, "running"))
        for number, step in enumerate(steps_of(migration.statements)):
            yield from _step(migration, number, step)
        yield from _transaction(_finished(migration))
    yield ""


def _step(migration: Migration, number: int, step: Step) -> Iterator[str]:
    settings = [f"{text};" for text in step.settings]
    if step.statement.way is Way.TRANSACTION:
        marked = _mark(migration, number + 1, number + 1)
        yield from _transaction(*settings, _ended(step.statement), _RESET, marked)
        return
    yield from _transaction(_mark(migration, number + 1, number))
    yield from settings
    yield f"SET lock_timeout = {0 if 'concurrently' in step.statement.code.lower() else LOCK_TIMEOUT_MS};"
    yield _ended(step.statement)
    yield _RESET
    yield from _transaction(_mark(migration, number + 1, number + 1))


def _transaction(*statements: str) -> Iterator[str]:
    yield "BEGIN;"
    yield f"{begin_sql(0)};"
    yield from statements
    yield "COMMIT;"


def _ended(statement: Statement) -> str:
    return f"{statement.text};"


def _record(m: Migration, state: str) -> str:
    values = [_quoted(m.set_name), str(m.version), *map(_quoted, (m.name, m.kind, m.checksum, m.raw_checksum, m.sql))]
    return (
        "INSERT INTO prodsafe.migration (set_name, version, name, kind, checksum, raw_checksum, content, state,"
        f" applied_by, applied_at, duration_ms)\nVALUES ({', '.join(values)}, {_quoted(state)},"
        " current_user || ' (psql)', clock_timestamp(), 0);"
    )


def _mark(m: Migration, begun: int, done: int) -> str:
    return f"UPDATE prodsafe.migration SET steps_begun = {begun}, steps_done = {done} WHERE {_where(m)};"  # noqa: S608


def _finished(m: Migration) -> str:
    return (
        "UPDATE prodsafe.migration SET state = 'applied', applied_at = clock_timestamp()"  # noqa: S608
        f" WHERE {_where(m)};"
    )


def _where(m: Migration) -> str:
    return f"(set_name, version) = ({_quoted(m.set_name)}, {m.version})"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"

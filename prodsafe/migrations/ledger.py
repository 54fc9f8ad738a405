"""The ledger prodsafe.migration: what ran, as which text, and how far a file came that is no single transaction. [E]

The runner makes and extends it by itself, since it is there before the first migration. Who writes holds the lock.
"""

from __future__ import annotations

import os
import pwd
import socket
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import UTC, datetime
from functools import cache
from typing import Any

import psycopg
from psycopg import ClientCursor, errors
from psycopg.pq import TransactionStatus

from prodsafe.errors import ExitCode, RefusalKind, SchemaNotReady
from prodsafe.migrations.files import Migration
from prodsafe.migrations.plan import Applied, Key
from prodsafe.postgres import Connection

LEDGER_UNREADABLE = RefusalKind("M12", "ledger-unreadable", exit_code=ExitCode.SCHEMA_NOT_READY)

MAKE_LEDGER = """\
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
);
ALTER TABLE prodsafe.migration
    ADD COLUMN IF NOT EXISTS state text NOT NULL DEFAULT 'applied' CHECK (state IN ('applied', 'running')),
    ADD COLUMN IF NOT EXISTS steps_begun integer NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS steps_done integer NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS content text;
"""
# content: the text that ran, so that an edited file is told from a reworded one, by whatever parser is there then
_IS_CURRENT = """
SELECT FROM pg_catalog.pg_attribute
 WHERE attrelid = pg_catalog.to_regclass('prodsafe.migration') AND attname = 'content' AND NOT attisdropped
"""
_BASE_COLUMNS = "set_name, version, name, checksum, applied_at, applied_by, duration_ms, kind, raw_checksum"
_STEP_COLUMNS = ", state, steps_begun, steps_done"
_RECORD = """
INSERT INTO prodsafe.migration AS m (set_name, version, name, kind, checksum, raw_checksum, content, state, applied_by,
                                     applied_at, duration_ms)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, current_user || %s, pg_catalog.clock_timestamp(), %s)
"""
# In the message that ends a file's transaction: how long it took by the server's clock, and NULL for who ran it, which
# the table refuses, where the fence is free, so that the session of the migration lock is gone.
_RECORD_FENCED = """
INSERT INTO prodsafe.migration (set_name, version, name, kind, checksum, raw_checksum, content, state, applied_by,
                                applied_at, duration_ms)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s,
        CASE WHEN NOT pg_catalog.pg_try_advisory_xact_lock(%s) THEN current_user || %s END,
        pg_catalog.clock_timestamp(),
        (extract(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.transaction_timestamp()) * 1000)::bigint)
RETURNING duration_ms
"""
_AGAIN = """
ON CONFLICT (set_name, version) DO UPDATE SET
    name = excluded.name, kind = excluded.kind, checksum = excluded.checksum, raw_checksum = excluded.raw_checksum,
    content = excluded.content, applied_by = excluded.applied_by
WHERE m.state = 'running'
"""


def read_ledger(conn: Connection) -> list[Applied]:
    """What was applied or begun, by set and version; [] where there is no ledger yet. Reads older ledgers too."""
    try:
        try:
            return _read(conn, _BASE_COLUMNS + _STEP_COLUMNS)
        except errors.UndefinedColumn:
            return _read(conn, _BASE_COLUMNS)
    except errors.UndefinedTable:
        return []
    except (errors.InsufficientPrivilege, errors.UndefinedColumn) as error:
        raise SchemaNotReady(
            LEDGER_UNREADABLE.because(
                f"prodsafe.migration cannot be read: {error.diag.message_primary}",
                mend="grant this user SELECT on prodsafe.migration, or run as the user that migrates",
            )
        ) from error


def _read(conn: Connection, columns: str) -> list[Applied]:
    with unspoilt(conn):
        rows = conn.execute(
            f"SELECT {columns} FROM prodsafe.migration ORDER BY set_name, version"  # noqa: S608 - constants only
        ).fetchall()
    return [_applied(*row) for row in rows]


def unspoilt(conn: Connection) -> AbstractContextManager[object]:
    """A block whose errors do not end a transaction of the caller's; outside one it costs nothing."""
    idle = conn.autocommit and conn.info.transaction_status == TransactionStatus.IDLE
    return nullcontext() if idle else conn.transaction()


def _applied(
    set_name: str, version: int, name: str, checksum: str, at: datetime, by: str, ms: int, *rest: Any
) -> Applied:
    return Applied(set_name, version, name, checksum, at.astimezone(UTC), by, ms, *rest)


def make_ledger(conn: Connection) -> None:
    """Make or extend it, inside the caller's transaction. Only where needed: ALTER TABLE would stall other readers."""
    if conn.execute(_IS_CURRENT).fetchone() is None:
        conn.execute(MAKE_LEDGER.encode())


def record(conn: Connection, migration: Migration, duration_ms: int) -> None:
    """The row of a finished file, inside the caller's transaction."""
    conn.execute(_RECORD, _values(migration, "applied", duration_ms))


def fenced_record(conn: Connection, migration: Migration, fence: int) -> str:
    """The statement that records a finished file, and returns its milliseconds, unless the lock was lost.

    fence: the key of locking.take_fence().
    """
    *values, ran_by, _ = _values(migration, "applied", 0)
    return ClientCursor(conn).mogrify(_RECORD_FENCED, [*values, fence, ran_by])


def is_lock_lost(error: psycopg.Error) -> bool:
    """Whether the statement of fenced_record() failed since nobody holds the lock."""
    place = (error.diag.schema_name, error.diag.table_name, error.diag.column_name)
    return isinstance(error, errors.NotNullViolation) and place == ("prodsafe", "migration", "applied_by")


def record_begun(conn: Connection, migration: Migration) -> None:
    """The row of a file that runs step by step; on a second run the row stays as far as it came, with today's text."""
    conn.execute(_RECORD + _AGAIN, _values(migration, "running", 0))


def mark_step(conn: Connection, key: Key, *, begun: int, done: int) -> None:
    """How far a running file came; counts of its statements."""
    conn.execute(
        "UPDATE prodsafe.migration SET steps_begun = %s, steps_done = %s"
        " WHERE (set_name, version) = (%s, %s) AND state = 'running'",
        [begun, done, *key],
    )


def record_finished(conn: Connection, key: Key, duration_ms: int) -> None:
    """duration_ms: of the run that finished it."""
    conn.execute(
        "UPDATE prodsafe.migration SET state = 'applied', applied_at = pg_catalog.clock_timestamp(), duration_ms = %s"
        " WHERE (set_name, version) = (%s, %s)",
        [duration_ms, *key],
    )


def rewrite(conn: Connection, migration: Migration) -> None:
    """Take the file's present text for the one that ran; the caller has seen that it means the same."""
    m = migration
    conn.execute(
        "UPDATE prodsafe.migration SET checksum = %s, raw_checksum = %s, content = %s"
        " WHERE (set_name, version) = (%s, %s)",
        [m.checksum, m.raw_checksum, m.sql, *m.key],
    )


def recorded_text(conn: Connection, key: Key) -> str | None:
    """The text that ran; None where an older release applied it, which did not keep it."""
    if conn.execute(_IS_CURRENT).fetchone() is None:
        return None
    row = conn.execute(
        "SELECT content FROM prodsafe.migration WHERE (set_name, version) = (%s, %s)", list(key)
    ).fetchone()
    return row[0] if row else None


def _values(m: Migration, state: str, duration_ms: int) -> list[object]:
    ran_by = f" ({_system_user()}@{socket.gethostname()} pid {os.getpid()})"
    return [*m.key, m.name, m.kind, m.checksum, m.raw_checksum, m.sql, state, ran_by, duration_ms]


@cache
def _system_user() -> str:
    with suppress(KeyError):  # a container may run under a number without a name
        return pwd.getpwuid(os.getuid()).pw_name
    return str(os.getuid())

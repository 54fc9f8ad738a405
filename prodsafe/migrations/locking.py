"""The right to migrate a database: one runner at a time, proved before each write. [E]

Held by an open READ COMMITTED transaction of its own connection, also through a pooler. Polled for, never waited for:
a blocked waiter would deadlock with the index that the holder builds concurrently.
"""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
from psycopg import IsolationLevel

from prodsafe.errors import ExitCode, Refusal, RefusalKind, SchemaNotReady
from prodsafe.postgres import Connection, connect, lost_connections_refused, require_same_database

LOCK_HELD = RefusalKind("M08", "migration-lock-held", exit_code=ExitCode.SCHEMA_NOT_READY)
LOCK_LOST = RefusalKind("M11", "migration-lock-lost", exit_code=ExitCode.SCHEMA_NOT_READY)

LOCK_KEY = int.from_bytes(hashlib.sha256(b"prodsafe migration lock 1").digest()[:8], "big", signed=True)
POLL_SECONDS, STILL_WAITING_SECONDS = 0.1, 5.0

# in ms and s: the backend of a killed or cut-off runner must not live on with the lock, and the limits that a role or
# database has by default must not end a transaction that is meant to be long
_SET_LOCAL = b"""
SET LOCAL client_connection_check_interval = 500; SET LOCAL tcp_keepalives_idle = 2;
SET LOCAL tcp_keepalives_interval = 1; SET LOCAL tcp_keepalives_count = 3; SET LOCAL tcp_user_timeout = 4000;
SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0
"""
# On the lock's connection only statements without parameters: one with parameters leaves its portal open, and so a
# snapshot that every CREATE INDEX CONCURRENTLY in the database then waits for.
_TRY_LOCK = b"SELECT pg_catalog.pg_try_advisory_xact_lock(%d)"
_TAKE = b"SELECT pg_catalog.pg_advisory_xact_lock(%d)"
_HOLDER = b"""
SELECT activity.pid, activity.application_name, activity.client_addr::text, activity.xact_start
FROM pg_catalog.pg_locks AS held JOIN pg_catalog.pg_stat_activity AS activity USING (pid)
WHERE held.locktype = 'advisory' AND held.granted AND held.objsubid = 1
  AND held.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
  AND (held.classid::bigint << 32 | held.objid::bigint) = %d
"""

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Right:
    """One of the rights to change a database, each for one process at a time. doing: what its holder does, in words."""

    key: int
    held: RefusalKind
    doing: str


MIGRATING = Right(LOCK_KEY, LOCK_HELD, "migrates this database")


@contextmanager
def migration_lock(
    url: str, work: Connection, wait_seconds: float, report: Report, *, right: Right = MIGRATING
) -> Iterator[Connection]:
    """The lock's connection, until the block ends. Raises SchemaNotReady (M08, or of that right) after wait_seconds."""
    conn = connect(url, application_name="prodsafe/migrate")
    try:
        with lost_connections_refused(conn):
            require_same_database(conn, work)
            # READ COMMITTED: an idle transaction then holds no snapshot that others would have to wait for
            conn.isolation_level, conn.read_only, conn.autocommit = IsolationLevel.READ_COMMITTED, False, False
            conn.execute(_SET_LOCAL)
            _poll(conn, right, wait_seconds, report)
            yield conn
    finally:
        conn.close()


def try_right(lock: Connection, right: Right) -> bool:
    """One more right beside the one that this connection holds, if nobody has it; until its (sub)transaction ends."""
    return lock.execute(_TRY_LOCK % right.key).fetchone() == (True,)


def take_fence(lock: Connection) -> int:
    """The key of a lock that lives exactly as long as the migration lock, and that no other run has ever had.

    Who can take it knows that this run lost its right: one look at one lock, where pg_locks would list them all.
    """
    key = int.from_bytes(os.urandom(8), "big", signed=True)
    lock.execute(_TAKE % key)
    return key


def lock_lost() -> Refusal:
    return LOCK_LOST.because(
        "the connection that held the migration lock ended; what was at work is not recorded",
        mend="run the same command again",
    )


def require_held(lock: Connection) -> None:
    """The lock lives as long as its transaction: asked before each commit, so that who lost it records nothing."""
    try:
        lock.execute("SELECT 1")
    except psycopg.OperationalError as error:
        raise SchemaNotReady(lock_lost()) from error


def _poll(lock: Connection, right: Right, wait_seconds: float, report: Report) -> None:
    began = tell_at = time.monotonic()
    while not try_right(lock, right):
        now = time.monotonic()
        if now - began >= wait_seconds:
            raise SchemaNotReady(
                right.held.because(
                    f"another runner {right.doing}: {_holder(lock, right)}; waited {now - began:.1f} s",
                    mend="let it end and run again, or wait longer with --wait SECONDS",
                )
            )
        if now >= tell_at:
            report(f"waiting for another runner: {_holder(lock, right)}")
            tell_at = now + STILL_WAITING_SECONDS
        time.sleep(POLL_SECONDS * random.uniform(0.5, 1.5))  # many runners must not ask in step


def _holder(lock: Connection, right: Right) -> str:
    row = lock.execute(_HOLDER % right.key).fetchone()
    if row is None:
        return "one that is just ending"
    pid, application, address, since = row
    began = f" since {since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if isinstance(since, datetime) else ""
    return f"{application or 'a session'} from {address or 'the server itself'}, server process {pid}{began}"

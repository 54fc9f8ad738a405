"""One transaction of the runner: short waits for tables, tried again until time is up, and what its errors mean. [E]"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg
from psycopg import errors

from prodsafe.errors import ExitCode, Refusal, RefusalKind, SchemaNotReady
from prodsafe.migrations.locking import Report
from prodsafe.migrations.watch import Watch
from prodsafe.postgres import Connection

FAILED = RefusalKind("M09", "migration-failed", exit_code=ExitCode.SCHEMA_NOT_READY)
TABLE_BUSY = RefusalKind("M10", "table-lock-never-came", exit_code=ExitCode.SCHEMA_NOT_READY)
OUT_OF_TIME = RefusalKind("M18", "migration-out-of-time", exit_code=ExitCode.SCHEMA_NOT_READY)

LOCK_TIMEOUT_MS = 400  # also the longest that a reader stalls behind our queued ALTER
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 5.0

MENDS = {  # by SQLSTATE, where the file is not to blame
    "25006": "give the address of the primary, this server only reads",
    "42501": "grant this user what it lacks, or migrate as the owner of the tables",
    "53100": "make room on the server's disk",
    "53200": "give the server memory",
    "53300": "free some of the server's connections",
    "57014": "find out who cancelled it, or which statement_timeout of the file",
}
_CORRECT = "correct the file (what failed was rolled back; where it runs statement by statement, those before it stay)"
# in ms and s: a killed or cut-off runner's backend must not live on, and a role's own limits must not end a long one
SESSION_SETTINGS = {
    "client_connection_check_interval": 500,
    "tcp_keepalives_idle": 2,
    "tcp_keepalives_interval": 1,
    "tcp_keepalives_count": 3,
    "tcp_user_timeout": 4000,
    "idle_in_transaction_session_timeout": 0,
}
_SET_LOCAL = "; ".join(f"SET LOCAL {name} = {value}" for name, value in SESSION_SETTINGS.items())


def begin_sql(statement_timeout_ms: int) -> str:
    """What every transaction of the runner begins with, after BEGIN."""
    timeouts = f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}; SET LOCAL statement_timeout = {statement_timeout_ms}"
    return f"{_SET_LOCAL}; {timeouts}"


@dataclass(frozen=True, slots=True)
class Limits:
    """table_lock_seconds: for the tables of one file, all tries together. ends_at: of the whole run, monotonic."""

    table_lock_seconds: float
    ends_at: float

    def left_ms(self, label: str) -> int:
        """What is left of the run's time, at least 1. Raises SchemaNotReady (M18) when nothing is."""
        left = self.ends_at - time.monotonic()
        if left <= 0:
            raise SchemaNotReady(out_of_time(label))
        return max(1, min(round(left * 1000), 2**31 - 1))

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.ends_at


@dataclass(frozen=True, slots=True)
class Desk:
    """What every piece of the runner's work needs: the connection that works, and who tells and watches."""

    work: Connection
    limits: Limits
    watch: Watch
    report: Report

    def transaction(self, label: str, run: Callable[[], object], *, sql: str = "") -> None:
        """Run in one transaction; a busy table or a deadlock is tried again, with growing pauses, until time is up."""
        give_up_at = time.monotonic() + self.limits.table_lock_seconds

        def once() -> None:
            begin = begin_sql(self.limits.left_ms(label))
            with self.work.transaction():
                pid = _backend_pid(self.work, begin)
                with self.watch.over(label, pid):
                    run()

        self.retry(label, once, give_up_at, sql=sql)

    def retry(self, label: str, once: Callable[[], None], give_up_at: float, *, sql: str = "") -> None:
        """`once` until it gets its locks; any other error of the server is a refusal that names it."""
        pause_seconds = FIRST_PAUSE_SECONDS
        while True:
            try:
                return once()
            except (errors.LockNotAvailable, errors.DeadlockDetected) as error:
                pause = pause_seconds * random.uniform(0.5, 1.5)
                who = f" held by {self.watch.blockers}" if self.watch.blockers else ""
                if time.monotonic() + pause > min(give_up_at, self.limits.ends_at):
                    in_time = give_up_at <= self.limits.ends_at
                    busy = _table_busy(label, self.limits.table_lock_seconds, error, who)
                    raise SchemaNotReady(busy if in_time else out_of_time(label, self.watch.blockers)) from error
                self.report(f"{label}: {error.diag.message_primary}{who}; again in {pause:.1f} s")
                time.sleep(pause)
                pause_seconds = min(pause_seconds * 2, LONGEST_PAUSE_SECONDS)
            except psycopg.Error as error:
                if self.work.closed:  # not the file's fault: whoever opened the connection says so
                    raise
                cut = isinstance(error, errors.QueryCanceled) and self.limits.over
                late = out_of_time(label, self.watch.blockers) if cut else None
                raise SchemaNotReady(late or failed(label, sql, error)) from error


def failed(label: str, sql: str, error: psycopg.Error, *, first_line: int = 1) -> Refusal:
    """sql: what the error's position counts in; first_line: of that text in its file."""
    diag = error.diag
    line = (
        sql.count("\n", 0, int(diag.statement_position) - 1) + first_line if sql and diag.statement_position else None
    )
    said = [diag.message_primary or str(error).strip(), diag.message_detail, diag.message_hint, diag.context]
    return FAILED.because(
        f"{label}{f', line {line}' if line else ''}: {'; '.join(part for part in said if part)} ({diag.sqlstate})",
        mend=MENDS.get(diag.sqlstate or "", _CORRECT) + "; run again",
    )


def out_of_time(label: str, blockers: str = "") -> Refusal:
    who = f" while it waited for {blockers}" if blockers else ""
    return OUT_OF_TIME.because(
        f"{label}: the time of the whole run was over{who}; the next run heals what this one left",
        mend="end what it waited for; run again, with a longer --deadline SECONDS if need be",
    )


def _table_busy(label: str, seconds: float, error: psycopg.Error, who: str) -> Refusal:
    return TABLE_BUSY.because(
        f"{label}: other sessions kept its tables busy for {seconds:.0f} s{who}; rolled back",
        seen=str(error.diag.message_primary),
        mend="end the long transactions (pg_stat_activity, xact_start), then run again",
    )


def _backend_pid(work: Connection, begin: str) -> int:
    """One round trip for the settings and the server process, which a pooler gives anew for each transaction."""
    cursor = work.execute(f"{begin}; SELECT pg_catalog.pg_backend_pid()".encode())
    while cursor.nextset():
        pass
    row = cursor.fetchone()
    return int(row[0]) if row else 0

"""One transaction of the runner: short waits for tables, tried again until time is up, and what its errors mean. [E]"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from psycopg import errors

from prodsafe.errors import ExitCode, Refusal, RefusalKind, SchemaNotReady
from prodsafe.migrations.ledger import is_lock_lost
from prodsafe.migrations.locking import Report, lock_lost
from prodsafe.migrations.message import Sent, send
from prodsafe.migrations.statements import Statement
from prodsafe.postgres import Connection

if TYPE_CHECKING:
    from prodsafe.migrations.watch import Watch

FAILED = RefusalKind("M09", "migration-failed", exit_code=ExitCode.SCHEMA_NOT_READY)
TABLE_BUSY = RefusalKind("M10", "table-lock-never-came", exit_code=ExitCode.SCHEMA_NOT_READY)
OUT_OF_TIME = RefusalKind("M18", "migration-out-of-time", exit_code=ExitCode.SCHEMA_NOT_READY)

BUSY = (errors.LockNotAvailable, errors.DeadlockDetected)

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
_NEXT = "; "  # between the statements of a message of ours, and in none of them
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

    def left_ms(self, label: str, blockers: str = "") -> int:
        """What is left of the run's time, at least 1. Raises SchemaNotReady (M18) when nothing is.

        blockers: who was in the way before.
        """
        left = self.ends_at - time.monotonic()
        if left <= 0:
            raise SchemaNotReady(out_of_time(label, blockers))
        return max(1, min(round(left * 1000), 2**31 - 1))

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.ends_at


@dataclass(frozen=True, slots=True)
class Script:
    """The text of a file and the statements in it, to be sent as it is."""

    text: str
    statements: Sequence[Statement]

    def failing_line(self, sent: Sent, before: str) -> int | None:
        """The line, from 1, of the statement that failed, where this text was sent behind `before`.

        By the place that the server gives, which only errors of parsing have, or else by how many succeeded.
        """
        position = sent.error and sent.error.diag.statement_position
        place = int(position) - len(before) if position else 0
        if 0 < place <= len(self.text):
            return self.text.count("\n", 0, place - 1) + 1
        number = -1 if place else sent.done - before.count(_NEXT)
        return self.statements[number].line if 0 <= number < len(self.statements) else None


NOTHING = Script("", ())


class StatementFailed(Exception):
    """An error of the server, and the line of the file that it is about."""

    def __init__(self, error: psycopg.Error, line: int | None) -> None:
        super().__init__(str(error))
        self.error, self.line = error, line


@dataclass(frozen=True, slots=True)
class Desk:
    """What every piece of the runner's work needs: the connection that works, and who tells and watches.

    pid: the server process behind `work`; None where a pooler gives each transaction another one.
    """

    work: Connection
    limits: Limits
    watch: Watch
    report: Report
    pid: int | None

    def transaction(
        self, label: str, run: Callable[[], object] | None = None, *, first: Script = NOTHING, last: Sequence[str] = ()
    ) -> str:
        """`first`, run() and `last` in one transaction; the value that `last` returns, "" for none.

        A busy table or a deadlock is tried again, with growing pauses, until time is up.
        """
        value = ""

        def once() -> None:
            nonlocal value
            with self._begun(label) as begin:
                if run or not self._agrees_on_quotes:
                    self._send(begin, first)
                    if run:
                        run()
                    value = self._send("", NOTHING, [*last, "COMMIT"])
                else:  # in one message: half of what a small file costs is the way to the server
                    value = self._send(begin, first, [*last, "COMMIT"])

        self.retry(label, once, time.monotonic() + self.limits.table_lock_seconds)
        return value

    def retry(self, label: str, once: Callable[[], None], give_up_at: float) -> None:
        """`once` until it gets its locks; any other error of the server is a refusal that names it."""
        pause_seconds = FIRST_PAUSE_SECONDS
        while True:
            try:
                return once()
            except (psycopg.Error, StatementFailed) as caught:
                error, line = (caught, None) if isinstance(caught, psycopg.Error) else (caught.error, caught.line)
                if self.work.closed:  # not the file's fault: whoever opened the connection says so
                    raise error from None
                if not isinstance(error, BUSY):
                    raise SchemaNotReady(self._refusal(label, error, line)) from error
                pause = pause_seconds * random.uniform(0.5, 1.5)
                if time.monotonic() + pause > min(give_up_at, self.limits.ends_at):
                    raise SchemaNotReady(self._gave_up(label, error, give_up_at)) from error
                self.report(f"{label}: {error.diag.message_primary}{self._who}; again in {pause:.1f} s")
                time.sleep(pause)
                pause_seconds = min(pause_seconds * 2, LONGEST_PAUSE_SECONDS)

    @contextmanager
    def _begun(self, label: str) -> Iterator[str]:
        """A watched transaction, or what is to be sent to begin it; an exception rolls it back."""
        left_ms = self.limits.left_ms(label, self.watch.blockers)
        begin, pid = f"BEGIN{_NEXT}{begin_sql(left_ms)}{_NEXT}", self.pid
        try:
            if pid is None:
                self._send(begin)
                begin, pid = "", _backend_pid(self.work)
            with self.watch.over(label, pid):
                yield begin
        except BaseException:  # an interrupt too must not leave a transaction open
            with suppress(psycopg.Error):  # the first error tells more
                self.work.rollback()
            raise

    @property
    def _agrees_on_quotes(self) -> bool:
        """Whether server and lexer see a quoted text end at the same place; else nothing may stand behind a file."""
        return self.work.info.parameter_status("standard_conforming_strings") == "on"

    def _send(self, before: str, script: Script = NOTHING, after: Sequence[str] = ()) -> str:
        text = "\n;".join([before + script.text, _NEXT.join(after)])
        sent = send(self.work, text)
        if sent.error:
            raise StatementFailed(sent.error, script.failing_line(sent, before)) from sent.error
        return sent.value

    @property
    def _who(self) -> str:
        return f" held by {self.watch.blockers}" if self.watch.blockers else ""

    def _refusal(self, label: str, error: psycopg.Error, line: int | None) -> Refusal:
        cut = isinstance(error, errors.QueryCanceled) and self.limits.over
        if is_lock_lost(error):
            return lock_lost()
        return out_of_time(label, self.watch.blockers) if cut else failed(label, error, line=line)

    def _gave_up(self, label: str, error: psycopg.Error, give_up_at: float) -> Refusal:
        if give_up_at > self.limits.ends_at:
            return out_of_time(label, self.watch.blockers)
        return _table_busy(label, self.limits.table_lock_seconds, error, self._who)


def failed(label: str, error: psycopg.Error, *, line: int | None = None) -> Refusal:
    """line: of the file, from 1; the server's words follow, with where in a function it was."""
    diag = error.diag
    said = [diag.message_primary or str(error).strip(), diag.message_detail, diag.message_hint, diag.context]
    return FAILED.because(
        f"{label}{f' line {line}' if line else ''}: {'; '.join(part for part in said if part)} ({diag.sqlstate})",
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


def lasting_pid(conn: Connection) -> int | None:
    """The server process of a connection; None where a pooler gives each transaction another one."""
    pid = _backend_pid(conn)
    return pid if pid == conn.info.backend_pid else None


def _backend_pid(conn: Connection) -> int:
    row = conn.execute("SELECT pg_catalog.pg_backend_pid()").fetchone()
    return int(row[0]) if row else 0

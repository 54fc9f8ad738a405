"""A look from outside at the statement at work: how far it is, and who keeps it waiting. [E]

A third connection on a thread of its own, opened only when something takes long. It watches and never acts; when it
cannot connect, the run goes on without its words.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg

from prodsafe.errors import DatabaseRefused
from prodsafe.migrations.locking import Report
from prodsafe.postgres import Connection, connect

LOOK_SECONDS = 0.15  # well under lock_timeout, so that who blocks is seen before the wait is given up
FIRST_TOLD_SECONDS, TOLD_AGAIN_SECONDS = 1.0, 5.0

_BLOCKERS = """
SELECT pid, application_name, state, xact_start, pg_catalog.left(query, 80)
  FROM pg_catalog.pg_stat_activity WHERE pid = ANY (pg_catalog.pg_blocking_pids(%s)) ORDER BY xact_start
"""
_PROGRESS = """
SELECT phase, blocks_done, blocks_total, lockers_done, lockers_total
  FROM pg_catalog.pg_stat_progress_create_index WHERE pid = %s
"""


@dataclass(slots=True)
class _Subject:
    label: str
    pid: int
    began: float  # monotonic seconds
    tell_at: float


class Watch:
    """blockers: who kept the watched statement waiting when last looked; "" when nobody did. Use as a context."""

    def __init__(self, url: str, report: Report) -> None:
        self.blockers = ""
        self._url, self._report = url, report
        self._subject: _Subject | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prodsafe-migrate-watch", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    @contextmanager
    def over(self, label: str, pid: int) -> Iterator[None]:
        """Watch server process `pid` until the block ends."""
        now = time.monotonic()
        self.blockers = ""
        self._subject = _Subject(label, pid, now, now + FIRST_TOLD_SECONDS)
        try:
            yield
        finally:
            self._subject = None

    def _run(self) -> None:
        conn: Connection | None = None
        with suppress(DatabaseRefused, psycopg.Error):  # the run itself tells what is wrong with the database
            while not self._ended.wait(LOOK_SECONDS):
                subject = self._subject
                if subject is not None and time.monotonic() - subject.began >= LOOK_SECONDS:
                    conn = conn or connect(self._url, application_name="prodsafe/migrate/watch")
                    self._look(conn, subject)
        if conn is not None:
            conn.close()

    def _look(self, conn: Connection, subject: _Subject) -> None:
        blockers = [_blocker(*row) for row in conn.execute(_BLOCKERS, [subject.pid]).fetchall()]
        if self._subject is not subject:
            return
        self.blockers = "; ".join(blockers) or self.blockers
        now = time.monotonic()
        if now >= subject.tell_at:
            subject.tell_at = now + TOLD_AGAIN_SECONDS
            row = conn.execute(_PROGRESS, [subject.pid]).fetchone()
            waits = [f"waits for {'; '.join(blockers)}"] if blockers else []
            words = [*([_progress(*row)] if row else []), *waits]
            self._report(f"{subject.label}: {now - subject.began:.0f} s{''.join(f', {word}' for word in words)}")


def _blocker(pid: int, application: str, state: str | None, since: datetime | None, query: str) -> str:
    began = f" since {since.astimezone(UTC):%H:%M:%S} UTC" if since else ""
    return (
        f"server process {pid} ({application or 'unnamed'}, {state or 'background'}{began}: {' '.join(query.split())})"
    )


def _progress(phase: str, done: int, total: int, lockers_done: int, lockers: int) -> str:
    if lockers:
        return f"{phase} ({lockers_done} of {lockers})"
    return f"{phase} ({100 * done // total} %)" if total else phase

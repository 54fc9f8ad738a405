"""A lease while it is held: permits, beats, the deadline, and the end. [E]

One thread beats on the lock connection and is its only user; another owns the deadline and never touches the
database, so that neither a cut network nor a blocked program can stretch the lease.
"""

from __future__ import annotations

import os
import selectors
import socket
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from types import TracebackType

import psycopg

from prodsafe.errors import ExitCode, LeaseLost, Refusal
from prodsafe.lease_clock import read_clocks
from prodsafe.lease_errors import explained
from prodsafe.lease_model import (
    ENDED,
    Clocks,
    Deadline,
    LeaseTiming,
    refuse_ended,
    refuse_jumped,
    refuse_lost,
    refuse_overdue,
    scope_hash,
)
from prodsafe.lease_store import Taken, beat, mark, session_settings, unlock
from prodsafe.output import say_error
from prodsafe.postgres import Connection, connect

OnLost = Callable[[Refusal], None]

EXIT_DELAY_SECONDS = 0.5  # on_lost gets this long before the process ends; permits are refused from the start


class Lease:
    """A held lease. Made by acquire(); permit() before every send, release() after the last one.

    As a context manager it releases when the block ends or exits; another exception leaves in-flight requests in doubt,
    so then it only lets go, and the successor waits the grace.
    """

    def __init__(
        self,
        conn: Connection,
        url: str,
        scope: str,
        taken: Taken,
        timing: LeaseTiming,
        sent: Clocks,
        *,
        on_lost: OnLost | None,
        exit_on_loss: bool,
    ) -> None:
        self.scope = scope
        self.scope_hash = scope_hash(scope)
        self.token = taken.token(scope)
        self.scopes = taken.scopes
        self.timing = timing
        self.predecessor_clean = taken.predecessor_clean
        self._conn = conn
        self._url = url
        self._taken = taken
        self._on_lost = on_lost
        self._exit_on_loss = exit_on_loss
        self._deadline = Deadline(timing.length_seconds, sent, timing.jump_seconds)
        self._ended: Refusal | None = None
        self._ending = threading.Lock()
        self._over = threading.Event()
        self._wake, self._woken = socket.socketpair()
        self._beats = threading.Thread(target=self._keep_beating, name="prodsafe-beat", daemon=True)
        self._watch = threading.Thread(target=self._watch_deadline, name="prodsafe-deadline", daemon=True)
        self._watch.start()
        self._beats.start()

    def permit(self) -> None:
        """Raise LeaseLost unless we may act at this very moment. Microseconds: no lock, no I/O."""
        if self._ended is None and not self._deadline.is_over(read_clocks()):
            return
        self._end(self._why_over())
        raise LeaseLost(self._ended or self._why_over())

    @property
    def is_fresh(self) -> bool:
        return self._ended is None and not self._deadline.is_over(read_clocks())

    @property
    def seconds_since_beat(self) -> float:
        """Seconds since the last good beat was sent, by the clock that thinks longest."""
        return self._deadline.elapsed_seconds(read_clocks())

    def activate(self) -> None:
        """Say in the lease row that reconciliation is done. Raises LeaseLost when the token is no longer current."""
        self.permit()
        settings = session_settings(self.timing)
        with (
            explained(self.scope),
            # a connection of its own: this write waits for fenced writes under way, and beats must not
            closing(connect(self._url, application_name="prodsafe/activate", settings=settings)) as conn,
        ):
            current = mark(conn, self._taken, "active", "reconciled")
        if not current:
            self._end(refuse_lost(self.scope, "another holder took the lease over"))
        self.permit()

    def release(self, reason: str = "released") -> bool:
        """Say "I have stopped sending": no permit from now on, and a successor need not wait.

        False when that could not be written (lost, or the database is gone): then the successor waits the grace.
        Never raises for a dead connection, so it cannot hide the error that ended the program.
        """
        if not self._end(refuse_ended(self.scope)):
            self._leave_the_end_to_the_watch()
            return False
        try:
            if not self._stop_beating():
                return False
            clean = mark(self._conn, self._taken, "released", reason)
            unlock(self._conn, self.scopes)
        except psycopg.Error as error:
            say_error(f"the lease was not released cleanly, a successor will wait the grace: {error}")
            return False
        finally:
            self._conn.close()
        return clean

    def abandon(self) -> None:
        """Let go without saying that sending has stopped: the successor waits the grace."""
        if not self._end(refuse_ended(self.scope)):
            self._leave_the_end_to_the_watch()
            return
        self._stop_beating()
        self._conn.close()

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and not issubclass(kind, SystemExit):
            self.abandon()
            return
        self.release()
        if self._ended is not None and self._ended.kind is not ENDED and kind is None:
            raise LeaseLost(self._ended)  # a program that lost its lease must not end with exit code 0

    def _end(self, refusal: Refusal) -> bool:
        """Refuse permits from now on, for this reason; False when the lease had ended before, for another."""
        with self._ending:
            if self._ended is not None:
                return False
            self._ended = refusal
        self._over.set()
        with suppress(OSError):  # a beat thread that is gone needs no waking
            self._wake.send(b".")
        self._wake.close()
        return True

    def _leave_the_end_to_the_watch(self) -> None:
        """After a loss that ends the process: it is being told already, so that whoever is here need not repeat it."""
        if self._exit_on_loss and self._ended is not None and self._ended.kind is not ENDED:
            self._watch.join(2 * EXIT_DELAY_SECONDS)

    def _why_over(self) -> Refusal:
        if (stepped := self._deadline.jumped_seconds) is not None:
            return refuse_jumped(self.scope, stepped, self.timing.jump_seconds)
        return refuse_overdue(self.scope, self.seconds_since_beat, self.timing.length_seconds)

    def _stop_beating(self) -> bool:
        """False when a beat hangs in the database; then the connection is not ours to use."""
        self._beats.join(self.timing.length_seconds)
        return not self._beats.is_alive()

    def _keep_beating(self) -> None:
        """The only user of the lock connection until the lease has ended."""
        with self._woken, selectors.DefaultSelector() as sockets:
            sockets.register(self._conn.fileno(), selectors.EVENT_READ)
            sockets.register(self._woken, selectors.EVENT_READ)
            try:
                while not self._over.is_set():
                    self._beat_once()
                    # a readable lock connection is news from the server, mostly its end: check at once
                    sockets.select(self.timing.beat_seconds)
            except psycopg.Error as error:
                self._end(refuse_lost(self.scope, f"the lock connection failed: {str(error).strip()}"))
        if self._ended is not None and self._ended.kind is not ENDED:
            self._conn.close()

    def _beat_once(self) -> None:
        sent = read_clocks()
        if not beat(self._conn, self._taken):
            why = "the lock or the lease row is no longer ours: taken over, forced or stripped"
            self._end(refuse_lost(self.scope, why))
        elif not self._deadline.renew(sent, read_clocks()):
            self._end(self._why_over())

    def _watch_deadline(self) -> None:
        """Owns the deadline: no database, no lock that the program could hold."""
        while not self._over.wait(self._nap_seconds()):
            if self._deadline.is_over(read_clocks()):
                self._end(self._why_over())
        if self._ended is not None and self._ended.kind is not ENDED:
            self._act_on_loss(self._ended)

    def _nap_seconds(self) -> float:
        """Until the deadline, but short: a wait does not count the time that the machine is suspended."""
        left = self.timing.length_seconds - self.seconds_since_beat
        return max(0.0, min(left, self.timing.beat_seconds / 5))

    def _act_on_loss(self, refusal: Refusal) -> None:
        teller = threading.Thread(target=self._tell_of_loss, args=(refusal,), name="prodsafe-lost", daemon=True)
        try:
            teller.start()
            teller.join(EXIT_DELAY_SECONDS)  # stderr and on_lost may block; the end may not
        finally:
            if self._exit_on_loss:
                os._exit(ExitCode.LEASE_LOST)

    def _tell_of_loss(self, refusal: Refusal) -> None:
        say_error(refusal.as_text())
        if self._on_lost is not None:
            self._on_lost(refusal)

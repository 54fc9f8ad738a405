"""Taking the right to act for some scopes: locks, proof that they exclude, the next epoch, the grace. [E]

In one sentence: connect directly, take every lock or none, prove that a second connection is kept out, write epoch and
holder in one transaction, beat, and wait until nothing that an unclean predecessor sent can still be accepted.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from uuid import uuid4

from prodsafe.errors import DatabaseRefused
from prodsafe.lease_clock import read_clocks
from prodsafe.lease_errors import explained
from prodsafe.lease_held import Lease, OnLost
from prodsafe.lease_model import (
    NOT_EXCLUSIVE,
    UNREADABLE,
    Holder,
    LeaseRow,
    LeaseTiming,
    Token,
    Waiting,
    account_scope,
    key_scope,
    ordered_scopes,
)
from prodsafe.lease_store import (
    excludes,
    identify,
    raise_held,
    read_lease,
    read_leases,
    require_our_tables,
    session_settings,
    take,
    try_locks,
)
from prodsafe.postgres import (
    CONNECTION_LOST,
    READ_ONLY,
    UNREACHABLE,
    Connection,
    connect,
    require_same_database,
)

__all__ = [
    "Lease",
    "LeaseRow",
    "LeaseTiming",
    "Token",
    "Waiting",
    "account_scope",
    "acquire",
    "key_scope",
    "read_leases",
]

OnWait = Callable[[Waiting], None]

# worth asking again while a standby has time; the rest is for a person to mend
PASSING = (UNREACHABLE, READ_ONLY, CONNECTION_LOST, UNREADABLE)
RETRY_SECONDS = 0.25  # a clean hand-over is seen within this
TELL_SECONDS = 1.0  # progress is told at most this often


def acquire(
    url: str,
    scopes: Sequence[str],
    *,
    timing: LeaseTiming = LeaseTiming(),  # noqa: B008 - frozen
    wait_seconds: float = 0.0,
    on_wait: OnWait | None = None,
    on_lost: OnLost | None = None,
    exit_on_loss: bool = True,
    version: str = "",
    schema_range: Mapping[str, tuple[int, int]] | None = None,
    same_database_as: str | None = None,
) -> Lease:
    """Take every scope or none; blocks while another holds one or a failover goes on (at most wait_seconds), and for
    the grace after an unclean predecessor. The first scope is the one whose epoch the token carries.

    url: the direct address. same_database_as: the address of fenced writes, proven to be the same database.
    on_wait: progress, at most once a second; what it raises ends the acquisition and nothing is held.
    on_lost: called once, from a thread; exit_on_loss then ends the process with exit code 5 after EXIT_DELAY_SECONDS.
    Raises LeaseHeld, DatabaseRefused, SchemaNotReady; LeaseLost when it is lost again during the grace.
    """
    order = ordered_scopes(scopes)
    token_holder = uuid4()
    name = f"prodsafe/{scopes[0][:40]}/{token_holder.hex[:8]}"
    settings = session_settings(timing)
    conn = _locked_session(
        lambda: connect(url, application_name=name, direct=True, settings=settings),
        order,
        _Wait(wait_seconds, on_wait),
    )
    try:
        with explained(", ".join(scopes)):
            _prove_exclusive(conn, order, same_database_as or url)
            sent = read_clocks()
            holder = _who_we_are(version, schema_range or {})
            taken = take(conn, order, token_holder=token_holder, holder=holder, timing=timing, server=identify(conn))
        lease = Lease(conn, url, scopes[0], taken, timing, sent, on_lost=on_lost, exit_on_loss=exit_on_loss)
    except BaseException:  # an interrupt too must not leave locks that nobody beats for, whatever else goes on here
        conn.close()
        raise
    try:
        _wait_out_grace(lease, _Wait(taken.grace_seconds, on_wait))
    except BaseException:  # an interrupt too: the predecessor's grace is not over, so no release that looks clean
        lease.abandon()
        raise
    return lease


class _Wait:
    """How long to wait, by our own clock, and who is told of it, at most every TELL_SECONDS."""

    def __init__(self, seconds: float, on_wait: OnWait | None) -> None:
        self._seconds = seconds
        self._on_wait = on_wait
        self._began = time.monotonic()
        self._tell_at = self._began

    @property
    def left_seconds(self) -> float:
        return max(0.0, self._seconds - (time.monotonic() - self._began))

    def go_on(self, phase: str, *, cause: str = "", holder: Callable[[], LeaseRow | None] = lambda: None) -> None:
        """Tell when it is due, and sleep a little. The holder is looked up only when it is told."""
        now = time.monotonic()
        if self._on_wait is not None and now >= self._tell_at:
            self._tell_at = now + TELL_SECONDS
            self._on_wait(Waiting(phase, now - self._began, self.left_seconds, holder(), cause))
        time.sleep(min(RETRY_SECONDS, self.left_seconds))


def _locked_session(open_session: Callable[[], Connection], scopes: Sequence[str], wait: _Wait) -> Connection:
    """A session that holds every lock. While there is time to wait, a failover is waited out too: nothing is held yet,
    so a server that is gone, or a replica that is to be promoted, is asked again over a new connection."""
    while True:
        try:
            return _with_locks(open_session(), scopes, wait)
        except DatabaseRefused as refused:
            refusal = refused.refusals[0]
            if refusal.kind not in PASSING or not wait.left_seconds:
                raise
        wait.go_on("server", cause=refusal.cause)


def _with_locks(conn: Connection, scopes: Sequence[str], wait: _Wait) -> Connection:
    """The same connection, holding every lock; closed when it cannot."""
    try:
        with explained(", ".join(scopes)):
            require_our_tables(conn)
            _wait_for_locks(conn, scopes, wait)
    except BaseException:  # an interrupt too must not leave a session that may hold a lock
        conn.close()
        raise
    return conn


def _wait_for_locks(conn: Connection, scopes: Sequence[str], wait: _Wait) -> None:
    while (refused := try_locks(conn, scopes)) is not None:
        if not wait.left_seconds:
            raise_held(conn, refused)
        wait.go_on("held", holder=partial(read_lease, conn, refused))


def _wait_out_grace(lease: Lease, wait: _Wait) -> None:
    """From after the bump: the predecessor's last beat cannot be younger than that."""
    while wait.left_seconds:
        lease.permit()
        wait.go_on("grace")


def _prove_exclusive(conn: Connection, scopes: Sequence[str], url: str) -> None:
    """A second connection must be kept out, and must be in the same database: locks are per database."""
    with closing(connect(url, application_name="prodsafe/self-test")) as other:
        require_same_database(conn, other)
        if not excludes(other, scopes):
            raise DatabaseRefused(
                NOT_EXCLUSIVE.because(
                    "a second connection got the lock that this one holds: something between us and the server shares"
                    " or replaces sessions",
                    seen=", ".join(scopes),
                    mend="set LOCK_DATABASE_URL to the direct address of the PostgreSQL primary",
                )
            )


def _who_we_are(version: str, schema_range: Mapping[str, tuple[int, int]]) -> Holder:
    return Holder(socket.gethostname(), os.getpid(), version, _login_name(), schema_range)


def _login_name() -> str:
    """The account that this process runs under, from the system and not from variables anybody can set."""
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):  # no such module on Windows; a container's uid without a name
        return f"uid {os.getuid()}" if hasattr(os, "getuid") else "unknown"

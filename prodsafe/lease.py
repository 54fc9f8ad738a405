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
from uuid import uuid4

from prodsafe.errors import DatabaseRefused
from prodsafe.lease_clock import read_clocks
from prodsafe.lease_errors import explained
from prodsafe.lease_held import Lease, OnLost
from prodsafe.lease_model import (
    NOT_EXCLUSIVE,
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
    commit_durably,
    excludes,
    identify,
    raise_held,
    read_lease,
    read_leases,
    session_settings,
    take,
    try_locks,
)
from prodsafe.postgres import Connection, connect, require_same_database

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
    """Take every scope or none; blocks while another holds one (at most wait_seconds), and for the grace after an
    unclean predecessor. The first scope is the one whose epoch the token carries.

    url: the direct address. same_database_as: the address of fenced writes, proven to be the same database.
    on_wait: progress, at most once a second; what it raises ends the acquisition and nothing is held.
    on_lost: called once, from a thread; exit_on_loss then ends the process with exit code 5 after EXIT_DELAY_SECONDS.
    Raises LeaseHeld, DatabaseRefused, SchemaNotReady; LeaseLost when it is lost again during the grace.
    """
    order = ordered_scopes(scopes)
    token_holder = uuid4()
    name = f"prodsafe/{scopes[0][:40]}/{token_holder.hex[:8]}"
    conn = connect(url, application_name=name, direct=True, settings=session_settings(timing))
    try:
        with explained(", ".join(scopes)):
            commit_durably(conn)
            _wait_for_locks(conn, order, wait_seconds, on_wait)
            _prove_exclusive(conn, order[0], same_database_as or url)
            sent = read_clocks()
            holder = _who_we_are(version, schema_range or {})
            taken = take(conn, order, token_holder=token_holder, holder=holder, timing=timing, server=identify(conn))
        lease = Lease(conn, url, scopes[0], taken, timing, sent, on_lost=on_lost, exit_on_loss=exit_on_loss)
    except BaseException:
        conn.close()
        raise
    try:
        _wait_out_grace(lease, taken.grace_seconds, on_wait)
    except BaseException:
        lease.abandon()  # the predecessor's grace is not over, so ours must not look like a clean end
        raise
    return lease


def _wait_for_locks(conn: Connection, scopes: Sequence[str], wait_seconds: float, on_wait: OnWait | None) -> None:
    began = time.monotonic()
    progress = _Progress(on_wait)
    while (refused := try_locks(conn, scopes)) is not None:
        waited = time.monotonic() - began
        left = wait_seconds - waited
        if left <= 0:
            raise_held(conn, refused)
        if tell := progress.due():
            tell(Waiting("held", waited, left, read_lease(conn, refused)))
        time.sleep(min(RETRY_SECONDS, left))


def _wait_out_grace(lease: Lease, grace_seconds: float, on_wait: OnWait | None) -> None:
    """By our own clock, from after the bump: the predecessor's last beat cannot be younger than that."""
    began = time.monotonic()
    progress = _Progress(on_wait)
    while (left := grace_seconds - (time.monotonic() - began)) > 0:
        lease.permit()
        if tell := progress.due():
            tell(Waiting("grace", grace_seconds - left, left))
        time.sleep(min(RETRY_SECONDS, left))


class _Progress:
    """Who to tell of the waiting, and when."""

    def __init__(self, on_wait: OnWait | None) -> None:
        self._on_wait = on_wait
        self._next_at = 0.0

    def due(self) -> OnWait | None:
        """The listener, when it was not told within the last TELL_SECONDS."""
        now = time.monotonic()
        if now < self._next_at:
            return None
        self._next_at = now + TELL_SECONDS
        return self._on_wait


def _prove_exclusive(conn: Connection, scope: str, url: str) -> None:
    """A second connection must be kept out, and must be in the same database: locks are per database."""
    with closing(connect(url, application_name="prodsafe/self-test")) as other:
        require_same_database(conn, other)
        if not excludes(other, scope):
            raise DatabaseRefused(
                NOT_EXCLUSIVE.because(
                    "a second connection got the lock that this one holds: something between us and the server shares"
                    " or replaces sessions",
                    seen=scope,
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

"""The lease's own calls in one process: acquire, beat, permit and the fenced write, each beside its floor. [E]"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from statistics import median
from uuid import uuid4

import psycopg
from common.pairs import Figures, Work, figure, in_turns, middle, ratio, seconds

from lease_parts.peers import SQLALCHEMY_DLOCK, open_sqlalchemy_dlock
from prodsafe.lease import Lease, LeaseTiming, acquire
from prodsafe.lease_model import Holder
from prodsafe.lease_store import Taken, beat, identify, session_settings, take, try_locks
from prodsafe.postgres import Connection, connect

PERMITS = 20_000
INSERT = "INSERT INTO bench.{} VALUES (%s, %s, %s)"


def measure(url: str, rounds: int, peers: list[str]) -> tuple[Figures, Figures]:
    figures, ratios = acquire_beside_peers(url, rounds, peers)
    for part in (beat_beside_select(url, rounds * 10), fence_beside_plain(url, rounds * 20)):
        figures |= part[0]
        ratios |= part[1]
    return figures, ratios


def acquire_beside_peers(url: str, rounds: int, peers: list[str]) -> tuple[Figures, Figures]:
    """Connections included on every side, and letting the lock go."""

    def ours() -> None:
        acquire(url, ["bench/acquired"], exit_on_loss=False).release()

    def bare() -> None:
        with closing(psycopg.connect(url, autocommit=True)) as conn:
            conn.execute("SELECT pg_try_advisory_lock(1)").fetchone()

    works: dict[str, Work] = {"ours": ours, "bare": bare}
    if SQLALCHEMY_DLOCK in peers:
        works[SQLALCHEMY_DLOCK] = open_sqlalchemy_dlock(url)
    taken = in_turns(works, rounds)
    figures = {
        "acquire_release_ms": middle(taken, "ours", 1e3),
        "acquire_release_sqlalchemy_dlock_ms": middle(taken, SQLALCHEMY_DLOCK, 1e3),
        "connect_try_lock_close_ms": middle(taken, "bare", 1e3),
    }
    return figures, {
        "acquire_beside_connect_try_lock": ratio(taken, "ours", "bare"),
        "acquire_beside_sqlalchemy_dlock": ratio(taken, "ours", SQLALCHEMY_DLOCK),
    }


def beat_beside_select(url: str, rounds: int) -> tuple[Figures, Figures]:
    """The statement that a holder sends, on a session that holds the lock; it commits, SELECT 1 does not."""

    def good_beat() -> None:
        if not beat(conn, taken_lease):
            raise RuntimeError("the beat was refused: this would measure the wrong path")

    with holding_session(url, "bench/beaten") as (conn, taken_lease):
        taken = in_turns({"beat": good_beat, "select": lambda: conn.execute("SELECT 1").fetchone()}, rounds)
    figures = {"beat_us": middle(taken, "beat", 1e6), "select_1_us": middle(taken, "select", 1e6)}
    return figures, {"beat_beside_select_1": ratio(taken, "beat", "select")}


@contextmanager
def holding_session(url: str, scope: str) -> Iterator[tuple[Connection, Taken]]:
    """A lock session with the lease's own settings and rows, whose beats are ours to send."""
    timing, holder = LeaseTiming(), Holder(socket.gethostname(), os.getpid(), "", "bench")
    with closing(connect(url, direct=True, settings=session_settings(timing))) as conn:
        assert try_locks(conn, (scope,)) is None
        yield (
            conn,
            take(conn, (scope,), token_holder=uuid4(), holder=holder, timing=timing, server=identify(conn)),
        )


def fence_beside_plain(url: str, rounds: int) -> tuple[Figures, Figures]:
    """One row into a fenced table and into one without, each committed by itself; and the permit before a send."""
    with psycopg.connect(url, autocommit=True) as conn, acquire(url, ["bench/fenced"], exit_on_loss=False) as lease:
        conn.execute("CREATE SCHEMA bench")
        for table in ("fenced", "plain"):
            conn.execute(f"CREATE TABLE bench.{table} (scope text, epoch bigint, holder uuid)")
        conn.execute("SELECT prodsafe.fence('bench.fenced')")
        row = (lease.scope, lease.token.epoch, lease.token.holder)
        inserts: dict[str, Work] = {
            table: lambda table=table: conn.execute(INSERT.format(table), row)  # type: ignore[misc]
            for table in ("fenced", "plain")
        }
        taken = in_turns(inserts, rounds)
        figures = {
            "fenced_insert_us": middle(taken, "fenced", 1e6),
            "plain_insert_us": middle(taken, "plain", 1e6),
            "permit_ns": permit_ns(lease),
        }
    return figures, {"fenced_beside_plain_insert": ratio(taken, "fenced", "plain")}


def permit_ns(lease: Lease) -> float:
    def permits() -> None:
        for _ in range(PERMITS):
            lease.permit()

    return figure(median(seconds(permits) for _ in range(5)) / PERMITS, 1e9)

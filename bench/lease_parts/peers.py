"""The two peers of the lease: a lock through SQLAlchemy, and the one Python lock that notices its own loss. [E]

sqlalchemy-dlock only takes the lock. asyncpg-lock asks SELECT 1 and waits before it runs the work.
"""

from __future__ import annotations

import asyncio
import importlib.util
import random
import time
from collections.abc import Callable

import psycopg

SQLALCHEMY_DLOCK, ASYNCPG_LOCK = "sqlalchemy_dlock", "asyncpg_lock"
NEEDS = {SQLALCHEMY_DLOCK: ("sqlalchemy", "sqlalchemy_dlock"), ASYNCPG_LOCK: ("asyncpg", "asyncpg_lock")}
PATIENCE_SECONDS = 30.0

# As whole processes: take the lock, let it go, end.
SQLALCHEMY_DLOCK_BOOT = """
import os, sqlalchemy, sqlalchemy_dlock
engine = sqlalchemy.create_engine(os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://", 1))
with engine.connect() as conn, sqlalchemy_dlock.create_sadlock(conn, "account/bench", contextual_timeout=0) as lock:
    assert lock.locked
"""
# Its own wait before the work, 5 s by default, is cut to 1 ms here: the comparison is of work, not of waiting.
ASYNCPG_LOCK_BOOT = """
import asyncio, contextlib, os, asyncpg_lock

async def main():
    held = asyncio.Event()

    async def work():
        held.set()
        await asyncio.sleep(3600)

    connect = asyncpg_lock.connect_func(os.environ["DATABASE_URL"])
    guard = asyncpg_lock.AdvisoryLockGuard(connect=connect, after_acquire_delay=0.001)
    task = asyncio.create_task(guard.run(1, work))
    await held.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task

asyncio.run(main())
"""


def is_installed(peer: str) -> bool:
    return all(importlib.util.find_spec(module) for module in NEEDS[peer])


def open_sqlalchemy_dlock(url: str) -> Callable[[], object]:
    """One connect, create, acquire, release and close, as a call; no pool, since the other sides have none."""
    import sqlalchemy
    import sqlalchemy_dlock

    address = url.replace("postgresql://", "postgresql+psycopg://", 1)
    engine = sqlalchemy.create_engine(address, poolclass=sqlalchemy.pool.NullPool)

    def once() -> None:
        with engine.connect() as conn, sqlalchemy_dlock.create_sadlock(conn, "bench/peer", contextual_timeout=0):
            pass

    return once


def asyncpg_lock_detection_seconds(url: str, delay_seconds: float | None, count: int) -> list[float]:
    """From the end of its session at the server to the cancelled work, count times; None is its default of 5 s.

    All guards wait and beat at the same time, in one loop: they mostly sleep. Each ends at a random point of a beat.
    """
    return asyncio.run(_detect_all(url, delay_seconds, count))


async def _detect_all(url: str, delay_seconds: float | None, count: int) -> list[float]:
    async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as guards:
        tasks = [guards.create_task(_detect(url, delay_seconds, number)) for number in range(count)]
    return [task.result() for task in tasks]


async def _detect(url: str, delay_seconds: float | None, number: int) -> float:
    import asyncpg_lock

    name = f"bench-peer-{number}"
    running = asyncio.Event()
    stopped: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def work() -> None:
        running.set()
        try:
            await asyncio.sleep(PATIENCE_SECONDS)
        finally:
            if not stopped.done():
                stopped.set_result(time.perf_counter())

    connect = asyncpg_lock.connect_func(url, server_settings={"application_name": name})
    delays = {} if delay_seconds is None else {"after_acquire_delay": delay_seconds}
    task = asyncio.create_task(asyncpg_lock.AdvisoryLockGuard(connect=connect, **delays).run(number, work))
    try:
        await running.wait()
        await asyncio.sleep(random.uniform(0, 5 if delay_seconds is None else delay_seconds) / 3)
        began = await asyncio.to_thread(_terminate, url, name)
        return await stopped - began
    finally:
        while not task.done():  # it swallows a cancellation that comes while it stops the work itself
            task.cancel()
            await asyncio.wait([task], timeout=0.1)


def _terminate(url: str, application_name: str) -> float:
    """The moment just before the server was asked to end that session."""
    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
    with psycopg.connect(url, autocommit=True) as conn:
        began = time.perf_counter()
        assert conn.execute(ended, (application_name,)).fetchall() == [(True,)]
    return began

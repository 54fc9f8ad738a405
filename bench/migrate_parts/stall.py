"""How long readers stand still behind a migration that waits for its table. [E]

A long transaction has read the table; the migration's ALTER queues behind it; every reader that comes now queues behind
the ALTER. The long transaction ends when the window is over: a wait as long as the window has no bound of its own.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from statistics import median
from typing import NamedTuple

import psycopg
from common.pairs import Figures, figure, seconds
from common.processes import Command
from common.server import make_databases

from migrate_parts.tools import ALEMBIC, DBMATE, OURS, YOYO, Call, make_project

TOOLS = (OURS, ALEMBIC, YOYO, DBMATE)
ALTER = "ALTER TABLE busy ADD COLUMN note text;"
READ = "SELECT count(*) FROM busy"
QUEUED = "SELECT count(*) FROM pg_locks WHERE relation = 'busy'::regclass AND NOT granted"
HAS_COLUMN = "SELECT note FROM busy"
PATIENCE_SECONDS = 60.0
LOOK_SECONDS = 0.002
STALLED_SECONDS = 0.05  # from here on a read counts as stalled


class Stall(NamedTuple):
    """Seconds. worst: of one read; share: of the window that reads stood still; done_after: the long transaction."""

    worst: float
    share: float
    done_after: float


def measure(url_of: Callable[[str], str], root: Path, window: float, tries: int, peers: Collection[str]) -> Figures:
    """Ours several times, since its pauses are random; each peer once, since it waits as long as the window is."""
    figures: Figures = {"stall_window_s": window}
    for name in TOOLS:
        count = tries if name == OURS else int(name in peers)
        seen = _stalls(url_of, name, make_project(name, root, [ALTER]), window, count)
        figures[f"stall_{name}_s_max"] = figure(max(each.worst for each in seen), 1) if seen else None
        figures[f"stall_{name}_share_max"] = figure(max(each.share for each in seen), 1) if seen else None
        figures[f"stall_{name}_done_after_s"] = figure(median(each.done_after for each in seen), 1) if seen else None
    return figures


def _stalls(url_of: Callable[[str], str], name: str, call: Call, window: float, count: int) -> list[Stall]:
    databases = [f"stall_{name}_{number}" for number in range(count)]
    make_databases(url_of("postgres"), databases)
    return [_stall(url_of(database), call(url_of(database)), window) for database in databases]


def _stall(url: str, command: Command, window: float) -> Stall:
    """A reader comes as soon as the ALTER is queued, and again after each answer, until the migration is through."""
    with psycopg.connect(url, autocommit=True) as conn, psycopg.connect(url) as long:
        conn.execute("CREATE TABLE busy AS SELECT 1 AS id")
        long.execute(READ)
        with subprocess.Popen(command.arguments, env=command.environ, stdout=subprocess.DEVNULL) as migration:
            try:
                _until_queued(conn, migration)
                with Reader(url) as reader:
                    time.sleep(window)
                    long.rollback()
                    ended = time.perf_counter()
                    code = migration.wait(PATIENCE_SECONDS)
                    done_after = time.perf_counter() - ended
            finally:
                migration.kill()
        if code:
            raise RuntimeError(f"{command.arguments[0]} ended with {code}: nothing to compare")
        conn.execute(HAS_COLUMN)
    stalled = [each for each in reader.waits if each >= STALLED_SECONDS]
    return Stall(max(reader.waits), sum(stalled) / window, done_after)


def _until_queued(conn: psycopg.Connection, migration: subprocess.Popen[bytes]) -> None:
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while conn.execute(QUEUED).fetchone() == (0,):
        if migration.poll() is not None or time.monotonic() > give_up_at:
            raise RuntimeError("the migration never waited for its table: nothing to compare")
        time.sleep(LOOK_SECONDS)


class Reader:
    """Reads the table again and again inside the block; waits: of each read, in seconds."""

    def __init__(self, url: str) -> None:
        self.waits: list[float] = []
        self._over = threading.Event()
        self._conn = psycopg.connect(url, autocommit=True)
        self._thread = threading.Thread(target=self._read, name="bench-reader", daemon=True)

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join(PATIENCE_SECONDS)
        self._conn.close()

    def _read(self) -> None:
        while not self._over.is_set():
            self.waits.append(seconds(lambda: self._conn.execute(READ)))
            time.sleep(LOOK_SECONDS)

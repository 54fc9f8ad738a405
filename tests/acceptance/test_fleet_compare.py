"""What docs/compare.md says of flock and of a plain advisory lock, shown: what they do, and what they do not."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

PATIENCE_SECONDS = 20.0
FLOCK = shutil.which("flock") or "flock"  # util-linux; on every Debian
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path, database_url: str) -> Iterator[Start]:
    """start(word, ...) -> a process in a folder of its own, and in a process group of its own."""
    started: list[subprocess.Popen[str]] = []

    def start(*command: str) -> subprocess.Popen[str]:
        started.append(
            subprocess.Popen(
                command, cwd=tmp_path, env={**os.environ, "DATABASE_URL": database_url},
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, process_group=0,
            )
        )  # fmt: skip
        return started[-1]

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def next_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def is_free(start: Start, lock: str = "lock") -> bool:
    return start(FLOCK, "--nonblock", lock, "true").wait(PATIENCE_SECONDS) == 0


def test_flock_refuses_the_second_and_is_free_when_the_program_was_killed(start: Start):
    holder = start(FLOCK, "--no-fork", "lock", "sh", "-c", "echo ready; exec sleep 60")
    assert next_line(holder) == "ready"
    assert not is_free(start)

    holder.kill()
    holder.wait()

    assert is_free(start), "the kernel lets go with the process: no stale lock to clean up"


def test_the_program_outlives_a_flock_that_was_killed_and_keeps_the_lock(start: Start):
    """It inherits the open file; under `prodsafe run` it ends with the guard."""
    holder = start(FLOCK, "lock", "sh", "-c", "echo $$; exec sleep 60")
    program = int(next_line(holder))

    holder.kill()
    holder.wait()

    os.kill(program, 0)
    assert not is_free(start)


def test_a_frozen_holder_of_flock_keeps_it_for_as_long_as_it_is_frozen(start: Start):
    holder = start(FLOCK, "--no-fork", "lock", "sh", "-c", "echo ready; exec sleep 60")
    assert next_line(holder) == "ready"

    holder.send_signal(signal.SIGSTOP)
    time.sleep(3.0)  # a lease of 1 s is taken over by now: test_fleet.py

    assert not is_free(start)


def test_a_lock_file_that_was_removed_lets_a_second_one_in(start: Start, tmp_path: Path):
    holder = start(FLOCK, "--no-fork", "lock", "sh", "-c", "echo ready; exec sleep 60")
    assert next_line(holder) == "ready"

    (tmp_path / "lock").unlink()

    assert is_free(start), "the name is the lock to people, the file itself to the kernel"


PLAIN_LOCK = """
import os, sys, time, psycopg
conn = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True, application_name="plain")
print("locked" if conn.execute("SELECT pg_try_advisory_lock(7)").fetchone()[0] else "refused", flush=True)
for number in range(1000):
    print(time.monotonic(), flush=True)  # acts
    time.sleep(0.1)
"""


def test_a_plain_advisory_lock_whose_session_ended_lets_both_act(start: Start, database_url: str):
    """It is a question asked once: nobody asks again. A lease is refused within 50 ms (bench/lease.py)."""
    first = start(sys.executable, "-c", PLAIN_LOCK)
    assert next_line(first) == "locked"

    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'plain'")
    second = start(sys.executable, "-c", PLAIN_LOCK)

    assert next_line(second) == "locked"
    both_since = float(next_line(second))
    acts = (float(next_line(first)) for _ in range(1000))
    assert next(at for at in acts if at > both_since + 1.0), "a second later the first has noticed nothing"

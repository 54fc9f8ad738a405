"""Many holders on one server: how long their beats take, whether any is lost for nothing, and what they cost. [E]

Run as a program it is one process of holders, or of standbys; a line on its stdin asks for one window of measuring.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import IO, Any, NamedTuple

import psycopg
from common.pairs import Figures, figure, spread

from prodsafe import lease_held, lease_store
from prodsafe.lease import Waiting, acquire
from prodsafe.lease_store import Taken
from prodsafe.postgres import Connection

PROCESSES = 4
HOLDERS_PER_STANDBY = 4
PATIENCE_SECONDS, END_SECONDS = 3600.0, 10.0
SCOPE = "bench/holder/"
READY = "ready\n"


def measure(url: str, server_pid: int, holders: int, seconds: float) -> Figures:
    """A window with the holders alone, then one with a standby for every fourth of them."""
    standbys = holders // HOLDERS_PER_STANDBY
    processes = min(PROCESSES, holders)
    shares = [holders * number // processes for number in range(processes + 1)]
    with ExitStack() as running:
        starting = [running.enter_context(_program("hold", url, first, end - first)) for first, end in pairwise(shares)]
        children = [_when_ready(child) for child in starting]
        before = _written(url)
        alone = _window(children, server_pid, seconds)
        written = _written(url) - before
        sessions, private_kib = _sessions(url)
        with _program("stand-by", url, 0, standbys) as waiting:
            _when_ready(waiting)
            accompanied = _window(children, server_pid, seconds)
    return {
        "holders": holders,
        "holders_s": seconds,
        **spread("holders_beat_ms", alone["beats_s"], 1e3),
        "holders_false_losses": max(alone["lost"], accompanied["lost"]),
        "holder_client_cpu_ms_per_s": _cpu_ms(alone["client_cpu_s"], holders * seconds),
        "holder_server_cpu_ms_per_s": _cpu_ms(alone["server_cpu_s"], holders * seconds),
        "holder_wal_bytes_per_s": round(written.wal_bytes / (holders * seconds), 1),
        "holder_beats_per_s": round(written.beats / (holders * seconds), 3),
        "beats_kept_on_their_page_share": round(written.hot_beats / written.beats, 4) if written.beats else None,
        "beat_table_kib": _beat_table_kib(url),
        "holder_connections": round(sessions / holders, 3),
        "holder_connection_private_kib": private_kib,
        "standbys": standbys,
        **spread("holders_with_standbys_beat_ms", accompanied["beats_s"], 1e3),
        "standby_server_cpu_ms_per_s": _cpu_ms(accompanied["server_cpu_s"], standbys * seconds, alone["server_cpu_s"]),
    }


@contextmanager
def _program(role: str, url: str, first: int, count: int) -> Iterator[subprocess.Popen[str]]:
    """A process of this file with bench/ on its path; ended by the end of its stdin, at the latest killed."""
    environ = {**os.environ, "DATABASE_URL": url, "PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, "-m", "lease_parts.holders", role, str(first), str(count)]
    with subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield child
        finally:
            with suppress(OSError):
                _pipe(child.stdin).close()
            with suppress(subprocess.TimeoutExpired):
                child.wait(END_SECONDS)
            child.kill()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def _when_ready(child: subprocess.Popen[str]) -> subprocess.Popen[str]:
    if _pipe(child.stdout).readline() != READY:
        raise RuntimeError("a process of holders ended before it held its leases: its words are above")
    return child


def _window(children: list[subprocess.Popen[str]], server_pid: int, seconds: float) -> dict[str, Any]:
    before = server_cpu_seconds(server_pid)
    for child in children:
        _pipe(child.stdin).write(f"{seconds}\n")
        _pipe(child.stdin).flush()
    told = [json.loads(_pipe(child.stdout).readline()) for child in children]
    after = server_cpu_seconds(server_pid)
    if not all(one["beats_s"] or one["lost"] for one in told):
        raise RuntimeError("holders sent no beat that was timed: does the lease still send them with lease_held.beat?")
    return {
        "beats_s": [spent for one in told for spent in one["beats_s"]],
        "lost": sum(one["lost"] for one in told),
        "client_cpu_s": sum(one["cpu_s"] for one in told),
        "server_cpu_s": None if before is None or after is None else after - before,
    }


def _cpu_ms(cpu_s: float | None, seconds: float, without_s: float | None = 0.0) -> float | None:
    """Milliseconds of CPU for each second of each holder or standby, above what the server used without them."""
    if cpu_s is None or without_s is None or not seconds:
        return None
    return figure((cpu_s - without_s) / seconds, 1e3)


def server_cpu_seconds(postmaster: int) -> float | None:
    """User and system time of a server with all its processes, those that ended too; None where there is no /proc."""
    if not Path("/proc/self/stat").exists():
        return None
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # a process may end while we read
            fields = path.read_text().rpartition(")")[2].split()  # from the state on: a name may hold blanks
            own, of_ended = sum(map(int, fields[11:13])), sum(map(int, fields[13:15]))
            if path.parent.name == str(postmaster):
                ticks += own + of_ended
            elif int(fields[1]) == postmaster:
                ticks += own
    return ticks / os.sysconf("SC_CLK_TCK")


class Written(NamedTuple):
    """What the server has written since it started; hot: without touching an index, so that no vacuum is needed."""

    wal_bytes: int
    beats: int
    hot_beats: int

    def __sub__(self, before: Written) -> Written:
        return Written(*(now - then for now, then in zip(self, before, strict=True)))


def _written(url: str) -> Written:
    """By the server's own counters, which a busy session reports once a second."""
    with psycopg.connect(url, autocommit=True) as conn:
        row = conn.execute(
            "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint, n_tup_upd, n_tup_hot_upd"
            " FROM pg_stat_user_tables WHERE relid = 'prodsafe.lease_beat'::regclass"
        ).fetchone()
    assert row is not None
    return Written(*row)


def _beat_table_kib(url: str) -> float:
    with psycopg.connect(url, autocommit=True) as conn:
        row = conn.execute("SELECT pg_total_relation_size('prodsafe.lease_beat')").fetchone()
    assert row is not None
    return row[0] / 1024


def _sessions(url: str) -> tuple[int, float | None]:
    """How many sessions the leases hold open, and the private memory of the middle one in KiB."""
    with psycopg.connect(url, autocommit=True) as conn:
        named = f"prodsafe/{SCOPE}%"
        rows = conn.execute("SELECT pid FROM pg_stat_activity WHERE application_name LIKE %s", (named,))
        pids = [pid for (pid,) in rows]
    status = [path.read_text() for pid in pids if (path := Path(f"/proc/{pid}/status")).exists()]
    private = [int(line.split()[1]) for text in status for line in text.splitlines() if line.startswith("RssAnon:")]
    return len(pids), median(private) if private else None


def hold(url: str, first: int, count: int) -> None:
    """Hold `count` leases; for each line of stdin, a number of seconds, tell of the beats in a window as long."""
    beats_s: list[float] = []
    time_beats(beats_s)
    leases = [acquire(url, [f"{SCOPE}{number}"], exit_on_loss=False) for number in range(first, first + count)]
    print(READY, end="", flush=True)
    for line in sys.stdin:
        beats_s.clear()
        began_cpu_s = time.process_time()
        time.sleep(float(line))
        cpu_s = time.process_time() - began_cpu_s
        lost = sum(not lease.is_fresh for lease in leases)
        print(json.dumps({"beats_s": beats_s.copy(), "cpu_s": cpu_s, "lost": lost}), flush=True)
    for lease in leases:
        lease.abandon()


def time_beats(beats_s: list[float]) -> None:
    """Time each beat where the lease sends it, waiting for the interpreter included."""
    send = lease_store.beat

    def timed(conn: Connection, taken: Taken) -> bool:
        began = time.perf_counter()
        good = send(conn, taken)
        beats_s.append(time.perf_counter() - began)
        return good

    lease_held.beat = timed  # type: ignore[attr-defined]


def stand_by(url: str, first: int, count: int) -> None:
    """Wait for the leases of `count` scopes until stdin ends."""
    waiting = threading.Semaphore(0)

    def wait(number: int) -> None:
        told = threading.Event()

        def tell(_: Waiting) -> None:
            if not told.is_set():
                told.set()
                waiting.release()

        acquire(url, [f"{SCOPE}{number}"], wait_seconds=PATIENCE_SECONDS, on_wait=tell)

    for number in range(first, first + count):
        threading.Thread(target=wait, args=(number,), daemon=True).start()
    for _ in range(count):
        waiting.acquire()
    print(READY, end="", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    role, first, count = sys.argv[1:]
    {"hold": hold, "stand-by": stand_by}[role](os.environ["DATABASE_URL"], int(first), int(count))

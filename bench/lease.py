"""What the lease costs: a whole boot to "held" beside its floor, and permit, beat, fence and detection in one process.

The boot is interleaved with the floor (python, the same imports, connect, one query). The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import psycopg

from prodsafe.embedded import EmbeddedPostgres
from prodsafe.lease import Lease, acquire, read_leases
from prodsafe.lease_store import Taken, beat
from prodsafe.migrations import PRODSAFE_SET, migrate

TARGET_BOOT_RATIO, TARGET_DETECTION_MS, TARGET_TAKEOVER_S = 1.3, 50.0, 1.0
FLOOR = "import os, psycopg, prodsafe.lease; psycopg.connect(os.environ['DATABASE_URL']).execute('SELECT 1').fetchone()"
BOOT = "import os, prodsafe.lease as lease; lease.acquire(os.environ['DATABASE_URL'], ['account/bench']).release()"
INSERT = "INSERT INTO bench.{} VALUES (%s, %s, %s)"

Connection = psycopg.Connection[tuple[object, ...]]


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def boot_seconds(url: str, rounds: int) -> tuple[float, float]:
    environ = {**os.environ, "DATABASE_URL": url}
    taken: dict[str, list[float]] = {BOOT: [], FLOOR: []}
    for number in range(rounds + 2):  # the first two warm the caches
        for code, times in taken.items():
            spent = seconds(lambda code=code: subprocess.run([sys.executable, "-c", code], env=environ, check=True))
            if number >= 2:
                times.append(spent)
    return median(taken[BOOT]), median(taken[FLOOR])


def insert_seconds(conn: Connection, lease: Lease, count: int) -> tuple[float, float]:
    """Fenced and plain insert, in turns, each committed by itself."""
    conn.execute("CREATE SCHEMA bench")
    for table in ("fenced", "plain"):
        conn.execute(f"CREATE TABLE bench.{table} (scope text, epoch bigint, holder uuid)")
    conn.execute("SELECT prodsafe.fence('bench.fenced')")
    row = (lease.scope, lease.token.epoch, lease.token.holder)
    taken: dict[str, list[float]] = {"fenced": [], "plain": []}
    for _ in range(count):
        for table, times in taken.items():
            times.append(seconds(lambda table=table: conn.execute(INSERT.format(table), row)))
    return median(taken["fenced"]), median(taken["plain"])


def beat_seconds(conn: Connection, lease: Lease, count: int) -> float:
    """The beat's statement on a session of the bench's own, which holds no lock: the same work, refused."""
    taken = Taken(lease.scopes, (lease.token.epoch,), lease.token.timeline, lease.token.holder, True, 0.0)
    return median(seconds(lambda: beat(conn, taken)) for _ in range(count))


def detection_seconds(url: str, conn: Connection, count: int) -> list[float]:
    """From the end of the lock session at the server to the first refused permit."""
    found = []
    for number in range(count):
        lease = acquire(url, [f"bench/{number}"], exit_on_loss=False)
        time.sleep(0.1)
        pid = next(row.lock_pid for row in read_leases(conn) if row.scope == lease.scope)
        began = time.perf_counter()
        conn.execute("SELECT pg_terminate_backend(%s)", (pid,))
        while lease.is_fresh:
            time.sleep(0.0002)
        found.append(time.perf_counter() - began)
    return found


def measure(url: str, rounds: int) -> dict[str, object]:
    boot, floor = boot_seconds(url, rounds)
    with psycopg.connect(url, autocommit=True) as conn:
        lease = acquire(url, ["account/inside"], exit_on_loss=False)
        permit = seconds(lambda: [lease.permit() for _ in range(100_000)]) / 100_000
        fenced, plain = insert_seconds(conn, lease, 500)
        beats = beat_seconds(conn, lease, 500)
        lease.release()
        takeover = seconds(lambda: acquire(url, ["account/inside"], exit_on_loss=False).release())
        detection = detection_seconds(url, conn, rounds)
    figures = {
        "boot_s": round(boot, 4),
        "floor_s": round(floor, 4),
        "boot_ratio": round(boot / floor, 3),
        "permit_us": round(permit * 1e6, 2),
        "beat_us": round(beats * 1e6, 1),
        "fenced_insert_us": round(fenced * 1e6, 1),
        "fence_ratio": round(fenced / plain, 3),
        "detection_ms_median": round(median(detection) * 1e3, 2),
        "detection_ms_max": round(max(detection) * 1e3, 2),
        "takeover_after_release_s": round(takeover, 4),
    }
    ok = (
        boot / floor <= TARGET_BOOT_RATIO
        and max(detection) * 1e3 < TARGET_DETECTION_MS
        and takeover < TARGET_TAKEOVER_S
    )
    return {"ok": ok, "target_boot_ratio": TARGET_BOOT_RATIO, **figures}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    given = os.environ.get("PRODSAFE_PG_BIN")
    with EmbeddedPostgres(binaries=Path(given) if given else None) as server:
        migrate(server.url, [PRODSAFE_SET], wait_seconds=10.0, report=lambda line: None)
        figures = measure(server.url, rounds)
    for name, value in figures.items():
        print(f"{name:<26} {value}")
    print(json.dumps(figures))
    return 0 if figures["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())

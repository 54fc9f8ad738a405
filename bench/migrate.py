"""What a deploy with nothing to migrate costs, against the floor: python, psycopg, connect, one query.

Whole processes on one embedded server, in turns, after a warm-up. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from prodsafe.embedded import EmbeddedPostgres

PROJECT = Path(__file__).resolve().parent.parent
TARGET_RATIO = 1.25
FLOOR = "import os, psycopg; psycopg.connect(os.environ['DATABASE_URL']).execute('SELECT 1').fetchone()"
COMMANDS = {
    "floor": [sys.executable, "-c", FLOOR],
    "migrate_schema": [sys.executable, str(PROJECT / "migrate_schema.py")],
}


def seconds(command: list[str], environment: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, env=environment, cwd=PROJECT, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def measure(rounds: int) -> dict[str, list[float]]:
    given = os.environ.get("PRODSAFE_PG_BIN")
    with EmbeddedPostgres(binaries=Path(given) if given else None) as server:
        environment = {**os.environ, "DATABASE_URL": server.url}
        for command in [*COMMANDS.values()] * 2:  # applies the schema, and warms the caches
            seconds(command, environment)
        taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
        for _ in range(rounds):
            for name, command in COMMANDS.items():
                taken[name].append(seconds(command, environment))
    return taken


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    taken = measure(parser.parse_args().rounds)
    for name, times in taken.items():
        print(f"{name:<16} min {min(times):.3f}  median {statistics.median(times):.3f}  max {max(times):.3f} s")
    medians = {f"{name}_seconds": round(statistics.median(times), 4) for name, times in taken.items()}
    ratio = round(medians["migrate_schema_seconds"] / medians["floor_seconds"], 3)
    print(json.dumps({"ok": ratio <= TARGET_RATIO, "ratio": ratio, "target": TARGET_RATIO, **medians}))
    return 0


if __name__ == "__main__":
    sys.exit(main())

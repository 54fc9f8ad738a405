"""What a refusal costs: the worker with an empty environment beside python importing click and pydantic-settings.

Both are whole processes, taken in turns so that a busy machine slows both. The last line on stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from statistics import median

TARGET_RATIO = 1.3
REFUSED = 1
WORKER = [sys.executable, "-m", "live.prod_live"]
FLOOR = [sys.executable, "-c", "import pydantic_settings, click"]
HEAVY = ("psycopg", "ccxt", "aiohttp")  # a refusal that imports one of these has come too late


def run_once(command: Sequence[str], folder: str) -> tuple[float, int, str]:
    """Seconds from start to exit, exit code, stderr; nothing in the environment but where programs are found."""
    environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    began = time.perf_counter()
    done = subprocess.run(
        command, env=environ, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    return time.perf_counter() - began, done.returncode, done.stderr


def measure(runs: int) -> dict[str, object]:
    """Interleaved medians in seconds; `ok` when the worker refused every time, lightly, within the target ratio."""
    seconds: dict[str, list[float]] = {"worker": [], "floor": []}
    with tempfile.TemporaryDirectory() as folder:
        for command in (WORKER, FLOOR):
            run_once(command, folder)  # the first run compiles and fills the page cache
        verdicts = set()
        for _ in range(runs):
            for name, command in (("worker", WORKER), ("floor", FLOOR)):
                spent, code, stderr = run_once(command, folder)
                seconds[name].append(spent)
                if name == "worker":
                    verdicts.add((code, "refused G04 confirm-live" in stderr))
        _, _, imports = run_once([sys.executable, "-X", "importtime", *WORKER[1:]], folder)
    loaded = [name for name in HEAVY if any(line.rpartition("|")[2].strip() == name for line in imports.splitlines())]
    figures = {name: median(times) for name, times in seconds.items()}
    ratio = figures["worker"] / figures["floor"]
    problems = [f"ratio is {ratio:.3f}, above {TARGET_RATIO}"] if ratio > TARGET_RATIO else []
    problems += [] if verdicts == {(REFUSED, True)} else ["the worker was not refused as it must be every time"]
    problems += [f"a refused worker has imported {name}" for name in loaded]
    return {
        "bench": "refusal",
        "runs": runs,
        "worker_s": round(figures["worker"], 4),
        "floor_s": round(figures["floor"], 4),
        "ratio": round(ratio, 3),
        "limits": {"ratio": TARGET_RATIO},
        "refused": verdicts == {(REFUSED, True)},
        "heavy_imports": loaded,
        "problems": problems,
        "ok": not problems,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=21, help="of each, in turns; at least 15 (default 21)")
    parser.add_argument("--quick", action="store_true", help="a check in ten seconds: 15 runs of each")
    options = parser.parse_args()
    runs = 15 if options.quick else max(15, options.runs)
    figures = measure(runs)
    print(f"refusal by the gates  {figures['worker_s']} s")
    print(f"imports alone         {figures['floor_s']} s")
    print(json.dumps(figures))
    return 0 if figures["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())

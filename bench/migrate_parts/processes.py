"""Whole processes: run to their end, with what they cost, and the databases that they work on. [E]"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Collection, Iterable
from functools import partial
from typing import NamedTuple

import psycopg
from lease_parts.pairs import Work
from psycopg import sql

from migrate_parts.tools import Command

# A process of its own between us and the measured one: what Linux reports of a child is at least what its parent had.
METER = """
import os, resource, sys
code = os.spawnv(os.P_WAIT, sys.argv[1], sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
sys.exit(code)
"""


class Usage(NamedTuple):
    """CPU seconds, user and system; peak of resident memory in MiB."""

    cpu_seconds: float
    peak_mib: float


def run(command: Command, *, expected: Collection[int] = (0,)) -> str:
    """Its stdout. Raises RuntimeError with all it said when it ends with another code than expected."""
    done = subprocess.run(command.arguments, env=command.environ, capture_output=True, text=True, check=False)
    if done.returncode not in expected:
        raise RuntimeError(f"{command.arguments[0]} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def work(command: Command) -> Work:
    return partial(run, command)


def usage(command: Command) -> Usage:
    metered = Command([sys.executable, "-I", "-S", "-c", METER, *command.arguments], command.environ)
    cpu, kibibytes = run(metered).splitlines()[-1].split()  # ru_maxrss as Linux counts it
    return Usage(float(cpu), int(kibibytes) / 1024)


def make_databases(url: str, names: Iterable[str]) -> None:
    """Empty ones; and a checkpoint, so that what they cost is not paid while something is measured."""
    with psycopg.connect(url, autocommit=True) as conn:
        for name in names:
            conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        conn.execute("CHECKPOINT")


def require_tables(url: str, count: int) -> None:
    """Raises RuntimeError unless the database holds exactly so many of the tables that the bench's files make."""
    with psycopg.connect(url) as conn:
        row = conn.execute(r"SELECT count(*) FROM pg_tables WHERE tablename LIKE 'bench\_%'").fetchone()
    if row != (count,):
        raise RuntimeError(f"{url.rpartition('/')[2]} has {row} tables of the bench, not {count}: nothing to compare")

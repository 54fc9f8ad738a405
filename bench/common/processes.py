"""Whole processes: run to their end, with what they cost. [E]"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from common.pairs import Work

SCRIPTS = Path(sysconfig.get_path("scripts"))  # where the commands of installed packages are
# A process of its own between us and the measured one: what Linux reports of a child is at least what its parent had.
METER = """
import os, resource, sys
code = os.spawnv(os.P_WAIT, sys.argv[1], sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
sys.exit(code)
"""


class Command(NamedTuple):
    """A program with its arguments, and the environment that it runs in."""

    arguments: Sequence[str]
    environ: Mapping[str, str]


class Usage(NamedTuple):
    """CPU seconds, user and system; peak of resident memory in MiB."""

    cpu_seconds: float
    peak_mib: float


def python(code: str, url: str, *arguments: str) -> Command:
    """This Python with the code, its arguments, and the address in DATABASE_URL."""
    return Command([sys.executable, "-c", code, *arguments], environment(url))


def environment(url: str) -> dict[str, str]:
    return {**os.environ, "DATABASE_URL": url}


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

"""A deploy with nothing to migrate, as a whole process: all files are known and applied.

The floor is python, psycopg, connect, one query: whatever a Python tool does comes on top of it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from statistics import median

from common.pairs import Figures, figure, in_turns, middle, ratio
from common.processes import SCRIPTS, Command, environment, python, run, usage, work
from common.server import make_databases

from migrate_parts.tools import ALEMBIC, DBMATE, OURS, YOYO, make_project, require_tables

PROJECT = Path(__file__).resolve().parents[2]
FLOOR, OWN, CLI = "floor", "own", "cli"
TOOLS = (OURS, ALEMBIC, YOYO, DBMATE)
SIDES = (OURS, OWN, CLI, FLOOR, ALEMBIC, YOYO, DBMATE)
FLOOR_CODE = "import os, psycopg; psycopg.connect(os.environ['DATABASE_URL']).execute('SELECT 1').fetchone()"
USAGES = 3  # of each side; both figures vary little


def measure(
    url_of: Callable[[str], str], root: Path, sql: list[str], rounds: int, peers: Collection[str]
) -> tuple[Figures, Figures]:
    """own: migrate_schema.py with this project's sets; ours: with a program's folder; cli: that by prodsafe."""
    commands = _applied(url_of, root, sql, peers)
    taken = in_turns({name: work(command) for name, command in commands.items()}, rounds, warm_up=1)
    for name in TOOLS:
        if name in commands:
            require_tables(url_of(f"noop_{name}"), len(sql))
    ratios = {f"noop_beside_{name}": ratio(taken, OURS, name) for name in (FLOOR, ALEMBIC, YOYO, DBMATE)}
    ratios |= {f"noop_{name}_beside_floor": ratio(taken, name, FLOOR) for name in (OWN, CLI)}
    figures = {f"noop_{name}_s": middle(taken, name, 1) for name in SIDES}
    return figures | _usages(commands, min(USAGES, rounds)), ratios


def _applied(url_of: Callable[[str], str], root: Path, sql: list[str], peers: Collection[str]) -> Mapping[str, Command]:
    """The commands, each for a database where there is nothing left for it to do."""
    names = [name for name in TOOLS if name == OURS or name in peers]
    make_databases(url_of("postgres"), [f"noop_{name}" for name in (OWN, *names)])
    ours = url_of(f"noop_{OURS}")
    cli = [str(SCRIPTS / "prodsafe"), "migrate", "apply", "--set", f"bench={root / OURS}"]
    commands = {
        **{name: make_project(name, root, sql)(url_of(f"noop_{name}")) for name in names},
        OWN: Command([sys.executable, str(PROJECT / "migrate_schema.py")], environment(url_of(f"noop_{OWN}"))),
        CLI: Command(cli, environment(ours)),
        FLOOR: python(FLOOR_CODE, ours),
    }
    for command in commands.values():
        run(command)
    return commands


def _usages(commands: Mapping[str, Command], count: int) -> Figures:
    used = {name: [usage(command) for _ in range(count)] for name, command in commands.items()}
    figures: Figures = {}
    for name in SIDES:
        known = used.get(name)
        figures[f"noop_{name}_cpu_s"] = figure(median(each.cpu_seconds for each in known), 1) if known else None
        figures[f"noop_{name}_peak_mib"] = figure(median(each.peak_mib for each in known), 1) if known else None
    return figures

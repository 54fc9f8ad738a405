"""Many small files on an empty database, as a whole process; a database of its own for every run of every side."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from common.pairs import Figures, Work, in_turns, middle, ratio
from common.processes import run
from common.server import make_databases

from migrate_parts.tools import ALEMBIC, ALEMBIC_ONE, BARE, DBMATE, OURS, YOYO, Call, make_project, require_tables

SIDES = {OURS: OURS, ALEMBIC: ALEMBIC, ALEMBIC_ONE: ALEMBIC, YOYO: YOYO, DBMATE: DBMATE, BARE: BARE}  # side: program
WARM_UP = 1


def measure(
    url_of: Callable[[str], str], root: Path, sql: list[str], rounds: int, peers: Collection[str]
) -> tuple[Figures, Figures]:
    """Ours makes the tables of its lease in the same run, and records a fingerprint of what it made."""
    sides = [name for name, program in SIDES.items() if program in (OURS, BARE) or program in peers]
    databases = {name: [f"apply_{name}_{number}" for number in range(WARM_UP + rounds)] for name in sides}
    make_databases(url_of("postgres"), [database for each in databases.values() for database in each])
    works = {
        name: _next_time(make_project(name, root, sql), [url_of(each) for each in databases[name]]) for name in sides
    }
    taken = in_turns(works, rounds, warm_up=WARM_UP)
    for each in databases.values():
        for database in each:
            require_tables(url_of(database), len(sql))
    figures = {f"apply_{name}_s": middle(taken, name, 1) for name in SIDES}
    return figures, {f"apply_beside_{name}": ratio(taken, OURS, name) for name in SIDES if name != OURS}


def _next_time(call: Call, urls: list[str]) -> Work:
    """Each call migrates the next of these databases."""
    unused = iter([call(url) for url in urls])
    return lambda: run(next(unused))

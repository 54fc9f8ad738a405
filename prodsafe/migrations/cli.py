"""`prodsafe migrate ...`: parse, call one function, print, exit. Larger commands have modules of their own. [S]"""

from __future__ import annotations

import re

import click

from prodsafe.errors import ExitCode
from prodsafe.lazy_group import Lazy, LazyGroup
from prodsafe.migrations.files import KINDS, PRODSAFE_SET, MigrationSet, load
from prodsafe.migrations.options import (
    database_url,
    json_option,
    leave,
    read_database_environment,
    read_targets,
    sets_option,
    wait_option,
)
from prodsafe.output import refuse, say, say_error, say_json

TEMPLATE = """\
-- lock: which one, on which table, for how long
-- {what}: what changes, and what an older worker sees of it.
"""


DATA_TEMPLATE = """\
-- lock: ROW EXCLUSIVE on which table; the rows of one batch, for about 0.2 s
-- {what}: what changes, and why new rows are right by themselves.
-- prodsafe: batch TABLE by KEY_COLUMN size 1000
-- UPDATE TABLE SET ... WHERE KEY_COLUMN BETWEEN :first AND :last AND ...;
"""


_HERE = "prodsafe.migrations"
LAZY = {
    "plan": Lazy(f"{_HERE}.plan_command", "plan", "what `apply` would do, with the locks it takes; or the SQL itself"),
    "lint": Lazy(
        f"{_HERE}.lint_command", "lint", "what in the files would lock, fail, break the older worker or lose data"
    ),
    "trace": Lazy(
        f"{_HERE}.trace_command", "trace", "run the pending files on a throw-away server: locks, rewrites, scans"
    ),
    "verify": Lazy(f"{_HERE}.drift_command", "verify", "files against ledger, and the live catalog against the files"),
    "backfill": Lazy(
        f"{_HERE}.backfill_command", "backfill", "finish the data files that a deploy began, batch by batch"
    ),
    "baseline": Lazy(f"{_HERE}.drift_command", "baseline", "take an existing database as already migrated"),
}


def _read_what(context: click.Context, parameter: click.Parameter, given: str) -> str:
    if not re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", given):
        raise click.BadParameter(f"{given!a} is not lower-case words joined by _", context, parameter)
    return given


@click.group(cls=LazyGroup, lazy=LAZY)
def migrate() -> None:
    """Plain SQL migrations: one numbered file per step, safe beside a running worker.

    prodsafe's own tables come first, then each set. DATABASE_URL names the database.
    """


@migrate.command()
@sets_option
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("what", callback=_read_what)
def new(sets: list[MigrationSet], kind: str, what: str) -> None:
    """Make the next file: `new expand add_intent_epoch`."""
    leave(lambda: _new(_last(sets), kind, what))


@migrate.command()
@sets_option
@json_option
@wait_option
@click.option(
    "--deadline",
    type=click.FloatRange(min=0, min_open=True),
    default=3600.0,
    show_default=True,
    help="Seconds for the whole run.",
)
@click.option(
    "--backfill",
    type=click.FloatRange(min=0),
    default=20.0,
    show_default=True,
    help="Seconds for the batches of each data file; `prodsafe migrate backfill` does what is left.",
)
@click.option("--to", "to", metavar="[NAME=]N", multiple=True, help="Stop after this file of the set (the last one).")
def apply(
    sets: list[MigrationSet], as_json: bool, wait: float, deadline: float, backfill: float, to: tuple[str, ...]
) -> None:
    """Apply what is pending, in order; contract files wait while a worker needs the old shape."""
    upto = read_targets(to, sets, "--to")

    def body() -> int:
        from prodsafe.migrations.runner import migrate as run

        env = read_database_environment()
        result = run(
            env.database_url or "",
            [PRODSAFE_SET, *sets],
            wait_seconds=wait,
            report=say_error if as_json else say,
            run_seconds=deadline,
            backfill_seconds=backfill,
            upto=upto,
            direct_url=env.lock_database_url,
        )
        if as_json:
            say_json(result.as_dict())
        else:
            say(result.summary)
        return ExitCode.OK

    leave(body, as_json)


@migrate.command()
@sets_option
@json_option
def status(sets: list[MigrationSet], as_json: bool) -> None:
    """Every migration: applied, pending, deferred, unfinished; when and by whom. Changes nothing."""

    def body() -> int:
        from prodsafe.migrations.runner import status_for

        plan, rows = status_for(database_url(), [PRODSAFE_SET, *sets])
        if as_json:
            say_json({**plan.as_dict(), "migrations": [row.as_dict() for row in rows]})
        else:
            say("\n".join(row.as_line() for row in rows))
            refuse(plan.refusals)
        return ExitCode.SCHEMA_NOT_READY if plan.refusals else ExitCode.OK

    leave(body, as_json)


@migrate.command()
@sets_option
@wait_option
@click.argument("which", metavar="[NAME=]N")
def repair(sets: list[MigrationSet], wait: float, which: str) -> None:
    """Record the present text of ONE applied file whose comments or layout changed; refused when its meaning did."""
    ((name, version),) = read_targets([which], sets, "file").items()
    target = next(each for each in (PRODSAFE_SET, *sets) if each.name == name)

    def body() -> int:
        from prodsafe.migrations.repair import repair as run

        run(database_url(), target, version, wait_seconds=wait, report=say)
        return ExitCode.OK

    leave(body)


def _last(sets: list[MigrationSet]) -> MigrationSet:
    if not sets:
        raise click.UsageError("no installed program has a set of migrations: give --set NAME=FOLDER")
    return sets[-1]


def _new(target: MigrationSet, kind: str, what: str) -> int:
    target.folder.mkdir(parents=True, exist_ok=True)
    version = max((migration.version for migration in load(target)), default=0) + 1
    path = target.folder / f"{version:04d}_{kind}_{what}.sql"
    with path.open("x", encoding="utf-8") as file:
        file.write((DATA_TEMPLATE if kind == "data" else TEMPLATE).format(what=what.replace("_", " ")))
    say(str(path))
    return ExitCode.OK

"""`prodsafe migrate ...`: parse, call one function, print, exit. [S]"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import click

from prodsafe.environment import read_environment
from prodsafe.errors import ExitCode, SchemaNotReady
from prodsafe.gates import DATABASE_GATES, evaluate_gates, look_around, require_gates
from prodsafe.migrations.files import KINDS, PRODSAFE_SET, MigrationSet, load
from prodsafe.output import refuse, register_secrets, run_entry, say, say_error, say_json

TEMPLATE = """\
-- lock: which one, on which table, for how long
-- {what}: what changes, and what an older worker sees of it.
"""


def _read_sets(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> list[MigrationSet]:
    sets = []
    for text in given:
        name, separator, folder = text.partition("=")
        if not separator or not re.fullmatch(r"[a-z][a-z0-9_]*", name) or not folder or name == PRODSAFE_SET.name:
            raise click.BadParameter(f"{text!r} is not NAME=FOLDER", context, parameter)
        sets.append(MigrationSet(name, Path(folder)))
    return sets


def _read_what(context: click.Context, parameter: click.Parameter, given: str) -> str:
    if not re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", given):
        raise click.BadParameter(f"{given!a} is not lower-case words joined by _", context, parameter)
    return given


_sets_option = click.option(
    "--set",
    "sets",
    metavar="NAME=FOLDER",
    multiple=True,
    default=("live=live/migrations",),
    show_default=True,
    callback=_read_sets,
    help="A folder of migrations under its name in the ledger; may be given several times, in order.",
)
_json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")


@click.group()
def migrate() -> None:
    """Plain SQL migrations: one numbered file per step, safe beside a running worker.

    prodsafe's own tables come first, then each --set. DATABASE_URL names the database.
    """


@migrate.command()
@_sets_option
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("what", callback=_read_what)
def new(sets: list[MigrationSet], kind: str, what: str) -> None:
    """Make the next file: `new expand add_intent_epoch`."""
    _leave(lambda: _new(sets[-1], kind, what))


@migrate.command()
@_sets_option
@_json_option
def plan(sets: list[MigrationSet], as_json: bool) -> None:
    """Show what `apply` would do; change nothing."""

    def body() -> int:
        from prodsafe.migrations.runner import plan_for

        found = plan_for(_database_url(), [PRODSAFE_SET, *sets])
        if as_json:
            say_json(found.as_dict())
        else:
            say("\n".join(found.as_lines()))
        refuse(found.refusals)
        return ExitCode.SCHEMA_NOT_READY if found.refusals else ExitCode.OK

    _leave(body, as_json)


@migrate.command()
@_sets_option
@_json_option
@click.option(
    "--wait", type=click.FloatRange(min=0), default=60.0, show_default=True, help="Seconds for another runner."
)
def apply(sets: list[MigrationSet], as_json: bool, wait: float) -> None:
    """Apply what is pending, in order, each file in its own transaction."""

    def body() -> int:
        from prodsafe.migrations.runner import migrate as run

        report = say_error if as_json else say
        result = run(_database_url(), [PRODSAFE_SET, *sets], wait_seconds=wait, report=report)
        if as_json:
            say_json(result.as_dict())
        else:
            say(result.summary)
        return ExitCode.OK

    _leave(body, as_json)


@migrate.command()
@_sets_option
@_json_option
def status(sets: list[MigrationSet], as_json: bool) -> None:
    """Every migration, and whether, when and by whom it was applied."""

    def body() -> int:
        from prodsafe.migrations.runner import status_for

        rows = status_for(_database_url(), [PRODSAFE_SET, *sets])
        if as_json:
            say_json({"ok": True, "migrations": [row.as_dict() for row in rows]})
        else:
            say("\n".join(row.as_line() for row in rows))
        return ExitCode.OK

    _leave(body, as_json)


@migrate.command()
@_sets_option
@_json_option
def verify(sets: list[MigrationSet], as_json: bool) -> None:
    """Refuse (exit 4) when an applied file was edited, renamed or removed, or is newer than this program."""

    def body() -> int:
        from prodsafe.migrations.runner import plan_for

        found = plan_for(_database_url(), [PRODSAFE_SET, *sets])
        if found.refusals:
            raise SchemaNotReady(*found.refusals)
        if as_json:
            say_json({"ok": True, "versions": found.versions, "pending": len(found.apply)})
        else:
            say(f"files and ledger agree: schema at {found.schema}; {len(found.apply)} pending")
        return ExitCode.OK

    _leave(body, as_json)


def _new(target: MigrationSet, kind: str, what: str) -> int:
    target.folder.mkdir(parents=True, exist_ok=True)
    version = max((migration.version for migration in load(target)), default=0) + 1
    path = target.folder / f"{version:04d}_{kind}_{what}.sql"
    with path.open("x", encoding="utf-8") as file:
        file.write(TEMPLATE.format(what=what.replace("_", " ")))
    say(str(path))
    return ExitCode.OK


def _database_url() -> str:
    env = read_environment(os.environ)
    register_secrets(env.secrets())
    require_gates(evaluate_gates(env, look_around(os.environ), DATABASE_GATES), force=False)
    return env.database_url or ""


def _leave(body: Callable[[], int], as_json: bool = False) -> None:
    raise SystemExit(run_entry(body, as_json=as_json))

"""What every `prodsafe migrate ...` command shares: its options, its database, its way out. [S]"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from prodsafe.migrations.files import PRODSAFE_SET, MigrationSet
from prodsafe.migrations.interruption import interruption_refused
from prodsafe.output import register_secrets, run_entry

if TYPE_CHECKING:
    from prodsafe.environment import Environment

ENTRY_POINTS = "prodsafe.migrations"


def contributed_sets() -> list[MigrationSet]:
    """What installed programs declare under the entry-point group `prodsafe.migrations`, by name."""
    from importlib.metadata import entry_points  # slow to import, and not needed where --set is given

    return [point.load() for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name)]


def parse_sets(context: click.Context, parameter: click.Parameter, given: Iterable[str]) -> list[MigrationSet]:
    """NAME=FOLDER each."""
    sets: list[MigrationSet] = []
    for text in given:
        name, separator, folder = text.partition("=")
        if not separator or not re.fullmatch(r"[a-z][a-z0-9_]*", name) or not folder:
            said = "is not NAME=FOLDER, NAME of a-z, 0-9 and _"
            raise click.BadParameter(f"{text!r} {said}", context, parameter)
        if name == PRODSAFE_SET.name:
            said = f"{name} is the set of prodsafe's own tables, which is always there: name yours otherwise"
            raise click.BadParameter(said, context, parameter)
        if name in {each.name for each in sets}:  # the second would take the place of the first, unsaid
            raise click.BadParameter(f"{name} is given twice; a set has one folder", context, parameter)
        sets.append(MigrationSet(name, Path(folder)))
    return sets


def read_sets(context: click.Context, parameter: click.Parameter, given: Iterable[str]) -> list[MigrationSet]:
    """NAME=FOLDER each; without any, the sets of the installed programs."""
    return parse_sets(context, parameter, given) or contributed_sets()


sets_option = click.option(
    "--set",
    "sets",
    metavar="NAME=FOLDER",
    multiple=True,
    callback=read_sets,
    help="A folder of migrations under its name in the ledger; may be given several times, in order. "
    "Default: the sets of the installed programs.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
wait_option = click.option(
    "--wait", type=click.FloatRange(min=0), default=60.0, show_default=True, help="Seconds for another runner."
)


def read_reason(context: click.Context, parameter: click.Parameter, given: str | None) -> str | None:
    """Why a person vouches for something; blanks say nothing."""
    if given is not None and not given.strip():
        raise click.BadParameter("say why, for whoever reads it later", context, parameter)
    return given


def read_targets(texts: Sequence[str], sets: Sequence[MigrationSet], what: str) -> dict[str, int]:
    """NAME=N, or N for the last set, into {set: version}. Raises click.UsageError, which calls the option `what`."""
    found: dict[str, int] = {}
    names = [PRODSAFE_SET.name, *(each.name for each in sets)]
    for text in texts:
        name, separator, number = text.rpartition("=")
        name = name if separator else names[-1]
        if name not in names or not re.fullmatch("[0-9]{1,4}", number):
            raise click.UsageError(f"{what} {text!r} is not N or NAME=N with NAME one of {', '.join(names)}")
        found[name] = int(number)
    return found


def read_database_environment() -> Environment:
    """The environment with a usable DATABASE_URL; raises GateRefused (G06). Its secrets are masked from now on."""
    from prodsafe.environment import read_environment  # pydantic-settings: not for a command without a database
    from prodsafe.gates import DATABASE_GATES, evaluate_gates, look_around, require_gates

    env = read_environment(os.environ)
    register_secrets(env.secrets())
    require_gates(evaluate_gates(env, look_around(os.environ), DATABASE_GATES), force=False)
    return env


def database_url() -> str:
    return read_database_environment().database_url or ""


def leave(body: Callable[[], int], as_json: bool = False) -> None:
    """Run a command's body and exit with its code; a signal is a refusal (M13), never exit 0."""

    def guarded() -> int:
        with interruption_refused():
            return body()

    raise SystemExit(run_entry(guarded, as_json=as_json))

"""The `prodsafe` command: parse, call one function, print, exit. Other rooms are imported when they are used. [S]"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import click

from prodsafe.dotenv_guard import suppress_in_production
from prodsafe.environment import (
    DATABASE_ADDRESS,
    VARIABLES,
    Environment,
    Variable,
    describe_variables,
    read_environment,
)
from prodsafe.errors import ExitCode
from prodsafe.gates import GATES, Gate, as_table, evaluate_gates, look_around
from prodsafe.output import mask, refuse, register_secrets, run_entry, say, say_json, warn


@dataclass(frozen=True, slots=True)
class Lazy:
    """A subcommand by name, so that the gates never pay for a database driver."""

    module: str
    attribute: str
    short_help: str


LAZY = {
    "lock": Lazy("prodsafe.lock_cli", "lock", "who holds which account, since when, epoch, last beat"),
    "migrate": Lazy("prodsafe.migrations.cli", "migrate", "safe schema migrations: new, plan, apply, status, verify"),
    "run": Lazy("prodsafe.lock_cli", "run", "any program under the same guard: gates, lease, fencing"),
}


class LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *LAZY])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        lazy = LAZY.get(cmd_name)
        if lazy is None:
            return super().get_command(ctx, cmd_name)
        command: click.Command = getattr(import_module(lazy.module), lazy.attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        eager = {name: command.get_short_help_str(80) for name, command in self.commands.items()}
        rows = sorted({**eager, **{name: lazy.short_help for name, lazy in LAZY.items()}}.items())
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    epilog="Exit codes: 0 done, 1 refused, 2 wrong usage, 3 lease held, 4 schema not ready, 5 lease lost, "
    "6 database or venue unreadable, 70 a bug. Every refusal names an id; RUNBOOK.md has a section for each.",
)
@click.version_option(package_name="prodsafe", prog_name="prodsafe")
def cli() -> None:
    """May this process act on production?

    Everything is read from the environment, never from a dotenv file. Start with `prodsafe check`.
    """


@cli.command(epilog="\b\nReads:\n" + describe_variables())
@click.option("--json", "as_json", is_flag=True, help="The same results as one JSON object.")
@click.option(
    "--live/--base",
    "with_contributed",
    default=True,
    help="With the gates that installed programs such as live contribute (default), or prodsafe's own alone.",
)
def check(as_json: bool, with_contributed: bool) -> int:
    """Every gate, as a table or JSON; exit 1 when a hard gate refuses.

    Nothing is started and nothing is asked: soft gates are shown as warnings.
    """
    gates = (*GATES, *contributed_gates()) if with_contributed else GATES
    results = evaluate_gates(_read(os.environ), look_around(os.environ), gates)
    hard = [refusal for result in results for refusal in result.refusals if not result.kind.soft]
    if as_json:
        say_json({"ok": not hard, "gates": [result.as_dict() for result in results]})
    else:
        say(as_table(results))
        refuse(hard)
        warn([refusal for result in results for refusal in result.refusals if result.kind.soft])
    return ExitCode.REFUSED if hard else ExitCode.OK


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="The same rows as one JSON object.")
def env(as_json: bool) -> int:
    """Every variable: value (secrets masked), source, what it does."""
    rows = environment_rows(_read(os.environ), os.environ)
    if as_json:
        say_json({"variables": rows})
        return ExitCode.OK
    columns = ("name", "value", "source")
    widths = {column: max(len(row[column]) for row in rows) for column in columns}
    for row in rows:
        say("  ".join(f"{row[column]:<{width}}" for column, width in widths.items()) + f"  {row['what']}")
    return ExitCode.OK


def environment_rows(environment: Environment, environ: Mapping[str, str]) -> list[dict[str, str]]:
    """One row a variable of SPEC section 3, then the settings that installed programs contribute."""
    rows = [_row(variable, environment, environ.get(variable.name, "")) for variable in VARIABLES]
    described = {name: (default, what) for name, default, what in contributed_settings()}
    unknown = {name: ("-", "nothing reads it") for name in environment.settings if name not in described}
    for name, (default, what) in (described | unknown).items():
        raw = environment.settings.get(name)
        value, source = (default, "default") if raw is None else (_shown(raw), "environment")
        rows.append({"name": name, "value": value, "source": source, "what": what})
    return rows


def contributed_gates() -> list[Gate]:
    """What installed distributions declare under the entry-point group `prodsafe.gates`, less what is in GATES."""
    own = {gate.kind for gate in GATES}
    return [gate for gates in _contributed("prodsafe.gates") for gate in gates if gate.kind not in own]


def contributed_settings() -> list[tuple[str, str, str]]:
    """(variable, default, meaning) from the functions declared under the entry-point group `prodsafe.settings`."""
    return [row for describe in _contributed("prodsafe.settings") for row in describe()]


def _contributed(group: str) -> list[Any]:
    from importlib.metadata import entry_points  # slow to import, and only these commands scan

    return [point.load() for point in sorted(entry_points(group=group), key=lambda point: point.name)]


def run_click(command: click.Command, arguments: Sequence[str] | None = None, *, prog_name: str | None = None) -> int:
    """Run a click command as an entry point: its return value, wrong usage (2) and refusals become the exit code."""

    def body() -> int:
        try:
            result: Any = command.main(arguments, prog_name=prog_name, standalone_mode=False)
        except click.ClickException as error:
            error.show()
            return error.exit_code
        except click.Abort:
            return ExitCode.USAGE
        return result if isinstance(result, int) else ExitCode.OK

    return run_entry(body)


def main() -> None:
    suppress_in_production(os.environ)  # also for the child of `prodsafe run`
    sys.exit(run_click(cli, prog_name="prodsafe"))


def _read(environ: Mapping[str, str]) -> Environment:
    environment = read_environment(environ)
    register_secrets(environment.secrets())
    return environment


def _row(variable: Variable, environment: Environment, raw: str) -> dict[str, str]:
    malformed = variable.name in environment.malformed
    if not raw.strip():
        value, source = (variable.unset, "default") if variable.is_default else ("-", "not set")
    else:
        readable = not variable.secret or (variable.kind is DATABASE_ADDRESS and not malformed)
        value = _shown(raw) if readable else "(set, not shown)"
        source = "refused" if malformed else "environment"
    return {"name": variable.name, "value": value, "source": source, "what": variable.what}


def _shown(raw: str) -> str:
    """Masked before it is cut; escaped unless harmless, since a value must not be able to paint the terminal."""
    masked = mask(raw)
    shown = masked if masked.isascii() and masked.isprintable() else ascii(masked)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."

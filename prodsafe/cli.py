"""The `prodsafe` command: parse, call one function, print, exit. Other rooms are imported when they are used. [S]"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from prodsafe.dotenv_guard import suppress_in_production
from prodsafe.errors import ExitCode
from prodsafe.lazy_group import Lazy, LazyGroup
from prodsafe.output import run_entry

LAZY = {
    "check": Lazy("prodsafe.check_cli", "check", "every gate, as a table or JSON; exit 1 when a hard gate refuses"),
    "env": Lazy("prodsafe.check_cli", "env", "every variable: value (secrets masked), source, what it does"),
    "lock": Lazy("prodsafe.lock_cli", "lock", "who holds which account, since when, epoch, last beat"),
    "migrate": Lazy("prodsafe.migrations.cli", "migrate", "safe schema migrations: new, plan, apply, status, verify"),
    "run": Lazy("prodsafe.lock_cli", "run", "any program under the same guard: gates, lease, fencing"),
}


@click.group(
    cls=LazyGroup,
    lazy=LAZY,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    epilog="Exit codes: 0 done, 1 refused, 2 wrong usage, 3 lease held, 4 schema not ready, 5 lease lost, "
    "6 database or venue unreadable, 70 a bug. Every refusal names an id; RUNBOOK.md has a section for each.",
)
@click.version_option(package_name="prodsafe", prog_name="prodsafe")
def cli() -> None:
    """May this process act on production?

    Everything is read from the environment, never from a dotenv file. Start with `prodsafe check`.
    """


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

"""`python -m live settings`: every setting with its value, where that comes from, its unit, bounds and meaning. [S]"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from itertools import groupby

import click

from live.cli_parts import json_option, now, this_environment
from live.screens import Column, Grid, grid_text
from live.settings import KNOWN_SETTINGS, Described, all_settings, guarded_limits, read_settings
from live.terminal import show
from prodsafe.errors import ExitCode, GateRefused
from prodsafe.gates import Surroundings, settings_gate
from prodsafe.output import say, say_json

_COLUMNS = (
    Column("variable", "variable"),
    Column("value", "value", wraps=True),
    Column("unit", "unit", rank=1),
    Column("source", "source", rank=2),
    Column("meaning", "meaning", wraps=True),
)


@click.command()
@json_option
@click.option("--markdown", is_flag=True, help="The defaults as the page docs/settings.md.")
def settings(as_json: bool, markdown: bool) -> int:
    """Every LIVE_* and RISK_* setting: its value here, and whether the environment or the default gives it.

    Needs no database. A value that the worker would refuse, or a name that it does not know, is refused here too, with
    exit 1.

    \b
    Example:
      RISK_PER_TRADE_PCT=0.5 python -m live settings --json
    """
    if markdown:
        say(page())
        return ExitCode.OK
    environment = this_environment()
    read, refusals = read_settings(environment.settings)
    if refusals := [*settings_gate(KNOWN_SETTINGS).judge(environment, Surroundings()), *refusals]:
        raise GateRefused(*refusals)
    described = all_settings(read)
    if as_json:
        say_json([asdict(each) | {"source": source_of(each, environment.settings)} for each in described])
    else:
        for title, each in _sections(described):
            say(title)
            show(*section(each, environment.settings))
            say()
    return ExitCode.OK


def source_of(described: Described, given: Mapping[str, str]) -> str:
    return "environment" if described.variable in given else "default"


def section(described: list[Described], given: Mapping[str, str]) -> tuple[Grid, str]:
    """The settings of one section, for a terminal and for a pipe."""
    rows = [asdict(each) | {"source": source_of(each, given)} for each in described]
    grid = Grid(_COLUMNS, rows, "no setting", now())
    return grid, grid_text(grid)


def page() -> str:
    """docs/settings.md, which a test keeps equal to this."""
    head = (
        "# Settings\n\n"
        "Each is a variable of the worker's environment, read once at its start; what is unset has its default.\n"
        "`python -m live settings` prints the values in force. This page is printed by"
        " `python -m live settings --markdown`.\n\n"
        "A value out of its bounds is refused (G40 in [RUNBOOK.md](../RUNBOOK.md)), and so is a name that starts with\n"
        "`LIVE_` or `RISK_` and is not here: a misspelt limit is no limit."
    )
    return "\n\n".join([head, *(_chapter(title, each) for title, each in _sections(all_settings())), _relations()])


def _sections(described: list[Described]) -> list[tuple[str, list[Described]]]:
    return [(title, list(each)) for title, each in groupby(described, key=lambda one: one.section)]


def _chapter(title: str, described: list[Described]) -> str:
    rows = [
        f"| `{each.variable}` | {each.default.replace(',', ', ')} | {each.unit} | {each.bounds} | {each.meaning} |"
        for each in described
    ]
    return "\n".join(
        [f"## {title}\n", "| variable | default | unit | bounds | meaning |", "|---|---|---|---|---|", *rows]
    )


def _relations() -> str:
    rows = [f"| `{inner}` | `{outer}` |" for inner, outer in guarded_limits()]
    return "\n".join(
        [
            "## Which must stay below which\n",
            "The worker does not start where one does not (G41): a halt must be looser than the limit before it.\n",
            "| this | below this |",
            "|---|---|",
            *rows,
        ]
    )

"""`prodsafe check` and `prodsafe env`: what the gates say, and what is set. Neither starts nor asks anything. [S]"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import click

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
from prodsafe.output import mask, refuse, register_secrets, say, say_json, warn


@click.command(epilog="\b\nReads:\n" + describe_variables())
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


@click.command()
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

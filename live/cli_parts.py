"""What several commands of `python -m live` share: options, their readings, the environment. [S]"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from prodsafe.errors import GateRefused, RefusalKind
from prodsafe.output import register_secrets
from prodsafe.values import read_seconds

if TYPE_CHECKING:
    from prodsafe.environment import Environment

OPERATOR_DATABASE = RefusalKind("H05", "operator-database")

json_option = click.option("--json", "as_json", is_flag=True, help="The same as data, for machines.")


def utc(_context: click.Context, _parameter: click.Parameter, text: str | None) -> datetime | None:
    """ISO 8601; a time without a zone is UTC, as every time here is."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no date or time, as 2026-03-01 or 2026-03-01T12:00Z") from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def seconds(_context: click.Context, _parameter: click.Parameter, text: str | None) -> float | None:
    try:
        return None if text is None else read_seconds(text)
    except ValueError as wrong:
        raise click.BadParameter(f"{text!r} {wrong}") from None


def this_environment() -> Environment:
    """Read the environment, once."""
    from prodsafe.environment import read_environment

    environment = read_environment(os.environ)
    register_secrets(environment.secrets())
    return environment


def database_url(environment: Environment) -> str:
    """Raises GateRefused where the environment names no usable database."""
    if environment.database_url is None:
        malformed = [each for each in environment.problems if (each.seen or "").startswith("DATABASE_URL=")]
        missing = OPERATOR_DATABASE.because(
            "DATABASE_URL is not set; operators' commands look into the worker's database",
            mend="set DATABASE_URL as the worker has it",
        )
        raise GateRefused(*(malformed or [missing]))
    return environment.database_url

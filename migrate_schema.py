"""Entry point: bring the database's schema up to this release, safely beside a running worker.

python migrate_schema.py && python -m live.prod_live. Loads no dotenv file; reads DATABASE_URL, and LOCK_DATABASE_URL
where statements that run outside a transaction need the direct address.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from prodsafe import values
from prodsafe.errors import ExitCode
from prodsafe.migrations.interruption import interruption_refused
from prodsafe.output import refuse, register_secrets, run_entry, say, say_error, say_json

if TYPE_CHECKING:
    from prodsafe.migrations import MigrationSet


def read_urls(source: Mapping[str, str]) -> tuple[str, str]:
    """DATABASE_URL and LOCK_DATABASE_URL (by default the same), by the same strict rules as everywhere.

    Only a refusal pays for the whole environment: reading that costs half as much as a run with nothing to do.
    """
    raw = source.get("DATABASE_URL", "")
    direct = source.get("LOCK_DATABASE_URL", "")
    try:
        urls = values.read_database_url(raw), values.read_database_url(direct if direct.strip() else raw)
    except ValueError:
        _refuse(source)
        raise
    for url in urls:
        register_secrets(values.secrets_in_url(url))
    return urls


def _refuse(source: Mapping[str, str]) -> None:
    from prodsafe.environment import read_environment
    from prodsafe.gates import DATABASE_GATES, evaluate_gates, look_around, require_gates

    env = read_environment(source)
    register_secrets(env.secrets())
    require_gates(evaluate_gates(env, look_around(source), DATABASE_GATES), force=False)


def run(arguments: argparse.Namespace, source: Mapping[str, str]) -> int:
    with interruption_refused():
        url, direct_url = read_urls(source)
        from live.schema import SETS

        return _plan(arguments, url, SETS) if arguments.plan else _migrate(arguments, url, direct_url, SETS)


def _plan(arguments: argparse.Namespace, url: str, sets: Sequence[MigrationSet]) -> int:
    from prodsafe.migrations import plan_for

    plan = plan_for(url, sets)
    if arguments.json:
        say_json(plan.as_dict())
    else:
        say("\n".join(plan.as_lines()))
    refuse(plan.refusals)
    return ExitCode.SCHEMA_NOT_READY if plan.refusals else ExitCode.OK


def _migrate(arguments: argparse.Namespace, url: str, direct_url: str, sets: Sequence[MigrationSet]) -> int:
    from prodsafe.migrations import migrate

    result = migrate(
        url,
        sets,
        wait_seconds=arguments.wait,
        run_seconds=arguments.deadline,
        report=say_error if arguments.json else say,
        direct_url=direct_url,
    )
    if arguments.json:
        say_json(result.as_dict())
    else:
        say(result.summary)
    return ExitCode.OK


def seconds(text: str) -> float:
    try:
        return values.read_seconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Apply pending migrations: prodsafe's own tables, then live's.",
        epilog="DATABASE_URL names the database. Exit: 0 up to date, 1 refused, 4 schema not ready, 6 unreachable.",
    )
    parser.add_argument("--plan", action="store_true", help="show what would be applied, change nothing")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout, progress on stderr")
    parser.add_argument(
        "--wait",
        type=seconds,
        default=60.0,
        metavar="S",
        help="seconds to wait while another runner migrates this database (default 60)",
    )
    parser.add_argument(
        "--deadline",
        type=seconds,
        default=3600.0,
        metavar="S",
        help="seconds for the whole run, also of an index that is built concurrently (default 3600)",
    )
    arguments = parser.parse_args()
    return run_entry(lambda: run(arguments, os.environ), as_json=arguments.json)


if __name__ == "__main__":
    sys.exit(main())

"""Entry point: bring the database's schema up to this release, safely beside a running worker.

python migrate_schema.py && python -m live.prod_live. Loads no dotenv file; reads DATABASE_URL and nothing else.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Mapping

from prodsafe import values
from prodsafe.errors import ExitCode
from prodsafe.output import refuse, register_secrets, run_entry, say, say_error, say_json


def database_url(source: Mapping[str, str]) -> str:
    """DATABASE_URL by the same strict rules as everywhere.

    Only a refusal pays for the whole environment: reading that costs half as much as a run with nothing to do.
    """
    raw = source.get("DATABASE_URL", "")
    try:
        url = values.read_database_url(raw)
    except ValueError:
        _refuse(source)
        raise
    register_secrets(values.secrets_in_url(url))
    return url


def _refuse(source: Mapping[str, str]) -> None:
    from prodsafe.environment import read_environment
    from prodsafe.gates import DATABASE_GATES, evaluate_gates, look_around, require_gates

    env = read_environment(source)
    register_secrets(env.secrets())
    require_gates(evaluate_gates(env, look_around(source), DATABASE_GATES), force=False)


def run(arguments: argparse.Namespace, source: Mapping[str, str]) -> int:
    url = database_url(source)
    from live.schema import SETS
    from prodsafe.migrations import migrate, plan_for

    if arguments.plan:
        plan = plan_for(url, SETS)
        if arguments.json:
            say_json(plan.as_dict())
        else:
            say("\n".join(plan.as_lines()))
        refuse(plan.refusals)
        return ExitCode.SCHEMA_NOT_READY if plan.refusals else ExitCode.OK
    result = migrate(url, SETS, wait_seconds=arguments.wait, report=say_error if arguments.json else say)
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
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: roll back, say so, exit 4
    return run_entry(lambda: run(arguments, os.environ), as_json=arguments.json)


if __name__ == "__main__":
    sys.exit(main())

"""Entry point: bring the database's schema up to this release, safely beside a running worker.

python migrate_schema.py && python -m live.prod_live. Loads no dotenv file; reads DATABASE_URL, and LOCK_DATABASE_URL
where statements that run outside a transaction need the direct address.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

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
    if any(name.startswith("PG") for name in source):  # libpq reads them beside the address: gates know which matter
        _refuse(source)
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


def run(options: Options, source: Mapping[str, str]) -> int:
    with interruption_refused():
        url, direct_url = read_urls(source)
        from live.schema import SETS

        return _plan(options, url, SETS) if options.plan else _migrate(options, url, direct_url, SETS)


def _plan(options: Options, url: str, sets: Sequence[MigrationSet]) -> int:
    from prodsafe.migrations import plan_for

    plan = plan_for(url, sets)
    if options.json:
        say_json(plan.as_dict())
    else:
        say("\n".join(plan.as_lines()))
    refuse(plan.refusals)
    return ExitCode.SCHEMA_NOT_READY if plan.refusals else ExitCode.OK


def _migrate(options: Options, url: str, direct_url: str, sets: Sequence[MigrationSet]) -> int:
    from prodsafe.migrations import migrate

    result = migrate(
        url,
        sets,
        wait_seconds=options.wait,
        run_seconds=options.deadline,
        backfill_seconds=options.backfill,
        report=say_error if options.json else say,
        direct_url=direct_url,
    )
    if options.json:
        say_json(result.as_dict())
    else:
        say(result.summary)
    return ExitCode.OK


class Options(NamedTuple):
    """What the command line says; seconds."""

    plan: bool = False
    json: bool = False
    wait: float = 60.0
    deadline: float = 3600.0
    backfill: float = 20.0


def read_options(arguments: Sequence[str]) -> Options:
    """Without arguments, as every deploy calls it, argparse is not worth its import."""
    return _parse(arguments) if arguments else Options()


def _parse(arguments: Sequence[str]) -> Options:
    import argparse

    def seconds(text: str) -> float:
        try:
            return values.read_seconds(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    parser = argparse.ArgumentParser(
        description="Apply pending migrations: prodsafe's own tables, then live's.",
        epilog="DATABASE_URL names the database. Exit: 0 up to date, 1 refused, 4 schema not ready, 6 unreachable.",
    )
    parser.add_argument("--plan", action="store_true", help="show what would be applied, change nothing")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout, progress on stderr")
    for name, what in (
        ("wait", "seconds to wait while another runner migrates this database"),
        ("deadline", "seconds for the whole run, also of an index that is built concurrently"),
        ("backfill", "seconds for the batches of each data file; prodsafe migrate backfill does what is left"),
    ):
        default = Options._field_defaults[name]
        parser.add_argument(
            f"--{name}", type=seconds, default=default, metavar="S", help=f"{what} (default {default:g})"
        )
    return Options(**vars(parser.parse_args(arguments)))


def main() -> int:
    options = read_options(sys.argv[1:])
    return run_entry(lambda: run(options, os.environ), as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())

"""`prodsafe migrate verify` and `baseline`: parse, call one function, print, exit. [S]"""

from __future__ import annotations

import os
from pathlib import Path

import click

from prodsafe.errors import ExitCode, SchemaNotReady
from prodsafe.migrations.files import PRODSAFE_SET, MigrationSet
from prodsafe.migrations.options import database_url, json_option, leave, read_reason, sets_option, wait_option
from prodsafe.output import refuse, say, say_error, say_json


def given_binaries() -> Path | None:
    """The folder that PRODSAFE_PG_BIN names, if any."""
    given = os.environ.get("PRODSAFE_PG_BIN")
    return Path(given) if given else None


@click.command()
@sets_option
@json_option
@click.option("--quick", is_flag=True, help="Files, ledger and the recorded fingerprint only: no throw-away server.")
@click.option(
    "--accept",
    metavar="REASON",
    callback=read_reason,
    help="Take the schema as it is now for right: a worker boots on it again.",
)
def verify(sets: list[MigrationSet], as_json: bool, quick: bool, accept: str | None) -> None:
    """Compare files with ledger, and the live schema with what the applied files make; exit 4 on any difference.

    The applied files run on a throw-away server of the same PostgreSQL version. A difference comes with the SQL
    that mends it.
    """
    every = [PRODSAFE_SET, *sets]

    def body() -> int:
        _require_agreement(every)
        if accept is not None:
            return _accept(every, accept)
        return _verify_quickly(every, as_json) if quick else _verify(every, as_json)

    leave(body, as_json)


@click.command()
@sets_option
@json_option
@click.option("--to", type=click.IntRange(min=1), required=True, help="The last file whose work is there already.")
@click.option("--reason", required=True, callback=read_reason, help="Why, for the ledger.")
@wait_option
def baseline(sets: list[MigrationSet], as_json: bool, to: int, reason: str, wait: float) -> None:
    """Record files as applied in a database that has their schema already; nothing runs.

    Takes the last --set up to --to. Any difference between the schema and what these files make refuses it.
    """

    if not sets:
        raise click.UsageError("no installed program has a set of migrations: give --set NAME=FOLDER")

    def body() -> int:
        from prodsafe.migrations import baseline as room
        from prodsafe.migrations.baseline import BASELINE_DIFFERS

        target, report = sets[-1], say_error if as_json else say
        differences = room.baseline(
            database_url(),
            target,
            [PRODSAFE_SET, *sets[:-1]],
            to=to,
            reason=reason,
            binaries=given_binaries(),
            wait_seconds=wait,
            report=report,
        )
        if as_json:
            say_json({"ok": not differences, "differences": [each.as_dict() for each in differences]})
        elif differences:
            say("\n".join(line for each in differences for line in each.as_lines()))
        if differences:
            refuse(
                [
                    BASELINE_DIFFERS.because(
                        f"the database is not what {target.name} makes up to {to:04d}: {len(differences)} differences",
                        mend="mend them with the SQL shown, or give --to the file that fits; nothing was recorded",
                    )
                ]
            )
        return ExitCode.SCHEMA_NOT_READY if differences else ExitCode.OK

    leave(body, as_json)


def _require_agreement(sets: list[MigrationSet]) -> None:
    from prodsafe.migrations.runner import plan_for

    found = plan_for(database_url(), sets)
    if found.refusals:
        raise SchemaNotReady(*found.refusals)


def _verify(sets: list[MigrationSet], as_json: bool) -> int:
    from prodsafe.migrations import drift

    verdict = drift.verify(database_url(), sets, given_binaries())
    if as_json:
        say_json(verdict.as_dict())
    elif verdict.differences:
        say("\n".join(line for each in verdict.differences for line in each.as_lines()))
    else:
        schema = ", ".join(f"{name} {version}" for name, version in verdict.versions.items())
        say(f"files, ledger and database agree: schema at {schema}; {len(verdict.waiting)} pending")
    if verdict.differences:
        refuse([drift.refusal_for(verdict)])
        return ExitCode.SCHEMA_NOT_READY
    drift.confirm(database_url(), sets)
    return ExitCode.OK


def _verify_quickly(sets: list[MigrationSet], as_json: bool) -> int:
    from prodsafe.migrations.fingerprints import check_drift
    from prodsafe.migrations.runner import connected

    with connected(database_url()) as conn:
        refusals = check_drift(conn, sets)
    if refusals:
        raise SchemaNotReady(*refusals)
    if as_json:
        say_json({"ok": True, "differences": []})
    else:
        say("files and ledger agree, and the schema has its recorded fingerprint")
    return ExitCode.OK


def _accept(sets: list[MigrationSet], reason: str) -> int:
    from prodsafe.migrations import drift

    drift.accept(database_url(), sets, reason)
    say("taken for right until the next migration; write a migration file that makes the same")
    return ExitCode.OK

"""`prodsafe migrate plan`: what would run, with its locks and what it would wait for; or the SQL itself. [S]"""

from __future__ import annotations

from collections.abc import Mapping

import click

from prodsafe.errors import ExitCode
from prodsafe.migrations.files import PRODSAFE_SET, Migration, MigrationSet, load
from prodsafe.migrations.options import database_url, json_option, leave, read_targets, sets_option
from prodsafe.migrations.plan import Plan
from prodsafe.migrations.surroundings import Surroundings, opaque_lines
from prodsafe.output import refuse, say, say_json

PHASES = {
    "expand": "expand, safe beside an older worker",
    "data": "data",
    "contract": "contract, nobody needs the old shape",
}


@click.command()
@sets_option
@json_option
@click.option("--to", metavar="[NAME=]N", multiple=True, help="Only up to this file of the set (the last one).")
@click.option("--sql", "as_sql", is_flag=True, help="The SQL for psql instead; with --from, without any database.")
@click.option(
    "--from", "begin", metavar="[NAME=]N", multiple=True, help="With --sql: what is applied already; 0 for nothing."
)
def plan(sets: list[MigrationSet], as_json: bool, to: tuple[str, ...], as_sql: bool, begin: tuple[str, ...]) -> None:
    """Show what `apply` would do: files, phases, locks, table sizes, who is in the way. Change nothing."""
    every = [PRODSAFE_SET, *sets]
    upto, after = read_targets(to, sets, "--to"), read_targets(begin, sets, "--from")
    if (begin and not as_sql) or (as_sql and as_json):
        raise click.UsageError("--from goes with --sql, --sql without --json")

    def body() -> int:
        if begin:
            return _offline(every, after, upto)
        found, around = _look(every, upto)
        if as_json:
            say_json({**found.as_dict(), **_as_dict(found, around)})
        elif as_sql:
            from prodsafe.migrations.script import as_script

            say(as_script(() if found.refusals else found.apply))
        else:
            say("\n".join(_as_lines(found, around)))
        refuse(found.refusals)
        return ExitCode.SCHEMA_NOT_READY if found.refusals else ExitCode.OK

    leave(body, as_json)


def _look(sets: list[MigrationSet], upto: Mapping[str, int]) -> tuple[Plan, Surroundings]:
    from prodsafe.migrations.ledger import read_ledger
    from prodsafe.migrations.runner import connected, make_current_plan, read_all
    from prodsafe.migrations.surroundings import look_around

    available = read_all(sets)
    with connected(database_url()) as conn:
        found = make_current_plan(conn, available, read_ledger(conn), upto)
        return found, look_around(conn, [*found.apply, *(each.migration for each in found.deferred)])


def _offline(sets: list[MigrationSet], after: Mapping[str, int], upto: Mapping[str, int]) -> int:
    """Every file of the named sets after the given ones; no database is asked, so nothing can be deferred."""
    from prodsafe.migrations.script import as_script

    files = [file for each in sets if each.name in after for file in load(each)]
    say(as_script([m for m in files if after[m.set_name] < m.version <= upto.get(m.set_name, m.version)]))
    return ExitCode.OK


def _as_lines(found: Plan, around: Surroundings) -> list[str]:
    if not found.apply or found.refusals:
        return found.as_lines()
    lines = [f"schema at {found.schema}; to apply, in this order:"]
    phase = ""
    for migration in found.apply:
        if migration.kind != phase:
            phase = migration.kind
            lines.append(f"{PHASES[phase]}:")
        lines += _file_lines(migration, found, around)
    lines += [f"deferred {each.migration.label}: {each.because}" for each in found.deferred]
    lines += [f"notice: {notice}" for notice in found.notices]
    if around.sessions:
        lines += ["in the way now:", *(f"  {each.as_line()}" for each in around.sessions)]
    return lines


def _file_lines(migration: Migration, found: Plan, around: Surroundings) -> list[str]:
    lines = [found.line(migration)]
    seen = dict.fromkeys(lock.as_line() for each in around.locks[migration.key] for lock in each if lock.table)
    lines += [f"    {line}" for line in seen] or ["    locks no table that is in use"]
    if opaque := opaque_lines(migration):
        lines.append(f"    line {', '.join(map(str, opaque))}: code, whose locks prodsafe migrate trace measures")
    return lines


def _as_dict(found: Plan, around: Surroundings) -> dict[str, object]:
    return {
        "locks": [
            {"set": m.set_name, "version": m.version, "line": statement.line, **lock.as_dict()}
            for m in found.apply
            for statement, locks in zip(m.statements, around.locks[m.key], strict=True)
            for lock in locks
        ],
        "in_the_way": [each.as_dict() for each in around.sessions],
    }

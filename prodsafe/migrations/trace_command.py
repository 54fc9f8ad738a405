"""`prodsafe migrate trace`: parse, call one function, print, exit. [S]"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from prodsafe import values
from prodsafe.errors import ExitCode, Refusal, SchemaNotReady
from prodsafe.migrations.drift_command import given_binaries
from prodsafe.migrations.files import PRODSAFE_SET, Migration, MigrationSet, load, parse
from prodsafe.migrations.options import leave, sets_option
from prodsafe.output import refuse, register_secrets, say, say_error, say_json

if TYPE_CHECKING:
    from prodsafe.migrations.trace_report import Disagreement, StatementTrace


_ALLOWED = re.compile(r"--\s*prodsafe:\s*allow\b.*", re.IGNORECASE)


def _read_like(context: click.Context, parameter: click.Parameter, given: str | None) -> str | None:
    """The address in the variable of this name; an address itself only without a password, which others could see."""
    if given is None:
        return None
    raw = given if "://" in given else os.environ.get(given, "")
    if not raw.strip():
        raise click.BadParameter(f"the variable {given} is not set", context, parameter)
    try:
        url = values.read_database_url(raw)
    except ValueError as error:
        raise click.BadParameter(
            f"{given if '://' not in given else 'the address'}: {error}", context, parameter
        ) from None
    if "://" in given and values.secrets_in_url(url):
        raise click.BadParameter("give the NAME of a variable that holds the address: a command line is public")
    register_secrets(values.secrets_in_url(url))
    return url


@click.command()
@sets_option
@click.option(
    "--like",
    metavar="VARIABLE",
    callback=_read_like,
    help="Start from the schema of the database whose address this environment variable holds, and trace its pending "
    "files. Without it the files themselves make the schema.",
)
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def trace(sets: list[MigrationSet], like: str | None, style: str, files: tuple[Path, ...]) -> None:
    """Run migrations on a throw-away server and show, statement by statement, locks, rewrites and full scans.

    FILES: only these are shown (those before them run first); a file outside the sets runs last. Default: all that
    are pending. Nothing is changed in any real database.
    """

    def body() -> int:
        found = _trace([PRODSAFE_SET, *sets], like, files)
        failures = [_failure(each) for traces, _ in found for each in traces if each.error]
        _say(found, failures, as_json=style == "json")
        refuse(failures)
        return ExitCode.SCHEMA_NOT_READY if failures else ExitCode.OK

    leave(body, style == "json")


Traced = list[tuple[list["StatementTrace"], list["Disagreement"]]]


def _trace(sets: Sequence[MigrationSet], like: str | None, files: Sequence[Path]) -> Traced:
    from prodsafe.migrations.throwaway import server_major, throwaway
    from prodsafe.migrations.trace import pending, run_plainly
    from prodsafe.migrations.trace import trace as run
    from prodsafe.migrations.trace_report import disagreements

    every = [migration for each in sets for migration in load(each)]
    waiting = pending(like, every) if like else every
    shown, last = _chosen(sets, waiting, files)
    found: Traced = []
    with throwaway(given_binaries(), major=server_major(like) if like else None) as server:
        url = server.like(like) if like else server.new_database()
        for migration in last:
            if migration not in shown:
                run_plainly(url, [migration])
                continue
            if migration.batch:
                say_error(f"not traced: {migration.label} runs {migration.way}, and a throw-away server has no rows")
            before = every[: every.index(migration)] if migration in every else every
            traces = _with_lint(migration, before, run(url, [migration]))
            found.append((traces, disagreements(traces)))
            if traces and traces[-1].error:
                break
    return found


def _chosen(
    sets: Sequence[MigrationSet], waiting: Sequence[Migration], files: Sequence[Path]
) -> tuple[list[Migration], list[Migration]]:
    """What to show, and everything to run, in order."""
    if not files:
        return list(waiting), list(waiting)
    folders = {each.folder.resolve(): each.name for each in sets}
    named = {(folders.get(path.resolve().parent), path.stem) for path in files}
    strangers = [_read(path) for path in files if path.resolve().parent not in folders]
    shown = [migration for migration in waiting if (migration.set_name, migration.name) in named]
    until = max((waiting.index(migration) for migration in shown), default=len(waiting) - 1)
    return [*shown, *strangers], [*waiting[: until + 1], *strangers]


def _read(path: Path) -> Migration:
    """A file that belongs to no set, whatever it is called."""
    parsed = parse("file", "0001_expand_named.sql", path.read_bytes())
    if isinstance(parsed, Refusal):
        raise SchemaNotReady(parsed)
    return replace(parsed, name=path.name)


def _with_lint(migration: Migration, before: Sequence[Migration], traces: list[StatementTrace]) -> list[StatementTrace]:
    """With what the linter says of the same text, after the same files; without it where its parser is missing."""
    from prodsafe.migrations.lint.linter import lint
    from prodsafe.migrations.lint.options import SqlFile
    from prodsafe.migrations.lint.parser import ParserMissing
    from prodsafe.migrations.trace_report import with_hazards

    text = _ALLOWED.sub("--", migration.sql)  # what a person allowed is to be seen here all the same
    try:
        report = lint([SqlFile(migration.name, text, migration.kind)], setup=[each.sql for each in before])
    except ParserMissing as missing:
        say_error(f"not compared with lint: {missing}")
        return traces
    return with_hazards(traces, [(finding.line, finding.category) for finding in report.findings])


def _failure(trace: StatementTrace) -> Refusal:
    from prodsafe.migrations.throwaway import FILE_FAILS

    return FILE_FAILS.because(
        f"{trace.label} line {trace.line}: {trace.error}",
        mend="correct the file, or run it after those that it needs: give every --set, in order",
    )


def _say(found: Traced, failures: Sequence[Refusal], *, as_json: bool) -> None:
    if as_json:
        say_json(
            {
                "ok": not failures,
                "refusals": [each.as_dict() for each in failures],
                "statements": [each.as_dict() for traces, _ in found for each in traces],
                "disagreements": [each.as_dict() for _, disagreeing in found for each in disagreeing],
            }
        )
        return
    for traces, disagreeing in found:
        for label in dict.fromkeys(each.label for each in traces):
            say(label)
        say("\n".join(f"  {line}" for each in traces for line in each.as_lines()))
        for each in disagreeing:
            say(f"  {each.as_line()}")
    if not found:
        say("nothing to trace: no file is pending")

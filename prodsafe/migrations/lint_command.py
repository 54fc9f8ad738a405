"""`prodsafe migrate lint`: find the files, call the linter, print, exit. The parser is loaded when it is used. [S]"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from prodsafe.errors import ExitCode
from prodsafe.output import say, say_json

if TYPE_CHECKING:
    from prodsafe.migrations.lint.linter import Report, SqlFile

_NUMBERED = re.compile(r"(?P<version>[0-9]{4})_(?P<kind>expand|contract|data)_.*\.sql")
DEFAULT_FOLDER = "live/migrations"


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path), metavar="[FILES or FOLDERS]...")
@click.option(
    "--format", "shape", type=click.Choice(["text", "json", "sarif", "github"]), default="text", show_default=True
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--stdin", "from_stdin", is_flag=True, help="Read one file from standard input.")
@click.option(
    "--setup",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="SQL of the schema before these files; learnt, not judged. May be given several times, in order.",
)
@click.option(
    "--assume-transaction/--no-transaction",
    "assume_transaction",
    default=None,
    help="One transaction round each file, or each statement by itself; unsaid: as `migrate apply` would run it.",
)
@click.option("--hygiene", is_flag=True, help="Also habits: timeouts, several ALTER TABLE, missing indexes.")
@click.option("--style", is_flag=True, help="Also types and names.")
@click.option("--list", "list_all", is_flag=True, help="Every category, and stop.")
@click.option("--explain", metavar="CATEGORY", help="What a category means and what to do instead, and stop.")
def lint(
    paths: tuple[Path, ...],
    shape: str,
    as_json: bool,
    from_stdin: bool,
    setup: tuple[Path, ...],
    assume_transaction: bool | None,
    hygiene: bool,
    style: bool,
    list_all: bool,
    explain: str | None,
) -> None:
    """What would these migrations lock, rewrite, break or lose? Exit 4 when a finding is an error.

    \b
    Tables that a file makes itself cannot block; earlier files of the same folder are known. Exceptions stand in the
    header of a file, each with its reason:
        -- prodsafe: allow drop-column because the last reader went with release 41

    \b
    Examples:
        prodsafe migrate lint                                every file of live/migrations
        prodsafe migrate lint 0007_expand_index.sql          one; those before it in its folder are known
        prodsafe migrate lint --stdin --json --setup schema.sql < change.sql
        prodsafe migrate lint --format sarif > lint.sarif    for a code scanner; github: notes in a pull request
        prodsafe migrate lint --explain fk-without-not-valid
    """
    if list_all or explain:
        _teach(explain)
        return
    from prodsafe.migrations.lint.linter import Options
    from prodsafe.migrations.lint.linter import lint as run
    from prodsafe.migrations.lint.parser import ParserMissing

    if from_stdin and paths:
        raise click.UsageError("--stdin reads standard input: give no files with it")
    files, before = _from_stdin() if from_stdin else _collect(paths)
    learnt = [_read(path) for path in setup] + before
    try:
        report = run(files, setup=learnt, options=Options(assume_transaction, hygiene, style))
    except ParserMissing as error:
        raise click.UsageError(str(error)) from None
    _show(report, "json" if as_json else shape)
    if any(each.severity == "error" for each in report.findings):
        raise SystemExit(ExitCode.SCHEMA_NOT_READY)


def _teach(category: str | None) -> None:
    from prodsafe.migrations.lint.categories import CATEGORIES
    from prodsafe.migrations.lint.formats import explanation, listing

    if category is None:
        say(listing())
    elif category in CATEGORIES:
        say(explanation(CATEGORIES[category]))
    else:
        raise click.UsageError(f"{category!a} is no category; --list shows them all")


def _from_stdin() -> tuple[list[SqlFile], list[str]]:
    from prodsafe.migrations.lint.linter import SqlFile

    return [SqlFile("<stdin>", _decoded(sys.stdin.buffer.read(), "standard input"))], []


def _collect(paths: tuple[Path, ...]) -> tuple[list[SqlFile], list[str]]:
    """The files to judge, in order, and the text of the numbered ones before them in their folders."""
    from prodsafe.migrations.lint.linter import SqlFile

    if not paths and not Path(DEFAULT_FOLDER).is_dir():
        raise click.UsageError(f"there is no {DEFAULT_FOLDER} here: name files or folders, or --stdin")
    wanted: dict[Path, None] = {}
    for path in paths or (Path(DEFAULT_FOLDER),):
        wanted |= dict.fromkeys(sorted(_sql_files(path)) if path.is_dir() else [path])
    if not wanted:
        raise click.UsageError("no .sql file there")
    before = [each for each in _earlier(list(wanted)) if each not in wanted]
    files = []
    for path in wanted:
        numbered = _NUMBERED.fullmatch(path.name)
        files.append(SqlFile(str(path), _read(path), numbered["kind"] if numbered else ""))
    return files, [_read(path) for path in before]


def _sql_files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.suffix.lower() == ".sql" and path.is_file()]


def _earlier(files: list[Path]) -> list[Path]:
    """The numbered files of each folder that come before the first one asked for."""
    found: list[Path] = []
    for folder in dict.fromkeys(path.parent for path in files):
        first = min(
            (path.name for path in files if path.parent == folder and _NUMBERED.fullmatch(path.name)), default=""
        )
        found += sorted(
            path for path in _sql_files(folder) if first and _NUMBERED.fullmatch(path.name) and path.name < first
        )
    return found


def _read(path: Path) -> str:
    try:
        return _decoded(path.read_bytes(), str(path))
    except OSError as error:
        raise click.UsageError(f"cannot read {path}: {error.strerror}") from error


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{name} is not UTF-8: {error.reason} at byte {error.start}") from error


def _show(report: Report, shape: str) -> None:
    from prodsafe.migrations.lint import formats

    match shape:
        case "json":
            say_json(formats.as_dict(report))
        case "sarif":
            from importlib.metadata import version

            say(formats.as_sarif(report, version("prodsafe")))
        case "github":
            say(formats.as_github(report))
        case _:
            say(formats.as_text(report))

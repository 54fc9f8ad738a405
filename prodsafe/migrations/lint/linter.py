"""Files -> findings: what their statements risk, less what their headers allow, with severities and places. [P]"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from prodsafe.migrations.directives import read_directives
from prodsafe.migrations.files import VERBS
from prodsafe.migrations.lint import rules_table
from prodsafe.migrations.lint.categories import CATEGORIES, COMPATIBILITY, NOTE
from prodsafe.migrations.lint.findings import Finding
from prodsafe.migrations.lint.learn import learn
from prodsafe.migrations.lint.learn_table import learn_command
from prodsafe.migrations.lint.options import Options, Report, SqlFile
from prodsafe.migrations.lint.parser import Parsed, parse
from prodsafe.migrations.lint.scene import Hazard, bare_scene
from prodsafe.migrations.lint.schema import Schema
from prodsafe.migrations.lint.sqltext import Lines
from prodsafe.migrations.lint.walk import FileLinter

__all__ = ["Options", "Report", "SqlFile", "lint"]


def lint(files: Sequence[SqlFile], *, setup: Sequence[str] = (), options: Options | None = None) -> Report:
    """The findings of the files, in their order. setup: SQL of an earlier schema, learnt and not judged."""
    schema, options = Schema(), options or Options()
    for text in setup:
        schema.next_file()
        _learn_all(schema, parse(text))
    findings: list[Finding] = []
    statements = allowed = 0
    for file in files:
        schema.next_file()
        text = file.text.removeprefix("\ufeff")
        linter = FileLinter(schema, replace(file, text=text), options)
        found, suppressed = _judged(file, text, linter.run(), options)
        findings += found
        allowed += suppressed
        statements += len(linter.parsed.statements)
    return Report(tuple(findings), len(files), statements, allowed)


def _learn_all(schema: Schema, parsed: Parsed) -> None:
    for statement in parsed.statements:
        if statement.kind == "AlterTableStmt":
            for command in rules_table.commands_of(bare_scene(statement, schema)):
                learn_command(schema, command)
        learn(schema, statement)


def _judged(file: SqlFile, text: str, hazards: Sequence[Hazard], options: Options) -> tuple[list[Finding], int]:
    """Hazards into findings of the file: with places and severities, without what its header allows."""
    directives = read_directives(text, categories=CATEGORIES, verbs=VERBS)
    lines = Lines(text)
    findings = [_malformed(file, each.line, each.why) for each in directives.malformed]
    wanted = {each for each in dict.fromkeys(hazards) if _wanted(each, options)}
    kept = [each for each in dict.fromkeys(hazards) if each in wanted and directives.reason_for(each.category) is None]
    findings += [_finding(file, lines, each) for each in _without_repeats(kept)]
    findings.sort(key=lambda each: (each.line, each.column))
    return findings, len(wanted) - len(kept)


def _wanted(hazard: Hazard, options: Options) -> bool:
    group = CATEGORIES[hazard.category].group
    if group == "style":
        return options.style
    return group != "hygiene" or options.hygiene or hazard.category in ("missing-lock-timeout", "lock-timeout-too-long")


def _without_repeats(hazards: Sequence[Hazard]) -> list[Hazard]:
    """One finding for a category at a place: a function that is called may do many things."""
    seen: dict[tuple[str, int], Hazard] = {}
    for each in hazards:
        seen.setdefault((each.category, each.offset), each)
    return list(seen.values())


def _finding(file: SqlFile, lines: Lines, hazard: Hazard) -> Finding:
    category = CATEGORIES[hazard.category]
    line, column = lines.position(hazard.offset)
    severity, message = category.severity, hazard.message
    if file.kind == "contract" and category.group == COMPATIBILITY:
        severity, message = NOTE, f"{message} (Deferred: a contract file runs when no older worker does.)"
    return Finding(hazard.category, severity, file.name, line, column, message, hazard.mend, lines.line(line))


def _malformed(file: SqlFile, line: int, why: str) -> Finding:
    category = CATEGORIES["malformed-directive"]
    mend = "-- prodsafe: allow CATEGORY because REASON"
    text = Lines(file.text.removeprefix("\ufeff")).line(line)
    column = len(text) - len(text.lstrip()) + 1
    return Finding(
        category.name, category.severity, file.name, line, column, f"This directive has no effect: {why}.", mend, text
    )

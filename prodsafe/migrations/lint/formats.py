"""A report for people (text), programs (JSON), code scanners (SARIF 2.1.0) and GitHub (workflow commands). [P]"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import PurePath
from urllib.parse import quote

from prodsafe.migrations.lint.categories import CATEGORIES, ERROR, Category
from prodsafe.migrations.lint.findings import Finding
from prodsafe.migrations.lint.linter import Report

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {"error": "error", "warning": "warning", "note": "note"}
_COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}
_LONGEST_LINE = 160


def has_errors(report: Report) -> bool:
    return any(each.severity == ERROR for each in report.findings)


def as_text(report: Report) -> str:
    """Each finding with its line and a caret, then one line that sums up."""
    return "\n\n".join([*map(_finding_text, report.findings), _summary(report)])


def _finding_text(finding: Finding) -> str:
    lines = [f"{finding.file}:{finding.line}:{finding.column}: {finding.severity} {finding.category}"]
    source = finding.source.expandtabs(1)
    if source.strip():
        cut = max(0, finding.column - 1 - _LONGEST_LINE // 2) if len(source) > _LONGEST_LINE else 0
        number = str(finding.line)
        shown = "".join(char if char.isprintable() else "?" for char in source[cut : cut + _LONGEST_LINE])
        lines += [f"  {number} | {shown}", f"  {' ' * len(number)} | {' ' * (finding.column - 1 - cut)}^"]
    lines.append(f"  {finding.message}")
    if finding.mend:
        lines += ["  mend:", *(f"    {line}" for line in finding.mend.split("\n"))]
    return "\n".join(lines)


def _summary(report: Report) -> str:
    counts = Counter(each.severity for each in report.findings)
    told = ", ".join(_counted(counts[name], name) for name in _LEVELS if counts[name])
    seen = f"{_counted(report.files, 'file')}, {_counted(report.statements, 'statement')}"
    allowed = f"; {report.allowed} allowed by a directive" if report.allowed else ""
    return f"{told or 'no hazard'} in {seen}{allowed}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def as_dict(report: Report) -> dict[str, object]:
    return {"findings": [each.as_dict() for each in report.findings]}


def as_github(report: Report) -> str:
    """One workflow command a finding, and the summary in the log."""
    return "\n".join([*map(_command, report.findings), _summary(report)])


def _command(finding: Finding) -> str:
    fields = {
        "file": finding.file,
        "line": str(finding.line),
        "col": str(finding.column),
        "title": f"prodsafe {finding.category}",
    }
    told = ",".join(f"{name}={_property(value)}" for name, value in fields.items())
    message = finding.message + (f"\nmend:\n{finding.mend}" if finding.mend else "")
    return f"::{_COMMANDS[finding.severity]} {told}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def as_sarif(report: Report, version: str) -> str:
    names = sorted({each.category for each in report.findings})
    rules = [_sarif_rule(CATEGORIES[name]) for name in names]
    run = {
        "tool": {"driver": {"name": "prodsafe migrate lint", "version": version, "rules": rules}},
        "columnKind": "unicodeCodePoints",
        "results": [_sarif_result(each, names.index(each.category)) for each in report.findings],
    }
    return json.dumps({"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def _sarif_rule(category: Category) -> dict[str, object]:
    help_text = f"{category.why} Instead: {category.instead}"
    return {
        "id": category.name,
        "name": "".join(word.capitalize() for word in category.name.split("-")),
        "shortDescription": {"text": category.what},
        "fullDescription": {"text": category.why},
        "help": {"text": help_text, "markdown": f"{category.why}\n\n**Instead:** {category.instead}"},
        "defaultConfiguration": {"level": _LEVELS[category.severity]},
        "properties": {"tags": [category.group]},
    }


def _sarif_result(finding: Finding, rule: int) -> dict[str, object]:
    text = finding.message + (f"\n\nMend:\n{finding.mend}" if finding.mend else "")
    location = {
        "artifactLocation": {"uri": _uri(finding.file)},
        "region": {"startLine": finding.line, "startColumn": finding.column, "snippet": {"text": finding.source}},
    }
    return {
        "ruleId": finding.category,
        "ruleIndex": rule,
        "level": _LEVELS[finding.severity],
        "message": {"text": text},
        "locations": [{"physicalLocation": location}],
    }


def _uri(name: str) -> str:
    path = PurePath(name)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())


def listing() -> str:
    """Every category in one line."""
    width = max(map(len, CATEGORIES))
    return "\n".join(
        f"{each.name:<{width}}  {each.severity:<7}  {each.group}: {each.what}" for each in CATEGORIES.values()
    )


def explanation(category: Category) -> str:
    return "\n".join(
        [
            f"{category.name} ({category.severity}; {category.group})",
            f"  what:     {category.what}",
            f"  why:      {category.why}",
            f"  instead:  {category.instead}",
            f"  allow it: -- prodsafe: allow {category.name} because REASON   (in the header of the file)",
        ]
    )

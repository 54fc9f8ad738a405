"""What a run of the linter is given and what it gives back, as values. [P]"""

from __future__ import annotations

from dataclasses import dataclass

from prodsafe.migrations.lint.findings import Finding


@dataclass(frozen=True, slots=True)
class Options:
    """assume_transaction: None for what our runner does with the file; True and False override it."""

    assume_transaction: bool | None = None
    hygiene: bool = False
    style: bool = False


@dataclass(frozen=True, slots=True)
class SqlFile:
    """kind: expand, contract or data for a file of the runner's; "" for any other text, such as standard input."""

    name: str
    text: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """allowed: how many findings a directive of their file suppressed."""

    findings: tuple[Finding, ...]
    files: int
    statements: int
    allowed: int = 0

"""docs/legacy.md against the tree: each fault of the old loop has its number and a test that exists."""

from __future__ import annotations

import re

from tests.unit.test_incident_table import PROJECT, functions_in

PAGE = (PROJECT / "docs/legacy.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (L\d+) \|", PAGE, re.MULTILINE)


def test_the_faults_are_numbered_without_a_gap_and_each_names_a_test() -> None:
    rows = [line for line in PAGE.splitlines() if re.match(r"\| L\d+ \|", line)]

    assert [f"L{number}" for number in range(1, len(rows) + 1)] == ROWS
    assert [row for row in rows if "::test_" not in row] == []


def test_every_named_test_exists() -> None:
    named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", PAGE)

    assert len(named) >= len(ROWS)
    assert [f"{file}::{name}" for file, name in named if name not in functions_in(PROJECT / "tests" / file)] == []

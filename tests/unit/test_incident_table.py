"""docs/incidents.md against the tree: every number once, every test that it names is there, every room exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PAGE = (PROJECT / "docs/incidents.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in PAGE.splitlines() if line.startswith("| ")]
NUMBERS = {f"I{n}" for n in range(1, 63)} | {f"W{n}" for n in range(45)} | {f"T{n}" for n in range(1, 15)}


def functions_in(file: Path) -> set[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, kinds)}


def test_every_number_has_one_row() -> None:
    numbered = [row[0] for row in ROWS if re.fullmatch(r"[IWT]\d+", row[0])]

    assert len(numbered) == len(set(numbered))
    assert set(numbered) == NUMBERS


def test_every_named_test_exists() -> None:
    named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", PAGE)

    missing = [
        f"{file}::{name}"
        for file, name in named
        if not (PROJECT / "tests" / file).exists() or name not in functions_in(PROJECT / "tests" / file)
    ]
    assert len(named) > len(NUMBERS)
    assert missing == []


def test_every_row_names_a_test() -> None:
    assert [row[0] for row in ROWS[1:] if row[0] not in ("number", "where") and "::test_" not in row[-1]] == []


def test_every_named_room_exists() -> None:
    rooms = re.findall(r"`((?:live|prodsafe|legacy|bench|docs)/[\w/.]+)`", PAGE)

    assert rooms
    assert [room for room in rooms if not (PROJECT / room).exists()] == []

"""RUNBOOK.md has a section for each refusal id, and for no other."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from prodsafe.errors import RefusalKind

PROJECT = Path(__file__).resolve().parents[2]


def declared_kinds() -> list[RefusalKind]:
    """Every `NAME = RefusalKind("X01", "name", ...)` in the source, read without importing anything heavy."""
    kinds = []
    for file in sorted(p for room in ("prodsafe", "live", "legacy") for p in (PROJECT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "RefusalKind":
                identity, name = (ast.literal_eval(argument) for argument in node.args[:2])
                kinds.append(RefusalKind(identity, name))
    return kinds


def test_every_refusal_has_its_section_and_every_section_its_refusal() -> None:
    sections = re.findall(r"(?m)^### ([A-Z]\d\d) (\S+)$", (PROJECT / "RUNBOOK.md").read_text())

    assert sorted(sections) == sorted((kind.id, kind.name) for kind in declared_kinds())


def test_ids_are_used_once() -> None:
    ids = [kind.id for kind in declared_kinds()]

    assert len(ids) == len(set(ids))
    assert len(ids) > 50, "the search itself must find them"

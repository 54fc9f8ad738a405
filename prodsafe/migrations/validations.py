"""Which constraints the files have validated, by what they say. [P]"""

from __future__ import annotations

import re
from collections.abc import Iterable

from prodsafe.migrations.files import Migration
from prodsafe.migrations.statements import IDENTIFIER

_TABLE = re.compile(
    rf"alter table (?:if exists )?(?:only )?(?:{IDENTIFIER} ?\. ?)?(?P<table>{IDENTIFIER}) ", re.IGNORECASE
)
_CONSTRAINT = re.compile(
    rf"\b(?P<verb>add|validate|drop) constraint (?:if exists )?(?P<name>{IDENTIFIER})", re.IGNORECASE
)

Constraint = tuple[str, str]  # names of table and constraint as the catalog has them, without the schema


def validated_by(files: Iterable[Migration]) -> dict[Constraint, Migration]:
    """The file that validated each; none for one that a later file made anew. files: in the order of their numbers."""
    found: dict[Constraint, Migration] = {}
    for migration in files:
        for statement in migration.statements:
            table = _TABLE.match(statement.clean)
            if table is None:
                continue
            for each in _CONSTRAINT.finditer(statement.clean):
                constraint = _folded(table["table"]), _folded(each["name"])
                if each["verb"].lower() == "validate":
                    found[constraint] = migration
                else:
                    found.pop(constraint, None)
    return found


def _folded(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()

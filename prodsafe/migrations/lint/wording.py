"""Words that messages and mends share: names that fit, types and defaults as the user wrote them. [P]"""

from __future__ import annotations

from collections.abc import Iterable

from prodsafe.migrations.lexer import tokens
from prodsafe.migrations.lint.command import Command
from prodsafe.migrations.lint.nodes import Type
from prodsafe.migrations.lint.scene import LATER, NEXT, Scene
from prodsafe.migrations.lint.sqltext import one_line, quoted
from prodsafe.migrations.lint.types import SERIALS

REWRITES = "rewrites every row of {table} and its indexes under ACCESS EXCLUSIVE: reads and writes wait for all of it"


def type_text(scene: Scene, command: Command, kind: Type) -> str:
    """The type in the user's own words."""
    definition = command.node.get("def", {}).get("ColumnDef", {})
    location = definition.get("typeName", {}).get("location", -1)
    after = [each.get("Constraint", {}).get("location", -1) for each in definition.get("constraints", [])]
    after += [definition.get("collClause", {}).get("location", -1)]
    start = scene.statement.offset(location) if location >= 0 else -1
    ends = [scene.statement.offset(at) for at in after if at > location]
    text = command.text_from(start, min(ends, default=command.end)) if start >= 0 else ""
    words = text.split()
    for stop in ("using", "default", "collate"):
        lowered = [word.lower() for word in words]
        if stop in lowered:
            words = words[: lowered.index(stop)]
    return SERIALS.get(kind.name, " ".join(words) or quoted(kind.name))


def default_text(command: Command) -> str:
    """The DEFAULT's expression in the user's own words."""
    return command.after_word("default", ("not", "null", "constraint", "check", "unique", "primary", "references"))


def fit(command: Command, *parts: str) -> str:
    """A name for an object of the table, inside PostgreSQL's 63 bytes, and free as far as is known here."""
    taken = {quoted(each) for each in command.table.constraints}
    names = (fitted(command.name[1], [*parts[:-1], f"{parts[-1]}{number or ''}"]) for number in range(99))
    return next(each for each in names if each not in taken)


def fitted(table: str, parts: Iterable[str]) -> str:
    name = "_".join([table, *(part for part in parts if part)])
    while len(name.encode()) > 63:
        name = name[:-1]
    return quoted(name)


def deferrable(may_wait: bool, waits: bool) -> str:
    """How a constraint says that it may be, and that it is, checked at the end of the transaction."""
    return " DEFERRABLE INITIALLY DEFERRED" if waits else " DEFERRABLE" if may_wait else ""


def sequence_of(command: Command, name: str) -> str:
    """A sequence of a column, in the schema of its table, as PostgreSQL wants what the column owns."""
    schema = command.shown.rpartition(".")[0]
    return f"{schema}.{fit(command, name, 'seq')}" if schema else fit(command, name, "seq")


def made_not_null(command: Command, name: str) -> list[tuple[str, str]]:
    """The steps that make a column NOT NULL without reading a row under a lock that others wait for."""
    table, col, check = command.shown, quoted(name), fit(command, name, "not_null")
    return [
        (NEXT, f"ALTER TABLE {table} ADD CONSTRAINT {check} CHECK ({col} IS NOT NULL) NOT VALID;"),
        (LATER, f"ALTER TABLE {table} VALIDATE CONSTRAINT {check};"),
        (LATER, f"ALTER TABLE {table} ALTER COLUMN {col} SET NOT NULL;\n"
                f"ALTER TABLE {table} DROP CONSTRAINT {check};"),
    ]  # fmt: skip


def name_in(check: str) -> str:
    """The constraint's name out of CONSTRAINT name CHECK (...)."""
    return [token.text for token in tokens(one_line(check, longest=10_000))][1]

"""The optional groups: hygiene (habits that pay) and style (types and names). [P]"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from prodsafe.migrations.lexer import tokens
from prodsafe.migrations.lint.nodes import constraints_of, find, shown, strings, table_of, type_of
from prodsafe.migrations.lint.parser import Node, Statement
from prodsafe.migrations.lint.scene import Hazard, Hazards, Scene
from prodsafe.migrations.lint.schema import Schema
from prodsafe.migrations.lint.sqltext import one_line, quoted
from prodsafe.migrations.lint.transactions import alone
from prodsafe.migrations.lint.wording import fitted

LONGEST_NAME_BYTES = 63


def hygiene(statements: Sequence[Statement], schema: Schema, scene: Scene | None) -> Hazards:
    """Habits of the whole file; schema: as the file leaves it."""
    if not statements:
        yield Hazard("empty-migration", 0, "There is no statement in this file.")
    concurrent = [each for each in statements if "CONCURRENTLY" in alone(each, schema)]
    for each in concurrent[1:]:
        yield Hazard(
            "multiple-concurrent-in-one-file",
            each.start,
            "A second CONCURRENTLY statement: after a failure only some of the file is done.",
            f"-- in a file of its own\n{one_line(each.text)};",
        )
    for each in statements:
        if each.kind == "IndexStmt" and each.node.get("concurrent") and each.node.get("if_not_exists"):
            yield Hazard(
                "cic-if-not-exists-keeps-invalid",
                each.start,
                "IF NOT EXISTS accepts the INVALID index that an interrupted try leaves behind.",
                f"{_without_if_not_exists(each)};",
            )
    yield from _several_alters(statements, schema)
    yield from _keys_without_index(statements, schema)


def _without_if_not_exists(statement: Statement) -> str:
    words = list(tokens(text := one_line(statement.text, longest=10_000)))
    at = next((n for n, each in enumerate(words) if each.word == "if"), None)
    return text if at is None else f"{text[: words[at].start]}{text[words[at + 3].start :]}"


def _several_alters(statements: Sequence[Statement], schema: Schema) -> Hazards:
    tables = Counter[tuple[str, str]]()
    for each in statements:
        if each.kind == "AlterTableStmt" and each.node.get("objtype") == "OBJECT_TABLE":
            relation = each.node.get("relation", {})
            tables[table_of(relation)] += 1
            if tables[table_of(relation)] > 1 and not schema.is_new(table_of(relation)):
                yield Hazard(
                    "multiple-alter-same-table",
                    each.start,
                    f"{shown(relation)} is altered more than once in this file: one ALTER TABLE takes its lock once.",
                    f"-- join the commands with commas: ALTER TABLE {shown(relation)} ..., ...;",
                )


def _keys_without_index(statements: Sequence[Statement], schema: Schema) -> Hazards:
    for each in statements:
        relation = each.node.get("relation", {})
        for columns in _foreign_keys(each):
            indexed = any(index.columns[: len(columns)] == columns for index in schema.indexes_of(table_of(relation)))
            if columns and not indexed:
                names = ", ".join(map(quoted, columns))
                yield Hazard(
                    "fk-missing-index",
                    each.start,
                    f"The foreign key on {shown(relation)} ({names}) has no index: each DELETE on the other table reads"
                    " this one whole.",
                    f"CREATE INDEX CONCURRENTLY {fitted(relation.get('relname', ''), [*columns, 'idx'])} ON"
                    f" {shown(relation)} ({names});",
                )


def _foreign_keys(statement: Statement) -> Iterator[tuple[str, ...]]:
    if statement.kind not in ("CreateStmt", "AlterTableStmt"):
        return
    for _, column in find(statement.node, "ColumnDef"):
        if "FOREIGN" in constraints_of(column):
            yield (column.get("colname", ""),)
    for _, constraint in find(statement.node, "Constraint"):
        if constraint.get("contype") == "CONSTR_FOREIGN" and "fk_attrs" in constraint:
            yield tuple(strings(constraint["fk_attrs"]))


_TYPES = {
    "int4": ("int-type", "bigint"), "int2": ("smallint-type", "bigint"),
    "serial": ("serial-type", "bigint GENERATED ALWAYS AS IDENTITY"),
    "bigserial": ("serial-type", "bigint GENERATED ALWAYS AS IDENTITY"),
    "smallserial": ("serial-type", "bigint GENERATED ALWAYS AS IDENTITY"),
    "bpchar": ("char-type", "text"), "timestamp": ("timestamp-without-tz", "timestamptz"),
}  # fmt: skip


def style(statements: Sequence[Statement]) -> Hazards:
    for each in statements:
        for _, column in find(each.node, "ColumnDef"):
            yield from _column_style(each, column)
        if each.kind == "CreateEnumStmt":
            yield Hazard(
                "enum-create", each.start, "Values of an enum can be added, never removed.", "-- text with a CHECK"
            )
        if each.kind == "AlterEnumStmt" and "oldVal" not in each.node and "newValNeighbor" not in each.node:
            yield Hazard(
                "enum-add-value-unordered", each.start, "Without BEFORE or AFTER the value sorts last.",
                f"{one_line(each.text)} AFTER 'the value before it';",
            )  # fmt: skip
        if each.kind == "CreateDomainStmt" and each.node.get("constraints"):
            yield Hazard(
                "domain-with-constraint", each.start, "To change this constraint all tables that use it are checked."
            )
        for name in dict.fromkeys(_long_names(each.text)):
            yield Hazard("identifier-too-long", each.start, f"PostgreSQL cuts {name!a} off after 63 bytes.")


def _column_style(statement: Statement, column: Node) -> Hazards:
    kind = type_of(column.get("typeName"))
    if kind is None or "colname" not in column:
        return
    at, name = statement.offset(column.get("location")), quoted(column["colname"])
    category, better = _TYPES.get(kind.name, ("", ""))
    if kind.name == "varchar" and kind.mods:
        category, better = "varchar-limit", "text"
    if category:
        yield Hazard(
            category, at, f"{name} is {kind.name}; {better} spares a later change of type.", f"{name} {better}"
        )


def _long_names(text: str) -> Iterator[str]:
    """From the text: the parser has cut them off already."""
    for token in tokens(text):
        name = token.text.strip('"') if token.kind in ("word", "quoted") else ""
        if len(name.encode()) > LONGEST_NAME_BYTES:
            yield name

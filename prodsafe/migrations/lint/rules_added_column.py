"""ALTER TABLE ... ADD COLUMN: what it computes for every row that is there, and what it checks of them. [P]"""

# ruff: noqa: S608 - the SQL of a mend is shown to a person and never run
from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from prodsafe.migrations.lint.command import Command
from prodsafe.migrations.lint.nodes import Type, constraints_of, only, shown, type_of
from prodsafe.migrations.lint.parser import Node
from prodsafe.migrations.lint.scene import CONTRACT, LATER, NEXT, NOW, Hazard, Hazards, Scene, in_batches, steps
from prodsafe.migrations.lint.sqltext import literal, quoted
from prodsafe.migrations.lint.types import SERIALS, unsafe_functions
from prodsafe.migrations.lint.wording import (
    REWRITES,
    default_text,
    deferrable,
    fit,
    made_not_null,
    name_in,
    sequence_of,
    type_text,
)

_WITH_INTEGERS = {"int4": "integer", "int8": "bigint", "int2": "smallint"}
_ACTIONS = {"r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}


def add_column(scene: Scene, command: Command) -> Hazards:
    definition = command.node.get("def", {}).get("ColumnDef", {})
    kind, name = type_of(definition.get("typeName")), definition.get("colname", "")
    if kind is None or (command.node.get("missing_ok") and command.known_column(name)):
        return
    if kind.name == "json" and not kind.schema:
        yield json_column(scene, command, name)
    if command.is_new or command.objtype == "OBJECT_TYPE" or command.is_foreign:
        return
    added = _Added(scene, command, name, kind, constraints_of(definition))
    yield from _filled(added)
    yield from _domain(added)
    yield from _required(added)
    yield from _indexed(added)
    yield from _checked(added)
    yield from _referring(added)


def json_column(scene: Scene, command: Command, name: str) -> Hazard:
    return command.hazard(
        scene,
        "json-column",
        f"json has no equality operator: DISTINCT, GROUP BY, UNION and = on {quoted(name)}, or on SELECT * of"
        f" {command.shown}, begin to fail.",
        mend=f"ALTER TABLE {command.shown} ADD COLUMN {quoted(name)} jsonb;"
        if command.subtype == "AT_AddColumn"
        else "-- jsonb: it compares, it can be indexed",
    )


@dataclass(frozen=True)
class _Added:
    """The column that a command adds. inline: its constraints by kind; table, col: as SQL."""

    scene: Scene
    command: Command
    name: str
    kind: Type
    inline: dict[str, Node]

    @cached_property
    def table(self) -> str:
        return self.command.shown

    @cached_property
    def col(self) -> str:
        return quoted(self.name)

    @cached_property
    def rewrites(self) -> str:
        return REWRITES.format(table=self.table)

    @cached_property
    def plain(self) -> str:
        """The column alone, which costs nothing."""
        return f"ALTER TABLE {self.table} ADD COLUMN {self.col} {type_text(self.scene, self.command, self.kind)};"

    @property
    def is_numbered(self) -> bool:
        return self.kind.name in SERIALS or "IDENTITY" in self.inline

    @property
    def has_value(self) -> bool:
        """Whether the rows that are there get one."""
        return self.is_numbered or "GENERATED" in self.inline or _has_default(self.inline)

    def fit(self, *parts: str) -> str:
        return fit(self.command, self.name, *parts)

    def hazard(self, category: str, message: str, *mend: tuple[str, str], first: str = "") -> Hazard:
        return self.command.hazard(self.scene, category, message, mend=first + steps(*mend))


def _filled(added: _Added) -> Hazards:
    """What computes a value for every row that is there."""
    generated, default = added.inline.get("GENERATED"), added.inline.get("DEFAULT", {})
    if added.is_numbered:
        yield _numbered(added)
    elif generated is not None:
        if generated.get("generated_kind", "s") == "s":
            yield _stored(added)
    elif functions := unsafe_functions(default.get("raw_expr", {}), added.scene.schema.volatility()):
        yield _volatile(added, functions[0])


def _numbered(added: _Added) -> Hazard:
    table, col, kind = added.table, added.col, added.kind.name
    base = _WITH_INTEGERS.get(SERIALS.get(kind, kind), kind)
    sequence = sequence_of(added.command, added.name)
    number = f"nextval({literal(sequence)})"
    return added.hazard(
        "serial-column-rewrite",
        f"ADD COLUMN {col} as {kind if kind in SERIALS else 'an identity column'} {added.rewrites}, to number them.",
        (NOW, f"ALTER TABLE {table} ADD COLUMN {col} {base};"),
        ("in the same file: new rows are numbered from here on",
         f"CREATE SEQUENCE {sequence} AS {base} OWNED BY {table}.{col};\n"
         f"ALTER TABLE {table} ALTER COLUMN {col} SET DEFAULT {number};"),
        (in_batches(table, added.command.key),
         f"UPDATE {table} SET {col} = {number} WHERE {added.command.key} BETWEEN 1 AND 1000 AND {col} IS NULL;"),
    )  # fmt: skip


def _stored(added: _Added) -> Hazard:
    return added.hazard(
        "generated-stored-rewrite",
        f"ADD COLUMN {added.col} GENERATED ... STORED {added.rewrites}, to compute it.",
        (NOW, added.plain),
        ("in the same file", "-- a BEFORE INSERT OR UPDATE trigger that fills it"),
        (in_batches(added.table, added.command.key), f"-- fill {added.col} of the old rows"),
        first="-- PostgreSQL 18 computes it on reading, at no cost: GENERATED ALWAYS AS (...) VIRTUAL; before that\n",
    )


def _volatile(added: _Added, function: str) -> Hazard:
    table, col, expression = added.table, added.col, default_text(added.command)
    return added.hazard(
        "volatile-default-rewrite",
        f"{function}() is not known to give one value for the whole statement: ADD COLUMN {col} with this default"
        f" {added.rewrites}.",
        (NOW, f"{added.plain}\nALTER TABLE {table} ALTER COLUMN {col} SET DEFAULT {expression};"),
        (in_batches(table, added.command.key),
         f"UPDATE {table} SET {col} = {expression} WHERE {added.command.key} BETWEEN 1 AND 1000 AND {col} IS NULL;"),
        *(made_not_null(added.command, added.name) if "NOTNULL" in added.inline else ()),
    )  # fmt: skip


def _domain(added: _Added) -> Hazards:
    schema, kind = added.scene.schema, added.kind
    if schema.is_constrained(kind) and not kind.array:
        base = schema.resolved(kind)
        yield added.hazard(
            "domain-column-scan",
            f"{quoted(kind.name)} is a domain with a constraint: ADD COLUMN {added.col} {added.rewrites}, to check it"
            " for each row.",
            first="-- its base type, and the rule as CHECK ... NOT VALID, validated in a next file\n"
            f"ALTER TABLE {added.table} ADD COLUMN {added.col} {base if base != kind else 'text'};",
        )


def _required(added: _Added) -> Hazards:
    table, col, check = added.table, added.col, added.fit("not_null")
    if {"NOTNULL", "PRIMARY"} & set(added.inline) and not added.has_value:
        yield added.hazard(
            "adding-not-null-without-default",
            f"ADD COLUMN {col} NOT NULL without a default fails as soon as {table} has a row, and an older worker,"
            " which does not know the column, could insert nothing any more.",
            (NOW, added.plain),
            (in_batches(table, added.command.key), f"-- fill {col}"),
            (NEXT, f"ALTER TABLE {table} ADD CONSTRAINT {check} CHECK ({col} IS NOT NULL) NOT VALID;"),
            (LATER, f"ALTER TABLE {table} VALIDATE CONSTRAINT {check};"),
            (CONTRACT, f"ALTER TABLE {table} ALTER COLUMN {col} SET NOT NULL;"),
        )


def _indexed(added: _Added) -> Hazards:
    for kind, category, word, suffix in (
        ("UNIQUE", "unique-without-index", "UNIQUE", "key"),
        ("PRIMARY", "pk-without-index", "PRIMARY KEY", "pkey"),
    ):
        if kind in added.inline:
            table, col, index = added.table, added.col, added.fit(suffix)
            when = deferrable("ATTR_DEFERRABLE" in added.inline, "ATTR_DEFERRED" in added.inline)
            yield added.hazard(
                category,
                f"{word} on the new column {col} builds its index while ACCESS EXCLUSIVE keeps every reader and writer"
                f" of {table} waiting.",
                (NOW, added.plain),
                *(_filled_not_null(added) if kind == "PRIMARY" else ()),
                (NEXT, f"CREATE UNIQUE INDEX CONCURRENTLY {index} ON {table} ({col});"),
                (LATER, f"ALTER TABLE {table} ADD CONSTRAINT {index} {word} USING INDEX {index}{when};"),
            )


def _filled_not_null(added: _Added) -> list[tuple[str, str]]:
    """The steps that a primary key needs before it, so that it reads no row."""
    return [
        (in_batches(added.table, added.command.key), f"-- fill {added.col}"),
        *made_not_null(added.command, added.name),
    ]


def _checked(added: _Added) -> Hazards:
    inline = added.inline.get("CHECK", {})
    if inline.get("initially_valid"):
        rule = added.command.slice(inline, added.scene)
        check = rule if rule.lower().startswith("constraint") else f"CONSTRAINT {added.fit('check')} {rule}"
        yield added.hazard(
            "constraint-without-not-valid",
            f"The CHECK on the new column {added.col} reads all of {added.table} under ACCESS EXCLUSIVE.",
            (NOW, f"{added.plain}\nALTER TABLE {added.table} ADD {check} NOT VALID;"),
            (NEXT, f"ALTER TABLE {added.table} VALIDATE CONSTRAINT {name_in(check)};"),
        )


def _referring(added: _Added) -> Hazards:
    inline = added.inline.get("FOREIGN", {})
    if not inline.get("initially_valid"):
        return
    table, col, other = added.table, added.col, shown(inline.get("pktable", {}))
    keys = [quoted(each["String"].get("sval", "")) for each in inline.get("pk_attrs", [])]
    when = deferrable("ATTR_DEFERRABLE" in added.inline, "ATTR_DEFERRED" in added.inline)
    target = f"{other}{f' ({keys[0]})' if keys else ''}{_actions(inline)}{when}"
    name = quoted(inline["conname"]) if "conname" in inline else added.fit("fkey")
    yield added.hazard(
        "fk-without-not-valid",
        f"REFERENCES {other} keeps writers of both {table} and {other} waiting (SHARE ROW EXCLUSIVE on {other})"
        " until the rows are checked.",
        (NOW, f"{added.plain}\nALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY ({col}) REFERENCES {target}"
              " NOT VALID;"),
        (NEXT, f"ALTER TABLE {table} VALIDATE CONSTRAINT {name};"),
    )  # fmt: skip


def _actions(foreign: Node) -> str:
    told = (("DELETE", foreign.get("fk_del_action")), ("UPDATE", foreign.get("fk_upd_action")))
    return "".join(f" ON {event} {_ACTIONS[action]}" for event, action in told if action in _ACTIONS)


def _has_default(inline: dict[str, Node]) -> bool:
    default = inline.get("DEFAULT")
    if default is None:
        return False
    kind, fields = only(default.get("raw_expr", {}))
    while kind == "TypeCast":
        kind, fields = only(fields.get("arg", {}))
    return not (kind == "A_Const" and fields.get("isnull"))

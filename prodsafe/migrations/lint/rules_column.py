"""ALTER TABLE, column by column: added, dropped, retyped, made NOT NULL, given a default. [P]"""

# ruff: noqa: S608 - the SQL of a mend is shown to a person and never run
from __future__ import annotations

from collections.abc import Iterable

from prodsafe.migrations.lint.command import Command
from prodsafe.migrations.lint.nodes import Type, column, conjuncts, constant, only, shown, type_of
from prodsafe.migrations.lint.parser import Node, without_places
from prodsafe.migrations.lint.scene import CONTRACT, LATER, NEXT, NOW, Hazard, Hazards, Scene, in_batches, steps
from prodsafe.migrations.lint.schema import Column
from prodsafe.migrations.lint.sqltext import one_line, quoted, tokens
from prodsafe.migrations.lint.types import SERIALS, keeps_rows, unsafe_functions

REWRITES = "rewrites every row of {table} and its indexes under ACCESS EXCLUSIVE: reads and writes wait for all of it"


def constraints_of(definition: Node) -> dict[str, Node]:
    """The inline constraints of a column, by kind without CONSTR_."""
    found: dict[str, Node] = {}
    for each in definition.get("constraints", []):
        constraint = each.get("Constraint", {})
        found.setdefault(constraint.get("contype", "").removeprefix("CONSTR_"), constraint)
    return found


def add_column(scene: Scene, command: Command) -> Hazards:
    definition = command.node.get("def", {}).get("ColumnDef", {})
    kind = type_of(definition.get("typeName"))
    name = definition.get("colname", "")
    if kind is None or (command.node.get("missing_ok") and command.known_column(name)):
        return
    if kind.name == "json" and not kind.schema:
        yield json_column(scene, command, name)
    if command.is_new or command.objtype == "OBJECT_TYPE" or command.table.kind == "foreign":
        return
    inline = constraints_of(definition)
    yield from _filled(scene, command, name, kind, inline)
    yield from _checked(scene, command, name, kind, inline)


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


def _filled(scene: Scene, command: Command, name: str, kind: Type, inline: dict[str, Node]) -> Hazards:
    """What computes a value for every row that is there."""
    table, col = command.shown, quoted(name)
    rewrites = REWRITES.format(table=table)
    generated = inline.get("GENERATED")
    if kind.name in SERIALS or "IDENTITY" in inline:
        what = kind.name if kind.name in SERIALS else "an identity column"
        base = {"int4": "integer", "int8": "bigint", "int2": "smallint"}.get(
            SERIALS.get(kind.name, kind.name), kind.name
        )
        yield command.hazard(
            scene,
            "serial-column-rewrite",
            f"ADD COLUMN {col} as {what} {rewrites}, to number them.",
            mend=steps(
                (NOW, f"ALTER TABLE {table} ADD COLUMN {col} {base};"),
                ("in the same file: new rows are numbered from here on",
                 f"CREATE SEQUENCE {_sequence(command, name)} AS {base} OWNED BY {table}.{col};\n"
                 f"ALTER TABLE {table} ALTER COLUMN {col} SET DEFAULT nextval('{_sequence(command, name)}');"),
                (in_batches(table),
                 f"UPDATE {table} SET {col} = nextval('{_sequence(command, name)}') WHERE id BETWEEN 1 AND 1000"
                 f" AND {col} IS NULL;"),
            ),
        )  # fmt: skip
    elif generated is not None and generated.get("generated_kind", "s") == "s":
        yield command.hazard(
            scene,
            "generated-stored-rewrite",
            f"ADD COLUMN {col} GENERATED ... STORED {rewrites}, to compute it.",
            mend="-- PostgreSQL 18 computes it on reading, at no cost: GENERATED ALWAYS AS (...) VIRTUAL; before that\n"
            + steps(
                (NOW, f"ALTER TABLE {table} ADD COLUMN {col} {_type_text(scene, command, kind)};"),
                ("in the same file", "-- a BEFORE INSERT OR UPDATE trigger that fills it"),
                (in_batches(table), f"-- fill {col} of the old rows"),
            ),
        )
    elif (default := inline.get("DEFAULT")) is not None and (
        functions := unsafe_functions(default.get("raw_expr", {}), scene.schema.volatility())
    ):
        expression = _default_text(command)
        yield command.hazard(
            scene,
            "volatile-default-rewrite",
            f"{functions[0]}() is not known to give one value for the whole statement: ADD COLUMN {col} with this"
            f" default {rewrites}.",
            mend=steps(
                (NOW, f"ALTER TABLE {table} ADD COLUMN {col} {_type_text(scene, command, kind)};\n"
                      f"ALTER TABLE {table} ALTER COLUMN {col} SET DEFAULT {expression};"),
                (in_batches(table),
                 f"UPDATE {table} SET {col} = {expression} WHERE id BETWEEN 1 AND 1000 AND {col} IS NULL;"),
            ),
        )  # fmt: skip
    domain = scene.schema.types.get(kind.key)
    if domain is not None and domain.kind == "domain" and domain.constrained and not kind.array:
        yield command.hazard(
            scene,
            "domain-column-scan",
            f"{quoted(kind.name)} is a domain with a constraint: ADD COLUMN {col} {rewrites}, to check it for each"
            f" row.",
            mend=f"-- its base type, and the rule as CHECK ... NOT VALID, validated in a next file\n"
            f"ALTER TABLE {table} ADD COLUMN {col} {quoted(domain.base.name) if domain.base else 'text'};",
        )


def _checked(scene: Scene, command: Command, name: str, kind: Type, inline: dict[str, Node]) -> Hazards:
    """What has to hold for every row that is there."""
    table, col = command.shown, quoted(name)
    has_value = kind.name in SERIALS or bool({"IDENTITY", "GENERATED"} & set(inline)) or _has_default(inline)
    plain = f"ALTER TABLE {table} ADD COLUMN {col} {_type_text(scene, command, kind)};"
    if ("NOTNULL" in inline or "PRIMARY" in inline) and not has_value:
        yield command.hazard(
            scene,
            "adding-not-null-without-default",
            f"ADD COLUMN {col} NOT NULL without a default fails as soon as {table} has a row, and an older worker,"
            " which does not know the column, could insert nothing any more.",
            mend=steps(
                (NOW, plain),
                (in_batches(table), f"-- fill {col}"),
                (NEXT, f"ALTER TABLE {table} ADD CONSTRAINT {_fit(command, name, 'not_null')}"
                       f" CHECK ({col} IS NOT NULL) NOT VALID;"),
                (LATER, f"ALTER TABLE {table} VALIDATE CONSTRAINT {_fit(command, name, 'not_null')};"),
                (CONTRACT, f"ALTER TABLE {table} ALTER COLUMN {col} SET NOT NULL;"),
            ),
        )  # fmt: skip
    for inline_kind, category in (("UNIQUE", "unique-without-index"), ("PRIMARY", "pk-without-index")):
        if inline_kind in inline:
            word = "UNIQUE" if inline_kind == "UNIQUE" else "PRIMARY KEY"
            index = _fit(command, name, "key" if word == "UNIQUE" else "pkey")
            yield command.hazard(
                scene,
                category,
                f"{word} on the new column {col} builds its index while ACCESS EXCLUSIVE keeps every reader and writer"
                f" of {table} waiting.",
                mend=steps(
                    (NOW, plain),
                    *(_made_not_null(command, name) if word == "PRIMARY KEY" else ()),
                    (NEXT, f"CREATE UNIQUE INDEX CONCURRENTLY {index} ON {table} ({col});"),
                    (LATER, f"ALTER TABLE {table} ADD CONSTRAINT {index} {word} USING INDEX {index};"),
                ),
            )
    if "CHECK" in inline and inline["CHECK"].get("initially_valid"):
        rule = command.slice(inline["CHECK"], scene)
        check = rule if rule.lower().startswith("constraint") else f"CONSTRAINT {_fit(command, name, 'check')} {rule}"
        yield command.hazard(
            scene,
            "constraint-without-not-valid",
            f"The CHECK on the new column {col} reads all of {table} under ACCESS EXCLUSIVE.",
            mend=steps(
                (NOW, f"{plain}\nALTER TABLE {table} ADD {check} NOT VALID;"),
                (NEXT, f"ALTER TABLE {table} VALIDATE CONSTRAINT {_name_in(check)};"),
            ),
        )
    if "FOREIGN" in inline and inline["FOREIGN"].get("initially_valid"):
        actions = _actions(inline["FOREIGN"])
        other = shown(inline["FOREIGN"].get("pktable", {}))
        keys = [quoted(each["String"].get("sval", "")) for each in inline["FOREIGN"].get("pk_attrs", [])]
        fk = quoted(inline["FOREIGN"]["conname"]) if "conname" in inline["FOREIGN"] else _fit(command, name, "fkey")
        yield command.hazard(
            scene,
            "fk-without-not-valid",
            f"REFERENCES {other} keeps writers of both {table} and {other} waiting (SHARE ROW EXCLUSIVE on {other})"
            " until the rows are checked.",
            mend=steps(
                (NOW, f"{plain}\nALTER TABLE {table} ADD CONSTRAINT {fk} FOREIGN KEY ({col}) REFERENCES {other}"
                      f"{f' ({keys[0]})' if keys else ''}{actions} NOT VALID;"),
                (NEXT, f"ALTER TABLE {table} VALIDATE CONSTRAINT {fk};"),
            ),
        )  # fmt: skip


def _made_not_null(command: Command, name: str) -> tuple[tuple[str, str], ...]:
    """The steps that a primary key needs before it, so that it reads no row."""
    table, col, check = command.shown, quoted(name), _fit(command, name, "not_null")
    return (
        (in_batches(table), f"-- fill {col}"),
        (NEXT, f"ALTER TABLE {table} ADD CONSTRAINT {check} CHECK ({col} IS NOT NULL) NOT VALID;"),
        (LATER, f"ALTER TABLE {table} VALIDATE CONSTRAINT {check};"),
        (LATER, f"ALTER TABLE {table} ALTER COLUMN {col} SET NOT NULL;\n"
                f"ALTER TABLE {table} DROP CONSTRAINT {check};"),
    )  # fmt: skip


_ACTIONS = {"r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}


def _actions(foreign: Node) -> str:
    told = (("DELETE", foreign.get("fk_del_action")), ("UPDATE", foreign.get("fk_upd_action")))
    return "".join(f" ON {event} {_ACTIONS[action]}" for event, action in told if action in _ACTIONS)


def change_type(scene: Scene, command: Command) -> Hazards:
    definition = command.node.get("def", {}).get("ColumnDef", {})
    name, new = command.node.get("name", ""), type_of(definition.get("typeName"))
    if new is None:
        return
    if new.name == "json" and not new.schema:
        yield json_column(scene, command, name)
    known = command.table.columns.get(name)
    old = known.type if known else None
    trivial = _is_cast_of(definition.get("raw_default"), name)
    indexed = any(name in index.columns for index in scene.schema.indexes_of(command.name))
    if command.is_new or (
        old is not None
        and trivial
        and "collClause" not in definition
        and keeps_rows(old, new, utc=scene.settings.utc, indexed=indexed)
    ):
        return
    table, col, shadow = command.shown, quoted(name), quoted(f"{name}_new")
    text = _type_text(scene, command, new)
    yield command.hazard(
        scene,
        "change-column-type",
        f"ALTER COLUMN {col} TYPE {text} {REWRITES.format(table=table)}"
        + ("" if old else "; only where the old type is known to be compatible is it free (give it with --setup)")
        + ". A running worker's prepared statements fail with it.",
        mend=steps(
            (NOW, f"ALTER TABLE {table} ADD COLUMN {shadow} {text};"),
            ("in the same file", f"-- a trigger that writes {shadow} whenever {col} is written"),
            (in_batches(table),
             f"UPDATE {table} SET {shadow} = {col}::{text} WHERE id BETWEEN 1 AND 1000;"),
            (CONTRACT, f"ALTER TABLE {table} DROP COLUMN {col};\nALTER TABLE {table} RENAME COLUMN {shadow} TO {col};"),
        ),
    )  # fmt: skip


def set_not_null(scene: Scene, command: Command) -> Hazards:
    name = command.node.get("name", "")
    if command.is_new or command.table.kind == "foreign" or _proven_not_null(scene, command, name):
        return
    yield from not_null_scan(scene, command, name)


def not_null_scan(scene: Scene, command: Command, name: str) -> Hazards:
    table, col, check = command.shown, quoted(name), _fit(command, name, "not_null")
    yield command.hazard(
        scene,
        "set-not-null-full-scan",
        f"SET NOT NULL reads all of {table} under ACCESS EXCLUSIVE to find a NULL in {col}: nobody reads or writes it"
        " meanwhile. With a validated CHECK that proves it, PostgreSQL skips the scan.",
        mend=steps(
            (NOW, f"ALTER TABLE {table} ADD CONSTRAINT {check} CHECK ({col} IS NOT NULL) NOT VALID;"),
            (NEXT, f"ALTER TABLE {table} VALIDATE CONSTRAINT {check};"),
            (LATER, f"ALTER TABLE {table} ALTER COLUMN {col} SET NOT NULL;\n"
                    f"ALTER TABLE {table} DROP CONSTRAINT {check};"),
        ),
    )  # fmt: skip


def drop_not_null(scene: Scene, command: Command) -> Hazards:
    name = command.node.get("name", "")
    if not (command.is_new or _is_new_column(scene, command, name)):
        yield command.hazard(
            scene,
            "drop-not-null",
            f"Without NOT NULL on {quoted(name)} the new worker may write a NULL that an older one, still reading"
            f" {command.shown}, does not expect.",
            mend="-- first a release that reads NULL; then, in a next file, this statement",
        )


def drop_column(scene: Scene, command: Command) -> Hazards:
    name = command.node.get("name", "")
    if not (command.is_new or _is_new_column(scene, command, name)):
        yield command.hazard(
            scene,
            "drop-column",
            f"An older worker still reads or writes {command.shown}.{quoted(name)}: its queries fail at once, and the"
            " data is gone.",
            mend=steps((CONTRACT, f"ALTER TABLE {command.shown} DROP COLUMN {quoted(name)};")),
        )
    if command.node.get("behavior") == "DROP_CASCADE" and not command.is_new:
        yield command.hazard(
            scene,
            "drop-cascade",
            f"CASCADE also drops the views, indexes, foreign keys and functions that use {quoted(name)}, none of"
            " which is named here.",
            mend="-- name each dependent object and drop it in its own statement; without CASCADE PostgreSQL lists"
            " them",
        )


def change_default(scene: Scene, command: Command) -> Hazards:
    name, new = command.node.get("name", ""), command.node.get("def")
    known = command.table.columns.get(name)
    if command.is_new or command.objtype != "OBJECT_TABLE":
        return
    fresh = _is_new_column(scene, command, name)
    if new is None and not _harmless_drop(known, fresh):
        yield command.hazard(
            scene,
            "change-default",
            f"An older worker that does not name {quoted(name)} when it inserts relies on the default of"
            f" {command.shown}.{quoted(name)}: without it it writes NULL, or fails on NOT NULL.",
            mend=steps((CONTRACT, f"ALTER TABLE {command.shown} ALTER COLUMN {quoted(name)} DROP DEFAULT;")),
        )
    elif new is not None and known is not None and not fresh and _differs(known.default, new):
        yield command.hazard(
            scene,
            "change-default",
            f"An older worker that does not name {quoted(name)} when it inserts into {command.shown} begins to"
            " write the new default while it still expects the old one.",
            mend=steps((CONTRACT, f"{command.statement_with(scene)};")),
        )


def _differs(old: Node | None, new: Node) -> bool:
    return old is not None and without_places(old) != without_places(new)


def _harmless_drop(known: Column | None, fresh: bool) -> bool:
    if known is None:
        return False
    return (fresh and not known.not_null) or (
        known.default is None and not known.unknown_default and not known.identity
    )


def drop_identity(scene: Scene, command: Command) -> Hazards:
    name = command.node.get("name", "")
    if not (command.is_new or _is_new_column(scene, command, name)):
        yield command.hazard(
            scene,
            "change-default",
            f"Without its identity or expression nothing fills {command.shown}.{quoted(name)} for an older worker that"
            " relies on it.",
            mend=steps((CONTRACT, f"{command.statement_with(scene)};")),
        )


def set_expression(scene: Scene, command: Command) -> Hazards:
    if not command.is_new:
        name = quoted(command.node.get("name", ""))
        yield command.hazard(
            scene,
            "generated-stored-rewrite",
            f"SET EXPRESSION of {name} {REWRITES.format(table=command.shown)}, to compute it again.",
            mend="-- add a second column, fill it in committed batches, switch readers, drop this one in a contract"
            " file",
        )


def proves_not_null(expression: Node | None, name: str) -> bool:
    """Whether a CHECK of this expression cannot hold where the column is NULL."""
    for part in conjuncts(expression):
        kind, fields = only(part)
        if kind == "NullTest" and fields.get("nulltesttype") == "IS_NOT_NULL" and column(fields.get("arg")) == name:
            return True
    return False


def _proven_not_null(scene: Scene, command: Command, name: str) -> bool:
    if scene.schema.is_not_null(command.name, name):
        return True
    return any(
        each.valid and (each.expression is None and _named_after(each.name, name) if each.kind == "validated" else
                        proves_not_null(each.expression, name) or (each.kind == "notnull" and name in each.columns))
        for each in command.table.constraints.values()
    )  # fmt: skip


def _named_after(constraint: str, name: str) -> bool:
    """A constraint that this file validates and an earlier, unread one made: its name is all there is to go by."""
    return name in constraint and "null" in constraint


def _is_new_column(scene: Scene, command: Command, name: str) -> bool:
    known = command.table.columns.get(name)
    return known is not None and known.born == scene.schema.file


def _has_default(inline: dict[str, Node]) -> bool:
    default = inline.get("DEFAULT")
    if default is None:
        return False
    kind, fields = only(default.get("raw_expr", {}))
    while kind == "TypeCast":
        kind, fields = only(fields.get("arg", {}))
    return not (kind == "A_Const" and fields.get("isnull"))


def _is_cast_of(expression: Node | None, name: str) -> bool:
    if expression is None:
        return True
    return column(expression) == name and constant(expression) is None


def _type_text(scene: Scene, command: Command, kind: Type) -> str:
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


def _default_text(command: Command) -> str:
    """The DEFAULT's expression in the user's own words."""
    return command.after_word("default", ("not", "null", "constraint", "check", "unique", "primary", "references"))


def _fit(command: Command, *parts: str) -> str:
    """A name for an object of the table, inside PostgreSQL's 63 bytes."""
    return fitted(command.name[1], parts)


def fitted(table: str, parts: Iterable[str]) -> str:
    name = "_".join([table, *(part for part in parts if part)])
    while len(name.encode()) > 63:
        name = name[:-1]
    return quoted(name)


def _sequence(command: Command, name: str) -> str:
    return _fit(command, name, "seq")


def _name_in(check: str) -> str:
    """The constraint's name out of CONSTRAINT name CHECK (...)."""
    return [token.text for token in tokens(one_line(check, longest=10_000))][1]

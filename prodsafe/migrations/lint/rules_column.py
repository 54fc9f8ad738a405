"""ALTER TABLE, column by column: dropped, retyped, made NOT NULL, given a default. [P]"""

# ruff: noqa: S608 - the SQL of a mend is shown to a person and never run
from __future__ import annotations

from prodsafe.migrations.lint.command import Command
from prodsafe.migrations.lint.nodes import Type, column, constant, proves_not_null, type_of
from prodsafe.migrations.lint.parser import Node, without_places
from prodsafe.migrations.lint.rules_added_column import json_column
from prodsafe.migrations.lint.scene import CONTRACT, LATER, NEXT, NOW, Hazards, Scene, in_batches, steps
from prodsafe.migrations.lint.schema import Column
from prodsafe.migrations.lint.sqltext import quoted
from prodsafe.migrations.lint.types import keeps_rows
from prodsafe.migrations.lint.wording import REWRITES, fit, type_text


def change_type(scene: Scene, command: Command) -> Hazards:
    definition = command.node.get("def", {}).get("ColumnDef", {})
    name, new = command.node.get("name", ""), type_of(definition.get("typeName"))
    if new is None:
        return
    if new.name == "json" and not new.schema:
        yield json_column(scene, command, name)
    known = command.table.columns.get(name)
    old = known.type if known else None
    if command.is_new or command.is_foreign or (old is not None and _keeps_rows(scene, command, old, new)):
        return
    table, col, shadow = command.shown, quoted(name), quoted(f"{name}_new")
    text = type_text(scene, command, new)
    plain = str(scene.schema.resolved(new)) if scene.schema.is_constrained(new) else text
    yield command.hazard(
        scene,
        "change-column-type",
        f"ALTER COLUMN {col} TYPE {text} {_what_it_costs(scene, command, old, new)}. A running worker's prepared"
        " statements fail with it.",
        mend=steps(
            (NOW, f"ALTER TABLE {table} ADD COLUMN {shadow} {plain};"),
            ("in the same file", f"-- a trigger that writes {shadow} whenever {col} is written"),
            (
                in_batches(table, command.key),
                f"UPDATE {table} SET {shadow} = {col}::{plain} WHERE {command.key} BETWEEN 1 AND 1000;",
            ),
            (CONTRACT, f"ALTER TABLE {table} DROP COLUMN {col};\nALTER TABLE {table} RENAME COLUMN {shadow} TO {col};"),
        ),
    )


def _what_it_costs(scene: Scene, command: Command, old: Type | None, new: Type) -> str:
    rewrites = REWRITES.format(table=command.shown)
    if old is None:
        return f"{rewrites}; only where the old type is known to be compatible is it free (give it with --setup)"
    again = scene.schema.recomputed_for(command.name, command.node.get("name", ""))
    if again and _same_bytes(scene, command, old, new):
        return (
            f"keeps the rows of {command.shown}, but computes {again} again for each of them under ACCESS EXCLUSIVE:"
            " reads and writes wait for all of it"
        )
    return rewrites


def _same_bytes(scene: Scene, command: Command, old: Type, new: Type) -> bool:
    """Whether the values stay as they are stored."""
    name, definition, schema = command.node.get("name", ""), command.node["def"]["ColumnDef"], scene.schema
    if not _is_cast_of(definition.get("raw_default"), name) or "collClause" in definition:
        return False
    if old != new and schema.is_constrained(new):
        return False
    indexed = any(name in index.columns for index in schema.indexes_of(command.name))
    return keeps_rows(schema.resolved(old), schema.resolved(new), utc=scene.settings.utc, indexed=indexed)


def _keeps_rows(scene: Scene, command: Command, old: Type, new: Type) -> bool:
    """Whether not a row is read or written: same bytes, and nothing that is computed from them."""
    again = scene.schema.recomputed_for(command.name, command.node.get("name", ""))
    return not again and _same_bytes(scene, command, old, new)


def set_not_null(scene: Scene, command: Command) -> Hazards:
    name = command.node.get("name", "")
    if command.is_new or command.is_foreign or _proven_not_null(scene, command, name):
        return
    yield from not_null_scan(scene, command, name)


def not_null_scan(scene: Scene, command: Command, name: str) -> Hazards:
    table, col, check = command.shown, quoted(name), fit(command, name, "not_null")
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
    may_be_null = scene.schema.is_not_null(command.name, name) is False
    if not (command.is_new or may_be_null or _is_new_column(scene, command, name)):
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


def _is_cast_of(expression: Node | None, name: str) -> bool:
    if expression is None:
        return True
    return column(expression) == name and constant(expression) is None

"""What an older worker knows by name: dropped, renamed, moved to another schema. [P]"""

# ruff: noqa: S608 - the SQL of a mend is shown to a person and never run
from __future__ import annotations

from prodsafe.migrations.lint.nodes import Name, Type, dropped_name, name_of, shown, table_of
from prodsafe.migrations.lint.parser import Node
from prodsafe.migrations.lint.rules_index import drop_index
from prodsafe.migrations.lint.scene import CONTRACT, NOW, Hazards, Scene, in_batches, steps
from prodsafe.migrations.lint.schema import NO_TABLE
from prodsafe.migrations.lint.sqltext import literal, one_line, quoted

_DROPS = {  # the object's kind: category, what it is called
    "TABLE": ("drop-table", "table"), "FOREIGN_TABLE": ("drop-table", "foreign table"),
    "VIEW": ("drop-view", "view"), "MATVIEW": ("drop-view", "materialized view"),
    "SCHEMA": ("drop-schema", "schema"), "TYPE": ("drop-type", "type"), "DOMAIN": ("drop-type", "domain"),
    "SEQUENCE": ("drop-sequence", "sequence"), "FUNCTION": ("drop-function", "function"),
    "PROCEDURE": ("drop-function", "procedure"), "ROUTINE": ("drop-function", "routine"),
    "AGGREGATE": ("drop-function", "aggregate"), "EXTENSION": ("drop-function", "extension, with its functions and"
                                                                                " types,"),
    "TRIGGER": ("drop-trigger", "trigger"), "EVENT_TRIGGER": ("drop-trigger", "event trigger"),
    "POLICY": ("rls-change", "policy"),
}  # fmt: skip
_LOST = {
    "drop-table": "its rows are gone, and every query of an older worker that names it fails",
    "drop-view": "every query of an older worker that names it fails",
    "drop-schema": "everything in it is gone, and every query that names it fails",
    "drop-type": "columns, casts and functions that use it fail or go",
    "drop-sequence": "an older worker that takes numbers from it fails, and its position is lost",
    "drop-function": "every query, default and trigger that calls it fails",
    "drop-trigger": "what it checked or copied is no longer checked or copied, for an older worker's writes too",
    "rls-change": "who sees which rows changes at once",
}


def drop(scene: Scene, node: Node) -> Hazards:
    kind = node.get("removeType", "").removeprefix("OBJECT_")
    if kind == "INDEX":
        yield from drop_index(scene, node)
    old = [parts for parts in map(dropped_name, node.get("objects", [])) if not _made_here(scene, kind, parts)]
    category, word = _DROPS.get(kind, ("", ""))
    for parts in old if category else ():
        if _made_again(scene, kind, parts):
            continue
        name = _object_shown(kind, parts)
        yield scene.hazard(
            category,
            f"{word[:1].upper()}{word[1:]} {name} goes at once: {_LOST[category]}.",
            mend=steps(
                (f"{CONTRACT}, in a release after the last one that uses it", f"{one_line(scene.statement.text)};")
            ),
        )
    if old and node.get("behavior") == "DROP_CASCADE":
        names = ", ".join(_object_shown(kind, parts) for parts in old)
        yield scene.hazard(
            "drop-cascade",
            f"CASCADE also drops whatever depends on {names}: views, foreign keys, functions, columns that this"
            " file does not name.",
            mend="-- drop each dependent object by name; without CASCADE PostgreSQL refuses and lists them",
        )


def _object_shown(kind: str, parts: list[str]) -> str:
    if kind in ("TRIGGER", "POLICY", "RULE"):
        return f"{quoted(parts[-1])} on {shown(parts[:-1])}" if parts else ""
    return shown(parts)


def _made_here(scene: Scene, kind: str, parts: list[str]) -> bool:
    schema, name = scene.schema, name_of(parts)
    file = schema.file
    match kind:
        case "TABLE" | "FOREIGN_TABLE" | "VIEW" | "MATVIEW" | "SEQUENCE":
            return schema.is_new(name)
        case "TYPE" | "DOMAIN":
            return name in schema.types and schema.types[name].born == file
        case "FUNCTION" | "PROCEDURE" | "ROUTINE" | "AGGREGATE":
            return name in schema.functions and schema.functions[name].born == file
        case "SCHEMA":
            return schema.schemas.get(parts[-1] if parts else "") == file
        case "TRIGGER" | "POLICY" | "RULE":
            table = name_of(parts[:-1])
            return schema.is_new(table) or schema.triggers.get((table, parts[-1] if parts else "")) == file
        case "EVENT_TRIGGER":
            return schema.triggers.get((NO_TABLE, name[1])) == file
        case "INDEX":
            index = schema.indexes.get(name)
            return index is not None and (index.born == file or schema.is_new(index.table))
        case _:
            return False


def _made_again(scene: Scene, kind: str, parts: list[str]) -> bool:
    """Whether the same transaction makes it anew: others only wait a moment."""
    if not (scene.transaction.is_open or scene.in_body):
        return False
    name, remade = name_of(parts), scene.remade
    match kind:
        case "VIEW" | "MATVIEW":
            return name in remade.relations
        case "FUNCTION" | "PROCEDURE" | "ROUTINE" | "AGGREGATE":
            return name in remade.functions
        case "TRIGGER" | "POLICY":
            return (name_of(parts[:-1]), parts[-1] if parts else "") in remade.triggers
        case _:
            return False


def drop_database(scene: Scene, node: Node) -> Hazards:
    yield scene.hazard(
        "drop-database",
        f"DROP DATABASE removes {quoted(node.get('dbname', ''))} with everything in it; nothing brings it back but"
        f" a backup.",
        mend="-- not in a migration: a person, with a backup at hand",
    )


def drop_owned(scene: Scene, node: Node) -> Hazards:
    roles = ", ".join(
        quoted(each.get("RoleSpec", {}).get("rolename", "CURRENT_USER")) for each in node.get("roles", [])
    )
    yield scene.hazard(
        "drop-owned",
        f"DROP OWNED drops every table, view and function of {roles} in this database and revokes its rights: none"
        " of them is named here.",
        mend="-- REASSIGN OWNED to another role, or drop each object by name in a contract file",
    )
    if node.get("behavior") == "DROP_CASCADE":
        yield scene.hazard(
            "drop-cascade",
            f"CASCADE also drops what other roles own and what depends on the objects of {roles}.",
            mend="-- drop each object by name in its own statement; without CASCADE PostgreSQL lists the others",
        )


_RENAMED_LIKE_TABLE = ("TABLE", "VIEW", "MATVIEW", "SEQUENCE", "FOREIGN_TABLE")


def rename(scene: Scene, node: Node) -> Hazards:
    kind = node.get("renameType", "").removeprefix("OBJECT_")
    relation = node.get("relation", {})
    old, new = node.get("subname", ""), node.get("newname", "")
    if relation and (scene.is_new(relation) or table_of(relation) in scene.schema.indexes):
        return
    if kind in ("COLUMN", "ATTRIBUTE"):
        of = node.get("relationType", "").removeprefix("OBJECT_")
        yield from _rename_column(scene, relation, old, new, "TYPE" if kind == "ATTRIBUTE" else of)
    elif kind in _RENAMED_LIKE_TABLE:
        yield from _rename_table(scene, relation, new, kind)
    elif kind == "SCHEMA" and scene.schema.schemas.get(old) != scene.schema.file:
        yield scene.hazard(
            "rename-schema",
            f"Every query of an older worker that names the schema {quoted(old)} fails from this moment.",
            mend=f"-- a new schema {quoted(new)} with views on the old one's tables; the old one goes in a contract"
            f" file",
        )
    elif kind in ("TYPE", "DOMAIN", "FUNCTION", "PROCEDURE", "ROUTINE", "AGGREGATE"):
        parts = dropped_name(node.get("object", {}))
        if not _made_here(scene, kind, parts):
            yield scene.hazard(
                "drop-type" if kind in ("TYPE", "DOMAIN") else "drop-function",
                f"To an older worker {shown(parts)} is gone once it is called {quoted(new)}.",
                mend=f"-- make {quoted(new)} beside it; drop {shown(parts)} in a contract file",
            )
    elif kind in ("DATABASE", "ROLE", "TABLESPACE"):
        yield scene.hazard(
            "cluster-wide-change",
            f"Whoever connects as or to {quoted(old)} fails from this moment: the name belongs to the whole server.",
            mend="-- not in a migration: with whoever runs the server",
        )


def _rename_column(scene: Scene, relation: Node, old: str, new: str, of: str) -> Hazards:
    """of: the kind of relation."""
    known = scene.schema.tables.get(table_of(relation))
    if known and old in known.columns and known.columns[old].born == scene.schema.file:
        return
    kind = known.columns[old].type if known and old in known.columns else None
    yield scene.hazard(
        "rename-column",
        f"Every query of an older worker that names {shown(relation)}.{quoted(old)} fails from this moment.",
        mend=_renamed_beside(relation, quoted(old), quoted(new), of)
        or _renamed_in_steps(shown(relation), quoted(old), quoted(new), kind, scene.key(relation)),
    )


def _renamed_beside(relation: Node, old: str, new: str, of: str) -> str:
    """For what is no table."""
    name = shown(relation)
    return {
        "TYPE": f"-- a new type beside it: composite types have no views\nALTER TYPE {name} ADD ATTRIBUTE {new} text;",
        "VIEW": f"-- CREATE OR REPLACE VIEW {name} with {old} AS {new} last; {old} goes in a contract file",
        "MATVIEW": f"-- a second materialized view with {new}; {name} goes in a contract file",
    }.get(of, "")


def _renamed_in_steps(table: str, old: str, new: str, kind: Type | None, key: str) -> str:
    same = str(kind) if kind else f"/* the type of {old} */ text"
    return steps(
        (NOW, f"ALTER TABLE {table} ADD COLUMN {new} {same};"),
        ("in the same file", f"-- a trigger that keeps {old} and {new} equal"),
        (in_batches(table, key), f"UPDATE {table} SET {new} = {old} WHERE {key} BETWEEN 1 AND 1000;"),
        (CONTRACT, f"ALTER TABLE {table} DROP COLUMN {old};"),
    )


def _rename_table(scene: Scene, relation: Node, new: str, kind: str) -> Hazards:
    if table_of(relation) in scene.remade.relations and (scene.transaction.is_open or scene.in_body):
        return  # a view takes the old name in the same transaction
    schema = relation.get("schemaname")
    target = shown([*([schema] if schema else []), new])
    yield scene.hazard(
        "rename-table",
        f"Every query of an older worker that names {shown(relation)} fails from this moment.",
        mend=f"-- leave its name: no view can stand for a sequence; or make {quoted(new)} beside it, further on in the"
        " numbers, for the new worker"
        if kind == "SEQUENCE"
        else steps(
            ("in this file, both in its one transaction: the old name stays as a view",
             f"ALTER TABLE {shown(relation)} RENAME TO {quoted(new)};\n"
             f"CREATE VIEW {shown(relation)} AS SELECT * FROM {target};"),
            (CONTRACT, f"DROP VIEW {shown(relation)};"),
        ),
    )  # fmt: skip


def set_schema(scene: Scene, node: Node) -> Hazards:
    kind = node.get("objectType", "").removeprefix("OBJECT_")
    relation, new = node.get("relation", {}), node.get("newschema", "")
    if kind in _RENAMED_LIKE_TABLE and relation and not scene.is_new(relation):
        if table_of(relation) in scene.remade.relations and scene.transaction.is_open:
            return
        yield scene.hazard(
            "rename-table",
            f"Every query of an older worker that finds {shown(relation)} where it was fails from this moment.",
            mend=steps(
                ("in this file, both in its one transaction: the old name stays as a view",
                 f"ALTER TABLE {shown(relation)} SET SCHEMA {quoted(new)};\nCREATE VIEW {shown(relation)} AS"
                 f" SELECT * FROM {shown([new, relation.get('relname', '')])};"),
                (CONTRACT, f"DROP VIEW {shown(relation)};"),
            ),
        )  # fmt: skip
    elif kind in ("TYPE", "DOMAIN", "FUNCTION", "PROCEDURE", "ROUTINE", "AGGREGATE", "EXTENSION"):
        parts = dropped_name(node.get("object", {}))
        if not _made_here(scene, kind, parts):
            yield scene.hazard(
                "drop-type" if kind in ("TYPE", "DOMAIN") else "drop-function",
                f"To an older worker {shown(parts)} is gone once it stands in the schema {quoted(new)}.",
                mend=f"-- make it in {quoted(new)} too; drop the old one in a contract file",
            )


def alter_enum(scene: Scene, node: Node) -> Hazards:
    parts = [each["String"].get("sval", "") for each in node.get("typeName", []) if "String" in each]
    name: Name = name_of(parts)
    known = scene.schema.types.get(name)
    if "oldVal" in node and not (known and known.born == scene.schema.file):
        old, new = node["oldVal"], node.get("newVal", "")
        yield scene.hazard(
            "rename-enum-value",
            f"An older worker that still writes or compares {literal(old)} of {shown(parts)} fails: that value is now"
            f" {literal(new)}, in every row.",
            mend=steps(
                (NOW, f"ALTER TYPE {shown(parts)} ADD VALUE {literal(new)};"),
                ("in a data file: in committed batches by key", f"-- every row with {literal(old)} to {literal(new)}"),
            ),
        )
    elif "oldVal" not in node and scene.transaction.is_open and not scene.transaction.ours:
        yield scene.hazard(
            "enum-add-value-in-transaction",
            f"Before PostgreSQL 12 ADD VALUE {literal(node.get('newVal', ''))} fails inside a transaction; since"
            " then it works, and the value can be used only after the commit.",
            mend=f"{one_line(scene.statement.text)};",
        )

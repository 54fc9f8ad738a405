"""Triggers, rules, policies, rights, domains, and what reaches beyond this database. [P]"""

from __future__ import annotations

from prodsafe.migrations.lint.nodes import constant, find, name_of, only, option, shown, strings, table_of
from prodsafe.migrations.lint.parser import Node
from prodsafe.migrations.lint.scene import CONTRACT, Hazards, Scene, steps
from prodsafe.migrations.lint.sqltext import one_line, quoted

_INSTEAD_OF = 64
_NOT_OURS = "-- not in a migration: with whoever runs the server, beside the deploy"


def create_trigger(scene: Scene, node: Node) -> Hazards:
    relation = node.get("relation", {})
    table = scene.schema.tables.get(table_of(relation))
    if scene.is_new(relation) or node.get("timing") == _INSTEAD_OF or (table is not None and table.kind == "view"):
        return
    yield scene.hazard(
        "create-trigger",
        f"CREATE TRIGGER waits for every open transaction that wrote {shown(relation)}, and all writers wait behind it"
        " (SHARE ROW EXCLUSIVE); from then on its function runs for an older worker's writes too.",
        mend="-- keep it in a file of its own, so that nothing else waits while it holds the lock, and make its"
        " function bear an older worker's rows; then: -- prodsafe: allow create-trigger because REASON",
    )


def create_rule(scene: Scene, node: Node) -> Hazards:
    relation = node.get("relation", {})
    if not scene.is_new(relation):
        yield scene.hazard(
            "create-rule",
            f"CREATE RULE takes ACCESS EXCLUSIVE on {shown(relation)} and rewrites every query of it, an older worker's"
            " too, in ways that surprise (RETURNING, volatile functions, COPY).",
            mend="-- a trigger, or a view with INSTEAD OF triggers",
        )


def policy(scene: Scene, node: Node) -> Hazards:
    relation = node.get("table", {})
    if not scene.is_new(relation):
        yield scene.hazard(
            "rls-change",
            f"A policy changes at once which rows of {shown(relation)} a role sees or may write, under an older"
            f" worker.",
            mend=steps((CONTRACT, f"{one_line(scene.statement.text)};")),
        )


def revoke(scene: Scene, node: Node) -> Hazards:
    if node.get("is_grant"):
        return
    relations = [each["RangeVar"] for each in node.get("objects", []) if "RangeVar" in each]
    functions = [
        strings(each["ObjectWithArgs"].get("objname")) for each in node.get("objects", []) if "ObjectWithArgs" in each
    ]
    if _all_new(scene, node, relations, functions):
        return
    on = ", ".join([shown(each) for each in relations] or [shown(each) for each in functions]) or "these objects"
    yield scene.hazard(
        "revoke",
        f"An older worker that still uses this right on {on} fails with 'permission denied' from this moment.",
        mend=steps((CONTRACT, f"{one_line(scene.statement.text)};")),
    )


def _all_new(scene: Scene, node: Node, relations: list[Node], functions: list[list[str]]) -> bool:
    if relations:
        return all(scene.is_new(each) for each in relations)
    if functions:
        known = [scene.schema.functions.get(name_of(each)) for each in functions]
        return all(each is not None and each.born == scene.schema.file for each in known)
    if node.get("objtype") == "OBJECT_SCHEMA":
        names = strings(node.get("objects"))
        return bool(names) and all(scene.schema.schemas.get(each) == scene.schema.file for each in names)
    return False


def revoke_role(scene: Scene, node: Node) -> Hazards:
    if not node.get("is_grant"):
        yield scene.hazard(
            "revoke",
            "Who lost this role loses every right it gave, in every database of the server, from this moment.",
            mend=steps((CONTRACT, f"{one_line(scene.statement.text)};")),
        )


def cluster_wide(scene: Scene, node: Node) -> Hazards:
    yield scene.hazard(
        "cluster-wide-change",
        f"{one_line(scene.statement.text, longest=80)} reaches beyond this schema: other sessions, databases or"
        " programs of the server get it too, and no transaction takes it back for those that already did.",
        mend=_NOT_OURS,
    )


def role(scene: Scene, node: Node) -> Hazards:
    """ALTER and DROP of roles; one that this file made nobody uses yet."""
    roles = [each.get("RoleSpec", {}) for each in node.get("roles", [])] or [node.get("role", {})]
    names = [each.get("rolename", "") for each in roles]
    if any(scene.schema.roles.get(name) != scene.schema.file for name in names):
        yield from cluster_wide(scene, node)


def alter_database(scene: Scene, node: Node) -> Hazards:
    if any(each.get("DefElem", {}).get("defname") == "tablespace" for each in node.get("options", [])):
        yield scene.hazard(
            "table-rewrite-command",
            f"SET TABLESPACE copies the whole database {quoted(node.get('dbname', ''))}, with nobody connected.",
            mend=_NOT_OURS,
        )
    yield from cluster_wide(scene, node)


def vacuum(scene: Scene, node: Node) -> Hazards:
    if not option(node.get("options"), "full"):
        return
    relations = [each.get("VacuumRelation", {}).get("relation", {}) for each in node.get("rels", [])]
    old = [each for each in relations if not scene.is_new(each)]
    if old or not relations:
        names = ", ".join(shown(each) for each in old) or "every table of the database"
        yield scene.hazard(
            "table-rewrite-command",
            f"VACUUM FULL rewrites {names} under ACCESS EXCLUSIVE: reads and writes wait for all of it.",
            mend="\n".join(f"VACUUM {shown(each)};" for each in old) or "VACUUM;",
        )


def cluster(scene: Scene, node: Node) -> Hazards:
    relation = node.get("relation")
    if relation is None or not scene.is_new(relation):
        yield scene.hazard(
            "table-rewrite-command",
            f"CLUSTER rewrites {shown(relation) if relation else 'every clustered table'} under ACCESS EXCLUSIVE:"
            " reads and writes wait for all of it.",
            mend="-- pg_repack does the same beside readers and writers",
        )


def move_all(scene: Scene, node: Node) -> Hazards:
    yield scene.hazard(
        "table-rewrite-command",
        f"SET TABLESPACE copies everything in {quoted(node.get('orig_tablespacename', ''))}, each under ACCESS"
        f" EXCLUSIVE.",
        mend="-- pg_repack --tablespace does it beside readers and writers, table by table",
    )


def alter_default_privileges(scene: Scene, node: Node) -> Hazards:
    if not node.get("action", {}).get("is_grant"):
        yield scene.hazard(
            "revoke",
            "What is made from now on comes without this right: who relies on it fails with 'permission denied' there.",
            mend=steps((CONTRACT, f"{one_line(scene.statement.text)};")),
        )


def change_owner(scene: Scene, node: Node) -> Hazards:
    if node.get("objectType") in ("OBJECT_DATABASE", "OBJECT_TABLESPACE"):
        yield from cluster_wide(scene, node)


def set_variable(scene: Scene, node: Node) -> Hazards:
    name = node.get("name", "").lower()
    value = constant((node.get("args") or [{}])[0])
    if name == "session_replication_role" and node.get("kind") == "VAR_SET_VALUE":
        yield from replication_role(scene, value or "")


def replication_role(scene: Scene, value: str) -> Hazards:
    if value.lower() == "replica":
        yield scene.hazard(
            "disable-trigger",
            "session_replication_role = replica switches off every trigger and every foreign key for what this session"
            " writes: rows that break them stay.",
            mend="-- leave it at origin; give the migration's own rows a way round inside the trigger function",
        )


def event_trigger(scene: Scene, node: Node) -> Hazards:
    if node.get("tgenabled") == "D":
        yield scene.hazard(
            "disable-trigger",
            f"The event trigger {quoted(node.get('trigname', ''))} no longer guards anybody's DDL in this database.",
            mend="-- leave it on",
        )


def create_table(scene: Scene, node: Node) -> Hazards:
    for _, definition in find(node.get("tableElts", []), "ColumnDef"):
        names = strings(definition.get("typeName", {}).get("names"))
        if names in (["json"], ["pg_catalog", "json"]):
            name = quoted(definition.get("colname", ""))
            yield scene.hazard(
                "json-column",
                f"json has no equality operator: DISTINCT, GROUP BY, UNION and = on {name} fail.",
                at=scene.offset(definition.get("location")) if scene.at is None else None,
                mend=f"-- in CREATE TABLE: {name} jsonb",
            )


def set_config_calls(node: Node) -> list[tuple[str, str | None, bool]]:
    """(name, value, local) of each set_config() that a SELECT calls with constants."""
    found = []
    for _, call in find(node, "FuncCall"):
        arguments = call.get("args", [])
        if strings(call.get("funcname"))[-1:] == ["set_config"] and len(arguments) == 3:
            kind, _ = only(arguments[0])
            if kind in ("A_Const", "TypeCast"):
                name = (constant(arguments[0]) or "").lower()
                found.append((name, constant(arguments[1]), constant(arguments[2]) == "true"))
    return found

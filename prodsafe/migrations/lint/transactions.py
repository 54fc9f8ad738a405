"""What PostgreSQL refuses inside a transaction, which locks last until its end, which limits are set. [P]"""

from __future__ import annotations

import re

from prodsafe.migrations.lint.bodies import plpgsql
from prodsafe.migrations.lint.command import Command
from prodsafe.migrations.lint.nodes import (
    Name,
    constant,
    definition,
    dropped_name,
    name_of,
    option,
    shown,
    strings,
    table_of,
)
from prodsafe.migrations.lint.parser import Node, Statement
from prodsafe.migrations.lint.rules_server import set_config_calls
from prodsafe.migrations.lint.scene import ACCESS_EXCLUSIVE, SHARE, SHARE_ROW_EXCLUSIVE, SHARE_UPDATE_EXCLUSIVE
from prodsafe.migrations.lint.schema import Schema

Lock = tuple[Name, int, str]
COMMIT_IN_BLOCK = "COMMIT in the block"

_ALWAYS_ALONE = {
    "CreatedbStmt": "CREATE DATABASE", "DropdbStmt": "DROP DATABASE", "CreateTableSpaceStmt": "CREATE TABLESPACE",
    "DropTableSpaceStmt": "DROP TABLESPACE", "AlterSystemStmt": "ALTER SYSTEM", "DropSubscriptionStmt": "DROP"
                                                                                                        " SUBSCRIPTION",
}  # fmt: skip
_WEAK = """
    AT_ValidateConstraint AT_SetStatistics AT_SetOptions AT_ResetOptions AT_ClusterOn AT_DropCluster
    AT_SetRelOptions AT_ResetRelOptions AT_AttachPartition AT_DetachPartitionFinalize AT_AddInherit
"""
_WEAK_COMMANDS = frozenset(_WEAK.split())
_TRIGGER = """
    AT_EnableTrig AT_EnableTrigAll AT_EnableTrigUser AT_EnableAlwaysTrig AT_EnableReplicaTrig AT_DisableTrig
    AT_DisableTrigAll AT_DisableTrigUser
"""
_TRIGGER_COMMANDS = frozenset(_TRIGGER.split())
_MS = {"us": 0.001, "ms": 1, "s": 1_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000, "": 1}


def alone(statement: Statement, schema: Schema) -> str:
    """Why PostgreSQL runs the statement outside of transactions only; "" where it does not matter."""
    node = statement.node
    match statement.kind:
        case kind if kind in _ALWAYS_ALONE:
            return _ALWAYS_ALONE[kind]
        case "CreateSubscriptionStmt":
            connects = definition(node.get("options"), "connect") is None or option(node.get("options"), "connect")
            slot = definition(node.get("options"), "create_slot")
            makes = connects and (slot is None or option(node.get("options"), "create_slot"))
            return "CREATE SUBSCRIPTION" if makes else ""
        case "AlterSubscriptionStmt":
            kind, options = node.get("kind", ""), node.get("options")
            refreshes = definition(options, "refresh") is None or option(options, "refresh")
            asked = kind == "ALTER_SUBSCRIPTION_REFRESH" or (kind.endswith("_PUBLICATION") and refreshes)
            return "ALTER SUBSCRIPTION ... REFRESH" if asked else ""
        case "IndexStmt":
            return "CREATE INDEX CONCURRENTLY" if node.get("concurrent") else ""
        case "DropStmt":
            return "DROP INDEX CONCURRENTLY" if node.get("concurrent") else ""
        case "ReindexStmt":
            kind = node.get("kind", "").removeprefix("REINDEX_OBJECT_")
            if option(node.get("params"), "concurrently"):
                return "REINDEX CONCURRENTLY"
            known = schema.tables.get(table_of(node["relation"])) if "relation" in node else None
            partitioned = known is not None and known.partitioned
            return f"REINDEX {kind}" if kind in ("DATABASE", "SYSTEM", "SCHEMA") or partitioned else ""
        case "DiscardStmt":
            return "DISCARD ALL" if node.get("target", "DISCARD_ALL") == "DISCARD_ALL" else ""
        case "VacuumStmt":
            return "VACUUM" if node.get("is_vacuumcmd") else ""
        case "ClusterStmt":
            return "" if "relation" in node else "CLUSTER of every table"
        case "AlterTableStmt":
            parts = [
                each.get("AlterTableCmd", {}).get("def", {}).get("PartitionCmd", {}) for each in node.get("cmds", [])
            ]
            return "DETACH PARTITION CONCURRENTLY" if any(each.get("concurrent") for each in parts) else ""
        case "AlterDatabaseStmt":
            options = [each.get("DefElem", {}).get("defname") for each in node.get("options", [])]
            return "ALTER DATABASE SET TABLESPACE" if "tablespace" in options else ""
        case "DoStmt" | "CallStmt":
            return COMMIT_IN_BLOCK if commits(statement, schema) else ""
        case _:
            return ""


def body_of(node: Node) -> str | None:
    """The text of a DO block in PL/pgSQL; None for another language."""
    language = (definition(node.get("args"), "language") or {}).get("String", {}).get("sval", "plpgsql")
    body: str = (definition(node.get("args"), "as") or {}).get("String", {}).get("sval", "")
    return body if language.lower() == "plpgsql" else None


def commits(statement: Statement, schema: Schema) -> bool:
    """Whether a DO block or a known procedure ends transactions itself."""
    if statement.kind == "DoStmt":
        body = body_of(statement.node) or ""
    else:
        known = schema.functions.get(name_of(strings(statement.node.get("funccall", {}).get("funcname"))))
        body = known.body if known is not None and known.language == "plpgsql" else ""
    return any(piece.kind == "commit" for piece in plpgsql(body))


def locks_of(statement: Statement, schema: Schema) -> list[Lock]:
    """The locks on existing relations that make others wait, and that the transaction keeps."""
    found = [lock for lock in _locks(statement, schema) if not schema.is_new(lock[0])]
    return [lock for lock in found if lock[1] >= SHARE]


def _locks(statement: Statement, schema: Schema) -> list[Lock]:
    node = statement.node
    relation = node.get("relation", {})
    match statement.kind:
        case "IndexStmt":
            return _one(relation, SHARE_UPDATE_EXCLUSIVE if node.get("concurrent") else SHARE)
        case "CreateTrigStmt":
            return _one(relation, SHARE_ROW_EXCLUSIVE)
        case "RuleStmt" | "ClusterStmt":
            return _one(relation, ACCESS_EXCLUSIVE)
        case "RefreshMatViewStmt":
            return _one(relation, 7 if node.get("concurrent") else ACCESS_EXCLUSIVE)
        case "RenameStmt":
            tables = ("OBJECT_TABLE", "OBJECT_COLUMN", "OBJECT_VIEW", "OBJECT_MATVIEW", "OBJECT_TABCONSTRAINT")
            return _one(relation, ACCESS_EXCLUSIVE) if node.get("renameType") in tables else []
        case "AlterObjectSchemaStmt":
            return _one(relation, ACCESS_EXCLUSIVE)
        case "TruncateStmt":
            return [
                lock for each in node.get("relations", []) for lock in _one(each.get("RangeVar", {}), ACCESS_EXCLUSIVE)
            ]
        case "LockStmt":
            level = node.get("mode", ACCESS_EXCLUSIVE)
            return [lock for each in node.get("relations", []) for lock in _one(each.get("RangeVar", {}), level)]
        case "CreatePolicyStmt" | "AlterPolicyStmt":
            return _one(node.get("table", {}), ACCESS_EXCLUSIVE)
        case "DropStmt":
            return _dropped(node, schema)
        case "CreateStmt":
            others = [each.get("RangeVar", {}) for each in node.get("inhRelations", [])]
            level = ACCESS_EXCLUSIVE if "partbound" in node else SHARE_UPDATE_EXCLUSIVE
            return [lock for each in others for lock in _one(each, level)]
        case _:
            return []


def _one(relation: Node, level: int) -> list[Lock]:
    return [(table_of(relation), level, shown(relation))] if relation.get("relname") else []


def _dropped(node: Node, schema: Schema) -> list[Lock]:
    kind = node.get("removeType", "").removeprefix("OBJECT_")
    parts = [each for each in map(dropped_name, node.get("objects", [])) if each]
    if kind in ("TABLE", "VIEW", "MATVIEW", "FOREIGN_TABLE"):
        return [(name_of(each), ACCESS_EXCLUSIVE, shown(each)) for each in parts]
    if kind in ("TRIGGER", "POLICY", "RULE"):
        return [(name_of(each[:-1]), ACCESS_EXCLUSIVE, shown(each[:-1])) for each in parts]
    if kind == "INDEX" and not node.get("concurrent"):
        return [_table_of_index(each, schema) for each in parts]
    return []


def _table_of_index(parts: list[str], schema: Schema) -> Lock:
    known = schema.indexes.get(name_of(parts))
    if known is None:  # its table has a name that nobody here knows
        return name_of(parts), ACCESS_EXCLUSIVE, f"the table of {shown(parts)}"
    return known.table, ACCESS_EXCLUSIVE, shown(known.table)


def locks_of_command(command: Command, schema: Schema) -> list[Lock]:
    """The locks of one ALTER TABLE command."""
    if command.objtype in ("OBJECT_INDEX", "OBJECT_TYPE", "OBJECT_SEQUENCE"):
        return []
    part = command.node.get("def", {}).get("PartitionCmd", {})
    if command.subtype in _WEAK_COMMANDS or part.get("concurrent"):
        return []
    level = SHARE_ROW_EXCLUSIVE if command.subtype in _TRIGGER_COMMANDS else ACCESS_EXCLUSIVE
    found: list[Lock] = []
    constraint = command.node.get("def", {}).get("Constraint", {})
    if constraint.get("contype") == "CONSTR_FOREIGN":
        level = SHARE_ROW_EXCLUSIVE
        found += _one(constraint.get("pktable", {}), level)
    found.append((command.name, level, command.shown))
    return [lock for lock in found if not schema.is_new(lock[0])]


def milliseconds(value: str | None) -> int | None:
    """A PostgreSQL duration in ms; None where it cannot be read."""
    found = re.fullmatch(r"\s*(-?\d+(?:\.\d+)?)\s*([a-z]*)\s*", value or "")
    if not found or found[2] not in _MS:
        return None
    return round(float(found[1]) * _MS[found[2]])


def settings_of(statement: Statement) -> list[tuple[str, str | None, bool]]:
    """What SET, RESET, DISCARD ALL and set_config change: (name, value, local); value None for the server's own."""
    node = statement.node
    if statement.kind == "SelectStmt":
        return set_config_calls(node)
    if statement.kind not in ("VariableSetStmt", "DiscardStmt"):
        return []
    kind, name, local = node.get("kind"), node.get("name", "").lower(), bool(node.get("is_local"))
    if kind == "VAR_RESET_ALL" or node.get("target") == "DISCARD_ALL":
        return [(each, None, False) for each in ("lock_timeout", "statement_timeout", "timezone")]
    return [(name, constant((node.get("args") or [{}])[0]) if kind == "VAR_SET_VALUE" else None, local)]

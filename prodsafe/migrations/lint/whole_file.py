"""What a file says of itself as a whole: what it makes anew, and where it is no SQL. [P]"""

from __future__ import annotations

from collections.abc import Sequence

from prodsafe.migrations.lint.nodes import Name, name_of, strings, table_of
from prodsafe.migrations.lint.parser import Statement, Unparsable
from prodsafe.migrations.lint.scene import Hazard, Remade


def syntax_error(text: str, error: Unparsable) -> Hazard:
    line = text[text.rfind("\n", 0, error.offset) + 1 :].lstrip()
    if text[error.offset : error.offset + 1] == "\\" or line.startswith("\\"):
        return Hazard(
            "syntax-error",
            error.offset,
            "A command of psql, not SQL: only psql knows it, the server refuses it and the whole file fails.",
            "-- write it as plain SQL",
        )
    return Hazard(
        "syntax-error",
        error.offset,
        f"PostgreSQL refuses this: {error.message}. The whole file fails.",
        "-- correct this statement, then lint the file again",
    )


def remade_by(statements: Sequence[Statement]) -> Remade:
    constraints: set[tuple[Name, str]] = set()
    triggers: set[tuple[Name, str]] = set()
    required: set[tuple[Name, str]] = set()
    functions: set[Name] = set()
    relations: set[Name] = set()
    attached: set[Name] = set()
    for each in statements:
        node = each.node
        match each.kind:
            case "AlterTableStmt":
                table = table_of(node.get("relation", {}))
                for cmd in node.get("cmds", []):
                    command = cmd.get("AlterTableCmd", {})
                    if command.get("subtype") == "AT_AddConstraint":
                        constraints.add((table, command.get("def", {}).get("Constraint", {}).get("conname", "")))
                    elif command.get("subtype") == "AT_SetNotNull":
                        required.add((table, command.get("name", "")))
                    elif command.get("subtype") == "AT_AttachPartition":
                        attached.add(table_of(command.get("def", {}).get("PartitionCmd", {}).get("name", {})))
            case "CreateTrigStmt":
                triggers.add((table_of(node.get("relation", {})), node.get("trigname", "")))
            case "CreatePolicyStmt":
                triggers.add((table_of(node.get("table", {})), node.get("policy_name", "")))
            case "CreateFunctionStmt":
                functions.add(name_of(strings(node.get("funcname"))))
            case "ViewStmt":
                relations.add(table_of(node.get("view", {})))
            case "CreateTableAsStmt":
                relations.add(table_of(node.get("into", {}).get("rel", {})))
            case "CreateStmt":
                relations.add(table_of(node.get("relation", {})))
            case "RenameStmt" if "relation" in node and "subname" not in node:
                relations.add((table_of(node["relation"])[0], node.get("newname", "")))
            case _:
                pass
    return Remade(
        frozenset(constraints),
        frozenset(triggers),
        frozenset(functions),
        frozenset(relations),
        frozenset(required),
        frozenset(attached),
    )

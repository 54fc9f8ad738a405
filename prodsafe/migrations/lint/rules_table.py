"""ALTER TABLE, as a whole: constraints, partitions, storage, triggers, row security. [P]"""

from __future__ import annotations

from collections.abc import Callable

from prodsafe.migrations.lint import rules_column, rules_partition
from prodsafe.migrations.lint.command import Command, commands
from prodsafe.migrations.lint.nodes import columns_in, proves_not_null, shown, strings, table_of
from prodsafe.migrations.lint.parser import Node
from prodsafe.migrations.lint.rules_added_column import add_column
from prodsafe.migrations.lint.rules_column import not_null_scan
from prodsafe.migrations.lint.scene import (
    CONTRACT,
    LATER,
    LOCK_NAMES,
    NEXT,
    NOW,
    SHARE_ROW_EXCLUSIVE,
    Hazard,
    Hazards,
    Scene,
    steps,
)
from prodsafe.migrations.lint.schema import Constraint
from prodsafe.migrations.lint.sqltext import quoted
from prodsafe.migrations.lint.wording import REWRITES, deferrable, fit, made_not_null

Rule = Callable[[Scene, Command], Hazards]


def add_constraint(scene: Scene, command: Command) -> Hazards:
    node = command.node.get("def", {}).get("Constraint", {})
    if command.is_new or command.is_foreign:
        return
    match node.get("contype", "").removeprefix("CONSTR_"):
        case "CHECK" if node.get("initially_valid"):
            yield _check(scene, command, node)
        case "FOREIGN" if node.get("initially_valid"):
            yield _foreign(scene, command, node)
        case "UNIQUE" | "PRIMARY" if "indexname" not in node:
            yield _builds_index(scene, command, node)
        case "PRIMARY":
            yield from _primary_using(scene, command, node)
        case "EXCLUSION":
            yield command.hazard(
                scene,
                "exclusion-constraint",
                f"EXCLUDE builds its index and compares all rows of {command.shown} under ACCESS EXCLUSIVE; it can be"
                " neither NOT VALID nor built from a CONCURRENTLY made index.",
                mend="-- a new table with the constraint, filled in committed batches by a data file, then swapped"
                " in;\n"
                "-- or a constraint trigger for new rows",
            )
        case "NOTNULL" if not node.get("skip_validation"):
            name = (strings(node.get("keys")) or [""])[0]
            if not scene.schema.is_not_null(command.name, name):
                yield from not_null_scan(scene, command, name)


def _not_valid(command: Command, node: Node, suffixes: list[str]) -> tuple[str, str]:
    """The same constraint NOT VALID, and its VALIDATE; named where the user gave no name."""
    text = command.text_from(command.start, command.end)
    name = quoted(node["conname"]) if "conname" in node else fit(command, *suffixes)
    if "conname" not in node:
        text = f"ADD CONSTRAINT {name} {text.split(maxsplit=1)[1]}"
    return (
        f"ALTER TABLE {command.shown} {text} NOT VALID;",
        f"ALTER TABLE {command.shown} VALIDATE CONSTRAINT {name};",
    )


def _check(scene: Scene, command: Command, node: Node) -> Hazard:
    columns = columns_in(node.get("raw_expr"))
    first, second = _not_valid(command, node, [*(columns if len(columns) == 1 else ()), "check"])
    return command.hazard(
        scene,
        "constraint-without-not-valid",
        f"ADD CHECK reads all of {command.shown} under ACCESS EXCLUSIVE: reads and writes wait until every row is"
        f" checked.",
        mend=steps((NOW, first), (NEXT, second)),
    )


def _foreign(scene: Scene, command: Command, node: Node) -> Hazard:
    other = shown(node.get("pktable", {}))
    first, second = _not_valid(command, node, [*strings(node.get("fk_attrs")), "fkey"])
    return command.hazard(
        scene,
        "fk-without-not-valid",
        f"ADD FOREIGN KEY checks every row of {command.shown} while writers of it and of {other} wait (SHARE ROW"
        " EXCLUSIVE on both).",
        mend=steps((NOW, first), (NEXT, second)),
    )


def _builds_index(scene: Scene, command: Command, node: Node) -> Hazard:
    primary = node["contype"] == "CONSTR_PRIMARY"
    word = "PRIMARY KEY" if primary else "UNIQUE"
    keys = strings(node.get("keys"))
    name = quoted(node["conname"]) if "conname" in node else fit(command, *(["pkey"] if primary else [*keys, "key"]))
    columns = ", ".join(quoted(key) for key in keys)
    include = strings(node.get("including"))
    extra = f" INCLUDE ({', '.join(quoted(each) for each in include)})" if include else ""
    when = deferrable(bool(node.get("deferrable")), bool(node.get("initdeferred")))
    nulls = " NULLS NOT DISTINCT" if node.get("nulls_not_distinct") else ""
    return command.hazard(
        scene,
        "pk-without-index" if primary else "unique-without-index",
        f"ADD {word} builds its index while ACCESS EXCLUSIVE keeps every reader and writer of {command.shown} waiting.",
        mend=steps(
            (NOW, f"CREATE UNIQUE INDEX CONCURRENTLY {name} ON {command.shown} ({columns}){extra}{nulls};"),
            *(
                each
                for key in keys
                if primary and _may_be_null(scene, command, key)
                for each in made_not_null(command, key)
            ),
            (NEXT, f"ALTER TABLE {command.shown} ADD CONSTRAINT {name} {word} USING INDEX {name}{when};"),
        ),
    )


def _may_be_null(scene: Scene, command: Command, name: str) -> bool:
    return scene.schema.is_not_null(command.name, name) is False


def _primary_using(scene: Scene, command: Command, node: Node) -> Hazards:
    index = scene.schema.index_named(command.name[0], node.get("indexname", ""))
    if index is None:
        return
    nullable = [
        name
        for name in index.columns
        if scene.schema.is_not_null(command.name, name) is False
        and not any(
            each.valid and proves_not_null(each.expression, name) for each in command.table.constraints.values()
        )
    ]
    if nullable:
        col = quoted(nullable[0])
        check = fit(command, nullable[0], "not_null")
        yield command.hazard(
            scene,
            "pk-using-nullable-index",
            f"A primary key makes {col} NOT NULL, and for that reads all of {command.shown} under ACCESS EXCLUSIVE.",
            mend=steps(
                (NOW, f"ALTER TABLE {command.shown} ADD CONSTRAINT {check} CHECK ({col} IS NOT NULL) NOT VALID;"),
                (NEXT, f"ALTER TABLE {command.shown} VALIDATE CONSTRAINT {check};"),
                (
                    LATER,
                    f"ALTER TABLE {command.shown} ALTER COLUMN {col} SET NOT NULL;\n{command.statement_with(scene)};",
                ),
            ),
        )


def validate(scene: Scene, command: Command) -> Hazards:
    if command.is_new:
        return
    name = command.node.get("name", "")
    mend = steps((NEXT, f"ALTER TABLE {command.shown} VALIDATE CONSTRAINT {quoted(name)};"))
    strong = [held for held in scene.transaction.held.values() if held.level >= SHARE_ROW_EXCLUSIVE]
    held = scene.transaction.held.get(command.name) or (strong[0] if strong else None)
    if (command.name, name) in scene.transaction.unchecked:
        yield command.hazard(
            scene,
            "validate-in-same-transaction",
            f"VALIDATE reads all of {command.shown} while this transaction still holds the lock that ADD CONSTRAINT"
            f" {quoted(name)} took: everyone waits for the scan, as if NOT VALID were not there.",
            mend=mend,
        )
    elif held is not None and held.level >= SHARE_ROW_EXCLUSIVE:
        yield command.hazard(
            scene,
            "locked-then-more-statements",
            f"VALIDATE reads all of {command.shown} while an earlier statement of this transaction holds"
            f" {LOCK_NAMES[held.level]} on {held.shown}.",
            mend=mend,
        )


def alter_constraint(scene: Scene, command: Command) -> Hazards:
    change = command.node.get("def", {}).get("ATAlterConstraint", {})
    if change.get("alterEnforceability") and change.get("is_enforced") and not command.is_new:
        yield command.hazard(
            scene,
            "fk-without-not-valid",
            f"ENFORCED checks every row of {command.shown} while writers wait.",
            mend="-- drop it, add it NOT VALID, and validate it in a next file",
        )


def drop_constraint(scene: Scene, command: Command) -> Hazards:
    name = command.node.get("name", "")
    known = command.table.constraints.get(name)
    cascade = command.node.get("behavior") == "DROP_CASCADE"
    if command.is_new:
        return
    if not _replaced_or_needless(scene, command, name, known):
        yield command.hazard(
            scene,
            "drop-constraint",
            f"From now on {command.shown} takes rows that {quoted(name)} refused, while an older worker still relies on"
            " it (ON CONFLICT fails without its unique index, joins meet orphans); putting it back needs clean data.",
            mend=steps((CONTRACT, f"ALTER TABLE {command.shown} DROP CONSTRAINT {quoted(name)};")),
        )
    if cascade:
        yield command.hazard(
            scene,
            "drop-cascade",
            f"CASCADE also drops the foreign keys of other tables that point at {quoted(name)}, none of which is"
            f" named.",
            mend="-- drop each foreign key by name in its own statement; without CASCADE PostgreSQL lists them",
        )


def _replaced_or_needless(scene: Scene, command: Command, name: str, known: Constraint | None) -> bool:
    if (command.name, name) in scene.remade.constraints or (known and known.born == scene.schema.file):
        return True
    if command.name in scene.remade.attached and (known is None or known.kind in ("check", "validated")):
        return True  # the bounds of the partition say the same from now on
    if known and known.kind == "check":
        columns = columns_in(known.expression)
        return any(
            scene.schema.is_not_null(command.name, each) and proves_not_null(known.expression, each) for each in columns
        )
    return (known is None or known.kind == "validated") and any(
        table == command.name and col in name and "null" in name for table, col in scene.remade.required
    )


def storage(scene: Scene, command: Command) -> Hazards:
    if command.is_new or command.table.partitioned:
        return
    words = command.text_from(command.start, command.end)
    if command.subtype == "AT_SetUnLogged":
        words += " (and a crash then empties it)"
    yield command.hazard(
        scene,
        "table-rewrite-command",
        f"{words} {REWRITES.format(table=command.shown)}.",
        mend="-- a new table made that way, filled in committed batches by a data file, then swapped in; or pg_repack",
    )


def triggers_off(scene: Scene, command: Command) -> Hazards:
    if not command.is_new:
        yield command.hazard(
            scene,
            "disable-trigger",
            f"While triggers of {command.shown} are off, what they check or copy is not checked or copied for anybody,"
            " an older worker included; ALL also switches foreign keys off.",
            mend="-- leave it on: give the migration's own rows a way round inside the trigger function",
        )


def row_security(scene: Scene, command: Command) -> Hazards:
    if not command.is_new:
        yield command.hazard(
            scene,
            "rls-change",
            f"{command.text_from(command.start, command.end)} changes at once which rows of {command.shown} each role"
            " sees: an older worker may suddenly read nothing, or too much.",
            mend="-- first policies that let today's roles see what they see, tested as those roles; then, in a"
            " contract file, this",
        )


COMMANDS: dict[str, Rule] = {
    "AT_AddColumn": add_column,
    "AT_AlterColumnType": rules_column.change_type,
    "AT_SetNotNull": rules_column.set_not_null,
    "AT_DropNotNull": rules_column.drop_not_null,
    "AT_DropColumn": rules_column.drop_column,
    "AT_ColumnDefault": rules_column.change_default,
    "AT_DropIdentity": rules_column.drop_identity,
    "AT_DropExpression": rules_column.drop_identity,
    "AT_SetExpression": rules_column.set_expression,
    "AT_AddConstraint": add_constraint,
    "AT_ValidateConstraint": validate,
    "AT_AlterConstraint": alter_constraint,
    "AT_DropConstraint": drop_constraint,
    "AT_AttachPartition": rules_partition.attach,
    "AT_DetachPartition": rules_partition.detach,
    "AT_SetTableSpace": storage,
    "AT_SetAccessMethod": storage,
    "AT_SetLogged": storage,
    "AT_SetUnLogged": storage,
    "AT_DisableTrig": triggers_off,
    "AT_DisableTrigAll": triggers_off,
    "AT_DisableTrigUser": triggers_off,
    "AT_DisableRule": triggers_off,
    "AT_EnableReplicaTrig": triggers_off,
    "AT_EnableRowSecurity": row_security,
    "AT_DisableRowSecurity": row_security,
    "AT_ForceRowSecurity": row_security,
    "AT_NoForceRowSecurity": row_security,
}


def alter_table(scene: Scene, command: Command) -> Hazards:
    rule = COMMANDS.get(command.subtype)
    if rule is not None:
        yield from rule(scene, command)


def commands_of(scene: Scene) -> list[Command]:
    relation = scene.statement.node.get("relation", {})
    name = table_of(relation)
    is_new = scene.schema.is_new(name)
    index = scene.schema.indexes.get(name)
    if index is not None:
        is_new = is_new or index.born == scene.schema.file
    return list(commands(scene.statement, scene.schema.table(name), is_new))

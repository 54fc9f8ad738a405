"""Partitions: attached, detached, made: whose rows are read for it. [P]"""

# ruff: noqa: S608 - the SQL of a mend is shown to a person and never run
from __future__ import annotations

from prodsafe.migrations.lint.command import Command
from prodsafe.migrations.lint.nodes import proves_not_null, shown, table_of
from prodsafe.migrations.lint.parser import Node
from prodsafe.migrations.lint.partition_bounds import bounds_as_check, proves_bounds
from prodsafe.migrations.lint.scene import LATER, NEXT, NOW, Hazards, Scene, in_batches, steps
from prodsafe.migrations.lint.sqltext import quoted
from prodsafe.migrations.lint.wording import fitted


def attach(scene: Scene, command: Command) -> Hazards:
    part = command.node.get("def", {}).get("PartitionCmd", {})
    child, bound = part.get("name", {}), part.get("bound", {})
    if command.objtype == "OBJECT_INDEX":
        return
    if not command.is_new:
        yield from _scans_default(scene, scene.statement.node["relation"], command.start)
    if scene.is_new(child) or _proven_partition(scene, command, child, bound):
        return
    yield command.hazard(
        scene,
        "attach-partition-scan",
        f"ATTACH PARTITION reads all of {shown(child)} under ACCESS EXCLUSIVE to see that its rows fit the bounds (and"
        f" {command.shown}'s DEFAULT partition, if there is one), unless a validated CHECK already says so.",
        mend=_checked_first(scene, command, child, bound)
        if _provable(bound)
        else _made_and_filled(scene, command, child, bound),
    )


def _provable(bound: Node) -> bool:
    """Whether a CHECK can say the bounds: not of DEFAULT, which is what no other partition takes, nor of a hash."""
    return bound.get("strategy") in ("r", "l") and not bound.get("is_default")


def _checked_first(scene: Scene, command: Command, child: Node, bound: Node) -> str:
    check = fitted(child.get("relname", ""), ["bound"])
    required = "".join(  # read from the CHECK, not from the rows
        f"ALTER TABLE {shown(child)} ALTER COLUMN {quoted(key)} SET NOT NULL;\n"
        for key in command.table.partition_key
        if key and scene.schema.is_not_null(table_of(child), key) is False
    )
    says = bounds_as_check(bound, command.table.partition_key)
    return steps(
        (NOW, f"ALTER TABLE {shown(child)} ADD CONSTRAINT {check} CHECK ({says}) NOT VALID;"),
        (NEXT, f"ALTER TABLE {shown(child)} VALIDATE CONSTRAINT {check};"),
        (LATER, f"{required}{command.statement_with(scene)};\nALTER TABLE {shown(child)} DROP CONSTRAINT {check};"),
    )


def _made_and_filled(scene: Scene, command: Command, child: Node, bound: Node) -> str:
    """A new, empty partition, and the rows moved into it by way of the parent."""
    new, key = f"{child.get('relname', '')}_new", scene.key(child)
    values = "DEFAULT" if bound.get("is_default") else f"FOR {command.after_word('for', ())}"
    return steps(
        (NOW, f"CREATE TABLE {fitted(new, [])} PARTITION OF {command.shown} {values};"),
        (in_batches(shown(child), key),
         f"INSERT INTO {command.shown} SELECT * FROM {shown(child)} WHERE {key} BETWEEN 1 AND 1000;"),
    )  # fmt: skip


def _proven_partition(scene: Scene, command: Command, child: Node, bound: Node) -> bool:
    name = table_of(child)
    known, keys = scene.schema.tables.get(name), command.table.partition_key
    valid = [each for each in known.constraints.values() if each.valid] if known else ()
    if any(each.kind == "validated" for each in valid):
        return True
    checks = [each.expression for each in valid if each.kind == "check"]
    may_be_null = any(  # a CHECK holds for NULL too, which the bounds refuse
        scene.schema.is_not_null(name, key) is False and not any(proves_not_null(each, key) for each in checks)
        for key in keys
    )
    return not may_be_null and proves_bounds(checks, bound, keys)


def create_partition(scene: Scene, node: Node) -> Hazards:
    """CREATE TABLE ... PARTITION OF."""
    for parent in node.get("inhRelations", []) if "partbound" in node else ():
        yield from _scans_default(scene, parent.get("RangeVar", {}), scene.offset())


def _scans_default(scene: Scene, parent: Node, at: int) -> Hazards:
    """A new partition takes values that the DEFAULT one may hold: PostgreSQL looks for them."""
    schema, known = scene.schema, scene.schema.seen(table_of(parent))
    default = known.default_partition if known is not None else None
    if default is None or schema.is_new(default):
        return
    rows = schema.tables.get(default)
    if rows is not None and any(
        each.valid and each.kind in ("check", "validated") for each in rows.constraints.values()
    ):
        return
    yield scene.hazard(
        "attach-partition-scan",
        f"{shown(parent)} has a DEFAULT partition: all of {shown(default)} is read under ACCESS EXCLUSIVE for rows that"
        " belong into the new one, unless a validated CHECK of it says that there are none.",
        at=at,
        mend=f"-- first, in files before this one: a CHECK on {shown(default)} that its rows lie outside of the new"
        " bounds, NOT VALID, then VALIDATE",
    )


def detach(scene: Scene, command: Command) -> Hazards:
    part = command.node.get("def", {}).get("PartitionCmd", {})
    if part.get("concurrent") or command.is_new or scene.is_new(part.get("name", {})):
        return
    yield command.hazard(
        scene,
        "detach-not-concurrent",
        f"DETACH PARTITION takes ACCESS EXCLUSIVE on {command.shown}: every query of every partition waits for it,"
        " and it waits for all of them.",
        mend=f"ALTER TABLE {command.shown} DETACH PARTITION {shown(part.get('name', {}))} CONCURRENTLY;",
    )

"""What an open transaction keeps, met by a later statement of it: strong locks and new enum values. [P]"""

from __future__ import annotations

from collections.abc import Iterator

from prodsafe.migrations.lint import rules_data
from prodsafe.migrations.lint.nodes import find
from prodsafe.migrations.lint.scene import BLOCKS_WRITES, LOCK_NAMES, Hazard, Scene
from prodsafe.migrations.lint.sqltext import literal, one_line

SLOW_ALTERS = frozenset(
    {
        "constraint-without-not-valid",
        "fk-without-not-valid",
        "unique-without-index",
        "pk-without-index",
        "exclusion-constraint",
        "set-not-null-full-scan",
        "volatile-default-rewrite",
        "generated-stored-rewrite",
        "serial-column-rewrite",
        "domain-column-scan",
        "change-column-type",
        "table-rewrite-command",
        "attach-partition-scan",
    }
)  # they read or write all of their table


def used_enum_values(scene: Scene) -> Iterator[Hazard]:
    if not scene.transaction.enum_values:
        return
    for _, node in find(scene.statement.node, "A_Const"):
        value = node.get("sval", {}).get("sval")
        if value in scene.transaction.enum_values:
            type_name = scene.transaction.enum_values[value]
            yield scene.hazard(
                "enum-value-used-in-same-transaction",
                f"{literal(value)} was added to {type_name} in this same transaction: PostgreSQL refuses its use"
                " before the commit (55P04), and the whole file fails.",
                at=scene.offset(node.get("location")) if scene.at is None else None,
                mend=f"-- in the next file\n{one_line(scene.statement.text, longest=2_000)};",
            )
            return


def locked_then_more(scene: Scene) -> Iterator[Hazard]:
    if scene.transaction.held:
        yield from while_locked(scene, rules_data.slow_work(scene, scene.statement.kind, scene.statement.node))


def while_locked(scene: Scene, work: str) -> Iterator[Hazard]:
    """work: what may take long, "" for nothing."""
    strong = [held for held in scene.transaction.held.values() if held.level >= BLOCKS_WRITES]
    if strong and work:
        held = max(strong, key=lambda each: each.level)
        who = "reads and writes" if held.level == 8 else "writes"
        yield scene.hazard(
            "locked-then-more-statements",
            f"{work} runs while the transaction still holds {LOCK_NAMES[held.level]} on {held.shown}: {who} of"
            f" {held.shown} wait for it too.",
            mend=f"-- in a file of its own, after this one\n{one_line(scene.statement.text, longest=2_000)};",
        )

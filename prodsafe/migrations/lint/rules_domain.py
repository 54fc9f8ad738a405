"""ALTER DOMAIN: what it checks in every table that uses the domain, and what an older worker relied on. [P]"""

from __future__ import annotations

from prodsafe.migrations.lexer import tokens
from prodsafe.migrations.lint.nodes import name_of, shown, strings
from prodsafe.migrations.lint.parser import Node
from prodsafe.migrations.lint.scene import CONTRACT, NEXT, NOW, Hazard, Hazards, Scene, steps
from prodsafe.migrations.lint.sqltext import one_line, quoted
from prodsafe.migrations.lint.wording import fitted


def alter_domain(scene: Scene, node: Node) -> Hazards:
    parts = strings(node.get("typeName"))
    known = scene.schema.types.get(name_of(parts))
    constraint = node.get("def", {}).get("Constraint", {})
    if known is not None and known.born == scene.schema.file:
        return
    match node.get("subtype"):
        case "C" if not constraint.get("skip_validation"):
            yield _checks(scene, parts, constraint, not_null=constraint.get("contype") == "CONSTR_NOTNULL")
        case "O":
            yield _checks(scene, parts, constraint, not_null=True)
        case "T" if "def" not in node:
            yield _without_default(scene, shown(parts))
        case "X":
            yield from _without_constraint(scene, node, shown(parts))
        case "N":
            yield scene.hazard(
                "drop-not-null",
                f"Columns of {shown(parts)} may be NULL from now on, which an older worker that reads them does not"
                " expect.",
                mend="-- first a release that reads NULL; then, in a next file, this statement",
            )


def _checks(scene: Scene, parts: list[str], constraint: Node, *, not_null: bool) -> Hazard:
    domain, named, known = shown(parts), "conname" in constraint, scene.schema.types.get(name_of(parts))
    suffix = "not_null" if not_null else "check1" if known is not None and known.constrained else "check"
    name = quoted(constraint["conname"]) if named else fitted(parts[-1], [suffix])
    rule = next((each.start for each in tokens(scene.statement.text) if each.word in ("constraint", "check")), 0)
    said = one_line(scene.statement.text[rule:], longest=2_000)
    safe = f"ALTER DOMAIN {domain} ADD {said if named else f'CONSTRAINT {name} {said}'} NOT VALID;"
    if not_null:  # which has no NOT VALID
        safe = f"ALTER DOMAIN {domain} ADD CONSTRAINT {name} CHECK (value IS NOT NULL) NOT VALID;"
    return scene.hazard(
        "domain-add-constraint",
        f"It reads every table with a column of {domain}, all of them locked against writes (SHARE) until the last one"
        " is checked.",
        mend=steps((NOW, safe), (NEXT, f"ALTER DOMAIN {domain} VALIDATE CONSTRAINT {name};")),
    )


def _without_default(scene: Scene, domain: str) -> Hazard:
    return scene.hazard(
        "change-default",
        f"An older worker that does not name a column of {domain} when it inserts relies on this default: without it it"
        " writes NULL, or fails.",
        mend=steps((CONTRACT, f"{one_line(scene.statement.text)};")),
    )


def _without_constraint(scene: Scene, node: Node, domain: str) -> Hazards:
    name = quoted(node.get("name", ""))
    yield scene.hazard(
        "drop-constraint",
        f"From now on columns of {domain} take values that {name} refused, while an older worker still relies on it.",
        mend=steps((CONTRACT, f"{one_line(scene.statement.text)};")),
    )
    if node.get("behavior") == "DROP_CASCADE":
        yield scene.hazard(
            "drop-cascade",
            f"CASCADE also drops whatever depends on {name}, which is not named here.",
            mend=steps((CONTRACT, f"ALTER DOMAIN {domain} DROP CONSTRAINT {name};")),
        )

"""What EXECUTE runs, as far as its expression tells. [P]"""

from __future__ import annotations

import re

from prodsafe.migrations.lint.nodes import constant, only, operator, strings
from prodsafe.migrations.lint.parser import Node, parse

_HARMLESS = frozenset({"CommentStmt", "CreateRoleStmt"})
_FORMAT_PLACE = re.compile(r"%(?:\d+\$)?-?\d*([IsL])")


def constant_text(expression: str) -> str | None:
    """The SQL that EXECUTE runs, where it is a constant."""
    parsed = parse(f"SELECT {expression}").statements
    targets = parsed[0].node.get("targetList", []) if len(parsed) == 1 and parsed[0].kind == "SelectStmt" else []
    return constant(targets[0].get("ResTarget", {}).get("val")) if len(targets) == 1 else None


def harmless(expression: str) -> bool:
    """Whether EXECUTE of a template can only grant, comment or make a role, whatever name is put in."""
    parsed = parse(f"SELECT {expression}").statements
    targets = parsed[0].node.get("targetList", []) if len(parsed) == 1 and parsed[0].kind == "SelectStmt" else []
    template = _template(targets[0].get("ResTarget", {}).get("val", {})) if len(targets) == 1 else ""
    read = parse(template)
    return bool(read.statements and not read.errors) and all(
        each.kind in _HARMLESS or (each.kind in ("GrantStmt", "GrantRoleStmt") and each.node.get("is_grant"))
        for each in read.statements
    )


def _template(node: Node) -> str:
    """The text that an expression of format() or || makes, with x for what only run time knows."""
    kind, fields = only(node)
    said = constant(node)
    if said is not None:
        return said
    if kind == "FuncCall" and strings(fields.get("funcname"))[-1:] == ["format"] and fields.get("args"):
        return _FORMAT_PLACE.sub(lambda found: "'x'" if found[1] == "L" else "x", constant(fields["args"][0]) or "")
    if kind == "A_Expr" and operator(fields) == "||":
        return _template(fields.get("lexpr", {})) + _template(fields.get("rexpr", {}))
    return "x"

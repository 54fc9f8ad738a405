"""Does a CHECK say what the bounds of a partition say, so that ATTACH need not read its rows? [P]

Where the two cannot be compared here (expressions, several key columns, hashes) a CHECK on the key is believed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal, InvalidOperation

from prodsafe.migrations.lint.nodes import column, columns_in, conjuncts, constant, only, operator
from prodsafe.migrations.lint.parser import Node
from prodsafe.migrations.lint.sqltext import literal, quoted

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}\b.*")
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "="}
Limit = tuple[str, str | None]  # operator and constant; None for a value that is not known here


def proves_bounds(checks: Iterable[Node | None], bound: Node, keys: Sequence[str]) -> bool:
    """Whether validated CHECKs imply the bounds. keys: the partition key's columns, empty where it is not known."""
    parts = [part for check in checks for part in conjuncts(check) if only(part)[0] != "NullTest"]
    if all(keys):  # an OR with another column bounds nothing
        parts = [part for part in parts if not keys or columns_in(part) <= set(keys)]
    used = columns_in(parts)
    wanted = [key for key in keys if key] or sorted(used)
    return any(_implies(parts, bound, key) for key in wanted if key in used)


def _implies(parts: Sequence[Node], bound: Node, key: str) -> bool:
    limits = [limit for part in parts for limit in _limits(part, key)]
    lower, upper = bound.get("lowerdatums", []), bound.get("upperdatums", [])
    if bound.get("strategy") == "l":
        values = {constant(each) for each in bound.get("listdatums", [])}
        return not limits or any(sign == "=" and (value in values or value is None) for sign, value in limits)
    if bound.get("strategy") != "r" or len(lower) != 1 or len(upper) != 1 or not limits:
        return True
    return (_open(lower[0]) or any(_reaches_low(limit, constant(lower[0])) for limit in limits)) and (
        _open(upper[0]) or any(_reaches_high(limit, constant(upper[0])) for limit in limits)
    )


def _open(datum: Node) -> bool:
    """MINVALUE or MAXVALUE."""
    return column(datum) in ("minvalue", "maxvalue")


def _limits(part: Node, key: str) -> list[Limit]:
    """What one conjunct says of the key column: operators and constants; nothing where it cannot be read."""
    kind, fields = only(part)
    left, right = fields.get("lexpr", {}), fields.get("rexpr", {})
    if kind != "A_Expr":
        return []
    items = right.get("List", {}).get("items", [])
    if fields.get("kind") == "AEXPR_BETWEEN" and column(left) == key and len(items) == 2:
        return [(">=", constant(items[0])), ("<=", constant(items[1]))]
    if fields.get("kind") == "AEXPR_IN" and column(left) == key and operator(fields) == "=":
        return [("=", constant(each)) for each in items]
    if fields.get("kind") != "AEXPR_OP" or operator(fields) not in _MIRRORED:
        return []
    if column(left) == key:
        return [(operator(fields), constant(right))]
    return [(_MIRRORED[operator(fields)], constant(left))] if column(right) == key else []


def _reaches_low(limit: Limit, lowest: str | None) -> bool:
    sign, value = limit
    order = _compared(value, lowest)
    return sign in (">", ">=", "=") and (order is None or order >= 0)


def _reaches_high(limit: Limit, end: str | None) -> bool:
    sign, value = limit
    order = _compared(value, end)
    return sign in ("<", "<=", "=") and (order is None or order < 0 or (order == 0 and sign == "<"))


def _compared(one: str | None, other: str | None) -> int | None:
    """-1, 0 or 1 for numbers and days; None where the order is not known."""
    if one is None or other is None:
        return None
    try:
        return int(Decimal(one).compare(Decimal(other)))
    except (InvalidOperation, ValueError):
        pass
    if one == other:
        return 0
    if not (_DAY.fullmatch(one) and _DAY.fullmatch(other)) or one.startswith(other) or other.startswith(one):
        return None
    return 1 if one > other else -1


def bounds_as_check(bound: Node, keys: Sequence[str]) -> str:
    """The condition of a CHECK that proves the bounds; a comment in place of what cannot be written from here."""
    key = quoted(keys[0]) if len(keys) == 1 and keys[0] else "/* the partition key */ id"
    lower, upper = bound.get("lowerdatums", []), bound.get("upperdatums", [])
    values = [constant(each) for each in bound.get("listdatums", [])]
    said = [f"{key} IS NOT NULL"]
    if bound.get("strategy") == "l" and values and None not in values:
        return f"{key} IS NOT NULL AND {key} IN ({', '.join(literal(each) for each in values if each is not None)})"
    if bound.get("strategy") == "r" and len(lower) == len(upper) == 1:
        low, high = constant(lower[0]), constant(upper[0])
        said += [f"{key} >= {literal(low)}"] if low is not None else []
        said += [f"{key} < {literal(high)}"] if high is not None else []
        return " AND ".join(said)
    return "/* the partition's bounds */ true"

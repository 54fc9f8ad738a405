"""Reading libpg_query's trees: names, constants, types, expressions. [P]"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from prodsafe.migrations.lint.parser import Node
from prodsafe.migrations.lint.sqltext import quoted

Name = tuple[str, str]  # schema ("public" where none is said) and name
DEFAULT_SCHEMA = "public"


def find(node: Any, *kinds: str) -> Iterator[tuple[str, Node]]:
    """Every node of these kinds below, as (kind, node), in the order of the text."""
    stack: list[Any] = [node]
    while stack:
        match stack.pop():
            case dict() as each:
                for kind in kinds:
                    if isinstance(each.get(kind), dict):
                        yield kind, each[kind]
                stack += reversed(list(each.values()))
            case list() as each:
                stack += reversed(each)


def only(node: Node) -> tuple[str, Node]:
    """{"Kind": fields} as (kind, fields); ("", {}) for what is none."""
    for kind, fields in node.items():
        if isinstance(fields, dict):
            return kind, fields
    return "", {}


def strings(nodes: Sequence[Node] | None) -> list[str]:
    return [each["String"].get("sval", "") for each in nodes or () if "String" in each]


def table_of(relation: Node) -> Name:
    return relation.get("schemaname") or DEFAULT_SCHEMA, relation.get("relname", "")


def name_of(parts: Sequence[str]) -> Name:
    """(schema, name) of a dotted name."""
    return (parts[-2] if len(parts) > 1 else DEFAULT_SCHEMA, parts[-1] if parts else "")


def dropped_name(node: Node) -> list[str]:
    """The parts of one object of a DROP or COMMENT."""
    kind, fields = only(node)
    match kind:
        case "List":
            return strings(fields.get("items"))
        case "TypeName":
            return strings(fields.get("names"))
        case "ObjectWithArgs":
            return strings(fields.get("objname"))
        case "String":
            return [fields.get("sval", "")]
        case _:
            return []


def shown(parts: Sequence[str] | Name | Node) -> str:
    """A name as a person writes it: quoted where it must be, without the schema nobody wrote."""
    if isinstance(parts, dict):
        parts = [part for part in (parts.get("schemaname"), parts.get("relname", "")) if part]
    if isinstance(parts, tuple) and len(parts) == 2 and parts[0] == DEFAULT_SCHEMA:
        parts = parts[1:]
    return ".".join(quoted(part) for part in parts)


def constant(node: Node | None) -> str | None:
    """The text of a constant, a sign and casts seen through; None for anything else, and for NULL."""
    kind, fields = only(node or {})
    match kind:
        case "A_Const":
            for key in ("sval", "fval", "bsval"):
                if key in fields:
                    return str(fields[key].get(key, ""))
            if "ival" in fields:
                return str(fields["ival"].get("ival", 0))
            return str(fields["boolval"].get("boolval", False)).lower() if "boolval" in fields else None
        case "TypeCast":
            return constant(fields.get("arg"))
        case "A_Expr" if fields.get("kind") == "AEXPR_OP" and "lexpr" not in fields and operator(fields) in ("-", "+"):
            value = constant(fields.get("rexpr"))
            return None if value is None else f"{operator(fields)}{value}"
        case _:
            return None


def is_constant(node: Node | None) -> bool:
    """Known before the statement looks at a row: a constant, a parameter, or an expression of these."""
    return not any(find(node, "ColumnRef", "SubLink"))


def column(node: Node | None) -> str:
    """The column's name of a column reference, casts seen through; "" for anything else."""
    kind, fields = only(node or {})
    if kind == "TypeCast":
        return column(fields.get("arg"))
    names = strings(fields.get("fields")) if kind == "ColumnRef" else []
    return names[-1] if names else ""


def columns_in(node: Any) -> frozenset[str]:
    """The names of the columns that an expression, or several, refer to."""
    return frozenset(column({"ColumnRef": each}) for _, each in find(node, "ColumnRef"))


def operator(expression: Node) -> str:
    names = strings(expression.get("name"))
    return names[-1] if names else ""


def conjuncts(node: Node | None) -> Iterator[Node]:
    """The parts that AND joins."""
    stack = [node] if node else []
    while stack:
        each = stack.pop()
        kind, fields = only(each)
        if kind == "BoolExpr" and fields.get("boolop") == "AND_EXPR":
            stack += reversed(fields.get("args", []))
        else:
            yield each


def proves_not_null(expression: Node | None, name: str) -> bool:
    """Whether a CHECK of this expression cannot hold where the column is NULL."""
    for part in conjuncts(expression):
        kind, fields = only(part)
        if kind == "NullTest" and fields.get("nulltesttype") == "IS_NOT_NULL" and column(fields.get("arg")) == name:
            return True
    return False


def constraints_of(definition: Node) -> dict[str, Node]:
    """The inline constraints of a column, by kind without CONSTR_."""
    found: dict[str, Node] = {}
    for each in definition.get("constraints", []):
        constraint = each.get("Constraint", {})
        found.setdefault(constraint.get("contype", "").removeprefix("CONSTR_"), constraint)
    return found


def option(options: Sequence[Node] | None, name: str) -> bool:
    """Whether a boolean option is on: present, and not said to be false."""
    for each in options or ():
        element = each.get("DefElem", {})
        if element.get("defname") == name:
            kind, argument = only(element.get("arg", {}))
            missing = {"Integer": 0, "Boolean": False}.get(kind, "true")  # a tree leaves zero values out
            said = str(argument.get("sval", argument.get("ival", argument.get("boolval", missing)))).lower()
            return said not in ("false", "off", "0", "no")
    return False


def definition(options: Sequence[Node] | None, name: str) -> Node | None:
    """The argument of a DEFELEM option, None where it is absent."""
    for each in options or ():
        element: Node = each.get("DefElem", {})
        if element.get("defname") == name:
            argument: Node = element.get("arg", {})
            return argument
    return None


@dataclass(frozen=True, slots=True)
class Type:
    """name: PostgreSQL's internal one in lower case (int4, varchar), or a user type's; mods: its numbers."""

    name: str
    mods: tuple[int, ...] = ()
    array: bool = False
    schema: str = ""

    @property
    def key(self) -> Name:
        return self.schema or DEFAULT_SCHEMA, self.name

    def __str__(self) -> str:
        """As SQL; built-in types by their internal names, which every PostgreSQL takes."""
        mods = f"({', '.join(map(str, self.mods))})" if self.mods else ""
        name = self.name if self.name in _WRITTEN_BARE else shown([*filter(None, [self.schema]), self.name])
        return f"{name}{mods}{'[]' if self.array else ''}"


_WRITTEN_BARE = frozenset({"bit", "interval", "numeric", "time", "timestamp", "varchar"})  # reserved, but as types
_SAME = {
    "int": "int4", "integer": "int4", "bigint": "int8", "smallint": "int2", "boolean": "bool", "decimal": "numeric",
    "real": "float4", "serial4": "serial", "serial8": "bigserial", "serial2": "smallserial", "char": "char",
}  # fmt: skip


def type_of(node: Node | None) -> Type | None:
    if not node:
        return None
    parts = strings(node.get("names"))
    if not parts:
        return None
    schema = "" if len(parts) < 2 or parts[-2] == "pg_catalog" else parts[-2]
    mods = [constant(each) for each in node.get("typmods", [])]
    numbers = tuple(int(each) for each in mods if each is not None and each.lstrip("+-").isdigit())
    name = parts[-1]
    return Type(_SAME.get(name, name), numbers, bool(node.get("arrayBounds")), schema)

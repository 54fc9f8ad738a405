"""Does a statement touch a bounded number of rows, or a whole table? [P]

A WHERE is a bound when it names rows by key: a constant for an id, a list, a window with both ends, a subquery with
LIMIT.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from prodsafe.migrations.lint.nodes import (
    Name,
    column,
    conjuncts,
    constant,
    find,
    is_constant,
    only,
    operator,
    table_of,
)
from prodsafe.migrations.lint.parser import Node
from prodsafe.migrations.lint.schema import Schema

_KEY_LIKE = re.compile(
    r"(id|uuid|guid|pk|oid|ctid|key|code|slug|email|name|username|login|handle|token|sku|version|hash|ref|reference|isbn"
    r"|number|flag|setting|option|tag|label|title|url|path|host|domain|locale|iso|phone|ip|address)"
    r"|.*_(id|uuid|guid|pk|key|code|slug|email|name|no|nr|num|number|token|hash|ref)|id_.*",
    re.IGNORECASE,
)
LARGEST_BATCH = 100_000  # rows that one transaction may write
_LOW, _HIGH = (">", ">="), ("<", "<=")


@dataclass(frozen=True, slots=True)
class Rows:
    """Judges the WHERE of one table. variables: a bare name may be a variable of a function body."""

    schema: Schema
    table: Name
    ctes: Mapping[str, bool] = field(default_factory=dict)  # name -> whether it yields bounded rows
    variables: bool = False

    def bounded(self, where: Node | None) -> bool:
        parts = list(conjuncts(where))
        return any(self._bounds(part) for part in parts) or self._window(parts)

    def _bounds(self, part: Node) -> bool:
        kind, fields = only(part)
        match kind:
            case "A_Expr":
                return self._bounds_by_operator(fields)
            case "SubLink":
                return self._bounds_by_subquery(fields)
            case "BoolExpr" if fields.get("boolop") == "OR_EXPR":
                return all(self.bounded(each) for each in fields.get("args", []))
            case "CurrentOfExpr":
                return True
            case "A_Const":
                return "boolval" in fields and not fields["boolval"].get("boolval")
            case _:
                return False

    def _bounds_by_operator(self, expression: Node) -> bool:
        kind, left, right = expression.get("kind"), expression.get("lexpr", {}), expression.get("rexpr", {})
        if kind == "AEXPR_OP" and operator(expression) in _HIGH:
            return self._key(left) and self._few_below(right)
        if kind in ("AEXPR_BETWEEN", "AEXPR_BETWEEN_SYM"):
            return bool(column(left)) and all(self._value(each) for each in _items(right))
        if kind == "AEXPR_IN" and operator(expression) == "=":
            return self._key(left) and all(self._value(each) for each in _items(right))
        if kind == "AEXPR_OP_ANY" and operator(expression) == "=":
            return self._key(left) and self._value(right)
        if kind in ("AEXPR_OP", "AEXPR_NOT_DISTINCT") and operator(expression) == "=":
            return self._equal(left, right) or self._equal(right, left)
        return False

    def _equal(self, left: Node, right: Node) -> bool:
        if only(left)[0] == "RowExpr":
            return self._value(right)
        return self._key(left) and constant(right) not in ("true", "false") and self._value(right)

    def _bounds_by_subquery(self, link: Node) -> bool:
        query = link.get("subselect", {}).get("SelectStmt", {})
        kind = link.get("subLinkType")
        if kind == "ANY_SUBLINK":
            return self.few_rows(query)
        return kind == "EXISTS_SUBLINK" and any(self._few_item(item) for item in query.get("fromClause", []))

    def _key(self, node: Node) -> bool:
        if only(node)[0] == "RowExpr":
            return True
        name = column(node)
        return bool(name) and (bool(_KEY_LIKE.fullmatch(name)) or self.schema.is_unique(self.table, name))

    def _value(self, node: Node) -> bool:
        """Known without the row: a constant, a bounded subquery, in a body also a variable."""
        kind, fields = only(node)
        if kind == "SubLink":
            query = fields.get("subselect", {}).get("SelectStmt", {})
            return fields.get("subLinkType") == "EXPR_SUBLINK" or self.few_rows(query)
        return is_constant(node) or (self.variables and not any(find(node, "SubLink")))

    def _few_below(self, node: Node) -> bool:
        """Whether a key below it is one of few, as keys begin at 1."""
        said = constant(node)
        if said is None:
            return self.variables and self._value(node)
        return said.isdecimal() and int(said) <= LARGEST_BATCH

    def _window(self, parts: list[Node]) -> bool:
        """column >= a AND column < b, with both ends known."""
        low: set[str] = set()
        high: set[str] = set()
        for part in parts:
            fields = part.get("A_Expr", {})
            sign, left, right = operator(fields), fields.get("lexpr", {}), fields.get("rexpr", {})
            if fields.get("kind") == "AEXPR_OP" and self._value(right) and column(left):
                (low if sign in _LOW else high if sign in _HIGH else set()).add(column(left))
            elif fields.get("kind") == "AEXPR_OP" and self._value(left) and column(right):
                (high if sign in _LOW else low if sign in _HIGH else set()).add(column(right))
        return bool(low & high)

    def few_rows(self, query: Node) -> bool:
        """Whether a SELECT yields a bounded number of rows."""
        if "larg" in query:
            return self.few_rows(query["larg"]) and self.few_rows(query.get("rarg", {}))
        if "limitCount" in query and not query["limitCount"].get("A_Const", {}).get("isnull"):  # LIMIT ALL is none
            return True
        inner = Rows(self.schema, self.table, {**self.ctes, **cte_bounds(query, self)}, self.variables)
        items = query.get("fromClause", [])
        if not items or any(inner._few_item(item) for item in items):
            return True
        tables = [table_of(each) for _, each in find(items, "RangeVar")]
        return any(
            Rows(self.schema, table, inner.ctes, self.variables).bounded(query.get("whereClause")) for table in tables
        )

    def few_items(self, items: list[Node]) -> bool:
        return any(self._few_item(item) for item in items)

    def _few_item(self, item: Node) -> bool:
        kind, fields = only(item)
        match kind:
            case "RangeVar":
                name = fields.get("relname", "")
                if "schemaname" not in fields and name in self.ctes:
                    return self.ctes[name]
                catalog = name.startswith("pg_") or fields.get("schemaname") in ("pg_catalog", "information_schema")
                return catalog or self.schema.is_new(table_of(fields))
            case "RangeSubselect":
                return self.few_rows(fields.get("subquery", {}).get("SelectStmt", {}))
            case "JoinExpr":
                return self._few_item(fields.get("larg", {})) or (
                    fields.get("jointype") == "JOIN_INNER" and self._few_item(fields.get("rarg", {}))
                )
            case "RangeFunction" | "RangeTableFunc" | "JsonTable":
                return True
            case _:
                return False


def cte_bounds(statement: Node, rows: Rows) -> dict[str, bool]:
    """Of the WITH list: which names stand for a bounded number of rows."""
    found: dict[str, bool] = {}
    for each in statement.get("withClause", {}).get("ctes", []):
        cte = each.get("CommonTableExpr", {})
        kind, query = only(cte.get("ctequery", {}))
        inner = Rows(rows.schema, rows.table, {**rows.ctes, **found}, rows.variables)
        found[cte.get("ctename", "")] = (
            inner.few_rows(query) if kind == "SelectStmt" else few_written(inner, kind, query)
        )
    return found


def few_written(rows: Rows, kind: str, statement: Node) -> bool:
    """Whether an INSERT, UPDATE, DELETE or MERGE writes a bounded number of rows."""
    target = table_of(statement.get("relation", {}))
    outer = Rows(rows.schema, target, rows.ctes, rows.variables)
    inner = Rows(rows.schema, target, {**rows.ctes, **cte_bounds(statement, outer)}, rows.variables)
    match kind:
        case "UpdateStmt" | "DeleteStmt":
            others = statement.get("fromClause", []) + statement.get("usingClause", [])
            if others:
                inner = Rows(inner.schema, inner.table, inner.ctes, False)  # a bare name is a column of the join
            where = statement.get("whereClause")
            return inner.bounded(where) or (where is not None and inner.few_items(others))
        case "InsertStmt":
            query = statement.get("selectStmt", {}).get("SelectStmt", {})
            return "valuesLists" in query or inner.few_rows(query)
        case "MergeStmt":
            return inner.few_items([statement.get("sourceRelation", {})]) or inner.bounded(
                statement.get("joinCondition")
            )
        case _:
            return True


def _items(node: Node) -> list[Node]:
    items: list[Node] = node.get("List", {}).get("items", [])
    return items

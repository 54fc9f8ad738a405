"""Every query of the worker by name: what an older worker beside a migration may have prepared. [E]

Read from the store modules' own source, so that none is forgotten.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

STORES = ("live.fold_rows", "live.journal", "live.latch", "live.people", "live.reader", "prodsafe.lease_store")

# in capitals, as all our SQL is: an English sentence does not begin so
_QUERY = re.compile(r"\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH|MERGE INTO)\s")
_UNKNOWN = "\0"
_PLACEHOLDER = re.compile(r"%\((?P<name>\w+)\)s|%s|%%")


def worker_queries() -> dict[str, str]:
    """Name -> SQL with psycopg's placeholders, e.g. live.journal._APPEND or live.reader.Reader.scopes.

    Raises ValueError for a query that is put together of more than its module's constants.
    """
    return {name: text for store in STORES for name, text in _queries_of(importlib.import_module(store))}


def numbered(query: str) -> str:
    """The query with $1, $2, ... for psycopg's placeholders, as the server gets it."""
    names: dict[str, int] = {}

    def number(match: re.Match[str]) -> str:
        if match.group() == "%%":
            return "%"
        return f"${names.setdefault(match['name'] or f'#{len(names)}', len(names) + 1)}"

    return _PLACEHOLDER.sub(number, query)


def _queries_of(module: ModuleType) -> Iterator[tuple[str, str]]:
    source = Path(str(module.__file__)).read_text(encoding="utf-8")
    seen: dict[str, int] = {}
    for place, node in _texts(ast.parse(source), module.__name__):
        text = _worked_out(node, module)
        if _QUERY.match(text):
            if _UNKNOWN in text:
                raise ValueError(f"{place} line {node.lineno}: a part of this query is made while it runs")
            seen[place] = seen.get(place, 0) + 1
            yield (place if seen[place] == 1 else f"{place}#{seen[place]}"), text


def _texts(node: ast.AST, place: str) -> Iterator[tuple[str, ast.expr]]:
    """Every text of a module, the largest expression that makes it, and where it stands."""
    for child in ast.iter_child_nodes(node):
        inside = place
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            inside = f"{place}.{child.name}"
        elif isinstance(node, ast.Module) and isinstance(child, ast.Assign) and isinstance(child.targets[0], ast.Name):
            inside = f"{place}.{child.targets[0].id}"
        if isinstance(child, ast.expr) and _is_text(child):
            yield inside, child
        else:
            yield from _texts(child, inside)


def _is_text(node: ast.expr) -> bool:
    match node:
        case ast.Constant(value=str()) | ast.JoinedStr():
            return True
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            return _is_text(left) or _is_text(right)
        case _:
            return False


def _worked_out(node: ast.expr, module: ModuleType) -> str:
    """A text put together of the module's constants; _UNKNOWN for each part that is known only while it runs."""
    value: Any
    match node:
        case ast.Constant(value=str(value)):
            return value
        case ast.Name(id=name) if isinstance(getattr(module, name, None), str):
            return str(getattr(module, name))
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            return _worked_out(left, module) + _worked_out(right, module)
        case ast.JoinedStr(values=parts):
            return "".join(_worked_out(part, module) for part in parts)
        case ast.FormattedValue(value=inner):
            return _worked_out(inner, module) if isinstance(inner, ast.Name) else _UNKNOWN
        case _:
            return _UNKNOWN

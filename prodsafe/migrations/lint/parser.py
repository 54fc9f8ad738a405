"""PostgreSQL's own parser (libpg_query, PG 18 grammar, by postgast) behind three functions: parse, meaning, tree. [E]

The trees are libpg_query's JSON: a node is {"Kind": {field: value}}, a field of one known kind is the inner dict alone,
and a field with its zero value is left out. Only this module knows where the library comes from.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from prodsafe.migrations.lexer import cut, tokens

Node = dict[str, Any]
MISSING = "postgast is not installed; install it with: pip install 'prodsafe[migrate]'"


class ParserMissing(Exception):
    """The optional dependency is not there."""


class Unparsable(Exception):
    """PostgreSQL refuses the text. offset: in characters from 0."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.message, self.offset = message, offset


@dataclass(frozen=True, slots=True)
class Statement:
    """start, end: characters of the file; parsed: the text that its tree was made of, which begins at base."""

    kind: str
    node: Node
    source: str
    start: int
    end: int
    parsed: str
    base: int = 0

    @property
    def text(self) -> str:
        return self.source[self.start : self.end]

    def offset(self, location: int | None) -> int:
        """A node's location (bytes of what was parsed) in the file; the statement's own where it has none."""
        if location is None or location < 0:
            return self.start
        if self.parsed.isascii():
            return self.base + location
        return self.base + len(self.parsed.encode()[:location].decode(errors="ignore"))


@dataclass(frozen=True, slots=True)
class Parsed:
    statements: tuple[Statement, ...]
    errors: tuple[Unparsable, ...]


def parse(sql: str) -> Parsed:
    """The statements that can be read, and an error for each that cannot. Offsets are those of sql."""
    try:
        found = _statements(tree(sql), sql, sql, 0)
    except Unparsable as error:
        parsed = _parse_by_pieces(sql)
        return parsed if parsed.errors else Parsed(parsed.statements, (error,))
    return Parsed(tuple(found), ())


def _parse_by_pieces(sql: str) -> Parsed:
    statements: list[Statement] = []
    errors: list[Unparsable] = []
    for piece in cut(sql):
        start, end = piece[0].start, piece[-1].end
        text = sql[start:end]
        try:
            statements += _statements(tree(text), sql, text, start)
        except Unparsable as error:
            errors.append(Unparsable(error.message, min(start + error.offset, max(end - 1, start))))
    return Parsed(tuple(statements), tuple(errors))


def _statements(parsed: Node, source: str, text: str, base: int) -> list[Statement]:
    found = []
    encoded = b"" if text.isascii() else text.encode()
    for raw in parsed.get("stmts", []):
        start = raw.get("stmt_location", 0)
        end = start + raw["stmt_len"] if raw.get("stmt_len") else len(encoded or text)
        if encoded:
            start, end = (len(encoded[:at].decode(errors="ignore")) for at in (start, end))
        first = next(tokens(text, start, end), None)
        [(kind, node)] = raw["stmt"].items()
        found.append(Statement(kind, node, source, base + (first.start if first else start), base + end, text, base))
    return found


def meaning(sql: str) -> str:
    """Hex SHA-256 of what the text says: comments, blanks, letter case and quoting that change nothing do not count.

    Unlike libpg_query's fingerprint it keeps every constant. Raises Unparsable.
    """
    bare = [without_places(raw["stmt"]) for raw in tree(sql).get("stmts", [])]
    return hashlib.sha256(json.dumps(bare, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def without_places(value: Any) -> Any:
    """A tree without the offsets in it: equal trees say the same."""
    if isinstance(value, dict):
        return {key: without_places(item) for key, item in value.items() if key != "location"}
    return [without_places(item) for item in value] if isinstance(value, list) else value


def tree(sql: str) -> Node:
    """libpg_query's tree of the whole text. Raises Unparsable, and ParserMissing without postgast."""
    if "\0" in sql:  # the parser's text ends there: it would pass what follows unread
        raise Unparsable("a NUL character", sql.index("\0"))
    library = _library()
    result = library.pg_query_parse(sql.encode(errors="replace"))
    try:
        if result.error:
            error = result.error.contents
            raise Unparsable(error.message.decode(errors="replace"), max(error.cursorpos - 1, 0))
        parsed: Node = json.loads(result.parse_tree.decode(errors="replace"), strict=False)
    except RecursionError:
        raise Unparsable("too deeply nested to be read", 0) from None
    finally:
        library.pg_query_free_parse_result(result)
    return parsed


@cache
def _library() -> Any:
    """postgast's ctypes layer alone: the package itself imports protobuf for trees that are not used here (0.1 s)."""
    package = importlib.util.find_spec("postgast")
    if package is None or not package.submodule_search_locations:
        raise ParserMissing(MISSING)
    path = Path(package.submodule_search_locations[0]) / "native.py"
    spec = importlib.util.spec_from_file_location("prodsafe_postgast_native", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ParserMissing(f"{path} is not there: this postgast is not 0.2; {MISSING}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.lib

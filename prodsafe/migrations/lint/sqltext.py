"""SQL as text: positions, identifiers, the clauses of a statement in the user's own words. [P]

Offsets are characters from 0, lines and columns count from 1.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field

from prodsafe.migrations.lexer import tokens

_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")
_RESERVED_WORDS = """
    all analyse analyze and any array as asc asymmetric authorization between bigint binary bit boolean both
    case cast char character check coalesce collate collation column concurrently constraint create cross
    current_catalog current_date current_role current_schema current_time current_timestamp current_user dec
    decimal default deferrable desc distinct do else end except exists extract false fetch float for foreign
    freeze from full grant greatest group grouping having ilike in initially inner inout int integer intersect
    interval into is isnull join lateral leading least left like limit localtime localtimestamp national
    natural nchar none normalize not notnull null nullif numeric offset on only or order out outer overlaps
    overlay placing position precision primary real references returning right row select session_user setof
    similar smallint some substring symmetric system_user table tablesample then time timestamp to trailing
    treat trim true union unique user using values varchar variadic verbose when where window with
    xmlattributes xmlconcat xmlelement
"""
_RESERVED = frozenset(_RESERVED_WORDS.split())


def clauses(sql: str, start: int, end: int) -> list[tuple[int, int]]:
    """(start, end) of what commas outside all brackets separate."""
    found: list[tuple[int, int]] = []
    begin: int | None = None
    last, depth = start, 0
    for token in tokens(sql, start, end):
        if token.text == "," and depth == 0:
            if begin is not None:
                found.append((begin, last))
            begin = None
            continue
        depth += token.nesting
        begin = token.start if begin is None else begin
        last = token.end
    return found + ([(begin, last)] if begin is not None else [])


def one_line(text: str, *, longest: int = 240) -> str:
    """Without comments, blanks outside quotes squeezed, cut where it is too long to read."""
    parts: list[str] = []
    end = -1
    for token in tokens(text):
        parts += [" "] if end not in (-1, token.start) else []
        parts.append(token.text)
        end = token.end
    line = "".join(parts)
    return line if len(line) <= longest else f"{line[: longest - 3]}..."


def quoted(name: str) -> str:
    """The identifier as it must be written: bare where PostgreSQL reads it back the same."""
    if _PLAIN.fullmatch(name) and name not in _RESERVED:
        return name
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def literal(text: str) -> str:
    escaped = text.replace("'", "''")
    return f"'{escaped}'"


@dataclass(frozen=True)
class Lines:
    """Offsets -> lines and columns of one text."""

    text: str
    starts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "starts", [0, *(found.end() for found in re.finditer("\n", self.text))])

    def position(self, offset: int) -> tuple[int, int]:
        offset = max(0, min(offset, len(self.text)))
        line = bisect_right(self.starts, offset)
        return line, offset - self.starts[line - 1] + 1

    def line(self, number: int) -> str:
        if not 1 <= number <= len(self.starts):
            return ""
        end = self.starts[number] - 1 if number < len(self.starts) else len(self.text)
        return self.text[self.starts[number - 1] : end].rstrip("\r")

"""SQL as text: tokens, positions, identifiers, the pieces of a statement in the user's own words. [P]

Never raises: what is malformed comes out as odd tokens. Offsets are characters from 0, lines and columns count from 1.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

# A letter of PostgreSQL's is any byte from 128 on; said as what it is not, since a range up to U+10FFFF takes 40 ms to
# compile.
_LETTER = r"[^\x00-\x40\x5b-\x5e\x60\x7b-\x7f]"
_LETTER_OR_DIGIT = r"[^\x00-\x23\x25-\x2f\x3a-\x40\x5b-\x5e\x60\x7b-\x7f]"  # $ is in it
_TOKEN = re.compile(
    rf"""
    (?P<space> [\x20\t\n\r\f\v]+ )
  | (?P<comment> --[^\n]* )
  | (?P<block> /\* )
  | (?P<dollar> \$(?:{_LETTER}(?:(?!\$){_LETTER_OR_DIGIT})*)?\$ )
  | (?P<escaped> [eE]'(?:[^'\\]|\\.|'')*' )
  | (?P<string> (?:[bBxXnN]|[uU]&)?'(?:[^']|'')*' )
  | (?P<quoted> (?:[uU]&)?"(?:[^"]|"")*" )
  | (?P<word> {_LETTER}{_LETTER_OR_DIGIT}* )
  | (?P<number> [0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)? )
  | (?P<meta> (?:(?<=\n)|\A)\\[^\n]* )
  | (?P<symbol> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_BLOCK_EDGE = re.compile(r"/\*|\*/")
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


@dataclass(frozen=True, slots=True)
class Token:
    """kind: word, quoted, string, escaped, dollar, number, meta (a psql command) or symbol."""

    kind: str
    text: str
    start: int
    end: int

    @property
    def word(self) -> str:
        """In lower case for a bare word, "" for all else."""
        return self.text.lower() if self.kind == "word" else ""


def tokens(sql: str, start: int = 0, end: int | None = None) -> Iterator[Token]:
    """Comments and blanks left out; a dollar-quoted string is one token."""
    at, stop = start, len(sql) if end is None else end
    while at < stop and (found := _TOKEN.match(sql, at, stop)):
        kind, text, begin, at = found.lastgroup or "symbol", found.group(), found.start(), found.end()
        if kind == "block":
            at = _end_of_block_comment(sql, at, stop)
        elif kind == "dollar":
            closing = sql.find(text, at, stop)
            at = closing + len(text) if closing >= 0 else stop
            yield Token(kind, sql[begin:at], begin, at)
        elif kind not in ("space", "comment"):
            yield Token(kind, text, begin, at)


def line_comments(sql: str) -> Iterator[tuple[int, str]]:
    """(offset, text) of each -- comment; what only looks like one inside a string or a block comment is none."""
    at = 0
    while found := _TOKEN.match(sql, at):
        at = found.end()
        if found.lastgroup == "comment":
            yield found.start(), found.group()
        elif found.lastgroup == "block":
            at = _end_of_block_comment(sql, at, len(sql))
        elif found.lastgroup == "dollar":
            closing = sql.find(found.group(), at)
            at = closing + len(found.group()) if closing >= 0 else len(sql)


def _end_of_block_comment(sql: str, at: int, stop: int) -> int:
    depth = 1  # PostgreSQL's block comments nest
    while depth and (edge := _BLOCK_EDGE.search(sql, at, stop)):
        depth += 1 if edge.group() == "/*" else -1
        at = edge.end()
    return at if depth == 0 else stop


def pieces(sql: str) -> list[tuple[int, int]]:
    """(start, end) of each statement, without its semicolon; for text that does not parse as a whole.

    A psql command is a piece of its own; the body of BEGIN ATOMIC ... END is not cut.
    """
    found: list[tuple[int, int]] = []
    start: int | None = None
    end = depth = bodies = 0
    before = ""
    for token in tokens(sql):
        if token.kind == "meta":
            found += [(start, end)] if start is not None else []
            found.append((token.start, token.end))
            start = None
            continue
        if token.text == ";" and depth <= 0 and not bodies:
            found += [(start, end)] if start is not None else []
            start, depth = None, 0
            continue
        start = token.start if start is None else start
        end = token.end
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(token.text, 0)
        if token.word == "atomic" and before == "begin":
            bodies = 1
        elif bodies and token.word in ("case", "end"):
            bodies += 1 if token.word == "case" else -1
        before = token.word
    return found + ([(start, end)] if start is not None else [])


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
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(token.text, 0)
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

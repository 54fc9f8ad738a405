"""SQL text -> statements: where each begins and ends, and which of them a transaction cannot hold. [P]

Whether a file runs in one transaction is read from its statements and from nothing else: no flag can be forgotten.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

# A letter is ASCII's, _ or any character from U+0080 on; said as what it is not, since a range up to U+10FFFF takes
# milliseconds to compile.
_LETTER = r"[^\x00-\x40\x5b-\x5e\x60\x7b-\x7f]"
_LETTER_OR_DIGIT = r"[^\x00-\x2f\x3a-\x40\x5b-\x5e\x60\x7b-\x7f]"
IDENTIFIER = rf'(?:"(?:[^"]|"")*"|{_LETTER}(?:{_LETTER_OR_DIGIT}|\$)*)'
QUALIFIED = rf"{IDENTIFIER}(?: ?\. ?{IDENTIFIER})*"

_TOKEN = re.compile(
    rf"""
    (?P<comment> --[^\n]* )
  | (?P<block> /\* )
  | (?P<dollar> (?<![\w$])\$(?:{_LETTER}{_LETTER_OR_DIGIT}*)?\$ )
  | (?P<escaped> \b[eE]'(?:[^'\\]|\\.|'')*' )
  | (?P<string> '(?:[^']|'')*' )
  | (?P<identifier> "(?:[^"]|"")*" )
  | (?P<end> ; )
    """,
    re.VERBOSE | re.DOTALL,
)
_BLOCK_EDGE = re.compile(r"/\*|\*/")
_BLANKS = re.compile(r"\s+")
_ATOMIC_BODY = re.compile(r"create (?:or replace )?(?:function|procedure)\b.*\bbegin atomic\b", re.IGNORECASE)
_ATOMIC_END = re.compile(r"(?:;|\batomic) ?end$", re.IGNORECASE)
_NEVER = re.compile(
    r"((create|drop) (database|tablespace|subscription)|alter subscription|alter database .*\bset tablespace)\b",
    re.IGNORECASE,
)
_ALONE = re.compile(
    r"(create (unique )?index concurrently|drop index concurrently|reindex (\([^)]*\) ?)?(\w+ )?concurrently"
    r"|reindex (\([^)]*\) ?)?(database|system|schema)|alter table .*\bdetach partition .*\bconcurrently|vacuum"
    r"|alter system|cluster$)(?!\w)",
    re.IGNORECASE,
)
_SETTING = re.compile(r"(set (?!(local|constraints|transaction)\b)|reset )", re.IGNORECASE)


class Way(Enum):
    """How PostgreSQL lets a statement run."""

    TRANSACTION = "inside a transaction"
    ALONE = "outside any transaction"  # and what a kill left of it can be looked up, or it can simply run again
    SETTING = "for the session"  # SET and RESET: no step of their own, they prepare the steps after them
    NEVER = "outside any transaction, and what a kill left of it cannot be told"


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a file.

    text: as written, no final semicolon. line: of its first word in the file, from 1.
    clean: on one line without comments. code: also without the inside of quotes, so that words can be searched.
    """

    text: str
    line: int
    clean: str
    code: str

    @property
    def way(self) -> Way:
        if _NEVER.match(self.code):
            return Way.NEVER
        if _ALONE.match(self.code):
            return Way.ALONE
        return Way.SETTING if _SETTING.match(self.code) else Way.TRANSACTION


def runs_in_one_transaction(statements: Sequence[Statement]) -> bool:
    """Whether the runner puts the whole file, with its row in the ledger, into one transaction."""
    return all(statement.way in (Way.TRANSACTION, Way.SETTING) for statement in statements)


@dataclass(frozen=True, slots=True)
class Step:
    """A statement that runs by itself, and the SET and RESET lines above it in its file, which hold for it too."""

    statement: Statement
    settings: tuple[str, ...] = ()


def steps_of(statements: Sequence[Statement]) -> list[Step]:
    """What the runner counts of a file that is no single transaction."""
    found: list[Step] = []
    settings: tuple[str, ...] = ()
    for statement in statements:
        if statement.way is Way.SETTING:
            settings += (statement.text,)
        else:
            found.append(Step(statement, settings))
    return found


@dataclass(frozen=True, slots=True)
class _Part:
    kind: str  # code, comment, quoted or end
    start: int
    text: str
    emptied: str


def split(sql: str) -> list[Statement]:
    """The statements in order; comments and empty ones are none. Any text is split, also one that is not SQL."""
    found: list[Statement] = []
    parts: list[_Part] = []
    for part in _parts(sql):
        if part.kind == "end" and not _inside_atomic_body(parts):
            found += _statement(sql, parts)
            parts = []
        else:
            parts.append(part)
    return found + _statement(sql, parts)


def _statement(sql: str, parts: Sequence[_Part]) -> list[Statement]:
    code = _code_of(parts)
    if not code:
        return []
    seen = [part for part in parts if part.kind != "comment" and part.text.strip()]
    start = seen[0].start + len(seen[0].text) - len(seen[0].text.lstrip())
    end = seen[-1].start + len(seen[-1].text.rstrip())
    clean = _on_one_line((part.text, True) if part.kind == "quoted" else (part.emptied, False) for part in parts)
    return [Statement(sql[start:end], sql.count("\n", 0, start) + 1, clean, code)]


def _code_of(parts: Sequence[_Part]) -> str:
    return _on_one_line((part.emptied, False) for part in parts)


def _on_one_line(texts: Iterable[tuple[str, bool]]) -> str:
    """Joined, with one blank between words; a text that is marked as quoted stays letter for letter."""
    joined = ""
    for text, quoted in texts:
        joined += text if quoted or not joined.endswith(" ") else text.lstrip(" ")
    return joined.strip()


def _inside_atomic_body(parts: Sequence[_Part]) -> bool:
    code = _code_of(parts)
    return bool(_ATOMIC_BODY.match(code)) and not _ATOMIC_END.search(code)


def _parts(sql: str) -> Iterator[_Part]:
    at = 0
    while token := _TOKEN.search(sql, at):
        if token.start() > at:
            yield _code(sql, at, token.start())
        at = token.end()
        match token.lastgroup:
            case "comment":
                yield _Part("comment", token.start(), token.group(), " ")
            case "block":
                at = _end_of_block_comment(sql, at)
                yield _Part("comment", token.start(), sql[token.start() : at], " ")
            case "dollar":
                closing = sql.find(token.group(), at)
                at = closing + len(token.group()) if closing >= 0 else len(sql)
                yield _Part("quoted", token.start(), sql[token.start() : at], "''")
            case "end":
                yield _Part("end", token.start(), ";", ";")
            case "identifier":
                yield _Part("quoted", token.start(), token.group(), '""')
            case _:
                yield _Part("quoted", token.start(), token.group(), "''")
    if at < len(sql):
        yield _code(sql, at, len(sql))


def _code(sql: str, start: int, end: int) -> _Part:
    return _Part("code", start, sql[start:end], _BLANKS.sub(" ", sql[start:end]))


def _end_of_block_comment(sql: str, at: int) -> int:
    depth = 1  # PostgreSQL's block comments nest
    while depth and (edge := _BLOCK_EDGE.search(sql, at)):
        depth += 1 if edge.group() == "/*" else -1
        at = edge.end()
    return at if depth == 0 else len(sql)

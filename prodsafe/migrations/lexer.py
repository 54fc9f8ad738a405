"""SQL text -> tokens, and which of them make a statement: PostgreSQL's own lexical rules, without its parser. [P]

Linear in the text, and never raises: what is not closed comes out as one token of the kind "open", up to the end.
Offsets are characters from 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

# A letter of PostgreSQL's is any byte from 128 on; said as what it is not, since a range up to U+10FFFF takes 40 ms to
# compile.
_LETTER = r"[^\x00-\x40\x5b-\x5e\x60\x7b-\x7f]"
_LETTER_OR_DIGIT = r"[^\x00-\x23\x25-\x2f\x3a-\x40\x5b-\x5e\x60\x7b-\x7f]"  # $ is in it
IDENTIFIER = rf'(?:"(?:[^"]|"")*"|{_LETTER}{_LETTER_OR_DIGIT}*)'
QUALIFIED = rf"{IDENTIFIER}(?: ?\. ?{IDENTIFIER})*"

_ESCAPED = r"(?:[^'\\]++|\\.|'')*+'"
_BLANKS_WITH_A_NEWLINE = r"(?:[\x20\t\f\v]|--[^\n\r]*)*+[\n\r](?:[\x20\t\n\r\f\v]++|--[^\n\r]*[\n\r])*+"
_TOKEN = re.compile(
    rf"""
    (?P<space> [\x20\t\n\r\f\v]+ )
  | (?P<comment> --[^\n\r]* )
  | (?P<block> /\* )
  | (?P<dollar> \$(?:{_LETTER}(?:(?!\$){_LETTER_OR_DIGIT})*)?\$ )
  | (?P<escaped> [eE]'{_ESCAPED}(?:{_BLANKS_WITH_A_NEWLINE}'{_ESCAPED})* )
  | (?P<string> (?:[bBxXnN]|[uU]&)?'(?:[^']++|'')*+' )
  | (?P<quoted> (?:[uU]&)?"(?:[^"]++|"")*+" )
  | (?P<open> (?:[eEbBxXnN]|[uU]&)?'|(?:[uU]&)?" )
  | (?P<word> {_LETTER}{_LETTER_OR_DIGIT}* )
  | (?P<number> [0-9]+(?:\.(?!\.)[0-9]*)?(?:[eE][+-]?[0-9]+)? )
  | (?P<meta> (?:(?<=\n)|\A)\\[^\n]* )
  | (?P<symbol> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_BLOCK_EDGE = re.compile(r"/\*|\*/")
_TRIVIA = frozenset({"space", "comment", "block"})
_BRACKETS = {"(": 1, "[": 1, ")": -1, "]": -1}


class Token(NamedTuple):
    """kind: word, quoted, string, escaped, dollar, number, meta (a psql command), open (never closed) or symbol;
    of lexemes() also space, comment and block.
    """

    kind: str
    text: str
    start: int
    end: int

    @property
    def word(self) -> str:
        """In lower case for a bare word, "" for all else."""
        return self.text.lower() if self.kind == "word" else ""

    @property
    def nesting(self) -> int:
        """1 for an opening bracket, -1 for a closing one, 0 for all else."""
        return _BRACKETS.get(self.text, 0)


def lexemes(sql: str, start: int = 0, end: int | None = None) -> Iterator[Token]:
    """Everything, blanks and comments too: joined they are the text. A quoted string or a comment is one of them."""
    at, stop = start, len(sql) if end is None else end
    while at < stop and (found := _TOKEN.match(sql, at, stop)):
        kind, begin, at = found.lastgroup or "symbol", at, found.end()
        if kind in ("block", "dollar", "open"):
            at = _closing(sql, kind, found.group(), at, stop)
            kind, at = ("open", stop) if at < 0 else (kind, at)
        yield Token(kind, sql[begin:at], begin, at)


def tokens(sql: str, start: int = 0, end: int | None = None) -> Iterator[Token]:
    """Comments and blanks left out."""
    return (each for each in lexemes(sql, start, end) if each.kind not in _TRIVIA)


def line_comments(sql: str) -> Iterator[tuple[int, str]]:
    """(offset, text) of each -- comment; what only looks like one inside a string or a block comment is none."""
    return ((each.start, each.text) for each in lexemes(sql) if each.kind == "comment")


def _closing(sql: str, kind: str, opening: str, at: int, stop: int) -> int:
    """Where what was opened before `at` ends; -1 for nowhere."""
    if kind == "dollar":
        closing = sql.find(opening, at, stop)
        return closing + len(opening) if closing >= 0 else -1
    if kind == "open":
        return -1
    depth = 1  # PostgreSQL's block comments nest
    while depth and (edge := _BLOCK_EDGE.search(sql, at, stop)):
        depth += 1 if edge.group() == "/*" else -1
        at = edge.end()
    return -1 if depth else at


def cut(sql: str) -> Iterator[list[Token]]:
    """The tokens of each statement in order, without its semicolon; any text is cut, also one that is not SQL.

    A psql command is a statement of its own. BEGIN ATOMIC ... END and CREATE RULE ... DO (...) are not cut inside.
    """
    found: list[Token] = []
    nesting = _Nesting()
    for token in tokens(sql):
        alone = token.kind == "meta"
        if alone or (token.text == ";" and not nesting.inside):
            if found:
                yield found
            if alone:
                yield [token]
            found, nesting = [], _Nesting()
            continue
        nesting.take(token, found)
        found.append(token)
    if found:
        yield found


@dataclass(slots=True)
class _Nesting:
    """Where in a statement a semicolon does not end it. is_rule: of CREATE RULE, whose commands stand in brackets."""

    bodies: int = 0
    brackets: int = 0
    is_rule: bool = False

    @property
    def inside(self) -> bool:
        return self.bodies > 0 or self.brackets > 0

    def take(self, token: Token, before: Sequence[Token]) -> None:
        if token.kind == "symbol":
            self.brackets += token.nesting if self.is_rule else 0
            return
        word = token.word
        if word == "rule" and len(before) in (1, 3) and before[0].word == "create":
            self.is_rule = True
        elif word == "atomic" and before and before[-1].word == "begin" and before[0].word == "create":
            self.bodies = 1
        elif self.bodies and word in ("case", "end") and not _is_name(before):
            self.bodies += 1 if word == "case" else -1


def _is_name(before: Sequence[Token]) -> bool:
    """Whether a keyword after these is a column's name: `t.end`, `AS end`."""
    return before[-1].text == "." or before[-1].word == "as"

"""A data file that is done in batches: what its header and its one statement must say. [P]

    -- prodsafe: batch live.event by id size 1000
    UPDATE live.event SET shown = true WHERE id BETWEEN :first AND :last AND shown IS NULL;

Each batch is one transaction over the rows whose keys lie from :first to :last, both included.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from prodsafe.migrations.directives import Directives
from prodsafe.migrations.lexer import Token, tokens
from prodsafe.migrations.statements import IDENTIFIER, QUALIFIED, Statement

FORM = "-- prodsafe: batch TABLE by KEY_COLUMN size ROWS"
FIRST, LAST = ":first", ":last"
SIZE, LARGEST_SIZE = 1000, 100_000  # rows

_BATCH = re.compile(
    rf"(?P<table>{QUALIFIED}) +by +(?P<key>{IDENTIFIER})(?: +size +(?P<size>[1-9][0-9]{{0,5}}))?", re.IGNORECASE
)
_COMPOSITE = re.compile(r".* by +(\(.*\)|[^ ]+ *,.*)", re.IGNORECASE)
_VERB = re.compile(r"(insert|update|delete|merge|with)\b", re.IGNORECASE)
_END_OF_SET = frozenset({"from", "where", "returning"})
_BEFORE_PARAMETER = frozenset("(,=<>+-*/|&%")  # what may stand before :first without a blank; a[1:last] is a slice
_NUMBERS = {FIRST: "$1", LAST: "$2"}


@dataclass(frozen=True, slots=True)
class Batch:
    """table, key: identifiers as the file writes them. size: rows of the first batch. line: of the directive."""

    table: str
    key: str
    size: int
    line: int
    statement: Statement

    @property
    def work(self) -> tuple[str, str, str]:
        """What must not change while it is half done; its size and its comments may."""
        return self.table, self.key, self.statement.clean


class Unfinished(Exception):
    """A deploy leaves the rest of a backfill; says how far it is, or who is at it."""


def read_batch(kind: str, directives: Directives, statements: Sequence[Statement]) -> Batch | str | None:
    """The batch of a file, or why it is none though it means to be; None for a file that runs as a whole."""
    lines = [each for each in directives.others if each.verb == "batch"]
    if not lines:
        named = kind == "data" and {name for each in statements for _, _, name in parameters(each.text)}
        return f"it has {min(named)}, but no line {FORM}" if named else None
    found = _BATCH.fullmatch(lines[0].rest)
    if wrong := _wrong_header(kind, len(lines), lines[0].rest) or _wrong_statement(statements):
        return wrong
    if found is None:
        return f"batch {lines[0].rest!a} is not {FORM}"
    batch = Batch(found["table"], found["key"], int(found["size"] or SIZE), lines[0].line, statements[0])
    if batch.size > LARGEST_SIZE:
        return f"size {batch.size} is more than {LARGEST_SIZE:,} rows, which one transaction should not hold"
    if _sets_key(batch):
        return f"it changes its own key {batch.key}: a row could be met twice"
    return batch


def parameters(sql: str) -> list[tuple[int, int, str]]:
    """(start, end, name) of each :name outside quotes and comments that is no cast and no slice of an array."""
    return list(_parameters(list(tokens(sql))))


def numbered(sql: str, key_type: str) -> str:
    """The statement for the server, with $1::type and $2::type for :first and :last."""
    return _replaced(sql, lambda name: f"{_NUMBERS[name]}::{key_type}")


def parsable(sql: str) -> str:
    """The text as a parser of plain SQL can read it, every character in its place; other texts as they are."""
    if FIRST not in sql and LAST not in sql:
        return sql
    return _replaced(sql, lambda name: _NUMBERS[name].ljust(len(name)))


def _wrong_header(kind: str, lines: int, rest: str) -> str | None:
    if kind != "data":
        return "only a data file is done in batches: name it NNNN_data_what.sql"
    if lines > 1:
        return "it names two batches: make two files"
    if _COMPOSITE.fullmatch(rest):
        return "a key of several columns cannot be walked: name one unique column, or add an identity column for it"
    return None


def _wrong_statement(statements: Sequence[Statement]) -> str | None:
    if len(statements) != 1:
        return f"a batch is one statement, and here are {len(statements)}: make a file of each"
    named = [name for _, _, name in parameters(statements[0].text)]
    if unknown := sorted(set(named) - set(_NUMBERS)):
        return f"{unknown[0]} is nothing that a batch has: its keys are {FIRST} and {LAST}"
    if missing := [name for name in _NUMBERS if name not in named]:
        return f"its statement has no {missing[0]}: write WHERE key BETWEEN {FIRST} AND {LAST}"
    if not _VERB.match(statements[0].code):
        return "a batch is INSERT, UPDATE, DELETE or MERGE, or one of these after WITH"
    return None


def _sets_key(batch: Batch) -> bool:
    """Whether an UPDATE assigns the key: `SET key = ...` or `SET (a, key) = ...`, not a comparison further on."""
    depth, awaits_name, inside_set = 0, False, False
    for token in tokens(batch.statement.text):
        if inside_set and depth == 0 and token.word in _END_OF_SET:
            return False
        if inside_set and awaits_name and token.text.strip('"').lower() == batch.key.strip('"').lower():
            return True
        if token.word == "set" and not inside_set and depth == 0:
            inside_set = awaits_name = True
        elif token.text == "=":
            awaits_name = False
        elif token.text == "," and depth == 0:
            awaits_name = True
        depth += {"(": 1, ")": -1}.get(token.text, 0)
    return False


def _parameters(found: Sequence[Token]) -> Iterator[tuple[int, int, str]]:
    for before, colon, word in zip([None, *found], found, found[1:], strict=False):
        if colon.text != ":" or word.kind != "word" or word.start != colon.end:
            continue
        apart = before is None or before.end < colon.start or before.text in _BEFORE_PARAMETER
        if apart:
            yield colon.start, word.end, f":{word.text}"


def _replaced(sql: str, write: Callable[[str], str]) -> str:
    parts: list[str] = []
    at = 0
    for start, end, name in parameters(sql):
        if name in _NUMBERS:
            parts += [sql[at:start], write(name)]
            at = end
    return "".join([*parts, sql[at:]])

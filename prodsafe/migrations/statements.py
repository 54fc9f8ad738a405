"""SQL text -> statements: where each begins and ends, and which of them a transaction cannot hold. [P]

Whether a file runs in one transaction is read from its statements and from nothing else: no flag can be forgotten.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from prodsafe.migrations.lexer import IDENTIFIER, QUALIFIED, Token, cut

__all__ = ["IDENTIFIER", "QUALIFIED", "Statement", "Step", "Way", "runs_in_one_transaction", "split", "steps_of"]

_NEVER = re.compile(
    r"((create|drop) (database|tablespace|subscription)|alter subscription|alter database .*\bset tablespace)\b",
    re.IGNORECASE,
)
_ALONE = re.compile(
    r"(create (unique )?index concurrently|drop index concurrently|reindex ?(\([^)]*\) ?)?(\w+ )?concurrently"
    r"|reindex ?\(([^)]*, ?)?concurrently(?! ?(false|off|0|'')(?!\w))[^)]*\)"
    r"|reindex ?(\([^)]*\) ?)?(database|system|schema)"
    r"|alter table .*\bdetach partition .*\bconcurrently|vacuum|alter system|discard all"
    r"|cluster( ?\([^)]*\)| verbose)?$)(?!\w)",
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
    is_open: a quote or a comment that begins in it never ends.
    """

    text: str
    line: int
    clean: str
    code: str
    is_open: bool = False

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


def split(sql: str) -> list[Statement]:
    """The statements in order; comments and empty ones are none. Any text is split, also one that is not SQL."""
    found: list[Statement] = []
    line, at = 1, 0
    for tokens in cut(sql):
        start, end = tokens[0].start, tokens[-1].end
        line, at = line + sql.count("\n", at, start), start
        open_at_end = tokens[-1].kind == "open"
        found.append(Statement(sql[start:end], line, _joined(tokens, _TEXT), _joined(tokens, _EMPTIED), open_at_end))
    return found


_TEXT: dict[str, str] = {}
_EMPTIED = {"string": "''", "escaped": "''", "dollar": "''", "quoted": '""'}


def _joined(tokens: Sequence[Token], instead: Mapping[str, str]) -> str:
    """On one line, with one blank where blanks or comments were; instead: what is written for a kind of token."""
    parts: list[str] = []
    end = tokens[0].start
    for token in tokens:
        if token.start != end:
            parts.append(" ")
        parts.append(instead.get(token.kind, token.text))
        end = token.end
    return "".join(parts)

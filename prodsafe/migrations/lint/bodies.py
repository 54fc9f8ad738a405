"""The body of a DO block or a PL/pgSQL function -> the SQL it runs, with places. [P]

Read by tokens and not by libpg_query's PL/pgSQL parser: that one ends the whole process on some functions (an assertion
on BEGIN ATOMIC) and gives broken JSON for others (an assignment to NEW.column). What is no SQL here is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from prodsafe.migrations.lexer import Token, tokens

_SQL_VERBS = """
    alter analyze call cluster comment copy create delete drop grant import insert lock merge reassign refresh
    reindex revoke security select set reset truncate update vacuum with values discard
"""
_SQL = frozenset(_SQL_VERBS.split())
_ENDS_HEAD = {"if": "then", "elsif": "then", "elseif": "then", "when": "then", "for": "loop", "foreach": "loop",
              "while": "loop", "case": "when"}  # fmt: skip
_ALONE = ("begin", "declare", "exception", "else", "loop")


@dataclass(frozen=True, slots=True)
class Piece:
    """kind: sql, dynamic (its text is the expression of EXECUTE) or commit; offset: in the body.

    loops: how many loops it stands in; over: the query that the innermost FOR reads, "list" for the items of one,
    "range" for numbers, "" for LOOP and WHILE.
    """

    kind: str
    text: str
    offset: int
    loops: int = 0
    over: str = ""


def plpgsql(body: str) -> Iterator[Piece]:
    """The SQL statements of a body, in order, with EXECUTE and COMMIT."""
    chunk: list[Token] = []
    loops: list[str] = []
    nested_case = depth = 0
    for token in tokens(body):
        word, first = token.word, chunk[0].word if chunk else ""
        if not chunk and word in _ALONE:
            loops += [""] if word == "loop" else []
            continue
        if token.text == ";" and depth <= 0:
            yield from _pieces(body, chunk, loops)
            if [each.word for each in chunk[:2]] == ["end", "loop"] and loops:
                loops.pop()
            chunk, nested_case, depth = [], 0, 0
            continue
        stop = _ENDS_HEAD.get(first)
        if stop and chunk and depth == 0:
            if word == stop and not nested_case:
                yield from _heads(body, chunk, loops)
                loops += [_over(body, chunk)] if stop == "loop" else []
                chunk = [token] if stop == "when" else []
                continue
            nested_case += {"case": 1, "end": -1}.get(word, 0)
        depth += token.nesting
        chunk.append(token)
        if [each.text for each in chunk[-2:]] == [">", ">"] and chunk[0].text == "<":
            chunk = []  # a label
    yield from _pieces(body, chunk, loops)


def _text(body: str, chunk: Sequence[Token]) -> str:
    return body[chunk[0].start : chunk[-1].end] if chunk else ""


def _pieces(body: str, chunk: Sequence[Token], loops: list[str]) -> Iterator[Piece]:
    """What one statement, cut at its semicolon, runs."""
    words = [each.word for each in chunk[:3]]
    over = loops[-1] if loops else ""
    if not chunk:
        return
    match words:
        case ["execute", *_]:
            yield _dynamic(body, chunk[1:], loops)
        case ["return", "query", "execute"]:
            yield _dynamic(body, chunk[3:], loops)
        case ["return", "query", *_]:
            yield Piece("sql", _text(body, chunk[2:]), _start(chunk[2:]), len(loops), over)
        case ["perform", *_]:
            yield Piece("sql", f"SELECT {_text(body, chunk[1:])}", chunk[0].start, len(loops), over)
        case ["commit", *_] | ["rollback", *_]:
            yield Piece("commit", words[0], chunk[0].start, len(loops), over)
        case [verb, *_] if verb in _SQL:
            yield Piece("sql", _without_targets(body, chunk), chunk[0].start, len(loops), over)
        case _:
            return


def _heads(body: str, chunk: Sequence[Token], loops: list[str]) -> Iterator[Piece]:
    """The query of FOR x IN query LOOP."""
    at = next((number for number, each in enumerate(chunk) if each.word == "in"), None)
    if chunk[0].word != "for" or at is None or at + 1 >= len(chunk):
        return
    rest = chunk[at + 1 :]
    if rest[0].word == "execute":
        yield _dynamic(body, rest[1:], loops)
    elif rest[0].word in _SQL:
        yield Piece("sql", _text(body, rest), rest[0].start, len(loops), loops[-1] if loops else "")


def _over(body: str, chunk: Sequence[Token]) -> str:
    at = next((number for number, each in enumerate(chunk) if each.word == "in"), None)
    if any([one.text, other.text] == [".", "."] for one, other in pairwise(chunk)):
        return "range"
    if chunk[0].word == "foreach" or (at is not None and chunk[at + 1 :] and chunk[at + 1].word not in _SQL):
        return "list"
    return _text(body, chunk[at + 1 :]) if chunk[0].word == "for" and at is not None else ""


def _dynamic(body: str, chunk: Sequence[Token], loops: list[str]) -> Piece:
    """The expression of EXECUTE, without INTO and USING."""
    depth, kept = 0, []
    for token in chunk:
        depth += token.nesting
        if depth == 0 and token.word in ("into", "using"):
            break
        kept.append(token)
    return Piece("dynamic", _text(body, kept), _start(chunk), len(loops), loops[-1] if loops else "")


def _start(chunk: Sequence[Token]) -> int:
    return chunk[0].start if chunk else 0


def _without_targets(body: str, chunk: Sequence[Token]) -> str:
    """The statement without PL/pgSQL's own parts: SELECT ... INTO x FROM, RETURNING ... INTO x."""
    depth = 0
    for number, token in enumerate(chunk):
        depth += token.nesting
        if depth == 0 and token.word == "returning":
            return _text(body, chunk[:number])
        if depth == 0 and number and token.word == "into" and chunk[number - 1].word not in ("insert", "merge"):
            end = _end_of_targets(chunk, number + 1)
            before, after = _text(body, chunk[:number]), _text(body, chunk[end:])
            return f"{before} {after}".strip()
    return _text(body, chunk)


def _end_of_targets(chunk: Sequence[Token], at: int) -> int:
    """After INTO [STRICT] a.b[1], c."""
    if at < len(chunk) and chunk[at].word == "strict":
        at += 1
    expects_name = True
    while at < len(chunk):
        token = chunk[at]
        if expects_name and token.kind in ("word", "quoted"):
            expects_name = False
        elif not expects_name and token.text in (",", "."):
            expects_name = True
        elif token.text == "[":
            while at < len(chunk) and chunk[at].text != "]":
                at += 1
        else:
            break
        at += 1
    return at

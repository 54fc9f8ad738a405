"""The header of a migration file: `-- prodsafe: VERB ...` lines above its first statement -> Directives. [P]

A directive is an exception that a person answers for: it names what is allowed and why.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from prodsafe.migrations.lexer import line_comments, tokens

_MENTIONED = re.compile(r"--\s*prodsafe", re.IGNORECASE)  # without it there is nothing to read: most files end here
_LINE = re.compile(r"--\s*prodsafe\s*:(?P<rest>.*)", re.IGNORECASE)
_NEARLY = re.compile(r"--\s*prodsafe\b(?!\s*:)\s*(allow|ignore|disable)\b", re.IGNORECASE)
_ALLOW = re.compile(r"(?P<what>[^\s,]+(?:\s*,\s*[^\s,]+)*)(?:\s+because\b\s*(?P<reason>.*))?", re.IGNORECASE)
SHORTEST_REASON = 3  # characters; "-" or "x" is no reason


@dataclass(frozen=True, slots=True)
class Allow:
    """One category of hazard that this file may hold. line: from 1."""

    category: str
    reason: str
    line: int


@dataclass(frozen=True, slots=True)
class Directive:
    """A directive of another room, e.g. of a backfill: verb in lower case, the rest of its line as it stands."""

    verb: str
    rest: str
    line: int


@dataclass(frozen=True, slots=True)
class Malformed:
    """A line that wants to be a directive and is none. line: from 1."""

    line: int
    text: str
    why: str


@dataclass(frozen=True, slots=True)
class Directives:
    allowed: tuple[Allow, ...] = ()
    others: tuple[Directive, ...] = ()
    malformed: tuple[Malformed, ...] = ()

    def reason_for(self, category: str) -> str | None:
        return next((allow.reason for allow in self.allowed if allow.category == category), None)


def read_directives(sql: str, *, categories: Collection[str] | None = None, verbs: Collection[str] = ()) -> Directives:
    """The directives of one file.

    categories: those that `allow` may name, None for any; verbs: what else may stand there. Never raises.
    """
    if not _MENTIONED.search(sql):
        return Directives()
    sql = sql.removeprefix("\ufeff")
    first = next(tokens(sql), None)
    end_of_header = len(sql) if first is None else first.start
    allowed: list[Allow] = []
    others: list[Directive] = []
    malformed: list[Malformed] = []
    for offset, comment in line_comments(sql):
        text, line = comment.strip(), sql.count("\n", 0, offset) + 1
        for each in _read_comment(text, line, categories, verbs, in_header=offset < end_of_header):
            match each:
                case Allow():
                    allowed.append(each)
                case Directive():
                    others.append(each)
                case str():
                    malformed.append(Malformed(line, text, each))
    return Directives(tuple(allowed), tuple(others), tuple(malformed))


def _read_comment(
    text: str, line: int, categories: Collection[str] | None, verbs: Collection[str], *, in_header: bool
) -> list[Allow | Directive | str]:
    """What a comment directs; a text says why it directs nothing though it means to."""
    found = _LINE.fullmatch(text)
    if found is None:
        missing = in_header and _NEARLY.match(text)
        return ["a colon is missing: -- prodsafe: allow CATEGORY because REASON"] if missing else []
    if in_header:
        return _read(found["rest"].strip(), line, categories, verbs)
    return ["directives stand above the first statement"] if _looks_meant(found["rest"], verbs) else []


def _looks_meant(rest: str, verbs: Collection[str]) -> bool:
    """Below the header a comment may speak of prodsafe: only a known verb is taken for a directive."""
    verb = rest.split(maxsplit=1)[0].lower() if rest.split() else ""
    return verb == "allow" or verb in verbs


def _read(
    rest: str, line: int, categories: Collection[str] | None, verbs: Collection[str]
) -> list[Allow | Directive | str]:
    verb, _, arguments = rest.partition(" ")
    verb = verb.lower()
    if verb in verbs:
        return [Directive(verb, arguments.strip(), line)]
    if verb != "allow":
        return [f"unknown directive {verb!a}; known: {', '.join(['allow', *sorted(verbs)])}"]
    found = _ALLOW.fullmatch(arguments.strip())
    if found is None:
        return ["it names no category: -- prodsafe: allow CATEGORY because REASON"]
    reason = (found["reason"] or "").strip()
    if len(reason) < SHORTEST_REASON:
        return ["it gives no reason: -- prodsafe: allow CATEGORY because REASON"]
    return [
        Allow(name, reason, line) if categories is None or name in categories else f"unknown category {name!a}"
        for name in re.split(r"\s*,\s*", found["what"].lower())
    ]

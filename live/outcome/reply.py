"""A venue's reply, untouched, and the shape of the table that says what it means. [P]"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back over the wire, untouched. status: the HTTP code."""

    status: int
    body: str


@dataclass(frozen=True, slots=True)
class NoReply:
    """No complete reply was read. sent False is a proof that no byte of the request reached a socket.

    code: why it was not sent: "local" when we refuse it and would again, "not-sent" when a later try may pass.
    """

    sent: bool
    what: str
    code: str = "not-sent"


class Meaning(StrEnum):
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    GONE = "gone"
    UNKNOWN = "unknown"


Verb = Literal["submit", "cancel"]
Rows = Mapping[str, Meaning]


@dataclass(frozen=True, slots=True)
class Reading:
    """A reply boiled down to a row's key: "status placed", "error apiLimitExceeded", "code -2019", "http 503".

    venue_order_id, client_order_id: the order it speaks of, as far as it names it.
    """

    key: str
    venue_order_id: str | None = None
    client_order_id: str | None = None

    @property
    def word(self) -> str:
        return self.key.partition(" ")[2]


@dataclass(frozen=True, slots=True)
class OutcomeTable:
    """read: how this venue's replies are boiled down. submit, cancel: the rows; a key without a row is Unknown.

    duplicate: the rows of `submit` that say that the client order id is taken: an earlier send did arrive.
    throttled: the keys that say that we ask too much.
    traded: a sending path to this venue exists and its tests go the whole way; without that a table is only knowledge.
    """

    read: Callable[[Reply, Verb], Reading]
    submit: Rows
    cancel: Rows
    duplicate: frozenset[str]
    throttled: frozenset[str]
    traded: bool = False


def rows(meaning: Meaning, kind: str, words: Iterable[str | int]) -> dict[str, Meaning]:
    """One row for each word: "status placed" and the like."""
    return {f"{kind} {word}": meaning for word in words}


# HTTP codes with a body that says nothing: a proxy or the venue's edge spoke, and what lies behind may have acted.
HTTP_SAYS_NOTHING: Rows = {
    **rows(Meaning.UNKNOWN, "http", (200, 201, 202, 204, 301, 302, 307, 308, 400, 401, 403, 404, 405, 408, 409, 418)),
    **rows(Meaning.UNKNOWN, "http", (500, 501, 502, 503, 504, *range(520, 528), 530)),
}
CONTRADICTION = "contradictory reply"


_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def plain_id(value: object) -> str | None:
    """An order's id at the venue; None for what cannot be one."""
    return value if isinstance(value, str) and _ID.fullmatch(value) else None


def text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def key(kind: str, word: object) -> str:
    """A row's key from a venue's word, kept short and on one line: it may come from anywhere."""
    text = str(word)
    return f"{kind} {text if text.isprintable() else ascii(text)}"[:80]


def parse_json(body: str) -> Any:
    """JSON with exact decimals. Raises ValueError on anything else, NaN, Infinity and bottomless nesting included."""
    try:
        return json.loads(body, parse_float=Decimal, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def parse_object(body: str) -> Mapping[str, Any] | None:
    """The JSON object in a body; None when it is anything else."""
    try:
        payload = parse_json(body)
    except ValueError:
        return None
    return payload if isinstance(payload, dict) else None


def _refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON number")

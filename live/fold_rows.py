"""The rows of a journal that its fold depends on: of what fills most of it, only the newest. [E]

A year of candles and equity marks is a million rows and folds to a few values, so a boot must not wait for them. Every
query here follows an index and reads a page, so that none grows with the journal.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator
from operator import itemgetter
from typing import Any

from psycopg import Connection

StoredRow = tuple[int, str, str | None, str]
"""id, kind, symbol, payload as text."""

DECIDED, EQUITY = "decided", "equity_observed"
BULK = (DECIDED, EQUITY)
_PAGE_ROWS = 2000

# One step along the index for each kind that there is, those included that a newer version wrote.
_KINDS = """
WITH RECURSIVE found AS (
    (SELECT kind FROM live.event WHERE scope = %(scope)s ORDER BY kind LIMIT 1)
    UNION ALL
    SELECT (SELECT kind FROM live.event WHERE scope = %(scope)s AND kind > found.kind ORDER BY kind LIMIT 1)
    FROM found WHERE found.kind IS NOT NULL
)
SELECT kind FROM found WHERE kind IS NOT NULL
"""
_SYMBOLS = """
WITH RECURSIVE found AS (
    (SELECT symbol FROM live.event WHERE scope = %(scope)s AND symbol IS NOT NULL ORDER BY symbol LIMIT 1)
    UNION ALL
    SELECT (
        SELECT symbol FROM live.event WHERE scope = %(scope)s AND symbol IS NOT NULL AND symbol > found.symbol
        ORDER BY symbol LIMIT 1
    )
    FROM found WHERE found.symbol IS NOT NULL
)
SELECT symbol FROM found WHERE symbol IS NOT NULL
"""
_OF_KIND = """
SELECT id, kind, symbol, payload::text FROM live.event
WHERE scope = %s AND kind = %s AND id > %s ORDER BY id LIMIT %s
"""
_NEWEST_OF_KIND = """
SELECT id, kind, symbol, payload::text FROM live.event WHERE scope = %s AND kind = %s ORDER BY id DESC LIMIT 1
"""
_NEWEST_DECISION = """
SELECT id, kind, symbol, payload::text FROM live.event
WHERE scope = %s AND symbol = %s AND kind = 'decided' ORDER BY id DESC LIMIT 1
"""


def rows_to_fold(connection: Connection[Any], scope: str) -> Iterator[StoredRow]:
    """In id order. Left out are decisions but each symbol's newest, and equity marks that a newer one sums up."""
    kinds = [kind for (kind,) in connection.execute(_KINDS, {"scope": scope}).fetchall() if kind not in BULK]
    streams = [_of_kind(connection, scope, kind) for kind in kinds]
    return heapq.merge(*streams, _decisions(connection, scope), iter(_marks(connection, scope)), key=itemgetter(0))


def _of_kind(connection: Connection[Any], scope: str, kind: str) -> Iterator[StoredRow]:
    """Page by page: no long transaction, no second copy of the journal in memory."""
    last_id = 0
    while page := connection.execute(_OF_KIND, (scope, kind, last_id, _PAGE_ROWS)).fetchall():
        yield from page
        last_id = page[-1][0]


def _decisions(connection: Connection[Any], scope: str) -> Iterator[StoredRow]:
    """The newest of each symbol: they are recorded in the order of their candles."""
    symbols = [symbol for (symbol,) in connection.execute(_SYMBOLS, {"scope": scope}).fetchall()]
    newest = (connection.execute(_NEWEST_DECISION, (scope, symbol)).fetchone() for symbol in symbols)
    return iter(sorted((row for row in newest if row is not None), key=itemgetter(0)))


def _marks(connection: Connection[Any], scope: str) -> Iterator[StoredRow]:
    """The newest mark where it carries peak and day start; else, written by older code, every one of them."""
    newest = connection.execute(_NEWEST_OF_KIND, (scope, EQUITY)).fetchone()
    if newest is not None and _sums_up(newest[3]):
        return iter([newest])
    return _of_kind(connection, scope, EQUITY)


def _sums_up(payload: str) -> bool:
    mark = json.loads(payload)
    return isinstance(mark, dict) and mark.get("peak_quote") is not None and mark.get("day_start_quote") is not None

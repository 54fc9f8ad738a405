"""What people ask of a worker beside a halt: close positions, forget that, thaw a symbol. [E]

The worker takes each row of live.person_request once, in id order, and writes it into its journal as
PersonAsked; from there on it is a fact like any other, and a restart goes on where its predecessor was.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from psycopg import Connection

from live.events import Ask, PersonAsked

_NEXT = """
SELECT id, action, symbol, reason, who, at FROM live.person_request WHERE scope = %s AND id > %s ORDER BY id
"""
_ASK = """
INSERT INTO live.person_request (scope, action, symbol, reason, who) VALUES (%s, %s, %s, %s, %s) RETURNING id
"""
_OPEN_FLATTENS = """
SELECT id, action, symbol, reason, who, at FROM live.person_request AS asked
WHERE scope = %(scope)s AND action = 'flatten'
  AND id > coalesce((SELECT max(id) FROM live.person_request WHERE scope = %(scope)s AND action = 'withdraw'), 0)
  AND NOT EXISTS (
    SELECT FROM live.event
    WHERE scope = %(scope)s AND kind = 'flatten_done' AND (payload ->> 'request_id')::bigint = asked.id
  )
ORDER BY id
"""


def after(connection: Connection[Any], scope: str, last_id: int) -> list[PersonAsked]:
    """What was asked after that row, oldest first, dated by the database's clock."""
    return [_asked(*row) for row in connection.execute(_NEXT, (scope, last_id)).fetchall()]


def open_flattens(connection: Connection[Any], scope: str) -> list[PersonAsked]:
    """Flattens that are neither done nor withdrawn, whether a worker has taken them or not."""
    return [_asked(*row) for row in connection.execute(_OPEN_FLATTENS, {"scope": scope}).fetchall()]


def ask(connection: Connection[Any], scope: str, action: Ask, *, symbol: str | None, reason: str, who: str) -> int:
    """Write the request down; returns its id. Committed by the caller's transaction."""
    # One at a time: ids become visible in their order, so that a worker which has read one has missed none before it.
    connection.execute("LOCK TABLE live.person_request IN SHARE ROW EXCLUSIVE MODE")
    (row,) = connection.execute(_ASK, (scope, action, symbol, reason, who)).fetchall()
    return int(row[0])


def _asked(request_id: int, action: str, symbol: str | None, reason: str, who: str, at: datetime) -> PersonAsked:
    return PersonAsked(at=at, request_id=request_id, action=Ask(action), symbol=symbol, reason=reason, who=who)

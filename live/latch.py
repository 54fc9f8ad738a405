"""The halt latch in PostgreSQL: the last row of live.halt_event for a scope. [E]

One fact, one place (I35, I36, W19, W24): worker, operator command, health and dashboard all read it here,
each time they need it; nothing keeps a copy.
"""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from live.status import Halt, HaltCause

_READ = "SELECT halted, reason, who, at, id, cause FROM live.halt_event WHERE scope = %s ORDER BY id DESC LIMIT 1"
_WRITE = "INSERT INTO live.halt_event (scope, halted, reason, who, cause) VALUES (%s, %s, %s, %s, %s)"


def check_words(*, reason: str, who: str) -> None:
    """Raises ValueError when a latch would move without a reason or without a name."""
    if not reason.strip() or not who.strip():
        raise ValueError("the halt latch moves only with a reason and a name")


def read(connection: Connection[Any], scope: str) -> Halt:
    row = connection.execute(_READ, (scope,)).fetchone()
    if row is None:
        return Halt()
    return Halt(halted=row[0], reason=row[1], who=row[2], at=row[3], id=row[4], cause=HaltCause.of(row[5]))


def set_halt(
    connection: Connection[Any], scope: str, *, reason: str, who: str, cause: HaltCause = HaltCause.PERSON
) -> None:
    """Halt, whatever the latch says now."""
    check_words(reason=reason, who=who)
    with connection.transaction():
        connection.execute(_WRITE, (scope, True, reason, who, cause))


def clear_halt(connection: Connection[Any], scope: str, *, reason: str, who: str, seen_id: int | None) -> bool:
    """Resume, if the latch is still the halt that the person saw; else False, and nothing changed."""
    check_words(reason=reason, who=who)
    with connection.transaction():
        # A halt that is being written waits here and gets a later id: resuming never hides an unread halt.
        connection.execute("LOCK TABLE live.halt_event IN SHARE ROW EXCLUSIVE MODE")
        current = read(connection, scope)
        if not current.halted or current.id != seen_id:
            return False
        connection.execute(_WRITE, (scope, False, reason, who, HaltCause.PERSON))
    return True

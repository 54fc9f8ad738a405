"""Several statements in one message to the server, and how many of them it did before one failed. [E]"""

from __future__ import annotations

from typing import NamedTuple

import psycopg
from psycopg import errors, generators
from psycopg.pq import ExecStatus

from prodsafe.postgres import Connection

_DONE = frozenset({ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK})


class Sent(NamedTuple):
    """done: statements that succeeded, empty ones not counted. error: of the one after them; None: all succeeded.

    value: the first one of the last row that came, as text.
    """

    done: int
    error: psycopg.Error | None = None
    value: str = ""


def send(conn: Connection, message: str) -> Sent:
    """One exchange for all statements; the server stops at the first error.

    A cursor would say which error, but not which statement. Raises OperationalError when the connection is lost.
    """
    conn.pgconn.send_query(message.encode())
    done, value = 0, b""
    for result in conn.wait(generators.execute(conn.pgconn)):
        if result.status in _DONE:
            done += 1
            value = result.get_value(0, 0) or b"" if result.ntuples else value
        elif result.status == ExecStatus.FATAL_ERROR:
            return Sent(done, errors.error_from_result(result))
        elif result.status != ExecStatus.EMPTY_QUERY:
            return Sent(done, psycopg.ProgrammingError("COPY from or to a client: there is none"))
    return Sent(done, value=value.decode())

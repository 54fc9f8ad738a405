"""What people and dashboards may see of the store: read-only by session and, where possible, by role. [E]

Synchronous, one short connection per look; nothing here can write (read-only session, role prodsafe_reader).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import psycopg

from live import latch, people
from live.events import Event, PersonAsked
from live.fold_rows import rows_to_fold
from live.model import Candle
from live.records import Quarantined, read_row
from live.status import Halt, Status, decode_status
from prodsafe.errors import DatabaseRefused, ExitCode, RefusalKind

if TYPE_CHECKING:
    from prodsafe.lease import LeaseRow
    from prodsafe.lock_history import Tenure

STORE_UNREADABLE = RefusalKind("R22", "store-unreadable", ExitCode.UNREADABLE)

_NEWEST = """
SELECT id, epoch, recorded_at, kind, symbol, payload::text FROM live.event
WHERE scope = %(scope)s AND (%(symbol)s::text IS NULL OR symbol = %(symbol)s)
  AND (%(kinds)s::text[] IS NULL OR kind = ANY(%(kinds)s)) AND kind <> ALL(%(leaving_out)s)
ORDER BY id DESC LIMIT %(limit)s
"""
_AFTER = """
SELECT id, epoch, recorded_at, kind, symbol, payload::text FROM live.event
WHERE scope = %(scope)s AND (%(symbol)s::text IS NULL OR symbol = %(symbol)s)
  AND (%(kinds)s::text[] IS NULL OR kind = ANY(%(kinds)s)) AND kind <> ALL(%(leaving_out)s) AND id > %(after)s
ORDER BY id LIMIT %(limit)s
"""

_SEARCH = """
SELECT id, epoch, recorded_at, kind, symbol, payload::text FROM live.event
WHERE scope = %(scope)s AND (%(symbol)s::text IS NULL OR symbol = %(symbol)s)
  AND (%(kinds)s::text[] IS NULL OR kind = ANY(%(kinds)s))
  AND (%(pattern)s::text IS NULL OR payload::text ILIKE %(pattern)s)
ORDER BY id DESC LIMIT %(limit)s
"""
# One step along the index for each symbol, and from each to its newest decision: a year of candles is never read.
_DECISIONS = """
WITH RECURSIVE found AS (
    (SELECT symbol FROM live.event WHERE scope = %(scope)s AND symbol IS NOT NULL ORDER BY symbol LIMIT 1)
    UNION ALL
    SELECT (
        SELECT symbol FROM live.event WHERE scope = %(scope)s AND symbol IS NOT NULL AND symbol > found.symbol
        ORDER BY symbol LIMIT 1
    )
    FROM found WHERE found.symbol IS NOT NULL
)
SELECT decided.id, decided.epoch, decided.recorded_at, decided.kind, decided.symbol, decided.payload
FROM found CROSS JOIN LATERAL (
    SELECT id, epoch, recorded_at, kind, symbol, payload::text AS payload FROM live.event
    WHERE scope = %(scope)s AND symbol = found.symbol AND kind = 'decided' ORDER BY id DESC LIMIT 1
) AS decided
"""
_SEARCH_MS = 3000
_EQUITY = """
WITH observed AS (
    SELECT id, at, (payload ->> 'equity_quote')::float8 AS equity,
           sum((payload ->> 'rebased' IS NOT DISTINCT FROM 'true')::int) OVER (ORDER BY id) AS era,
           row_number() OVER (ORDER BY id DESC) AS place, count(*) OVER () AS total
    FROM live.event WHERE scope = %(scope)s AND kind = 'equity_observed'
), fallen AS (
    SELECT at, equity, place, total, max(equity) OVER (PARTITION BY era ORDER BY id) AS peak FROM observed
)
SELECT at, equity, CASE WHEN peak > 0 THEN 100 * (1 - equity / peak) ELSE 0 END
FROM fallen WHERE (place - 1) %% greatest(1, total / %(points)s) = 0 ORDER BY at
"""

FRESH_BEAT_SECONDS = 5.0  # the server itself frees a lock that has been silent for this long


@dataclass(frozen=True, slots=True)
class Recorded:
    """One row of the journal. event is Quarantined where the row does not decode; recorded_at is aware UTC."""

    id: int
    epoch: int
    recorded_at: datetime
    event: Event | Quarantined


@dataclass(frozen=True, slots=True)
class EquityPoint:
    """Equity in quote currency at a time (aware UTC) and how far it was below its peak, in %; floats, to be drawn.

    The peak begins anew where a person's resume rebased it.
    """

    at: datetime
    equity_quote: float
    drawdown_pct: float


class SearchTooLong(Exception):
    """The search was cut off. Its text tells a person what to do."""


@contextmanager
def open_reader(url: str, *, application_name: str = "live/reader") -> Iterator[Reader]:
    """A Reader in one read-only transaction, so that through a pooler nothing of it is left to others.

    All of it sees one moment: a worker that goes on meanwhile never shows an order's answer without the order.
    Raises DatabaseRefused when the database or its schema cannot be read.
    """
    from prodsafe.postgres import connect

    connection = connect(url, application_name=application_name)
    try:
        connection.read_only = True
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with connection.transaction():
            _become_reader(connection)
            yield Reader(connection)
    except (psycopg.OperationalError, psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
        raise unreadable(error) from error
    finally:
        connection.close()


def _become_reader(connection: psycopg.Connection[Any]) -> None:
    """Drop to the role that can only read; a role that may not do so stays read-only by its transaction."""
    try:
        with connection.transaction():  # a savepoint: being refused must not end the transaction
            connection.execute("SET LOCAL ROLE prodsafe_reader")
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidParameterValue):
        return


def unreadable(error: psycopg.Error) -> DatabaseRefused:
    missing = isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.InvalidSchemaName)
    cause = "the database has no journal yet" if missing else " ".join(str(error).split())
    mend = "python migrate_schema.py" if missing else "see that DATABASE_URL points at a database that answers"
    return DatabaseRefused(STORE_UNREADABLE.because(f"{type(error).__name__}: {cause}", mend=mend))


class Reader:
    """Questions to the store, each one statement; a method that takes a scope speaks of that account only."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def scopes(self) -> list[str]:
        """The accounts that a worker ever held, the most recently active first."""
        rows = self._connection.execute(
            "SELECT scope FROM prodsafe.lease WHERE scope LIKE 'account/%' ORDER BY acquired_at DESC"
        )
        return [scope for (scope,) in rows]

    def leases(self) -> list[LeaseRow]:
        from prodsafe.lease import read_leases

        return list(read_leases(self._connection))

    def lease(self, scope: str) -> LeaseRow | None:
        return next((row for row in self.leases() if row.scope == scope), None)

    def halt(self, scope: str) -> Halt:
        return latch.read(self._connection, scope)

    def open_flattens(self, scope: str) -> list[PersonAsked]:
        """What people asked to be closed and is neither done nor withdrawn."""
        return people.open_flattens(self._connection, scope)

    def status(self, scope: str) -> Status | None:
        """The worker's last word about itself, corrected by what the database knows: lease, epoch and latch.

        None when no worker has reported. A dead worker's last row still says "running"; its lease does not beat.
        """
        row = self._connection.execute(
            "SELECT epoch, payload::text FROM live.worker_status WHERE scope = %s", (scope,)
        ).fetchone()
        if row is None:
            return None
        lease, halt = self.lease(scope), self.halt(scope)
        fresh = lease is not None and lease.epoch == row[0] and is_beating(lease)
        return replace(
            decode_status(row[1]),
            scope=scope,
            lease_fresh=fresh,
            halted=halt.halted,
            halt_reason=halt.reason if halt.halted else None,
            halt_cause=halt.cause if halt.halted else None,
        )

    def tail(
        self,
        scope: str,
        *,
        limit: int = 50,
        symbol: str | None = None,
        kinds: Sequence[str] = (),
        leaving_out: Sequence[str] = (),
        after_id: int | None = None,
    ) -> list[Recorded]:
        """The newest rows of these kinds, or of all but those left out, oldest first; with after_id the first `limit`
        rows after that one.
        """
        values = {
            "scope": scope,
            "symbol": symbol,
            "kinds": list(kinds) or None,
            "leaving_out": list(leaving_out),
            "after": after_id,
            "limit": limit,
        }
        rows = self._connection.execute(_NEWEST if after_id is None else _AFTER, values).fetchall()
        return [_recorded(row) for row in sorted(rows, key=itemgetter(0))]

    def to_fold(self, scope: str) -> Iterator[tuple[int, Event | Quarantined]]:
        """(row, event) of all that the book depends on, oldest first, as the worker reads it at its boot."""
        for row_id, kind, symbol, payload in rows_to_fold(self._connection, scope):
            yield row_id, read_row(row_id, kind, symbol, payload)

    def history(
        self, scope: str, *, after_id: int = 0, page_rows: int = 2000, leaving_out: Sequence[str] = ()
    ) -> Iterator[Recorded]:
        """Every row of the scope after that one but of the kinds left out, oldest first, page by page: for a fold."""
        last_id = after_id
        while page := self.tail(scope, limit=page_rows, after_id=last_id, leaving_out=leaving_out):
            yield from page
            last_id = page[-1].id

    def search(
        self, scope: str, text: str, *, kinds: Sequence[str] = (), symbol: str | None = None, limit: int = 100
    ) -> list[Recorded]:
        """The newest rows of these kinds whose payload holds the text, whatever its case; oldest first.

        Raises SearchTooLong when the journal is too long to be read through for it.
        """
        pattern = None if not text else "%" + text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_") + "%"
        values = {"scope": scope, "symbol": symbol, "kinds": list(kinds) or None, "limit": limit, "pattern": pattern}
        try:
            with self._connection.transaction():  # a savepoint: what is cut off must not end the look
                self._connection.execute(f"SET LOCAL statement_timeout = {_SEARCH_MS}")
                rows = self._connection.execute(_SEARCH, values).fetchall()
        except psycopg.errors.QueryCanceled:
            raise SearchTooLong("The journal is too long for this search: choose an event or a symbol, too.") from None
        return [_recorded(row) for row in sorted(rows, key=itemgetter(0))]

    def decisions(self, scope: str) -> list[Recorded]:
        """The newest decision of each symbol, by symbol."""
        return [_recorded(row) for row in self._connection.execute(_DECISIONS, {"scope": scope})]

    def tenures(self, scope: str, *, last: int) -> list[Tenure]:
        """The last holders of the account, oldest first."""
        from prodsafe.lock_history import read_tenures

        return read_tenures(self._connection, scope, last=last)

    def equity(self, scope: str, *, points: int = 500) -> list[EquityPoint]:
        """Equity over time, oldest first, thinned to about `points`; the falls are exact all the same."""
        rows = self._connection.execute(_EQUITY, {"scope": scope, "points": points})
        return [EquityPoint(*row) for row in rows]

    def symbols(self, scope: str) -> list[str]:
        """Every symbol with candles or events."""
        rows = self._connection.execute(
            "SELECT symbol FROM live.candle UNION SELECT symbol FROM live.event WHERE scope = %s AND symbol IS NOT NULL"
            " ORDER BY 1",
            (scope,),
        )
        return [symbol for (symbol,) in rows]

    def timeframes(self, symbol: str) -> list[timedelta]:
        rows = self._connection.execute(
            "SELECT DISTINCT timeframe_seconds FROM live.candle WHERE symbol = %s ORDER BY 1", (symbol,)
        )
        return [timedelta(seconds=seconds) for (seconds,) in rows]

    def candles(
        self,
        symbol: str,
        timeframe: timedelta,
        *,
        limit: int | None = 300,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[Candle]:
        """The newest closed candles that opened from since to until (aware UTC, both included), oldest first."""
        rows = self._connection.execute(
            "SELECT opened_at, open, high, low, close, volume FROM live.candle"
            " WHERE symbol = %s AND timeframe_seconds = %s"
            " AND opened_at BETWEEN coalesce(%s::timestamptz, '-infinity') AND coalesce(%s::timestamptz, 'infinity')"
            " ORDER BY opened_at DESC LIMIT %s",
            (symbol, int(timeframe.total_seconds()), since, until, limit),
        ).fetchall()
        return [Candle(symbol, timeframe, *row) for row in reversed(rows)]


def is_beating(lease: LeaseRow) -> bool:
    """Whether somebody holds the lease now: its lock is taken and the last beat is young."""
    beat_age = lease.beat_age_seconds
    return (
        lease.state in ("arming", "active")
        and lease.lock_pid is not None
        and beat_age is not None
        and beat_age <= FRESH_BEAT_SECONDS
    )


def _recorded(row: tuple[int, int, datetime, str, str | None, str]) -> Recorded:
    row_id, epoch, recorded_at, kind, symbol, payload = row
    return Recorded(row_id, epoch, recorded_at, read_row(row_id, kind, symbol, payload))

"""The only store: append fenced events, fold them at boot, read the halt latch. [E]

`PostgresJournal` is for the worker, `MemoryJournal` for simulation; both pass the same contract tests.
After a connection failure a journal stays broken: nobody knows whether the last append was committed, and
only a restart that folds again can tell.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import chain, count
from operator import attrgetter
from typing import Any, Protocol, TypeVar
from uuid import UUID

import psycopg

from live import latch as latches
from live import people
from live.events import Event, OrderIntended, PersonAsked, decode
from live.fold_rows import rows_to_fold
from live.meters import Meters
from live.model import Candle
from live.records import (
    AnyFill,
    JournalConflict,
    Loaded,
    Row,
    check_repeated_fill,
    read_row,
    row_of,
    sort_out,
    without_repeats,
)
from live.status import Halt, HaltCause, Status, encode_status
from prodsafe.errors import ExitCode, LeaseLost, RefusalKind, Refused

JOURNAL_UNAVAILABLE = RefusalKind("R20", "journal-unavailable", ExitCode.LEASE_LOST)
JOURNAL_FENCED = RefusalKind("R21", "journal-fenced", ExitCode.LEASE_LOST)

T = TypeVar("T")
_SESSION_MS = {"statement_timeout": 5000, "lock_timeout": 2000, "idle_in_transaction_session_timeout": 2000}
_PRICES = ("open", "high", "low", "close", "volume")
_FENCED_SQLSTATE = "PF001"  # raised by prodsafe.fence()
_PATIENCE_SECONDS = 8.0  # longer than any statement may take; a server process that stands still ends none by itself
_PATIENCE_TO_LOAD_SECONDS = 120.0  # a fold is many statements
_PREPARED_ROWS = 4  # what stands between a decision and its order; a plan of more is not worth the server's memory


class JournalUnavailable(Refused):
    """The journal cannot be written or read: stop, restart, fold again. Exit 5."""


class Journal(Protocol):
    """What the runtime asks of its store.

    Every method raises LeaseLost when a successor holds the scope, and JournalUnavailable when the store does
    not answer; after either the worker must send nothing more.
    """

    def append(self, events: Sequence[Event]) -> Awaitable[None]:
        """Commit all of them, in order, or none. A fill that is known already is dropped.

        Raises JournalConflict for a client order id intended before, or another fill under a known id.
        """
        ...

    def append_unless_halted(self, events: Sequence[Event]) -> Awaitable[Halt | None]:
        """As append, for an entry without fills: while the latch is set nothing is written, and it is the answer.

        Look and writing are one statement, so that no halt fits between them.
        """
        ...

    async def load(self) -> Loaded:
        """What the scope's book is a fold of, of all epochs, in append order; rows that do not decode come apart.

        Decisions and equity marks that count no more may be left out: a journal holds a million of them in a year.
        """
        ...

    async def latch(self) -> Halt: ...
    async def halt(self, reason: str, by: str, cause: HaltCause = HaltCause.PERSON) -> None: ...
    async def resume(self, reason: str, by: str, *, seen_id: int | None) -> bool:
        """Clear the halt with this row id; False, and nothing changed, when the latch has moved since."""
        ...

    async def asked(self, after_id: int) -> list[PersonAsked]:
        """What people asked after that request, oldest first."""
        ...

    async def save_status(self, status: Status) -> None: ...
    async def save_candles(self, candles: Sequence[Candle]) -> None:
        """Keep closed candles; one that is known already stays as it was first read."""
        ...

    async def save_snapshot(self, symbol: str, timeframe: timedelta, text: str) -> None:
        """Keep what the strategy remembers, in place of what it remembered before."""
        ...

    async def load_snapshot(self, symbol: str, timeframe: timedelta) -> str | None: ...
    async def close(self) -> None: ...


def unavailable(error: Exception) -> JournalUnavailable:
    cause = f"{type(error).__name__}: {' '.join(str(error).split())}"
    mend = "restart the worker once the database answers; it folds the journal and asks the venue"
    return JournalUnavailable(JOURNAL_UNAVAILABLE.because(cause, mend=mend))


def fenced(scope: str, epoch: int) -> LeaseLost:
    cause = f"the database refused a write of epoch {epoch}: another worker holds {scope}"
    return LeaseLost(JOURNAL_FENCED.because(cause, mend="look at the holder: prodsafe lock status"))


# --- in PostgreSQL --------------------------------------------------------------------------------

# InternalError: among them "read-only transaction" after a failover that left this connection on a replica.
_OUTAGES = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError)

_KINDS = ("text", "text", "text", "text", "timestamptz", "jsonb")  # of a row's columns
_ROW = "($4::text, $5::text, $6::text, $7::text, $8::timestamptz, $9::jsonb)"
_values_of = attrgetter("kind", "symbol", "client_order_id", "fill_id", "at", "payload")  # of a Row

_APPEND = """
INSERT INTO live.event AS known (scope, epoch, holder, kind, symbol, client_order_id, fill_id, at, payload)
SELECT $1::text, $2::bigint, $3::uuid,
       new.kind, new.symbol, new.client_order_id, new.fill_id, new.at, new.payload
FROM (VALUES ($4::text, $5::text, $6::text, $7::text, $8::timestamptz, $9::jsonb))
     AS new (kind, symbol, client_order_id, fill_id, at, payload)
WHERE true
ON CONFLICT (scope, fill_id) WHERE fill_id IS NOT NULL
DO UPDATE SET kind = known.kind WHERE live.check_repeated_fill(known, excluded)
"""

# Of an entry, which brings no fill that might be known: the way around a conflict would cost each row its time.
_APPEND_UNLESS_HALTED = """
INSERT INTO live.event (scope, epoch, holder, kind, symbol, client_order_id, fill_id, at, payload)
SELECT $1::text, $2::bigint, $3::uuid,
       new.kind, new.symbol, new.client_order_id, new.fill_id, new.at, new.payload
FROM (VALUES ($4::text, $5::text, $6::text, $7::text, $8::timestamptz, $9::jsonb))
     AS new (kind, symbol, client_order_id, fill_id, at, payload)
WHERE NOT coalesce((SELECT halted FROM live.halt_event WHERE scope = $1 ORDER BY id DESC LIMIT 1), false)
"""


@lru_cache(maxsize=64)
def _of_rows(append: str, row_count: int) -> str:
    """The same statement for so many rows: scope, epoch, holder, then each row's columns."""
    numbers = count(4)
    rows = [", ".join(f"${next(numbers)}::{kind}" for kind in _KINDS) for _ in range(row_count)]
    return append.replace(_ROW, ", ".join(f"({row})" for row in rows))


_SAVE_STATUS = """
INSERT INTO live.worker_status (scope, epoch, holder, payload) VALUES (%s, %s, %s, %s)
ON CONFLICT (scope) DO UPDATE
SET epoch = excluded.epoch, holder = excluded.holder, payload = excluded.payload,
    updated_at = clock_timestamp()
"""

_SAVE_CANDLES = """
INSERT INTO live.candle (symbol, timeframe_seconds, opened_at, open, high, low, close, volume)
SELECT * FROM unnest(%s::text[], %s::int[], %s::timestamptz[],
                     %s::numeric[], %s::numeric[], %s::numeric[], %s::numeric[], %s::numeric[])
ON CONFLICT DO NOTHING
"""

_SAVE_SNAPSHOT = """
INSERT INTO live.engine_snapshot (scope, symbol, timeframe_seconds, epoch, holder, payload)
VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (scope, symbol, timeframe_seconds) DO UPDATE
SET epoch = excluded.epoch, holder = excluded.holder, payload = excluded.payload,
    updated_at = clock_timestamp()
"""

_LOAD_SNAPSHOT = """
SELECT payload FROM live.engine_snapshot WHERE scope = %s AND symbol = %s AND timeframe_seconds = %s
"""


class PostgresJournal:
    """One connection. Each append is one statement: one transaction, one round trip.

    Appends are sent by the loop itself, so that between a decision and its order no thread has to wake up, and the loop
    is free while the server commits; all else runs on a thread. One after the other, and a cancelled task does not
    cancel its statement: that is finished, and the next call waits its turn.
    """

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        *,
        scope: str,
        epoch: int,
        holder: UUID,
        meters: Meters | None = None,
    ) -> None:
        self._connection = connection
        self._appends: psycopg.AsyncConnection[Any] = psycopg.AsyncConnection(connection.pgconn)  # of the same session
        # Planned once: no pooler is between, and no append has a result that an expand file would change.
        connection.prepare_threshold, self._appends.prepare_threshold = None, 0
        self._cursor: psycopg.AsyncRawCursor[Any] | None = None
        self._meters = meters or Meters()
        self._scope, self._epoch, self._holder = scope, epoch, holder
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        self._turn = asyncio.Lock()
        self._broken: Refused | None = None

    @classmethod
    async def open(
        cls, url: str, *, scope: str, epoch: int, holder: UUID, meters: Meters | None = None
    ) -> PostgresJournal:
        """Connect with the timeouts of prodsafe.postgres. Raises DatabaseRefused."""
        from prodsafe.postgres import connect

        connection = await asyncio.to_thread(
            connect, url, application_name=f"live/journal/{scope}"[:63], settings=_SESSION_MS
        )
        return cls(connection, scope=scope, epoch=epoch, holder=holder, meters=meters)

    def append(self, events: Sequence[Event]) -> Awaitable[None]:
        """Begins at once: the statement is on its way after one turn of the loop, whatever is done meanwhile."""
        return self._alone(lambda: self._appended(events))

    def append_unless_halted(self, events: Sequence[Event]) -> Awaitable[Halt | None]:
        """Begins at once, too."""
        return self._alone(lambda: self._appended_unless_halted(events))

    async def _appended(self, events: Sequence[Event]) -> None:
        await self._inserted(_APPEND, events)

    async def _appended_unless_halted(self, events: Sequence[Event]) -> Halt | None:
        if await self._inserted(_APPEND_UNLESS_HALTED, events):
            return None
        return await self._on_thread(lambda: latches.read(self._connection, self._scope))

    async def _inserted(self, append: str, events: Sequence[Event]) -> int:
        """How many rows were committed."""
        rows = [row_of(event) for event in without_repeats(events)]
        if not rows:
            return 0
        began = time.perf_counter()
        if self._cursor is None:
            await self._appends.set_autocommit(True)
            self._cursor = psycopg.AsyncRawCursor(self._appends)
        values = [self._scope, self._epoch, self._holder, *chain.from_iterable(map(_values_of, rows))]
        await self._cursor.execute(_of_rows(append, len(rows)), values, prepare=len(rows) <= _PREPARED_ROWS)
        self._meters.observe("journal_commit_seconds", time.perf_counter() - began)
        return self._cursor.rowcount

    async def load(self) -> Loaded:
        return await self._run(
            lambda: sort_out(read_row(*row) for row in rows_to_fold(self._connection, self._scope)),
            patience_seconds=_PATIENCE_TO_LOAD_SECONDS,
        )

    async def latch(self) -> Halt:
        return await self._run(lambda: latches.read(self._connection, self._scope))

    async def halt(self, reason: str, by: str, cause: HaltCause = HaltCause.PERSON) -> None:
        await self._run(lambda: latches.set_halt(self._connection, self._scope, reason=reason, who=by, cause=cause))

    async def resume(self, reason: str, by: str, *, seen_id: int | None) -> bool:
        return await self._run(
            lambda: latches.clear_halt(self._connection, self._scope, reason=reason, who=by, seen_id=seen_id)
        )

    async def asked(self, after_id: int) -> list[PersonAsked]:
        return await self._run(lambda: people.after(self._connection, self._scope, after_id))

    async def save_status(self, status: Status) -> None:
        values = (self._scope, self._epoch, self._holder, encode_status(status))
        await self._run(lambda: self._connection.execute(_SAVE_STATUS, values))

    async def save_candles(self, candles: Sequence[Candle]) -> None:
        if not candles:
            return
        columns = [
            [candle.symbol for candle in candles],
            [int(candle.timeframe.total_seconds()) for candle in candles],
            [candle.opened_at for candle in candles],
            *([getattr(candle, name) for candle in candles] for name in _PRICES),
        ]
        await self._run(lambda: self._connection.execute(_SAVE_CANDLES, columns))

    async def save_snapshot(self, symbol: str, timeframe: timedelta, text: str) -> None:
        values = (self._scope, symbol, int(timeframe.total_seconds()), self._epoch, self._holder, text)
        await self._run(lambda: self._connection.execute(_SAVE_SNAPSHOT, values))

    async def load_snapshot(self, symbol: str, timeframe: timedelta) -> str | None:
        values = (self._scope, symbol, int(timeframe.total_seconds()))
        row = await self._run(lambda: self._connection.execute(_LOAD_SNAPSHOT, values).fetchone())
        return None if row is None else row[0]

    async def close(self) -> None:
        async with self._turn:
            await self._on_thread(self._connection.close)
        self._thread.shutdown(wait=False)

    def _run(self, work: Callable[[], T], *, patience_seconds: float | None = None) -> Awaitable[T]:
        return self._alone(lambda: self._on_thread(work), patience_seconds=patience_seconds)

    def _on_thread(self, work: Callable[[], T]) -> Awaitable[T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _alone(self, work: Callable[[], Awaitable[T]], *, patience_seconds: float | None = None) -> Awaitable[T]:
        return asyncio.shield(asyncio.ensure_future(self._translated(work, patience_seconds or _PATIENCE_SECONDS)))

    def _hang_up(self) -> None:
        """What waits for the server, here or on the thread, wakes up with a lost connection."""
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self._connection.pgconn.socket)) as line:
            line.shutdown(socket.SHUT_RDWR)

    async def _translated(self, work: Callable[[], Awaitable[T]], patience_seconds: float) -> T:
        """PostgreSQL's errors become the runtime's words."""
        async with self._turn:
            if self._broken is not None:
                raise self._broken
            patience = asyncio.get_running_loop().call_later(patience_seconds, self._hang_up)
            try:
                return await work()
            except psycopg.errors.UniqueViolation as error:
                raise JournalConflict(error.diag.message_primary or str(error)) from error
            except psycopg.Error as error:
                if error.sqlstate == _FENCED_SQLSTATE:
                    self._broken = fenced(self._scope, self._epoch)
                elif isinstance(error, _OUTAGES):
                    self._broken = unavailable(error)
                else:
                    raise
                raise self._broken from error
            finally:
                patience.cancel()


# --- in memory, for simulation --------------------------------------------------------------------


@dataclass(slots=True)
class MemoryStore:
    """What survives a crash of the simulated worker: rows as text, the latch, and who holds each scope."""

    rows: list[tuple[str, Row]] = field(default_factory=list)
    halts: list[tuple[str, Halt]] = field(default_factory=list)
    asked: list[tuple[str, PersonAsked]] = field(default_factory=list)
    statuses: dict[str, Status] = field(default_factory=dict)
    candles: dict[tuple[str, float, datetime], Candle] = field(default_factory=dict)
    snapshots: dict[tuple[str, str, timedelta], str] = field(default_factory=dict)
    holders: dict[str, tuple[int, UUID]] = field(default_factory=dict)
    intended: set[tuple[str, str]] = field(default_factory=set)
    fills: dict[tuple[str, str], str] = field(default_factory=dict)

    def take(self, scope: str, holder: UUID) -> int:
        """Make `holder` the holder of the scope, as a new lease would. Returns the new epoch."""
        epoch = self.holders[scope][0] + 1 if scope in self.holders else 1
        self.holders[scope] = (epoch, holder)
        return epoch


class MemoryJournal:
    """A journal over a MemoryStore; `clock` dates the halts."""

    def __init__(
        self,
        store: MemoryStore,
        *,
        scope: str,
        epoch: int,
        holder: UUID,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store, self._scope, self._epoch, self._holder = store, scope, epoch, holder
        self._clock = clock

    async def append(self, events: Sequence[Event]) -> None:
        batch = without_repeats(events)
        if not batch:
            return
        self._check_fence()
        rows = [row_of(event) for event in batch if not self._is_known(event)]
        for row in rows:  # nothing below can fail: all of them, or none
            self._store.rows.append((self._scope, row))
            if row.kind == "order_intended" and row.client_order_id is not None:
                self._store.intended.add((self._scope, row.client_order_id))
            if row.fill_id is not None:
                self._store.fills[self._scope, row.fill_id] = row.payload

    async def append_unless_halted(self, events: Sequence[Event]) -> Halt | None:
        latch = await self.latch()
        if latch.halted:
            return latch
        await self.append(events)
        return None

    def _is_known(self, event: Event) -> bool:
        """True for a fill recorded before. Raises JournalConflict as the unique indexes would."""
        if isinstance(event, OrderIntended):
            client_order_id = event.spec.client_order_id
            if (self._scope, client_order_id) in self._store.intended:
                raise JournalConflict(f"order {client_order_id} was intended before")
        if not isinstance(event, AnyFill):
            return False
        payload = self._store.fills.get((self._scope, event.fill.fill_id))
        if payload is None:
            return False
        known = decode(payload)
        assert isinstance(known, AnyFill)
        check_repeated_fill(known, event)
        return True

    async def load(self) -> Loaded:
        mine = ((n, row) for n, (scope, row) in enumerate(self._store.rows, start=1) if scope == self._scope)
        return sort_out(read_row(n, row.kind, row.symbol, row.payload) for n, row in mine)

    async def latch(self) -> Halt:
        return next((halt for scope, halt in reversed(self._store.halts) if scope == self._scope), Halt())

    async def halt(self, reason: str, by: str, cause: HaltCause = HaltCause.PERSON) -> None:
        self._set(halted=True, reason=reason, who=by, cause=cause)

    async def resume(self, reason: str, by: str, *, seen_id: int | None) -> bool:
        current = await self.latch()
        if not current.halted or current.id != seen_id:
            return False
        self._set(halted=False, reason=reason, who=by, cause=HaltCause.PERSON)
        return True

    def _set(self, *, halted: bool, reason: str, who: str, cause: HaltCause) -> None:
        latches.check_words(reason=reason, who=who)
        row_id = len(self._store.halts) + 1
        halt = Halt(halted=halted, reason=reason, who=who, at=self._clock(), id=row_id, cause=cause)
        self._store.halts.append((self._scope, halt))

    async def asked(self, after_id: int) -> list[PersonAsked]:
        return [each for scope, each in self._store.asked if scope == self._scope and each.request_id > after_id]

    async def save_status(self, status: Status) -> None:
        self._check_fence()
        self._store.statuses[self._scope] = status

    async def save_candles(self, candles: Sequence[Candle]) -> None:
        for candle in candles:
            key = (candle.symbol, candle.timeframe.total_seconds(), candle.opened_at)
            self._store.candles.setdefault(key, candle)

    async def save_snapshot(self, symbol: str, timeframe: timedelta, text: str) -> None:
        self._check_fence()
        self._store.snapshots[self._scope, symbol, timeframe] = text

    async def load_snapshot(self, symbol: str, timeframe: timedelta) -> str | None:
        return self._store.snapshots.get((self._scope, symbol, timeframe))

    async def close(self) -> None:
        """Nothing to close: the store outlives its journals."""

    def _check_fence(self) -> None:
        if self._store.holders.get(self._scope) != (self._epoch, self._holder):
            raise fenced(self._scope, self._epoch)

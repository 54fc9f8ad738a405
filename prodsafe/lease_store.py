"""Every SQL statement of the lease: locks, takeover, beat, release and the view of who holds what. [E]

The tables and the rules that bind other programs too are in migrations/sql/*_lease*.sql; the guard trigger there hands
out the epochs: a takeover writes previous + 1, and gets back what the guard made of it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from prodsafe.errors import DatabaseRefused, LeaseHeld
from prodsafe.lease_errors import explained, refuse_moved
from prodsafe.lease_model import (
    UNKNOWN_SCOPE,
    Holder,
    LeaseRow,
    LeaseTiming,
    Token,
    judge_tables,
    lock_key,
    refuse_held,
)
from prodsafe.postgres import Connection

# A bigint advisory lock shows up in pg_locks as two halves with objsubid 1, in this database only.
_IS_LOCK = """locktype = 'advisory' AND granted AND mode = 'ExclusiveLock' AND objsubid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
_KEY_OF_LOCK = "((classid::bigint << 32) | objid::bigint)"
_LOCK_OF_KEY = f"{_IS_LOCK} AND {_KEY_OF_LOCK}"

# pg_locks is joined and not asked per row: a thousand scopes that each walk a thousand locks take a tenth of a second.
_LEASES = f"""
SELECT l.scope, l.epoch, l.holder, l.timeline, l.state, l.acquired_at, l.grace_seconds, l.schema_range,
       l.host, l.pid, l.version, l.who, l.reason, l.grace_parts,
       extract(epoch FROM clock_timestamp() - b.renewed_at)::float8 AS beat_age_seconds, k.pid AS lock_pid
  FROM prodsafe.lease AS l
  LEFT JOIN prodsafe.lease_beat AS b ON b.scope = l.scope AND b.epoch = l.epoch AND b.holder = l.holder
  LEFT JOIN (SELECT {_KEY_OF_LOCK} AS key, min(pid) AS pid FROM pg_locks WHERE {_IS_LOCK} GROUP BY 1) AS k
    ON k.key = l.key
"""  # noqa: S608 - composed of constants only

# One statement proves that the rows still carry our token AND that this very session still holds the locks; a plain
# SELECT 1 would pass after DISCARD ALL. FOR SHARE, in scope order: it waits for a takeover under way, without deadlock.
_BEAT = f"""
WITH mine AS MATERIALIZED (
    SELECT l.scope FROM prodsafe.lease AS l
      JOIN unnest(%(scopes)s::text[], %(epochs)s::bigint[]) AS t (scope, epoch)
        ON t.scope = l.scope AND t.epoch = l.epoch
     WHERE l.holder = %(holder)s AND l.state IN ('arming', 'active')
     ORDER BY l.scope FOR SHARE OF l
), locked AS MATERIALIZED (
    SELECT FROM pg_locks WHERE pid = pg_backend_pid() AND {_LOCK_OF_KEY} = ANY(%(keys)s::bigint[])
)
UPDATE prodsafe.lease_beat AS b SET seq = b.seq + 1, renewed_at = clock_timestamp()
  FROM mine
 WHERE b.scope = mine.scope
   AND (SELECT count(*) FROM mine) = %(count)s AND (SELECT count(*) FROM locked) = %(count)s
"""  # noqa: S608 - composed of constants only

_TAKE = """
INSERT INTO prodsafe.lease AS l (scope, key, epoch, holder, timeline, system_id, state, acquired_at, grace_seconds,
                                 grace_parts, schema_range, host, pid, version, who, reason)
VALUES (%(scope)s, %(key)s, 1, %(holder)s, %(timeline)s, %(system_id)s, 'arming', clock_timestamp(), %(grace_seconds)s,
        %(grace_parts)s, %(schema_range)s, %(host)s, %(pid)s, %(version)s, %(who)s, 'acquired')
ON CONFLICT (scope) DO UPDATE SET
    epoch = l.epoch + 1, holder = excluded.holder, timeline = excluded.timeline, state = excluded.state,
    acquired_at = excluded.acquired_at, grace_seconds = excluded.grace_seconds, grace_parts = excluded.grace_parts,
    schema_range = excluded.schema_range, host = excluded.host, pid = excluded.pid, version = excluded.version,
    who = excluded.who, reason = excluded.reason
RETURNING epoch
"""

_FIRST_BEAT = """
INSERT INTO prodsafe.lease_beat AS b (scope, epoch, holder, seq, renewed_at)
VALUES (%(scope)s, %(epoch)s, %(holder)s, 0, clock_timestamp())
ON CONFLICT (scope) DO UPDATE SET
    epoch = excluded.epoch, holder = excluded.holder, seq = 0, renewed_at = excluded.renewed_at
"""

# A dead worker's other scopes die with it: one session held all its locks, so losing one of them is losing all.
_FENCE_REST = """
UPDATE prodsafe.lease SET
    epoch = epoch + 1, timeline = %(timeline)s, system_id = %(system_id)s, holder = gen_random_uuid(), state = 'fenced',
    acquired_at = clock_timestamp(), reason = %(reason)s
 WHERE holder = ANY(%(holders)s) AND state IN ('arming', 'active') AND scope <> ALL(%(except)s)
"""

# timeline 0 is no server's, so the epoch leaps to the clock: in a dump restored into its own cluster nothing else tells
# that later epochs were handed out.
_FORCE = """
UPDATE prodsafe.lease SET
    epoch = epoch + 1, timeline = 0, system_id = %(system_id)s, holder = gen_random_uuid(), state = 'fenced',
    acquired_at = clock_timestamp(), reason = %(reason)s
 WHERE scope = ANY(%(scopes)s)
"""

_MARK = """
UPDATE prodsafe.lease AS l SET state = %(state)s, reason = %(reason)s
  FROM unnest(%(scopes)s::text[], %(epochs)s::bigint[]) AS t (scope, epoch)
 WHERE l.scope = t.scope AND l.epoch = t.epoch AND l.holder = %(holder)s AND l.state IN ('arming', 'active')
"""

# All from the catalogs, which a role without any right on the tables may read as well.
_TABLES = """
SELECT (SELECT jsonb_object_agg(c.relname, pg_get_userbyid(c.relowner)) FROM pg_class AS c
         WHERE c.relnamespace = n.oid AND c.relkind = 'r'),
       (SELECT jsonb_agg(jsonb_build_array(c.relname, t.tgname, p.proname)) FROM pg_trigger AS t
          JOIN pg_class AS c ON c.oid = t.tgrelid
          JOIN pg_proc AS p ON p.oid = t.tgfoid AND p.pronamespace = n.oid
         WHERE c.relnamespace = n.oid AND t.tgenabled IN ('O', 'A'))
  FROM pg_namespace AS n WHERE n.nspname = 'prodsafe'
"""


@dataclass(frozen=True, slots=True)
class Server:
    """Which primary a connection talks to; equal for two connections to the same database."""

    system_id: int
    database_oid: int
    timeline: int


@dataclass(frozen=True, slots=True)
class Taken:
    """What a takeover brought: an epoch for each scope, and how long an unclean predecessor may still be sending."""

    scopes: tuple[str, ...]
    epochs: tuple[int, ...]
    timeline: int
    holder: UUID
    predecessor_clean: bool
    grace_seconds: float

    def token(self, scope: str) -> Token:
        return Token(self.timeline, self.epochs[self.scopes.index(scope)], self.holder)

    def parameters(self) -> dict[str, Any]:
        return {
            "scopes": list(self.scopes),
            "epochs": list(self.epochs),
            "keys": [lock_key(scope) for scope in self.scopes],
            "holder": self.holder,
            "count": len(self.scopes),
        }


def session_settings(timing: LeaseTiming) -> dict[str, int | str]:
    """Server settings of the lock session, in ms: the server frees the locks of one that is silent for too long.

    idle_session_timeout is the one timeout of stock PostgreSQL that ends a crashed, a cut-off and a frozen holder.
    synchronous_commit: a bump that a crash of the server's machine can undo is no fence.
    """
    length_ms = round(timing.length_seconds * 1000)
    return {
        "idle_session_timeout": round(timing.idle_session_seconds * 1000),
        "idle_in_transaction_session_timeout": length_ms,
        "statement_timeout": length_ms,
        "lock_timeout": length_ms,
        "synchronous_commit": "on",
    }


def require_our_tables(conn: Connection) -> None:
    """Refuse (L14) lease tables that another owner made, or whose guards are gone. One round trip, no lock."""
    owners, guards = conn.execute(_TABLES).fetchone() or ({}, [])
    if refusal := judge_tables(owners or {}, [tuple(guard) for guard in guards or []]):
        raise DatabaseRefused(refusal)


def identify(conn: Connection) -> Server:
    """Which cluster, database and timeline; the log file's name knows of a promotion before a checkpoint does."""
    row = conn.execute(
        "SELECT (SELECT system_identifier FROM pg_control_system()),"
        " (SELECT oid FROM pg_database WHERE datname = current_database()),"
        " ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::integer"
    ).fetchone()
    assert row is not None
    return Server(*row)


def try_locks(conn: Connection, scopes: Sequence[str]) -> str | None:
    """Take all locks or none, in the order given; the scope that somebody else holds, or None when all are ours.

    None is kept while another is refused, so two workers that share only one scope never wait for each other.
    """
    taken: list[str] = []
    for scope in scopes:
        if not _boolean(conn, "SELECT pg_try_advisory_lock(%s)", lock_key(scope)):
            unlock(conn, taken)
            return scope
        taken.append(scope)
    return None


def unlock(conn: Connection, scopes: Sequence[str]) -> None:
    for scope in scopes:
        conn.execute("SELECT pg_advisory_unlock(%s)", (lock_key(scope),))


def excludes(other: Connection, scopes: Sequence[str]) -> bool:
    """Whether a second connection is kept out of every scope: behind a pooler each lock may lie in another session.

    Asked for a transaction's length, so a pooler is left with nothing.
    """
    keys = [lock_key(scope) for scope in scopes]
    return _boolean(other, "SELECT NOT bool_or(pg_try_advisory_xact_lock(key)) FROM unnest(%s::bigint[]) AS key", keys)


def _boolean(conn: Connection, query: str, *parameters: object) -> bool:
    row = conn.execute(query, parameters).fetchone()
    return row is not None and row[0] is True


def lock_pid(conn: Connection, scope: str) -> int | None:
    """The server process that holds the scope's lock now, None if nobody does."""
    row = conn.execute(f"SELECT pid FROM pg_locks WHERE {_LOCK_OF_KEY} = %s", (lock_key(scope),)).fetchone()  # noqa: S608
    return None if row is None else int(row[0])


def read_leases(conn: Connection) -> list[LeaseRow]:
    """Every scope that was ever held, in order of name."""
    with explained("every scope"), conn.cursor(row_factory=class_row(LeaseRow)) as cursor:
        return cursor.execute(_LEASES + " ORDER BY l.scope").fetchall()


def read_lease(conn: Connection, scope: str) -> LeaseRow | None:
    with explained(scope), conn.cursor(row_factory=class_row(LeaseRow)) as cursor:
        return cursor.execute(_LEASES + " WHERE l.scope = %s", (scope,)).fetchone()


def raise_held(conn: Connection, scope: str) -> None:
    """Raise LeaseHeld with what the database knows about the holder."""
    raise LeaseHeld(refuse_held(scope, read_lease(conn, scope), lock_pid(conn, scope)))


def take(
    conn: Connection,
    scopes: tuple[str, ...],
    *,
    token_holder: UUID,
    holder: Holder,
    timing: LeaseTiming,
    server: Server,
) -> Taken:
    """In one transaction: the next epoch and our name for every scope, and no epoch left to an unclean predecessor.

    The caller holds the locks. Raises DatabaseRefused, SchemaNotReady.
    """
    with explained(", ".join(scopes)), conn.transaction():
        before = conn.execute(
            "SELECT scope, holder, state, system_id, timeline, grace_seconds, grace_parts FROM prodsafe.lease"
            " WHERE scope = ANY(%s) ORDER BY scope FOR UPDATE",
            (list(scopes),),
        ).fetchall()
        for scope, _, _, system_id, timeline, _, _ in before:
            if system_id != server.system_id or timeline > server.timeline:
                raise refuse_moved(scope)
        unclean = [row for row in before if row[2] != "released"]
        graces = [(timing.grace_seconds, timing.grace_parts), *((row[5], row[6]) for row in unclean)]
        grace_seconds, grace_parts = max(graces, key=lambda grace: grace[0])
        values: dict[str, Any] = {
            "holder": token_holder,
            "timeline": server.timeline,
            "system_id": server.system_id,
            "grace_seconds": grace_seconds,
            "grace_parts": json.dumps(grace_parts),
            "schema_range": json.dumps({name: list(span) for name, span in holder.schema_range.items()}),
            "host": holder.host,
            "pid": holder.pid,
            "version": holder.version,
            "who": holder.who,
        }
        epochs = tuple(_take_scope(conn, scope, values) for scope in scopes)
        lost_holders = [row[1] for row in unclean]
        _fence_rest(conn, server, lost_holders, keep=scopes, reason="its holder lost another of its scopes")
    return Taken(scopes, epochs, server.timeline, token_holder, not unclean, grace_seconds if unclean else 0.0)


def _take_scope(conn: Connection, scope: str, values: dict[str, Any]) -> int:
    row = conn.execute(_TAKE, {**values, "scope": scope, "key": lock_key(scope)}).fetchone()
    assert row is not None
    epoch = int(row[0])
    conn.execute(_FIRST_BEAT, {"scope": scope, "epoch": epoch, "holder": values["holder"]})
    return epoch


def _fence_rest(conn: Connection, server: Server, holders: list[UUID], *, keep: Sequence[str], reason: str) -> None:
    """Cut off every scope of these holders but `keep`."""
    conn.execute(
        _FENCE_REST,
        {
            "timeline": server.timeline,
            "system_id": server.system_id,
            "reason": reason,
            "holders": holders,
            "except": list(keep),
        },
    )


def beat(conn: Connection, taken: Taken) -> bool:
    """True when every row still carries our token and this session still holds every lock. One round trip."""
    return conn.execute(_BEAT, taken.parameters()).rowcount == len(taken.scopes)


def mark(conn: Connection, taken: Taken, state: str, reason: str) -> bool:
    """Write a new state under our own token; False when the token is no longer the current one."""
    values = {**taken.parameters(), "state": state, "reason": reason}
    return conn.execute(_MARK, values).rowcount == len(taken.scopes)


def force_release(conn: Connection, scope: str, *, reason: str) -> list[LeaseRow]:
    """Fence off a scope's holder, with its other scopes, before anything else; the rows as they were.

    Raises DatabaseRefused when the scope was never held.
    """
    with explained(scope), conn.transaction():
        before = [row for row in read_leases(conn) if row.scope == scope]
        if not before:
            known = ", ".join(row.scope for row in read_leases(conn)) or "none"
            raise DatabaseRefused(
                UNKNOWN_SCOPE.because(f"no such scope; known: {known}", seen=scope, mend="prodsafe lock status")
            )
        affected = [row for row in read_leases(conn) if row.holder == before[0].holder]
        scopes = [row.scope for row in affected]
        conn.execute(_FORCE, {"system_id": identify(conn).system_id, "reason": reason, "scopes": scopes})
    return affected


def terminate(conn: Connection, pid: int) -> bool:
    """End a server process; False when it was gone already. Raises DatabaseRefused without the privilege."""
    with explained(f"server process {pid}"):
        return _boolean(conn, "SELECT pg_terminate_backend(%s)", pid)

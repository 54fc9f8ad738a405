"""Who holds a lease now, and which schema they said they can live with. [E]

Reads only columns of the first lease migration: the runner must work beside whatever release made the rows.
"""

from __future__ import annotations

from prodsafe.migrations.compatibility import LiveHolder, waits_for
from prodsafe.migrations.files import Migration
from prodsafe.postgres import Connection

_EXISTS = "SELECT pg_catalog.to_regclass('prodsafe.lease') IS NOT NULL"
# Alive: the session that holds the advisory lock is there, or it was until so recently that it may still be acting.
_LIVE = """
SELECT l.scope, l.host, l.pid, l.version, l.schema_range
  FROM prodsafe.lease AS l LEFT JOIN prodsafe.lease_beat AS b ON (b.scope, b.epoch) = (l.scope, l.epoch)
 WHERE l.state IN ('arming', 'active')
   AND (b.renewed_at > pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => l.grace_seconds)
        OR EXISTS (SELECT FROM pg_catalog.pg_locks AS k
                    WHERE k.locktype = 'advisory' AND k.granted AND k.objsubid = 1
                      AND k.database = (SELECT oid FROM pg_catalog.pg_database
                                         WHERE datname = pg_catalog.current_database())
                      AND (k.classid::bigint << 32 | k.objid::bigint) = l.key))
 ORDER BY l.scope
"""


def live_holders(conn: Connection) -> list[LiveHolder]:
    """By scope; [] where nobody ever took a lease in this database."""
    if conn.execute(_EXISTS).fetchone() != (True,):
        return []
    return [
        LiveHolder(
            f"{scope} (version {version or 'unknown'} at host {host}, pid {pid})",
            {name: (int(span[0]), int(span[1])) for name, span in stated.items()},
        )
        for scope, host, pid, version, stated in conn.execute(_LIVE).fetchall()
    ]


class MustWait(Exception):
    """A lease was taken by somebody who needs the old shape, after the plan was made."""


def keep_holders_out(conn: Connection, migration: Migration) -> None:
    """In the transaction that makes a contract file visible: nobody who needs the old shape holds a lease or gets one.

    The lock is held until the commit, so a worker that takes the lease after it finds the file in the ledger when it
    checks the schema once more. Raises MustWait with who is there.
    """
    if migration.kind != "contract" or conn.execute(_EXISTS).fetchone() != (True,):
        return
    conn.execute("LOCK TABLE prodsafe.lease IN SHARE MODE")
    if because := waits_for(migration, live_holders(conn)):
        raise MustWait(because)

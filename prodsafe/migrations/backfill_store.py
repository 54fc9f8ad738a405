"""The table prodsafe.backfill: how far each data file came, moved on in the same transaction as each batch. [E]

The row is also the fence: who runs a batch holds its lock and reads the last key under it, so no batch runs twice.
"""

from __future__ import annotations

from psycopg import errors

from prodsafe.migrations.backfill_key import Key
from prodsafe.migrations.backfill_pace import Progress
from prodsafe.migrations.plan import Key as FileKey
from prodsafe.postgres import Connection

# fillfactor: it is updated with every batch, and room in its page spares the index
MAKE = b"""
CREATE TABLE IF NOT EXISTS prodsafe.backfill (
    set_name      text NOT NULL,
    version       integer NOT NULL CHECK (version > 0),
    table_name    text NOT NULL,
    key_column    text NOT NULL,
    key_type      text NOT NULL,
    last_key      text,
    rows_walked   bigint NOT NULL DEFAULT 0,
    rows_changed  bigint NOT NULL DEFAULT 0,
    batches       bigint NOT NULL DEFAULT 0,
    rows_expected bigint,
    started_at    timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    updated_at    timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    finished_at   timestamptz,
    PRIMARY KEY (set_name, version)
) WITH (fillfactor = 10);
GRANT SELECT ON prodsafe.backfill TO PUBLIC
"""
_COLUMNS = (
    "table_name, key_column, key_type, last_key, rows_walked, rows_changed, batches, rows_expected,"
    " finished_at IS NOT NULL"
)
_ONE = "WHERE (set_name, version) = (%s, %s)"


def make_store(conn: Connection) -> None:
    """Inside the caller's transaction. Only where it is missing."""
    if conn.execute("SELECT pg_catalog.to_regclass('prodsafe.backfill') IS NULL").fetchone() == (True,):
        conn.execute(MAKE)


def begin(conn: Connection, file: FileKey, key: Key, expected: int | None) -> None:
    """The row of a file that begins; one that is there stays as far as it came."""
    conn.execute(
        "INSERT INTO prodsafe.backfill (set_name, version, table_name, key_column, key_type, rows_expected)"
        " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        [*file, key.table, key.column, key.type, expected],
    )


def start_over(conn: Connection, file: FileKey, key: Key, expected: int | None) -> None:
    conn.execute(f"DELETE FROM prodsafe.backfill {_ONE}", list(file))  # noqa: S608 - constants only
    begin(conn, file, key, expected)


def progress_of(conn: Connection, file: FileKey, *, for_update: bool = False) -> Progress | None:
    """None where the file was never begun. for_update: nobody else moves it on before the caller's transaction ends."""
    lock = " FOR UPDATE" if for_update else ""
    row = conn.execute(f"SELECT {_COLUMNS} FROM prodsafe.backfill {_ONE}{lock}", list(file)).fetchone()  # noqa: S608
    return Progress(*row) if row else None


def read_progress(conn: Connection) -> dict[FileKey, Progress]:
    """Of every data file that was ever begun; {} where there is no table yet."""
    try:
        with conn.transaction():  # so that a missing table does not end a transaction of the caller's
            rows = conn.execute(f"SELECT set_name, version, {_COLUMNS} FROM prodsafe.backfill").fetchall()  # noqa: S608
    except (errors.UndefinedTable, errors.InvalidSchemaName):
        return {}
    return {(name, version): Progress(*rest) for name, version, *rest in rows}


def move_on(conn: Connection, file: FileKey, done: Progress) -> None:
    """Record a batch, inside its transaction."""
    conn.execute(
        "UPDATE prodsafe.backfill SET last_key = %s, rows_walked = %s, rows_changed = %s, batches = %s,"  # noqa: S608
        " updated_at = pg_catalog.clock_timestamp(),"
        f" finished_at = CASE WHEN %s THEN pg_catalog.clock_timestamp() END {_ONE}",
        [done.last_key, done.walked, done.rows, done.batches, done.finished, *file],
    )

"""May a worker start on this schema? Reads only, and only what a worker's boot can afford. [E]"""

from __future__ import annotations

from collections.abc import Sequence

from prodsafe.errors import ExitCode, Refusal, RefusalKind, SchemaNotReady
from prodsafe.migrations.files import Migration, MigrationSet
from prodsafe.migrations.fingerprints import check_drift
from prodsafe.migrations.ledger import read_ledger
from prodsafe.migrations.plan import boot_refusals
from prodsafe.migrations.runner import make_current_plan, read_all
from prodsafe.postgres import Connection

INVALID_INDEX = RefusalKind("M15", "invalid-index", exit_code=ExitCode.SCHEMA_NOT_READY)
NOT_VALID = RefusalKind("M32", "constraint-not-valid", exit_code=ExitCode.SCHEMA_NOT_READY)

# one that is being built right now is no leftover; a partitioned parent's is invalid until all its parts are attached
_INVALID = """
SELECT i.indexrelid::regclass::text, i.indrelid::regclass::text
  FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid AND c.relkind = 'i'
 WHERE NOT i.indisvalid AND c.relnamespace <> 'pg_toast'::regnamespace AND c.relpersistence <> 't'
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index AS p WHERE p.relid = i.indrelid)
 ORDER BY 1
"""
_NOT_VALID = """
SELECT c.relname, o.conname, o.conrelid::regclass::text, pg_catalog.quote_ident(o.conname)
  FROM pg_catalog.pg_constraint AS o JOIN pg_catalog.pg_class AS c ON c.oid = o.conrelid
 WHERE NOT o.convalidated AND o.conparentid = 0 ORDER BY 3, 4
"""


def check_schema(conn: Connection, sets: Sequence[MigrationSet]) -> list[Refusal]:
    """Why a worker may not start on this schema (M.., exit 4); [] when it may. Ask again with the lease.

    Behind, ahead beyond what it can live with, edited, half done, drifted, an INVALID index, a constraint that a file
    validated and that is NOT VALID; contracts may still wait.
    """
    try:
        available = read_all(sets)
        applied = read_ledger(conn)
        refusals = boot_refusals(make_current_plan(conn, available, applied))
        finished = {row.key for row in applied if not row.running}
        ran = [file for files in available.values() for file in files if file.key in finished]
        return refusals or [*_invalid_indexes(conn), *_not_valid(conn, ran), *check_drift(conn, sets)]
    except SchemaNotReady as refused:
        return list(refused.refusals)


def _invalid_indexes(conn: Connection) -> list[Refusal]:
    return [_invalid(index, table) for index, table in conn.execute(_INVALID).fetchall()]


def _invalid(index: str, table: str) -> Refusal:
    copy = index.rstrip('"0123456789').endswith(("_ccnew", "_ccold"))
    return INVALID_INDEX.because(
        f"index {index} of {table} is INVALID: a concurrent build of it was cut off; it is not used, or not complete",
        mend=f"DROP INDEX CONCURRENTLY {index}" if copy else f"REINDEX INDEX CONCURRENTLY {index}",
        seen=f"{index}, indisvalid false",
    )


def _not_valid(conn: Connection, ran: Sequence[Migration]) -> list[Refusal]:
    """One that no file validated yet is in the middle of its way, and hinders nobody."""
    rows = conn.execute(_NOT_VALID).fetchall()
    if not rows:
        return []
    from prodsafe.migrations.validations import validated_by

    validated = validated_by(ran)
    return [
        NOT_VALID.because(
            f"constraint {shown} of {place} is NOT VALID, though {by.label} has validated it: old rows may break it",
            mend=f"ALTER TABLE {place} VALIDATE CONSTRAINT {shown}",
            seen=f"{shown}, convalidated false",
        )
        for table, name, place, shown in rows
        if (by := validated.get((table, name)))
    ]

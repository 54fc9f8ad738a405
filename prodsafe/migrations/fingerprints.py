"""One fingerprint for each set of what its migrations made: recorded by the runner, asked for at every boot. [E]"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from psycopg import errors

from prodsafe.errors import ExitCode, Refusal, RefusalKind, SchemaNotReady
from prodsafe.migrations.files import Migration, MigrationSet, read
from prodsafe.migrations.ledger import unspoilt
from prodsafe.postgres import Connection

DRIFTED = RefusalKind("M29", "schema-drifted", exit_code=ExitCode.SCHEMA_NOT_READY)

# Readable by everybody who may use the schema: it holds no secret, and a worker's role needs no new grant for it.
_MAKE = b"""
CREATE TABLE IF NOT EXISTS prodsafe.catalog_fingerprint (
    set_name     text PRIMARY KEY,
    fingerprint  text NOT NULL,
    row_versions jsonb NOT NULL,
    schemas      text[] NOT NULL,
    roles        text[] NOT NULL,
    ledger_rows  integer NOT NULL,
    server_major integer NOT NULL,
    recorded_at  timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    reason       text NOT NULL
);
GRANT SELECT ON prodsafe.catalog_fingerprint TO PUBLIC
"""
# The ledger only grows, and a file that runs step by step has its row from the first step on: another number of rows
# means that migrations ran, or run just now, since the fingerprint was taken.
_READ = """
SELECT f.set_name, f.fingerprint, f.row_versions, f.schemas, f.roles, f.recorded_at
FROM prodsafe.catalog_fingerprint AS f
WHERE f.set_name = ANY (%s) AND f.server_major = current_setting('server_version_num')::integer / 10000
  AND f.ledger_rows = (SELECT count(*) FROM prodsafe.migration AS m WHERE m.set_name = f.set_name)
ORDER BY f.set_name
"""
_RECORD = """
INSERT INTO prodsafe.catalog_fingerprint
    (set_name, fingerprint, row_versions, schemas, roles, ledger_rows, server_major, reason)
SELECT %(set)s, %(fingerprint)s, %(row_versions)s, %(schemas)s, %(roles)s, count(*),
       current_setting('server_version_num')::integer / 10000, %(reason)s
FROM prodsafe.migration WHERE set_name = %(set)s HAVING count(*) > 0
ON CONFLICT (set_name) DO UPDATE SET
    fingerprint = excluded.fingerprint, row_versions = excluded.row_versions, schemas = excluded.schemas,
    roles = excluded.roles, ledger_rows = excluded.ledger_rows, server_major = excluded.server_major,
    recorded_at = pg_catalog.clock_timestamp(), reason = excluded.reason
"""
_STAY_DRIFTED = """
UPDATE prodsafe.catalog_fingerprint AS f
SET ledger_rows = (SELECT count(*) FROM prodsafe.migration AS m WHERE m.set_name = f.set_name)
WHERE f.set_name = %s
"""
# The catalog's rows by the transactions that wrote them, hashed by schema: a third of the fingerprint's price. Every
# change of an object writes one of these rows. Equal says that nothing happened; unequal says little (a restore, a
# GRANT to a new reader and TRUNCATE change it too), and then the fingerprint decides.
_ROW_VERSIONS = """
WITH space AS MATERIALIZED (
    SELECT oid, nspname, xmin::text AS version FROM pg_namespace WHERE nspname = ANY (%s)
), relation AS MATERIALIZED (
    SELECT c.oid, s.oid AS space, c.xmin::text AS version
    FROM pg_class AS c JOIN space AS s ON s.oid = c.relnamespace WHERE NOT c.relispartition
), types AS MATERIALIZED (
    SELECT t.oid, s.oid AS space, t.xmin::text AS version
    FROM pg_type AS t JOIN space AS s ON s.oid = t.typnamespace WHERE t.typtype IN ('e', 'd', 'r')
), seen (space, catalog, object, part, version) AS (
    SELECT oid, 1, oid, 0::bigint, version FROM space
    UNION ALL SELECT space, 2, oid, 0, version FROM relation
    UNION ALL SELECT space, 3, oid, 0, version FROM types
    UNION ALL SELECT r.space, 4, r.oid, a.attnum, a.xmin::text
              FROM pg_attribute AS a JOIN relation AS r ON r.oid = a.attrelid WHERE a.attnum > 0
    UNION ALL SELECT s.oid, 5, o.oid, 0, o.xmin::text
              FROM pg_constraint AS o JOIN space AS s ON s.oid = o.connamespace
              WHERE o.conparentid = 0 AND o.conislocal  -- not those that a new partition inherits
    UNION ALL SELECT r.space, 7, r.oid, t.oid::bigint, t.xmin::text
              FROM pg_trigger AS t JOIN relation AS r ON r.oid = t.tgrelid
    UNION ALL SELECT s.oid, 8, p.oid, 0, p.xmin::text FROM pg_proc AS p JOIN space AS s ON s.oid = p.pronamespace
    UNION ALL SELECT r.space, 9, r.oid, w.oid::bigint, w.xmin::text
              FROM pg_rewrite AS w JOIN relation AS r ON r.oid = w.ev_class
    UNION ALL SELECT r.space, 10, r.oid, p.oid::bigint, p.xmin::text
              FROM pg_policy AS p JOIN relation AS r ON r.oid = p.polrelid
    UNION ALL SELECT r.space, 11, r.oid, 0, q.xmin::text FROM pg_sequence AS q JOIN relation AS r ON r.oid = q.seqrelid
    UNION ALL SELECT t.space, 12, t.oid, e.oid::bigint, e.xmin::text
              FROM pg_enum AS e JOIN types AS t ON t.oid = e.enumtypid
)
SELECT nspname, md5(string_agg(concat_ws(' ', catalog, object, part, seen.version), ',' ORDER BY catalog, object, part))
FROM seen JOIN space ON space.oid = seen.space GROUP BY nspname
"""


@dataclass(frozen=True, slots=True)
class _Recorded:
    set_name: str
    fingerprint: str
    row_versions: dict[str, str]
    schemas: list[str]
    roles: list[str]
    recorded_at: datetime


def check_drift(conn: Connection, sets: Sequence[MigrationSet]) -> list[Refusal]:
    """Whether anybody changed the sets' schemas since the last migration (M29); reads only, in a few milliseconds.

    No verdict, and so [], where no fingerprint is recorded, where migrations ran since, and after an upgrade of the
    server to another major version, which words its catalog anew: the next run of the migrator records again.
    """
    return list(find_drift(conn, sets).values())


def find_drift(conn: Connection, sets: Sequence[MigrationSet]) -> dict[str, Refusal]:
    """check_drift's refusals by the name of the set."""
    recorded = _read(conn, sets)
    versions = _row_versions(conn, [schema for each in recorded for schema in each.schemas])
    return {
        each.set_name: DRIFTED.because(
            f"set {each.set_name}: the database is not what its migrations made and what was recorded"
            f" {each.recorded_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
            seen=f"schemas {', '.join(each.schemas)}",
            mend="prodsafe migrate verify shows what was changed, and the SQL that mends it; or takes it for right",
        )
        for each in recorded
        if {schema: versions.get(schema) for schema in each.schemas} != each.row_versions and _differs(conn, each)
    }


def is_recorded(conn: Connection, sets: Sequence[MigrationSet], versions: Mapping[str, int]) -> bool:
    """Whether every set with rows in the ledger has a fingerprint for them; one short question.

    versions: of each set in the ledger, 0 for none.
    """
    return {each.name for each in sets if versions[each.name]} <= {each.set_name for each in _read(conn, sets)}


def record_fingerprints(
    conn: Connection,
    sets: Sequence[MigrationSet],
    *,
    files: Mapping[str, Sequence[Migration]] | None = None,
    drifted: Collection[str] = (),
    reason: str = "migrated",
    anew: bool = False,
) -> None:
    """Take today's catalog for what the migrations made, where none is recorded for today's ledger.

    The caller holds the migration lock. files: of each set, where they were read already. drifted: names of the sets
    that had drifted before it began; what was done to them is not taken in: they stay drifted until verify() agrees or
    a person accepts. anew: also over a valid record.
    """
    known = set() if anew else {each.set_name for each in _read(conn, sets)}
    missing = [each for each in sets if each.name not in known]
    if not missing:
        return
    stay = [each.name for each in missing if each.name in drifted]
    texts = {each.name: files[each.name] if files else read(each) for each in missing if each.name not in stay}
    with conn.transaction():
        conn.execute(_MAKE)
        for name in stay:
            conn.execute(_STAY_DRIFTED, [name])
        if texts:
            _record(conn, texts, reason)


def _differs(conn: Connection, recorded: _Recorded) -> bool:
    """For the schemas and roles as they were when it was recorded: an older worker's files name less than runs now."""
    from prodsafe.migrations.catalog import Owned, fingerprint  # here: a run with nothing to do never asks

    return fingerprint(conn, Owned(tuple(recorded.schemas), tuple(recorded.roles))) != recorded.fingerprint


def _record(conn: Connection, files: Mapping[str, Iterable[Migration]], reason: str) -> None:
    from prodsafe.migrations.catalog import fingerprints, owned_by

    owned = {name: owned_by(migration.sql for migration in each) for name, each in files.items()}
    versions = _row_versions(conn, [schema for each in owned.values() for schema in each.schemas])
    for name, fingerprint in fingerprints(conn, owned).items():
        schemas, roles = owned[name].schemas, owned[name].roles
        conn.execute(
            _RECORD,
            {
                "set": name,
                "fingerprint": fingerprint,
                "row_versions": json.dumps({schema: versions.get(schema) for schema in schemas}),
                "schemas": list(schemas),
                "roles": list(roles),
                "reason": reason,
            },
        )


def _row_versions(conn: Connection, schemas: Iterable[str]) -> dict[str, str]:
    wanted = sorted(set(schemas))
    return dict(conn.execute(_ROW_VERSIONS, [wanted]).fetchall()) if wanted else {}


def _read(conn: Connection, sets: Sequence[MigrationSet]) -> list[_Recorded]:
    try:
        with unspoilt(conn):
            rows = conn.execute(_READ, [[each.name for each in sets]]).fetchall()
    except (errors.UndefinedTable, errors.InvalidSchemaName):
        return []
    except errors.InsufficientPrivilege as error:
        raise SchemaNotReady(
            DRIFTED.because(
                f"whether the schema drifted cannot be seen: {error.diag.message_primary}",
                mend="grant this user USAGE on schema prodsafe and SELECT on its tables",
            )
        ) from error
    return [_Recorded(*row) for row in rows]

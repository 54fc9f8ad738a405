"""Indexes built, dropped and rebuilt CONCURRENTLY: what is there, is it what the file says, what did a kill leave. [E]

IF NOT EXISTS is never trusted: an INVALID leftover also "exists". A definition is compared as the server writes it, by
building the same index on an empty copy of its table.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from prodsafe.errors import ExitCode, RefusalKind, SchemaNotReady
from prodsafe.migrations.locking import Report
from prodsafe.migrations.statements import IDENTIFIER, QUALIFIED, Statement
from prodsafe.postgres import Connection

INDEX_DIFFERS = RefusalKind("M17", "index-differs", exit_code=ExitCode.SCHEMA_NOT_READY)

POLL_SECONDS, STILL_BUILDING_SECONDS = 0.1, 5.0

_CREATE = re.compile(
    rf"create (?P<unique>unique )?index concurrently (?:if not exists )?(?P<name>{IDENTIFIER}) on (?:only )?"
    rf"(?P<table>{QUALIFIED})(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_DROP = re.compile(
    rf"drop index concurrently (?:if exists )?(?P<name>{QUALIFIED})(?: cascade| restrict)?", re.IGNORECASE
)
_REINDEX = re.compile(
    rf"reindex (?:\([^)]*\) ?)?(?P<kind>index|table|schema|database|system) concurrently(?: (?P<name>{QUALIFIED}))?",
    re.IGNORECASE,
)
# the definition from USING on: without the names, which differ between an index and its copy
_DEFINITION = """
pg_catalog.substr(pg_catalog.pg_get_indexdef(i.indexrelid), pg_catalog.length(
    'CREATE ' || CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END || 'INDEX ' || pg_catalog.quote_ident(c.relname)
    || ' ON ' || CASE WHEN t.relpersistence = 't' THEN 'pg_temp' ELSE pg_catalog.quote_ident(
        (SELECT nspname FROM pg_catalog.pg_namespace WHERE oid = t.relnamespace)) END
    || '.' || pg_catalog.quote_ident(t.relname) || ' ') + 1)
"""
_FROM = """
  FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
  JOIN pg_catalog.pg_class AS t ON t.oid = i.indrelid
"""
_IN_PROGRESS = """
EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index AS p
         WHERE p.datname = pg_catalog.current_database() AND p.relid = i.indrelid
           AND p.index_relid IN (0, i.indexrelid))
"""
_LOOK_UP = f"""
SELECT i.indexrelid::regclass::text, i.indisvalid, i.indisunique, {_DEFINITION}, i.indrelid = %(table)s::regclass,
       {_IN_PROGRESS}
{_FROM} WHERE c.relname = (pg_catalog.parse_ident(%(name)s))[1]
   AND c.relnamespace = (SELECT relnamespace FROM pg_catalog.pg_class WHERE oid = %(table)s::regclass)
"""  # noqa: S608 - composed of constants only
_DEFINITION_OF = f"SELECT {_DEFINITION} {_FROM} WHERE i.indexrelid = %s::regclass"
_LEFTOVERS = f"""
SELECT i.indexrelid::regclass::text {_FROM}
 WHERE NOT i.indisvalid AND c.relname ~ '_cc(new|old)[0-9]*$' AND NOT {_IN_PROGRESS}
   AND t.relnamespace <> 'pg_toast'::regnamespace
   AND CASE %(kind)s WHEN 'index' THEN t.oid = (SELECT indrelid FROM pg_catalog.pg_index
                                                 WHERE indexrelid = pg_catalog.to_regclass(%(name)s))
                     WHEN 'table' THEN t.oid = pg_catalog.to_regclass(%(name)s)
                     WHEN 'schema' THEN t.relnamespace = pg_catalog.to_regnamespace(%(name)s) ELSE true END
"""  # noqa: S608 - composed of constants only


@dataclass(frozen=True, slots=True)
class Found:
    """An index of the wanted name. definition: from USING on. building: by somebody, at this moment."""

    name: str
    valid: bool
    unique: bool
    definition: str
    on_its_table: bool
    building: bool


@dataclass(frozen=True, slots=True)
class IndexBuild:
    """A CREATE INDEX CONCURRENTLY of a file; name, table and rest as written."""

    unique: bool
    name: str
    table: str
    rest: str

    @property
    def sql(self) -> str:
        """Without IF NOT EXISTS: whether it exists was looked up."""
        return f"CREATE {'UNIQUE ' if self.unique else ''}INDEX CONCURRENTLY {self.name} ON {self.table}{self.rest}"

    def look_up(self, conn: Connection) -> Found | None:
        row = conn.execute(_LOOK_UP, {"name": self.name, "table": self.table}).fetchone()
        return Found(*row) if row else None

    def wait_for_others(self, conn: Connection, report: Report, ends_at: float) -> Found | None:
        """As look_up, once nobody builds it any more: the build of a killed runner may outlive it for a moment."""
        tell_at = time.monotonic()
        while (found := self.look_up(conn)) and found.building and not found.valid and time.monotonic() < ends_at:
            if time.monotonic() >= tell_at:
                report(f"index {found.name} is being built by another session; waiting for it")
                tell_at = time.monotonic() + STILL_BUILDING_SECONDS
            time.sleep(POLL_SECONDS)
        return found

    def is_what(self, conn: Connection, found: Found) -> bool:
        """Whether the index that is there is the one this statement makes."""
        return found.on_its_table and found.unique == self.unique and found.definition == self._definition(conn)

    def _definition(self, conn: Connection) -> str | None:
        """As the server writes it, from an empty copy of the table that is rolled back."""
        with conn.transaction(force_rollback=True):
            row = conn.execute(
                "SELECT pg_catalog.quote_ident(relname) FROM pg_catalog.pg_class WHERE oid = %s::regclass", [self.table]
            ).fetchone()
            copy = row[0] if row else ""
            conn.execute(f"CREATE TEMPORARY TABLE {copy} (LIKE {self.table})".encode())
            unique = "UNIQUE " if self.unique else ""
            conn.execute(f"CREATE {unique}INDEX {self.name} ON pg_temp.{copy}{self.rest}".encode())
            row = conn.execute(_DEFINITION_OF, [f"pg_temp.{self.name}"]).fetchone()
            return row[0] if row else None


def read_build(statement: Statement) -> IndexBuild | None:
    found = _CREATE.fullmatch(statement.clean)
    return IndexBuild(bool(found["unique"]), found["name"], found["table"], found["rest"]) if found else None


def dropped_index(statement: Statement) -> str | None:
    """The name in a DROP INDEX CONCURRENTLY."""
    found = _DROP.fullmatch(statement.clean)
    return found["name"] if found else None


def rebuild_leftovers(conn: Connection, statement: Statement) -> list[str]:
    """What a killed REINDEX CONCURRENTLY of the same target left: INVALID copies that nothing will ever use."""
    found = _REINDEX.match(statement.clean)
    if not found:
        return []
    target = {"kind": found["kind"].lower(), "name": found["name"]}
    return [name for (name,) in conn.execute(_LEFTOVERS, target).fetchall()]


def refuse_other(label: str, found: Found) -> SchemaNotReady:
    state = "valid" if found.valid else "INVALID"
    return SchemaNotReady(
        INDEX_DIFFERS.because(
            f"{label}: an index of this name is there already and is another one than the file makes",
            seen=f"{found.name}, {state}: {'UNIQUE ' if found.unique else ''}{found.definition}",
            mend=f"DROP INDEX CONCURRENTLY {found.name} if nothing needs it, or give the new one another name",
        )
    )

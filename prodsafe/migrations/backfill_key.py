"""The key that a backfill walks: unique, not null, indexed, one column; and whether the statement keeps to it. [E]"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import RawCursor

from prodsafe.errors import ExitCode, Refusal, RefusalKind, SchemaNotReady
from prodsafe.migrations.batches import Batch, numbered
from prodsafe.postgres import Connection

KEY_UNUSABLE = RefusalKind("M21", "batch-key-unusable", exit_code=ExitCode.SCHEMA_NOT_READY)
KEY_IGNORED = RefusalKind("M22", "batch-ignores-its-key", exit_code=ExitCode.SCHEMA_NOT_READY)

# type -> its least and greatest value, for a look at the plan where the table has no rows yet
KEY_TYPES = {
    "smallint": ("-32768", "32767"),
    "integer": ("-2147483648", "2147483647"),
    "bigint": ("-9223372036854775808", "9223372036854775807"),
    "uuid": ("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
    "text": ("", "zzzz"),
    "character varying": ("", "zzzz"),
    "timestamp with time zone": ("-infinity", "infinity"),
}
INTEGERS = frozenset({"smallint", "integer", "bigint"})

_TABLE = """
SELECT c.oid, c.oid::regclass::text, c.relkind::text, c.relkind = 'r' AND c.relhassubclass
  FROM pg_catalog.pg_class AS c WHERE c.oid = pg_catalog.to_regclass(%s)
"""
_COLUMN = """
SELECT attnum, pg_catalog.quote_ident(attname), attnotnull, pg_catalog.format_type(atttypid, NULL)
  FROM pg_catalog.pg_attribute
 WHERE attrelid = %s AND attname = (pg_catalog.parse_ident(%s))[1] AND attnum > 0 AND NOT attisdropped
"""
# an index that serves both the order and the uniqueness: not partial, not being built, with the column's own ordering
_UNIQUE = """
SELECT FROM pg_catalog.pg_index AS i
  JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
  JOIN pg_catalog.pg_am AS m ON m.oid = c.relam AND m.amname = 'btree'
  JOIN pg_catalog.pg_opclass AS o ON o.oid = i.indclass[0] AND o.opcdefault
  JOIN pg_catalog.pg_attribute AS a ON (a.attrelid, a.attnum) = (i.indrelid, i.indkey[0])
 WHERE i.indrelid = %s AND i.indkey[0] = %s AND i.indnkeyatts = 1 AND i.indisunique AND i.indisvalid AND i.indisready
   AND i.indpred IS NULL AND i.indcollation[0] = a.attcollation
"""
_INDEXES = """
SELECT c.relname FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
 WHERE i.indrelid = %(table)s OR i.indrelid IN (SELECT relid FROM pg_catalog.pg_partition_tree(%(table)s))
"""
_ESTIMATE = """
SELECT sum(c.reltuples)::bigint, min(c.reltuples) < 0 OR min(c.relpages) = 0
  FROM pg_catalog.pg_class AS c
 WHERE (c.oid = %(table)s OR c.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree(%(table)s))) AND c.relkind = 'r'
"""
COUNTED_ROWS = 100_000  # counted where the planner has no estimate yet

Keys = tuple[str, str]  # the first and the last of a batch, as the server writes them


@dataclass(frozen=True, slots=True)
class Key:
    """table, column: as SQL wants them, quoted where needed. oid: of the table."""

    oid: int
    table: str
    column: str
    type: str

    def span_sql(self, *, resumed: bool) -> str:
        """First and last key, and how many, of the next rows. $1: how many at most; resumed: $2, the key before."""
        after = f"WHERE {self.column} > $2::{self.type} " if resumed else ""
        return (
            f"WITH batch AS MATERIALIZED (SELECT {self.column} AS k FROM {self.table} {after}"  # noqa: S608
            f"ORDER BY {self.column} LIMIT $1::bigint)"
            " SELECT (SELECT batch.k::text FROM batch ORDER BY batch.k LIMIT 1),"
            " (SELECT batch.k::text FROM batch ORDER BY batch.k DESC LIMIT 1), (SELECT count(*) FROM batch)"
        )


def look_up_key(conn: Connection, label: str, batch: Batch) -> Key:
    """The key as it is in the database. Raises SchemaNotReady (M21)."""
    table = conn.execute(_TABLE, [batch.table]).fetchone()
    if table is None:
        raise _unusable(label, f"there is no table {batch.table}", "correct the file, or bring the table back")
    oid, name, kind, has_children = table
    if kind not in "rp" or has_children:
        what = "it has tables that inherit from it, and no index spans them" if kind == "r" else "it is no table"
        raise _unusable(label, f"{name} cannot be walked: {what}", "name an ordinary or a partitioned table")
    column = conn.execute(_COLUMN, [oid, batch.key]).fetchone()
    if column is None:
        raise _unusable(label, f"{name} has no column {batch.key}", "name its key column")
    number, column_name, not_null, key_type = column
    key = Key(oid, name, column_name, key_type)
    indexed = conn.execute(_UNIQUE, [oid, number]).fetchone() is not None
    if refusal := _check(label, key, not_null=not_null, indexed=indexed):
        raise SchemaNotReady(refusal)
    return key


def check_statement(conn: Connection, label: str, batch: Batch, key: Key) -> str | None:
    """A warning in words where batches would be slow. Raises SchemaNotReady (M22) where they would not keep to the key.

    In the caller's transaction, whose planner it asks to avoid full scans.
    """
    keys = next_keys(conn, key, None, batch.size)[0] or KEY_TYPES[key.type]
    plan = _plan(conn, batch, key, keys)
    indexes = {name for (name,) in conn.execute(_INDEXES, {"table": key.oid})}
    match walk_of(plan, key.column, indexes):
        case "index":
            return None
        case "filter":
            return f"{label}: the planner does not use the index of {key.column}; each batch may read the whole table"
        case _:
            raise SchemaNotReady(
                KEY_IGNORED.because(
                    f"{label}: the statement does not keep to the rows from :first to :last of {key.table}.{key.column}"
                    ", so each batch would touch the others' rows",
                    mend=f"join with AND: WHERE {key.column} BETWEEN :first AND :last AND (...)",
                )
            )


def next_keys(conn: Connection, key: Key, last_key: str | None, size: int) -> tuple[Keys | None, int]:
    """First and last key of the next rows after last_key, and how many rows those are; at most size."""
    parameters = [size] if last_key is None else [size, last_key]
    row = RawCursor(conn).execute(key.span_sql(resumed=last_key is not None), parameters).fetchone()
    first, last, count = row if row else (None, None, 0)
    return ((first, last) if count else None), count


def last_key(conn: Connection, key: Key) -> str | None:
    """The greatest key there is now."""
    sql = f"SELECT t.{key.column}::text FROM {key.table} AS t ORDER BY t.{key.column} DESC LIMIT 1"  # noqa: S608
    row = conn.execute(sql.encode()).fetchone()
    return row[0] if row else None


def run_statement(conn: Connection, batch: Batch, key: Key, keys: Keys) -> int:
    """Run the statement over one range of keys; the rows that it changed."""
    return RawCursor(conn).execute(numbered(batch.statement.text, key.type).encode(), list(keys)).rowcount


def estimated_rows(conn: Connection, key: Key) -> int | None:
    """Rows of the table by the planner's statistics, counted where it has none; None when those are too many."""
    row = conn.execute(_ESTIMATE, {"table": key.oid}).fetchone()
    if row and row[0] is not None and not row[1]:
        return int(row[0])
    limit = COUNTED_ROWS + 1
    counted = conn.execute(f"SELECT count(*) FROM (SELECT FROM {key.table} LIMIT {limit}) AS t".encode()).fetchone()  # noqa: S608
    return int(counted[0]) if counted and counted[0] < limit else None


def walk_of(plan: dict[str, Any], column: str, indexes: Collection[str]) -> str:
    """How a plan (a node of EXPLAIN's JSON) finds the rows: by the key's "index", by a "filter", or "" for neither."""
    best = ""
    for node in _nodes(plan):
        if node.get("Index Name") in indexes and _both_bounds(node.get("Index Cond", ""), column):
            return "index"
        if "Relation Name" in node and _both_bounds(node.get("Filter", ""), column):
            best = "filter"
    return best


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every node whose rows limit what the statement does: not one side of an OR, nor a sub-query for a value."""
    if node.get("Subplan Name", "CTE").startswith("CTE"):
        yield node
        for below in [] if node.get("Node Type") == "BitmapOr" else node.get("Plans", []):
            yield from _nodes(below)


def _both_bounds(condition: str, column: str) -> bool:
    side = rf"\(*(?:[\w\"]+\.)?{re.escape(column)}\)?(?:::[\w ]+)?"
    parts = _conjuncts(condition)
    return all(any(re.match(rf"{side} {sign}=? ", part) for part in parts) for sign in "><")


def _conjuncts(condition: str) -> list[str]:
    """What ANDs join at the top: "((a >= 1) AND (b OR c))" -> "(a >= 1)", "(b OR c)"."""
    parts, depth, start = [], 0, 0
    inner = condition[1:-1] if condition.startswith("((") else condition
    for found in re.finditer(r"'(?:[^']|'')*'|[()]| AND | OR ", inner):
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if depth == 0 and found[0] == " OR ":
            return []
        if depth == 0 and found[0] == " AND ":
            parts.append(inner[start : found.start()])
            start = found.end()
    return [*parts, inner[start:]]


def _plan(conn: Connection, batch: Batch, key: Key, keys: Sequence[str]) -> dict[str, Any]:
    conn.execute("SET LOCAL enable_seqscan = off")
    explain = f"EXPLAIN (FORMAT JSON) {numbered(batch.statement.text, key.type)}"
    row = RawCursor(conn).execute(explain.encode(), list(keys)).fetchone()
    plan: dict[str, Any] = row[0][0]["Plan"] if row else {}
    return plan


def _check(label: str, key: Key, *, not_null: bool, indexed: bool) -> Refusal | None:
    where = f"{key.table}.{key.column}"
    if key.type not in KEY_TYPES:
        known = ", ".join(KEY_TYPES)
        return _refusal(label, f"{where} is of type {key.type}", f"walk a key of type {known}")
    if not not_null:
        cause = f"{where} may be null, and rows without a key would be left out"
        return _refusal(label, cause, "name a column that is NOT NULL")
    if not indexed:
        return _refusal(
            label,
            f"{where} has no unique index of its own (valid, whole, in the column's own order)",
            f"name its primary key, or in an expand file before: CREATE UNIQUE INDEX CONCURRENTLY name ON {key.table}"
            f" ({key.column})",
        )
    return None


def _unusable(label: str, cause: str, mend: str) -> SchemaNotReady:
    return SchemaNotReady(_refusal(label, cause, mend))


def _refusal(label: str, cause: str, mend: str) -> Refusal:
    return KEY_UNUSABLE.because(f"{label}: {cause}", mend=mend)

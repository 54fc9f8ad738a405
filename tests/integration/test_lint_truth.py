"""The linter's facts about PostgreSQL, measured on a real one: what ALTER TABLE rewrites, reads or builds anew."""

from __future__ import annotations

import psycopg

from prodsafe.migrations.lint.linter import SqlFile, lint
from tests.lint_cases.case import ATTACH_2024, EVENTS, MAY_BE_NULL, ORDERS

_FILES = """
SELECT pg_relation_filenode('t'), pg_stat_get_xact_numscans('t'::regclass),
       (SELECT array_agg(pg_relation_filenode(indexrelid) ORDER BY indexrelid) FROM pg_index
         WHERE indrelid = 't'::regclass)
"""
DOMAINS = "CREATE DOMAIN d AS text; CREATE DOMAIN e AS d; CREATE DOMAIN checked AS text CHECK (value <> '');"
PLAIN = ("", "")
LOWER = ("", "CREATE INDEX i ON t (lower(a::text));")
PARTIAL = ("", "CREATE INDEX i ON t (n) WHERE a IS NOT NULL AND a::text <> 'x';")
INDEXED = ("", "CREATE INDEX i ON t (a);")
CHECKED = ("", "ALTER TABLE t ADD CHECK (a::text <> 'x');")
UNCHECKED = ("", "ALTER TABLE t ADD CHECK (a::text <> 'x') NOT VALID;")
TYPES = (DOMAINS, "")

CHANGES = [
    ("varchar(20)", "varchar(40)", PLAIN), ("varchar(20)", "varchar", PLAIN), ("varchar(20)", "text", PLAIN),
    ("varchar(20)", "varchar(10)", PLAIN), ("text", "varchar", PLAIN), ("text", "varchar(20)", PLAIN),
    ("varchar(20)", "varchar(40)", INDEXED), ("varchar(20)", "text", INDEXED), ("varchar(20)", "text", LOWER),
    ("varchar(20)", "varchar(40)", PARTIAL), ("varchar(20)", "varchar(40)", CHECKED),
    ("varchar(20)", "text", UNCHECKED), ("char(5)", "char(9)", PLAIN), ("char(5)", "text", PLAIN),
    ("numeric(10,2)", "numeric(12,2)", PLAIN), ("numeric(10,2)", "numeric(12,4)", PLAIN),
    ("numeric(10,2)", "numeric", PLAIN), ("numeric", "numeric(10,2)", PLAIN), ("numeric(10)", "numeric(12)", PLAIN),
    ("int", "bigint", PLAIN), ("int", "oid", PLAIN), ("oid", "regclass", PLAIN), ("bigint", "oid", PLAIN),
    ("cidr", "inet", PLAIN), ("inet", "cidr", PLAIN), ("bit(8)", "varbit", PLAIN), ("varbit(8)", "varbit(16)", PLAIN),
    ("varbit(8)", "varbit(4)", PLAIN), ("time(3)", "time(6)", PLAIN), ("timestamp(3)", "timestamp", PLAIN),
    ("timestamp", "timestamp(6)", PLAIN), ("timestamp", "timestamp(3)", PLAIN), ("interval", "interval(6)", PLAIN),
    ("interval(4)", "interval", PLAIN), ("interval(4)", "interval(2)", PLAIN), ("timestamp", "timestamptz", PLAIN),
    ("xml", "text", PLAIN), ("json", "jsonb", PLAIN), ("varchar(20)[]", "varchar(50)[]", PLAIN),
    ("varchar(20)[]", "varchar[]", PLAIN), ("varchar(20)[]", "text[]", PLAIN), ("int[]", "bigint[]", PLAIN),
    ("text", "d", TYPES), ("d", "text", TYPES), ("text", "e", TYPES), ("text", "checked", TYPES),
    ("checked", "text", TYPES), ("e", "varchar", TYPES),
]  # fmt: skip


def test_a_change_of_type_is_free_exactly_where_the_linter_says_so(database_url: str) -> None:
    wrong = []
    for old, new, (before, after) in CHANGES:
        setup = f"{before} CREATE TABLE t (a {old}, n int); {after}"
        change = f"ALTER TABLE t ALTER COLUMN a TYPE {new};"
        found = [each.category for each in lint([SqlFile("<stdin>", change)], setup=[setup]).findings]
        if ("change-column-type" in found) != _touches(database_url, setup, change):
            wrong.append((setup, change, found))

    assert wrong == []


ADDED = [
    "x int", "x int DEFAULT 5 NOT NULL", "x timestamptz DEFAULT now()", "x timestamptz DEFAULT clock_timestamp()",
    "x uuid DEFAULT gen_random_uuid()", "x int CHECK (x > 0)", "x bigserial", "x int GENERATED ALWAYS AS IDENTITY",
    "x int GENERATED ALWAYS AS (n + 1) STORED", "x d", "x checked", "x checked[]", "x date DEFAULT current_date + 1",
    "x text DEFAULT md5('a')", "x float DEFAULT random()", "x int UNIQUE", "x name DEFAULT current_user",
    "x text DEFAULT to_char(now(), 'YYYY')", "x jsonb DEFAULT jsonb_build_object('a', 1)", "x int DEFAULT abs(-1)",
    "x timestamp DEFAULT timeofday()::timestamp", "x int DEFAULT pg_backend_pid()", "x text COLLATE \"C\" DEFAULT 'a'",
    "x bigint DEFAULT (date_part('epoch', now()) * 1000)::bigint", "x int4range DEFAULT int4range(1, 5)",
]  # fmt: skip


def test_a_new_column_is_free_exactly_where_the_linter_says_so(database_url: str) -> None:
    setup, wrong = f"{DOMAINS} CREATE TABLE t (a text, n int);", []
    for column in ADDED:
        change = f"ALTER TABLE t ADD COLUMN {column};"
        found = [each.category for each in lint([SqlFile("<stdin>", change)], setup=[setup]).findings]
        if bool(found) != _touches(database_url, setup, change):
            wrong.append((change, found))

    assert wrong == []


def _touches(url: str, setup: str, change: str) -> bool:
    """Whether the change writes the table or an index anew, or reads all rows; nothing of it stays."""
    with psycopg.connect(url) as conn:
        conn.execute(b"SET LOCAL timezone = 'Europe/Berlin'")
        conn.execute(setup.encode())
        before = conn.execute(_FILES).fetchone()
        conn.execute(change.encode())
        after = conn.execute(_FILES).fetchone()
        conn.rollback()
    assert before is not None and after is not None
    built = len(after[2] or ()) != len(before[2] or ()) or (after[2] or before[2]) != before[2]
    return bool(before[:2] != after[:2] or built)


MENDED = [
    (ORDERS, 'ALTER TABLE shop."Order" ADD COLUMN nr bigserial;'),
    (ORDERS, 'ALTER TABLE shop."Order" ADD COLUMN nr int GENERATED ALWAYS AS IDENTITY;'),
    (ORDERS, 'ALTER TABLE shop."Order" ADD COLUMN token uuid NOT NULL DEFAULT gen_random_uuid();'),
    (ORDERS, 'ALTER TABLE shop."Order" ADD COLUMN cents bigint GENERATED ALWAYS AS (id * 100) STORED;'),
    (ORDERS, 'ALTER TABLE shop."Order" ADD COLUMN vat shop.amount;'),
    (ORDERS, 'ALTER TABLE shop."Order" ADD COLUMN a int CONSTRAINT "C" CHECK (a > 0), ADD b int CHECK (b IN (1, 2));'),
    (ORDERS, 'ALTER TABLE shop."Order" ADD c bigint REFERENCES shop.customer (id) ON DELETE SET NULL DEFERRABLE;'),
    (ORDERS, 'ALTER TABLE shop."Order" ADD FOREIGN KEY (customer_id) REFERENCES shop.customer ON UPDATE CASCADE;'),
    (ORDERS, 'ALTER TABLE shop."Order" ADD COLUMN a text UNIQUE, ADD UNIQUE (code) DEFERRABLE INITIALLY DEFERRED;'),
    (ORDERS, 'ALTER TABLE shop."Order" ADD COLUMN a text NOT NULL, ADD CHECK (note <> code);'),
    (ORDERS, 'ALTER TABLE shop."Order" ALTER COLUMN customer_id SET NOT NULL;'),
    (ORDERS, 'ALTER TABLE shop."Order" ALTER COLUMN tax TYPE numeric(5, 4);'),
    (ORDERS, 'ALTER TABLE shop."Order" RENAME COLUMN tax TO vat;'),
    (ORDERS, 'ALTER TABLE shop."Order" RENAME TO orders;'),
    (ORDERS, 'ALTER TABLE shop.customer SET SCHEMA public;'),
    (ORDERS, "ALTER DOMAIN shop.amount ADD CHECK (value < 1000); ALTER DOMAIN shop.plain SET NOT NULL;"),
    (ORDERS, "UPDATE shop.customer AS c SET name = o.code FROM shop.\"Order\" AS o WHERE o.customer_id = c.id;"),
    (ORDERS, "DELETE FROM shop.customer WHERE name IS NULL RETURNING id; TRUNCATE shop.\"Order\";"),
    (ORDERS, 'CREATE INDEX ON shop."Order" (lower(note), tax DESC) WHERE paid; DROP INDEX shop.order_code;'),
    (ORDERS, 'REINDEX (VERBOSE) TABLE shop."Order"; REINDEX INDEX shop.order_code;'),
    (EVENTS, "ALTER TABLE event_2024 ADD PRIMARY KEY (id, at); ALTER TABLE event DETACH PARTITION event_2023;"),
    (EVENTS, ATTACH_2024), (MAY_BE_NULL, ATTACH_2024),
    ("CREATE TABLE p (id int, a text) PARTITION BY LIST (a); CREATE TABLE c (id int, a text);",
     "ALTER TABLE p ATTACH PARTITION c FOR VALUES IN ('x', 'it''s'); ALTER TABLE p ATTACH PARTITION c DEFAULT;"),
    ("CREATE TABLE p (id int) PARTITION BY HASH (id); CREATE TABLE c (id int);",
     "ALTER TABLE p ATTACH PARTITION c FOR VALUES WITH (MODULUS 4, REMAINDER 0);"),
    ("CREATE TABLE t (a int); CREATE UNIQUE INDEX i ON t (a);", "ALTER TABLE t ADD PRIMARY KEY USING INDEX i;"),
]  # fmt: skip


def test_postgresql_takes_each_mend_step_by_step(database_url: str) -> None:
    """In one transaction that is rolled back, so without CONCURRENTLY."""
    wrong = []
    with psycopg.connect(database_url) as conn:
        for setup, sql in MENDED:
            for finding in lint([SqlFile("<stdin>", sql)], setup=[setup]).findings:
                conn.execute(setup.encode())
                try:
                    conn.execute(finding.mend.replace(" CONCURRENTLY", "").encode())
                except psycopg.Error as error:
                    wrong.append((str(error), finding.mend))
                conn.rollback()

    assert wrong == []

"""Two catalogs compared: every difference is told once, with the SQL that mends it."""

from __future__ import annotations

import pytest

from prodsafe.migrations.catalog import Entry, Owned, owned_by
from prodsafe.migrations.difference import compare

T = "app.orders"
TABLE = Entry("table", "", T, "")
CHECK = Entry("constraint", T, "positive", "CHECK ((qty > 0))")
INDEX = Entry("index", T, "app.by_symbol", "CREATE INDEX by_symbol ON app.orders USING btree (symbol)")


def column(definition: str) -> Entry:
    return Entry("column", T, "qty", definition)


def trigger(state: str) -> Entry:
    return Entry("trigger", T, "fence", "CREATE TRIGGER fence BEFORE INSERT ON app.orders EXECUTE FUNCTION f()", state)


@pytest.mark.parametrize(
    ("expected", "found", "mend"),
    [
        (column("integer"), None, "ALTER TABLE app.orders ADD COLUMN qty integer;"),
        (None, column("integer"), "ALTER TABLE app.orders DROP COLUMN qty;"),
        (column("bigint"), column("integer"), "ALTER TABLE app.orders ALTER COLUMN qty TYPE bigint;"),
        (
            column("bigint DEFAULT 1 NOT NULL"),
            column("bigint"),
            "ALTER TABLE app.orders ALTER COLUMN qty SET DEFAULT 1, ALTER COLUMN qty SET NOT NULL;",
        ),
        (column("bigint"), column("bigint DEFAULT 1"), "ALTER TABLE app.orders ALTER COLUMN qty DROP DEFAULT;"),
        (
            column("bigint GENERATED ALWAYS AS (a DEFAULT b) STORED NOT NULL"),
            column("bigint GENERATED ALWAYS AS (a DEFAULT b) STORED"),
            "ALTER TABLE app.orders ALTER COLUMN qty SET NOT NULL;",
        ),
        (INDEX, None, "CREATE INDEX CONCURRENTLY by_symbol ON app.orders USING btree (symbol);"),
        (None, INDEX, "DROP INDEX CONCURRENTLY app.by_symbol;"),
        (
            INDEX,
            Entry(*INDEX.key, INDEX.definition, "INVALID"),
            "REINDEX INDEX CONCURRENTLY app.by_symbol;",
        ),
        (
            CHECK,
            None,
            "ALTER TABLE app.orders ADD CONSTRAINT positive CHECK ((qty > 0)) NOT VALID;"
            " ALTER TABLE app.orders VALIDATE CONSTRAINT positive;",
        ),
        (
            CHECK,
            Entry(*CHECK.key, "CHECK ((qty > 0)) NOT VALID", "NOT VALID"),
            "ALTER TABLE app.orders VALIDATE CONSTRAINT positive;",
        ),
        (trigger(""), trigger("DISABLED"), "ALTER TABLE app.orders ENABLE TRIGGER fence;"),
        (trigger("ALWAYS"), trigger(""), "ALTER TABLE app.orders ENABLE ALWAYS TRIGGER fence;"),
        (
            None,
            Entry("enforcement", T, "fk", "", "DISABLED"),
            "ALTER TABLE app.orders ENABLE TRIGGER ALL;",
        ),
        (
            Entry("privilege", "TABLE app.orders", "reader", "SELECT"),
            Entry("privilege", "TABLE app.orders", "reader", "INSERT, SELECT"),
            "REVOKE INSERT ON TABLE app.orders FROM reader;",
        ),
        (
            None,
            Entry("privilege", "TABLE app.orders (qty)", "public", "SELECT, UPDATE"),
            "REVOKE SELECT (qty), UPDATE (qty) ON TABLE app.orders FROM PUBLIC;",
        ),
        (TABLE, None, "-- no statement brings back what was in it: restore app.orders from a backup"),
        (
            TABLE,
            Entry("table", "", T, "", "ROW SECURITY"),
            "ALTER TABLE app.orders DISABLE ROW LEVEL SECURITY; ALTER TABLE app.orders NO FORCE ROW LEVEL SECURITY;",
        ),
    ],
)
def test_each_difference_comes_with_the_sql_that_mends_it(expected, found, mend):
    (difference,) = compare([expected] if expected else [], [found] if found else [])

    assert difference.mend == mend
    assert difference.as_lines()[0].startswith(difference.verdict)


def test_equal_catalogs_do_not_differ_whatever_their_order():
    assert compare([TABLE, CHECK, INDEX], [INDEX, CHECK, TABLE]) == []


def test_of_a_lost_table_the_parts_are_not_told_one_by_one():
    grant = Entry("privilege", f"TABLE {T}", "reader", "SELECT")

    (difference,) = compare([TABLE, CHECK, INDEX, column("integer"), trigger(""), grant], [])

    assert difference.what == "table app.orders"


def test_the_index_of_a_lost_constraint_is_not_told_apart_from_it():
    key = Entry("constraint", T, "orders_pkey", "PRIMARY KEY (id)")
    its_index = Entry("index", T, "app.orders_pkey", "CREATE UNIQUE INDEX orders_pkey ON app.orders USING btree (id)")

    (difference,) = compare([TABLE, key, its_index], [TABLE])

    assert difference.mend == "ALTER TABLE app.orders ADD CONSTRAINT orders_pkey PRIMARY KEY (id);"


def test_of_a_long_body_the_first_line_that_differs_is_shown():
    expected = Entry("function", "", "app.f()", "CREATE FUNCTION app.f()\nBEGIN\n  RETURN 1;\nEND")
    found = Entry("function", "", "app.f()", "CREATE FUNCTION app.f()\nBEGIN\n  RETURN 2;\nEND")

    (difference,) = compare([expected], [found])

    assert difference.as_lines()[1:3] == ["  expected: line 3: RETURN 1;", "  found:    line 3: RETURN 2;"]


@pytest.mark.parametrize(
    ("sql", "owned"),
    [
        ("CREATE SCHEMA app; CREATE TABLE app.a (id int)", Owned(("app",))),
        ("create schema if not exists App; create table a (id int)", Owned(("app", "public"))),
        ('CREATE SCHEMA "My App"; CREATE TABLE "My App"."a b" ()', Owned(("My App",))),
        ("CREATE UNLOGGED TABLE IF NOT EXISTS app . a ()", Owned(("app",))),
        ("-- CREATE SCHEMA no\n/* CREATE TABLE no.a */ CREATE SCHEMA yes", Owned(("yes",))),
        ("DO $$ BEGIN GRANT SELECT ON ALL TABLES IN SCHEMA app TO reader; END $$", Owned((), ("reader",))),
        ('GRANT USAGE ON SCHEMA app TO a, "B"; GRANT SELECT ON app.t TO PUBLIC, c', Owned((), ("B", "a", "c"))),
    ],
)
def test_what_a_set_owns_is_read_from_its_files(sql, owned):
    assert owned_by([sql]) == owned

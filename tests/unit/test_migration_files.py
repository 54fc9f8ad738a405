"""Which files are migrations, what their checksum sees, and what may not stand in one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from prodsafe.errors import ExitCode, SchemaNotReady
from prodsafe.migrations import PRODSAFE_SET, MigrationSet, load
from prodsafe.migrations.checks import NOT_TRANSACTIONAL
from prodsafe.migrations.files import MALFORMED_FILE, normalised, parse_all
from prodsafe.migrations.statements import Way, split, steps_of

TABLE = b"CREATE TABLE t (id bigint);\n"


def refused(contents: dict[str, bytes]) -> SchemaNotReady:
    with pytest.raises(SchemaNotReady) as caught:
        parse_all("app", contents)
    assert caught.value.exit_code == ExitCode.SCHEMA_NOT_READY
    return caught.value


def one(sql: str) -> dict[str, bytes]:
    return {"0001_expand_it.sql": sql.encode()}


def test_files_become_migrations_in_order_of_their_numbers():
    found = parse_all("app", {"0002_contract_drop_old.sql": b"DROP TABLE t;", "0001_expand_t.sql": TABLE})

    assert [(m.version, m.kind, m.name) for m in found] == [
        (1, "expand", "0001_expand_t"),
        (2, "contract", "0002_contract_drop_old"),
    ]


@pytest.mark.parametrize(
    "name",
    [
        "1_expand_t.sql",
        "0001_t.sql",
        "0001_expand.sql",
        "0001_Expand_t.sql",
        "0001_expand_t.SQL",
        "0000_expand_t.sql",
        "0001_expand_t-2.sql",
        "٠٠٠١_expand_t.sql",
    ],
)
def test_a_file_that_does_not_follow_the_naming_rule_is_refused_rather_than_skipped(name):
    assert [refusal.kind for refusal in refused({name: TABLE}).refusals] == [MALFORMED_FILE]


def test_one_number_twice_is_refused_with_both_names():
    error = refused({"0001_expand_a.sql": TABLE, "0001_expand_b.sql": TABLE})

    assert "0001_expand_a, 0001_expand_b" in str(error)


def test_a_nul_character_is_refused_since_the_server_would_never_see_what_follows_it():
    assert "NUL" in str(refused(one("SELECT 1;\0 SELECT 2;")))


def test_all_malformed_files_are_reported_at_once():
    error = refused({"1.sql": TABLE, "x.sql": TABLE, "0001_expand_a.sql": b"\xff\xfe"})

    assert len(error.refusals) == 3


@pytest.mark.parametrize("changed", [b"\xef\xbb\xbf" + TABLE, TABLE.replace(b"\n", b"\r\n"), b"\n" + TABLE + b" \n\n"])
def test_bom_line_ends_and_trailing_blanks_do_not_change_the_checksum(changed):
    plain, other = parse_all("app", {"0001_expand_t.sql": TABLE}), parse_all("app", {"0001_expand_t.sql": changed})

    assert plain[0].checksum == other[0].checksum
    assert plain[0].raw_checksum != other[0].raw_checksum


def test_a_changed_word_changes_the_checksum():
    plain, other = parse_all("app", one("SELECT 1")), parse_all("app", one("SELECT 2"))

    assert plain[0].checksum != other[0].checksum


def test_the_checksum_depends_on_the_text_alone_not_on_the_path(tmp_path: Path):
    """Trap of other tools: a checksum that takes in the path changes when the project moves."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "0001_expand_t.sql").write_bytes(TABLE)

    first, second = (load(MigrationSet("app", tmp_path / folder))[0] for folder in ("a", "b"))

    assert first.checksum == second.checksum


@pytest.mark.parametrize("sql", ["", "-- nothing\n", "/* nothing */ ;;\n"])
def test_a_file_without_a_statement_is_refused(sql):
    assert "no statement" in str(refused(one(sql)))


@pytest.mark.parametrize(
    "sql",
    ["BEGIN; SELECT 1; COMMIT;", "select 1;\ncommit", "START TRANSACTION;", "/* x */ rollback ;", "End;", "ABORT;"],
)
def test_transaction_control_in_a_file_is_refused(sql):
    assert "transaction control" in str(refused(one(sql)))


@pytest.mark.parametrize("sql", ["COPY t FROM STDIN;", "\\i other.sql", "SELECT 1 \\gexec"])
def test_what_only_psql_understands_is_refused(sql):
    assert "not SQL" in str(refused(one(sql)))


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE INDEX CONCURRENTLY i ON t (id);",
        "create unique index concurrently if not exists i on t (id)",
        "CREATE /* hidden */ INDEX\n CONCURRENTLY i ON t (id);",
        "DROP INDEX CONCURRENTLY i;",
        "REINDEX INDEX CONCURRENTLY i;",
        "REINDEX (VERBOSE) TABLE CONCURRENTLY t;",
        "REINDEX DATABASE CONCURRENTLY;",
        "ALTER TABLE t DETACH PARTITION p CONCURRENTLY;",
        "VACUUM FULL t;",
        "VACUUM;",
        "ALTER SYSTEM SET work_mem = '1MB';",
        "CLUSTER;",
    ],
)
def test_what_cannot_run_in_a_transaction_makes_the_file_one_of_steps_without_any_flag(sql):
    (migration,) = parse_all("app", one(sql))

    assert not migration.transactional and [each.way for each in migration.statements] == [Way.ALONE]


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("CREATE DATABASE d;", "by hand"),
        ("DROP SUBSCRIPTION s;", "by hand"),
        ("CREATE INDEX CONCURRENTLY ON t (id);", "needs a name"),
        ("SET LOCAL lock_timeout = 0; VACUUM t;", "without LOCAL"),
    ],
)
def test_what_the_next_run_could_not_heal_is_refused_before_anything_runs(sql, why):
    error = refused(one(sql))

    assert [refusal.kind for refusal in error.refusals] == [NOT_TRANSACTIONAL] and why in str(error)


@pytest.mark.parametrize(
    "sql",
    [
        "SET LOCAL lock_timeout = 0; SELECT 1",
        "ALTER TYPE mood ADD VALUE 'new'",
        "ANALYZE t",
        "SET search_path = s; CREATE TABLE vacuum_log (id int)",
        "CREATE INDEX i ON t (id) /* CONCURRENTLY */",
        "SELECT 'CREATE INDEX CONCURRENTLY i ON t (id)'",
    ],
)
def test_everything_else_is_one_transaction(sql):
    assert parse_all("app", one(sql))[0].transactional


def test_settings_are_no_steps_and_hold_for_the_steps_below_them():
    steps = steps_of(split("SET a.b = 1; VACUUM t; RESET a.b; SELECT 1"))

    assert [(step.settings, step.statement.text) for step in steps] == [
        (("SET a.b = 1",), "VACUUM t"),
        (("SET a.b = 1", "RESET a.b"), "SELECT 1"),
    ]


@pytest.mark.parametrize("rest", ["0002", "9", "x", "", "0"])
def test_a_file_may_require_only_an_earlier_one(rest):
    contents = {"0001_expand_a.sql": TABLE, "0002_contract_b.sql": f"-- prodsafe: require {rest}\n".encode() + TABLE}

    assert "no earlier file" in str(refused(contents))


def test_a_directive_is_read_and_a_wrong_one_refused():
    contents = {"0001_data_a.sql": TABLE, "0002_contract_b.sql": b"-- prodsafe: require 0001\n" + TABLE}

    assert parse_all("app", contents)[1].requires == (1,)
    assert "unknown directive" in str(refused(one("-- prodsafe: hurry\nSELECT 1")))


@pytest.mark.parametrize(
    "sql",
    [
        "SAVEPOINT a; ROLLBACK TO a;",
        "SELECT 'COMMIT; \\ VACUUM';",
        "SELECT E'it\\'s; COMMIT';",
        "DO $$ BEGIN PERFORM 1; END $$;",
        "DO $body$ BEGIN PERFORM '$$'; COMMIT; END $body$;",
        'CREATE TABLE "vacuum; commit" (id int);',
        "-- COMMIT;\nSELECT 1; -- BEGIN;",
        "/* outer /* COMMIT; */ BEGIN; */ SELECT 1;",
        "CREATE INDEX concurrently_made ON t (id);",
        "CLUSTER t USING i;",
        "COMMENT ON TABLE t IS 'x';",
        "SELECT 1 AS a$b$, 2 AS c$b$;",
        "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END; SELECT 3;",
    ],
)
def test_safe_code_raises_no_false_alarm(sql):
    assert parse_all("app", one(sql))


def test_statements_are_split_outside_quotes_comments_and_function_bodies():
    sql = "SELECT 'a;b'; /* ; */ SELECT $x$ ; $x$ -- ;\n; CREATE FUNCTION f() BEGIN ATOMIC SELECT 1; END"

    found = split(sql)

    assert [each.code for each in found] == ["SELECT ''", "SELECT ''", "CREATE FUNCTION f() BEGIN ATOMIC SELECT 1; END"]
    assert found[0].text == "SELECT 'a;b'" and found[0].clean == "SELECT 'a;b'"
    assert [each.line for each in found] == [1, 1, 2]


@given(st.text())
@example("/* /* ")
@example("$$ never closed ;")
@example("E'\\")
def test_any_text_is_split_without_an_error_and_no_statement_is_empty(sql):
    assert all(each.code and each.text in sql for each in split(sql))


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff")))
def test_normalising_twice_changes_nothing_more(text):
    once = normalised(text.encode())

    assert normalised(once.encode()) == once


@given(st.lists(st.sampled_from(["SELECT 1", "SELECT ';'", 'SELECT ";"', "SELECT $$;$$", "DO $a$;$$;$a$"])))
def test_joining_statements_and_splitting_them_gives_as_many_back(parts):
    assert len(split(" ;\n".join(parts))) == len(parts)


def test_a_missing_folder_is_refused_with_its_name(tmp_path: Path):
    with pytest.raises(SchemaNotReady, match="nowhere"):
        load(MigrationSet("app", tmp_path / "nowhere"))


def test_prodsafes_own_set_is_well_formed():
    assert load(PRODSAFE_SET)[0].version == 1

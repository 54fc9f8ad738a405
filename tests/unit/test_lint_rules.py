"""What the linter says beside the category: places, severities, mends, the runner, directives, folders."""

from __future__ import annotations

import pytest

from prodsafe.migrations.directives import Allow, read_directives
from prodsafe.migrations.lint.categories import CATEGORIES
from prodsafe.migrations.lint.findings import Finding
from prodsafe.migrations.lint.linter import Options, Report, SqlFile, lint

NAMES = "id bigint PRIMARY KEY, v20 varchar(20), d numeric(10,2), n int, ts timestamp, city_id bigint"
SETUP = (
    f"CREATE TABLE t ({NAMES}); CREATE TABLE cities (id bigint PRIMARY KEY);"
    " CREATE DOMAIN pos AS int CHECK (value > 0);"
)


def judge(
    sql: str, *, setup: str = "", kind: str = "", name: str = "<stdin>", options: Options | None = None
) -> Report:
    return lint([SqlFile(name, sql, kind)], setup=[setup] if setup else [], options=options)


def findings(sql: str, **more: object) -> list[Finding]:
    return list(judge(sql, **more).findings)  # type: ignore[arg-type]


def names(sql: str, **more: object) -> list[str]:
    return [each.category for each in findings(sql, **more)]


# what PostgreSQL 15 was measured to do, by relfilenode and sequential scans before and after each statement
REWRITES_OR_SCANS = [
    ("ALTER TABLE t ADD COLUMN x bigint GENERATED ALWAYS AS IDENTITY", "serial-column-rewrite"),
    ("ALTER TABLE t ADD COLUMN x bigserial", "serial-column-rewrite"),
    ("ALTER TABLE t ADD COLUMN x timestamptz DEFAULT clock_timestamp()", "volatile-default-rewrite"),
    ("ALTER TABLE t ADD COLUMN x uuid DEFAULT gen_random_uuid()", "volatile-default-rewrite"),
    ("ALTER TABLE t ADD COLUMN x int GENERATED ALWAYS AS (n * 2) STORED", "generated-stored-rewrite"),
    ("ALTER TABLE t ADD COLUMN x pos", "domain-column-scan"),
    ("ALTER TABLE t ADD COLUMN x int CHECK (x > 0)", "constraint-without-not-valid"),
    ("ALTER TABLE t ALTER COLUMN v20 TYPE varchar(10)", "change-column-type"),
    ("ALTER TABLE t ALTER COLUMN d TYPE numeric(12,3)", "change-column-type"),
    ("ALTER TABLE t ALTER COLUMN n TYPE bigint", "change-column-type"),
    ("ALTER TABLE t ALTER COLUMN v20 TYPE jsonb USING v20::jsonb", "change-column-type"),
    ("ALTER TABLE t SET UNLOGGED", "table-rewrite-command"),
    ("ALTER TABLE t ADD CONSTRAINT c CHECK (n > 0)", "constraint-without-not-valid"),
    ("ALTER TABLE t ALTER COLUMN n SET NOT NULL", "set-not-null-full-scan"),
    ("ALTER TABLE t ADD COLUMN x bigint REFERENCES cities (id)", "fk-without-not-valid"),  # no scan, but two locks
]
KEEPS_ROWS = [
    "ALTER TABLE t ADD COLUMN x int DEFAULT 5 NOT NULL",
    "ALTER TABLE t ADD COLUMN x timestamptz DEFAULT now()",
    "ALTER TABLE t ALTER COLUMN v20 TYPE text",
    "ALTER TABLE t ALTER COLUMN v20 TYPE varchar(40)",
    "ALTER TABLE t ALTER COLUMN v20 TYPE varchar(40) USING v20::varchar(40)",
    "ALTER TABLE t ALTER COLUMN d TYPE numeric(12,2)",
    "SET TimeZone = 'UTC'; ALTER TABLE t ALTER COLUMN ts TYPE timestamptz",
    "ALTER TABLE t ADD CONSTRAINT c CHECK (n > 0) NOT VALID",
    "ALTER TABLE t SET (fillfactor = 70)",
]


@pytest.mark.parametrize(("sql", "category"), REWRITES_OR_SCANS)
def test_what_was_measured_to_rewrite_or_scan_is_found(sql: str, category: str) -> None:
    assert names(sql, setup=SETUP) == [category]


@pytest.mark.parametrize("sql", KEEPS_ROWS)
def test_what_was_measured_to_leave_the_rows_alone_passes(sql: str) -> None:
    assert names(sql, setup=SETUP) == []


def test_drop_column_was_measured_to_be_free_and_is_found_for_the_older_worker_alone() -> None:
    assert names("ALTER TABLE t DROP COLUMN n", setup=SETUP) == ["drop-column"]


@pytest.mark.parametrize(
    ("sql", "place"),
    [
        ("DROP TABLE t;", (1, 1)),
        ("\n\n  DROP TABLE t;", (3, 3)),
        ("/* é */ SELECT 'ü'; DROP TABLE t;", (1, 21)),
        ("-- why\nALTER TABLE t\n  ADD COLUMN a int,\n  DROP COLUMN b;", (4, 3)),
        ('ALTER TABLE "ä,b" ADD CHECK (x IN (1, 2)), DROP COLUMN c;', (1, 19)),
        ("SELECT 1;\r\nDROP TABLE t;", (2, 1)),
        ("DO $$\nBEGIN\n  DROP TABLE t;\nEND $$;", (1, 1)),
        ("SELECT 'ä'; ALTER TABEL t;", (1, 19)),
        ("\ufeffDROP TABLE t;", (1, 1)),
    ],
)
def test_a_finding_points_at_the_command_in_characters(sql: str, place: tuple[int, int]) -> None:
    assert (findings(sql)[0].line, findings(sql)[0].column) == place


def test_a_hazard_in_a_do_block_points_into_the_block() -> None:
    found = findings("DO $body$\nBEGIN\n  IF true THEN\n    DROP TABLE t;\n  END IF;\nEND $body$;")

    assert ("drop-table", 4, 5) in [(each.category, each.line, each.column) for each in found]


def test_the_other_statements_of_a_file_that_does_not_parse_are_still_read() -> None:
    assert names("ALTER TABEL t; DROP TABLE a;\n\\d x\nCREATE INDEX i ON t (c);") == [
        "syntax-error", "drop-table", "syntax-error", "locked-then-more-statements", "index-not-concurrent",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sql", "mend"),
    [
        ("CREATE INDEX i ON t (c);", "CREATE INDEX CONCURRENTLY i ON t (c);"),
        ('create unique index "I x" on s."T" (lower("C")) -- why\n where c > 0', None),
        ("CREATE INDEX ON t (a, lower(b));", "CREATE INDEX CONCURRENTLY t_a_expr_idx ON t (a, lower(b));"),
        ("DROP INDEX IF EXISTS s.i;", "DROP INDEX CONCURRENTLY IF EXISTS s.i;"),
        ("REINDEX (CONCURRENTLY false) TABLE t;", "REINDEX TABLE CONCURRENTLY t;"),
        ('ALTER TABLE "P" DETACH PARTITION s.c;', 'ALTER TABLE "P" DETACH PARTITION s.c CONCURRENTLY;'),
        ("UPDATE t SET a = f(1), b = 2 WHERE c;", None),
    ],
)
def test_a_mend_is_sql_with_the_users_own_names_and_is_clean_itself(sql: str, mend: str | None) -> None:
    [found] = findings(sql)

    assert mend in (None, found.mend)
    assert names(found.mend) == []


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE t ADD COLUMN a int NOT NULL;",
        "ALTER TABLE t ADD COLUMN a numeric(10, 2) CONSTRAINT x CHECK (a IN (1, 2)) DEFAULT 5;",
        "ALTER TABLE t ADD COLUMN a bigint REFERENCES o (id);",
        "ALTER TABLE t ADD COLUMN a text UNIQUE;",
        "ALTER TABLE t ADD COLUMN a uuid DEFAULT gen_random_uuid() NOT NULL;",
        "ALTER TABLE t ADD COLUMN a serial;",
        "ALTER TABLE t ADD CHECK (a > 0 AND b IN (1, 2));",
        'ALTER TABLE s."T" ADD CONSTRAINT "C" FOREIGN KEY (a) REFERENCES o (id) ON DELETE CASCADE;',
        "ALTER TABLE t ADD PRIMARY KEY (a, b);",
        "ALTER TABLE t ADD UNIQUE (a) INCLUDE (b);",
        "ALTER TABLE t ALTER a SET NOT NULL;",
        "ALTER TABLE t ALTER a TYPE numeric(10,2) USING a::numeric(10,2);",
        "ALTER TABLE t RENAME COLUMN a TO b;",
        "ALTER TABLE s.t RENAME TO u;",
        "ALTER TABLE p ATTACH PARTITION c FOR VALUES FROM (1) TO (2);",
        "ALTER DOMAIN d ADD CONSTRAINT c CHECK (value > 0);",
        "DELETE FROM t;",
        "TRUNCATE a, b CASCADE;",
        "VACUUM FULL t;",
        "DROP TABLE t;",
        "REVOKE SELECT ON t FROM app;",
    ],
)
def test_every_mend_is_sql_that_parses(sql: str) -> None:
    for found in findings(sql):
        assert "syntax-error" not in names(found.mend), found.mend


def test_the_steps_of_a_foreign_key_come_in_order_and_say_where_they_belong() -> None:
    [found] = findings("ALTER TABLE a ADD CONSTRAINT f FOREIGN KEY (b_id) REFERENCES b (id);")

    assert found.mend.split("\n") == [
        "-- in this file",
        "ALTER TABLE a ADD CONSTRAINT f FOREIGN KEY (b_id) REFERENCES b (id) NOT VALID;",
        "-- in a next expand file",
        "ALTER TABLE a VALIDATE CONSTRAINT f;",
    ]


def test_a_message_names_what_waits_in_the_users_own_names() -> None:
    [found] = findings('CREATE INDEX i ON app."Orders" (id);')

    assert 'app."Orders"' in found.message
    assert "waits until the index is built" in found.message


def test_the_mend_of_a_whole_table_write_keeps_its_condition_and_bounds_its_key() -> None:
    [update] = findings("UPDATE t AS x SET a = o.a FROM o WHERE o.id = x.o_id OR x.b RETURNING 1;")
    [delete] = findings("DELETE FROM t WHERE status = 'old';")

    assert update.mend.split("\n")[1] == (
        "UPDATE t AS x SET a = o.a FROM o WHERE x.id BETWEEN 1 AND 1000 AND (o.id = x.o_id OR x.b);"
    )
    assert delete.mend.split("\n")[1] == "DELETE FROM t WHERE id BETWEEN 1 AND 1000 AND (status = 'old');"


def test_the_mend_of_a_reference_keeps_its_actions() -> None:
    [found] = findings("ALTER TABLE t ADD COLUMN a int REFERENCES o ON DELETE CASCADE ON UPDATE SET NULL;")

    assert "REFERENCES o ON DELETE CASCADE ON UPDATE SET NULL NOT VALID;" in found.mend


def test_the_mend_of_an_index_on_a_partitioned_table_keeps_its_method() -> None:
    [found] = findings(
        'CREATE INDEX i ON public."P" USING gin (a) WHERE b;',
        setup='CREATE TABLE "P" (a int[], b bool) PARTITION BY LIST (b);',
    )

    assert 'CREATE INDEX i ON ONLY public."P" USING gin (a) WHERE b;' in found.mend


# the runner


def test_the_keys_of_a_batch_are_bounds_in_a_file_that_is_done_in_batches_and_no_sql_elsewhere() -> None:
    batch = "-- prodsafe: batch t by id size 500\nUPDATE t SET a = 1 WHERE id BETWEEN :first AND :last AND a IS NULL;"

    assert names(batch, kind="data") == names(batch) == []
    assert "syntax-error" in names(batch, kind="expand")
    assert names("UPDATE t SET a = 1 WHERE id BETWEEN :first AND :last;") == ["syntax-error"]


def test_a_file_of_the_runner_holds_no_transaction_control() -> None:
    assert names("BEGIN; SELECT 1; COMMIT;", kind="expand") == ["transaction-nesting", "transaction-nesting"]


def test_the_runner_opens_no_transaction_round_a_file_with_a_concurrent_statement() -> None:
    sql = "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT VALID; CREATE INDEX CONCURRENTLY i ON t (a);"

    assert names(sql + "ALTER TABLE t VALIDATE CONSTRAINT c;", kind="expand") == []


def test_the_runner_opens_one_transaction_round_every_other_file() -> None:
    sql = "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT VALID; ALTER TABLE t VALIDATE CONSTRAINT c;"

    assert names(sql, kind="expand") == ["validate-in-same-transaction"]
    assert names(sql, kind="expand", options=Options(assume_transaction=False)) == []


def test_a_block_that_commits_fails_inside_the_runners_transaction() -> None:
    assert names("DO $$ BEGIN COMMIT; END $$;", kind="expand") == ["transaction-nesting"]


def test_what_a_contract_file_is_for_is_a_note_there_and_an_error_elsewhere() -> None:
    [expand] = findings("ALTER TABLE t DROP COLUMN a;", kind="expand")
    [contract] = findings("ALTER TABLE t DROP COLUMN a;", kind="contract")

    assert (expand.severity, contract.severity) == ("error", "note")
    assert "no older worker" in contract.message


def test_what_blocks_is_an_error_in_a_contract_file_too() -> None:
    [found] = findings("ALTER TABLE t ALTER COLUMN a TYPE bigint;", kind="contract")

    assert found.severity == "error"


# what earlier files made


def test_a_table_of_an_earlier_file_exists_and_may_be_big() -> None:
    files = [
        SqlFile("0001_expand_a.sql", "CREATE TABLE t (c int);", "expand"),
        SqlFile("b", "CREATE INDEX i ON t (c);"),
    ]

    assert [(each.file, each.category) for each in lint(files).findings] == [("b", "index-not-concurrent")]


def test_not_valid_then_validate_then_not_null_over_three_files_is_the_safe_way() -> None:
    texts = [
        "CREATE TABLE t (a int);",
        "ALTER TABLE t ADD CONSTRAINT c CHECK (a IS NOT NULL) NOT VALID;",
        "ALTER TABLE t VALIDATE CONSTRAINT c;",
        "ALTER TABLE t ALTER COLUMN a SET NOT NULL; ALTER TABLE t DROP CONSTRAINT c;",
        "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a);",
        "ALTER TABLE t ADD CONSTRAINT p PRIMARY KEY USING INDEX i;",
    ]

    assert lint([SqlFile(str(number), text, "expand") for number, text in enumerate(texts)]).findings == ()


def test_the_same_without_the_validation_is_found() -> None:
    texts = ["ALTER TABLE t ADD CONSTRAINT c CHECK (a IS NOT NULL) NOT VALID;", "ALTER TABLE t ALTER a SET NOT NULL;"]

    report = lint([SqlFile(str(number), text) for number, text in enumerate(texts)])

    assert [each.category for each in report.findings] == ["set-not-null-full-scan"]


def test_a_renamed_table_keeps_what_is_known_of_it() -> None:
    setup = "CREATE TABLE a (n int NOT NULL); ALTER TABLE a RENAME TO b; ALTER TABLE b RENAME COLUMN n TO m;"

    assert names("ALTER TABLE b ALTER COLUMN m SET NOT NULL;", setup=setup) == []


# directives


def test_a_directive_with_its_reason_allows_one_category_in_its_file() -> None:
    header = "-- prodsafe: allow drop-column because the last reader went with release 41\n"
    report = judge(header + "ALTER TABLE t DROP COLUMN a, ALTER b TYPE bigint;")

    assert [each.category for each in report.findings] == ["change-column-type"]
    assert report.allowed == 1


def test_a_directive_does_not_reach_the_next_file() -> None:
    first = "-- prodsafe: allow drop-table because nothing reads it\nDROP TABLE a;"

    report = lint([SqlFile("1", first), SqlFile("2", "DROP TABLE b;")])

    assert [(each.file, each.category) for each in report.findings] == [("2", "drop-table")]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("-- prodsafe: allow drop-table", "reason"),
        ("-- prodsafe: allow drop-table because", "reason"),
        ("-- prodsafe: allow drop-table because -", "reason"),
        ("-- prodsafe: allow because it is old", "names no category"),
        ("-- prodsafe: allow", "names no category"),
        ("-- prodsafe: allow drop-tabel because it is old", "unknown category 'drop-tabel'"),
        ("-- prodsafe: ignore drop-table because it is old", "unknown directive 'ignore'"),
        ("-- prodsafe allow drop-table because it is old", "a colon is missing"),
    ],
)
def test_a_malformed_directive_allows_nothing_and_is_reported_itself(line: str, why: str) -> None:
    found = findings(f"{line}\nDROP TABLE t;")

    assert [each.category for each in found] == ["malformed-directive", "drop-table"]
    assert why in found[0].message


def test_directives_are_read_from_comments_alone() -> None:
    in_a_string = "SELECT '\n-- prodsafe: allow drop-table because it is old\n';"
    sql = in_a_string + "/*\n-- prodsafe: allow x because y\n*/ DROP TABLE t;"

    assert names(sql) == ["drop-table"]


def test_one_directive_may_name_several_categories() -> None:
    read = read_directives("-- PRODSAFE: Allow drop-table, drop-view because gone\nSELECT 1", categories=CATEGORIES)

    assert read.allowed == (Allow("drop-table", "gone", 1), Allow("drop-view", "gone", 1))
    assert read.reason_for("drop-view") == "gone"
    assert read.malformed == ()


def test_verbs_of_other_rooms_are_handed_on() -> None:
    read = read_directives("-- prodsafe: require 0007\nSELECT 1;", verbs={"require"})

    assert [(each.verb, each.rest, each.line) for each in read.others] == [("require", "0007", 1)]


# optional groups


@pytest.mark.parametrize(
    ("category", "sql"),
    [
        ("missing-lock-timeout", "ALTER TABLE t ADD COLUMN a int;"),
        ("missing-statement-timeout", "SET lock_timeout = '1s'; ALTER TABLE t ADD COLUMN a int;"),
        ("lock-timeout-too-long", "SET lock_timeout = '5s'; ALTER TABLE t ADD COLUMN a int;"),
        ("cic-if-not-exists-keeps-invalid", "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (c);"),
        ("multiple-concurrent-in-one-file", "DROP INDEX CONCURRENTLY i; DROP INDEX CONCURRENTLY j;"),
        ("empty-migration", "-- nothing"),
        ("fk-missing-index", "CREATE TABLE t (id int PRIMARY KEY, o_id int REFERENCES o);"),
        ("multiple-alter-same-table", "ALTER TABLE t ADD COLUMN a int; ALTER TABLE t ADD COLUMN b int;"),
        ("int-type", "CREATE TABLE t (a integer);"),
        ("smallint-type", "ALTER TABLE t ADD COLUMN a smallint;"),
        ("serial-type", "CREATE TABLE t (a bigserial);"),
        ("varchar-limit", "CREATE TABLE t (a varchar(20));"),
        ("char-type", "CREATE TABLE t (a char(2));"),
        ("timestamp-without-tz", "CREATE TABLE t (a timestamp);"),
        ("enum-create", "CREATE TYPE e AS ENUM ('a');"),
        ("enum-add-value-unordered", "ALTER TYPE e ADD VALUE 'x';"),
        ("domain-with-constraint", "CREATE DOMAIN d AS int CHECK (value > 0);"),
        ("identifier-too-long", f"CREATE TABLE {'t' * 64} (a int);"),
    ],
)
def test_hygiene_and_style_are_said_only_when_asked_for(category: str, sql: str) -> None:
    asked = names(sql, options=Options(hygiene=True, style=True))

    assert category in asked
    assert category not in names(sql)


def test_an_index_on_the_foreign_keys_columns_satisfies_hygiene() -> None:
    sql = "CREATE TABLE t (id int PRIMARY KEY, o_id int REFERENCES o); CREATE INDEX i ON t (o_id, id);"

    assert names(sql, options=Options(hygiene=True)) == []


# this project's own files


@pytest.mark.parametrize(
    "name", ["prodsafe/migrations/sql/0001_expand_lease.sql", "live/migrations/0001_expand_journal.sql"]
)
def test_this_projects_first_migrations_are_clean(name: str) -> None:
    from tests.processes import PROJECT

    assert names((PROJECT / name).read_text(), kind="expand") == []

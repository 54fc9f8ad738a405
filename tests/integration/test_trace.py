"""What migrations really do, statement by statement, on a throw-away server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

from prodsafe.errors import SchemaNotReady
from prodsafe.migrations import throwaway as rooms
from prodsafe.migrations.catalog import Owned, read_catalog
from prodsafe.migrations.files import parse
from prodsafe.migrations.lint.linter import lint
from prodsafe.migrations.lint.options import SqlFile
from prodsafe.migrations.trace import trace
from prodsafe.migrations.trace_command import trace as trace_command
from prodsafe.migrations.trace_report import disagreements, with_hazards

SETUP = """
CREATE TABLE cities (id int PRIMARY KEY);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TABLE t (id int PRIMARY KEY, code varchar(20), price numeric(10, 2), at timestamp, n int, city int);
CREATE INDEX by_n ON t (n);
"""
REWRITE, SCAN, NEITHER = ({"rewrite", "scan"}, {"scan"}, set())
STRONGEST = "ACCESS EXCLUSIVE"

# research/migrations.md 2.5: measured on PostgreSQL 15 by relfilenode and seq_scan, before and after
GROUND_TRUTH = [
    ("ALTER TABLE t ADD COLUMN x int GENERATED ALWAYS AS IDENTITY", REWRITE, {"t": STRONGEST}),
    ("ALTER TABLE t ADD COLUMN x bigserial", REWRITE, {"t": STRONGEST}),
    ("ALTER TABLE t ADD COLUMN x timestamptz DEFAULT clock_timestamp()", REWRITE, {"t": STRONGEST}),
    ("ALTER TABLE t ADD COLUMN x uuid DEFAULT gen_random_uuid()", REWRITE, {"t": STRONGEST}),
    ("ALTER TABLE t ADD COLUMN x int GENERATED ALWAYS AS (n * 2) STORED", REWRITE, {"t": STRONGEST}),
    ("ALTER TABLE t ADD COLUMN x positive", REWRITE, {"t": STRONGEST}),
    ("ALTER TABLE t ADD COLUMN x int DEFAULT 5 NOT NULL", NEITHER, {"t": STRONGEST}),
    ("ALTER TABLE t ADD COLUMN x timestamptz DEFAULT now()", NEITHER, {"t": STRONGEST}),
    ("ALTER TABLE t ADD COLUMN x int CHECK (x > 0)", SCAN, {"t": STRONGEST}),
    ("ALTER TABLE t ALTER COLUMN code TYPE text", NEITHER, {"t": STRONGEST}),
    ("ALTER TABLE t ALTER COLUMN code TYPE varchar(40)", NEITHER, {"t": STRONGEST}),
    ("ALTER TABLE t ALTER COLUMN code TYPE varchar(40) USING code::varchar(40)", NEITHER, {"t": STRONGEST}),
    ("ALTER TABLE t ALTER COLUMN price TYPE numeric(12, 2)", NEITHER, {"t": STRONGEST}),
    ("SET TimeZone = 'UTC';\nALTER TABLE t ALTER COLUMN at TYPE timestamptz", NEITHER, {"t": STRONGEST}),
    ("ALTER TABLE t ALTER COLUMN code TYPE varchar(10)", REWRITE, {"t": STRONGEST}),
    ("ALTER TABLE t ALTER COLUMN price TYPE numeric(10, 4)", REWRITE, {"t": STRONGEST}),
    ("ALTER TABLE t ALTER COLUMN n TYPE bigint", REWRITE, {"t": STRONGEST}),
    ("ALTER TABLE t ALTER COLUMN n TYPE jsonb USING to_jsonb(n)", REWRITE, {"t": STRONGEST}),
    ("ALTER TABLE t SET UNLOGGED", REWRITE, {"t": STRONGEST}),
    ("ALTER TABLE t ADD CONSTRAINT k CHECK (n > 0)", SCAN, {"t": STRONGEST}),
    ("ALTER TABLE t ALTER COLUMN n SET NOT NULL", SCAN, {"t": STRONGEST}),
    ("ALTER TABLE t ADD CONSTRAINT k CHECK (n > 0) NOT VALID", NEITHER, {"t": STRONGEST}),
    ("ALTER TABLE t SET (fillfactor = 70)", NEITHER, {"t": "SHARE UPDATE EXCLUSIVE"}),
    ("ALTER TABLE t DROP COLUMN n", NEITHER, {"t": STRONGEST}),
    (
        "ALTER TABLE t ADD COLUMN x int REFERENCES cities (id)",
        NEITHER,
        {"t": STRONGEST, "cities": "SHARE ROW EXCLUSIVE"},
    ),
    ("ALTER TABLE t ADD COLUMN x int", NEITHER, {"t": STRONGEST}),
]
OTHERS = [
    ("CREATE INDEX i ON t (n)", SCAN, {"t": "SHARE"}),
    ("CREATE INDEX CONCURRENTLY i ON t (n)", SCAN, {"t": "SHARE UPDATE EXCLUSIVE"}),
    ("DROP INDEX CONCURRENTLY by_n", NEITHER, {"t": "SHARE UPDATE EXCLUSIVE"}),
    ("REINDEX INDEX CONCURRENTLY by_n", SCAN, {"t": "SHARE UPDATE EXCLUSIVE"}),
    ("VACUUM t", NEITHER, {"t": "SHARE UPDATE EXCLUSIVE"}),
    ("VACUUM FULL t", REWRITE, {"t": STRONGEST}),
    ("TRUNCATE t", NEITHER, {"t": STRONGEST}),
    ("UPDATE t SET n = 1", SCAN, {"t": "ROW EXCLUSIVE"}),
    ("UPDATE t SET n = 1 WHERE id = 5", NEITHER, {"t": "ROW EXCLUSIVE"}),
    ("LOCK TABLE t IN SHARE MODE", NEITHER, {"t": "SHARE"}),
    (
        "ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (city) REFERENCES cities (id)",
        SCAN,
        {"t": "SHARE ROW EXCLUSIVE", "cities": "SHARE ROW EXCLUSIVE"},
    ),
]


def migration(sql: str, version: int = 2):
    found = parse("app", f"{version:04d}_expand_step.sql", sql.encode())
    assert not isinstance(found, rooms.RefusalKind)
    return found


@pytest.fixture(scope="module")
def server(postgres_binaries):
    with rooms.throwaway(postgres_binaries) as found:
        yield found


@pytest.fixture(scope="module")
def template(server) -> str:
    return server.from_files([migration(SETUP, 1)])


@pytest.fixture
def traced(server, template):
    return lambda sql: trace(server.copy_of(template), [migration(sql)])


@pytest.mark.parametrize(("sql", "does", "locks"), GROUND_TRUTH + OTHERS)
def test_a_statement_comes_out_as_it_was_measured(traced, sql, does, locks):
    found = traced(sql)[-1]

    assert found.error is None
    assert ("public.t" in found.rewrites, "public.t" in found.scans) == ("rewrite" in does, "scan" in does)
    tables = {name: mode for name, mode in found.strongest.items() if name in ("public.t", "public.cities")}
    assert tables == {f"public.{name}": mode for name, mode in locks.items()}


@pytest.mark.parametrize("sql", [sql for sql, _, _ in GROUND_TRUTH + OTHERS])
def test_linter_and_trace_tell_the_same_of_the_measured_statements(traced, sql):
    """Where the catalog clears what the text cannot, the linter says nothing either: it has read the folder."""
    report = lint([SqlFile("0002_expand_step", sql, "expand")], setup=[SETUP])

    traces = with_hazards(traced(sql), [(finding.line, finding.category) for finding in report.findings])

    assert [each.as_line() for each in disagreements(traces)] == []


def test_what_runs_while_a_strong_lock_is_held_is_told_with_that_lock(traced):
    first, second = traced("ALTER TABLE t ADD COLUMN a int;\nALTER TABLE t ADD CONSTRAINT k CHECK (n > 0)")

    assert first.made == ("column a on public.t",) and first.held == ()
    assert [(lock.relation, lock.mode) for lock in second.held] == [("public.t", STRONGEST)]
    assert second.line == 2 and second.scans == ("public.t",)
    assert any("while public.t is locked" in line for line in second.as_lines())


def test_nobody_waits_for_a_table_that_the_file_itself_makes(traced):
    found = traced("CREATE TABLE fresh (id int PRIMARY KEY); CREATE INDEX ON fresh (id); INSERT INTO fresh VALUES (1)")

    assert [each.locks for each in found] == [(), (), ()]
    assert found[0].made == ("table public.fresh",) and found[1].made == (
        "index public.fresh_id_idx on public.fresh",
    ), "a table is told as a whole"


def test_dynamic_sql_is_seen_through(traced):
    (found,) = traced("DO $$ BEGIN EXECUTE 'ALTER TABLE t ALTER COLUMN n TYPE ' || 'bigint'; END $$")

    assert "public.t" in found.rewrites and found.strongest["public.t"] == STRONGEST
    assert found.changed == ("column n on public.t",)


def test_a_rewrite_that_the_linter_did_not_name_is_a_disagreement(traced):
    found = traced("ALTER TABLE t ALTER COLUMN n TYPE bigint")

    assert len(disagreements(found)) == 1
    assert disagreements(with_hazards(found, [(1, "change-column-type")])) == []


def test_a_failing_statement_ends_the_trace_and_is_named(traced):
    found = traced("ALTER TABLE t ADD COLUMN a int;\nALTER TABLE nowhere ADD COLUMN a int;\nDROP TABLE t")

    assert [each.error for each in found] == [None, 'relation "nowhere" does not exist (42P01)']
    assert found[-1].line == 2


def test_the_schema_of_a_real_database_is_copied_without_its_password_in_any_command_line(
    server, make_database, monkeypatch
):
    url = make_database()
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("DROP ROLE IF EXISTS trace_reader; CREATE ROLE trace_reader")
        conn.execute(SETUP)
        conn.execute("GRANT SELECT ON t TO trace_reader; INSERT INTO t VALUES (1, 'secret row')")
    commands = []
    run = subprocess.run
    monkeypatch.setattr(
        subprocess, "run", lambda command, **how: commands.append((command, how)) or run(command, **how)
    )

    copy = server.like(url)

    password = psycopg.conninfo.conninfo_to_dict(url)["password"]
    assert len(commands) == 2 and password not in str(commands)
    owned = Owned(("public",), ("trace_reader",))
    with psycopg.connect(url, autocommit=True) as there, psycopg.connect(copy, autocommit=True) as here:
        assert read_catalog(here, owned) == read_catalog(there, owned)
        assert here.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_a_schema_that_cannot_be_copied_is_refused_with_the_words_of_the_program(server, empty_database_url):
    with psycopg.connect(empty_database_url, autocommit=True) as conn:
        conn.execute("CREATE TABLE a (id int)")
        other = psycopg.connect(empty_database_url)
        other.execute("LOCK TABLE a IN ACCESS EXCLUSIVE MODE")

        with other, pytest.raises(SchemaNotReady) as caught:
            server.like(empty_database_url)

    assert caught.value.refusals[0].kind is rooms.NOT_COPIED
    assert "pg_dump" in caught.value.refusals[0].cause


def test_programs_of_another_version_are_refused_plainly(postgres_binaries):
    with pytest.raises(SchemaNotReady) as caught, rooms.throwaway(postgres_binaries, major=9):
        pass

    assert caught.value.refusals[0].kind is rooms.NO_SUCH_MAJOR
    assert "PostgreSQL 9" in caught.value.refusals[0].cause


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_expand_base.sql").write_text(SETUP)
    (tmp_path / "0002_expand_index.sql").write_text("CREATE INDEX i ON t (n);")
    return tmp_path


def command(folder: Path, *arguments: str, **variables: str):
    return CliRunner().invoke(
        trace_command, ["--set", f"app={folder}", *arguments], env={**os.environ, **variables}, catch_exceptions=False
    )


def test_the_command_shows_a_named_file_after_those_before_it(folder):
    done = command(folder, str(folder / "0002_expand_index.sql"))

    assert done.exit_code == 0
    assert done.output.startswith("app 0002_expand_index\n")
    assert "lock: SHARE on public.t: writers wait" in done.output and "reads all of public.t" in done.output
    assert "lint: index-not-concurrent" in done.output


def test_the_command_traces_what_a_real_database_has_not_applied_yet(folder, empty_database_url, tmp_path):
    with psycopg.connect(empty_database_url, autocommit=True) as conn:
        conn.execute("CREATE TABLE other (id int)")
    stranger = tmp_path.parent / f"{tmp_path.name}-stranger.sql"
    stranger.write_text("ALTER TABLE other ALTER COLUMN id TYPE bigint")

    done = command(folder, "--like", "PROD_URL", "--format", "json", str(stranger), PROD_URL=empty_database_url)

    assert done.exit_code == 0, done.output
    (statement,) = json.loads(done.output)["statements"]
    assert statement["rewrites"] == ["public.other"] and statement["hazards"] == ["change-column-type"]


def test_the_command_takes_no_password_on_its_command_line(folder):
    done = command(folder, "--like", "postgresql://me:secret@localhost/app")

    assert done.exit_code == 2 and "NAME of a variable" in done.output and "secret" not in done.output


def test_the_command_ends_with_4_when_a_file_fails(folder):
    (folder / "0002_expand_index.sql").write_text("CREATE INDEX i ON nowhere (n);")

    done = command(folder)

    assert done.exit_code == 4 and 'relation "nowhere" does not exist' in done.output
    assert "refused M28 file-fails-on-throw-away" in done.output and "0002_expand_index line 1" in done.output


def test_a_data_file_is_traced_and_one_of_batches_is_said_to_be_left_out(folder):
    (folder / "0003_data_seed.sql").write_text("CREATE TABLE seeded AS SELECT 1 AS n, 0 AS seen;")
    (folder / "0004_data_fill.sql").write_text(
        "-- prodsafe: batch seeded by n\nUPDATE seeded SET seen = 1 WHERE n BETWEEN :first AND :last;"
    )

    done = command(folder)

    assert done.exit_code == 0 and "0003_data_seed" in done.output
    assert "not traced: app 0004_data_fill runs in batches of seeded by n" in done.output


def test_help_costs_no_database_driver():
    program = "import sys; import prodsafe.migrations.trace_command; sys.exit('psycopg' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0

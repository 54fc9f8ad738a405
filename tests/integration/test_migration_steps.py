"""Files that no transaction can hold: built concurrently, killed at any moment, completed by the next run."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from prodsafe.errors import DatabaseRefused
from prodsafe.migrations import locking, plan, transaction
from prodsafe.migrations.index_builds import INDEX_DIFFERS
from prodsafe.migrations.steps import APPLICATION_NAME
from prodsafe.postgres import POOLED
from tests.migrating import App
from tests.pgbouncer import PgBouncer

TABLE = "CREATE TABLE a (id int, note text); INSERT INTO a SELECT g, g::text FROM generate_series(1, 50) g"
BUILD = "CREATE INDEX CONCURRENTLY a_note ON a (note)"
BUILDING = (  # and no further than that, as long as somebody writes: the index is there, INVALID
    "EXISTS (SELECT FROM pg_stat_progress_create_index"
    " WHERE datname = current_database() AND phase = 'waiting for writers before build')"
)


@pytest.fixture
def app(tmp_path: Path, empty_database_url: str) -> App:
    return App(tmp_path, empty_database_url)


def test_what_no_transaction_can_hold_runs_outside_one_without_being_told_to(app):
    app.write(TABLE, BUILD, "VACUUM a")

    result = app.migrate()

    assert len(result.applied) == 3 and app.indexes() == {"a_note": True}
    assert app.rows() == [(1, "applied", 0, 0), (2, "applied", 1, 1), (3, "applied", 1, 1)]


def test_plain_statements_beside_such_a_one_are_transactions_of_their_own_under_the_files_settings(app):
    app.write(
        "CREATE SCHEMA s; CREATE TABLE s.a (id int); CREATE TABLE s.b (id int)",
        "SET search_path = s; SET maintenance_work_mem = '2MB'; ALTER TABLE a ADD COLUMN note text;"
        "CREATE INDEX CONCURRENTLY a_note ON a (note);"
        "CREATE TABLE made AS SELECT current_setting('maintenance_work_mem')",
        "CREATE TABLE c (id int)",
    )

    app.migrate()

    assert app.query("SELECT * FROM s.made") == [("2MB",)]
    assert app.rows()[1] == (2, "applied", 3, 3) and "c" in app.tables()


@pytest.mark.parametrize("count", [2, 5])
def test_runners_that_start_at_once_with_a_concurrent_index_all_succeed_and_one_applies(app, count):
    """Row 2 of migrations.md 4.2: the loser of alembic and dbmate dies of a deadlock and leaves an INVALID index."""
    app.write(TABLE, BUILD, "CREATE UNIQUE INDEX CONCURRENTLY a_id ON a (id)")

    runners = [app.start_runner() for _ in range(count)]
    outputs = [process.communicate(timeout=60)[0] for process in runners]

    assert [process.returncode for process in runners] == [0] * count, outputs
    assert sum(output.count("applied app ") for output in outputs) == 3
    assert app.indexes() == {"a_note": True, "a_id": True}
    assert [state for _, state, _, _ in app.rows()] == ["applied"] * 3


def test_a_kill_at_any_exchange_with_the_server_is_healed_by_the_next_run(app):
    """Acceptance 3 of migrations.md 7: before DDL, between DDL and its mark, before each commit."""
    app.write(f"{TABLE}; CREATE INDEX a_id ON a (id)")
    app.migrate()
    untouched = app.exchanges()
    app.add(2, "expand", f"ALTER TABLE a ADD COLUMN more int; {BUILD}; DROP INDEX CONCURRENTLY a_id")
    app.add(3, "expand", "CREATE TABLE b (id int)")

    for exchange in count(untouched + 1):
        if app.killed_at(exchange) == 0:
            break
        app.migrate()

        assert app.indexes() == {"a_note": True}, exchange
        assert app.tables() == {"a", "b"}, exchange
        assert [state for _, state, _, _ in app.rows()] == ["applied"] * 3, exchange
        app.query("DROP TABLE b; DROP INDEX a_note; ALTER TABLE a DROP COLUMN more; CREATE INDEX a_id ON a (id)")
        app.query("DELETE FROM prodsafe.migration WHERE version > 1")
    assert exchange > untouched + 30


def test_the_next_run_heals_after_a_runner_was_killed_inside_an_index_build(app):
    app.write(TABLE)
    app.migrate()
    app.write(TABLE, BUILD)
    with ThreadPoolExecutor() as pool, psycopg.connect(app.url) as writer:
        writer.execute("INSERT INTO a VALUES (0, 'open')")
        killed = app.start_runner()
        app.wait_until(BUILDING)
        killed.kill()
        killed.communicate()
        app.wait_until(f"NOT {BUILDING}")  # the server notices that nobody is there any more
        assert app.indexes() == {"a_note": False}
        healing = pool.submit(app.migrate)
        while not any("a_note is INVALID" in line for line in app.said):
            assert not healing.done(), healing.result()
            time.sleep(0.02)
        writer.rollback()
        healing.result(20)

    assert app.indexes() == {"a_note": True} and app.rows()[1] == (2, "applied", 1, 1)
    assert any("going on" in line for line in app.said)


def leave_invalid(app: App, sql: str) -> None:
    """What a build leaves that is cut off while it waits for an older transaction."""
    with psycopg.connect(app.url) as other, psycopg.connect(app.url, autocommit=True) as conn:
        other.execute("INSERT INTO a VALUES (0, 'open')")
        conn.execute("SET lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            conn.execute(sql)


def test_an_invalid_leftover_that_exists_is_not_taken_for_the_index(app):
    """Trap of migrations.md 4.3: CREATE INDEX CONCURRENTLY IF NOT EXISTS succeeds and the index stays INVALID."""
    app.write(TABLE)
    app.migrate()
    leave_invalid(app, BUILD)
    assert app.indexes() == {"a_note": False}
    app.write(TABLE, BUILD.replace("CONCURRENTLY", "CONCURRENTLY IF NOT EXISTS"))

    app.migrate()

    assert app.indexes() == {"a_note": True}
    assert any("a_note is INVALID" in line for line in app.said)


@pytest.mark.parametrize(
    ("there", "wanted"),
    [
        ("CREATE INDEX a_note ON a USING btree (note)", BUILD),
        (
            'CREATE UNIQUE INDEX "A b" ON a (lower(note) DESC) INCLUDE (id) WHERE id > 5',
            'CREATE UNIQUE INDEX CONCURRENTLY "A b" ON public.a (lower(a.note) desc) include (id) where ((id > 5))',
        ),
    ],
)
def test_a_valid_index_of_the_same_definition_counts_as_done_however_it_is_written(app, there, wanted):
    app.write(f"{TABLE}; {there}", wanted)

    app.migrate()

    assert len(app.indexes()) == 1 and any("is there already" in line for line in app.said)


@pytest.mark.parametrize(
    "there",
    [
        "CREATE INDEX a_note ON a (id)",
        "CREATE UNIQUE INDEX a_note ON a (note)",
        "CREATE INDEX a_note ON a (note) WHERE id > 5",
        "CREATE TABLE b (note text); CREATE INDEX a_note ON b (note)",
    ],
)
def test_another_index_under_the_name_is_refused_and_kept(app, there):
    app.write(f"{TABLE}; {there}", BUILD.replace("CONCURRENTLY", "CONCURRENTLY IF NOT EXISTS"))

    found = app.refused()

    assert found.kind is INDEX_DIFFERS and "a_note" in (found.seen or "")
    assert app.indexes() == {"a_note": True}


def test_a_build_that_fails_leaves_no_index_and_the_corrected_file_goes_on(app):
    app.write(TABLE, "ALTER TABLE a ADD COLUMN one int DEFAULT 1; CREATE UNIQUE INDEX CONCURRENTLY a_one ON a (one)")

    found = app.refused()

    assert found.kind is transaction.FAILED and "(one)=(1)" in found.cause and app.indexes() == {}
    assert app.rows()[1] == (2, "running", 2, 1)
    app.write(TABLE, "ALTER TABLE a ADD COLUMN one int DEFAULT 1; CREATE INDEX CONCURRENTLY a_one ON a (one)")
    app.migrate()
    assert app.indexes() == {"a_one": True} and app.rows()[1] == (2, "applied", 2, 2)


def test_what_ran_of_a_half_done_file_may_not_be_edited(app):
    app.write(TABLE, "ALTER TABLE a ADD COLUMN one int DEFAULT 1; CREATE UNIQUE INDEX CONCURRENTLY a_one ON a (one)")
    app.refused()
    app.write(TABLE, "ALTER TABLE a ADD COLUMN two int; CREATE INDEX CONCURRENTLY a_one ON a (id)")

    assert app.refused().kind is plan.EDITED


def test_a_build_of_somebody_else_is_waited_for(app):
    app.write(TABLE)
    app.migrate()
    app.write(TABLE, BUILD)
    with ThreadPoolExecutor() as pool, psycopg.connect(app.url) as writer:
        writer.execute("INSERT INTO a VALUES (0, 'open')")
        theirs = pool.submit(app.query, BUILD)
        app.wait_until(BUILDING)
        ours = pool.submit(app.migrate)
        while not any("being built by another session" in line for line in app.said):
            assert not ours.done(), ours.result()
            time.sleep(0.02)
        writer.rollback()
        theirs.result(20)
        ours.result(20)

    assert app.indexes() == {"a_note": True}


def test_a_session_of_a_run_that_lost_its_lock_is_gone_before_the_next_one_works(app):
    app.write(TABLE, BUILD)
    ghost = psycopg.connect(app.url, application_name=APPLICATION_NAME, autocommit=True)
    began = time.monotonic()

    app.migrate()

    assert ghost.pgconn.status == psycopg.pq.ConnStatus.OK and time.monotonic() - began > 4
    with pytest.raises(psycopg.OperationalError):
        ghost.execute("SELECT 1")
    assert app.indexes() == {"a_note": True}


def test_a_session_of_another_role_that_cannot_be_ended_is_named_with_the_mend(app):
    app.query("CREATE ROLE plain_migrator LOGIN PASSWORD 'plain'")
    parts = urlsplit(app.url)
    app.query(f"ALTER DATABASE {parts.path[1:]} OWNER TO plain_migrator; ALTER SCHEMA public OWNER TO plain_migrator")
    app.write(TABLE, BUILD)
    with psycopg.connect(app.url, application_name=APPLICATION_NAME, autocommit=True) as ghost:
        app.url = parts._replace(netloc=f"plain_migrator:plain@{parts.hostname}:{parts.port}").geturl()

        found = app.refused()

        pid = ghost.info.backend_pid
    assert (
        found.kind is locking.LOCK_HELD
        and str(pid) in found.seen
        and f"pg_terminate_backend(pid) for {pid}" in found.mend
    )
    app.migrate()
    assert app.indexes() == {"a_note": True}


def test_leftovers_of_a_rebuild_are_dropped(app):
    app.write(f"{TABLE}; CREATE INDEX a_note ON a (note)")
    app.migrate()
    leave_invalid(app, "REINDEX INDEX CONCURRENTLY a_note")
    assert app.indexes() == {"a_note": True, "a_note_ccnew": False}
    app.write(f"{TABLE}; CREATE INDEX a_note ON a (note)", "REINDEX TABLE CONCURRENTLY a")

    app.migrate()

    assert app.indexes() == {"a_note": True}


def test_a_detach_that_was_cut_off_is_finished(app):
    app.write("CREATE TABLE p (id int) PARTITION BY LIST (id); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1)")
    app.migrate()
    with psycopg.connect(app.url) as reader, psycopg.connect(app.url, autocommit=True) as conn:
        reader.execute("SELECT * FROM p")
        conn.execute("SET statement_timeout = '100ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            conn.execute("ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY")
    assert app.query("SELECT inhdetachpending FROM pg_inherits") == [(True,)]
    app.add(2, "expand", "ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY")

    app.migrate()

    assert app.query("SELECT * FROM pg_inherits") == []


def test_a_build_that_waits_names_who_it_waits_for_and_how_far_it_is(app):
    app.write(TABLE)
    app.migrate()
    app.write(TABLE, BUILD)
    with ThreadPoolExecutor() as pool, psycopg.connect(app.url, application_name="a-long-report") as writer:
        writer.execute("INSERT INTO a VALUES (0, 'open')")
        pid = writer.info.backend_pid
        building = pool.submit(app.migrate)
        while not any("a-long-report" in line for line in app.said):
            assert not building.done(), building.result()
            time.sleep(0.02)
        writer.rollback()
        building.result(20)

    told = next(line for line in app.said if "a-long-report" in line)
    assert "waiting for writers" in told and f"server process {pid}" in told
    assert "INSERT INTO a" in told


def test_a_run_that_is_out_of_time_says_so_and_a_later_one_completes_it(app):
    app.write(TABLE)
    app.migrate()
    app.write(TABLE, BUILD)
    with psycopg.connect(app.url) as writer:
        writer.execute("INSERT INTO a VALUES (0, 'open')")

        found = app.refused(run_seconds=0.6)

    assert found.kind is transaction.OUT_OF_TIME and app.indexes() == {"a_note": False}
    app.migrate()
    assert app.indexes() == {"a_note": True}


def test_readers_and_writers_go_on_while_a_build_waits_for_an_older_transaction(app):
    app.write(TABLE)
    app.migrate()
    app.write(TABLE, BUILD)
    with ThreadPoolExecutor() as pool, psycopg.connect(app.url) as writer:
        writer.execute("INSERT INTO a VALUES (0, 'open')")
        building = pool.submit(app.migrate)
        app.wait_until(BUILDING)

        app.query("INSERT INTO a VALUES (99, 'meanwhile')")
        assert app.query("SELECT note FROM a WHERE id = 99") == [("meanwhile",)]

        assert not building.done()
        writer.rollback()
        building.result(20)


def test_transactional_files_run_through_a_pooler_and_the_others_want_the_direct_address(app, tmp_path):
    """Acceptance 2 of migrations.md 7."""
    folder = tmp_path / "sql"
    folder.mkdir()
    app = App(folder, app.url)
    with PgBouncer(app.url, "transaction", tmp_path / "pool") as pooler:
        pooled = App(folder, pooler.url)
        app.write(TABLE)
        assert len(pooled.migrate().applied) == 1
        app.write(TABLE, "CREATE TABLE b (id int)", BUILD)

        with pytest.raises(DatabaseRefused) as caught:
            pooled.migrate()

        assert [refusal.kind for refusal in caught.value.refusals] == [POOLED]
        assert app.applied() == [1]  # before anything ran, not in between
        assert len(pooled.migrate(direct_url=app.url).applied) == 2
        assert app.query("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]


def test_runners_at_once_through_a_pooler_all_succeed(app, tmp_path):
    folder = tmp_path / "sql"
    folder.mkdir()
    with PgBouncer(app.url, "transaction", tmp_path / "pool") as pooler:
        direct, pooled = App(folder, app.url), App(folder, pooler.url)
        direct.write(TABLE, "CREATE TABLE b (id int)")
        with ThreadPoolExecutor() as pool:
            results = list(pool.map(lambda _: pooled.migrate(), range(3)))

    assert sorted(len(result.applied) for result in results) == [0, 0, 2]


def test_a_signal_inside_an_index_build_is_no_success_and_the_next_run_heals(app):
    app.write(TABLE)
    app.migrate()
    app.write(TABLE, BUILD)
    with psycopg.connect(app.url) as writer:
        writer.execute("INSERT INTO a VALUES (0, 'open')")
        runner = app.start_runner()
        app.wait_until(BUILDING)
        runner.terminate()
        said, _ = runner.communicate(timeout=20)

    assert runner.returncode == 4 and "refused M13 migration-interrupted" in said
    app.migrate()
    assert app.indexes() == {"a_note": True}

"""The runner on a real server: several at once, killed at any point, beside readers who must not notice."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from prodsafe import postgres
from prodsafe.errors import DatabaseRefused, ExitCode
from prodsafe.migrations import check_schema, files, ledger, locking, plan, plan_for, transaction
from tests.migrating import ASLEEP, NAP, App


@pytest.fixture
def app(tmp_path: Path, empty_database_url: str) -> App:
    return App(tmp_path, empty_database_url)


def test_pending_files_are_applied_in_order_and_recorded_with_who_when_and_how_long(app):
    app.write("CREATE TABLE a (id int)", "ALTER TABLE a ADD COLUMN note text")

    result = app.migrate()

    assert [migration.version for migration, _ in result.applied] == [1, 2]
    assert result.summary == "2 applied: schema at app 2"
    assert [line.rsplit(" in ")[0] for line in app.said] == [
        "applied app 0001_expand_step1",
        "applied app 0002_expand_step2",
    ]
    rows = app.query(
        "SELECT applied_by, duration_ms >= 0, applied_at > now() - '1 min'::interval FROM prodsafe.migration"
    )
    assert all(str(os.getpid()) in by and long and recent for by, long, recent in rows)


def test_a_run_with_nothing_to_do_takes_no_lock_and_changes_nothing(app):
    app.write("CREATE TABLE a (id int)")
    app.migrate()

    with psycopg.connect(app.url) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [locking.LOCK_KEY])
        result = app.migrate(wait_seconds=0)

    assert result.applied == () and result.summary == "nothing to do: schema at app 1"


@pytest.mark.parametrize("count", [2, 5])
def test_runners_that_start_at_once_on_an_empty_database_all_succeed_and_one_applies(app, count):
    """Rows 1 and 3 of migrations.md 4.2: alembic and dbmate fail for the loser here."""
    app.write(f"CREATE TABLE a (id int); {NAP}", "CREATE TABLE b (id int)")
    app.set_default("app.nap_seconds = 0.5")

    runners = [app.start_runner() for _ in range(count)]
    outputs = [process.communicate(timeout=60)[0] for process in runners]

    assert [process.returncode for process in runners] == [0] * count, outputs
    assert sum(output.count("applied app ") for output in outputs) == 2
    assert app.applied() == [1, 2] and app.tables() == {"a", "b"}


@pytest.mark.parametrize("finished_files", [0, 1])
def test_the_next_run_heals_after_a_runner_was_killed_in_the_middle_of_a_file(app, finished_files):
    files_before = ["CREATE TABLE done (id int)"] * finished_files
    app.write(*files_before, f"CREATE TABLE half (id int); {NAP}")
    app.set_default("app.nap_seconds = 30")
    killed = app.start_runner()
    app.wait_until(ASLEEP)
    killed.kill()
    killed.communicate()
    app.set_default("app.nap_seconds = 0")

    began = time.monotonic()
    result = app.migrate()

    assert time.monotonic() - began < 5  # its backends are gone within half a second, not after 30
    assert len(result.applied) == 1 and app.applied() == list(range(1, finished_files + 2))
    assert "half" in app.tables()


def test_a_kill_at_any_exchange_with_the_server_leaves_whole_files_and_the_next_run_completes_them(app):
    """A file and its row are one transaction, sent as one message where nothing has to be looked at in between."""
    app.write("CREATE TABLE a (id int)")
    app.migrate()
    untouched = app.exchanges()
    app.add(2, "expand", "CREATE TABLE b (id int);\nINSERT INTO b VALUES (1)")
    app.add(3, "contract", "DROP TABLE a; CREATE TABLE c (id int)")

    for exchange in count(untouched + 1):
        ended = app.killed_at(exchange)
        there = {1: {"a"}, 2: {"a", "b"}, 3: {"b", "c"}}
        assert app.tables() == there[max(app.applied())], exchange
        app.migrate()

        assert app.tables() == {"b", "c"} and app.applied() == [1, 2, 3], exchange
        assert app.query("SELECT count(*) FROM b") == [(1,)], exchange
        if ended == 0:
            break
        app.query("DROP TABLE b, c; CREATE TABLE a (id int); DELETE FROM prodsafe.migration WHERE version > 1")
    assert exchange > untouched + 8


def test_the_next_run_heals_after_a_runner_was_killed_while_it_waited_for_a_table(app):
    app.write("CREATE TABLE a (id int)")
    app.migrate()
    app.write("CREATE TABLE a (id int)", "ALTER TABLE a ADD COLUMN note text")
    with psycopg.connect(app.url) as reader:
        reader.execute("SELECT * FROM a")
        killed = app.start_runner()
        app.wait_until("EXISTS (SELECT FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND NOT granted)")
        killed.kill()
        killed.communicate()

    assert len(app.migrate().applied) == 1 and app.applied() == [1, 2]


def test_an_edited_file_is_refused_and_nothing_else_runs(app):
    app.write("CREATE TABLE a (id int)")
    app.migrate()
    app.write("CREATE TABLE a (id bigint)", "CREATE TABLE b (id int)")

    assert app.refused().kind is plan.EDITED
    assert app.tables() == {"a"}


def test_a_missing_file_is_refused(app):
    app.write("CREATE TABLE a (id int)", "CREATE TABLE b (id int)")
    app.migrate()
    (app.set.folder / "0001_expand_step1.sql").unlink()

    assert app.refused().kind is plan.MISSING


def test_an_older_release_lives_with_newer_expand_files_and_not_with_a_newer_contract_file(app):
    """A release that is rolled back runs its own `migrate_schema.py` first, on the newer schema."""
    app.write("CREATE TABLE a (id int)", "CREATE TABLE b (id int)")
    (app.set.folder / "0003_contract_drop_a.sql").write_text("DROP TABLE a")
    app.migrate(upto={"app": 2})
    newest = (app.set.folder / "0003_contract_drop_a.sql").rename(app.set.folder / "later")
    (app.set.folder / "0002_expand_step2.sql").rename(app.set.folder / "also_later")

    assert app.migrate().applied == ()
    with postgres.connect(app.url) as conn:
        assert check_schema(conn, [app.set]) == []
    newest.rename(app.set.folder / "0003_contract_drop_a.sql")
    (app.set.folder / "also_later").rename(app.set.folder / "0002_expand_step2.sql")
    app.migrate()
    (app.set.folder / "0003_contract_drop_a.sql").unlink()

    assert app.refused().kind is plan.AHEAD
    with postgres.connect(app.url) as conn:
        assert [refusal.kind for refusal in check_schema(conn, [app.set])] == [plan.AHEAD]


def test_a_queued_change_never_stalls_readers_and_succeeds_once_the_long_reader_ends(app):
    """Acceptance 4 of migrations.md 7: lock_timeout bounds the stall; trying again brings the change through."""
    app.write("CREATE TABLE a (id int)")
    app.migrate()
    app.write("CREATE TABLE a (id int)", "ALTER TABLE a ADD COLUMN note text")
    over, stalls = threading.Event(), []

    def read_all_the_time() -> None:
        with psycopg.connect(app.url, autocommit=True) as conn:
            while not over.is_set():
                began = time.monotonic()
                conn.execute("SELECT count(*) FROM a")
                stalls.append(time.monotonic() - began)
                time.sleep(0.01)

    with ThreadPoolExecutor() as pool, psycopg.connect(app.url) as long_reader:
        long_reader.execute("SELECT * FROM a")
        reading, migrating = pool.submit(read_all_the_time), pool.submit(app.migrate)
        time.sleep(1.5)
        long_reader.rollback()
        result = migrating.result(20)
        over.set()
        reading.result(5)

    assert len(result.applied) == 1
    assert any("again in" in line for line in app.said)
    assert 0.2 < max(stalls) < 0.6


def test_a_table_that_stays_busy_ends_the_run_after_its_time_and_leaves_nothing(app):
    app.write("CREATE TABLE a (id int)")
    app.migrate()
    app.write("CREATE TABLE a (id int)", "CREATE TABLE b (id int); ALTER TABLE a ADD COLUMN note text")
    with psycopg.connect(app.url) as reader:
        reader.execute("SELECT * FROM a")

        found = app.refused(table_lock_seconds=1.0)

    assert found.kind is transaction.TABLE_BUSY
    assert app.applied() == [1] and app.tables() == {"a"}


def test_a_run_that_can_only_wait_past_its_deadline_ends_before_it_and_names_who_was_in_the_way(app):
    app.write("CREATE TABLE a (id int)")
    app.migrate()
    app.write("CREATE TABLE a (id int)", "ALTER TABLE a ADD COLUMN note text")
    with psycopg.connect(app.url, application_name="a-long-report") as reader:
        reader.execute("SELECT * FROM a")
        began = time.monotonic()

        found = app.refused(run_seconds=2.0)

    assert found.kind is transaction.OUT_OF_TIME and "a-long-report" in found.cause
    assert time.monotonic() - began < 2.6  # never asleep past its deadline
    assert app.applied() == [1]


def test_a_lock_that_is_held_too_long_is_refused_with_its_holder(app):
    app.write("CREATE TABLE a (id int)")
    with psycopg.connect(app.url, application_name="the-other-deploy") as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [locking.LOCK_KEY])
        pid = str(other.info.backend_pid)
        began = time.monotonic()

        found = app.refused(wait_seconds=0.5)

    assert found.kind is locking.LOCK_HELD and 0.5 <= time.monotonic() - began < 3
    assert "the-other-deploy" in found.cause and pid in found.cause
    assert any("waiting for another runner: the-other-deploy" in line for line in app.said)


def test_the_lock_holds_no_snapshot_that_index_builds_would_have_to_wait_for(app):
    """Trap 4.3: a holder in REPEATABLE READ blocks CREATE INDEX CONCURRENTLY for ever."""
    app.write(NAP)
    app.set_default("app.nap_seconds = 1")
    app.set_default("default_transaction_isolation = 'repeatable read'")
    with ThreadPoolExecutor() as pool:
        runs = [pool.submit(app.migrate) for _ in range(2)]
        app.wait_until(ASLEEP)
        while not any("waiting for another runner" in line for line in app.said):
            time.sleep(0.02)
        holder_and_waiter = app.query(
            "SELECT DISTINCT backend_xmin FROM pg_stat_activity WHERE datname = current_database()"
            " AND state = 'idle in transaction' AND application_name = 'prodsafe/migrate'"
        )
        assert {len(run.result(20).applied) for run in runs} == {0, 1}

    assert holder_and_waiter == [(None,)]


def test_a_failing_statement_is_named_with_its_line_and_leaves_nothing(app):
    app.write("CREATE TABLE a (id int)", "CREATE TABLE b (id int);\n\nSELECT nowhere FROM b;")

    found = app.refused()

    assert found.kind is transaction.FAILED
    assert "0002_expand_step2 line 3" in found.cause and "nowhere" in found.cause and "42703" in found.cause
    assert app.applied() == [1] and app.tables() == {"a"}
    app.write("CREATE TABLE a (id int)", "CREATE TABLE b (id int)")
    assert len(app.migrate().applied) == 1


@pytest.mark.parametrize(
    ("sql", "line", "said"),
    [
        ("CREATE TABLE b (id int);\n;;\n-- why\nINSERT INTO b\n  VALUES (1 / 0);\nSELECT 1;", 4, "division by zero"),
        ("CREATE TABLE b (id int);\n\nSELECT\n  nowhere FROM b;", 4, "nowhere"),
        ("CREATE TABLE b (id int);\nDO $$ BEGIN\n RAISE 'no'; END $$;", 2, "no"),
        ("CREATE TABLE b (id int);\nSELEC 1;", 2, "syntax error"),
        ("SELECT 1; SELECT 'a;b';\nCREATE TABLE a (id int); -- the end", 2, "already exists"),
    ],
)
def test_an_error_of_any_kind_names_the_line_of_its_statement(app, sql, line, said):
    """The server gives a place for errors of parsing only; for the others the statements that succeeded are counted."""
    app.write("CREATE TABLE a (id int)", sql)

    found = app.refused()

    assert found.kind is transaction.FAILED
    assert f"0002_expand_step2 line {line}: " in found.cause and said in found.cause
    assert "RESET" not in found.cause and "INSERT INTO prodsafe" not in found.cause
    assert app.tables() == {"a"} and app.applied() == [1]


def test_a_deferred_error_names_its_constraint_and_no_line_of_the_runners_own(app):
    app.write("CREATE TABLE a (id int PRIMARY KEY, up int REFERENCES a DEFERRABLE INITIALLY DEFERRED);\n"
              "INSERT INTO a VALUES (1, 2);")  # fmt: skip

    found = app.refused()

    assert found.kind is transaction.FAILED and "a_up_fkey" in found.cause and " line " not in found.cause


def test_a_file_whose_quotes_the_server_reads_otherwise_is_not_run_together_with_the_ledgers_row(app):
    """With standard_conforming_strings off a backslash hides the quote behind it, for the server and not for us."""
    app.set_default("standard_conforming_strings = off")
    app.write("CREATE TABLE a (note text);\nINSERT INTO a VALUES ('it\\');")

    found = app.refused()

    assert "unterminated" in found.cause or "syntax error" in found.cause
    assert "RESET" not in found.cause and "prodsafe.migration" not in found.cause
    assert app.applied() == [] and app.tables() == set()


def test_a_constraint_that_fails_only_at_commit_fails_the_file(app):
    app.write(
        "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (a int REFERENCES a DEFERRABLE INITIALLY DEFERRED);"
        "INSERT INTO b VALUES (1)"
    )

    assert app.refused().kind is transaction.FAILED
    assert app.applied() == []


def test_what_a_file_sets_reaches_neither_the_next_file_nor_the_ledger(app):
    """pg_dump writes such lines at the top of its files."""
    app.write(
        "SET search_path = pg_catalog; SET lock_timeout = 0; CREATE ROLE nobody_at_all; SET ROLE nobody_at_all",
        "CREATE TABLE a (id int); RESET ROLE; DROP ROLE nobody_at_all",
    )

    app.migrate()

    assert app.applied() == [1, 2] and "a" in app.tables()


@pytest.mark.parametrize(
    "setting",
    [
        "statement_timeout = '100ms'",
        "idle_in_transaction_session_timeout = '100ms'",
        "default_transaction_isolation = 'serializable'",
        "lock_timeout = '1h'",
    ],
)
def test_a_role_or_databases_own_limits_do_not_end_a_long_migration(app, setting):
    app.write(f"CREATE TABLE a (id int); {NAP}")
    app.set_default("app.nap_seconds = 0.4")
    app.set_default(setting)

    assert len(app.migrate().applied) == 1


def test_a_runner_that_lost_the_lock_records_nothing(app):
    app.write(f"CREATE TABLE a (id int); {NAP}")
    app.set_default("app.nap_seconds = 1")
    with ThreadPoolExecutor() as pool:
        run = pool.submit(app.refused)
        app.wait_until(ASLEEP)
        app.query("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
        found = run.result(20)

    assert found.kind is locking.LOCK_LOST
    assert app.applied() == [] and app.tables() == set()


def test_a_runner_that_lost_the_lock_to_another_runner_records_nothing(app):
    """Whoever has the right now, it is not this run."""
    app.write(f"CREATE TABLE a (id int); {NAP}")
    app.set_default("app.nap_seconds = 1")
    with ThreadPoolExecutor() as pool, psycopg.connect(app.url) as other:
        run = pool.submit(app.refused)
        app.wait_until(ASLEEP)
        app.query("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
        other.execute("SELECT pg_advisory_xact_lock(%s)", [locking.LOCK_KEY])
        found = run.result(20)

    assert found.kind is locking.LOCK_LOST
    assert app.tables() == set()


def test_a_server_that_ends_the_working_session_is_a_reason_to_run_again(app):
    app.write(f"CREATE TABLE a (id int); {NAP}")
    app.set_default("app.nap_seconds = 30")
    with ThreadPoolExecutor() as pool:
        run = pool.submit(app.migrate)
        app.wait_until(ASLEEP)
        app.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
        error = run.exception(20)

    assert isinstance(error, DatabaseRefused) and error.exit_code == ExitCode.UNREADABLE
    assert app.applied() == []


def test_a_worker_may_start_only_on_the_schema_of_its_files(app):
    app.write("CREATE TABLE a (id int)")
    with postgres.connect(app.url) as conn:
        assert [refusal.kind for refusal in check_schema(conn, [app.set])] == [plan.BEHIND]
        app.migrate()
        assert check_schema(conn, [app.set]) == []
        conn.execute("UPDATE prodsafe.migration SET checksum = 'other'")
        assert [refusal.kind for refusal in check_schema(conn, [app.set])] == [plan.EDITED]
        (app.set.folder / "0001_expand_step1.sql").rename(app.set.folder / "1.sql")
        assert [refusal.kind for refusal in check_schema(conn, [app.set])] == [files.MALFORMED_FILE]


def test_a_check_inside_the_callers_transaction_does_not_end_it(app):
    app.write("CREATE TABLE a (id int)")
    with postgres.connect(app.url, autocommit=False) as conn:
        check_schema(conn, [app.set])

        assert conn.execute("SELECT 1").fetchone() == (1,)


def test_a_user_who_may_not_read_the_ledger_is_told_so(app):
    app.write("CREATE TABLE a (id int)")
    app.migrate()
    with postgres.connect(app.url) as conn:
        conn.execute("CREATE ROLE outsider_of_ledger")
        conn.execute("SET ROLE outsider_of_ledger")
        kinds = [refusal.kind for refusal in check_schema(conn, [app.set])]
        conn.execute("RESET ROLE; DROP ROLE outsider_of_ledger")

    assert kinds == [ledger.LEDGER_UNREADABLE]


def test_a_user_who_may_not_create_the_ledger_is_told_so(app):
    app.write("CREATE TABLE a (id int)")
    app.query("CREATE ROLE weak_migrator LOGIN PASSWORD 'weak'")
    parts = urlsplit(app.url)

    app.url = parts._replace(netloc=f"weak_migrator:weak@{parts.hostname}:{parts.port}").geturl()
    found = app.refused()

    assert found.kind is transaction.FAILED and "permission denied" in found.cause


def test_a_server_that_only_reads_is_told_apart_from_a_wrong_file(app):
    app.write("CREATE TABLE a (id int)")
    app.set_default("default_transaction_read_only = on")

    found = app.refused()

    assert found.kind is transaction.FAILED and "primary" in found.mend and "25006" in found.cause


@pytest.mark.parametrize(
    ("code", "mend"), [("53100", "make room on the server's disk"), ("53200", "memory"), ("53300", "connections")]
)
def test_what_the_server_lacks_is_told_apart_from_a_wrong_file(app, code, mend):
    """By SQLSTATE: a full disk, no memory, no connection left. Nothing stays, and the next run goes on."""
    lacking = f"DO $$ BEGIN IF current_setting('app.lacks', true) = 'it' THEN RAISE SQLSTATE '{code}'; END IF; END $$"
    app.write(f"CREATE TABLE a (id int); {lacking}")
    app.set_default("app.lacks = 'it'")

    found = app.refused()

    assert found.kind is transaction.FAILED and code in found.cause and mend in found.mend
    assert app.tables() == set()
    app.set_default("app.lacks = ''")
    app.migrate()
    assert app.tables() == {"a"}


def test_a_plan_changes_nothing(app):
    app.write("CREATE TABLE a (id int)")

    found = plan_for(app.url, [app.set])

    assert [migration.version for migration in found.apply] == [1]
    assert app.tables() == set()

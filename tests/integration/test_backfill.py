"""Data files in batches on a real server: every row exactly once, whatever ends a run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from prodsafe import postgres
from prodsafe.embedded import EmbeddedPostgres
from prodsafe.errors import DatabaseRefused, SchemaNotReady
from prodsafe.migrations import backfill, backfill_key, backfill_run, check_schema
from prodsafe.migrations.backfill import BACKFILLING, Stop, Work
from prodsafe.migrations.backfill_pace import Throttle
from prodsafe.migrations.locking import migration_lock
from prodsafe.migrations.plan import BACKFILL_UNFINISHED, BEHIND
from prodsafe.migrations.runner import status_for
from prodsafe.migrations.transaction import FAILED
from tests.migrating import App
from tests.pgbouncer import PgBouncer
from tests.standby import standby_of

# n counts how often a row was met: more than 1 is a batch that ran twice
TABLE = (
    "CREATE TABLE e (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0, v int);"
    "INSERT INTO e SELECT g * 3 FROM generate_series(1, {rows}) g"
)
COUNT = "-- prodsafe: batch e by id size 10\nUPDATE e SET n = n + 1 WHERE id BETWEEN :first AND :last"
SLOWLY = COUNT.replace("n + 1", "n + 1 + length(pg_sleep(0.05)::text)")


class Program(App):
    def begin(self, *, rows: int = 100, batch: str = COUNT, after: str | None = None) -> None:
        """A table and its data file, begun by a deploy that has time for one batch."""
        self.add(1, "expand", TABLE.format(rows=rows))
        self.add(2, "data", batch)
        if after:
            self.add(3, "contract", after)
        self.migrate(backfill_seconds=0)

    def backfill(self, **options):
        options = {"wait_seconds": 0.3, "throttle": Throttle(), "stop": Stop(), "edited": None, **options}
        tell_of = options.pop("tell_of", lambda work: lambda progress: None)
        return backfill_run.backfill(self.url, [self.set], report=self.said.append, tell_of=tell_of, **options)

    def not_done(self, **options):
        with pytest.raises((SchemaNotReady, DatabaseRefused)) as caught:
            self.backfill(**options)
        return caught.value.refusals[0]

    def met(self) -> dict[int, int]:
        """How many rows were met how often."""
        return dict(self.query("SELECT n, count(*) FROM e GROUP BY n"))

    def states(self) -> list[str]:
        return [state for _, state, _, _ in self.rows()]

    def boot(self) -> list:
        with postgres.connect(self.url) as conn:
            return [each.kind for each in check_schema(conn, [self.set])]

    @contextmanager
    def work(self) -> Iterator[Work]:
        """The data file ready to be run, on connections of its own and without the lock that keeps others away."""
        with postgres.connect(self.url) as conn, postgres.connect(self.url) as lock:
            lock.autocommit = False
            migration = next(m for m in backfill_run.read_all([self.set])["app"] if m.batch)
            yield backfill.resume(conn, lock, migration, Throttle(), self.said.append, edited="go-on")


@pytest.fixture
def app(tmp_path: Path, empty_database_url: str) -> Program:
    folder = tmp_path / "files"
    folder.mkdir()
    return Program(folder, empty_database_url)


# beside a deploy


def test_a_deploy_finishes_what_is_a_matter_of_seconds(app):
    app.add(1, "expand", TABLE.format(rows=100))
    app.add(2, "data", COUNT)
    app.add(3, "contract", "ALTER TABLE e DROP COLUMN v")

    result = app.migrate()

    assert [m.version for m, _ in result.applied] == [1, 2, 3] and result.unfinished == ()
    assert app.met() == {1: 100} and app.states() == ["applied"] * 3
    assert app.migrate().summary.startswith("nothing to do")


def test_a_deploy_leaves_the_rest_and_goes_on_with_what_does_not_need_it(app):
    app.add(4, "contract", "ALTER TABLE e DROP COLUMN v")
    app.add(3, "expand", "CREATE TABLE later ()")
    app.begin()

    assert app.states() == ["applied", "running", "applied"] and "later" in app.tables()
    assert any("unfinished app 0002_data_step2: 10 rows walked" in line for line in app.said)
    assert any("deferred app 0004_contract_step4: needs app 0002_data_step2" in line for line in app.said)
    result = app.migrate(backfill_seconds=0)
    assert [each.migration.version for each in result.unfinished] == [2]
    assert result.as_dict()["unfinished"] and result.summary.endswith("1 unfinished; 1 deferred: schema at app 3")

    app.backfill()

    assert app.states() == ["applied"] * 3
    assert [m.version for m, _ in app.migrate().applied] == [4] and app.met() == {1: 100}


def test_an_expand_file_that_requires_it_waits_and_so_does_what_comes_after(app):
    app.add(3, "expand", "-- prodsafe: require 0002\nCREATE TABLE needs_it ()")
    app.begin()
    assert app.tables() == {"e"}

    app.backfill()
    app.migrate()

    assert app.tables() == {"e", "needs_it"}


def test_a_worker_boots_beside_it_unless_a_contract_of_its_release_needs_it(app):
    app.begin()
    assert app.boot() == []

    app.add(3, "contract", "ALTER TABLE e DROP COLUMN v")

    assert app.boot() == [BACKFILL_UNFINISHED]
    app.backfill()
    assert app.boot() == []


def test_status_tells_how_far_it_is(app):
    app.begin()
    _, rows = status_for(app.url, [app.set])

    assert rows[1].state == "unfinished" and rows[1].note == "10 rows walked, 10 changed, 10.0 %, up to id 30"


def test_one_that_no_deploy_began_is_not_begun_by_the_command(app):
    app.add(1, "expand", TABLE.format(rows=10))
    app.add(2, "data", COUNT)

    refusal = app.not_done()

    assert refusal.kind is BEHIND and "migrate_schema.py" in refusal.mend
    app.migrate()
    assert app.backfill() == []


def test_an_empty_table_is_finished_at_once(app):
    app.begin(rows=0)

    assert app.states() == ["applied", "applied"]


def test_rows_that_are_added_behind_the_last_key_meanwhile_are_walked_too(app):
    app.begin(rows=30)
    app.query("INSERT INTO e SELECT g FROM generate_series(1000, 1049) g")

    app.backfill()

    assert app.met() == {1: 80}


# exactly once


def test_a_kill_at_any_exchange_with_the_server_is_healed_by_the_next_run_and_no_row_is_met_twice(app):
    """Acceptance 3 of migrations.md 7, in a backfill batch."""
    app.add(1, "expand", TABLE.format(rows=25))
    app.migrate()
    app.add(2, "data", COUNT)

    exchange, killed = 0, True
    while killed:
        exchange += 1
        killed = app.killed_at(exchange) != 0
        app.migrate()

        assert app.met() == {1: 25}, exchange
        assert app.states() == ["applied"] * 2, exchange
        app.query("DROP TABLE prodsafe.backfill")
        app.query("DELETE FROM prodsafe.migration WHERE version = 2")
        app.query("UPDATE e SET n = 0")
    assert exchange > 40, "before, inside and after every batch"


def test_two_that_both_believe_to_hold_the_lock_still_run_no_batch_twice(app):
    """The row of prodsafe.backfill is the fence: without its FOR UPDATE both would take the same range."""
    app.begin(rows=60, batch=SLOWLY.replace("size 10", "size 5"))
    before = app.query("SELECT n, count(*) FROM e GROUP BY 1 ORDER BY 1")
    assert before == [(0, 55), (1, 5)]

    def run_all() -> int:
        batches = 0
        with app.work() as work:
            while not backfill.one_batch(work, 5, lambda: 0).progress.finished:
                batches += 1
        return batches

    with ThreadPoolExecutor() as pool:
        first, second = pool.submit(run_all), pool.submit(run_all)
        shares = first.result(60), second.result(60)

    assert all(shares), "both of them had their turns"
    assert app.met() == {1: 60}


def test_sessions_that_the_server_ends_are_opened_again_and_the_batch_at_work_was_not_counted(app):
    app.begin(rows=120)
    ends = iter([20, 50, 90])
    end_at = next(ends)

    def tell_of(work: Work) -> Callable:
        def tell(progress) -> None:
            nonlocal end_at
            if progress.walked >= end_at:
                end_at = next(ends, 10_000)
                app.query(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND application_name LIKE 'prodsafe/migrate%%'"
                )

        return tell

    app.backfill(tell_of=tell_of, throttle=Throttle(size=10), wait_seconds=10)

    assert app.met() == {1: 120} and end_at == 10_000
    assert sum("again in" in line for line in app.said) >= 3


def test_the_backfill_survives_a_restart_of_the_server(postgres_binaries, tmp_path):
    files = tmp_path / "files"
    files.mkdir()
    folder = tmp_path / "server"
    with EmbeddedPostgres(folder, fsync=False, binaries=postgres_binaries) as server:
        app = Program(files, server.url)
        app.begin(rows=200)
        under_way = threading.Event()

        def tell_of(work: Work) -> Callable:
            return lambda progress: under_way.set()

        with ThreadPoolExecutor() as pool:
            throttle = Throttle(size=5, pause_seconds=0.02)
            running = pool.submit(app.backfill, tell_of=tell_of, throttle=throttle, wait_seconds=10)
            assert under_way.wait(20)
            port = int(server.url.rpartition(":")[2].partition("/")[0])
            server.stop()
            with EmbeddedPostgres(folder, port=port, fsync=False, binaries=postgres_binaries):
                running.result(60)
                assert app.met() == {1: 200}


def test_it_goes_through_the_lock_while_another_run_is_at_work(app):
    app.begin()
    with (
        postgres.connect(app.url) as work,
        migration_lock(app.url, work, 0.0, app.said.append, right=BACKFILLING),
    ):
        refusal = app.not_done()
        result = app.migrate()

    assert refusal.id == "M25" and "prodsafe/migrate" in refusal.cause
    assert [each.because for each in result.unfinished] == ["another run is at it"]
    assert app.met() == {0: 90, 1: 10}
    app.backfill()
    assert app.met() == {1: 100}


def test_a_deploy_is_not_held_up_by_a_backfill_under_way(app):
    app.begin(rows=200)
    under_way, may_end = threading.Event(), threading.Event()

    def tell_of(work: Work) -> Callable:
        def tell(progress) -> None:
            under_way.set()
            assert may_end.wait(20)

        return tell

    with ThreadPoolExecutor() as pool:
        running = pool.submit(app.backfill, tell_of=tell_of)
        assert under_way.wait(20)
        app.add(3, "expand", "CREATE TABLE meanwhile ()")
        app.migrate(wait_seconds=0.0)
        assert "meanwhile" in app.tables()
        may_end.set()
        running.result(30)
    assert app.met() == {1: 200}


def test_it_works_through_a_pooler_that_gives_every_transaction_another_session(app, tmp_path):
    app.begin(rows=200)
    with PgBouncer(app.url, "transaction", tmp_path / "pooler", pool_size=3) as pooler:
        Program(app.set.folder, pooler.url).backfill(throttle=Throttle(size=10))

    assert app.met() == {1: 200}


# the key

NIL = "'00000000-0000-0000-0000-000000000000'"
UUIDS = f"SELECT md5(g::text)::uuid FROM generate_series(1, 25) g UNION ALL SELECT {NIL}"  # noqa: S608
TEXTS = "SELECT k FROM unnest(ARRAY['', '''', 'a', 'B', 'ä', '%s', ':last', '\\', ' x', E'two\nlines']) k"
TIMES = (
    "SELECT '2026-01-01 12:00:00.123456+02'::timestamptz + g * interval '1 microsecond' FROM generate_series(1, 22) g"
    " UNION ALL SELECT 'infinity' UNION ALL SELECT '-infinity' UNION ALL SELECT '0044-03-15 BC'"
)


@pytest.mark.parametrize(
    ("type_name", "values", "rows"),
    [
        ("smallint", "SELECT g FROM generate_series(-12, 12) g UNION ALL SELECT -32768", 26),
        ("int", "SELECT g FROM generate_series(-12, 12) g UNION ALL SELECT 2147483647", 26),
        ("bigint", "SELECT g FROM generate_series(-5, 5) g UNION ALL SELECT -9223372036854775808", 12),
        ("uuid", UUIDS, 26),
        ("text", TEXTS, 10),
        ('text COLLATE "C"', TEXTS, 10),
        ("varchar(40)", TEXTS, 10),
        ("timestamptz", TIMES, 25),
    ],
)
def test_a_key_of_any_kind_is_walked_from_its_least_value_to_its_greatest(app, type_name, values, rows):
    app.set_default("datestyle = 'ISO, DMY'")
    app.set_default("timezone = 'Asia/Kolkata'")
    app.add(1, "expand", f'CREATE TABLE "E e" ("Key" {type_name} PRIMARY KEY, n int NOT NULL DEFAULT 0)')
    app.migrate()
    app.query(f'INSERT INTO "E e" {values}'.replace("%", "%%"))
    app.add(
        2,
        "data",
        '-- prodsafe: batch "E e" by "Key" size 3\nUPDATE "E e" SET n = n + 1 WHERE "Key" BETWEEN :first AND :last',
    )

    app.migrate(backfill_seconds=0)
    app.backfill(throttle=Throttle(size=3))

    assert app.query('SELECT n, count(*) FROM "E e" GROUP BY n') == [(1, rows)]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO copied SELECT id FROM e WHERE id BETWEEN :first AND :last",
        "WITH batch AS (SELECT id FROM e WHERE id >= :first AND id <= :last) INSERT INTO copied SELECT id FROM batch",
    ],
)
def test_what_is_written_may_be_another_table(app, statement):
    app.add(1, "expand", TABLE.format(rows=30) + "; CREATE TABLE copied (id bigint)")
    app.add(2, "data", f"-- prodsafe: batch e by id size 7\n{statement}")

    app.migrate()

    assert app.query("SELECT count(*), count(DISTINCT id) FROM copied") == [(30, 30)]


def test_a_partitioned_table_is_walked_over_all_its_parts(app):
    app.add(
        1,
        "expand",
        "CREATE TABLE e (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0) PARTITION BY RANGE (id);"
        "CREATE TABLE e1 PARTITION OF e FOR VALUES FROM (0) TO (50);"
        "CREATE TABLE e2 PARTITION OF e FOR VALUES FROM (50) TO (100);"
        "INSERT INTO e SELECT generate_series(0, 99)",
    )
    app.add(2, "data", COUNT)

    app.migrate()

    assert app.met() == {1: 100}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("CREATE TABLE other (id int)", "there is no table e"),
        ("CREATE TABLE e (key int PRIMARY KEY)", "e has no column id"),
        ("CREATE TABLE e (id int UNIQUE)", "e.id may be null"),
        ("CREATE TABLE e (id int NOT NULL)", "has no unique index of its own"),
        ("CREATE TABLE e (id int NOT NULL, b int NOT NULL, UNIQUE (id, b))", "has no unique index of its own"),
        ("CREATE TABLE e (id int NOT NULL); CREATE INDEX ON e (id)", "has no unique index of its own"),
        ("CREATE TABLE e (id int NOT NULL); CREATE UNIQUE INDEX ON e (id) WHERE id > 5", "has no unique index"),
        ("CREATE TABLE e (id numeric PRIMARY KEY)", "of type numeric"),
        ("CREATE DOMAIN d AS int; CREATE TABLE e (id d PRIMARY KEY)", "of type d"),
        ("CREATE VIEW e AS SELECT 1 AS id", "it is no table"),
        ("CREATE TABLE e (id int PRIMARY KEY); CREATE TABLE c () INHERITS (e)", "inherit from it"),
    ],
)
def test_a_key_that_cannot_be_walked_is_refused_before_anything_is_recorded(app, table, said):
    app.add(1, "expand", table)
    app.add(2, "data", "-- prodsafe: batch e by id\nDELETE FROM e WHERE id BETWEEN :first AND :last")

    refusal = app.refused()

    assert refusal.kind is backfill_key.KEY_UNUSABLE and said in refusal.cause
    assert app.applied() == [1]


@pytest.mark.parametrize("rows", [0, 100])
@pytest.mark.parametrize(
    "condition",
    [
        "id BETWEEN :first AND :last OR v IS NULL",
        "id + 0 BETWEEN :first AND :last",
        "v = (SELECT count(*) FROM e AS o WHERE o.id BETWEEN :first AND :last)",
        "id >= :first AND v < :last",
    ],
)
def test_a_statement_that_does_not_keep_to_its_keys_is_refused(app, condition, rows):
    app.add(1, "expand", TABLE.format(rows=rows))
    app.add(2, "data", f"-- prodsafe: batch e by id\nUPDATE e SET n = n + 1 WHERE {condition}")

    refusal = app.refused()

    assert refusal.kind is backfill_key.KEY_IGNORED
    assert app.applied() == [1] and app.met() == ({0: rows} if rows else {})


def test_a_statement_that_the_server_does_not_understand_is_refused_before_anything_is_recorded(app):
    app.add(1, "expand", TABLE.format(rows=10))
    app.add(2, "data", COUNT.replace("SET n", "SET no_such"))

    assert app.refused().kind is FAILED and app.applied() == [1]


def test_a_table_that_is_gone_is_named(app):
    app.begin()
    app.query("DROP TABLE e")

    assert "there is no table e" in app.not_done().cause


# edited while half done


def test_a_comment_or_another_size_is_no_edit(app):
    app.begin()
    app.add(2, "data", "-- a word more\n" + COUNT.replace("size 10", "size 20"))

    app.backfill()

    assert app.met() == {1: 100} and app.states() == ["applied", "applied"]
    assert app.migrate().applied == ()


def test_a_statement_that_was_edited_is_refused_with_both_hashes_and_the_choice(app):
    app.begin()
    app.add(2, "data", COUNT.replace("n + 1", "n + 10"))

    refusal = app.not_done()

    assert refusal.kind is backfill.EDITED and refusal.seen.startswith("file ") and "began as" in refusal.seen
    assert "go-on" in refusal.mend and "start-over" in refusal.mend
    assert app.refused().kind is backfill.EDITED, "a deploy too"
    assert app.met() == {0: 90, 1: 10}


@pytest.mark.parametrize(("edited", "met"), [("go-on", {1: 10, 10: 90}), ("start-over", {10: 90, 11: 10})])
def test_a_person_says_what_the_new_statement_is_for(app, edited, met):
    app.begin()
    app.add(2, "data", COUNT.replace("n + 1", "n + 10"))

    app.backfill(edited=edited)

    assert app.met() == met and app.states() == ["applied", "applied"]
    assert app.migrate().applied == ()


def test_another_key_cannot_go_on_from_the_old_one(app):
    app.begin()
    app.query("ALTER TABLE e ADD COLUMN other int GENERATED ALWAYS AS IDENTITY UNIQUE")
    app.add(2, "data", COUNT.replace("by id", "by other").replace("WHERE id", "WHERE other"))

    assert app.not_done(edited="go-on").kind is backfill.EDITED
    app.backfill(edited="start-over")
    assert app.met() == {1: 90, 2: 10}


# errors and others


def test_an_error_of_the_statement_names_it_and_what_is_done_stays_done(app):
    app.add(1, "expand", TABLE.format(rows=100))
    app.add(2, "data", COUNT.replace("n + 1", "n + 1 / (id - 150)::int"))

    refusal = app.refused()

    assert refusal.kind is FAILED and "division by zero" in refusal.cause
    done = app.query("SELECT last_key::int, rows_walked FROM prodsafe.backfill")
    assert done[0][0] < 150 and app.states() == ["applied", "running"]
    app.add(2, "data", COUNT)
    app.backfill(edited="go-on")
    assert app.states() == ["applied", "applied"]


def test_a_row_that_somebody_holds_is_waited_for_with_smaller_batches_and_nothing_is_lost(app):
    app.begin()
    with ThreadPoolExecutor() as pool, psycopg.connect(app.url) as other:
        other.execute("SELECT FROM e WHERE id = 60 FOR UPDATE")
        running = pool.submit(app.backfill)
        while not any("lock timeout; again with 5 rows" in line for line in app.said):
            assert not running.done(), running.result()
        other.rollback()
        running.result(30)

    assert app.met() == {1: 100}


def test_it_begins_again_when_a_killed_runs_session_lets_go_of_its_row(app):
    app.begin()
    with ThreadPoolExecutor() as pool, psycopg.connect(app.url) as ghost:
        ghost.execute("SELECT FROM prodsafe.backfill FOR UPDATE")
        running = pool.submit(app.backfill)
        app.wait_until("EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
        ghost.execute("SELECT pg_sleep(0.6)")  # longer than a lock is waited for
        assert not running.done()
        ghost.rollback()
        running.result(30)

    assert app.met() == {1: 100}


def test_a_record_that_somebody_deleted_meanwhile_is_not_taken_for_the_end(app):
    app.begin()

    def tell_of(work: Work) -> Callable:
        return lambda progress: app.query("DELETE FROM prodsafe.backfill")

    refusal = app.not_done(tell_of=tell_of)

    assert refusal.kind is FAILED and "prodsafe.backfill is gone" in refusal.cause
    assert app.states() == ["applied", "running"]


def test_a_lock_that_never_comes_ends_the_run(app, monkeypatch):
    app.begin()
    monkeypatch.setattr(backfill, "BUSY_SECONDS", 0.0)
    with psycopg.connect(app.url) as other:
        other.execute("SELECT FROM e WHERE id = 60 FOR UPDATE")
        refusal = app.not_done()

    assert refusal.id == "M10"
    app.backfill()
    assert app.met() == {1: 100}


def test_who_waits_for_the_locks_of_a_batch_is_seen_before_its_end(app):
    app.begin()
    app.add(2, "data", SLOWLY.replace("0.05", "0.2"))
    with app.work() as work, ThreadPoolExecutor() as pool:
        running = pool.submit(backfill.one_batch, work, 10, lambda: 0)
        app.wait_until("EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')")
        waiting = pool.submit(app.query, "BEGIN; LOCK TABLE e; COMMIT")
        assert running.result(30).waiters == 1
        waiting.result(30)


def test_a_batch_that_takes_too_long_is_halved_and_one_row_that_does_is_refused(app, monkeypatch):
    monkeypatch.setattr(backfill, "BEGIN", b"SET LOCAL statement_timeout = 120")
    app.begin(batch=SLOWLY.replace("size 10", "size 10"), rows=12)
    assert any("again with 5 rows" in line for line in app.said)
    app.backfill()
    assert app.met() == {1: 12}

    app.add(3, "data", COUNT.replace("n + 1", "n + length(pg_sleep(1)::text)"))
    refusal = app.refused()
    assert refusal.kind is backfill.TOO_SLOW and "one row" in refusal.cause


def test_a_deadline_ends_it_after_a_whole_batch_and_says_how_to_go_on(app):
    app.begin()
    with pytest.raises(SchemaNotReady) as caught:
        app.backfill(stop=Stop(ends_at=0.0))

    [refusal] = caught.value.refusals
    assert refusal.kind is backfill_run.STOPPED and "up to id" in refusal.cause and "goes on" in refusal.mend
    assert app.states() == ["applied", "running"]


def test_a_rehearsal_tells_what_is_left_and_changes_nothing(app):
    app.begin()
    app.add(3, "data", COUNT)
    app.add(4, "expand", "CREATE TABLE late (id int PRIMARY KEY)")
    app.add(5, "data", "-- prodsafe: batch late by id\nDELETE FROM late WHERE id BETWEEN :first AND :last")
    before = app.query("SELECT * FROM prodsafe.backfill")

    first, second = backfill_run.rehearse(app.url, [app.set], Throttle(), app.said.append)

    assert (first.rows_left, first.batches, first.first_key, first.last_key) == (90, 9, "33", "300")
    assert (second.rows_left, second.batches, second.first_key) == (100, 10, "3")
    assert first.sample_changed == 10 and first.seconds is not None and "9 batches of 10" in first.as_line()
    assert any("0005_data_step5: no estimate before the files before it ran" in line for line in app.said)
    assert app.query("SELECT * FROM prodsafe.backfill") == before and app.met() == {0: 90, 1: 10}


def test_a_rehearsal_that_meets_a_lock_or_an_error_says_so(app):
    app.begin(batch=COUNT.replace("n + 1", "n + 1 / (id - 3 * 15)::int"))

    with pytest.raises(SchemaNotReady, match="division by zero"):
        backfill_run.rehearse(app.url, [app.set], Throttle(), app.said.append)


# a standby


@pytest.fixture
def primary(postgres_binaries: Path | None) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(fsync=False, binaries=postgres_binaries) as server:
        yield server


@pytest.fixture
def standby(primary: EmbeddedPostgres, postgres_binaries: Path | None, tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    settings = {"wal_receiver_status_interval": "1s"}  # how soon the primary knows
    with standby_of(primary, tmp_path / "standby", postgres_binaries, settings) as server:
        yield server


def test_it_waits_for_a_standby_that_is_behind_and_goes_on_when_that_has_caught_up(primary, standby, tmp_path):
    (tmp_path / "files").mkdir()
    app = Program(tmp_path / "files", primary.url)
    app.begin(rows=400)
    app.wait_until("EXISTS (SELECT FROM pg_stat_replication WHERE state = 'streaming')")
    throttle = Throttle(size=10, pause_seconds=0.2, max_lag_seconds=0.4)
    with ThreadPoolExecutor() as pool, psycopg.connect(standby.url, autocommit=True) as replica:
        replica.execute("SELECT pg_wal_replay_pause()")
        running = pool.submit(app.backfill, throttle=throttle)
        while not any("waiting, standby" in line for line in app.said):
            assert not running.done(), running.result()
        done = app.query("SELECT batches FROM prodsafe.backfill")
        replica.execute("SELECT pg_sleep(0.5)")
        assert app.query("SELECT batches FROM prodsafe.backfill") == done, "it does nothing meanwhile"
        replica.execute("SELECT pg_wal_replay_resume()")
        running.result(60)

    assert app.met() == {1: 400}


def test_it_says_that_it_cannot_see_a_standby_and_does_not_wait_for_it(primary, standby, tmp_path):
    (tmp_path / "files").mkdir()
    owner = Program(tmp_path / "files", primary.url)
    owner.query("CREATE ROLE plain LOGIN PASSWORD 'plainly'; GRANT ALL ON SCHEMA public TO plain")
    owner.query("CREATE DATABASE app OWNER plain")
    address = primary.url_of("app").partition("@")[2]
    app = Program(owner.set.folder, f"postgresql://plain:plainly@{address}")
    owner.wait_until("EXISTS (SELECT FROM pg_stat_replication WHERE state = 'streaming')")

    app.begin(rows=30)
    app.backfill()

    assert app.met() == {1: 30}
    assert sum("lag of standbys is not shown" in line for line in app.said) >= 1

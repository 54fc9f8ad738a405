"""A contract file waits while somebody who needs the old shape holds a lease; expand files do not."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from prodsafe import postgres
from prodsafe.lease import LeaseTiming, acquire
from prodsafe.migrations import PRODSAFE_SET, check_schema, migrate, plan, plan_for
from prodsafe.migrations.runner import status_for
from tests.migrating import App

QUICK = LeaseTiming(length_seconds=1.0, beat_seconds=0.2, request_expiry_seconds=0.1, margin_seconds=0.1)
OLD_COLUMN = "CREATE TABLE a (id int, old_name text)"


class Program(App):
    """With prodsafe's own tables, since it takes leases."""

    @property
    def sets(self):
        return [PRODSAFE_SET, self.set]

    def migrate(self, **options):
        return migrate(self.url, self.sets, **{"wait_seconds": 10.0, "report": self.said.append, **options})

    def columns(self) -> set[str]:
        return {name for (name,) in self.query("SELECT attname FROM pg_attribute WHERE attrelid = 'a'::regclass")}

    @contextmanager
    def worker(self, schema_range: Mapping[str, tuple[int, int]]) -> Iterator[None]:
        lease = acquire(self.url, ["account/x"], timing=QUICK, schema_range=schema_range, exit_on_loss=False)
        try:
            yield
        finally:
            lease.release("stopped")


@pytest.fixture
def app(tmp_path: Path, empty_database_url: str) -> Program:
    app = Program(tmp_path, empty_database_url)
    app.add(1, "expand", OLD_COLUMN)
    app.migrate()
    return app


def add_contract(app: Program) -> None:
    app.add(2, "expand", "ALTER TABLE a ADD COLUMN new_name text")
    app.add(3, "contract", "ALTER TABLE a DROP COLUMN old_name")
    app.add(4, "expand", "CREATE TABLE b (id int)")


def test_expand_runs_beside_an_old_worker_and_contract_waits_until_it_has_gone(app):
    add_contract(app)
    with app.worker({"app": (1, 1)}):
        result = app.migrate()

        assert [m.version for m, _ in result.applied] == [2]
        assert [(each.migration.version) for each in result.deferred] == [3, 4]
        assert {"old_name", "new_name"} <= app.columns() and app.tables() == {"a"}
        assert any("deferred app 0003_contract_step3: account/x" in line for line in app.said)
        found, rows = status_for(app.url, app.sets)
        assert {row.version: row.state for row in rows if row.set_name == "app"} == {
            1: "applied", 2: "applied", 3: "deferred", 4: "deferred",
        }  # fmt: skip
        assert found.as_dict()["deferred"][1]["because"] == "comes after app 0003_contract_step3"

    assert [m.version for m, _ in app.migrate().applied] == [3, 4]
    assert "old_name" not in app.columns()


@pytest.mark.parametrize(
    ("stated", "waits"),
    [
        ({"app": (1, 3)}, False),
        ({"other": (1, 1)}, False),
        ({"app": (1, 2)}, True),
        ({}, True),
        ({"prodsafe": (1, 99)}, True),
        ({"prodsafe": (1, 99), "other": (1, 1)}, False),
    ],
)
def test_it_waits_only_for_who_does_not_know_the_file_or_says_nothing(app, stated, waits):
    add_contract(app)

    with app.worker(stated):
        assert bool(app.migrate().deferred) == waits


def test_a_holder_that_died_longer_than_its_grace_ago_keeps_nothing_waiting(app):
    add_contract(app)
    acquire(app.url, ["account/x"], timing=QUICK, schema_range={"app": (1, 1)}, exit_on_loss=False).abandon()
    assert plan_for(app.url, app.sets).deferred  # it died just now: what it sent may still be on its way

    app.query("UPDATE prodsafe.lease_beat SET renewed_at = clock_timestamp() - interval '1 hour'")

    assert not app.migrate().deferred


def test_a_worker_that_takes_its_lease_while_the_file_runs_is_seen_before_the_commit(app):
    """The last look is in the transaction that records the file, under a lock that a taker of the lease waits for."""
    app.add(2, "contract", "ALTER TABLE a DROP COLUMN old_name; SELECT pg_sleep(1)")
    results = []
    running = threading.Thread(target=lambda: results.append(app.migrate()))
    running.start()
    app.wait_until("EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')")

    with app.worker({"app": (1, 1)}):
        running.join(20)

    assert [each.migration.version for each in results[0].deferred] == [2]
    assert "old_name" in app.columns() and app.applied() == [1]


def test_a_worker_that_comes_too_late_finds_the_file_in_the_ledger_with_the_lease_in_hand(app):
    older = Program(app.set.folder / "older", app.url)
    older.set.folder.mkdir()
    older.add(1, "expand", OLD_COLUMN)
    app.add(2, "contract", "ALTER TABLE a DROP COLUMN old_name")
    app.migrate()

    with older.worker({"app": (1, 1)}), postgres.connect(app.url) as conn:
        assert [refusal.kind for refusal in check_schema(conn, older.sets)] == [plan.AHEAD]


def test_taking_the_lease_waits_for_a_contract_that_is_about_to_commit_and_beats_do_not(app):
    with app.worker({"app": (1, 9)}), psycopg.connect(app.url) as contract:
        contract.execute("LOCK TABLE prodsafe.lease IN SHARE MODE")
        before = app.query("SELECT seq FROM prodsafe.lease_beat")[0][0]
        app.wait_until("(SELECT seq FROM prodsafe.lease_beat) > %s", before + 1)
        with psycopg.connect(app.url) as taker:
            taker.execute("SET lock_timeout = '50ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                taker.execute("UPDATE prodsafe.lease SET reason = reason")


def test_a_contract_that_no_transaction_can_hold_is_in_the_ledger_before_its_first_statement(app):
    app.add(2, "expand", "CREATE INDEX a_old ON a (old_name)")
    app.add(3, "contract", "DROP INDEX CONCURRENTLY a_old")
    with app.worker({"app": (1, 2)}):
        assert [each.migration.version for each in app.migrate().deferred] == [3]
        assert app.rows()[-1][0] == 2

    app.migrate()

    assert app.indexes() == {} and app.rows()[-1] == (3, "applied", 1, 1)


def test_a_worker_boots_while_its_own_contract_files_wait_and_not_while_others_are_missing(app):
    app.add(2, "contract", "ALTER TABLE a DROP COLUMN old_name")
    with postgres.connect(app.url) as conn:
        assert check_schema(conn, app.sets) == []
        app.add(3, "expand", "CREATE TABLE b (id int)")
        refusals = check_schema(conn, app.sets)

    assert [refusal.kind for refusal in refusals] == [plan.BEHIND] and "0003" in refusals[0].cause
    assert "0002" not in refusals[0].cause

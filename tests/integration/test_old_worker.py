"""An older worker beside a migration: its prepared queries must survive an expand file, and fit the schema of today."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal

import psycopg
import pytest

from live import queries
from live.events import EquityObserved
from live.journal import PostgresJournal
from live.queries import numbered, worker_queries
from prodsafe.lease import acquire

TABLES = ("live.event", "live.halt_event", "live.worker_status", "live.candle", "prodsafe.lease", "prodsafe.lease_beat")


class Worker:
    """A session with prepared statements, as a driver makes them by itself after some runs."""

    def __init__(self, conn: psycopg.Connection, prepared: dict[str, str]) -> None:
        self.conn, self.names = conn, list(prepared)
        for number, query in enumerate(prepared.values()):
            conn.execute(f"PREPARE q{number} AS {numbered(query)}".encode())

    def plans_again(self) -> dict[str, str]:
        """Name -> the server's refusal, for every statement that it would not run any more."""
        counts = dict(self.conn.execute("SELECT name, cardinality(parameter_types) FROM pg_prepared_statements"))
        refused = {}
        for number, name in enumerate(self.names):
            nulls = ", ".join(["NULL"] * counts[f"q{number}"])
            try:
                self.conn.execute(f"EXPLAIN EXECUTE q{number}{f'({nulls})' if nulls else ''}".encode())
            except psycopg.Error as error:
                refused[name] = str(error)
        return refused


@pytest.fixture
def worker(database_url: str):
    with psycopg.connect(database_url, autocommit=True) as conn:
        yield lambda prepared: Worker(conn, prepared)


def equity(amount: int) -> EquityObserved:
    return EquityObserved(at=datetime(2026, 11, 22, tzinfo=UTC), equity_quote=Decimal(amount))


def expand(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as migrator:
        for table in TABLES:
            migrator.execute(f"ALTER TABLE {table} ADD COLUMN added_later text".encode())


def test_every_query_of_the_worker_fits_the_schema_that_the_migrations_make(worker):
    found = worker_queries()

    assert worker(found).plans_again() == {}
    assert len(found) > 25 and {"live.journal._APPEND", "live.latch._READ", "live.reader.Reader.scopes"} <= set(found)


def test_prepared_queries_survive_a_new_column_on_every_table(worker, database_url):
    """Research 0.9: an additive migration kills a worker whose prepared statement changes its result."""
    old = worker(worker_queries())

    expand(database_url)

    assert old.plans_again() == {}


async def test_a_journal_that_has_prepared_its_statements_goes_on_across_an_expand_migration(database_url):
    """Research 0.9, with the journal itself: it alone prepares what it sends, on its own direct connection."""
    with acquire(database_url, ["account/a/b/test"], exit_on_loss=False) as lease:
        lease.activate()
        token = lease.token
        journal = await PostgresJournal.open(database_url, scope=lease.scope, epoch=token.epoch, holder=token.holder)
        for amount in range(8):  # past the five runs after which the server keeps one plan for all
            await journal.append_unless_halted([equity(amount)])
            await journal.append([equity(amount)])
            await journal.latch()

        expand(database_url)
        with psycopg.connect(database_url, autocommit=True) as migrator:
            migrator.execute("CREATE INDEX added_later ON live.event (epoch)")
            migrator.execute("ALTER TABLE live.event ADD COLUMN with_default bigint NOT NULL DEFAULT 7")
        await journal.append_unless_halted([equity(100)])
        await journal.append([equity(101)])

        assert not (await journal.latch()).halted
        assert [event.equity_quote for event in (await journal.load()).events][-2:] == [100, 101]
        await journal.close()


def test_a_star_over_a_table_would_not_survive_it(worker, database_url):
    old = worker({"star": "SELECT * FROM live.event WHERE scope = %s"})

    expand(database_url)

    assert "cached plan must not change result type" in old.plans_again()["star"]


def test_no_query_of_the_worker_selects_a_star_from_a_table():
    star = re.compile(r"(?:SELECT|,)\s+(?:\w+\.)?\*\s+FROM\s+(?!unnest\()|RETURNING\s+(?:\w+\.)?\*")

    assert [name for name, query in worker_queries().items() if star.search(query)] == []
    assert star.search("SELECT * FROM live.event") and not star.search("SELECT * FROM unnest(%s)")


def test_a_query_that_is_made_while_it_runs_is_refused_since_nobody_could_prepare_it(tmp_path, monkeypatch):
    (tmp_path / "store_of_test.py").write_text("def read(conn, table):\n    conn.execute(f'SELECT 1 FROM {table()}')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(queries, "STORES", ("store_of_test",))

    with pytest.raises(ValueError, match="line 2"):
        worker_queries()


def test_placeholders_become_numbers_and_a_name_used_twice_stays_one_parameter():
    assert numbered("SELECT %(a)s, %(b)s, %(a)s, 'x%%'") == "SELECT $1, $2, $1, 'x%'"
    assert numbered("SELECT %s, %s") == "SELECT $1, $2"

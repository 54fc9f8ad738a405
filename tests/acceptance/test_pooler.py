"""PgBouncer in the path: a lease is never taken through it, and nothing that we set for ourselves is left in it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import psycopg
import pytest

from tests.pgbouncer import PgBouncer
from tests.processes import PROJECT, Start, Venue, base_environment, entered_and_protected, worker_environment

Mode = Literal["transaction", "session"]
OpenPooler = Callable[..., PgBouncer]
Done = subprocess.CompletedProcess[str]
SESSION_STATE = (
    *("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout"),
    *("default_transaction_read_only", "role", "search_path", "client_connection_check_interval"),
)


@pytest.fixture
def pooled(database_url: str, tmp_path: Path) -> Iterator[OpenPooler]:
    """pooled("transaction") -> a running PgBouncer in front of the test's database, with one server connection for
    everybody: whatever one client leaves behind, the next one gets."""
    running: list[PgBouncer] = []

    def begin(mode: Mode) -> PgBouncer:
        running.append(PgBouncer(database_url, mode, tmp_path / f"pgbouncer-{mode}", pool_size=1).__enter__())
        return running[-1]

    yield begin
    for pooler in running:
        pooler.__exit__(None, None, None)


def run(*words: str, **variables: str) -> Done:
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=PROJECT,
        env={**base_environment(), **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def session_state(url: str) -> dict[str, str]:
    with psycopg.connect(url, autocommit=True) as conn:
        rows = conn.execute(
            "SELECT name, setting FROM pg_settings WHERE name = ANY (%s)", [list(SESSION_STATE)]
        ).fetchall()
        advisory = conn.execute(
            "SELECT count(*)::text FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        ).fetchall()
    return {**dict(rows), "advisory locks": advisory[0][0]}


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_a_worker_whose_lease_would_go_through_a_pooler_is_refused_with_the_mend(
    mode: Mode, pooled: OpenPooler, start: Start
) -> None:
    """Locks taken through a pooler belong to nobody: two clients get the same one (locks.md 2e)."""
    pooler = pooled(mode)
    untouched = session_state(pooler.url)

    worker = start(["-m", "live.prod_live"], worker_environment(pooler.url, "http://127.0.0.1:1"))

    assert worker.wait() == 1, worker.text()
    assert "refused P06 pooled-connection" in worker.text()
    assert f"127.0.0.1:{pooler.port}" in worker.text()
    assert "LOCK_DATABASE_URL to the direct" in worker.text()
    assert session_state(pooler.url) == untouched


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_prodsafe_run_and_lock_are_refused_through_a_pooler_too(
    mode: Mode, pooled: OpenPooler, database_url: str
) -> None:
    address = pooled(mode).url

    done = run("prodsafe", "run", "--scope", "bot-7", "--", "echo", "started", DATABASE_URL=address)
    status = run("prodsafe", "lock", "status", DATABASE_URL=address)
    mended = run(
        "prodsafe", "run", "--scope", "bot-7", "--", "echo", "started",
        DATABASE_URL=address, LOCK_DATABASE_URL=database_url,
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (1, "")
    assert "refused P06" in done.stderr and "LOCK_DATABASE_URL" in done.stderr
    assert status.returncode == 1 and "P06" in status.stderr
    assert (mended.returncode, mended.stdout) == (0, "started\n"), mended.stderr


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_with_a_direct_lock_address_the_worker_trades_and_leaves_nothing_in_the_pool(
    mode: Mode, pooled: OpenPooler, database_url: str, venue: Venue, start: Start
) -> None:
    """What a session SETs through a pooler is the next client's: a timeout, a read-only mode, a role."""
    pooler = pooled(mode)
    untouched = session_state(pooler.url)
    env = worker_environment(pooler.url, venue.url, LOCK_DATABASE_URL=database_url)

    worker = start(["-m", "live.prod_live"], env)
    entered_and_protected(worker, venue)
    looked = run("live", "status", **env)
    halted = run("live", "halt", "--reason", "drill", **env)
    left = session_state(pooler.url)
    with psycopg.connect(database_url) as conn:
        through = conn.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'live/journal%'")
        assert through.fetchone() == (1,)

    assert worker.terminate() == 0, worker.text()
    assert (looked.returncode, halted.returncode) == (0, 0), looked.stderr + halted.stderr
    assert left == session_state(pooler.url) == untouched


def test_a_schema_is_migrated_through_a_pooler_without_leaving_anything_in_it(
    empty_database_url: str, tmp_path: Path
) -> None:
    with PgBouncer(empty_database_url, "transaction", tmp_path / "pgbouncer", pool_size=5) as pooler:
        untouched = session_state(pooler.url)
        done = subprocess.run(
            [sys.executable, "migrate_schema.py"], cwd=PROJECT, env={**os.environ, "DATABASE_URL": pooler.url},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        left = [session_state(pooler.url) for _ in range(5)]

    assert done.returncode == 0, done.stderr
    assert left == [untouched] * 5

"""The production worker as real processes, on a real PostgreSQL, trading on the simulated venue over real HTTP."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import psycopg
import pytest

from live.simulator import DEMO_API_SECRET
from tests.processes import (
    PROJECT,
    Start,
    Venue,
    answer,
    base_environment,
    entered_and_protected,
    until,
    worker_environment,
)


def test_the_worker_line_trades_and_a_second_worker_is_refused(
    empty_database_url: str, venue: Venue, start: Start
) -> None:
    """R2, R8. Also: the journal and the venue's ledger tell the same story, and SIGTERM drains."""
    env = worker_environment(empty_database_url, venue.url)
    migrated = start(["migrate_schema.py"], env)
    assert migrated.wait() == 0, migrated.text()
    worker = start(["-m", "live.prod_live"], env)
    entered_and_protected(worker, venue)

    second = start(["-m", "live.prod_live"], env)
    assert second.wait() == 3
    assert f"pid {worker.popen.pid}" in second.text()
    assert "L01" in second.text()
    assert worker.terminate() == 0, worker.text()

    ledger = venue.get("/sim/ledger")
    with psycopg.connect(empty_database_url) as connection:
        intended = connection.execute(
            "SELECT client_order_id FROM live.event WHERE kind = 'order_intended' ORDER BY id"
        ).fetchall()
        fills = connection.execute("SELECT fill_id FROM live.event WHERE kind = 'filled'").fetchall()
    assert [row[0] for row in intended] == [request["client_order_id"] for request in venue.sent()]
    assert {row[0] for row in fills} == {fill["fill_id"] for fill in ledger["fills"]}
    assert ledger["summary"]["duplicates"] == 0
    assert DEMO_API_SECRET not in worker.text() + second.text()


def test_a_renamed_account_with_the_same_key_is_still_refused(database_url: str, venue: Venue, start: Start) -> None:
    """W11: key rotation or another name gave two bots one account and two locks."""
    env = worker_environment(database_url, venue.url)
    worker = start(["-m", "live.prod_live"], env)
    until(lambda: "lease taken" in worker.text(), worker)

    second = start(["-m", "live.prod_live"], {**env, "EXCHANGE_ACCOUNT": "another-name"})

    assert second.wait() == 3


def test_kill_dash_nine_then_the_successor_waits_the_grace_and_keeps_the_one_stop(
    database_url: str, venue: Venue, start: Start
) -> None:
    env = worker_environment(database_url, venue.url)
    first = start(["-m", "live.prod_live"], env)
    entered_and_protected(first, venue)
    stop = venue.open_orders("-s")[0]["order_id"]
    first.popen.kill()
    first.wait()

    successor = start(["-m", "live.prod_live"], env)
    until(lambda: '"trading"' in successor.text(), successor)
    until(lambda: " protected" in successor.text(), successor)

    assert "grace" in successor.text()
    assert [order["order_id"] for order in venue.open_orders("-s")] == [stop]


def test_a_standby_is_live_but_not_ready_and_takes_over_after_a_clean_stop(
    database_url: str, venue: Venue, start: Start, free_port: int
) -> None:
    """SPEC section 7: a rolling deploy must not deadlock."""
    first = start(["-m", "live.prod_live"], worker_environment(database_url, venue.url))
    until(lambda: '"trading"' in first.text(), first)
    waiting = worker_environment(
        database_url, venue.url, LOCK_WAIT_SECONDS="60", WITH_HEALTH="1", PORT=str(free_port), HEALTH_HOST="127.0.0.1"
    )
    standby = start(["-m", "live.prod_live"], waiting)
    until(lambda: "standing by" in standby.text(), standby)

    assert answer(f"http://127.0.0.1:{free_port}/health")[0] == 200
    assert answer(f"http://127.0.0.1:{free_port}/ready")[0] == 503
    assert first.terminate() == 0

    until(lambda: '"trading"' in standby.text(), standby)
    assert "grace" not in standby.text(), "a clean release needs none"


def test_with_health_the_worker_answers_every_path_and_leaks_nothing(
    database_url: str, venue: Venue, start: Start, free_port: int
) -> None:
    """R4; W40: /health that is always 200."""
    env = worker_environment(database_url, venue.url, WITH_HEALTH="1", PORT=str(free_port), HEALTH_HOST="127.0.0.1")
    worker = start(["-m", "live.prod_live"], env)
    base = f"http://127.0.0.1:{free_port}"
    until(lambda: '"health"' in worker.text(), worker)
    until(lambda: answer(f"{base}/ready")[0] == 200, worker)

    for path in ("/", "/health", "/ready", "/api/health", "/api/ready", "/api/metrics", "/metrics"):
        status, body = answer(base + path)
        assert status == 200, path
        assert DEMO_API_SECRET not in body and "postgresql://" not in body and "Traceback" not in body


def test_an_unmigrated_database_is_exit_4(empty_database_url: str, venue: Venue, start: Start) -> None:
    worker = start(["-m", "live.prod_live"], worker_environment(empty_database_url, venue.url))

    assert worker.wait() == 4
    assert "migrate_schema.py" in worker.text()


def test_an_edited_migration_is_exit_4(database_url: str, venue: Venue, start: Start) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE prodsafe.migration SET checksum = repeat('0', 64) WHERE set_name = 'live'")

    worker = start(["-m", "live.prod_live"], worker_environment(database_url, venue.url))

    assert worker.wait() == 4


def test_an_unreachable_database_is_exit_6_within_ten_seconds(venue: Venue, start: Start, free_port: int) -> None:
    began = time.monotonic()

    worker = start(
        ["-m", "live.prod_live"], worker_environment(f"postgresql://u:hunter22@127.0.0.1:{free_port}/x", venue.url)
    )

    assert worker.wait() == 6
    assert time.monotonic() - began < 10
    assert "hunter22" not in worker.text()


def test_a_venue_that_is_down_at_boot_is_exit_6(database_url: str, start: Start, free_port: int) -> None:
    worker = start(["-m", "live.prod_live"], worker_environment(database_url, f"http://127.0.0.1:{free_port}"))

    assert worker.wait() == 6


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "missing_key", "path": "openpositions", "key": "openPositions"},
        {"kind": "missing_key", "path": "openorders", "key": "openOrders"},
        {"kind": "html", "path": "accounts"},
        {"kind": "truncated", "path": "fills"},
        {"kind": "result_error", "path": "openpositions"},
    ],
    ids=lambda fault: f"{fault['kind']}-{fault['path']}",
)
def test_a_degraded_venue_at_boot_is_exit_6_and_hears_nothing(
    fault: dict[str, str], database_url: str, venue: Venue, start: Start
) -> None:
    """W3, trap 4.3.6: a reply without openPositions was read as flat."""
    venue.post("/sim/faults", {"rules": [fault]})

    worker = start(["-m", "live.prod_live"], worker_environment(database_url, venue.url))

    assert worker.wait() == 6, worker.text()
    assert venue.get("/sim/ledger")["requests"] == []


def test_a_venue_whose_clock_is_off_is_exit_6_and_hears_nothing(database_url: str, venue: Venue, start: Start) -> None:
    venue.post("/sim/clock", {"offset_seconds": 30})

    worker = start(["-m", "live.prod_live"], worker_environment(database_url, venue.url))

    assert worker.wait() == 6, worker.text()
    assert "R03" in worker.text()
    assert venue.sent() == []


def test_a_lost_lease_is_exit_5_and_the_stop_stays(database_url: str, venue: Venue, start: Start) -> None:
    """W2: loss stops sends first, then the process; it never flattens and never removes a stop."""
    worker = start(["-m", "live.prod_live"], worker_environment(database_url, venue.url))
    entered_and_protected(worker, venue)

    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name LIKE 'prodsafe/%'"
        )

    assert worker.wait() == 5, worker.text()
    assert len(venue.open_orders("-s")) == 1
    assert venue.get("/sim/positions")


def test_the_demo_tells_its_whole_story() -> None:
    """`make demo` exits non-zero if any of it does not hold."""
    told = subprocess.run(
        [sys.executable, "-m", "live.demo"],
        env=base_environment(), cwd=PROJECT, capture_output=True, text=True, timeout=180,
    )  # fmt: skip

    assert told.returncode == 0, told.stdout[-3000:] + told.stderr[-2000:]
    assert "Everything held" in told.stdout
    assert DEMO_API_SECRET not in told.stdout


def test_a_second_database_for_the_same_account_is_refused_before_anything_is_sent(
    make_database, migrated_template: str, venue: Venue, start: Start
) -> None:
    """Two databases hold two leases: only the venue's own list shows that somebody else trades the account."""
    first = start(["-m", "live.prod_live"], worker_environment(make_database(migrated_template), venue.url))
    entered_and_protected(first, venue)
    first.popen.send_signal(signal.SIGSTOP)  # its orders rest, and it adds none while they are counted
    time.sleep(1)
    sent_by_first = len(venue.sent())

    second = start(["-m", "live.prod_live"], worker_environment(make_database(migrated_template), venue.url))

    assert second.wait() == 6, second.text()
    assert "R04" in second.text()
    assert len(venue.sent()) == sent_by_first


def test_an_empty_position_list_does_not_cost_a_live_stop(database_url: str, venue: Venue, start: Start) -> None:
    """W3: well-formed, wrong, and seen many times over."""
    worker = start(["-m", "live.prod_live"], worker_environment(database_url, venue.url))
    entered_and_protected(worker, venue)
    stop = venue.open_orders("-s")[0]["order_id"]

    nothing = {"kind": "set_key", "path": "openpositions", "key": "openPositions", "value": [], "until_seconds": 8}
    venue.post("/sim/faults", {"rules": [nothing]})
    time.sleep(10)

    assert [order["order_id"] for order in venue.open_orders("-s")] == [stop]
    assert worker.popen.poll() is None

"""How many database sessions each kind of member of a fleet keeps open: docs/fleets.md multiplies these."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import psycopg

from tests.processes import Start, Venue, base_environment, until, worker_environment

LOCK, JOURNAL = "prodsafe/account/krakenfutures/main/prod/", "live/journal/account/krakenfutures/main/prod"


def sessions(database_url: str) -> list[str]:
    """The application names of every other session in this database, a lock's holder cut off."""
    asked = (
        "SELECT regexp_replace(application_name, '[0-9a-f]{8}$', '') FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY 1"
    )
    with psycopg.connect(database_url, autocommit=True) as conn:
        return [name for (name,) in conn.execute(asked)]


def status(env: dict[str, str]) -> Any:
    command = [sys.executable, "-m", "prodsafe", "lock", "status", "--all", "--json"]
    return json.loads(subprocess.run(command, env=env, capture_output=True, check=True, timeout=30).stdout)


def test_a_worker_keeps_two_sessions_a_standby_one_and_a_guarded_program_one(
    database_url: str, venue: Venue, start: Start
) -> None:
    env = worker_environment(database_url, venue.url)
    worker = start(["-m", "live.prod_live"], env)
    until(lambda: bool(venue.open_orders("-e")), worker)
    assert sessions(database_url) == [JOURNAL, LOCK]

    standby = start(["-m", "live.prod_live"], {**env, "LOCK_WAIT_SECONDS": "60"})
    until(lambda: "standing by" in standby.text(), standby)
    until(settled(database_url, [JOURNAL, LOCK, LOCK]), standby)
    told = status(env)
    assert (told["standing_by"], told["holders"]["active"], len(told["leases"])) == (1, 1, 2)

    run = ["-m", "prodsafe", "run", "--scope", "bot-7", "--", "sh", "-c", "echo up; exec sleep 60"]
    guarded = start(run, {**base_environment(), "DATABASE_URL": database_url})
    until(lambda: "up" in guarded.text(), guarded)
    assert sessions(database_url) == [JOURNAL, LOCK, LOCK, "prodsafe/bot-7/"]
    assert status(env)["connections"]["used"] >= 5, "these, and the one that asks"


def settled(database_url: str, names: list[str]) -> Callable[[], bool]:
    """A moment's session (a gate, a proof) may be on its way out."""
    return lambda: sessions(database_url) == names

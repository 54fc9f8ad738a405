"""Many scopes on one server: who needs a person, and that what happens to one holder does not touch the others."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from prodsafe import lease_store
from prodsafe.lease_model import lock_key

PRODSAFE = [sys.executable, "-m", "prodsafe"]
PATIENCE_SECONDS = 20.0
# One process with a lease, and so two threads and a session, for each scope; it tells their tokens and waits.
HOLD = """
import json, os, sys
from prodsafe.lease import acquire
leases = [acquire(os.environ["DATABASE_URL"], [scope], exit_on_loss=False, version="fleet 1") for scope in sys.argv[1:]]
for lease in leases:
    lease.activate()
print(json.dumps({lease.scope: [lease.token.epoch, str(lease.token.holder)] for lease in leases}), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def start(database_url: str) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def start(*command: str, **variables: str) -> subprocess.Popen[str]:
        environ = {**os.environ, "DATABASE_URL": database_url, **variables}
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, env=environ, stdin=pipe, stdout=pipe, stderr=pipe, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def status(start: Callable[..., subprocess.Popen[str]]) -> Callable[..., Any]:
    """status("--all") -> what `prodsafe lock status --json --all` tells."""

    def ask(*options: str, **variables: str) -> Any:
        process = start(*PRODSAFE, "lock", "status", "--json", *options, **variables)
        told, complained = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 0, complained
        return json.loads(told)

    return ask


def conditions(told: Any) -> dict[str, str]:
    return {row["scope"]: row["condition"] for row in told["leases"]}


def eventually(holds: Callable[[], bool]) -> bool:
    ends_at = time.monotonic() + PATIENCE_SECONDS
    while not holds() and time.monotonic() < ends_at:
        time.sleep(0.1)
    return holds()


def test_twelve_holders_are_told_and_the_frozen_one_is_overdue_then_silent_then_superseded(
    start: Callable[..., subprocess.Popen[str]], status: Callable[..., Any]
):
    others = [f"account/fleet/{number:02}/test" for number in range(11)]
    frozen = "account/fleet/frozen/test"
    holders = start(sys.executable, "-c", HOLD, *others)
    guard = [*PRODSAFE, "run", "--scope", frozen, "--lease-seconds", "1", "--expiry-seconds", "0", "--"]
    bot = start(*guard, "sh", "-c", "echo ready; exec sleep 60")
    assert bot.stdout and bot.stdout.readline() == "ready\n"
    assert holders.stdout and json.loads(holders.stdout.readline()).keys() == set(others)

    before = status("--all")
    assert set(conditions(before).values()) == {"active"} and len(before["leases"]) == 12
    assert before["holders"]["active"] == 12 and before["connections"]["used"] >= 13
    assert {row["version"] for row in before["leases"]} == {"fleet 1", "prodsafe run sh"}

    bot.send_signal(signal.SIGSTOP)

    assert eventually(lambda: conditions(status("--state", "overdue", "--state", "silent")).keys() == {frozen})
    assert eventually(lambda: conditions(status("--state", "silent")).keys() == {frozen}), (
        "the server ended its session"
    )
    told = status("--all")
    assert told["leases"][0]["scope"] == frozen, "what needs a person is on top"
    assert told["holders"]["active"] == 11

    successor = start(*guard, "sh", "-c", "echo $PRODSAFE_EPOCH; exec sleep 60")
    assert successor.stdout
    epoch = int(successor.stdout.readline())
    assert epoch > told["leases"][0]["epoch"]
    assert status("--all")["holders"]["active"] == 12
    history = start(*PRODSAFE, "lock", "history", "--scope", frozen, "--json").communicate(timeout=PATIENCE_SECONDS)[0]
    assert [one["end"] for one in json.loads(history)["tenures"]] == ["superseded", "held"]

    bot.send_signal(signal.SIGCONT)
    assert bot.wait(PATIENCE_SECONDS) == 5, "when it wakes up it finds its child stopped and its lease lost"


def test_a_fence_is_of_one_scope_and_a_lost_one_stops_no_other(
    start: Callable[..., subprocess.Popen[str]], status: Callable[..., Any], database_url: str
):
    scopes = [f"bot-{number}" for number in range(4)]
    holders = start(sys.executable, "-c", HOLD, *scopes)
    assert holders.stdout
    tokens = json.loads(holders.stdout.readline())
    insert = "INSERT INTO bill VALUES (%s, %s, %s)"
    with closing(psycopg.connect(database_url, autocommit=True)) as conn:
        conn.execute("CREATE TABLE bill (scope text, epoch bigint, holder uuid)")
        conn.execute("SELECT prodsafe.fence('bill')")

        cut = start(*PRODSAFE, "lock", "release", "--scope", scopes[1], "--force", "--reason", "drill")
        assert cut.wait(PATIENCE_SECONDS) == 0

        with pytest.raises(psycopg.Error, match="fenced: epoch"):
            conn.execute(insert, (scopes[1], *tokens[scopes[1]]))
        with pytest.raises(psycopg.Error, match="fenced: epoch"):  # another's good token opens no door that is not its
            conn.execute(insert, (scopes[2], *tokens[scopes[3]]))
        for scope in (scopes[0], scopes[2], scopes[3]):
            conn.execute(insert, (scope, *tokens[scope]))

    assert conditions(status()) == {scope: "fenced" if scope == scopes[1] else "active" for scope in scopes}


def test_every_command_of_the_page_works_as_written(start: Callable[..., subprocess.Popen[str]]):
    page = (Path(__file__).parents[2] / "docs" / "fleets.md").read_text()
    commands = re.findall(r"(?m)^    (prodsafe [^#\n]*)", page)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    shell = start("bash", "-euo", "pipefail", "-c", "\n".join(commands), PATH=path)

    told, complained = shell.communicate(timeout=PATIENCE_SECONDS)
    assert (shell.returncode, complained, len(commands)) == (0, "", 5)
    assert told.count("no scope was ever held in this database") == 3 and told.count('"connections"') == 2


def make_fleet(conn: psycopg.Connection[Any], count: int) -> list[str]:
    """So many scopes, taken by this session through the real tables and guards, and active."""
    scopes = [f"account/krakenfutures/a{number:04}/prod" for number in range(count)]
    keys = [lock_key(scope) for scope in scopes]
    conn.execute("SELECT count(pg_advisory_lock(key)) FROM unnest(%s::bigint[]) AS key", (keys,))
    conn.execute(
        "INSERT INTO prodsafe.lease (scope, key, epoch, holder, timeline, system_id, state, acquired_at, grace_seconds,"
        " host, pid, version, who) SELECT scope, key, 1, gen_random_uuid(), 1, system_identifier, 'arming',"
        " clock_timestamp(), 5, 'host-' || right(scope, 6), 1, 'live 1', 'bot'"
        " FROM unnest(%s::text[], %s::bigint[]) AS t (scope, key), pg_control_system()",
        (scopes, keys),
    )
    conn.execute("UPDATE prodsafe.lease SET state = 'active', reason = 'reconciled'")
    conn.execute("INSERT INTO prodsafe.lease_beat SELECT scope, epoch, holder, 1, now() + '1 h' FROM prodsafe.lease")
    return scopes


def test_a_thousand_scopes_are_counted_and_the_one_that_fell_silent_is_on_top(
    status: Callable[..., Any], database_url: str
):
    with closing(psycopg.connect(database_url, autocommit=True)) as conn:
        scopes = make_fleet(conn, 1000)
        conn.execute("UPDATE prodsafe.lease SET state = 'released' WHERE scope = ANY(%s)", (scopes[:200],))
        conn.execute("SELECT pg_advisory_unlock(%s)", (lock_key(scopes[700]),))
        conn.execute(
            "UPDATE prodsafe.lease_beat SET renewed_at = now() - '9 d'::interval WHERE scope < %s", (scopes[100],)
        )

        told, recent, own = status("--all"), status(), status(
            ENVIRONMENT="prod", EXCHANGE_ACCOUNT="a0042", EXCHANGE_ID="krakenfutures"
        )  # fmt: skip

    counted = {name: count for name, count in told["holders"].items() if count}
    assert counted == {"silent": 1, "active": 799, "released": 200}
    assert (told["leases"][0]["scope"], len(told["leases"])) == (scopes[700], 1000)
    assert (len(recent["leases"]), recent["not_shown"]) == (900, 100), "those that ended over a day ago are hidden"
    assert ([row["scope"] for row in own["leases"]], own["not_shown"]) == ([scopes[42]], 999)


def test_the_locks_are_walked_once_however_many_scopes_there_are(database_url: str):
    """Asked per row, a thousand scopes beside their thousand locks took five times as long."""
    with closing(psycopg.connect(database_url, autocommit=True, row_factory=dict_row)) as conn:
        make_fleet(conn, 300)
        conn.execute("ANALYZE prodsafe.lease")
        plan = conn.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + lease_store._LEASES).fetchone()

    assert plan is not None
    walks = [
        node["Actual Loops"]
        for node in nodes(plan["QUERY PLAN"][0]["Plan"])
        if "pg_lock" in str(node.get("Function Name"))
    ]
    assert walks == [1]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)

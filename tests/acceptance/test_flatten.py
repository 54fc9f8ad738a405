"""A person closes everything, with and without a worker; a stranger's position is protected or left. Real processes."""

from __future__ import annotations

import psycopg
import pytest

from prodsafe.lease import account_scope
from tests.processes import Process, Start, Venue, entered_and_protected, until, worker_environment

SCOPE = account_scope("krakenfutures", "main", "prod")
FLATTEN = ["-m", "live", "flatten", "--reason", "enough for today", "--yes", SCOPE, "--all"]


def journal_kinds(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [kind for (kind,) in connection.execute("SELECT kind FROM live.event ORDER BY id").fetchall()]


def is_flat(venue: Venue) -> bool:
    return not venue.get("/sim/positions") and not [order for order in venue.get("/sim/orders") if order["open"]]


def test_flatten_closes_what_the_worker_holds_and_waits_until_it_is_verified(
    database_url: str, venue: Venue, start: Start
) -> None:
    env = worker_environment(database_url, venue.url)
    worker = start(["-m", "live.prod_live"], env)
    entered_and_protected(worker, venue)
    unconfirmed = start(["-m", "live", "flatten", "--all", "--reason", "enough"], env)
    assert unconfirmed.wait() == 1
    assert "H22" in unconfirmed.text() and not is_flat(venue)

    flatten = start(FLATTEN, env)

    assert flatten.wait(70) == 0, flatten.text()
    assert is_flat(venue)
    assert worker.popen.poll() is None, "the worker goes on, halted"
    exits = [request for request in venue.sent() if str(request["client_order_id"]).endswith("-x")]
    assert len(exits) >= 1
    kinds = journal_kinds(database_url)
    assert kinds.index("person_asked") < kinds.index("flatten_done")
    status = start(["-m", "live", "status"], env)
    status.wait()
    assert "enough for today" in status.text()

    entries = len([request for request in venue.sent() if str(request["client_order_id"]).endswith("-e")])
    again = start(FLATTEN, env)
    assert again.wait(70) == 0, "flat already: the same answer"
    assert len([r for r in venue.sent() if str(r["client_order_id"]).endswith("-e")]) == entries


def test_without_a_worker_nothing_is_written_until_the_command_may_take_the_lease(
    database_url: str, venue: Venue, start: Start
) -> None:
    env = worker_environment(database_url, venue.url)
    worker = start(["-m", "live.prod_live"], env)
    entered_and_protected(worker, venue)
    assert worker.terminate() == 0, worker.text()
    assert venue.get("/sim/positions")

    refused = start(FLATTEN, env)
    assert refused.wait() == 1
    assert "H21" in refused.text()
    assert "person_asked" not in journal_kinds(database_url)

    ungated = start([*FLATTEN, "--take-lease"], {**env, "CONFIRM_LIVE": "no"})
    assert ungated.wait() == 1
    assert "G04" in ungated.text(), "the worker's gates are this command's too"

    taken = start([*FLATTEN, "--take-lease"], env)

    assert taken.wait(90) == 0, taken.text()
    assert is_flat(venue)
    assert journal_kinds(database_url)[-1] == "worker_stopped"


def test_a_misspelt_symbol_is_refused_and_not_reported_flat(database_url: str, venue: Venue, start: Start) -> None:
    env = worker_environment(database_url, venue.url)
    worker = start(["-m", "live.prod_live"], env)
    entered_and_protected(worker, venue)

    words = ["-m", "live", "flatten", "--symbol", "BTCUSD", "--yes", SCOPE, "--reason", "enough"]
    refused = start(words, env)

    assert refused.wait() == 1
    assert "H20" in refused.text()
    assert "person_asked" not in journal_kinds(database_url)


def test_what_the_venue_does_not_let_go_is_said_and_the_worker_goes_on_after_a_restart(
    database_url: str, venue: Venue, start: Start
) -> None:
    env = worker_environment(database_url, venue.url)
    worker = start(["-m", "live.prod_live"], env)
    entered_and_protected(worker, venue)
    venue.post("/sim/faults", {"rules": [{"kind": "html", "path": "openpositions"}]})

    waited = start([*FLATTEN, "--wait", "4"], env)
    assert waited.wait(40) == 1, waited.text()
    assert "not flat yet" in waited.text()
    worker.popen.kill()
    worker.wait()
    venue.post("/sim/faults", {"rules": []})

    successor = start(["-m", "live.prod_live"], env)
    until(lambda: "flatten_done" in journal_kinds(database_url), successor, 60)

    assert is_flat(venue)


@pytest.mark.parametrize("policy", ["adopt", "freeze"])
def test_a_persons_position_is_adopted_and_protected_or_frozen_and_never_closed(
    policy: str, database_url: str, venue: Venue, start: Start
) -> None:
    """I3: what is not understood is not destroyed."""
    symbol = "PF_ETHUSD"
    env = worker_environment(database_url, venue.url, LIVE_FOREIGN_POSITIONS=policy)
    worker = start(["-m", "live.prod_live"], env)
    until(lambda: '"trading"' in worker.text(), worker)

    venue.post("/sim/fill", {"symbol": symbol, "side": "buy", "qty": "1"})
    wanted = "adopted" if policy == "adopt" else "symbol_frozen"
    until(lambda: wanted in journal_kinds(database_url), worker)

    if policy == "adopt":
        until(lambda: bool(_stops(venue, symbol)), worker)
    else:
        _ticks(worker, 4)
        assert _stops(venue, symbol) == []
    assert [each["symbol"] for each in venue.get("/sim/positions")].count(symbol) == 1
    assert not [r for r in venue.sent() if str(r["client_order_id"]).endswith("-x")]


def _stops(venue: Venue, symbol: str) -> list[object]:
    return [order for order in venue.open_orders("-s") if order["symbol"] == symbol]


def _ticks(worker: Process, count: int) -> None:
    seen = worker.text().count('"tick"')
    until(lambda: worker.text().count('"tick"') >= seen + count, worker)

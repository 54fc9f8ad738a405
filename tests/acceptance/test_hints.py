"""The venue's feeds, listened to by the real worker: it looks at once, and not only at its next tick."""

from __future__ import annotations

from tests.processes import Start, Venue, base_environment, until, worker_environment

SLOW = {"LIVE_TICK_SECONDS": "55", "LIVE_NAKED_BOUND_SECONDS": "100", "RISK_MAX_DATA_AGE_SECONDS": "100"}


def test_with_hints_a_worker_between_two_looks_a_minute_apart_protects_at_once(start: Start, database_url: str) -> None:
    simulator = start(["-m", "live.simulator", "--scenario", "empty"], base_environment())
    until(lambda: "EXCHANGE_URL=" in simulator.text() and "\n" in simulator.text(), simulator)
    venue = Venue(simulator.text().splitlines()[0].removeprefix("EXCHANGE_URL="))
    env = worker_environment(database_url, venue.url, **SLOW, LIVE_WEBSOCKET_HINTS="1")
    worker = start(["-m", "live.prod_live"], env)
    until(lambda: worker.text().count("no action") >= 2, worker)  # the snapshots of the feeds end the first pause

    venue.post("/sim/fill", {"symbol": "PF_XBTUSD", "side": "buy", "qty": 0.01})

    until(lambda: len(venue.open_orders("-s")) == 1, worker, seconds=30)
    assert "no hints from the venue" not in worker.text()
    assert worker.terminate() == 0

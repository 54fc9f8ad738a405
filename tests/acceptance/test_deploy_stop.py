"""The longest stop, on which every file's patience is built: a venue that answers nothing any more."""

from __future__ import annotations

import time

from live.settings import read_settings
from live.worker import longest_stop_seconds
from tests.processes import Start, Venue, entered_and_protected, until, worker_environment


def test_a_stop_while_the_venue_is_silent_ends_within_its_bound(database_url: str, venue: Venue, start: Start) -> None:
    own = {"LIVE_DRAIN_SECONDS": "2"}
    worker = start(["-m", "live.prod_live"], worker_environment(database_url, venue.url, **own))
    entered_and_protected(worker, venue)
    until(lambda: " protected" in worker.text(), worker)
    venue.post("/sim/faults", {"rules": [{"kind": "late_reply", "seconds": 60}]})
    time.sleep(2.5)  # a tick waits for its reply now
    began = time.monotonic()

    assert worker.terminate(60) == 0, worker.text()

    took_seconds = time.monotonic() - began
    assert 3 < took_seconds < longest_stop_seconds(read_settings(own)[0]), "it was silent, and the bound held"
    assert len(venue.open_orders("-s")) == 1, "what protects stays"

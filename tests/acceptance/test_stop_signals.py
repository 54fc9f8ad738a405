"""SIGTERM at awkward moments: in the boot, and twice. Real processes."""

from __future__ import annotations

import signal
import time

from tests.processes import Start, Venue, entered_and_protected, until, worker_environment


def test_sigterm_in_the_boot_ends_cleanly_and_the_next_worker_waits_for_nothing(
    database_url: str, venue: Venue, start: Start
) -> None:
    """I58: a deploy that is taken back at once must cost nothing."""
    env = worker_environment(database_url, venue.url)
    venue.post("/sim/faults", {"rules": [{"kind": "late_reply", "path": "instruments", "seconds": 3}]})
    worker = start(["-m", "live.prod_live"], env)
    until(lambda: "lease taken" in worker.text(), worker)
    time.sleep(1)

    assert worker.terminate() == 0, worker.text()

    assert venue.sent() == []
    venue.post("/sim/faults", {"rules": []})
    successor = start(["-m", "live.prod_live"], env)
    until(lambda: '"trading"' in successor.text(), successor)
    assert "grace" not in successor.text(), "nothing was sent, so the lease was released"


def test_a_second_sigterm_while_it_drains_changes_nothing(database_url: str, venue: Venue, start: Start) -> None:
    worker = start(["-m", "live.prod_live"], worker_environment(database_url, venue.url))
    entered_and_protected(worker, venue)

    for _ in range(4):
        worker.popen.send_signal(signal.SIGTERM)
        time.sleep(0.05)

    assert worker.wait() == 0, worker.text()
    assert len(venue.open_orders("-s")) == 1
    assert venue.open_orders("-e") == []
    assert '"released": true' in worker.text()

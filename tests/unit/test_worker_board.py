"""What the worker's health server tells while the lease is waited for."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from live.status import problems, ready
from live.worker import Board
from prodsafe.lease import Waiting


@pytest.mark.parametrize(
    ("waiting", "told"),
    [
        (Waiting("held", 1.0, 179.0), "lease held by"),
        (Waiting("server", 1.0, 179.0, cause="the server is a replica"), "no primary answers"),
        (Waiting("grace", 1.0, 4.0), "waiting out the grace after an unclean predecessor: 4.0 s left"),
    ],
)
def test_a_worker_that_waits_is_live_and_not_ready_in_every_phase(waiting: Waiting, told: str):
    """A probe that hears 503 during the grace kills the new worker, and the next one waits the grace again."""
    board = Board()

    board.wait(waiting)

    status = board.read()
    assert status.state == "standby"
    assert told in str(status.standby_for)
    assert problems(status, datetime.now(UTC)) == []
    assert not ready(status, datetime.now(UTC))

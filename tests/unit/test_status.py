"""What healthy means (SPEC section 7)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from live.status import Status, as_dict, decode_status, encode_status, problems, ready

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
HEALTHY = Status(
    state="running", observed_at=NOW, lease_fresh=True, last_tick_at=NOW, tick_bound_seconds=60, reconciled=True
)


def test_a_running_worker_with_everything_in_order_is_healthy_and_ready() -> None:
    assert problems(HEALTHY, NOW) == []
    assert ready(HEALTHY, NOW)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"lease_fresh": False}, "lease"),
        ({"database_readable": False}, "database"),
        ({"venue_readable": False}, "venue"),
        ({"reconciled": False}, "reconciled"),
        ({"unprotected": ("BTC/USD:USD",)}, "BTC/USD:USD"),
        ({"last_tick_at": None}, "no tick"),
        ({"last_tick_at": NOW - timedelta(seconds=61)}, "61 s ago"),
    ],
)
def test_each_thing_out_of_order_is_named(change: dict[str, object], word: str) -> None:
    """W40: the predecessor answered 200 whatever had happened."""
    ill = replace(HEALTHY, **change)

    assert len(problems(ill, NOW)) == 1
    assert word in problems(ill, NOW)[0]
    assert not ready(ill, NOW)


def test_a_standby_is_healthy_but_not_ready() -> None:
    standby = Status(state="standby", observed_at=NOW, standby_for="account/krakenfutures/desk/prod")

    assert problems(standby, NOW) == []
    assert not ready(standby, NOW)


def test_a_worker_that_stopped_cleanly_is_one_problem_and_not_five() -> None:
    stopped = Status(state="stopped", observed_at=NOW - timedelta(minutes=10), reconciled=False)

    assert problems(stopped, NOW) == [
        "H10 worker-not-trading: the worker stopped 10 min ago; nobody trades this account"
    ]


def test_what_a_stopped_worker_left_unprotected_is_still_said() -> None:
    stopped = Status(state="stopped", observed_at=NOW, unprotected=("ETH/USD:USD",))

    assert [each[:3] for each in problems(stopped, NOW)] == ["H15", "H10"]


def test_a_halted_worker_is_healthy_since_nothing_needs_a_restart() -> None:
    """W27: a watchdog restarted a halted bot."""
    assert problems(replace(HEALTHY, halted=True, halt_reason="maintenance"), NOW) == []


def test_a_draining_worker_is_healthy_and_not_ready() -> None:
    draining = replace(HEALTHY, state="draining")

    assert problems(draining, NOW) == []
    assert not ready(draining, NOW)


def test_a_status_survives_its_row_and_ignores_what_a_newer_worker_added() -> None:
    status = replace(HEALTHY, unprotected=("A", "B"), counters={"ticks": 3.0}, equity_quote="10000.10")

    assert decode_status(encode_status(status)) == status
    assert decode_status(encode_status(status)[:-1] + ', "from_the_future": 1}') == status
    assert as_dict(status)["unprotected"] == ["A", "B"]


@pytest.mark.parametrize("payload", ["{}", '{"state": 1}', "[]", "x"])
def test_what_is_not_a_status_is_refused(payload: str) -> None:
    with pytest.raises(ValueError):
        decode_status(payload)

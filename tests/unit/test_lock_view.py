"""What `prodsafe lock` prints, and the history folded into holders."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from prodsafe.lease_model import LeaseRow
from prodsafe.lock_history import Change, fold_tenures
from prodsafe.lock_view import duration_as_text, leases_as_text, tenures_as_text

T0 = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def change(state: str, epoch: int, minute: int = 0, *, reason: str = "", role: str = "worker") -> Change:
    return Change(
        happened_at=T0 + timedelta(minutes=minute),
        epoch=epoch,
        holder=UUID(int=epoch),
        state=state,
        host="h",
        pid=epoch,
        version="live 1",
        who="bot",
        database_role=role,
        reason=reason,
    )


def lease(scope: str = "account/krakenfutures/main/prod", *, reason: str = "reconciled") -> LeaseRow:
    return LeaseRow(
        scope=scope,
        epoch=28146196418,
        holder=UUID(int=1),
        timeline=1,
        state="active",
        acquired_at=T0,
        grace_seconds=5.0,
        schema_range={},
        host="worker-1.internal.example",
        pid=4242,
        version="live 0.1.0",
        who="bot",
        reason=reason,
        beat_age_seconds=0.26,
        lock_pid=812,
        grace_parts={"lease": 2.0, "request_expiry": 2.0, "clock_skew": 0.5, "margin": 0.5},
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 s"),
        (0.4, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (7980, "2 h 13 min"),
        (7200, "2 h"),
        (86400 * 3 + 3600 * 4 + 59, "3 d 4 h"),
        (86400 * 400, "400 d"),
    ],
)
def test_a_duration_is_told_in_its_two_largest_units(seconds: float, text: str) -> None:
    assert duration_as_text(seconds) == text


def test_the_status_tells_the_grace_with_its_parts_and_since_when_both_ways() -> None:
    text = leases_as_text([lease()], T0 + timedelta(hours=2, minutes=13))

    assert "5 s = lease 2 + request expiry 2 + clock skew 0.5 + margin 0.5" in text
    assert "2026-03-02 12:00:00 UTC (2 h 13 min)" in text


def test_the_status_fits_a_hundred_columns_whatever_a_reason_says() -> None:
    rows = [lease(), lease("key/krakenfutures/" + "f" * 32, reason="why " * 80)]

    text = leases_as_text(rows, T0)

    assert max(map(len, text.splitlines())) <= 100
    assert text.count("why") == 80


def test_each_holder_is_one_tenure_with_its_end() -> None:
    released, crashed, cut, held = fold_tenures(
        [
            change("arming", 1, 0),
            change("active", 1, 1, reason="reconciled"),
            change("released", 1, 2, reason="stopped"),
            change("arming", 2, 3),
            change("active", 2, 4),
            change("arming", 3, 9),
            change("fenced", 4, 10, reason="drill", role="admin"),
            change("arming", 5, 11),
            change("active", 5, 12, reason="reconciled"),
        ]
    )

    assert (released.end, released.reason, released.ended_at) == ("released", "stopped", T0 + timedelta(minutes=2))
    assert (crashed.end, crashed.ended_at) == ("superseded", T0 + timedelta(minutes=9))
    assert (cut.epoch, cut.end, cut.reason) == (3, "fenced", "drill (database role admin)")
    assert (held.epoch, held.end, held.ended_at) == (5, "held", None)


def test_a_fence_after_a_release_ends_nobody_and_a_second_fence_neither() -> None:
    (tenure,) = fold_tenures(
        [
            change("arming", 1),
            change("released", 1, 1, reason="stopped"),
            change("fenced", 2, 2),
            change("fenced", 3, 3),
        ]
    )

    assert (tenure.end, tenure.reason) == ("released", "stopped")


def test_the_history_counts_a_holder_that_still_holds_up_to_now() -> None:
    text = tenures_as_text(fold_tenures([change("arming", 1, reason="acquired")]), T0 + timedelta(minutes=5))

    assert "5 min" in text and "held" in text and "bot@h pid 1 live 1" in text

"""What `prodsafe lock` prints, and the history folded into holders."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from prodsafe.lease_model import LeaseRow
from prodsafe.lock_fleet import CONDITIONS, Holding, Sessions, Wanted, condition_of, holdings
from prodsafe.lock_history import Change, fold_tenures
from prodsafe.lock_view import (
    EXPLAINED,
    duration_as_text,
    leases_as_text,
    status_as_dict,
    status_as_text,
    tenures_as_text,
)

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


# --- many scopes


def row(number: int, state: str = "active", *, locked: bool = True, beat_age: float | None = 0.3, lease_s: float = 2.0):
    return replace(
        lease(f"account/krakenfutures/a{number:03}/prod"),
        holder=UUID(int=number),
        state=state,
        beat_age_seconds=beat_age,
        lock_pid=800 + number if locked else None,
        grace_parts={"lease": lease_s, "margin": 0.5},
    )


def sessions(*, used: int = 9, standing_by: int = 0) -> Sessions:
    return Sessions(now=T0, used=used, most=100, reserved=3, standing_by=standing_by)


def names(found: list[Holding]) -> list[str]:
    return [one.row.scope.split("/")[2] for one in found]


@pytest.mark.parametrize(
    ("one", "condition"),
    [
        (row(1), "active"),
        (row(1, "arming"), "arming"),
        (row(1, beat_age=2.1), "overdue"),
        (row(1, beat_age=2.1, lease_s=60), "active"),
        (row(1, beat_age=None), "overdue"),
        (row(1, "arming", locked=False), "silent"),
        (row(1, locked=False, beat_age=0.1), "silent"),
        (row(1, "released", locked=False, beat_age=9e6), "released"),
        (row(1, "fenced", locked=True, beat_age=None), "fenced"),
    ],
)
def test_a_holder_is_what_its_lock_and_beats_say_unless_it_has_ended(one: LeaseRow, condition: str) -> None:
    assert condition_of(one) == condition


def test_the_worst_comes_first_and_of_the_silent_ones_the_latest() -> None:
    rows = [
        row(1, "released", locked=False),
        row(2),
        row(3, "arming"),
        row(4, locked=False, beat_age=9e6),
        row(5, locked=False, beat_age=7.0),
        row(6, "fenced", locked=False, beat_age=None),
        row(7, beat_age=3.0),
        row(0),
    ]

    assert names(holdings(rows, T0)) == ["a007", "a005", "a004", "a006", "a003", "a000", "a002", "a001"]


def test_a_worker_with_an_account_and_a_key_is_one_holder_named_by_its_account() -> None:
    key = replace(row(1), scope="key/krakenfutures/0" + "f" * 31)

    (one,) = holdings([key, row(1)], T0)
    as_dict = status_as_dict([one], [one], sessions())

    assert (one.row.scope, len(one.rows)) == ("account/krakenfutures/a001/prod", 2)
    assert as_dict["holders"] == {**dict.fromkeys(CONDITIONS, 0), "active": 1}
    assert len(as_dict["leases"]) == 2  # type: ignore[arg-type]


DAYS_AGO = 3 * 86400.0
MIXED = [
    row(1),
    row(2, locked=False, beat_age=DAYS_AGO),
    row(3, "released", locked=False, beat_age=60.0),
    row(4, "released", locked=False, beat_age=DAYS_AGO),
    replace(row(5, "fenced", locked=False, beat_age=None), acquired_at=T0 - timedelta(seconds=DAYS_AGO)),
    replace(row(6, "fenced", locked=False, beat_age=None), acquired_at=T0),
]


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [
        (Wanted(), ["a002", "a006", "a001", "a003"]),
        (Wanted(every=True), ["a002", "a005", "a006", "a001", "a003", "a004"]),
        (Wanted(states=["released", "fenced"]), ["a005", "a006", "a003", "a004"]),
        (Wanted(match="A004"), ["a004"]),
        (Wanted(match="internal.example", states=["active"]), ["a001"]),
        (Wanted(own=["account/krakenfutures/a004/prod"]), ["a004"]),
        (Wanted(own=["account/krakenfutures/a004/prod"], every=True), ["a002", "a005", "a006", "a001", "a003", "a004"]),
        (Wanted(own=["account/krakenfutures/a004/prod"], states=["active"]), ["a001"]),
    ],
)
def test_what_is_shown_is_what_was_asked_for_and_an_unclean_end_is_never_too_old(
    wanted: Wanted, shown: list[str]
) -> None:
    assert names([one for one in holdings(MIXED, T0) if wanted(one, T0)]) == shown


def test_ten_holders_are_told_in_full_and_eleven_in_a_line_each_cut_to_the_terminal() -> None:
    few, many = holdings(map(row, range(EXPLAINED)), T0), holdings(map(row, range(EXPLAINED + 1)), T0)

    assert status_as_text(few, few, sessions(), 80).count("grace ") == EXPLAINED
    lines = status_as_text(many, many, sessions(), 80).splitlines()
    assert len([line for line in lines if line.startswith("account/")]) == EXPLAINED + 1
    assert max(map(len, lines)) == 80
    assert "bot@worker-1.internal.example pid 4242 live 0.1.0" in status_as_text(many, many, sessions(), None)


def test_the_last_lines_count_holders_connections_and_what_is_not_shown() -> None:
    every = holdings([*MIXED, row(7)], T0)

    lines = status_as_text(every[:1], every, sessions(used=97, standing_by=2), None).splitlines()

    assert lines[-3:] == [
        "holders: 1 silent, 2 fenced, 2 active, 2 released; 2 standing by",
        "connections: 97 of 100, 3 of them reserved",
        "not shown: 6 of 7 holders; --all shows them",
    ]


def test_an_account_that_nobody_ever_held_is_told_beside_those_that_are() -> None:
    text = status_as_text([], holdings([row(1)], T0), sessions(), None)

    assert text.startswith("no holder to show\n") and "--all" in text

"""What a lease is, by values alone: scopes, keys, grace, and the clock that decides when the right to act has ended."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prodsafe import lease_clock
from prodsafe.errors import ExitCode
from prodsafe.lease_clock import read_clocks
from prodsafe.lease_model import (
    GUARDS,
    Clocks,
    Deadline,
    LeaseRow,
    LeaseTiming,
    account_scope,
    elapsed_seconds,
    judge_tables,
    key_scope,
    lock_key,
    ordered_scopes,
    refuse_held,
    refuse_jumped,
    scope_hash,
    stepped_seconds,
)

JUMP = LeaseTiming().jump_seconds
BEGAN = Clocks(monotonic=100.0, boottime=100.0, realtime=1_700_000_000.0)


def later(seconds: float, *, asleep: float = 0.0, stepped: float = 0.0) -> Clocks:
    """BEGAN plus `seconds` awake, `asleep` suspended (the monotonic clock stands), the wall clock stepped besides."""
    return Clocks(
        BEGAN.monotonic + seconds, BEGAN.boottime + seconds + asleep, BEGAN.realtime + seconds + asleep + stepped
    )


def row(**changes: object) -> LeaseRow:
    values: dict[str, object] = {
        "scope": "account/krakenfutures/main/prod",
        "epoch": 41,
        "holder": UUID(int=7),
        "timeline": 1,
        "state": "active",
        "acquired_at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "grace_seconds": 5.0,
        "schema_range": {},
        "host": "worker-1",
        "pid": 4711,
        "version": "0.1.0",
        "who": "trader",
        "reason": "",
        "beat_age_seconds": 0.31,
        "lock_pid": 99,
    }
    return LeaseRow(**{**values, **changes})  # type: ignore[arg-type]


def test_grace_covers_the_lease_the_request_expiry_the_skew_and_a_margin():
    timing = LeaseTiming(length_seconds=2.0, request_expiry_seconds=3.0, clock_skew_seconds=0.25, margin_seconds=0.5)

    assert timing.grace_seconds == 5.75


def test_the_parts_of_the_grace_sum_up_to_it():
    timing = LeaseTiming()

    assert timing.grace_parts == {"lease": 2.0, "request_expiry": 2.0, "clock_skew": 0.5, "margin": 0.5}
    assert sum(timing.grace_parts.values()) == timing.grace_seconds == 5.0


def test_the_row_tells_what_its_grace_is_made_of_in_the_order_of_events():
    parts = {"margin": 0.5, "clock_skew": 0.5, "request_expiry": 2, "lease": 2.0}  # jsonb keeps no order

    text = row(grace_parts=parts).grace_as_text()

    assert text == "5 s = lease 2 + request expiry 2 + clock skew 0.5 + margin 0.5"
    assert list(row(grace_parts=parts).as_dict()["grace_parts"]) == ["lease", "request_expiry", "clock_skew", "margin"]


def test_a_row_of_an_older_worker_tells_its_grace_without_parts():
    assert row().grace_as_text() == "5 s"


def test_a_part_that_only_a_newer_program_knows_is_shown_last():
    assert row(grace_parts={"a_new_one": 3, "lease": 2}).grace_as_text() == "5 s = lease 2 + a new one 3"


def test_nobody_waits_after_a_clean_release():
    released = row(state="released")

    assert released.grace_as_text() == "0 s, released"
    assert released.as_dict()["successor_waits_seconds"] == 0.0
    assert row().as_dict()["successor_waits_seconds"] == 5.0


def test_default_takeover_after_a_crash_is_within_ten_and_a_half_seconds():
    timing = LeaseTiming()

    assert timing.idle_session_seconds + 0.5 + timing.grace_seconds <= 10.5


@pytest.mark.parametrize(
    "wrong",
    [
        {"beat_seconds": 0.0},
        {"beat_seconds": 1.5},
        {"length_seconds": 0.5},
        {"margin_seconds": -1.0},
        {"request_expiry_seconds": -0.1},
        {"clock_skew_seconds": -0.1},
    ],
)
def test_timing_that_cannot_hold_a_lease_is_refused(wrong: dict[str, float]):
    with pytest.raises(ValueError, match=r"seconds|negative"):
        LeaseTiming(**wrong)


def test_lock_key_is_the_same_on_every_machine():
    """W11: two hosts that derive different keys for one account would both run."""
    assert lock_key("account/krakenfutures/main/prod") == 4733683040029358352


@given(st.text(min_size=1))
def test_lock_key_fits_a_signed_64_bit_integer(scope: str):
    assert -(2**63) <= lock_key(scope) < 2**63


def test_blanks_and_case_do_not_make_another_account():
    """W11: the seed's white space and case were unchecked."""
    assert account_scope(" KrakenFutures", "Main ", "PROD") == "account/krakenfutures/main/prod"


def test_a_slash_in_a_name_cannot_imitate_another_scope():
    assert account_scope("kraken", "a/b", "prod") != account_scope("kraken/a", "b", "prod")


def test_an_api_key_has_one_scope_in_every_environment_and_does_not_show():
    scope = key_scope("krakenfutures", " KEY-abcdef \n")

    assert scope == key_scope("krakenfutures", "KEY-abcdef")
    assert "abcdef" not in scope
    assert scope != key_scope("krakenfutures", "KEY-abcdeg")


def test_an_api_key_differs_by_letter_case():
    assert key_scope("krakenfutures", "key-A") != key_scope("krakenfutures", "key-a")


@pytest.mark.parametrize("missing", [("", "main", "prod"), ("kraken", " ", "prod"), ("kraken", "main", "")])
def test_a_scope_without_all_its_parts_is_refused(missing: tuple[str, str, str]):
    with pytest.raises(ValueError, match="all its parts"):
        account_scope(*missing)


def test_an_empty_api_key_has_no_scope():
    with pytest.raises(ValueError, match="empty API key"):
        key_scope("kraken", "  ")


def test_scopes_are_taken_in_one_fixed_order():
    assert ordered_scopes(["key/b", "account/a", "key/b"]) == ("account/a", "key/b")


@pytest.mark.parametrize("nothing", [[], [""], ["a", ""]])
def test_a_lease_on_nothing_is_refused(nothing: list[str]):
    with pytest.raises(ValueError, match="at least one scope"):
        ordered_scopes(nothing)


def test_scope_hash_is_short_and_fixed():
    assert scope_hash("account/krakenfutures/main/prod") == "368ce261"


def test_deadline_counts_from_the_sending_of_the_last_good_beat():
    """A beat answered late renews only from when it was sent: the answer's way back is not ours to use."""
    deadline = Deadline(2.0, BEGAN, JUMP)

    assert deadline.renew(sent=later(1.0), now=later(1.9))

    assert not deadline.is_over(later(2.9))
    assert deadline.is_over(later(3.0))


def test_a_beat_that_is_answered_too_late_does_not_renew():
    deadline = Deadline(2.0, BEGAN, JUMP)

    assert not deadline.renew(sent=later(0.5), now=later(2.1))

    assert deadline.is_over(later(2.1))


def test_a_deadline_once_over_never_comes_back():
    """W7: a paused process resumed and went on."""
    deadline = Deadline(2.0, BEGAN, JUMP)
    assert deadline.is_over(later(2.0))

    assert not deadline.renew(sent=later(2.1), now=later(2.2))

    assert deadline.is_over(later(0.0))


def test_time_asleep_counts_though_the_monotonic_clock_stood_still():
    assert Deadline(2.0, BEGAN, JUMP).is_over(later(0.1, asleep=1.9))


def test_a_paused_machine_whose_wall_clock_was_set_afterwards_has_lost_its_lease():
    """Research N3: a hypervisor's pause may stop both other clocks."""
    assert Deadline(2.0, BEGAN, JUMP).is_over(later(0.1, stepped=30.0))


def test_a_wall_clock_set_back_lengthens_nothing():
    assert Deadline(2.0, BEGAN, JUMP).is_over(later(2.0, stepped=-3600.0))


@pytest.mark.parametrize("stepped", [30.0, 0.251, -0.251, -3600.0])
def test_a_wall_clock_that_jumps_ends_the_lease_in_either_direction(stepped: float):
    """Research 3e N3: what we sign expires by the wall clock, so a step would stretch the expiry."""
    deadline = Deadline(2.0, BEGAN, JUMP)

    assert deadline.is_over(later(0.1, stepped=stepped))

    assert deadline.jumped_seconds == pytest.approx(stepped)
    assert deadline.is_over(later(0.2)), "the clock being set right again brings nothing back"


def test_an_overdue_lease_is_not_blamed_on_the_clock():
    deadline = Deadline(2.0, BEGAN, JUMP)

    assert deadline.is_over(later(2.0))

    assert deadline.jumped_seconds is None


@pytest.mark.parametrize("stepped", [0.249, -0.249])
def test_a_step_within_half_of_the_allowed_skew_is_not_a_jump(stepped: float):
    assert not Deadline(2.0, BEGAN, JUMP).is_over(later(0.1, stepped=stepped))


def test_a_jump_between_two_beats_is_found_by_the_renewal():
    deadline = Deadline(2.0, BEGAN, JUMP)

    assert not deadline.renew(sent=later(0.5), now=later(0.5, stepped=-0.3))

    assert deadline.jumped_seconds == pytest.approx(-0.3)


@given(st.lists(st.floats(-0.2, 0.2), min_size=1, max_size=200))
def test_a_clock_that_is_slewed_slowly_never_adds_up_to_a_jump(steps: list[float]):
    """Only neighbouring readings are compared: an hour of chrony's slewing is no jump."""
    deadline, stepped = Deadline(2.0, BEGAN, JUMP), 0.0
    for number, step in enumerate(steps, start=1):
        stepped += step
        reading = later(number * 0.1, stepped=stepped)
        if deadline.elapsed_seconds(reading) < 2.0:
            deadline.renew(reading, reading)

    assert deadline.jumped_seconds is None


@given(st.lists(st.floats(-5, 5), max_size=30))
def test_whatever_the_wall_clock_does_it_lengthens_nothing(steps: list[float]):
    deadline = Deadline(2.0, BEGAN, 1e9)
    for step in steps:
        deadline.is_over(later(1.0, stepped=step))

    assert deadline.is_over(later(2.0, stepped=sum(steps)))


def test_half_of_the_skew_is_the_step_that_a_clock_may_make():
    assert LeaseTiming().jump_seconds == 0.25
    assert LeaseTiming(clock_skew_seconds=2.0).jump_seconds == 1.0
    assert LeaseTiming(clock_skew_seconds=0.0).jump_seconds == 0.05, "less is the noise of reading two clocks"


def test_the_refusal_of_a_jump_says_how_far_and_which_way():
    refusal = refuse_jumped("account/a", -0.31, 0.25)

    assert (refusal.id, refusal.kind.exit_code) == ("L13", ExitCode.LEASE_LOST)
    assert "back by 0.31 s" in refusal.cause
    assert "forward by 3.00 s" in refuse_jumped("account/a", 3.0, 0.25).cause


def test_a_reading_of_the_clocks_is_one_moment():
    """Being held up between two clocks would look like a jump of the later one."""
    first, second = read_clocks(), read_clocks()

    assert second.monotonic >= first.monotonic and second.boottime >= first.boottime
    assert abs(stepped_seconds(first, second)) < LeaseTiming().jump_seconds


def test_a_reading_that_was_held_up_is_made_again(monkeypatch: pytest.MonkeyPatch):
    ticks = iter([100.0, 100.5, 200.0, 200.0])  # first and last of two tries: the first one took half a second
    walls = iter([1_000.5, 2_000.0])
    monkeypatch.setattr(lease_clock, "_monotonic", lambda: next(ticks))
    monkeypatch.setattr(lease_clock, "_boottime", lambda: 0.0)
    monkeypatch.setattr(lease_clock, "_realtime", lambda: next(walls))

    assert read_clocks() == Clocks(200.0, 0.0, 2_000.0)


@given(st.lists(st.tuples(st.floats(0, 1.5), st.floats(0, 1.5)), max_size=30))
def test_whatever_the_beats_no_permit_is_given_longer_than_the_length_after_the_last_good_one(
    beats: list[tuple[float, float]],
):
    deadline, at, good = Deadline(2.0, BEGAN, JUMP), 0.0, 0.0
    for gap, travel in beats:
        sent = at + gap
        at = sent + travel
        if deadline.renew(later(sent), later(at)):
            good = sent
        assert deadline.is_over(later(at)) or elapsed_seconds(later(good), later(at)) < 2.0


def test_refusal_names_the_holder_and_the_way_out():
    refusal = refuse_held("account/krakenfutures/main/prod", row(), lock_pid=99)

    assert refusal.kind.exit_code is ExitCode.LEASE_HELD
    for fact in ("worker-1", "4711", "trader", "2026-01-02T03:04:05Z", "epoch 41", "0.3 s ago", "99"):
        assert fact in refusal.cause
    assert "prodsafe lock release" in refusal.mend


def test_a_lock_without_a_held_row_is_not_blamed_on_the_last_holder():
    refusal = refuse_held("account/krakenfutures/main/prod", row(state="released"), lock_pid=99)

    assert "worker-1" not in refusal.cause
    assert "server process 99" in refusal.cause


OWNERS = {"lease": "app", "lease_beat": "app", "lease_history": "app", "migration": "app", "something_else": "postgres"}


def test_the_tables_that_our_migrations_made_are_ours():
    assert judge_tables(OWNERS, [*GUARDS, ("lease", "another", "of_theirs")]) is None


@pytest.mark.parametrize("table", ["lease", "lease_beat", "lease_history"])
def test_a_lease_table_of_another_owner_is_refused_by_name(table: str):
    refusal = judge_tables({**OWNERS, table: "mallory"}, GUARDS)

    assert refusal is not None
    assert (refusal.id, refusal.kind.exit_code) == ("L14", ExitCode.REFUSED)
    assert f"prodsafe.{table} belongs to mallory" in refusal.cause and "belongs to app" in refusal.cause


@pytest.mark.parametrize("gone", GUARDS)
def test_a_guard_that_is_gone_or_disabled_is_refused_by_name(gone: tuple[str, str, str]):
    refusal = judge_tables(OWNERS, [guard for guard in GUARDS if guard != gone])

    assert refusal is not None
    assert all(name in refusal.cause for name in gone)


def test_a_guard_of_the_same_name_with_another_function_is_none():
    others = [("lease", "lease_guard", "do_nothing") if guard[1] == "lease_guard" else guard for guard in GUARDS]

    refusal = judge_tables(OWNERS, others)

    assert refusal is not None and "guard_lease" in refusal.cause


def test_lease_tables_without_a_ledger_are_foreign_and_no_tables_at_all_are_only_missing():
    without_ledger = {table: owner for table, owner in OWNERS.items() if table != "migration"}

    assert judge_tables(without_ledger, GUARDS) is not None
    assert judge_tables({}, []) is None

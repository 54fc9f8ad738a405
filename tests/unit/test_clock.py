"""What replies tell of the venue's clock: sure where they are quick, and never older than a clock that was set."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from live.clock import ClockOffset, refine

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def after(known: ClockOffset | None, at: float, offset: float, there: float = 0.05, back: float = 0.05) -> ClockOffset:
    """What is known after a reply: asked at `at` s past noon by our clock, so long on the way there and back."""
    asked_at = NOON + timedelta(seconds=at)
    said = asked_at + timedelta(seconds=there + offset)
    cut = said.replace(microsecond=said.microsecond // 1000 * 1000)
    found = refine(known, asked_at=asked_at, answered_at=asked_at + timedelta(seconds=there + back), said=cut)
    assert found is not None
    return found


def test_one_reply_bounds_the_offset_by_its_round_trip() -> None:
    known = after(None, 0, 3.0)

    assert known.low <= timedelta(seconds=3) <= known.high
    assert abs(known.seconds - 3.0) <= 0.051


def test_a_slow_reply_does_not_blur_what_a_quick_one_showed() -> None:
    """The request hung for two seconds on its way back: its middle is a second off."""
    known = after(after(None, 0, 0.0), 5, 0.0, there=0.05, back=2.0)

    assert abs(known.seconds) <= 0.11


def test_a_quick_reply_sharpens_what_a_slow_one_left_open() -> None:
    known = after(after(None, 0, 0.2, there=1.9, back=0.1), 5, 0.2, there=0.01, back=0.01)

    assert abs(known.seconds - 0.2) <= 0.02


def test_a_clock_that_is_set_while_running_is_noticed_with_the_next_reply() -> None:
    """The surest old measure no longer stands for a minute: whatever contradicts it replaces it."""
    known = after(None, 0, 0.0, there=0.001, back=0.001)

    for seconds in (5.0, -5.0, 0.7):
        assert abs(after(known, 10, seconds).seconds - seconds) <= 0.06


def test_a_step_that_is_taken_back_is_noticed_too() -> None:
    known = after(after(after(None, 0, 0.0), 5, 30.0), 10, 0.0)

    assert abs(known.seconds) <= 0.06


def test_our_own_clock_set_back_between_asking_and_answer_says_nothing() -> None:
    known = after(None, 0, 0.0)

    same = refine(known, asked_at=NOON, answered_at=NOON - timedelta(seconds=5), said=NOON)

    assert same is known


def test_the_earliest_time_there_is_never_far_below_the_middle() -> None:
    """An expiry that is told in the venue's time is cut short by a quarter of a second at most."""
    slow = after(None, 0, 0.0, there=1.0, back=1.0)

    assert slow.earliest >= timedelta(seconds=slow.seconds) - timedelta(milliseconds=250)
    assert after(None, 0, 0.0).earliest <= timedelta(0)


@given(
    st.floats(-60, 60),
    st.lists(st.tuples(st.floats(0, 2), st.floats(0, 2)), min_size=1, max_size=12),
)
def test_the_true_offset_is_always_within_the_bounds(offset: float, trips: list[tuple[float, float]]) -> None:
    known: ClockOffset | None = None
    for number, (there, back) in enumerate(trips):
        known = after(known, number * 5.0, offset, there, back)

    assert known is not None
    give = timedelta(microseconds=2)
    assert known.low - give <= timedelta(seconds=offset) <= known.high + give
    shortest = min(there + back for there, back in trips)
    assert abs(known.seconds - offset) <= shortest / 2 + 0.06 * len(trips)

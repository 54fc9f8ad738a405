"""Two lanes to the venue: reads may starve each other, never a stop (W35)."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.limiter import Budget, Lane, Level, Limiter, take

BUDGET = Budget(per_second=10.0, burst=30.0, reserved=20.0)


class Time:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


def test_a_full_budget_admits_at_once() -> None:
    level, wait_seconds = take(BUDGET, Level(30.0, 0.0), Lane.ORDINARY, 1.0, 0.0)

    assert (level.units, wait_seconds) == (29.0, 0.0)


def test_reads_never_touch_the_reserve() -> None:
    level, wait_seconds = take(BUDGET, Level(20.5, 0.0), Lane.ORDINARY, 1.0, 0.0)

    assert level.units == 20.5
    assert wait_seconds == pytest.approx(0.05)


def test_a_stop_is_sent_at_once_when_reads_have_used_up_their_share() -> None:
    _, wait_seconds = take(BUDGET, Level(20.0, 0.0), Lane.PROTECTIVE, 10.0, 0.0)

    assert wait_seconds == 0.0


def test_a_cost_that_never_fits_is_an_error_and_not_an_endless_wait() -> None:
    with pytest.raises(ValueError, match="never fits"):
        take(BUDGET, Level(30.0, 0.0), Lane.ORDINARY, 11.0, 0.0)


@pytest.mark.parametrize("numbers", [(0.0, 1.0, 0.0), (1.0, 1.0, 1.0), (1.0, 1.0, -1.0)])
def test_a_budget_that_admits_nothing_is_refused(numbers: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="budget"):
        Budget(*numbers)


@given(st.lists(st.tuples(st.sampled_from(Lane), st.floats(0, 10), st.floats(-1, 5)), max_size=40))
def test_never_more_is_spent_than_the_rate_allows(steps: list[tuple[Lane, float, float]]) -> None:
    now, spent, level = 0.0, 0.0, Level(BUDGET.burst, 0.0)
    for lane, cost, elapsed in steps:
        now = max(now, now + elapsed)
        level, wait_seconds = take(BUDGET, level, lane, cost, now)
        spent += cost if wait_seconds == 0.0 else 0.0
        assert level.units >= (BUDGET.reserved if lane is Lane.ORDINARY and wait_seconds == 0.0 else 0.0) - 1e-6
    assert spent <= BUDGET.burst + now * BUDGET.per_second + 1e-6


async def test_a_stop_overtakes_a_queue_of_polls() -> None:
    time = Time()
    limiter = Limiter(BUDGET, clock=time, sleep=time.sleep)
    done: list[str] = []

    async def poll(number: int) -> None:
        await limiter.acquire(Lane.ORDINARY, 2.0)
        done.append(f"poll {number}")

    polls = [asyncio.create_task(poll(number)) for number in range(30)]
    while not done:
        await asyncio.sleep(0)
    waited_seconds = await limiter.acquire(Lane.PROTECTIVE, 10.0)
    done.append("stop")
    await asyncio.gather(*polls)

    assert waited_seconds == 0.0
    assert done.index("stop") <= 7  # six polls delayed an emergency stop by three seconds under ccxt's own limiter
    assert done[-1] == "poll 29"


async def test_within_a_lane_the_first_comes_first() -> None:
    time = Time()
    limiter = Limiter(BUDGET, clock=time, sleep=time.sleep)
    order: list[int] = []

    async def poll(number: int) -> None:
        await limiter.acquire(Lane.ORDINARY, 10.0)
        order.append(number)

    await asyncio.gather(*(poll(number) for number in range(5)))

    assert order == [0, 1, 2, 3, 4]
    assert time.now - 100.0 == pytest.approx(4.0)

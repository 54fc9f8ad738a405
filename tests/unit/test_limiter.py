"""Two lanes to the venue: reads may starve each other, never a stop (W35)."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.limiter import (
    KRAKEN_FUTURES_BUDGETS,
    KRAKEN_FUTURES_CHARGES,
    Budget,
    BudgetSpent,
    Lane,
    Level,
    Limiter,
    Pool,
    Quota,
    back_off_seconds,
    take,
)

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


# --- Kraken Futures' own budgets and costs ---------------------------------------------------------------------------


def kraken(time: Time) -> Quota:
    return Quota({pool: Limiter(each, clock=time, sleep=time.sleep) for pool, each in KRAKEN_FUTURES_BUDGETS.items()})


def test_the_documented_costs() -> None:
    """https://docs.kraken.com/exchange/guides/futures/ratelimits"""
    documented = {
        "sendorder": 10,
        "cancelorder": 10,
        "cancelallordersafter": 25,
        "accounts": 2,
        "openpositions": 2,
        "openorders": 2,
        "fills": 2,
        "fills/before": 25,
        "orders/status": 1,
    }
    for path, cost in documented.items():
        assert (KRAKEN_FUTURES_CHARGES[path].pool, KRAKEN_FUTURES_CHARGES[path].cost) == (Pool.TRADING, cost)
    assert KRAKEN_FUTURES_CHARGES["history"].pool is Pool.HISTORY
    assert {KRAKEN_FUTURES_CHARGES[path].pool for path in ("instruments", "tickers", "charts")} == {Pool.PUBLIC}


@pytest.mark.parametrize(("pool", "units", "seconds"), [(Pool.TRADING, 500, 10), (Pool.HISTORY, 100, 600)])
def test_a_budget_stays_below_what_the_venue_grants(pool: Pool, units: float, seconds: float) -> None:
    """Kraken counts 500 in any ten seconds; of the history a pool of 100 that is full again after ten minutes."""
    budget = KRAKEN_FUTURES_BUDGETS[pool]

    if pool is Pool.TRADING:
        assert budget.burst + budget.per_second * seconds <= units
    else:
        assert budget.burst <= units and budget.per_second <= units / seconds


@pytest.mark.parametrize("charge", KRAKEN_FUTURES_CHARGES.values(), ids=KRAKEN_FUTURES_CHARGES)
def test_every_cost_fits_both_lanes(charge: object) -> None:
    budget = KRAKEN_FUTURES_BUDGETS[charge.pool]  # type: ignore[attr-defined]
    for lane in Lane:
        level = Level(budget.burst, 0.0)
        assert take(budget, level, lane, charge.cost, 0.0)[1] == 0.0  # type: ignore[attr-defined]


async def test_six_polls_do_not_delay_a_stop() -> None:
    """W35: under ccxt's own limiter six polls held an emergency stop back for three seconds."""
    time = Time()
    quota = kraken(time)
    polled = ("openorders", "openpositions", "accounts", "fills", "openorders", "openpositions")

    for _ in range(20):  # a storm, so that the polls' share is long spent
        await asyncio.gather(*(quota.acquire(Lane.ORDINARY, KRAKEN_FUTURES_CHARGES[path]) for path in polled))
    waiting = [asyncio.create_task(quota.acquire(Lane.ORDINARY, KRAKEN_FUTURES_CHARGES[path])) for path in polled]
    await asyncio.sleep(0)
    before = time.now
    await quota.acquire(Lane.PROTECTIVE, KRAKEN_FUTURES_CHARGES["sendorder"])

    assert time.now == before
    assert quota.longest_wait_seconds[Lane.PROTECTIVE] == 0.0
    assert quota.longest_wait_seconds[Lane.ORDINARY] > 0.0
    await asyncio.gather(*waiting)


async def test_a_spent_history_delays_neither_stops_nor_reads_of_the_account() -> None:
    time = Time()
    quota = kraken(time)

    for _ in range(90):
        await quota.acquire(Lane.ORDINARY, KRAKEN_FUTURES_CHARGES["history"])
    before = time.now
    with pytest.raises(BudgetSpent):
        await quota.acquire(Lane.ORDINARY, KRAKEN_FUTURES_CHARGES["history"], patience_seconds=2.0)
    await quota.acquire(Lane.ORDINARY, KRAKEN_FUTURES_CHARGES["openorders"])
    await quota.acquire(Lane.PROTECTIVE, KRAKEN_FUTURES_CHARGES["sendorder"])

    assert time.now == before


# --- the venue says that it was too much -----------------------------------------------------------------------------


async def test_after_a_refusal_for_rate_reads_rest_and_a_stop_waits_for_the_refill_only() -> None:
    """Trap 4.3.14. Somebody else may have emptied the venue's bucket: ours counts as empty with it."""
    time = Time()
    limiter = Limiter(BUDGET, clock=time, sleep=time.sleep)

    limiter.note(refused_for_rate=True)
    stop_waited = await limiter.acquire(Lane.PROTECTIVE, 10.0)
    poll_waited = await limiter.acquire(Lane.ORDINARY, 1.0)

    assert stop_waited == pytest.approx(1.0)  # 10 units at 10 a second
    assert poll_waited >= back_off_seconds(1) - stop_waited
    assert limiter.strikes_total == 1


async def test_each_refusal_in_a_row_doubles_the_rest_and_a_good_reply_ends_it() -> None:
    time = Time()
    limiter = Limiter(Budget(per_second=1e6, burst=1e6, reserved=0), clock=time, sleep=time.sleep)
    rests = []
    for _ in range(7):
        limiter.note(refused_for_rate=True)
        rests.append(await limiter.acquire(Lane.ORDINARY))
    limiter.note(refused_for_rate=False)
    limiter.note(refused_for_rate=True)

    assert rests == pytest.approx([1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0])
    assert await limiter.acquire(Lane.ORDINARY) == pytest.approx(1.0)


async def test_refusals_of_what_was_sent_together_are_one_strike() -> None:
    time = Time()
    limiter = Limiter(Budget(per_second=1e6, burst=1e6, reserved=0), clock=time, sleep=time.sleep)

    for _ in range(6):
        limiter.note(refused_for_rate=True)

    assert await limiter.acquire(Lane.ORDINARY) == pytest.approx(1.0)


async def test_waits_are_numbers() -> None:
    time = Time()
    limiter = Limiter(BUDGET, clock=time, sleep=time.sleep)

    for _ in range(3):
        await limiter.acquire(Lane.ORDINARY, 10.0)

    waits = limiter.waits[Lane.ORDINARY]
    assert (waits.requests, waits.longest_seconds) == (3, pytest.approx(1.0))
    assert waits.total_seconds == pytest.approx(2.0)

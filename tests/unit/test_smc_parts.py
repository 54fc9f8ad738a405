"""Pivots, structure, zones, liquidity and averages, one by one, on hand-made candles and against plain references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.smc.bars import AverageRange, Bar, HigherBars, bar_number, bar_of, opening
from live.smc.events import Kind
from live.smc.liquidity import Pools
from live.smc.parameters import Session, SmcParameters
from live.smc.pivots import Peaks, Pivot
from live.smc.ranges import Half, half, optimal_entry, retraced
from live.smc.structure import Structure
from live.smc.zones import Blocks, Gaps, Zone, block_of, fair_value_gap

MINUTE = timedelta(minutes=1)
START = datetime(1970, 1, 1, tzinfo=UTC)
LEVELS = st.lists(st.integers(1, 6).map(float), max_size=60)


def bar(
    number: int, *, high: float, low: float | None = None, close: float | None = None, open_: float | None = None
) -> Bar:
    """A bar; what is not given lies at the high."""
    low = high if low is None else low
    close = high if close is None else close
    opened_at = START + number * MINUTE
    return Bar(number, opened_at, opened_at + MINUTE, close if open_ is None else open_, high, low, close)


def pivot(level: float, number: int = 0) -> Pivot:
    return Pivot(level, number)


# --- pivots ----------------------------------------------------------------------------------------


@given(LEVELS, st.integers(1, 4))
def test_peaks_are_exactly_those_of_a_plain_search(highs: list[float], wings: int) -> None:
    peaks = Peaks(wings, wings)

    found = [(peaks.push(bar(i, high=high)), i) for i, high in enumerate(highs)]

    expected = [
        (i, i + wings)
        for i in range(wings, len(highs) - wings)
        if highs[i] > max(highs[i - wings : i]) and highs[i] >= max(highs[i + 1 : i + wings + 1])
    ]
    assert [(peak.number, known) for peak, known in found if peak is not None] == expected


@given(LEVELS, st.integers(1, 4), st.integers(1, 4))
def test_a_peak_may_look_farther_on_one_side(highs: list[float], before: int, after: int) -> None:
    peaks = Peaks(before, after)

    found = [(peak.number, i) for i, high in enumerate(highs) if (peak := peaks.push(bar(i, high=high)))]

    expected = [
        (i, i + after)
        for i in range(before, len(highs) - after)
        if highs[i] > max(highs[i - before : i]) and highs[i] >= max(highs[i + 1 : i + after + 1])
    ]
    assert found == expected


def test_a_flat_top_is_one_peak_its_first_bar() -> None:
    peaks = Peaks(2, 2)

    found = [peaks.push(bar(i, high=high)) for i, high in enumerate([1, 2, 5, 5, 5, 2, 1])]

    assert [peak.number for peak in found if peak] == [2]


def test_no_peak_spans_a_cleared_window() -> None:
    peaks = Peaks(1, 1)
    peaks.push(bar(0, high=1))
    peaks.push(bar(1, high=5))

    peaks.clear()

    assert peaks.push(bar(4, high=2)) is None


# --- structure -------------------------------------------------------------------------------------


def run_structure(closes: Sequence[float], wings: int = 1) -> list[tuple[int, int, bool]]:
    """(candle, direction, changed) of every break, on candles that are nothing but their close."""
    structure = Structure(wings)
    steps = [structure.push(one, one.mirrored()) for one in (bar(i, high=c) for i, c in enumerate(closes))]
    return [(i, step.broke, step.changed) for i, step in enumerate(steps) if step.broke]


def test_the_first_break_is_never_a_change_of_character() -> None:
    assert run_structure([1, 3, 2, 4]) == [(3, 1, False)]
    assert run_structure([4, 2, 3, 1]) == [(3, -1, False)]


def test_a_break_against_the_trend_changes_the_character() -> None:
    assert run_structure([1, 3, 2, 4, 3.5, 3.8, 3.2]) == [(3, 1, False), (6, -1, True)]


def test_a_break_along_the_trend_does_not() -> None:
    assert run_structure([1, 3, 2, 4, 3, 5]) == [(3, 1, False), (5, 1, False)]


def test_a_close_exactly_at_the_level_breaks_nothing() -> None:
    """The peer breaks on equal closes through float32."""
    assert run_structure([1, 3, 2, 3]) == []


def test_a_reference_breaks_once() -> None:
    assert run_structure([1, 3, 2, 4, 5, 6]) == [(3, 1, False)]


def test_a_wick_beyond_the_level_breaks_nothing() -> None:
    structure = Structure(1)
    bars = [bar(0, high=1), bar(1, high=3), bar(2, high=2), bar(3, high=9, low=2, close=2.5)]

    assert not any(structure.push(one, one.mirrored()).broke for one in bars)


def test_a_level_is_unknown_until_its_pivot_is_confirmed() -> None:
    """The close of 4 comes before two candles have confirmed the high at 3, so nothing is broken."""
    assert run_structure([1, 2, 3, 4, 2, 2], wings=2) == []


def test_the_dealing_range_lies_between_the_last_confirmed_high_and_low() -> None:
    structure = Structure(1)
    assert structure.dealing_range() is None

    for i, close in enumerate([2, 6, 4, 7]):
        one = bar(i, high=close)
        structure.push(one, one.mirrored())

    assert structure.dealing_range() == (4, 6)


# --- zones -----------------------------------------------------------------------------------------


def test_a_fair_value_gap_is_what_three_candles_left_untraded() -> None:
    before, middle = bar(0, high=10, low=8), bar(1, high=15, low=9, open_=9, close=15)

    gap = fair_value_gap(before, middle, bar(2, high=17, low=12), min_size=0.0, body=True)

    assert gap == Zone(12, 10, 1)


def test_touching_candles_leave_no_gap() -> None:
    before, middle = bar(0, high=10, low=8), bar(1, high=15, low=9, open_=9, close=15)

    assert fair_value_gap(before, middle, bar(2, high=17, low=10), min_size=0.0, body=True) is None


def test_a_gap_needs_its_size_and_its_colour() -> None:
    before, after = bar(0, high=10, low=8), bar(2, high=17, low=12)
    rising, doji = bar(1, high=15, low=9, open_=9, close=15), bar(1, high=15, low=9, open_=12, close=12)

    assert fair_value_gap(before, rising, after, min_size=2.0, body=True) is not None
    assert fair_value_gap(before, rising, after, min_size=2.1, body=True) is None
    assert fair_value_gap(before, doji, after, min_size=0.0, body=True) is None
    assert fair_value_gap(before, doji, after, min_size=0.0, body=False) is not None


def test_in_the_mirror_a_fall_leaves_the_same_gap() -> None:
    bars = [bar(0, high=20, low=18), bar(1, high=19, low=12, open_=19, close=12), bar(2, high=15, low=11)]

    gap = fair_value_gap(*(one.mirrored() for one in bars), min_size=0.0, body=True)

    assert gap is not None
    assert (-gap.bottom, -gap.top) == (18, 15)


def test_the_order_block_is_the_last_lowest_candle_since_the_pivot() -> None:
    since = [bar(1, high=9, low=5), bar(2, high=8, low=4), bar(3, high=7, low=4), bar(4, high=9, low=6)]

    assert block_of(since) == Zone(7, 4, 3)


@given(st.lists(st.integers(1, 4).map(float), min_size=1, max_size=12))
def test_the_block_is_the_last_of_equals(lows: list[float]) -> None:
    chosen = block_of([bar(i, high=9, low=low) for i, low in enumerate(lows)])

    assert chosen.number == max(i for i, low in enumerate(lows) if low == min(lows))


def test_a_gap_is_touched_then_half_then_wholly_filled_each_once() -> None:
    gaps, gap = Gaps(8), Zone(20, 10, 1)
    gaps.add(gap)

    lows = [20.5, 20.0, 16.0, 15.0, 15.0, 10.5, 10.0, 5.0]
    seen = [gaps.fill(bar(2 + i, high=30, low=low)) for i, low in enumerate(lows)]

    touched, half_filled, filled = [(Kind.FVG_TOUCHED, gap)], [(Kind.FVG_HALF, gap)], [(Kind.FVG_FILLED, gap)]
    assert seen == [[], touched, [], half_filled, [], [], filled, []]


def test_one_candle_may_fill_a_gap_at_once_and_touch_the_next() -> None:
    gaps, near, far = Gaps(8), Zone(20, 18, 2), Zone(12, 8, 1)
    gaps.add(near)
    gaps.add(far)

    kinds = [kind for kind, _ in gaps.fill(bar(4, high=25, low=12))]

    assert kinds == [Kind.FVG_TOUCHED, Kind.FVG_HALF, Kind.FVG_FILLED, Kind.FVG_TOUCHED]
    assert gaps.untouched() == []


def test_only_untouched_gaps_are_offered_the_nearest_last() -> None:
    gaps = Gaps(8)
    for zone in (Zone(10, 8, 1), Zone(30, 22, 3), Zone(20, 18, 2)):
        gaps.add(zone)

    gaps.fill(bar(4, high=31, low=29))

    assert gaps.untouched() == [Zone(10, 8, 1), Zone(20, 18, 2)]


def test_a_block_is_touched_broken_and_dead_in_this_order() -> None:
    blocks, block = Blocks(8), Zone(20, 10, 1)
    assert blocks.add(block) == [(Kind.ORDER_BLOCK, block)]
    bars = [
        bar(2, high=25, low=20.5, close=22), bar(3, high=25, low=20, close=21),  # above, then reached
        bar(4, high=21, low=5, close=10), bar(5, high=12, low=9, close=9.5),  # a wick and an equal close break nothing
        bar(6, high=25, low=9, close=20), bar(7, high=25, low=9, close=20.5),  # nor kills one
        bar(8, high=30, low=1, close=5),
    ]  # fmt: skip

    seen = [blocks.change(one) for one in bars]

    touched, broken = [(Kind.ORDER_BLOCK_TOUCHED, block)], [(Kind.ORDER_BLOCK_BROKEN, block)]
    assert seen == [[], touched, [], broken, [], [(Kind.ORDER_BLOCK_DEAD, block)], []]


def test_one_candle_may_touch_and_break_a_block_and_leave_a_nearer_breaker_first() -> None:
    blocks, near, far = Blocks(8), Zone(30, 28, 2), Zone(20, 10, 1)
    blocks.add(far)
    blocks.add(near)

    changes = blocks.change(bar(3, high=40, low=19, close=21))

    assert changes == [
        (Kind.ORDER_BLOCK_TOUCHED, near),
        (Kind.ORDER_BLOCK_TOUCHED, far),
        (Kind.ORDER_BLOCK_BROKEN, near),
    ]
    assert blocks.untouched() == []


def test_a_block_that_lives_is_not_one_again() -> None:
    blocks, block = Blocks(8), Zone(20, 10, 1)
    blocks.add(block)
    blocks.change(bar(2, high=30, low=15, close=25))

    assert blocks.add(block) == []


@pytest.mark.parametrize("zones", [Gaps(2), Blocks(2)])
def test_over_its_cap_the_oldest_zone_is_forgotten_by_name(zones: Gaps | Blocks) -> None:
    oldest, second, third = Zone(30, 29, 1), Zone(20, 19, 2), Zone(10, 9, 3)
    zones.add(oldest)
    zones.add(second)

    assert zones.add(third)[1:] == [(Kind.FORGOTTEN, oldest)]
    assert zones.untouched() == [third, second]


# --- ranges ----------------------------------------------------------------------------------------


def test_a_long_wants_discount_and_a_short_premium_and_the_middle_is_neither() -> None:
    assert half(149.9, 100, 200) is Half.DISCOUNT
    assert half(150.1, 100, 200) is Half.PREMIUM
    assert half(150, 100, 200) is Half.EQUILIBRIUM
    assert half(50, 100, 200) is Half.DISCOUNT


def test_after_a_rise_the_optimal_entry_is_low_and_after_a_fall_high() -> None:
    """TradingSystem put it at low + 0.705 of the range either way: premium for a long."""
    assert optimal_entry(100, 200, least=0.625, most=0.75) == (125, 137.5)
    assert optimal_entry(200, 100, least=0.625, most=0.75) == (162.5, 175)


@given(st.floats(1, 1000), st.floats(0.1, 500), st.floats(0.51, 0.7), st.floats(0.71, 0.99))
def test_the_optimal_entry_of_a_rise_is_discount_and_of_a_fall_premium(
    low: float, size: float, least: float, most: float
) -> None:
    high = low + size

    for price in optimal_entry(low, high, least=least, most=most):
        assert half(price, low, high) is Half.DISCOUNT
    for price in optimal_entry(high, low, least=least, most=most):
        assert half(price, low, high) is Half.PREMIUM


@given(st.integers(-1000, 1000), st.integers(-1000, 1000), st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]))
def test_a_retracement_runs_from_the_end_of_a_leg_to_its_origin(origin: int, end: int, share: float) -> None:
    assert retraced(origin, end, 0) == end
    assert retraced(origin, end, 1) == origin
    assert retraced(origin, end, share) == -retraced(-origin, -end, share)


# --- liquidity -------------------------------------------------------------------------------------


def test_equal_highs_within_the_tolerance_make_one_pool_at_the_highest() -> None:
    pools = Pools(8)
    pools.add(pivot(100), 0.5)

    pool, forgotten = pools.add(pivot(99.5, 9), 99.0)

    assert (pool.level, pool.touches, pool.tolerance, forgotten) == (100, 2, 0.5, None)


def test_a_high_outside_the_tolerance_rests_as_its_own_pool() -> None:
    pools = Pools(8)
    pools.add(pivot(100), 0.5)

    pool, _ = pools.add(pivot(99.4, 9), 0.5)

    assert (pool.level, pool.touches, len(pools.standing)) == (99.4, 1, 2)


def test_a_wick_that_closes_back_sweeps_and_a_close_beyond_runs() -> None:
    for close, swept in ((100.0, True), (99.0, True), (100.1, False)):
        pools = Pools(8)
        pools.add(pivot(100), 0.0)

        (taken,) = pools.take(bar(5, high=101, low=98, close=close))

        assert taken.swept is swept
        assert pools.standing == []


def test_reaching_the_level_exactly_takes_nothing() -> None:
    pools = Pools(8)
    pools.add(pivot(100), 0.0)

    assert pools.take(bar(5, high=100)) == []


def test_one_candle_takes_every_pool_below_its_high_nearest_first() -> None:
    pools = Pools(8)
    for level in (103.0, 102.0, 101.0):
        pools.add(pivot(level), 0.1)

    taken = pools.take(bar(5, high=102.5, low=100, close=101.5))

    assert [(one.pool.level, one.swept) for one in taken] == [(101.0, False), (102.0, True)]
    assert [pool.level for pool in pools.standing] == [103.0]


def test_over_its_cap_the_oldest_pool_is_forgotten_by_name() -> None:
    pools = Pools(2)
    pools.add(pivot(103), 0.1)
    pools.add(pivot(102), 0.1)

    _, forgotten = pools.add(pivot(101), 0.1)

    assert forgotten is not None
    assert forgotten.level == 103


# --- averages and higher candles -------------------------------------------------------------------


def test_the_average_range_counts_the_jump_from_the_last_close() -> None:
    average = AverageRange(2)

    average.push(bar(0, high=10, low=8, close=9))
    assert average.value == 0.0
    average.push(bar(1, high=15, low=14, close=14))

    assert average.value == (2 + 6) / 2


def test_the_average_range_forgets_its_start() -> None:
    bars = [bar(i, high=10 + i % 3, low=5, close=7) for i in range(20)]
    whole, late = AverageRange(4), AverageRange(4)
    for one in bars:
        whole.push(one)
    for one in bars[-5:]:
        late.push(one)

    assert whole.value == late.value > 0


def test_a_higher_candle_is_given_at_its_close_and_only_when_whole() -> None:
    higher = HigherBars(3)

    given = [higher.push(bar(n, high=10 + n, low=n, open_=n, close=5 + n)) for n in (1, 2, 3, 4, 5, 6, 8, 9, 10, 11)]

    whole = [one for one in given if one is not None]
    assert [given.index(one) for one in whole] == [4, 9]
    assert whole[0] == Bar(1, START + 3 * MINUTE, START + 6 * MINUTE, 3, 15, 3, 10)


def test_a_candle_off_the_grid_has_no_number() -> None:
    assert bar_number(START + 7 * MINUTE, MINUTE) == 7
    with pytest.raises(ValueError, match="grid"):
        bar_number(START + timedelta(seconds=30), MINUTE)


@given(st.integers(0, 10**6), st.sampled_from([MINUTE, 15 * MINUTE, 1440 * MINUTE]))
def test_a_number_is_a_time_and_back(number: int, timeframe: timedelta) -> None:
    assert bar_number(opening(number, timeframe), timeframe) == number


def test_a_bar_is_its_row() -> None:
    one = bar(3, high=10, low=7, open_=8, close=9)

    assert bar_of(one.row(), MINUTE) == one


def test_the_mirror_of_the_mirror_is_the_bar() -> None:
    one = bar(3, high=10, low=7, open_=8, close=9)

    assert one.mirrored().mirrored() == one


# --- parameters ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"timeframe": timedelta(0)}, "timeframe"),
        ({"htf_bars": 1}, "htf_bars"),
        ({"internal_bars": 10}, "internal_bars must be below swing_bars"),
        ({"ote_min": 0.8}, "ote_min"),
        ({"ote_max": 1.0}, "ote_max"),
        ({"entry": "market"}, "entry"),
        ({"targets_r": ()}, "targets_r"),
        ({"targets_r": (2.0, 1.0)}, "targets_r"),
        ({"targets_r": (1.0, 1.5)}, "min_rr"),
        ({"min_rr": 0.0}, "min_rr"),
        ({"pool_min_touches": 0}, "pool_min_touches"),
        ({"choch_window_bars": 0}, "choch_window_bars"),
        ({"stop_buffer_atr": -0.1}, "stop_buffer_atr"),
        ({"displacement_atr": float("nan")}, "displacement_atr"),
        ({"period_zone": "Mars/Olympus"}, "Mars/Olympus"),
        ({"period_zone": "Europe"}, "time zone"),
        ({"sessions": (Session("../etc/passwd", time(8), time(9)),)}, "time zone"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(wrong: dict[str, object], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        replace(SmcParameters(), **wrong)  # type: ignore[arg-type]


def test_the_warm_up_fits_into_one_request_of_history() -> None:
    assert SmcParameters().warmup_bars <= 2000


def test_the_fingerprint_tells_every_parameter_apart() -> None:
    changes: list[dict[str, object]] = [
        {}, {"htf_bars": 8}, {"ote_min": 0.61}, {"entry": "edge"}, {"targets_r": (1.0, 2.0)},
        {"period_zone": "Asia/Tokyo"}, {"timeframe": 5 * MINUTE},
        {"sessions": ()}, {"sessions": (Session("Asia/Tokyo", time(9), time(15)),)},
    ]  # fmt: skip
    prints = [replace(SmcParameters(), **one).fingerprint() for one in changes]  # type: ignore[arg-type]

    assert len(set(prints)) == len(changes)
    assert SmcParameters().fingerprint() == prints[0]

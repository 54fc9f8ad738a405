"""Pivots, structure, zones, liquidity and averages, one by one, on hand-made candles and against plain references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.smc.bars import AverageRange, Bar, HigherBars, bar_number
from live.smc.liquidity import Pools
from live.smc.parameters import SmcParameters
from live.smc.pivots import Peaks, Pivot
from live.smc.structure import Structure
from live.smc.zones import OrderBlock, Zone, Zones, fair_value_gap, lowest

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
    return Pivot(level, number, START + number * MINUTE)


# --- pivots ----------------------------------------------------------------------------------------


@given(LEVELS, st.integers(1, 4))
def test_peaks_are_exactly_those_of_a_plain_search(highs: list[float], wings: int) -> None:
    peaks = Peaks(wings)

    found = [(peaks.push(bar(i, high=high)), i) for i, high in enumerate(highs)]

    expected = [
        (i, i + wings)
        for i in range(wings, len(highs) - wings)
        if highs[i] > max(highs[i - wings : i]) and highs[i] >= max(highs[i + 1 : i + wings + 1])
    ]
    assert [(peak.number, known) for peak, known in found if peak is not None] == expected


def test_a_flat_top_is_one_peak_its_first_bar() -> None:
    peaks = Peaks(2)

    found = [peaks.push(bar(i, high=high)) for i, high in enumerate([1, 2, 5, 5, 5, 2, 1])]

    assert [peak.number for peak in found if peak] == [2]


def test_no_peak_spans_a_cleared_window() -> None:
    peaks = Peaks(1)
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
    assert structure.equilibrium() is None

    for i, close in enumerate([2, 6, 4, 7]):
        one = bar(i, high=close)
        structure.push(one, one.mirrored())

    assert structure.equilibrium() == 5


# --- zones -----------------------------------------------------------------------------------------


def test_a_fair_value_gap_is_what_three_candles_left_untraded() -> None:
    before, middle = bar(0, high=10, low=8), bar(1, high=15, low=9, open_=9, close=15)

    gap = fair_value_gap(before, middle, bar(2, high=17, low=12), min_size=0.0, body=True)

    assert gap == Zone(12, 10, 1, middle.opened_at)


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
    block = OrderBlock()
    assert block.zone() is None

    block.start_anew([bar(1, high=9, low=5), bar(2, high=8, low=4)])
    block.push(bar(3, high=7, low=4))
    block.push(bar(4, high=9, low=6))

    assert block.zone() == Zone(7, 4, 3, START + 3 * MINUTE)


@given(st.lists(st.integers(1, 4).map(float), min_size=1, max_size=12))
def test_lowest_takes_the_last_of_equals(lows: list[float]) -> None:
    chosen = lowest([bar(i, high=9, low=low) for i, low in enumerate(lows)])

    assert chosen.number == max(i for i, low in enumerate(lows) if low == min(lows))


def test_a_zone_is_used_up_by_the_first_touch_and_farther_ones_stay() -> None:
    zones = Zones(8)
    near, far = Zone(20, 18, 2, START), Zone(10, 8, 1, START)
    zones.add(near)
    zones.add(far)

    assert zones.touch(bar(3, high=25, low=20.5)) == []
    assert zones.touch(bar(4, high=25, low=20)) == [near]
    assert zones.untouched == [far]
    assert near not in zones
    assert far in zones


def test_over_its_cap_the_farthest_zone_is_forgotten_by_name() -> None:
    zones = Zones(2)
    first, second, third = (Zone(top, top - 1, int(top), START) for top in (10.0, 20.0, 30.0))

    assert zones.add(first) is None
    assert zones.add(second) is None
    assert zones.add(third) == first


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
    ],
)
def test_parameters_that_contradict_each_other_are_refused(wrong: dict[str, object], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        replace(SmcParameters(), **wrong)  # type: ignore[arg-type]


def test_the_warm_up_fits_into_one_request_of_history() -> None:
    assert SmcParameters().warmup_bars <= 2000

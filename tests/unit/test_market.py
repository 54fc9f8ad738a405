"""Rows become closed candles: what is accepted, what is refused, and what is said about the holes."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.market import (
    HOLE_PATIENCE,
    TIMEFRAMES,
    BadCandles,
    arrivals,
    closed,
    gaps,
    last_boundary,
    merge,
    problems,
    timeframe,
    timeframe_name,
)
from live.model import Candle

BAR = timedelta(minutes=15)
START = datetime(2026, 3, 1, tzinfo=UTC)


def candle(
    number: int = 0,
    *,
    open: str = "100",
    high: str = "102",
    low: str = "99",
    close: str = "101",
    volume: str = "5",
    symbol: str = "BTC/USD:USD",
) -> Candle:
    prices = (Decimal(open), Decimal(high), Decimal(low), Decimal(close))
    return Candle(symbol, BAR, START + number * BAR, *prices, Decimal(volume))


@pytest.mark.parametrize("name", list(TIMEFRAMES))
def test_a_timeframe_reads_back_as_its_own_name(name: str) -> None:
    assert timeframe_name(timeframe(name)) == name


def test_fifteen_minutes_are_fifteen_minutes() -> None:
    assert timeframe("15m") == timedelta(minutes=15)


@pytest.mark.parametrize("name", ["", "15", "15M", " 15m", "7m", "1w", "-1m", "m15"])
def test_an_unknown_timeframe_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="unknown timeframe"):
        timeframe(name)


def test_a_length_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="no timeframe"):
        timeframe_name(timedelta(minutes=7))


def test_the_candle_still_open_is_not_used() -> None:
    """W44: structure was computed from the last, partial bar."""
    rows = [candle(0), candle(1)]

    assert closed(rows, START + 2 * BAR - timedelta(microseconds=1)) == [candle(0)]
    assert closed(rows, START + 2 * BAR) == rows


def test_closed_candles_come_out_sorted_and_once() -> None:
    assert closed([candle(2), candle(0), candle(2), candle(1)], START + 3 * BAR) == [candle(0), candle(1), candle(2)]


@pytest.mark.parametrize(
    ("broken", "what"),
    [
        (candle(high="100.5"), "within low and high"),
        (candle(low="100.5"), "within low and high"),
        (candle(low="0"), "not positive"),
        (candle(close="-1"), "not positive"),
        (candle(close="NaN"), "not positive"),
        (candle(high="Infinity"), "not positive"),
        (candle(volume="-1"), "volume"),
        (candle(volume="NaN"), "volume"),
        (replace(candle(), opened_at=START + timedelta(seconds=1)), "grid"),
        (replace(candle(), opened_at=START.replace(tzinfo=None)), "aware UTC"),
        (replace(candle(), opened_at=START.astimezone(timezone(timedelta(hours=2)))), "aware UTC"),
        (candle(open="103"), "within low and high"),
    ],
)
def test_a_candle_that_cannot_be_true_is_named(broken: Candle, what: str) -> None:
    assert any(what in problem for problem in problems(broken))


def test_a_true_candle_has_no_problems_even_when_nothing_moved() -> None:
    assert problems(candle()) == []
    assert problems(candle(open="100", high="100", low="100", close="100", volume="0")) == []


def test_one_impossible_closed_row_refuses_the_reply() -> None:
    with pytest.raises(BadCandles, match="not positive"):
        closed([candle(0), candle(1, close="0")], START + 2 * BAR)


some_prices = st.sampled_from(["99", "100", "100.0", "101", "102"])
any_prices = some_prices | st.sampled_from(["NaN", "sNaN", "Infinity", "-Infinity", "0", "-0", "-1", "1E+999999"])


@given(st.lists(some_prices | any_prices, min_size=4, max_size=4))
def test_prices_are_wrong_where_one_is_no_positive_number_or_the_bar_does_not_hold_them(told: list[str]) -> None:
    """The other reckoning looks at each price first; what is no number compares with nothing."""
    prices = [Decimal(each) for each in told]
    broken = Candle("BTC/USD:USD", BAR, START, *prices, Decimal(1))

    found = problems(broken)

    if not all(price.is_finite() and price > 0 for price in prices):
        assert found == [f"a price is not positive: {', '.join(told)}"]
    elif min(prices) < broken.low or broken.high < max(prices):
        assert found == [f"open and close are not within low and high: {', '.join(told)}"]
    else:
        assert found == []


rows = st.builds(candle, st.integers(0, 12), symbol=st.sampled_from(["BTC/USD:USD", "ETH/USD:USD"]))
in_order = st.lists(rows, max_size=4).map(lambda told: sorted(told, key=lambda each: each.opened_at))


@given(st.lists(rows, max_size=8) | in_order)
def test_closed_candles_are_the_merged_ones_whether_they_came_in_order_or_not(told: list[Candle]) -> None:
    assert closed(told, START + 10 * BAR) == merge(each for each in told if each.closed_at <= START + 10 * BAR)


@given(st.lists(st.integers(0, 60), max_size=60), st.lists(st.integers(0, 60), max_size=60))
def test_merge_is_a_commutative_keyed_union_that_loses_nothing(mine: list[int], theirs: list[int]) -> None:
    """I48: a merge that kept only newer bars dropped 1,344 candles and paused trading for good."""
    left, right = [candle(n) for n in mine], [candle(n) for n in theirs]

    merged = merge(left, right)

    assert merged == merge(right, left) == merge(merged, left, right)
    assert merged == [candle(n) for n in sorted({*mine, *theirs})]


def test_older_history_arriving_after_newer_bars_is_kept() -> None:
    """I48: the stream was started before the history was loaded."""
    assert merge([candle(10)], [candle(1), candle(2)]) == [candle(1), candle(2), candle(10)]


def test_two_versions_of_a_closed_bar_are_refused_in_either_order() -> None:
    revised = candle(3, close="101.5")

    for left, right in ((candle(3), revised), (revised, candle(3))):
        with pytest.raises(BadCandles, match="two versions"):
            merge([left], [right])


def test_different_symbols_never_mix() -> None:
    other = candle(0, symbol="ETH/USD:USD", close="100.5")

    assert len(merge([candle(0)], [other])) == 2


def test_gaps_are_found_with_their_size() -> None:
    (gap,) = gaps([candle(0), candle(1), candle(5), candle(6)])

    assert (gap.begins_at, gap.ends_at, gap.missing) == (START + 2 * BAR, START + 5 * BAR, 3)
    assert gaps([candle(0), candle(1)]) == gaps([]) == []


def test_the_last_boundary_is_now_itself_on_a_boundary() -> None:
    assert last_boundary(START, BAR) == START
    assert last_boundary(START - timedelta(microseconds=1), BAR) == START - BAR


# --- what a reading adds ----------------------------------------------------------------------------------------------

LONG_AFTER = START + 1000 * BAR


def test_only_what_follows_the_last_candle_is_fresh() -> None:
    read = [candle(0), candle(1), candle(2)]

    assert arrivals(read, candle(1), LONG_AFTER).fresh == (candle(2),)
    assert arrivals(read, None, LONG_AFTER).fresh == tuple(read)
    assert arrivals(read, candle(2), LONG_AFTER).fresh == ()


@pytest.mark.parametrize("last", [None, candle(0)])
def test_a_new_hole_is_waited_for_and_an_old_one_is_the_venues_truth(last: Candle | None) -> None:
    read = [candle(0), candle(3), candle(4)]
    enough = candle(3).closed_at + HOLE_PATIENCE

    waiting = arrivals(read, last, enough - timedelta(microseconds=1))
    believed = arrivals(read, last, enough)

    assert waiting.hole is not None and waiting.hole.missing == 2
    assert waiting.fresh == ((candle(0),) if last is None else ())
    assert believed.fresh[-2:] == (candle(3), candle(4)) and believed.hole is None


def test_a_revised_candle_is_told_and_the_series_keeps_its_own() -> None:
    """History that was decided on is not rewritten in silence; trades counted late change the volume alone."""
    told = candle(1, high="103")

    assert arrivals([told, candle(2)], candle(1), LONG_AFTER).revised == told
    assert arrivals([told, candle(2)], candle(1), LONG_AFTER).fresh == (candle(2),)
    assert arrivals([candle(1, volume="9")], candle(1), LONG_AFTER).revised is None


@given(st.lists(st.sets(st.integers(0, 12)), max_size=8), st.randoms(use_true_random=False))
def test_readings_with_holes_repeats_and_disorder_add_up_to_the_series(
    told: list[set[int]], chance: random.Random
) -> None:
    """I48: each candle once, in order, and none lost, whatever a reading left out while it was new."""
    last, series = None, []

    for numbers in [*told, set(range(13))]:
        rows = [candle(number) for number in numbers] * 2
        chance.shuffle(rows)
        fresh = arrivals(closed(rows, LONG_AFTER), last, START).fresh  # asked so early that every hole is new
        series += fresh
        last = series[-1] if series else None

    begin = series[0].opened_at
    assert series == [candle(number) for number in range((begin - START) // BAR, 13)]

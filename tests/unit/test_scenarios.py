"""The simulator's prices: one line behind ticker and candles, and setups that complete exactly when they should."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest

from live.market import closed, gaps, last_boundary
from live.model import Candle, Side, Signal
from live.simulator.scenarios import LISTINGS, SCENARIOS, Scenario, make_scenario
from live.smc import Engine, SmcParameters

QUARTER, MINUTE = timedelta(minutes=15), timedelta(minutes=1)
BARS = (QUARTER, MINUTE)
BEGAN_AT = datetime(2026, 3, 5, 10, 7, 30, tzinfo=UTC)
IDS = [listing.venue_id for listing in LISTINGS]


def default(
    began_at: datetime = BEGAN_AT, *, bar: timedelta = QUARTER, seed: int = 1, name: str = "default"
) -> Scenario:
    return make_scenario(name, seed=seed, began_at=began_at, bar=bar)


def signals(
    scenario: Scenario, venue_id: str, *, until: datetime, history_bars: int | None = None
) -> dict[int, Signal]:
    """What the engine says about closed candles up to `until`, by candles closed after the one last closed at start.

    A worker's warm-up is the default history.
    """
    parameters = SmcParameters(timeframe=scenario.bar)
    start = scenario.began_at - (history_bars or parameters.warmup_bars) * scenario.bar
    candles = closed(scenario.candles(venue_id, scenario.bar, start, until), until)
    engine = Engine(parameters, candles[0].symbol)
    first = last_boundary(scenario.began_at, scenario.bar)
    observed = [engine.on_candle(candle) for candle in candles]
    assert not any(observation.refused for observation in observed)
    return {(o.closed_at - first) // scenario.bar: o.signal for o in observed if o.signal}


def prices(scenario: Scenario, venue_id: str, begin: datetime, seconds: int) -> list[Decimal]:
    """The price at every quarter of a second."""
    return [scenario.price(venue_id, begin + timedelta(seconds=i / 4)) for i in range(4 * seconds)]


def through(signal: Signal, price: Decimal, level: Decimal) -> bool:
    """Whether a limit entry at this level fills: the price is strictly beyond it."""
    return price < level if signal.side is Side.LONG else price > level


def reaches(signal: Signal, price: Decimal, target: Decimal) -> bool:
    return price > target if signal.side is Side.LONG else price < target


# --- the setups -----------------------------------------------------------


@pytest.mark.parametrize("bar", BARS)
@pytest.mark.parametrize(("seed", "offset"), [(1, 0.0), (2, 0.02), (3, 0.5), (77, 0.999)])
def test_each_listing_completes_its_setup_on_its_own_bar_boundary(bar: timedelta, seed: int, offset: float) -> None:
    began_at = last_boundary(BEGAN_AT, bar) + offset * bar
    scenario = default(began_at, bar=bar, seed=seed)

    for number, venue_id in enumerate(IDS):
        found = signals(scenario, venue_id, until=began_at + 10 * bar)

        assert [at for at in found if at > number - 192] == [number]
        assert found[number].side is (Side.LONG if number % 2 == 0 else Side.SHORT)


def test_the_higher_timeframe_may_start_on_any_bar_of_the_day() -> None:
    """The pattern lies anywhere on the higher timeframe's grid of 16 bars, and the setup is still found."""
    for shift in range(0, 16, 3):
        scenario = default(BEGAN_AT + shift * QUARTER)
        for number, venue_id in enumerate(IDS[:2]):
            assert number in signals(scenario, venue_id, until=scenario.began_at + 3 * QUARTER)


def test_nothing_else_is_ever_signalled_and_every_period_repeats() -> None:
    scenario = default()

    assert list(signals(scenario, "PF_XBTUSD", until=BEGAN_AT + 200 * QUARTER)) == [-384, -192, 0, 192]


def test_more_history_than_the_warm_up_changes_no_signal() -> None:
    scenario = default()
    for venue_id in IDS[:2]:
        short = signals(scenario, venue_id, until=BEGAN_AT + 8 * QUARTER)
        long = signals(scenario, venue_id, until=BEGAN_AT + 8 * QUARTER, history_bars=2000)

        assert {at: signal for at, signal in long.items() if at > -190} == {
            at: signal for at, signal in short.items() if at > -190
        }


def test_the_first_setup_is_fresh_at_start_wherever_in_the_bar_that_is() -> None:
    for seconds in (0, 1, 450, 899):
        scenario = default(last_boundary(BEGAN_AT, QUARTER) + timedelta(seconds=seconds))
        found = signals(scenario, "PF_XBTUSD", until=scenario.began_at)

        assert found[0].known_at <= scenario.began_at < found[0].known_at + QUARTER


def without(candles: Sequence[Candle], what: str) -> list[Candle]:
    """The candles up to the completed long setup, with one ingredient spoilt."""
    spoilt = list(candles)
    sweep = spoilt[-6]
    if what == "the sweep":
        spoilt[-6] = replace(sweep, low=sweep.close)
    elif what == "the close back":
        spoilt[-6] = replace(sweep, close=sweep.low)
    elif what == "the equal low":
        spoilt[-18] = replace(spoilt[-18], low=min(spoilt[-18].open, spoilt[-18].close))
    elif what == "the change":
        quiet = spoilt[-3]
        spoilt[-2:] = [replace(quiet, opened_at=candle.opened_at) for candle in spoilt[-2:]]
    elif what == "the higher timeframe":
        spoilt = spoilt[-100:]
    return spoilt


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("the sweep", "no sweep of resting liquidity"),
        ("the close back", "no sweep of resting liquidity"),
        ("the equal low", "no sweep of resting liquidity"),
        ("the change", "swept, no change of character yet"),
        ("the higher timeframe", "the higher timeframe has no trend yet"),
    ],
)
def test_a_setup_with_an_ingredient_missing_gives_the_reason_and_no_signal(what: str, why: str) -> None:
    scenario, parameters = default(), SmcParameters(sessions=())  # a session low would do for the equal low
    end = last_boundary(BEGAN_AT, QUARTER)
    candles = scenario.candles("PF_XBTUSD", QUARTER, end - parameters.warmup_bars * QUARTER, end)
    engine = Engine(parameters, candles[0].symbol)

    last = [engine.on_candle(candle) for candle in without(candles, what)][-1]

    assert last.signal is None
    assert any(why in reason for reason in last.reasons)


# --- the price after the setup ----------------------------------------------


@pytest.mark.parametrize("bar", BARS)
@pytest.mark.parametrize("number", range(len(LISTINGS)))
def test_a_worker_that_comes_up_to_two_minutes_late_is_filled_and_reaches_its_first_target(
    bar: timedelta, number: int
) -> None:
    scenario, venue_id = default(bar=bar), IDS[number]
    signal = signals(scenario, venue_id, until=BEGAN_AT + (number + 1) * bar)[number]

    for late in range(0, 121, 15):
        path = prices(scenario, venue_id, signal.known_at + timedelta(seconds=late), 120)
        filled = next(i for i, price in enumerate(path) if through(signal, price, signal.entry_price))
        hit = next(i for i, price in enumerate(path) if i > filled and reaches(signal, price, signal.targets[0]))

        assert filled / 4 <= 20
        assert (hit - filled) / 4 <= 75


@pytest.mark.parametrize("bar", BARS)
@pytest.mark.parametrize("number", range(len(LISTINGS)))
def test_the_stop_is_never_reached_and_all_targets_are_by_the_fourth_bar(bar: timedelta, number: int) -> None:
    scenario, venue_id = default(bar=bar), IDS[number]
    signal = signals(scenario, venue_id, until=BEGAN_AT + (number + 1) * bar)[number]
    bars = scenario.candles(venue_id, bar, signal.known_at, signal.known_at + 100 * bar)

    worst = [candle.low if signal.side is Side.LONG else candle.high for candle in bars]
    best = [candle.high if signal.side is Side.LONG else candle.low for candle in bars]

    assert not any(through(signal, price, signal.stop_price) for price in worst)
    assert not any(reaches(signal, price, signal.targets[1]) for price in best[:2])
    assert reaches(signal, best[2], signal.targets[1])
    assert reaches(signal, best[3], signal.targets[2])


def sampled(scenario: Scenario, venue_id: str, begin: datetime, bars: int, *, every: timedelta) -> list[Candle]:
    """Candles as a venue records them that looks at the price now and then, each sample a trade."""
    candles = []
    for opened_at in (begin + i * scenario.bar for i in range(bars)):
        seen = [scenario.price(venue_id, opened_at + i * every) for i in range(1, scenario.bar // every)]
        (true,) = scenario.candles(venue_id, scenario.bar, opened_at, opened_at + scenario.bar)
        candles.append(replace(true, open=seen[0], high=max(seen), low=min(seen), close=seen[-1]))
    return candles


@pytest.mark.parametrize("venue_id", IDS)
def test_the_setup_also_completes_on_candles_recorded_from_samples(venue_id: str) -> None:
    scenario = default(bar=MINUTE)
    parameters = SmcParameters(timeframe=MINUTE)
    number, begin = IDS.index(venue_id), last_boundary(BEGAN_AT, MINUTE) - 40 * MINUTE
    history = scenario.candles(venue_id, MINUTE, begin - parameters.warmup_bars * MINUTE, begin)
    engine = Engine(parameters, history[0].symbol)
    for candle in history:
        engine.on_candle(candle)

    live = sampled(scenario, venue_id, begin, 50, every=timedelta(seconds=0.9))
    observed = [engine.on_candle(candle) for candle in live]

    assert [i for i, observation in enumerate(observed) if observation.signal] == [39 + number]


def test_a_fill_lasts_long_enough_to_be_seen_by_a_slow_matching_loop() -> None:
    scenario = default()
    signal = signals(scenario, "PF_XBTUSD", until=BEGAN_AT)[0]

    minute = prices(scenario, "PF_XBTUSD", signal.known_at + MINUTE, 60)

    assert sum(through(signal, price, signal.entry_price) for price in minute) / 4 >= 4 * 3
    assert sum(reaches(signal, price, signal.targets[0]) for price in minute) / 4 >= 4


# --- one line behind everything ---------------------------------------------


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name != "empty"])
@pytest.mark.parametrize("bar", BARS)
def test_candles_contain_every_price_and_follow_each_other(name: str, bar: timedelta) -> None:
    scenario = default(name=name, bar=bar)
    for venue_id in IDS[:2]:
        candles = scenario.candles(venue_id, bar, BEGAN_AT - 8 * bar, last_boundary(BEGAN_AT, bar) + 8 * bar)

        assert gaps(closed(candles, BEGAN_AT + 100 * bar)) == []
        assert all(before.close == after.open for before, after in pairwise(candles)) or name == "still"
        for candle in candles:
            inside = [scenario.price(venue_id, candle.opened_at + i * bar / 60) for i in range(60)]
            assert inside[0] == candle.open
            assert candle.low <= min(inside) <= max(inside) <= candle.high
            assert scenario.price(venue_id, candle.closed_at) == candle.close


def test_the_candle_in_progress_shows_only_what_has_been_seen() -> None:
    scenario = default(name="walk")
    opened_at = last_boundary(BEGAN_AT, QUARTER)

    (candle,) = scenario.candles("PF_ETHUSD", QUARTER, opened_at, BEGAN_AT)

    seen = [scenario.price("PF_ETHUSD", opened_at + timedelta(seconds=i)) for i in range(451)]
    assert candle.close == seen[-1] == scenario.price("PF_ETHUSD", BEGAN_AT)
    assert candle.open == seen[0]
    assert candle.low == min(seen)
    assert candle.high == max(seen)


@pytest.mark.parametrize("name", ["default", "walk"])
def test_candles_of_every_timeframe_tell_the_same_story(name: str) -> None:
    scenario = default(name=name)
    begin = datetime(2026, 3, 4, tzinfo=UTC)
    end = begin + timedelta(hours=4)

    (whole,) = scenario.candles("PF_SOLUSD", timedelta(hours=4), begin, end)
    for parts in (scenario.candles("PF_SOLUSD", bar, begin, end) for bar in (MINUTE, QUARTER, timedelta(hours=1))):
        assert (parts[0].open, parts[-1].close) == (whole.open, whole.close)
        assert (max(part.high for part in parts), min(part.low for part in parts)) == (whole.high, whole.low)


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_prices_are_on_the_tick_grid_and_the_same_every_time(name: str) -> None:
    one, same, other = default(name=name), default(name=name), default(name=name, seed=2)
    moments = [BEGAN_AT + timedelta(seconds=7.3 * i) for i in range(-200, 200)]
    for listing in LISTINGS:
        line = [one.price(listing.venue_id, at) for at in moments]

        assert line == [same.price(listing.venue_id, at) for at in moments]
        assert line != [other.price(listing.venue_id, at) for at in moments]
        assert all(price > 0 and price % listing.tick_size == 0 for price in line)


def test_still_keeps_the_last_close_and_every_setup_is_complete_at_start() -> None:
    scenario = default(name="still")
    boundary = last_boundary(BEGAN_AT, QUARTER)
    for venue_id in IDS:
        last_close = scenario.candles(venue_id, QUARTER, boundary - QUARTER, boundary)[0].close

        assert list(signals(scenario, venue_id, until=BEGAN_AT))[-1] == 0
        assert {scenario.price(venue_id, BEGAN_AT + timedelta(minutes=7 * i)) for i in range(50)} == {last_close}


def test_empty_has_no_history_but_a_price() -> None:
    scenario = default(name="empty")

    assert scenario.candles("PF_XBTUSD", QUARTER, BEGAN_AT - timedelta(days=1), BEGAN_AT) == []
    assert len(scenario.candles("PF_XBTUSD", QUARTER, BEGAN_AT - timedelta(days=1), BEGAN_AT + QUARTER)) == 1
    assert scenario.price("PF_XBTUSD", BEGAN_AT) > 0


def test_history_reaches_back_sixty_days_and_not_for_ever() -> None:
    scenario = default()

    (oldest, *_) = scenario.candles("PF_XBTUSD", timedelta(days=1), datetime(1970, 1, 1, tzinfo=UTC), BEGAN_AT)

    assert timedelta(days=59) <= BEGAN_AT - oldest.opened_at <= timedelta(days=60)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="no scenario 'moon'"):
        default(name="moon")
    with pytest.raises(ValueError, match="aware"):
        default(BEGAN_AT.replace(tzinfo=None))
    for bar in (timedelta(0), timedelta(seconds=30), timedelta(seconds=90)):
        with pytest.raises(ValueError, match="whole minutes"):
            default(bar=bar)
    with pytest.raises(KeyError):
        default().price("PF_NOPE", BEGAN_AT)

"""The sequence sweep, change of character, zone, entry: each step, each way to fail, and the arithmetic of the plan."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.smc.bars import Bar
from live.smc.parameters import SmcParameters
from live.smc.reasons import Code
from live.smc.signals import Choice, Plan, Setup, Stage, choose_zone, make_plan
from live.smc.zones import Zone

START = datetime(2026, 3, 1, tzinfo=UTC)
P = SmcParameters()


def bar(number: int, *, low: float = 100.0, high: float = 110.0, close: float = 105.0) -> Bar:
    opened_at = START + number * P.timeframe
    return Bar(number, opened_at, opened_at + P.timeframe, close, high, low, close)


def swept_setup() -> Setup:
    """Swept at candle 0: low 100, liquidity below 102."""
    setup = Setup()
    setup.sweep(bar(0), 102.0)
    return setup


def shifted_setup(*, peak: float = 200.0) -> Setup:
    """Swept at candle 0 with the low at 100, changed at candle 3, up to the peak."""
    setup = swept_setup()
    assert setup.follow(bar(3, high=peak), P, changed=1, displaced=True) is None
    return setup


def zone(top: float, bottom: float, number: int = 2) -> Zone:
    return Zone(top, bottom, number)


def plan(setup: Setup, *, entry: float = 130.0, close: float = 190.0, **changes: object) -> Plan | Code:
    facts: dict[str, object] = {"liquidity": [], "average_range": 10.0, "dealing_range": (100.0, 500.0), **changes}
    liquidity = facts.pop("liquidity")
    return make_plan(entry, setup, bar(4, close=close), liquidity, P, **facts)  # type: ignore[arg-type]


# --- the sequence ------------------------------------------------------------


def test_without_a_sweep_nothing_begins() -> None:
    assert Setup().follow(bar(1), P, changed=1, displaced=True) == Code.NO_SWEEP


def test_a_change_of_character_with_displacement_follows_the_sweep() -> None:
    setup = swept_setup()

    assert setup.follow(bar(1), P, changed=0, displaced=False) == Code.NO_CHANGE
    assert setup.follow(bar(2, high=150), P, changed=1, displaced=True) is None
    assert (setup.stage, setup.extreme, setup.peak) == (Stage.SHIFTED, 100.0, 150.0)


def test_a_change_without_displacement_is_not_enough() -> None:
    assert swept_setup().follow(bar(1), P, changed=1, displaced=False) == Code.NO_DISPLACEMENT


def test_a_deeper_wick_moves_the_stop_and_a_close_beyond_ends_the_setup() -> None:
    setup = swept_setup()

    assert setup.follow(bar(1, low=98), P, changed=0, displaced=False) == Code.NO_CHANGE
    assert setup.extreme == 98.0
    assert setup.follow(bar(2, low=95, close=97), P, changed=0, displaced=False) == Code.SWEEP_FAILED
    assert setup.stage is Stage.WAITING


def test_the_character_changing_back_ends_the_setup() -> None:
    setup = shifted_setup()

    assert setup.follow(bar(4), P, changed=-1, displaced=False) == Code.CHANGED_BACK
    assert setup.stage is Stage.WAITING


def test_the_wait_for_a_change_ends_with_its_window() -> None:
    for late, stage in ((0, Stage.SHIFTED), (1, Stage.WAITING)):
        setup = swept_setup()

        setup.follow(bar(P.choch_window_bars + late), P, changed=1, displaced=True)

        assert setup.stage is stage


def test_the_wait_for_a_zone_ends_with_its_window() -> None:
    setup = shifted_setup()

    assert setup.follow(bar(3 + P.zone_window_bars), P, changed=0, displaced=False) is None
    assert setup.follow(bar(4 + P.zone_window_bars), P, changed=0, displaced=False) == Code.ZONE_LATE


def test_a_new_sweep_starts_the_sequence_again() -> None:
    setup = shifted_setup()

    setup.sweep(bar(5, low=90, high=95), 96.0)

    assert (setup.stage, setup.extreme, setup.peak, setup.swept_number) == (Stage.SWEPT, 90.0, 95.0, 5)


# --- the zone ------------------------------------------------------------


def test_the_entry_is_in_the_middle_of_what_zone_and_optimal_entry_share() -> None:
    """The leg is 100 to 200: optimal from 121 to 138."""
    choice = choose_zone(shifted_setup(), bar(4), [zone(150, 130)], [], P)

    assert isinstance(choice, Choice)
    assert choice.entry == pytest.approx((138 + 130) / 2)


def test_a_zone_outside_the_optimal_entry_is_passed_over() -> None:
    for useless in (zone(160, 138.1), zone(120.9, 100)):
        assert choose_zone(shifted_setup(), bar(4), [useless], [useless], P) is Code.NO_ZONE


def test_a_zone_from_before_the_sweep_does_not_belong_to_the_leg() -> None:
    assert choose_zone(shifted_setup(), bar(4), [zone(135, 125, number=-1)], [], P) is Code.NO_ZONE


def test_a_gap_comes_before_a_block_and_the_nearest_before_the_farther() -> None:
    near, far, block = zone(137, 130), zone(128, 122), zone(138, 121)
    setup = shifted_setup()

    first = choose_zone(setup, bar(4), [far, near], [block], P)
    second = choose_zone(setup, bar(4), [], [block], P)

    assert isinstance(first, Choice)
    assert (first.zone, first.is_gap) == (near, True)
    assert isinstance(second, Choice)
    assert (second.zone, second.is_gap) == (block, False)


def test_a_block_waits_for_the_candle_that_shows_the_gap() -> None:
    assert choose_zone(shifted_setup(), bar(3), [], [zone(138, 121)], P) is Code.NO_ZONE


@given(st.floats(1, 1000), st.floats(0.1, 500), st.floats(0, 1), st.floats(0, 1))
def test_a_long_is_always_bought_in_the_discount_of_its_leg(low: float, size: float, a: float, b: float) -> None:
    """The origin put the optimal entry of a long into premium."""
    setup = Setup()
    setup.sweep(bar(0, low=low, high=low), low)
    setup.follow(bar(1, low=low, high=low + size, close=low + size), P, changed=1, displaced=True)
    bottom, top = sorted((low + a * size, low + b * size))

    choice = choose_zone(setup, bar(2), [zone(top, bottom)], [], P)

    if isinstance(choice, Choice):
        assert choice.entry < low + size / 2
        assert low + 0.2 * size <= choice.entry <= low + 0.39 * size


# --- the plan ------------------------------------------------------------


def test_the_stop_is_beyond_the_sweep_and_the_targets_are_multiples_of_the_risk() -> None:
    """Stop 100 - 0.2 * 10 = 98, risk 32."""
    assert plan(shifted_setup()) == Plan(130.0, 98.0, (162.0, 194.0, 226.0))


def test_a_target_moves_out_to_the_nearest_pool_before_the_next_multiple() -> None:
    assert plan(shifted_setup(), liquidity=[165.0, 170.0, 250.0, 400.0]) == Plan(130.0, 98.0, (165.0, 194.0, 250.0))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"dealing_range": None}, Code.NO_RANGE),
        ({"dealing_range": (100.0, 160.0)}, Code.WRONG_HALF),
        ({"close": 130.0}, Code.AT_ENTRY),
        ({"entry": 98.0}, Code.NO_RISK),
        ({"liquidity": [190.0]}, Code.LIQUIDITY_NEAR),
    ],
)
def test_a_plan_that_makes_no_trade_says_why(changes: dict[str, object], why: Code) -> None:
    assert plan(shifted_setup(), **changes) is why  # type: ignore[arg-type]


def test_liquidity_at_exactly_the_least_reward_is_far_enough() -> None:
    assert isinstance(plan(shifted_setup(), liquidity=[194.0]), Plan)


@given(
    st.floats(10, 1000), st.floats(0.1, 5), st.lists(st.floats(0.01, 50), max_size=8, unique=True), st.floats(0, 3)
)  # fmt: skip
def test_targets_rise_beyond_the_entry_and_the_stop_is_on_the_other_side(
    low: float, size: float, above: list[float], average_range: float
) -> None:
    setup = Setup()
    setup.sweep(bar(0, low=low, high=low), low)
    outcome = plan(
        setup,
        entry=low + 0.3 * size,
        close=low + size,
        liquidity=[low + size + distance for distance in sorted(above)],
        average_range=average_range,
        dealing_range=(low, low + 2 * size),
    )

    if isinstance(outcome, Plan):
        assert outcome.stop < low + 0.3 * size == outcome.entry < outcome.targets[0]
        assert list(outcome.targets) == sorted(set(outcome.targets))


def test_every_code_has_its_own_words_and_is_a_word_for_programs() -> None:
    assert len({code.words for code in Code}) == len(Code)
    for code in Code:
        assert code == code.value
        assert set(code) <= set("abcdefghijklmnopqrstuvwxyz-")

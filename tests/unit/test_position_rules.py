"""Where the stop belongs as a trade goes on, what takes profit, and what ends a trade: each rule by example."""

from __future__ import annotations

from datetime import timedelta
from functools import reduce

import pytest

from live.events import (
    CancelIntended,
    Event,
    ExternalFill,
    OrderCancelled,
    OrderRejected,
    OrderShown,
    OrderUnknown,
    Peaked,
)
from live.model import Leg, OrderType, Side, Target, TrailStep
from live.position import (
    CancelOrder,
    Command,
    Phase,
    PlaceOrder,
    Policy,
    Position,
    Rules,
    apply,
    due,
    opened,
    peaked,
    policy_of,
    scaled_targets,
    wanted_stop,
)
from live.settings import Settings, read_settings
from tests.builders import BTC, approved, at, d, fill, filled, instrument, intended, live, spec

ENTRY = spec(Leg.ENTRY, 1)
STOP = spec(Leg.STOP, 2)
FIRST = spec(Leg.TARGET, 3, qty=d("0.4"), limit_price=d(110))
TARGETS = (
    FIRST,
    spec(Leg.TARGET, 4, qty=d("0.4"), limit_price=d(120)),
    spec(Leg.TARGET, 5, qty=d("0.2"), limit_price=d(130)),
)
STEPS = (TrailStep(d(3), d(2)), TrailStep(d(5), d("1.5")))
TRAILING = Rules(trail_steps=STEPS)


def after(*events: Event, **intent_changes: object) -> Position:
    return reduce(apply, events, opened(approved(**intent_changes)))


def protected(*events: Event) -> Position:
    """Long 1 from 100, stop 90 live since second 2: one R is 10."""
    return after(*live(ENTRY), filled(ENTRY), *live(STOP, 2), *events)


def commands(
    position: Position,
    seconds: float = 9,
    rules: Rules | None = None,
    mark: str | None = None,
    unshown: frozenset[str] = frozenset(),
) -> list[Command]:
    """unshown: what a look at the venue did not list; all else it did."""
    policy = Policy(rules=rules or Rules(), shown=frozenset(position.orders) - unshown)
    return due(position, instrument(), policy, at(seconds), d(mark) if mark else None)


def placed(asked: list[Command], leg: Leg) -> list[PlaceOrder]:
    return [each for each in asked if isinstance(each, PlaceOrder) and each.leg is leg]


def peak(mark: str, seconds: float = 5) -> Peaked:
    return Peaked(at=at(seconds), position_id="ps-abc-1-1", symbol=BTC, mark_price=d(mark))


def shown(order: str, seconds: float = 5, **changes: object) -> OrderShown:
    seen = {"qty": d(1), "filled_qty": d(0), "trigger_price": d(90), **changes}
    return OrderShown(at=at(seconds), client_order_id=order, **seen)  # type: ignore[arg-type]


# --- break-even (J) ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("share", "stop"), [("0.4", 100), ("0.41", 90), (None, 90)])
def test_the_stop_moves_to_entry_once_targets_took_the_share_that_is_set(share: str | None, stop: int) -> None:
    position = protected(*live(FIRST, 3), filled(FIRST, "0.4", "110", 5))
    rules = Rules(break_even_share=None if share is None else d(share))

    assert wanted_stop(position, rules) == d(stop)


# --- trailing (D) -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mark", "stop"), [("129", None), ("130", 110), ("149", 129), ("150", 135), ("160", 145)])
def test_the_stop_follows_the_peak_closer_the_larger_the_gain(mark: str, stop: int | None) -> None:
    """Three R in front: two R behind the peak; five R in front: one and a half."""
    event = peaked(protected(), d(mark), instrument(), TRAILING, at(9))

    assert (event is None) == (stop is None)
    if event is not None:
        assert wanted_stop(apply(protected(), event), TRAILING) == d(str(stop))


def test_a_short_is_trailed_from_above() -> None:
    sell, guard = spec(Leg.ENTRY, 1, side="sell"), spec(Leg.STOP, 2, side="buy", trigger_price=d(110))
    position = after(*live(sell), filled(sell), *live(guard, 2), side=Side.SHORT, stop_price=d(110))

    assert peaked(position, d(71), instrument(), TRAILING, at(9)) is None
    event = peaked(position, d(70), instrument(), TRAILING, at(9))

    assert event is not None and wanted_stop(apply(position, event), TRAILING) == d(90)


def test_a_distance_in_percent_trails_from_the_first_gain() -> None:
    rules = Rules(trail_distance_pct=d(5))
    position = protected(peak("102"))

    assert wanted_stop(position, rules) == d("96.9")
    assert peaked(protected(), d("99"), instrument(), rules, at(9)) is None


def test_a_small_gain_is_not_worth_a_replace() -> None:
    """One R is 10, so that less than 1 is nothing to bother the venue with; nor is less than a tick, ever."""
    position, fine = protected(peak("130")), instrument(tick_size=d("0.1"))
    eager = Rules(trail_steps=STEPS, trail_step_r=d("0.001"))

    assert peaked(position, d("130.9"), fine, TRAILING, at(60)) is None
    assert peaked(position, d("131"), fine, TRAILING, at(60)) is not None
    assert peaked(position, d("130.1"), fine, eager, at(60)) is not None
    assert peaked(position, d("130"), fine, eager, at(60)) is None


@pytest.mark.parametrize("mark", ["95", "90.2"])
def test_a_stop_that_rests_where_it_belongs_outlives_a_coarser_tick(mark: str) -> None:
    """I52: rounded to the new tick it was asked for anew, and a price between the two was called beyond the stop."""
    fine = spec(Leg.STOP, 2, trigger_price=d("90.1"))
    position = after(*live(ENTRY), filled(ENTRY), *live(fine, 2), stop_price=d("90.1"), targets=())

    assert due(position, instrument(tick_size=d("0.5")), Policy(), at(9), d(mark)) == []


def test_a_stop_that_follows_is_not_moved_more_often_than_its_pause() -> None:
    position = protected(peak("130", seconds=5))

    assert peaked(position, d("140"), instrument(), TRAILING, at(34)) is None
    assert peaked(position, d("140"), instrument(), TRAILING, at(35)) is not None


def test_a_peak_is_a_fact_that_a_restart_finds_again() -> None:
    """The origin kept it in memory alone: a restart let the stop fall back."""
    position = protected(peak("130"))

    assert (position.peak_price, wanted_stop(position, TRAILING)) == (d(130), d(110))


def test_an_older_peak_told_later_moves_nothing_back() -> None:
    position = protected(peak("150", 5), peak("130", 6))

    assert (position.peak_price, wanted_stop(position, TRAILING)) == (d(150), d(135))


def test_a_trailing_stop_is_replaced_by_placing_first() -> None:
    position = protected(peak("130"))

    (place,) = placed(commands(position, rules=TRAILING, mark="128"), Leg.STOP)

    assert (place.trigger_price, place.qty) == (d(110), d(1))
    assert not [each for each in commands(position, rules=TRAILING, mark="128") if isinstance(each, CancelOrder)]


def test_the_old_stop_goes_only_while_the_venue_is_seen_to_list_the_new_one() -> None:
    """A person cancelled the new one after it was accepted, and the look that missed it could not yet tell why."""
    trailed = spec(Leg.STOP, 3, trigger_price=d(110))
    position = protected(peak("130"), *live(trailed, 6))
    replaced = CancelOrder(position.id, STOP.client_order_id, "replaced")

    assert replaced not in commands(position, 60, TRAILING, unshown=frozenset({trailed.client_order_id}))
    assert replaced in commands(position, 6.1, TRAILING)


def test_rules_that_are_loosened_do_not_move_a_live_stop_back() -> None:
    """A setting changed between two starts; the stop at the venue stays where it is."""
    trailed = spec(Leg.STOP, 3, trigger_price=d(110))
    position = protected(peak("130"), *live(trailed, 6))

    assert wanted_stop(position, Rules(break_even_share=None)) == d(110)


# --- what a person or the price does to a stop ------------------------------------------------------------------------


def test_a_stop_made_smaller_by_a_person_protects_no_more_and_is_replaced() -> None:
    position = protected(shown(STOP.client_order_id, qty=d("0.4")))

    assert position.phase is Phase.OPEN
    assert [(each.qty, each.trigger_price) for each in placed(commands(position), Leg.STOP)] == [(d(1), d(90))]


def test_a_stop_moved_away_by_a_person_is_replaced_and_only_then_cancelled() -> None:
    position = protected(shown(STOP.client_order_id, trigger_price=d(80)))
    assert [each.trigger_price for each in placed(commands(position), Leg.STOP)] == [d(90)]

    again = spec(Leg.STOP, 3)
    for event in live(again, 6):
        position = apply(position, event)

    assert CancelOrder(position.id, STOP.client_order_id, "replaced") in commands(position)


def test_a_stop_that_a_person_tightened_is_left_where_it_is() -> None:
    position = protected(shown(STOP.client_order_id, trigger_price=d(95)))

    assert position.phase is Phase.PROTECTED
    assert not placed(commands(position), Leg.STOP)


def test_a_live_stop_is_remembered_although_a_person_loosened_it() -> None:
    """Break-even was live at 100; edited to 95 it is not what the position has a right to."""
    even = spec(Leg.STOP, 3, trigger_price=d(100))
    position = protected(*live(even, 4), shown(even.client_order_id, trigger_price=d(95)))

    assert wanted_stop(position, Rules(break_even_share=None)) == d(100)


def test_a_stop_whose_price_has_passed_before_it_rests_is_a_market_exit_at_once() -> None:
    position = after(*live(ENTRY), filled(ENTRY))

    (way_out,) = placed(commands(position, 2, mark="90"), Leg.EXIT)

    assert (way_out.type, way_out.qty) == (OrderType.MARKET, d(1))
    assert "beyond the stop" in way_out.reason
    assert not placed(commands(position, 2, mark="90"), Leg.STOP)


def test_a_stop_that_rests_is_left_to_act_when_its_price_comes() -> None:
    assert not placed(commands(protected(), mark="89"), Leg.EXIT)


def test_a_stop_under_way_is_left_to_act_too() -> None:
    """Its reply was lost: it may rest. The naked bound ends the doubt."""
    unknown = OrderUnknown(at=at(2.1), client_order_id=STOP.client_order_id, reason="timeout")
    position = after(*live(ENTRY), filled(ENTRY), intended(STOP, 2), unknown)

    assert commands(position, 3, mark="80") == []


# --- fills that are told late -----------------------------------------------------------------------------------------


def test_a_stop_that_executed_partly_is_replaced_before_its_fill_is_told() -> None:
    """A partial execution told 65 s late left the rest naked for as long."""
    position = protected(shown(STOP.client_order_id, filled_qty=d("0.4"), ended=True))

    (place,) = placed(commands(position), Leg.STOP)

    assert (position.qty, position.exposed_qty, position.phase) == (d(1), d("0.6"), Phase.OPEN)
    assert place.qty == d("0.6")


def test_a_stop_that_the_venue_has_ended_is_not_cancelled_too() -> None:
    rest = spec(Leg.STOP, 3, qty=d("0.6"))
    position = protected(shown(STOP.client_order_id, filled_qty=d("0.4"), ended=True), *live(rest, 6))

    assert not [each for each in commands(position) if isinstance(each, CancelOrder)]


def test_the_late_fill_of_such_a_stop_calls_for_nothing_more() -> None:
    rest = spec(Leg.STOP, 3, qty=d("0.6"))
    ended = shown(STOP.client_order_id, filled_qty=d("0.4"), ended=True)
    position = protected(ended, *live(rest, 6), filled(STOP, "0.4", "90", 7))

    assert (position.qty, position.exposed_qty, position.phase) == (d("0.6"), d("0.6"), Phase.PROTECTED)
    assert not placed(commands(position), Leg.STOP)


def test_an_exit_that_ended_with_a_rest_is_followed_by_the_next_before_its_fill_is_told() -> None:
    """The market took 5.8 of 14.5 and the fill came a minute late: a minute of waiting for an order that was over."""
    way_out = spec(Leg.EXIT, 9)
    failed = [event for n in (2, 3, 4) for event in _refused(n)]
    position = after(*live(ENTRY), filled(ENTRY), *failed, *live(way_out, 6))
    assert position.phase is Phase.EXITING

    position = apply(position, shown(way_out.client_order_id, 7, filled_qty=d("0.4"), ended=True, trigger_price=None))

    assert [each.qty for each in placed(commands(position, 8), Leg.EXIT)] == [d("0.6")]


def _refused(number: int) -> list[Event]:
    stop = spec(Leg.STOP, number)
    return [*live(stop, number), OrderCancelled(at=at(number + 0.5), client_order_id=stop.client_order_id)]


def test_what_the_venue_shows_executed_in_full_is_not_sold_again() -> None:
    """Flat there, and the fill not told yet: nothing is exposed, nothing is asked for."""
    position = protected(shown(STOP.client_order_id, filled_qty=d(1), ended=True))

    assert (position.qty, position.exposed_qty) == (d(1), d(0))
    assert commands(position) == []


# --- giving up --------------------------------------------------------------------------------------------------------


def test_an_unknown_stop_of_another_size_does_not_hold_up_the_one_that_is_needed() -> None:
    """The entry went on filling while nobody knew of the first, smaller stop."""
    small = spec(Leg.STOP, 2, qty=d("0.3"))
    unknown = OrderUnknown(at=at(2.1), client_order_id=small.client_order_id, reason="timeout")
    position = after(*live(ENTRY), filled(ENTRY, "0.3"), intended(small, 2), unknown, filled(ENTRY, "0.7", seconds=3))

    assert [each.qty for each in placed(commands(position, 3), Leg.STOP)] == [d(1)]


def test_a_doubt_older_than_the_naked_time_counts_toward_its_bound() -> None:
    """The replacing stop was unknown when the venue took the old one away: nothing was ever tried since."""
    even = spec(Leg.STOP, 3, trigger_price=d(100))
    unknown = OrderUnknown(at=at(4), client_order_id=even.client_order_id, reason="timeout")
    gone = OrderCancelled(at=at(6), client_order_id=STOP.client_order_id)
    position = protected(*live(FIRST, 3), filled(FIRST, "0.4", "110", 3.5), intended(even, 4), unknown, gone)
    assert not placed(commands(position, 25), Leg.EXIT)

    assert placed(commands(position, 26), Leg.EXIT)


def test_a_refused_way_out_is_asked_for_again_after_its_pause() -> None:
    way_out = spec(Leg.EXIT, 9)
    no = OrderRejected(at=at(6.1), client_order_id=way_out.client_order_id, code="marketSuspended", reason="no")
    position = after(
        *live(ENTRY), filled(ENTRY), *(e for n in (2, 3, 4) for e in _refused(n)), intended(way_out, 6), no
    )

    assert not placed(commands(position, 7), Leg.EXIT)
    assert placed(commands(position, 7.1), Leg.EXIT)


def test_entries_are_taken_back_once_a_way_out_was_asked_for() -> None:
    """The rest of a partly filled entry opened again what was being closed."""
    way_out = spec(Leg.EXIT, 9)
    position = after(*live(ENTRY), filled(ENTRY, "0.4"), intended(way_out, 3))

    assert CancelOrder(position.id, ENTRY.client_order_id, "the position is closing") in commands(position, 4)


@pytest.mark.parametrize(("minutes", "ends"), [(59, False), (60, True)])
def test_a_position_older_than_its_time_is_closed_at_market(minutes: int, ends: bool) -> None:
    rules = Rules(max_holding=timedelta(hours=1))

    way_out = placed(commands(protected(), 1 + 60 * minutes, rules), Leg.EXIT)

    assert bool(way_out) == ends
    assert not ends or way_out[0].reason == "held for 60 min"


# --- targets ----------------------------------------------------------------------------------------------------------


def test_the_last_target_takes_what_would_be_too_small_to_close() -> None:
    """I53: 0.004 left over, a minimum of 0.01: nobody could ever close it."""
    fine = instrument(qty_step=d("0.001"), min_qty=d("0.01"))
    cancelled = OrderCancelled(at=at(2), client_order_id=ENTRY.client_order_id)
    stop = spec(Leg.STOP, 2, qty=d("0.029"))
    position = after(*live(ENTRY), filled(ENTRY, "0.029"), cancelled, *live(stop, 3))

    targets = placed(due(position, fine, Policy(), at(4)), Leg.TARGET)

    assert [(each.limit_price, each.qty) for each in targets] == [(d(110), d("0.011")), (d(120), d("0.018"))]


def test_targets_grow_with_a_position_that_was_overfilled() -> None:
    """An overfill is kept, protected in full and taken in the same shares."""
    stop = spec(Leg.STOP, 2, qty=d("1.5"))
    position = after(*live(ENTRY), filled(ENTRY, "1.5"), *live(stop, 2))

    assert [target.qty for target in scaled_targets(position, instrument())] == [d("0.6"), d("0.6"), d("0.3")]
    assert position.phase is Phase.PROTECTED


def test_a_rest_too_small_to_close_joins_the_target_before_it() -> None:
    """The plan adds up to 0.995 of one contract: its 0.005 would stay for ever."""
    odd = (Target(d(110), d("0.4")), Target(d(120), d("0.4")), Target(d(130), d("0.195")))
    fine = instrument(qty_step=d("0.001"), min_qty=d("0.01"))
    position = after(*live(ENTRY), filled(ENTRY), *live(STOP, 2), targets=odd)

    targets = placed(due(position, fine, Policy(), at(4)), Leg.TARGET)

    assert [each.qty for each in targets] == [d("0.4"), d("0.4"), d("0.2")]


def test_targets_that_are_more_than_the_position_are_taken_back_from_the_last() -> None:
    """A person sold a half: 0.4, 0.4 and 0.2 at rest are twice what is left (I51)."""
    rest = spec(Leg.STOP, 9, qty=d("0.5"))
    sold = ExternalFill(at=at(5), position_id="ps-abc-1-1", fill=fill(spec(Leg.EXIT, 99), "0.5", "105", 5))
    position = protected(*(event for order in TARGETS for event in live(order, 3)), sold, *live(rest, 6))

    asked = commands(position)

    assert CancelOrder(position.id, TARGETS[2].client_order_id, "more than the position") in asked
    assert not placed(asked, Leg.TARGET)


def test_an_order_that_has_ended_takes_no_place_and_is_not_cancelled() -> None:
    """The first target ended at the venue after a part, its fill is late: the rest of the position is free again."""
    part = shown(FIRST.client_order_id, 6, qty=d("0.4"), filled_qty=d("0.1"), trigger_price=None, ended=True)
    rest = spec(Leg.STOP, 9, qty=d("0.9"))
    position = protected(*(event for order in TARGETS for event in live(order, 3)), part, *live(rest, 7))

    asked = commands(position)

    assert position.exposed_qty == d("0.9")
    assert asked == [CancelOrder(position.id, STOP.client_order_id, "replaced")]


def test_a_target_taken_back_for_its_size_is_asked_for_again_however_often() -> None:
    """Only what the venue refuses or a person takes away counts against a target."""
    events: list[Event] = []
    for n in range(4, 8):
        order = spec(Leg.TARGET, n, qty=d("0.4"), limit_price=d(110))
        cancel = CancelOrder(order.position_id, order.client_order_id, "")
        events += [*live(order, n), *_taken_back(cancel, n)]

    prices = [each.limit_price for each in placed(commands(protected(*events), 20), Leg.TARGET)]

    assert d(110) in prices


def _taken_back(cancel: CancelOrder, seconds: float) -> list[Event]:
    cid = cancel.client_order_id
    asked = CancelIntended(at=at(seconds + 0.2), client_order_id=cid)
    return [asked, OrderCancelled(at=at(seconds + 0.3), client_order_id=cid)]


# --- settings ---------------------------------------------------------------------------------------------------------


def test_the_rules_are_what_the_settings_say() -> None:
    settings, refusals = read_settings(
        {
            "LIVE_BREAK_EVEN_SHARE": "off",
            "LIVE_TRAIL_STEPS_R": "2:1, 4:0.5",
            "LIVE_TRAIL_DISTANCE_PCT": "3",
            "LIVE_TRAIL_MIN_GAIN_R": "0.2",
            "LIVE_TRAIL_PAUSE_SECONDS": "60",
            "LIVE_MAX_HOLDING_MINUTES": "90",
        }
    )

    rules = policy_of(settings, entries_allowed=True).rules

    assert refusals == []
    assert rules == Rules(
        break_even_share=None,
        trail_steps=(TrailStep(d(2), d(1)), TrailStep(d(4), d("0.5"))),
        trail_distance_pct=d(3),
        trail_step_r=d("0.2"),
        trail_pause=timedelta(minutes=1),
        max_holding=timedelta(minutes=90),
    )


def test_by_default_no_trade_ends_by_time_and_only_a_runner_is_trailed() -> None:
    rules = policy_of(Settings(), entries_allowed=True).rules

    assert (rules.max_holding, rules.trail_distance_pct) == (None, None)
    assert min(step.from_r for step in rules.trail_steps) == 3


@pytest.mark.parametrize(
    ("name", "value", "cause"),
    [
        ("LIVE_TARGET_SHARES", "0.5,0.4", "add up to 1, not 0.9"),
        ("LIVE_TARGET_SHARES", "1,-0", "plain digits"),
        ("LIVE_TRAIL_STEPS_R", "3", "GAIN:DISTANCE"),
        ("LIVE_TRAIL_STEPS_R", "3:2,2:1", "closer with each larger gain"),
        ("LIVE_TRAIL_STEPS_R", "3:3", "behind the gain"),
        ("LIVE_BREAK_EVEN_SHARE", "1.1", "above 1"),
        ("LIVE_MAX_HOLDING_MINUTES", "never", "plain digits"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_with_its_cause(name: str, value: str, cause: str) -> None:
    _, refusals = read_settings({name: value})

    assert len(refusals) == 1
    assert cause in refusals[0].cause

"""Invariants A to K over random lives: any order, duplication and loss of events, edits and trades by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from live.book import fold
from live.events import (
    CancelIntended,
    Corrected,
    Event,
    ExternalFill,
    Filled,
    OrderIntended,
    OrderResubmitted,
    OrderUnknown,
    Peaked,
    client_order_id_of,
)
from live.model import Leg, OrderType, Side
from live.position import (
    CancelOrder,
    Command,
    IllegalTransition,
    Order,
    OrderStatus,
    Phase,
    PlaceOrder,
    Policy,
    Position,
    Rules,
    apply,
    due,
    opened,
)
from tests.builders import approved, d, instrument
from tests.lives import ID, POLICY, Life, Move, moves, sides

OUR_OWN = (OrderIntended, OrderResubmitted, CancelIntended, OrderUnknown)
LATER = timedelta(hours=1)  # every pause is over, and so is the naked bound
often = settings(max_examples=100, deadline=None)


def placed(commands: list[Command], *legs: Leg) -> list[PlaceOrder]:
    return [each for each in commands if isinstance(each, PlaceOrder) and each.leg in legs]


def asked_later(life: Life, policy: Policy = POLICY) -> list[Command]:
    return due(life.position, instrument(), policy, life.now + LATER)


def has_guard(position: Position, stops: list[Order]) -> bool:
    """A live stop of all that is exposed, untouched and not looser than the first one."""
    return any(
        stop.is_untouched
        and stop.qty >= position.exposed_qty
        and stop.trigger_price is not None
        and position.side.sign * (stop.trigger_price - position.initial_stop_price) >= 0
        for stop in stops
    )


@often
@given(sides, moves)
def test_a_one_position_that_is_not_over_on_a_symbol(side: Side, played: list[Move]) -> None:
    """Invariant A, and E: no reversal, no second entry before the first is over."""
    life = Life(side).play(played)
    opposite = Side.SHORT if side is Side.LONG else Side.LONG

    if life.position.is_terminal:
        life.book.apply(approved(side=opposite, position_id="ps-abc-1-z"))
    else:
        for other in Side:
            with pytest.raises(IllegalTransition, match="open already"):
                life.book.apply(approved(side=other, position_id="ps-abc-1-z"))

    assert len([each for each in life.book.open_positions() if each.symbol == life.position.symbol]) == 1


@often
@given(sides, moves)
def test_b_contracts_are_what_was_entered_less_what_was_left_and_never_negative(side: Side, played: list[Move]) -> None:
    """Invariant B, against a second reckoning that knows nothing of orders."""
    life = Life(side).play(played)

    qty, seen, corrected_at = d(0), set[str](), None
    for moment in life.moments:
        match moment.event:
            case Filled(fill=fill) | ExternalFill(fill=fill) if moment.illegal is None and fill.fill_id not in seen:
                seen.add(fill.fill_id)
                if corrected_at is None or fill.filled_at > corrected_at:
                    qty = max(qty + fill.qty if fill.side is side.entry else qty - fill.qty, d(0))
            case Corrected(qty=corrected, at=told_at):
                qty, corrected_at = corrected, told_at
            case _:
                pass
        assert moment.after.qty >= 0
        assert 0 <= moment.after.exposed_qty <= moment.after.qty
        assert moment.after.entered_qty >= moment.after.qty
    assert life.position.qty == qty


@often
@given(sides, moves)
def test_c_what_the_trade_began_with_is_frozen(side: Side, played: list[Move]) -> None:
    """Invariant C."""
    life = Life(side)
    begun = life.position
    life.play(played)

    for name in ("side", "symbol", "opened_at", "initial_stop_price", "targets", "wanted_qty", "risk_quote"):
        assert getattr(life.position, name) == getattr(begun, name), name


@often
@given(sides, moves)
def test_d_no_stop_is_asked_for_behind_one_that_was_live(side: Side, played: list[Move]) -> None:
    """Invariant D: whatever a person edits, and whatever the rules are set to later."""
    life = Life(side).play(played)

    for moment in life.moments:
        assert side.sign * (moment.after.stop_price - moment.before.stop_price) >= 0
        assert side.sign * (moment.after.stop_price - moment.after.initial_stop_price) >= 0
    for policy in (POLICY, Policy(rules=Rules(break_even_share=None))):
        for stop in placed(asked_later(life, policy), Leg.STOP):
            assert stop.trigger_price is not None
            assert side.sign * (stop.trigger_price - life.position.stop_price) >= 0


@often
@given(sides, moves)
def test_f_what_we_only_ask_for_moves_nothing(side: Side, played: list[Move]) -> None:
    """Invariant F: contracts, profit and the end come from the venue; a wish protects nobody (W36)."""
    for moment in Life(side).play(played).moments:
        if isinstance(moment.event, OUR_OWN) and moment.illegal is None:
            for name in ("qty", "entered_qty", "average_entry_price", "realised_quote"):
                assert getattr(moment.after, name) == getattr(moment.before, name), name
            assert moment.before.is_protected or not moment.after.is_protected
            assert not moment.after.is_terminal or moment.before.is_terminal


@often
@given(sides, moves)
def test_g_the_same_word_twice_is_the_same_word(side: Side, played: list[Move]) -> None:
    """Invariant G. A new intention under a known id is no word of the venue: it is refused."""
    life = Life(side)
    for move in played:
        life.play([move])
        again, before = life.moments[-1].event, life.position
        life.happen(again)
        if isinstance(again, OrderIntended | OrderResubmitted):
            assert life.moments[-1].illegal
        assert life.position == before


@often
@given(sides, moves)
def test_h_an_exit_lasts_until_it_has_ended_and_what_it_left_is_asked_for_again(side: Side, played: list[Move]) -> None:
    """Invariant H: closed means flat and nothing of ours at the venue, not that an exit was sent."""
    life = Life(side).play(played)

    for moment in life.moments:
        after = moment.after
        acting = [order for order in after.legs(Leg.EXIT) if order.is_acting]
        if after.phase is Phase.EXITING:
            assert acting and after.qty > 0
        if after.phase is Phase.CLOSED:
            assert after.qty == 0 and not any(order.is_working for order in after.orders.values())
        assert (after.closed_at is not None) == after.is_terminal
    if life.position.is_exiting:
        assert not placed(asked_later(life), Leg.EXIT, Leg.STOP)


@often
@given(sides, moves)
def test_i_an_event_of_one_order_leaves_every_other_alone(side: Side, played: list[Move]) -> None:
    """Invariant I: stops and targets are linked by client order id, and by nothing else (I14, W30)."""
    for moment in Life(side).play(played).moments:
        spoken_of = client_order_id_of(moment.event)
        for cid, order in moment.before.orders.items():
            assert cid == order.spec.client_order_id
            assert cid == spoken_of or moment.after.orders[cid] == order


@often
@given(sides, moves)
def test_j_the_stop_leaves_its_place_only_for_a_reason(side: Side, played: list[Move]) -> None:
    """Invariant J: targets took their share, the mark has peaked, or a person has moved it."""
    life = Life(side).play(played)
    position = life.position
    taken = sum((order.filled_qty for order in position.legs(Leg.TARGET)), d(0))
    moved_by_hand = any(stop.trigger_price != stop.spec.trigger_price for stop in position.legs(Leg.STOP))
    was_reason = any(moment.after.peak_price is not None or _took_share(moment.after) for moment in life.moments)

    for stop in placed(asked_later(life), Leg.STOP):
        if stop.trigger_price != position.initial_stop_price:
            assert was_reason or moved_by_hand or taken > 0


def _took_share(position: Position) -> bool:
    taken = sum((order.filled_qty for order in position.legs(Leg.TARGET)), d(0))
    return position.entered_qty > 0 and taken >= d("0.3") * position.entered_qty


@often
@given(sides, moves)
def test_k_what_is_exposed_has_its_stop_or_calls_for_one_or_for_the_way_out(side: Side, played: list[Move]) -> None:
    """Invariant K, in every reachable state: the full remaining size, by a reduce-only order of the exit side."""
    life = Life(side).play(played)
    position = life.position

    commands = asked_later(life)

    if position.exposed_qty > 0 and not position.is_exiting and not has_guard(position, position.legs(Leg.STOP)):
        (asked,) = placed(commands, Leg.STOP, Leg.EXIT)
        assert (asked.qty, asked.side) == (position.exposed_qty, side.exit)
        assert asked.type is (OrderType.STOP if asked.leg is Leg.STOP else OrderType.MARKET)
    if position.exposed_qty == 0:
        assert not placed(commands, *Leg)


@often
@given(sides, moves)
def test_k_no_cancel_takes_the_last_stop_away(side: Side, played: list[Move]) -> None:
    """I7, W22: the new one is live before the old one goes, and stops stay while an exit is under way."""
    life = Life(side).play(played)
    position = life.position

    cancelled = {each.client_order_id for each in asked_later(life) if isinstance(each, CancelOrder)}

    left = [stop for stop in position.legs(Leg.STOP) if stop.spec.client_order_id not in cancelled]
    if position.exposed_qty > 0 and has_guard(position, position.legs(Leg.STOP)):
        assert has_guard(position, left)


@often
@given(sides, moves)
def test_targets_together_never_exceed_what_is_exposed(side: Side, played: list[Move]) -> None:
    """I51, I53: and none is smaller than the venue takes."""
    life = Life(side).play(played)
    position = life.position

    commands = asked_later(life)

    targets = placed(commands, Leg.TARGET)
    resting = sum((order.remaining_qty for order in position.working(Leg.TARGET)), d(0))
    if targets:
        assert resting + sum((target.qty for target in targets), d(0)) <= position.exposed_qty
        assert all(target.qty >= instrument().min_qty for target in targets)
    live = [each for each in position.working(Leg.TARGET) if each.status is OrderStatus.LIVE and each.remaining_qty]
    wait = position.phase is not Phase.PROTECTED or position.working(Leg.ENTRY)
    if live and resting > position.exposed_qty > 0 and not wait:
        cancelled = {each.client_order_id for each in commands if isinstance(each, CancelOrder)}
        assert cancelled & {order.spec.client_order_id for order in live}


@often
@given(sides, moves)
def test_a_fold_of_the_same_facts_is_the_same_position(side: Side, played: list[Move]) -> None:
    """A restart forgets nothing: not the peak, not the edits, not the time without a stop."""
    life = Life(side).play(played)
    first = approved(side=side, stop_price=life.position.initial_stop_price, targets=life.position.targets)

    again = fold([first, *(moment.event for moment in life.moments if moment.illegal is None)])

    assert again.positions[ID] == life.position


@often
@given(sides, moves)
def test_what_was_worked_out_once_is_what_its_facts_say_again(side: Side, played: list[Move]) -> None:
    """A position remembers its phase and its like: they must follow from its fields, and these never change."""
    life = Life(side).play(played)

    for known in (moment.after for moment in life.moments):
        fresh = replace(known)
        assert (known.phase, known.exposed_qty) == (fresh.phase, fresh.exposed_qty)
        assert (known.is_protected, known.is_exiting) == (fresh.is_protected, fresh.is_exiting)
        for leg in Leg:
            assert list(known.legs(leg)) == [order for order in fresh.orders.values() if order.spec.leg is leg]


@often
@given(sides, moves, st.lists(st.booleans(), min_size=40, max_size=40))
def test_lost_events_never_leave_a_state_that_calls_for_nothing(
    side: Side, played: list[Move], heard: list[bool]
) -> None:
    """K again, when half of what the venue said was never heard."""
    life = Life(side)
    words = [move if is_heard else ("time passes", *move[1:]) for move, is_heard in zip(played, heard, strict=False)]
    life.play(words)
    position = life.position

    if position.exposed_qty > 0 and not position.is_exiting and not has_guard(position, position.legs(Leg.STOP)):
        assert placed(asked_later(life), Leg.STOP, Leg.EXIT)


st.register_type_strategy(Decimal, st.decimals(min_value=-(10**9), max_value=10**9, allow_nan=False, places=8))
st.register_type_strategy(datetime, st.datetimes(timezones=st.just(UTC)))


@given(st.one_of([st.from_type(kind) for kind in get_args(Event) if kind is not ExternalFill]))
def test_an_event_of_another_life_is_refused_with_a_reason(event: Event) -> None:
    """Total: a position or IllegalTransition, never another error."""
    position = opened(approved())

    try:
        after = apply(position, event)
    except IllegalTransition as illegal:
        assert str(illegal)
    else:
        assert isinstance(event, OrderIntended | Corrected | Peaked)
        assert after.id == position.id


def test_a_life_is_eventful() -> None:
    """The moves reach what they are meant to reach: a trade from entry to targets, by hand."""
    life = Life(Side.LONG).play([("accept", 0, 0), ("fill", 0, 9), ("do", 0, 0), ("accept", 1, 0), ("do", 0, 0)])

    assert life.position.phase is Phase.PROTECTED
    assert len(life.position.legs(Leg.TARGET)) == 3
    assert all(order.status is OrderStatus.INTENDED for order in life.position.legs(Leg.TARGET))
    assert life.position.qty == Decimal(1)

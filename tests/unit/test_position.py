"""The state machine as stories: each event, then the whole state that matters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.events import (
    Adopted,
    CancelIntended,
    Corrected,
    Event,
    ExternalFill,
    OrderCancelled,
    OrderRejected,
    OrderUnknown,
)
from live.model import Leg, OrderType, Side
from live.position import (
    CancelOrder,
    IllegalTransition,
    OrderStatus,
    Phase,
    PlaceOrder,
    Policy,
    Position,
    apply,
    due,
    opened,
    step,
)
from tests.builders import BTC, approved, at, d, fill, filled, instrument, intended, live, spec

ENTRY = spec(Leg.ENTRY, 1)
STOP = spec(Leg.STOP, 2)


def after(*events: Event, **intent_changes: object) -> Position:
    return reduce(apply, events, opened(approved(**intent_changes)))


def commands(
    position: Position, seconds: float = 2, policy: Policy | None = None
) -> Sequence[PlaceOrder | CancelOrder]:
    """The venue was just seen to list every order that works."""
    return due(position, instrument(), policy or Policy(shown=frozenset(position.orders)), at(seconds))


def rejected(cid: str, seconds: float) -> OrderRejected:
    return OrderRejected(at=at(seconds), client_order_id=cid, code="invalidPrice", reason="no")


def test_submission_alone_moves_nothing_but_the_order() -> None:
    """Invariant F: states move on venue events only (W36)."""
    position = after(intended(ENTRY))

    assert position.phase is Phase.ENTERING
    assert position.orders[ENTRY.client_order_id].status is OrderStatus.INTENDED
    assert position.qty == 0


def test_first_fill_calls_for_one_stop_of_the_full_size() -> None:
    """Invariant K."""
    position = after(*live(ENTRY), filled(ENTRY))

    (place,) = commands(position)

    assert position.phase is Phase.OPEN
    assert isinstance(place, PlaceOrder)
    assert (place.leg, place.type, place.qty, place.trigger_price) == (Leg.STOP, OrderType.STOP, d("1"), d(90))
    assert place.side == "sell"


def test_a_stop_in_flight_is_not_asked_for_twice() -> None:
    position = after(*live(ENTRY), filled(ENTRY), intended(STOP, 2))

    assert commands(position) == []


def test_a_stop_whose_fate_is_unknown_is_not_doubled() -> None:
    unknown = OrderUnknown(at=at(3), client_order_id=STOP.client_order_id, reason="timeout")
    position = after(*live(ENTRY), filled(ENTRY), intended(STOP, 2), unknown)

    assert commands(position, 4) == []
    assert position.phase is Phase.OPEN, "an unknown stop protects nothing"


def test_protected_position_gets_its_targets_that_add_up_to_its_size() -> None:
    """I51: three targets of the full size each are more than the position."""
    position = after(*live(ENTRY), filled(ENTRY), *live(STOP, 2))

    targets = commands(position, 3)

    assert position.phase is Phase.PROTECTED
    assert [(t.leg, t.qty, t.limit_price) for t in targets if isinstance(t, PlaceOrder)] == [
        (Leg.TARGET, d("0.4"), d(110)),
        (Leg.TARGET, d("0.4"), d(120)),
        (Leg.TARGET, d("0.2"), d(130)),
    ]


def test_partial_entry_is_protected_at_once_and_the_stop_grows_with_it() -> None:
    small = spec(Leg.STOP, 2, qty=d("0.3"))
    position = after(*live(ENTRY), filled(ENTRY, "0.3"), *live(small, 2), filled(ENTRY, "0.7", seconds=3))

    (place,) = commands(position, 4)

    assert isinstance(place, PlaceOrder)
    assert (place.leg, place.qty) == (Leg.STOP, d("1"))


def test_replacing_a_stop_places_the_new_one_before_the_old_is_cancelled() -> None:
    """I7: cancel and place in one breath left positions naked."""
    small = spec(Leg.STOP, 2, qty=d("0.3"))
    full = spec(Leg.STOP, 3)
    position = after(
        *live(ENTRY), filled(ENTRY, "0.3"), *live(small, 2), filled(ENTRY, "0.7", seconds=3), *live(full, 4)
    )

    asked = commands(position, 5)

    assert CancelOrder(position.id, small.client_order_id, "replaced") in asked
    assert not any(isinstance(c, CancelOrder) and c.client_order_id == full.client_order_id for c in asked)


def test_stop_moves_to_entry_after_the_first_target_and_never_back() -> None:
    """Invariants D and J."""
    target = spec(Leg.TARGET, 3, qty=d("0.4"), limit_price=d(110))
    position = after(*live(ENTRY), filled(ENTRY), *live(STOP, 2), *live(target, 3), filled(target, "0.4", "110", 5))

    place = next(c for c in commands(position, 6) if isinstance(c, PlaceOrder) and c.leg is Leg.STOP)

    assert (place.qty, place.trigger_price) == (d("0.6"), d(100))


def test_a_stop_is_never_moved_away_from_profit() -> None:
    """Invariant D: a short's break-even below its initial stop, never above."""
    sell = spec(Leg.ENTRY, 1, side="sell")
    target = spec(Leg.TARGET, 3, side="buy", qty=d("0.4"), limit_price=d(95))
    position = after(
        *live(sell), filled(sell), *live(target, 3), filled(target, "0.4", "95", 5), side=Side.SHORT, stop_price=d(99)
    )

    assert position.stop_price == d(99)


def test_fill_after_cancel_is_kept_and_protected() -> None:
    """Venues fill after acknowledging a cancel."""
    cancelled = OrderCancelled(at=at(1), client_order_id=ENTRY.client_order_id)
    position = after(*live(ENTRY), cancelled)
    assert position.is_terminal

    position, asked = step(position, filled(ENTRY, "0.5", seconds=2), instrument(), Policy())

    assert position.qty == d("0.5")
    assert position.closed_at is None
    assert isinstance(asked[0], PlaceOrder) and asked[0].leg is Leg.STOP


def test_late_acknowledgement_of_a_filled_order_changes_nothing() -> None:
    position = after(*live(ENTRY), filled(ENTRY))

    again = apply(position, live(ENTRY, 5)[1])

    assert again.orders[ENTRY.client_order_id].status is OrderStatus.FILLED


def test_an_order_believed_refused_that_turns_up_alive_is_alive() -> None:
    position = after(intended(ENTRY), rejected(ENTRY.client_order_id, 1), live(ENTRY, 2)[1])

    assert position.orders[ENTRY.client_order_id].status is OrderStatus.LIVE
    assert not position.is_terminal


def test_stop_refused_too_often_ends_in_a_market_exit() -> None:
    """Placement that keeps failing, for any reason, ends in a market exit (freqtrade exits on one class only)."""
    tries = [spec(Leg.STOP, 2 + n) for n in range(3)]
    refusals = [e for n, s in enumerate(tries) for e in (intended(s, 2 + n), rejected(s.client_order_id, 2.5 + n))]
    position = after(*live(ENTRY), filled(ENTRY), *refusals)

    (place,) = commands(position, 9)

    assert isinstance(place, PlaceOrder)
    assert (place.leg, place.type, place.qty) == (Leg.EXIT, OrderType.MARKET, d("1"))


def test_refused_stop_is_tried_again_with_a_pause() -> None:
    position = after(*live(ENTRY), filled(ENTRY), intended(STOP, 2), rejected(STOP.client_order_id, 2.1))

    assert commands(position, 2.5) == []
    assert [c.leg for c in commands(position, 3.2) if isinstance(c, PlaceOrder)] == [Leg.STOP]


def test_no_live_stop_within_the_bound_ends_in_an_exit_whatever_the_reason() -> None:
    unknown = OrderUnknown(at=at(2.1), client_order_id=STOP.client_order_id, reason="timeout")
    position = after(*live(ENTRY), filled(ENTRY), intended(STOP, 2), unknown)

    assert commands(position, 21.9) == []
    assert [c.leg for c in commands(position, 22) if isinstance(c, PlaceOrder)] == [Leg.EXIT]


def test_a_fill_from_a_time_without_a_worker_is_healed_before_anything_is_closed() -> None:
    """I40: killed after 90 s without one try to place the stop."""
    position = after(*live(ENTRY), filled(ENTRY, seconds=1))

    assert [c.leg for c in commands(position, 600) if isinstance(c, PlaceOrder)] == [Leg.STOP]


def test_stops_stay_while_the_market_exit_is_in_flight() -> None:
    """W22: cancelling stops before closing leaves a failed close naked."""
    exit_order = spec(Leg.EXIT, 9)
    position = after(*live(ENTRY), filled(ENTRY), *live(STOP, 2), intended(exit_order, 3))

    assert position.phase is Phase.EXITING
    assert not any(isinstance(c, CancelOrder) for c in commands(position, 4))


def test_flat_position_takes_its_leftover_orders_back_then_closes() -> None:
    target = spec(Leg.TARGET, 3, limit_price=d(110))
    flat = after(*live(ENTRY), filled(ENTRY), *live(STOP, 2), *live(target, 3), filled(STOP, "1", "90", 5))
    assert flat.phase is Phase.CLEARING
    assert commands(flat, 6) == [CancelOrder(flat.id, target.client_order_id, "flat")]

    closed = apply(flat, OrderCancelled(at=at(7), client_order_id=target.client_order_id))

    assert closed.phase is Phase.CLOSED
    assert closed.realised_quote == d(-10)


def test_entry_past_its_expiry_is_taken_back() -> None:
    position = after(*live(ENTRY))

    assert commands(position, 3601) == [CancelOrder(position.id, ENTRY.client_order_id, "entry expired")]


def test_halt_takes_resting_entries_back_and_leaves_protection() -> None:
    """I15: entries stayed live after the kill switch."""
    halted = Policy(entries_allowed=False)
    resting = after(*live(ENTRY))
    held = after(*live(ENTRY), filled(ENTRY), *live(STOP, 2))

    assert [type(c) for c in commands(resting, 3, halted)] == [CancelOrder]
    assert all(isinstance(c, PlaceOrder) and c.leg is Leg.TARGET for c in commands(held, 3, halted))


def test_a_cancel_that_found_nothing_is_asked_again_later_not_at_once() -> None:
    position = after(*live(ENTRY), CancelIntended(at=at(3601), client_order_id=ENTRY.client_order_id))

    assert commands(position, 3601.5) == []
    assert len(commands(position, 3604)) == 1


def test_a_stop_being_cancelled_protects_no_more() -> None:
    position = after(
        *live(ENTRY), filled(ENTRY), *live(STOP, 2), CancelIntended(at=at(3), client_order_id=STOP.client_order_id)
    )

    assert position.phase is Phase.OPEN


def test_a_person_closing_at_the_venue_closes_the_position() -> None:
    sold = fill(spec(Leg.EXIT, 99), "1", "105", 5, fill_id="web-1")
    position = after(*live(ENTRY), filled(ENTRY), *live(STOP, 2))

    position = apply(position, ExternalFill(at=at(5), position_id=position.id, fill=sold))

    assert position.qty == 0
    assert commands(position, 6) == [CancelOrder(position.id, STOP.client_order_id, "flat")]


def test_a_fill_older_than_a_correction_is_not_counted_twice() -> None:
    position = after(*live(ENTRY))
    corrected = Corrected(
        at=at(10), position_id=position.id, symbol=BTC, qty=d("1"), entry_price=d(101), reason="venue says 1"
    )

    position = apply(apply(position, corrected), filled(ENTRY, "1", "100", seconds=9))

    assert position.qty == d("1")
    assert position.orders[ENTRY.client_order_id].status is OrderStatus.FILLED


@pytest.mark.parametrize("taken_by", ["correction", "adoption"])
def test_a_size_taken_from_the_venue_holds_every_fill_before_it_on_the_venues_clock(taken_by: str) -> None:
    """Seeds 2011 and 2334: our clock was behind, a late fill looked newer than the size that held it, and counted."""
    corrected = Corrected(
        at=at(10), position_id="ps-abc-1-1", symbol=BTC, qty=d(1), entry_price=d(100), reason="", venue_at=at(15)
    )
    adopted = Adopted(
        at=at(10), position_id="ps-abc-1-1", symbol=BTC, side=Side.LONG, qty=d(1), entry_price=d(100),
        stop_price=d(90), venue_at=at(15),
    )  # fmt: skip
    position = apply(after(*live(ENTRY)), corrected) if taken_by == "correction" else opened(adopted)

    bought = ExternalFill(at=at(20), position_id=position.id, fill=replace(filled(ENTRY).fill, filled_at=at(13)))

    assert apply(position, bought).qty == d(1)


def test_a_fill_of_an_order_asked_for_after_a_size_was_taken_counts_whatever_two_clocks_say() -> None:
    """The exit of an adopted position filled in the second of its adoption, and the book went on holding it."""
    adopted = Adopted(
        at=at(10), position_id="ps-abc-1-1", symbol=BTC, side=Side.LONG, qty=d(1), entry_price=d(100),
        stop_price=d(90), venue_at=at(12),
    )  # fmt: skip
    out = spec(Leg.EXIT, 3)
    position = opened(adopted)
    for event in (*live(out, 10), filled(out, "1", "99", seconds=11)):
        position = apply(position, event)

    assert position.qty == 0


def test_a_stop_asked_for_after_a_correction_is_later_than_it_although_the_venues_clock_is_ahead() -> None:
    """Seed 2305: a correction was dated by the venue's clock and the stop after it by ours, so that the stop passed for
    an older one, whose fills the size holds already."""
    corrected = Corrected(
        at=at(10), position_id="ps-abc-1-1", symbol=BTC, qty=d(2), entry_price=d(100), reason="", venue_at=at(12)
    )
    stop = spec(Leg.STOP, 3, qty=d(2), trigger_price=d(90))
    position = after(*live(ENTRY), filled(ENTRY), corrected, *live(stop, 10.5), filled(stop, "2", "89", seconds=11.5))

    assert position.qty == 0


def test_naked_time_is_measured_from_fill_to_live_stop() -> None:
    position = after(*live(ENTRY), filled(ENTRY, seconds=1), intended(STOP, 2), live(STOP, 2.4)[1])

    assert position.naked_since is None
    assert position.naked_seconds == pytest.approx(1.5)


def test_events_of_orders_never_intended_are_illegal() -> None:
    with pytest.raises(IllegalTransition, match="never intended"):
        after(filled(ENTRY))


def test_a_client_order_id_is_used_once() -> None:
    with pytest.raises(IllegalTransition, match="used before"):
        after(intended(ENTRY), intended(ENTRY, 5))


def test_targets_scale_to_what_was_entered_and_skip_what_is_too_small() -> None:
    """I53: 46 rejections of a close below the venue's minimum."""
    cancelled = OrderCancelled(at=at(2), client_order_id=ENTRY.client_order_id)
    stop = spec(Leg.STOP, 2, qty=d("0.03"))
    position = after(*live(ENTRY), filled(ENTRY, "0.03"), cancelled, *live(stop, 3))

    targets = [(c.qty, c.limit_price) for c in commands(position, 4) if isinstance(c, PlaceOrder)]

    assert targets == [(d("0.01"), d(110)), (d("0.01"), d(120)), (d("0.01"), d(130))]


# --- properties -------------------------------------------------------------------------------------------------------

_EVENTS = st.lists(
    st.sampled_from(
        [
            *live(ENTRY, 1),
            filled(ENTRY, "0.4", seconds=2, fill_id="a"),
            filled(ENTRY, "0.6", seconds=3, fill_id="b"),
            OrderUnknown(at=at(3), client_order_id=ENTRY.client_order_id, reason="?"),
            rejected(ENTRY.client_order_id, 4),
            OrderCancelled(at=at(5), client_order_id=ENTRY.client_order_id),
            CancelIntended(at=at(5), client_order_id=ENTRY.client_order_id),
        ]
    ),
    max_size=12,
)


@given(_EVENTS)
def test_any_order_of_entry_events_keeps_the_books_sane(events: list[Event]) -> None:
    """Duplicated and reordered venue events never lose a fill, and held contracts always call for protection."""
    position = opened(approved())
    position = apply(position, intended(ENTRY, 0))
    seen: set[str] = set()
    for event in events:
        if event.kind == "order_intended":
            continue
        if event.kind == "filled":
            if event.fill.fill_id in seen:
                continue  # the book counts a fill id once
            seen.add(event.fill.fill_id)
        position = apply(position, event)

    assert position.qty == sum((d("0.4") if f == "a" else d("0.6") for f in seen), d(0))
    asked = commands(position, 10)
    if position.qty > 0:
        assert any(isinstance(c, PlaceOrder) and c.leg is Leg.STOP and c.qty == position.qty for c in asked)
    else:
        assert not any(isinstance(c, PlaceOrder) for c in asked)


# --- found by the simulation ------------------------------------------------------------------------------------------


def test_a_stop_that_fills_after_a_person_sold_the_same_leaves_us_flat() -> None:
    """Our stop's fill, told after the person's, was called a contradiction and halted everything."""
    by_hand = ExternalFill(at=at(6), position_id="ps-abc-1-1", fill=fill(spec(Leg.EXIT, 77), "1", "95", 6))
    position = after(*live(ENTRY), filled(ENTRY), *live(STOP, 2), by_hand, filled(STOP, "1", "90", 5))

    assert position.qty == 0
    assert position.phase is Phase.CLOSED
    assert position.realised_quote == d(-5), "one contract was ours to lose, and the person had sold it"


def test_an_overfill_told_after_the_exit_that_took_it_too_leaves_no_ghost() -> None:
    """The contract that was sold unknown stayed in the book for ever, and each exit of it was refused."""
    sold_all = ExternalFill(at=at(6), position_id="ps-abc-1-1", fill=fill(spec(Leg.EXIT, 77), "1.5", "110", 6))
    position = after(*live(ENTRY), filled(ENTRY), sold_all, filled(ENTRY, "0.5", seconds=1.5))

    assert (position.qty, position.entered_qty) == (0, d("1.5"))
    assert position.realised_quote == 15, "the half contract gained what the others did"


def test_an_entry_that_fills_after_more_was_sold_than_we_knew_of_is_new_exposure() -> None:
    sold_more = ExternalFill(at=at(6), position_id="ps-abc-1-1", fill=fill(spec(Leg.EXIT, 77), "1.5", "110", 6))
    position = after(*live(ENTRY), filled(ENTRY), sold_more, filled(ENTRY, "0.5", seconds=7))

    assert position.qty == d("0.5")


def test_a_stop_that_began_to_execute_protects_no_more() -> None:
    """Its remainder equals the position, so it looked like full protection while the venue had ended it."""
    position = after(*live(ENTRY), filled(ENTRY), *live(STOP, 2), filled(STOP, "0.4", "90", 5))

    (place,) = commands(position, 6)

    assert position.phase is Phase.OPEN
    assert isinstance(place, PlaceOrder) and (place.leg, place.qty) == (Leg.STOP, d("0.6"))


def test_stops_that_are_accepted_and_soon_taken_away_end_in_a_market_exit() -> None:
    """Each acceptance set the naked clock back, so that no bound was ever reached."""
    events: list[Event] = [*live(ENTRY), filled(ENTRY)]
    for n in range(3):
        stop = spec(Leg.STOP, 2 + n)
        gone = OrderCancelled(at=at(3 + 5 * n), client_order_id=stop.client_order_id)
        events += [*live(stop, 2 + 5 * n), gone]

    (place,) = commands(after(*events), 14)

    assert isinstance(place, PlaceOrder) and place.leg is Leg.EXIT


def test_a_refused_exit_is_tried_again_well_within_the_naked_bound() -> None:
    """The pause grew to a minute while the position stood naked."""
    events: list[Event] = [*live(ENTRY), filled(ENTRY)]
    for n in range(3):
        events += [intended(spec(Leg.STOP, 2 + n), 2 + n), rejected(spec(Leg.STOP, 2 + n).client_order_id, 2.5 + n)]
    for n in range(7):
        events += [intended(spec(Leg.EXIT, 9 + n), 5 + n), rejected(spec(Leg.EXIT, 9 + n).client_order_id, 5.5 + n)]

    (place,) = commands(after(*events), 11.5 + Policy().naked_bound.total_seconds() / 4)

    assert isinstance(place, PlaceOrder) and place.leg is Leg.EXIT

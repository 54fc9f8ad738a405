"""Book beside venue: what each difference means. Nothing is destroyed that is not understood (I3)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from live import evidence, reconcile
from live.book import Book, fold
from live.events import (
    Adopted,
    CancelIntended,
    Corrected,
    Event,
    ExternalFill,
    Filled,
    OrderAccepted,
    OrderCancelled,
    OrderRejected,
    OrderShown,
    OrderUnknown,
    SymbolFrozen,
    SymbolThawed,
    WorkerStarted,
)
from live.model import Fill, Leg, OrderSpec, Side, VenueOrder, VenueOrderStatus, VenuePosition
from live.position import CancelOrder, OrderStatus, Phase, PlaceOrder, Policy, due
from live.reconcile import UNEXPLAINED, ForeignPolicy, Reading
from tests.builders import (
    BTC,
    T0,
    approved,
    at,
    d,
    equity,
    fill,
    filled,
    instrument,
    intended,
    live,
    spec,
    ticker,
    venue_order,
    venue_position,
)

ENTRY, STOP = spec(Leg.ENTRY, 1), spec(Leg.STOP, 2)
HELD: list[Event] = [approved(), *live(ENTRY), filled(ENTRY), *live(STOP, 2)]
ADOPT = ForeignPolicy(adopt=True, stop_pct=d(2))
ALLOWANCE = timedelta(seconds=1)


def reading(
    positions: Iterable[VenuePosition] = (),
    open_orders: Iterable[VenueOrder] = (),
    fills: Iterable[Fill] = (),
    seconds: float = 10,
) -> Reading:
    return Reading(at(seconds), list(positions), list(open_orders), list(fills))


def mended(book: Book, seen: Reading, policy: ForeignPolicy = ADOPT) -> tuple[Event, ...]:
    return reconcile.mend_size(BTC, book, seen, {BTC: instrument()}, {BTC: ticker("100")}, policy, "ps-abc-2-1").events


def taken(qty: str, seconds: float, *resting: OrderSpec) -> Corrected:
    listed = tuple(order.client_order_id for order in resting)
    return Corrected(
        at=at(seconds), position_id="ps-abc-1-1", symbol=BTC, qty=d(qty), entry_price=d(100), reason="", resting=listed
    )


def shown(order: OrderSpec, filled_qty: str, seconds: float, *, ended: bool = False) -> OrderShown:
    return OrderShown(
        at=at(seconds), client_order_id=order.client_order_id, qty=order.qty, filled_qty=d(filled_qty),
        limit_price=order.limit_price, trigger_price=order.trigger_price, ended=ended,
    )  # fmt: skip


def test_open_orders_acknowledge_what_we_never_heard_about() -> None:
    """Unknown is resolved by evidence, not by a second submit (W29)."""
    unknown = OrderUnknown(at=at(3), client_order_id=ENTRY.client_order_id, reason="timeout")
    book = fold([approved(), intended(ENTRY), unknown])

    (event,) = reconcile.acknowledged(book, reading(open_orders=[venue_order(ENTRY)]))

    assert isinstance(event, OrderAccepted)
    assert event.venue_order_id == f"v-{ENTRY.client_order_id}"


def test_an_order_absent_from_the_open_orders_is_looked_up_not_believed_gone() -> None:
    """I37: absence from open orders is not evidence."""
    book = fold(HELD)

    assert [order.spec for order in reconcile.to_look_up(book, reading())] == [STOP]
    assert reconcile.to_look_up(book, reading(open_orders=[venue_order(STOP)])) == []


def test_found_nowhere_after_its_expiry_an_unheard_order_never_arrived() -> None:
    order = fold([approved(), intended(ENTRY)]).orders[ENTRY.client_order_id]

    too_early = reconcile.resolved(order, None, looks=2, looked_at=at(2.9), allowance=ALLOWANCE)
    only_once = reconcile.resolved(order, None, looks=1, looked_at=at(3.1), allowance=ALLOWANCE)
    (proven,) = reconcile.resolved(order, None, looks=2, looked_at=at(3.1), allowance=ALLOWANCE)

    assert too_early == only_once == []
    assert isinstance(proven, OrderRejected) and proven.code == "never-arrived"


def test_found_nowhere_once_a_live_order_is_still_live() -> None:
    order = fold(HELD).orders[STOP.client_order_id]

    assert reconcile.resolved(order, None, looks=1, looked_at=at(900), allowance=ALLOWANCE) == []


def test_a_reducing_order_that_stays_gone_may_be_replaced_and_an_entry_may_not() -> None:
    """I40: heal first; a doubled stop only reduces, a doubled entry is a second position."""
    stop = fold(HELD).orders[STOP.client_order_id]
    entry = fold([approved(), *live(ENTRY)]).orders[ENTRY.client_order_id]

    (gone,) = reconcile.resolved(stop, None, looks=3, looked_at=at(9), allowance=ALLOWANCE)

    assert isinstance(gone, OrderCancelled)
    assert reconcile.resolved(entry, None, looks=99, looked_at=at(9), allowance=ALLOWANCE) == []


def test_a_cancel_with_unread_fills_waits_for_the_fills() -> None:
    order = fold([approved(), *live(ENTRY)]).orders[ENTRY.client_order_id]
    found = venue_order(ENTRY, status=VenueOrderStatus.CANCELLED, filled_qty=d("0.5"))

    assert reconcile.resolved(order, found, looks=0, looked_at=at(9), allowance=ALLOWANCE) == []


def test_a_status_word_nobody_knows_is_alive() -> None:
    """I39: `entered_book` read as dead caused a false kill."""
    unknown = OrderUnknown(at=at(3), client_order_id=ENTRY.client_order_id, reason="?")
    order = fold([approved(), intended(ENTRY), unknown]).orders[ENTRY.client_order_id]

    (event,) = reconcile.resolved(
        order, venue_order(ENTRY, status=VenueOrderStatus.UNKNOWN), looks=0, looked_at=at(9), allowance=ALLOWANCE
    )

    assert isinstance(event, OrderAccepted)


def test_a_stop_that_filled_is_a_fill_not_a_mystery() -> None:
    """I37."""
    book = fold(HELD)

    (event,) = reconcile.new_fills(book, reading(fills=[fill(STOP, "1", "90", 8)]))

    assert isinstance(event, Filled) and event.client_order_id == STOP.client_order_id


def test_known_fills_are_not_reported_again() -> None:
    book = fold(HELD)

    assert list(reconcile.new_fills(book, reading(fills=[fill(ENTRY)]))) == []


def test_a_fill_by_a_person_at_the_web_page_reduces_our_position() -> None:
    by_hand = fill(spec(Leg.EXIT, 77), "0.5", "105", 8, fill_id="web")

    (event,) = reconcile.new_fills(fold(HELD), reading(fills=[by_hand]))

    assert isinstance(event, ExternalFill)


def test_an_unexplained_fill_waits_while_an_order_of_its_symbol_is_undecided() -> None:
    exit_order = spec(Leg.EXIT, 9)
    book = fold([*HELD, intended(exit_order, 5)])

    assert list(reconcile.new_fills(book, reading(fills=[fill(exit_order, seconds=6)]))) == []


def test_a_difference_in_size_needs_two_readings() -> None:
    """W3: one degraded reply was read as flat and every stop was cancelled."""
    book = fold(HELD)
    more = [venue_position("3")]
    first = reconcile.mismatches(book, reading(more, seconds=10), {})

    assert reconcile.confirmed(first, book, reading(more, seconds=10)) == []
    again = reconcile.mismatches(book, reading(more, seconds=11), first)
    assert reconcile.confirmed(again, book, reading(seconds=11)) == [BTC]


def test_a_position_on_the_other_side_is_believed_sooner_than_none() -> None:
    book, turned = fold(HELD), [venue_position("1", Side.SHORT)]
    first = reconcile.mismatches(book, reading(turned, seconds=10), {})

    assert reconcile.confirmed(first, book, reading(turned, seconds=15)) == []
    assert reconcile.confirmed(first, book, reading(turned, seconds=16)) == [BTC]


@pytest.mark.parametrize("shown", [[], [venue_position("0.3")]])
def test_less_than_we_hold_is_not_believed_for_a_minute_without_a_fill(shown: list[VenuePosition]) -> None:
    """README: nothing is destroyed that is not understood; an empty list twice once cost a live stop."""
    book = fold(HELD)
    first = reconcile.mismatches(book, reading(shown, seconds=10), {})

    for seconds in (11, 40, 69):
        again = reconcile.mismatches(book, reading(shown, seconds=seconds), first)
        assert reconcile.confirmed(again, book, reading(shown, seconds=seconds)) == []
    assert reconcile.confirmed(first, book, reading(shown, seconds=70)) == [BTC]


def test_a_difference_that_changes_begins_anew() -> None:
    book = fold(HELD)
    first = reconcile.mismatches(book, reading(seconds=10), {})

    other = reconcile.mismatches(book, reading([venue_position("0.5")], seconds=75), first)

    assert reconcile.confirmed(other, book, reading(seconds=75)) == []


def test_an_id_that_the_venue_knows_for_another_order_is_taken_not_ours() -> None:
    """A recreated database counts its ids from one again; the venue remembers the old ones."""
    stop_of_ours = spec(Leg.STOP, 9, qty=d("1"))
    book = fold([approved(), *live(ENTRY), filled(ENTRY), intended(stop_of_ours, 2)])
    another = venue_order(stop_of_ours, symbol="ETH/USD:USD")

    (seen,) = reconcile.acknowledged(book, reading(open_orders=[another]))
    (found,) = reconcile.resolved(
        book.orders[stop_of_ours.client_order_id], another, looks=0, looked_at=at(9), allowance=ALLOWANCE
    )

    for event in (seen, found):
        assert isinstance(event, OrderRejected) and event.code == reconcile.ID_TAKEN


def test_agreement_is_no_mismatch() -> None:
    assert reconcile.mismatches(fold(HELD), reading([venue_position("1")]), {}) == {}


def test_undecided_orders_postpone_the_comparison() -> None:
    book = fold([*HELD, intended(spec(Leg.EXIT, 9), 5)])

    assert reconcile.mismatches(book, reading(), {}) == {}


def test_a_foreign_position_is_adopted_with_a_stop() -> None:
    """I3: real positions were closed at startup because we did not know them."""
    (event,) = mended(Book(), reading([venue_position("3", price="100")]))

    assert isinstance(event, Adopted)
    assert (event.qty, event.stop_price) == (d(3), d(98))


def test_or_its_symbol_is_frozen_as_settings_say_and_thaws_when_it_is_gone() -> None:
    freeze = ForeignPolicy(adopt=False, stop_pct=d(2))
    book = Book()

    (event,) = mended(book, reading([venue_position("3")]), freeze)
    assert isinstance(event, SymbolFrozen)
    book.apply(event)

    assert mended(book, reading([venue_position("3")]), freeze) == (), "said once"
    gone = reconcile.no_longer_frozen(book, reading(), "abc", {})
    since = gone[BTC].since
    assert reconcile.thawed(gone, since + UNEXPLAINED - timedelta(seconds=1)) == [], "lists may lack it for a while"
    (thaw,) = reconcile.thawed(gone, since + UNEXPLAINED)
    assert isinstance(thaw, SymbolThawed)


@pytest.mark.parametrize(("shown", "thaws"), [("1", True), ("1.01", False)])
def test_a_symbol_frozen_for_a_position_that_fills_told_late_explain_thaws(shown: str, thaws: bool) -> None:
    """Simulation seed 3969: our own overfill, told after half a minute, left its symbol frozen as foreign for ever."""
    book = fold(HELD)
    book.apply(SymbolFrozen(at=at(1), symbol=BTC, reason=f"{reconcile.FOREIGN}: long 0.01"))

    gone = reconcile.no_longer_frozen(book, reading([venue_position(shown)]), "abc", {})

    assert (BTC in gone) is thaws


def test_what_is_gone_counts_from_the_first_reading_that_lacks_it_and_anew_when_it_was_seen_between() -> None:
    book = Book()
    book.apply(SymbolFrozen(at=at(1), symbol=BTC, reason=f"{reconcile.FOREIGN}: long 3"))
    first = reconcile.no_longer_frozen(book, reading(), "abc", {})

    again = reconcile.no_longer_frozen(book, replace(reading(), began_at=at(900)), "abc", first)
    seen = reconcile.no_longer_frozen(book, reading([venue_position("3")]), "abc", again)

    assert again == first
    assert seen == {}


def test_a_position_confirmed_gone_is_corrected_to_flat() -> None:
    (event,) = mended(fold(HELD), reading())

    assert isinstance(event, Corrected) and event.qty == 0


def test_an_order_in_our_name_that_we_never_wrote_freezes_its_symbol() -> None:
    stranger = venue_order(ENTRY, client_order_id="ps-abc-9-1-e", venue_order_id="v-x")

    (finding,) = reconcile.unexplained_orders(Book(), reading(open_orders=[stranger]), "abc")

    assert isinstance(finding.events[0], SymbolFrozen)


def test_an_order_of_a_later_epoch_in_our_name_proves_a_successor() -> None:
    """After an asynchronous failover the old primary does not know of it; the venue does."""
    seen = ["web-order", None, "ps-abc-2-9-e", "ps-abc-z-1-s", "ps-abc-3-7-e"]

    assert reconcile.superseding(seen, "abc", epoch=2) == "ps-abc-z-1-s"


@pytest.mark.parametrize(
    "harmless",
    [
        [],
        [None, "", "my-web-order", "ps-abc-zz", "PS-abc-9-1-e"],
        ["ps-abc-1-5-e", "ps-abc-2-1-s"],  # a predecessor's, and our own
        ["ps-other-9-1-e"],  # another account's
    ],
)
def test_nothing_else_proves_one(harmless: list[str | None]) -> None:
    assert reconcile.superseding(harmless, "abc", epoch=2) is None


def test_a_persons_own_orders_are_left_alone() -> None:
    theirs = venue_order(ENTRY, client_order_id="my-web-order", venue_order_id="v-y")

    assert reconcile.unexplained_orders(Book(), reading(open_orders=[theirs]), "abc") == []


def test_reconciling_twice_finds_nothing_the_second_time() -> None:
    """nautilus 3878: reconcile twice, identical result."""
    book = fold([approved(), *live(ENTRY)])
    seen = reading([venue_position("1")], fills=[fill(ENTRY)])

    for event in reconcile.new_fills(book, seen):
        book.apply(event)

    assert list(reconcile.new_fills(book, seen)) == []
    assert reconcile.mismatches(book, seen, {}) == {}
    assert seen.began_at > T0


# --- found by the simulation ------------------------------------------------------------------------------------------

TARGET = spec(Leg.TARGET, 3, qty=d("0.4"), limit_price=d(110))


def test_an_order_that_filled_with_less_than_we_asked_has_ended() -> None:
    """The venue cuts reduce-only orders to the position; such an order worked on for ever in our book."""
    order = fold([*HELD, *live(TARGET, 3), filled(TARGET, "0.3", "110", 5)]).orders[TARGET.client_order_id]
    found = venue_order(TARGET, qty=d("0.3"), filled_qty=d("0.3"), status=VenueOrderStatus.FILLED)

    (ended,) = reconcile.resolved(order, found, looks=0, looked_at=at(9), allowance=ALLOWANCE)

    assert isinstance(ended, OrderCancelled)


def test_a_person_who_sells_more_than_we_hold_closes_ours_and_no_more() -> None:
    """What is left of the sale opened something of its own: the sizes will tell."""
    book = fold(HELD)
    sales = [fill(spec(Leg.EXIT, 70 + n), "0.6", "105", 8 + n, fill_id=f"web{n}") for n in range(2)]

    for event in reconcile.new_fills(book, reading(fills=sales)):
        book.apply(event)

    assert book.positions["ps-abc-1-1"].qty == 0


def test_an_order_believed_gone_that_still_rests_is_ours_again() -> None:
    """Or nobody would ever take it back."""
    gone = OrderCancelled(at=at(9), client_order_id=STOP.client_order_id)
    book = fold([*HELD, gone])
    resting = [venue_order(STOP)]

    assert reconcile.acknowledged(book, reading(open_orders=resting, seconds=10)) == [], "the list may be behind"
    (event,) = reconcile.acknowledged(book, reading(open_orders=resting, seconds=20))
    book.apply(event)

    assert book.orders[STOP.client_order_id].status is OrderStatus.LIVE
    assert reconcile.acknowledged(book, reading(open_orders=resting, seconds=21)) == []


def test_an_entry_found_nowhere_is_gone_once_we_had_asked_for_its_cancel() -> None:
    asked = CancelIntended(at=at(5), client_order_id=ENTRY.client_order_id)
    entry = fold([approved(), *live(ENTRY), asked]).orders[ENTRY.client_order_id]

    (event,) = reconcile.resolved(entry, None, looks=3, looked_at=at(9), allowance=ALLOWANCE)

    assert isinstance(event, OrderCancelled)


def silent() -> Book:
    """A book whose second entry was concluded never to have arrived."""
    verdict = OrderRejected(at=at(4), client_order_id=ENTRY.client_order_id, code="never-arrived", reason="silence")
    return fold([approved(), intended(ENTRY), verdict])


def test_an_order_concluded_from_silence_is_still_looked_for_a_while() -> None:
    """Its fills may carry only the venue's id, which nobody here has heard yet."""
    book = silent()
    (order,) = reconcile.to_look_up(book, reading(seconds=10))
    found = venue_order(ENTRY, filled_qty=d(1), status=VenueOrderStatus.FILLED)

    (event,) = reconcile.resolved(order, found, looks=0, looked_at=at(10), allowance=ALLOWANCE)
    book.apply(event)

    assert isinstance(next(iter(reconcile.new_fills(book, reading(fills=[fill(ENTRY)])))), Filled)
    assert reconcile.to_look_up(silent(), reading(seconds=400)) == []


def test_an_unexplained_fill_waits_while_an_order_of_its_symbol_is_in_doubt() -> None:
    stop = spec(Leg.STOP, 5)
    verdict = OrderRejected(at=at(6), client_order_id=stop.client_order_id, code="never-arrived", reason="silence")
    book = fold([*HELD, intended(stop, 3), verdict])

    assert list(reconcile.new_fills(book, reading(fills=[fill(stop, "1", "90", 7)]))) == []
    assert list(reconcile.new_fills(book, reading(fills=[fill(stop, "1", "90", 7)], seconds=400)))


def test_time_in_which_nobody_could_look_does_not_settle_a_doubt() -> None:
    """Seed 5752: a stop concluded from silence had executed; the database was away for longer than the doubt lasts, and
    its fill, which named nobody, was never joined to it."""
    stop = spec(Leg.STOP, 5)
    verdict = OrderRejected(at=at(6), client_order_id=stop.client_order_id, code="never-arrived", reason="silence")
    started = WorkerStarted(at=at(306), version="0", host="h", pid=1, predecessor_clean=False)
    book = fold([equity(), *HELD, intended(stop, 3), verdict, equity("10000", 6), started])

    def asked_for(seconds: float) -> bool:
        return any(each.spec == stop for each in reconcile.to_look_up(book, reading(seconds=seconds)))

    assert [asked_for(seconds) for seconds in (310, 480, 490)] == [True, True, False]


def test_a_frozen_foreign_position_is_known_and_no_mismatch() -> None:
    """It denied entries on every other symbol at each second tick."""
    frozen = SymbolFrozen(at=at(1), symbol=BTC, reason=f"{reconcile.FOREIGN}: long 3")

    assert reconcile.mismatches(fold([frozen]), reading([venue_position("3")]), {}) == {}


def test_a_person_on_the_other_side_of_a_resting_entry_takes_the_entry_back() -> None:
    """The position of a person stayed unadopted and naked for as long as our entry rested."""
    book = fold([approved(), *live(ENTRY)])
    short = reading([venue_position("1", Side.SHORT)])

    (event,) = mended(book, short)
    book.apply(event)

    (cancel,) = due(book.positions["ps-abc-1-1"], instrument(), Policy(), at(10))
    assert isinstance(cancel, CancelOrder)
    assert mended(book, short) == (), "said once"


def test_what_a_person_opens_is_adopted_beside_a_position_that_only_clears_away() -> None:
    book = fold([*HELD, *live(TARGET, 3), filled(STOP, "1", "90", 5)])
    assert book.positions["ps-abc-1-1"].phase is Phase.CLEARING

    (event,) = mended(book, reading([venue_position("2", Side.SHORT)]))
    book.apply(event)

    assert isinstance(event, Adopted)
    assert book.signed_qty(BTC) == d(-2)


def test_fills_still_owed_hold_up_no_order_whose_position_was_corrected() -> None:
    exit_order = spec(Leg.EXIT, 9)
    found = venue_order(exit_order, filled_qty=d("0.4"), status=VenueOrderStatus.CANCELLED)

    def conclude(*events: Event) -> list[Event]:
        cid, position = exit_order.client_order_id, fold([*HELD, *events]).positions["ps-abc-1-1"]
        return reconcile.resolved(
            position.orders[cid],
            found,
            looks=0,
            looked_at=at(20),
            allowance=ALLOWANCE,
            is_counted=cid in position.counted,
        )

    assert conclude(*live(exit_order, 5)) == conclude(taken("0.6", 3), *live(exit_order, 5)) == []
    assert [type(event) for event in conclude(*live(exit_order, 5), taken("0.6", 10))] == [OrderCancelled]
    assert conclude(*live(exit_order, 5), taken("0.6", 10, exit_order)) == [], "it rested still: its fills are to come"


def test_what_a_stop_executes_after_a_size_was_taken_is_gone_although_its_fill_is_late() -> None:
    """Seed 2305: the book held contracts that were sold, and sent exits for them."""
    seen, executed = reading([venue_position("3")]), shown(STOP, "1", 15, ended=True)

    def left(*orders: VenueOrder, before: Iterable[Event] = ()) -> Decimal:
        book = fold([*HELD, *before])
        (correction,) = mended(book, replace(seen, open_orders=orders))
        for event in (correction, executed):
            book.apply(event)
        return book.exposed_qty(BTC)

    assert left(venue_order(STOP)) == 2, "it rested untouched when the size was taken"
    assert left() == 3, "it was not listed: what it executed may be in the size already"
    assert left(venue_order(STOP), before=[shown(STOP, "0.4", 9)]) == 3, "so may a part of it"


def test_a_size_is_taken_again_where_what_is_owed_and_what_a_person_bought_are_alike() -> None:
    book = fold([*HELD, taken("1", 3, STOP), shown(STOP, "1", 9, ended=True)])

    (again,) = mended(book, reading([venue_position("1")], seconds=20))
    book.apply(again)

    assert book.exposed_qty(BTC) == 1 and not book.positions["ps-abc-1-1"].is_protected
    assert mended(book, reading([venue_position("1")], seconds=21)) == (), "said once"


def test_a_stop_that_a_person_edited_before_we_heard_of_it_is_ours_and_not_an_orphan() -> None:
    """Read as another order under our id it would rest for ever: nobody takes back what is believed refused."""
    stop = spec(Leg.STOP, 9, trigger_price=d(90))
    book = fold([approved(), *live(ENTRY), filled(ENTRY), intended(stop, 2)])
    edited = venue_order(stop, trigger_price=d(85))

    (heard,) = reconcile.acknowledged(book, reading(open_orders=[edited]))
    (found,) = reconcile.resolved(
        book.orders[stop.client_order_id], edited, looks=0, looked_at=at(9), allowance=ALLOWANCE
    )

    assert isinstance(heard, OrderAccepted) and isinstance(found, OrderAccepted)


def test_a_stop_in_our_name_that_rests_although_it_is_believed_refused_comes_alive_and_is_replaced() -> None:
    stop = spec(Leg.STOP, 9, trigger_price=d(90))
    refused = OrderRejected(at=at(3), client_order_id=stop.client_order_id, code=reconcile.ID_TAKEN, reason="")
    book = fold([approved(), *live(ENTRY), filled(ENTRY), intended(stop, 2), refused])
    resting = venue_order(stop, trigger_price=d(85))

    (event,) = reconcile.acknowledged(book, reading(open_orders=[resting]))
    book.apply(event)
    (shown,) = evidence.shown_by_list(book, [resting], {BTC: d(1)}, at(9))
    book.apply(shown)

    assert book.orders[stop.client_order_id].status is OrderStatus.LIVE
    (placed,) = due(book.positions["ps-abc-1-1"], instrument(), Policy(), at(9))
    assert isinstance(placed, PlaceOrder) and placed.trigger_price == d(90)


def test_an_entry_with_more_contracts_than_we_asked_for_is_never_taken_for_ours() -> None:
    """A journal that was lost may have spent the id on it: its risk was never counted."""
    book = fold([approved(), intended(ENTRY)])

    (larger,) = reconcile.acknowledged(book, reading(open_orders=[venue_order(ENTRY, qty=ENTRY.qty + 1)]))

    assert isinstance(larger, OrderRejected) and larger.code == reconcile.ID_TAKEN


def exit_refused(seconds: float) -> list[Event]:
    exit_ = spec(Leg.EXIT, 9)
    word = OrderRejected(
        at=at(seconds), client_order_id=exit_.client_order_id, code="wouldNotReducePosition", reason="said the venue"
    )
    return [intended(exit_, seconds), word]


def test_the_other_side_is_believed_by_the_second_reading_once_the_venue_refused_to_reduce_ours() -> None:
    turned = [venue_position("1", Side.SHORT)]
    first = reconcile.mismatches(fold(HELD), reading(turned, seconds=10), {})

    assert reconcile.confirmed(first, fold([*HELD, *exit_refused(9)]), reading(turned, seconds=11)) == [], "said before"
    assert reconcile.confirmed(first, fold([*HELD, *exit_refused(10.5)]), reading(turned, seconds=11)) == [BTC]


def test_a_refused_exit_does_not_make_an_empty_list_true() -> None:
    first = reconcile.mismatches(fold(HELD), reading(seconds=10), {})

    assert reconcile.confirmed(first, fold([*HELD, *exit_refused(10.5)]), reading(seconds=30)) == []


def test_an_exit_that_is_tried_again_and_again_does_not_put_the_correction_off() -> None:
    """Each try is undecided for a moment: the difference is remembered, and not acted on meanwhile."""
    undecided = fold([*HELD, intended(spec(Leg.EXIT, 9), 30)])
    first = reconcile.mismatches(fold(HELD), reading(seconds=10), {})

    meanwhile = reconcile.mismatches(undecided, reading(seconds=75), first)

    assert meanwhile == first
    assert reconcile.confirmed(meanwhile, undecided, reading(seconds=75)) == []
    assert reconcile.confirmed(meanwhile, fold(HELD), reading(seconds=76)) == [BTC]


def test_the_last_stop_of_a_flat_position_stays_while_the_venue_may_hold_more() -> None:
    """A person's position stood naked where our stop, which covered it too, was cancelled as superfluous."""
    target = spec(Leg.TARGET, 3, limit_price=d(110))
    book = fold([*HELD, *live(target, 3), filled(STOP, seconds=5)])
    flat = fold([*HELD, *live(target, 3), *live(spec(Leg.STOP, 4), 4), filled(STOP, seconds=5)])
    position, seen = flat.positions["ps-abc-1-1"], reading([venue_position("1")])
    differing = reconcile.mismatches(flat, seen, {})

    kept = due(position, instrument(), Policy(keeps_stop=True), at(9))
    dropped = due(position, instrument(), Policy(), at(9))

    assert reconcile.may_cover(position, flat, reading(), differing)
    assert not reconcile.may_cover(position, flat, reading(), {})
    assert [each.client_order_id for each in kept if isinstance(each, CancelOrder)] == [target.client_order_id]
    assert len(dropped) == 2
    assert not reconcile.may_cover(book.positions["ps-abc-1-1"], book, reading(), {})


@pytest.mark.parametrize(
    ("seen", "stays"),
    [
        (reading([venue_position("0.2")]), True),
        (reading([venue_position("0.2", Side.SHORT)]), False),
        (reading(), False),
        (None, True),
    ],
    ids=["held on its side", "held on the other side", "flat", "unreadable"],
)
def test_it_stays_for_whatever_the_venue_holds_on_its_side_though_it_is_known_as_somebody_elses(
    seen: Reading | None, stays: bool
) -> None:
    """Seed 2317: a person's contracts were left over, an undecided order hid them, and their only stop went."""
    flat = fold([*HELD, *live(spec(Leg.STOP, 4), 4), filled(STOP, seconds=5)])

    assert reconcile.may_cover(flat.positions["ps-abc-1-1"], flat, seen, {}) is stays


def test_it_stays_until_what_was_adopted_there_has_a_stop_of_its_own() -> None:
    flat = fold([*HELD, *live(spec(Leg.STOP, 4), 4), filled(STOP, seconds=5)])
    mend = reconcile.mend_size(
        BTC, flat, reading([venue_position("3")]), {BTC: instrument()}, {BTC: ticker("100")}, ADOPT, "ps-abc-2-1"
    )
    for event in mend.events:
        flat.apply(event)
    own = spec(Leg.STOP, 7, qty=d(3), trigger_price=d(98), position_id="ps-abc-2-1")

    seen = reading([venue_position("3")])
    assert reconcile.may_cover(flat.positions["ps-abc-1-1"], flat, seen, {})
    for event in live(own, 9):
        flat.apply(event)
    assert not reconcile.may_cover(flat.positions["ps-abc-1-1"], flat, seen, {})


def test_what_a_person_opens_after_our_stop_executed_untold_is_seen_although_the_sizes_agree() -> None:
    """Its fill came minutes late: book and venue showed the same contracts, and nobody gave the new ones a stop."""
    book, reopened = fold([*HELD, shown(STOP, "1", 5, ended=True)]), [venue_position("1")]
    first = reconcile.mismatches(book, reading(reopened, seconds=10), {})

    assert reconcile.mismatches(book, reading(seconds=10), {}) == {}, "flat, as the stop's end says"
    assert reconcile.confirmed(first, book, reading(reopened, seconds=12)) == [], "the positions may be behind"
    assert reconcile.confirmed(first, book, reading(reopened, seconds=16)) == [BTC]
    (corrected,) = mended(book, reading(reopened, seconds=16))
    book.apply(corrected)
    book.apply(filled(STOP, seconds=4))
    assert book.positions["ps-abc-1-1"].exposed_qty == 1 and not book.positions["ps-abc-1-1"].is_protected


def test_a_fill_that_is_owed_does_not_make_an_empty_list_true_any_sooner() -> None:
    target = spec(Leg.TARGET, 3, qty=d("0.4"), limit_price=d(110))
    shown = evidence.shown(
        fold([*HELD, *live(target, 3)]).orders[target.client_order_id],
        venue_order(target, filled_qty=d("0.4")),
        at(5),
        held_qty=d("0.6"),
    )
    book = fold([*HELD, *live(target, 3), *shown])
    first = reconcile.mismatches(book, reading(seconds=10), {})

    assert reconcile.confirmed(first, book, reading(seconds=69)) == []
    assert reconcile.mismatches(book, reading([venue_position("0.6")], seconds=10), {}) == {}

"""What the venue's lists prove beyond its fills: an execution not told yet, a person's edit, whose a position is."""

from __future__ import annotations

import pytest

from live import evidence
from live.book import Book, fold
from live.events import Event, ExternalFill, OrderCancelled, OrderRejected, OrderShown
from live.model import Leg, Side, VenueOrder, VenueOrderStatus
from live.position import Phase
from live.reconcile import ForeignPolicy, Reading, mend_size
from tests.builders import (
    BTC,
    approved,
    at,
    d,
    fill,
    filled,
    instrument,
    live,
    spec,
    ticker,
    venue_order,
    venue_position,
)

ENTRY = spec(Leg.ENTRY, 1)
STOP = spec(Leg.STOP, 2)
LIFE: list[Event] = [approved(), *live(ENTRY), filled(ENTRY), *live(STOP, 2)]


def told(book: Book, *seen: VenueOrder, held: str = "1") -> list[OrderShown]:
    return evidence.shown_by_list(book, seen, {BTC: d(held)}, at(9))


def test_a_list_that_shows_what_we_know_tells_nothing() -> None:
    assert told(fold(LIFE), venue_order(STOP)) == []


def test_an_execution_whose_fill_is_late_is_told_once() -> None:
    book = fold(LIFE)

    (event,) = told(book, venue_order(STOP, filled_qty=d("0.4")))
    book.apply(event)

    assert (event.filled_qty, event.ended) == (d("0.4"), False)
    assert told(book, venue_order(STOP, filled_qty=d("0.4"))) == []


def test_an_end_with_fills_owed_is_told_although_its_executions_were_known() -> None:
    book = fold([*LIFE, *told(fold(LIFE), venue_order(STOP, filled_qty=d("0.4")))])

    (event,) = told(book, venue_order(STOP, filled_qty=d("0.4"), status=VenueOrderStatus.CANCELLED))

    assert event.ended
    book.apply(event)
    assert told(book, venue_order(STOP, filled_qty=d("0.4"), status=VenueOrderStatus.CANCELLED)) == []


@pytest.mark.parametrize("edit", [{"qty": d("0.4")}, {"trigger_price": d(80)}, {"qty": d(2)}])
def test_a_person_s_edit_is_seen_and_called_one(edit: dict[str, object]) -> None:
    book = fold(LIFE)

    (event,) = told(book, venue_order(STOP, **edit))

    assert evidence.is_edit(event, book.orders[STOP.client_order_id])


def test_an_edit_undone_is_told_again() -> None:
    book = fold(LIFE)
    for event in told(book, venue_order(STOP, trigger_price=d(95))):
        book.apply(event)

    (back,) = told(book, venue_order(STOP))

    assert back.trigger_price == d(90)


def test_a_reduce_only_order_that_the_venue_has_cut_to_the_position_is_no_edit() -> None:
    """The position shrank there, and the fill is late: the stop still covers all of it."""
    assert told(fold(LIFE), venue_order(STOP, qty=d("0.6")), held="0.6") == []
    assert len(told(fold(LIFE), venue_order(STOP, qty=d("0.5")), held="0.6")) == 1


def test_late_executions_are_no_edit() -> None:
    book = fold(LIFE)

    (event,) = told(book, venue_order(STOP, filled_qty=d("0.4"), status=VenueOrderStatus.CANCELLED))

    assert not evidence.is_edit(event, book.orders[STOP.client_order_id])


def test_an_edited_order_is_still_ours_and_another_one_under_its_id_is_not() -> None:
    order = fold(LIFE).orders[STOP.client_order_id]

    assert evidence.is_same(order, venue_order(STOP, trigger_price=d(80), qty=d(2)))
    assert not evidence.is_same(order, venue_order(STOP, trigger_price=d(80), venue_order_id="another"))
    assert not evidence.is_same(order, venue_order(STOP, side=ENTRY.side))


# --- whose position it is ---------------------------------------------------------------------------------------------

CANCELLED = OrderCancelled(at=at(3), client_order_id=ENTRY.client_order_id)
ADOPT = ForeignPolicy(adopt=True, stop_pct=d(2))


def mended(
    book: Book, qty: str = "1", *, side: Side = Side.LONG, mark: str = "100", seconds: float = 6, price: str = "100"
) -> Book:
    reading = Reading(at(seconds), [venue_position(qty, side, price)], [], [])
    finding = mend_size(BTC, book, reading, {BTC: instrument()}, {BTC: ticker(mark)}, ADOPT, "ps-abc-1-z")
    for event in finding.events:
        book.apply(event)
    return book


def test_an_entry_that_executed_while_it_was_cancelled_keeps_its_plan() -> None:
    """It was adopted as a stranger's, with a stop out of a setting and without its targets."""
    book = mended(fold([approved(), *live(ENTRY), CANCELLED]))

    position = book.position_on(BTC)

    assert position is not None and position.id == "ps-abc-1-1"
    assert (position.qty, position.stop_price, len(position.targets)) == (d(1), d(90), 3)
    assert position.phase is Phase.OPEN


def test_the_late_fill_of_such_an_entry_adds_nothing() -> None:
    book = mended(fold([approved(), *live(ENTRY), CANCELLED]))

    book.apply(filled(ENTRY, seconds=2.5))

    assert book.signed_qty(BTC) == d(1)


def test_an_order_wrongly_taken_for_never_arrived_keeps_its_plan_too() -> None:
    lost = OrderRejected(at=at(5), client_order_id=ENTRY.client_order_id, code="never-arrived", reason="nowhere")

    book = mended(fold([approved(), *live(ENTRY)[:1], lost]))

    assert [each.id for each in book.open_positions()] == ["ps-abc-1-1"]


@pytest.mark.parametrize(
    ("why", "seen"),
    [
        ("more than the entry left open", {"qty": "1.5"}),
        ("the other side", {"side": Side.SHORT}),
        ("the price is beyond the plan's stop", {"mark": "89"}),
        ("a minute later", {"seconds": 63}),
        ("dearer than its limit", {"price": "101"}),
    ],
)
def test_what_our_entry_does_not_explain_is_adopted_as_a_stranger_s(why: str, seen: dict[str, object]) -> None:
    book = mended(fold([approved(), *live(ENTRY), CANCELLED]), **seen)  # type: ignore[arg-type]

    assert [each.id for each in book.open_positions()] == ["ps-abc-1-z"], why


def test_a_trade_that_was_closed_explains_no_new_position() -> None:
    """All of it was entered and left again: what is there now, a person has opened."""
    sold = ExternalFill(at=at(4), position_id="ps-abc-1-1", fill=fill(spec(Leg.EXIT, 9), "1", "100", 4))
    gone = OrderCancelled(at=at(5), client_order_id=STOP.client_order_id)

    book = mended(fold([*LIFE, sold, gone]))

    assert [each.id for each in book.open_positions()] == ["ps-abc-1-z"]

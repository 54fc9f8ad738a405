"""What differs between book and venue, by kind; each kind has its response, and none is to close what is not ours."""

from __future__ import annotations

from live import reconcile
from live.book import Book, fold
from live.events import Ask, Event, OrderShown, PersonAsked, SymbolFrozen
from live.findings import RESPONSES, Finding, FindingKind, findings
from live.model import Leg
from live.reconcile import ForeignPolicy, Mismatch
from tests.builders import BTC, approved, at, d, filled, instrument, live, spec, ticker, venue_order, venue_position
from tests.unit.test_reconcile import reading

ENTRY, STOP, SECOND = spec(Leg.ENTRY, 1), spec(Leg.STOP, 2), spec(Leg.STOP, 3)
HELD: list[Event] = [approved(), *live(ENTRY), filled(ENTRY), *live(STOP, 2)]
WHOLE = filled(ENTRY).fill.qty


def kinds(book: Book, seen: reconcile.Reading, differing: Mismatch | None = None) -> list[FindingKind]:
    return [each.kind for each in findings(book, seen, differing or {}, "abc")]


def agreeing(**more: object) -> reconcile.Reading:
    return reading([venue_position(str(WHOLE))], [venue_order(STOP)], **more)  # type: ignore[arg-type]


def test_agreement_finds_nothing() -> None:
    assert kinds(fold(HELD), agreeing()) == []


def test_a_position_that_nothing_of_ours_explains_is_foreign() -> None:
    assert kinds(Book(), reading([venue_position("3")])) == [FindingKind.FOREIGN_POSITION]


def test_resting_orders_of_a_person_or_another_tool_are_noticed() -> None:
    theirs = venue_order(ENTRY, client_order_id=None, venue_order_id="v-hand")

    (finding,) = findings(Book(), reading(open_orders=[theirs]), {}, "abc")

    assert finding.kind is FindingKind.FOREIGN_ORDER
    assert "v-hand" in str(finding)


def test_a_position_without_a_stop_of_its_size_is_found() -> None:
    book = fold([approved(), *live(ENTRY), filled(ENTRY)])

    assert kinds(book, reading([venue_position(str(WHOLE))])) == [FindingKind.MISSING_STOP]


def test_several_stops_of_ours_are_found_and_a_foreign_one_is_not_ours() -> None:
    book = fold([*HELD, *live(SECOND, 3)])
    both = [venue_order(STOP), venue_order(SECOND)]

    assert kinds(book, reading([venue_position(str(WHOLE))], both)) == [FindingKind.SEVERAL_STOPS]
    theirs = venue_order(SECOND, client_order_id=None, venue_order_id="v-hand")
    beside = reading([venue_position(str(WHOLE))], [venue_order(STOP), theirs])
    assert kinds(fold(HELD), beside) == [FindingKind.FOREIGN_ORDER]


def test_sizes_that_differ_and_what_only_our_book_holds_are_told_apart() -> None:
    book = fold(HELD)
    smaller = reading([venue_position("0.5")], [venue_order(STOP)])
    nothing = reading([], [venue_order(STOP)])

    assert kinds(book, smaller, reconcile.mismatches(book, smaller, {})) == [FindingKind.QUANTITY_DIFFERS]
    assert kinds(book, nothing, reconcile.mismatches(book, nothing, {})) == [FindingKind.LOCAL_ONLY]


def test_an_order_that_is_no_longer_listed_has_vanished_until_evidence_decides() -> None:
    assert kinds(fold(HELD), reading([venue_position(str(WHOLE))])) == [FindingKind.ORDER_VANISHED]


def test_an_edited_stop_and_a_fill_not_told_are_found() -> None:
    moved = OrderShown(
        at=at(9), client_order_id=STOP.client_order_id, qty=STOP.qty, filled_qty=d(0), trigger_price=d("90.5")
    )
    executed = OrderShown(
        at=at(9),
        client_order_id=STOP.client_order_id,
        qty=STOP.qty,
        filled_qty=d("0.4"),
        trigger_price=STOP.trigger_price,
    )

    assert FindingKind.STOP_EDITED in kinds(fold([*HELD, moved]), agreeing())
    assert FindingKind.FILL_UNSEEN in kinds(fold([*HELD, executed]), agreeing())


def test_every_kind_has_its_response() -> None:
    assert set(RESPONSES) == set(FindingKind)


def test_the_same_reading_finds_the_same_in_the_same_order() -> None:
    theirs = [venue_order(ENTRY, client_order_id=None, venue_order_id=f"v-{n}") for n in (3, 1, 2)]
    book = fold(HELD)

    once = findings(book, agreeing(fills=()), {}, "abc")
    forward = findings(book, reading([], theirs), {}, "abc")
    backward = findings(book, reading([], theirs[::-1]), {}, "abc")

    assert once == []
    assert forward == backward
    assert len(forward) == 4


def test_what_froze_a_symbol_and_is_gone_for_a_minute_thaws_it_and_a_journal_row_never_does() -> None:
    stranger = venue_order(ENTRY, client_order_id="ps-abc-9-1-e", venue_order_id="v-x")
    book = Book()
    (mend,) = reconcile.unexplained_orders(book, reading(open_orders=[stranger]), "abc")
    for event in mend.events:
        book.apply(event)
    book.apply(SymbolFrozen(at=at(1), symbol="ETH/USD:USD", reason="journal row 7 does not decode: x"))

    still = reconcile.no_longer_frozen(book, reading(open_orders=[stranger]), "abc", {})
    gone = reconcile.no_longer_frozen(book, reading(), "abc", still)

    assert still == {}
    assert list(gone) == [BTC]
    since = gone[BTC].since
    assert reconcile.thawed(gone, since) == []
    assert [event.kind for event in reconcile.thawed(gone, since + reconcile.UNEXPLAINED)] == ["symbol_thawed"]


def test_a_person_may_answer_for_an_order_in_our_name_and_the_next_one_freezes_again() -> None:
    first = venue_order(ENTRY, client_order_id="ps-abc-9-1-e", venue_order_id="v-x")
    second = venue_order(ENTRY, client_order_id="ps-abc-9-2-e", venue_order_id="v-y")
    book = Book()
    for mend in reconcile.unexplained_orders(book, reading(open_orders=[first]), "abc"):
        for event in mend.events:
            book.apply(event)
    book.apply(PersonAsked(at=at(2), request_id=1, action=Ask.THAW, symbol=BTC, reason="mine", who="ann"))

    assert book.frozen == {}
    assert reconcile.unexplained_orders(book, reading(open_orders=[first]), "abc") == []
    assert [m.events[0].kind for m in reconcile.unexplained_orders(book, reading(open_orders=[second]), "abc")] == [
        "symbol_frozen"
    ]


def test_a_frozen_foreign_position_is_taken_over_only_where_a_person_wants_it_closed() -> None:
    freeze = ForeignPolicy(adopt=False, stop_pct=d(2))
    book, seen = Book(), reading([venue_position("3")])
    size = (BTC, book, seen, {BTC: instrument()}, {BTC: ticker("100")}, freeze, "ps-abc-2-1")
    for event in reconcile.mend_size(*size).events:
        book.apply(event)
    assert reconcile.mismatches(book, seen, {}) == {}, "known, and left alone"

    book.apply(PersonAsked(at=at(2), request_id=1, action=Ask.FLATTEN, symbol=None, reason="out", who="ann"))

    assert list(reconcile.mismatches(book, seen, {})) == [BTC]
    assert [event.kind for event in reconcile.mend_size(*size).events] == ["adopted", "symbol_thawed"]


def test_a_finding_reads_as_one_line() -> None:
    assert (
        str(Finding(FindingKind.MISSING_STOP, BTC, "long 1 has no stop")) == f"missing-stop {BTC}: long 1 has no stop"
    )

"""What people are told: each matter once, in words that need no look at the code."""

from __future__ import annotations

from dataclasses import replace

import pytest

from live.book import Book
from live.events import (
    Adopted,
    Event,
    ExternalFill,
    OrderRejected,
    OrderUnknown,
    SymbolFrozen,
    WorkerStarted,
    WorkerStopped,
)
from live.model import Leg, Side
from live.notices import UNPROTECTED_LOOKS, Notice, Notices
from tests.builders import BTC, approved, at, d, equity, fill, filled, intended, live, spec

ENTRY, STOP, TARGET = spec(Leg.ENTRY, 1), spec(Leg.STOP, 2), spec(Leg.TARGET, 3, qty=d("0.4"))


def told(*events: Event) -> list[Notice]:
    """Everything that is told while these events are folded."""
    book, notices = Book(), Notices()
    found = []
    for event in events:
        book.apply(event)
        found += notices.of(event, book)
    return found


def texts(*events: Event) -> list[str]:
    return [notice.text for notice in told(*events)]


OPENED = [approved(), *live(ENTRY), filled(ENTRY), *live(STOP)]


def test_a_trade_is_told_when_it_opens_when_a_target_takes_its_part_and_when_it_closes() -> None:
    exits = [*live(TARGET), filled(TARGET, "0.4", "110", 5), filled(STOP, "0.6", "100", 9)]

    opened, took, closed = texts(*OPENED, *exits)

    assert opened.startswith("opened long 1 BTC/USD:USD at 100, stop ")
    assert took == "target took 0.4 of long BTC/USD:USD at 110, 0.6 left"
    assert closed.startswith("closed long BTC/USD:USD at 100: realised ")


@pytest.mark.parametrize(
    ("event", "urgent"),
    [
        (OrderUnknown(at=at(1), client_order_id=ENTRY.client_order_id, reason="timeout"), True),
        (OrderRejected(at=at(1), client_order_id=STOP.client_order_id, code="invalidPrice", reason="x"), True),
        (OrderRejected(at=at(1), client_order_id=TARGET.client_order_id, code="invalidPrice", reason="x"), False),
        (SymbolFrozen(at=at(1), symbol=BTC, reason="foreign"), True),
        (WorkerStarted(at=at(1), version="1", host="h", pid=1, predecessor_clean=False), False),
        (WorkerStopped(at=at(1), reason="stopped; holds nothing"), False),
    ],
)
def test_what_may_cost_money_is_urgent_and_what_is_daily_is_not(event: Event, urgent: bool) -> None:
    before = [approved(), intended(ENTRY), filled(ENTRY), intended(STOP), intended(TARGET)]

    assert told(*before, event)[-1].urgent is urgent


def test_a_foreign_position_and_a_foreign_fill_are_urgent() -> None:
    adopted = Adopted(
        at=at(0), position_id="ps-abc-1-9", symbol=BTC, side=Side.LONG, qty=d(1), entry_price=d(100), stop_price=d(98)
    )
    by_hand = replace(fill(spec(Leg.STOP, 7), "0.5"), client_order_id=None)

    first, second = told(adopted, ExternalFill(at=at(2), position_id="ps-abc-1-9", fill=by_hand))

    assert first.urgent and second.urgent
    assert "no order of ours" in first.text and "no order of ours" in second.text


def test_a_day_is_summed_up_once_when_the_next_one_begins() -> None:
    day = 24 * 3600
    events = [equity("10000", 1), *OPENED, filled(STOP, "1", "98", 9), equity("9990", 60), equity("9990", day)]

    summaries = [text for text in texts(*events, equity("9991", day + 60)) if "equity" in text]

    assert len(summaries) == 1
    assert summaries[0].startswith("2026-03-02: equity 9,990.00, 1 positions closed (0 won), realised -2")


def test_a_position_without_a_stop_is_told_from_the_third_look_on() -> None:
    notices = Notices()

    looks = [notices.of_look([BTC]) for _ in range(UNPROTECTED_LOOKS)]
    again = [notices.of_look([]), notices.of_look([BTC])]

    assert [len(look) for look in looks] == [0, 0, 1]
    assert looks[-1][0].urgent
    assert again == [[], []], "it begins to count anew"


def test_decisions_and_marks_disturb_nobody() -> None:
    assert texts(equity("10000"), approved(), intended(ENTRY)) == []

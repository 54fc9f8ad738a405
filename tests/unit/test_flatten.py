"""What is left of a request to be flat while lists lack contracts that were shown a moment ago."""

from __future__ import annotations

from dataclasses import replace

from live import flatten
from live.book import Book, fold
from live.events import Ask, PersonAsked
from live.reconcile import UNEXPLAINED, Reading
from tests.builders import BTC, T0, approved, at, filled, live, spec

ASKED = PersonAsked(at=T0, request_id=1, action=Ask.FLATTEN, symbol=None, reason="enough", who="ann@desk")
MINUTE = UNEXPLAINED.total_seconds()


def left(seconds: float, asked: PersonAsked = ASKED, book: Book | None = None) -> list[str]:
    """By a reading that shows nothing, so many seconds after contracts of BTC were last shown."""
    return flatten.left(asked, book or Book(), Reading(at(seconds), [], [], []), {BTC: T0})


def test_contracts_shown_a_moment_ago_are_left_for_a_minute_of_lists_that_lack_them() -> None:
    assert left(1) == left(MINUTE - 1) == [f"{BTC} was shown at the venue at 12:00:00, and no fill tells where it went"]
    assert left(MINUTE) == []


def test_they_hold_up_no_request_for_another_symbol() -> None:
    assert left(1, replace(ASKED, symbol="ETH/USD:USD")) == []
    assert left(1, replace(ASKED, symbol=BTC)) != []


def test_a_symbol_that_the_book_holds_is_named_once() -> None:
    held = fold([approved(), *live(spec()), filled(spec())])

    assert left(1, book=held) == [f"{BTC} long 1 open"]

"""The book knows the open positions of each symbol by name: those that a look at all would find, in their order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from live.book import Book
from live.events import Adopted, Corrected, Event, Filled, OrderCancelled
from live.model import Leg, Side
from live.position import IllegalTransition, Position
from tests.builders import BTC, accepted, approved, at, d, fill, intended, spec

SYMBOLS = (BTC, "ETH/USD:USD")
WORDS = ("enter", "adopt", "fill", "fill late", "stop", "take back", "close", "reopen", "all cancelled")

Move = tuple[str, int, int]
_any = st.tuples(st.sampled_from(WORDS), st.integers(0, 1), st.integers(0, 7))
_flat_but_for_its_stop: list[Move] = [(word, 0, 0) for word in ("enter", "fill", "stop", "take back", "close")]
moves = st.builds(
    lambda begun, then: _flat_but_for_its_stop[:begun] + then, st.integers(0, 5), st.lists(_any, max_size=60)
)


def told(played: Sequence[Move], book: Book) -> Iterator[Event]:
    """What each move says of one of the positions that the book holds by then, open or closed."""
    for number, (word, which, nth) in enumerate(played, start=1):
        known = list(book.positions.values())
        if word in ("enter", "adopt"):
            yield from begun(word, SYMBOLS[which], number)
        elif known:
            yield from happened(word, known[-1 - nth % len(known)], number)


def begun(word: str, symbol: str, number: int) -> Iterator[Event]:
    name, now = f"p{number}", at(number)
    if word == "adopt":
        yield Adopted(
            at=now, position_id=name, symbol=symbol, side=Side.SHORT, qty=d(2), entry_price=d(100), stop_price=d(102)
        )
        return
    entry = spec(Leg.ENTRY, number, position_id=name, symbol=symbol)
    yield replace(approved(position_id=name, symbol=symbol), at=now)
    yield intended(entry, number)
    yield accepted(entry, number)


def happened(word: str, position: Position, number: int) -> Iterator[Event]:
    now, orders = at(number), list(position.orders.values())
    match word:
        case "fill" | "fill late":
            for order in orders[:1]:
                seconds = number if word == "fill" else 0.5
                once = fill(order.spec, "0.5", seconds=seconds, fill_id=f"f{number}")
                yield Filled(at=now, client_order_id=order.spec.client_order_id, fill=once)
        case "take back" | "all cancelled":
            for order in orders if word == "all cancelled" else orders[:1]:
                yield OrderCancelled(at=now, client_order_id=order.spec.client_order_id)
        case "close" | "reopen":
            qty = d(0 if word == "close" else 1)
            yield Corrected(
                at=now, position_id=position.id, symbol=position.symbol, qty=qty, entry_price=d(100), reason=""
            )
        case "stop":
            yield intended(spec(Leg.STOP, number, position_id=position.id, symbol=position.symbol), number)


def assert_index_is_the_scan(book: Book) -> None:
    for symbol in SYMBOLS:
        found = [position for position in book.positions.values() if position.symbol == symbol]
        found = [position for position in found if position.closed_at is None]
        held = next((position for position in found if position.qty > 0), found[-1] if found else None)
        assert book._open_ids.get(symbol, []) == [position.id for position in found]
        assert book.position_on(symbol) is held
        assert book.signed_qty(symbol) == sum(each.side.sign * each.qty for each in found)
        assert book.exposed_qty(symbol) == sum(each.side.sign * each.exposed_qty for each in found)


@settings(max_examples=150, deadline=None)
@given(moves)
def test_the_open_positions_known_by_name_are_those_that_a_scan_finds(played: list[Move]) -> None:
    """Closed, open again beside another, dropped, taken from the venue, refused: after every event."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("live.book.CLOSED_KEPT", 2)
        book = Book()
        for event in told(played, book):
            with suppress(IllegalTransition):
                book.apply(event)
            assert_index_is_the_scan(book)


def test_the_moves_reach_several_open_positions_of_a_symbol_and_forget_closed_ones() -> None:
    """A property proves nothing about states that it never meets."""
    beside_what_clears: list[Move] = [*_flat_but_for_its_stop, ("adopt", 0, 0)]
    open_again_beside: list[Move] = [("enter", 0, 0), ("take back", 0, 0), ("adopt", 0, 0), ("fill", 0, 1)]
    many: list[Move] = [(word, 0, 0) for _ in range(4) for word in ("enter", "take back")]
    books = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("live.book.CLOSED_KEPT", 2)
        for played in (beside_what_clears, open_again_beside, many):
            books.append(book := Book())
            for event in told(played, book):
                book.apply(event)
                assert_index_is_the_scan(book)

    assert [[position.id for position in book.open_positions()] for book in books] == [["p1", "p6"], ["p1", "p3"], []]
    assert list(books[-1].positions) == ["p5", "p7"]

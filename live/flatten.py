"""Closing positions because a person asked: what was asked, and what of it is still left. [P]

The exits themselves are the position machine's: a wanted exit is market and reduce-only, is asked for again while
anything is held, and stops go only once all is flat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from live.book import Book
from live.events import PersonAsked
from live.reconcile import FOREIGN, UNEXPLAINED, Reading


def describe(asked: PersonAsked) -> str:
    return f"{asked.who} asks to {asked.action} {asked.symbol or 'everything'}: {asked.reason}"


def left(
    asked: PersonAsked, book: Book, reading: Reading | None = None, unexplained: Mapping[str, datetime] | None = None
) -> list[str]:
    """What of it is not flat yet, in words: in the book, and in a reading of the venue where there is one.

    unexplained: contracts shown (UTC) that the book knows nothing of. Lists may lack them for a while.
    """
    held = [each for each in book.open_positions() if asked.covers(each.symbol)]
    words = [f"{each.symbol} {each.side} {each.qty} {each.phase}" for each in held]
    words += [f"{symbol} is frozen: {why}" for symbol, why in book.frozen.items() if _may_be_held(asked, symbol, why)]
    if reading is None:
        return words
    named = {each.symbol for each in held}
    doubted = [
        f"{symbol} was shown at the venue at {at:%H:%M:%S}, and no fill tells where it went"
        for symbol, at in (unexplained or {}).items()
        if asked.covers(symbol) and symbol not in named and reading.began_at - at < UNEXPLAINED
    ]
    return [*words, *doubted, *_left_at_venue(asked, book, reading, named)]


def _may_be_held(asked: PersonAsked, symbol: str, why: str) -> bool:
    """A foreign position that lists have begun to lack is not believed gone before its symbol thaws."""
    return asked.covers(symbol) and why.startswith(FOREIGN)


def _left_at_venue(asked: PersonAsked, book: Book, reading: Reading, named: set[str]) -> Sequence[str]:
    """Positions, and orders of ours; what rests there in nobody's name of ours is not ours to cancel."""
    positions = [each for each in reading.positions if asked.covers(each.symbol) and each.symbol not in named]
    orders = [
        each
        for each in reading.open_orders
        if asked.covers(each.symbol) and book.is_ours(each.client_order_id, each.venue_order_id)
    ]
    return [
        *(f"{each.symbol} {each.side} {each.qty} at the venue" for each in positions),
        *(f"{each.symbol} order {each.client_order_id or each.venue_order_id} rests" for each in orders),
    ]

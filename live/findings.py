"""Where book and venue differ now, by kind: what people see of reconcile, and what the worker does about each. [P]

Findings change nothing. They are what is left after a reading's mends were recorded, so that the same reading twice
finds the same, and health and dashboard can show them without knowing the rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from live.book import Book
from live.model import Leg, VenueOrder
from live.position import Order, OrderStatus, Position
from live.reconcile import Mismatch, Reading, is_in_our_name, to_look_up


class FindingKind(StrEnum):
    FOREIGN_POSITION = "foreign-position"
    FOREIGN_ORDER = "foreign-order"
    MISSING_STOP = "missing-stop"
    SEVERAL_STOPS = "several-stops"
    QUANTITY_DIFFERS = "quantity-differs"
    ORDER_VANISHED = "order-vanished"
    FILL_UNSEEN = "fill-unseen"
    LOCAL_ONLY = "local-only"
    STOP_EDITED = "stop-edited"


RESPONSES: Mapping[FindingKind, str] = {
    FindingKind.FOREIGN_POSITION: "adopted and protected, or its symbol frozen, as LIVE_FOREIGN_POSITIONS says",
    FindingKind.FOREIGN_ORDER: "shown and left; one in our own name freezes its symbol",
    FindingKind.MISSING_STOP: "a stop is placed, or the position is closed once that keeps failing",
    FindingKind.SEVERAL_STOPS: "one of ours of the full size is kept, our others are taken back",
    FindingKind.QUANTITY_DIFFERS: "believed by a second reading, a smaller size by a minute of them",
    FindingKind.ORDER_VANISHED: "looked up; believed gone only by evidence",
    FindingKind.FILL_UNSEEN: "waited for: the venue executed more than it told",
    FindingKind.LOCAL_ONLY: "the stop stays; believed flat by a minute of readings",
    FindingKind.STOP_EDITED: "one of ours is placed where it belongs, then the edited one is taken back",
}
"""What the worker does about each. None closes or cancels what is not ours (I3)."""


@dataclass(frozen=True, slots=True)
class Finding:
    kind: FindingKind
    symbol: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind} {self.symbol}: {self.text}"


def findings(book: Book, reading: Reading, differing: Mismatch, scope_hash: str) -> list[Finding]:
    """Everything that differs, in a stable order. differing: sizes, as reconcile keeps them between readings."""
    found = [
        *_positions(book, reading, differing),
        *_foreign_orders(book, reading, scope_hash),
        *_vanished(book, reading),
        *(each for position in book.open_positions() for each in _of_position(position)),
    ]
    return sorted(found, key=lambda each: (list(FindingKind).index(each.kind), each.symbol, each.text))


def _positions(book: Book, reading: Reading, differing: Mismatch) -> Iterator[Finding]:
    for each in reading.positions:
        if book.signed_qty(each.symbol) == 0:
            words = f"{each.side} {each.qty} at {each.entry_price} that no order of ours explains"
            yield Finding(FindingKind.FOREIGN_POSITION, each.symbol, words)
    for symbol, size in differing.items():
        if book.signed_qty(symbol) != 0:
            kind = FindingKind.QUANTITY_DIFFERS if size.theirs else FindingKind.LOCAL_ONLY
            yield Finding(kind, symbol, f"book {size.ours}, venue {size.theirs} since {size.since:%H:%M:%S}")


def _foreign_orders(book: Book, reading: Reading, scope_hash: str) -> Iterator[Finding]:
    for seen in reading.open_orders:
        if not book.is_ours(seen.client_order_id, seen.venue_order_id):
            whose = ", in our name" if is_in_our_name(seen, scope_hash) else ""
            yield Finding(FindingKind.FOREIGN_ORDER, seen.symbol, _words(seen) + whose)


def _words(seen: VenueOrder) -> str:
    price = seen.trigger_price or seen.limit_price
    reduces = " reduce-only" if seen.reduce_only else ""
    named = f" ({seen.client_order_id})" if seen.client_order_id else ""
    at = "" if price is None else f" at {price}"
    return f"{seen.type} {seen.side} {seen.qty}{at}{reduces}, {seen.venue_order_id}{named}"


def _vanished(book: Book, reading: Reading) -> Iterator[Finding]:
    for order in to_look_up(book, reading):
        if order.status is OrderStatus.LIVE:
            yield Finding(FindingKind.ORDER_VANISHED, order.spec.symbol, f"{order.spec.client_order_id} is not listed")


def _of_position(position: Position) -> Iterator[Finding]:
    for order in position.orders.values():
        if order.owed_qty > 0:
            words = f"{order.spec.client_order_id} executed {order.owed_qty} more than its fills tell"
            yield Finding(FindingKind.FILL_UNSEEN, position.symbol, words)
    if position.qty <= 0:
        return
    stops = [order for order in position.legs(Leg.STOP) if order.status is OrderStatus.LIVE]
    yield from _of_stops(position, stops)


def _of_stops(position: Position, stops: Sequence[Order]) -> Iterator[Finding]:
    if not position.is_protected and not position.working(Leg.EXIT):
        yield Finding(
            FindingKind.MISSING_STOP, position.symbol, f"{position.side} {position.qty} has no stop of its size"
        )
    if len(stops) > 1:
        names = ", ".join(stop.spec.client_order_id for stop in stops)
        yield Finding(FindingKind.SEVERAL_STOPS, position.symbol, names)
    for stop in stops:
        if (stop.qty, stop.trigger_price) != (stop.spec.qty, stop.spec.trigger_price):
            words = f"{stop.spec.client_order_id} is {stop.qty} at {stop.trigger_price} now"
            yield Finding(FindingKind.STOP_EDITED, position.symbol, words)

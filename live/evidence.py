"""What the venue's lists tell beyond the fills: executions told late, edits by a person, whose a position is. [P]"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal

from live.book import Book
from live.events import OrderShown
from live.model import Leg, VenueOrder, VenueOrderStatus, VenuePosition
from live.position import Order, OrderStatus, Position

JUST_NOW = timedelta(seconds=20)  # a position shows itself in the next looks, however late its fill is told
ENDED = (VenueOrderStatus.FILLED, VenueOrderStatus.CANCELLED, VenueOrderStatus.REJECTED)


def is_same(order: Order, seen: VenueOrder) -> bool:
    """Whether what the venue shows under our id is what we asked for; a lost journal may have spent the id before.

    One that the venue acknowledged stays itself, whatever a person has edited of it since.
    """
    spec = order.spec
    if (seen.symbol, seen.side, seen.reduce_only) != (spec.symbol, spec.side, spec.reduce_only):
        return False
    if order.venue_order_id is not None and order.venue_order_id == seen.venue_order_id:
        return True
    prices = [(spec.limit_price, seen.limit_price), (spec.trigger_price, seen.trigger_price)]
    return seen.qty <= spec.qty and all(  # the venue cuts reduce-only orders
        asked == told for asked, told in prices if asked is not None and told is not None
    )


def is_kept(order: Order, seen: VenueOrder) -> bool:
    """Whether what rests under our id in other words is ours to look after: a person may edit it before we hear of it.

    One that reduces is, whoever placed it, or nobody would ever take it back; an entry only while its fate is open
    and never with more contracts than its risk was counted for.
    """
    spec = order.spec
    if (seen.symbol, seen.side, seen.reduce_only) != (spec.symbol, spec.side, spec.reduce_only) or seen.status in ENDED:
        return False
    return seen.reduce_only or (order.is_unresolved and seen.qty <= spec.qty)


def shown(order: Order, seen: VenueOrder, at: datetime, *, held_qty: Decimal) -> list[OrderShown]:
    """The evidence where the venue shows one of our orders otherwise than we know it; else nothing.

    held_qty: contracts of the position there, unsigned. A reduce-only order cut to them is cut by the venue itself.
    """
    ended = seen.status in ENDED
    if not _tells_more(order, seen, ended) and not _is_edited(order, seen, held_qty):
        return []
    return [
        OrderShown(
            at=at,
            client_order_id=order.spec.client_order_id,
            qty=seen.qty,
            filled_qty=seen.filled_qty,
            limit_price=seen.limit_price,
            trigger_price=seen.trigger_price,
            ended=ended,
        )
    ]


def shown_by_list(
    book: Book, seen: Iterable[VenueOrder], held: Mapping[str, Decimal], at: datetime
) -> list[OrderShown]:
    """The same for each live order in a list of open orders. held: contracts by symbol; fills are taken already."""
    events: list[OrderShown] = []
    for each in seen:
        order = book.order_of(each.client_order_id, each.venue_order_id)
        if order is not None and order.status is OrderStatus.LIVE and is_same(order, each):
            events += shown(order, each, at, held_qty=held.get(each.symbol, Decimal(0)))
    return events


def is_edit(event: OrderShown, order: Order) -> bool:
    """Whether the evidence is of a person's hand: other prices or another size than we asked for."""
    asked = (order.spec.limit_price, order.spec.trigger_price)
    told = (event.limit_price, event.trigger_price)
    moved = any(a != b for a, b in zip(asked, told, strict=True) if a is not None and b is not None)
    return moved or (not event.ended and event.qty != order.spec.qty)


def _tells_more(order: Order, seen: VenueOrder, ended: bool) -> bool:
    known_end = order.shown is not None and order.shown.ended
    return seen.filled_qty > order.executed_qty or (ended and not known_end and seen.filled_qty > order.filled_qty)


def _is_edited(order: Order, seen: VenueOrder, held_qty: Decimal) -> bool:
    prices = [(order.limit_price, seen.limit_price), (order.trigger_price, seen.trigger_price)]
    if any(known != told for known, told in prices if known is not None and told is not None):
        return True
    cut = order.spec.reduce_only and seen.qty < order.qty and seen.qty - seen.filled_qty >= held_qty
    return seen.qty != order.qty and not cut


def position_behind(book: Book, theirs: VenuePosition, mark_price: Decimal, at: datetime) -> Position | None:
    """Our own position of a moment ago, whose plan holds for what the venue shows now; None where it is a stranger's.

    An entry that was taken back or given up a moment ago may have executed first, and the fill not be told yet: then
    its unexecuted rest explains the contracts, and its limit their price. A plan whose stop the price has passed is
    none to begin again with.
    """
    if theirs.symbol in book.frozen:
        return None
    for position in book.closed_since(theirs.symbol, at - JUST_NOW):
        entries = position.legs(Leg.ENTRY)
        unexecuted = sum((entry.spec.qty - entry.filled_qty for entry in entries), Decimal(0))
        limits = [entry.spec.limit_price for entry in entries if entry.spec.limit_price is not None]
        explained = theirs.qty <= unexecuted and all(
            theirs.side.sign * (limit - theirs.entry_price) >= 0 for limit in limits
        )
        alive = theirs.side.sign * (mark_price - position.stop_price) > 0
        if position.side is theirs.side and explained and alive:
            return position
    return None

"""Sees every committed fact once: counts it for the metrics, and tells people what is worth it. [S]"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from live.book import Book
from live.events import (
    Decided,
    Event,
    ExternalFill,
    Filled,
    OrderAccepted,
    OrderCancelled,
    OrderRejected,
    OrderUnknown,
)
from live.meters import Meters
from live.notices import Notice, Notices
from live.status import Status


class Witness:
    """tell: where notices go; it must neither block nor raise."""

    def __init__(self, *, book: Book, meters: Meters, tell: Callable[[Notice], None]) -> None:
        self._book = book
        self._meters = meters
        self._tell = tell
        self._notices = Notices()

    def saw(self, event: Event) -> None:
        """One event, committed and folded."""
        self._count(event)
        for notice in self._notices.of(event, self._book):
            self._tell(notice)

    def looked(self, status: Status, began_at: datetime, ended_at: datetime) -> None:
        """One tick is over."""
        self._meters.count("ticks_total")
        self._meters.observe("tick_seconds", max((ended_at - began_at).total_seconds(), 0.0))
        for notice in self._notices.of_look(status.unprotected):
            self._tell(notice)

    def _count(self, event: Event) -> None:
        match event:
            case (
                OrderAccepted(client_order_id=cid)
                | OrderRejected(client_order_id=cid)
                | OrderUnknown(client_order_id=cid)
            ):
                outcome = event.kind.removeprefix("order_")
                self._meters.count("orders_total", leg=self._leg(cid), outcome=outcome)
            case OrderCancelled(client_order_id=cid):
                self._meters.count("orders_total", leg=self._leg(cid), outcome="cancelled")
            case Filled():
                self._meters.count("fills_total", of="ours")
            case ExternalFill():
                self._meters.count("fills_total", of="somebody")
            case Decided(taken=taken):
                self._meters.count("decisions_total", taken="yes" if taken else "no")
            case _:
                pass

    def _leg(self, client_order_id: str) -> str:
        order = self._book.order_of(client_order_id, None)
        return order.spec.leg.name.lower() if order else "unknown"

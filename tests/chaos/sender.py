"""In LiveTrading's place: a runtime that does nothing but send, through the same journal, execution and venue. [S]

Its orders rest far from the market, so that nothing fills and every send is one intent, one request, one outcome.
Each has a book of its own: here a symbol may have more than one position.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

from live.book import Book
from live.clock import Clock
from live.events import Decided, WorkerStarted
from live.execution import Execution
from live.journal import Journal
from live.meters import Meters
from live.model import Accepted, Instrument, Intent, Leg, Side
from live.notices import Notice
from live.order_id import OrderId, OrderIds
from live.position import CancelOrder
from live.report import Identity
from live.settings import Settings
from live.status import Status
from live.venue import Permit, Venue
from prodsafe.errors import VenueUnreadable

SYMBOL = "BTC/USD:USD"
FAR = Decimal("0.5")  # of the market price
RESTING = 3  # orders that stay open; the oldest beyond that is cancelled
PATIENCE_SECONDS, RETRY_SECONDS = 15.0, 0.25


class Sender:
    """Made by live.worker as LiveTrading is. pace_seconds: pause between two sends."""

    def __init__(
        self,
        *,
        pace_seconds: float,
        settings: Settings,
        identity: Identity,
        journal: Journal,
        venue: Venue,
        clock: Clock,
        permit: Permit,
        lease_is_fresh: Callable[[], bool],
        narrate: Callable[[str], None],
        alert: Callable[[str, str], None],
        alerts_failing: Callable[[], bool],
        tell: Callable[[Notice], None],
        meters: Meters,
    ) -> None:
        self._pace_seconds = pace_seconds
        self._identity = identity
        self._journal = journal
        self._venue = venue
        self._clock = clock
        self._stopping = asyncio.Event()
        self._books: list[Book] = []
        self._resting: deque[tuple[Execution, CancelOrder]] = deque()
        self._ids = OrderIds(identity.scope_hash, identity.epoch)
        self._make_execution = functools.partial(
            Execution,
            journal=journal,
            venue=venue,
            clock=clock,
            permit=permit,
            order_ids=self._ids,
            request_expiry=timedelta(seconds=settings.live_request_expiry_seconds),
            narrate=narrate,
            alert=alert,
        )
        self.has_sent = False
        self.status = Status(state="running", observed_at=clock.now(), scope=identity.scope, epoch=identity.epoch)

    def has_undecided_orders(self) -> bool:
        return any(order.is_unresolved for book in self._books for order in book.working_orders())

    def stop(self) -> None:
        self._stopping.set()

    async def boot(self) -> None:
        """The reconcile read of the journal, before anything is sent; then the venue's price."""
        await self._journal.load()
        who = self._identity
        started = WorkerStarted(
            at=self._clock.now(),
            version=who.version,
            host=who.host,
            pid=who.pid,
            predecessor_clean=who.predecessor_clean,
        )
        await self._journal.append([started])
        self._instrument, self._price = await self._read_market()

    async def _read_market(self) -> tuple[Instrument, Decimal]:
        """Patient with a venue that is cut off for a while. Raises VenueUnreadable in the end."""
        give_up_at = self._clock.now() + timedelta(seconds=PATIENCE_SECONDS)
        while True:
            try:
                instrument = (await self._venue.instruments())[SYMBOL]
                mark = (await self._venue.tickers([SYMBOL]))[SYMBOL].mark_price
                return instrument, instrument.round_price(mark * FAR)
            except VenueUnreadable:
                if self._clock.now() > give_up_at:
                    raise
                await self._clock.sleep(RETRY_SECONDS)

    async def run(self, *, until: Callable[[], bool]) -> None:
        while not self._stopping.is_set() and not until():
            await self._send()
            if len(self._resting) > RESTING:
                execution, cancel = self._resting.popleft()
                await execution.perform(cancel)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._pace_seconds)

    async def _send(self) -> None:
        book = Book()
        execution = self._make_execution(book=book)
        entry_id = self._ids.next(Leg.ENTRY)
        self._books.append(book)
        self.has_sent = True
        outcome = await execution.enter(*self._wish(entry_id))
        if isinstance(outcome, Accepted):
            self._resting.append((execution, CancelOrder(entry_id.root, str(entry_id), "the oldest")))

    def _wish(self, entry_id: OrderId) -> tuple[Intent, OrderId, Decided]:
        now = self._clock.now()
        intent = Intent(
            position_id=entry_id.root,
            symbol=SYMBOL,
            side=Side.LONG,
            qty=self._instrument.min_qty,
            entry_price=self._price,
            stop_price=self._instrument.round_price(self._price * FAR),
            targets=(),
            risk_quote=Decimal(1),
            decided_at=now,
            expires_at=now + timedelta(hours=1),
            reasons=("chaos",),
        )
        decision = Decided(at=now, symbol=SYMBOL, closed_at=now, taken=True, side=Side.LONG, reasons=intent.reasons)
        return intent, entry_id, decision

"""Performs reconcile's conclusions: asks the venue what the book cannot explain, records each mend as an event. [S]"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from live import evidence, findings, reconcile
from live.book import Book
from live.clock import Clock
from live.execution import Execution
from live.findings import Finding, FindingKind
from live.model import Instrument, Leg, Ticker, VenueOrder
from live.position import Order
from live.reconcile import ForeignPolicy, Gone, Mend, Mismatch, Reading
from live.venue import Venue
from prodsafe.errors import ExitCode, LeaseLost, RefusalKind

SUPERSEDED = RefusalKind("R05", "superseded-at-venue", ExitCode.LEASE_LOST)


class Reconciler:
    """Brings the book to what each reading shows. Between readings it remembers only what one alone cannot prove.

    mismatches: sizes that the last reading saw differ, and that the next may confirm. findings: all that it saw differ.
    unexplained: when (UTC) contracts were last shown of which the book knows nothing, by symbol.
    """

    def __init__(
        self,
        *,
        book: Book,
        venue: Venue,
        execution: Execution,
        clock: Clock,
        scope_hash: str,
        epoch: int,
        foreign: ForeignPolicy,
        allowance: timedelta,
        narrate: Callable[[str], None],
        alert: Callable[[str, str], None],
    ) -> None:
        self.mismatches: Mismatch = {}
        self.findings: Sequence[Finding] = ()
        self.unexplained: dict[str, datetime] = {}
        self._book = book
        self._venue = venue
        self._execution = execution
        self._clock = clock
        self._scope_hash = scope_hash
        self._epoch = epoch
        self._foreign = foreign
        self._allowance = allowance
        self._narrate = narrate
        self._alert = alert
        self._looks_in_vain: dict[str, int] = {}
        self._fills_owed: list[datetime] = []
        self._no_longer_frozen: Mapping[str, Gone] = {}

    def require_latest(self, client_order_ids: Iterable[str | None]) -> None:
        """Raise LeaseLost when ids read at the venue show that another holder has acted for this account since.

        The database may not know: an isolated old primary keeps answering its old holder after a failover.
        """
        if proof := reconcile.superseding(client_order_ids, self._scope_hash, self._epoch):
            cause = f"the venue knows {proof}: a later holder of this account's lease has sent it"
            self._alert("superseded", f"{cause}; this worker (epoch {self._epoch}) stops")
            raise LeaseLost(
                SUPERSEDED.because(
                    cause,
                    seen=f"our epoch {self._epoch}",
                    mend="find the database where that holder is (prodsafe lock status) and point DATABASE_URL and"
                    " LOCK_DATABASE_URL there; what rests at the venue was left as it is",
                )
            )

    def strangers(self, reading: Reading) -> list[str]:
        """Client order ids in our name that rest at the venue and that our journal does not know."""
        return [str(order.client_order_id) for order in reconcile.strangers(self._book, reading, self._scope_hash)]

    def fills_since(self, started_at: datetime) -> datetime:
        """From when on (UTC) the next reading must ask for fills, those that the venue owes us included."""
        return min([self._book.fills_since(started_at), *self._fills_owed])

    async def bring_up(
        self, reading: Reading, tickers: Mapping[str, Ticker], instruments: Mapping[str, Instrument]
    ) -> None:
        """Record what the reading proves: acceptances, ends, fills, then sizes that two readings saw alike.

        Raises VenueUnreadable when a look-up cannot be answered; what was recorded until then stands.
        """
        record = self._execution.record
        before = {each.symbol: self._book.signed_qty(each.symbol) for each in reading.positions}
        await record(*reconcile.acknowledged(self._book, reading))
        found = await self._look_up(reading)
        await self._take_fills(reading)
        await self._take_evidence(reading, found)
        differing = reconcile.mismatches(self._book, reading, self.mismatches)
        # fills are read last: a size as it was before them is explained by them
        strange = {symbol for symbol, each in differing.items() if each.theirs not in (0, before.get(symbol))}
        self.unexplained |= dict.fromkeys(strange, reading.began_at)
        for symbol in reconcile.confirmed(differing, self._book, reading):
            mended = await self._mend_size(symbol, reading, tickers, instruments)
            if mended and self._book.signed_qty(symbol) != reading.signed_qty(symbol):  # ours is gone, theirs turned
                mended = await self._mend_size(symbol, reading, tickers, instruments)
            if mended:
                differing.pop(symbol)
                self.unexplained.pop(symbol, None)
        self.mismatches = differing
        gone = reconcile.no_longer_frozen(self._book, reading, self._scope_hash, self._no_longer_frozen)
        await record(*reconcile.thawed(gone, reading.began_at))
        self._no_longer_frozen = gone
        for mend in reconcile.unexplained_orders(self._book, reading, self._scope_hash):  # may freeze what just thawed
            await self._act_on(mend)
        self._tell(findings.findings(self._book, reading, differing, self._scope_hash))

    def _tell(self, found: Sequence[Finding]) -> None:
        """Orders of others get an alert when they are first seen; what mends itself is only shown."""
        for each in found:
            if each.kind is FindingKind.FOREIGN_ORDER and each not in self.findings:
                self._narrate(str(each))
                self._alert(f"{each.kind} {each.text}", f"{each}: left alone")
        self.findings = tuple(found)

    async def _look_up(self, reading: Reading) -> Sequence[VenueOrder]:
        """Ask for every working order that the open orders do not show, and conclude what the answers prove."""
        orders = reconcile.to_look_up(self._book, reading)
        if not orders:
            self._looks_in_vain, self._fills_owed = {}, []
            return []
        looked_at = self._clock.now()
        since = min(order.intended_at for order in orders) - timedelta(minutes=1)
        found = await self._venue.find_orders([order.spec for order in orders], since=since)
        self._fills_owed = reconcile.fills_owed(orders, found)
        self._looks_in_vain = {
            cid: self._looks_in_vain.get(cid, 0) + 1
            for order in orders
            if (cid := order.spec.client_order_id) not in found
        }
        for order in orders:
            events = reconcile.resolved(
                order,
                found.get(order.spec.client_order_id),
                looks=self._looks(order),
                looked_at=looked_at,
                allowance=self._allowance,
                is_counted=order.spec.client_order_id in self._book.positions[order.spec.position_id].counted,
            )
            if events and self._looks(order):
                cid = order.spec.client_order_id
                self._alert(f"nowhere {cid}", f"{cid} is nowhere at the venue: {events[0].kind}")
            await self._execution.record(*events)
        return list(found.values())

    async def _take_evidence(self, reading: Reading, found: Sequence[VenueOrder]) -> None:
        """What the lists show of our orders beyond the fills told: late fills, and what a person has edited."""
        held = {position.symbol: abs(reading.signed_qty(position.symbol)) for position in reading.positions}
        for event in evidence.shown_by_list(self._book, [*reading.open_orders, *found], held, reading.began_at):
            if evidence.is_edit(event, self._book.orders[event.client_order_id]):
                text = f"{event.client_order_id} was edited at the venue: {event.qty} contracts"
                prices = [str(price) for price in (event.limit_price, event.trigger_price) if price is not None]
                self._narrate(f"{text} at {', '.join(prices)}")
                self._alert(f"edited {event.client_order_id}", f"{text} at {', '.join(prices)}")
            await self._execution.record(event)

    def _looks(self, order: Order) -> int:
        return self._looks_in_vain.get(order.spec.client_order_id, 0)

    async def _take_fills(self, reading: Reading) -> None:
        held = [position.id for position in self._book.open_positions() if position.qty > 0]
        for event in reconcile.new_fills(self._book, reading):
            await self._execution.record(event)
            fill = event.fill
            self._narrate(f"filled {fill.side} {fill.qty} {fill.symbol} at {fill.price}")
        for position_id in held:
            position = self._book.positions[position_id]
            if position.qty == 0:
                self._narrate(f"{position.symbol} {position.side} is flat, realised {position.realised_quote:+.2f}")

    async def _mend_size(
        self, symbol: str, reading: Reading, tickers: Mapping[str, Ticker], instruments: Mapping[str, Instrument]
    ) -> bool:
        """Whether the difference was mended; one that waits (for a price, for what clears) stays a difference."""
        adopted_id = self._execution.next_id(Leg.ENTRY).root
        mend = reconcile.mend_size(symbol, self._book, reading, instruments, tickers, self._foreign, adopted_id)
        await self._act_on(mend)
        return bool(mend.events)

    async def _act_on(self, mend: Mend) -> None:
        await self._execution.record(*mend.events)
        if mend.events:
            self._narrate(mend.text)

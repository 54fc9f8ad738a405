"""Commands -> journal, then venue, then what became of it: the only caller of mutating venue calls. [S]

Write, then act: the intent with its client order id is committed before the request leaves, the request carries an
expiry that the venue enforces, and a lost reply is answered by a look-up, never by a second submit.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import assert_never

from live.book import Book
from live.clock import Clock
from live.events import (
    CancelIntended,
    Decided,
    Event,
    IntentApproved,
    OrderAccepted,
    OrderCancelled,
    OrderIntended,
    OrderRejected,
    OrderUnknown,
)
from live.journal import Journal
from live.model import (
    Accepted,
    CancelOutcome,
    Denied,
    Gone,
    Instrument,
    Intent,
    Leg,
    OrderSpec,
    OrderType,
    Rejected,
    SubmitOutcome,
    Unknown,
)
from live.order_id import OrderId, OrderIds
from live.position import CancelOrder, Command, IllegalTransition, PlaceOrder, Policy, due
from live.venue import Permit, Venue

ROUNDS = 8  # a position's commands come to rest in two or three rounds; more means that they feed themselves


class Execution:
    """Performs commands for one epoch. `book` changes only through `record`, after the journal has committed."""

    def __init__(
        self,
        *,
        journal: Journal,
        venue: Venue,
        book: Book,
        clock: Clock,
        permit: Permit,
        order_ids: OrderIds,
        request_expiry: timedelta,
        narrate: Callable[[str], None],
    ) -> None:
        self._journal = journal
        self._venue = venue
        self._book = book
        self._clock = clock
        self._permit = permit
        self._order_ids = order_ids
        self._request_expiry = request_expiry
        self._narrate = narrate
        self.has_sent = False

    async def record(self, *events: Event) -> None:
        """Commit, then fold. Raises what the journal raises; nothing is folded that was not committed.

        A fact that contradicts the book is kept, and sets the halt latch: no new risk until a person has looked.
        """
        if not events:
            return
        await self._journal.append(events)
        for event in events:
            try:
                self._book.apply(event)
            except IllegalTransition as illegal:
                self._narrate(f"contradiction: {illegal}")
                await self._journal.halt(f"{event.kind} contradicts the book: {illegal}", by="worker")

    def next_id(self, leg: Leg) -> OrderId:
        return self._order_ids.next(leg)

    async def enter(self, intent: Intent, entry_id: OrderId, decision: Decided) -> SubmitOutcome | Denied:
        """Send an approved intent's entry. The latch is read once more: a halt between tick and send counts.

        The decision is committed with the order that it leads to, so that a crash loses both or neither.
        """
        spec = OrderSpec(
            client_order_id=str(entry_id),
            position_id=intent.position_id,
            symbol=intent.symbol,
            side=intent.side.entry,
            leg=Leg.ENTRY,
            type=OrderType.MARKET if intent.entry_price is None else OrderType.LIMIT,
            qty=intent.qty,
            limit_price=intent.entry_price,
        )
        latch = await self._journal.latch()
        if latch.halted:
            return Denied(intent.symbol, "halted", latch.reason or "the halt latch is set")
        return await self._submit(spec, decision, IntentApproved(at=self._clock.now(), intent=intent))

    async def settle(self, position_id: str, instrument: Instrument, policy: Policy) -> None:
        """Perform what the position's state calls for until it calls for nothing more."""
        for _ in range(ROUNDS):
            position = self._book.positions.get(position_id)
            commands = due(position, instrument, policy, self._clock.now()) if position else []
            if not commands:
                return
            for command in commands:
                await self.perform(command)
        self._narrate(f"{position_id} still calls for {commands[0]} after {ROUNDS} rounds")

    async def perform(self, command: Command) -> None:
        match command:
            case PlaceOrder():
                words = f"{command.leg.name.lower()} {command.side} {command.qty} {command.symbol}"
                self._narrate(f"{words}: {command.reason}")
                await self._submit(self._reducing(command))
            case CancelOrder():
                self._narrate(f"cancel {command.client_order_id}: {command.reason}")
                await self._cancel(command)
            case _:
                assert_never(command)

    def _reducing(self, command: PlaceOrder) -> OrderSpec:
        return OrderSpec(
            client_order_id=str(self.next_id(command.leg)),
            position_id=command.position_id,
            symbol=command.symbol,
            side=command.side,
            leg=command.leg,
            type=command.type,
            qty=command.qty,
            limit_price=command.limit_price,
            trigger_price=command.trigger_price,
            reduce_only=True,
        )

    async def _submit(self, spec: OrderSpec, *before: Event) -> SubmitOutcome:
        expires_at = self._clock.now() + self._request_expiry
        await self.record(*before, OrderIntended(at=self._clock.now(), spec=spec, expires_at=expires_at))
        self.has_sent = True
        outcome = await self._venue.submit(spec, expires_at=expires_at, permit=self._permit)
        await self.record(self._submitted(spec, outcome))
        return outcome

    def _submitted(self, spec: OrderSpec, outcome: SubmitOutcome) -> Event:
        at, cid = self._clock.now(), spec.client_order_id
        match outcome:
            case Accepted(venue_order_id=str(venue_order_id)):
                return OrderAccepted(at=at, client_order_id=cid, venue_order_id=venue_order_id)
            case Accepted():
                return OrderUnknown(at=at, client_order_id=cid, reason="accepted without an order id")
            case Rejected(code=code, reason=reason):
                self._narrate(f"rejected {cid}: {code}: {reason}")
                return OrderRejected(at=at, client_order_id=cid, code=code, reason=reason)
            case Unknown(reason=reason):
                self._narrate(f"unknown {cid}: {reason}")
                return OrderUnknown(at=at, client_order_id=cid, reason=reason)
            case _:
                assert_never(outcome)

    async def _cancel(self, command: CancelOrder) -> None:
        order = self._book.orders[command.client_order_id]
        await self.record(CancelIntended(at=self._clock.now(), client_order_id=command.client_order_id))
        self.has_sent = True
        outcome = await self._venue.cancel(order.spec, order.venue_order_id, permit=self._permit)
        await self.record(*self._cancelled(command.client_order_id, outcome))

    def _cancelled(self, client_order_id: str, outcome: CancelOutcome) -> list[Event]:
        """Only a plain yes ends the order here. Gone may mean filled: reconcile reads which before it concludes."""
        match outcome:
            case Accepted():
                return [OrderCancelled(at=self._clock.now(), client_order_id=client_order_id)]
            case Gone(reason=reason) | Rejected(reason=reason) | Unknown(reason=reason):
                self._narrate(f"cancel of {client_order_id} undecided: {reason}")
                return []
            case _:
                assert_never(outcome)

"""Commands -> journal, then venue, then what became of it: the only caller of mutating venue calls. [S]

Write, then act: the intent with its client order id is committed before the request leaves, the request carries an
expiry that the venue enforces, and a lost reply is answered by a look-up, never by a second submit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeVar, assert_never

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
    OrderResubmitted,
    OrderShown,
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
from live.position import CancelOrder, Command, IllegalTransition, Order, PlaceOrder, Policy, due, peaked
from live.status import HaltCause
from live.venue import DeadManSwitched, Permit, SignsAhead, Venue

T = TypeVar("T")
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
        alert: Callable[[str, str], None],
        witness: Callable[[Event], None] = lambda _: None,
    ) -> None:
        self._journal = journal
        self._venue = venue
        self._signer = venue if isinstance(venue, SignsAhead) else None
        self._book = book
        self._clock = clock
        self._permit = permit
        self._order_ids = order_ids
        self._request_expiry = request_expiry
        self._narrate = narrate
        self._alert = alert
        self._witness = witness
        self.has_sent = False

    async def record(self, *events: Event) -> None:
        """Commit, then fold. Raises what the journal raises; nothing is folded that was not committed.

        A fact that contradicts the book is kept, and sets the halt latch: no new risk until a person has looked.
        """
        if not events:
            return
        await self._journal.append(events)
        await self._fold(*events)

    async def _fold(self, *events: Event) -> str | None:
        """None, or what the halt latch was set for."""
        contradiction = None
        for event in events:
            try:
                self._book.apply(event)
                self._witness(event)
            except IllegalTransition as illegal:
                self._narrate(f"contradiction: {illegal}")
                contradiction = contradiction or f"{event.kind} contradicts the book: {illegal}"  # the rest follow
                await self._journal.halt(contradiction, by="worker", cause=HaltCause.CONTRADICTION)
        return contradiction

    def next_id(self, leg: Leg) -> OrderId:
        return self._order_ids.next(leg)

    async def enter(self, intent: Intent, entry_id: OrderId, decision: Decided) -> SubmitOutcome | Denied:
        """Send an approved intent's entry. The latch is read once more, as it is written: a halt until then counts.

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
        now = self._clock.now()
        expires_at = now + self._request_expiry
        approved, intended = (
            IntentApproved(at=now, intent=intent),
            OrderIntended(at=now, spec=spec, expires_at=expires_at),
        )
        committed = self._journal.append_unless_halted([decision, approved, intended])
        if latch := await self._while_signing(spec, expires_at, committed):
            return Denied(intent.symbol, "halted", latch.reason or "the halt latch is set")
        if contradiction := await self._fold(decision, approved, intended):
            return Denied(intent.symbol, "halted", contradiction)
        return await self._send(spec, expires_at)

    async def settle(
        self, position_id: str, instrument: Instrument, policy: Policy, mark_price: Decimal | None = None
    ) -> None:
        """Perform what the position's state calls for until it calls for nothing more. mark_price: just read."""
        if mark_price is not None and (position := self._book.positions.get(position_id)):
            peak = peaked(position, mark_price, instrument, policy.rules, self._clock.now())
            await self.record(*([peak] if peak else []))
        for _ in range(ROUNDS):
            position = self._book.positions.get(position_id)
            commands = due(position, instrument, policy, self._clock.now(), mark_price) if position else []
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
                await self._place(command)
            case CancelOrder():
                self._narrate(f"cancel {command.client_order_id}: {command.reason}")
                await self._cancel(command)
            case _:
                assert_never(command)

    async def _place(self, command: PlaceOrder) -> None:
        """A new order, or the same again under its own id: should its absence be a mistake, the venue knows the id."""
        absent = self._absent_twin(command)
        if absent is None:
            await self._submit(self._reducing(command))
            return
        cid, expires_at = absent.spec.client_order_id, self._clock.now() + self._request_expiry
        await self.record(OrderResubmitted(at=self._clock.now(), client_order_id=cid, expires_at=expires_at))
        await self._send(absent.spec, expires_at)

    def _absent_twin(self, command: PlaceOrder) -> Order | None:
        """An order just like this that is proven never to have arrived; of this epoch, for ids name their sender."""
        position = self._book.positions[command.position_id]
        alike = [order for order in position.legs(command.leg) if order.is_absent and command.is_asked_by(order.spec)]
        twins = [order for order in alike if self._order_ids.is_own(order.spec.client_order_id)]
        return twins[-1] if twins else None

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

    async def _submit(self, spec: OrderSpec) -> SubmitOutcome:
        expires_at = self._clock.now() + self._request_expiry
        intended = OrderIntended(at=self._clock.now(), spec=spec, expires_at=expires_at)
        await self._while_signing(spec, expires_at, self._journal.append([intended]))
        await self._fold(intended)
        return await self._send(spec, expires_at)

    async def _while_signing(self, spec: OrderSpec, expires_at: datetime, committed: Awaitable[T]) -> T:
        """What `committed` gives; while the store commits, the order's request is signed, and waits for `_send`."""
        if self._signer is not None:
            try:
                await asyncio.sleep(0)  # the statement is on its way to the server first
                await self._signer.sign_ahead(spec, expires_at=expires_at)
            except Exception:
                await committed  # that it failed counts for more
                raise
        return await committed

    async def _send(self, spec: OrderSpec, expires_at: datetime) -> SubmitOutcome:
        """Once, with the permit asked right before the socket; what became of it is the next fact."""
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
                self._sound_unlisted(outcome)
                return OrderUnknown(at=at, client_order_id=cid, reason=reason)
            case _:
                assert_never(outcome)

    async def _cancel(self, command: CancelOrder) -> None:
        order = self._book.orders[command.client_order_id]
        await self.record(CancelIntended(at=self._clock.now(), client_order_id=command.client_order_id))
        self.has_sent = True
        outcome = await self._venue.cancel(order.spec, order.venue_order_id, permit=self._permit)
        await self.record(*self._cancelled(self._book.orders[command.client_order_id], outcome))

    def _cancelled(self, order: Order, outcome: CancelOutcome) -> list[Event]:
        """Only a plain yes ends the order here.

        Filled: it rests no more, and its fills, not this word, say how much. Not found: filled, cancelled before or
        never there; reconcile looks it up before it concludes.
        """
        at, cid = self._clock.now(), order.spec.client_order_id
        match outcome:
            case Accepted():
                return [OrderCancelled(at=at, client_order_id=cid)]
            case Gone(reason="filled"):
                self._narrate(f"cancel of {cid} too late: it has filled")
                return [_ended(order, at)]
            case Gone(reason=reason) | Rejected(reason=reason) | Unknown(reason=reason):
                self._narrate(f"cancel of {cid} undecided: {reason}")
                if isinstance(outcome, Unknown):
                    self._sound_unlisted(outcome)
                return []
            case _:
                assert_never(outcome)

    async def set_dead_man(self, seconds: int) -> bool:
        """Arm the venue's dead-man switch for so long, or disarm it with 0; whether the venue confirmed it."""
        if not isinstance(self._venue, DeadManSwitched):
            return False
        self.has_sent = True
        return await self._venue.set_dead_man(seconds, permit=self._permit)

    def _sound_unlisted(self, outcome: Unknown) -> None:
        """A reply that nobody has written down yet: a person looks, and its outcome table grows by a row."""
        if outcome.unlisted is not None:
            self._alert(f"unlisted {outcome.unlisted}", f"the venue's outcome table has no row for: {outcome.reason}")


def _ended(order: Order, at: datetime) -> OrderShown:
    return OrderShown(
        at=at,
        client_order_id=order.spec.client_order_id,
        qty=order.qty,
        filled_qty=order.executed_qty,
        limit_price=order.limit_price,
        trigger_price=order.trigger_price,
        ended=True,
    )

"""Incidents of the system before ours that no other room's test is named after: what must hold now, one test each."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from live.book import Book, fold
from live.events import CancelIntended, Decided, Event, IntentApproved
from live.execution import Execution
from live.journal import JOURNAL_UNAVAILABLE, JournalUnavailable, MemoryJournal, MemoryStore
from live.model import Accepted, CancelOutcome, Denied, Gone, Leg, OrderSpec, Rejected, SubmitOutcome
from live.order_id import OrderIds
from live.position import CancelOrder, OrderStatus, Phase, PlaceOrder, Policy, Position, due
from live.reconcile import Reading, acknowledged, to_look_up
from live.status import HaltCause
from live.venue import Permit
from tests import builders as make
from tests.builders import at, d

POLICY = Policy()
HOLDER = UUID(int=1)


class HandClock:
    def __init__(self, seconds: float) -> None:
        self.time = at(seconds)

    def now(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class Door:
    """A venue that places what comes, unless a price is refused, and answers cancels as it is told."""

    def __init__(self) -> None:
        self.sent: list[OrderSpec] = []
        self.cancelled: list[str] = []
        self.refused_prices: set[Decimal] = set()
        self.gone: set[str] = set()

    async def submit(self, spec: OrderSpec, *, expires_at: datetime, permit: Permit) -> SubmitOutcome:
        permit()
        self.sent.append(spec)
        if spec.limit_price in self.refused_prices:
            return Rejected("invalidPrice", "stale level")
        return Accepted(f"v-{spec.client_order_id}")

    async def cancel(self, spec: OrderSpec, venue_order_id: str | None, *, permit: Permit) -> CancelOutcome:
        permit()
        self.cancelled.append(spec.client_order_id)
        return Gone("notFound") if spec.client_order_id in self.gone else Accepted(None)


class Full(MemoryJournal):
    """A journal that takes nothing more, as a full disk would have it."""

    async def append(self, events: Sequence[Event]) -> None:
        raise JournalUnavailable(JOURNAL_UNAVAILABLE.because("disk full", mend="make room"))


class Unhaltable(MemoryJournal):
    """A journal that takes facts, and whose latch cannot be set."""

    async def halt(self, reason: str, by: str, cause: HaltCause = HaltCause.PERSON) -> None:
        raise JournalUnavailable(JOURNAL_UNAVAILABLE.because("no answer", mend="restart"))


class Desk:
    """Execution over a journal in memory and the door, on a clock moved by hand."""

    def __init__(self, *events: Event, seconds: float = 10, journal: type[MemoryJournal] = MemoryJournal) -> None:
        self.clock, self.door, self.book, self.store = HandClock(seconds), Door(), fold(events), MemoryStore()
        self.store.take("scope", HOLDER)
        self.journal = journal(self.store, scope="scope", epoch=1, holder=HOLDER, clock=self.clock.now)
        self.execution = Execution(
            journal=self.journal,
            venue=self.door,  # type: ignore[arg-type]  # reads are not asked for here
            book=self.book,
            clock=self.clock,
            permit=lambda: None,
            order_ids=OrderIds("other", 1),
            request_expiry=timedelta(seconds=2),
            narrate=lambda text: None,
            alert=lambda key, text: None,
        )

    def settle(self, policy: Policy = POLICY) -> None:
        policy = replace(policy, shown=frozenset(self.book.orders))
        for position in self.book.open_positions():
            run(self.execution.settle(position.id, make.instrument(), policy))


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def protected(seconds: float = 2) -> list[Event]:
    """A position of one contract with its stop live and no target placed."""
    entry, stop = make.spec(), make.spec(Leg.STOP, 2)
    return [make.approved(), *make.live(entry), make.filled(entry, seconds=1), *make.live(stop, seconds)]


def the_position(book: Book) -> Position:
    (position,) = book.positions.values()
    return position


def test_one_target_that_is_refused_keeps_no_other_from_being_placed() -> None:
    """I5: one stale level rejected the whole plan, and the position had no target at all."""
    desk = Desk(*protected())
    desk.door.refused_prices = {d(110)}

    desk.settle()

    live = [order.spec.limit_price for order in the_position(desk.book).working(Leg.TARGET)]
    assert live == [d(120), d(130)]


def test_what_the_journal_did_not_take_the_book_does_not_know() -> None:
    """I14, I38: a stop's new id lived in memory only, and the restart brought the old one back."""
    desk = Desk(*protected(), journal=Full)
    before = the_position(desk.book)

    with pytest.raises(JournalUnavailable):
        run(desk.execution.record(make.filled(make.spec(Leg.STOP, 2), seconds=5)))

    assert the_position(desk.book) == before


@pytest.mark.parametrize("leg", [Leg.STOP, Leg.TARGET, Leg.EXIT])
def test_an_order_that_cannot_be_written_down_is_not_sent_whatever_it_is_for(leg: Leg) -> None:
    """I46: writing emergency orders down always failed, in silence, and they went out all the same."""
    desk = Desk(*protected(), journal=Full)
    spec = make.spec(leg)
    command = PlaceOrder(
        spec.position_id, spec.symbol, spec.side, leg, spec.type, spec.qty, d(110), spec.trigger_price, "test"
    )

    with pytest.raises(JournalUnavailable):
        run(desk.execution.perform(command))

    assert desk.door.sent == []


def test_an_entry_and_a_cancel_that_cannot_be_written_down_are_not_sent() -> None:
    """I46. A cancel that nobody knows of would make a stop's end a mystery."""
    desk = Desk(*protected(), journal=Full)
    entry_id = desk.execution.next_id(Leg.ENTRY)
    decision = Decided(at=at(10), symbol="ETH", closed_at=at(0), taken=True, side=None, reasons=(), code="signal")

    with pytest.raises(JournalUnavailable):
        run(_entered(desk, make.intent(position_id=entry_id.root, symbol="ETH"), entry_id, decision))
    with pytest.raises(JournalUnavailable):
        run(desk.execution.perform(CancelOrder("ps-abc-1-1", "ps-abc-1-2-s", "test")))

    assert (desk.door.sent, desk.door.cancelled) == ([], [])


async def _entered(desk: Desk, *entry: Any) -> None:
    await desk.execution.enter(*entry)


def test_an_emergency_exit_is_watched_and_looked_for_like_any_other_order() -> None:
    """I47: emergency orders were not polled; their fills were lost and the profit was zero."""
    book = fold([*protected(), *make.live(make.spec(Leg.EXIT, 3), 5)])

    unseen = to_look_up(book, Reading(at(20), [], [make.venue_order(make.spec(Leg.STOP, 2))], []))

    assert [order.spec.leg for order in unseen] == [Leg.EXIT]


def test_what_happens_to_one_leg_leaves_every_other_leg_as_it_was() -> None:
    """W30, I38: a partial close put its own order id where the stop's was, and the real stop was lost."""
    target, stop = make.spec(Leg.TARGET, 3, qty=d("0.4"), limit_price=d(110)), make.spec(Leg.STOP, 2)
    book = fold(protected())
    before = the_position(book).orders[stop.client_order_id]

    for event in [*make.live(target, 3), make.filled(target, "0.4", "110", 4)]:
        book.apply(event)

    after = the_position(book)
    assert after.orders[stop.client_order_id] == before
    assert after.orders[target.client_order_id].status is OrderStatus.FILLED
    assert after.qty == d("0.6")


def test_a_fact_that_contradicts_the_book_sets_the_halt_latch() -> None:
    """W1: the handler of a broken invariant named a reason that did not exist, so that nothing was ever halted."""
    desk = Desk(*protected())

    run(desk.execution.record(CancelIntended(at=at(11), client_order_id="ps-abc-1-99-s")))

    latch = asyncio.run(desk.journal.latch())
    assert latch.halted
    assert "contradicts" in (latch.reason or "")


def test_an_entry_that_contradicts_the_book_is_not_sent() -> None:
    """Whatever let it through: it is a second position of a symbol that the book could not follow."""
    desk = Desk(*protected())
    entry_id = desk.execution.next_id(Leg.ENTRY)
    intent = make.intent(position_id=entry_id.root)
    decision = Decided(at=at(10), symbol=intent.symbol, closed_at=at(10), taken=True, reasons=(), side=intent.side)

    outcome = asyncio.run(desk.execution.enter(intent, entry_id, decision))

    assert isinstance(outcome, Denied) and outcome.code == "halted"
    latch = asyncio.run(desk.journal.latch())
    assert latch.halted and "is open already" in (latch.reason or ""), "the cause, not what follows from it"
    assert desk.door.sent == []


def test_a_cancel_that_finds_its_order_gone_does_not_keep_the_next_one_from_being_taken_back() -> None:
    """W21: one order that had filled meanwhile ended the kill switch half-way, and other entries stayed live."""
    first = make.spec()
    other = make.spec(seq=5, position_id="ps-abc-1-5", symbol="ETH")
    desk = Desk(
        make.approved(), *make.live(first),
        IntentApproved(at=at(0), intent=make.intent(position_id="ps-abc-1-5", symbol="ETH")), *make.live(other),
    )  # fmt: skip
    desk.door.gone = {first.client_order_id}

    desk.settle(Policy(entries_allowed=False))

    assert set(desk.door.cancelled) == {first.client_order_id, other.client_order_id}
    assert desk.book.orders[other.client_order_id].status is OrderStatus.CANCELLED
    assert desk.book.orders[first.client_order_id].is_working, "gone may mean filled: reconcile reads which"


def test_a_stop_that_the_venue_neither_finds_nor_cancels_is_not_stacked() -> None:
    """freqtrade 12681: cancels answered "not found", and each loop put another stop beside the old ones."""
    replaced, exact = make.spec(Leg.STOP, 2, qty=d("0.5")), make.spec(Leg.STOP, 3)
    entry = make.spec()
    desk = Desk(
        make.approved(targets=()), *make.live(entry), make.filled(entry), *make.live(replaced, 2), *make.live(exact, 3)
    )
    desk.door.gone = {replaced.client_order_id}

    for _ in range(30):
        desk.clock.time += timedelta(seconds=1)
        desk.settle()

    assert desk.door.sent == []
    assert set(desk.door.cancelled) == {replaced.client_order_id}


def test_a_fill_belongs_to_the_order_that_it_names_however_close_in_time_another_one_is() -> None:
    """freqtrade 13399: fills of the last ten seconds were given to the newest trade, which was the wrong one."""
    book = fold(protected())
    stop = make.spec(Leg.STOP, 2)
    book.apply(make.filled(stop, price="90", seconds=20))
    reversal = make.spec(seq=7, position_id="ps-abc-1-7")
    book.apply(IntentApproved(at=at(21), intent=make.intent(position_id="ps-abc-1-7")))
    for event in make.live(reversal, 21):
        book.apply(event)

    owner = book.order_of(None, f"v-{stop.client_order_id}")

    assert owner is not None
    assert owner.spec.client_order_id == stop.client_order_id
    assert book.positions["ps-abc-1-7"].qty == 0


def test_a_missing_stop_calls_for_its_placement_and_not_for_an_exit() -> None:
    """I40, I41: a stop that was not there was answered by the kill switch before anybody tried to place one."""
    entry = make.spec()
    naked = fold([make.approved(), *make.live(entry), make.filled(entry)])

    commands = due(the_position(naked), make.instrument(), POLICY, at(300))

    assert [command.leg for command in commands if isinstance(command, PlaceOrder)] == [Leg.STOP]


def test_a_kill_switch_that_fails_ends_the_worker_instead_of_letting_it_go_on() -> None:
    """hummingbot 2534: an exception inside the kill switch was logged, and orders went on."""
    desk = Desk(*protected(), journal=Unhaltable)

    with pytest.raises(JournalUnavailable):
        run(desk.execution.record(CancelIntended(at=at(11), client_order_id="ps-abc-1-99-s")))


def test_a_working_order_without_fills_is_still_working_after_a_restart() -> None:
    """nautilus 5000: a cold start dropped an order that rested, because no fill spoke for it."""
    entry = make.spec()
    book = fold([make.approved(), *make.live(entry)])
    reading = Reading(at(60), [], [make.venue_order(entry)], [])

    assert acknowledged(book, reading) == []
    assert to_look_up(book, reading) == []
    assert the_position(book).phase is Phase.ENTERING
    assert due(the_position(book), make.instrument(), POLICY, at(60)) == []

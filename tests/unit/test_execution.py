"""Written before sent, sent once, and what became of it written down: against a venue that plays a script."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

import pytest

from live.book import Book, fold
from live.events import Decided, Event, OrderRejected, decode
from live.execution import Execution
from live.journal import MemoryJournal, MemoryStore
from live.model import (
    Accepted,
    CancelOutcome,
    Denied,
    Gone,
    Leg,
    OrderSpec,
    Rejected,
    SubmitOutcome,
    TrailStep,
    Unknown,
)
from live.order_id import OrderIds
from live.position import CancelOrder, Order, OrderStatus, Phase, PlaceOrder, Policy, Rules, due
from live.venue import Permit, Venue
from prodsafe.errors import LeaseLost, RefusalKind
from tests.builders import BTC, approved, at, d, filled, instrument, intent, live, spec

SCOPE, HOLDER = "scope", UUID(int=7)
ENTRY = spec(Leg.ENTRY, 1)
STOP = spec(Leg.STOP, 2)
HELD: list[Event] = [approved(), *live(ENTRY), filled(ENTRY)]
LOST = RefusalKind("L02", "lease-lost")
DUPLICATE = Unknown("duplicate client order id: the venue has it, look it up")


class Clock:
    def __init__(self) -> None:
        self.seconds = 10.0

    def now(self) -> datetime:
        return at(self.seconds)

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@dataclass
class Script:
    """A venue that answers what it was told to, then yes, and notes what the journal held when a request came."""

    store: MemoryStore
    answers: list[SubmitOutcome | CancelOutcome]
    sent: list[str] = field(default_factory=list)
    kinds_before: list[list[str]] = field(default_factory=list)

    async def submit(self, order: OrderSpec, *, expires_at: datetime, permit: Permit) -> SubmitOutcome:
        return cast(SubmitOutcome, self._answer(order, permit))

    async def cancel(self, order: OrderSpec, venue_order_id: str | None, *, permit: Permit) -> CancelOutcome:
        return self._answer(order, permit)

    def _answer(self, order: OrderSpec, permit: Permit) -> SubmitOutcome | CancelOutcome:
        self.kinds_before.append([row.kind for _, row in self.store.rows])
        permit()
        self.sent.append(order.client_order_id)
        return self.answers.pop(0) if self.answers else Accepted(f"v-{order.client_order_id}")


@dataclass
class Signing(Script):
    """A venue whose requests are signed ahead; `signed` holds what the journal held by then."""

    signed: list[list[str]] = field(default_factory=list)

    async def sign_ahead(self, order: OrderSpec, *, expires_at: datetime) -> None:
        self.signed.append([row.kind for _, row in self.store.rows])


class Unhurried(MemoryJournal):
    """A journal whose commits take a while, as those of a server do; each begins at once."""

    def append(self, events: Sequence[Event]) -> Awaitable[None]:
        async def later() -> None:
            for _ in range(5):
                await asyncio.sleep(0)
            await MemoryJournal.append(self, events)

        return asyncio.ensure_future(later())


@dataclass
class Desk:
    """An execution of epoch 1 over its own journal, with what it said."""

    script: Script
    execution: Execution
    book: Book
    clock: Clock
    store: MemoryStore
    said: list[str]
    lost: bool = False

    @property
    def written(self) -> list[Event]:
        return [decode(row.payload) for _, row in self.store.rows]

    @property
    def kinds(self) -> list[str]:
        return [event.kind for event in self.written]

    def order(self, cid: str) -> Order:
        return self.book.orders[cid]

    def settle(self, policy: Policy | None = None, mark: str | None = None) -> None:
        settling = self.execution.settle("ps-abc-1-1", instrument(), policy or Policy(), d(mark) if mark else None)
        asyncio.run(settling)


def desk(
    *answers: SubmitOutcome | CancelOutcome,
    events: Sequence[Event] = HELD,
    epoch_ids: int = 1,
    venue: type[Script] = Script,
    store_kind: type[MemoryJournal] = MemoryJournal,
) -> Desk:
    """`events` are in the journal and in the book; the next order has the sequence number 5."""
    store, clock, said = MemoryStore(), Clock(), list[str]()
    epoch = store.take(SCOPE, HOLDER)
    journal = store_kind(store, scope=SCOPE, epoch=epoch, holder=HOLDER, clock=clock.now)
    asyncio.run(MemoryJournal.append(journal, list(events)))
    ids = OrderIds("abc", epoch_ids)
    for _ in range(4):
        ids.next(Leg.ENTRY)
    script, book = venue(store, list(answers)), fold(events)

    def permit() -> None:
        if made.lost:
            raise LeaseLost(LOST.because("another worker may hold it", mend="restart"))

    execution = Execution(
        journal=journal,
        venue=cast(Venue, script),
        book=book,
        clock=clock,
        permit=permit,
        order_ids=ids,
        request_expiry=timedelta(seconds=2),
        narrate=said.append,
        alert=lambda key, text: said.append(f"alert {key}: {text}"),
    )
    made = Desk(script, execution, book, clock, store, said)
    return made


def stop_command() -> PlaceOrder:
    return PlaceOrder("ps-abc-1-1", BTC, STOP.side, Leg.STOP, STOP.type, STOP.qty, None, STOP.trigger_price, "protect")


def absent(order: OrderSpec, seconds: float = 9, code: str = "never-arrived") -> OrderRejected:
    return OrderRejected(at=at(seconds), client_order_id=order.client_order_id, code=code, reason="nowhere")


# --- written, then sent -----------------------------------------------------------------------------------------------


def test_an_order_is_in_the_journal_before_it_is_at_the_venue() -> None:
    """7184: sent first, and the write failed; W28: the intent was never read again."""
    here = desk(Accepted("v1"))

    asyncio.run(here.execution.perform(stop_command()))

    assert here.script.kinds_before[0][-1] == "order_intended"
    assert here.kinds[-2:] == ["order_intended", "order_accepted"]


def test_a_cancel_is_in_the_journal_before_it_is_at_the_venue() -> None:
    here = desk(Accepted(None), events=[*HELD, *live(STOP, 2)])

    asyncio.run(here.execution.perform(CancelOrder("ps-abc-1-1", STOP.client_order_id, "replaced")))

    assert here.script.kinds_before[0][-1] == "cancel_intended"
    assert here.order(STOP.client_order_id).status is OrderStatus.CANCELLED


def test_a_lease_lost_at_the_socket_leaves_an_order_that_was_written_and_not_sent() -> None:
    """The next holder finds the intent and asks the venue."""
    here = desk(Accepted("v1"))
    here.lost = True

    with pytest.raises(LeaseLost):
        asyncio.run(here.execution.perform(stop_command()))

    assert here.script.sent == []
    assert here.kinds[-1] == "order_intended"


def test_what_the_journal_refuses_is_not_sent() -> None:
    """Another holder took the scope: the write fails, and nothing reaches the venue."""
    here = desk(Accepted("v1"))
    here.store.take(SCOPE, UUID(int=8))

    with pytest.raises(LeaseLost):
        asyncio.run(here.execution.perform(stop_command()))

    assert here.script.kinds_before == []


def test_a_request_is_signed_while_its_intent_is_being_committed_and_leaves_only_after_that() -> None:
    here = desk(Accepted("v1"), venue=Signing, store_kind=Unhurried)
    assert isinstance(here.script, Signing)

    asyncio.run(here.execution.perform(stop_command()))

    (before_signing,), (before_sending,) = here.script.signed, here.script.kinds_before
    assert before_sending == [*before_signing, "order_intended"]


def test_a_request_that_is_signed_already_stays_here_when_its_intent_is_refused() -> None:
    here = desk(Accepted("v1"), venue=Signing, store_kind=Unhurried)
    assert isinstance(here.script, Signing)
    here.store.take(SCOPE, UUID(int=8))

    with pytest.raises(LeaseLost):
        asyncio.run(here.execution.perform(stop_command()))

    assert len(here.script.signed) == 1
    assert here.script.kinds_before == []


def test_a_lost_lease_is_heard_although_signing_failed_too() -> None:
    """As a bug it would have ended the worker with 70, and nobody would have known that another one holds the lease."""
    here = desk(Accepted("v1"), venue=Signing, store_kind=Unhurried)
    here.store.take(SCOPE, UUID(int=8))

    async def broken(order: OrderSpec, *, expires_at: datetime) -> None:
        raise ZeroDivisionError("a bug in the signer")

    here.script.sign_ahead = broken  # type: ignore[attr-defined]

    with pytest.raises(LeaseLost):
        asyncio.run(here.execution.perform(stop_command()))


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Accepted("v1"), OrderStatus.LIVE),
        (Accepted(None), OrderStatus.UNKNOWN),
        (Rejected("invalidPrice", "no"), OrderStatus.REJECTED),
        (Unknown("timeout"), OrderStatus.UNKNOWN),
        (DUPLICATE, OrderStatus.UNKNOWN),
    ],
)
def test_each_outcome_is_written_down_and_nothing_is_sent_twice(outcome: SubmitOutcome, status: OrderStatus) -> None:
    """A timeout is answered by a look-up, an id that the venue knows too: never by another order."""
    here = desk(outcome)

    here.settle()

    assert here.order("ps-abc-1-5-s").status is status
    assert here.script.sent[:1] == ["ps-abc-1-5-s"] and len(set(here.script.sent)) == len(here.script.sent)


def test_an_unknown_order_is_waited_for_however_often_it_is_asked() -> None:
    here = desk(Unknown("timeout"))

    here.settle()
    here.settle()
    here.clock.seconds += 5
    here.settle()

    assert here.script.sent == ["ps-abc-1-5-s"]


def test_a_halt_between_decision_and_send_denies_the_entry_and_writes_no_order() -> None:
    here = desk(events=[])
    operator = MemoryJournal(here.store, scope=SCOPE, epoch=1, holder=HOLDER, clock=here.clock.now)
    asyncio.run(operator.halt("to see", by="person"))
    entry_id = here.execution.next_id(Leg.ENTRY)
    decided = Decided(at=here.clock.now(), symbol=BTC, closed_at=at(0), taken=True, side=None, reasons=())

    outcome = asyncio.run(here.execution.enter(intent(position_id=entry_id.root), entry_id, decided))

    assert isinstance(outcome, Denied)
    assert here.script.sent == [] and "order_intended" not in here.kinds


# --- sent again -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["never-arrived", "not-sent"])
def test_a_proven_absence_is_sent_again_under_the_same_id(code: str) -> None:
    """Should the proof be wrong, the venue itself refuses the second of that id."""
    here = desk(Accepted("v1"), events=[*HELD, *live(STOP, 2)[:1], absent(STOP, code=code)])

    asyncio.run(here.execution.perform(stop_command()))

    assert here.script.sent == [STOP.client_order_id]
    assert here.script.kinds_before[0][-1] == "order_resubmitted"
    assert here.order(STOP.client_order_id).status is OrderStatus.LIVE
    assert here.order(STOP.client_order_id).expires_at == at(12)
    assert here.kinds.count("order_intended") == 2, "the entry and the stop, once each"


def test_an_absence_that_was_a_mistake_is_found_out_by_the_venue() -> None:
    here = desk(DUPLICATE, events=[*HELD, *live(STOP, 2)[:1], absent(STOP)])

    asyncio.run(here.execution.perform(stop_command()))

    assert here.order(STOP.client_order_id).status is OrderStatus.UNKNOWN, "reconcile looks it up"


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([*live(STOP, 2)[:1], absent(STOP, code="invalidPrice")], id="refused by the venue"),
        pytest.param([*live(spec(Leg.STOP, 2, qty=d("0.5")), 2)[:1], absent(STOP)], id="of another size"),
        pytest.param([*live(STOP, 2)], id="alive"),
    ],
)
def test_anything_else_is_a_new_order(events: list[Event]) -> None:
    here = desk(Accepted("v1"), events=[*HELD, *events])

    asyncio.run(here.execution.perform(stop_command()))

    assert here.script.sent == ["ps-abc-1-5-s"]


def test_an_order_of_an_earlier_epoch_is_not_sent_again_under_its_name() -> None:
    """Ids name their sender; an old one arriving late would look like a holder that is gone."""
    here = desk(Accepted("v1"), events=[*HELD, *live(STOP, 2)[:1], absent(STOP)], epoch_ids=2)

    asyncio.run(here.execution.perform(stop_command()))

    assert here.script.sent == ["ps-abc-2-5-s"]


def test_an_order_sent_again_counts_each_time_toward_the_way_out() -> None:
    """Three attempts are three, whatever ids they carry."""
    not_sent = Rejected("not-sent", "no byte left")
    here = desk(not_sent, not_sent, not_sent, Accepted("v9"))

    for _ in range(4):
        here.settle()
        here.clock.seconds += 5

    assert here.script.sent == ["ps-abc-1-5-s"] * 3 + ["ps-abc-1-6-x"]
    assert here.book.positions["ps-abc-1-1"].phase is Phase.EXITING


@pytest.mark.parametrize("outcome", [Rejected("local", "never"), Rejected("invalidPrice", "no"), Unknown("timeout")])
def test_a_stop_that_fails_for_whatever_reason_ends_in_an_exit_within_the_bound(outcome: SubmitOutcome) -> None:
    """12610: one class of error led out, every other was logged only."""
    here = desk(*[outcome] * 8)
    began = here.clock.seconds

    while here.clock.seconds < began + 21 and not any(cid.endswith("x") for cid in here.script.sent):
        here.settle()
        here.clock.seconds += 1

    assert here.script.sent[-1].endswith("x")
    assert here.clock.seconds - began <= 21


# --- cancels ----------------------------------------------------------------------------------------------------------


def cancelled_with(outcome: CancelOutcome) -> Desk:
    here = desk(outcome, events=[*HELD, *live(STOP, 2)])
    asyncio.run(here.execution.perform(CancelOrder("ps-abc-1-1", STOP.client_order_id, "replaced")))
    return here


def test_a_cancel_that_came_after_the_fill_ends_the_order_and_leaves_its_fills_to_be_told() -> None:
    """4.3.7: filled and notFound are one exception class and mean opposite things."""
    here = cancelled_with(Gone("filled"))

    order = here.order(STOP.client_order_id)
    assert (order.status, order.has_ended) == (OrderStatus.LIVE, True)
    assert "it has filled" in here.said[-1]
    here.clock.seconds += 60
    asked = due(here.book.positions["ps-abc-1-1"], instrument(), Policy(), here.clock.now())
    assert not [each for each in asked if isinstance(each, CancelOrder)]


@pytest.mark.parametrize("outcome", [Gone("notFound"), Rejected("nope", "no"), Unknown("timeout")])
def test_a_cancel_that_proves_nothing_leaves_the_order_to_be_looked_up(outcome: CancelOutcome) -> None:
    here = cancelled_with(outcome)

    order = here.order(STOP.client_order_id)
    assert (order.status, order.has_ended, order.is_untouched) == (OrderStatus.LIVE, False, False)
    assert here.kinds[-1] == "cancel_intended"


def test_a_cancel_that_is_not_found_does_not_hold_up_the_new_stop() -> None:
    """I7: cancel and place in one try; notFound on the cancel aborted the placement."""
    wider = [*HELD, filled(ENTRY, "0.5", seconds=3), *live(STOP, 2)]
    here = desk(*[Accepted(f"v{n}") for n in range(4)], Gone("notFound"), events=wider)

    here.settle()
    assert STOP.client_order_id not in here.script.sent, "the new one is looked at before the old one goes"
    here.settle(Policy(shown=frozenset({"ps-abc-1-5-s"})))

    assert here.script.sent[0] == "ps-abc-1-5-s" and here.script.sent[-1] == STOP.client_order_id
    assert here.book.positions["ps-abc-1-1"].phase is Phase.PROTECTED


# --- peaks ------------------------------------------------------------------------------------------------------------


def test_a_peak_is_written_before_its_stop_is_sent() -> None:
    rules = Rules(trail_steps=(TrailStep(d(3), d(2)),))
    targets = [Accepted(f"t{n}") for n in range(3)]
    here = desk(*targets, Accepted("v5"), Accepted(None), events=[*HELD, *live(STOP, 2)])

    here.settle(Policy(rules=rules), mark="130")

    stop = next(index for index, cid in enumerate(here.script.sent) if cid.endswith("-s"))
    assert "peaked" in here.script.kinds_before[stop]
    assert here.book.positions["ps-abc-1-1"].stop_price == d(110)

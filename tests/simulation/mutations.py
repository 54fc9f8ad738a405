"""Every layer of the runtime, taken out from the outside: what replaces it, and the weather in which it must be missed.

The product has no switch for any of this. A mutation names what it replaces; a name that is gone is an error, so that
none fades away unnoticed. `python -m tests.simulation.mutation_runs` plays them all.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from live.events import OrderCancelled, OrderIntended
from live.execution import Execution
from live.model import Instrument, Leg, OrderSpec, Rejected, Side, SubmitOutcome, Unknown
from live.outcome import NoReply
from live.position import Command, PlaceOrder, Policy, Position
from live.position.commands import cancels, place_exit
from tests.simulation.weather import Faults

Make = Callable[[Any], Any]
CALM: Faults = {"price_move": 0.05, "partial_fill": 0.3, "crash": 0.005}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """says: what is taken out. replaces: "module:name" to what makes the new thing out of the old one.

    breaks: words of the rules that may notice; one of them must. faults: added to CALM. settings: of its lives.
    """

    says: str
    replaces: Mapping[str, Make]
    breaks: tuple[str, ...]
    faults: Faults
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def weather(self) -> Faults:
        return {**CALM, **self.faults}


@contextmanager
def taken_out(mutation: Mutation) -> Iterator[None]:
    """The runtime without that layer, until the end of the block."""
    kept = [(*_found(where), make) for where, make in mutation.replaces.items()]
    for owner, name, old, make in kept:
        setattr(owner, name, make(old))
    try:
        yield
    finally:
        for owner, name, old, _ in kept:
            setattr(owner, name, old)


def _found(where: str) -> tuple[Any, str, Any]:
    """Raises AttributeError when the product has no such thing any more."""
    module, _, path = where.partition(":")
    *owners, name = path.split(".")
    owner: Any = importlib.import_module(module)
    for each in owners:
        owner = getattr(owner, each)
    return owner, name, owner.__dict__[name] if name in vars(owner) else getattr(owner, name)


def always(value: object) -> Make:
    return lambda _: lambda *args, **kwargs: value


def constant(value: object) -> Make:
    return lambda _: value


# --- execution --------------------------------------------------------------------------------------------------------


def _send_first(_: Any) -> Any:
    async def submit(self: Any, spec: OrderSpec) -> SubmitOutcome:
        expires_at = self._clock.now() + self._request_expiry
        outcome: SubmitOutcome = await self._venue.submit(spec, expires_at=expires_at, permit=self._permit)
        await self.record(OrderIntended(at=self._clock.now(), spec=spec, expires_at=expires_at))
        await self.record(self._submitted(spec, outcome))
        return outcome

    return submit


def _without_expiry(old: Any) -> Any:
    async def send(self: Any, spec: OrderSpec, expires_at: Any) -> Any:
        return await old(self, spec, expires_at + timedelta(hours=1))

    return send


def _without_permit(old: Any) -> Any:
    async def send(self: Any, spec: OrderSpec, expires_at: Any) -> Any:
        self._permit = lambda: None
        return await old(self, spec, expires_at)

    return send


def _deaf_to_the_latch(_: Any) -> Any:
    async def append_unless_halted(self: Any, events: Any) -> None:
        await self.append(events)

    return append_unless_halted


def _sent_again(old: Any) -> Any:
    async def send(self: Execution, spec: OrderSpec, expires_at: Any) -> Any:
        outcome = await old(self, spec, expires_at)
        if isinstance(outcome, Unknown):
            again = replace(spec, client_order_id=str(self.next_id(spec.leg)))
            await self.record(OrderIntended(at=expires_at, spec=again, expires_at=expires_at))
            outcome = await old(self, again, expires_at)
        return outcome

    return send


def _cancel_is_done(_: Any) -> Any:
    def cancelled(self: Any, order: Any, outcome: Any) -> Any:
        return [OrderCancelled(at=self._clock.now(), client_order_id=order.spec.client_order_id)]

    return cancelled


def _silence_is_refusal(_: Any) -> Any:
    def without_reply(reply: NoReply) -> Rejected:
        return Rejected("timeout", reply.what)

    return without_reply


# --- the position's machine -------------------------------------------------------------------------------------------


def _cancel_before_place(old: Any) -> Any:
    def due(position: Position, instrument: Instrument, policy: Policy, now: Any, mark: Any) -> list[Command]:
        commands: list[Command] = old(position, instrument, policy, now, mark)
        places = any(isinstance(each, PlaceOrder) and each.leg is Leg.STOP for each in commands)
        old_ones = cancels(position, position.working(Leg.STOP), policy, now, "to be replaced")
        return old_ones if places and old_ones else commands

    return due


def _wanted_size(old: Any) -> Any:
    def place_stop(position: Position, trigger: Decimal) -> PlaceOrder:
        command: PlaceOrder = old(position, trigger)
        return replace(command, qty=max(position.wanted_qty, command.qty))

    return place_stop


def _close_what_is_foreign(old: Any) -> Any:
    def due(position: Position, *rest: Any) -> list[Command]:
        foreign = position.qty > 0 and not position.legs(Leg.ENTRY) and not position.legs(Leg.EXIT)
        return [place_exit(position, "not ours")] if foreign else old(position, *rest)

    return due


def _moves_away(old: Any) -> Any:
    def wanted(position: Position, rules: Any) -> Decimal:
        price: Decimal = old(position, rules)
        away = Decimal("0.98") if position.side is Side.LONG else Decimal("1.02")
        return price * away if position.entered_qty > position.qty else price

    return wanted


# --- reconcile and the stores -----------------------------------------------------------------------------------------


def _first_reading(_: Any) -> Any:
    return lambda now, book, reading: list(now)


def _ours_are_not_read(old: Any) -> Any:
    def new_fills(book: Any, reading: Any) -> Any:
        return old(book, SimpleNamespace(began_at=reading.began_at, fills=list(reading.fills)[:-1]))

    return new_fills


def _only_what_rests(old: Any) -> Any:
    """A symbol is free unless something of ours is live there."""

    def position_on(self: Any, symbol: str) -> Any:
        position = old(self, symbol)
        return None if position is not None and position.qty == 0 else position

    return position_on


MUTATIONS: dict[str, Mutation] = {
    "no-write-ahead": Mutation(
        says="an order is written down after it was sent",
        replaces={"live.execution:Execution._submit": _send_first},
        breaks=("was sent and never written down", "no worker could boot", "orders of another journal", "fills lost"),
        faults={"crash": 0.05},
    ),
    "no-expiry": Mutation(
        says="the venue is told an expiry of an hour",
        replaces={"live.execution:Execution._send": _without_expiry},
        breaks=("epochs went back", "rests at the venue", "two open positions"),
        faults={"late_request": 0.6, "crash": 0.08},
    ),
    "no-permit": Mutation(
        says="the lease is not asked before a send",
        replaces={"live.execution:Execution._send": _without_permit},
        breaks=("without a lease", "was heard at the venue", "without its lease"),
        faults={"lease_loss": 0.01},
    ),
    "latch-not-read-again": Mutation(
        says="a halt between the tick's look and the send is not seen",
        replaces={"live.journal:MemoryJournal.append_unless_halted": _deaf_to_the_latch},
        breaks=("while halted",),
        faults={"hand_halt": 0.2},
    ),
    "sent-again-under-a-new-id": Mutation(
        says="a lost reply is answered by another order",
        replaces={"live.execution:Execution._send": _sent_again},
        breaks=("was entered 2 times", "decided to enter"),
        faults={"lost_reply": 0.3},
    ),
    "timeout-as-rejection": Mutation(
        says="no reply is read as a refusal",
        replaces={"live.outcome:_without_reply": _silence_is_refusal},
        breaks=("is called refused", "rests at the venue"),
        faults={"lost_reply": 0.4, "late_request": 0.2},
    ),
    "cancel-is-done": Mutation(
        says="any answer to a cancel, or none, means that the order is gone",
        replaces={"live.execution:Execution._cancelled": _cancel_is_done},
        breaks=("is called cancelled, and rests", "rests at the venue"),
        faults={"lost_cancel": 0.6},
    ),
    "cancel-before-place": Mutation(
        says="a stop is replaced by taking the old one away first",
        replaces={"live.position.protection:_protection_due": _cancel_before_place},
        breaks=("the only stop of an open position",),
        faults={"price_move": 0.15},
    ),
    "stop-of-the-wanted-size": Mutation(
        says="the stop has the size that the intent wanted, not the one that is held",
        replaces={"live.position.protection:place_stop": _wanted_size},
        breaks=("stops [", "nothing happened, and yet", "naked"),
        faults={"partial_fill": 1.0, "price_move": 0.1, "crash": 0.03},
    ),
    "naked-bound-ignored": Mutation(
        says="a position whose stops are refused is never closed",
        replaces={"live.position.protection:_why_give_up": always(None)},
        breaks=("naked for",),
        faults={"refused_stop": 0.97},
    ),
    "foreign-position-closed": Mutation(
        says="a position that a person opened is closed",
        replaces={"live.position.protection:_protection_due": _close_what_is_foreign},
        breaks=("that nobody asked to close",),
        faults={"hand_trade": 0.02},
    ),
    "stop-moves-away": Mutation(
        says="a stop may move away from the market",
        replaces={"live.position.protection:wanted_stop": _moves_away},
        breaks=("moved away",),
        faults={"price_move": 0.15},
    ),
    "empty-book-trusted": Mutation(
        says="one reading is believed, and an empty list is a flat account",
        replaces={"live.reconcile:confirmed": _first_reading},
        breaks=("corrected to flat", "the only stop", "contradict"),
        faults={"empty_positions": 0.05},
    ),
    "no-doubt": Mutation(
        says="two readings are believed, however short after each other",
        replaces={"live.reconcile:Difference.patience": constant(property(lambda _: timedelta(0)))},
        breaks=("corrected to flat", "the only stop", "contradict"),
        faults={"empty_positions": 0.05},
    ),
    "fills-not-deduplicated": Mutation(
        says="a fill that is told twice counts twice",
        replaces={
            "live.book:Book.knows_fill": always(False),
            "live.journal:without_repeats": constant(list),
            "live.journal:MemoryJournal._is_known": always(False),
        },
        breaks=("fills recorded twice", "contradict"),
        faults={"repeated_fill": 0.5},
    ),
    "newest-fill-dropped": Mutation(
        says="the last fill of a list is not read",
        replaces={"live.reconcile:new_fills": _ours_are_not_read},
        breaks=("fills lost", "naked"),
        faults={},
    ),
    "stale-epoch-accepted": Mutation(
        says="the database takes what an old holder writes, and nobody asks the venue for a newer one",
        replaces={
            "live.journal:MemoryJournal._check_fence": always(None),
            "live.reconciler:Reconciler.require_latest": always(None),
        },
        breaks=("the journal took", "that was overtaken went on", "without its lease finished"),
        faults={"pause": 0.003, "suspend": 0.003},
    ),
    "grace-skipped": Mutation(
        says="a successor starts at once, and does not wait for what its predecessor sent",
        replaces={
            "tests.simulation.life:_downtime": always(0.0),
            "live.live_trading:LiveTrading.has_undecided_orders": always(False),
        },
        breaks=("epochs went back",),
        faults={"late_request": 0.5, "crash": 0.03},
        settings={"live_request_expiry_seconds": 4.0},  # long enough for a successor to boot meanwhile
    ),
    "orders-in-flight-do-not-count": Mutation(
        says="an entry that has not filled is no exposure and no position",
        replaces={
            "live.book:Book.position_on": _only_what_rests,
            "live.risk.sizing:committed_notional": always(Decimal(0)),
        },
        breaks=("two open positions", "brought the exposure", "positions, ", "book "),
        faults={"late_fill": 0.5},
    ),
    "equity-not-marked": Mutation(
        says="equity is marked once a day only",
        replaces={"live.live_trading:EQUITY_EVERY": constant(timedelta(days=1))},
        breaks=("equity mark is",),
        faults={},
    ),
}

"""LiveTrading with its real rooms on a hand-driven clock and market: golden path, restarts, halts, bad venues."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from live.events import Decided, Event, Filled, OrderIntended, WorkerStopped
from live.execution import ROUNDS
from live.journal import MemoryJournal, MemoryStore
from live.live_trading import LiveTrading
from live.model import (
    Candle,
    Fill,
    Instrument,
    Leg,
    OrderSide,
    OrderSpec,
    Rejected,
    SubmitOutcome,
    Ticker,
    Unknown,
    VenueOrder,
    VenuePosition,
)
from live.paper import PaperVenue, ScenarioMarket
from live.position import OrderStatus, Phase
from live.report import Identity
from live.settings import Settings
from live.simulator.orders import Quote
from live.simulator.scenarios import make_scenario
from live.venue import Permit
from prodsafe.errors import GateRefused, LeaseLost, RefusalKind, VenueUnreadable

BEGAN = datetime(2026, 3, 2, 12, 1, tzinfo=UTC)
BTC = "BTC/USD:USD"
SETTINGS = Settings(live_symbols=(BTC,))
UNREADABLE = RefusalKind("V01", "venue-unreadable")


class HandClock:
    """Time moves when a test says so, or when the code under test sleeps."""

    def __init__(self) -> None:
        self.time = BEGAN

    def now(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.pass_(seconds)

    def pass_(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class HandMarket(ScenarioMarket):
    """The scenario's candles, and a price that stays where the test puts it."""

    def __init__(self, clock: HandClock) -> None:
        super().__init__(make_scenario("still", seed=1, began_at=BEGAN), clock=clock)
        self.price: Decimal | None = None

    async def tickers(self, symbols: Sequence[str]) -> dict[str, Ticker]:
        seen = await super().tickers(symbols)
        if self.price is None:
            return seen
        return {
            symbol: Ticker(symbol, self.price, self.price - 1, self.price + 1, ticker.read_at)
            for symbol, ticker in seen.items()
        }


class FaultyVenue(PaperVenue):
    """Our paper venue with the faults that a test asks for; `sent` is what reached it."""

    def __init__(self, market: HandMarket, clock: HandClock) -> None:
        super().__init__(market, clock=clock)
        self.sent: list[OrderSpec] = []
        self.lost_replies = 0
        self.lost_requests = 0
        self.refused_legs: set[Leg] = set()
        self.new_tick: Decimal | None = None
        self.unreadable = False
        self.shown_flat = False
        self.positions_unreadable = False
        self.offset_seconds = 0.0

    @property
    def clock_offset_seconds(self) -> float:
        return self.offset_seconds

    async def submit(self, spec: OrderSpec, *, expires_at: datetime, permit: Permit) -> SubmitOutcome:
        if spec.leg in self.refused_legs or (self.new_tick and (spec.trigger_price or 0) % self.new_tick):
            return Rejected("invalidPrice", "no")
        if self.lost_requests:
            self.lost_requests -= 1
            return Unknown("request lost on the way")
        self.sent.append(spec)
        outcome = await super().submit(spec, expires_at=expires_at, permit=permit)
        if self.lost_replies:
            self.lost_replies -= 1
            return Unknown("no reply")
        return outcome

    async def instruments(self) -> dict[str, Instrument]:
        listed = await super().instruments()
        tick = self.new_tick
        return {symbol: replace(each, tick_size=tick or each.tick_size) for symbol, each in listed.items()}

    async def open_orders(self) -> list[VenueOrder]:
        if self.unreadable:
            raise VenueUnreadable(UNREADABLE.because("degraded reply", mend="wait"))
        return await super().open_orders()

    async def positions(self) -> list[VenuePosition]:
        if self.positions_unreadable:
            raise VenueUnreadable(UNREADABLE.because("degraded reply", mend="wait"))
        return [] if self.shown_flat else await super().positions()


class Stage:
    """One account: a market, a venue and a store that outlive the workers that come and go."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.market = HandMarket(self.clock)
        self.venue = FaultyVenue(self.market, self.clock)
        self.store = MemoryStore()
        self.lease_held = True
        self.alerts: list[str] = []
        self.said: list[str] = []

    def worker(self, settings: Settings = SETTINGS) -> LiveTrading:
        holder = uuid4()
        epoch = self.store.take("scope", holder)
        journal = MemoryJournal(self.store, scope="scope", epoch=epoch, holder=holder, clock=self.clock.now)
        return LiveTrading(
            settings=settings,
            identity=Identity(
                scope="scope", scope_hash="abc", epoch=epoch, holder=str(holder), predecessor_clean=True,
                host="h", pid=1, version="0",
            ),
            journal=journal,
            venue=self.venue,
            clock=self.clock,
            permit=self.permit,
            lease_is_fresh=lambda: self.lease_held,
            narrate=self.said.append,
            alert=lambda _key, text: self.alerts.append(text),
            tell=lambda notice: self.alerts.append(notice.text),
        )  # fmt: skip

    def permit(self) -> None:
        if not self.lease_held:
            raise LeaseLost(RefusalKind("L02", "lease-lost").because("test", mend="restart"))

    async def booted(self, settings: Settings = SETTINGS) -> LiveTrading:
        worker = self.worker(settings)
        await worker.boot()
        return worker

    async def ticked(self, worker: LiveTrading, times: int = 1, seconds: float = 1) -> None:
        for _ in range(times):
            self.clock.pass_(seconds)
            await worker.tick()

    async def entered(self) -> LiveTrading:
        """A booted worker whose entry rests at the venue."""
        worker = await self.booted()
        await self.ticked(worker)
        assert [spec.leg for spec in self.venue.sent] == [Leg.ENTRY]
        return worker

    async def protected(self) -> LiveTrading:
        """A booted worker that holds a protected position."""
        worker = await self.entered()
        self.market.price = self.venue.sent[0].limit_price
        await self.ticked(worker, 2)
        assert the_position(worker).phase is Phase.PROTECTED
        return worker

    async def trade_by_hand(self, side: OrderSide, qty: Decimal = Decimal("0.5"), symbol: str = BTC) -> None:
        """A market order of a person at the venue's web page."""
        instrument = (await self.venue.instruments())[symbol]
        (ticker,) = (await self.market.tickers([symbol])).values()
        price, venue = ticker.mark_price, self.venue._venue
        assert venue is not None
        venue.tick(instrument.venue_id, Quote(price, price, price, price, price), self.clock.now())
        venue.trade_by_hand("paper", instrument.venue_id, side, qty, price, self.clock.now())

    async def events(self, worker: LiveTrading) -> list[Event]:
        return list((await worker._journal.load()).events)


def the_position(worker: LiveTrading):  # type: ignore[no-untyped-def]
    (position,) = worker.book.positions.values()
    return position


def live_stops(worker: LiveTrading) -> list[OrderSpec]:
    return [o.spec for o in worker.book.working_orders() if o.spec.leg is Leg.STOP and o.status is OrderStatus.LIVE]


# --- the golden path --------------------------------------------------------------------------------------------------


async def test_a_signal_becomes_an_entry_then_a_protected_position_then_a_closed_one() -> None:
    stage = Stage()
    worker = await stage.protected()
    position = the_position(worker)
    stops = live_stops(worker)
    assert [stop.qty for stop in stops] == [position.qty]

    for target in position.targets:
        stage.market.price = target.price + 1
        await stage.ticked(worker, 3)

    assert the_position(worker).phase is Phase.CLOSED
    assert the_position(worker).realised_quote > 0
    assert await stage.venue.positions() == []
    assert await stage.venue.open_orders() == []


async def test_every_order_was_written_down_before_it_left() -> None:
    """Write, then act: peers send first (trading.md row 2)."""
    stage = Stage()
    worker = await stage.protected()

    written = [event.spec.client_order_id for event in await stage.events(worker) if isinstance(event, OrderIntended)]

    assert written == [spec.client_order_id for spec in stage.venue.sent]


async def test_a_stop_that_the_venue_refuses_for_its_price_is_placed_on_the_contracts_new_tick() -> None:
    """The venue's tick became coarser while the entry rested: the list is read again at once, though a stop is due."""
    stage = Stage()
    worker = await stage.entered()
    stage.venue.new_tick = Decimal(7)
    stage.market.price = stage.venue.sent[0].limit_price

    await stage.ticked(worker, 5)

    (stop,) = live_stops(worker)
    assert stop.trigger_price is not None and stop.trigger_price % 7 == 0
    assert the_position(worker).phase is Phase.PROTECTED
    assert not the_position(worker).legs(Leg.EXIT)
    assert worker.book.naked_seconds_max <= 4


async def test_why_a_candle_was_not_taken_is_recorded_once_per_candle() -> None:
    stage = Stage()
    worker = await stage.booted()
    await stage.ticked(worker, 3)
    stage.clock.time = BEGAN + timedelta(minutes=15)
    await stage.ticked(worker, 3)

    decisions = [event for event in await stage.events(worker) if isinstance(event, Decided)]

    assert [decision.taken for decision in decisions] == [True, False]
    assert decisions[1].reasons
    assert [decision.code for decision in decisions] == ["signal", "no-sweep"]


async def test_a_tick_is_one_line() -> None:
    stage = Stage()
    worker = await stage.booted()
    stage.said.clear()

    await stage.ticked(worker, 3)

    assert len(stage.said) == 3


# --- restarts ---------------------------------------------------------------------------------------------------------


async def test_a_successor_keeps_the_one_stop_and_adds_nothing() -> None:
    """nautilus 4736: a warm restart with an open position must change nothing."""
    stage = Stage()
    await stage.protected()
    sent = len(stage.venue.sent)

    successor = await stage.booted()
    await stage.ticked(successor, 3)

    assert len(stage.venue.sent) == sent
    assert the_position(successor).phase is Phase.PROTECTED


async def test_a_fill_while_nobody_was_there_is_protected_by_the_successor() -> None:
    stage = Stage()
    await stage.entered()
    stage.market.price = stage.venue.sent[0].limit_price
    stage.clock.pass_(30)

    successor = await stage.booted()

    assert the_position(successor).phase is Phase.PROTECTED
    assert [spec.leg for spec in stage.venue.sent].count(Leg.STOP) == 1


async def test_a_signal_taken_before_the_crash_is_not_taken_again() -> None:
    """I31: the same signal every cycle; freqtrade 7184: the entry is sent twice after a crash."""
    stage = Stage()
    await stage.entered()

    successor = await stage.booted()
    await stage.ticked(successor, 3)

    assert [spec.leg for spec in stage.venue.sent].count(Leg.ENTRY) == 1


async def test_a_crash_between_writing_and_sending_loses_nothing_and_sends_nothing() -> None:
    stage = Stage()
    worker = await stage.booted()
    stage.lease_held = False
    with pytest.raises(LeaseLost):
        await stage.ticked(worker)
    assert stage.venue.sent == [] or await stage.venue.open_orders() == []

    stage.lease_held = True
    successor = await stage.booted()

    assert the_position(successor).phase is Phase.CANCELLED
    assert await stage.venue.open_orders() == []


# --- lost replies -----------------------------------------------------------------------------------------------------


async def test_a_lost_reply_is_answered_by_a_look_up_never_by_a_second_submit() -> None:
    """W29; hummingbot 8457; trading.md rows 5 and 19."""
    stage = Stage()
    stage.venue.lost_replies = 1
    worker = await stage.booted()

    await stage.ticked(worker, 3)

    assert [spec.leg for spec in stage.venue.sent] == [Leg.ENTRY]
    assert next(iter(the_position(worker).orders.values())).status is OrderStatus.LIVE


async def test_a_lost_request_is_proven_never_to_have_arrived_only_after_its_expiry() -> None:
    stage = Stage()
    stage.venue.lost_requests = 1
    worker = await stage.booted()
    await stage.ticked(worker, 2)
    assert the_position(worker).phase is Phase.ENTERING, "before its expiry it may still arrive"

    await stage.ticked(worker, 4)

    assert the_position(worker).phase is Phase.CANCELLED
    assert stage.venue.sent == []


# --- protection -------------------------------------------------------------------------------------------------------


async def test_stops_that_keep_being_refused_end_in_a_market_exit() -> None:
    """freqtrade 12610: an unforeseen error class left positions unprotected."""
    stage = Stage()
    worker = await stage.entered()
    stage.venue.refused_legs = {Leg.STOP}
    stage.market.price = stage.venue.sent[0].limit_price

    await stage.ticked(worker, 12)

    assert the_position(worker).phase is Phase.CLOSED
    assert await stage.venue.positions() == []


async def test_a_position_that_a_list_no_longer_shows_keeps_its_stop_until_time_has_told() -> None:
    """W3: one degraded reply was read as flat and every stop was cancelled."""
    stage = Stage()
    worker = await stage.protected()
    stops = {spec.client_order_id for spec in live_stops(worker)}
    stage.venue.shown_flat = True

    await stage.ticked(worker, 30)
    assert the_position(worker).qty > 0
    assert stops <= {order.client_order_id for order in await stage.venue.open_orders()}
    await stage.ticked(worker, 40)

    assert the_position(worker).qty == 0
    assert not stops & {order.client_order_id for order in await stage.venue.open_orders()}


async def test_orders_in_our_name_that_the_journal_lacks_refuse_the_boot_before_anything_is_sent() -> None:
    """Two databases, one account: the second worker must not take over what the first one sent."""
    stage = Stage()
    await stage.protected()
    sent = len(stage.venue.sent)
    stage.store = MemoryStore()

    with pytest.raises(VenueUnreadable, match="R04"):
        await stage.booted()

    assert len(stage.venue.sent) == sent


async def test_no_position_lets_commands_feed_themselves() -> None:
    stage = Stage()
    worker = await stage.protected()

    before = len(stage.venue.sent)
    await stage.ticked(worker, ROUNDS)

    assert len(stage.venue.sent) == before


# --- halts ------------------------------------------------------------------------------------------------------------


async def test_halted_means_no_entry_and_exits_stay() -> None:
    """I15, W19: a kill switch that a running bot never reads."""
    stage = Stage()
    worker = await stage.booted()
    await worker._journal.halt("test", by="person")

    await stage.ticked(worker, 3)

    assert stage.venue.sent == []
    assert worker.status.halted


async def test_halting_takes_a_resting_entry_back() -> None:
    stage = Stage()
    worker = await stage.entered()
    await worker._journal.halt("test", by="person")

    await stage.ticked(worker, 2)

    assert await stage.venue.open_orders() == []


async def test_a_loss_beyond_the_halt_limit_latches_and_no_restart_forgives_it() -> None:
    """I12, W4, W25."""
    stage = Stage()
    worker = await stage.protected()
    worker.book.note_equity(Decimal(1))
    stage.venue._balance_quote = Decimal(1)
    venue = stage.venue._venue
    assert venue is not None
    venue.accounts["paper"].cash = Decimal(5000)

    await stage.ticked(worker, 2)
    successor = await stage.booted()

    assert worker.status.halted and "drawdown" in (worker.status.halt_reason or "")
    assert successor._latch.halted
    assert live_stops(successor), "a halt never removes a stop (W2, I35)"


async def test_a_person_who_resumes_starts_the_marks_anew() -> None:
    """I35: a permanent halt loop."""
    stage = Stage()
    worker = await stage.booted()
    await stage.ticked(worker)
    venue = stage.venue._venue
    assert venue is not None
    venue.accounts["paper"].cash = Decimal(5000)
    await stage.ticked(worker, 2)
    halt = await worker._journal.latch()
    assert halt.halted

    await worker._journal.resume("seen", by="person", seen_id=halt.id)
    await stage.ticked(worker, 3)

    assert not worker.status.halted


# --- bad venues -------------------------------------------------------------------------------------------------------


async def test_an_unreadable_venue_at_boot_refuses_and_sends_nothing() -> None:
    stage = Stage()
    stage.venue.unreadable = True

    with pytest.raises(VenueUnreadable):
        await stage.booted()

    assert stage.venue.sent == []


async def test_a_venue_that_becomes_unreadable_is_waited_for_without_decisions() -> None:
    """W3: a degraded reply is never read as flat."""
    stage = Stage()
    worker = await stage.protected()
    sent = len(stage.venue.sent)
    stage.venue.unreadable = True

    await stage.ticked(worker, 5)
    assert not worker.status.venue_readable
    assert len(stage.venue.sent) == sent

    stage.venue.unreadable = False
    await stage.ticked(worker, 1)
    assert worker.status.venue_readable


async def test_a_clock_that_differs_from_the_venues_refuses_the_boot() -> None:
    stage = Stage()
    stage.venue.offset_seconds = 3.0

    with pytest.raises(VenueUnreadable, match="R03"):
        await stage.booted()


async def test_a_symbol_that_the_venue_does_not_list_refuses_the_boot() -> None:
    stage = Stage()

    with pytest.raises(GateRefused, match="R01"):
        await stage.booted(replace(SETTINGS, live_symbols=("DOGE/USD:USD",)))


async def test_losing_the_lease_stops_sends_and_leaves_the_stops() -> None:
    """W2: lock loss once flattened a whole book."""
    stage = Stage()
    worker = await stage.protected()
    stops = live_stops(worker)
    stage.lease_held = False
    stage.market.price = the_position(worker).targets[0].price + 1

    with pytest.raises(LeaseLost):
        await stage.ticked(worker, 3)

    resting = {order.client_order_id for order in await stage.venue.open_orders()}
    assert {stop.client_order_id for stop in stops} <= resting


async def split(stage: Stage) -> LiveTrading:
    """A successor on a promoted copy of the store, as after an asynchronous failover; the old one is not told."""
    stage.store = deepcopy(stage.store)
    return await stage.booted()


async def test_a_later_holders_order_at_the_venue_ends_the_old_one_which_sends_and_removes_nothing() -> None:
    """An isolated old primary keeps the old holder's beats and writes succeeding; only the venue knows better."""
    stage = Stage()
    old = await stage.entered()
    new = await split(stage)
    stage.market.price = stage.venue.sent[0].limit_price
    await stage.ticked(new, 2)
    assert the_position(new).phase is Phase.PROTECTED
    sent, resting = len(stage.venue.sent), await stage.venue.open_orders()

    with pytest.raises(LeaseLost, match="R05 superseded-at-venue") as ended:
        await stage.ticked(old)

    assert ended.value.exit_code == 5
    assert (len(stage.venue.sent), await stage.venue.open_orders()) == (sent, resting)
    assert any("a later holder" in alert for alert in stage.alerts)


async def test_a_fill_of_a_later_holder_is_as_good_a_witness() -> None:
    stage = Stage()
    old = await stage.entered()
    new = await split(stage)
    stage.market.price = stage.venue.sent[0].limit_price
    await stage.ticked(new, 2)
    (stop,) = live_stops(new)
    assert stop.trigger_price is not None
    stage.market.price = stop.trigger_price - 100
    await stage.ticked(new, 2)
    assert await stage.venue.open_orders() == []

    with pytest.raises(LeaseLost, match="R05"):
        await stage.ticked(old)


async def test_one_readable_list_is_enough_to_know_of_a_later_holder() -> None:
    """Positions or an account that cannot be read must not let a superseded worker go on protecting half blind."""
    stage = Stage()
    old = await stage.entered()
    new = await split(stage)
    stage.market.price = stage.venue.sent[0].limit_price
    await stage.ticked(new, 2)
    stage.venue.positions_unreadable = True

    with pytest.raises(LeaseLost, match="R05"):
        await stage.ticked(old)


async def test_a_superseded_worker_that_is_restarted_is_refused_before_it_sends() -> None:
    stage = Stage()
    await stage.entered()
    isolated = stage.store
    new = await split(stage)
    stage.market.price = stage.venue.sent[0].limit_price
    await stage.ticked(new, 2)
    sent = len(stage.venue.sent)
    stage.store = isolated
    stage.store.holders["scope"] = (0, uuid4())  # the promoted side leapt ahead: see prodsafe.next_epoch

    with pytest.raises(LeaseLost, match="R05"):
        await stage.booted()

    assert len(stage.venue.sent) == sent


# --- stopping ---------------------------------------------------------------------------------------------------------


async def test_a_clean_stop_takes_entries_back_and_keeps_protection() -> None:
    stage = Stage()
    worker = await stage.entered()

    worker.stop()
    await worker.run()

    assert await stage.venue.open_orders() == []
    assert not worker.has_undecided_orders()
    assert isinstance((await stage.events(worker))[-1], WorkerStopped)


async def test_a_clean_stop_with_a_position_leaves_its_stop_resting() -> None:
    stage = Stage()
    worker = await stage.protected()

    worker.stop()
    await worker.run()

    assert [o.type for o in await stage.venue.open_orders() if o.type == "stop"] == ["stop"]


async def test_a_candle_that_a_tick_would_hear_after_sigterm_is_left_for_the_successor() -> None:
    """SIGTERM in mid-tick: what the tick has not considered yet leads to no entry, and is not used up either."""
    stage = Stage()
    worker = await stage.booted()
    look = stage.venue.open_orders

    async def look_while_sigterm_arrives() -> list[VenueOrder]:
        worker.stop()
        return await look()

    stage.venue.open_orders = look_while_sigterm_arrives  # type: ignore[method-assign]
    stage.clock.pass_(1)
    await worker.run()
    assert worker.status.state == "stopped"
    assert (stage.venue.sent, list(stage.store.candles)) == ([], [])
    assert not [event for event in await stage.events(worker) if isinstance(event, Decided)]

    stage.venue.open_orders = look  # type: ignore[method-assign]
    await stage.entered()


async def test_the_venues_fills_and_the_journals_are_the_same() -> None:
    stage = Stage()
    worker = await stage.protected()

    recorded = {e.fill.fill_id for e in await stage.events(worker) if isinstance(e, Filled)}

    assert recorded == {fill.fill_id for fill in await stage.venue.fills(since=BEGAN)}


# --- found by the simulation ------------------------------------------------------------------------------------------


async def test_a_halt_between_the_look_at_the_latch_and_the_send_counts() -> None:
    stage = Stage()
    worker = await stage.booted()
    read = stage.market.candles

    async def candles_while_somebody_halts(*asked: Any, **more: Any) -> list[Candle]:
        await worker._journal.halt("in the last moment", by="person")
        return await read(*asked, **more)

    stage.market.candles = candles_while_somebody_halts  # type: ignore[method-assign]
    await stage.ticked(worker)

    (decision,) = [event for event in await stage.events(worker) if isinstance(event, Decided)]
    assert stage.venue.sent == []
    assert not decision.taken
    assert "denied halted: in the last moment" in decision.reasons
    assert decision.code == "halted"


async def test_a_decision_and_the_order_it_leads_to_are_written_together_or_not_at_all() -> None:
    """A crash between the two lost the signal: decided, never sent, and never decided again."""
    stage = Stage()
    worker = await stage.booted()
    batches: list[list[str]] = []
    append = worker._journal.append

    async def noted(events: Sequence[Event]) -> None:
        batches.append([event.kind for event in events])
        await append(events)

    worker._journal.append = noted  # type: ignore[method-assign]
    await stage.ticked(worker)

    assert ["decided", "intent_approved", "order_intended"] in batches


async def test_the_candles_of_one_tick_are_kept_together_also_when_the_venue_falls_silent_among_them() -> None:
    """The engine has read them, so nobody would ask for them again."""
    stage = Stage()
    worker = await stage.booted(replace(SETTINGS, live_symbols=(BTC, "ETH/USD:USD", "SOL/USD:USD")))
    await stage.ticked(worker)
    warmed_up, batches = len(stage.store.candles), []
    save, read = worker._journal.save_candles, stage.market.candles

    async def noted(candles: Sequence[Candle]) -> None:
        batches.append([candle.symbol for candle in candles])
        await save(candles)

    async def falling_silent(symbol: str, *asked: Any, **more: Any) -> list[Candle]:
        if symbol == "SOL/USD:USD":
            raise VenueUnreadable(UNREADABLE.because("degraded reply", mend="wait"))
        return await read(symbol, *asked, **more)

    worker._journal.save_candles = noted  # type: ignore[method-assign]
    stage.market.candles = falling_silent  # type: ignore[method-assign]
    await stage.ticked(worker, seconds=worker._feeds[0]._timeframe.total_seconds())

    assert batches == [[BTC, "ETH/USD:USD"]]
    assert len(stage.store.candles) == warmed_up + 2


async def test_a_row_that_contradicts_the_others_freezes_its_own_symbol_only() -> None:
    """I43: every symbol was frozen, for the row's symbol was not looked for."""
    settings = Settings(live_symbols=(BTC, "ETH/USD:USD"))
    stage = Stage()
    worker = await stage.protected()
    (known,) = [event for event in await stage.events(worker) if isinstance(event, Filled)]
    stranger = replace(known, client_order_id="ps-zzz-1-1-e", fill=replace(known.fill, fill_id="x"))
    await worker._journal.append([stranger])

    successor = await stage.booted(settings)

    assert set(successor.book.frozen) == {BTC}


async def test_a_resumption_counts_though_the_databases_clock_is_behind_ours() -> None:
    """I35: the marks stayed where they were, and the worker halted again at once, for ever."""
    stage = Stage()
    worker = await stage.booted()
    await stage.ticked(worker)
    worker._journal._clock = lambda: BEGAN - timedelta(hours=1)  # type: ignore[attr-defined]
    venue = stage.venue._venue
    assert venue is not None
    venue.accounts["paper"].cash = Decimal(5000)
    await stage.ticked(worker, 2)
    assert worker.status.halted

    await worker._journal.resume("seen", by="person", seen_id=(await worker._journal.latch()).id)
    await stage.ticked(worker, 3)

    assert not worker.status.halted


async def test_fills_that_the_venue_owes_are_asked_for_however_old_they_are() -> None:
    """A fill told after ten minutes was outside every later reading, and its order worked on for ever."""
    stage = Stage()
    worker = await stage.entered()
    read, hidden = stage.venue.fills, True

    async def fills(*, since: datetime) -> list[Fill]:
        return [] if hidden else await read(since=since)

    stage.venue.fills = fills  # type: ignore[method-assign]
    stage.market.price = stage.venue.sent[0].limit_price
    await stage.ticked(worker, 1)
    stage.venue.shown_flat = True  # the sizes agree, so that nothing but the fill is missing
    await stage.ticked(worker, 30, seconds=60)

    hidden, stage.venue.shown_flat = False, False
    await stage.ticked(worker, 1)

    assert [event.fill.qty for event in await stage.events(worker) if isinstance(event, Filled)]
    assert the_position(worker).phase is Phase.PROTECTED

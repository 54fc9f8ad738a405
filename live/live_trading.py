"""LiveTrading: boot, tick, drain. Data, strategy, risk and execution in one loop. [S]

A tick is one sentence: look at the venue, reconcile the book with it, check the limits, protect what is held, consider
what the candles say, report. What is expected to fail comes as a value; anything else stops the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from live import boot, flatten, report
from live.book import Book, next_mark
from live.clock import Clock
from live.dead_man import DeadMan
from live.decisions import Decider
from live.events import Event, FlattenDone, OrderRejected, WorkerStarted, WorkerStopped
from live.execution import Execution
from live.journal import Journal
from live.listing_watch import ListingWatch
from live.look import Look, Lookout
from live.market import timeframe
from live.meters import Meters
from live.notices import Notice
from live.order_id import OrderIds
from live.position import policy_of
from live.reconcile import UNEXPLAINED, ForeignPolicy, may_cover, shown
from live.reconciler import Reconciler
from live.report import Identity
from live.risk import breaches
from live.settings import Settings
from live.smc.parameters import SmcParameters
from live.standing import Senses, degraded, hold_on_entries
from live.status import Halt, HaltCause
from live.strategy import Feed
from live.venue import Permit, Venue
from live.witness import Witness
from prodsafe.errors import VenueUnreadable

EQUITY_EVERY = timedelta(minutes=1)
MEASURES_REFUSED = frozenset({"invalidPrice", "invalidSize"})  # as Kraken Futures says it
VENUE_DELAY = timedelta(seconds=1)  # how long the venue may take to show an order that it accepted in time


def collect_garbage() -> None:
    """For a pause, in which it delays nothing; left to itself the collector takes its turns in the midst of a look."""
    oldest, due = 2, gc.get_threshold()
    gc.collect(oldest if gc.get_count()[oldest] >= due[oldest] else oldest - 1)


class LiveTrading:
    """The one loop that trades an account. Everything it touches is handed in; it reads no environment."""

    def __init__(
        self,
        *,
        settings: Settings,
        identity: Identity,
        journal: Journal,
        venue: Venue,
        clock: Clock,
        permit: Permit,
        lease_is_fresh: Callable[[], bool],
        narrate: Callable[[str], None],
        alert: Callable[[str, str], None],
        parameters: SmcParameters | None = None,
        alerts_failing: Callable[[], bool] = lambda: False,
        tell: Callable[[Notice], None] = lambda _: None,
        meters: Meters | None = None,
    ) -> None:
        self.settings = settings
        self.identity = identity
        self.book = Book()
        self.status = report.starting(identity, settings, clock.now())
        self._journal = journal
        self._venue = venue
        self._clock = clock
        self._lease_is_fresh = lease_is_fresh
        self._alerts_failing = alerts_failing
        self._narrate_outside = narrate
        self._alert = alert
        self._parameters = parameters or SmcParameters(timeframe=timeframe(settings.live_timeframe))
        self._latch = Halt()
        self._resumed = False
        self._stopping = asyncio.Event()
        self._awake = asyncio.Event()
        self._actions: list[str] = []
        self._unreadable_ticks = 0
        self._flat_at_last_look: set[int] = set()
        self._meters = meters or Meters()
        self._witness = Witness(book=self.book, meters=self._meters, tell=tell)
        self._allowance = timedelta(seconds=settings.live_clock_skew_seconds) + VENUE_DELAY
        self._execution = Execution(
            journal=journal,
            venue=venue,
            book=self.book,
            clock=clock,
            permit=permit,
            order_ids=OrderIds(identity.scope_hash, identity.epoch),
            request_expiry=timedelta(seconds=settings.live_request_expiry_seconds),
            narrate=self._narrate,
            alert=alert,
            witness=self._saw,
        )
        self._reconciler = Reconciler(
            book=self.book,
            venue=venue,
            execution=self._execution,
            clock=clock,
            scope_hash=identity.scope_hash,
            epoch=identity.epoch,
            foreign=ForeignPolicy(settings.live_foreign_positions == "adopt", settings.live_adopted_stop_pct),
            allowance=self._allowance,
            narrate=self._narrate,
            alert=alert,
        )
        self._dead_man = DeadMan(
            settings.live_dead_man_seconds,
            book=self.book,
            clock=clock,
            set_switch=self._execution.set_dead_man,
            narrate=self._narrate,
        )
        self._listing = ListingWatch(
            venue=venue, book=self.book, clock=clock, settings=settings, narrate=self._narrate, alert=alert
        )
        self._lookout = Lookout(venue=venue, reconciler=self._reconciler, clock=clock, symbols=settings.live_symbols)
        self._feeds = [self._feed(symbol) for symbol in settings.live_symbols]
        self._decider = Decider(
            feeds=self._feeds,
            book=self.book,
            journal=journal,
            execution=self._execution,
            clock=clock,
            settings=settings,
            narrate=self._narrate,
            stopping=self._stopping.is_set,
        )

    # --- the life of the worker

    async def boot(self) -> None:
        """Fold the journal, read the venue, reconcile until both agree. Sends no entry.

        Raises VenueUnreadable when the venue cannot be read well enough, GateRefused for a symbol it does not list.
        """
        self._observe(state="reconciling")
        await self._fold_journal()
        await self._execution.record(self._started())
        await self._listing.read()
        boot.require_listed(self.settings.live_symbols, self._listing.instruments)
        await self._reconcile_at_boot()
        if self._stopping.is_set():
            return
        self._observe(state="running", reconciled=True)
        await self._save_status()

    async def run(self, *, until: Callable[[], bool] = lambda: False) -> None:
        """After `boot`: tick until `stop` or `until`, then drain. Raises what ends it early: LeaseLost, or a bug."""
        while not self._stopping.is_set() and not until():
            await self.tick()
            await self._pause()
        self.stop()
        await self.drain()

    async def tick(self) -> None:
        """One look and everything that follows from it."""
        began_at = self._clock.now()
        await self._hear_people()
        try:
            look = await self._lookout.look()
            await self._reconcile(look)
            await self._check_limits(look)
            await self._dead_man.tend(look.reading)
            await self._protect(look)
            await self._listing.refresh()
            await self._finish_flattens(look)
            await self._consider(look)
        except VenueUnreadable as unreadable:
            self._unreadable_ticks += 1
            self._observe(venue_readable=False)
            self._narrate(f"venue unreadable: {unreadable.refusals[0].cause}")
            await self._dead_man.tend(None)
            await self._protect(None)  # what is known to be naked is protected even half blind: it only reduces
        else:
            self._unreadable_ticks = 0
            self._note(venue_readable=True)
        await self._report(began_at)

    async def drain(self) -> None:
        """Take resting entries back, resolve what is in flight, see every position protected; then stop for good.

        Bounded also where a look hangs: a request cut off then stays undecided, so that the lease is not released.
        """
        self._observe(state="draining")
        self._narrate("draining: no new entries")
        try:
            async with asyncio.timeout(self.settings.live_drain_seconds) as bound:
                await self._drain_until(self._clock.now() + timedelta(seconds=self.settings.live_drain_seconds))
        except TimeoutError:
            if not bound.expired():
                raise
            self._narrate(f"draining was cut off after {self.settings.live_drain_seconds:g} s")
        left = [f"{position.symbol} {position.phase}" for position in self.book.open_positions()]
        await self._execution.record(WorkerStopped(at=self._clock.now(), reason=f"stopped; holds {left or 'nothing'}"))
        self._observe(state="stopped")
        self._log_actions()
        await self._save_status()

    def stop(self) -> None:
        """Ask for a clean stop; `run` drains and returns."""
        self._stopping.set()
        self._awake.set()

    def look_soon(self) -> None:
        """A hint that something happened at the venue: the pause between two ticks ends, and nothing else."""
        self._awake.set()

    def has_undecided_orders(self) -> bool:
        """Whether a request of ours may still be on its way to the venue."""
        return any(order.is_unresolved for order in self.book.working_orders())

    @property
    def has_sent(self) -> bool:
        """Whether anything was ever sent to the venue in this epoch."""
        return self._execution.has_sent

    # --- boot

    async def _fold_journal(self) -> None:
        loaded = await self._journal.load()
        for frozen in boot.fold_journal(self.book, loaded, self.settings.live_symbols, self._clock.now()):
            self._alert(f"journal {frozen.symbol}", frozen.reason)
            await self._execution.record(frozen)

    def _started(self) -> WorkerStarted:
        who = self.identity
        return WorkerStarted(
            at=self._clock.now(),
            version=who.version,
            host=who.host,
            pid=who.pid,
            predecessor_clean=who.predecessor_clean,
        )

    async def _reconcile_at_boot(self) -> None:
        """Look until nothing is undecided; an order whose reply was lost decides itself once its expiry is past.

        The clocks are compared on the first look's replies, before anything is sent.
        """
        patience = self._allowance + timedelta(seconds=self.settings.live_request_expiry_seconds) + boot.UNDECIDED
        began_at = self._clock.now()
        await self._hear_people()
        self._resumed = boot.resumed_while_away(self._latch, self.book)
        while not self._stopping.is_set():
            if (look := await self._look_at_boot(began_at)) is not None:
                boot.require_clock(self._senses().skew_seconds, self.settings.live_clock_skew_seconds)
                boot.require_own_journal(self._reconciler.strangers(look.reading))
                await self._reconcile(look)
                await self._dead_man.tend(look.reading)
                await self._protect(look)
                self._log_actions()
                if not self.has_undecided_orders() and not self._reconciler.mismatches:
                    await self._check_limits(look)
                    return
                doubt = UNEXPLAINED if self._reconciler.mismatches else timedelta()
                if self._clock.now() - began_at >= patience + doubt:
                    raise boot.not_reconciled(self.book.working_orders(), self._reconciler.mismatches)
            await self._clock.sleep(self.settings.live_fast_tick_seconds)

    async def _look_at_boot(self, began_at: datetime) -> Look | None:
        """A first failed read may be a passing one; None asks for another. Raises VenueUnreadable after a while."""
        try:
            return await self._lookout.look()
        except VenueUnreadable:
            if self._clock.now() - began_at >= boot.BOOT_READS:
                raise
            return None

    # --- the parts of a tick

    async def _hear_people(self) -> None:
        """The latch, and what was asked since. A latch that cannot be read ends the worker: JournalUnavailable."""
        was_halted, self._latch = self._latch.halted, await self._journal.latch()
        self._resumed |= was_halted and not self._latch.halted
        for asked in await self._journal.asked(self.book.last_request_id):
            await self._execution.record(asked)
            self._narrate(flatten.describe(asked))

    async def _finish_flattens(self, look: Look) -> None:
        """What people asked to be closed is done once two readings in a row show nothing left of it."""
        left = {
            number: flatten.left(asked, self.book, look.reading, self._reconciler.unexplained)
            for number, asked in self.book.flattening.items()
        }
        flat = {number for number, words in left.items() if not words}
        for number in flat & self._flat_at_last_look:
            await self._execution.record(FlattenDone(at=self._clock.now(), request_id=number))
            self._narrate(f"flat, as asked by request {number}")
        self._flat_at_last_look = flat
        self._note(flattening=tuple(word for words in left.values() for word in words))

    async def _reconcile(self, look: Look) -> None:
        """Bring the book to what the venue shows, each mend an event first."""
        await self._reconciler.bring_up(look.reading, look.tickers, self._listing.instruments)
        self._observe(
            reconciled=not self._reconciler.mismatches,
            reconciled_at=self.status.reconciled_at if self._reconciler.mismatches else self._clock.now(),
            findings=tuple(str(each) for each in self._reconciler.findings),
        )

    async def _check_limits(self, look: Look) -> None:
        await self._observe_equity(look)
        broken = breaches(look.account, look.tickers, self.book, self.settings)
        if broken and not self._latch.halted:
            reason = "; ".join(broken)
            await self._journal.halt(reason, by="worker", cause=HaltCause.LIMITS)
            self._latch = await self._journal.latch()
            self._narrate(f"halted: {reason}")
            self._alert("halted", f"halted: {reason}")

    async def _observe_equity(self, look: Look) -> None:
        """Durable equity marks: each minute, each new UTC day, and anew after a person resumed."""
        at, seen, known = look.reading.began_at, look.account.equity_quote, self.book.equity
        rebased = self._resumed and known is not None
        self._resumed = False
        if known is None or rebased or at - known.at >= EQUITY_EVERY or at.date() != known.at.date():
            await self._execution.record(next_mark(known, seen, at, rebased=rebased))
        else:
            self.book.note_equity(seen)
        drawdown_pct = self.book.equity.drawdown_pct if self.book.equity else None
        self._note(equity_quote=str(seen), drawdown_pct=None if drawdown_pct is None else float(drawdown_pct))

    async def _protect(self, look: Look | None) -> None:
        """What the open positions call for: stops, targets, exits, and entries taken back. look: just had, if any."""
        policy = replace(
            policy_of(self.settings, entries_allowed=not self._latch.halted and not self._stopping.is_set()),
            shown=shown(self.book, look.reading) if look else frozenset(),
        )
        covering = replace(policy, keeps_stop=True)
        for position in self.book.open_positions():
            instrument = self._listing.instruments.get(position.symbol)
            if instrument is None:
                unlisted = f"{position.symbol} is held but no longer listed: its protection cannot be sized"
                self._alert(f"unlisted {position.symbol}", unlisted)
                continue
            ticker = look.tickers.get(position.symbol) if look else None
            covers = may_cover(position, self.book, look.reading if look else None, self._reconciler.mismatches)
            wanted = covering if covers else policy
            if (exit_wanted := self.book.exit_wanted(position.symbol)) is not None:
                wanted = replace(wanted, exit_wanted=exit_wanted)
            await self._execution.settle(position.id, instrument, wanted, ticker.mark_price if ticker else None)

    async def _consider(self, look: Look) -> None:
        hold = hold_on_entries(
            self._latch, self._senses(), mismatches=self._reconciler.mismatches, flattening=self.book.flattening
        )
        await self._decider.consider(look, self._listing.for_entry, hold)

    async def _drain_until(self, deadline: datetime) -> None:
        while True:
            await self._drain_once()
            if not self.book.needs_haste() or self._clock.now() >= deadline:
                return
            await self._clock.sleep(self.settings.live_fast_tick_seconds)

    async def _drain_once(self) -> None:
        look = None
        try:
            look = await self._lookout.look()
            await self._reconcile(look)
        except VenueUnreadable as unreadable:
            self._narrate(f"venue unreadable while draining: {unreadable.refusals[0].cause}")
        await self._dead_man.tend(None)
        await self._protect(look)

    async def _pause(self) -> None:
        hasty = self.book.needs_haste() or bool(self._reconciler.mismatches)
        seconds = self.settings.live_fast_tick_seconds if hasty else self.settings.live_tick_seconds
        collect_garbage()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._awake.wait(), seconds)
        self._awake.clear()

    def _senses(self) -> Senses:
        now, offset = self._clock.now(), self._venue.clock_offset_seconds
        return Senses(
            unreadable_ticks=self._unreadable_ticks,
            skew_seconds=None if offset is None else abs(offset),
            allowed_skew_seconds=self.settings.live_clock_skew_seconds,
            stale_symbols=tuple(feed.symbol for feed in self._feeds if feed.is_overdue(now)),
            alerts_failing=self._alerts_failing(),
        )

    def _saw(self, event: Event) -> None:
        """One event, committed and folded."""
        self._witness.saw(event)
        if isinstance(event, OrderRejected) and event.code in MEASURES_REFUSED:
            self._listing.contradicted()

    def _feed(self, symbol: str) -> Feed:
        return Feed(
            symbol,
            self._venue,
            self._parameters,
            warmup_candles=self.settings.live_warmup_candles,
            memory=self._journal,
            head_start=self.settings.live_symbols.index(symbol),
        )

    # --- saying what is so

    async def _report(self, began_at: datetime) -> None:
        lost = degraded(self._senses())
        if lost:  # said again and again: where alerts reach nobody, the one that does is the proof that they do again
            self._alert("degraded", f"degraded: {'; '.join(lost)}")
        last_action = self._last_action()
        self._observe(
            last_tick_at=self._clock.now(),
            last_action=last_action,
            degraded=lost,
            clock_offset_seconds=self._venue.clock_offset_seconds,
        )
        self._witness.looked(self.status, began_at, self._clock.now())
        self._note(counters=self._meters.totals())
        await self._save_status()
        self._log_actions(last_action)

    def _log_actions(self, words: str | None = None) -> None:
        """One line per tick: what was done and why, or that nothing was."""
        self._narrate_outside(words or self._last_action())
        self._actions = []

    def _last_action(self) -> str:
        holdings = report.holdings(self.book, self._latch, self.identity.epoch)
        return "; ".join(self._actions) or f"no action: {holdings}"

    async def _save_status(self) -> None:
        await self._journal.save_status(self.status)

    def _observe(self, **changes: object) -> None:
        self.status = report.observed(
            self.status,
            book=self.book,
            latch=self._latch,
            now=self._clock.now(),
            lease_fresh=self._lease_is_fresh(),
            changes=changes,
        )

    def _note(self, **changes: Any) -> None:
        """As _observe, where the book has not changed since: its phases are not worked out anew."""
        self.status = replace(self.status, **changes)

    def _narrate(self, text: str) -> None:
        self._actions.append(text)

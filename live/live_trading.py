"""LiveTrading: boot, reconcile, tick, stop. Data, strategy, risk and execution in one loop. [S]

A tick is one sentence: look at the venue, reconcile the book with it, check the limits, protect what is held, consider
what the candles say, report. What is expected to fail comes as a value; anything else stops the process.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from live.book import Book
from live.clock import Clock
from live.events import Decided, EquityObserved, SymbolFrozen, WorkerStarted, WorkerStopped, symbol_of
from live.execution import Execution
from live.journal import Journal
from live.market import timeframe
from live.model import Account, Denied, Instrument, Intent, Leg, Rejected, Signal, SubmitOutcome, Ticker
from live.order_id import OrderId, OrderIds
from live.position import IllegalTransition, OrderStatus, Phase, Policy, Position
from live.reconcile import FOREIGN, UNEXPLAINED, ForeignPolicy, Reading
from live.reconciler import Reconciler
from live.risk import breaches, size
from live.settings import Settings
from live.smc.parameters import SmcParameters
from live.status import Halt, Status
from live.strategy import Feed, Opinion
from live.venue import Permit, Venue
from prodsafe.errors import ExitCode, GateRefused, RefusalKind, VenueUnreadable

UNKNOWN_SYMBOL = RefusalKind("R01", "symbol-not-listed")
NOT_RECONCILED = RefusalKind("R02", "not-reconciled", ExitCode.UNREADABLE)
WRONG_JOURNAL = RefusalKind("R04", "orders-of-another-journal", ExitCode.UNREADABLE)
CLOCK_SKEW = RefusalKind("R03", "clock-skew", ExitCode.UNREADABLE)

EQUITY_EVERY = timedelta(minutes=1)
BOOT_READS = timedelta(seconds=3)  # how long a venue that cannot be read at boot is asked again
VENUE_DELAY = timedelta(seconds=1)  # how long the venue may take to show an order that it accepted in time


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who trades: the lease's scope and epoch, and the process that holds it."""

    scope: str
    scope_hash: str
    epoch: int
    holder: str
    predecessor_clean: bool
    host: str
    pid: int
    version: str


@dataclass(frozen=True, slots=True)
class Look:
    """Everything one tick knows of the outside; reconcile reads the first part, risk the rest."""

    reading: Reading
    tickers: Mapping[str, Ticker]
    account: Account


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
    ) -> None:
        self.settings = settings
        self.identity = identity
        self.book = Book()
        self._journal = journal
        self._venue = venue
        self._clock = clock
        self._permit = permit
        self._lease_is_fresh = lease_is_fresh
        self._narrate_outside = narrate
        self._alert = alert
        self._parameters = parameters or SmcParameters(timeframe=timeframe(settings.live_timeframe))
        self._instruments: dict[str, Instrument] = {}
        self._feeds: list[Feed] = []
        self._latch = Halt()
        self._resumed = False
        self._stopping = asyncio.Event()
        self._actions: list[str] = []
        self._ticks = 0
        self.status = Status(
            state="starting",
            observed_at=clock.now(),
            scope=identity.scope,
            epoch=identity.epoch,
            holder=identity.holder,
            host=identity.host,
            pid=identity.pid,
            version=identity.version,
            started_at=clock.now(),
            tick_bound_seconds=max(60.0, 6 * settings.live_tick_seconds),
        )
        self._execution = Execution(
            journal=journal,
            venue=venue,
            book=self.book,
            clock=clock,
            permit=permit,
            order_ids=OrderIds(identity.scope_hash, identity.epoch),
            request_expiry=timedelta(seconds=settings.live_request_expiry_seconds),
            narrate=self._narrate,
        )
        self._allowance = timedelta(seconds=settings.live_clock_skew_seconds) + VENUE_DELAY
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

    # --- the life of the worker

    async def run(self) -> None:
        """After `boot`: tick until `stop`, then drain. Raises what ends a worker early: LeaseLost, or a bug."""
        while not self._stopping.is_set():
            await self.tick()
            await self._pause()
        await self.drain()

    def stop(self) -> None:
        """Ask for a clean stop; `run` drains and returns."""
        self._stopping.set()

    def has_undecided_orders(self) -> bool:
        """Whether a request of ours may still be on its way to the venue."""
        return any(order.is_unresolved for order in self.book.working_orders())

    @property
    def has_sent(self) -> bool:
        """Whether anything was ever sent to the venue in this epoch."""
        return self._execution.has_sent

    async def boot(self) -> None:
        """Fold the journal, read the venue, reconcile until both agree. Sends no entry.

        Raises VenueUnreadable when the venue cannot be read well enough, GateRefused for a symbol it does not list.
        """
        self._observe(state="reconciling")
        await self._fold_journal()
        await self._execution.record(self._started())
        self._instruments = await self._venue.instruments()
        self._check_symbols()
        await self._reconcile_at_boot()
        self._feeds = [
            Feed(
                symbol,
                self._venue,
                self._parameters,
                warmup_candles=self.settings.live_warmup_candles,
                memory=self._journal,
            )
            for symbol in self.settings.live_symbols
        ]
        self._observe(state="running", reconciled=True)
        await self._save_status()

    async def tick(self) -> None:
        """One look and everything that follows from it."""
        was_halted, self._latch = self._latch.halted, await self._journal.latch()
        self._resumed |= was_halted and not self._latch.halted
        try:
            look = await self._look()
            await self._reconcile(look)
            await self._check_limits(look)
            await self._protect()
            await self._consider(look)
        except VenueUnreadable as unreadable:
            self._observe(venue_readable=False)
            self._narrate(f"venue unreadable: {unreadable.refusals[0].cause}")
            await self._protect()  # what is known to be naked is protected even half blind: it only reduces
        else:
            self._observe(venue_readable=True)
        await self._report()

    async def drain(self) -> None:
        """Take resting entries back, resolve what is in flight, see every position protected; then stop for good."""
        self._observe(state="draining")
        self._narrate("draining: no new entries")
        deadline = self._clock.now() + timedelta(seconds=self.settings.live_drain_seconds)
        while True:
            await self._drain_once()
            if not self.book.needs_haste() or self._clock.now() >= deadline:
                break
            await self._clock.sleep(self.settings.live_fast_tick_seconds)
        left = [f"{position.symbol} {position.phase}" for position in self.book.open_positions()]
        await self._execution.record(WorkerStopped(at=self._clock.now(), reason=f"stopped; holds {left or 'nothing'}"))
        self._observe(state="stopped")
        self._log_actions()
        await self._save_status()

    async def _drain_once(self) -> None:
        try:
            await self._reconcile(await self._look())
        except VenueUnreadable as unreadable:
            self._narrate(f"venue unreadable while draining: {unreadable.refusals[0].cause}")
        await self._protect()

    async def _pause(self) -> None:
        hasty = self.book.needs_haste() or bool(self._reconciler.mismatches)
        seconds = self.settings.live_fast_tick_seconds if hasty else self.settings.live_tick_seconds
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    # --- boot

    async def _fold_journal(self) -> None:
        """The book from the journal. A row that cannot be folded freezes its symbol; the rest is protected (I43)."""
        loaded = await self._journal.load()
        unfolded = [(row.symbol, f"journal row {row.id} does not decode: {row.reason}") for row in loaded.quarantined]
        for event in loaded.events:
            try:
                self.book.apply(event)
            except IllegalTransition as illegal:
                unfolded.append(
                    (symbol_of(event), f"journal row {event.kind} contradicts the rows before it: {illegal}")
                )
        for symbol, reason in unfolded:
            self._alert(f"journal {symbol}", reason)
            frozen = [symbol] if symbol else list(self.settings.live_symbols)
            await self._execution.record(
                *(SymbolFrozen(at=self._clock.now(), symbol=each, reason=reason) for each in frozen)
            )

    def _started(self) -> WorkerStarted:
        who = self.identity
        return WorkerStarted(
            at=self._clock.now(),
            version=who.version,
            host=who.host,
            pid=who.pid,
            predecessor_clean=who.predecessor_clean,
        )

    def _check_symbols(self) -> None:
        missing = [symbol for symbol in self.settings.live_symbols if symbol not in self._instruments]
        if missing:
            raise GateRefused(
                UNKNOWN_SYMBOL.because(
                    f"the venue lists no tradeable contract {', '.join(missing)}",
                    seen=f"LIVE_SYMBOLS={','.join(self.settings.live_symbols)}",
                    mend=f"choose from: {', '.join(sorted(self._instruments)[:12])} ...",
                )
            )

    def _check_clock(self) -> None:
        """Grace and request expiry hold only while our clock and the venue's agree within the allowance."""
        if (offset := self._skew_seconds()) > self.settings.live_clock_skew_seconds:
            raise VenueUnreadable(
                CLOCK_SKEW.because(
                    f"our clock and the venue's differ by {offset:.2f} s; an order could outlive its expiry",
                    seen=f"LIVE_CLOCK_SKEW_SECONDS={self.settings.live_clock_skew_seconds}",
                    mend="synchronise this machine's clock (chrony, NTP), then start the worker again",
                )
            )

    def _check_journal(self, look: Look) -> None:
        """Whatever we send is in the journal first; resting orders that it lacks were sent from another one."""
        if unknown := self._reconciler.strangers(look.reading):
            raise VenueUnreadable(
                WRONG_JOURNAL.because(
                    f"orders in this account's name rest at the venue and not in this journal: {', '.join(unknown)}",
                    mend="point DATABASE_URL at the database whose worker sent them; RUNBOOK says what if it is lost",
                )
            )

    def _skew_seconds(self) -> float:
        return abs(self._venue.clock_offset_seconds or 0.0)

    async def _reconcile_at_boot(self) -> None:
        """Look until nothing is undecided; an order whose reply was lost decides itself once its expiry is past.

        The clocks are compared on the first look's replies, before anything is sent.
        """
        patience = self._allowance + timedelta(seconds=self.settings.live_request_expiry_seconds + 10)
        began_at = self._clock.now()
        self._latch = await self._journal.latch()
        self._resumed = self._resumed_while_away()
        while not self._stopping.is_set():
            if (look := await self._look_at_boot(began_at)) is not None:
                self._check_clock()
                self._check_journal(look)
                await self._reconcile(look)
                await self._protect()
                self._log_actions()
                if not self.has_undecided_orders() and not self._reconciler.mismatches:
                    await self._check_limits(look)
                    return
                doubt = UNEXPLAINED if self._reconciler.mismatches else timedelta()
                if self._clock.now() - began_at >= patience + doubt:
                    self._refuse_undecided()
            await self._clock.sleep(self.settings.live_fast_tick_seconds)

    async def _look_at_boot(self, began_at: datetime) -> Look | None:
        """A first failed read may be a passing one; None asks for another. Raises VenueUnreadable after a while."""
        try:
            return await self._look()
        except VenueUnreadable:
            if self._clock.now() - began_at >= BOOT_READS:
                raise
            return None

    def _resumed_while_away(self) -> bool:
        """Whether a person lifted a halt after the last equity mark; the latch carries the database's clock."""
        latch, known = self._latch, self.book.equity
        return bool(known and latch.id and latch.at and not latch.halted and latch.at > known.at)

    def _refuse_undecided(self) -> None:
        undecided = [order.spec.client_order_id for order in self.book.working_orders() if order.is_unresolved]
        what = ", ".join([*undecided, *self._reconciler.mismatches])
        raise VenueUnreadable(
            NOT_RECONCILED.because(
                f"the venue did not say what became of {what}",
                mend="look at the venue's own page for these, then restart the worker",
            )
        )

    # --- the parts of a tick

    async def _look(self) -> Look:
        """Read the venue. Open orders and positions come before fills, so that a fill is never missed in between.

        Raises LeaseLost as soon as one reply shows a later holder: what else cannot be read must not hide that.
        """
        began_at = self._clock.now()
        since = self._reconciler.fills_since(self.status.started_at or began_at)
        open_orders = await self._venue.open_orders()
        self._reconciler.require_latest(order.client_order_id for order in open_orders)
        positions = await self._venue.positions()
        fills = await self._venue.fills(since=since)
        self._reconciler.require_latest(fill.client_order_id for fill in fills)
        symbols = {*self.settings.live_symbols, *(position.symbol for position in positions)}
        tickers = await self._venue.tickers(sorted(symbols))
        account = await self._venue.account()
        return Look(Reading(began_at, positions, open_orders, fills), tickers, account)

    async def _reconcile(self, look: Look) -> None:
        """Bring the book to what the venue shows, each mend an event first."""
        await self._reconciler.bring_up(look.reading, look.tickers, self._instruments)
        self._observe(reconciled=not self._reconciler.mismatches)

    async def _check_limits(self, look: Look) -> None:
        await self._observe_equity(look)
        broken = breaches(look.account, look.tickers, self.book, self.settings)
        if broken and not self._latch.halted:
            reason = "; ".join(broken)
            await self._journal.halt(reason, by="worker")
            self._latch = await self._journal.latch()
            self._narrate(f"halted: {reason}")
            self._alert("halted", f"halted: {reason}")

    async def _observe_equity(self, look: Look) -> None:
        """Durable equity marks: each minute, each new UTC day, and anew after a person resumed."""
        at, seen, known = look.reading.began_at, look.account.equity_quote, self.book.equity
        rebased = self._resumed and known is not None
        self._resumed = False
        if known is None or rebased or at - known.at >= EQUITY_EVERY or at.date() != known.at.date():
            await self._execution.record(EquityObserved(at=at, equity_quote=seen, rebased=rebased))
        else:
            self.book.note_equity(seen)
        self._observe(equity_quote=str(seen))

    async def _protect(self) -> None:
        """What the open positions call for: stops, targets, exits, and entries taken back."""
        policy = Policy(
            stop_attempts=self.settings.live_stop_attempts,
            naked_bound=timedelta(seconds=self.settings.live_naked_bound_seconds),
            entries_allowed=not self._latch.halted and not self._stopping.is_set(),
        )
        for position in self.book.open_positions():
            instrument = self._instruments.get(position.symbol)
            if instrument is None:
                unlisted = f"{position.symbol} is held but no longer listed: its protection cannot be sized"
                self._alert(f"unlisted {position.symbol}", unlisted)
                continue
            await self._execution.settle(position.id, instrument, policy)

    async def _consider(self, look: Look) -> None:
        """What the candles say. A slow warm-up gives way after one pause: no fill waits for its stop behind it."""
        enough = self._clock.now() + timedelta(seconds=self.settings.live_tick_seconds)
        for feed in self._feeds:
            if self._clock.now() >= enough:
                return
            news = await feed.news(self._clock.now())
            if news.problem:
                self._narrate(news.problem)
            if news.candles:
                await self._journal.save_candles(news.candles)
            for opinion in news.opinions:
                if opinion.candle.closed_at > self.book.decided.get(feed.symbol, opinion.candle.opened_at):
                    await self._decide(feed.symbol, opinion, look)

    async def _decide(self, symbol: str, opinion: Opinion, look: Look) -> None:
        """Take the signal of one closed candle or not, and record why; what is taken is recorded with its order."""
        closed_at = opinion.candle.closed_at
        signal = opinion.observation.signal
        if signal is None:
            refused = opinion.observation.refused
            reasons = (f"candle refused: {refused}",) if refused else opinion.observation.reasons
            await self._execution.record(self._decided(symbol, closed_at, None, reasons, opinion.observation.code))
            return
        entry_id = self._execution.next_id(Leg.ENTRY)
        approved = self._approve(signal, entry_id.root, opinion, look)
        taken = self._decided(symbol, closed_at, signal, signal.reasons, opinion.observation.code, taken=True)
        outcome = approved if isinstance(approved, Denied) else await self._enter(approved, entry_id, taken)
        if isinstance(outcome, Denied):
            why = f"{outcome.code}: {outcome.reason}"
            self._narrate(f"denied {symbol}: {why}")
            reasons = (*signal.reasons, f"denied {why}")
            await self._execution.record(self._decided(symbol, closed_at, signal, reasons, outcome.code))

    async def _enter(self, intent: Intent, entry_id: OrderId, taken: Decided) -> SubmitOutcome | Denied:
        words = f"{intent.side} {intent.qty} {intent.symbol} at {intent.entry_price}, stop {intent.stop_price}"
        outcome = await self._execution.enter(intent, entry_id, taken)
        self._narrate(f"entry {words}: {type(outcome).__name__.lower()}")
        if isinstance(outcome, Rejected):
            self._alert(f"rejected {intent.symbol}", f"entry {words} rejected: {outcome.reason}")
        return outcome

    def _approve(self, signal: Signal, position_id: str, opinion: Opinion, look: Look) -> Intent | Denied:
        now = self._clock.now()
        if self._latch.halted:
            return Denied(signal.symbol, "halted", self._latch.reason or "the halt latch is set")
        if now - opinion.candle.closed_at >= opinion.candle.timeframe or now >= signal.expires_at:
            return Denied(signal.symbol, "late", f"the candle closed at {opinion.candle.closed_at:%H:%M:%S}")
        if (skew := self._skew_seconds()) > self.settings.live_clock_skew_seconds:
            return Denied(signal.symbol, "clock-skew", f"our clock and the venue's differ by {skew:.2f} s")
        if self._reconciler.mismatches:
            return Denied(
                signal.symbol, "unreconciled", f"book and venue differ on {', '.join(self._reconciler.mismatches)}"
            )
        instrument, ticker = self._instruments.get(signal.symbol), look.tickers.get(signal.symbol)
        if instrument is None or ticker is None:
            return Denied(signal.symbol, "no-price", "the venue gave no instrument or no price")
        return size(
            signal,
            position_id=position_id,
            instrument=instrument,
            ticker=ticker,
            account=look.account,
            book=self.book,
            settings=self.settings,
            now=now,
        )

    def _decided(
        self,
        symbol: str,
        closed_at: datetime,
        signal: Signal | None,
        reasons: tuple[str, ...],
        code: str,
        *,
        taken: bool = False,
    ) -> Decided:
        side, now = signal.side if signal else None, self._clock.now()
        return Decided(at=now, symbol=symbol, closed_at=closed_at, taken=taken, side=side, reasons=reasons, code=code)

    # --- saying what is so

    async def _report(self) -> None:
        self._ticks += 1
        self._observe(
            last_tick_at=self._clock.now(),
            last_action="; ".join(self._actions) or f"no action: {self._holdings()}",
            counters={"ticks_total": float(self._ticks)},
        )
        await self._save_status()
        self._log_actions()

    def _log_actions(self) -> None:
        """One line per tick: what was done and why, or that nothing was."""
        self._narrate_outside("; ".join(self._actions) or f"no action: {self._holdings()}")
        self._actions = []

    async def _save_status(self) -> None:
        await self._journal.save_status(self.status)

    def _holdings(self) -> str:
        held = [
            f"{position.side} {position.qty or position.wanted_qty} {position.symbol} {position.phase}"
            for position in self.book.open_positions()
        ]
        halted = ", halted" if self._latch.halted else ""
        return f"{', '.join(held) or 'flat'}, lease {self.identity.epoch}{halted}"

    def _observe(self, **changes: object) -> None:
        open_positions = self.book.open_positions()
        working = self.book.working_orders()
        self.status = replace(
            self.status,
            observed_at=self._clock.now(),
            lease_fresh=self._lease_is_fresh(),
            halted=self._latch.halted,
            halt_reason=self._latch.reason if self._latch.halted else None,
            unprotected=self._unprotected(open_positions),
            naked_seconds_max=self._naked_seconds(open_positions),
            unknown_orders=sum(order.status is OrderStatus.UNKNOWN for order in working),
            open_positions=sum(position.qty > 0 for position in open_positions),
            live_orders=sum(order.status is OrderStatus.LIVE for order in working),
            **changes,  # type: ignore[arg-type]  # checked by the frozen dataclass's own field names
        )

    def _unprotected(self, open_positions: list[Position]) -> tuple[str, ...]:
        """Symbols of positions without their stop: ours, and foreign ones that settings leave alone."""
        naked = [position.symbol for position in open_positions if position.phase is Phase.OPEN]
        foreign = [f"{symbol} ({reason})" for symbol, reason in self.book.frozen.items() if reason.startswith(FOREIGN)]
        return (*naked, *foreign)

    def _naked_seconds(self, open_positions: list[Position]) -> float:
        now = self._clock.now()
        running = [(now - p.naked_since).total_seconds() for p in open_positions if p.naked_since is not None]
        return max([self.book.naked_seconds_max, *running])

    def _narrate(self, text: str) -> None:
        self._actions.append(text)

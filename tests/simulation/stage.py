"""One account on a virtual clock: the real worker over a shared in-memory journal and the matching venue, with faults.

Everything random is drawn from the seed, in the order of the calls, so that a seed is a schedule: the same seed gives
the same trace. Time passes only here: at every call to the venue, when the worker sleeps, and between two ticks.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from live.events import Corrected, Event
from live.journal import MemoryJournal, MemoryStore
from live.live_trading import Identity, LiveTrading
from live.model import (
    CancelOutcome,
    Candle,
    Fill,
    Instrument,
    Leg,
    OrderSide,
    OrderSpec,
    Rejected,
    Side,
    Signal,
    SubmitOutcome,
    Ticker,
    Unknown,
    VenueOrder,
    VenuePosition,
)
from live.paper import PaperVenue
from live.settings import Settings
from live.simulator.matching import Account as VenueAccount
from live.simulator.orders import NewOrder, OrderKind, Quote
from live.smc.events import Observation
from live.smc.reasons import Code
from live.venue import Permit
from prodsafe.errors import LeaseLost, RefusalKind, VenueUnreadable
from prodsafe.lease_model import LeaseTiming

BEGAN = datetime(2026, 3, 2, 12, 0, 30, tzinfo=UTC)
SCOPE, SCOPE_HASH = "scope", "abc"
MINUTE = timedelta(minutes=1)
UNREADABLE = RefusalKind("V01", "venue-unreadable")
LOST = RefusalKind("L02", "lease-lost")
LATEST: dict[str, tuple[float, ...]] = {"late_fill": (200,), "late_history": ()}
GRACE_SECONDS = LeaseTiming().grace_seconds


def _listed(symbol: str, venue_id: str, tick: str, step: str) -> Instrument:
    return Instrument(symbol, venue_id, Decimal(tick), Decimal(step), Decimal(step), max_leverage=Decimal(50))


INSTRUMENTS = {
    each.symbol: each
    for each in (
        _listed("BTC/USD:USD", "PF_XBTUSD", "1", "0.001"),
        _listed("ETH/USD:USD", "PF_ETHUSD", "0.1", "0.01"),
        _listed("SOL/USD:USD", "PF_SOLUSD", "0.01", "1"),
    )
}
BASES = dict(zip(INSTRUMENTS, (Decimal(60000), Decimal(3000), Decimal(150)), strict=True))
SETTINGS = Settings(
    live_symbols=tuple(INSTRUMENTS),
    live_timeframe="1m",
    live_warmup_candles=3,
    risk_max_position_notional_pct=Decimal(45),
    risk_max_notional_pct=Decimal(100),
    risk_symbol_cooldown_minutes=Decimal("0.5"),
    risk_loss_streak_pause_minutes=Decimal(1),
)


class Crash(BaseException):
    """The process died here: nothing of it runs any more, only the store and the venue are left."""


@dataclass(frozen=True, slots=True)
class Faults:
    """How likely each fault is, at each opportunity for it. All zero is a perfect world."""

    lost_request: float = 0.0
    late_request: float = 0.0
    lost_reply: float = 0.0
    refused: float = 0.0
    not_sent: float = 0.0
    lost_cancel: float = 0.0
    unreadable: float = 0.0
    stale_positions: float = 0.0
    missing_order: float = 0.0
    hidden_order: float = 0.0
    late_fill: float = 0.0
    late_history: float = 0.0
    repeated_fill: float = 0.0
    nameless_fill: float = 0.0
    partial_fill: float = 0.0
    price_move: float = 0.0
    hand_trade: float = 0.0
    hand_cancel: float = 0.0
    hand_halt: float = 0.0
    lease_loss: float = 0.0
    crash: float = 0.0
    stop: float = 0.0

    @classmethod
    def everything(cls) -> Faults:
        return cls(
            lost_request=0.03,
            late_request=0.03,
            lost_reply=0.05,
            refused=0.03,
            not_sent=0.02,
            lost_cancel=0.08,
            unreadable=0.01,
            stale_positions=0.02,
            missing_order=0.02,
            hidden_order=0.03,
            late_fill=0.3,
            late_history=0.2,
            repeated_fill=0.1,
            nameless_fill=0.3,
            partial_fill=0.3,
            price_move=0.05,
            hand_trade=0.002,
            hand_cancel=0.001,
            hand_halt=0.03,
            lease_loss=0.0005,
            crash=0.01,
            stop=0.005,
        )

    @classmethod
    def drawn(cls, rng: random.Random) -> Faults:
        """Each seed has its own weather: some faults absent, some common."""
        full = cls.everything()
        scaled = {each.name: getattr(full, each.name) * rng.choice((0, 0.5, 1, 1, 2, 4)) for each in fields(cls)}
        return cls(**{**scaled, "price_move": full.price_move})


class StageClock:
    def __init__(self, stage: Stage, *, ahead_seconds: float = 0.0) -> None:
        self._stage, self._ahead = stage, timedelta(seconds=ahead_seconds)

    def now(self) -> datetime:
        return self._stage.time + self._ahead

    async def sleep(self, seconds: float) -> None:
        await self._stage.pass_(seconds)


class StageMarket:
    """Flat candles around a base price, so that any reading of them agrees; the ticker is where the stage puts it."""

    def __init__(self, clock: StageClock) -> None:
        self._clock = clock
        self.prices = dict(BASES)

    async def instruments(self) -> dict[str, Instrument]:
        return dict(INSTRUMENTS)

    async def candles(self, symbol: str, timeframe: timedelta, *, since: datetime) -> list[Candle]:
        base, opened_at, found = BASES[symbol], since, []
        while opened_at <= self._clock.now():
            found.append(Candle(symbol, timeframe, opened_at, base, base, base, base, Decimal(1)))
            opened_at += timeframe
        return found

    async def tickers(self, symbols: Sequence[str]) -> dict[str, Ticker]:
        now = self._clock.now()
        return {symbol: self._ticker(symbol, now) for symbol in symbols if symbol in INSTRUMENTS}

    def _ticker(self, symbol: str, now: datetime) -> Ticker:
        price, tick = self.prices[symbol], INSTRUMENTS[symbol].tick_size
        return Ticker(symbol, price, price - tick, price + tick, now)

    async def close(self) -> None:
        """Nothing is open."""


class ScriptedEngine:
    """A strategy that is a function of seed and candle, so it says the same after every restart."""

    def __init__(self, stage: Stage, symbol: str) -> None:
        self._stage, self._symbol = stage, symbol

    def snapshot(self) -> str:
        return "nothing to remember"

    def on_candle(self, candle: Candle) -> Observation:
        rng = random.Random(f"{self._stage.seed}/{self._symbol}/{candle.closed_at}")
        if rng.random() >= self._stage.signal_share:
            return Observation(candle.closed_at, (), None, ("nothing",), Code.NO_SWEEP)
        side = rng.choice((Side.LONG, Side.SHORT))
        entry = candle.close * (1 + Decimal(rng.randint(-2, 2)) / 1000)
        risk = side.sign * entry / 100
        signal = Signal(
            symbol=self._symbol,
            side=side,
            entry_price=entry,
            stop_price=entry - risk,
            targets=(entry + risk, entry + 2 * risk, entry + 3 * risk),
            known_at=candle.closed_at,
            expires_at=candle.closed_at + rng.choice((1, 2, 5)) * MINUTE,
            reasons=(f"{self._symbol} {candle.closed_at}",),
        )
        return Observation(candle.closed_at, (), signal, signal.reasons, Code.SIGNAL)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request for an order as it reached the venue's door. refused: the venue's word, None when it was taken."""

    at: datetime
    spec: OrderSpec
    refused: str | None


class StageVenue(PaperVenue):
    """The matching venue behind a bad line, with a history that lags and people who trade at its web page."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage.market, clock=stage.venue_clock, balance_quote=Decimal(100_000))
        self._stage = stage
        self._late: list[tuple[datetime, OrderSpec, datetime]] = []
        self._last_positions: list[VenuePosition] = []
        self._positions_were_stale = False
        self.arrivals: list[Arrival] = []
        self.exposures_pct: list[Decimal] = []
        self.was_traded_by_hand = False

    @property
    def clock_offset_seconds(self) -> float:
        return self._stage.venue_ahead_seconds

    @property
    def book(self) -> VenueAccount:
        """The truth, which no fault can reach."""
        assert self._venue is not None
        return self._venue.accounts["paper"]

    # --- what the worker asks -------------------------------------------------------------------------------------

    async def submit(self, spec: OrderSpec, *, expires_at: datetime, permit: Permit) -> SubmitOutcome:
        stage = self._stage
        with stage.effect(f"submit {spec.client_order_id}"):
            await stage.moment()
            if stage.hits("not_sent"):
                return Rejected("not-sent", "no byte left")
            permit()
            stage.note_send(spec)
            if stage.hits("lost_request"):
                return Unknown("request lost")
            if stage.hits("late_request"):
                self._late.append((stage.time + timedelta(seconds=stage.rng.uniform(0, 4)), spec, expires_at))
                return Unknown("no reply, and the request is still on its way")
            if spec.leg is not Leg.EXIT and stage.hits("refused"):
                return Rejected("invalidPrice", "refused")
            outcome = await self._arrive(spec, expires_at)
            return Unknown("reply lost") if stage.hits("lost_reply") else outcome

    async def cancel(self, spec: OrderSpec, venue_order_id: str | None, *, permit: Permit) -> CancelOutcome:
        stage = self._stage
        with stage.effect(f"cancel {spec.client_order_id}"):
            await stage.moment()
            permit()
            stage.note_send(spec, cancels=True)
            if stage.hits("lost_cancel"):
                return Unknown("request lost")
            covered = spec.symbol not in self.naked_symbols()
            outcome = await super().cancel(spec, venue_order_id, permit=lambda: None)
            if covered and spec.symbol in self.naked_symbols() and self._is_old(spec.symbol):
                stage.found.append(f"cancelled {spec.client_order_id}, the only stop of an open position")
            stage.say(f"cancelled {spec.client_order_id}: {type(outcome).__name__}")
            return Unknown("reply lost") if stage.hits("lost_cancel") else outcome

    async def instruments(self) -> dict[str, Instrument]:
        await self._read()
        return await super().instruments()

    async def candles(self, symbol: str, timeframe: timedelta, *, since: datetime) -> list[Candle]:
        await self._read()
        if self._stage.hits("hand_halt"):
            await self._stage.halt_by_hand()
        return await super().candles(symbol, timeframe, since=since)

    async def positions(self) -> list[VenuePosition]:
        await self._read()
        seen = await super().positions()
        if not self._positions_were_stale and self._stage.hits("stale_positions"):
            self._positions_were_stale = True
            return self._stage.rng.choice((self._last_positions, []))
        self._positions_were_stale, self._last_positions = False, seen
        return seen

    async def open_orders(self) -> list[VenueOrder]:
        await self._read()
        seen = [each for each in await super().open_orders() if not self._is_hidden(each.client_order_id or "")]
        if seen and self._stage.hits("missing_order"):
            seen.remove(self._stage.rng.choice(seen))
        return seen

    async def find_orders(self, specs: Sequence[OrderSpec], *, since: datetime) -> dict[str, VenueOrder]:
        await self._read()
        found = await super().find_orders(specs, since=since)
        return {
            cid: seen
            for cid, seen in found.items()
            if not self._is_late(cid, "late_history", self._ended_at(cid)) and not self._is_hidden(cid)
        }

    async def fills(self, *, since: datetime) -> list[Fill]:
        await self._read()
        seen = []
        for fill in await super().fills(since=since):
            if self._is_late(fill.fill_id, "late_fill", fill.filled_at):
                continue
            nameless = self._stage.fixed(f"nameless {fill.fill_id}", self._stage.faults.nameless_fill)
            shown = replace(fill, client_order_id=None) if nameless else fill
            seen.extend([shown, shown] if self._stage.hits("repeated_fill") else [shown])
        return seen

    async def _read(self) -> None:
        await self._stage.moment()
        if self._stage.hits("unreadable"):
            raise VenueUnreadable(UNREADABLE.because("degraded reply", mend="wait"))

    def _is_late(self, name: str, fault: str, happened_at: datetime) -> bool:
        """Whether it is not told yet: an order's history within ten seconds, a fill sometimes after minutes."""
        late = self._stage.fixed(f"{fault} {name}", getattr(self._stage.faults, fault))
        seconds = random.Random(f"{fault} {name}").choice((1, 2, 2, 4, 4, 6, 6, 10, *LATEST[fault]))
        return late and self._clock.now() < happened_at + timedelta(seconds=seconds)

    def _is_hidden(self, client_order_id: str) -> bool:
        """Some orders are shown by nothing for ten seconds of each minute, although they rest."""
        hidden = self._stage.fixed(f"hidden {client_order_id}", self._stage.faults.hidden_order)
        return hidden and self._clock.now().second // 10 == len(client_order_id) % 6

    def _ended_at(self, client_order_id: str) -> datetime:
        order = self.book.find(None, client_order_id)
        assert order is not None
        return order.updated_at

    async def _arrive(self, spec: OrderSpec, expires_at: datetime) -> SubmitOutcome:
        outcome = await super().submit(spec, expires_at=expires_at, permit=lambda: None)
        refused = outcome.code if isinstance(outcome, Rejected) else None
        self.arrivals.append(Arrival(self._stage.time, spec, refused))
        if spec.leg is Leg.ENTRY and refused is None and not self.was_traded_by_hand:
            self.exposures_pct.append(self._exposure_pct())
        self._stage.say(f"arrived {spec.client_order_id} {spec.side} {spec.qty} {spec.symbol}: {refused or 'placed'}")
        return outcome

    def _asked(self, spec: OrderSpec, expires_at: datetime) -> NewOrder:
        asked = super()._asked(spec, expires_at)
        thin = self._stage.hits("partial_fill") and (asked.kind is OrderKind.LIMIT or self._stage.rng.random() < 0.3)
        return replace(asked, first_fill_fraction=Decimal("0.4")) if thin else asked

    # --- what happens there without us ----------------------------------------------------------------------------

    async def world_moves(self) -> None:
        """Late requests arrive, prices move, people act."""
        stage = self._stage
        due = [each for each in self._late if each[0] <= stage.time]
        self._late = [each for each in self._late if each[0] > stage.time]
        for _, spec, expires_at in due:
            await self._arrive(spec, expires_at)
        if self._venue is None:
            return
        for symbol in INSTRUMENTS:
            if stage.hits("price_move"):
                self.show(symbol, self._next_price(symbol))
        if stage.hits("hand_trade"):
            self._somebody_trades(stage.rng.choice(list(INSTRUMENTS)))
        if self.book.open_ids and stage.hits("hand_cancel"):
            self._venue.cancel("paper", self._moved(), order_id=stage.rng.choice(list(self.book.open_ids)))

    def show(self, symbol: str, price: Decimal) -> None:
        """The price from now on; matches at once."""
        assert self._venue is not None
        instrument = INSTRUMENTS[symbol]
        self._stage.market.prices[symbol] = price
        self._stage.say(f"price {symbol} {price}")
        quote = Quote(price - instrument.tick_size, price + instrument.tick_size, price, price, price)
        self._venue.tick(instrument.venue_id, quote, self._moved())

    def _next_price(self, symbol: str) -> Decimal:
        """Often exactly where one of the orders waits, or just beyond it: that is where the faults are."""
        rng, instrument = self._stage.rng, INSTRUMENTS[symbol]
        levels = [order.stop_price or order.limit_price for order in self.book.open_orders(instrument.venue_id)]
        level = rng.choice([*levels, None])
        if level is None:
            level = BASES[symbol] * (1 + Decimal(rng.randint(-25, 25)) / 1000)
        return instrument.round_price(level) + rng.randint(-2, 2) * instrument.tick_size

    def _somebody_trades(self, symbol: str) -> None:
        """A person closes the position, a part of it or more than it, or opens one."""
        rng, instrument = self._stage.rng, INSTRUMENTS[symbol]
        held = self.book.positions.get(instrument.venue_id)
        qty = abs(held.qty) * rng.choice((Decimal("0.5"), 1, 1, 2)) if held else instrument.qty_step * 20
        opposite = OrderSide.SELL if held and held.qty > 0 else OrderSide.BUY
        side = opposite if held and rng.random() < 0.8 else rng.choice(list(OrderSide))
        self.trade_by_hand(symbol, side, max(instrument.round_qty_down(Decimal(qty)), instrument.qty_step))

    def trade_by_hand(self, symbol: str, side: OrderSide, qty: Decimal) -> None:
        """A market order of a person at the venue's web page."""
        assert self._venue is not None
        price = self._stage.market.prices[symbol]
        self.show(symbol, price)
        self.was_traded_by_hand = True
        self._stage.say(f"by hand {side} {qty} {symbol}")
        self._venue.trade_by_hand("paper", INSTRUMENTS[symbol].venue_id, side, qty, price, self._moved())

    def _moved(self) -> datetime:
        self._now = max(self._now, self._clock.now())
        return self._now

    # --- the truth ------------------------------------------------------------------------------------------------

    def naked_symbols(self) -> set[str]:
        if self._venue is None:
            return set()
        return {self._symbol(venue_id) for venue_id in self.book.positions if not self._has_stop(venue_id)}

    def _is_old(self, symbol: str) -> bool:
        """Whether the position has stood as it is for some seconds, so that the worker must know of it."""
        held = self.book.positions.get(INSTRUMENTS[symbol].venue_id)
        return held is not None and self._clock.now() - held.filled_at > timedelta(seconds=5)

    def check_correction(self, event: Corrected) -> None:
        """A correction to flat of what has been held for a while believed one bad reading (W3)."""
        held = self.book.positions.get(INSTRUMENTS[event.symbol].venue_id)
        if held is None or event.qty > 0 or not self._is_old(event.symbol):
            return
        named = "long" if held.qty > 0 else "short"
        if f"book {named}" in event.reason:
            self._stage.found.append(f"{event.symbol} was held, and corrected to flat")

    def _exposure_pct(self) -> Decimal:
        """Of equity: what is held at its entry price, and what resting entries may add."""
        assert self._venue is not None
        held = sum((abs(each.qty) * each.entry_price for each in self.book.positions.values()), Decimal(0))
        entries = [order for order in self.book.open_orders() if not order.reduce_only]
        asked = sum((order.remaining * (order.limit_price or Decimal(0)) for order in entries), Decimal(0))
        return (held + asked) / self._venue.margin("paper").equity * 100

    def _has_stop(self, venue_id: str) -> bool:
        qty = self.book.positions[venue_id].qty
        guard = OrderSide.SELL if qty > 0 else OrderSide.BUY
        return any(
            order.kind is OrderKind.STOP and order.reduce_only and order.side is guard and order.remaining >= abs(qty)
            for order in self.book.open_orders(venue_id)
        )


class StageJournal(MemoryJournal):
    """The shared store behind an await at which the process may die, before or after the commit."""

    def __init__(self, stage: Stage, *, epoch: int, holder: UUID) -> None:
        super().__init__(stage.store, scope=SCOPE, epoch=epoch, holder=holder, clock=stage.clock.now)
        self._stage = stage

    async def append(self, events: Sequence[Event]) -> None:
        with self._stage.effect(f"append {' '.join(event.kind for event in events)}"):
            await super().append(events)
            for event in events:
                if isinstance(event, Corrected):
                    self._stage.venue.check_correction(event)
            self._stage.maybe_lose_lease()


@dataclass
class Stage:
    """A market, a venue and a store that outlive the workers that come and go."""

    seed: int
    faults: Faults = field(default_factory=Faults)
    settings: Settings = SETTINGS
    signal_share: float = 0.5

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.time = BEGAN
        self.venue_ahead_seconds = self.rng.uniform(-0.4, 0.4)
        self.clock = StageClock(self)
        self.venue_clock = StageClock(self, ahead_seconds=self.venue_ahead_seconds)
        self.market = StageMarket(self.venue_clock)
        self.venue = StageVenue(self)
        self.store = MemoryStore()
        self.trace: list[str] = []
        self.found: list[str] = []
        self.worker: LiveTrading | None = None
        self.lease_epoch: int | None = None
        self.effects = 0
        self.crash_at: tuple[int, str] | None = None
        self.naked_seconds: dict[str, float] = {}
        self.naked_seconds_max = 0.0

    # --- chance ---------------------------------------------------------------------------------------------------

    def hits(self, fault: str) -> bool:
        return self.rng.random() < getattr(self.faults, fault)

    def fixed(self, name: str, share: float) -> bool:
        """A chance that falls the same way each time it is asked about the same thing."""
        return random.Random(f"{self.seed}/{name}").random() < share

    @contextmanager
    def effect(self, name: str) -> Iterator[None]:
        """Something durable is about to happen: the process may die just before it, or just after."""
        self.effects += 1
        number = self.effects
        self._perhaps_die(number, "before", name)
        yield
        self._perhaps_die(number, "after", name)

    def _perhaps_die(self, number: int, when: str, name: str) -> None:
        if self.crash_at == (number, when) or self.hits("crash"):
            self.say(f"crash {when} effect {number}, {name}")
            raise Crash

    def maybe_lose_lease(self) -> None:
        if self.hits("lease_loss"):
            self.say("lease lost")
            self.lease_epoch = None

    # --- time -----------------------------------------------------------------------------------------------------

    async def moment(self) -> None:
        """The time one request takes, and what happens meanwhile."""
        self.maybe_lose_lease()
        await self.pass_(self.rng.uniform(0.005, 0.15))

    async def pass_(self, seconds: float) -> None:
        before = self.venue.naked_symbols() - (set(self.worker.book.frozen) if self.worker else set())
        self.time += timedelta(seconds=seconds)
        await self.venue.world_moves()
        for symbol in INSTRUMENTS:
            naked = symbol in before and self.worker is not None
            self.naked_seconds[symbol] = self.naked_seconds.get(symbol, 0.0) + seconds if naked else 0.0
            self.naked_seconds_max = max(self.naked_seconds_max, self.naked_seconds[symbol])

    def say(self, what: str) -> None:
        self.trace.append(f"{(self.time - BEGAN).total_seconds():9.3f} {what}")

    def full_trace(self) -> list[str]:
        return [*self.trace, *(row.payload for _, row in self.store.rows)]

    # --- workers --------------------------------------------------------------------------------------------------

    def take_lease(self) -> tuple[int, UUID]:
        holder = UUID(int=self.rng.getrandbits(128))
        self.lease_epoch = self.store.take(SCOPE, holder)
        self.say(f"epoch {self.lease_epoch}")
        return self.lease_epoch, holder

    async def boot(self) -> LiveTrading:
        """A worker of a new epoch, booted."""
        epoch, holder = self.take_lease()
        identity = Identity(
            scope=SCOPE,
            scope_hash=SCOPE_HASH,
            epoch=epoch,
            holder=str(holder),
            predecessor_clean=True,
            host="h",
            pid=1,
            version="0",
        )
        worker = LiveTrading(
            settings=self.settings,
            identity=identity,
            journal=StageJournal(self, epoch=epoch, holder=holder),
            venue=self.venue,
            clock=self.clock,
            permit=self.permit(epoch),
            lease_is_fresh=lambda: self.lease_epoch == epoch,
            narrate=lambda text: self.say(f"says {text}"),
            alert=lambda _key, text: self.say(f"alert {text}"),
        )
        self.worker = worker
        await worker.boot()
        for feed in worker._feeds:
            feed._engine = ScriptedEngine(self, feed.symbol)  # type: ignore[assignment]
        return worker

    def permit(self, epoch: int) -> Callable[[], None]:
        def ask() -> None:
            if self.lease_epoch != epoch:
                raise LeaseLost(LOST.because("another worker may hold it", mend="restart"))

        return ask

    async def halt_by_hand(self) -> None:
        """Between the tick's look at the latch and the send that may follow from the candles."""
        self.say("a person halts")
        operator = MemoryJournal(self.store, scope=SCOPE, epoch=0, holder=UUID(int=0), clock=self.clock.now)
        await operator.halt("to see", by="person")

    def note_send(self, spec: OrderSpec, *, cancels: bool = False) -> None:
        """Called where the request leaves: what must hold at this moment is checked at this moment."""
        if self.lease_epoch is None:
            self.found.append(f"sent {spec.client_order_id} without a lease")
        halted = bool(self.store.halts) and self.store.halts[-1][1].halted
        if spec.leg is Leg.ENTRY and halted and not cancels:
            self.found.append(f"sent {spec.client_order_id} while halted")

"""One account on a virtual clock: the real worker over a shared in-memory journal and the matching venue, with faults.

Everything random is drawn from the seed, in the order of the calls, so that a seed is a schedule: the same seed gives
the same trace. Time passes only here: at every call to the venue, when the worker sleeps, and between two ticks.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from live.events import Ask, Corrected, Event, FlattenDone, OrderCancelled, OrderRejected, PersonAsked
from live.journal import MemoryJournal, MemoryStore
from live.live_trading import LiveTrading
from live.model import Leg, OrderSpec
from live.position import policy_of, wanted_stop
from live.report import Identity
from live.settings import Settings
from live.venue import Permit
from prodsafe.errors import LeaseLost, RefusalKind
from prodsafe.lease_model import LeaseTiming
from tests.simulation.journal import StageJournal
from tests.simulation.market import INSTRUMENTS, ScriptedEngine, StageMarket
from tests.simulation.nakedness import NakedTime
from tests.simulation.venue import StageVenue
from tests.simulation.weather import KINDS, Faults

BEGAN = datetime(2026, 3, 2, 12, 0, 30, tzinfo=UTC)
SCOPE, SCOPE_HASH = "scope", "abc"
LOST = RefusalKind("L02", "lease-lost")
GRACE_SECONDS = LeaseTiming().grace_seconds
LISTS_LIE = (
    *("hidden_order", "missing_order", "empty_orders", "stale_orders"),
    *("late_history", "status_window", "clock_leap", "clock_step"),
)
LATELY = timedelta(seconds=30)  # a price may have come and gone between a look and the send that follows from it
LOOK_SECONDS = 2.0  # one look with its pause where the worker is in haste, and what follows from it
OUTAGES_SECONDS = (5, 20, 90, 240)
DATABASE_LOSSES_SECONDS = (0, 0, 5, 60, 200)
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


class StageClock:
    """Somebody's clock: the stage's time and how far this one is ahead of it (seconds)."""

    def __init__(self, stage: Stage, *, ahead_seconds: float = 0.0) -> None:
        self._stage, self.ahead_seconds = stage, ahead_seconds

    def now(self) -> datetime:
        return self._stage.time + timedelta(seconds=self.ahead_seconds)

    async def sleep(self, seconds: float) -> None:
        await self._stage.pass_(seconds)


@dataclass
class Stage:
    """A market, a venue and a store that outlive the workers that come and go.

    found: rules broken at the moment at which they were. struck: how often each fault did. effects: their names, in
    order; effects_lived: how many until all was quiet. overtake: what another process does while this one stands
    still. turns: how often that happened. sent: requests for orders that left, by client order id.
    """

    seed: int
    faults: Faults = field(default_factory=dict)
    settings: Settings = SETTINGS
    signal_share: float = 0.5
    scope: str = SCOPE

    def __post_init__(self) -> None:
        assert not set(self.faults) - set(KINDS), f"no such fault: {set(self.faults) - set(KINDS)}"
        self.rng = random.Random(self.seed)
        self.time = BEGAN
        self.clock = StageClock(self)
        self.venue_clock = StageClock(self, ahead_seconds=self.rng.uniform(-0.4, 0.4))
        self.market = StageMarket(self.venue_clock)
        self.venue = StageVenue(self)
        self.store = MemoryStore()
        self.trace: list[str] = []
        self.found: list[str] = []
        self.struck: Counter[str] = Counter()
        self.effects: list[str] = []
        self.effects_lived = 0
        self.crashes: Counter[tuple[str, str]] = Counter()
        self.phases: Counter[str] = Counter()
        self.worker: LiveTrading | None = None
        self.lease_epoch: int | None = None
        self.overtake: Callable[[], Awaitable[None]] | None = None
        self.crash_at: tuple[int, str] | None = None
        self.turns = 0
        self.sent: Counter[str] = Counter()
        self.position_of: dict[str, str] = {}
        self.latest_committed_epoch = 0
        self.naked = NakedTime()
        self._outage_until = self._no_database_until = BEGAN
        self._luck: dict[tuple[str, str], float] = {}
        self._suspended_epochs: set[int] = set()

    # --- chance -----------------------------------------------------------------------------------------------------

    def hits(self, fault: str) -> bool:
        if self.rng.random() >= self.faults.get(fault, 0.0):
            return False
        self.struck[fault] += 1
        return True

    def fixed(self, fault: str, name: str) -> bool:
        """A chance that falls the same way each time it is asked about the same thing."""
        share = self.faults.get(fault, 0.0)
        if not share:
            return False
        luck = self._luck.get((fault, name))
        if luck is None:
            luck = self._luck[fault, name] = random.Random(f"{self.seed}/{fault} {name}").random()
            self.struck[fault] += luck < share
        return luck < share

    @contextmanager
    def effect(self, name: str) -> Iterator[None]:
        """Something durable is about to happen: the process may die just before it, or just after."""
        self.effects.append(name)
        number = len(self.effects)
        self._perhaps_die(number, "before", name)
        yield
        self._perhaps_die(number, "after", name)

    def _perhaps_die(self, number: int, when: str, name: str) -> None:
        if self.crash_at == (number, when) or self.hits("crash"):
            self.say(f"crash {when} effect {number}, {name}")
            self.crashes[when, kind_of(name)] += 1
            raise Crash

    def perhaps_die_waiting(self) -> None:
        if self.hits("crash"):
            self.say("crash while waiting for a reply")
            self.crashes["before", "reply that never comes"] += 1
            raise Crash

    def maybe_lose_lease(self) -> None:
        if self.lease_epoch is not None and self.hits("lease_loss"):
            self.say("lease lost")
            self.lease_epoch = None

    async def maybe_stand_still(self) -> None:
        """The process sleeps for longer than its lease; when it was suspended, its own deadline did not advance."""
        if self.overtake is None or self.worker is None or self.lease_epoch is None:
            return
        suspended = self.hits("suspend")
        if suspended or self.hits("pause"):
            self.say("suspended" if suspended else "stands still")
            if suspended:
                self._suspended_epochs.add(self.lease_epoch)
            await self.overtake()
            self.say("wakes up")

    def calm(self) -> None:
        """No faults and no signals from here on; what lasts is over."""
        self.faults, self.signal_share, self.overtake = {}, 0.0, None
        self._outage_until = self._no_database_until = self.time
        self.clock.ahead_seconds = 0.0
        self.venue.calm()

    # --- time -------------------------------------------------------------------------------------------------------

    async def moment(self) -> None:
        """The time one request takes, and what happens meanwhile."""
        self.maybe_lose_lease()
        await self.maybe_stand_still()
        if self.hits("outage"):
            seconds = self.rng.choice(OUTAGES_SECONDS)
            self.say(f"outage of {seconds} s")
            self._outage_until = self.time + timedelta(seconds=seconds)
        await self.pass_(self.rng.uniform(0.005, 0.15))

    @property
    def is_out(self) -> bool:
        return self.time < self._outage_until

    @property
    def database_is_down(self) -> bool:
        return self.time < self._no_database_until

    def lose_database(self) -> None:
        self._no_database_until = self.time + timedelta(seconds=self.rng.choice(DATABASE_LOSSES_SECONDS))

    async def pass_(self, seconds: float) -> None:
        naked, began_at = self._naked(), self.time
        self.time += timedelta(seconds=seconds)
        self._turn_clock()
        await self.venue.world_moves()
        watched = self.worker is not None and not self.is_out and not self._refuses_to_boot(self.worker)
        self.naked.passed(naked, began_at, self.time, watched=watched)
        if self.worker is not None:
            self.phases.update(position.phase for position in self.worker.book.open_positions())

    def _refuses_to_boot(self, worker: LiveTrading) -> bool:
        """With a clock that is off it starts nothing: so long no worker lives."""
        off = abs(self.venue_clock.ahead_seconds - self.clock.ahead_seconds)
        return worker.status.state == "reconciling" and off > self.settings.live_clock_skew_seconds

    def _naked(self) -> dict[str, int]:
        """The sides of positions without a stop, but for those that the worker was told to leave alone."""
        left_alone = self.worker.book.frozen if self.worker else {}
        return {symbol: side for symbol, side in self.venue.naked_sides().items() if symbol not in left_alone}

    def excuse_look(self, seconds: float = 0.0) -> None:
        """What this reading tells is of no use, nor what others tell for so long: the next one is due after a pause."""
        self.naked.excuse(self.time + timedelta(seconds=seconds + self.settings.live_tick_seconds + LOOK_SECONDS))

    def excuse_request(self, spec: OrderSpec) -> None:
        """What would have ended the naked time failed on the way: the next try is due after the pause between tries.

        Or, where nobody knows what became of it, after its expiry and two looks.
        """
        settings = self.settings
        unknown = settings.live_request_timeout_seconds + settings.live_request_expiry_seconds + 2 * LOOK_SECONDS
        seconds = max(settings.live_naked_bound_seconds / 4, unknown) + LOOK_SECONDS
        if spec.leg in (Leg.STOP, Leg.EXIT):
            self.naked.excuse(self.time + timedelta(seconds=seconds), spec.symbol)

    def _turn_clock(self) -> None:
        """What a time service does to our clock: small steps within the allowance, rarely a leap, later taken back."""
        if self.hits("clock_step"):
            self.clock.ahead_seconds = self.venue_clock.ahead_seconds + self.rng.uniform(-0.45, 0.45)
        elif self.hits("clock_leap"):
            self.clock.ahead_seconds = self.rng.choice((-5.0, -1.5, 1.5, 5.0, 0.0))
        else:
            return
        self.say(f"our clock is {self.clock.ahead_seconds:+.2f} s")

    def say(self, what: str) -> None:
        self.trace.append(f"{(self.time - BEGAN).total_seconds():9.3f} {what}")

    def full_trace(self) -> list[str]:
        return [*self.trace, *(row.payload for _, row in self.store.rows)]

    def trace_hash(self) -> str:
        return hashlib.sha256("\n".join(self.full_trace()).encode()).hexdigest()[:16]

    # --- workers ----------------------------------------------------------------------------------------------------

    def take_lease(self) -> tuple[int, UUID]:
        holder = UUID(int=self.rng.getrandbits(128))
        self.lease_epoch = self.store.take(self.scope, holder)
        self.say(f"epoch {self.lease_epoch}")
        return self.lease_epoch, holder

    async def boot(self) -> LiveTrading:
        """A worker of a new epoch, booted."""
        epoch, holder = self.take_lease()
        identity = Identity(
            scope=self.scope,
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
            tell=lambda notice: self.say(f"notice {notice.text}"),
        )
        self.worker = worker
        await worker.boot()
        for feed in worker._feeds:
            feed._engine = ScriptedEngine(self.seed, feed.symbol, signal_share=self._share)  # type: ignore[assignment]
        return worker

    def _share(self) -> float:
        return self.signal_share

    def permit(self, epoch: int) -> Permit:
        def ask() -> None:
            if self.lease_epoch != epoch and epoch not in self._suspended_epochs:
                raise LeaseLost(LOST.because("another worker may hold it", mend="restart"))

        return ask

    def operator(self) -> MemoryJournal:
        """A person's way to the latch."""
        return MemoryJournal(self.store, scope=self.scope, epoch=0, holder=UUID(int=0), clock=self.clock.now)

    async def halt_by_hand(self) -> None:
        """Between the tick's look at the latch and the send that may follow from the candles."""
        self.say("a person halts")
        await self.operator().halt("to see", by="person")

    def ask_by_hand(self, action: Ask, symbol: str | None = None) -> None:
        """As `python -m live flatten` writes it: the worker takes it up at its next tick."""
        self.say(f"a person asks: {action} {symbol or 'all'}")
        number = len(self.store.asked) + 1
        asked = PersonAsked(
            at=self.clock.now(), request_id=number, action=action, symbol=symbol, reason="to see", who="person"
        )
        self.store.asked.append((self.scope, asked))

    @property
    def is_halted(self) -> bool:
        return bool(self.store.halts) and self.store.halts[-1][1].halted

    # --- what must hold at this very moment -------------------------------------------------------------------------

    def note_send(self, spec: OrderSpec, *, cancels: bool = False) -> None:
        """Called where a request leaves."""
        if self.lease_epoch is None:
            self.found.append(f"sent {spec.client_order_id} without a lease")
        if spec.leg is Leg.ENTRY and self.is_halted and not cancels:
            self.found.append(f"sent {spec.client_order_id} while halted")
        if not cancels:
            self.sent[spec.client_order_id] += 1
            self.position_of[spec.client_order_id] = spec.position_id
            self.found.extend(self.venue.wrong_with(spec))

    def may_close(self, spec: OrderSpec) -> bool:
        """Whether an exit has a cause: a person, its age, a price beyond its stop, or a stop that was tried in vain."""
        if self.store.asked or self.settings.live_max_holding_minutes is not None or self.worker is None:
            return True
        position = self.worker.book.positions.get(spec.position_id)
        if position is None or (position.legs(Leg.STOP) and not position.is_protected):
            return True
        wanted = wanted_stop(position, policy_of(self.settings, entries_allowed=True).rules)
        ticks = (
            self.market.listed[spec.symbol],
            INSTRUMENTS[spec.symbol],
        )  # a stop is asked for on the tick of its day
        stop = position.side.tightest([each.round_stop(wanted, position.side) for each in ticks])
        return any(position.side.sign * (seen - stop) <= 0 for seen in self.market.recent(spec.symbol, LATELY))

    def committed(self, epoch: int, events: Sequence[Event]) -> None:
        """Called where events became durable."""
        if epoch < self.latest_committed_epoch:
            self.found.append(f"the journal took {events[0].kind} of epoch {epoch} after {self.latest_committed_epoch}")
        self.latest_committed_epoch = max(self.latest_committed_epoch, epoch)
        for event in events:
            if isinstance(event, Corrected):
                self.venue.check_correction(event)
            elif isinstance(event, FlattenDone):
                self.venue.check_flat(self.store.asked[event.request_id - 1][1])
            elif isinstance(event, OrderRejected | OrderCancelled):
                self._check_end(event)

    def _check_end(self, event: OrderRejected | OrderCancelled) -> None:
        """What is called refused by its only reply was not taken; what is called cancelled rests no more.

        Where lists lie, an order may be given up that is there: it is looked for later.
        """
        cid = event.client_order_id
        if any(self.faults.get(kind) for kind in LISTS_LIE) or not self.venue.is_open:
            return
        if isinstance(event, OrderRejected) and self.sent[cid] == 1 and self.venue.has_taken(cid):
            self.found.append(f"{cid} is called refused ({event.code}), and the venue has it")
        if isinstance(event, OrderCancelled) and self.venue.rests(cid):
            self.found.append(f"{cid} is called cancelled, and rests")


def kind_of(effect: str) -> str:
    """An effect's name without the order it is about: "submit stop", "append filled"."""
    return " ".join(word for word in effect.split() if not word.startswith("ps-"))

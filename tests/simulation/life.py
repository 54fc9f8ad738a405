"""One seed, from start to verdict: a life of faults, then quiet, then the invariants. [S]"""

from __future__ import annotations

import asyncio
import random
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from live.events import Ask
from live.journal import JournalUnavailable
from live.live_trading import LiveTrading
from live.model import TrailStep
from live.settings import Settings
from prodsafe.errors import GateRefused, LeaseLost, VenueUnreadable
from tests.simulation import weather
from tests.simulation.invariants import broken, restarted, restless
from tests.simulation.market import INSTRUMENTS
from tests.simulation.stage import GRACE_SECONDS, SETTINGS, Crash, Stage
from tests.simulation.weather import Faults

STEPS = 120
QUIET_TICKS = 60
LAST_TICKS = 12
RESTS = 5
SUPERVISOR_SECONDS = 5.0  # between two tries of a supervisor to start a worker


@dataclass(frozen=True, slots=True)
class Life:
    """What it takes to live a seed again. only: the kinds of fault that may strike, None for all of them.

    faults: how likely each is, None for the seed's own weather. settings: instead of what the seed draws.
    """

    seed: int
    steps: int = STEPS
    only: frozenset[str] | None = None
    faults: Faults | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def stage(self) -> Stage:
        rng = random.Random(self.seed)
        settings, drawn = drawn_settings(rng), weather.drawn(rng)
        faults = drawn if self.faults is None else self.faults
        kept = {kind: share for kind, share in faults.items() if self.only is None or kind in self.only}
        return Stage(self.seed, faults=kept, settings=replace(settings, **self.settings))

    def command(self) -> str:
        """Plays it again and shows its trace."""
        only = f" ONLY={','.join(sorted(self.only))}" if self.only is not None else ""
        return f"make simulate TRACE={self.seed} STEPS={self.steps}{only}"


def drawn_settings(rng: random.Random) -> Settings:
    return replace(
        SETTINGS,
        live_foreign_positions=rng.choice(("adopt", "adopt", "adopt", "freeze")),
        live_stop_attempts=rng.choice((2, 3, 3, 5)),
        live_naked_bound_seconds=rng.choice((15.0, 20.0, 20.0, 30.0)),
        live_tick_seconds=rng.choice((3.0, 5.0, 5.0)),
        risk_max_positions=rng.choice((2, 4, 4)),
        live_break_even_share=rng.choice((None, Decimal("0.3"), Decimal("0.5"))),
        live_trail_steps_r=rng.choice((None, SETTINGS.live_trail_steps_r, (TrailStep(Decimal(1), Decimal("0.5")),))),
        live_trail_distance_pct=rng.choice((None, None, Decimal("0.5"))),
        live_trail_pause_seconds=rng.choice((2.0, 30.0)),
        live_max_holding_minutes=rng.choice((None, None, Decimal(3))),
        live_listing_refresh_minutes=rng.choice((Decimal("0.5"), Decimal(15))),
    )


def run(life: Life) -> tuple[Stage, list[str]]:
    """The stage after the life and a quiet time, and every rule that it broke."""
    stage = life.stage()
    asyncio.run(simulate(stage, life.steps))
    return stage, broken(stage)


async def simulate(stage: Stage, steps: int) -> None:
    stage.overtake = lambda: overtake(stage)
    for _ in range(steps):
        if stage.found:
            return
        await step(stage)
    await settle(stage)


async def settle(stage: Stage, *, ticks: int = QUIET_TICKS) -> None:
    """No more faults and no more signals: what is owed is done now, and then nothing more is."""
    stage.say("quiet from here")
    stage.calm()
    stage.excuse_look(10)  # nobody ticks meanwhile
    await stage.pass_(10)
    for _ in range(ticks):
        if stage.found:
            return
        await step(stage)
    for _ in range(0 if stage.worker else LAST_TICKS):  # who dies in the last tick has a successor, too
        await step(stage)
    stage.effects_lived = len(stage.effects)
    if not stage.found and stage.worker is not None:
        stage.found.extend(await _rest(stage))


async def _rest(stage: Stage) -> list[str]:
    """What the worker does without a cause, and what a restart changes. Time is one: an exit that was due in the
    midst of the look at its rest, or an entry's end, gets time to be over."""
    for _ in range(RESTS):
        if not (news := await restless(stage)):
            return await restarted(stage)
        for _ in range(LAST_TICKS):
            await step(stage)
    return news


async def step(stage: Stage) -> None:
    """One boot or one tick and the pause after it, with every end that a worker may meet."""
    worker, turns = stage.worker, stage.turns
    if worker is None and stage.database_is_down:
        stage.say("no database, no lease")
        return await stage.pass_(SUPERVISOR_SECONDS)
    how = await _act(stage, worker)
    if stage.turns != turns:  # overtaken in the middle: what ended is the old worker
        if how is None:
            stage.found.append("a worker that was overtaken went on")
        return stage.say(f"the old worker {how}")
    if how is not None:
        return await end(stage, how, seconds=_downtime(stage, worker, how))
    if stage.worker is not None and stage.lease_epoch is None:
        await _succeed(stage)
    await _person(stage)
    await stage.pass_(_pause(stage))
    return None


async def _act(stage: Stage, worker: LiveTrading | None) -> str | None:
    """How the worker ended, None while it lives."""
    turns = stage.turns
    try:
        if worker is None:
            await stage.boot()
        elif stage.hits("stop"):
            worker.stop()
            await worker.drain()
            return "stopped"
        else:
            await worker.tick()
            _check_decisions(stage, worker)
    except Crash:
        return "died"
    except VenueUnreadable as unreadable:
        if worker is not None:
            stage.found.append(f"a running worker raised {unreadable}")
        return "could not boot"
    except GateRefused as refused:
        if worker is not None or "lists no tradeable contract" not in str(refused):
            stage.found.append(f"refused: {refused}")
        return "could not boot"
    except JournalUnavailable:
        return "lost its journal"
    except LeaseLost as lost:
        if stage.turns == turns and stage.lease_epoch is not None:
            stage.found.append(f"lease lost while held: {lost}")
        return None if stage.turns == turns and worker is not None else "lost its lease"
    except Exception:  # noqa: BLE001 - any other end of a worker is what this simulation looks for
        stage.found.append(traceback.format_exc(limit=-4))
        return "raised"
    return None


def _downtime(stage: Stage, worker: LiveTrading | None, how: str) -> float:
    if how == "stopped":
        return GRACE_SECONDS if worker is not None and worker.has_undecided_orders() else 0.0
    return GRACE_SECONDS + (stage.rng.choice((0, 0, 3, 60)) if how == "died" else 0.0)


def _pause(stage: Stage) -> float:
    worker = stage.worker
    hasty = worker is None or worker.book.needs_haste() or not worker.status.reconciled
    return stage.settings.live_fast_tick_seconds if hasty else stage.settings.live_tick_seconds


async def end(stage: Stage, how: str, *, seconds: float) -> None:
    stage.say(f"worker {how}")
    stage.worker, stage.lease_epoch = None, None
    await stage.pass_(seconds)


async def _succeed(stage: Stage) -> None:
    """A successor takes over after the grace; the old worker wakes once more and must not be heard."""
    zombie = stage.worker
    await end(stage, "lost its lease", seconds=GRACE_SECONDS)
    if stage.database_is_down:
        return
    stage.take_lease()
    arrived = len(stage.venue.arrivals)
    try:
        assert zombie is not None
        await zombie.tick()
    except (LeaseLost, JournalUnavailable, Crash):
        pass
    else:
        stage.found.append("a worker without its lease finished a tick")
    if len(stage.venue.arrivals) != arrived:
        stage.found.append("a worker without its lease was heard at the venue")


async def overtake(stage: Stage) -> None:
    """A successor boots and trades while the worker's process stands still, in the middle of whatever it did."""
    again, stage.overtake = stage.overtake, None  # one sleeper at a time
    stage.turns += 1
    await end(stage, "stands still", seconds=GRACE_SECONDS)
    for _ in range(stage.rng.randint(2, 8)):
        if not stage.found:
            await step(stage)
    if stage.worker is None and not stage.found:
        stage.take_lease()  # the next one holds the lease and has not booted yet
    stage.overtake = again


async def _person(stage: Stage) -> None:
    """Somebody resumes what is halted, or wants positions closed; who halts does so in the middle of a tick."""
    if stage.hits("hand_flatten"):
        stage.ask_by_hand(Ask.FLATTEN, stage.rng.choice((None, *INSTRUMENTS)))
    elif stage.store.asked and stage.hits("hand_flatten"):
        stage.ask_by_hand(Ask.WITHDRAW)
    if stage.worker is not None and stage.is_halted and stage.rng.random() < 0.1:
        stage.say("a person resumes")
        await stage.operator().resume("looked", by="person", seen_id=stage.store.halts[-1][1].id)


def _check_decisions(stage: Stage, worker: LiveTrading) -> None:
    """Each candle that the strategy heard has its decision by the end of the tick."""
    for feed in worker._feeds:
        heard = getattr(feed._engine, "heard", [])
        decided_at = worker.book.decided.get(feed.symbol)
        if heard and (decided_at is None or decided_at < heard[-1]):
            stage.found.append(f"{feed.symbol}: no decision on the candle that closed at {heard[-1]}")
        del heard[:]

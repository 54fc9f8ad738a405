"""One seed, from start to verdict: a life of faults, then quiet, then the invariants.

`python -m tests.simulation.driver` runs many seeds and prints those that break a rule; `--trace SEED` shows one.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import traceback
from dataclasses import replace

from prodsafe.errors import LeaseLost, VenueUnreadable
from tests.simulation.invariants import broken
from tests.simulation.stage import GRACE_SECONDS, SETTINGS, Crash, Faults, Stage

QUIET_TICKS = 60


async def live_through(stage: Stage, steps: int) -> None:
    """`steps` ticks, boots or stops of whichever worker holds the lease; ends early at the first unexpected error."""
    for _ in range(steps):
        if stage.found:
            return
        await step(stage)


async def step(stage: Stage) -> None:
    """One boot or one tick and the pause after it, with every end that a worker may meet."""
    worker = stage.worker
    try:
        if worker is None:
            await stage.boot()
        elif stage.hits("stop"):
            worker.stop()
            await worker.drain()
            await end(stage, "stopped", seconds=GRACE_SECONDS if worker.has_undecided_orders() else 0)
        else:
            await worker.tick()
    except Crash:
        await end(stage, "died", seconds=GRACE_SECONDS + stage.rng.choice((0, 0, 3, 60)))
    except VenueUnreadable as unreadable:
        if worker is not None:
            stage.found.append(f"a running worker raised {unreadable}")
        await end(stage, "could not boot", seconds=GRACE_SECONDS)
    except LeaseLost as lost:
        if stage.lease_epoch is not None:
            stage.found.append(f"lease lost while held: {lost}")
    except Exception:  # noqa: BLE001 - any other end of a worker is what this simulation looks for
        stage.found.append(traceback.format_exc(limit=-4))
    if stage.worker is not None and stage.lease_epoch is None:
        await _succeed(stage)
    await _person(stage)
    await stage.pass_(_pause(stage))


def _pause(stage: Stage) -> float:
    worker = stage.worker
    hasty = worker is None or worker.book.needs_haste() or bool(worker._reconciler.mismatches)
    return stage.settings.live_fast_tick_seconds if hasty else stage.settings.live_tick_seconds


async def end(stage: Stage, how: str, *, seconds: float) -> None:
    stage.say(f"worker {how}")
    stage.worker, stage.lease_epoch = None, None
    await stage.pass_(seconds)


async def _succeed(stage: Stage) -> None:
    """A successor takes over after the grace; the old worker wakes once more and must not be heard."""
    zombie = stage.worker
    await end(stage, "lost its lease", seconds=GRACE_SECONDS)
    stage.take_lease()
    arrived = len(stage.venue.arrivals)
    try:
        assert zombie is not None
        await zombie.tick()
    except (LeaseLost, Crash):
        pass
    else:
        stage.found.append("a worker without its lease finished a tick")
    if len(stage.venue.arrivals) != arrived:
        stage.found.append("a worker without its lease was heard at the venue")


async def _person(stage: Stage) -> None:
    """Somebody resumes what is halted; who halts does so in the middle of a tick."""
    halts = stage.store.halts
    halted = bool(halts) and halts[-1][1].halted
    worker = stage.worker
    if worker is None:
        return
    if halted and stage.rng.random() < 0.1:
        stage.say("a person resumes")
        await worker._journal.resume("looked", by="person", seen_id=halts[-1][1].id)


async def settle(stage: Stage, *, ticks: int = QUIET_TICKS) -> None:
    """No more faults and no more signals: what is owed is done now."""
    stage.say("quiet from here")
    stage.faults, stage.signal_share = Faults(), 0.0
    await stage.pass_(10)
    for _ in range(ticks):
        if stage.found:
            return
        await step(stage)


async def simulate(seed: int, *, steps: int = 120) -> Stage:
    """The stage after a life under the seed's faults and a quiet time after it; `broken` gives the verdict."""
    weather = random.Random(seed)
    foreign = weather.choice(("adopt", "adopt", "adopt", "freeze"))
    stage = Stage(seed, faults=Faults.drawn(weather), settings=replace(SETTINGS, live_foreign_positions=foreign))
    await live_through(stage, steps)
    await settle(stage)
    return stage


def run(seed: int, *, steps: int = 120) -> tuple[Stage, list[str]]:
    stage = asyncio.run(simulate(seed, steps=steps))
    return stage, broken(stage)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--trace", type=int, help="show the trace of this seed and stop")
    asked = parser.parse_args()
    if asked.trace is not None:
        stage, found = run(asked.trace, steps=asked.steps)
        print(*stage.full_trace(), *found, sep="\n")
        return bool(found)
    failed = 0
    for seed in range(asked.first, asked.first + asked.seeds):
        _, found = run(seed, steps=asked.steps)
        failed += bool(found)
        if found:
            print(f"seed {seed}: ", *found, sep="\n  ")
    print(f"{asked.seeds} seeds, {failed} broke a rule")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())

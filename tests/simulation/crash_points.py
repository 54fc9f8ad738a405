"""`make crash-points`: every scene with a crash before and after each of its effects, and a table. [S]

Exit 1 when a rule was broken, with the scene, the effect and the side.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from prodsafe.output import say
from tests.simulation.invariants import broken
from tests.simulation.scenes import SCENES, play
from tests.simulation.stage import kind_of

SIDES = ("before", "after")


@dataclass(frozen=True, slots=True)
class Point:
    """A place to die at: the number of an effect in its scene, counted from 1, and the side."""

    scene: str
    number: int
    when: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the account after the crash. found: the rules broken, and whether it crashed at all."""

    point: Point
    found: list[str]


def effects_of(scene: str) -> list[str]:
    """The durable effects of a scene nobody dies in. Raises AssertionError where it is not what it says."""
    stage = asyncio.run(play(SCENES[scene]))
    said = "\n".join([*stage.full_trace(), *stage.effects])
    assert not (found := broken(stage)), f"{scene} breaks rules without any crash: {found}"
    assert not (missing := [each for each in SCENES[scene].reaches if each not in said]), f"{scene} lacks {missing}"
    assert not (wrong := [each for each in SCENES[scene].avoids if each in said]), f"{scene} tells of {wrong}"
    return stage.effects[: stage.effects_lived]


def points_of(scene: str, effects: Sequence[str]) -> Iterator[Point]:
    for number in range(1, len(effects) + 1):
        for when in SIDES:
            yield Point(scene, number, when)


def try_point(point: Point) -> Outcome:
    stage = asyncio.run(play(SCENES[point.scene], (point.number, point.when)))
    crashed = any(f"crash {point.when} effect {point.number}," in line for line in stage.trace)
    return Outcome(point, broken(stage) if crashed else ["it never came to this effect"])


def main() -> int:
    total, kinds, bad = 0, set(), 0
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for scene in SCENES:
            effects = effects_of(scene)
            outcomes = list(pool.map(try_point, points_of(scene, effects), chunksize=8))
            wrong = [outcome for outcome in outcomes if outcome.found]
            kinds |= {kind_of(effect) for effect in effects}
            total, bad = total + len(outcomes), bad + len(wrong)
            say(f"{scene:<18}{len(effects):>5} effects{len(outcomes):>6} crash points{len(wrong):>4} broken")
            for outcome in wrong:
                name = effects[outcome.point.number - 1]
                say(f"  crash {outcome.point.when} effect {outcome.point.number}, {name}: {'; '.join(outcome.found)}")
    say(f"{total} crash points over {len(SCENES)} scenes, {len(kinds)} kinds of effect: {bad} broken")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())

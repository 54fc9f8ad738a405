"""`make simulate-mutations`: every layer taken out in turn; a rule must notice, and its twin must break none. [S]

The twin is the same life with the layer in its place: what is noticed is the missing layer. Exit 1 when a mutation
survives all its seeds or a twin breaks a rule.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from prodsafe.output import say
from tests.simulation.life import Life, run
from tests.simulation.mutations import MUTATIONS, taken_out

SEEDS = 80
STEPS = 100


@dataclass(frozen=True, slots=True)
class Trial:
    """seed: the one whose life noticed, or the last. rule: what it said, if anything. twin: what broke there."""

    name: str
    seed: int
    rule: str | None
    twin: tuple[str, ...] = ()

    @property
    def is_sound(self) -> bool:
        return self.rule is not None and not self.twin


def life_of(name: str, seed: int) -> Life:
    return Life(seed, STEPS, faults=MUTATIONS[name].weather, settings=MUTATIONS[name].settings)


def noticed(name: str, seed: int) -> str | None:
    """The first rule that speaks of the missing layer in this life."""
    with taken_out(MUTATIONS[name]):
        _, found = run(life_of(name, seed))
    return next((each for each in found if any(words in each for words in MUTATIONS[name].breaks)), None)


def try_out(name: str, *, seeds: Iterable[int] = range(1, SEEDS + 1)) -> Trial:
    trial = Trial(name, 0, None)
    for seed in seeds:
        trial = Trial(name, seed, noticed(name, seed))
        if trial.rule is not None:
            return Trial(name, seed, trial.rule, tuple(run(life_of(name, seed))[1]))
    return trial


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("names", nargs="*", help="all of them without any")
    asked = parser.parse_args()
    with ProcessPoolExecutor(asked.jobs) as pool:
        trials = list(pool.map(try_out, asked.names or MUTATIONS))
    for trial in trials:
        says = MUTATIONS[trial.name].says
        if trial.rule is None:
            say(f"NOT FOUND  {trial.name}: {says}; {trial.seed} seeds")
            continue
        say(f"found      {trial.name}: {says}")
        say(f"           seed {trial.seed}: {' '.join(trial.rule.split())[:160]}")
        for rule in trial.twin:
            say(f"  NOT SOUND without the mutation: {rule}")
    sound = sum(trial.is_sound for trial in trials)
    say(f"{sound} of {len(trials)} mutations found, each with a twin that breaks no rule")
    return int(sound < len(trials))


if __name__ == "__main__":
    sys.exit(main())

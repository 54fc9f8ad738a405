"""`make simulate`: many seeds over all cores, what they reached, and how to play again each that breaks a rule. [S]

One seed alone: --seed for its verdict, --trace for every line of it. Exit 1 when a rule was broken.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from prodsafe.output import say
from tests.simulation.coverage import Coverage, lines
from tests.simulation.life import STEPS, Life, run
from tests.simulation.shrink import shrunk

SHRUNK = 5  # broken seeds that are made smaller; the others are only listed
CHUNK = 10


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one life ended. found: the rules that it broke."""

    life: Life
    found: list[str]
    trace_hash: str
    coverage: Coverage


def judge(life: Life) -> Verdict:
    stage, found = run(life)
    return Verdict(life, found, stage.trace_hash(), Coverage.of(stage))


def judge_all(lives: Iterable[Life], *, jobs: int) -> Iterator[Verdict]:
    """In the order of the lives, whatever the number of processes."""
    if jobs == 1:
        yield from map(judge, lives)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(judge, lives, chunksize=CHUNK)


def sweep(lives: list[Life], *, jobs: int) -> int:
    began, seen, digest, broken = time.monotonic(), Coverage(), hashlib.sha256(), 0
    for number, verdict in enumerate(judge_all(lives, jobs=jobs), start=1):
        seen.add(verdict.coverage)
        digest.update(verdict.trace_hash.encode())
        if verdict.found:
            broken += 1
            _report(verdict, smaller=broken <= SHRUNK)
        if number % (10 * CHUNK) == 0:
            speed = number / (time.monotonic() - began)
            print(f"{number}/{len(lives)} seeds, {broken} broke a rule, {speed:.1f} a second", file=sys.stderr)
    say("\n".join(lines(seen)))
    first, last = lives[0].seed, lives[-1].seed
    seconds, traces = time.monotonic() - began, digest.hexdigest()[:16]
    say(f"seeds {first} to {last}: {broken} broke a rule, {seconds:.0f} s, traces {traces}")
    return int(broken > 0)


def _report(verdict: Verdict, *, smaller: bool) -> None:
    life = verdict.life
    say(f"seed {life.seed} broke a rule:")
    for each in verdict.found:
        say(f"  {each}")
    if smaller:
        struck = frozenset(verdict.coverage.struck)
        life = shrunk(life, struck, lambda shorter: bool(run(shorter)[1]))
    say(f"  again: {life.command()}")


def play(life: Life, *, whole: bool) -> int:
    """One life: its trace where asked for, its verdict, its hash."""
    stage, found = run(life)
    if whole:
        say("\n".join(stage.full_trace()))
    for each in found:
        say(f"broken: {each}")
    struck = ", ".join(f"{kind} {times}" for kind, times in sorted(stage.struck.items()))
    say(f"seed {life.seed}: {len(stage.effects)} effects, {sum(stage.sent.values())} orders; {struck}")
    say(f"seed {life.seed}: {len(found)} rules broken, trace {stage.trace_hash()}")
    return int(bool(found))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--steps", type=int, default=STEPS, help="ticks and boots of a life before it is left in peace")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--seed", type=int, help="live this one only")
    parser.add_argument("--trace", type=int, help="live this one only and show all of it")
    parser.add_argument("--only", help="kinds of fault with a comma between; the others never strike")
    asked = parser.parse_args()
    only = frozenset(asked.only.split(",")) if asked.only else None
    alone = asked.seed if asked.trace is None else asked.trace
    if alone is not None:
        return play(Life(alone, asked.steps, only), whole=asked.trace is not None)
    seeds = range(asked.first, asked.first + asked.seeds)
    return sweep([Life(seed, asked.steps, only) for seed in seeds], jobs=asked.jobs)


if __name__ == "__main__":
    sys.exit(main())

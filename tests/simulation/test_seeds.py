"""Seeded lives under faults: whatever was lost, late, refused or done by hand, the account ends up in order."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.simulation.coverage import Coverage
from tests.simulation.driver import Verdict, judge
from tests.simulation.life import Life
from tests.simulation.shrink import shrunk
from tests.simulation.weather import KINDS

SEEDS = range(1, 301)
BATCH = 10
STEPS = 60
ROOT = Path(__file__).parents[2]


@cache
def verdict(seed: int) -> Verdict:
    """Each seed is lived once for all tests."""
    return judge(Life(seed, STEPS))


@pytest.mark.parametrize("first", SEEDS[::BATCH])
def test_no_schedule_of_faults_breaks_a_rule(first: int) -> None:
    """Trading.md's four holes: the window between send and record, a timeout read as a rejection, a restart that
    invents or loses a position, a stop that is absent or orphaned."""
    broken = {
        verdict(seed).life.command(): found for seed in range(first, first + BATCH) if (found := verdict(seed).found)
    }

    assert broken == {}


def test_the_schedules_reach_what_they_are_meant_to_reach() -> None:
    """A simulation in which nothing happens proves nothing."""
    seen = Coverage()
    for seed in SEEDS:
        seen.add(verdict(seed).coverage)
    crashed = {effect.split()[0] for _, effect in seen.crashes}

    assert seen.missing() == []
    assert crashed >= {"append", "submit", "cancel"}
    assert {
        "adopted",
        "corrected",
        "external_fill",
        "symbol_frozen",
        "order_unknown",
        "flatten_done",
    } <= seen.events.keys()
    assert {"placed", "clientOrderIdAlreadyExist", "wouldProcessAfterSpecifiedTime"} <= seen.verdicts.keys()


def test_the_same_seed_gives_the_same_trace_and_another_seed_another() -> None:
    assert judge(Life(7, STEPS)).trace_hash == verdict(7).trace_hash
    assert verdict(7).trace_hash != verdict(8).trace_hash


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_trace_depends_on_nothing_of_the_process(hash_seed: str) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "tests.simulation.driver", "--seed", "7", "--steps", str(STEPS)],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert f"trace {verdict(7).trace_hash}" in told


def test_a_broken_seed_is_made_smaller_and_still_breaks() -> None:
    """The rule of this test: a life in which orders are lost and people trade, for thirty steps, is broken."""

    def breaks(life: Life) -> bool:
        return life.steps >= 30 and {"lost_request", "hand_trade"} <= (life.only or frozenset())

    smaller = shrunk(Life(1, 120), frozenset(KINDS), breaks)

    assert smaller == Life(1, 30, frozenset({"lost_request", "hand_trade"}))
    assert smaller.command() == "make simulate TRACE=1 STEPS=30 ONLY=hand_trade,lost_request"

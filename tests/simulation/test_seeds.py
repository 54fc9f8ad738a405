"""Seeded lives under faults: whatever was lost, late, refused or done by hand, the account ends up in order."""

from __future__ import annotations

from functools import cache

import pytest

from tests.simulation.driver import run

SEEDS = range(1, 41)
BATCH = 8
STEPS = 80


@cache
def life(seed: int) -> tuple[list[str], list[str]]:
    """Trace and broken rules; each seed is lived once for all tests."""
    stage, found = run(seed, steps=STEPS)
    return stage.full_trace(), found


@pytest.mark.parametrize("first", SEEDS[::BATCH])
def test_no_schedule_of_faults_breaks_a_rule(first: int) -> None:
    broken = {seed: found for seed in range(first, first + BATCH) if (found := life(seed)[1])}

    assert broken == {}


def test_the_same_seed_gives_the_same_trace() -> None:
    again, _ = run(7, steps=STEPS)

    assert again.full_trace() == life(7)[0]
    assert any("arrived" in line for line in again.trace)


def test_another_seed_gives_another_trace() -> None:
    assert life(7)[0] != life(8)[0]


def test_the_schedules_reach_what_they_are_meant_to_reach() -> None:
    """A simulation in which nothing happens proves nothing."""
    lived = "\n".join(line for seed in SEEDS for line in life(seed)[0])
    wanted = [
        *("crash before effect", "crash after effect", "worker stopped", "lost its lease", "could not boot"),
        *("by hand", "adopted", "corrected", "external_fill", "symbol_frozen", "a person halts", "a person resumes"),
        *("order_unknown", "never-arrived", "order_cancelled", "reply lost", "wouldProcessAfterSpecifiedTime"),
        *(f'"leg":"{leg}"' for leg in "estx"),
    ]

    assert [each for each in wanted if each not in lived] == []

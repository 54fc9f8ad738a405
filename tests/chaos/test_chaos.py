"""A few of the chaos schedules, and two of the mutations, in every run of the tests; `make chaos` plays hundreds."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.chaos.driver import Job, judge_result, run_jobs
from tests.chaos.mutation_runs import try_all
from tests.chaos.report import Judged
from tests.chaos.schedule import draw

SEEDS = {
    1: "stop_permitted",
    8: "pooler_transaction",
    13: "forged",
    14: "sigterm",
    30: "kill",
    36: "restart_immediate",
}
LANES = 4
MUTATED = ("expiry-not-signed", "holder-left-out")  # the schedule forces the moment that shows each


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory, postgres_binaries: Path | None) -> dict[str, Judged]:
    """Every schedule by name, played together."""
    folder = tmp_path_factory.mktemp("chaos")
    jobs = [Job(f"seed{seed}", draw(seed)) for seed in SEEDS]

    async def play_all() -> dict[str, Judged]:
        results = run_jobs(jobs, lanes=LANES, folder=folder, binaries=postgres_binaries)
        return {job.name: judge_result(job, result, folder) async for job, result in results}

    return asyncio.run(play_all())


@pytest.mark.parametrize("seed", SEEDS)
def test_a_schedule_of_faults_violates_nothing(played: dict[str, Judged], seed: int) -> None:
    result = played[f"seed{seed}"]

    assert result.kinds == (SEEDS[seed],)
    assert result.verdict.violations == (), result.schedule


def test_the_checker_sees_that_a_layer_is_missing(tmp_path: Path) -> None:
    trials = asyncio.run(try_all(MUTATED, lanes=LANES, folder=tmp_path, twins=False))

    assert {trial.name: trial.is_caught for trial in trials} == dict.fromkeys(MUTATED, True)


def test_faults_are_noticed_and_taken_over_and_what_was_sent_was_heard(played: dict[str, Judged]) -> None:
    """A schedule in which nothing happened would prove nothing."""
    figures = [figure for result in played.values() for figure in result.figures]

    assert sum(figure.takeover is not None for figure in figures) >= 3
    assert sum(figure.detection is not None for figure in figures) >= 2
    assert all(result.accepted for result in played.values())
    assert "pooler_transaction: refused P06" in played["seed8"].notes
    assert "forged: refused PF001, refused PF001" in played["seed13"].notes

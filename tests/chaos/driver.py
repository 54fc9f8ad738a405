"""`python -m tests.chaos.driver --schedules 200 --seed 1`: random fault schedules on real processes, judged. [S]

Schedule i of a run has seed SEED + i, so `--schedules 1 --seed K` plays schedule K again. Exit 1 on a violation.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from prodsafe.lease_model import LeaseTiming
from prodsafe.output import say, say_json
from tests.chaos import report
from tests.chaos.history import History
from tests.chaos.play import PRELOAD, Play
from tests.chaos.report import Judged
from tests.chaos.schedule import KINDS, PRODUCT, Schedule, draw
from tests.chaos.stage.cluster import Cluster
from tests.chaos.stage.zygote import Zygote


@dataclass(frozen=True, slots=True)
class Job:
    """One schedule to play; name: of its folder. mutations: names, see mutations.py."""

    name: str
    schedule: Schedule
    mutations: tuple[str, ...] = ()


async def run_jobs(
    jobs: Iterable[Job], *, lanes: int, folder: Path, binaries: Path | None = None
) -> AsyncIterator[tuple[Job, History | str]]:
    """Play all jobs, `lanes` at a time, each lane with a PostgreSQL server of its own. Yields each history as it comes,
    or the trace of what kept it from being played."""
    folder.mkdir(exist_ok=True)
    waiting = iter(jobs)
    done: asyncio.Queue[tuple[Job, History | str] | None] = asyncio.Queue()
    async with Zygote(PRELOAD) as zygote:

        async def lane(number: int) -> None:
            try:
                async with Cluster(folder / f"lane{number}", binaries=binaries) as cluster:
                    for job in waiting:
                        await done.put((job, await _play(job, zygote, cluster, folder, binaries)))
            finally:
                await done.put(None)

        tasks = [asyncio.create_task(lane(number)) for number in range(lanes)]
        try:
            for _ in range(lanes):
                while (result := await done.get()) is not None:
                    yield result
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end


async def _play(job: Job, zygote: Zygote, cluster: Cluster, folder: Path, binaries: Path | None) -> History | str:
    place = folder / job.name
    place.mkdir()
    try:
        if not job.schedule.needs_cluster:
            return await Play(job.schedule, zygote, cluster, place, job.mutations).perform()
        async with Cluster(place / "cluster", binaries=binaries) as own:  # a failover leaves it behind
            return await Play(job.schedule, zygote, own, place, job.mutations).perform()
    except Exception:  # noqa: BLE001 - a schedule that breaks down is reported with its seed, and the others go on
        return traceback.format_exc()


def judge_result(job: Job, result: History | str, folder: Path) -> Judged:
    if isinstance(result, str):
        return report.unplayable(job.schedule.seed, job.schedule.as_text(), result)
    file = folder / job.name / "history.json"
    file.write_text(result.as_json())
    return report.judged(result, str(file))


async def chaos(schedules: int, first_seed: int, lanes: int, folder: Path) -> list[Judged]:
    jobs = [Job(f"seed{seed}", draw(seed)) for seed in range(first_seed, first_seed + schedules)]
    results: list[Judged] = []
    async for job, result in run_jobs(jobs, lanes=min(lanes, schedules), folder=folder):
        results.append(judge_result(job, result, folder))
        say(f"[{len(results)}/{schedules}] {'ok' if results[-1].is_sound else 'VIOLATED'} {results[-1].schedule}")
        for line in _findings(results[-1]):
            say(line)
    return sorted(results, key=lambda each: each.seed)


def _findings(result: Judged) -> Iterator[str]:
    for finding in result.verdict.violations:
        yield f"    {finding.clause} {finding.text}"
    if not result.is_sound:
        yield f"    history: {result.history_file or 'none'}; again: make chaos N=1 SEED={result.seed}"


def _timing(timing: LeaseTiming) -> str:
    parts = ", ".join(f"{name.replace('_', ' ')} {seconds:g} s" for name, seconds in timing.grace_parts.items())
    return (
        f"beat {timing.beat_seconds:g} s, {parts}, so a grace of {timing.grace_seconds:g} s;"
        f" idle session {timing.idle_session_seconds:g} s"
    )


def machine() -> str:
    """Its class, never its name."""
    cores = os.cpu_count() or 1
    return f"{platform.system()} {platform.machine()}, {cores} cores; Python {platform.python_version()}"


def record(results: Sequence[Judged], *, seconds: float, lanes: int) -> str:
    """The generated part of docs/fault-record.md."""
    first, last, minutes = results[0].seed, results[-1].seed, seconds / 60
    within, clean = report.at_once(results)
    facts = report.summary(results, seconds=seconds)
    return "\n".join(
        [
            f"`make chaos N={len(results)} SEED={first}`: seeds {first} to {last}, {lanes} lanes, {minutes:.1f} min.",
            f"{machine()}; PostgreSQL {', '.join(sorted({r.server_version for r in results if r.server_version}))};"
            f" psycopg {version('psycopg')}, ccxt {version('ccxt')}, aiohttp {version('aiohttp')}.",
            f"Timing, the product's defaults: {_timing(PRODUCT)}.",
            "",
            f"**{report.sentence(results)}.** {facts['faults']} faults of {facts['fault_kinds']} kinds;"
            f" {facts['orders_accepted']} orders accepted and {facts['orders_refused']} refused by the venue.",
            f"Of {clean} losses that the server itself caused {within} were noticed within 50 ms. Leases lost while no"
            f" fault was at work: {facts['unexplained_losses']}. Overlaps not promised: {facts['not_promised']}.",
            "",
            report.as_markdown(report.table_lines(results, KINDS)),
            "",
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--schedules", type=int, default=200, help="how many (default 200)")
    parser.add_argument("--seed", type=int, default=1, help="of the first schedule (default 1)")
    parser.add_argument("--lanes", type=int, default=4, help="played at the same time (default 4)")
    parser.add_argument("--record", type=Path, help="a Markdown page with marks: renew its result")
    parser.add_argument("--show", action="store_true", help="print the schedules and play none")
    asked = parser.parse_args()
    if asked.show:
        for seed in range(asked.seed, asked.seed + asked.schedules):
            say(draw(seed).as_text())
        return 0
    folder = Path(tempfile.mkdtemp(prefix="prodsafe-chaos-"))
    began = time.monotonic()
    results = asyncio.run(chaos(asked.schedules, asked.seed, asked.lanes, folder))
    seconds = time.monotonic() - began
    say(report.as_text(report.table_lines(results, KINDS)))
    missing = sorted(set(KINDS) - {kind for result in results for kind in result.kinds})
    say(f"seeds {results[0].seed} to {results[-1].seed}; kinds of fault not struck: {', '.join(missing) or 'none'}")
    say(report.sentence(results))
    if asked.record:
        text = record(results, seconds=seconds, lanes=asked.lanes)
        asked.record.write_text(report.renewed(asked.record.read_text(), "chaos", text))
    facts = report.summary(results, seconds=seconds)
    say_json(facts)
    return 0 if facts["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())

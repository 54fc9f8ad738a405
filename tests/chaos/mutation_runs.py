"""`python -m tests.chaos.mutation_runs`: every layer taken out in turn, and the clause that sees it. [S]

Beside each mutated schedule its twin is played, the same faults on the product as it is, which must be sound: so what
the checker sees is the missing layer. Exit 1 when a mutation survives all its seeds or a twin is not sound.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prodsafe.output import say, say_json
from tests.chaos import report
from tests.chaos.driver import Job, judge_result, run_jobs
from tests.chaos.mutations import MUTATIONS, SEEDS
from tests.chaos.report import Judged


@dataclass(frozen=True, slots=True)
class Trial:
    """twin: the same schedule without the mutation; None where the schedule itself is the mutation."""

    name: str
    seed: int
    mutated: Judged
    twin: Judged | None

    @property
    def seen_by(self) -> list[str]:
        """The clauses that failed, of those that can see the missing layer."""
        failed = {finding.clause for finding in self.mutated.verdict.violations}
        return sorted(failed & MUTATIONS[self.name].clauses) if "could not be played" not in self._text() else []

    @property
    def is_caught(self) -> bool:
        return bool(self.seen_by)

    @property
    def twin_is_sound(self) -> bool:
        return self.twin is None or self.twin.is_sound

    def _text(self) -> str:
        return " ".join(finding.text for finding in self.mutated.verdict.violations)

    def evidence(self) -> str:
        """What the checker said, or why there was nothing."""
        shown = [f"{f.clause} {f.text}" for f in self.mutated.verdict.violations if f.clause in self.seen_by]
        return shown[0] if shown else self._text() or "nothing was violated"


async def try_all(names: Sequence[str], *, lanes: int, folder: Path, twins: bool = True) -> list[Trial]:
    """The first trial of each mutation that was caught, or its last."""
    trials: dict[str, Trial] = {}
    for seed in SEEDS:
        left = [name for name in names if name not in trials or not trials[name].is_caught]
        if not left:
            break
        trials |= await _try_seed(left, seed, lanes=lanes, folder=folder, twins=twins)
    return [trials[name] for name in names]


async def _try_seed(names: Sequence[str], seed: int, *, lanes: int, folder: Path, twins: bool) -> dict[str, Trial]:
    jobs = []
    for name in names:
        mutation = MUTATIONS[name]
        jobs.append(Job(f"{name}-{seed}", mutation.schedule(seed), (name,)))
        if twins and (mutation.code or mutation.sql):
            jobs.append(Job(f"{name}-{seed}-twin", mutation.schedule(seed)))
    judged: dict[str, Judged] = {}
    async for job, result in run_jobs(jobs, lanes=min(lanes, len(jobs)), folder=folder / f"round{seed}"):
        judged[job.name] = judge_result(job, result, folder / f"round{seed}")
        say(f"[seed {seed}: {len(judged)}/{len(jobs)}] {job.name}")
    return {name: Trial(name, seed, judged[f"{name}-{seed}"], judged.get(f"{name}-{seed}-twin")) for name in names}


HEADINGS = ("mutation", "what is taken out", "seed", "seen by", "the twin", "the first evidence")


def lines(trials: Sequence[Trial]) -> list[list[str]]:
    table = [list(HEADINGS)]
    for trial in trials:
        twin = "is the mutation" if trial.twin is None else "sound" if trial.twin.is_sound else "VIOLATED"
        seen = ", ".join(trial.seen_by) or "SURVIVED"
        table.append([trial.name, MUTATIONS[trial.name].says, str(trial.seed), seen, twin, trial.evidence()])
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="MUTATION", help=f"of {', '.join(MUTATIONS)}; none means all")
    parser.add_argument("--lanes", type=int, default=4)
    parser.add_argument("--record", type=Path, help="a Markdown page with marks: renew its table")
    asked = parser.parse_args()
    names = asked.names or list(MUTATIONS)
    folder = Path(tempfile.mkdtemp(prefix="prodsafe-mutations-"))
    began = time.monotonic()
    trials = asyncio.run(try_all(names, lanes=asked.lanes, folder=folder))
    table = lines(trials)
    say(report.as_text([line[:5] for line in table]))
    for trial in trials:
        if not trial.is_caught or not trial.twin_is_sound:
            say(f"{trial.name}: {trial.evidence()}; histories in {folder}")
    if asked.record:
        text = report.as_markdown([line[:5] for line in table])
        asked.record.write_text(report.renewed(asked.record.read_text(), "mutations", text))
    ok = all(trial.is_caught and trial.twin_is_sound for trial in trials)
    caught = sum(trial.is_caught for trial in trials)
    say(f"{caught} of {len(trials)} mutations caught")
    shown = {trial.name: {"seed": trial.seed, "clauses": trial.seen_by} for trial in trials}
    say_json({"ok": ok, "caught": caught, "mutations": shown, "seconds": round(time.monotonic() - began, 1)})
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())

"""RUNBOOK.md's procedures, executed: its commands, in its order, beside a trading worker."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.processes import PROJECT, Start, Venue, entered_and_protected, until, worker_environment


def commands() -> str:
    return "\n".join(re.findall(r"(?ms)^```sh\n(.*?)^```$", (PROJECT / "RUNBOOK.md").read_text()))


def test_every_command_of_the_procedures_works_as_written(database_url: str, venue: Venue, start: Start) -> None:
    env = worker_environment(database_url, venue.url)
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    worker = start(["-m", "live.prod_live"], env)
    entered_and_protected(worker, venue)
    until(lambda: "protected" in worker.text(), worker)

    done = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", commands()],
        env=env, cwd=PROJECT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
    )  # fmt: skip

    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    assert done.stderr.count("+ prodsafe") >= 8, "the procedures were found and run"
    assert worker.wait() == 5, "the forced take-over ended the old worker"
    assert len(venue.open_orders("-s")) == 1, "and nothing of it removed the stop"

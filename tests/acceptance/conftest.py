"""Fixtures that start real processes and end them, by their own pids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from live.demo import wait_out_boundary
from tests.processes import Process, Start, Venue, base_environment, until


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    children: list[Process] = []

    def begin(words: list[str], env: Mapping[str, str]) -> Process:
        children.append(Process(words, env, tmp_path))
        return children[-1]

    yield begin
    for child in children:
        child.end()


@pytest.fixture
def venue(start: Start) -> Venue:
    """A market that stands still: every setup is complete, and prices move only when a test moves them."""
    wait_out_boundary()
    simulator = start(["-m", "live.simulator", "--scenario", "still"], base_environment())
    until(lambda: simulator.text().startswith("EXCHANGE_URL=") and "\n" in simulator.text(), simulator)
    return Venue(simulator.text().splitlines()[0].removeprefix("EXCHANGE_URL="))

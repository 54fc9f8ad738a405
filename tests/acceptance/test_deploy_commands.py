"""Each file's own block of variables, given to real processes: the worker takes it, and no deprecated door does."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.deploys import Deploy, deploys, of_compose
from tests.processes import PROJECT, base_environment

each_deploy = pytest.mark.parametrize("deploy", deploys(), ids=lambda deploy: deploy.name)


def run(deploy: Deploy, *words: str, **changes: str) -> subprocess.CompletedProcess[str]:
    env = {**base_environment(), **deploy.complete, **changes}
    return subprocess.run(
        [sys.executable, *words], env=env, cwd=PROJECT, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )


@each_deploy
def test_the_worker_takes_the_block(deploy: Deploy) -> None:
    passed = run(deploy, "-m", "live.prod_live", "--check", "--json")

    assert passed.returncode == 0, passed.stdout + passed.stderr
    told = json.loads(passed.stdout)
    assert told["ok"] is True
    assert len(told["gates"]) > 15


@each_deploy
def test_a_deprecated_door_does_not_take_the_block(deploy: Deploy) -> None:
    """I61: the guard refused what the platform still started, and was then made to log only."""
    refused = run(deploy, "-m", "legacy.main_with_health")

    assert refused.returncode == 1, refused.stdout + refused.stderr
    assert "python -m live.prod_live" in refused.stderr


@pytest.mark.parametrize("words", [["legacy.main"], ["legacy.run", "live"]], ids=" ".join)
def test_nor_does_any_other(words: list[str]) -> None:
    assert run(of_compose(), "-m", *words).returncode == 1

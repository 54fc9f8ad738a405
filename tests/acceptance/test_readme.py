"""README.md, typed: what a newcomer does first, in a fresh folder, in one shell."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import PROJECT, base_environment

PAGE = (PROJECT / "README.md").read_text()
# One folder of their own, so that nothing of it stays in the checkout; all else of the checkout is there.
OWN = {".git", ".venv", ".venv-bench", "build", "pg", "sql", "address", "venue"}
NOT_TYPED = {"make demo\n": "test_demo below"}
# What runs in the background is ended as a person ends it, newest first.
SCRIPT = """\
set -euo pipefail
finish() {{ for pid in $(jobs -p | sort -rn); do kill "$pid" 2>/dev/null && wait "$pid" || true; done; }}
trap finish EXIT
{typed}
python -m live positions
"""


def blocks() -> list[str]:
    return re.findall(r"(?ms)^```sh\n(.*?)^```$", PAGE)


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory, postgres_binaries: Path | None) -> str:
    """What the shell printed."""
    folder = tmp_path_factory.mktemp("readme")
    for each in PROJECT.iterdir():
        if each.name not in OWN:
            (folder / each.name).symlink_to(each)
    (folder / "bill.py").write_text("import os\nprint('billed under epoch', os.environ['PRODSAFE_EPOCH'])\n")
    binaries = {"PRODSAFE_PG_BIN": str(postgres_binaries)} if postgres_binaries else {}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    commands = "".join(block for block in blocks() if block not in NOT_TYPED)
    done = subprocess.run(
        ["bash", "-c", SCRIPT.format(typed=commands)], cwd=folder, env={**base_environment(), **binaries, "PATH": path},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_every_block_is_typed_or_has_a_test_of_its_own() -> None:
    assert len(blocks()) == 4
    assert all(block in blocks() for block in NOT_TYPED)


def test_a_program_of_ones_own_runs_under_the_guard(typed: str) -> None:
    assert re.search(r"billed under epoch \d+", typed)


def test_the_first_migration_is_made_linted_and_applied(typed: str) -> None:
    assert "applied billing 0001_expand_add_invoice_note" in typed


def test_the_worker_passes_its_gates_and_trades_on_the_simulated_venue(typed: str) -> None:
    assert "lease taken" in typed and "trading" in typed


def test_demo_tells_its_story_to_the_end() -> None:
    """`make demo` calls this module, in the virtual environment that it has made."""
    done = subprocess.run(
        [sys.executable, "-m", "live.demo"], cwd=PROJECT, env=base_environment(), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=180, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout
    assert "Everything held" in done.stdout
    assert "✓ no order was sent twice" in done.stdout

"""Contract files beside a program under `prodsafe run`: real processes. Which schema it needs, only --set can say."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PRODSAFE = [sys.executable, "-c", "from prodsafe.cli import main; main()"]
PROGRAM = [sys.executable, "-c", "print('at work', flush=True); input()"]

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "bot"
    folder.mkdir()
    (folder / "0001_expand_orders.sql").write_text("CREATE TABLE orders (id int, old_name text);")
    return folder


@pytest.fixture
def environ(database_url: str) -> dict[str, str]:
    return {**os.environ, "DATABASE_URL": database_url}


@pytest.fixture
def prodsafe(environ: dict[str, str]) -> Run:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*PRODSAFE, *arguments]
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)

    return run


@pytest.fixture
def program(environ: dict[str, str]) -> Callable[..., object]:
    @contextmanager
    def running(*options: str) -> Iterator[None]:
        command = [*PRODSAFE, "run", "--scope", "bot-7", *options, "--", *PROGRAM]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, env=environ, stdin=pipe, stdout=pipe, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "at work\n"
            yield
            process.communicate("\n")
        assert process.returncode == 0

    return running


def drop_column(folder: Path) -> None:
    (folder / "0002_contract_drop_old_name.sql").write_text("ALTER TABLE orders DROP COLUMN old_name;")


def test_its_contract_files_wait_while_it_runs_and_the_reason_is_told_everywhere(prodsafe, program, folder):
    mine = ("--set", f"bot={folder}")
    assert prodsafe("migrate", "apply", *mine).returncode == 0
    with program(*mine):
        drop_column(folder)

        applied, shown, status = (prodsafe("migrate", word, *mine) for word in ("apply", "plan", "status"))

    assert [each.returncode for each in (applied, shown, status)] == [0, 0, 0]
    assert all("bot-7" in each.stdout and "knows bot up to 0001" in each.stdout for each in (applied, shown, status))
    assert "1 applied" in prodsafe("migrate", "apply", *mine).stdout


def test_without_a_set_every_contract_file_waits_for_its_end(prodsafe, program, folder):
    """It says nothing of what it needs, so it may need anything."""
    mine = ("--set", f"bot={folder}")
    assert prodsafe("migrate", "apply", *mine).returncode == 0
    drop_column(folder)
    with program():
        waits = prodsafe("migrate", "apply", *mine)

    assert waits.returncode == 0 and "1 deferred" in waits.stdout
    assert "does not say which schema it needs" in waits.stdout and "--set NAME=FOLDER" in waits.stdout
    assert "1 applied" in prodsafe("migrate", "apply", *mine).stdout


def test_it_does_not_start_before_its_own_files_are_applied(prodsafe, folder):
    refused = prodsafe("run", "--scope", "bot-7", "--set", f"bot={folder}", "--", "echo", "started")

    assert refused.returncode == 4 and "refused M03 schema-behind" in refused.stderr
    assert "started" not in refused.stdout


@pytest.mark.parametrize("given", ["prodsafe=folder", "bot", "Bot=folder"])
def test_a_set_that_is_none_is_wrong_usage_that_says_why(prodsafe, given):
    refused = prodsafe("run", "--scope", "bot-7", "--set", given, "--", "echo", "started")

    assert refused.returncode == 2
    assert ("prodsafe's own tables" if given.startswith("prodsafe") else "NAME=FOLDER") in refused.stderr

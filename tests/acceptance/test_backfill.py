"""`prodsafe migrate backfill` as a person runs it: a process that is killed, stopped and watched."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.migrating import ASLEEP, App

TABLE = (
    "CREATE TABLE e (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0);"
    "INSERT INTO e SELECT g FROM generate_series(1, 200) g"
)
# n counts how often a row was met
SLOWLY = (
    "-- prodsafe: batch e by id size 10\n"
    "UPDATE e SET n = n + 1 + length(pg_sleep(0.01)::text) WHERE id BETWEEN :first AND :last"
)


class Program(App):
    def command(self, *options: str) -> tuple[list[str], dict[str, str]]:
        program = "from prodsafe.migrations.cli import migrate; migrate()"
        words = [sys.executable, "-u", "-c", program, "backfill", "--set", f"app={self.set.folder}", *options]
        return words, {**os.environ, "DATABASE_URL": self.url}

    def start(self, *options: str) -> subprocess.Popen[str]:
        words, env = self.command(*options)
        return subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        words, env = self.command(*options)
        return subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=False)

    def met(self) -> dict[int, int]:
        return dict(self.query("SELECT n, count(*) FROM e GROUP BY n"))

    def batches(self) -> int:
        return self.query("SELECT batches FROM prodsafe.backfill")[0][0]


@pytest.fixture
def app(tmp_path: Path, empty_database_url: str) -> Program:
    app = Program(tmp_path, empty_database_url)
    app.add(1, "expand", TABLE)
    app.add(2, "data", SLOWLY)
    app.migrate(backfill_seconds=0)
    return app


def test_after_kills_in_the_middle_of_batches_every_row_was_met_exactly_once(app):
    """Acceptance 3 of migrations.md 7: SIGKILL inside a backfill batch; the next run heals without a person."""
    for _ in range(4):
        before = app.batches()
        victim = app.start("--size", "10")
        app.wait_until("(SELECT batches FROM prodsafe.backfill) > %s", before)
        app.wait_until(ASLEEP)
        victim.kill()
        victim.communicate()

    done = app.run()

    assert done.returncode == 0 and "going on; " in done.stdout and "finished app 0002_data_step2" in done.stdout
    assert app.met() == {1: 200}
    assert app.run().stdout == "nothing to do: no backfill is unfinished\n"


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_after_the_batch_at_work_with_exit_4_and_the_way_on(app, sign):
    process = app.start("--size", "20")
    app.wait_until(ASLEEP)
    process.send_signal(sign)
    said, _ = process.communicate(timeout=20)

    assert process.returncode == 4
    assert "stopping after the batch at work" in said and "refused M20 backfill-stopped" in said
    assert "prodsafe migrate backfill goes on from there" in said
    assert app.met()[1] % 10 == 0 and 0 < app.met()[0] < 190
    assert app.run().returncode == 0 and app.met() == {1: 200}


def test_a_rehearsal_and_the_run_itself_are_told_as_data(app):
    rehearsed = json.loads(app.run("--dry-run", "--json").stdout)
    done = app.run("--json")

    [estimate] = rehearsed["backfills"]
    assert (estimate["rows_left"], estimate["batches"], estimate["sample"]["changed"]) == (190, 19, 10)
    [result] = json.loads(done.stdout)["backfills"]
    assert result["finished"] is True and result["rows_walked"] == 200 and "finished app" in done.stderr


def test_a_rehearsal_is_told_to_people_too(app):
    done = app.run("--dry-run")

    assert done.returncode == 0 and "about 190 rows of e, id 11 to 200" in done.stdout
    assert "one batch, run and rolled back: 10 rows" in done.stdout and app.met() == {0: 190, 1: 10}


def test_a_deadline_is_exit_4(app):
    done = app.run("--deadline", "0.2", "--size", "5")

    assert done.returncode == 4 and "stopped by --deadline" in done.stderr


def test_on_a_terminal_one_line_of_progress_is_drawn_over_itself(app):
    words, env = app.command("--size", "10")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(words, env=env, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:  # the terminal's other end is closed: the process has ended
        pass
    os.close(ours)

    assert process.wait(20) == 0
    assert b"\x1b[1A\x1b[2Kapp 0002_data_step2: [#" in shown and b"100.0 %, 200 rows" in shown

"""A crash of the server loses what it had not written: whole migrations from the end on, none that a run vouched for.

The server here writes nothing by itself for ten seconds, so that a commit which does not wait for the disk is lost.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from prodsafe.embedded import EmbeddedPostgres
from prodsafe.errors import DatabaseRefused
from prodsafe.migrations import apply, runner
from tests.migrating import App

LAZY = {"wal_writer_delay": "10000ms", "wal_writer_flush_after": "100MB", "bgwriter_delay": "10000ms"}
TABLES = [f"CREATE TABLE t{number} (id int)" for number in range(1, 9)]


@pytest.fixture
def server(tmp_path: Path, postgres_binaries: Path | None) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(tmp_path / "server", fsync=False, binaries=postgres_binaries, settings=LAZY) as server:
        yield server


@pytest.fixture
def app(tmp_path: Path, server: EmbeddedPostgres) -> App:
    (tmp_path / "app").mkdir()
    return App(tmp_path / "app", server.url)


def crash(server: EmbeddedPostgres) -> None:
    """Without a checkpoint, and without what stands in the buffers of the log."""
    postmaster = server.pid
    os.kill(postmaster, signal.SIGSTOP)  # it must neither notice nor replace the others
    for child in Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split():
        os.kill(int(child), signal.SIGKILL)
    os.kill(postmaster, signal.SIGKILL)
    server._child.wait(10)


def crash_when(app: App, server: EmbeddedPostgres, said: str) -> None:
    """Migrate on a server that crashes as soon as the runner says that, and is started again."""

    def report(what: str) -> None:
        if what.startswith(said):
            crash(server)

    with pytest.raises(DatabaseRefused):
        app.migrate(report=report)
    server.start()


def test_what_a_finished_run_applied_survives_a_crash_of_the_server(app, server, monkeypatch):
    """It crashes at the first moment after the run's last commit."""
    app.write(*TABLES)
    record = apply.record_fingerprints

    def record_and_crash(*arguments, **named):
        record(*arguments, **named)
        crash(server)

    monkeypatch.setattr(apply, "record_fingerprints", record_and_crash)
    app.migrate()
    server.start()

    assert app.applied() == list(range(1, 9))
    assert app.tables() == {f"t{number}" for number in range(1, 9)}


def test_a_crash_in_the_middle_takes_back_whole_files_from_the_end_and_the_next_run_applies_them_again(app, server):
    app.write(*TABLES)

    crash_when(app, server, "applied app 0006")

    kept = len(app.applied()) if runner.plan_for(app.url, [app.set]).versions["app"] else 0
    assert kept < 6, "the server wrote by itself: nothing was lost, and nothing is shown here"
    assert app.tables() == {f"t{number}" for number in range(1, kept + 1)}
    assert len(app.migrate().applied) == 8 - kept
    assert app.tables() == {f"t{number}" for number in range(1, 9)}


@pytest.mark.parametrize(
    ("kind", "sql"),
    [
        ("contract", "DROP TABLE t2"),
        ("contract", "ALTER TABLE t2 RENAME TO old"),
        ("data", "INSERT INTO t1 VALUES (1)"),
        ("expand", "CREATE INDEX CONCURRENTLY i ON t1 (id)"),
    ],
)
def test_what_hides_rows_moves_them_or_runs_outside_a_transaction_is_on_disk_when_it_is_told(app, server, kind, sql):
    app.write(*TABLES[:2])
    app.add(3, kind, sql)
    app.add(4, "expand", TABLES[3])

    crash_when(app, server, "applied app 0003")

    assert app.applied() == [1, 2, 3]
    assert len(app.migrate().applied) == 1

"""A program of one migration set on one database, for tests: its files, its runs, and what a person would look up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from prodsafe.errors import ExitCode, SchemaNotReady
from prodsafe.migrations import MigrationSet, migrate

NAP = "SELECT pg_sleep(coalesce(current_setting('app.nap_seconds', true), '0')::float);"


class App:
    """A program of one migration set on one database, and what a person would look up there."""

    def __init__(self, folder: Path, url: str) -> None:
        self.set, self.url = MigrationSet("app", folder), url
        self.said: list[str] = []

    def write(self, *sqls: str) -> None:
        for number, sql in enumerate(sqls, start=1):
            (self.set.folder / f"{number:04d}_expand_step{number}.sql").write_text(sql)

    def add(self, number: int, kind: str, sql: str) -> Path:
        path = self.set.folder / f"{number:04d}_{kind}_step{number}.sql"
        path.write_text(sql)
        return path

    def migrate(self, **options):
        options = {"wait_seconds": 10.0, "report": self.said.append, **options}
        return migrate(self.url, [self.set], **options)

    def refused(self, **options):
        with pytest.raises(SchemaNotReady) as caught:
            self.migrate(**options)
        assert caught.value.exit_code == ExitCode.SCHEMA_NOT_READY
        return caught.value.refusals[0]

    def query(self, sql: str, *parameters):
        with psycopg.connect(self.url, autocommit=True) as conn:
            cursor = conn.execute(sql, parameters)
            return cursor.fetchall() if cursor.description else []

    def set_default(self, setting: str) -> None:
        self.query(f"ALTER DATABASE {urlsplit(self.url).path[1:]} SET {setting}")

    def applied(self) -> list[int]:
        return [
            version
            for (version,) in self.query("SELECT version FROM prodsafe.migration WHERE set_name = 'app' ORDER BY 1")
        ]

    def rows(self) -> list[tuple[int, str, int, int]]:
        """(version, state, steps begun, steps done) of every file in the ledger."""
        return self.query(
            "SELECT version, state, steps_begun, steps_done FROM prodsafe.migration WHERE set_name = 'app' ORDER BY 1"
        )

    def indexes(self) -> dict[str, bool]:
        """Name -> whether it is valid, of the schema public."""
        return dict(
            self.query(
                "SELECT c.relname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
                " WHERE c.relnamespace = 'public'::regnamespace"
            )
        )

    def exchanges(self, **options) -> int:
        """How often a whole run talks to the server."""
        count = 0
        wait = psycopg.Connection.wait

        def counting(*arguments, **named):
            nonlocal count
            count += 1
            return wait(*arguments, **named)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(psycopg.Connection, "wait", counting)
            self.migrate(**options)
        return count

    def killed_at(self, exchange: int) -> int:
        """Run in a process that kills itself when it would talk to the server for this time; its exit status."""
        child = os.fork()
        if child == 0:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(psycopg.Connection, "wait", _killing(exchange))
                try:
                    self.migrate()
                finally:
                    os._exit(0)
        return os.waitpid(child, 0)[1]

    def tables(self) -> set[str]:
        return {name for (name,) in self.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}

    def start_runner(self) -> subprocess.Popen[str]:
        program = "from prodsafe.migrations.cli import migrate; migrate()"
        return subprocess.Popen(
            [sys.executable, "-c", program, "apply", "--set", f"app={self.set.folder}"],
            env={**os.environ, "DATABASE_URL": self.url},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def wait_until(self, condition: str, *parameters) -> None:
        give_up_at = time.monotonic() + 20
        while not self.query(f"SELECT 1 WHERE {condition}", *parameters):
            assert time.monotonic() < give_up_at, f"never came: {condition}"
            time.sleep(0.02)


def _killing(exchange: int) -> Callable[..., object]:
    wait, calls = psycopg.Connection.wait, iter(range(1, sys.maxsize))

    def wait_or_die(*arguments, **named):
        if next(calls) == exchange:
            os.kill(os.getpid(), signal.SIGKILL)
        return wait(*arguments, **named)

    return wait_or_die


ASLEEP = "EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep')"

"""A database that goes away while a booting program reads its schema is unreadable (exit 6), not a bug (exit 70).

Found by chaos schedule 117: a worker restarted during a failover met the old primary's end between connect and check.
"""

from __future__ import annotations

import pytest

from live.worker import _require_schema
from prodsafe import preflight
from prodsafe.environment import read_environment
from prodsafe.errors import DatabaseRefused, ExitCode
from prodsafe.postgres import Connection


def the_server_ends_the_session(conn: Connection, _sets: object) -> None:
    conn.execute("SELECT pg_terminate_backend(pg_backend_pid())")


def test_the_worker_says_that_the_connection_ended(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("live.worker.check_schema", the_server_ends_the_session)

    with pytest.raises(DatabaseRefused) as refused:
        _require_schema(read_environment({"DATABASE_URL": empty_database_url}))

    assert (refused.value.refusals[0].id, refused.value.exit_code) == ("P11", ExitCode.UNREADABLE)


def test_preflight_says_that_the_connection_ended(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prodsafe.migrations.check_schema", the_server_ends_the_session, raising=False)

    with pytest.raises(DatabaseRefused) as refused:
        preflight._require_schema(empty_database_url, [])

    assert (refused.value.refusals[0].id, refused.value.exit_code) == ("P11", ExitCode.UNREADABLE)

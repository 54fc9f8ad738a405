"""What every test gets: a clean environment, and a real PostgreSQL of our own when it asks for one."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import settings

# No test here is about speed, and a busy machine takes its time for the first example.
settings.register_profile("prodsafe", deadline=None)
settings.load_profile("prodsafe")

# A background job ignores Ctrl-C, and so do its children: the tests that send it must not depend on who started them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


SPEC_VARIABLES = {
    *("ENVIRONMENT", "DRY_RUN", "USE_STATE_MACHINE_V2", "CONFIRM_LIVE", "RUN_REAL_EXCHANGE_TESTS", "WITH_HEALTH"),
    *("PORT", "HEALTH_HOST", "DATABASE_URL", "LOCK_DATABASE_URL", "EXCHANGE_ID", "EXCHANGE_ACCOUNT"),
    *("EXCHANGE_API_KEY", "EXCHANGE_API_SECRET", "EXCHANGE_API_PASSWORD", "EXCHANGE_SANDBOX", "EXCHANGE_URL"),
    *("LOCK_WAIT_SECONDS", "ALERT_WEBHOOK_URL"),
}

for _name in list(os.environ):  # before any test module is imported: what a person's shell holds decides no test
    if _name in SPEC_VARIABLES or _name.startswith(("LIVE_", "RISK_", "PG")):
        del os.environ[_name]


@pytest.fixture(scope="session")
def postgres_binaries() -> Path | None:
    """The folder of PostgreSQL's binaries that CI chose with PRODSAFE_PG_BIN; None lets embedded.py look."""
    given = os.environ.get("PRODSAFE_PG_BIN")
    return Path(given) if given else None


@pytest.fixture(scope="session")
def postgres_server(postgres_binaries: Path | None) -> Iterator[object]:
    """One throw-away server (prodsafe.embedded.EmbeddedPostgres) for the whole run, started when first asked for."""
    from prodsafe.embedded import EmbeddedPostgres

    with EmbeddedPostgres(fsync=False, binaries=postgres_binaries) as server:
        yield server


@pytest.fixture(scope="session")
def make_database(postgres_server) -> Callable[..., str]:
    """make_database(template="template1") -> URL of a new database; the server's end removes it."""
    import psycopg

    numbers = count(1)

    def make(template: str = "template1") -> str:
        name = f"t{next(numbers)}"
        with psycopg.connect(postgres_server.url, autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return postgres_server.url_of(name)

    return make


@pytest.fixture(scope="session")
def migrated_template(make_database: Callable[..., str]) -> str:
    """The name of a database with every migration of prodsafe and live applied."""
    from live.schema import SETS
    from prodsafe.migrations import migrate

    url = make_database()
    migrate(url, SETS, wait_seconds=10.0, report=lambda line: None)
    return url.rpartition("/")[2]


@pytest.fixture
def empty_database_url(make_database: Callable[..., str]) -> str:
    """A new database with nothing in it."""
    return make_database()


@pytest.fixture
def database_url(make_database: Callable[..., str], migrated_template: str) -> str:
    """A new database with the whole schema."""
    return make_database(migrated_template)


@pytest.fixture
def free_port() -> int:
    """A loopback port that nothing listened on a moment ago."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


_FASTEST_FIRST = ("unit", "simulation", "integration", "acceptance", "chaos", "browser")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A slip in a pure room is told in seconds, not after minutes of real processes."""

    def room(item: pytest.Item) -> int:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        return _FASTEST_FIRST.index(folder) if folder in _FASTEST_FIRST else len(_FASTEST_FIRST)

    items.sort(key=room)

"""The door to PostgreSQL: wrong databases are refused with a cause and a mend, dead ones within ten seconds."""

from __future__ import annotations

import socket
import threading
import time
from urllib.parse import urlsplit

import psycopg
import pytest

from prodsafe import postgres
from prodsafe.errors import DatabaseRefused, ExitCode


def refusal(url: str, **options):
    with pytest.raises(DatabaseRefused) as caught:
        postgres.connect(url, **options)
    assert "s3cret" not in str(caught.value)
    return caught.value.refusals[0]


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_an_open_connection_notices_a_dead_network_and_prepares_nothing(empty_database_url):
    with postgres.connect(empty_database_url, application_name="prodsafe/test") as conn:
        parameters = conn.info.get_parameters()

        assert parameters["tcp_user_timeout"] == "2000" and parameters["keepalives_idle"] == "2"
        assert conn.prepare_threshold is None and conn.autocommit
        assert conn.execute("SELECT current_setting('application_name')").fetchone() == ("prodsafe/test",)


def test_times_are_read_whatever_style_the_database_has_by_default(empty_database_url):
    name = urlsplit(empty_database_url).path.strip("/")
    with psycopg.connect(empty_database_url, autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} SET datestyle TO 'SQL, DMY'")

    with postgres.connect(empty_database_url, direct=True) as conn:
        moment = conn.execute("SELECT timestamptz '2026-11-22 12:00:00+00'").fetchone()[0]

    assert moment.timestamp() == 1795348800.0


def test_a_direct_connection_has_its_server_settings_and_the_callers(empty_database_url):
    """Weak point of other tools: a cut-off client's locks stay at the server for hours (locks.md 2b)."""
    with postgres.connect(empty_database_url, direct=True, settings={"idle_session_timeout": 5000}) as conn:
        rows = conn.execute("SELECT name, setting FROM pg_settings").fetchall()

    kept = dict(rows)
    assert {name: kept[name] for name in postgres.SERVER_SETTINGS} == {
        name: str(value) for name, value in postgres.SERVER_SETTINGS.items()
    }
    assert kept["idle_session_timeout"] == "5000"


def test_a_setting_that_the_server_does_not_take_is_refused(empty_database_url):
    found = refusal(empty_database_url, direct=True, settings={"idle_session_timeout": -7})

    assert found.kind is postgres.SETTING_NOT_KEPT


def test_a_server_that_is_not_there_is_unreachable_at_once(closed_port):
    found = refusal(f"postgresql://me:s3cret@127.0.0.1:{closed_port}/app")

    assert found.kind is postgres.UNREACHABLE and found.kind.exit_code == ExitCode.UNREADABLE
    assert found.seen == f"127.0.0.1:{closed_port}/app as me"


def test_a_server_that_accepts_and_never_answers_is_unreachable_within_ten_seconds():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        found = refusal(f"postgresql://me:s3cret@127.0.0.1:{silent.getsockname()[1]}/app?connect_timeout=60")

    assert found.kind is postgres.UNREACHABLE
    assert time.monotonic() - began < 10


def test_no_connection_attempt_outlives_the_bound_whatever_holds_it_up(monkeypatch, closed_port):
    """A name look-up that hangs obeys no timeout of the driver."""
    let_go = threading.Event()
    monkeypatch.setattr(postgres, "CONNECT_SECONDS", 0.2)
    monkeypatch.setattr(psycopg, "connect", lambda **_: let_go.wait(5))

    found = refusal(f"postgresql://me:s3cret@127.0.0.1:{closed_port}/app")
    let_go.set()

    assert "no answer within" in found.cause


def test_a_wrong_password_is_the_persons_to_mend(empty_database_url):
    password = urlsplit(empty_database_url).password

    found = refusal(empty_database_url.replace(password, "s3cret"))

    assert found.kind is postgres.LOGIN_REFUSED and found.kind.exit_code == ExitCode.REFUSED


def test_a_database_that_does_not_exist_is_named(postgres_server):
    found = refusal(postgres_server.url_of("nowhere"))

    assert found.kind is postgres.DATABASE_MISSING and "nowhere" in found.cause


def test_a_server_without_tls_is_refused_where_the_address_demands_it(empty_database_url):
    assert refusal(empty_database_url + "?sslmode=require").kind is postgres.TLS_REFUSED


def test_an_address_that_cannot_be_read_is_refused_without_being_shown():
    found = refusal("postgresql://me:s3cret%zz@127.0.0.1/app")

    assert found.kind is postgres.MALFORMED_ADDRESS


def test_a_read_only_server_is_refused_for_direct_use(empty_database_url):
    name = urlsplit(empty_database_url).path[1:]
    with psycopg.connect(empty_database_url, autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")

    assert refusal(empty_database_url, direct=True).kind is postgres.READ_ONLY
    postgres.connect(empty_database_url).close()


def test_a_connection_through_a_pooler_is_refused_for_direct_use(empty_database_url):
    """The pooler tells one process id at start-up and works with another; here a second session plays its part."""
    with postgres.connect(empty_database_url) as front, postgres.connect(empty_database_url) as back:

        class Pooled:
            info = front.info
            execute = back.execute

        with pytest.raises(DatabaseRefused, match="pooler"):
            postgres.check_direct(Pooled())
        postgres.check_direct(back)


def test_two_addresses_of_one_database_are_the_same_and_others_are_not(empty_database_url, postgres_server):
    other_name_of_it = empty_database_url.replace("127.0.0.1", "localhost") + "?hostaddr=127.0.0.1"
    with (
        postgres.connect(empty_database_url) as first,
        postgres.connect(other_name_of_it) as again,
        postgres.connect(postgres_server.url) as other,
    ):
        assert postgres.same_database(first, again)
        assert not postgres.same_database(first, other)
        with pytest.raises(DatabaseRefused, match="different databases"):
            postgres.require_same_database(first, other)


def test_a_connection_that_is_lost_while_it_is_used_is_a_refusal_to_try_again(empty_database_url, postgres_server):
    with postgres.connect(empty_database_url) as conn, psycopg.connect(postgres_server.url, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(%s)", [conn.info.backend_pid])

        with pytest.raises(DatabaseRefused) as caught, postgres.lost_connections_refused(conn):
            conn.execute("SELECT 1")

    assert caught.value.refusals[0].kind is postgres.CONNECTION_LOST
    assert caught.value.exit_code == ExitCode.UNREADABLE


def test_a_failed_statement_is_not_mistaken_for_a_lost_connection(empty_database_url):
    with (
        postgres.connect(empty_database_url) as conn,
        pytest.raises(psycopg.errors.QueryCanceled),
        postgres.lost_connections_refused(conn),
    ):
        conn.execute("SET statement_timeout = 10; SELECT pg_sleep(5)")


@pytest.mark.parametrize(("version", "refused"), [(130022, True), (90624, True), (140000, False), (180001, False)])
def test_a_server_that_cannot_end_a_frozen_clients_session_is_refused_with_its_version(version: int, refused: bool):
    found = postgres.refuse_old_server(version, "db:5432/app as me")

    assert (found is not None) is refused
    if found is not None:
        assert (found.id, found.kind.exit_code) == ("P04", ExitCode.REFUSED)
        assert f"PostgreSQL {version // 10000} " in found.cause and "PostgreSQL 14 or newer" in found.mend


def test_a_setting_that_is_a_word_is_kept_too(empty_database_url):
    with postgres.connect(empty_database_url, direct=True, settings={"synchronous_commit": "on"}) as conn:
        assert conn.execute("SHOW synchronous_commit").fetchone() == ("on",)
    assert refusal(empty_database_url, direct=True, settings={"synchronous_commit": "maybe"}).id == "P07"

"""Health over real HTTP: what a supervisor, a load balancer and Prometheus see (SPEC section 7)."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from live.health import ReadStatus, make_app, status_from_database
from live.health_server import MOST_CONNECTIONS, HealthRefused, HealthServer
from live.journal import PostgresJournal
from live.status import Status, problems
from prodsafe.errors import DatabaseRefused, ExitCode
from prodsafe.lease import account_scope, acquire
from prodsafe.output import register_secrets
from prodsafe.postgres import UNREACHABLE

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SCOPE = account_scope("krakenfutures", "desk", "test")
HEALTHY = Status(
    state="running",
    observed_at=NOW,
    scope=SCOPE,
    epoch=41,
    lease_fresh=True,
    last_tick_at=NOW,
    reconciled=True,
    equity_quote="10000.10",
    counters={"orders accepted": 3.0, 'odd "name"\n': 1.0},
)


@dataclass(frozen=True)
class Ask:
    """ask(path) -> (HTTP status, text), of the server on this port of the loopback."""

    port: int

    def __call__(self, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
        return ask(self.port, path, method, headers)


@pytest.fixture
def served() -> Iterator[Callable[[ReadStatus], Ask]]:
    """served(read_status) starts a server and returns ask(path) -> (HTTP status, text)."""
    with ExitStack() as open_things:

        def start(read_status: ReadStatus) -> Ask:
            app = make_app(read_status, clock=lambda: NOW)
            server = open_things.enter_context(HealthServer(app, "127.0.0.1", 0))
            return Ask(server.address[1])

        yield start


def ask(
    port: int, path: str, method: str = "GET", headers: Mapping[str, str] = MappingProxyType({})
) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path, headers=dict(headers))
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_a_healthy_worker_answers_200_and_says_who_holds_the_account(served) -> None:
    get = served(lambda: HEALTHY)

    for path in ("/health", "/api/health"):
        code, text = get(path)
        body = json.loads(text)
        assert (code, body["status"], body["reasons"]) == (200, "healthy", [])
        assert (body["scope"], body["epoch"], body["halted"]) == (SCOPE, 41, False)
    for path in ("/ready", "/api/ready"):
        assert (get(path)[0], json.loads(get(path)[1])["ready"]) == (200, True)
    assert "/metrics" in json.loads(get("/")[1])["links"]


@pytest.mark.parametrize(
    "change",
    [
        {"lease_fresh": False},
        {"venue_readable": False},
        {"unprotected": ("BTC/USD:USD",)},
        {"last_tick_at": NOW - timedelta(seconds=61)},
    ],
)
def test_an_unhealthy_worker_answers_503_with_every_reason(served, change: dict[str, object]) -> None:
    """W40: /health was always 200 and /ready always ready."""
    ill = replace(HEALTHY, **change)

    code, text = served(lambda: ill)("/health")

    assert (code, json.loads(text)["status"]) == (503, "unhealthy")
    assert json.loads(text)["reasons"] == problems(ill, NOW)


def test_a_standby_is_live_and_not_ready_so_that_a_rolling_deploy_goes_on(served) -> None:
    get = served(lambda: Status(state="standby", observed_at=NOW, standby_for=SCOPE))

    assert get("/health")[0] == 200
    assert json.loads(get("/health")[1])["state"] == "standby"
    assert get("/ready")[0] == 503


def test_a_halt_is_shown_and_does_not_make_a_worker_unhealthy(served) -> None:
    """W27: a watchdog restarted a halted bot."""
    code, text = served(lambda: replace(HEALTHY, halted=True, halt_reason="maintenance"))("/health")

    assert code == 200
    assert (json.loads(text)["halted"], json.loads(text)["halt_reason"]) == (True, "maintenance")


def test_prometheus_understands_the_metrics(served) -> None:
    code, text = served(lambda: HEALTHY)("/metrics")

    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    values = {sample.name: sample.value for sample in samples if not sample.labels}
    states = {sample.labels["state"]: sample.value for sample in samples if "state" in sample.labels}
    assert code == 200
    assert (values["live_healthy"], values["live_lease_epoch"], values["live_equity_quote"]) == (1.0, 41.0, 10000.1)
    assert [state for state, value in states.items() if value] == ["running"]


def test_the_metrics_exist_as_json_too(served) -> None:
    body = json.loads(served(lambda: HEALTHY)("/api/metrics")[1])

    assert (body["healthy"], body["counters"]["orders accepted"], body["last_tick_age_seconds"]) == (True, 3.0, 0.0)


def test_a_database_that_does_not_answer_is_a_reason_and_not_an_error(served) -> None:
    """W40: a database error in the check became a 500."""

    def down() -> Status:
        raise DatabaseRefused(UNREACHABLE.because("no answer", mend="start it", seen="db:5432 as worker"))

    code, text = served(down)("/health")

    assert code == 503
    assert any("database not readable" in reason for reason in json.loads(text)["reasons"])
    assert "db:5432" not in text


def test_no_trace_and_no_secret_is_ever_served(served, capsys) -> None:
    register_secrets(["k3y-material-x"])

    def broken() -> Status:
        raise RuntimeError("Traceback with k3y-material-x")

    code, text = served(broken)("/health")

    assert (code, json.loads(text)) == (500, {"error": "internal error"})
    code, text = served(lambda: replace(HEALTHY, last_action="sent k3y-material-x"))("/api/metrics")
    assert code == 200
    assert "k3y-material" not in text + capsys.readouterr().err


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_changed_over_http(served, method: str) -> None:
    get = served(lambda: HEALTHY)

    assert get("/health", method)[0] == 405
    assert get("/api/test")[0] == 404


async def test_it_answers_while_the_worker_s_loop_is_blocked(served) -> None:
    """The server has a thread and a loop of its own; the stale tick then shows."""
    get = served(lambda: replace(HEALTHY, last_tick_at=NOW - timedelta(minutes=5)))
    answers: list[tuple[int, float]] = []
    asker = threading.Thread(target=lambda: answers.append((get("/health")[0], time.monotonic())))

    asker.start()
    time.sleep(0.5)  # this coroutine is the worker, and its loop stands still
    unblocked_at = time.monotonic()
    asker.join()

    assert answers[0][0] == 503
    assert answers[0][1] < unblocked_at


def test_a_browser_gets_a_page_that_says_who_what_and_why(served) -> None:
    """Every word is escaped: a halt's reason is a person's text."""
    ill = replace(HEALTHY, unprotected=("BTC/USD:USD",), halted=True, halt_reason="<script>alert(1)</script>")

    _, page = served(lambda: ill)("/", Accept="text/html,application/xhtml+xml")

    assert "Unhealthy" in page
    assert "H15 position-unprotected" in page
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_slow_clients_by_the_hundred_keep_no_probe_out(served) -> None:
    """A request that never ends costs a place inside, and the oldest of these gives way to the next visitor."""
    get = served(lambda: HEALTHY)
    with ExitStack() as held:
        crowd = [
            held.enter_context(socket.create_connection(("127.0.0.1", get.port))) for _ in range(3 * MOST_CONNECTIONS)
        ]
        for silent in crowd[-MOST_CONNECTIONS:]:
            silent.sendall(b"GET /health HTTP/1.1\r\nX-Slow: ")

        assert get("/health")[0] == 200
        cut = sum(is_cut(each) for each in crowd)

    assert cut >= 2 * MOST_CONNECTIONS


def test_a_malformed_request_is_answered_and_fills_no_log(served, capsys) -> None:
    get = served(lambda: HEALTHY)
    with socket.create_connection(("127.0.0.1", get.port)) as hostile:
        hostile.sendall(b"\x16\x03\x01nonsense\r\n\r\n")
        answer = hostile.recv(100)

    assert b"400" in answer
    assert "Traceback" not in capsys.readouterr().err


def is_cut(connection: socket.socket) -> bool:
    connection.settimeout(0.01)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def test_a_taken_port_is_a_refusal_with_a_mend() -> None:
    """W40: a bind failure died in a thread, unnoticed."""
    before = threading.active_count()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()

        with pytest.raises(HealthRefused, match="PORT") as refused:
            HealthServer(make_app(lambda: HEALTHY), "127.0.0.1", taken.getsockname()[1]).start()

    assert (refused.value.refusals[0].id, refused.value.exit_code) == ("H01", ExitCode.REFUSED)
    assert threading.active_count() == before


def test_stopping_frees_the_port_and_may_be_repeated() -> None:
    server = HealthServer(make_app(lambda: HEALTHY), "127.0.0.1", 0)
    server.start()
    server.stop()
    server.stop()

    with pytest.raises(ConnectionRefusedError):
        ask(server.address[1], "/health")


# --- from the database alone ------------------------------------------------------------------------------------------


async def test_a_dead_worker_is_unhealthy_although_its_last_row_says_running(database_url: str) -> None:
    now = datetime.now(UTC)
    with acquire(database_url, [SCOPE], exit_on_loss=False) as lease:
        lease.activate()
        token = lease.token
        journal = await PostgresJournal.open(database_url, scope=SCOPE, epoch=token.epoch, holder=token.holder)
        await journal.save_status(replace(HEALTHY, observed_at=now, last_tick_at=now))
        await journal.close()
        alive = status_from_database(database_url, None, clock=lambda: now)

    dead = status_from_database(database_url, SCOPE, clock=lambda: now)

    assert problems(alive, now) == []
    assert "H11 lease-not-fresh: lease not held or not fresh" in problems(dead, now)


def test_a_database_that_no_worker_has_used_is_unhealthy(database_url: str) -> None:
    status = status_from_database(database_url, None, clock=lambda: NOW)

    assert status.state == "unknown"
    assert problems(status, NOW)


def start_component(**environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "live.health"],
        env={"PATH": os.environ["PATH"], **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_component_serves_the_database_s_view_and_stops_on_sigterm(database_url: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = start_component(DATABASE_URL=database_url, PORT=str(port), HEALTH_HOST="127.0.0.1")
    assert process.stdout is not None
    assert f"127.0.0.1:{port}" in process.stdout.readline()

    code, text = ask(port, "/health")
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute("DROP SCHEMA live, prodsafe CASCADE")
    code_without_schema, text_without_schema = ask(port, "/health")
    process.send_signal(signal.SIGTERM)

    assert code == code_without_schema == 503
    assert json.loads(text)["state"] == json.loads(text_without_schema)["state"] == "unknown"
    assert any("database not readable" in reason for reason in json.loads(text_without_schema)["reasons"])
    assert process.wait(10) == 0


@pytest.mark.parametrize(
    ("environment", "word"),
    [
        ({}, "DATABASE_URL is not set"),
        ({"DATABASE_URL": "postgresql://a:b@127.0.0.1/x", "PORT": "eighty"}, "PORT"),
        ({"DATABASE_URL": "mysql://127.0.0.1/x"}, "DATABASE_URL"),
    ],
)
def test_the_component_refuses_an_environment_it_cannot_serve(environment: dict[str, str], word: str) -> None:
    process = start_component(**environment)
    _, error = process.communicate(timeout=20)

    assert process.returncode == ExitCode.REFUSED
    assert word in error and "mend:" in error and "Traceback" not in error

"""What people and probes see of a worker in trouble: real processes, real signals."""

from __future__ import annotations

import json
import signal
import threading
import time
import urllib.error
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg
import pytest

from live.simulator import DEMO_API_SECRET
from tests.processes import Process, Start, Venue, answer, entered_and_protected, until, worker_environment


def reasons(url: str) -> tuple[int, str]:
    try:
        code, text = answer(url)
    except (OSError, urllib.error.URLError):
        return 0, ""
    return code, " ".join(json.loads(text)["reasons"])


def turns(worker: Process, url: str, code: int, word: str = "") -> None:
    until(lambda: (found := reasons(url))[0] == code and word in found[1], worker)


def test_a_blocked_loop_turns_health_503_while_it_lasts(
    database_url: str, venue: Venue, start: Start, free_port: int
) -> None:
    """W40: /health answered 200 whatever had happened. The lease goes on beating on its own thread meanwhile."""
    health = {"WITH_HEALTH": "1", "PORT": str(free_port), "HEALTH_HOST": "127.0.0.1", "BLOCK_SECONDS": "10"}
    worker = start(["-m", "tests.acceptance.blockable_worker"], worker_environment(database_url, venue.url, **health))
    url = f"http://127.0.0.1:{free_port}/health"
    turns(worker, url, 200)

    worker.popen.send_signal(signal.SIGUSR1)
    turns(worker, url, 503, "H17 loop-blocked")
    turns(worker, url, 200)

    assert worker.terminate() == 0, worker.text()


def test_a_frozen_worker_turns_the_dedicated_component_503(
    database_url: str, venue: Venue, start: Start, free_port: int
) -> None:
    """SIGSTOP: the worker's own port cannot answer any more; the component reads it off the beats."""
    env = worker_environment(database_url, venue.url)
    worker = start(["-m", "live.prod_live"], env)
    component = start(["-m", "live.health"], {**env, "PORT": str(free_port), "HEALTH_HOST": "127.0.0.1"})
    url = f"http://127.0.0.1:{free_port}/health"
    until(lambda: reasons(url)[0] == 200, component)

    worker.popen.send_signal(signal.SIGSTOP)
    frozen_at = time.monotonic()
    turns(component, url, 503, "H11 lease-not-fresh")

    assert time.monotonic() - frozen_at < 15


class Webhook(BaseHTTPRequestHandler):
    """Fails twice, then takes what it is told."""

    told: list[str]
    asked = 0

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).asked += 1
        fails = type(self).asked <= 2
        if not fails:
            self.told.append(body["text"])
        self.send_response(503 if fails else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def webhook() -> object:
    handler = type("Handler", (Webhook,), {"told": [], "asked": 0})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    server.told = handler.told  # type: ignore[attr-defined]
    yield server
    server.shutdown()
    thread.join()


def test_people_are_told_of_the_trade_the_halt_and_the_end_through_a_webhook_that_fails_at_first(
    database_url: str, venue: Venue, start: Start, webhook: ThreadingHTTPServer
) -> None:
    url = f"http://127.0.0.1:{webhook.server_port}/s3cret-path"
    worker = start(["-m", "live.prod_live"], worker_environment(database_url, venue.url, ALERT_WEBHOOK_URL=url))
    entered_and_protected(worker, venue)
    until(lambda: any("opened long" in text or "opened short" in text for text in webhook.told), worker)

    assert worker.terminate() == 0, worker.text()

    words = " | ".join(webhook.told)
    assert "started on" in words
    assert "stopped" in words
    assert DEMO_API_SECRET not in words
    assert "s3cret-path" not in worker.text()


def test_a_refused_boot_is_told_too(
    empty_database_url: str, venue: Venue, start: Start, webhook: ThreadingHTTPServer
) -> None:
    url = f"http://127.0.0.1:{webhook.server_port}/"
    env = worker_environment(empty_database_url, venue.url, ALERT_WEBHOOK_URL=url)
    refused = [start(["-m", "live.prod_live"], env) for _ in range(3)]

    assert [each.wait() for each in refused] == [4, 4, 4]
    assert any("M03 schema-behind" in text for text in webhook.told)


def test_a_bug_leaves_its_last_words_in_the_journal_and_masked_on_stderr(
    database_url: str, venue: Venue, start: Start
) -> None:
    env = worker_environment(database_url, venue.url, BUG_TEXT=f"broke with {DEMO_API_SECRET}")
    worker = start(["-m", "tests.acceptance.buggy_worker"], env)

    assert worker.wait(60) == 70, worker.text()
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "SELECT payload ->> 'reason' FROM live.event WHERE kind = 'worker_stopped' ORDER BY id DESC LIMIT 1"
        ).fetchone()
    assert row is not None
    assert "ZeroDivisionError" in row[0]
    assert "Traceback" in worker.text() and "ZeroDivisionError" in worker.text()
    assert DEMO_API_SECRET not in worker.text() + row[0]


def test_the_first_line_says_who_it_is(database_url: str, venue: Venue, start: Start) -> None:
    worker = start(["-m", "live.prod_live"], worker_environment(database_url, venue.url))
    until(lambda: '"trading"' in worker.text(), worker)

    lines = [json.loads(line) for line in worker.text().splitlines() if line.startswith("{")]
    identity = next(line for line in lines if line["event"] == "identity")
    wanted = {"version", "commit", "mode", "account", "host", "pid", "schema", "settings_hash"}
    assert wanted <= set(identity), identity
    assert identity["mode"] == "simulator", "EXCHANGE_URL is set"

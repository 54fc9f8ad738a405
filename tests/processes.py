"""Real processes for acceptance tests: the worker, the simulated venue, and what a person could do at its web page."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from live.simulator import DEMO_API_KEY, DEMO_API_SECRET

PROJECT = Path(__file__).resolve().parents[1]


class Process:
    """A child of the test; it is ended, by its own pid, when the test is over."""

    def __init__(self, words: list[str], env: Mapping[str, str], folder: Path, *, cwd: Path = PROJECT) -> None:
        self.log = folder / f"{words[-1].rsplit('.', 1)[-1]}-{time.monotonic_ns()}.log"
        with self.log.open("w") as log:
            self.popen = subprocess.Popen(
                [sys.executable, "-u", *words],
                env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def text(self) -> str:
        return self.log.read_text()

    def wait(self, seconds: float = 30) -> int:
        return self.popen.wait(seconds)

    def terminate(self, seconds: float = 30) -> int:
        self.popen.send_signal(signal.SIGTERM)
        return self.wait(seconds)

    def end(self) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()


class Venue:
    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=5) as reply:
            return json.load(reply)

    def post(self, path: str, body: object) -> None:
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=5) as reply:
            reply.read()

    def open_orders(self, leg: str) -> list[dict[str, Any]]:
        return [o for o in self.get("/sim/orders") if o["open"] and (o["client_order_id"] or "").endswith(leg)]

    def sent(self) -> list[dict[str, Any]]:
        return [request for request in self.get("/sim/ledger")["requests"] if request["endpoint"] == "sendorder"]


Start = Callable[..., Process]


def base_environment() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}


def worker_environment(database_url: str, exchange_url: str, **changes: str) -> dict[str, str]:
    return {
        **base_environment(),
        "ENVIRONMENT": "prod", "DRY_RUN": "0", "USE_STATE_MACHINE_V2": "true", "CONFIRM_LIVE": "YES",
        "DATABASE_URL": database_url, "EXCHANGE_URL": exchange_url, "EXCHANGE_ACCOUNT": "main",
        "EXCHANGE_API_KEY": DEMO_API_KEY, "EXCHANGE_API_SECRET": DEMO_API_SECRET,
        "LIVE_TICK_SECONDS": "1", "LIVE_FAST_TICK_SECONDS": "0.25",
        **changes,
    }  # fmt: skip


def until(ready: Callable[[], bool], process: Process, seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert process.popen.poll() is None, f"exit {process.popen.poll()}\n{process.text()}"
        assert time.monotonic() < deadline, process.text()
        time.sleep(0.1)


def answer(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def entered_and_protected(worker: Process, venue: Venue) -> None:
    """Let the market come to the worker's entry; return when its stop rests."""
    until(lambda: bool(venue.open_orders("-e")), worker)
    entry = venue.open_orders("-e")[0]
    venue.post("/sim/price", {"symbol": entry["symbol"], "price": entry["limit_price"]})
    until(lambda: len(venue.open_orders("-s")) == 1, worker)

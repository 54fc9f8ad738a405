"""The whole story on a terminal: real processes, a real PostgreSQL, a simulated venue; no account, no network. [S]

Each step shows the command, its real output and its exit code, and checks what must hold; the first thing that does not
hold ends the demo with exit code 1.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from live.simulator import DEMO_API_KEY, DEMO_API_SECRET
from prodsafe.embedded import EmbeddedPostgres
from prodsafe.output import register_secrets, say

PROJECT = Path(__file__).resolve().parent.parent
WIDTH = 100
BAR_SECONDS = 15 * 60
BOUNDARY_SECONDS = 30  # longer than it takes from here to the first entry


class DemoFailed(Exception):
    """Something that must hold did not."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def expect(holds: bool, what: str) -> None:
    if not holds:
        raise DemoFailed(what)
    say(f"   ✓ {what}")


def title(number: int, text: str) -> None:
    say(f"\n── {number}. {text} {'─' * max(WIDTH - len(text) - 6, 3)}")


class Child:
    """One real process of the story; its output is shown as it comes, and kept for the checks."""

    def __init__(self, words: list[str], env: Mapping[str, str], *, name: str, shown: bool = True) -> None:
        self.name, self._shown = name, shown
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, "-u", *words],
            env=dict(env),
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        """Keep every line; show each once, not again while a quiet worker says the same each tick."""
        last = ""
        for line in self._process.stdout or ():
            self.lines.append(line.rstrip())
            at, words = brief(line)
            if self._shown and words != last:
                say(f"   {self.name}│ {at}{words}")
            last = words

    @property
    def pid(self) -> int:
        return self._process.pid

    def text(self) -> str:
        return "\n".join(self.lines)

    def logged(self, event: str) -> bool:
        return any(row["event"] == event for line in list(self.lines) if (row := parsed(line)))

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self, seconds: float = 30) -> int:
        code = self._process.wait(seconds)
        self._reader.join(2)
        return code

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None


def brief(line: str) -> tuple[str, str]:
    """(time, words) of a worker's log line as a person wants to see it here; other lines as they are."""
    row = parsed(line)
    if row is None:
        return "", line.rstrip()
    at, event, action = str(row.get("timestamp", ""))[11:19], row["event"], row.get("action")
    hidden = {"timestamp", "event", "action", "level", "logger"}
    rest = " ".join(f"{key}={value}" for key, value in row.items() if key not in hidden)
    return f"{at} ", f"{action or event} {rest}".rstrip()


def parsed(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and "event" in row else None


def run(words: list[str], env: Mapping[str, str], *, shown_as: str) -> tuple[int, str]:
    """Run a command to its end, showing it, what it prints and its exit code."""
    say(f"   $ {shown_as}")
    child = Child(words, env, name="")
    code = child.wait(60)
    say(f"   → exit {code}")
    return code, child.text()


def wait_for(what: str, ready: Callable[[], bool], *, seconds: float, alive: Child | None = None) -> None:
    """Poll until it holds; a worker that died meanwhile, or time running out, is a failure."""
    deadline = time.monotonic() + seconds
    while not ready():
        if alive is not None and not alive.is_running:
            raise DemoFailed(f"{what}: the worker ended first, exit {alive.wait()}")
        if time.monotonic() > deadline:
            raise DemoFailed(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.1)
    say(f"   ✓ {what}")


class SimulatedVenue:
    """What a person could see and do at the venue's own web page."""

    def __init__(self, url: str) -> None:
        self._url = url

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self._url}{path}", timeout=5) as reply:
            return json.load(reply)

    def ledger(self) -> dict[str, Any]:
        ledger: dict[str, Any] = self._get("/sim/ledger")
        return ledger

    def open_orders(self, leg: str = "") -> list[dict[str, Any]]:
        return [order for order in self._get("/sim/orders") if order["open"] and order["client_order_id"].endswith(leg)]

    def position(self, symbol: str) -> dict[str, Any] | None:
        return next((each for each in self._get("/sim/positions") if each["symbol"] == symbol), None)

    def move(self, share: float) -> None:
        """Let every listed price drift by up to `share` of itself."""
        for symbol, ticker in self._get("/sim/tickers").items():
            self.set_price(symbol, ticker["last"] * (1 + random.uniform(-share, share)), said=False)

    def set_price(self, symbol: str, price: float, *, said: bool = True) -> None:
        if said:
            say(f"   the market: {symbol} trades at {price:g}")
        body = json.dumps({"symbol": symbol, "price": price}).encode()
        request = urllib.request.Request(f"{self._url}/sim/price", data=body, method="POST")
        with urllib.request.urlopen(request, timeout=5) as reply:
            reply.read()


def wait_out_boundary() -> None:
    """The still market has its setups on the newest closed candle; do not begin when another is about to close."""
    left = BAR_SECONDS - time.time() % BAR_SECONDS
    if left < BOUNDARY_SECONDS:
        say(f"a candle closes in {left:.0f} s; waiting for it ...")
        time.sleep(left + 2)


@contextmanager
def simulator(env: Mapping[str, str]) -> Iterator[str]:
    child = Child(["-m", "live.simulator", "--scenario", "still"], env, name="venue", shown=False)
    try:
        deadline = time.monotonic() + 20
        while not child.lines and child.is_running and time.monotonic() < deadline:
            time.sleep(0.05)
        if not child.lines or not child.lines[0].startswith("EXCHANGE_URL="):
            raise DemoFailed(f"the simulated venue did not start: {child.text()}")
        yield child.lines[0].removeprefix("EXCHANGE_URL=")
    finally:
        child.stop()


def environment(database_url: str, exchange_url: str) -> dict[str, str]:
    """Everything the worker needs, and nothing of the caller's own settings."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return {
        **kept,
        "ENVIRONMENT": "prod",
        "DRY_RUN": "0",
        "USE_STATE_MACHINE_V2": "true",
        "CONFIRM_LIVE": "YES",
        "DATABASE_URL": database_url,
        "EXCHANGE_URL": exchange_url,
        "EXCHANGE_ACCOUNT": "demo",
        "EXCHANGE_API_KEY": DEMO_API_KEY,
        "EXCHANGE_API_SECRET": DEMO_API_SECRET,
        "HEALTH_HOST": "127.0.0.1",
        "PORT": str(free_port()),
        "LIVE_TICK_SECONDS": "1",
        "LIVE_FAST_TICK_SECONDS": "0.25",
    }


# --- the story --------------------------------------------------------------------------------------------------------


def refused_without_confirmation(env: Mapping[str, str]) -> None:
    title(1, "A worker that nobody confirmed does not start, --force or not")
    without = {name: value for name, value in env.items() if name != "CONFIRM_LIVE"}
    code, text = run(["-m", "live.prod_live", "--force"], without, shown_as="python -m live.prod_live --force")
    expect(code == 1 and "G04 confirm-live" in text, "refused with the one gate that is open, exit 1")


def migrated(env: Mapping[str, str]) -> None:
    title(2, "The schema is migrated, then the worker trades")
    code, _ = run(["migrate_schema.py"], env, shown_as="python migrate_schema.py")
    expect(code == 0, "schema applied, exit 0")


def traded(env: Mapping[str, str], venue: SimulatedVenue, stack: ExitStack) -> tuple[Child, str]:
    """Start the worker, let the market come to its entry; returns it and the symbol it holds."""
    say("   $ python -m live.prod_live")
    worker = Child(["-m", "live.prod_live"], env, name="worker 1")
    stack.callback(worker.stop)
    wait_for("an SMC signal became an entry order at the venue", lambda: bool(venue.open_orders("-e")),
             seconds=90, alive=worker)  # fmt: skip
    entry = venue.open_orders("-e")[0]
    symbol = str(entry["symbol"])
    venue.set_price(symbol, entry["limit_price"])
    wait_for("the entry filled and exactly one stop of its full size rests", lambda: one_stop(venue, symbol),
             seconds=20, alive=worker)  # fmt: skip
    return worker, symbol


def one_stop(venue: SimulatedVenue, symbol: str) -> bool:
    position = venue.position(symbol)
    stops = [order for order in venue.open_orders("-s") if order["symbol"] == symbol]
    return position is not None and len(stops) == 1 and stops[0]["qty"] - stops[0]["filled"] == position["qty"]


def second_refused(env: Mapping[str, str], worker: Child) -> None:
    title(3, "A second worker for the same account is refused")
    code, text = run(["-m", "live.prod_live"], env, shown_as="python -m live.prod_live")
    expect(code == 3 and str(worker.pid) in text, f"exit 3, and it names the holder: pid {worker.pid}")


def killed(worker: Child, venue: SimulatedVenue, symbol: str) -> None:
    title(4, "kill -9 with a position open")
    say(f"   $ kill -9 {worker.pid}")
    worker.send(signal.SIGKILL)
    worker.wait()
    expect(one_stop(venue, symbol), "nobody is there, and the stop still rests at the venue")


def succeeded(env: Mapping[str, str], venue: SimulatedVenue, symbol: str, stack: ExitStack) -> Child:
    title(5, "The successor waits out the grace, reconciles, and keeps the one stop")
    stop_before = [order["order_id"] for order in venue.open_orders("-s")]
    say("   $ WITH_HEALTH=1 python -m live.prod_live")
    worker = Child(["-m", "live.prod_live"], {**env, "WITH_HEALTH": "1"}, name="worker 2")
    stack.callback(worker.stop)
    wait_for("it trades under the next epoch", lambda: worker.logged("trading"), seconds=60, alive=worker)
    expect("grace" in worker.text(), "it waited until nothing of the dead worker could still arrive")
    wait_for("healthy on /health", lambda: healthy(env), seconds=20, alive=worker)
    expect(one_stop(venue, symbol), "still exactly one stop")
    expect([order["order_id"] for order in venue.open_orders("-s")] == stop_before, "and it is the same one")
    return worker


def healthy(env: Mapping[str, str]) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{env['PORT']}/health", timeout=3) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def halted_and_resumed(env: Mapping[str, str], worker: Child) -> None:
    title(6, "A person halts, and resumes")
    code, _ = run(["-m", "live", "halt", "--reason", "lunch"], env, shown_as="python -m live halt --reason lunch")
    expect(code == 0, "halt latched in the database")
    wait_for("the worker says it is halted", lambda: "halted" in worker.text(), seconds=10, alive=worker)
    words = ["-m", "live", "resume", "--reason", "back"]
    code, _ = run(words, env, shown_as="python -m live resume --reason back")
    expect(code == 0, "resumed; exits and stops had stayed in force all along")


def taken_profit(env: Mapping[str, str], venue: SimulatedVenue, worker: Child, symbol: str) -> None:
    title(7, "The market reaches the targets")
    targets = [order for order in venue.open_orders("-t") if order["symbol"] == symbol]
    rising = targets[0]["side"] == "sell"
    for price in sorted({order["limit_price"] for order in targets}, reverse=not rising):
        venue.set_price(symbol, price)
        time.sleep(1.5)
    wait_for("flat, and no order of it is left", lambda: is_flat(venue, symbol), seconds=30, alive=worker)
    run(["-m", "live", "positions"], env, shown_as="python -m live positions")


def is_flat(venue: SimulatedVenue, symbol: str) -> bool:
    return venue.position(symbol) is None and not [o for o in venue.open_orders() if o["symbol"] == symbol]


def stopped(worker: Child) -> None:
    title(8, "SIGTERM drains")
    say(f"   $ kill -TERM {worker.pid}")
    worker.send(signal.SIGTERM)
    code = worker.wait(40)
    say(f"   → exit {code}")
    expect(code == 0, "in-flight orders resolved, stops seen, lease released, exit 0")


def accounted(database_url: str, venue: SimulatedVenue) -> None:
    title(9, "The venue's ledger beside our journal")
    ledger = venue.ledger()
    summary = ledger["summary"]
    ours = journal_fills(database_url)
    rows = {
        "orders accepted": summary["orders"],
        "fills": summary["fills"],
        "fills in our journal": len(ours),
        "duplicate client order ids": summary["duplicates"],
        "longest naked time": f"{summary['naked_seconds_max']:.2f} s",
        "holders seen, in order": ", ".join(epochs(ledger)),
    }
    for name, value in rows.items():
        say(f"   {name:<28}{value}")
    expect(ours == {fill["fill_id"] for fill in ledger["fills"]}, "every fill of the venue is in our journal, once")
    expect(summary["duplicates"] == 0, "no order was sent twice")
    expect(epochs(ledger) == sorted(set(epochs(ledger))), "epochs never went back")


def epochs(ledger: Mapping[str, Any]) -> list[str]:
    """The epochs in the order in which their orders arrived, repeats next to each other dropped."""
    seen: list[str] = []
    for request in ledger["requests"]:
        parts = (request["client_order_id"] or "").split("-")
        if len(parts) == 5 and (not seen or seen[-1] != f"epoch {parts[2]}"):
            seen.append(f"epoch {parts[2]}")
    return seen


def journal_fills(database_url: str) -> set[str]:
    import psycopg

    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT fill_id FROM live.event WHERE kind = 'filled'").fetchall()
    return {str(row[0]) for row in rows}


def kept_running(env: Mapping[str, str], venue: SimulatedVenue, worker: Child, stack: ExitStack) -> None:
    title(8, "Left running")
    port = free_port()
    dashboard = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", str(PROJECT / "live" / "dashboard.py"), "--server.headless=true",
         f"--server.port={port}", "--server.address=127.0.0.1", "--browser.gatherUsageStats=false"],
        env=dict(env), cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    stack.callback(dashboard.terminate)
    say(f"   health     http://127.0.0.1:{env['PORT']}/health")
    say(f"   metrics    http://127.0.0.1:{env['PORT']}/api/metrics")
    say(f"   dashboard  http://127.0.0.1:{port}")
    say(f"   venue      {env['EXCHANGE_URL']}/sim/ledger")
    say("   The market drifts from here on. Ctrl-C ends everything.")
    while worker.is_running:
        time.sleep(1)
        venue.move(0.0005)
    raise DemoFailed(f"the worker ended, exit {worker.wait()}")


def tell(*, keep: bool) -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="prodsafe-demo-")))
        server = stack.enter_context(EmbeddedPostgres(folder / "postgres"))
        register_secrets([DEMO_API_SECRET])
        wait_out_boundary()
        exchange_url = stack.enter_context(simulator(os.environ))
        env, venue = environment(server.url, exchange_url), SimulatedVenue(exchange_url)
        say("PostgreSQL and a simulated Kraken Futures are up, both on loopback.")
        refused_without_confirmation(env)
        migrated(env)
        first, symbol = traded(env, venue, stack)
        second_refused(env, first)
        killed(first, venue, symbol)
        second = succeeded(env, venue, symbol, stack)
        halted_and_resumed(env, second)
        taken_profit(env, venue, second, symbol)
        if keep:
            kept_running(env, venue, second, stack)
        stopped(second)
        accounted(server.url, venue)


def main(*, keep: bool = False) -> int:
    """Tell the story; 0 when everything in it held, 1 when something did not, 130 when a signal ended it."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # every child is stopped on the way out
    began = time.monotonic()
    try:
        tell(keep=keep)
    except DemoFailed as failure:
        say(f"\n✗ does not hold: {failure}")
        return 1
    except KeyboardInterrupt:
        say("\nended by a signal before the story was over" if not keep else "\nended")
        return 0 if keep else 128 + signal.SIGINT
    say(f"\nEverything held, in {time.monotonic() - began:.0f} s.")
    return 0


if __name__ == "__main__":
    import argparse

    parser = argparse.ArgumentParser(prog="python -m live.demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave it running at the end and print the addresses")
    raise SystemExit(main(keep=parser.parse_args().keep))

"""The deprecated loops as real processes: refused in production, on paper elsewhere, never beyond loopback."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep, time
from typing import Any

import pytest

DOORS = [["-m", "legacy.main"], ["-m", "legacy.main_with_health"], ["-m", "legacy.run", "live"]]
NAMES = ["main", "main_with_health", "run live"]
DEV = {"ENVIRONMENT": "dev", "LIVE_TICK_SECONDS": "0.4", "LIVE_FAST_TICK_SECONDS": "0.2"}
HEAVY = ("ccxt", "aiohttp", "psycopg")
PATIENCE_SECONDS = 60

# Runs legacy.main_with_health, and ends the process with 99 as soon as it turns to anything but this machine.
WATCHED = """
import os, runpy, sys

def watch(event, args):
    if event in ("socket.connect", "socket.bind", "socket.sendto"):
        host = args[1][0] if isinstance(args[1], tuple) else "127.0.0.1"
    elif event == "socket.getaddrinfo":
        host = args[0]
    else:
        return
    if host not in ("127.0.0.1", b"127.0.0.1", "::1", "localhost"):
        os.write(2, f"{event} {args}".encode())
        os._exit(99)

sys.addaudithook(watch)
sys.argv = ["legacy", *sys.argv[1:]]
runpy.run_module("legacy.main_with_health", run_name="__main__")
"""

# Runs legacy.main with a bug planted where the data service reads.
WITH_A_BUG = """
import live.paper, runpy, sys

async def candles(*_, **__):
    raise ZeroDivisionError("a planted bug")

live.paper.ScenarioMarket.candles = candles
sys.argv = ["legacy"]
runpy.run_module("legacy.main", run_name="__main__")
"""

Done = subprocess.CompletedProcess[str]


def legacy(folder: Path, command: list[str], environ: dict[str, str]) -> Done:
    """Run to its end; nothing but `environ` and PATH is set."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


class Running:
    """A process in the background; `output` grows while it speaks, both streams in one."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.output = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line

    def says(self, words: str) -> bool:
        return words in self.output

    def stop(self, number: int) -> int:
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE_SECONDS)
        self._reader.join()
        return code


@contextmanager
def started(folder: Path, command: list[str], environ: dict[str, str]) -> Iterator[Running]:
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield Running(process)
        finally:
            process.kill()


def wait_until(happened: Callable[[], bool], running: Running) -> None:
    deadline = monotonic() + PATIENCE_SECONDS
    while not happened():
        assert running.process.poll() is None, running.output
        assert monotonic() < deadline, running.output
        sleep(0.1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def keep_away_from_the_full_hour() -> None:
    """A scenario's setup completes with the bar that closed last: at the bar's end it would be over."""
    left = 3600 - time() % 3600
    if left < 30:
        sleep(left + 1)


def get(url: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
    except OSError:
        return 0, None


def refused(done: Done) -> list[str]:
    return [line.split()[1] for line in done.stderr.splitlines() if line.startswith("refused ")]


# --- refused


@pytest.mark.parametrize("environ", [{"ENVIRONMENT": "prod"}, {}, {"ENVIRONMENT": "Production"}], ids=str)
@pytest.mark.parametrize("door", DOORS, ids=NAMES)
def test_every_door_is_closed_in_production_with_exit_1_and_a_pointer(
    tmp_path: Path, door: list[str], environ: dict[str, str]
) -> None:
    """I61: one old door was open, and PROD or unset passed the guard of the other. R12, R13."""
    done = legacy(tmp_path, door, environ)

    assert (done.returncode, refused(done), done.stdout) == (1, ["D01"], "")
    assert "python -m live.prod_live" in done.stderr


@pytest.mark.parametrize("word", ["PROD", "prod ", "live", "Dev", "", "\u0440rod"])
def test_every_look_alike_counts_as_production(tmp_path: Path, word: str) -> None:
    done = legacy(tmp_path, DOORS[0], {"ENVIRONMENT": word})

    assert (done.returncode, refused(done)) == (1, ["D01"])


def test_a_refusal_pays_for_no_heavy_import(tmp_path: Path) -> None:
    done = legacy(tmp_path, ["-X", "importtime", *DOORS[1]], {"ENVIRONMENT": "prod"})
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines() if "|" in line}

    assert done.returncode == 1
    assert "prodsafe" in imported
    assert imported.isdisjoint(HEAVY)


def test_a_dotenv_file_opens_no_door_where_the_environment_does_not_say_dev(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ENVIRONMENT=dev\nLIVE_TIMEFRAME=nonsense\n")
    done = legacy(tmp_path, DOORS[0], {})

    assert (done.returncode, refused(done)) == (1, ["D01"])
    assert "is not loaded" in done.stderr


@pytest.mark.parametrize("line", ["ENVIRONMENT=prod", "DRY_RUN=0", "CONFIRM_LIVE=YES"])
def test_a_dotenv_file_that_declares_production_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / ".env.local").write_text(line + "\n")
    done = legacy(tmp_path, DOORS[0], DEV)

    assert (done.returncode, refused(done)) == (1, ["D02"])


def test_everything_wrong_is_said_at_once_and_the_exit_code_is_not_0(tmp_path: Path) -> None:
    """The old main logged a bad configuration and exited 0."""
    wrong = {"DRY_RUN": "0", "EXCHANGE_URL": "http://example.com", "RISK_MAX_POSITION": "1", "LIVE_TIMEFRAME": "7m"}
    done = legacy(tmp_path, DOORS[0], DEV | wrong)

    assert done.returncode == 1
    assert set(refused(done)) == {"R30", "G09", "G14", "G40"}


def test_the_developers_files_are_read_in_order_and_the_environment_wins(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LIVE_TIMEFRAME=7m\nLIVE_SYMBOLS=NONE/USD:USD\nRISK_MAX_POSITIONS=0\n")
    (tmp_path / ".env.local").write_text("LIVE_TIMEFRAME=1h\n")
    done = legacy(tmp_path, DOORS[0], {**DEV, "RISK_MAX_POSITIONS": "2"})

    assert (done.returncode, refused(done)) == (1, ["R01"])
    assert "NONE/USD:USD" in done.stderr


@pytest.mark.parametrize("arguments", [["--seconds", "soon"], ["--scenario", "none"], ["--bar", "7m"], ["now"]])
def test_wrong_usage_is_exit_2(tmp_path: Path, arguments: list[str]) -> None:
    done = legacy(tmp_path, [*DOORS[0], *arguments], DEV)

    assert done.returncode == 2


def test_prices_that_cannot_be_read_end_it_and_are_never_replaced_by_invented_ones(tmp_path: Path) -> None:
    done = legacy(tmp_path, DOORS[0], {**DEV, "EXCHANGE_URL": f"http://127.0.0.1:{free_port()}"})

    assert (done.returncode, refused(done)) == (6, ["V01"])


# --- running


@pytest.mark.parametrize(("door", "word"), [(DOORS[0], "dev"), (DOORS[0], "test"), (DOORS[2], "staging")])
def test_outside_production_it_warns_once_runs_and_ends_by_itself(tmp_path: Path, door: list[str], word: str) -> None:
    done = legacy(tmp_path, [*door, "--seconds", "1", "--scenario", "still"], {**DEV, "ENVIRONMENT": word})

    assert done.returncode == 0
    assert done.stderr.count("deprecated") == 1
    assert "data: 2000 candles of BTC/USD:USD" in done.stdout
    assert "trading: draining" in done.stdout


def test_it_trades_on_paper_without_leaving_the_machine_and_stops_cleanly(tmp_path: Path) -> None:
    """An entry, its fill and its stop; the health server sees them; SIGTERM ends both services with exit 0."""
    keep_away_from_the_full_hour()
    port = free_port()
    command = ["-c", WATCHED, "--bar", "1h", "--scenario", "default"]
    with started(tmp_path, command, {**DEV, "PORT": str(port)}) as running:
        wait_until(lambda: running.says("filled buy") and running.says("stop sell"), running)
        wait_until(lambda: get(f"http://127.0.0.1:{port}/ready")[0] == 200, running)
        code, metrics = get(f"http://127.0.0.1:{port}/api/metrics")
        ended = running.stop(signal.SIGTERM)

    assert code == 200
    assert (metrics["open_positions"], metrics["unprotected"], metrics["scope"]) == (1, [], "legacy/paper")
    assert ended == 0, running.output
    assert "trading: draining" in running.output.splitlines()[-1]


def test_real_prices_are_read_without_a_key_and_the_venue_never_sees_an_order(tmp_path: Path) -> None:
    """A key lying in the environment stays unused: the venue's own record shows no request that could change it."""
    keep_away_from_the_full_hour()
    keys = {"EXCHANGE_API_KEY": "demo-key-of-the-simulated-venue", "EXCHANGE_API_SECRET": "c2VjcmV0IHNlY3JldA=="}
    with started(tmp_path, ["-m", "live.simulator", "--bar", "1h"], {}) as simulator:
        wait_until(lambda: simulator.says("EXCHANGE_URL=http"), simulator)
        url = simulator.output.splitlines()[0].removeprefix("EXCHANGE_URL=")
        environ = {**DEV, **keys, "EXCHANGE_URL": url, "LIVE_WARMUP_CANDLES": "1000"}
        with started(tmp_path, [*DOORS[0], "--bar", "1h"], environ) as running:
            wait_until(lambda: running.says("trading: entry long"), running)
            ended = running.stop(signal.SIGINT)
        code, ledger = get(f"{url}/sim/ledger")

    assert ended == 0
    assert code == 200
    assert (ledger["requests"], ledger["orders"], ledger["fills"]) == ([], [], [])


def test_a_bug_in_one_service_ends_the_process_with_70(tmp_path: Path) -> None:
    """The old services swallowed their crashes: the process lived on with one half dead, or exited 0."""
    done = legacy(tmp_path, ["-c", WITH_A_BUG], DEV)

    assert done.returncode == 70
    assert "a planted bug" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_asked_to_stop_at_its_first_word_it_still_ends_with_0(tmp_path: Path, number: int) -> None:
    with started(tmp_path, DOORS[0], DEV) as running:
        wait_until(lambda: running.says("paper trading"), running)

        assert running.stop(number) == 0, running.output


def test_an_address_that_is_taken_is_a_refusal(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = legacy(tmp_path, DOORS[1], {**DEV, "PORT": str(taken.getsockname()[1])})

    assert (done.returncode, refused(done)) == (1, ["H01"])

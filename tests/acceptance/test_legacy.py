"""The deprecated loops as real processes: refused in production, on paper elsewhere, never beyond loopback."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic, sleep, time
from typing import Any

import psycopg
import pytest

from legacy.hydration import journal_of
from live.clock import SystemClock
from live.market import closed, last_boundary
from live.model import Candle
from live.venue import open_venue
from prodsafe.errors import DatabaseRefused

DOORS = [["-m", "legacy.main"], ["-m", "legacy.main_with_health"], ["-m", "legacy.run", "live"]]
NAMES = ["main", "main_with_health", "run live"]
DEV = {"ENVIRONMENT": "dev", "LIVE_TICK_SECONDS": "0.4", "LIVE_FAST_TICK_SECONDS": "0.2"}
HEAVY = ("ccxt", "aiohttp", "psycopg")
PATIENCE_SECONDS = 60
HOUR = timedelta(hours=1)
STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGTERM)
HEALTH_PATHS = {
    **dict.fromkeys(("/", "/health", "/ready", "/api/health", "/api/ready", "/api/metrics", "/metrics"), 200),
    "/api/orders": 404,
}
PUBLIC = re.compile(r"/derivatives/api/v3/(instruments|tickers)(/\w+)?|/api/charts/v1/trade/\w+/\w+")

# Runs a door, and ends the process with 99 as soon as it turns to anything but loopback ports that it was given.
WATCHED = """
import os, runpy, sys

module, ports = sys.argv[1], set(map(int, sys.argv[2].split(",")))

def watch(event, args):
    if event in ("socket.connect", "socket.sendto") and isinstance(args[1], tuple):
        known = args[1][0] in ("127.0.0.1", "::1") and args[1][1] in ports
    elif event == "socket.bind" and isinstance(args[1], tuple):
        known = args[1][0] in ("127.0.0.1", "::1")
    elif event == "socket.getaddrinfo":
        known = args[0] in ("127.0.0.1", b"127.0.0.1", "::1", "localhost")
    else:
        return
    if not known:
        os.write(2, f"{event} {args}".encode())
        os._exit(99)

sys.addaudithook(watch)
sys.argv = ["legacy", *sys.argv[3:]]
runpy.run_module(module, run_name="__main__")
"""

# Runs legacy.main with a bug planted where one of its services reads.
WITH_A_BUG = """
import live.paper, runpy, sys

async def broken(*_, **__):
    raise ZeroDivisionError("a planted bug")

setattr(live.paper.ScenarioMarket, sys.argv[1], broken)
sys.argv = ["legacy"]
runpy.run_module("legacy.main", run_name="__main__")
"""

IMPORTED = """
import os, sys, threading, warnings
warnings.simplefilter("error")
hook = []
sys.addaudithook(lambda event, args: hook.append(str(args[0])) if event == "open" and ".env" in str(args[0]) else None)
before = dict(os.environ)
import legacy.main, legacy.main_with_health, legacy.run
assert dict(os.environ) == before and hook == [] and threading.active_count() == 1
assert not {"ccxt", "aiohttp", "psycopg"} & set(sys.modules)
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


@contextmanager
def simulator(folder: Path) -> Iterator[str]:
    """The address of a simulated venue of hourly candles."""
    with started(folder, ["-m", "live.simulator", "--bar", "1h"], {}) as running:
        wait_until(lambda: "\n" in running.output, running)
        yield running.output.splitlines()[0].removeprefix("EXCHANGE_URL=")


@contextmanager
def recording(url: str) -> Iterator[tuple[str, list[tuple[str, str, bool]]]]:
    """The address of a server in front of that one, and what it is asked: method, path, whether it was signed."""
    asked: list[tuple[str, str, bool]] = []

    class Front(BaseHTTPRequestHandler):
        def _forward(self) -> None:
            signed = any(name.lower() in ("apikey", "authent", "authorization") for name in self.headers)
            asked.append((self.command, self.path.partition("?")[0], signed))
            with urllib.request.urlopen(url + self.path, timeout=10) as reply:
                body = reply.read()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = _forward

        def log_message(self, *_: object) -> None:
            """Nothing on the test's own screen."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Front) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


async def candles_of(url: str) -> list[Candle]:
    """The last hundred hours of BTC as the venue at this address tells them."""
    clock = SystemClock()
    venue = open_venue("krakenfutures", api_key="", api_secret="", url=url, for_live=False, clock=clock)
    try:
        rows = await venue.candles("BTC/USD:USD", HOUR, since=last_boundary(clock.now(), HOUR) - 100 * HOUR)
        return closed(rows, clock.now())
    finally:
        await venue.close()


def fill(database_url: str, candles: Sequence[Candle]) -> None:
    with psycopg.connect(database_url) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO live.candle (symbol, timeframe_seconds, opened_at, open, high, low, close, volume)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            [
                (c.symbol, c.timeframe.total_seconds(), c.opened_at, c.open, c.high, c.low, c.close, c.volume)
                for c in candles
            ],
        )


def contents(database_url: str) -> dict[str, str | None]:
    """A digest of every table of ours."""
    with psycopg.connect(database_url) as connection:
        tables = connection.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname IN ('live', 'prodsafe')"
        ).fetchall()
        digest = "SELECT md5(string_agg(t::text, ';' ORDER BY t::text)) FROM {} AS t"
        found = {name: connection.execute(digest.format(name)).fetchone() for (name,) in tables}
    return {name: row[0] if row else None for name, row in found.items()}


def get(url: str) -> tuple[int, Any]:
    """The code, and the body: JSON as data, else its text."""
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            text = reply.read().decode()
            return reply.status, json.loads(text) if "json" in reply.headers["Content-Type"] else text
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
    except OSError:
        return 0, None


def refused(done: Done) -> list[str]:
    return [line.split()[1] for line in done.stderr.splitlines() if line.startswith("refused ")]


# --- refused


@pytest.mark.parametrize("word", ["prod", None, "PROD ", "production"])
@pytest.mark.parametrize("door", DOORS, ids=NAMES)
def test_every_door_is_closed_in_production_with_exit_1_and_a_pointer(
    tmp_path: Path, door: list[str], word: str | None
) -> None:
    """I61, R12, R13: one old door was open, PROD or unset passed the other's guard. Nothing heavy is imported."""
    done = legacy(tmp_path, ["-X", "importtime", *door], {} if word is None else {"ENVIRONMENT": word})
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines() if "|" in line}

    assert (done.returncode, refused(done), done.stdout) == (1, ["D01"], "")
    assert "python -m live.prod_live" in done.stderr
    assert "prodsafe" in imported
    assert imported.isdisjoint(HEAVY)


@pytest.mark.parametrize("word", ["PROD", "live", "Dev", "", "\u0440rod"])
def test_every_look_alike_counts_as_production(tmp_path: Path, word: str) -> None:
    done = legacy(tmp_path, DOORS[0], {"ENVIRONMENT": word})

    assert (done.returncode, refused(done)) == (1, ["D01"])


def test_to_import_a_door_does_nothing(tmp_path: Path) -> None:
    """Whoever imports it, in production too: no file is read, no thread begun, no word said, no heavy import."""
    (tmp_path / ".env").write_text("LIVE_TIMEFRAME=1m\n")
    done = legacy(tmp_path, ["-c", IMPORTED], {})

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_where_deprecations_are_errors_it_is_refused_and_no_bug(tmp_path: Path) -> None:
    done = legacy(tmp_path, ["-W", "error::DeprecationWarning", *DOORS[0]], DEV)

    assert (done.returncode, refused(done)) == (1, ["D01"])
    assert "python -m live.prod_live" in done.stderr


def test_a_dotenv_file_opens_no_door_where_the_environment_does_not_say_dev(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ENVIRONMENT=dev\nLIVE_TIMEFRAME=nonsense\n")
    done = legacy(tmp_path, DOORS[0], {})

    assert (done.returncode, refused(done)) == (1, ["D01"])
    assert "is not loaded" in done.stderr


@pytest.mark.parametrize("name", [".env", ".env.local"])
@pytest.mark.parametrize("line", ["ENVIRONMENT=prod", 'export ENVIRONMENT="PROD "', "DRY_RUN=0", "CONFIRM_LIVE=YES"])
def test_a_dotenv_file_that_declares_production_is_refused(tmp_path: Path, name: str, line: str) -> None:
    """I60: a file overwrote what the platform had said."""
    (tmp_path / name).write_text(f"{line}\n")
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


def test_no_command_is_wrong_usage_and_help_needs_no_environment(tmp_path: Path) -> None:
    alone = legacy(tmp_path, ["-m", "legacy.run"], {})
    helps = [legacy(tmp_path, [*door, "--help"], {}) for door in [["-m", "legacy.run"], *DOORS]]

    assert alone.returncode == 2
    assert [each.returncode for each in helps] == [0, 0, 0, 0]
    assert all("python -m live.prod_live" in each.stdout and "ENVIRONMENT=dev" in each.stdout for each in helps)


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
    """An entry, its fill and its stop; every health path tells of them, on loopback; SIGTERM ends it with exit 0."""
    keep_away_from_the_full_hour()
    port = free_port()
    command = ["-c", WATCHED, "legacy.main_with_health", str(port), "--bar", "1h", "--scenario", "default"]
    with started(tmp_path, command, {**DEV, "PORT": str(port)}) as running:
        wait_until(lambda: running.says("filled buy") and running.says("stop sell"), running)
        wait_until(lambda: get(f"http://127.0.0.1:{port}/ready")[0] == 200, running)
        answers = {path: get(f"http://127.0.0.1:{port}{path}") for path in HEALTH_PATHS}
        ended = running.stop(signal.SIGTERM)

    assert {path: code for path, (code, _) in answers.items()} == HEALTH_PATHS
    assert f"health: http://127.0.0.1:{port}/health" in running.output
    assert answers["/health"][1]["status"] == answers["/api/health"][1]["status"] == "healthy"
    assert answers["/ready"][1]["ready"] is answers["/api/ready"][1]["ready"] is True
    metrics = answers["/api/metrics"][1]
    assert (metrics["open_positions"], metrics["unprotected"], metrics["scope"]) == (1, [], "legacy/paper")
    assert "live_open_positions 1.0" in answers["/metrics"][1]
    assert ended == 0, running.output
    assert "trading: draining" in running.output.splitlines()[-1]


def test_whatever_keys_lie_about_no_door_asks_a_venue_for_more_than_its_public_prices(
    tmp_path: Path, database_url: str
) -> None:
    """All three at once, each with an entry on paper: unsigned GETs of public paths, and no other socket.

    W0: a dry run that was none sent real orders. The venue's own record shows no request that could change it.
    """
    keep_away_from_the_full_hour()
    keys = {
        "EXCHANGE_API_KEY": "demo-key-of-the-simulated-venue",
        "EXCHANGE_API_SECRET": "c2VjcmV0IHNlY3JldA==",
        "EXCHANGE_API_PASSWORD": "a-passphrase",
        "EXCHANGE_ACCOUNT": "main",
    }
    with simulator(tmp_path) as url, recording(url) as (front, asked), contextlib.ExitStack() as stack:
        environ = {**DEV, **keys, "EXCHANGE_URL": front, "LIVE_WARMUP_CANDLES": "1000", "DATABASE_URL": database_url}
        port = front.rpartition(":")[2]
        doors = [
            stack.enter_context(
                started(
                    tmp_path,
                    ["-c", WATCHED, door[1], port, *door[2:], "--bar", "1h"],
                    {**environ, "PORT": str(free_port())},
                )
            )
            for door in DOORS
        ]
        for running in doors:
            wait_until(lambda running=running: running.says("trading: entry long"), running)
        ended = [running.stop(number) for running, number in zip(doors, STOPS, strict=True)]
        code, ledger = get(f"{url}/sim/ledger")

    assert ended == [0, 0, 0], [running.output for running in doors]
    assert {PUBLIC.fullmatch(path) is not None for _, path, _ in asked} == {True}, asked
    assert {(method, signed) for method, _, signed in asked} == {("GET", False)}
    assert code == 200
    assert (ledger["requests"], ledger["orders"], ledger["fills"]) == ([], [], [])


# --- with a worker's database


def test_history_comes_from_the_journal_and_nothing_is_written_there(tmp_path: Path, database_url: str) -> None:
    with simulator(tmp_path) as url:
        recorded = asyncio.run(candles_of(url))
        fill(database_url, recorded[:40] + recorded[45:-2])
        before = contents(database_url)
        environ = {
            **DEV,
            "EXCHANGE_URL": url,
            "DATABASE_URL": database_url,
            "LIVE_SYMBOLS": "BTC/USD:USD",
            "LIVE_WARMUP_CANDLES": "100",
        }
        done = legacy(tmp_path, [*DOORS[0], "--bar", "1h", "--seconds", "4"], environ)

    assert done.returncode == 0, done.stderr
    assert re.search(r"data: (99|100) candles of BTC/USD:USD.*; 9[234] of them from the journal\n", done.stdout)
    assert contents(database_url) == before


async def test_the_journal_is_read_in_utc_wherever_its_server_stands(database_url: str) -> None:
    began_at = datetime(2026, 3, 1, tzinfo=UTC)
    candles = [
        Candle("BTC/USD:USD", HOUR, began_at + n * HOUR, Decimal(2), Decimal(3), Decimal(1), Decimal(2), Decimal(n))
        for n in range(5)
    ]
    fill(database_url, candles)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {database_url.rpartition('/')[2]} SET timezone TO 'Asia/Kolkata'")

    read = await journal_of(database_url)(["BTC/USD:USD", "ETH/USD:USD"], HOUR, began_at + HOUR)

    assert read == {"BTC/USD:USD": candles[1:], "ETH/USD:USD": []}
    assert all(candle.opened_at.tzinfo is UTC for candle in read["BTC/USD:USD"])


@pytest.mark.parametrize("state", ["no schema", "no such database", "nobody there", "of another version"])
async def test_a_database_that_cannot_be_read_is_told_by_cause_and_mend(
    state: str, empty_database_url: str, database_url: str
) -> None:
    url = {
        "no schema": empty_database_url,
        "no such database": f"{empty_database_url}_none",
        "nobody there": f"postgresql://127.0.0.1:{free_port()}/x",
        "of another version": database_url,
    }[state]
    if state == "of another version":
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("ALTER TABLE live.candle RENAME COLUMN open TO opening")

    with pytest.raises(DatabaseRefused) as refused:
        await journal_of(url)(["BTC/USD:USD"], HOUR, datetime(2026, 3, 1, tzinfo=UTC))

    assert refused.value.refusals[0].cause
    assert refused.value.refusals[0].mend


# --- how it ends


@pytest.mark.parametrize("where", ["candles", "tickers"], ids=["data", "trading"])
def test_a_bug_in_either_service_ends_the_process_with_70(tmp_path: Path, where: str) -> None:
    """The old services swallowed their crashes: the process lived on with one half dead, or exited 0."""
    done = legacy(tmp_path, ["-c", WITH_A_BUG, where], DEV)

    assert done.returncode == 70
    assert "a planted bug" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_venue_that_hangs_in_the_boot_does_not_hold_up_the_end(tmp_path: Path, number: int) -> None:
    """W13: nothing heard SIGTERM."""
    with socket.create_server(("127.0.0.1", 0)) as hole:
        url = f"http://127.0.0.1:{hole.getsockname()[1]}"
        with started(tmp_path, DOORS[0], {**DEV, "EXCHANGE_URL": url}) as running:
            assert seconds_to_stop(running, hole, number) < 5


def test_a_database_that_hangs_holds_up_neither_trading_nor_the_end(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hole, simulator(tmp_path) as url:
        database = f"postgresql://u@127.0.0.1:{hole.getsockname()[1]}/x"
        with started(tmp_path, DOORS[0], {**DEV, "EXCHANGE_URL": url, "DATABASE_URL": database}) as running:
            wait_until(lambda: running.says("trading: no action"), running)
            assert seconds_to_stop(running, hole, signal.SIGTERM) < 5


def seconds_to_stop(running: Running, hole: socket.socket, number: int) -> float:
    """Once it waits for an answer of that server; its exit code is 0."""
    hole.settimeout(PATIENCE_SECONDS)
    asking, _ = hole.accept()
    began = monotonic()
    assert running.stop(number) == 0, running.output
    asking.close()
    return monotonic() - began


def test_told_to_stop_again_while_it_stops_it_still_ends_with_0(tmp_path: Path) -> None:
    with started(tmp_path, DOORS[0], DEV) as running:
        wait_until(lambda: running.says("trading: no action"), running)
        for _ in range(4):
            running.process.send_signal(signal.SIGTERM)
            sleep(0.05)

        assert running.process.wait(PATIENCE_SECONDS) == 0, running.output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("word", ["import 'legacy.wiring'", "deprecated", "paper trading"])
def test_asked_to_stop_at_its_first_words_and_even_before_them_it_ends_with_0(
    tmp_path: Path, word: str, number: int
) -> None:
    command = ["-v", *DOORS[0]] if word.startswith("import") else DOORS[0]
    with started(tmp_path, command, DEV) as running:
        wait_until(lambda: running.says(word), running)

        assert running.stop(number) == 0, running.output[-2000:]


def test_an_address_that_is_taken_is_a_refusal(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = legacy(tmp_path, DOORS[1], {**DEV, "PORT": str(taken.getsockname()[1])})

    assert (done.returncode, refused(done)) == (1, ["H01"])

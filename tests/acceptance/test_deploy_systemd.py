"""What systemd hears of the real worker: the test holds the socket and plays the service manager."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from uuid import uuid4

import pytest

from live.settings import read_settings
from live.worker import longest_stop_seconds
from tests.processes import Process, Start, Venue, entered_and_protected, until, worker_environment

WATCHDOG_SECONDS = 4.0  # systemd's patience; the worker beats three times as often
HANDED_ON = {"WATCHDOG_USEC": str(round(WATCHDOG_SECONDS * 1e6))}


class Manager:
    """systemd's side: every datagram with the time at which it came."""

    def __init__(self) -> None:
        self.address = f"@prodsafe-test-{uuid4().hex}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + self.address[1:])
        self._heard: list[tuple[float, str]] = []

    def heard(self, part: str, since: float = 0.0) -> list[float]:
        """When a message with this line, or its beginning, was taken from the socket."""
        while True:
            try:
                self._heard.append((time.monotonic(), self._socket.recv(4096, socket.MSG_DONTWAIT).decode()))
            except BlockingIOError:
                break
        lines = [(at, line) for at, text in self._heard if at >= since for line in text.splitlines()]
        return [at for at, line in lines if line.startswith(part)]

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager() -> Iterator[Manager]:
    playing = Manager()
    yield playing
    playing.close()


def longest_silence(manager: Manager, process: Process, seconds: float) -> float:
    """Between two signs of life, over the next seconds."""
    began = last = time.monotonic()
    longest = 0.0
    while (now := time.monotonic()) - began < seconds:
        assert process.popen.poll() is None, process.text()
        if manager.heard("WATCHDOG=1", last + 1e-9):
            last = now
        longest = max(longest, now - last)
        time.sleep(0.02)
    return longest


def test_systemd_hears_ready_status_watchdog_and_stopping_of_a_worker_that_trades(
    database_url: str, venue: Venue, start: Start, manager: Manager
) -> None:
    env = worker_environment(database_url, venue.url, NOTIFY_SOCKET=manager.address, **HANDED_ON)
    worker = start(["-m", "live.prod_live"], env)
    until(lambda: '"trading"' in worker.text(), worker)
    until(lambda: bool(manager.heard("READY=1")), worker)
    entered_and_protected(worker, venue)
    until(lambda: bool(manager.heard("STATUS=no action: long") + manager.heard("STATUS=no action: short")), worker)

    assert longest_silence(manager, worker, WATCHDOG_SECONDS) < WATCHDOG_SECONDS
    assert not manager.heard("STOPPING=1")
    assert worker.terminate() == 0, worker.text()

    assert manager.heard("STOPPING=1")
    seconds = longest_stop_seconds(read_settings({})[0])
    assert manager.heard(f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}")


def test_a_loop_that_stands_still_is_silent_so_that_systemd_ends_it(
    database_url: str, venue: Venue, start: Start, manager: Manager
) -> None:
    """The lease beats on its own thread meanwhile: without the watchdog nobody looks, and nobody could take over."""
    env = worker_environment(database_url, venue.url, NOTIFY_SOCKET=manager.address, BLOCK_SECONDS="60", **HANDED_ON)
    worker = start(["-m", "tests.acceptance.blockable_worker"], env)
    until(lambda: '"trading"' in worker.text(), worker)
    until(lambda: bool(manager.heard("WATCHDOG=1")), worker)

    worker.popen.send_signal(signal.SIGUSR1)

    assert longest_silence(manager, worker, WATCHDOG_SECONDS + 2) > WATCHDOG_SECONDS
    worker.popen.send_signal(signal.SIGABRT)  # as systemd does then
    assert worker.wait() == -signal.SIGABRT
    assert "stand_still" in worker.text(), "the trace names what it stood in"


def test_a_standby_has_started_is_watched_and_is_ended_by_nobody(
    database_url: str, venue: Venue, start: Start, manager: Manager
) -> None:
    first = start(["-m", "live.prod_live"], worker_environment(database_url, venue.url))
    until(lambda: '"trading"' in first.text(), first)
    env = worker_environment(
        database_url, venue.url, NOTIFY_SOCKET=manager.address, LOCK_WAIT_SECONDS="60", **HANDED_ON
    )

    standby = start(["-m", "live.prod_live"], env)
    until(lambda: bool(manager.heard("READY=1")), standby)

    assert manager.heard("STATUS=standby: standing by")
    assert longest_silence(manager, standby, WATCHDOG_SECONDS) < WATCHDOG_SECONDS
    assert '"trading"' not in standby.text()
    assert first.terminate() == 0
    until(lambda: bool(manager.heard("STATUS=trading")), standby)

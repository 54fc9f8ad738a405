"""What systemd hears, on a socket of the test's own."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from live.systemd import Systemd
from prodsafe.output import register_secrets


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """(the socket, NOTIFY_SOCKET): systemd uses a path, containers and user sessions also an abstract address."""
    address = str(tmp_path / "notify") if request.param == "path" else f"@prodsafe-{uuid4().hex}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(address.replace("@", "\0", 1) if request.param == "abstract" else address)
        listening.setblocking(False)
        yield listening, address


def heard(listening: socket.socket) -> list[str]:
    messages = []
    while True:
        try:
            messages.append(listening.recv(4096).decode())
        except BlockingIOError:
            return messages


def test_each_message_is_one_datagram_of_the_fields_that_systemd_knows(listener: tuple[socket.socket, str]) -> None:
    listening, address = listener
    systemd = Systemd.of({"NOTIFY_SOCKET": address})

    systemd.standing_by("held by another")
    systemd.trading("trading")
    systemd.doing("no action:\n flat")
    systemd.stopping(37.0)

    assert heard(listening) == [
        "READY=1\nSTATUS=standby: held by another\nWATCHDOG=1",
        "READY=1\nSTATUS=trading",
        "STATUS=no action: flat",
        "STOPPING=1\nSTATUS=draining: no new entries\nEXTEND_TIMEOUT_USEC=37000000",
    ]


def test_a_status_holds_no_secret_and_no_field_of_its_own(listener: tuple[socket.socket, str]) -> None:
    listening, address = listener
    register_secrets(["s3cret-of-this-test"])

    Systemd.of({"NOTIFY_SOCKET": address}).doing("sent s3cret-of-this-test\nMAINPID=1 " + "x" * 1000)

    (message,) = heard(listening)
    assert "s3cret" not in message
    assert "\n" not in message
    assert len(message) < 300


async def test_the_watchdog_is_silent_while_the_loop_stands_still(listener: tuple[socket.socket, str]) -> None:
    listening, address = listener
    systemd = Systemd.of({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "150000"})

    with systemd.watching(lambda: True):
        await asyncio.sleep(0.2)
        turning = heard(listening)
        time.sleep(0.4)
        still = heard(listening)
        await asyncio.sleep(0.1)
        turning_again = heard(listening)
    await asyncio.sleep(0.1)

    assert set(turning) == set(turning_again) == {"WATCHDOG=1"}
    assert len(turning) > 1
    assert still == []
    assert heard(listening) == []


async def test_the_watchdog_is_silent_while_the_lease_does_not_permit(listener: tuple[socket.socket, str]) -> None:
    listening, address = listener
    permitted = [False]
    systemd = Systemd.of({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "60000"})

    with systemd.watching(lambda: permitted[0]):
        await asyncio.sleep(0.1)
        refused = heard(listening)
        permitted[0] = True
        await asyncio.sleep(0.1)

    assert refused == []
    assert "WATCHDOG=1" in heard(listening)


@pytest.mark.parametrize(
    "environ",
    [
        {"WATCHDOG_USEC": "60000", "WATCHDOG_PID": str(os.getpid() + 1)},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "-5"},
        {"WATCHDOG_USEC": "soon"},
        {},
    ],
)
async def test_a_watchdog_that_is_not_ours_is_not_fed(
    environ: dict[str, str], listener: tuple[socket.socket, str]
) -> None:
    listening, address = listener

    with Systemd.of({"NOTIFY_SOCKET": address, **environ}).watching(lambda: True):
        await asyncio.sleep(0.1)

    assert heard(listening) == []


@pytest.mark.parametrize("address", ["", "@", "relative", "vsock:2:1", "/nobody/listens/here"])
def test_an_address_that_leads_nowhere_ends_nothing(address: str) -> None:
    Systemd.of({"NOTIFY_SOCKET": address}).trading("trading")


def test_a_full_socket_holds_nobody_up(listener: tuple[socket.socket, str]) -> None:
    _, address = listener
    systemd = Systemd.of({"NOTIFY_SOCKET": address})
    began = time.monotonic()

    for _ in range(2000):
        systemd.doing("nobody reads this")

    assert time.monotonic() - began < 5

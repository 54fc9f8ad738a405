"""How much 2,000 slow clients of the health port delay the worker's loop, beside the same loop left alone.

A stand-in for the worker's tick turns every 5 ms in the main thread; the health server answers from its own thread, as
in the worker. The clients, a process of their own, connect, send half a request and then a byte now and again.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime

from common.frame import conclude, say

from live.health import make_app, utc_now
from live.health_server import HealthServer
from live.status import Status

LIMITS = {"tick_delay_ms_max": 50.0}
TURN_SECONDS = 0.005
CLIENTS = """
import socket, sys, time
held = []
for _ in range(int(sys.argv[2])):
    client = socket.socket()
    client.setblocking(False)
    try:
        client.connect(("127.0.0.1", int(sys.argv[1])))
    except BlockingIOError:
        pass
    held.append(client)

def send(data):
    for client in held:
        try:
            client.send(data)
        except OSError:
            pass

time.sleep(0.3)
send(b"GET /health HTTP/1.1\\r\\nHost: x\\r\\nX-Slow:")
for _ in range(int(sys.argv[3])):
    time.sleep(0.1)
    send(b"a")
"""


async def delays_ms(seconds: float) -> list[float]:
    """How much later than due each turn of a busy loop came, in ms, sorted."""
    found: list[float] = []
    ends_at = time.monotonic() + seconds
    while (began := time.monotonic()) < ends_at:
        await asyncio.sleep(TURN_SECONDS)
        sum(range(20_000))  # a turn does something, too
        found.append((time.monotonic() - began - TURN_SECONDS) * 1000)
    return sorted(found)


def status() -> Status:
    now = datetime.now(UTC)
    return replace(Status(state="running", observed_at=now, lease_fresh=True, reconciled=True), last_tick_at=now)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a check in ten seconds")
    seconds = 4.0 if parser.parse_args().quick else 15.0
    with HealthServer(make_app(status, clock=utc_now), "127.0.0.1", 0) as server:
        say("alone")
        alone = asyncio.run(delays_ms(seconds))
        say("beside 2,000 slow clients")
        arguments = [str(server.address[1]), "2000", str(int(seconds * 8))]
        with subprocess.Popen([sys.executable, "-c", CLIENTS, *arguments]) as clients:
            crowded = asyncio.run(delays_ms(seconds))
            clients.terminate()
    figures: dict[str, float | None] = {
        "alone_ms_p50": alone[len(alone) // 2],
        "alone_ms_max": alone[-1],
        "crowded_ms_p50": crowded[len(crowded) // 2],
        "crowded_ms_p99": crowded[int(len(crowded) * 0.99)],
        "tick_delay_ms_max": crowded[-1],
    }
    rounded = {name: None if value is None else round(value, 2) for name, value in figures.items()}
    return conclude("health", rounded, {}, LIMITS)


if __name__ == "__main__":
    sys.exit(main())

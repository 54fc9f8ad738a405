"""A venue that answers at once and stamps: a program of its own, so that it waits for nobody's interpreter. [E]

Kraken Futures' instruments, and orders that are all placed; an order's id is the CLOCK_MONOTONIC nanosecond at which
the first byte of its request arrived, a clock that every process of one machine shares.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from live.simulator.orders import Contract
from live.simulator.wire import instrument

Body = dict[str, Any]


def venue_id(number: int) -> str:
    """PF_AAAUSD, PF_AABUSD, ...: no name of a real contract is read in a special way."""
    letters = "".join(chr(ord("A") + number // 26**place % 26) for place in (2, 1, 0))
    return f"PF_Q{letters}USD"


def symbol(number: int) -> str:
    return f"{venue_id(number)[3:-3]}/USD:USD"


def listing(count: int) -> Body:
    contracts = [Contract(venue_id(number), Decimal("0.5"), Decimal("0.001")) for number in range(count)]
    return {"result": "success", "instruments": [instrument(each) for each in contracts]}


class Answering(asyncio.Protocol):
    """Keep-alive HTTP/1.1, one request at a time, as both clients speak it."""

    def __init__(self, instruments: bytes) -> None:
        self._instruments = instruments
        self._read = b""
        self._arrived_ns = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if not self._read:
            self._arrived_ns = time.monotonic_ns()
        self._read += data
        head, end, body = self._read.partition(b"\r\n\r\n")
        if not end or len(body) < _length(head):
            return
        self._read = b""
        answer = self._placed() if b"/sendorder" in head.split(b"\r\n", 1)[0] else self._instruments
        kind = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
        self._transport.write(kind + str(len(answer)).encode() + b"\r\n\r\n" + answer)

    def _placed(self) -> bytes:
        status = {"order_id": str(self._arrived_ns), "status": "placed", "receivedTime": "2026-01-01T00:00:00.000Z"}
        return json.dumps({"result": "success", "sendStatus": status}).encode()


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.split(b":")[1])
    return 0


async def serve(count: int) -> None:
    body = json.dumps(listing(count), default=float).encode()
    server = await asyncio.get_running_loop().create_server(lambda: Answering(body), "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


@contextmanager
def listening(count: int) -> Iterator[str]:
    """The address of a listener with so many instruments; it ends with the block."""
    with subprocess.Popen([sys.executable, __file__, str(count)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            yield child.stdout.readline().strip()
        finally:
            child.kill()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))

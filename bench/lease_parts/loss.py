"""How long a lease that is lost still permits: its session ended at the server, and its network silently cut. [E]"""

from __future__ import annotations

import random
import selectors
import socket
import threading
import time
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
from common.pairs import Figures, spread

from lease_parts.peers import ASYNCPG_LOCK, asyncpg_lock_detection_seconds
from prodsafe.errors import LeaseLost
from prodsafe.lease import Lease, acquire
from prodsafe.lease_store import lock_pid, terminate

PEER_FAST_DELAY_SECONDS = 0.6  # its shortest beat is a third of this; the default is a third of 5 s
LOOK_SECONDS = 0.0002


def measure(url: str, detections: int, cuts: int, peers: list[str], *, peer_default: bool) -> Figures:
    ours = [detection_seconds(url, number) for number in range(detections)]
    fast = default = None
    if ASYNCPG_LOCK in peers:
        fast = asyncpg_lock_detection_seconds(url, PEER_FAST_DELAY_SECONDS, detections)
        default = asyncpg_lock_detection_seconds(url, None, detections) if peer_default else None
    return {
        **spread("detection_ms", ours, 1e3),
        **spread("detection_asyncpg_lock_fast_ms", fast, 1e3),
        **spread("detection_asyncpg_lock_ms", default, 1e3),
        **spread("cut_s", [cut_seconds(url, number) for number in range(cuts)], 1),
    }


def detection_seconds(url: str, number: int) -> float:
    """From asking the server to end the lock session to the first refused permit."""
    with psycopg.connect(url, autocommit=True) as conn:
        lease = acquire(url, [f"bench/detected/{number}"], exit_on_loss=False)
        pid = lock_pid(conn, lease.scope)
        assert pid is not None
        time.sleep(random.uniform(0, lease.timing.beat_seconds))
        began = time.perf_counter()
        terminate(conn, pid)
        return first_refusal(lease) - began


def cut_seconds(url: str, number: int) -> float:
    """From the moment when nothing passes any more to the first refused permit; nobody is told."""
    address = urlsplit(url)
    with Relay(address.hostname or "", address.port or 5432) as relay:
        login = address.netloc.rpartition("@")[0]
        through = urlunsplit(address._replace(netloc=f"{login}@127.0.0.1:{relay.port}"))
        lease = acquire(through, [f"bench/cut/{number}"], exit_on_loss=False)
        time.sleep(random.uniform(1, 2) * lease.timing.beat_seconds)
        lease.permit()
        cut_at = relay.cut()
        return first_refusal(lease) - cut_at


def first_refusal(lease: Lease) -> float:
    with suppress(LeaseLost):
        while True:
            lease.permit()
            time.sleep(LOOK_SECONDS)
    return time.perf_counter()


class Relay:
    """A network of one cable between this process and a server; cut() leaves every connection open and silent."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._sockets: list[socket.socket] = [self._listener]
        self._over = threading.Event()
        self._cut_at = 0.0
        self._carrier = threading.Thread(target=self._carry, name="bench-relay", daemon=True)
        self._carrier.start()

    def cut(self) -> float:
        """Carry nothing from now on; the moment from which nothing passes."""
        self._over.set()
        self._carrier.join()
        return self._cut_at

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *error: object) -> None:
        self.cut()
        for one in self._sockets:
            one.close()

    def _carry(self) -> None:
        with selectors.DefaultSelector() as ready:
            ready.register(self._listener, selectors.EVENT_READ)
            while not self._over.is_set():
                for key, _ in ready.select(0.01):
                    if key.data is None:
                        self._join_ends(ready)
                    elif not _pass_on(key.fileobj, key.data):
                        ready.unregister(key.fileobj)
        self._cut_at = time.perf_counter()

    def _join_ends(self, ready: selectors.BaseSelector) -> None:
        client, _ = self._listener.accept()
        server = socket.create_connection(self._server)
        self._sockets += [client, server]
        ready.register(client, selectors.EVENT_READ, server)
        ready.register(server, selectors.EVENT_READ, client)


def _pass_on(source: Any, sink: socket.socket) -> bool:
    """Carry what has come; False when that side has ended, which the other is told."""
    with suppress(OSError):  # reset, or the other side is gone too
        if received := source.recv(65536):
            sink.sendall(received)
            return True
        sink.shutdown(socket.SHUT_WR)
    return False

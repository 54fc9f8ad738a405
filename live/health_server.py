"""The health port: a thread and a loop of its own, and a doorman, so that no client can hurt the worker. [E]

A blocked worker turns unhealthy instead of silent (W40). A connection lives for seconds, there are never more than
`MOST_CONNECTIONS`, and the oldest one gives way to the newest: slow clients by the thousand keep no probe out.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import cast

from aiohttp import web

from prodsafe.errors import RefusalKind, Refused

HEALTH_BIND = RefusalKind("H01", "health-address")

MOST_CONNECTIONS = 64
CONNECTION_SECONDS = 20.0  # from its beginning: a probe asks once, a scraper connects again
_KEEPALIVE_SECONDS = 15.0
_CLIENTS_FAULTS = logging.getLogger("live.health.clients")
_CLIENTS_FAULTS.setLevel(
    logging.CRITICAL
)  # a malformed request is answered with 400; a trace of each would fill the log
_ACCEPTED_AT_ONCE = 16  # the loop takes so many in one step; more would hold the interpreter while the worker waits


class HealthRefused(Refused):
    """The health server cannot start as asked: a person mends address or environment. Exit 1."""


class HealthServer:
    """The application on a thread and loop of its own. `start` returns once it listens, or raises HealthRefused.

    What the application reads is then read on that thread: give it what only hands out the last published Status.
    """

    def __init__(self, app: web.Application, host: str, port: int) -> None:
        self._app, self._host, self._port = app, host, port
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self.address: tuple[str, int] = (host, port)

    def start(self) -> None:
        listening = threading.Event()
        failures: list[OSError] = []
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(listening, failures)), name="health", daemon=True
        )
        self._thread.start()
        listening.wait()
        if failures:
            self._thread.join()
            raise HealthRefused(
                HEALTH_BIND.because(
                    f"cannot listen: {failures[0].strerror or failures[0]}",
                    seen=f"{self._host}:{self._port}",
                    mend="set PORT to a free port and HEALTH_HOST to an address of this machine",
                )
            )

    def stop(self) -> None:
        """Stop listening and end the thread; harmless when never started or stopped before."""
        if self._loop is not None and self._stopping is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopping.set)
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> HealthServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def _serve(self, listening: threading.Event, failures: list[OSError]) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        runner = web.AppRunner(
            self._app,
            access_log=None,
            logger=_CLIENTS_FAULTS,
            keepalive_timeout=_KEEPALIVE_SECONDS,
            shutdown_timeout=1.0,
        )
        try:
            await runner.setup()
            answer = cast("Callable[[], asyncio.Protocol]", runner.server)
            doorman = _Doorman(answer, self._loop)
            try:
                server = await self._loop.create_server(
                    doorman.admit, self._host, self._port, backlog=_ACCEPTED_AT_ONCE, reuse_address=True
                )
            except OSError as error:
                failures.append(error)
                return
            async with server:
                self.address = server.sockets[0].getsockname()[:2]
                listening.set()
                await self._stopping.wait()
        finally:
            await runner.cleanup()
            listening.set()


class _Doorman:
    """Who is inside, oldest first. A full house lets the newcomer in and the oldest out."""

    def __init__(self, answer: Callable[[], asyncio.Protocol], loop: asyncio.AbstractEventLoop) -> None:
        self._answer, self._loop = answer, loop
        self._inside: dict[_Visit, asyncio.TimerHandle] = {}

    def admit(self) -> asyncio.Protocol:
        return _Visit(self._answer(), self)

    def entered(self, visit: _Visit) -> None:
        if len(self._inside) >= MOST_CONNECTIONS:
            next(iter(self._inside)).end()
        self._inside[visit] = self._loop.call_later(CONNECTION_SECONDS, visit.end)

    def left(self, visit: _Visit) -> None:
        if timer := self._inside.pop(visit, None):
            timer.cancel()


class _Visit(asyncio.Protocol):
    """One connection: everything goes to aiohttp's own handler, the doorman only watches it come and go."""

    def __init__(self, inner: asyncio.Protocol, doorman: _Doorman) -> None:
        self._inner, self._doorman = inner, doorman
        self._transport: asyncio.Transport | None = None
        self.data_received = inner.data_received  # type: ignore[method-assign]  # no detour for what is frequent
        self.eof_received = inner.eof_received  # type: ignore[method-assign]
        self.pause_writing = inner.pause_writing  # type: ignore[method-assign]
        self.resume_writing = inner.resume_writing  # type: ignore[method-assign]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._doorman.entered(self)
        self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._doorman.left(self)
        self._inner.connection_lost(exc)

    def end(self) -> None:
        """Cut it; whoever still reads an answer of ours is slower than any probe."""
        self._doorman.left(self)
        if self._transport is not None:
            self._transport.abort()

"""A TCP proxy that can be a bad network, and for PostgreSQL a bad pooler. [E]"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import deque
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from tests.chaos.stage.postgres_wire import Conversation, simple_query

END = b""  # a FIN, in the row of bytes


@dataclass(slots=True)
class _Weather:
    """How one direction fares, for every connection."""

    cut: bool = False
    delay_seconds: float = 0.0


class Proxy:
    """async with Proxy("127.0.0.1", 5432) as proxy: forwards bytes until told otherwise. up: client to server.

    To a PostgreSQL client it is transparent: startup pid, keys and all pass as they are.
    """

    def __init__(self, target_host: str, target_port: int) -> None:
        self.target = (target_host, target_port)
        self.port = 0
        self.up, self.down = _Weather(), _Weather()
        self.links: list[_Link] = []  # oldest first

    async def __aenter__(self) -> Proxy:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Link(self).client, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        self.reset()
        await asyncio.sleep(0)  # aborted sockets are closed by the next round of the loop
        await self._server.wait_closed()

    def url_for(self, url: str) -> str:
        """The same postgresql:// or http:// address through this proxy."""
        parts = urlsplit(url)
        user, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{user}{at}127.0.0.1:{self.port}"))

    def cut(self, up: bool = True, down: bool = True) -> None:
        """Silently swallow in the named directions; sockets stay open and what is sent to us is acknowledged.

        New connections are accepted and hang, whichever direction is cut: without both there is no handshake.
        """
        self.up.cut, self.down.cut = self.up.cut or up, self.down.cut or down

    @property
    def is_cut(self) -> bool:
        return self.up.cut or self.down.cut

    def heal(self) -> None:
        """End every cut and delay. A connection that lost anything, even its end, is reset; the others go on."""
        self.up.cut = self.down.cut = False
        self.delay()
        for link in list(self.links):
            if link.lossy:
                link.reset()

    def reset(self) -> None:
        """Close every connection with RST, both sides."""
        for link in list(self.links):
            link.reset()

    def retarget(self, host: str, port: int) -> None:
        """Where new connections lead."""
        self.target = (host, port)

    def delay(self, up: float = 0.0, down: float = 0.0) -> None:
        """Bytes that arrive from now on leave so many seconds later, in order."""
        self.up.delay_seconds, self.down.delay_seconds = up, down

    async def inject(self, query: str, *, application_name_prefix: str, timeout: float = 5.0) -> bool:
        """Play a bad pooler: run the query, unseen, in the newest session whose application_name begins so.

        Waits at most timeout seconds for a moment when the session is idle outside a transaction. False when there is
        no such session, it was not idle in time, it ended, or the server answered with an error.
        """
        for link in reversed(self.links):
            if link.talk.application_name.startswith(application_name_prefix) and not link.lossy:
                return await link.inject(query, timeout)
        return False


class _Link:
    """One connection: its client, its server once connected, and what was lost between them."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.talk = Conversation()
        self.lossy = False
        self.client, self.server = _Side(self), _Side(self)
        self.client.flow = _Flow(self, self.server, proxy.up)
        self.server.flow = _Flow(self, self.client, proxy.down)
        self._wanted: deque[tuple[bytes, asyncio.Future[bool]]] = deque()
        self._connecting: asyncio.Task[None] | None = None

    def accepted(self) -> None:
        self.proxy.links.append(self)
        if self.proxy.is_cut:
            self.lossy = True
        else:
            assert self.client.transport is not None
            self.client.transport.pause_reading()
            self._connecting = asyncio.create_task(self._connect())

    def said(self, side: _Side, data: bytes) -> None:
        """Bytes, or END, came in at one side."""
        if side.unheard:
            self.lossy = True
            return
        ours = False
        if side is self.client:
            self.talk.hear_client(data)
        elif data != END:
            data = self.talk.hear_server(data)
            ours = not data
        if not ours:
            side.flow.carry(data)
        self._inject_if_idle()

    def lost(self, side: _Side, error: Exception | None) -> None:
        """A socket is gone. Only a cut hides that from the other side."""
        if self not in self.proxy.links:
            return
        if side.unheard:
            self.lossy = True
        elif error is not None:
            self.reset()
        else:
            self.close()

    def close(self) -> None:
        self._forget()
        for side in (self.client, self.server):
            if side.transport is not None:
                side.transport.close()

    def reset(self) -> None:
        self._forget()
        for side in (self.client, self.server):
            if side.transport is not None and not side.transport.is_closing():
                _linger_not(side.transport)
                side.transport.abort()

    async def inject(self, query: str, timeout: float) -> bool:
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._wanted.append((simple_query(query), done))
        self._inject_if_idle()
        try:
            async with asyncio.timeout(timeout):
                return await done
        except TimeoutError:
            return False

    def _inject_if_idle(self) -> None:
        while self._wanted and self._wanted[0][1].done():  # nobody waits for it any more
            self._wanted.popleft()
        if self._wanted and self.talk.idle and self.server.transport is not None:
            query, done = self._wanted.popleft()
            self.talk.swallow_reply(lambda clean: _settle(done, clean))
            self.server.transport.write(query)

    async def _connect(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: self.server, *self.proxy.target)
        except OSError:
            self.reset()
            return
        if self.client.transport is not None and not self.client.transport.is_closing():
            self.client.transport.resume_reading()
        else:
            self.close()

    def _forget(self) -> None:
        if self._connecting is not None and self._connecting is not asyncio.current_task():
            self._connecting.cancel()
        if self in self.proxy.links:
            self.proxy.links.remove(self)
        for _, done in self._wanted:
            _settle(done, False)
        self.talk.end()


class _Side(asyncio.Protocol):
    """One socket of a link. flow: where what it says goes."""

    flow: _Flow

    def __init__(self, link: _Link) -> None:
        self.link = link
        self.transport: asyncio.Transport | None = None

    @property
    def unheard(self) -> bool:
        """Whether what it says goes nowhere: that way is cut, or was when it came."""
        return self.flow.weather.cut or self.flow.target.transport is None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self is self.link.client:
            self.link.accepted()

    def data_received(self, data: bytes) -> None:
        self.link.said(self, data)

    def eof_received(self) -> bool:
        self.link.said(self, END)
        return True  # the other direction may go on

    def connection_lost(self, exc: Exception | None) -> None:
        self.link.lost(self, exc)

    def pause_writing(self) -> None:
        """It takes no more: the other one, whose bytes they are, must wait."""
        if (source := self.flow.target.transport) is not None and not source.is_closing():
            source.pause_reading()

    def resume_writing(self) -> None:
        if (source := self.flow.target.transport) is not None and not source.is_closing():
            source.resume_reading()


class _Flow:
    """One direction of one link: bytes on their way."""

    def __init__(self, link: _Link, target: _Side, weather: _Weather) -> None:
        self.link, self.target, self.weather = link, target, weather
        self.ended = False
        self._under_way: deque[tuple[float, bytes]] = deque()

    def carry(self, data: bytes) -> None:
        if not self._under_way and not self.weather.delay_seconds:
            self._deliver(data)
            return
        loop = asyncio.get_running_loop()
        earliest = self._under_way[-1][0] if self._under_way else 0.0
        due = max(earliest, loop.time() + self.weather.delay_seconds)
        self._under_way.append((due, data))
        loop.call_at(due, self._arrive)

    def _arrive(self) -> None:
        if self._under_way:
            self._deliver(self._under_way.popleft()[1])

    def _deliver(self, data: bytes) -> None:
        transport = self.target.transport
        if self.weather.cut or transport is None:
            self.link.lossy = True
        elif data and not transport.is_closing():
            transport.write(data)
        elif not data:
            self.ended = True
            if self.target.flow.ended:
                self.link.close()
            elif not transport.is_closing():
                with contextlib.suppress(OSError):  # the other side has just reset
                    transport.write_eof()


def _linger_not(transport: asyncio.Transport) -> None:
    """Let the close be an RST instead of a FIN."""
    with contextlib.suppress(OSError):
        sock: socket.socket = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _settle(done: asyncio.Future[bool], answer: bool) -> None:
    if not done.done():
        done.set_result(answer)

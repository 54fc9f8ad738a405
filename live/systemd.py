"""What systemd is told over its socket (sd_notify): ready, alive, stopping, and one line of status. [E]

Silent where nobody listens. Nothing here can hold the worker up or end it: a message that cannot be sent is lost, and
systemd's own patience decides. The variables are systemd's: they are no settings of this program.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Iterator, Mapping

from prodsafe.output import mask

_BEATS = 3  # WATCHDOG=1 is said so often within systemd's patience: one may come late
_LONGEST_STATUS = 200


class Systemd:
    """address: of the datagram socket, abstract with an @ before it; None tells nobody.

    watchdog_seconds: the process is killed when it has not been alive for so long; None when it is not watched.
    """

    def __init__(self, address: str | None = None, *, watchdog_seconds: float | None = None) -> None:
        self._address = None if address is None else "\0" + address[1:] if address.startswith("@") else address
        self._watchdog_seconds = watchdog_seconds
        self._next: asyncio.TimerHandle | None = None
        self._socket = None if address is None else socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    @classmethod
    def of(cls, source: Mapping[str, str]) -> Systemd:
        """As NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID of an environment say; what is not theirs is ignored."""
        address, usec = source.get("NOTIFY_SOCKET", ""), source.get("WATCHDOG_USEC", "")
        ours = source.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        watched = ours and usec.isascii() and usec.isdigit() and int(usec) > 0
        return cls(
            address if address[:1] in ("/", "@") and len(address) > 1 else None,
            watchdog_seconds=int(usec) / 1e6 if watched else None,
        )

    def standing_by(self, words: str) -> None:
        """A standby has started up: it does what it is there for, and may do so for long."""
        self._tell("READY=1", _status(f"standby: {words}"), "WATCHDOG=1")

    def trading(self, words: str) -> None:
        self._tell("READY=1", _status(words))

    def doing(self, words: str) -> None:
        self._tell(_status(words))

    def stopping(self, seconds: float) -> None:
        """seconds: how long the stop may take; systemd waits for it where its own bound is shorter."""
        self._tell("STOPPING=1", _status("draining: no new entries"), f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}")

    @contextlib.contextmanager
    def watching(self, may_act: Callable[[], bool]) -> Iterator[None]:
        """Inside the block systemd hears that this loop turns; nothing while it stands still, or may not act."""
        if self._watchdog_seconds is not None:
            self._beat(asyncio.get_running_loop(), may_act, self._watchdog_seconds / _BEATS)
        try:
            yield
        finally:
            if self._next is not None:
                self._next.cancel()

    def _beat(self, loop: asyncio.AbstractEventLoop, may_act: Callable[[], bool], pause_seconds: float) -> None:
        if may_act():
            self._tell("WATCHDOG=1")
        self._next = loop.call_later(pause_seconds, self._beat, loop, may_act, pause_seconds)

    def _tell(self, *lines: str) -> None:
        if self._socket is None or self._address is None:
            return
        # a full or a missing socket must not hold up who has positions to look after
        with contextlib.suppress(OSError):
            self._socket.sendto("\n".join(lines).encode(errors="replace"), socket.MSG_DONTWAIT, self._address)


def _status(words: str) -> str:
    return "STATUS=" + mask(" ".join(words.split()))[:_LONGEST_STATUS]

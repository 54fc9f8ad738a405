"""What can be known of a PostgreSQL session by listening to both directions of its bytes. [P]"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

SSL_REQUEST, GSS_REQUEST, PROTOCOL_3 = 80877103, 80877104, 196608
LONGEST_STARTUP = 10_000  # bytes; the server's own limit
ANSWERED_BY_READY = frozenset(b"QSF")  # Query, Sync, FunctionCall
UNTIL_SYNC = frozenset(b"PBDECH")  # the extended protocol's steps: the server is ours again only after a Sync
TERMINATE, READY, ERROR = ord("X"), ord("Z"), ord("E")
IDLE_STATUS = b"I"  # outside a transaction block


class Stage(Enum):
    STARTUP = auto()  # the client's next message has no type byte
    NEGOTIATING = auto()  # the server owes one byte: encryption or not
    LOGIN = auto()
    SESSION = auto()
    OPAQUE = auto()  # encrypted, a cancel request, or not PostgreSQL at all


class Conversation:
    """Feed it all bytes of one connection, in the order in which they pass, in pieces of any size."""

    def __init__(self) -> None:
        self.application_name = ""
        self.stage = Stage.STARTUP
        self._up, self._down = bytearray(), bytearray()  # the beginnings of incomplete messages
        self._ready_owed = 1
        self._status = b""
        self._unsynced = self._said_goodbye = False
        self._swallowed_until: Callable[[bool], None] | None = None
        self._swallowed_error = False

    @property
    def idle(self) -> bool:
        """The server waits for a query, outside a transaction, and the client has said nothing since."""
        silent = not (self._up or self._down or self._unsynced or self._said_goodbye or self._swallowed_until)
        return self.stage is Stage.SESSION and silent and self._ready_owed == 0 and self._status == IDLE_STATUS

    def swallow_reply(self, done: Callable[[bool], None]) -> None:
        """From now on the server's messages up to the next ReadyForQuery are not the client's; call when idle.

        done: is told then whether the reply was free of errors.
        """
        self._swallowed_until, self._swallowed_error = done, False

    def end(self) -> None:
        """The connection is gone: a reply that was being swallowed will not come."""
        if self._swallowed_until is not None:
            self._swallowed_until(False)

    def hear_client(self, data: bytes) -> None:
        self._up += data
        while self.stage not in (Stage.NEGOTIATING, Stage.OPAQUE):
            if self.stage is Stage.STARTUP:
                startup = _cut(self._up, typed=False)
                if startup is None:
                    break
                self._hear_startup(startup)
            elif message := _cut(self._up):
                self._hear_request(message[0])
            else:
                break
        if self.stage is Stage.STARTUP and len(self._up) >= 4 and _length(self._up) > LONGEST_STARTUP:
            self.stage = Stage.OPAQUE
        if self.stage is Stage.OPAQUE:
            self._up.clear()

    def hear_server(self, data: bytes) -> bytes:
        """What of it is for the client: everything, but for a reply that is swallowed."""
        if self.stage is Stage.NEGOTIATING and data:
            return self._hear_negotiated(data)
        if self.stage in (Stage.STARTUP, Stage.OPAQUE):
            return data
        swallowing = self._swallowed_until is not None
        self._down += data
        kept = bytearray()
        while message := _cut(self._down):
            if not self._swallow(message):
                self._hear_answer(message)
                kept += message
        if not swallowing:
            return data
        # the beginning of a message behind the swallowed ones is the client's at once, as it always is
        return bytes(kept) if self._swallowed_until else bytes(kept + self._down)

    def _hear_startup(self, message: bytes) -> None:
        code = int.from_bytes(message[4:8], "big")
        if code in (SSL_REQUEST, GSS_REQUEST):
            self.stage = Stage.NEGOTIATING
        elif code >> 16 == PROTOCOL_3 >> 16:
            words = message[8:].split(b"\0")
            given = dict(zip(words[::2], words[1::2], strict=False))
            self.application_name = given.get(b"application_name", b"").decode(errors="replace")
            self.stage = Stage.LOGIN
        else:
            self.stage = Stage.OPAQUE

    def _hear_negotiated(self, data: bytes) -> bytes:
        self.stage = Stage.STARTUP if data[:1] == b"N" else Stage.OPAQUE
        return data[:1] + self.hear_server(data[1:])

    def _hear_request(self, kind: int) -> None:
        if self.stage is Stage.LOGIN:  # passwords; the login ends with a ReadyForQuery that nobody asks for
            return
        self._said_goodbye = self._said_goodbye or kind == TERMINATE
        if kind in ANSWERED_BY_READY:
            self._ready_owed += 1
            self._unsynced = False
        elif kind in UNTIL_SYNC:
            self._unsynced = True

    def _hear_answer(self, message: bytes) -> None:
        if message[0] == READY:
            self.stage = Stage.SESSION
            self._ready_owed -= 1
            self._status = message[5:6]

    def _swallow(self, message: bytes) -> bool:
        """True when the message belongs to a reply that is not the client's."""
        done = self._swallowed_until
        if done is None:
            return False
        self._swallowed_error = self._swallowed_error or message[0] == ERROR
        if message[0] == READY:
            self._swallowed_until = None
            self._status = message[5:6]
            done(not self._swallowed_error)
        return True


def simple_query(text: str) -> bytes:
    body = text.encode() + b"\0"
    return b"Q" + (len(body) + 4).to_bytes(4, "big") + body


def _cut(buffer: bytearray, *, typed: bool = True) -> bytes | None:
    """Take the first message, with its head, off the buffer; None while it is incomplete."""
    head = 1 if typed else 0
    if len(buffer) < head + 4:
        return None
    end = head + max(4, _length(buffer, head))
    if len(buffer) < end:
        return None
    message = bytes(buffer[:end])
    del buffer[:end]
    return message


def _length(buffer: bytearray, start: int = 0) -> int:
    return int.from_bytes(buffer[start : start + 4], "big")

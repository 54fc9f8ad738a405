"""The operators' commands as a person at a terminal meets them: real processes under a pseudo-terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import psycopg
import pytest

from live import latch
from prodsafe.errors import ExitCode
from prodsafe.lease import account_scope, acquire

SCOPE = account_scope("krakenfutures", "desk", "test")
SECRET = "sup3r-l0ng-s3cret-of-the-exchange"
_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def _as_at_a_keyboard() -> None:
    """Ctrl-C reaches the child, also where these tests run in a background job, which ignores it."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Terminal:
    """One command under a terminal of so many columns. seen: everything that it wrote."""

    def __init__(self, words: tuple[str, ...], env: dict[str, str], columns: int) -> None:
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        self.seen = ""
        self._master = master
        self._process = subprocess.Popen(
            [sys.executable, "-m", "live", *words],
            env=env,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=_as_at_a_keyboard,
        )
        os.close(slave)

    def until(self, words: str, *, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while words not in self.text():
            assert time.monotonic() < deadline, f"{words!r} never came: {self.seen!r}"
            self._read(0.1)

    def forget(self) -> None:
        self.seen = ""

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def end(self, *, seconds: float = 30) -> int:
        deadline = time.monotonic() + seconds
        while self._read(seconds):
            assert time.monotonic() < deadline, f"it goes on and on: {self.seen[-500:]!r}"
        return self._process.wait(30)

    def text(self) -> str:
        return _SEQUENCE.sub("", self.seen)

    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.text().splitlines()]

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._master)

    def _read(self, seconds: float) -> bool:
        if not select.select([self._master], [], [], seconds)[0]:
            return False
        try:
            piece = os.read(self._master, 65536).decode()
        except OSError:  # Linux says so when the other end has gone
            return False
        self.seen += piece
        return bool(piece)


Open = Callable[..., Terminal]


@pytest.fixture
def terminal(database_url: str) -> Iterator[Open]:
    """terminal("status", columns=80): the command starts; the account has been held once."""
    with acquire(database_url, [SCOPE], exit_on_loss=False) as lease:
        lease.activate()
    started: list[Terminal] = []

    def start(*words: str, columns: int = 80, **variables: str) -> Terminal:
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        env = {**kept, "DATABASE_URL": database_url, "TERM": "xterm-256color", "LANG": "C.UTF-8", **variables}
        started.append(Terminal(words, env, columns))
        return started[-1]

    yield start
    for each in started:
        each.close()


def halted(url: str, reason: str = "news", who: str = "ann@box") -> None:
    with psycopg.connect(url) as connection:
        latch.set_halt(connection, SCOPE, reason=reason, who=who)


def is_halted(url: str) -> bool:
    with psycopg.connect(url) as connection:
        return latch.read(connection, SCOPE).halted


def test_status_is_coloured_and_wrapped_to_the_terminal(terminal: Open, database_url: str) -> None:
    halted(database_url, "a reason of many words " * 8)

    narrow = terminal("status", columns=60)
    code = narrow.end()

    assert code == ExitCode.REFUSED
    assert "\x1b[" in narrow.seen and "NO WORKER" in narrow.text()
    assert max(len(line) for line in narrow.lines()) <= 60
    assert any(line.startswith("halt        HALTED by ann@box") for line in narrow.lines())


def test_no_color_is_honoured(terminal: Open) -> None:
    plain = terminal("status", NO_COLOR="1")

    plain.end()

    assert "NO WORKER" in plain.text()
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", plain.seen)


def test_a_secret_in_a_recorded_reason_is_masked_though_the_terminal_breaks_it_over_lines(
    terminal: Open, database_url: str
) -> None:
    halted(database_url, f"typed {SECRET} by mistake")

    shown = terminal("status", columns=30, EXCHANGE_API_SECRET=SECRET)
    shown.end()

    joined = "".join(line.strip() for line in shown.lines())
    assert "***" in joined
    assert SECRET[:12] not in joined


def test_a_watch_redraws_in_place_shows_what_changes_and_ends_with_ctrl_c_as_a_success(
    terminal: Open, database_url: str
) -> None:
    watching = terminal("status", "--watch", "0.2")
    watching.until("Ctrl-C ends")
    halted(database_url, "while it watched")
    watching.until("while it watched")

    watching.type("\x03")

    assert watching.end() == ExitCode.OK
    assert "\x1b[1A" in watching.seen
    assert "Traceback" not in watching.text()


def test_a_watch_shows_that_the_database_does_not_answer_and_nothing_old_beside_it(
    terminal: Open, database_url: str
) -> None:
    watching = terminal("status", "--watch", "0.2")
    watching.until("NO WORKER")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE live.event RENAME TO event_away")
        watching.until("R22 store-unreadable")
        watching.until("python migrate_schema.py")
        watching.forget()
        connection.execute("ALTER TABLE live.event_away RENAME TO event")
    watching.until("NO WORKER")

    watching.type("\x03")

    assert watching.end() == ExitCode.OK


@pytest.mark.parametrize(("answer", "code", "stays"), [("y\n", 0, False), ("\n", 1, True), ("\x04", 1, True)])
def test_resume_shows_the_halt_and_clears_it_only_for_a_yes(
    terminal: Open, database_url: str, answer: str, code: int, stays: bool
) -> None:
    halted(database_url)

    resuming = terminal("resume", "--reason", "looked")
    resuming.until("let it enter again? [y/N]")
    resuming.type(answer)

    assert resuming.end() == code
    assert "was halted by ann@box" in resuming.text()
    assert ("H26 resume-not-confirmed" in resuming.text()) is stays
    assert is_halted(database_url) is stays


def test_halt_asks_why_where_no_reason_was_given_and_nothing_else(terminal: Open, database_url: str) -> None:
    halting = terminal("halt")
    halting.until("why halt?")
    halting.type(f"news at {datetime.now(UTC):%H:%M}\n")

    assert halting.end() == ExitCode.OK
    assert "halted" in halting.text() and is_halted(database_url)


def test_a_halt_without_a_word_is_wrong_usage(terminal: Open, database_url: str) -> None:
    halting = terminal("halt")
    halting.until("why halt?")
    halting.type("\n")

    assert halting.end() == ExitCode.USAGE
    assert not is_halted(database_url)

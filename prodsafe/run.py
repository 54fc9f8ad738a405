"""`prodsafe run`: any program as a child under the gates, the schema check and the lease. [S]

The child cannot ask for permits, so it is stopped before its lease can end: asked at 70 % of the lease's length after
the last good beat, killed at 90 %. The watch (keeper.py) does the same when this process is the one that hangs or dies.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from prodsafe.environment import Environment
from prodsafe.errors import ExitCode, LeaseLost, RefusalKind
from prodsafe.gates import Gate, Surroundings
from prodsafe.keeper import end_marked, take_terminal
from prodsafe.lease_model import LeaseTiming, Waiting
from prodsafe.output import say_error
from prodsafe.preflight import preflight

if TYPE_CHECKING:
    from prodsafe.lease import Lease
    from prodsafe.migrations import MigrationSet

STOPPED_EARLY = RefusalKind("L12", "child-stopped", ExitCode.LEASE_LOST)

ASK_AT, KILL_AT = 0.7, 0.9  # of the lease's length, counted from the sending of the last good beat
LOOK_SECONDS = 0.05
EMPTY_SECONDS = 1.0
_KEEPER = [sys.executable, "-IS", str(Path(__file__).with_name("keeper.py"))]
_PASSED_ON = [
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGWINCH")
    if hasattr(signal, name)
]


def run_under_lease(
    environ: Mapping[str, str],
    env: Environment,
    surroundings: Surroundings,
    command: Sequence[str],
    *,
    scope: str,
    gates: Sequence[Gate] = (),
    force: bool = False,
    sets: Sequence[MigrationSet] = (),
    timing: LeaseTiming = LeaseTiming(),  # noqa: B008 - frozen
) -> int:
    """The command's exit code (128 + n when signal n ended it), or 5 when it was stopped because the lease ended.

    sets: the command's own migrations, which must be applied, and whose contract files wait while it does not know
    them; without any, every contract file in this database waits until the command has ended.
    Raises what preflight raises; nothing was started then. SIGTERM while standing by ends with exit code 0.
    """
    _open_standard_streams()
    signals = PassedOnSignals()
    with (
        signals,
        preflight(
            env,
            surroundings,
            [scope],
            gates=gates,
            force=force,
            sets=sets,
            timing=timing,
            version=f"prodsafe run {Path(command[0]).name}",
            on_wait=_tell_waiting,
            exit_on_loss=False,  # the child must be gone first
        ) as lease,
    ):
        return _run_child(lease, command, {**environ, **token_variables(lease)}, signals)


def token_variables(lease: Lease) -> dict[str, str]:
    """What the child writes beside its rows in fenced tables."""
    return {
        "PRODSAFE_SCOPE": lease.scope,
        "PRODSAFE_EPOCH": str(lease.token.epoch),
        "PRODSAFE_HOLDER": str(lease.token.holder),
    }


def _open_standard_streams() -> None:
    """Whoever starts us with a stream closed must not find the lock connection, or our pipes, in its place."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def _tell_waiting(waiting: Waiting) -> None:
    say_error(f"prodsafe: {waiting.as_text()}")


def _run_child(lease: Lease, command: Sequence[str], environ: Mapping[str, str], signals: PassedOnSignals) -> int:
    lease.activate()
    signals.hold_back()
    holder = str(lease.token.holder)
    with Watch(holder, environ) as watch:
        child = subprocess.Popen([*_KEEPER, "launch", str(os.getpid()), *command], env=dict(environ), process_group=0)
        try:
            watch.grant(child.pid, _seconds_until_kill(lease))
            signals.pass_to(child)
            stopped = _stand_guard(lease, child, watch)
        finally:
            left_nothing = _end_group(child)
            left_nothing &= end_marked(holder)
            take_terminal(child.pid)
    if child.returncode < 0 or not left_nothing:
        lease.abandon()  # what a killed program had on its way is in doubt: the successor waits the grace
    if stopped is not None:
        raise LeaseLost(
            STOPPED_EARLY.because(
                f"{stopped}; {Path(command[0]).name} was stopped before its lease could end",
                seen=lease.scope,
                mend="start it again; if it comes back, look at the database's and this machine's load",
            )
        )
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def _stand_guard(lease: Lease, child: subprocess.Popen[bytes], watch: Watch) -> str | None:
    """Wait for the child; why it was stopped, None when it ended by itself."""
    stopped: str | None = None
    kill_at = 0.0
    while not _has_ended(child):
        if stopped is not None:
            if _seconds_until_kill(lease) <= 0 or time.monotonic() >= kill_at:
                _signal_group(child, signal.SIGKILL)
        elif (stopped := _why_stop(lease, watch)) is None:
            watch.grant(child.pid, _seconds_until_kill(lease))
        else:
            kill_at = time.monotonic() + (KILL_AT - ASK_AT) * lease.timing.length_seconds
            _signal_group(child, signal.SIGTERM)
    return stopped or _why_ended(lease, child, watch)


def _has_ended(child: subprocess.Popen[bytes]) -> bool:
    try:
        child.wait(LOOK_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True


def _why_stop(lease: Lease, watch: Watch) -> str | None:
    if not lease.is_fresh:
        return "the lease was lost"
    if lease.seconds_since_beat >= ASK_AT * lease.timing.length_seconds:
        return f"no good beat for {lease.seconds_since_beat:.1f} s"
    if not watch.is_alive:
        return "the watch, which would end it should this process freeze, is gone"
    return None


def _why_ended(lease: Lease, child: subprocess.Popen[bytes], watch: Watch) -> str | None:
    """Why a child that nobody here has asked to stop ended all the same; None when it did so by itself."""
    if child.returncode == -signal.SIGKILL and watch.has_stepped_in():
        return "this process was frozen for so long that the watch stepped in"
    return None if lease.is_fresh else "the lease was lost"


def _seconds_until_kill(lease: Lease) -> float:
    return max(0.0, KILL_AT * lease.timing.length_seconds - lease.seconds_since_beat)


def _signal_group(child: subprocess.Popen[bytes], number: int) -> bool:
    """False when nothing is left of the child's process group."""
    try:
        os.killpg(child.pid, number)
    except (ProcessLookupError, PermissionError):  # macOS refuses when only zombies are left
        return False
    return True


def _end_group(child: subprocess.Popen[bytes]) -> bool:
    """Kill what is left of the child's group and wait for its end; True when nothing was left."""
    left = _signal_group(child, signal.SIGKILL)
    child.wait()
    ends_at = time.monotonic() + EMPTY_SECONDS
    while _signal_group(child, 0) and time.monotonic() < ends_at:
        with contextlib.suppress(ChildProcessError):  # as process 1 of a container we inherit the orphans
            os.waitpid(-child.pid, os.WNOHANG)
        time.sleep(LOOK_SECONDS / 10)
    return not left


class Watch:
    """The second process that kills all that bears the holder's name when this one is killed or frozen."""

    def __init__(self, holder: str, environ: Mapping[str, str]) -> None:
        self._holder = holder
        self._environ = {name: text for name, text in environ.items() if name != "PRODSAFE_HOLDER"}  # it is not marked
        self._listens = True

    def __enter__(self) -> Watch:
        read_end, self._words = os.pipe()
        os.set_blocking(self._words, False)  # a frozen watch must not freeze the guard
        try:
            self._process = subprocess.Popen(
                [*_KEEPER, "watch", str(read_end), self._holder],
                env=self._environ,
                pass_fds=[read_end],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # what a terminal sends to its group is not for the watch
            )
        finally:
            os.close(read_end)
        return self

    def __exit__(self, *_: object) -> None:
        self._say(b"0 0\n")
        os.close(self._words)
        try:
            self._process.wait(EMPTY_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def is_alive(self) -> bool:
        return self._listens and self._process.poll() is None

    def has_stepped_in(self) -> bool:
        """Whether it has killed, after which it ends by itself within milliseconds."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(EMPTY_SECONDS)
        return not self.is_alive

    def grant(self, group: int, seconds: float) -> None:
        """Kill the group after so many seconds, unless more is granted before."""
        self._say(f"{group} {seconds:.3f}\n".encode())

    def _say(self, words: bytes) -> None:
        try:
            os.write(self._words, words)
        except (BrokenPipeError, BlockingIOError):  # gone, or frozen until the pipe was full: is_alive tells of it
            self._listens = False


class PassedOnSignals:
    """Signals sent to this process go to the child; one that comes while nothing has started yet ends the boot."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._held_back: list[int] | None = None

    def __enter__(self) -> PassedOnSignals:
        heard = [number for number in _PASSED_ON if signal.getsignal(number) is not signal.SIG_IGN]  # nohup stays nohup
        self._before = {number: signal.signal(number, self._arrived) for number in heard}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def hold_back(self) -> None:
        """From now on a child may exist that must not be forgotten: keep what arrives for it."""
        self._held_back = []

    def pass_to(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child
        for number in self._held_back or []:
            child.send_signal(number)

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        if self._child is not None:
            self._child.send_signal(number)
        elif self._held_back is not None:
            self._held_back.append(number)
        elif number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            raise SystemExit(ExitCode.OK)

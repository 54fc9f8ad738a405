"""Two small programs between `prodsafe run` and its child: one starts it, one kills it when the guard falls silent. [E]

Run as a script, with the standard library only, so that each costs a few milliseconds. The guard may be killed or
frozen at any moment: Linux ends the child with the guard (PR_SET_PDEATHSIG); the watch does so on every system, for a
frozen guard too, and for what the child has started.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1
NOT_FOUND, NOT_RUNNABLE = 127, 126  # as a shell says it of a command that is not there, or is no program
SWEEP_SECONDS, SWEEP_NAP_SECONDS = 1.0, 0.005


def launch(guard_pid: int, command: Sequence[str]) -> int:
    """Become `command`, in the foreground of the terminal if there is one, and die with the guard."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != guard_pid:  # the guard died before we asked to die with it
        return NOT_FOUND
    if take_terminal(os.getpgid(guard_pid)):  # a guard in the background leaves the terminal alone
        signal.signal(signal.SIGTSTP, signal.SIG_IGN)  # no shell could wake what Ctrl-Z stops here, lease and all
    for name in ("SIGPIPE", "SIGXFSZ"):  # Python ignores these, and what is ignored stays so in the command
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    try:
        os.execvp(command[0], list(command))
    except OSError as error:
        print(f"cannot start {command[0]}: {error.strerror}", file=sys.stderr)
        return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_RUNNABLE


def take_terminal(owner: int) -> bool:
    """Make our process group the one that reads from the terminal, if `owner` is now; False when it is not, or when
    stdin is no terminal."""
    with contextlib.suppress(OSError):
        if os.isatty(0) and os.tcgetpgrp(0) == owner:
            before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # a background group may not ask for it otherwise
            os.tcsetpgrp(0, os.getpgrp())
            signal.signal(signal.SIGTTOU, before)
            return True
    return False


def watch(words: int, holder: str) -> int:
    """Kill the child's process group, and what else of it is found, when the time that the guard last granted is over,
    or the guard is gone.

    words: a pipe of lines "GROUP SECONDS": from now on kill GROUP after so many seconds; "0 0" ends the watch.
    """
    group, ends_at, unread = 0, float("inf"), b""
    while True:
        # short naps, because a wait does not count the time that the machine is suspended
        ready, _, _ = select.select([words], [], [], max(0.0, min(ends_at - now(), 0.1)))
        if ready:
            received = os.read(words, 4096)
            *lines, unread = (unread + received).split(b"\n")
            for line in lines:
                group, seconds = int(line.split()[0]), float(line.split()[1])
                ends_at = now() + seconds
                if group == 0:
                    return 0
            if not received:
                ends_at = 0.0
        if now() >= ends_at:
            with contextlib.suppress(ProcessLookupError):
                if group:
                    os.killpg(group, signal.SIGKILL)
            end_marked(holder)
            return 1


def end_marked(holder: str) -> bool:
    """Kill every process that has this holder in its environment, wherever it went; True when there was none.

    Whoever forks while we look is found by the next look. Only Linux shows environments; elsewhere none is found.
    """
    found_none = True
    gives_up_at = time.monotonic() + SWEEP_SECONDS
    while (marked := _marked(holder)) and time.monotonic() < gives_up_at:
        found_none = False
        for pid in marked:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(SWEEP_NAP_SECONDS)
    return found_none


def _marked(holder: str) -> list[int]:
    """Zombies have no environment, and of other users' processes it cannot be read unless we are root."""
    from pathlib import Path  # only now: the keeper itself must start fast

    mark = f"PRODSAFE_HOLDER={holder}".encode()
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ") if sys.platform == "linux" else ():
        with contextlib.suppress(OSError):  # gone, or somebody else's
            if mark in environment.read_bytes().split(b"\0"):
                found.append(int(environment.parent.name))
    return [pid for pid in found if pid != os.getpid()]


def now() -> float:
    """Seconds of a clock that runs while the machine is suspended, where there is one."""
    boottime: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)


if __name__ == "__main__":
    role, *rest = sys.argv[1:]
    sys.exit(launch(int(rest[0]), rest[1:]) if role == "launch" else watch(int(rest[0]), rest[1]))

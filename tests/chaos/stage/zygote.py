"""A fork server: imports the heavy modules once, then each process of a schedule costs milliseconds. [E]

The driver's half is asyncio. The server's half (`python -m tests.chaos.stage.zygote MODULE ...`) is one thread without
an event loop, since only that may be forked; they speak in JSON lines. Linux only.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import random
import select
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[3]
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
UNCAUGHT = 70
END_SECONDS = 5.0
OUR_HANDLERS = (signal.SIGCHLD, signal.SIGTERM)

Job = dict[str, Any]


class ZygoteEnded(RuntimeError):
    """The fork server is gone, and with it every child."""


class Child:
    """One forked process. The methods that send a signal return at once and do nothing when it has ended.

    returncode: None while it lives; negative for the signal that ended it.
    stopped: it stands still by SIGSTOP, whoever sent it, as far as the kernel has told the zygote.
    """

    def __init__(self, pid: int, log: Path) -> None:
        self.pid = pid
        self.log = log
        self.returncode: int | None = None
        self.stopped = False
        self._changed = asyncio.Event()
        self._lost = False
        self._pidfd: int | None = None
        with contextlib.suppress(ProcessLookupError):  # over already: its report is on the way
            self._pidfd = os.pidfd_open(pid)

    async def wait(self, timeout: float | None = None) -> int:
        """The return code. Raises TimeoutError after so many seconds, ZygoteEnded when the zygote died first."""
        await self._until(lambda: self.returncode is not None, timeout)
        assert self.returncode is not None
        return self.returncode

    async def wait_stopped(self, timeout: float | None = None) -> bool:
        """True once the process stands still, by our SIGSTOP or its own; False when it ended. Raises as wait()."""
        await self._until(lambda: self.stopped or self.returncode is not None, timeout)
        return self.returncode is None

    def kill(self) -> None:
        self.send(signal.SIGKILL)

    def stop(self) -> None:
        """Freeze it."""
        self.send(signal.SIGSTOP)

    def resume(self) -> None:
        self.send(signal.SIGCONT)

    def terminate(self) -> None:
        self.send(signal.SIGTERM)

    def send(self, number: signal.Signals) -> None:
        if self._pidfd is not None:  # a pid may be another's by now, a pidfd never
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    async def _until(self, reached: Callable[[], bool], timeout: float | None) -> None:
        async with asyncio.timeout(timeout):
            while not reached():
                if self._lost:
                    raise ZygoteEnded(f"the zygote died; its child {self.pid} with it")
                self._changed.clear()
                await self._changed.wait()

    def _report(self, *, returncode: int | None = None, stopped: bool = False, lost: bool = False) -> None:
        self.returncode, self.stopped, self._lost = returncode, stopped, lost
        if (returncode is not None or lost) and self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None
        self._changed.set()


class Zygote:
    """async with Zygote(["psycopg", ...]) as zygote: child = await zygote.start("module:function", {...}, ...)."""

    def __init__(self, preload: Sequence[str]) -> None:
        self._preload = preload
        self._children: dict[int, Child] = {}
        self._asked: dict[int, tuple[asyncio.Future[Child], Path]] = {}
        self._count = 0
        self._ready = asyncio.Event()
        self._ended = False

    async def __aenter__(self) -> Zygote:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", __name__, str(os.getpid()), *self._preload),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=PROJECT, process_group=0,
        )  # fmt: skip
        self._listening = asyncio.create_task(self._listen())
        await self._ready.wait()
        if self._ended:
            raise ZygoteEnded(f"the zygote could not start: exit code {await self._process.wait()}")
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Every child and what it left behind is killed."""
        commands = self._process.stdin
        assert commands is not None
        commands.close()  # the zygote's sign to end
        try:
            async with asyncio.timeout(END_SECONDS):
                await self._listening
        except TimeoutError:
            self._process.kill()  # its children die with it
            await self._listening
        await self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    async def start(self, entry: str, arguments: dict[str, Any], *, environ: Mapping[str, str], log: Path) -> Child:
        """Fork and call `module:function`(arguments) there; arguments must be JSON.

        New process group, stdin null, stdout and stderr appended to log, os.environ exactly `environ`. The function's
        int (None counts as 0) or its SystemExit is the exit code; an uncaught exception prints its trace and gives 70.
        """
        if self._ended:
            raise ZygoteEnded("the zygote has ended")
        log.touch()  # there for who looks at once, before the child has come so far
        self._count += 1
        started: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
        self._asked[self._count] = (started, log)
        job = {"id": self._count, "entry": entry, "arguments": arguments, "environ": dict(environ), "log": str(log)}
        commands = self._process.stdin
        assert commands is not None
        commands.write(json.dumps(job).encode() + b"\n")
        return await started

    async def _listen(self) -> None:
        """Until the zygote's end: tell each child what the kernel told the zygote."""
        reports = self._process.stdout
        assert reports is not None
        try:
            while line := await reports.readline():
                self._hear(json.loads(line))
        finally:
            self._ended = True
            self._ready.set()
            for started, _ in self._asked.values():
                if not started.done():
                    started.set_exception(ZygoteEnded("the zygote died before it could fork"))
            for child in self._children.values():
                child._report(lost=True)

    def _hear(self, report: dict[str, Any]) -> None:
        match report:
            case {"id": number, "pid": pid}:
                started, log = self._asked.pop(number)
                child = self._children[pid] = Child(pid, log)
                if not started.cancelled():
                    started.set_result(child)
            case {"pid": pid, "returncode": code}:
                self._children.pop(pid)._report(returncode=code)
            case {"pid": pid, "stopped": stopped}:
                self._children[pid]._report(stopped=stopped)
            case {"ready": _}:
                self._ready.set()


# --- the server's half ---------------------------------------------------------------------------------------------


def main(driver_pid: int, preload: Sequence[str]) -> int:
    reports = os.dup(1)
    os.dup2(2, 1)  # what a module prints while it is imported is no report
    die_with_parent(driver_pid, signal.SIGTERM)
    with warnings.catch_warnings():  # what they filter is theirs to filter again
        for module in preload:
            importlib.import_module(module)
    server = _Server(reports)
    try:
        job = server.serve()
    except BaseException:
        server.end_children()
        raise
    if job is None:
        server.end_children()
        return 0
    code = _run(job)
    # what a normal exit does, but for the taking apart of every module: that copies each page and takes 50 ms
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def die_with_parent(parent_pid: int, number: signal.Signals) -> None:
    """Have the kernel send us the signal when our parent's thread is gone."""
    _prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent_pid:  # it died before we asked
        os._exit(UNCAUGHT)


class _Server:
    """Forks what it is asked for and reports what becomes of it."""

    def __init__(self, reports: int) -> None:
        self._reports = reports
        self._children: set[int] = set()
        self._wakeup, self._tick = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        _prctl(PR_SET_CHILD_SUBREAPER, 1)  # so that a child's orphans are ours to end
        for number in OUR_HANDLERS:  # neither may interrupt anything: their numbers arrive through the wakeup
            signal.signal(number, lambda number, frame: None)
        signal.set_wakeup_fd(self._tick, warn_on_full_buffer=False)
        gc.collect()
        gc.freeze()  # the collector of a child would otherwise write to, and so copy, every page

    def serve(self) -> Job | None:
        """None when the driver wants no more or is dead; a job in the child that is to do it."""
        self._report(ready=True)
        unread = b""
        while True:
            readable, _, _ = select.select([0, self._wakeup], [], [])
            if self._wakeup in readable:
                signals = os.read(self._wakeup, 4096)
                self._reap()
                if signal.SIGTERM in signals:
                    return None
            if 0 in readable:
                received = os.read(0, 65536)
                if not received:
                    return None
                *lines, unread = (unread + received).split(b"\n")
                for line in lines:
                    job: Job = json.loads(line)
                    if not self._fork(job):
                        return job

    def end_children(self) -> None:
        """Kill all that descends from us; what its parent's death hands on to us too."""
        signal.set_wakeup_fd(-1)
        with contextlib.suppress(ChildProcessError):  # there is none left
            while True:
                for pid in _children_of(os.getpid()):  # the kernel may leave one out that is just being handed on
                    os.kill(pid, signal.SIGKILL)
                if os.waitpid(-1, os.WNOHANG) == (0, 0):
                    time.sleep(0.001)

    def _fork(self, job: Job) -> bool:
        """True in the zygote, False in the child."""
        assert len(list(Path("/proc/self/task").iterdir())) == 1, "a preloaded module has started a thread"
        zygote_pid = os.getpid()
        signal.pthread_sigmask(signal.SIG_BLOCK, OUR_HANDLERS)  # a child told to end at once shall not run them
        pid = os.fork()
        if pid:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, OUR_HANDLERS)
            self._children.add(pid)
            self._report(id=job["id"], pid=pid)
            return True
        die_with_parent(zygote_pid, signal.SIGKILL)
        signal.set_wakeup_fd(-1)
        for descriptor in (self._reports, self._wakeup, self._tick):
            os.close(descriptor)
        return False

    def _reap(self) -> None:
        for pid, status in _changes():
            if pid not in self._children:  # an orphan of a child
                continue
            if os.WIFSTOPPED(status) or os.WIFCONTINUED(status):
                self._report(pid=pid, stopped=os.WIFSTOPPED(status))
            else:
                self._children.remove(pid)
                self._report(pid=pid, returncode=os.waitstatus_to_exitcode(status))

    def _report(self, **report: Any) -> None:
        os.write(self._reports, json.dumps(report).encode() + b"\n")


def _changes() -> Iterator[tuple[int, int]]:
    with contextlib.suppress(ChildProcessError):
        while (change := os.waitpid(-1, os.WNOHANG | os.WUNTRACED | os.WCONTINUED))[0]:
            yield change


def _children_of(pid: int) -> Iterator[int]:
    for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield int(word)


def _run(job: Job) -> int:
    """In the child: become what a fresh process would be, and do the job."""
    os.setpgid(0, 0)
    for number in OUR_HANDLERS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, OUR_HANDLERS)
    null = os.open(os.devnull, os.O_RDONLY)
    log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for descriptor, place in ((null, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, place)
    os.close(null)
    os.close(log)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a killed one has still said its lines
    os.environ.clear()
    os.environ.update(job["environ"])
    time.tzset()
    random.seed()
    module, _, function = job["entry"].partition(":")
    sys.argv = [job["entry"]]
    try:
        return int(getattr(importlib.import_module(module), function)(job["arguments"]) or 0)
    except SystemExit as asked:
        return _exit_code(asked)
    except BaseException:  # noqa: BLE001 - the end of an entry point
        traceback.print_exc()
        return UNCAUGHT


def _exit_code(asked: SystemExit) -> int:
    if asked.code is None or isinstance(asked.code, int):
        return asked.code or 0
    print(asked.code, file=sys.stderr)
    return 1


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))

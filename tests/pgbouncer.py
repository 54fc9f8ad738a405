"""Debian's PgBouncer in front of a test server, as a child of the test: what a platform's pooled address is."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Literal
from urllib.parse import unquote, urlsplit

from prodsafe.embedded_account import account_for

START_SECONDS = 10.0
CONFIGURATION = """\
[databases]
* = host={host} port={port} user={user} password='{password}'
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {pool_size}
server_round_robin = 0
"""


class PgBouncer:
    """A pooler on a loopback port in front of the server of `server_url`; `url` is the pooled address of its database.

    It refuses to run as root, so it runs under the account that the embedded PostgreSQL has. folder: a new folder of
    its own below an existing one. pool_size: server connections for all clients of one database.
    """

    def __init__(
        self, server_url: str, mode: Literal["transaction", "session"], folder: Path, *, pool_size: int = 20
    ) -> None:
        self._server = urlsplit(server_url)
        self._mode = mode
        self._folder = folder
        self._pool_size = pool_size
        self.port = 0

    @property
    def url(self) -> str:
        return self.url_of(self._server.path.lstrip("/"))

    def url_of(self, database: str) -> str:
        return f"postgresql://{self._server.username}:{self._server.password}@127.0.0.1:{self.port}/{database}"

    def __enter__(self) -> PgBouncer:
        self.port = _free_port()
        self._folder.mkdir(mode=0o700)
        account = account_for(self._folder)
        settings = self._folder / "pgbouncer.ini"
        with os.fdopen(os.open(settings, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(self._configuration())
        account.own(settings)
        account.own(self._folder)
        claim = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        with (self._folder / "pgbouncer.log").open("wb") as log:
            place = account.path_to(self._folder, claim)
            self._child = account.popen([_program(), place / "pgbouncer.ini"], claim, log)
        os.close(claim)
        try:
            self._wait_until_it_listens()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _configuration(self) -> str:
        return CONFIGURATION.format(
            host=self._server.hostname,
            port=self._server.port,
            user=self._server.username,
            password=unquote(self._server.password or "").replace("'", "''"),
            listen_port=self.port,
            mode=self._mode,
            pool_size=self._pool_size,
        )

    def _wait_until_it_listens(self) -> None:
        give_up_at = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                said = (self._folder / "pgbouncer.log").read_text()
                if self._child.poll() is not None or time.monotonic() > give_up_at:
                    raise RuntimeError(f"PgBouncer does not listen: {said}") from None
                time.sleep(0.02)

    def _stop(self) -> None:
        if self._child.poll() is None:
            self._child.terminate()  # at once, without waiting for clients
            try:
                self._child.wait(5)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()


def _program() -> str:
    """Debian puts it where only root looks."""
    path = shutil.which("pgbouncer", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))
    if path is None:
        raise RuntimeError("no pgbouncer on this machine: make system, or apt-get install pgbouncer")
    return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

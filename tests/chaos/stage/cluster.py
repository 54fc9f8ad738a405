"""PostgreSQL servers of our own that can be restarted, robbed of a backend, followed by a standby and failed over. [E]

What blocks runs in threads, so that the proxies of the driver go on. Every server is started by one thread that lives
as long as the cluster: the kernel ends a server with the thread that started it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import make_conninfo

from prodsafe.embedded import DATABASE, EmbeddedPostgres
from prodsafe.embedded_account import account_for
from prodsafe.embedded_binaries import choose_binaries, find_binaries
from tests.chaos.stage.proxy import Proxy

START_SECONDS, POLL_SECONDS = 20.0, 0.01
SETTINGS = {
    "max_connections": "100",
    "wal_level": "replica",
    "max_wal_senders": "10",
    "hot_standby": "on",
    "wal_retrieve_retry_interval": "100ms",
    "wal_receiver_status_interval": "1s",
    "wal_sender_timeout": "3s",  # a fast shutdown waits so long for a standby behind a cut link
    "wal_keep_size": "256MB",  # a frozen standby may come back late
    "autovacuum": "off",
    "jit": "off",
}
Mode = Literal["immediate", "fast"]
SHUTDOWN_SIGNALS: Mapping[Mode, signal.Signals] = {"immediate": signal.SIGQUIT, "fast": signal.SIGINT}
Result = TypeVar("Result")


class Server:
    """What primary and standby have in common. All databases belong to one superuser."""

    def __init__(self, postgres: EmbeddedPostgres, keeper: ThreadPoolExecutor) -> None:
        self._postgres = postgres
        self._keeper = keeper

    @property
    def port(self) -> int:
        return self._postgres.port

    @property
    def pid(self) -> int | None:
        """The postmaster, while it runs."""
        return self._postgres.pid

    def url_of(self, database: str) -> str:
        return self._postgres.url_of(database)

    async def execute(
        self, statement: str, parameters: Sequence[object] = (), *, database: str = DATABASE
    ) -> list[Any]:
        """The rows of one statement on a connection of its own, outside a transaction."""
        return await asyncio.to_thread(_execute, self.url_of(database), statement, parameters)

    async def terminate_lock_backend(self, url: str, application_name_prefix: str) -> bool:
        """pg_terminate_backend for the sessions of the url's database with such a name; whether there was one."""
        rows = await self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = %s AND starts_with(application_name, %s)",
            (database_of(url), application_name_prefix),
        )
        return any(done for (done,) in rows)

    async def kill9_backend(self, url: str, application_name_prefix: str) -> bool:
        """SIGKILL to one such backend: the server ends every session and recovers. False when there was none."""
        rows = await self.execute(
            "SELECT pid FROM pg_stat_activity"
            " WHERE datname = %s AND starts_with(application_name, %s) ORDER BY backend_start DESC LIMIT 1",
            (database_of(url), application_name_prefix),
        )
        for (pid,) in rows:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                return True
        return False

    async def restart(self, mode: Mode) -> None:
        """Same port; returns when it accepts connections again."""
        await self._by_keeper(lambda: self._restart(mode))

    def _restart(self, mode: Mode) -> None:
        self._shut_down(mode)
        self._postgres.start()

    def _shut_down(self, mode: Mode) -> None:
        if self._postgres.pid is not None:
            os.kill(self._postgres.pid, SHUTDOWN_SIGNALS[mode])
            _until(lambda: self._postgres.pid is None, f"{mode} shutdown")

    async def _by_keeper(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._keeper, work)


class Standby(Server):
    """A streaming standby that reads the primary's WAL through a proxy of ours, `link`."""

    def __init__(
        self, postgres: EmbeddedPostgres, keeper: ThreadPoolExecutor, primary: Cluster, name: str, link: Proxy
    ) -> None:
        super().__init__(postgres, keeper)
        self.name = name
        self.link = link
        self._primary = primary

    @property
    def synchronous(self) -> bool:
        return self.name in self._primary.synchronous_names

    async def freeze(self) -> None:
        """Receive no more WAL; the primary does not notice at once. What is written meanwhile is lost by promote().

        The link is cut rather than the walreceiver stopped: a stopped one would read what its socket still holds when
        promotion ends it, and would outlive a driver that died.
        """
        self.link.cut()

    async def thaw(self) -> None:
        """The link works again: it connects anew and catches up."""
        self.link.heal()

    async def promote(self) -> None:
        """Returns when it is writable; what it had not received is lost. The old primary runs on, and is not told."""
        await self._by_keeper(self._promote)

    async def caught_up(self) -> None:
        """Returns when it has replayed all that the primary has written until now. Raises TimeoutError."""
        [(written,)] = await self._primary.execute("SELECT pg_current_wal_flush_lsn()::text")
        async with asyncio.timeout(START_SECONDS):
            while not (await self.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", (written,)))[0][0]:
                await asyncio.sleep(POLL_SECONDS)

    async def stop(self) -> None:
        """End it; the primary no longer waits for it. Nothing when it has been stopped already."""
        if self not in self._primary.standbys:
            return
        await self._by_keeper(lambda: self._shut_down("immediate"))
        await self.link.__aexit__()
        await self._primary.forget(self)
        await asyncio.to_thread(shutil.rmtree, self._postgres.dir / "data")

    def _promote(self) -> None:
        assert self.pid is not None
        (self._postgres.dir / "data" / "promote").touch()  # as pg_ctl does, whose own waiting is coarser
        os.kill(self.pid, signal.SIGUSR1)
        with _connect(self.url_of(DATABASE)) as conn:
            _until(lambda: conn.execute("SELECT pg_is_in_recovery()").fetchone() == (False,), "promotion")


class Cluster(Server):
    """async with Cluster(folder) as cluster: one primary in folder/primary (made anew), its standbys beside it.

    fsync is off: safe against every kill, not against a power cut. At the end all servers are ended at once.
    """

    def __init__(self, folder: Path, *, binaries: Path | None = None) -> None:
        """binaries: the folder of PostgreSQL's programs; None looks for one."""
        keeper = ThreadPoolExecutor(max_workers=1, thread_name_prefix="chaos-cluster")
        super().__init__(_embedded(folder / "primary", SETTINGS, binaries), keeper)
        self._binaries = binaries
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.standbys: list[Standby] = []
        self.synchronous_names: list[str] = []
        self._databases, self._standby_numbers = count(1), count(1)
        self._template: asyncio.Task[str] | None = None

    async def __aenter__(self) -> Cluster:
        await self._by_keeper(self._postgres.start)
        return self

    async def __aexit__(self, *exc: object) -> None:
        for standby in list(self.standbys):
            await standby.stop()
        await self._by_keeper(lambda: self._shut_down("immediate"))
        self._keeper.shutdown()
        await asyncio.to_thread(shutil.rmtree, self._postgres.dir / "data")  # the log stays

    async def make_database(self, template: str = "template1") -> str:
        """The URL of a new database with a name of its own."""
        name = f"chaos{next(self._databases)}"
        await self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url_of(name)

    async def drop_database(self, url: str) -> None:
        """With every session in it: a backup, and so a standby, takes the longer the more databases there are."""
        await self.execute(f"DROP DATABASE {database_of(url)} WITH (FORCE)")

    async def migrated_template(self) -> str:
        """The name of a database with the whole schema of prodsafe and live, made once; for make_database()."""
        if self._template is None:
            self._template = asyncio.create_task(self._migrate())
        return await asyncio.shield(self._template)

    async def add_standby(self, synchronous: bool = False) -> Standby:
        """Streaming and caught up when it returns. synchronous: commits of the primary wait for it from now on."""
        name = f"standby{next(self._standby_numbers)}"
        link = await Proxy("127.0.0.1", self.port).__aenter__()
        conninfo = make_conninfo(link.url_for(self.url_of(DATABASE)), application_name=name)
        settings = {"primary_conninfo": conninfo, "synchronous_standby_names": ""}  # promoted it waits for nobody
        postgres = _embedded(self.folder / name, {**SETTINGS, **settings}, self._binaries)
        standby = Standby(postgres, self._keeper, self, name, link)
        await asyncio.to_thread(_copy, self._postgres, postgres.dir, self._binaries)
        await self._by_keeper(postgres.start)
        self.standbys.append(standby)
        await standby.caught_up()
        if synchronous:
            await self._wait_for([*self.synchronous_names, name])
            async with asyncio.timeout(START_SECONDS):
                while name not in await self._waited_for():
                    await asyncio.sleep(POLL_SECONDS)
        return standby

    async def forget(self, standby: Standby) -> None:
        """Do not wait for this one any more: Standby.stop() calls it."""
        self.standbys.remove(standby)
        if standby.synchronous:
            await self._wait_for([name for name in self.synchronous_names if name != standby.name])

    async def _wait_for(self, names: list[str]) -> None:
        """Let commits wait until each of these standbys has the WAL on disk."""
        self.synchronous_names = names
        value = f"FIRST {len(names)} ({', '.join(names)})" if names else ""
        await self.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{value}'")
        await self.execute("SELECT pg_reload_conf()")

    async def _waited_for(self) -> set[str]:
        """Those connected that commits wait for; one that is cut off is not seen here, and waited for all the same."""
        rows = await self.execute("SELECT application_name FROM pg_stat_replication WHERE sync_state = 'sync'")
        return {name for (name,) in rows}

    async def _migrate(self) -> str:
        from live.schema import SETS
        from prodsafe.migrations import migrate

        url = await self.make_database()
        await asyncio.to_thread(migrate, url, SETS, wait_seconds=START_SECONDS, report=lambda line: None)
        return database_of(url)


def database_of(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


def _embedded(folder: Path, settings: Mapping[str, str], binaries: Path | None) -> EmbeddedPostgres:
    return EmbeddedPostgres(folder, fsync=False, settings=settings, binaries=binaries)


def _execute(url: str, statement: str, parameters: Sequence[object]) -> list[Any]:
    with _connect(url) as conn:
        cursor = conn.execute(statement.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []


def _connect(url: str) -> psycopg.Connection[tuple[Any, ...]]:
    """Waits for a server that is recovering from what was done to it. Raises OperationalError after START_SECONDS."""
    give_up_at = time.monotonic() + START_SECONDS
    while True:
        try:
            return psycopg.connect(url, autocommit=True, connect_timeout=5)
        except psycopg.OperationalError:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(POLL_SECONDS)


def _copy(primary: EmbeddedPostgres, folder: Path, binaries: Path | None) -> None:
    """A base backup of the running primary as the data of a standby: the WAL since is streamed, so none is copied."""
    folder.mkdir(mode=0o700)
    account = account_for(primary.dir)
    shutil.copy(primary.dir / "password", folder / "password")
    for path in (folder, folder / "password"):
        account.own(path)
    program = choose_binaries(find_binaries(binaries), primary.dir, account) / "pg_basebackup"
    claim = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        data = account.path_to(folder, claim) / "data"
        options = ["--wal-method=none", "--checkpoint=fast", "--no-sync", "--no-manifest"]
        child = account.popen([program, "-D", data, *options, "-d", primary.url], claim, subprocess.PIPE)
        said, _ = child.communicate()
    finally:
        os.close(claim)
    if child.returncode != 0:
        raise RuntimeError(f"pg_basebackup: {said.decode(errors='replace')}")
    (folder / "data" / "standby.signal").touch()
    account.own(folder / "data" / "standby.signal")


def _until(reached: Callable[[], bool], what: str) -> None:
    give_up_at = time.monotonic() + START_SECONDS
    while not reached():
        if time.monotonic() > give_up_at:
            raise TimeoutError(f"{what}: not in {START_SECONDS:.0f} s")
        time.sleep(POLL_SECONDS)

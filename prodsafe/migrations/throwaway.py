"""A throw-away PostgreSQL with the schema that files make, or that a real database has. [E]

One embedded server, a database for each question. Of a real database only the schema is read, by pg_dump; its password
stands in a private file and in no command line.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
from psycopg import conninfo, sql

from prodsafe.embedded import EmbeddedPostgres
from prodsafe.embedded_binaries import find_binaries, major_of
from prodsafe.errors import ExitCode, RefusalKind, SchemaNotReady
from prodsafe.migrations.files import Migration
from prodsafe.postgres import Connection, connect

NO_SUCH_MAJOR = RefusalKind("M26", "no-programs-of-this-version", exit_code=ExitCode.SCHEMA_NOT_READY)
NOT_COPIED = RefusalKind("M27", "schema-not-copied", exit_code=ExitCode.SCHEMA_NOT_READY)
FILE_FAILS = RefusalKind("M28", "file-fails-on-throw-away", exit_code=ExitCode.SCHEMA_NOT_READY)

# autovacuum would take locks and count scans of its own; what ends a forgotten statement is the caller's time limit
SETTINGS = {"autovacuum": "off", "synchronous_commit": "off"}
DUMP_OPTIONS = (
    "--schema-only",
    "--no-publications",
    "--no-subscriptions",
    "--no-tablespaces",
    "--no-security-labels",
    "--lock-wait-timeout=2000",  # ms: it takes ACCESS SHARE on every table, and must not queue behind somebody's DDL
)
COPY_SECONDS = 300.0


class Throwaway:
    """Databases on one server that nobody else uses; each method gives the URL of a new one."""

    def __init__(self, server: EmbeddedPostgres, binaries: Path) -> None:
        self._server, self._binaries = server, binaries
        self._numbers = count(1)

    def new_database(self) -> str:
        return self._make("template1")

    def copy_of(self, url: str) -> str:
        """A copy of one of our own databases, to which nobody may be connected; a few hundredths of a second."""
        return self._make(str(conninfo.conninfo_to_dict(url)["dbname"]))

    def from_files(self, migrations: Iterable[Migration]) -> str:
        """What these files make, in the order given. Raises SchemaNotReady (M28)."""
        url = self.new_database()
        with connected(url) as conn:
            for migration in migrations:
                apply_file(conn, migration)
        return url

    def like(self, url: str) -> str:
        """The schema of a real database, and the names of its roles. Raises DatabaseRefused, SchemaNotReady (M27)."""
        with connected(url) as source:
            roles = [name for (name,) in source.execute("SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_'")]
        copy = self.new_database()
        with connected(copy) as conn:
            _make_roles(conn, roles)
        with tempfile.TemporaryDirectory(prefix="prodsafe-dump-") as folder:
            dump = Path(folder) / "schema.sql"
            self._run("pg_dump", url, *DUMP_OPTIONS, f"--file={dump}")
            self._run("psql", copy, "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--file={dump}")
        return copy

    def _make(self, template: str) -> str:
        name = f"throwaway_{next(self._numbers)}"
        with psycopg.connect(self._server.url, autocommit=True) as admin:
            admin.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
            )
        return self._server.url_of(name)

    def _run(self, program: str, url: str, *options: str) -> None:
        """Run one of PostgreSQL's client programs on a database. Raises SchemaNotReady (M27) with its last words."""
        path = self._binaries / program
        with tempfile.NamedTemporaryFile("w", prefix="prodsafe-service-", suffix=".conf") as service:  # mode 0600
            service.write(_service(url))
            service.flush()
            environment = {"PATH": str(self._binaries), "LC_ALL": "C", "PGSERVICEFILE": service.name}
            command: list[str | Path] = [path, "--no-password", "--dbname=service=prodsafe", *options]
            try:
                done = subprocess.run(
                    command, env=environment, capture_output=True, text=True, timeout=COPY_SECONDS, check=False
                )
                failure = done.stderr.strip() if done.returncode else ""
            except (OSError, subprocess.TimeoutExpired) as error:
                failure = str(error)
        if failure:
            last_words = " | ".join(failure.splitlines()[-3:])
            raise SchemaNotReady(
                NOT_COPIED.because(
                    f"{program}: {last_words}",
                    mend="grant this user what it lacks, or install on this machine what the schema needs (extensions)",
                )
            )


@contextmanager
def throwaway(binaries: Path | None, *, major: int | None = None) -> Iterator[Throwaway]:
    """A server of our own until the block ends, of one major version of PostgreSQL if that is given.

    binaries: as for EmbeddedPostgres. Raises SchemaNotReady (M26), DatabaseRefused (E..).
    """
    chosen = _of_major(find_binaries(binaries), major)
    with EmbeddedPostgres(fsync=False, binaries=chosen, settings=SETTINGS) as server:
        yield Throwaway(server, chosen)


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    conn = connect(url, application_name="prodsafe/throwaway")
    try:
        yield conn
    finally:
        conn.close()


def apply_file(conn: Connection, migration: Migration) -> None:
    """Run a file as the runner would, but unlocked and unrecorded. Batches are left out: no row is there for them.

    Raises SchemaNotReady (M28).
    """
    if migration.batch:
        return
    try:
        if migration.transactional:
            with conn.transaction():
                conn.execute(migration.sql.encode())
        else:
            for statement in migration.statements:
                conn.execute(statement.text.encode())
        conn.execute("RESET SESSION AUTHORIZATION; RESET ALL")
    except psycopg.Error as error:
        raise SchemaNotReady(
            FILE_FAILS.because(
                f"{migration.label}: {error.diag.message_primary or error} ({error.sqlstate})",
                mend="run the file after those that it needs: give every --set, in order",
            )
        ) from error


def server_major(url: str) -> int:
    """The major version of a server, e.g. 15. Raises DatabaseRefused."""
    with connected(url) as conn:
        return conn.info.server_version // 10000


def _of_major(candidates: list[Path], major: int | None) -> Path:
    if major is None:
        return candidates[0]
    found = {major_of(path): path for path in reversed(candidates)}
    if major not in found:
        raise SchemaNotReady(
            NO_SUCH_MAJOR.because(
                f"the database runs PostgreSQL {major}; programs found here: {', '.join(map(str, sorted(found)))}",
                mend=f"apt-get install postgresql-{major}, or set PRODSAFE_PG_BIN to the folder of its programs",
            )
        )
    return found[major]


def _make_roles(conn: Connection, names: Iterable[str]) -> None:
    """Roles belong to the whole server; those of the real one have no rights here, only their names."""
    known = {name for (name,) in conn.execute("SELECT rolname FROM pg_roles")}
    for name in names:
        if name not in known:
            conn.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(name)))


def _service(url: str) -> str:
    """libpq's service file: the whole address, so that nothing of it stands in a command line."""
    address: Mapping[str, Any] = conninfo.conninfo_to_dict(url)
    return "[prodsafe]\n" + "".join(f"{name}={value}\n" for name, value in address.items())

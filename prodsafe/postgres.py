"""The one door to PostgreSQL: connections that notice a dead network, and the refusal of a wrong database. [E]

Every failure leaves as DatabaseRefused; no message holds a password. Numbers: research/locks.md section 2i.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import conninfo

from prodsafe.errors import DatabaseRefused, ExitCode, Refusal, RefusalKind

UNREACHABLE = RefusalKind("P01", "database-unreachable", exit_code=ExitCode.UNREADABLE)
LOGIN_REFUSED = RefusalKind("P02", "database-login-refused")
DATABASE_MISSING = RefusalKind("P03", "database-missing")
SERVER_TOO_OLD = RefusalKind("P04", "server-too-old")
READ_ONLY = RefusalKind("P05", "database-read-only")
POOLED = RefusalKind("P06", "pooled-connection")
SETTING_NOT_KEPT = RefusalKind("P07", "setting-not-kept")
DIFFERENT_DATABASES = RefusalKind("P08", "different-databases")
MALFORMED_ADDRESS = RefusalKind("P09", "malformed-database-address")
TLS_REFUSED = RefusalKind("P10", "tls-refused")
CONNECTION_LOST = RefusalKind("P11", "connection-lost", exit_code=ExitCode.UNREADABLE)

OLDEST_VERSION = 140000  # idle_session_timeout and client_connection_check_interval begin with 14
CONNECT_SECONDS = 9.0  # for everything: name look-up, every host of the address, login, our questions
CLIENT_SETTINGS: Mapping[str, int] = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 2000,  # ms; keepalives alone stay silent while data is in flight
}
# without these a killed or cut-off client's backend, and its locks, live on at the server (locks.md 2a, 2b); ms and s
SERVER_SETTINGS: Mapping[str, int] = {
    "client_connection_check_interval": 500,
    "tcp_keepalives_idle": 2,
    "tcp_keepalives_interval": 1,
    "tcp_keepalives_count": 3,
    "tcp_user_timeout": 4000,
}
# libpq hands on no SQLSTATE for a refused login: its English words are all there is; others count as unreachable
LOGIN_FAILURES: tuple[tuple[RefusalKind, str, str], ...] = (
    (DATABASE_MISSING, r"database .* does not exist", "create it, or correct the name at the end of the address"),
    (
        LOGIN_REFUSED,
        r"authentication failed|role .* does not exist|no pg_hba.conf entry|no password supplied"
        r"|permission denied for database|is not permitted to log in",
        "correct user and password in the address, or the server's access rules",
    ),
    (
        TLS_REFUSED,
        r"does not support SSL|certificate verify failed|root certificate file|server certificate",
        "correct sslmode and the certificates in the address",
    ),
    (
        READ_ONLY,
        r"session is read-only|server is in hot standby mode",
        "give the address of the primary, or wait for the failover to end",
    ),
)

Connection = psycopg.Connection[tuple[Any, ...]]


def connect(
    url: str,
    *,
    application_name: str = "prodsafe",
    direct: bool = False,
    autocommit: bool = True,
    settings: Mapping[str, int | str] | None = None,
) -> Connection:
    """An open connection, or DatabaseRefused (P..) within 10 s.

    direct: refuse a pooler or a replica, and set SERVER_SETTINGS and `settings` for the session and read them back.
    settings: server settings of this session, as pg_settings shows them: whole numbers in the server's own unit
    (mostly ms), or words.
    Statements are never prepared at the server: a prepared one breaks when a migration changes its result.
    """
    wanted = _address(url, application_name, direct=direct)
    conn = _within(CONNECT_SECONDS, lambda: _open(wanted, autocommit, direct=direct, settings=settings or {}), wanted)
    conn.prepare_threshold = None
    return conn


def check_direct(conn: Connection) -> None:
    """Refuse a connection that a pooler shares, or that ends at a replica or a read-only server (P05, P06)."""
    row = conn.execute(
        "SELECT pg_catalog.pg_backend_pid(), pg_catalog.pg_is_in_recovery(),"
        " current_setting('transaction_read_only') = 'on'"
    ).fetchone()
    backend_pid, in_recovery, read_only = row if row else (None, True, True)
    if backend_pid != conn.info.backend_pid:
        raise DatabaseRefused(
            POOLED.because(
                "a connection pooler stands between: locks taken through it belong to nobody",
                seen=describe(conn),
                mend="set LOCK_DATABASE_URL to the direct, un-pooled address of the same database",
            )
        )
    if in_recovery or read_only:
        raise DatabaseRefused(
            READ_ONLY.because(
                "the server is a replica or read-only",
                seen=describe(conn),
                mend="give the address of the primary, or wait for the failover to end",
            )
        )


def same_database(first: Connection, second: Connection) -> bool:
    """Whether both connections end in one database of one running server, whatever host names and ports say.

    The cluster's identifier alone does not tell: a replica has it too, and so has an old primary after a failover.
    """
    return _identity(first) == _identity(second)


def require_same_database(first: Connection, second: Connection) -> None:
    """Refuse (P08) two addresses that name different databases: a lock in one guards nothing in the other."""
    if not same_database(first, second):
        raise DatabaseRefused(
            DIFFERENT_DATABASES.because(
                "DATABASE_URL and LOCK_DATABASE_URL lead to different databases, or to different servers of one"
                " cluster (a replica, an old primary after a failover)",
                seen=f"{describe(first)} and {describe(second)}",
                mend="make LOCK_DATABASE_URL the direct address of the database in DATABASE_URL",
            )
        )


def describe(conn: Connection) -> str:
    """Where a connection leads, for people: no password."""
    return f"{conn.info.host}:{conn.info.port}/{conn.info.dbname} as {conn.info.user}"


def _read_times_as_iso(conn: Connection) -> None:
    """psycopg reads no other style, and a database or role may have one. PgBouncer keeps this setting per client."""
    if not (conn.info.parameter_status("DateStyle") or "").startswith("ISO"):
        conn.execute("SET datestyle TO 'ISO'")


def apply_settings(conn: Connection, settings: Mapping[str, int | str]) -> None:
    """Set server settings for the session and read them back; refuse (P07) what did not stick."""
    for_this_socket = {
        name: value
        for name, value in settings.items()
        if not (name.startswith("tcp_") and conn.info.host.startswith("/"))  # a unix socket has no such thing
    }
    if not for_this_socket:
        return
    try:
        conn.execute(
            "SELECT pg_catalog.set_config(name, value, false)"
            " FROM unnest(%s::text[], %s::text[]) AS wanted (name, value)",
            [list(for_this_socket), [str(value) for value in for_this_socket.values()]],
        )
    except psycopg.errors.DataError as error:
        raise _not_kept(conn, str(error).strip()) from error
    kept = conn.execute(
        "SELECT name, setting FROM pg_catalog.pg_settings WHERE name = ANY (%s)", [list(for_this_socket)]
    ).fetchall()
    lost = {name: value for name, value in for_this_socket.items() if (name, str(value)) not in kept}
    if lost:
        raise _not_kept(conn, f"set {lost}, read back {dict(kept)}")


@contextmanager
def lost_connections_refused(conn: Connection) -> Iterator[None]:
    """Turn the loss of this connection inside the block into DatabaseRefused (P11, exit 6)."""
    try:
        yield
    except psycopg.OperationalError as error:
        if not conn.closed:
            raise
        raise DatabaseRefused(
            CONNECTION_LOST.because(
                f"the connection ended while it was used: {_first_line(error)}",
                mend="see whether the server restarted; then run the same command again",
            )
        ) from error


def _address(url: str, application_name: str, *, direct: bool) -> dict[str, Any]:
    try:
        given = conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        # libpq quotes the part it could not read, which may be the password
        raise DatabaseRefused(
            MALFORMED_ADDRESS.because(
                "the database address cannot be read",
                mend="write postgresql://USER:PASSWORD@HOST:PORT/DATABASE; percent-encode special characters",
            )
        ) from None
    primary = {"target_session_attrs": "read-write"} if direct else {}
    return {**primary, **given, **CLIENT_SETTINGS, "application_name": application_name}


def _open(
    address: Mapping[str, Any], autocommit: bool, *, direct: bool, settings: Mapping[str, int | str]
) -> Connection:
    conn: Connection = psycopg.connect(**address, autocommit=True)
    try:
        with lost_connections_refused(conn):
            if refusal := refuse_old_server(conn.info.server_version, describe(conn)):
                raise DatabaseRefused(refusal)
            if direct:
                check_direct(conn)
            _read_times_as_iso(conn)
            apply_settings(conn, {**(SERVER_SETTINGS if direct else {}), **settings})
            conn.autocommit = autocommit
    except BaseException:  # an interrupt too must not leave a session at the server that nobody knows of
        conn.close()
        raise
    return conn


def _within(seconds: float, open_it: Callable[[], Connection], address: Mapping[str, Any]) -> Connection:
    """The connection, or a refusal after so many seconds.

    In a thread, since nothing else ends a name look-up that hangs; one that comes too late is closed.
    """
    answers: list[Connection | BaseException] = []
    too_late = threading.Event()

    def work() -> None:
        try:
            answer: Connection | BaseException = open_it()
        except BaseException as error:  # noqa: BLE001 - carried to the caller's thread, which raises it
            answer = error
        answers.append(answer)
        if too_late.is_set() and not isinstance(answer, BaseException):
            answer.close()

    thread = threading.Thread(target=work, name="prodsafe-connect", daemon=True)
    thread.start()
    thread.join(seconds)
    if not answers:
        too_late.set()
        raise DatabaseRefused(_unreachable(address, f"no answer within {seconds:.0f} s"))
    answer = answers[0]
    if isinstance(answer, psycopg.OperationalError):
        raise DatabaseRefused(_login_refusal(address, answer)) from answer
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _login_refusal(address: Mapping[str, Any], error: psycopg.OperationalError) -> Refusal:
    said = " ".join(str(error).split())
    for kind, words, mend in LOGIN_FAILURES:
        if re.search(words, said):
            return kind.because(said, seen=_where(address), mend=mend)
    return _unreachable(address, said)


def _unreachable(address: Mapping[str, Any], cause: str) -> Refusal:
    return UNREACHABLE.because(
        cause, seen=_where(address), mend="start the server or open the way to it, then run the same command again"
    )


def _where(address: Mapping[str, Any]) -> str:
    host, port = address.get("host") or "local socket", address.get("port") or 5432
    return f"{host}:{port}/{address.get('dbname') or ''} as {address.get('user') or 'the system user'}"


def refuse_old_server(version: int, where: str) -> Refusal | None:
    """The refusal (P04) of a server that is too old. version: as PostgreSQL numbers it, 140012 for 14.12."""
    if version >= OLDEST_VERSION:
        return None
    return SERVER_TOO_OLD.because(
        f"PostgreSQL {version // 10000} cannot end a frozen client's session",
        seen=where,
        mend=f"use PostgreSQL {OLDEST_VERSION // 10000} or newer",
    )


def _identity(conn: Connection) -> tuple[Any, ...] | None:
    return conn.execute(
        "SELECT system_identifier, pg_catalog.current_database(), pg_catalog.pg_postmaster_start_time()"
        " FROM pg_catalog.pg_control_system()"
    ).fetchone()


def _not_kept(conn: Connection, cause: str) -> DatabaseRefused:
    return DatabaseRefused(
        SETTING_NOT_KEPT.because(
            cause,
            seen=describe(conn),
            mend="use a direct connection to a PostgreSQL server that lets its sessions change these settings",
        )
    )


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)

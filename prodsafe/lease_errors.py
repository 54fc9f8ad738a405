"""What PostgreSQL says about the lease's tables, as refusals with a mend. [P]"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors

from prodsafe.errors import DatabaseRefused, SchemaNotReady
from prodsafe.lease_model import COLLISION, MOVED, NO_PRIVILEGE, NO_TABLES, UNREADABLE


@contextmanager
def explained(scope: str) -> Iterator[None]:
    """Turn what PostgreSQL says about the lease tables into a refusal with a mend (L05, L07, L08, L10)."""
    try:
        yield
    except (errors.UndefinedTable, errors.UndefinedColumn, errors.UndefinedFunction, errors.InvalidSchemaName) as error:
        raise SchemaNotReady(
            NO_TABLES.because(
                f"the lease tables are missing or older than this program: {_said(error)}",
                mend="python migrate_schema.py",
            )
        ) from error
    except errors.InsufficientPrivilege as error:
        raise DatabaseRefused(
            NO_PRIVILEGE.because(
                f"this database role may not use the lease tables: {_said(error)}",
                mend="connect as the role that ran migrate_schema.py, or grant it USAGE on schema prodsafe and"
                " SELECT, INSERT, UPDATE on prodsafe.lease and prodsafe.lease_beat",
            )
        ) from error
    except errors.UniqueViolation as error:
        raise DatabaseRefused(
            COLLISION.because(
                f"another scope has the same 64-bit lock: {_said(error)}",
                seen=scope,
                mend="give the account another name in EXCHANGE_ACCOUNT (or the program another --scope)",
            )
        ) from error
    except (psycopg.OperationalError, errors.SerializationFailure, errors.IdleInTransactionSessionTimeout) as error:
        raise DatabaseRefused(
            UNREADABLE.because(
                f"the database failed or was too slow while the lease was being used: {_said(error)}",
                seen=scope,
                mend="look at the database (is it up, is a transaction holding prodsafe.lease?), then start again",
            )
        ) from error


def _said(error: psycopg.Error) -> str:
    return error.diag.message_primary or next(iter(str(error).strip().splitlines()), type(error).__name__)


def refuse_moved(scope: str) -> DatabaseRefused:
    return DatabaseRefused(
        MOVED.because(
            "this lease was last held on another database cluster, or on a later timeline of this one: the database was"
            " restored or copied, or this is the old primary after a failover; workers may be running on the other one",
            seen=scope,
            mend="make sure that nothing uses the old database any more, then"
            f" prodsafe lock release --scope {scope} --force --reason 'moved to this server'",
        )
    )

"""The one embedded PostgreSQL of a bench, with fsync, and databases on it. [E]"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import psycopg
from psycopg import sql

from prodsafe.embedded import EmbeddedPostgres


def open_server(settings: Mapping[str, str] | None = None) -> EmbeddedPostgres:
    """To be used as a context. PRODSAFE_PG_BIN names the folder of another server's binaries."""
    given = os.environ.get("PRODSAFE_PG_BIN")
    return EmbeddedPostgres(binaries=Path(given) if given else None, settings=dict(settings or {}))


def make_databases(url: str, names: Iterable[str]) -> None:
    """Empty ones; and a checkpoint, so that what they cost is not paid while something is measured."""
    with psycopg.connect(url, autocommit=True) as conn:
        for name in names:
            conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        conn.execute("CHECKPOINT")

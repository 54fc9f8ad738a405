"""What the databases and the venue recorded, as rows of the history. [E]"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import closing
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import class_row

from tests.chaos.history import Arrival, LeaseChange, Written

_CHANGES = """
SELECT %s AS database, extract(epoch FROM happened_at)::float8 AS at, scope, epoch, holder::text, timeline, state
  FROM prodsafe.lease_history ORDER BY id
"""
_WRITTEN = """
SELECT %s AS database, extract(epoch FROM recorded_at)::float8 AS at, scope, epoch, holder::text, kind,
       coalesce(client_order_id, '') AS cid
  FROM live.event ORDER BY id
"""
_UNDER_WAY = """
SELECT application_name, state, wait_event, left(query, 80) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
   AND state <> 'idle' AND wait_event IS DISTINCT FROM 'SyncRep'
"""  # a commit that waits for a synchronous standby which is gone waits for ever, and nobody was ever told of it
UNDER_WAY_SECONDS = 15.0


async def rows(server: str, url: str) -> tuple[list[LeaseChange], list[Written]]:
    return await asyncio.to_thread(_rows, server, url)


def _rows(server: str, url: str) -> tuple[list[LeaseChange], list[Written]]:
    with closing(psycopg.connect(url, autocommit=True)) as conn:
        _let_end_what_is_under_way(conn)
        changes = conn.cursor(row_factory=class_row(LeaseChange)).execute(_CHANGES, (server,)).fetchall()
        written = conn.cursor(row_factory=class_row(Written)).execute(_WRITTEN, (server,)).fetchall()
    return changes, written


def _let_end_what_is_under_way(conn: psycopg.Connection[Any]) -> None:
    """A statement goes on when its client is gone, and may still commit. Raises TimeoutError."""
    give_up_at = time.monotonic() + UNDER_WAY_SECONDS
    while left := conn.execute(_UNDER_WAY).fetchall():
        if time.monotonic() > give_up_at:
            raise TimeoutError(f"statements of workers that are gone do not end: {left}")
        time.sleep(0.05)


def arrivals(ledger: Mapping[str, Any]) -> tuple[Arrival, ...]:
    return tuple(
        Arrival(
            at=datetime.fromisoformat(request["at"]).timestamp(),
            cid=request["client_order_id"],
            epoch=request["epoch"],
            accepted=request["verdict"] == "accepted",
            reason=request["reason"],
        )
        for request in ledger["requests"]
        if request["endpoint"] == "sendorder"
    )

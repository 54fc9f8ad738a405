"""What the worker says about itself, and whether that is healthy. [P]"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import Any

from prodsafe.errors import RefusalKind


@dataclass(frozen=True, slots=True)
class Status:
    """One observation of the worker, written each tick to live.worker_status and served by /health.

    state: starting | standby | reconciling | running | draining | stopped. Times are aware UTC.
    tick_bound_seconds: a last tick older than this is a stalled loop. equity_quote: decimal text. degraded: why no
    entry is sent although nobody halted. findings: where book and venue differ, each with its kind. flattening: what
    people asked to be closed and is not yet. clock_offset_seconds: the venue's clock minus ours. reconciled_at: when
    book and venue were last seen to agree. loop_age_seconds: since the worker's event loop last turned; known to the
    worker itself only. drawdown_pct: below the durable peak. schema: the version of each migration set it runs on.
    """

    state: str
    observed_at: datetime
    scope: str = ""
    epoch: int | None = None
    holder: str | None = None
    host: str = ""
    pid: int = 0
    version: str = ""
    started_at: datetime | None = None
    lease_fresh: bool = False
    last_tick_at: datetime | None = None
    tick_bound_seconds: float = 60.0
    database_readable: bool = True
    venue_readable: bool = True
    reconciled: bool = False
    halted: bool = False
    halt_reason: str | None = None
    unprotected: tuple[str, ...] = ()
    naked_seconds_max: float = 0.0
    unknown_orders: int = 0
    open_positions: int = 0
    live_orders: int = 0
    equity_quote: str | None = None
    last_action: str = ""
    standby_for: str | None = None
    counters: Mapping[str, float] = field(default_factory=dict)
    halt_cause: str | None = None
    degraded: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    flattening: tuple[str, ...] = ()
    clock_offset_seconds: float | None = None
    reconciled_at: datetime | None = None
    drawdown_pct: float | None = None
    loop_age_seconds: float | None = None
    lease_beat_age_seconds: float | None = None
    commit: str = ""
    settings_hash: str = ""
    schema: Mapping[str, int] = field(default_factory=dict)


class HaltCause(StrEnum):
    """Who or what set the latch. None of them ever closes a position or takes a stop back (W2, I35)."""

    PERSON = "person"
    FLATTEN = "flatten"  # a person who also asked for the positions to be closed
    LIMITS = "limits"
    CONTRADICTION = "contradiction"  # a fact that no history of the book explains

    @classmethod
    def of(cls, word: str | None) -> HaltCause | None:
        """None for a word that this version does not know, or none: the latch holds all the same."""
        return next((cause for cause in cls if cause == word), None)


@dataclass(frozen=True, slots=True)
class Halt:
    """The halt latch: while halted no new entries, exits and stops stay. id: its row, None if never set."""

    halted: bool = False
    reason: str | None = None
    who: str | None = None
    at: datetime | None = None
    id: int | None = None
    cause: HaltCause | None = None


def age_seconds(then: datetime | None, now: datetime) -> float | None:
    return None if then is None else round((now - then).total_seconds(), 3)


NOT_TRADING = RefusalKind("H10", "worker-not-trading")
LEASE_NOT_FRESH = RefusalKind("H11", "lease-not-fresh")
DATABASE_SILENT = RefusalKind("H12", "database-not-readable")
VENUE_SILENT = RefusalKind("H13", "venue-not-readable")
BOOKS_DIFFER = RefusalKind("H14", "not-reconciled")
UNPROTECTED = RefusalKind("H15", "position-unprotected")
TICK_LATE = RefusalKind("H16", "tick-overdue")
LOOP_BLOCKED = RefusalKind("H17", "loop-blocked")

LOOP_BOUND_SECONDS = 3.0  # a loop that has not turned for so long looks after nothing


def problems(status: Status, now: datetime) -> list[str]:
    """Why the worker is not healthy, each with its id for RUNBOOK.md; [] when it is.

    A standby is healthy: it waits, as it should. One that stopped, or was never heard of, is one problem and not five.
    """
    if status.state == "standby":
        return []
    if status.state in ("stopped", "unknown") and not status.lease_fresh:
        found = [] if status.database_readable else [(DATABASE_SILENT, "database not readable")]
        return [_words(*each) for each in [*found, *_open_risk(status), (NOT_TRADING, _not_trading(status, now))]]
    checks = [
        (not status.lease_fresh, LEASE_NOT_FRESH, "lease not held or not fresh"),
        (not status.database_readable, DATABASE_SILENT, "database not readable"),
        (not status.venue_readable, VENUE_SILENT, "venue not readable"),
        (not status.reconciled, BOOKS_DIFFER, "not reconciled yet"),
    ]
    found = [(kind, text) for wrong, kind, text in checks if wrong]
    return [_words(*each) for each in [*found, *_open_risk(status), *_late(status, now)]]


def _words(kind: RefusalKind, text: str) -> str:
    return f"{kind.id} {kind.name}: {text}"


def _not_trading(status: Status, now: datetime) -> str:
    if status.state == "unknown":
        return "no worker has reported on this account"
    return f"the worker stopped {_ago(now - status.observed_at)}; nobody trades this account"


def _open_risk(status: Status) -> list[tuple[RefusalKind, str]]:
    return [(UNPROTECTED, f"unprotected positions: {', '.join(status.unprotected)}")] if status.unprotected else []


def _late(status: Status, now: datetime) -> list[tuple[RefusalKind, str]]:
    if status.loop_age_seconds is not None and status.loop_age_seconds > LOOP_BOUND_SECONDS:
        return [(LOOP_BLOCKED, f"the worker's loop has stood still for {status.loop_age_seconds:.1f} s")]
    if status.last_tick_at is None:
        return [(TICK_LATE, "no tick yet")]
    age_seconds = (now - status.last_tick_at).total_seconds()
    if age_seconds <= status.tick_bound_seconds:
        return []
    return [(TICK_LATE, f"last tick {age_seconds:.0f} s ago, bound {status.tick_bound_seconds:.0f} s")]


def _ago(age: timedelta) -> str:
    seconds = max(age.total_seconds(), 0)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def ready(status: Status, now: datetime) -> bool:
    """Ready to do its work: running and healthy; a standby is live but not ready."""
    return status.state == "running" and not problems(status, now)


@cache
def _adapter() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(Status)


def encode_status(status: Status) -> str:
    """The status as one JSON object; times as ISO 8601 with offset."""
    return json.dumps(as_dict(status))


def decode_status(payload: str) -> Status:
    """The status back; fields a newer worker added are ignored. Raises ValueError on what is not a status."""
    status: Status = _adapter().validate_json(payload)
    return status


def as_dict(status: Status) -> dict[str, Any]:
    """Plain JSON values under the field names, for people and machines; it holds no secret."""
    return {item.name: _plain(getattr(status, item.name)) for item in fields(status)}


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return value.isoformat()
        case tuple():
            return list(value)
        case Mapping():
            return dict(value)
        case _:
            return value

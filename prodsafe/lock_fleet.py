"""What `prodsafe lock status` shows of many scopes, and in which order: the rows that need a person come first. [P]

The sessions of the server, a fleet's first limit, are counted by one query at the end. [E]
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from prodsafe.lease_model import LeaseRow, LeaseTiming

if TYPE_CHECKING:
    from prodsafe.postgres import Connection

# Worst first. The first two are not written in the row: its holder has not said that it stopped, and does not beat.
CONDITIONS = ("overdue", "silent", "fenced", "arming", "active", "released")
ENDED = ("fenced", "released")
RECENT_SECONDS = 86400.0
KEY_SCOPES = "key/"

# Only columns that a role sees of other roles' sessions too; to one that may not see what kind of process a session is,
# an autovacuum worker counts as a connection. A standby bears the name of a holder and has no lock.
_SESSIONS = """
SELECT clock_timestamp() AS now,
       count(*) FILTER (WHERE coalesce(backend_type = 'client backend', datid IS NOT NULL)) AS used,
       current_setting('max_connections')::integer AS most,
       current_setting('superuser_reserved_connections')::integer
         + coalesce(current_setting('reserved_connections', true)::integer, 0) AS reserved,
       count(*) FILTER (WHERE datname = current_database() AND application_name ~ '^prodsafe/.+/[0-9a-f]{8}$'
                          AND pid NOT IN (SELECT pid FROM pg_locks
                                           WHERE locktype = 'advisory' AND granted AND pid IS NOT NULL)) AS standing_by
  FROM pg_stat_activity
"""


@dataclass(frozen=True, slots=True)
class Sessions:
    """The server's clock (aware UTC), its sessions of every database beside what it allows, and our standbys.

    reserved: of `most`, kept by the server for superusers and other privileged roles.
    """

    now: datetime
    used: int
    most: int
    reserved: int
    standing_by: int


@dataclass(frozen=True, slots=True)
class Holding:
    """One holder with all its scopes, in order of name: a worker holds its account and its API key by one session."""

    rows: tuple[LeaseRow, ...]

    @property
    def row(self) -> LeaseRow:
        """The one that a person knows it by: the first that is no API key's fingerprint."""
        return next((row for row in self.rows if not row.scope.startswith(KEY_SCOPES)), self.rows[0])

    @property
    def condition(self) -> str:
        return min((condition_of(row) for row in self.rows), key=CONDITIONS.index)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which holders a person asks for; nothing asked: those of `own` if there are any, else all but the long ended."""

    every: bool = False
    states: Collection[str] = ()
    match: str = ""
    own: Collection[str] = ()  # the scopes that this environment would take

    def __call__(self, holding: Holding, now: datetime) -> bool:
        if self.states and holding.condition not in self.states:
            return False
        if self.match:
            texts = (text for row in holding.rows for text in (row.scope, row.host, row.who, row.version))
            return any(self.match.casefold() in text.casefold() for text in texts)
        if self.every or self.states:
            return True
        if self.own:
            return any(row.scope in self.own for row in holding.rows)
        return holding.condition not in ENDED or quiet_seconds(holding.row, now) < RECENT_SECONDS


def condition_of(row: LeaseRow) -> str:
    """The row's own state, or what its beats and its lock say of a holder that has not said that it stopped.

    silent: nobody holds the lock, so it died or was cut off. overdue: a session still holds it and sends no beat, for
    longer than the lease lives (as recorded with the grace; of a predecessor, where that one's grace was longer).
    """
    if row.state in ENDED:
        return row.state
    if row.lock_pid is None:
        return "silent"
    length_seconds = row.grace_parts.get("lease", LeaseTiming().length_seconds)
    return "overdue" if row.beat_age_seconds is None or row.beat_age_seconds > length_seconds else row.state


def quiet_seconds(row: LeaseRow, now: datetime) -> float:
    """Since the last sign of life; a fence has no beats, so since the fence."""
    return (now - row.acquired_at).total_seconds() if row.beat_age_seconds is None else row.beat_age_seconds


def holdings(rows: Iterable[LeaseRow], now: datetime) -> list[Holding]:
    """The rows by holder, the worst first, and of the same condition the latest that fell silent, or by name."""
    by_holder: dict[object, list[LeaseRow]] = {}
    for row in sorted(rows, key=lambda row: row.scope):
        by_holder.setdefault(row.holder, []).append(row)
    found = [Holding(tuple(scopes)) for scopes in by_holder.values()]
    return sorted(found, key=lambda holding: _rank(holding, now))


def _rank(holding: Holding, now: datetime) -> tuple[int, float, str]:
    trouble = holding.condition in ("overdue", "silent")
    since = quiet_seconds(holding.row, now) if trouble else 0.0
    return CONDITIONS.index(holding.condition), since, holding.row.scope


def count_conditions(found: Sequence[Holding]) -> dict[str, int]:
    """How many holders are in each condition, worst first, zeros too."""
    counted = Counter(holding.condition for holding in found)
    return {condition: counted[condition] for condition in CONDITIONS}


def read_sessions(conn: Connection) -> Sessions:
    from psycopg.rows import class_row  # only now: a refusal by a gate must not pay for psycopg

    with conn.cursor(row_factory=class_row(Sessions)) as cursor:
        found = cursor.execute(_SESSIONS).fetchone()
    assert found is not None
    return found

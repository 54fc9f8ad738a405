"""Who held a scope when, and how that ended: prodsafe.lease_history read [E] and folded into one line a holder [P]."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

from psycopg.rows import class_row

from prodsafe.lease_errors import explained
from prodsafe.postgres import Connection

_ROWS_OF_A_TENURE = 4  # arming, active, released, and the fence of an operator at most
_HISTORY = """
SELECT happened_at, epoch, holder, state, host, pid, version, who, database_role, reason
  FROM prodsafe.lease_history WHERE scope = %s ORDER BY id DESC LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the history: what the lease row became, and when (aware UTC). reason: why, in words."""

    happened_at: datetime
    epoch: int
    holder: UUID
    state: str
    host: str
    pid: int
    version: str
    who: str
    database_role: str
    reason: str


@dataclass(frozen=True, slots=True)
class Tenure:
    """One holder's time. ended_at None: it has not ended. end: held, released, fenced (by a person) or superseded."""

    epoch: int
    holder: UUID
    host: str
    pid: int
    version: str
    who: str
    began_at: datetime
    ended_at: datetime | None
    end: str
    reason: str

    def as_dict(self) -> dict[str, object]:
        return {
            "epoch": self.epoch,
            "holder": str(self.holder),
            "who": self.who,
            "host": self.host,
            "pid": self.pid,
            "version": self.version,
            "began_at": self.began_at.astimezone(UTC).isoformat(),
            "ended_at": self.ended_at.astimezone(UTC).isoformat() if self.ended_at else None,
            "end": self.end,
            "reason": self.reason,
        }


def read_tenures(conn: Connection, scope: str, *, last: int) -> list[Tenure]:
    """The last so many holders of a scope, oldest first; [] when it was never held."""
    with explained(scope), conn.cursor(row_factory=class_row(Change)) as cursor:
        changes = cursor.execute(_HISTORY, (scope, last * _ROWS_OF_A_TENURE)).fetchall()
    return fold_tenures(reversed(changes))[-last:]


def fold_tenures(changes: Iterable[Change]) -> list[Tenure]:
    """changes: oldest first. A holder that never said that it stopped ends when the next one, or a fence, comes."""
    tenures: list[Tenure] = []
    for change in changes:
        previous = tenures[-1] if tenures else None
        if previous is not None and previous.epoch == change.epoch:
            tenures[-1] = _continued(previous, change)
            continue
        if previous is not None and previous.ended_at is None:
            tenures[-1] = _cut_off(previous, change)
        if change.state != "fenced":  # a fence has no holder: it only ends one
            tenures.append(_begun(change))
    return tenures


def _begun(change: Change) -> Tenure:
    return Tenure(
        epoch=change.epoch,
        holder=change.holder,
        host=change.host,
        pid=change.pid,
        version=change.version,
        who=change.who,
        began_at=change.happened_at,
        ended_at=None,
        end="held",
        reason=change.reason,
    )


def _continued(tenure: Tenure, change: Change) -> Tenure:
    if change.state == "released":
        return replace(tenure, ended_at=change.happened_at, end="released", reason=change.reason)
    return replace(tenure, reason=change.reason)


def _cut_off(tenure: Tenure, by: Change) -> Tenure:
    if by.state == "fenced":
        reason = f"{by.reason} (database role {by.database_role})"
        return replace(tenure, ended_at=by.happened_at, end="fenced", reason=reason)
    reason = f"epoch {by.epoch} took over; this one had not said that it stopped"
    return replace(tenure, ended_at=by.happened_at, end="superseded", reason=reason)

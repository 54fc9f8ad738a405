"""What happened in one schedule, as values: the record that the checker judges and that anybody can read again. [P]

Times are seconds since 1970 by the one clock of the machine on which everything ran.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from prodsafe.lease_model import LeaseTiming


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One line of a worker's diary. worker: "a.1" is the first process of worker a.

    kind: boot | waiting | refused | held | read | belief | doubt | intended | permit | denied | outcome | lost |
    stopping | resumed. timeline: of the server on which the lease was taken or from which the journal was read; 0 for a
    standby. asked: when the permission was asked for, which is before it was given. seen: intents by epoch,
    as the reconcile read found them. word: refusal id, stop point or outcome.
    """

    worker: str
    at: float
    kind: str
    epoch: int = 0
    holder: str = ""
    cid: str = ""
    asked: float = 0.0
    timeline: int = 0
    clean: bool = False
    word: str = ""
    seen: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseChange:
    """One row of prodsafe.lease_history, which the database itself writes. database: "primary" or "standby"; after a
    failover both have the rows from before it."""

    database: str
    at: float
    scope: str
    epoch: int
    holder: str
    timeline: int
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One row of live.event. at: when the row was inserted, before its commit."""

    database: str
    at: float
    scope: str
    epoch: int
    holder: str
    kind: str
    cid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One sendorder in the venue's ledger, at its arrival in true time, whatever clock the venue shows."""

    at: float
    cid: str
    epoch: int
    accepted: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """One fault as it was played. victim: the worker that it was aimed at, and the epoch that it held, 0 for none.

    detect_from: the victim must notice counting from here; None: it need not, or is dead. takeover_from: a successor is
    due counting from here; None: none is. clean: the victim was asked to stop, and had nothing in doubt.
    """

    kind: str
    at: float
    until: float
    victim: str = ""
    victim_epoch: int = 0
    detect_from: float | None = None
    takeover_from: float | None = None
    clean: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The end of a process. killed: by the schedule; pooled: it was started behind a pooler, so it must be refused."""

    worker: str
    at: float
    code: int
    killed: bool = False
    pooled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """promised: False for a failure that the design says it cannot cover (asynchronous failover).
    settled: somebody held the lease, undisturbed, when the schedule was over.
    """

    seed: int
    schedule: str
    timing: Mapping[str, float]
    promised: bool
    settled: bool
    scope: str
    server_version: str
    said: tuple[Said, ...]
    changes: tuple[LeaseChange, ...]
    written: tuple[Written, ...]
    arrivals: tuple[Arrival, ...]
    strikes: tuple[Strike, ...]
    ended: tuple[Ended, ...]

    @property
    def lease_timing(self) -> LeaseTiming:
        return LeaseTiming(**self.timing)

    def of_kind(self, *kinds: str) -> list[Said]:
        """Lines of these kinds in order of time."""
        return sorted((line for line in self.said if line.kind in kinds), key=lambda line: line.at)

    def as_json(self) -> str:
        return json.dumps(asdict(self), indent=1)


def from_json(text: str) -> History:
    data: dict[str, Any] = json.loads(text)
    rows = {
        "said": Said,
        "changes": LeaseChange,
        "written": Written,
        "arrivals": Arrival,
        "strikes": Strike,
        "ended": Ended,
    }
    for name, row in rows.items():
        data[name] = tuple(row(**values) for values in data[name])
    return History(**data)


_SAID = {each.name for each in fields(Said)} - {"worker"}


def read_diary(worker: str, lines: Iterable[str]) -> list[Said]:
    """A diary's whole lines; a last one that was cut off by the end of its process is not there."""
    return [
        Said(worker=worker, **{name: value for name, value in json.loads(line).items() if name in _SAID})
        for line in lines
        if line.endswith("\n")
    ]

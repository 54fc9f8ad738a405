"""What a lease is: its scopes, keys, token and timing, and when the right to act has ended. [P]

Clock readings and rows come in as values; nothing here asks a clock or a database.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import quote
from uuid import UUID

from prodsafe.errors import ExitCode, Refusal, RefusalKind

HELD = RefusalKind("L01", "lease-held", ExitCode.LEASE_HELD)
LOST = RefusalKind("L02", "lease-lost", ExitCode.LEASE_LOST)
OVERDUE = RefusalKind("L03", "lease-overdue", ExitCode.LEASE_LOST)
ENDED = RefusalKind("L04", "lease-ended", ExitCode.LEASE_LOST)
COLLISION = RefusalKind("L05", "lease-key-collision")
MOVED = RefusalKind("L06", "lease-moved")
NO_TABLES = RefusalKind("L07", "lease-tables-missing", ExitCode.SCHEMA_NOT_READY)
NO_PRIVILEGE = RefusalKind("L08", "lease-no-privilege")
NOT_EXCLUSIVE = RefusalKind("L09", "lease-not-exclusive")
UNREADABLE = RefusalKind("L10", "lease-unreadable", ExitCode.UNREADABLE)
UNKNOWN_SCOPE = RefusalKind("L11", "lease-unknown-scope", ExitCode.USAGE)
JUMPED = RefusalKind("L13", "clock-jumped", ExitCode.LEASE_LOST)
FOREIGN_TABLES = RefusalKind("L14", "lease-tables-foreign")

SMALLEST_JUMP_SECONDS = 0.05  # a smaller difference of two clocks cannot be told from the noise of reading them

# (table, trigger, function) without which the lease's rows could be taken, set back or removed by hand
GUARDS = (
    ("lease", "lease_guard", "guard_lease"),
    ("lease", "lease_record", "record_lease"),
    ("lease", "lease_keep", "refuse_removal"),
    ("lease_history", "lease_history_keep", "refuse_removal"),
)

_KEY_PREFIX = b"prodsafe lease key v1\0"
_FINGERPRINT_PREFIX = b"prodsafe api key v1\0"


@dataclass(frozen=True, slots=True)
class LeaseTiming:
    """How long a lease lives without a beat, and how long a successor waits; all in seconds.

    The defaults are research-backed for a healthy network; a slow machine widens them, never one alone.
    request_expiry_seconds: the venue refuses a request older than this; clock_skew_seconds: ours against the venue's.
    """

    length_seconds: float = 2.0
    beat_seconds: float = 0.5
    request_expiry_seconds: float = 2.0
    clock_skew_seconds: float = 0.5
    margin_seconds: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < 2 * self.beat_seconds <= self.length_seconds:
            raise ValueError(
                f"beat_seconds={self.beat_seconds} must be positive and at most half of"
                f" length_seconds={self.length_seconds}"
            )
        if min(self.request_expiry_seconds, self.clock_skew_seconds, self.margin_seconds) < 0:
            raise ValueError("request expiry, clock skew and margin cannot be negative")

    @property
    def grace_parts(self) -> dict[str, float]:
        """What the grace is made of, in seconds; kept beside it in the lease row, for people."""
        return {
            "lease": self.length_seconds,
            "request_expiry": self.request_expiry_seconds,
            "clock_skew": self.clock_skew_seconds,
            "margin": self.margin_seconds,
        }

    @property
    def grace_seconds(self) -> float:
        """After this wait no request of an unclean predecessor can still be accepted."""
        return sum(self.grace_parts.values())

    @property
    def jump_seconds(self) -> float:
        """A wall clock that steps by more than this ends the lease: half of the skew that the grace allows for."""
        return max(self.clock_skew_seconds / 2, SMALLEST_JUMP_SECONDS)

    @property
    def idle_session_seconds(self) -> float:
        """The server frees the lock of a session silent for this long: crash, cut and freeze alike."""
        return 2.5 * self.length_seconds


@dataclass(frozen=True, slots=True)
class Token:
    """Travels with every write. The epoch alone may repeat on two primaries after an asynchronous failover."""

    timeline: int
    epoch: int
    holder: UUID


@dataclass(frozen=True, slots=True)
class Holder:
    """Who takes the lease, in words for people; never secret. schema_range: {migration set: (oldest, newest)}."""

    host: str
    pid: int
    version: str
    who: str
    schema_range: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """One scope as the database sees it. Times are aware UTC; ages are by the database's clock.

    state: arming | active | released | fenced. lock_pid: the server process that holds the lock now, None if nobody.
    """

    scope: str
    epoch: int
    holder: UUID
    timeline: int
    state: str
    acquired_at: datetime
    grace_seconds: float
    schema_range: Mapping[str, Sequence[int]]
    host: str
    pid: int
    version: str
    who: str
    reason: str
    beat_age_seconds: float | None
    lock_pid: int | None
    grace_parts: Mapping[str, float] = field(default_factory=dict)  # sums up to grace_seconds; {} where not recorded

    @property
    def successor_waits_seconds(self) -> float:
        """The grace that a successor of this very state waits: none after a clean release."""
        return 0.0 if self.state == "released" else self.grace_seconds

    def grace_as_text(self) -> str:
        """E.g. "5 s = lease 2 + request expiry 2 + clock skew 0.5 + margin 0.5"; "0 s, released" after a release."""
        if self.state == "released":
            return "0 s, released"
        parts = " + ".join(f"{name.replace('_', ' ')} {seconds:g}" for name, seconds in _in_order(self.grace_parts))
        return f"{self.grace_seconds:g} s" + (f" = {parts}" if parts else "")

    def as_text(self) -> str:
        """One clause that names the holder: who, where, since when, which epoch, how fresh."""
        since = self.acquired_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        beat = "no beat yet" if self.beat_age_seconds is None else f"last beat {self.beat_age_seconds:.1f} s ago"
        where = f"{self.who} at host {self.host}, pid {self.pid}"
        return f"{where}, since {since}, epoch {self.epoch}, {self.state}, {beat}"

    def as_dict(self) -> dict[str, object]:
        return {
            "scope": self.scope,
            "state": self.state,
            "locked": self.lock_pid is not None,
            "epoch": self.epoch,
            "holder": str(self.holder),
            "timeline": self.timeline,
            "acquired_at": self.acquired_at.astimezone(UTC).isoformat(),
            "beat_age_seconds": self.beat_age_seconds,
            "grace_seconds": self.grace_seconds,
            "grace_parts": dict(_in_order(self.grace_parts)),
            "successor_waits_seconds": self.successor_waits_seconds,
            "host": self.host,
            "pid": self.pid,
            "version": self.version,
            "who": self.who,
            "reason": self.reason,
            "schema_range": {name: list(span) for name, span in self.schema_range.items()},
        }


def _in_order(parts: Mapping[str, float]) -> list[tuple[str, float]]:
    """As LeaseTiming names them, since jsonb keeps no order; what a newer program added comes last."""
    known = list(LeaseTiming().grace_parts)
    return sorted(parts.items(), key=lambda part: (known.index(part[0]) if part[0] in known else len(known), part[0]))


@dataclass(frozen=True, slots=True)
class Waiting:
    """Progress of an acquisition. phase: "held" (somebody else has it), "server" (no primary answers, e.g. during a
    failover; `cause` says why) or "grace" (an unclean predecessor may still be sending)."""

    phase: str
    waited_seconds: float
    left_seconds: float
    holder: LeaseRow | None = None
    cause: str = ""

    def as_text(self) -> str:
        if self.phase == "server":
            return f"standing by, {self.left_seconds:.0f} s left: no primary answers: {self.cause}"
        if self.phase == "grace":
            return f"waiting out the grace after an unclean predecessor: {self.left_seconds:.1f} s left"
        held_by = "an unnamed holder" if self.holder is None else self.holder.as_text()
        return f"standing by, {self.left_seconds:.0f} s left: lease held by {held_by}"


class Clocks(NamedTuple):
    """One reading of three clocks, in seconds: stops while suspended, runs while suspended, can be stepped."""

    monotonic: float
    boottime: float
    realtime: float


def elapsed_seconds(then: Clocks, now: Clocks) -> float:
    """How long it may have been, by the clock that thinks longest.

    A suspend stops only the monotonic clock; a paused virtual machine may stop both and be stepped afterwards.
    """
    return max(now.monotonic - then.monotonic, now.boottime - then.boottime, now.realtime - then.realtime)


def stepped_seconds(then: Clocks, now: Clocks) -> float:
    """How far the wall clock was set forward (back: negative) between two readings, beside what really passed."""
    return (now.realtime - then.realtime) - (now.boottime - then.boottime)


class Deadline:
    """The lease ends length_seconds after the sending of its last good beat, and when the wall clock jumps between two
    readings: what we sign expires by that clock. Once over, it stays over.

    Only neighbouring readings are compared, so a clock that is slewed slowly never adds up to a jump. Several threads
    may ask at once: each field is one assignment, and a lost one only makes a reading's neighbour a little older.
    """

    def __init__(self, length_seconds: float, sent: Clocks, jump_seconds: float) -> None:
        self._length_seconds = length_seconds
        self._jump_seconds = jump_seconds
        self._sent = sent
        self._last = sent
        self._over = False
        self.jumped_seconds: float | None = None  # the step of the wall clock that ended it

    def elapsed_seconds(self, now: Clocks) -> float:
        return elapsed_seconds(self._sent, now)

    def is_over(self, now: Clocks) -> bool:
        if self._over:
            return True
        last, self._last = self._last, now
        stepped = stepped_seconds(last, now)
        if abs(stepped) > self._jump_seconds:
            self.jumped_seconds = stepped
            self._over = True
        elif elapsed_seconds(self._sent, now) >= self._length_seconds:
            self._over = True
        return self._over

    def renew(self, sent: Clocks, now: Clocks) -> bool:
        """Count from the sending of a beat that was answered by now; False when the answer came too late."""
        if self.is_over(now) or elapsed_seconds(sent, now) >= self._length_seconds:
            self._over = True
            return False
        self._sent = sent
        return True


def account_scope(exchange_id: str, account: str, environment: str) -> str:
    """The scope of an account's name; blanks around it and letter case do not make another account."""
    return _scope("account", exchange_id, account, environment)


def key_scope(exchange_id: str, api_key: str) -> str:
    """The scope of an API key's fingerprint, so that neither another account name nor another environment evades it."""
    if not api_key.strip():
        raise ValueError("an empty API key has no scope")
    fingerprint = hashlib.sha256(_FINGERPRINT_PREFIX + api_key.strip().encode()).hexdigest()[:32]
    return _scope("key", exchange_id, fingerprint)


def _scope(kind: str, *parts: str) -> str:
    clean = [part.strip().casefold() for part in parts]
    if not all(clean):
        raise ValueError(f"a scope of kind {kind} needs all its parts, got {parts!r}")
    return "/".join([kind, *(quote(part, safe="") for part in clean)])


def lock_key(scope: str) -> int:
    """The advisory lock of a scope: 64 bits, the same on every machine whatever its byte order."""
    return int.from_bytes(hashlib.sha256(_KEY_PREFIX + scope.encode()).digest()[:8], "big", signed=True)


def scope_hash(scope: str) -> str:
    """Eight hex digits that stand for the scope in a client order id."""
    return hashlib.sha256(scope.encode()).hexdigest()[:8]


def ordered_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """The fixed order in which every program takes several scopes, each once."""
    ordered = tuple(sorted(set(scopes)))
    if not ordered or "" in ordered:
        raise ValueError("a lease needs at least one scope, and none of them empty")
    return ordered


def refuse_held(scope: str, row: LeaseRow | None, lock_pid: int | None) -> Refusal:
    """The refusal that names the holder; a lock without a held row belongs to a session that has not named itself."""
    server = "" if lock_pid is None else f" (server process {lock_pid})"
    if row is None or row.state in ("released", "fenced"):
        who = f"a session that has not named itself yet{server}"
    else:
        who = row.as_text() + server
    return HELD.because(
        f"another worker holds the lease: {who}",
        seen=scope,
        mend="stop that worker (SIGTERM releases it), or stand by with LOCK_WAIT_SECONDS, or, when it is surely wrong,"
        f" prodsafe lock release --scope {scope} --force --reason WHY",
    )


def judge_tables(owners: Mapping[str, str], guards: Collection[tuple[str, ...]]) -> Refusal | None:
    """None when the tables of schema prodsafe are those that our migrations made.

    owners: table -> role; guards: (table, trigger, function) of the enabled triggers. Without a lease table nothing is
    foreign: it is missing, and who reads it says so.
    """
    if "lease" not in owners:
        return None
    ours = owners.get("migration")
    wrong = [
        f"prodsafe.{table} belongs to {owner}"
        for table, owner in sorted(owners.items())
        if table.startswith("lease") and owner != ours
    ]
    missing = sorted(set(GUARDS) - set(guards))
    wrong += [f"trigger {trigger} ({function}) does not guard prodsafe.{table}" for table, trigger, function in missing]
    if not wrong:
        return None
    ledger = f"belongs to {ours}" if ours else "is not there"
    return FOREIGN_TABLES.because(
        f"the lease tables are not, or no longer, what migrate_schema.py made: {'; '.join(wrong)}; the ledger"
        f" prodsafe.migration {ledger}",
        mend="find out who changed them, and whether this is the right database; then set owners and triggers right"
        " (RUNBOOK L14 has the commands)",
    )


def refuse_overdue(scope: str, elapsed: float, length_seconds: float) -> Refusal:
    return OVERDUE.because(
        f"no good beat for {elapsed:.1f} s, a lease lasts {length_seconds:g} s: the database was too slow or cut off,"
        " or this process was frozen",
        seen=scope,
        mend="let the supervisor restart the worker; it waits the grace and reconciles. If it comes back, look at the"
        " database's and this machine's load",
    )


def refuse_jumped(scope: str, stepped: float, limit_seconds: float) -> Refusal:
    way = "forward" if stepped > 0 else "back"
    return JUMPED.because(
        f"this machine's wall clock was set {way} by {abs(stepped):.2f} s at once, more than {limit_seconds:g} s:"
        " requests that we sign expire by that clock, so the venue might have taken them for too long",
        seen=scope,
        mend="let the supervisor restart the worker; it waits the grace and reconciles. Then see what sets the clock"
        " (chronyc tracking, timedatectl): it must be slewed, not stepped",
    )


def refuse_lost(scope: str, why: str) -> Refusal:
    return LOST.because(
        why,
        seen=scope,
        mend="let the supervisor restart the worker; it reconciles before it acts. Who has it: prodsafe lock status",
    )


def refuse_ended(scope: str) -> Refusal:
    return ENDED.because(
        "this program gave the lease back and then asked for a permit to act",
        seen=scope,
        mend="stop sending before release(); this is a fault in the program, report it",
    )

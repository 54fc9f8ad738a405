"""A seed -> a schedule: who runs, what goes wrong, when and for how long. Printable; nothing is played here. [P]"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from prodsafe.lease_model import LeaseTiming
from tests.chaos.points import POINTS

STOPS = tuple(f"stop_{point}" for point in POINTS)
CUTS = tuple(f"{path}_cut_{way}" for path in ("db", "venue") for way in ("both", "up", "down"))
FAILOVERS = ("failover_async", "failover_sync")
POOLERS = ("pooler_transaction", "pooler_session")
KINDS = (
    *("kill", "freeze", "terminate", "discard_all", "sigterm", "kill_backend", "restart_immediate", "restart_fast"),
    *STOPS,
    *CUTS,
    *("db_delay", "venue_delay", "clock_offset", "slow_commit", "forged", "crowd", "kill_in_grace"),
    *FAILOVERS,
    *POOLERS,
)
STRIDE = 11  # prime to the number of kinds: each run of so many neighbouring seeds begins with every kind once

PROMISED_SKEW_SECONDS = 0.4  # within LIVE_CLOCK_SKEW_SECONDS
PRODUCT = LeaseTiming()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """kind: one of KINDS. delay_seconds: after the one before it, or after the workers stand.

    settled: wait first until the one before is over and somebody holds the lease. seconds: how long, 0 where it has no
    length. size: seconds of delay or of clock offset. terminated: the lock's session is ended too, at once, so that a
    successor takes over while the victim stands still.
    """

    kind: str
    delay_seconds: float
    settled: bool = False
    seconds: float = 0.0
    size: float = 0.0
    terminated: bool = False

    def as_text(self) -> str:
        when = f"{'settled + ' if self.settled else '+ '}{self.delay_seconds:.2f} s"
        length = f" for {self.seconds:.2f} s" if self.seconds else ""
        size = f" of {self.size:+.2f} s" if self.size else ""
        return f"{when} {self.kind}{size}{length}{', its session terminated' if self.terminated else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """worker_kind: "sender" or "whole". pace_seconds: between two sends. linger_seconds: an alert hook's dwelling.

    crowd: all workers start at the same moment, else the first one before its standbys.
    """

    seed: int
    faults: tuple[Fault, ...]
    workers: int = 2
    worker_kind: str = "sender"
    pace_seconds: float = 0.05
    linger_seconds: float = 0.4
    crowd: bool = False
    timing: LeaseTiming = PRODUCT
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def promised(self) -> bool:
        return all(fault.kind != "failover_async" for fault in self.faults)

    @property
    def is_busy(self) -> bool:
        return self.worker_kind == "sender" and self.pace_seconds < 1

    @property
    def needs_cluster(self) -> bool:
        """A failover leaves its servers unusable for others."""
        return any(fault.kind in FAILOVERS for fault in self.faults)

    def as_text(self) -> str:
        pace = "" if self.worker_kind == "whole" else "busy " if self.is_busy else "quiet "
        together = " at once" if self.crowd else ""
        faults = "; ".join(fault.as_text() for fault in self.faults)
        return f"seed {self.seed}: {self.workers} {pace}{self.worker_kind}s{together}: {faults}"


def first_kind(seed: int) -> str:
    return KINDS[seed * STRIDE % len(KINDS)]


def draw(seed: int) -> Schedule:
    rng = random.Random(seed)
    kinds = [first_kind(seed)]
    if kinds[0] not in FAILOVERS:
        others = [kind for kind in KINDS if kind not in (*FAILOVERS, "crowd")]
        kinds += rng.choices(others, k=rng.choices((0, 1, 2), weights=(60, 30, 10))[0])
    faults = tuple(_draw_fault(rng, kind, first=number == 0) for number, kind in enumerate(kinds))
    crowd = "crowd" in kinds
    busy = rng.random() < 0.75 or any(kind in (*STOPS, "slow_commit", "venue_delay") for kind in kinds)
    whole = not crowd and not any(kind in STOPS for kind in kinds) and rng.random() < 0.15
    return Schedule(
        seed=seed,
        faults=faults,
        workers=5 if crowd else rng.choices((2, 3), weights=(80, 20))[0],
        worker_kind="whole" if whole else "sender",
        pace_seconds=0.05 if busy else 3.0,
        linger_seconds=rng.choice((0.0, 0.4)),
        crowd=crowd,
    )


def _draw_fault(rng: random.Random, kind: str, *, first: bool) -> Fault:
    length = PRODUCT.length_seconds
    settled = not first and rng.random() < 0.4
    delay = rng.uniform(0.1, 1.2) if first or settled else rng.uniform(0.05, 4.0)
    if kind == "freeze" or kind in STOPS:
        seconds = rng.uniform(0, 3 * length)
        return Fault(
            kind=kind,
            delay_seconds=delay,
            settled=settled,
            seconds=seconds,
            terminated=kind != "freeze" and rng.random() < 0.5,
        )
    if kind in CUTS or kind == "slow_commit":
        seconds = rng.uniform(0.2, 3 * length)
        size = rng.uniform(0.2, 3.0) if kind == "slow_commit" else 0.0
        return Fault(kind=kind, delay_seconds=delay, settled=settled, seconds=seconds, size=size)
    if kind in ("db_delay", "venue_delay"):
        most = 0.6 if kind == "db_delay" else 2 * length
        return Fault(
            kind=kind,
            delay_seconds=delay,
            settled=settled,
            seconds=rng.uniform(0.5, 3 * length),
            size=rng.uniform(0.02, most),
        )
    if kind == "clock_offset":
        offset = rng.uniform(-PROMISED_SKEW_SECONDS, PROMISED_SKEW_SECONDS)
        return Fault(kind=kind, delay_seconds=delay, settled=settled, size=offset, seconds=rng.uniform(0.5, 3 * length))
    if kind in FAILOVERS:  # how long the standby falls behind before it is promoted
        return Fault(
            kind=kind, delay_seconds=delay, seconds=rng.uniform(0.3, 1.5 * length), terminated=rng.random() < 0.5
        )
    return Fault(kind=kind, delay_seconds=delay, settled=settled)

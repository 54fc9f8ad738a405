"""What lives have reached: a simulation in which nothing happens proves nothing. [P]"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from live.order_id import parse
from live.position import Phase
from tests.simulation.stage import BEGAN, Stage
from tests.simulation.weather import KINDS


@dataclass(slots=True)
class Coverage:
    """Sums over lives, but for naked_seconds, which is the longest of any. crashes: by (before or after, effect)."""

    lives: int = 0
    hours: float = 0.0
    workers: int = 0
    orders: int = 0
    fills: int = 0
    effects: int = 0
    naked_seconds: float = 0.0
    struck: Counter[str] = field(default_factory=Counter)
    crashes: Counter[tuple[str, str]] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    phases: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, stage: Stage) -> Coverage:
        book = stage.worker.book if stage.worker else None
        ended = Counter(position.phase for position in book.positions.values()) if book else Counter()
        return cls(
            lives=1,
            hours=(stage.time - BEGAN).total_seconds() / 3600,
            workers=stage.store.holders[stage.scope][0],
            orders=sum(stage.sent.values()),
            fills=sum(1 for each in stage.venue.book.executions if parse(each.order.client_order_id)),
            effects=len(stage.effects),
            naked_seconds=stage.naked.seconds_max,
            struck=Counter(stage.struck),
            crashes=Counter(stage.crashes),
            events=Counter(row.kind for _, row in stage.store.rows),
            phases=Counter({str(phase): times for phase, times in (stage.phases + ended).items()}),
            verdicts=Counter(each.word for each in stage.venue.arrivals),
        )

    def add(self, other: Coverage) -> None:
        for name in ("lives", "hours", "workers", "orders", "fills", "effects"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("struck", "crashes", "events", "phases", "verdicts"):
            getattr(self, name).update(getattr(other, name))
        self.naked_seconds = max(self.naked_seconds, other.naked_seconds)

    def missing(self) -> list[str]:
        """Kinds of fault and phases that no life has seen."""
        return [*(kind for kind in KINDS if not self.struck[kind]), *(p for p in Phase if not self.phases[p])]


def lines(seen: Coverage) -> Iterator[str]:
    """The coverage for people, one table after the other."""
    yield (
        f"{seen.lives} lives, {seen.hours:.0f} simulated hours, {seen.workers} workers, {seen.orders} orders sent, "
        f"{seen.fills} fills, {seen.effects} durable effects"
    )
    yield f"longest time without a stop while the venue answered a worker: {seen.naked_seconds:.1f} s"
    yield ""
    yield f"faults: {len(KINDS)} kinds, struck {sum(seen.struck.values())} times"
    for kind, (_, says) in KINDS.items():
        yield f"  {kind:<18}{seen.struck[kind]:>9}  {says}"
    crashed = {effect for _, effect in seen.crashes}
    yield ""
    yield f"crashes: {sum(seen.crashes.values())}, at {len(crashed)} kinds of effect (times before, times after)"
    for effect in sorted(crashed):
        yield f"  {seen.crashes['before', effect]:>6}{seen.crashes['after', effect]:>7}  {effect}"
    yield ""
    yield f"events: {_listed(seen.events)}"
    yield f"phases: {_listed(seen.phases)}"
    yield f"the venue's words: {_listed(seen.verdicts)}"
    if missing := seen.missing():
        yield f"never seen: {', '.join(missing)}"


def _listed(counted: Counter[str]) -> str:
    return ", ".join(f"{name} {times}" for name, times in sorted(counted.items()))

"""Running totals of a worker: what was counted and how long it took, as plain numbers that a status row carries. [P]

A key is written as Prometheus writes a sample, `orders_total{leg="stop",outcome="accepted"}`, so that the worker, the
dedicated health component and a dashboard all read the same thing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

TICK_BUCKETS_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(frozen=True, slots=True)
class Meter:
    """kind: counter | summary (a sum and a count) | histogram (those and buckets). labels: in the order of the key."""

    kind: str
    meaning: str
    labels: tuple[str, ...] = ()


METERS: Mapping[str, Meter] = {
    "ticks_total": Meter("counter", "looks at the venue that were finished"),
    "tick_seconds": Meter("histogram", "how long one look and all that follows from it took"),
    "orders_total": Meter("counter", "orders sent, by leg and what the venue answered", ("leg", "outcome")),
    "fills_total": Meter("counter", "fills taken into the book, ours and foreign ones", ("of",)),
    "decisions_total": Meter("counter", "closed candles decided on, by whether an entry was taken", ("taken",)),
    "journal_commit_seconds": Meter("summary", "commits to the journal and how long they took"),
    "venue_request_seconds": Meter("summary", "requests to the venue and how long they took", ("request",)),
    "venue_failures_total": Meter("counter", "requests to the venue without a usable answer", ("request",)),
    "limiter_wait_seconds": Meter("summary", "requests that stood in line for the venue's limits", ("lane",)),
    "alerts_total": Meter("counter", "alerts, by what became of them", ("result",)),
}


class Meters:
    """The totals of one process. Not shared between threads."""

    def __init__(self) -> None:
        self._totals: dict[str, float] = {}

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        self._add(key(name, labels), amount)

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        """One more of a summary or a histogram."""
        meter = METERS[name]
        self._add(key(f"{name}_sum", labels), seconds)
        self._add(key(f"{name}_count", labels), 1)
        if meter.kind == "histogram":
            for bound in TICK_BUCKETS_SECONDS:
                self._add(key(f"{name}_bucket", {**labels, "le": f"{bound:g}"}), float(seconds <= bound))

    def totals(self) -> dict[str, float]:
        """Every total so far, by key."""
        return dict(self._totals)

    def _add(self, name: str, amount: float) -> None:
        self._totals[name] = self._totals.get(name, 0.0) + amount


def key(name: str, labels: Mapping[str, str]) -> str:
    """`name{label="value"}`; what would end a value early is replaced, since a key is read back."""
    if not labels:
        return name
    inside = ",".join(f'{label}="{_plain(value)}"' for label, value in labels.items())
    return f"{name}{{{inside}}}"


def parse_key(text: str) -> tuple[str, dict[str, str]]:
    """(name, labels) of a key. Raises ValueError on what no `key` made."""
    name, brace, rest = text.partition("{")
    if not brace:
        return name, {}
    pairs = [part.partition("=") for part in rest.removesuffix("}").split('",')]
    return name, {label: value.strip('"') for label, equals, value in pairs if equals}


def _plain(value: str) -> str:
    return "".join("_" if letter in '",={}\\\n' else letter for letter in value)

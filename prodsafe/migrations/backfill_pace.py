"""How fast a backfill goes: the size of the next batch, the pause before it, and its progress in words. [P]"""

from __future__ import annotations

from dataclasses import dataclass, replace

TARGET_MS = 200.0  # of one batch: as long as anybody who wants one of its rows waits
SPAN = 10  # the size goes from a tenth of the file's to ten times it, to one row where batches do not get through
SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # seconds, after a batch that did not get through
LARGEST_LAG_BYTES = 256 * 1024 * 1024  # a standby whose lag has no time yet
BAR_CELLS = 24


@dataclass(frozen=True, slots=True)
class Throttle:
    """What a person may set. size: rows of a batch at most, None for the file's; max_rate: rows a second."""

    size: int | None = None
    pause_seconds: float = 0.0
    max_rate: float | None = None
    max_lag_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class Pace:
    """size: rows of the next batch; failures: how often in a row the last one did not get through."""

    size: int
    smallest: int
    largest: int
    failures: int = 0

    @classmethod
    def starting(cls, file_size: int, throttle: Throttle) -> Pace:
        size = throttle.size or file_size
        return cls(size, max(1, size // SPAN), size if throttle.size else size * SPAN)

    def after(self, rows: int, took_ms: float, waiters: int) -> Pace:
        """After a batch: toward TARGET_MS, at most twice or half of it; half where others waited for our locks."""
        wanted = self.size * min(2.0, max(0.5, TARGET_MS / max(took_ms, 0.1)))
        if waiters:
            wanted = min(wanted, self.size / 2)
        elif rows < self.size:  # the last one, or few were left: it says nothing of a full one
            wanted = min(wanted, self.size)
        return replace(self, size=max(self.smallest, min(self.largest, round(wanted))), failures=0)

    def refused(self) -> Pace:
        """After a batch that was rolled back: a lock that never came, a deadlock, the time of one statement."""
        return replace(self, size=max(1, self.size // 2), smallest=1, failures=self.failures + 1)

    @property
    def pause_after_refusal(self) -> float:
        """Seconds; with jitter by the caller."""
        return min(LONGEST_PAUSE, SHORTEST_PAUSE * 2.0 ** min(self.failures, 10))


def pause_seconds(throttle: Throttle, rows: int, took_ms: float, waiters: int) -> float:
    """How long to wait after a batch: as told, as the rate wants, and as long again as others waited for it."""
    seconds = took_ms / 1000
    by_rate = rows / throttle.max_rate - seconds if throttle.max_rate else 0.0
    return max(throttle.pause_seconds, by_rate, seconds if waiters else 0.0)


@dataclass(frozen=True, slots=True)
class Lag:
    """One standby. seconds, bytes: None where the server does not say; visible: whether our role may know."""

    name: str
    seconds: float | None
    bytes: int | None
    visible: bool = True


def behind(lags: list[Lag], throttle: Throttle) -> str | None:
    """Which standby is too far behind, in words; None when none is."""
    for lag in lags:
        if lag.seconds is not None and lag.seconds > throttle.max_lag_seconds:
            return f"standby {lag.name or 'unnamed'} is {lag.seconds:.1f} s behind"
        if lag.seconds is None and (lag.bytes or 0) > LARGEST_LAG_BYTES:
            return f"standby {lag.name or 'unnamed'} is {(lag.bytes or 0) / 2**20:,.0f} MB behind"
    return None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a backfill is. last_key: as the server writes it, None before the first batch; rows: that it changed.

    walked: rows met; expected: rows of the table when it began, None when unknown.
    """

    table: str = ""
    key: str = ""
    key_type: str = ""
    last_key: str | None = None
    walked: int = 0
    rows: int = 0
    batches: int = 0
    expected: int | None = None
    finished: bool = False

    @property
    def share(self) -> float | None:
        """Of the whole, 0 to 1; under 1 until it is finished."""
        if self.finished:
            return 1.0
        return min(0.999, self.walked / self.expected) if self.expected else None

    def as_words(self) -> str:
        if self.batches == 0:
            return "not a batch done yet"
        share = f", {100 * self.share:.1f} %" if self.share is not None and not self.finished else ""
        counted = f"{self.walked:,} rows walked, {self.rows:,} changed{share}"
        return counted if self.finished else f"{counted}, up to {self.key} {self.last_key}"

    def as_dict(self) -> dict[str, object]:
        return {
            "table": self.table,
            "key": self.key,
            "last_key": self.last_key,
            "rows_walked": self.walked,
            "rows_changed": self.rows,
            "batches": self.batches,
            "rows_expected": self.expected,
            "finished": self.finished,
        }


def progress_line(progress: Progress, *, since: Progress, seconds: float, bar: bool = False) -> str:
    """One line: share, rows, rate and what is left. since: the progress so many seconds ago, when this run began."""
    rate = (progress.walked - since.walked) / seconds if seconds > 0 else 0.0
    share = progress.share
    parts = []
    if share is not None:
        full = round(share * BAR_CELLS)
        cells = "#" * full + "." * (BAR_CELLS - full)
        parts.append(f"{f'[{cells}] ' if bar else ''}{100 * share:5.1f} %")
    parts.append(f"{progress.walked:,} rows")
    parts.append(f"{rate:,.0f} rows/s")
    if progress.expected and rate and not progress.finished:
        parts.append(f"about {duration(max(0, progress.expected - progress.walked) / rate)} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"

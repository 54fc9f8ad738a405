"""Whether entries are allowed at all, and why not. Stops and exits are never asked. [P]"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from live.status import Halt

UNREADABLE_TICKS = 3  # looks in vain, one after the other, until the worker calls itself degraded


@dataclass(frozen=True, slots=True)
class Hold:
    """Why no entry is sent now, whatever the candles say. code: stable, as a denial's."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Senses:
    """How well the worker sees and is heard.

    unreadable_ticks: looks in vain since the last good one. skew_seconds: our clock beside the venue's, None before its
    first reply. stale_symbols: their newest closed candle is overdue. alerts_failing: the last ones reached nobody.
    """

    unreadable_ticks: int = 0
    skew_seconds: float | None = None
    allowed_skew_seconds: float = 0.5
    stale_symbols: tuple[str, ...] = ()
    alerts_failing: bool = False

    @property
    def is_skewed(self) -> bool:
        return self.skew_seconds is not None and self.skew_seconds > self.allowed_skew_seconds


def degraded(senses: Senses) -> tuple[str, ...]:
    """Why entries stop although nobody halted, each in words; () when all senses are sound.

    A symbol with overdue candles holds back nobody else: without an opinion it has no entry of its own.
    """
    found = [
        (senses.unreadable_ticks >= UNREADABLE_TICKS, f"venue unreadable {senses.unreadable_ticks} looks in a row"),
        (senses.is_skewed, f"our clock and the venue's differ by {senses.skew_seconds or 0:.2f} s"),
        (senses.alerts_failing, "alerts reach nobody"),
        (bool(senses.stale_symbols), f"candles overdue: {', '.join(senses.stale_symbols)}"),
    ]
    return tuple(words for wrong, words in found if wrong)


def hold_on_entries(
    latch: Halt, senses: Senses, *, mismatches: Collection[str], flattening: Collection[object] = ()
) -> Hold | None:
    """The first reason against any entry, the gravest first; None when there is none."""
    if latch.halted:
        return Hold("halted", latch.reason or "the halt latch is set")
    if flattening:
        return Hold("flattening", "a person asked to be flat")
    if senses.is_skewed:
        return Hold("clock-skew", f"our clock and the venue's differ by {senses.skew_seconds or 0:.2f} s")
    if senses.unreadable_ticks >= UNREADABLE_TICKS:
        return Hold("venue-unreadable", f"the venue was unreadable {senses.unreadable_ticks} looks in a row")
    if senses.alerts_failing:
        return Hold("alerts-failing", "alerts reach nobody: what goes wrong now, nobody would hear of")
    if mismatches:
        return Hold("unreconciled", f"book and venue differ on {', '.join(mismatches)}")
    return None

"""Which contracts the venue lists, and whether a new list is believed. [P]

A degraded list reads like a venue that delisted half its contracts (I30), or like none of our specs (I44). So a list
that lost too many, lacks a contract that we trade or hold, or tells other sizes of one, waits for a second reading
that says the same. Until then, and for what is held as long as the process lives, the last good spec sizes stops
and exits.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from live.model import Denied, Instrument

Instruments = Mapping[str, Instrument]

_FIXED = ("venue_id", "tick_size", "qty_step", "min_qty", "contract_size")
"""What must not change under an open position; margins and leverage may."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The last list that was believed, and the one that is not yet.

    instruments: the newest believed spec of every contract ever listed. tradeable: those of the last believed list.
    read_at: when that was read, aware UTC. doubted: the list that waits for a second reading, and why by symbol.
    """

    instruments: Instruments
    tradeable: frozenset[str]
    read_at: datetime
    doubted: Instruments = field(default_factory=dict)
    doubts: Mapping[str, str] = field(default_factory=dict)

    def for_entry(self, symbol: str, now: datetime, max_age_minutes: Decimal) -> Instrument | Denied:
        """The spec to enter by, or why there is none: gone, doubted, or read too long ago."""
        minutes = Decimal((now - self.read_at).total_seconds()) / 60
        if minutes > max_age_minutes:
            reason = f"the venue's list of contracts is {minutes:.0f} min old, limit {max_age_minutes}"
            return Denied(symbol, "listing-age", reason, minutes, max_age_minutes, "min")
        if symbol in self.doubts:
            return Denied(symbol, "listing-doubted", self.doubts[symbol])
        if symbol not in self.tradeable:
            return Denied(symbol, "not-listed", "the venue does not list it as tradeable")
        return self.instruments[symbol]


WHOLE_LIST = "*"
"""Under this name stands the doubt about a list as a whole."""


def accept(
    known: Listing | None, read: Instruments, at: datetime, *, needed: Collection[str], max_shrink_pct: Decimal
) -> Listing:
    """The listing after one more reading. The first is believed; its lack of a needed symbol is the boot's to refuse.

    needed: symbols that we trade or hold. at: when it was read, aware UTC.
    """
    if known is None:
        return Listing(dict(read), frozenset(read), at)
    doubts = _doubts(known, read, needed, max_shrink_pct)
    if doubts and not _agree(known.doubted, read, needed):
        return replace(known, doubted=dict(read), doubts=doubts)
    return Listing({**known.instruments, **read}, frozenset(read), at)


def _doubts(known: Listing, read: Instruments, needed: Collection[str], max_shrink_pct: Decimal) -> dict[str, str]:
    """Why this list is not believed at once, by symbol; {} where it looks as the one before did."""
    found = {
        symbol: doubt
        for symbol in sorted(needed)
        if symbol in known.tradeable and (doubt := _doubt(known.instruments[symbol], read.get(symbol)))
    }
    kept = len(known.tradeable & read.keys())
    if (len(known.tradeable) - kept) * 100 > max_shrink_pct * len(known.tradeable):
        found[WHOLE_LIST] = f"only {kept} of {len(known.tradeable)} contracts are still listed"
    return found


def _doubt(before: Instrument, now: Instrument | None) -> str | None:
    if now is None:
        return "no longer listed"
    changes = [
        f"{name} {getattr(before, name)} became {getattr(now, name)}"
        for name in _FIXED
        if getattr(before, name) != getattr(now, name)
    ]
    return "; ".join(changes) or None


def _agree(doubted: Instruments, read: Instruments, needed: Collection[str]) -> bool:
    """Whether a reading repeats the one in doubt, as far as it was doubted."""
    return doubted.keys() == read.keys() and not any(
        symbol in read and _doubt(doubted[symbol], read[symbol]) for symbol in needed
    )

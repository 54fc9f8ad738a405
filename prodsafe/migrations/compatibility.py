"""Which schema a release can live with, and which contract files must wait for an older worker to leave. [P]

docs/decisions/2026-11-22-contracts-wait.md says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from prodsafe.migrations.files import PRODSAFE_SET, Migration

SAYS_NOTHING = "does not say which schema it needs, so it may need this (prodsafe run --set NAME=FOLDER says it)"


@dataclass(frozen=True, slots=True)
class LiveHolder:
    """Somebody who holds a lease now. lives_with: {set: (oldest, newest)} as stated, of the sets that it needs."""

    who: str
    lives_with: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Deferred:
    """A file that waits, and for whom."""

    migration: Migration
    because: str

    def as_dict(self) -> dict[str, object]:
        m = self.migration
        return {"set": m.set_name, "version": m.version, "name": m.name, "because": self.because}


def lives_with(files: Sequence[Migration]) -> tuple[int, int]:
    """(oldest, newest) version that the release of these files can live with; at least one file, by version.

    Its last contract files may still wait. Newer expand files are no hindrance to it, a newer contract file is: whoever
    runs that one looks whether `newest` reaches it.
    """
    needed = [file.version for file in files if file.kind != "contract"]
    return max(needed, default=0), files[-1].version


def forbids(holder: LiveHolder, migration: Migration) -> bool:
    """Whether this contract file takes away what the holder may need.

    Who names sets of its own names all that it needs. Who names none, as a program under `prodsafe run` without --set,
    may need anything.
    """
    span = holder.lives_with.get(migration.set_name)
    if span is None:
        return not holder.lives_with.keys() - {PRODSAFE_SET.name}
    return span[1] < migration.version


def waits_for(migration: Migration, holders: Sequence[LiveHolder]) -> str | None:
    """Who keeps a contract file waiting, in words; None when nobody does, and for every other kind of file."""
    if migration.kind != "contract":
        return None
    return next((_as_words(holder, migration) for holder in holders if forbids(holder, migration)), None)


def defer(
    pending: Sequence[Migration], holders: Sequence[LiveHolder]
) -> tuple[tuple[Migration, ...], tuple[Deferred, ...]]:
    """One set's pending files, in order: what may run now, and what waits.

    The order is kept: a file behind a waiting one waits too, since it may have been written for what that one leaves.
    """
    for at, migration in enumerate(pending):
        if because := waits_for(migration, holders):
            behind = [Deferred(later, f"comes after {migration.label}") for later in pending[at + 1 :]]
            return tuple(pending[:at]), (Deferred(migration, because), *behind)
    return tuple(pending), ()


def _as_words(holder: LiveHolder, migration: Migration) -> str:
    span = holder.lives_with.get(migration.set_name)
    knows = f"knows {migration.set_name} up to {span[1]:04d}" if span else SAYS_NOTHING
    return f"{holder.who} {knows}"

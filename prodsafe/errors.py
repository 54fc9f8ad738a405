"""What this program says when it refuses, and the few exceptions that carry a refusal to an exit code. [P]

A refusal has a stable id with a section in RUNBOOK.md, the value that was seen, the cause and one mend.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every entry point (SPEC section 4); a supervisor decides by them whether to restart."""

    OK = 0
    REFUSED = 1
    USAGE = 2
    LEASE_HELD = 3
    SCHEMA_NOT_READY = 4
    LEASE_LOST = 5
    UNREADABLE = 6
    BUG = 70


@dataclass(frozen=True, slots=True)
class RefusalKind:
    """One way to be refused. Rooms declare theirs as module constants; RUNBOOK.md has a section for each.

    A soft refusal is a warning that stops a first or interactive boot and that --force skips.
    """

    id: str
    name: str
    exit_code: ExitCode = ExitCode.REFUSED
    soft: bool = False

    def because(self, cause: str, *, mend: str, seen: str | None = None) -> Refusal:
        return Refusal(self, cause=cause, mend=mend, seen=seen)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal as a value. `seen` may hold a secret: only output.py, which masks, may print it."""

    kind: RefusalKind
    cause: str
    mend: str
    seen: str | None = None

    @property
    def id(self) -> str:
        return self.kind.id

    def as_text(self, verdict: str = "refused") -> str:
        """Three or four lines for a person; `verdict` is "warning" where a soft refusal is let through."""
        lines = [f"{verdict} {self.kind.id} {self.kind.name}"]
        if self.seen is not None:
            lines.append(f"  seen:  {self.seen}")
        return "\n".join([*lines, f"  cause: {self.cause}", f"  mend:  {self.mend}"])

    def as_dict(self) -> dict[str, str | bool | None]:
        return {
            "id": self.kind.id,
            "name": self.kind.name,
            "soft": self.kind.soft,
            "seen": self.seen,
            "cause": self.cause,
            "mend": self.mend,
        }


class Refused(Exception):
    """Stops an entry point with its refusals and their exit code."""

    def __init__(self, *refusals: Refusal) -> None:
        if not refusals:
            raise ValueError("a refusal without a reason helps nobody")
        self.refusals: Sequence[Refusal] = refusals
        super().__init__("\n".join(refusal.as_text() for refusal in refusals))

    @property
    def exit_code(self) -> ExitCode:
        return self.refusals[0].kind.exit_code


class GateRefused(Refused):
    """The environment is wrong: a person mends it. Exit 1."""


class DatabaseRefused(Refused):
    """The database is the wrong one (exit 1) or cannot be read (exit 6)."""


class SchemaNotReady(Refused):
    """The schema is behind, ahead, dirty or edited: a person runs the runbook. Exit 4."""


class LeaseHeld(Refused):
    """Another worker holds the lease: try later. Exit 3."""


class LeaseLost(Refused):
    """The right to act has ended while running: stop sending, then stop. Exit 5."""


class VenueUnreadable(Refused):
    """The venue could not be read well enough to act. Exit 6."""

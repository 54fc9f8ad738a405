"""The shared store behind an await at which the process may die, and a database that is slow, fails or goes silent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from live.events import Event, PersonAsked
from live.journal import JournalUnavailable, MemoryJournal
from live.status import Halt, HaltCause, Status
from prodsafe.errors import ExitCode, RefusalKind

if TYPE_CHECKING:
    from tests.simulation.stage import Stage

UNAVAILABLE = RefusalKind("R20", "journal-unavailable", ExitCode.LEASE_LOST)


def unavailable() -> JournalUnavailable:
    return JournalUnavailable(UNAVAILABLE.because("the database does not answer", mend="wait"))


class StageJournal(MemoryJournal):
    """Broken for good after its first failure, as PostgresJournal is."""

    def __init__(self, stage: Stage, *, epoch: int, holder: UUID) -> None:
        super().__init__(stage.store, scope=stage.scope, epoch=epoch, holder=holder, clock=stage.clock.now)
        self._stage = stage
        self._is_broken = False

    async def append(self, events: Sequence[Event]) -> None:
        if not events:
            return
        with self._stage.effect(f"append {' '.join(event.kind for event in events)}"):
            await self._reach()
            await super().append(events)
            self._stage.committed(self._epoch, events)
            self._lose_reply()
            self._stage.maybe_lose_lease()
            await self._stage.maybe_stand_still()

    async def halt(self, reason: str, by: str, cause: HaltCause = HaltCause.PERSON) -> None:
        with self._stage.effect("halt"):
            await self._reach()
            await super().halt(reason, by, cause)
            self._lose_reply()

    async def latch(self) -> Halt:
        self._require_answer()
        return await super().latch()

    async def asked(self, after_id: int) -> list[PersonAsked]:
        self._require_answer()
        return await super().asked(after_id)

    async def save_status(self, status: Status) -> None:
        self._require_answer()
        await super().save_status(status)

    async def _reach(self) -> None:
        """The way to the database: may take its time, may end before anything is written."""
        self._require_answer()
        if self._stage.hits("slow_commit"):
            seconds = self._stage.rng.uniform(0.5, 4)
            self._stage.naked.excuse(self._stage.time + timedelta(seconds=seconds))  # nothing leaves unwritten
            await self._stage.pass_(seconds)
        if self._stage.hits("failed_commit"):
            self._break("before")

    def _lose_reply(self) -> None:
        if self._stage.hits("lost_commit"):
            self._break("after")

    def _break(self, when: str) -> None:
        self._stage.say(f"the database goes {when} the commit")
        self._stage.lose_database()
        self._require_answer()

    def _require_answer(self) -> None:
        self._is_broken = self._is_broken or self._stage.database_is_down
        if self._is_broken:
            raise unavailable()

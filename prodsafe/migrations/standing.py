"""Each migration and where it stands, for people. [P]"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prodsafe.migrations.files import Migration
from prodsafe.migrations.plan import EDITED, Applied, Key, Plan
from prodsafe.migrations.statements import steps_of


@dataclass(frozen=True, slots=True)
class Standing:
    """One migration. state: applied | reworded | pending | deferred | unfinished | edited | missing | ahead | late.

    note: for whom a deferred one waits, or how far an unfinished one came.
    """

    set_name: str
    version: int
    name: str
    state: str
    row: Applied | None = None
    note: str | None = None

    def as_line(self) -> str:
        when = f"  {self.row.applied_at:%Y-%m-%d %H:%M:%S} UTC by {self.row.applied_by}" if self.row else ""
        return f"{self.state:<10} {self.set_name} {self.name}{when}{f'  {self.note}' if self.note else ''}"

    def as_dict(self) -> dict[str, object]:
        return {
            "set": self.set_name,
            "version": self.version,
            "name": self.name,
            "state": self.state,
            "note": self.note,
            "applied_at": self.row.applied_at.isoformat() if self.row else None,
            "applied_by": self.row.applied_by if self.row else None,
            "duration_ms": self.row.duration_ms if self.row else None,
        }


def standings(
    available: Mapping[str, Sequence[Migration]],
    applied: Sequence[Applied],
    plan: Plan,
    progress: Mapping[Key, str] | None = None,
) -> list[Standing]:
    """Every file and every row of these sets, by set and version; `plan` is the one made of them.

    progress: how far each backfill is, in words.
    """
    found = []
    for name, files in available.items():
        known = {file.version: file for file in files}
        rows = {row.version: row for row in applied if row.set_name == name}
        for version in sorted(known | rows):
            file, row = known.get(version), rows.get(version)
            state, note = _state(file, row, known, rows, plan)
            if state == "unfinished" and file and file.batch:
                note = (progress or {}).get(file.key, "not a batch done yet")
            found.append(Standing(name, version, (file or rows[version]).name, state, row, note))
    return found


def _state(
    file: Migration | None,
    row: Applied | None,
    known: Mapping[int, Migration],
    rows: Mapping[int, Applied],
    plan: Plan,
) -> tuple[str, str | None]:
    if file is None:
        return ("ahead" if row and row.version > max(known, default=0) else "missing"), None
    if row is None:
        waits = {each.migration.key: each.because for each in plan.deferred}
        if file.key in waits:
            return "deferred", waits[file.key]
        return ("late" if file.version < max(rows, default=0) else "pending"), None
    if any(refusal.kind is EDITED and refusal.cause.startswith(f"{file.label} ") for refusal in plan.refusals):
        return "edited", None
    if row.running:
        return "unfinished", f"{row.steps_done} of {len(steps_of(file.statements))} statements done"
    return ("applied" if row.raw_checksum == file.raw_checksum else "reworded"), None

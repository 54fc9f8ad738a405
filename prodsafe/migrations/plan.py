"""Files and ledger -> Plan: what to apply, or why not; a value that is printed and refused before anything runs. [P]"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from prodsafe.errors import ExitCode, Refusal, RefusalKind
from prodsafe.migrations.files import MALFORMED_FILE, Migration

BEHIND = RefusalKind("M03", "schema-behind", exit_code=ExitCode.SCHEMA_NOT_READY)
AHEAD = RefusalKind("M04", "schema-ahead", exit_code=ExitCode.SCHEMA_NOT_READY)
MISSING = RefusalKind("M05", "migration-missing", exit_code=ExitCode.SCHEMA_NOT_READY)
EDITED = RefusalKind("M06", "migration-edited", exit_code=ExitCode.SCHEMA_NOT_READY)
LATE = RefusalKind("M07", "migration-late", exit_code=ExitCode.SCHEMA_NOT_READY)


@dataclass(frozen=True, slots=True)
class Applied:
    """One row of the ledger. applied_at: aware UTC, by the database's clock; applied_by: role, host and process."""

    set_name: str
    version: int
    name: str
    checksum: str
    applied_at: datetime
    applied_by: str
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Plan:
    """versions: the highest applied version of each set, 0 for none. With refusals nothing is to be applied."""

    versions: dict[str, int]
    apply: tuple[Migration, ...] = ()
    refusals: tuple[Refusal, ...] = ()

    @property
    def schema(self) -> str:
        return ", ".join(f"{name} {version}" for name, version in self.versions.items())

    def as_lines(self) -> list[str]:
        if self.refusals:
            return [f"schema at {self.schema}; nothing can be applied"]
        if not self.apply:
            return [f"nothing to do: schema at {self.schema}"]
        return [f"schema at {self.schema}; to apply, in this order, each in its own transaction:"] + [
            f"  {migration.label}" for migration in self.apply
        ]

    def as_dict(self) -> dict[str, object]:
        return {
            "ok": not self.refusals,
            "versions": self.versions,
            "apply": [{"set": each.set_name, "version": each.version, "name": each.name} for each in self.apply],
            "refusals": [refusal.as_dict() for refusal in self.refusals],
        }


def make_plan(available: dict[str, list[Migration]], applied: Sequence[Applied]) -> Plan:
    """Set name -> its files by version, against the ledger. Other sets of the ledger do not matter."""
    plans = [
        _plan_set(name, files, {row.version: row for row in applied if row.set_name == name})
        for name, files in available.items()
    ]
    return Plan(
        versions={name: version for plan in plans for name, version in plan.versions.items()},
        apply=tuple(migration for plan in plans for migration in plan.apply),
        refusals=tuple(refusal for plan in plans for refusal in plan.refusals),
    )


@dataclass(frozen=True, slots=True)
class Standing:
    """One migration, for people. state: applied | pending | edited | missing | ahead | late."""

    set_name: str
    version: int
    name: str
    state: str
    row: Applied | None = None

    def as_line(self) -> str:
        when = f"  {self.row.applied_at:%Y-%m-%d %H:%M:%S} UTC by {self.row.applied_by}" if self.row else ""
        return f"{self.state:<8} {self.set_name} {self.name}{when}"

    def as_dict(self) -> dict[str, object]:
        return {
            "set": self.set_name,
            "version": self.version,
            "name": self.name,
            "state": self.state,
            "applied_at": self.row.applied_at.isoformat() if self.row else None,
            "applied_by": self.row.applied_by if self.row else None,
            "duration_ms": self.row.duration_ms if self.row else None,
        }


def standings(available: dict[str, list[Migration]], applied: Sequence[Applied]) -> list[Standing]:
    """Every file and every row of these sets, by set and version."""
    found = []
    for name, files in available.items():
        known = {file.version: file for file in files}
        rows = {row.version: row for row in applied if row.set_name == name}
        for version in sorted(known | rows):
            file, row = known.get(version), rows.get(version)
            found.append(Standing(name, version, (file or rows[version]).name, _state(file, row, known, rows), row))
    return found


def _state(
    file: Migration | None, row: Applied | None, known: Mapping[int, Migration], rows: Mapping[int, Applied]
) -> str:
    if file is None:
        return "ahead" if row and row.version > max(known, default=0) else "missing"
    if row is None:
        return "late" if file.version < max(rows, default=0) else "pending"
    return "edited" if _differs(file, row) else "applied"


def boot_refusals(plan: Plan) -> list[Refusal]:
    """Why a worker may not start on this schema; [] when it may."""
    if plan.refusals or not plan.apply:
        return list(plan.refusals)
    waiting = ", ".join(migration.label for migration in plan.apply)
    return [
        BEHIND.because(
            f"not applied yet: {waiting}",
            seen=f"schema at {plan.schema}",
            mend="run python migrate_schema.py, then start again",
        )
    ]


def _plan_set(name: str, files: Sequence[Migration], rows: dict[int, Applied]) -> Plan:
    newest_file = max((file.version for file in files), default=0)
    newest_row = max(rows, default=0)
    known = {file.version: file for file in files}
    refusals = [_without_file(row, newest_file) for row in rows.values() if row.version not in known]
    refusals += [_edited(file, rows[file.version]) for file in files if _differs(file, rows.get(file.version))]
    refusals += [_gap(name, version) for version in range(1, newest_file) if version not in known | rows]
    refusals += [_late(file, newest_row) for file in files if file.version < newest_row and file.version not in rows]
    pending = tuple(file for file in files if file.version > newest_row)
    return Plan({name: newest_row}, pending, tuple(refusals))


def _differs(file: Migration, row: Applied | None) -> bool:
    return row is not None and (file.checksum, file.name) != (row.checksum, row.name)


def _without_file(row: Applied, newest_file: int) -> Refusal:
    what = f"{row.set_name} {row.name}, applied {row.applied_at:%Y-%m-%d %H:%M} UTC by {row.applied_by}"
    if row.version > newest_file:
        return AHEAD.because(
            f"the database is newer than this program: it has {what}",
            seen=f"{row.set_name} at {row.version}, files up to {newest_file}",
            mend="deploy the release that brought it, or a newer one",
        )
    return MISSING.because(f"applied, but its file is gone: {what}", mend="bring the file back from version control")


def _gap(set_name: str, version: int) -> Refusal:
    return MALFORMED_FILE.because(
        f"{set_name} {version:04d}: missing in the sequence, and never applied",
        mend="bring the file back, or renumber what follows",
    )


def _edited(file: Migration, row: Applied) -> Refusal:
    renamed = f"; it was applied as {row.name}" if file.name != row.name else ""
    return EDITED.because(
        f"{file.label} is not what was applied {row.applied_at:%Y-%m-%d %H:%M} UTC by {row.applied_by}{renamed}",
        seen=f"file {file.checksum[:12]}, applied {row.checksum[:12]}",
        mend="bring the file back from version control, and write the change as a new file",
    )


def _late(file: Migration, newest_row: int) -> Refusal:
    return LATE.because(
        f"{file.label} was never applied, though {file.set_name} is at {newest_row} already",
        mend=f"renumber it after {newest_row:04d}, or after the newest file",
    )

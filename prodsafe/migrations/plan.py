"""Files and ledger -> Plan: what to apply, or why not; a value that is printed and refused before anything runs. [P]"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from prodsafe.errors import ExitCode, Refusal, RefusalKind
from prodsafe.migrations.compatibility import Deferred, LiveHolder, defer
from prodsafe.migrations.files import MALFORMED_FILE, Migration

BEHIND = RefusalKind("M03", "schema-behind", exit_code=ExitCode.SCHEMA_NOT_READY)
AHEAD = RefusalKind("M04", "schema-ahead", exit_code=ExitCode.SCHEMA_NOT_READY)
MISSING = RefusalKind("M05", "migration-missing", exit_code=ExitCode.SCHEMA_NOT_READY)
EDITED = RefusalKind("M06", "migration-edited", exit_code=ExitCode.SCHEMA_NOT_READY)
LATE = RefusalKind("M07", "migration-late", exit_code=ExitCode.SCHEMA_NOT_READY)
UNFINISHED = RefusalKind("M14", "migration-unfinished", exit_code=ExitCode.SCHEMA_NOT_READY)
BACKFILL_UNFINISHED = RefusalKind("M16", "backfill-unfinished", exit_code=ExitCode.SCHEMA_NOT_READY)
NO_SUCH_MIGRATION = RefusalKind("M19", "no-such-migration", exit_code=ExitCode.SCHEMA_NOT_READY)

Key = tuple[str, int]  # set name, version
SAME_MEANING = ""


@dataclass(frozen=True, slots=True)
class Applied:
    """One row of the ledger. applied_at: aware UTC, by the database's clock; applied_by: role, host and process.

    state: applied | running. Running: steps_begun and steps_done say how far the last run came.
    """

    set_name: str
    version: int
    name: str
    checksum: str
    applied_at: datetime
    applied_by: str
    duration_ms: int
    kind: str = "expand"
    raw_checksum: str = ""
    state: str = "applied"
    steps_begun: int = 0
    steps_done: int = 0

    @property
    def key(self) -> Key:
        return self.set_name, self.version

    @property
    def running(self) -> bool:
        return self.state == "running"


@dataclass(frozen=True, slots=True)
class Plan:
    """versions: the highest version of each set in the ledger, 0 for none. With refusals nothing is to be applied.

    apply: in order; begins with what an ended run left unfinished. deferred: what waits for an older worker to leave.
    notices: what a person should know and nothing refuses.
    """

    versions: dict[str, int]
    apply: tuple[Migration, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    deferred: tuple[Deferred, ...] = ()
    unfinished: Mapping[Key, Applied] = field(default_factory=dict)
    notices: tuple[str, ...] = ()

    @property
    def schema(self) -> str:
        return ", ".join(f"{name} {version}" for name, version in self.versions.items())

    def as_lines(self) -> list[str]:
        waiting = [f"deferred {each.migration.label}: {each.because}" for each in self.deferred]
        after = [*waiting, *(f"notice: {notice}" for notice in self.notices)]
        if self.refusals:
            return [f"schema at {self.schema}; nothing can be applied", *after]
        if not self.apply:
            return [f"nothing to do: schema at {self.schema}", *after]
        return [f"schema at {self.schema}; to apply, in this order:", *(self.line(m) for m in self.apply), *after]

    def line(self, migration: Migration) -> str:
        """One file of `apply`: how it runs, and how far an ended run came."""
        row = self.unfinished.get(migration.key)
        done = "; begun already" if migration.batch else f"; {row.steps_done} done already" if row else ""
        return f"  {migration.label}  ({migration.way}{done if row else ''})"

    def as_dict(self) -> dict[str, object]:
        return {
            "ok": not self.refusals,
            "versions": self.versions,
            "apply": [
                {"set": m.set_name, "version": m.version, "name": m.name, "transactional": m.transactional}
                for m in self.apply
            ],
            "deferred": [each.as_dict() for each in self.deferred],
            "notices": list(self.notices),
            "refusals": [refusal.as_dict() for refusal in self.refusals],
        }


def make_plan(
    available: Mapping[str, Sequence[Migration]],
    applied: Sequence[Applied],
    *,
    holders: Sequence[LiveHolder] = (),
    reworded: Mapping[Key, str] | None = None,
    upto: Mapping[str, int] | None = None,
) -> Plan:
    """Set name -> its files by version, against the ledger. Other sets of the ledger do not matter.

    holders: who holds a lease now. reworded: for files that are not the text that ran, SAME_MEANING or why it cannot
    be said. upto: the last version wanted of a set.
    """
    plans = [
        _plan_set(
            name,
            files,
            {row.version: row for row in applied if row.set_name == name},
            holders,
            reworded or {},
            (upto or {}).get(name),
        )
        for name, files in available.items()
    ]
    return Plan(
        versions={name: version for plan in plans for name, version in plan.versions.items()},
        apply=tuple(migration for plan in plans for migration in plan.apply),
        refusals=tuple(refusal for plan in plans for refusal in plan.refusals),
        deferred=tuple(each for plan in plans for each in plan.deferred),
        unfinished={key: row for plan in plans for key, row in plan.unfinished.items()},
        notices=tuple(notice for plan in plans for notice in plan.notices),
    )


def boot_refusals(plan: Plan) -> list[Refusal]:
    """Why a worker may not start on this schema; [] when it may. Contract files that still wait hinder nobody."""
    if plan.refusals:
        return list(plan.refusals)
    missing = [m for m in plan.apply if m.kind != "contract" and m.key not in plan.unfinished]
    pending = [*plan.apply, *(each.migration for each in plan.deferred)]
    batches = {m.key: m for m in pending if m.batch and m.key in plan.unfinished}
    refusals = [_unfinished(row) for key, row in plan.unfinished.items() if key not in batches]
    refusals += [
        _backfill_unfinished(plan.unfinished[key], needing)
        for key, file in batches.items()
        if (needing := next((m for m in pending if needs(m, file)), None))
    ]
    if missing:
        refusals.append(
            BEHIND.because(
                f"not applied yet: {', '.join(migration.label for migration in missing)}",
                seen=f"schema at {plan.schema}",
                mend="run python migrate_schema.py, then start again",
            )
        )
    return refusals


def changed(
    available: Mapping[str, Sequence[Migration]], applied: Sequence[Applied]
) -> list[tuple[Migration, Applied]]:
    """Finished files whose text, beyond line ends and BOM, is not the one that ran: somebody must compare meanings."""
    rows = {row.key: row for row in applied if not row.running}
    files = [file for each in available.values() for file in each]
    return [(file, rows[file.key]) for file in files if file.key in rows and file.checksum != rows[file.key].checksum]


def unasked(available: Mapping[str, Sequence[Migration]], applied: Sequence[Applied]) -> list[Migration]:
    """Files that did not run as they are: nobody has looked yet whether what they say can run."""
    ran = {(row.key, row.checksum) for row in applied if not row.running}
    return [file for files in available.values() for file in files if (file.key, file.checksum) not in ran]


def _plan_set(
    name: str,
    files: Sequence[Migration],
    rows: Mapping[int, Applied],
    holders: Sequence[LiveHolder],
    reworded: Mapping[Key, str],
    upto: int | None,
) -> Plan:
    newest_file = max((file.version for file in files), default=0)
    newest_row = max(rows, default=0)
    known = {file.version: file for file in files}
    ahead = [row for row in rows.values() if row.version > newest_file]
    refusals = [_ahead(row, newest_file) for row in ahead if row.kind == "contract"]
    refusals += [_missing(row) for row in rows.values() if row.version not in known and row not in ahead]
    refusals += [found for file in files if (found := _edited(file, rows.get(file.version), reworded))]
    refusals += [
        _gap(name, version) for version in range(1, newest_file) if version not in known and version not in rows
    ]
    refusals += [_late(file, newest_row) for file in files if file.version < newest_row and file.version not in rows]
    if upto is not None:
        refusals += _unreachable(name, upto, known, newest_row)
    unfinished = {row.key: row for row in rows.values() if row.running and row.version in known}
    pending = [file for file in files if file.key in unfinished or file.version > newest_row]
    now, deferred = defer([file for file in pending if upto is None or file.version <= upto], holders)
    return Plan(
        {name: newest_row}, now, tuple(refusals), deferred, unfinished, tuple(_notices(name, files, rows, ahead))
    )


def _edited(file: Migration, row: Applied | None, reworded: Mapping[Key, str]) -> Refusal | None:
    if row is None or (file.name == row.name and (row.running or file.checksum == row.checksum)):
        return None
    why = reworded.get(file.key, "its text changed") if file.name == row.name else f"it was applied as {row.name}"
    if why == SAME_MEANING:
        return None
    return EDITED.because(
        f"{file.label} is not what was applied {row.applied_at:%Y-%m-%d %H:%M} UTC by {row.applied_by}: {why}",
        seen=f"file {file.checksum[:12]}, applied {row.checksum[:12]}",
        mend="bring the file back from version control, and write the change as a new file",
    )


def _notices(name: str, files: Sequence[Migration], rows: Mapping[int, Applied], ahead: Sequence[Applied]) -> list[str]:
    found = [
        f"{file.label} differs from what was applied in comments or layout only;"
        f" prodsafe migrate repair {name}={file.version} records it"
        for file in files
        if (row := rows.get(file.version)) and not row.running and row.raw_checksum != file.raw_checksum
    ]
    if newer := ", ".join(row.name for row in ahead if row.kind != "contract"):  # those are refused
        found.append(f"the database is ahead of {name} by {newer}, which this release can live with")
    return found


def _ahead(row: Applied, newest_file: int) -> Refusal:
    return AHEAD.because(
        f"the database is newer than this program can live with: it has {_what_ran(row)}",
        seen=f"{row.set_name} at {row.version}, files up to {newest_file}",
        mend="deploy the release that brought it, or a newer one",
    )


def _missing(row: Applied) -> Refusal:
    return MISSING.because(
        f"applied, but its file is gone: {_what_ran(row)}", mend="bring the file back from version control"
    )


def _what_ran(row: Applied) -> str:
    return f"{row.set_name} {row.name}, applied {row.applied_at:%Y-%m-%d %H:%M} UTC by {row.applied_by}"


def _gap(set_name: str, version: int) -> Refusal:
    return MALFORMED_FILE.because(
        f"{set_name} {version:04d}: missing in the sequence, and never applied",
        mend="bring the file back, or renumber what follows",
    )


def _late(file: Migration, newest_row: int) -> Refusal:
    return LATE.because(
        f"{file.label} was never applied, though {file.set_name} is at {newest_row} already",
        mend=f"renumber it after {newest_row:04d}, or after the newest file",
    )


def _unreachable(name: str, upto: int, known: Mapping[int, Migration], newest_row: int) -> list[Refusal]:
    if upto in known and upto >= newest_row:
        return []
    cause = f"{name} is at {newest_row} already" if upto < newest_row else f"{name} has no file {upto:04d}"
    mend = (
        "there is no way back: write what undoes it as a new file"
        if upto < newest_row
        else "see prodsafe migrate status"
    )
    return [NO_SUCH_MIGRATION.because(f"cannot go to {name}={upto}: {cause}", mend=mend)]


def needs(later: Migration, data: Migration) -> bool:
    """Whether a file must not run, nor a release with it, before this data file of its set is finished.

    A contract file needs every data file before it: it takes away what they read.
    """
    before = later.set_name == data.set_name and later.version > data.version
    return before and (later.kind == "contract" or data.version in later.requires)


def _backfill_unfinished(row: Applied, needing: Migration) -> Refusal:
    return BACKFILL_UNFINISHED.because(
        f"the backfill {row.set_name} {row.name}, begun {row.applied_at:%Y-%m-%d %H:%M} UTC, is not finished, and this"
        f" release needs it: {needing.label}",
        mend="prodsafe migrate backfill (it goes on where it ended), then python migrate_schema.py; then start again",
    )


def _unfinished(row: Applied) -> Refusal:
    return UNFINISHED.because(
        f"{row.set_name} {row.name} was begun {row.applied_at:%Y-%m-%d %H:%M} UTC by {row.applied_by}, not finished",
        seen=f"{row.steps_done} steps done",
        mend="run python migrate_schema.py: it goes on where that run ended; then start again",
    )

"""Takes an existing database under the ledger: its schema equals what files make, so they count as applied. [E]"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from prodsafe.errors import ExitCode, RefusalKind, SchemaNotReady
from prodsafe.migrations.catalog import owned_by, read_catalog
from prodsafe.migrations.difference import Difference, compare
from prodsafe.migrations.drift import expected_catalog, known_roles
from prodsafe.migrations.files import Migration, MigrationSet, load
from prodsafe.migrations.fingerprints import record_fingerprints
from prodsafe.migrations.ledger import make_ledger, read_ledger, record
from prodsafe.migrations.locking import migration_lock, require_held
from prodsafe.migrations.plan import NO_SUCH_MIGRATION
from prodsafe.migrations.throwaway import connected
from prodsafe.postgres import Connection, lost_connections_refused

BASELINE_DIFFERS = RefusalKind("M30", "baseline-differs", exit_code=ExitCode.SCHEMA_NOT_READY)
ALREADY_IN_LEDGER = RefusalKind("M31", "set-already-in-ledger", exit_code=ExitCode.SCHEMA_NOT_READY)


def baseline(
    url: str,
    target: MigrationSet,
    before: Sequence[MigrationSet],
    *,
    to: int,
    reason: str,
    binaries: Path | None,
    wait_seconds: float,
    report: Callable[[str], None],
) -> list[Difference]:
    """Record the target's files up to version `to` as applied; what differs, and nothing recorded, where anything does.

    before: the sets whose objects the target's files may use. Raises SchemaNotReady (M31, M19, M26, M28).
    """
    wanted = _files_up_to(target, to)
    with (
        connected(url) as work,
        lost_connections_refused(work),
        migration_lock(url, work, wait_seconds, report) as lock,
    ):
        _require_unknown(work, target)
        owned = known_roles(work, owned_by(migration.sql for migration in wanted))
        context = [migration for each in before for migration in load(each)]
        expected = expected_catalog([*context, *wanted], owned, binaries, work.info.server_version // 10000)
        if differences := compare(expected, read_catalog(work, owned)):
            return differences
        with work.transaction():
            make_ledger(work)
            for migration in wanted:
                _record(work, migration, reason)
            record_fingerprints(work, [target], reason=f"baseline: {reason}", anew=True)
            require_held(lock)
    for migration in wanted:
        report(f"recorded {migration.label}, not run")
    return []


def _files_up_to(target: MigrationSet, to: int) -> list[Migration]:
    files = [migration for migration in load(target) if migration.version <= to]
    if not files or files[-1].version != to:
        raise SchemaNotReady(
            NO_SUCH_MIGRATION.because(f"set {target.name} has no file {to:04d}", mend="give --to the number of a file")
        )
    return files


def _require_unknown(work: Connection, target: MigrationSet) -> None:
    rows = [row for row in read_ledger(work) if row.set_name == target.name]
    if rows:
        raise SchemaNotReady(
            ALREADY_IN_LEDGER.because(
                f"the ledger has {len(rows)} rows of set {target.name}, the newest is {rows[-1].name}",
                mend="prodsafe migrate status shows them; a baseline is for a database that has none",
            )
        )


def _record(work: Connection, migration: Migration, reason: str) -> None:
    record(work, migration, 0)
    work.execute(
        "UPDATE prodsafe.migration SET applied_by = applied_by || %s WHERE (set_name, version) = (%s, %s)",
        [f" baseline: {reason}", *migration.key],
    )

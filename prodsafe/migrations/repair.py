"""Takes one applied file's present text for the one that ran, where both mean the same. [E]"""

from __future__ import annotations

import time

from prodsafe.errors import SchemaNotReady
from prodsafe.migrations.files import MigrationSet, load
from prodsafe.migrations.ledger import make_ledger, read_ledger, rewrite
from prodsafe.migrations.locking import Report, migration_lock, require_held
from prodsafe.migrations.plan import EDITED, NO_SUCH_MIGRATION, make_plan
from prodsafe.migrations.runner import RUN_SECONDS, TABLE_LOCK_SECONDS, compared, connected
from prodsafe.migrations.transaction import Desk, Limits, lasting_pid
from prodsafe.migrations.watch import Watch


def repair(url: str, target: MigrationSet, version: int, *, wait_seconds: float, report: Report) -> None:
    """Record the present text of one applied file whose meaning is what ran. Raises SchemaNotReady (M06, M19)."""
    file = next((file for file in load(target) if file.version == version), None)
    with (
        connected(url) as work,
        migration_lock(url, work, wait_seconds, report) as lock,
        Watch(url, report) as watch,
    ):
        row = next((row for row in read_ledger(work) if row.key == (target.name, version)), None)
        if file is None or row is None or row.running:
            raise SchemaNotReady(
                NO_SUCH_MIGRATION.because(
                    f"{target.name}={version} is not an applied file", mend="see prodsafe migrate status"
                )
            )
        plan = make_plan({target.name: [file]}, [row], reworded=compared(work, {target.name: [file]}, [row]))
        if edited := [refusal for refusal in plan.refusals if refusal.kind is EDITED]:
            raise SchemaNotReady(*edited)

        def write() -> None:
            make_ledger(work)
            rewrite(work, file)
            require_held(lock)

        limits = Limits(TABLE_LOCK_SECONDS, time.monotonic() + RUN_SECONDS)
        Desk(work, limits, watch, report, lasting_pid(work)).transaction(file.label, write)
    report(f"recorded the present text of {file.label}; what it says is what ran")

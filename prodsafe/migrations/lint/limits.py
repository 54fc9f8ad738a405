"""Does the file lift the limits that keep a waiting lock from stalling everybody behind it? [P]"""

from __future__ import annotations

from collections.abc import Sequence

from prodsafe.migrations.lint.scene import Hazards, Scene
from prodsafe.migrations.lint.transactions import Lock

TOO_LONG_MS, TOO_LONG_WITH_HYGIENE_MS = 10_000, 2_000
_SHORT = "SET LOCAL lock_timeout = '400ms';"


def limits(scene: Scene, locks: Sequence[Lock], *, hygiene: bool) -> Hazards:
    """hygiene: also what our runner sees to by itself."""
    if not locks:
        return
    table = locks[0][2]
    yield from _lock_timeout(scene, table, hygiene=hygiene)
    if hygiene and scene.settings.statement_timeout_ms in (None, 0):
        yield scene.hazard(
            "missing-statement-timeout",
            f"No statement_timeout is set: nothing ends this statement while it keeps {table} locked.",
            mend="SET LOCAL statement_timeout = '30s';",
        )


def _lock_timeout(scene: Scene, table: str, *, hygiene: bool) -> Hazards:
    limit, no_effect = scene.settings.lock_timeout_ms, scene.settings.no_effect
    unset = limit is None and (hygiene or no_effect)
    if unset or (limit is not None and limit <= 0):
        why = "No lock_timeout is set" if unset else "The file switches lock_timeout off"
        why = "SET LOCAL has no effect outside of a transaction" if unset and no_effect else why
        yield scene.hazard(
            "missing-lock-timeout",
            f"{why}: while this statement waits for {table}, every later query of {table}"
            " waits behind it, for as long as the oldest transaction lives.",
            mend=_SHORT,
        )
    elif limit is not None and limit > (TOO_LONG_WITH_HYGIENE_MS if hygiene else TOO_LONG_MS):
        yield scene.hazard(
            "lock-timeout-too-long",
            f"lock_timeout of {limit / 1000:g} s: while this statement waits for {table}, every later query of"
            f" {table} waits behind it that long.",
            mend=_SHORT,
        )

"""The migration sets that the runtime needs. [P]"""

from __future__ import annotations

from pathlib import Path

from prodsafe.migrations.files import PRODSAFE_SET, MigrationSet

LIVE_SET = MigrationSet("live", Path(__file__).parent / "migrations")
SETS = (PRODSAFE_SET, LIVE_SET)

"""A backfill waits while a standby is too far behind. [E]"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from prodsafe.migrations.backfill_pace import Lag, behind

if TYPE_CHECKING:
    from prodsafe.migrations.backfill import Stop, Work

LOOK_SECONDS, TOLD_AGAIN_SECONDS = 1.0, 5.0

_LAGS = """
SELECT coalesce(application_name, ''), extract(epoch FROM replay_lag)::float8,
       pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), replay_lsn)::bigint, state IS NOT NULL
  FROM pg_catalog.pg_stat_replication
"""


class Lags:
    """Waits while a standby is too far behind; looks once a second at most."""

    def __init__(self, work: Work) -> None:
        self._work, self._look_at, self._told_blind = work, 0.0, False

    def wait(self, stop: Stop) -> None:
        told_at = 0.0
        while time.monotonic() >= self._look_at and not stop.is_due():
            self._look_at = time.monotonic() + LOOK_SECONDS
            late = behind(self._read(), self._work.throttle)
            if late is None:
                return
            if time.monotonic() - told_at >= TOLD_AGAIN_SECONDS:
                told_at = time.monotonic()
                self._work.report(f"{self._work.label}: waiting, {late}")
            stop.pause(LOOK_SECONDS)

    def _read(self) -> list[Lag]:
        lags = [Lag(*row) for row in self._work.conn.execute(_LAGS).fetchall()]
        if not self._told_blind and any(not lag.visible for lag in lags):
            self._told_blind = True
            self._work.report(
                "notice: the lag of standbys is not shown to this role, so it is not waited for; GRANT pg_monitor TO it"
            )
        return lags

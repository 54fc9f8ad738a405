"""The one reading of the clocks that a lease trusts. [E]"""

from __future__ import annotations

import time

from prodsafe.lease_model import Clocks

# Only Linux has a clock of its own that runs through a suspend; macOS's monotonic clock does so by itself.
_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)


def read_clocks() -> Clocks:
    """Monotonic, boot-time and wall clock, in seconds; under a microsecond."""
    monotonic = time.monotonic()
    boottime = monotonic if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)
    return Clocks(monotonic, boottime, time.time())

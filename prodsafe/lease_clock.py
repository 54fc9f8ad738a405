"""The one reading of the clocks that a lease trusts. [E]"""

from __future__ import annotations

import time
from functools import partial

from prodsafe.lease_model import Clocks

# The clock that runs through a suspend: Linux has one for it, on macOS it is the POSIX one (not time.monotonic()).
_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))
_monotonic, _realtime = time.monotonic, time.time
_boottime = _monotonic if _BOOTTIME is None else partial(time.clock_gettime, _BOOTTIME)
_CLOSE_SECONDS = 0.01  # two readings further apart are no one moment: this thread was held up between them
_TRIES = 5  # a machine so busy that it never gets a quiet moment is for the deadline to judge


def read_clocks() -> Clocks:
    """Monotonic, boot-time and wall clock of one moment, in seconds; under a microsecond.

    The others are read between two readings of the first, so that being held up is not taken for a jump.
    """
    for _ in range(_TRIES):
        monotonic, boottime, realtime = _monotonic(), _boottime(), _realtime()
        if _monotonic() - monotonic < _CLOSE_SECONDS:
            break
    return Clocks(monotonic, boottime, realtime)

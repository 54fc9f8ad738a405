"""Whether the worker's event loop turns: it notes the time twice a second, and any thread may ask how long ago. [E]

A tick may wait long for a slow venue while the loop turns; a loop that stands still looks after nothing at all.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

BEAT_SECONDS = 0.5


class Pulse:
    """Start it on the loop that it is to watch. clock returns monotonic seconds."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._beaten_at: float | None = None
        self._next: asyncio.TimerHandle | None = None

    @property
    def age_seconds(self) -> float | None:
        """Since the loop's last beat; None before the first and after the end. Safe from any thread."""
        beaten_at = self._beaten_at
        return None if beaten_at is None else self._clock() - beaten_at

    def start(self) -> None:
        self._beat(asyncio.get_running_loop())

    def stop(self) -> None:
        self._beaten_at = None
        if self._next is not None:
            self._next.cancel()

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self._beaten_at = self._clock()
        self._next = loop.call_later(BEAT_SECONDS, self._beat, loop)

"""Whether the worker's loop turns, as another thread sees it."""

from __future__ import annotations

import asyncio
import threading
import time

from live.pulse import BEAT_SECONDS, Pulse


async def test_a_loop_that_stands_still_is_seen_from_another_thread_and_one_that_turns_is_young() -> None:
    """W40: the predecessor's health endpoint answered from the loop that it was to judge."""
    pulse = Pulse()
    pulse.start()
    seen: list[float | None] = []
    watcher = threading.Thread(target=lambda: (time.sleep(3 * BEAT_SECONDS), seen.append(pulse.age_seconds)))

    watcher.start()
    time.sleep(4 * BEAT_SECONDS)  # the loop stands still here
    watcher.join()
    await asyncio.sleep(2 * BEAT_SECONDS)
    young = pulse.age_seconds
    pulse.stop()

    assert seen[0] is not None and seen[0] > 2 * BEAT_SECONDS
    assert young is not None and young < 2 * BEAT_SECONDS
    assert pulse.age_seconds is None

"""How long nobody may act: from the end of a holder to the permit of a standby that was waiting all along. [E]"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from common.pairs import Figures, spread

from prodsafe.lease import RETRY_SECONDS, Lease, acquire

PATIENCE_SECONDS = 60.0
HOLD = """
import os, sys, prodsafe.lease as lease
held = lease.acquire(os.environ["DATABASE_URL"], [sys.argv[1]])
print("held", flush=True)
sys.stdin.read()
"""


def measure(url: str, clean: int, crashes: int) -> Figures:
    """clean: hand-overs by release(). crashes: by SIGKILL, and as many by SIGSTOP, which the server has to time out."""
    return {
        **spread("takeover_clean_s", [after_release(url, number) for number in range(clean)], 1),
        **spread("takeover_killed_s", [after_signal(url, number, signal.SIGKILL) for number in range(crashes)], 1),
        **spread("takeover_frozen_s", [after_signal(url, number, signal.SIGSTOP) for number in range(crashes)], 1),
    }


def after_release(url: str, number: int) -> float:
    scope = f"bench/clean/{number}"
    lease = acquire(url, [scope], exit_on_loss=False)
    return _handed_over(url, scope, lease.release)


def after_signal(url: str, number: int, sign: signal.Signals) -> float:
    """A holder in a process of its own, with the default timing; the grace is part of the time."""
    print(f"take-over after {sign.name}, number {number + 1}: up to 10.5 s", file=sys.stderr)
    scope = f"bench/{sign.name}/{number}"
    environ = {**os.environ, "DATABASE_URL": url}
    command = [sys.executable, "-c", HOLD, scope]
    with subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
            return _handed_over(url, scope, lambda: holder.send_signal(sign))
        finally:
            holder.kill()


def _handed_over(url: str, scope: str, end: Callable[[], object]) -> float:
    """From just before end() to the first permit of the standby."""
    waiting = threading.Event()

    def stand_by() -> tuple[float, Lease]:
        lease = acquire(
            url, [scope], wait_seconds=PATIENCE_SECONDS, on_wait=lambda _: waiting.set(), exit_on_loss=False
        )
        lease.permit()
        return time.perf_counter(), lease

    with ThreadPoolExecutor(1) as pool:
        standby = pool.submit(stand_by)
        assert waiting.wait(PATIENCE_SECONDS)
        time.sleep(random.uniform(0, RETRY_SECONDS))
        began = time.perf_counter()
        end()
        permitted, lease = standby.result()
    lease.release()
    return permitted - began

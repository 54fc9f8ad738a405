"""The production worker whose loop a test can stop for a while: SIGUSR1 makes the next turn take BLOCK_SECONDS.

The program is the real one; only the signal handler, in this process, is the test's.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from live.prod_live import main


def stand_still(_number: int, _frame: object) -> None:
    """Runs on the main thread between two byte codes, as a blocking call in the loop would."""
    time.sleep(float(os.environ["BLOCK_SECONDS"]))


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, stand_still)
    sys.exit(main())

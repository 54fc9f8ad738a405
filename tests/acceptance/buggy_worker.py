"""The production worker with a bug in its tick: what any unexpected exception does to it."""

from __future__ import annotations

import os
import sys

from live.live_trading import LiveTrading
from live.prod_live import main


async def tick(self: LiveTrading) -> None:
    raise ZeroDivisionError(os.environ["BUG_TEXT"])


if __name__ == "__main__":
    LiveTrading.tick = tick  # type: ignore[method-assign]
    sys.exit(main())

"""How a deprecated entry point ends by signal: with exit 0, from before its slow imports to its very end. [S]"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Never

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def enter(main: Callable[[], int]) -> Never:
    """Run main and end the process with its code. main imports what is slow itself, so that a signal finds us ready."""
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as whoever started us in the background wants it
            signal.signal(number, _leave)
    try:
        sys.exit(main())
    finally:
        for number in _SIGNALS:  # one that comes again while it ends changes nothing
            signal.signal(number, signal.SIG_IGN)


def _leave(_number: int, _frame: FrameType | None) -> Never:
    """Until the loop hears signals. Not by KeyboardInterrupt: raised while an import makes a dataclass, it lets CPython
    end itself by SIGINT, although it was caught."""
    raise SystemExit(0)

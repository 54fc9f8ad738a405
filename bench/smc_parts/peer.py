"""smartmoneyconcepts behind one door: its frame of candles, and its eight functions as it documents them. [E]"""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Sequence
from typing import Any

from live.model import Candle

SWING_LENGTH = 5
COLUMNS = ("open", "high", "low", "close", "volume")


class Peer:
    """Raises ImportError where it is not installed."""

    def __init__(self) -> None:
        with contextlib.redirect_stdout(io.StringIO()):  # it greets on import
            import pandas
            from smartmoneyconcepts import smc
        self.smc: Any = smc
        self._pandas: Any = pandas

    def frame(self, candles: Sequence[Candle]) -> Any:
        return self._pandas.DataFrame(
            {name: [float(getattr(candle, name)) for candle in candles] for name in COLUMNS},
            index=self._pandas.DatetimeIndex([candle.opened_at for candle in candles]).tz_localize(None),
        )

    def everything(self, frame: Any) -> dict[str, Any]:
        """The table of each function on this frame."""
        smc = self.smc
        swings = smc.swing_highs_lows(frame, swing_length=SWING_LENGTH)
        return {
            "swing_highs_lows": swings,
            "fvg": smc.fvg(frame),
            "bos_choch": smc.bos_choch(frame, swings),
            "ob": smc.ob(frame, swings),
            "liquidity": smc.liquidity(frame, swings),
            "previous_high_low": smc.previous_high_low(frame, time_frame="1D"),
            "sessions": smc.sessions(frame, session="London"),
            "retracements": smc.retracements(frame, swings),
        }

    def seconds(self, frame: Any) -> float:
        """Processor time of one run of everything: what a new candle at the end of this frame costs."""
        begin = time.thread_time()
        self.everything(frame)
        return time.thread_time() - begin


def open_peer() -> Peer | None:
    """None where it is not installed."""
    try:
        return Peer()
    except ImportError:
        return None

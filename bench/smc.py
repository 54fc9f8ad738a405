"""The streaming engine beside smartmoneyconcepts, per new closed candle, on the same generated walk in one run. [S]

Progress goes to stderr; the last line of stdout is one JSON object, "ok": true when the targets of DESIGN section 7
hold. The peer's extra must be installed (`pip install '.[bench]'`): without it there is no ratio and the run is not ok.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from live.model import Candle
from live.smc import Engine, SmcParameters

MEAN_TARGET_US = 20.0
P99_TARGET_US = 60.0
RATIO_TARGET = 5_000.0
PEER_WINDOW = 500
SYMBOL = "BTC/USD:USD"


def walk(count: int, *, seed: int) -> list[Candle]:
    """A random walk of closed 15-minute candles on a tick grid of 0.5."""
    rng = random.Random(seed)
    bar, opened_at, close = timedelta(minutes=15), datetime(2020, 1, 1, tzinfo=UTC), 100_000
    candles: list[Candle] = []
    for _ in range(count):
        open_, close = close, max(1_000, close + round(rng.gauss(0, 200)))
        high = max(open_, close) + abs(round(rng.gauss(0, 80)))
        low = min(open_, close) - abs(round(rng.gauss(0, 80)))
        prices = [Decimal(ticks) / 2 for ticks in (open_, high, low, close)]
        candles.append(Candle(SYMBOL, bar, opened_at, *prices, Decimal(rng.randint(1, 1000))))
        opened_at += bar
    return candles


class Figures(NamedTuple):
    """Microseconds per candle; peer_us is None where the peer is not installed."""

    mean_us: float
    p99_us: float
    peer_us: float | None


def measure_engine(candles: list[Candle], *, warm_up: int) -> tuple[float, float]:
    """Mean and 99th percentile, microseconds per candle after the warm-up."""
    engine = Engine(SmcParameters(), SYMBOL)
    for candle in candles[:warm_up]:
        engine.on_candle(candle)
    gc.collect()
    gc.freeze()
    taken_us = []
    for candle in candles[warm_up:]:
        begin = time.perf_counter_ns()
        engine.on_candle(candle)
        taken_us.append((time.perf_counter_ns() - begin) / 1000)
    gc.unfreeze()
    return statistics.fmean(taken_us), statistics.quantiles(taken_us, n=100)[98]


def open_peer(candles: list[Candle]) -> Callable[[], float] | None:
    """One run of the peer's eight functions on the last 500 candles, its cost of one new one; None if not installed."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it greets on import
            import pandas
            from smartmoneyconcepts import smc
    except ImportError:
        return None
    window = candles[-PEER_WINDOW:]
    columns = ("open", "high", "low", "close", "volume")
    frame = pandas.DataFrame(
        {name: [float(getattr(candle, name)) for candle in window] for name in columns},
        index=pandas.DatetimeIndex([candle.opened_at for candle in window]).tz_localize(None),
    )

    def once() -> float:
        begin = time.perf_counter_ns()
        _all_of_peer(smc, frame)
        return (time.perf_counter_ns() - begin) / 1000

    once()  # its first run pays for imports and caches
    return once


def _all_of_peer(smc: Any, frame: Any) -> None:
    swings = smc.swing_highs_lows(frame, swing_length=5)
    smc.fvg(frame)
    smc.bos_choch(frame, swings)
    smc.ob(frame, swings)
    smc.liquidity(frame, swings)
    smc.previous_high_low(frame, time_frame="1D")
    smc.sessions(frame, session="London")
    smc.retracements(frame, swings)


def measure(candles: list[Candle], *, rounds: int) -> list[Figures]:
    """Both sides in turn, so that what else the machine does meets both."""
    peer = open_peer(candles)
    figures = []
    for number in range(1, rounds + 1):
        mean_us, p99_us = measure_engine(candles, warm_up=min(2_000, len(candles) // 2))
        figures.append(Figures(mean_us, p99_us, None if peer is None else statistics.median(peer() for _ in range(3))))
        print(f"round {number} of {rounds}: {figures[-1]}", file=sys.stderr)
    return figures


def report(figures: list[Figures], candles: int) -> dict[str, Any]:
    """Medians over the rounds and whether every target holds; the ratio is the median of the rounds' own ratios."""
    mean_us = statistics.median(one.mean_us for one in figures)
    p99_us = statistics.median(one.p99_us for one in figures)
    peers_us = [one.peer_us for one in figures if one.peer_us is not None]
    ratio = statistics.median(one.peer_us / one.mean_us for one in figures if one.peer_us) if peers_us else None
    problems = []
    if mean_us >= MEAN_TARGET_US:
        problems.append(f"mean {mean_us:.1f} us is not below {MEAN_TARGET_US:.0f} us")
    if p99_us >= P99_TARGET_US:
        problems.append(f"p99 {p99_us:.1f} us is not below {P99_TARGET_US:.0f} us")
    if ratio is None:
        problems.append("smartmoneyconcepts is not installed: no ratio; install the extra 'bench'")
    elif ratio < RATIO_TARGET:
        problems.append(f"ratio {ratio:.0f} is below {RATIO_TARGET:.0f}")
    return {
        "ok": not problems,
        "candles": candles,
        "rounds": len(figures),
        "mean_us": round(mean_us, 2),
        "p99_us": round(p99_us, 2),
        "peer_window": PEER_WINDOW,
        "peer_us": round(statistics.median(peers_us)) if peers_us else None,
        "ratio": None if ratio is None else round(ratio),
        "problems": problems,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candles", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    candles = walk(options.candles, seed=options.seed)
    result = report(measure(candles, rounds=options.rounds), options.candles)
    print(json.dumps(result))
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())

"""What the engine costs: time per candle, the size of its memory, the time to save and load it, its growth. [S]

All times are the thread's own, of the processor: what else the machine does shall meet neither side.
"""

from __future__ import annotations

import gc
import resource
import statistics
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from live.model import Candle
from live.smc import Engine, SmcParameters
from smc_parts.data import SYMBOL

SLICE = 100  # candles


class Latency(NamedTuple):
    """slices_us: of each slice of candles in turn. p99_us: of single candles."""

    slices_us: list[float]
    p99_us: float


def latency(candles: Sequence[Candle], *, warm_up: int) -> Latency:
    """After the warm-up. The slices are of a run without a clock around each candle: it asks the kernel."""
    before, after = candles[:warm_up], candles[warm_up:]
    engine, slices_us = _warm(before), []
    for start in range(0, len(after), SLICE):
        some, begin = after[start : start + SLICE], time.thread_time()
        for candle in some:
            engine.on_candle(candle)
        slices_us.append((time.thread_time() - begin) * 1e6)
    engine, taken_us = _warm(before), []
    for candle in after:
        begin_ns = time.thread_time_ns()
        engine.on_candle(candle)
        taken_us.append((time.thread_time_ns() - begin_ns) / 1000)
    gc.unfreeze()
    return Latency(slices_us, statistics.quantiles(taken_us, n=100)[98])


def _warm(candles: Sequence[Candle]) -> Engine:
    engine = Engine(SmcParameters(), SYMBOL)
    for candle in candles:
        engine.on_candle(candle)
    gc.collect()
    gc.freeze()
    return engine


def seconds(candles: Sequence[Candle]) -> float:
    """From the first candle to the last."""
    engine, begin = Engine(SmcParameters(), SYMBOL), time.thread_time()
    for candle in candles:
        engine.on_candle(candle)
    return time.thread_time() - begin


class Memory(NamedTuple):
    """snapshot_bytes: the largest seen. growth: of the process's peak after the first tenth of the candles."""

    snapshot_bytes: int
    save_load_ms: float
    growth_kib: int


def memory(candles: Iterable[Candle], count: int) -> Memory:
    """candles: as many, made one by one, so that only the engine could keep them."""
    engine, largest, rounds_ms, peak = Engine(SmcParameters(), SYMBOL), 0, [], 0
    for number, candle in enumerate(candles):
        engine.on_candle(candle)
        if number % (count // 100) == 0:
            begin = time.thread_time()
            text = engine.snapshot()
            Engine.from_snapshot(text, engine.parameters, SYMBOL)
            rounds_ms.append((time.thread_time() - begin) * 1000)
            largest = max(largest, len(text.encode()))
        if number == count // 10:
            peak = _peak_kib()
    return Memory(largest, statistics.median(rounds_ms), _peak_kib() - peak)


def _peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

"""Generated candles: a market-like walk, and one of few whole ticks in which nearly everything ties. [P]"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from live.model import Candle

SYMBOL = "BTC/USD:USD"
BAR = timedelta(minutes=15)
BEGAN_AT = datetime(2020, 1, 1, tzinfo=UTC)


def walk(count: int, *, seed: int) -> Iterator[Candle]:
    """A random walk of closed 15-minute candles on a tick grid of 0.5."""
    rng, close = random.Random(seed), 100_000
    for number in range(count):
        open_, close = close, max(1_000, close + round(rng.gauss(0, 200)))
        high = max(open_, close) + abs(round(rng.gauss(0, 80)))
        low = max(1, min(open_, close) - abs(round(rng.gauss(0, 80))))
        prices = [Decimal(ticks) / 2 for ticks in (open_, high, low, close)]
        yield Candle(SYMBOL, BAR, BEGAN_AT + number * BAR, *prices, Decimal(rng.randint(1, 1000)))


def ties(count: int, *, seed: int) -> list[Candle]:
    """A walk of a few ticks with flat candles, equal highs, dojis and jumps."""
    rng, close, candles = random.Random(seed), 1_000, []
    for number in range(count):
        open_ = close + rng.choice((0, 0, 0, -2, 2, -5, 5))
        close = max(50, open_ + rng.randint(-4, 4))
        high, low = max(open_, close) + rng.randint(0, 2), min(open_, close) - rng.randint(0, 2)
        prices = [Decimal(price) for price in (open_, high, low, close)]
        candles.append(Candle(SYMBOL, BAR, BEGAN_AT + number * BAR, *prices, Decimal(1)))
    return candles

"""What the data service tells the trading service: closed candles, through one bounded queue. [P]"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from live.model import Candle

QUEUE_SIZE = 100


@dataclass(frozen=True, slots=True)
class MarketUpdate:
    """Closed candles of one symbol, oldest first, that follow those of its update before; its first is its history."""

    symbol: str
    timeframe: timedelta
    candles: tuple[Candle, ...]


MarketQueue = asyncio.Queue[MarketUpdate]


def market_queue() -> MarketQueue:
    return asyncio.Queue(QUEUE_SIZE)

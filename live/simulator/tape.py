"""What the venue's price did since it started, as one-minute bars that make every longer candle. [P]"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from live.model import Candle

MINUTE = timedelta(minutes=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def floor_time(at: datetime, step: timedelta) -> datetime:
    """The start of the bar of length `step` that contains `at`, counted from the Unix epoch."""
    return at - (at - _EPOCH) % step


class Tape:
    """One symbol's recorded prices. Each tick counts as one trade of `trade_qty`: nobody else trades here."""

    def __init__(self, symbol: str, trade_qty: Decimal) -> None:
        self.symbol = symbol
        self.trade_qty = trade_qty
        self._minutes: dict[datetime, Candle] = {}

    def record(self, at: datetime, price: Decimal) -> None:
        opened_at = floor_time(at, MINUTE)
        bar = self._minutes.get(opened_at) or Candle(
            self.symbol, MINUTE, opened_at, price, price, price, price, Decimal(0)
        )
        self._minutes[opened_at] = replace(
            bar, high=max(bar.high, price), low=min(bar.low, price), close=price, volume=bar.volume + self.trade_qty
        )

    def minutes(self, start: datetime, end: datetime) -> list[Candle]:
        """The recorded minutes that open in [start, end), oldest first."""
        return [bar for opened_at, bar in self._minutes.items() if start <= opened_at < end]


def joined(bars: Iterable[Candle], timeframe: timedelta) -> list[Candle]:
    """Bars in time order made into candles of `timeframe`."""
    candles: dict[datetime, Candle] = {}
    for bar in bars:
        opened_at = floor_time(bar.opened_at, timeframe)
        if (candle := candles.get(opened_at)) is None:
            candles[opened_at] = replace(bar, timeframe=timeframe, opened_at=opened_at)
        else:
            candles[opened_at] = replace(
                candle,
                high=max(candle.high, bar.high),
                low=min(candle.low, bar.low),
                close=bar.close,
                volume=candle.volume + bar.volume,
            )
    return list(candles.values())

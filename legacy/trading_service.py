"""TradingService: PaperTrading fed with candles by queue. No order can leave: it knows no venue. [S]"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from legacy.messages import MarketQueue
from live.clock import Clock
from live.market import merge
from live.model import Candle, Instrument, Ticker
from live.paper import Market
from live.paper_trading import PaperTrading
from live.settings import Settings

SCOPE = "legacy/paper"


class QueuedMarket:
    """A market whose candles come by queue; prices are asked of the market itself. Implements live.paper.Market.

    Its one reader asks ever later, so that what opened before it asks for is forgotten.
    """

    def __init__(self, market: Market, inbox: MarketQueue) -> None:
        self._market = market
        self._inbox = inbox
        self._candles: dict[tuple[str, timedelta], list[Candle]] = {}

    async def instruments(self) -> dict[str, Instrument]:
        return await self._market.instruments()

    async def candles(self, symbol: str, timeframe: timedelta, *, since: datetime) -> list[Candle]:
        """What has come by queue so far, in whatever pieces; [] until the symbol's history has come."""
        while not self._inbox.empty():
            update = self._inbox.get_nowait()
            came = (update.symbol, update.timeframe)
            self._candles[came] = merge(self._candles.get(came, ()), update.candles)
        wanted = [candle for candle in self._candles.get((symbol, timeframe), ()) if candle.opened_at >= since]
        self._candles[symbol, timeframe] = wanted
        return list(wanted)

    async def tickers(self, symbols: Sequence[str]) -> dict[str, Ticker]:
        return await self._market.tickers(symbols)

    async def close(self) -> None:
        """The market belongs to whoever opened it."""


class TradingService(PaperTrading):
    """The worker's own loop, fed by the queue. What it holds and what it has lost today end with the process."""

    def __init__(
        self, market: Market, inbox: MarketQueue, *, settings: Settings, clock: Clock, narrate: Callable[[str], None]
    ) -> None:
        queued = QueuedMarket(market, inbox)
        super().__init__(queued, scope=SCOPE, settings=settings, clock=clock, narrate=narrate)

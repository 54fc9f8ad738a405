"""TradingService: LiveTrading on paper, fed with candles by queue. No order can leave: it knows no venue. [S]"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import uuid4

from legacy.messages import MarketQueue
from live.clock import Clock
from live.health import package_version
from live.journal import MemoryJournal, MemoryStore
from live.live_trading import Identity, LiveTrading
from live.model import Candle, Instrument, Ticker
from live.paper import Market, PaperVenue
from live.settings import Settings
from prodsafe.lease_model import scope_hash

SCOPE = "legacy/paper"


class QueuedMarket:
    """A market whose candles come by queue; prices are asked of the market itself. Implements live.paper.Market.

    kept: candles remembered per symbol: all that the strategy warms up with, so that none it asks for is missing.
    """

    def __init__(self, market: Market, inbox: MarketQueue, *, kept: int) -> None:
        self._market = market
        self._inbox = inbox
        self._kept = kept
        self._candles: dict[tuple[str, timedelta], deque[Candle]] = {}

    async def instruments(self) -> dict[str, Instrument]:
        return await self._market.instruments()

    async def candles(self, symbol: str, timeframe: timedelta, *, since: datetime) -> list[Candle]:
        """What has come by queue so far; [] until the symbol's history has come."""
        while not self._inbox.empty():
            update = self._inbox.get_nowait()
            known = self._candles.setdefault((update.symbol, update.timeframe), deque(maxlen=self._kept))
            known.extend(update.candles)
        return [candle for candle in self._candles.get((symbol, timeframe), ()) if candle.opened_at >= since]

    async def tickers(self, symbols: Sequence[str]) -> dict[str, Ticker]:
        return await self._market.tickers(symbols)

    async def close(self) -> None:
        """The market belongs to whoever opened it."""


class TradingService(LiveTrading):
    """The worker's own loop with strategy, risk, execution, book and reconcile; venue and journal live in memory.

    What it holds and what it has lost today end with the process: experiments only.
    """

    def __init__(
        self, market: Market, inbox: MarketQueue, *, settings: Settings, clock: Clock, narrate: Callable[[str], None]
    ) -> None:
        store, holder = MemoryStore(), uuid4()
        epoch = store.take(SCOPE, holder)
        queued = QueuedMarket(market, inbox, kept=settings.live_warmup_candles)
        super().__init__(
            settings=settings,
            identity=Identity(
                scope=SCOPE,
                scope_hash=scope_hash(SCOPE),
                epoch=epoch,
                holder=str(holder),
                predecessor_clean=True,
                host=socket.gethostname(),
                pid=os.getpid(),
                version=package_version(),
            ),
            journal=MemoryJournal(store, scope=SCOPE, epoch=epoch, holder=holder, clock=clock.now),
            venue=PaperVenue(queued, clock=clock),
            clock=clock,
            permit=lambda: None,  # a lease is for an account that two processes could share; this one is our own memory
            lease_is_fresh=lambda: True,
            narrate=narrate,
            alert=lambda _key, text: narrate(f"alert: {text}"),
        )

"""The stage's market: three contracts, flat candles, prices that are where the stage puts them, a scripted strategy."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from live.clock import Clock
from live.model import Candle, Instrument, Side, Signal, Ticker
from live.smc.events import Observation
from live.smc.reasons import Code

MINUTE = timedelta(minutes=1)


def _listed(symbol: str, venue_id: str, tick: str, step: str) -> Instrument:
    return Instrument(symbol, venue_id, Decimal(tick), Decimal(step), Decimal(step), max_leverage=Decimal(50))


INSTRUMENTS = {
    each.symbol: each
    for each in (
        _listed("BTC/USD:USD", "PF_XBTUSD", "1", "0.001"),
        _listed("ETH/USD:USD", "PF_ETHUSD", "0.1", "0.01"),
        _listed("SOL/USD:USD", "PF_SOLUSD", "0.01", "1"),
    )
}
BASES = dict(zip(INSTRUMENTS, (Decimal(60000), Decimal(3000), Decimal(150)), strict=True))
VENUE_IDS = {each.venue_id: each.symbol for each in INSTRUMENTS.values()}


class StageMarket:
    """Flat candles around a base price, so that any reading of them agrees; prices and ticks are the stage's to set."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.prices = dict(BASES)
        self.listed = dict(INSTRUMENTS)
        self._shown: deque[tuple[datetime, str, Decimal]] = deque(maxlen=60)

    def show(self, symbol: str, price: Decimal) -> None:
        self.prices[symbol] = price
        self._shown.append((self._clock.now(), symbol, price))

    def recent(self, symbol: str, span: timedelta) -> list[Decimal]:
        """Prices of that long: the one now, and the one that stood when it began."""
        since = self._clock.now() - span
        shown = [(at, price) for at, name, price in self._shown if name == symbol]
        before = [price for at, price in shown if at < since][-1:]
        return [self.prices[symbol], *before, *(price for at, price in shown if at >= since)]

    async def instruments(self) -> dict[str, Instrument]:
        return dict(self.listed)

    async def candles(self, symbol: str, timeframe: timedelta, *, since: datetime) -> list[Candle]:
        base, opened_at, found = BASES[symbol], since, []
        while opened_at <= self._clock.now():
            found.append(Candle(symbol, timeframe, opened_at, base, base, base, base, Decimal(1)))
            opened_at += timeframe
        return found

    async def tickers(self, symbols: Sequence[str]) -> dict[str, Ticker]:
        now = self._clock.now()
        return {symbol: self._ticker(symbol, now) for symbol in symbols if symbol in INSTRUMENTS}

    def _ticker(self, symbol: str, now: datetime) -> Ticker:
        price, tick = self.prices[symbol], self.listed[symbol].tick_size
        return Ticker(symbol, price, price - tick, price + tick, now)

    async def close(self) -> None:
        """Nothing is open."""


class ScriptedEngine:
    """A strategy that is a function of seed and candle, so it says the same after every restart.

    heard: the closes of the candles that it was fed, in order.
    """

    def __init__(self, seed: int, symbol: str, *, signal_share: Callable[[], float]) -> None:
        self._seed, self._symbol, self._signal_share = seed, symbol, signal_share
        self.heard: list[datetime] = []

    def snapshot(self) -> str:
        return "nothing to remember"

    def on_candle(self, candle: Candle) -> Observation:
        self.heard.append(candle.closed_at)
        rng = random.Random(f"{self._seed}/{self._symbol}/{candle.closed_at}")
        if rng.random() >= self._signal_share():
            return Observation(candle.closed_at, (), None, ("nothing",), Code.NO_SWEEP)
        side = rng.choice((Side.LONG, Side.SHORT))
        entry = candle.close * (1 + Decimal(rng.randint(-2, 2)) / 1000)
        risk = side.sign * entry / 100
        signal = Signal(
            symbol=self._symbol,
            side=side,
            entry_price=entry,
            stop_price=entry - risk,
            targets=(entry + risk, entry + 2 * risk, entry + 3 * risk),
            known_at=candle.closed_at,
            expires_at=candle.closed_at + rng.choice((1, 2, 5)) * MINUTE,
            reasons=(f"{self._symbol} {candle.closed_at}",),
        )
        return Observation(candle.closed_at, (), signal, signal.reasons, Code.SIGNAL)

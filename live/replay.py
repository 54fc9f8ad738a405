"""Recorded candles through the worker's own loop: the same engine, risk, state machine and matching, in their time. [S]

Nothing looks ahead: at each moment only the candles closed by then can be read. Where a candle does not tell, the worse
is assumed (ASSUMPTIONS). The same candles and settings give the same events.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import ROUND_UP, Decimal
from operator import attrgetter

from live.book import Book
from live.events import Event
from live.market import timeframe_name
from live.model import Candle, Instrument, Leg, Side, Ticker
from live.paper_trading import START_BALANCE, PaperTrading
from live.settings import Settings
from live.simulator.scenarios import LISTINGS
from live.smc.parameters import SmcParameters
from live.status import Halt
from live.strategy import PUBLISH_DELAY

SCOPE = "replay"
ASSUMPTIONS = (
    "a decision is acted on one second after its candle closed, at the next candle's open",
    "inside a candle what is held meets its stop before its targets, and a resting entry fills as late as it can",
    "a resting order fills at its own price, also where the market jumped over it; a market order and a stop pay"
    " RISK_SLIPPAGE_BPS beyond the price",
    "fees are 5 bps for taking and 2 bps for making; there is no funding, no queue and as much liquidity as is wanted",
)

_TURNS_AT = (1 / 3, 2 / 3)  # of the candle; the close comes PUBLISH_DELAY before its end
_QTY_STEP = Decimal("0.0001")
_MAX_LEVERAGE = Decimal(50)


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of it. instrument: what was traded; candles: those that were walked, in order.

    worst_drawdown_pct: below peak equity, open losses included, at the candles' extremes too.
    """

    instrument: Instrument
    candles: Sequence[Candle]
    events: Sequence[Event]
    start_equity: Decimal
    end_equity: Decimal
    worst_drawdown_pct: Decimal
    halt: Halt


async def replay(
    candles: Sequence[Candle],
    settings: Settings,
    *,
    begin_at: datetime | None = None,
    instrument: Instrument | None = None,
    balance_quote: Decimal = START_BALANCE,
    parameters: SmcParameters | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Replayed:
    """Trade the candles from begin_at (aware UTC, default: all); the ones before it only warm the strategy up.

    candles: closed, valid, oldest first, one symbol and timeframe, at least one opened at or after begin_at. settings:
    the limits; symbol and timeframe are the candles'. progress(done, total) is called after each candle.
    """
    first = bisect_left(candles, begin_at, key=attrgetter("opened_at")) if begin_at else 0
    run = _Run(candles, first, settings, instrument or instrument_of(candles), balance_quote, parameters)
    await run.trade(progress)
    return await run.result()


def instrument_of(candles: Sequence[Candle]) -> Instrument:
    """The simulated venue's contract of that symbol, else one with the finest tick that the prices show."""
    symbol = candles[0].symbol
    listed = next((listing for listing in LISTINGS if listing.symbol == symbol), None)
    if listed is None:
        return Instrument(symbol, symbol, _finest_tick(candles), _QTY_STEP, _QTY_STEP, max_leverage=_MAX_LEVERAGE)
    return Instrument(
        symbol, listed.venue_id, listed.tick_size, listed.qty_step, listed.min_qty, listed.contract_size,
        listed.max_leverage,
    )  # fmt: skip


def _finest_tick(candles: Sequence[Candle]) -> Decimal:
    prices = (price for candle in candles for price in (candle.open, candle.high, candle.low, candle.close))
    exponents = (price.normalize().as_tuple().exponent for price in prices)
    return Decimal(1).scaleb(min(0, *(each for each in exponents if isinstance(each, int))))


class ReplayClock:
    """Time that moves only when the replay moves it."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class ReplayMarket:
    """One symbol: the candles closed by the clock, and the one price that the replay sets. Implements paper.Market."""

    def __init__(
        self,
        instrument: Instrument,
        candles: Sequence[Candle],
        *,
        clock: ReplayClock,
        price: Decimal,
        slippage_bps: Decimal,
    ) -> None:
        self.price = price
        self._instrument = instrument
        self._candles = candles
        self._clock = clock
        self._slippage = slippage_bps / 10_000

    async def instruments(self) -> dict[str, Instrument]:
        return {self._instrument.symbol: self._instrument}

    async def candles(self, symbol: str, timeframe: timedelta, *, since: datetime) -> list[Candle]:
        begin = bisect_left(self._candles, since, key=attrgetter("opened_at"))
        end = bisect_right(self._candles, self._clock.now(), key=attrgetter("closed_at"))
        return list(self._candles[begin:end])

    async def tickers(self, symbols: Sequence[str]) -> dict[str, Ticker]:
        half = self._instrument.round_price(self.price * self._slippage, ROUND_UP)
        ticker = Ticker(self._instrument.symbol, self.price, self.price - half, self.price + half, self._clock.now())
        return {symbol: ticker for symbol in symbols if symbol == self._instrument.symbol}

    async def close(self) -> None:
        """Nothing is open."""


class _Run:
    """One replay under way."""

    def __init__(
        self,
        candles: Sequence[Candle],
        first: int,
        settings: Settings,
        instrument: Instrument,
        balance_quote: Decimal,
        parameters: SmcParameters | None,
    ) -> None:
        begin = candles[first]
        self._instrument = instrument
        self._walked = candles[first:]
        self._balance_quote = balance_quote
        self._clock = ReplayClock(begin.opened_at)
        self._market = ReplayMarket(
            instrument, candles, clock=self._clock, price=begin.open, slippage_bps=settings.risk_slippage_bps
        )
        self._trading = PaperTrading(
            self._market,
            scope=SCOPE,
            settings=replace(settings, live_symbols=(begin.symbol,), live_timeframe=timeframe_name(begin.timeframe)),
            clock=self._clock,
            narrate=lambda text: None,
            balance_quote=balance_quote,
            parameters=parameters,
        )
        self._worst_drawdown_pct = Decimal(0)

    async def trade(self, progress: Callable[[int, int], None]) -> None:
        await self._trading.boot()
        for done, candle in enumerate(self._walked, start=1):
            await self._look(candle.open, candle.opened_at + PUBLISH_DELAY)
            await self._walk(candle)
            progress(done, len(self._walked))
        last = self._walked[-1]
        await self._look(last.close, last.closed_at + PUBLISH_DELAY)

    async def result(self) -> Replayed:
        equity = self._trading.book.equity
        return Replayed(
            instrument=self._instrument,
            candles=self._walked,
            events=await self._trading.recorded(),
            start_equity=self._balance_quote,
            end_equity=equity.last if equity else self._balance_quote,
            worst_drawdown_pct=self._worst_drawdown_pct,
            halt=await self._trading.halted(),
        )

    async def _look(self, price: Decimal, at: datetime) -> None:
        """One tick of the worker's loop at this price and time."""
        self._market.price, self._clock.at = price, at
        await self._trading.tick()
        if (equity := self._trading.book.equity) is not None:
            self._worst_drawdown_pct = max(self._worst_drawdown_pct, equity.drawdown_pct)

    async def _walk(self, candle: Candle) -> None:
        """From the candle's open through its turns; while nothing is held or asked for, nothing can happen in it."""
        times = [candle.opened_at + share * candle.timeframe for share in _TURNS_AT]
        for turn, at in zip(turns(candle, self._trading.book), [*times, candle.closed_at - PUBLISH_DELAY], strict=True):
            if not self._trading.book.open_positions():
                return
            await self._move(turn, at)

    async def _move(self, turn: Decimal, until: datetime) -> None:
        """In a straight line to the turn, with a look at each price at which an order of ours works."""
        while (begin := self._market.price) != turn:
            price = next_stop(begin, turn, _working_prices(self._trading.book))
            left = until - self._clock.at
            await self._look(price, self._clock.at + left * float((price - begin) / (turn - begin)))


def turns(candle: Candle, book: Book) -> tuple[Decimal, Decimal, Decimal]:
    """The candle's prices after its open, in the order that is worse for what we hold or ask for.

    Held: the stop's side first. Only asked for: the entry's side last, so that the rest of the candle is a loss or
    the close.
    """
    position = book.position_on(candle.symbol)
    if position is None:
        return candle.low, candle.high, candle.close
    low_first = (position.side is Side.LONG) == (position.qty > 0)
    extremes = (candle.low, candle.high) if low_first else (candle.high, candle.low)
    return (*extremes, candle.close)


def next_stop(price: Decimal, turn: Decimal, levels: Iterable[Decimal]) -> Decimal:
    """The first of the levels on the way from the price to the turn, or the turn."""
    low, high = sorted((price, turn))
    return min((level for level in levels if low < level < high), key=lambda level: abs(level - price), default=turn)


def _working_prices(book: Book) -> list[Decimal]:
    specs = [order.spec for order in book.working_orders()]
    prices = [spec.trigger_price if spec.leg is Leg.STOP else spec.limit_price for spec in specs]
    return [price for price in prices if price is not None]

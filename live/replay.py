"""Recorded candles through the worker's own loop: the same engine, risk, state machine and matching, in their time. [S]

Nothing looks ahead: at each moment only the candles closed by then can be read. Where a candle does not tell, the worse
is assumed (ASSUMPTIONS). The same candles and settings give the same events.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import ROUND_UP, Decimal
from operator import attrgetter

from live.book import Book
from live.events import Event
from live.market import timeframe_name
from live.model import Candle, Instrument, Leg, OrderSide, OrderSpec, Side, Ticker
from live.paper_trading import START_BALANCE, PaperTrading
from live.position import Position
from live.settings import Settings
from live.simulator.matching import Fees
from live.simulator.scenarios import LISTINGS
from live.smc.engine import Engine
from live.smc.events import Observation
from live.smc.parameters import SmcParameters
from live.status import Halt
from live.strategy import PUBLISH_DELAY

SCOPE = "replay"
FUNDING_PERIOD = timedelta(hours=8)

_TURNS_AT = (1 / 3, 2 / 3)  # of the candle; the close comes PUBLISH_DELAY before its end
_QTY_STEP = Decimal("0.0001")
_MAX_LEVERAGE = Decimal(50)
_BPS = Decimal(10_000)
_SECOND = timedelta(seconds=1)
_FAST_TICK = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Costs:
    """What trading is assumed to cost, in basis points of the notional.

    slippage_bps: what a market order or a stop pays beyond the price, on each side. funding_bps: what a position pays
    for each 8 hours that it is held, long or short; it is never an income.
    """

    taker_fee_bps: Decimal = Decimal(5)
    maker_fee_bps: Decimal = Decimal(2)
    slippage_bps: Decimal = Decimal(4)
    funding_bps: Decimal = Decimal(1)


def assumptions(costs: Costs) -> tuple[str, ...]:
    """What a replay takes for granted where candles do not tell, in words."""
    c = costs
    return (
        "a decision is acted on one second after its candle closed, at the next candle's open: nothing fills before it",
        "inside a candle what is held meets its stop before its targets, and a resting entry fills as late as it can",
        "a resting order fills only when the price trades through it, at its own price, also where the market jumped"
        " over it",
        f"a market order and a stop pay {c.slippage_bps:f} bps beyond the price; a market that opens beyond a stop"
        " fills it there",
        f"fees are {c.taker_fee_bps:f} bps for taking and {c.maker_fee_bps:f} bps for making; funding is"
        f" {c.funding_bps:f} bps of the position for each 8 hours, paid at each candle's close, long or short",
        "there is no queue and as much liquidity as is wanted",
    )


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of it. instrument: what was traded; candles: those that were walked, in order.

    observations: what the strategy made of each of them. equity: (UTC, quote currency) at the start and wherever it
    changed, open profit and loss included, at the candles' extremes too; worst_drawdown_pct: of these below their peak.
    funding: what each position paid, by its id, quote currency.
    """

    instrument: Instrument
    parameters: SmcParameters
    costs: Costs
    candles: Sequence[Candle]
    observations: Sequence[Observation]
    events: Sequence[Event]
    equity: Sequence[tuple[datetime, Decimal]]
    funding: Mapping[str, Decimal]
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
    costs: Costs | None = None,
    balance_quote: Decimal = START_BALANCE,
    parameters: SmcParameters | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Replayed:
    """Trade the candles from begin_at (aware UTC, default: all); the ones before it only warm the strategy up.

    candles: closed, valid, oldest first, one symbol and timeframe, at least one opened at or after begin_at. settings:
    the limits; symbol and timeframe are the candles'. costs: default Costs(); the limits on cost count with them.
    progress(done, total) is called after each candle.
    """
    first = bisect_left(candles, begin_at, key=attrgetter("opened_at")) if begin_at else 0
    instrument, costs = instrument or instrument_of(candles), costs or Costs()
    run = _Run(candles, first, settings, instrument, costs, balance_quote, parameters)
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
    """One symbol: the candles closed by the clock, and the one price that the replay sets. Implements paper.Market.

    read_from: the first of the candles that was asked for.
    """

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
        self.read_from: int | None = None
        self._instrument = instrument
        self._candles = candles
        self._clock = clock
        self._slippage = slippage_bps / _BPS

    async def instruments(self) -> dict[str, Instrument]:
        return {self._instrument.symbol: self._instrument}

    async def candles(self, symbol: str, timeframe: timedelta, *, since: datetime) -> list[Candle]:
        begin = bisect_left(self._candles, since, key=attrgetter("opened_at"))
        end = bisect_right(self._candles, self._clock.now(), key=attrgetter("closed_at"))
        if self.read_from is None:
            self.read_from = begin
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
        costs: Costs,
        balance_quote: Decimal,
        parameters: SmcParameters | None,
    ) -> None:
        begin = candles[first]
        self._instrument = instrument
        self._costs = costs
        self._candles, self._first = candles, first
        self._walked = candles[first:]
        self._balance_quote = balance_quote
        self._clock = ReplayClock(begin.opened_at)
        self._market = ReplayMarket(
            instrument, candles, clock=self._clock, price=begin.open, slippage_bps=costs.slippage_bps
        )
        self._trading = PaperTrading(
            self._market,
            scope=SCOPE,
            settings=replace(
                settings,
                live_symbols=(begin.symbol,),
                live_timeframe=timeframe_name(begin.timeframe),
                risk_taker_fee_bps=costs.taker_fee_bps,
                risk_slippage_bps=costs.slippage_bps,
                # the replay's spread is made of the slippage that was asked for, and tells nothing of the market's
                risk_max_spread_bps=max(settings.risk_max_spread_bps, 4 * costs.slippage_bps),
            ),
            clock=self._clock,
            narrate=lambda text: None,
            balance_quote=balance_quote,
            fees=Fees(costs.taker_fee_bps / _BPS, costs.maker_fee_bps / _BPS),
            fills_on_touch=False,
            parameters=parameters,
        )
        self._funding_share = costs.funding_bps / _BPS * (begin.timeframe // _SECOND) / (FUNDING_PERIOD // _SECOND)
        self._equity: list[tuple[datetime, Decimal]] = [(begin.opened_at, balance_quote)]
        self._funding: dict[str, Decimal] = {}
        self._worst_drawdown_pct = Decimal(0)

    async def trade(self, progress: Callable[[int, int], None]) -> None:
        await self._trading.boot()
        for done, candle in enumerate(self._walked, start=1):
            await self._open(candle)
            await self._walk(candle)
            await self._fund(candle)
            progress(done, len(self._walked))
        last = self._walked[-1]
        await self._look(last.close, last.closed_at + PUBLISH_DELAY)

    async def result(self) -> Replayed:
        return Replayed(
            instrument=self._instrument,
            parameters=self._trading.parameters,
            costs=self._costs,
            candles=self._walked,
            observations=self._observations(),
            events=await self._trading.recorded(),
            equity=self._equity,
            funding=self._funding,
            start_equity=self._balance_quote,
            end_equity=self._equity[-1][1],
            worst_drawdown_pct=self._worst_drawdown_pct,
            halt=await self._trading.halted(),
        )

    def _observations(self) -> list[Observation]:
        """The worker keeps no events of the strategy; they are a function of the candles that it has read."""
        engine = Engine(self._trading.parameters, self._instrument.symbol)
        begin = self._first if self._market.read_from is None else self._market.read_from
        seen = [engine.on_candle(candle) for candle in self._candles[begin:]]
        return seen[self._first - begin :]

    async def _look(self, price: Decimal, at: datetime) -> None:
        """One tick of the worker's loop at this price and time."""
        self._market.price, self._clock.at = price, at
        await self._trading.tick()
        equity = self._trading.book.equity
        if equity is not None and equity.last != self._equity[-1][1]:
            self._equity.append((at, equity.last))
            self._worst_drawdown_pct = max(self._worst_drawdown_pct, equity.drawdown_pct)

    async def _open(self, candle: Candle) -> None:
        """Decide on the candle before; an entry that the open fills at once is seen, and protected, before it moves."""
        before = self._trading.book.position_on(candle.symbol)
        await self._look(candle.open, candle.opened_at + PUBLISH_DELAY)
        position = self._trading.book.position_on(candle.symbol)
        if position is not None and (before is None or before.id != position.id):
            await self._look(candle.open, self._clock.at + _FAST_TICK)

    async def _walk(self, candle: Candle) -> None:
        """From the candle's open through its turns, while something is held or the candle reaches what is asked for."""
        book = self._trading.book
        times = [candle.opened_at + share * candle.timeframe for share in _TURNS_AT]
        if not any(reaches(candle, position) for position in book.open_positions()):
            return
        for turn, at in zip(turns(candle, book), [*times, candle.closed_at - PUBLISH_DELAY], strict=True):
            if not book.open_positions():
                return
            await self._move(turn, at)

    async def _move(self, turn: Decimal, until: datetime) -> None:
        """In a straight line to the turn, with a look at each price at which an order of ours fills."""
        while (begin := self._market.price) != turn:
            price = next_stop(begin, turn, self._filling_prices())
            left = until - self._clock.at
            await self._look(price, self._clock.at + left * float((price - begin) / (turn - begin)))

    def _filling_prices(self) -> list[Decimal]:
        orders = self._trading.book.working_orders()
        prices = [filling_price(order.spec, self._instrument.tick_size) for order in orders]
        return [price for price in prices if price is not None]

    async def _fund(self, candle: Candle) -> None:
        """What is held at the close pays for the length of the candle."""
        position = self._trading.book.position_on(candle.symbol)
        if position is not None and position.qty > 0 and self._funding_share:
            paid = await self._trading.charge_funding(self._funding_share)
            self._funding[position.id] = self._funding.get(position.id, Decimal(0)) + paid


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


def reaches(candle: Candle, position: Position) -> bool:
    """Whether the candle can change anything: the position is held, or the price trades through one of its orders."""
    limits = [order.spec.limit_price for order in position.orders.values() if order.is_working]
    return position.qty > 0 or any(limit is None or candle.low < limit < candle.high for limit in limits)


def next_stop(price: Decimal, turn: Decimal, levels: Iterable[Decimal]) -> Decimal:
    """The first of the levels on the way from the price to the turn, or the turn."""
    low, high = sorted((price, turn))
    return min((level for level in levels if low < level < high), key=lambda level: abs(level - price), default=turn)


def filling_price(spec: OrderSpec, tick_size: Decimal) -> Decimal | None:
    """The price at which a working order fills: a stop at its trigger, a limit one tick beyond; None for neither."""
    if spec.leg is Leg.STOP:
        return spec.trigger_price
    if spec.limit_price is None:
        return None
    return spec.limit_price - tick_size if spec.side is OrderSide.BUY else spec.limit_price + tick_size

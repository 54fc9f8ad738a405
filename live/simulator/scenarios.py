"""Prices for the simulator: deterministic paths on which a known setup completes at a known candle. [P]

Every scenario gives each listing a price for any moment, past or future, as straight lines between knots on the tick
grid; candles are read from the same line, so history, ticker and the candle in progress never contradict each other.

`default`, seen in the direction of the setup (a short is the mirror image), in units of about 0.2 % of the price:

    bar   -30, -18   two equal lows at 3: resting liquidity
    bar    -6        wick to 0, close back above 3: the sweep
    bar    -2        displacement through the last lower high: CHoCH
    bar    -1        leaves a fair value gap; at its close the setup is complete: entry about 6, stop about -0.5,
                     targets about 13, 19 and 26 (1, 2 and 3 times the risk)
    bars 0 .. 5      tradable: in every minute four dips to 5 and one peak, at seconds 51 to 55, above target 1
                     (bars 0, 1), target 2 (bar 2), target 3 (bars 3, 4, 5); never near the stop
    bars 6 .. 185    a run up, a top at 60, a fall back to the lows; every 192 bars the same again

Listing number k completes its setup k bars after the last bar boundary before `began_at`: the first one at the start.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property, lru_cache, partial
from itertools import pairwise
from typing import Protocol

from live.model import Candle

HISTORY = timedelta(days=60)
DEFAULT_BAR = timedelta(minutes=15)
PERIOD_BARS = 192
_MINUTE_SECONDS = 60
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Listing:
    """One perpetual. Prices and tick in quote currency, quantities in contracts of contract_size base units."""

    venue_id: str
    symbol: str
    base_price: Decimal
    tick_size: Decimal
    qty_step: Decimal
    min_qty: Decimal
    contract_size: Decimal = Decimal(1)
    max_leverage: Decimal = Decimal(50)


def _listing(venue_id: str, base: str, price: str, tick: str, step: str) -> Listing:
    return Listing(venue_id, f"{base}/USD:USD", Decimal(price), Decimal(tick), Decimal(step), Decimal(step))


LISTINGS = (
    _listing("PF_XBTUSD", "BTC", "65000", "1", "0.0001"),
    _listing("PF_ETHUSD", "ETH", "3400", "0.1", "0.001"),
    _listing("PF_SOLUSD", "SOL", "150", "0.01", "0.01"),
    _listing("PF_XRPUSD", "XRP", "0.62", "0.00001", "1"),
    _listing("PF_ADAUSD", "ADA", "0.45", "0.00001", "1"),
    _listing("PF_LTCUSD", "LTC", "85", "0.01", "0.01"),
)


@dataclass(frozen=True)
class Path:
    """The price within one bar: straight lines through (second, price in ticks), from second 0 to the bar's end."""

    seconds: tuple[float, ...]
    ticks: tuple[int, ...]

    @cached_property
    def ohlc(self) -> tuple[int, int, int, int]:
        return self.ticks[0], max(self.ticks), min(self.ticks), self.ticks[-1]

    def at(self, second: float) -> int:
        right = bisect_right(self.seconds, second)
        if right >= len(self.seconds):
            return self.ticks[-1]
        begin, end = self.seconds[right - 1], self.seconds[right]
        low, high = self.ticks[right - 1], self.ticks[right]
        return low + round((high - low) * (second - begin) / (end - begin))

    def between(self, begin: float, end: float) -> tuple[int, int, int, int]:
        """Open, high, low, close in ticks of the part from second `begin` to second `end`."""
        first, last = bisect_right(self.seconds, begin), bisect_right(self.seconds, end)
        values = (self.at(begin), *self.ticks[first:last], self.at(end))
        return values[0], max(values), min(values), values[-1]


class Market(Protocol):
    """One listing's price: the path of any bar, by its number since 1970 (UTC)."""

    def path(self, number: int) -> Path: ...


@dataclass(frozen=True)
class Scenario:
    """Prices and candles of its listings. Nothing is served from before history_from (aware UTC)."""

    name: str
    began_at: datetime
    bar: timedelta
    listings: tuple[Listing, ...]
    history_from: datetime
    markets: Mapping[str, Market]

    def price(self, venue_id: str, at: datetime) -> Decimal:
        """The price at any moment (aware UTC), in quote currency, on the tick grid."""
        number, into_bar = divmod(at - _EPOCH, self.bar)
        return self._listing(venue_id).tick_size * self.markets[venue_id].path(number).at(into_bar.total_seconds())

    def candles(self, venue_id: str, timeframe: timedelta, start: datetime, end: datetime) -> list[Candle]:
        """The candles opened in [start, end), oldest first; one still open at `end` shows what `end` has seen."""
        listing = self._listing(venue_id)
        opened_at = _EPOCH + -((_EPOCH - max(start, self.history_from)) // timeframe) * timeframe
        found: list[Candle] = []
        while opened_at < end:
            ohlc = self._ohlc(venue_id, opened_at, min(opened_at + timeframe, end))
            found.append(_candle(listing, timeframe, opened_at, ohlc))
            opened_at += timeframe
        return found

    def _listing(self, venue_id: str) -> Listing:
        for listing in self.listings:
            if listing.venue_id == venue_id:
                return listing
        raise KeyError(venue_id)

    def _ohlc(self, venue_id: str, begin: datetime, end: datetime) -> tuple[int, int, int, int]:
        market = self.markets[venue_id]
        number, into_bar = divmod(begin - _EPOCH, self.bar)
        last, into_last = divmod(end - _EPOCH, self.bar)
        if number == last:
            return market.path(number).between(into_bar.total_seconds(), into_last.total_seconds())
        head = market.path(number)
        parts = [head.between(into_bar.total_seconds(), self.bar.total_seconds()) if into_bar else head.ohlc]
        parts += [market.path(middle).ohlc for middle in range(number + 1, last)]
        if into_last:
            parts.append(market.path(last).between(0.0, into_last.total_seconds()))
        opens, highs, lows, closes = zip(*parts, strict=True)
        return opens[0], max(highs), min(lows), closes[-1]


def _candle(listing: Listing, timeframe: timedelta, opened_at: datetime, ohlc: tuple[int, int, int, int]) -> Candle:
    open_, high, low, close = (listing.tick_size * ticks for ticks in ohlc)
    volume = listing.qty_step * (100 + ohlc[1] - ohlc[2])
    return Candle(listing.symbol, timeframe, opened_at, open_, high, low, close, volume)


# --- the setup, written once in its own direction; units from the sweep's low --------------------------------------

_Bar = tuple[float, float, float, float]  # open, high, low, close in units
_TRADABLE_PEAKS = (14.0, 14.0, 21.0, 28.0, 28.0, 28.0)
_COMPLETED_CLOSE = 19.0
_HOLD = 9.5
_DIP = 5.0
_DIPS_AT = (3, 16, 29, 42)
_PEAK_AT = 51
_WAYPOINTS = (
    (5, _HOLD), (8, 30.0), (9, 31.0), (75, 36.0), (88, 60.0),
    (98, 46.0), (104, 50.0), (116, 32.0), (122, 36.0), (134, 18.0), (140, 22.0), (151, 9.0),
    (155, 12.0), (162, 4.0), (168, 11.5), (174, 4.0), (179, 8.5), (185, 5.0),
)  # fmt: skip
_SPIKE_BAR, _SPIKE_TOP = 9, 40.0
_EQUAL_LOW_BARS, _EQUAL_LOW = (162, 174), 3.0
_ENDING: tuple[_Bar, ...] = (
    (5.0, 5.4, 0.0, 4.5),
    (4.5, 4.8, 3.6, 4.2),
    (4.2, 4.7, 3.5, 4.0),
    (4.0, 4.6, 3.4, 4.2),
    (4.2, 18.5, 4.0, 18.0),
    (18.0, 20.0, 13.0, _COMPLETED_CLOSE),
)


def _shape(rng: random.Random) -> list[_Bar]:
    """The period's bars 6 .. 191: from the run-up to the completing candle; only quiet wicks are random."""
    bars: list[_Bar] = []
    for (begin, from_level), (end, to_level) in pairwise(_WAYPOINTS):
        for bar in range(begin + 1, end + 1):
            open_, close = (
                from_level + (to_level - from_level) * (at - begin) / (end - begin) for at in (bar - 1, bar)
            )
            high = _SPIKE_TOP if bar == _SPIKE_BAR else max(open_, close) + rng.uniform(0.3, 0.5)
            low = _EQUAL_LOW if bar in _EQUAL_LOW_BARS else min(open_, close) - rng.uniform(0.3, 0.5)
            bars.append((open_, high, low, close))
    return [*bars, *_ENDING]


@dataclass(frozen=True)
class SetupMarket:
    """Price that completes one setup every PERIOD_BARS bars: the bar before number `ready_at` is the completing one."""

    ready_at: int
    paths: tuple[Path, ...]

    def path(self, number: int) -> Path:
        return self.paths[(number - self.ready_at) % PERIOD_BARS]


def _setup_market(listing: Listing, *, ready_at: int, sign: int, bar: timedelta, rng: random.Random) -> SetupMarket:
    """sign: +1 for a long setup, -1 for a short one."""
    unit = round(listing.base_price / listing.tick_size * Decimal("0.002") * Decimal(rng.uniform(0.9, 1.1)))
    zero = round(listing.base_price / listing.tick_size * Decimal(rng.uniform(0.97, 1.03)))

    def ticks(level: float) -> int:
        return zero + sign * round(level * unit)

    tradable = [
        _tradable_path(ticks, opens=_HOLD if i else _COMPLETED_CLOSE, peak=peak, minutes=bar // timedelta(minutes=1))
        for i, peak in enumerate(_TRADABLE_PEAKS)
    ]
    return SetupMarket(ready_at, (*tradable, *(_bar_path(ticks, shape, bar) for shape in _shape(rng))))


def _bar_path(ticks: Callable[[float], int], shape: _Bar, bar: timedelta) -> Path:
    """Rests a twentieth of the bar at each end and at each extreme, so that a price sampled now and then sees them."""
    open_, high, low, close = shape
    turns = (low, high) if close >= open_ else (high, low)
    levels = [ticks(level) for level in (open_, *turns, close)]
    length = bar.total_seconds()
    return Path(
        tuple(length * part for part in (0.0, 0.05, 0.3, 0.35, 0.65, 0.7, 0.95, 1.0)),
        tuple(level for level in levels for _ in range(2)),
    )


def _tradable_path(ticks: Callable[[float], int], *, opens: float, peak: float, minutes: int) -> Path:
    """The same minute again and again: dips through the entry for 3 s each, one peak of 4 s."""
    knots: list[tuple[float, float]] = [(0.0, opens)]
    for minute_begins in range(0, minutes * _MINUTE_SECONDS, _MINUTE_SECONDS):
        for dip in _DIPS_AT:
            begin = minute_begins + dip
            knots += [(begin, _DIP), (begin + 3, _DIP), (begin + 6, _HOLD), (begin + 8, _HOLD)]
        begin = minute_begins + _PEAK_AT
        knots += [(begin, peak), (begin + 4, peak), (begin + 8, _HOLD), (begin + 9, _HOLD)]
    return Path(tuple(second for second, _ in knots), tuple(ticks(level) for _, level in knots))


# --- the other shapes ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StillMarket:
    """Another market's history up to bar number `still_from`, then its last close for ever."""

    history: Market
    still_from: int
    bar: timedelta

    def path(self, number: int) -> Path:
        if number < self.still_from:
            return self.history.path(number)
        last_close = self.history.path(self.still_from - 1).ticks[-1]
        return Path((0.0, self.bar.total_seconds()), (last_close, last_close))


_WALK_BARS = 256
_WALK_KNOTS_PER_BAR = 4


@dataclass(frozen=True)
class WalkMarket:
    """A seeded random walk with random access: bridges of 256 bars between levels within 5 % of the base price."""

    listing: Listing
    seed: int
    bar: timedelta

    def path(self, number: int) -> Path:
        block, within = divmod(number, _WALK_BARS)
        ticks = _walk_block(self.listing, self.seed, block)
        begin = within * _WALK_KNOTS_PER_BAR
        step = self.bar.total_seconds() / _WALK_KNOTS_PER_BAR
        return Path(
            tuple(step * knot for knot in range(_WALK_KNOTS_PER_BAR + 1)),
            ticks[begin : begin + _WALK_KNOTS_PER_BAR + 1],
        )


@lru_cache(maxsize=512)
def _walk_block(listing: Listing, seed: int, block: int) -> tuple[int, ...]:
    base = int(listing.base_price / listing.tick_size)

    def level(number: int) -> float:
        return base * random.Random(f"{seed}:{listing.venue_id}:level:{number}").uniform(0.95, 1.05)

    rng = random.Random(f"{seed}:{listing.venue_id}:steps:{block}")
    steps = _WALK_BARS * _WALK_KNOTS_PER_BAR
    walked = [0.0]
    for _ in range(steps):
        walked.append(walked[-1] + rng.gauss(0, 0.0008 * base))
    begin, end = level(block), level(block + 1)
    tilt = end - begin - walked[-1]
    return tuple(round(begin + value + tilt * i / steps) for i, value in enumerate(walked))


# --- scenarios by name -----------------------------------------------------------------------------------------------

Builder = Callable[[int, datetime, timedelta], Scenario]


def _side_sign(number: int) -> int:
    return 1 if number % 2 == 0 else -1


def _setups(seed: int, began_at: datetime, bar: timedelta, *, stagger_bars: int) -> Scenario:
    first_ready_at = (began_at - _EPOCH) // bar
    markets = {
        listing.venue_id: _setup_market(
            listing,
            ready_at=first_ready_at + number * stagger_bars,
            sign=_side_sign(number),
            bar=bar,
            rng=random.Random(f"{seed}:{listing.venue_id}"),
        )
        for number, listing in enumerate(LISTINGS)
    }
    return Scenario("default", began_at, bar, LISTINGS, began_at - HISTORY, markets)


def _still(seed: int, began_at: datetime, bar: timedelta) -> Scenario:
    moving = _setups(seed, began_at, bar, stagger_bars=0)
    still_from = (began_at - _EPOCH) // bar
    markets = {venue_id: StillMarket(market, still_from, bar) for venue_id, market in moving.markets.items()}
    return replace(moving, name="still", markets=markets)


def _walk(seed: int, began_at: datetime, bar: timedelta) -> Scenario:
    markets = {listing.venue_id: WalkMarket(listing, seed, bar) for listing in LISTINGS}
    return Scenario("walk", began_at, bar, LISTINGS, began_at - HISTORY, markets)


def _empty(seed: int, began_at: datetime, bar: timedelta) -> Scenario:
    return replace(_walk(seed, began_at, bar), name="empty", history_from=began_at)


SCENARIOS: Mapping[str, Builder] = {
    "default": partial(_setups, stagger_bars=1),
    "still": _still,
    "walk": _walk,
    "empty": _empty,
}


def make_scenario(name: str, *, seed: int, began_at: datetime, bar: timedelta = DEFAULT_BAR) -> Scenario:
    """The scenario of that name. began_at: aware UTC, the simulator's start, anywhere inside a bar.

    bar: the timeframe on which the setups are drawn, whole minutes. still: the setups of all listings complete at the
    start, then the price rests until somebody moves it. walk: a seeded random walk. empty: a walk without history.
    Raises ValueError on an unknown name, a naive time or a bar that is not whole minutes.
    """
    if name not in SCENARIOS:
        raise ValueError(f"no scenario {name!r}; there are {', '.join(SCENARIOS)}")
    if began_at.tzinfo is None:
        raise ValueError("began_at must be an aware time")
    if bar < timedelta(minutes=1) or bar % timedelta(minutes=1):
        raise ValueError(f"bar must be whole minutes, not {bar}")
    return SCENARIOS[name](seed, began_at, bar)

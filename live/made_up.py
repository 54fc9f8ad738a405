"""Candles that look like a market and have setups in them: to try the tools without data. They prove nothing. [P]"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta

from live.model import Candle
from live.simulator.scenarios import PERIOD_BARS, Listing, make_scenario

MIXED = "mixed"

_SETUP_BARS = PERIOD_BARS - 6  # what follows a setup in the scenario is made to win; here it is left to chance
_WALK_BARS = (30, 160)
_STEP_SHARE = 0.0034  # of the price, a candle's usual change
_Ticks = tuple[int, int, int, int]


def make_mixed_candles(
    listing: Listing, *, seed: int, bars: int, timeframe: timedelta, began_at: datetime
) -> list[Candle]:
    """Seeded stretches of random walk between setups, up or down alike; what comes after a setup is a walk again."""
    stretches = _stretches(listing, random.Random(f"{seed}:{listing.venue_id}"), timeframe, began_at)
    candles = []
    for number, ticks in zip(range(bars), stretches, strict=False):
        open_, high, low, close = (listing.tick_size * each for each in ticks)
        volume = listing.qty_step * (100 + ticks[1] - ticks[2])
        candles.append(
            Candle(listing.symbol, timeframe, began_at + number * timeframe, open_, high, low, close, volume)
        )
    return candles


def _stretches(listing: Listing, rng: random.Random, timeframe: timedelta, began_at: datetime) -> Iterator[_Ticks]:
    close = base = int(listing.base_price / listing.tick_size)
    setup = _setup(listing, timeframe, began_at)
    while True:
        for ticks in _walk(rng, close, rng.randint(*_WALK_BARS), home=base):
            yield ticks
            close = ticks[3]
        for ticks in _placed(setup, close, rng.choice((1, -1))):
            yield ticks
            close = ticks[3]


def _walk(rng: random.Random, close: int, bars: int, *, home: int) -> Iterator[_Ticks]:
    """Steps of a changing size, weakly drawn home, so that a year stays in the range of a price."""
    liveliness = rng.uniform(0.5, 1.6)
    for _ in range(bars):
        step = close * _STEP_SHARE * liveliness
        open_, close = close, max(round(close + rng.gauss(0, step) + (home - close) * 0.002), home // 4)
        top, bottom = max(open_, close), min(open_, close)
        yield open_, top + abs(round(rng.gauss(0, step / 2))), bottom - abs(round(rng.gauss(0, step / 2))), close


def _setup(listing: Listing, timeframe: timedelta, began_at: datetime) -> list[_Ticks]:
    """The scenario's bars up to the one that completes a setup, in ticks."""
    scenario = make_scenario("default", seed=1, began_at=began_at, bar=timeframe)
    place = scenario.listings.index(listing)  # listing number k completes its setup k bars later
    ready_at = began_at + (PERIOD_BARS + place) * timeframe
    candles = scenario.candles(listing.venue_id, timeframe, ready_at - _SETUP_BARS * timeframe, ready_at)
    return [
        (
            int(each.open / listing.tick_size),
            int(each.high / listing.tick_size),
            int(each.low / listing.tick_size),
            int(each.close / listing.tick_size),
        )
        for each in candles
    ]


def _placed(setup: list[_Ticks], begin: int, sign: int) -> Iterator[_Ticks]:
    """The setup from this price on, upside down for sign -1."""
    first = setup[0][0]
    for bar in setup:
        open_, high, low, close = (begin + sign * (each - first) for each in bar)
        yield open_, max(high, low), min(high, low), close

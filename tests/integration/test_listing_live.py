"""The worker's loop reads the venue's list again while it runs, and enters nothing by a list in doubt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from live.events import Decided
from live.model import Instrument
from live.paper_trading import PaperTrading
from live.recorded import make_scenario_candles
from live.replay import ReplayClock, ReplayMarket, instrument_of
from live.settings import Settings

BTC = "BTC/USD:USD"
BAR = timedelta(minutes=15)
SETUP = 384  # candle number 383 completes the first setup that the strategy is warm enough to see
CANDLES = make_scenario_candles("default", seed=1, bars=SETUP + 4, symbol=BTC, timeframe=BAR)
CONTRACT = instrument_of(CANDLES)


class Market(ReplayMarket):
    """A replay's market, whose list a test changes; asked: how often it was read."""

    listed: Mapping[str, Instrument]
    asked = 0

    async def instruments(self) -> dict[str, Instrument]:
        self.asked += 1
        return dict(self.listed)


async def decided_at_the_setup(*lists: Mapping[str, Instrument]) -> tuple[Decided, Market, list[str]]:
    """What becomes of the first signal; lists: as told at boot, and then from two bars before the signal on."""
    said: list[str] = []
    begin = SETUP - 4
    clock = ReplayClock(CANDLES[begin].opened_at + timedelta(seconds=1))
    market = Market(CONTRACT, CANDLES, clock=clock, price=CANDLES[begin].open, slippage_bps=Decimal(1))
    market.listed = lists[0]
    settings = Settings(live_symbols=(BTC,), live_timeframe="15m")
    trading = PaperTrading(market, scope="t", settings=settings, clock=clock, narrate=said.append)
    await trading.boot()
    await trading.tick()
    market.listed = lists[-1]
    for candle in CANDLES[begin + 1 : SETUP + 1]:
        clock.at, market.price = candle.opened_at + timedelta(seconds=1), candle.open
        await trading.tick()
    decided = [each for each in await trading.recorded() if isinstance(each, Decided) and each.side is not None]
    return decided[0], market, said


GOOD = {BTC: CONTRACT}


async def test_a_list_as_before_lets_the_signal_through() -> None:
    decided, market, _ = await decided_at_the_setup(GOOD)

    assert decided.taken
    assert market.asked == 6, "by the paper venue for itself, at boot, and then once a quarter of an hour"


@pytest.mark.parametrize(
    ("later", "code"),
    [
        ({BTC: replace(CONTRACT, contract_size=Decimal(10))}, None),
        ({"ETH/USD:USD": replace(CONTRACT, symbol="ETH/USD:USD")}, "not-listed"),
    ],
)
async def test_a_list_in_doubt_is_read_twice_before_it_changes_what_is_entered(
    later: Mapping[str, Instrument], code: str | None
) -> None:
    """I30, I44: the first reading is said aloud and not acted on; the second that agrees is the truth."""
    decided, _, said = await decided_at_the_setup(GOOD, later)

    assert any("the venue's list is doubted" in line for line in said)
    assert decided.taken == (code is None)
    assert code is None or decided.code == code

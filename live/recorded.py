"""Candles to replay: from the journal, or made up by a scenario; and the part of them that was asked for. [E]"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from live.candle_files import CANDLES_UNUSABLE
from live.made_up import MIXED, make_mixed_candles
from live.market import BadCandles, closed, timeframe_name
from live.model import Candle
from live.simulator.scenarios import LISTINGS, SCENARIOS, make_scenario
from prodsafe.errors import GateRefused, RefusalKind

NOTHING_TO_REPLAY = RefusalKind("H07", "nothing-to-replay")

SCENARIO_BEGAN_AT = datetime(2026, 1, 5, tzinfo=UTC)
MADE_UP = (MIXED, *SCENARIOS)


def read_journal_candles(
    url: str,
    symbol: str,
    timeframe: timedelta,
    *,
    begin_at: datetime | None = None,
    end_at: datetime | None = None,
    warmup_candles: int = 0,
) -> list[Candle]:
    """The candles that the workers of this database have read, opened from begin_at on and closed by end_at.

    warmup_candles: how many before begin_at come along. Raises DatabaseRefused, or GateRefused for none.
    """
    from live.reader import open_reader

    since = None if begin_at is None else begin_at - warmup_candles * timeframe
    until = None if end_at is None else end_at - timeframe
    with open_reader(url, application_name="live/replay") as reader:
        rows = reader.candles(symbol, timeframe, limit=None, since=since, until=until)
        others = [timeframe_name(each) for each in reader.timeframes(symbol)]
    if not rows:
        known = f"the timeframes recorded of it are {', '.join(others)}" if others else "no worker has read any of it"
        span = " in that time" if begin_at or end_at else ""
        raise nothing(f"the journal holds no candle of {symbol} {timeframe_name(timeframe)}{span}; {known}")
    candles = [replace(row, opened_at=row.opened_at.astimezone(UTC)) for row in rows]  # they come in the server's zone
    try:
        return closed(candles, candles[-1].closed_at)
    except BadCandles as bad:
        mend = "name a range without it: --from, --to"
        raise GateRefused(CANDLES_UNUSABLE.because(str(bad), mend=mend)) from None


def make_scenario_candles(name: str, *, seed: int, bars: int, symbol: str, timeframe: timedelta) -> list[Candle]:
    """The first `bars` candles of the scenario after SCENARIO_BEGAN_AT. Raises GateRefused for a symbol it lacks."""
    listing = next((each for each in LISTINGS if each.symbol == symbol), None)
    if listing is None:
        raise nothing(f"scenarios have no {symbol}; they have {', '.join(each.symbol for each in LISTINGS)}")
    if name == MIXED:
        return make_mixed_candles(listing, seed=seed, bars=bars, timeframe=timeframe, began_at=SCENARIO_BEGAN_AT)
    scenario = make_scenario(name, seed=seed, began_at=SCENARIO_BEGAN_AT, bar=timeframe)
    return scenario.candles(listing.venue_id, timeframe, SCENARIO_BEGAN_AT, SCENARIO_BEGAN_AT + bars * timeframe)


def cut(candles: Sequence[Candle], *, begin_at: datetime | None, end_at: datetime | None) -> list[Candle]:
    """The candles closed by end_at; those before begin_at stay, for warming up. Raises GateRefused if none is left."""
    left = [candle for candle in candles if end_at is None or candle.closed_at <= end_at]
    if left and (begin_at is None or left[-1].opened_at >= begin_at):
        return left
    if not candles:
        raise nothing("there is no candle at all")
    raise nothing(
        f"the candles reach from {candles[0].opened_at:%Y-%m-%d %H:%M} to {candles[-1].closed_at:%Y-%m-%d %H:%M} UTC"
    )


def nothing(cause: str) -> GateRefused:
    mend = "name what there is: --symbol, --timeframe, --from, --to; or another source of candles"
    return GateRefused(NOTHING_TO_REPLAY.because(cause, mend=mend))

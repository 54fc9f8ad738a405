"""Hydration: what the journal knows first, the venue for the rest; two markets are never joined into one history."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legacy import hydration
from legacy.data_service import DataService
from legacy.hydration import History, OtherMarket, joined, journal_of, wanted_since
from legacy.messages import MarketQueue, MarketUpdate
from live.market import BadCandles, closed, gaps
from live.model import Candle
from live.paper import ScenarioMarket
from live.replay import ReplayClock
from live.settings import Settings
from live.simulator.scenarios import make_scenario
from prodsafe.errors import DatabaseRefused, RefusalKind
from prodsafe.postgres import MALFORMED_ADDRESS

BTC = "BTC/USD:USD"
BAR = timedelta(minutes=15)
NOW = datetime(2026, 3, 2, 12, 0, 1, tzinfo=UTC)
WARMUP = 100
BEGIN = NOW.replace(second=0) - WARMUP * BAR
SETTINGS = Settings(live_symbols=(BTC,), live_warmup_candles=WARMUP)


class Venue(ScenarioMarket):
    """The default scenario; asked: since when, each time. unlisted: what it does not tell."""

    def __init__(self, clock: ReplayClock) -> None:
        super().__init__(make_scenario("default", seed=1, began_at=NOW, bar=BAR), clock=clock)
        self.asked: list[datetime] = []
        self.unlisted: set[datetime] = set()

    async def candles(self, symbol: str, timeframe: timedelta, *, since: datetime) -> list[Candle]:
        self.asked.append(since)
        told = await super().candles(symbol, timeframe, since=since)
        return [candle for candle in told if candle.opened_at not in self.unlisted]


def told_by_venue() -> list[Candle]:
    return closed(asyncio.run(Venue(ReplayClock(NOW)).candles(BTC, BAR, since=BEGIN)), NOW)


CANDLES = told_by_venue()


class Hydrated:
    """A data service whose journal holds these candles, after its first look."""

    def __init__(self, recorded: Sequence[Candle], *, unlisted: Sequence[Candle] = ()) -> None:
        self.clock, self.queue, self.said = ReplayClock(NOW), MarketQueue(10), list[str]()
        self.venue = Venue(self.clock)
        self.venue.unlisted = {candle.opened_at for candle in unlisted}
        self.wanted: list[tuple[object, ...]] = []

        async def read(*wanted: object) -> History:
            self.wanted.append(wanted)
            return {BTC: recorded}

        self.data = DataService(
            self.venue, self.queue, settings=SETTINGS, clock=self.clock, narrate=self.said.append, read_history=read
        )
        asyncio.run(self.hydrate())

    async def hydrate(self) -> None:
        await self.data.hydrate()
        await self.data.look()

    @property
    def history(self) -> tuple[Candle, ...]:
        update: MarketUpdate = self.queue.get_nowait()
        assert self.queue.empty()
        return update.candles


# --- with a journal


def test_of_a_journal_that_knows_all_but_the_newest_the_venue_is_asked_for_the_end_only() -> None:
    hydrated = Hydrated(CANDLES[:-3])

    assert list(hydrated.history) == CANDLES
    assert hydrated.venue.asked == [CANDLES[-4].opened_at], "the last one known comes along: it is told alike"
    assert hydrated.wanted == [((BTC,), BAR, BEGIN)]
    assert hydrated.said == ["100 candles of BTC/USD:USD, the last closed at 12:00; 97 of them from the journal"]


@pytest.mark.parametrize(
    "recorded",
    [CANDLES[:40] + CANDLES[60:], CANDLES[:40] + CANDLES[41:60] + CANDLES[61:-1], CANDLES[30:], CANDLES[:30]],
    ids=["a hole", "two holes", "it began late", "it ended long ago"],
)
def test_what_the_journal_lacks_is_filled_by_the_venue(recorded: list[Candle]) -> None:
    """The old service hydrated what its database held and traded on it; holes were filled ten minutes later."""
    hydrated = Hydrated(recorded)

    assert list(hydrated.history) == CANDLES
    assert len(hydrated.venue.asked) == 1


def test_a_candle_that_only_the_journal_knows_is_kept() -> None:
    hydrated = Hydrated(CANDLES[:-1], unlisted=CANDLES[50:52])

    assert list(hydrated.history) == CANDLES


def test_what_neither_knows_is_told() -> None:
    hydrated = Hydrated(CANDLES[:50] + CANDLES[52:], unlisted=CANDLES[50:52])

    assert sum(gap.missing for gap in gaps(hydrated.history)) == 2
    assert hydrated.said[-1].endswith("2 candles in between exist nowhere")


def test_of_a_candle_in_both_the_recorded_reading_stays() -> None:
    """A worker decided on that one; a venue may count its volume anew."""
    recounted = [replace(candle, volume=candle.volume + 1) for candle in CANDLES]

    assert list(Hydrated(recounted).history) == recounted


@pytest.mark.parametrize("place", [50, -1])
def test_a_journal_of_another_market_is_not_used_and_that_is_said(place: int) -> None:
    """The same symbol at a sandbox or a simulator has other prices: joined they would be a market that never was."""
    other = list(CANDLES)
    other[place] = replace(other[place], high=other[place].high + 1)
    del other[20]  # so that the venue is asked for what follows

    hydrated = Hydrated(other)

    assert list(hydrated.history) == CANDLES
    assert "the journal is not used" in hydrated.said[0]


def test_a_journal_of_which_the_venue_tells_nothing_is_not_used() -> None:
    hydrated = Hydrated(CANDLES[:50], unlisted=CANDLES[:50])

    assert list(hydrated.history) == CANDLES[50:]
    assert "the venue tells none of the journal's candles" in hydrated.said[0]


@pytest.mark.parametrize("price", ["NaN", "0", "-1"])
def test_rows_that_cannot_be_true_are_not_used_and_that_is_said(price: str) -> None:
    hydrated = Hydrated([*CANDLES[:9], replace(CANDLES[9], open=Decimal(price)), *CANDLES[10:]])

    assert list(hydrated.history) == CANDLES
    assert "the journal is not used" in hydrated.said[0]


def test_rows_of_the_future_are_not_history() -> None:
    """A simulator's clock may have run ahead of ours."""
    ahead = [replace(CANDLES[-1], opened_at=CANDLES[-1].opened_at + n * BAR) for n in (1, 2)]

    assert list(Hydrated([*CANDLES, *ahead]).history) == CANDLES


@given(st.sets(st.integers(0, WARMUP - 1)), st.sets(st.integers(0, WARMUP - 1)))
def test_no_candle_that_anybody_knows_is_lost(recorded: set[int], listed: set[int]) -> None:
    """Whatever the journal and the venue have of one market: all of both from the first the venue was asked for."""
    ours, theirs = ([CANDLES[n] for n in sorted(numbers)] for numbers in (recorded, listed))
    since = wanted_since(ours, BEGIN)
    told = [candle for candle in theirs if candle.opened_at >= since]

    try:
        union = joined(ours, told)
    except OtherMarket:
        assert not {each.opened_at for each in ours} & {each.opened_at for each in told}
        return
    assert union == [CANDLES[n] for n in sorted(recorded | {CANDLES.index(each) for each in told})]
    before = [candle for candle in CANDLES if candle.opened_at < since]
    assert union[: len(before)] == before, "before it nothing is missing"


# --- without one


REFUSED = RefusalKind("R22", "store-unreadable")


def failing(error: Exception) -> tuple[DataService, MarketQueue, list[str]]:
    async def read(*_: object) -> History:
        raise error

    clock, queue, said = ReplayClock(NOW), MarketQueue(10), list[str]()
    data = DataService(Venue(clock), queue, settings=SETTINGS, clock=clock, narrate=said.append, read_history=read)
    return data, queue, said


async def test_a_database_that_cannot_be_read_is_said_with_its_mend_and_the_venue_tells_all() -> None:
    data, queue, said = failing(DatabaseRefused(REFUSED.because("no journal yet", mend="python migrate_schema.py")))

    await data.hydrate()
    await data.look()

    assert list(queue.get_nowait().candles) == CANDLES
    assert said[0].endswith("no journal yet; mend: python migrate_schema.py")


async def test_an_address_that_is_none_is_refused() -> None:
    data, _, _ = failing(DatabaseRefused(MALFORMED_ADDRESS.because("it cannot be read", mend="write another")))

    with pytest.raises(DatabaseRefused):
        await data.hydrate()


def test_a_database_that_never_answers_holds_up_neither_the_start_nor_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, over = threading.Event(), threading.Event()

    def hangs(*_: object) -> History:
        asked.set()
        over.wait(60)
        return {}

    monkeypatch.setattr(hydration, "_read", hangs)
    began = monotonic()

    with pytest.raises(DatabaseRefused, match="no answer within"):
        asyncio.run(journal_of("postgresql://h/d", patience_seconds=0.2)((BTC,), BAR, BEGIN))  # type: ignore[arg-type]
    assert asked.is_set()
    assert monotonic() - began < 10
    over.set()


async def test_a_bug_while_it_is_read_is_no_unreadable_database(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> History:
        raise BadCandles("a bug")

    monkeypatch.setattr(hydration, "_read", broken)

    with pytest.raises(BadCandles):
        await journal_of("postgresql://h/d")((BTC,), BAR, BEGIN)

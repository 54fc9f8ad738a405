"""A feed: each closed candle once and in order; a restart goes on from its memory, or warms up and says why."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from live.model import Candle
from live.smc import Engine, SmcParameters
from live.strategy import PUBLISH_DELAY, SAVE_EVERY, Feed, News

SYMBOL = "BTC/USD:USD"
BAR = timedelta(minutes=15)
START = datetime(2026, 3, 1, tzinfo=UTC)
P = SmcParameters(timeframe=BAR)
WARMUP = 200


def candles_of(count: int, *, seed: int = 1) -> list[Candle]:
    rng, close, candles = random.Random(seed), 120_000, []
    for number in range(count):
        open_, close = close, close + rng.randint(-400, 400)
        high, low = max(open_, close) + rng.randint(0, 150), min(open_, close) - rng.randint(0, 150)
        prices = [Decimal(price) / 2 for price in (open_, high, low, close)]
        candles.append(Candle(SYMBOL, BAR, START + number * BAR, *prices, Decimal(1)))
    return candles


@dataclass
class Tape:
    """A venue that has candles and nothing else; asked: since when, each time."""

    candles_there: Sequence[Candle]
    asked: list[datetime] = field(default_factory=list)

    async def candles(self, symbol: str, timeframe: timedelta, *, since: datetime) -> list[Candle]:
        self.asked.append(since)
        return [one for one in self.candles_there if one.opened_at >= since]


@dataclass
class Shelf:
    """A memory of one text."""

    text: str | None = None

    async def save_snapshot(self, symbol: str, timeframe: timedelta, text: str) -> None:
        self.text = text

    async def load_snapshot(self, symbol: str, timeframe: timedelta) -> str | None:
        return self.text


def feed(tape: Tape, shelf: Shelf, parameters: SmcParameters = P) -> Feed:
    return Feed(SYMBOL, tape, parameters, warmup_candles=WARMUP, memory=shelf)  # type: ignore[arg-type]


def just_after(candle: Candle) -> datetime:
    return candle.closed_at + PUBLISH_DELAY


async def walked(one: Feed, candles: Sequence[Candle]) -> list[News]:
    """What it says when asked once after each candle."""
    return [await one.news(just_after(candle)) for candle in candles]


CANDLES = candles_of(WARMUP + 3 * SAVE_EVERY)


async def remembered(until: int) -> tuple[Feed, Shelf]:
    """A feed that ran from its warm-up to this candle, and what it left behind."""
    shelf = Shelf()
    one = feed(Tape(CANDLES), shelf)
    await walked(one, CANDLES[WARMUP:until])
    return one, shelf


async def test_each_candle_is_heard_once_and_only_the_newest_of_the_warm_up_may_be_acted_on() -> None:
    one = feed(Tape(CANDLES), Shelf())

    first, *others = await walked(one, CANDLES[WARMUP : WARMUP + 30])

    assert first.candles == tuple(CANDLES[1 : WARMUP + 1])
    assert [opinion.candle for opinion in first.opinions] == [CANDLES[WARMUP]]
    assert [news.candles for news in others] == [(each,) for each in CANDLES[WARMUP + 1 : WARMUP + 30]]
    assert await one.news(just_after(CANDLES[WARMUP + 29]) + timedelta(seconds=1)) == News()


@pytest.mark.parametrize("down", [0, 1, 5, 100])
async def test_a_restart_goes_on_as_if_it_had_never_stopped(down: int) -> None:
    """And reads only what it has not: a week's level may be older than any warm-up."""
    end = WARMUP + SAVE_EVERY + 7
    whole, shelf = await remembered(end)
    tape = Tape(CANDLES)
    reborn = feed(tape, shelf)

    mine = await walked(reborn, CANDLES[end - 1 + down :])
    theirs = await walked(whole, CANDLES[end:])

    assert mine[0].problem is None
    assert tape.asked[0] > START + WARMUP * BAR
    assert mine[1:] == theirs[down:]
    assert [opinion.candle for opinion in mine[0].opinions] == [CANDLES[end - 1 + down]]


async def test_a_restart_hears_again_of_the_newest_candle_even_right_after_a_save() -> None:
    """The worker may have died between the save and the decision."""
    shelf = Shelf()
    (first,) = await walked(feed(Tape(CANDLES), shelf), CANDLES[WARMUP : WARMUP + 1])
    assert shelf.text is not None

    (again,) = await walked(feed(Tape(CANDLES), shelf), CANDLES[WARMUP : WARMUP + 1])

    assert again.opinions == first.opinions
    assert again.candles == (CANDLES[WARMUP],)


async def test_the_memory_is_saved_at_the_warm_up_and_then_now_and_again() -> None:
    texts: list[str] = []

    class Counting(Shelf):
        async def save_snapshot(self, symbol: str, timeframe: timedelta, text: str) -> None:
            texts.append(text)

    await walked(feed(Tape(CANDLES), Counting()), CANDLES[WARMUP:])

    assert len(texts) == 1 + (len(CANDLES) - WARMUP - 1) // SAVE_EVERY
    assert all((last := Engine.from_snapshot(text, P, SYMBOL).last) and last.number for text in texts)


def revised(number: int) -> list[Candle]:
    """The venue's candles with another close at that one."""
    candles = list(CANDLES)
    candles[number] = replace(candles[number], close=candles[number].low)
    return candles


async def last_remembered(shelf: Shelf) -> int:
    """Which candle the memory ends with."""
    last = Engine.from_snapshot(shelf.text or "", P, SYMBOL).last
    assert last is not None
    return (last.opened_at - START) // BAR


@pytest.mark.parametrize("what", ["garbage", "other parameters", "a revised candle", "a missing candle", "a long stop"])
async def test_a_memory_that_does_not_fit_is_said_and_warmed_up_instead(what: str) -> None:
    end = WARMUP + SAVE_EVERY
    _, shelf = await remembered(end)
    tape, parameters, now = Tape(CANDLES), P, CANDLES[end]
    at = await last_remembered(shelf)
    if what == "garbage":
        shelf.text = "garbage"
    elif what == "other parameters":
        parameters = replace(P, ote_min=0.6)
    elif what == "a revised candle":
        tape.candles_there = revised(at)
    elif what == "a missing candle":
        tape.candles_there = [*CANDLES[:at], *CANDLES[at + 1 :]]
    else:
        tape.candles_there = longer = candles_of(at + WARMUP + 3)
        now = longer[-1]

    (news,) = await walked(feed(tape, shelf, parameters), [now])

    (fresh,) = await walked(feed(Tape(tape.candles_there), Shelf(), parameters), [now])
    assert news.problem is not None
    assert news.problem.startswith(f"{SYMBOL}: warmed up anew: the ")
    assert (news.candles, news.opinions) == (fresh.candles, fresh.opinions)


async def test_candles_that_cannot_be_true_are_a_problem_and_asked_for_again() -> None:
    tape = Tape([*CANDLES[:WARMUP], replace(CANDLES[WARMUP], close=Decimal(0))])
    one = feed(tape, Shelf())

    (bad,) = await walked(one, [CANDLES[WARMUP]])
    tape.candles_there = CANDLES
    (good,) = await walked(one, [CANDLES[WARMUP]])

    assert bad.candles == ()
    assert bad.problem is not None
    assert "not positive" in bad.problem
    assert good.candles[-1] == CANDLES[WARMUP]

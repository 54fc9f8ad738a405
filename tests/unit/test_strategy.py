"""A feed: each closed candle once and in order; a restart goes on from its memory, or warms up and says why."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from live.market import HOLE_PATIENCE
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


async def test_feeds_of_many_symbols_do_not_all_save_on_one_candle() -> None:
    """All of five hundred memories at once took a second, in which no stop could have been placed."""
    saved_at: dict[int, list[int]] = {}

    class Noting(Shelf):
        async def save_snapshot(self, symbol: str, timeframe: timedelta, text: str) -> None:
            last = Engine.from_snapshot(text, P, SYMBOL).last
            assert last is not None
            saved_at.setdefault(number, []).append(last.number)

    for number in (0, 1, 40):
        one = Feed(SYMBOL, Tape(CANDLES), P, warmup_candles=WARMUP, memory=Noting(), head_start=number)  # type: ignore[arg-type]
        await walked(one, CANDLES[WARMUP:])

    at_warm_up = {numbers[0] for numbers in saved_at.values()}
    later = [numbers[1:] for numbers in saved_at.values()]
    assert len(at_warm_up) == 1
    assert all(b - a == SAVE_EVERY for numbers in later for a, b in pairwise(numbers))
    assert not set(later[0]) & set(later[1]) and not set(later[1]) & set(later[2])


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


# --- a venue that is late, wrong or away ------------------------------------------------------------------------------


async def test_a_hole_is_asked_for_again_at_once() -> None:
    """A page that lacks a candle is not yet a venue that has none."""

    class Forgetful(Tape):
        async def candles(self, symbol: str, timeframe: timedelta, *, since: datetime) -> list[Candle]:
            told = await super().candles(symbol, timeframe, since=since)
            return told if len(self.asked) == 2 else [one for one in told if one != CANDLES[WARMUP - 5]]

    tape = Forgetful(CANDLES)

    (news,) = await walked(feed(tape, Shelf()), [CANDLES[WARMUP]])

    assert tape.asked == [CANDLES[1].opened_at, CANDLES[WARMUP - 5].opened_at]
    assert (news.candles, news.problem) == (tuple(CANDLES[1 : WARMUP + 1]), None)


async def test_a_warm_up_by_less_than_was_asked_for_is_said() -> None:
    """A reply cut to 300 rows would make the strategy see another structure than it did yesterday."""
    (news,) = await walked(feed(Tape(CANDLES[WARMUP - 30 :]), Shelf()), [CANDLES[WARMUP]])

    assert len(news.candles) == 31
    assert news.problem is not None and "warmed up by 31 of 200 candles" in news.problem


async def test_a_candle_that_is_told_late_is_waited_for_and_read_in_its_place() -> None:
    tape = Tape(CANDLES[: WARMUP + 1])
    one = feed(tape, Shelf())
    await walked(one, [CANDLES[WARMUP]])
    now = just_after(CANDLES[WARMUP + 2])

    tape.candles_there = [*CANDLES[: WARMUP + 1], CANDLES[WARMUP + 2]]
    waiting = await one.news(now)
    tape.candles_there = CANDLES
    told = await one.news(now + timedelta(seconds=5))

    assert waiting.candles == () and waiting.problem is not None
    assert "1 candles from" in waiting.problem
    assert told.candles == tuple(CANDLES[WARMUP + 1 : WARMUP + 3])


async def test_a_hole_that_stays_is_the_venues_truth_after_a_while() -> None:
    holed = [*CANDLES[: WARMUP + 1], *CANDLES[WARMUP + 2 :]]
    one = feed(Tape(holed), Shelf())
    await walked(one, [CANDLES[WARMUP]])

    believed = await one.news(CANDLES[WARMUP + 2].closed_at + HOLE_PATIENCE)

    assert believed.candles == (CANDLES[WARMUP + 2],)


async def test_a_revised_candle_is_said_once_and_changes_nothing() -> None:
    """What was decided on stays what it was; the memory is warmed up anew at the next start."""
    tape = Tape(CANDLES)
    one, other = feed(tape, Shelf()), feed(Tape(CANDLES), Shelf())
    await walked(one, [CANDLES[WARMUP]])
    await walked(other, [CANDLES[WARMUP]])
    tape.candles_there = revised(WARMUP)

    first, *more = await walked(one, CANDLES[WARMUP + 1 : WARMUP + 4])

    assert first.problem is not None and "revised the candle" in first.problem
    assert [replace(first, problem=None), *more] == await walked(other, CANDLES[WARMUP + 1 : WARMUP + 4])


async def test_a_candle_closed_by_our_clock_alone_is_not_read() -> None:
    """W44: the venue's clock may lag behind ours, and then its last row is still open."""
    one = feed(Tape(CANDLES), Shelf())

    news = await one.news(just_after(CANDLES[WARMUP]) - timedelta(microseconds=1))

    assert news.candles[-1] == CANDLES[WARMUP - 1]


async def test_after_an_outage_all_that_closed_is_read_in_order() -> None:
    one = feed(Tape(CANDLES), Shelf())
    await walked(one, [CANDLES[WARMUP]])

    (news,) = await walked(one, [CANDLES[WARMUP + 40]])

    assert news.candles == tuple(CANDLES[WARMUP + 1 : WARMUP + 41])
    assert [opinion.candle for opinion in news.opinions] == list(news.candles)


async def test_a_series_without_its_newest_candle_is_overdue_after_one_more() -> None:
    tape = Tape(CANDLES[: WARMUP + 1])
    one = feed(tape, Shelf())
    await walked(one, [CANDLES[WARMUP]])
    second = timedelta(seconds=1)

    assert not one.is_overdue(just_after(CANDLES[WARMUP + 2]) - second)
    assert one.is_overdue(just_after(CANDLES[WARMUP + 2]))


async def test_a_series_that_never_begins_is_overdue_too() -> None:
    """A symbol of which no candle can ever be used must not look as healthy as one that is quiet."""
    one = feed(Tape([]), Shelf())
    now = just_after(CANDLES[WARMUP])

    assert not one.is_overdue(now)
    await one.news(now)

    assert not one.is_overdue(now + BAR - timedelta(seconds=1))
    assert one.is_overdue(now + BAR)


@given(st.lists(st.sets(st.integers(WARMUP, WARMUP + 6), max_size=4), max_size=6), st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_whatever_a_reading_leaves_out_repeats_or_disorders_the_strategy_reads_the_series(
    forgotten: list[set[int]], chance: random.Random
) -> None:
    """I48, and the reason to trust a replay: each candle once and in order, as if the venue had never failed.

    No candle is left out of two readings in a row: then the venue has none.
    """

    class Unreliable(Tape):
        async def candles(self, symbol: str, timeframe: timedelta, *, since: datetime) -> list[Candle]:
            told = await super().candles(symbol, timeframe, since=since)
            numbers = forgotten.pop() if forgotten and len(self.asked) % 2 else set()
            told = [one for one in told if one not in {CANDLES[number] for number in numbers}] * 2
            chance.shuffle(told)
            return told

    async def heard() -> list[Candle]:
        tape = Unreliable(CANDLES[: WARMUP + 8])
        one, now = feed(tape, Shelf()), just_after(CANDLES[WARMUP + 7])
        news = [await one.news(now + timedelta(seconds=second)) for second in range(16)]
        return [candle for each in news for candle in each.candles]

    assert asyncio.run(heard()) == CANDLES[8 : WARMUP + 8]

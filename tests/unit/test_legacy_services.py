"""DataService -> bounded queue -> TradingService: the old loop's shape without its old faults, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from legacy.data_service import DataService
from legacy.messages import QUEUE_SIZE, MarketQueue, MarketUpdate, market_queue
from legacy.trading_service import QueuedMarket, TradingService
from legacy.wiring import run_services
from live.clock import SystemClock
from live.market import gaps
from live.model import Candle, Leg, Ticker
from live.paper import ScenarioMarket
from live.position import Phase
from live.settings import Settings
from live.simulator.scenarios import make_scenario
from prodsafe.errors import ExitCode, GateRefused, RefusalKind, VenueUnreadable
from prodsafe.output import run_entry

BTC, ETH = "BTC/USD:USD", "ETH/USD:USD"
MINUTE = timedelta(minutes=1)
SETTINGS = Settings(live_symbols=(BTC, ETH), live_timeframe="1m", live_warmup_candles=1000)
HASTY = replace(SETTINGS, live_tick_seconds=0.02, live_fast_tick_seconds=0.01)
UNREADABLE = RefusalKind("V01", "venue-unreadable", ExitCode.UNREADABLE)


class HandClock:
    """Time that moves only when a test moves it; one second into a bar at first."""

    def __init__(self) -> None:
        self.time = datetime(2026, 3, 2, 12, 0, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def advance(self, **length: float) -> None:
        self.time += timedelta(**length)

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds=seconds)
        await asyncio.sleep(0)


class Exchange(ScenarioMarket):
    """The default scenario with bad days: symbols that raise, candles hidden, a price moved by some per cent."""

    def __init__(self, clock: HandClock | SystemClock) -> None:
        super().__init__(make_scenario("default", seed=1, began_at=clock.now(), bar=MINUTE), clock=clock)
        self.failing: dict[str, Exception] = {}
        self.hidden: set[tuple[str, datetime]] = set()
        self.moved_pct = Decimal(0)
        self.candle_reads = 0

    async def candles(self, symbol: str, timeframe: timedelta, *, since: datetime) -> list[Candle]:
        self.candle_reads += 1
        if symbol in self.failing:
            raise self.failing[symbol]
        told = await super().candles(symbol, timeframe, since=since)
        return [candle for candle in told if (symbol, candle.opened_at) not in self.hidden]

    async def tickers(self, symbols: Sequence[str]) -> dict[str, Ticker]:
        found = await super().tickers(symbols)
        return {symbol: self._moved(ticker) for symbol, ticker in found.items()}

    def _moved(self, ticker: Ticker) -> Ticker:
        mark = (ticker.mark_price * (1 + self.moved_pct / 100)).quantize(Decimal("0.1"))
        return replace(ticker, mark_price=mark, bid_price=mark - 1, ask_price=mark + 1)


def unreadable() -> VenueUnreadable:
    return VenueUnreadable(UNREADABLE.because("the venue is down", mend="wait"))


def ignore(_text: str) -> None:
    return None


def sent(queue: MarketQueue) -> list[MarketUpdate]:
    return [queue.get_nowait() for _ in range(queue.qsize())]


class Loop:
    """Both services over one queue, driven second by second."""

    def __init__(self, settings: Settings = SETTINGS) -> None:
        self.clock, self.queue, self.said = HandClock(), market_queue(), list[str]()
        self.exchange = Exchange(self.clock)
        narrate = self.said.append
        self.data = DataService(self.exchange, self.queue, settings=settings, clock=self.clock, narrate=narrate)
        self.trading = TradingService(self.exchange, self.queue, settings=settings, clock=self.clock, narrate=narrate)

    async def run_until(self, done: Callable[[], bool], *, within_seconds: int) -> None:
        for _ in range(within_seconds):
            await self.data.look()
            await self.trading.tick()
            if done():
                return
            self.clock.advance(seconds=1)
        raise AssertionError(f"did not happen within {within_seconds} s: {self.said[-5:]}")

    async def until_protected(self) -> None:
        await self.trading.boot()
        await self.run_until(
            lambda: any(p.phase is Phase.PROTECTED for p in self.trading.book.open_positions()), within_seconds=60
        )


# --- the data service


async def test_the_first_look_sends_each_symbols_whole_history_and_later_ones_only_what_closed_since() -> None:
    loop = Loop()

    await loop.data.look()
    history = sent(loop.queue)
    await loop.data.look()
    nothing = sent(loop.queue)
    loop.clock.advance(minutes=2)
    await loop.data.look()
    later = sent(loop.queue)

    assert [(update.symbol, len(update.candles)) for update in history] == [(BTC, 1000), (ETH, 1000)]
    assert nothing == []
    assert [(update.symbol, len(update.candles)) for update in later] == [(BTC, 2), (ETH, 2)]
    assert gaps([*history[0].candles, *later[0].candles]) == []
    assert all(candle.closed_at <= loop.clock.now() for candle in later[0].candles)


async def test_the_market_is_asked_only_when_a_candle_should_have_closed() -> None:
    loop = Loop()
    await loop.data.look()
    asked = loop.exchange.candle_reads

    for _ in range(50):
        loop.clock.advance(seconds=1)
        await loop.data.look()

    assert asked == 2
    assert loop.exchange.candle_reads == asked


async def test_a_full_queue_neither_blocks_the_polling_nor_loses_a_candle() -> None:
    """The old polling waited for room, and everything waited with it."""
    loop = Loop()
    for _ in range(QUEUE_SIZE):
        loop.queue.put_nowait(MarketUpdate("other", MINUTE, ()))

    async with asyncio.timeout(1):
        await loop.data.look()
    waiting = sent(loop.queue)
    loop.clock.advance(minutes=1)
    await loop.data.look()
    later = sent(loop.queue)

    assert len(waiting) == QUEUE_SIZE == 100
    assert "queue full" in loop.said[0]
    assert [(update.symbol, len(update.candles)) for update in later] == [(BTC, 1001), (ETH, 1001)]


@pytest.mark.parametrize("bad", ["unreadable", "cannot be true"])
async def test_a_symbol_that_cannot_be_read_holds_up_no_other_and_is_asked_again(
    bad: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = Loop()
    if bad == "unreadable":
        loop.exchange.failing[BTC] = unreadable()
    else:
        honest = loop.exchange.candles

        async def lying(symbol: str, timeframe: timedelta, *, since: datetime) -> list[Candle]:
            rows = await honest(symbol, timeframe, since=since)
            return [replace(row, low=row.high * 2) for row in rows] if symbol == BTC else rows

        monkeypatch.setattr(loop.exchange, "candles", lying)
    await loop.data.look()
    while_bad = sent(loop.queue)

    loop.exchange.failing.clear()
    monkeypatch.undo()
    await loop.data.look()
    afterwards = sent(loop.queue)

    assert [update.symbol for update in while_bad] == [ETH]
    assert any(BTC in line for line in loop.said)
    assert [(update.symbol, len(update.candles)) for update in afterwards] == [(BTC, 1000)]


async def test_a_bug_in_the_data_service_is_not_swallowed() -> None:
    """The old services caught their own crash, and the process exited 0."""
    loop = Loop()
    loop.exchange.failing[BTC] = ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError):
        await loop.data.run()


async def test_after_an_outage_every_candle_that_closed_is_sent() -> None:
    """The old polling asked for the last three: what an outage hid before them was lost until the next gap fill."""
    loop = Loop()
    await loop.data.look()
    history = sent(loop.queue)
    loop.exchange.failing[BTC] = unreadable()

    for _ in range(60):
        loop.clock.advance(minutes=1)
        await loop.data.look()
    sent(loop.queue)
    loop.exchange.failing.clear()
    await loop.data.look()
    (after,) = sent(loop.queue)

    assert (after.symbol, len(after.candles)) == (BTC, 60)
    assert gaps([*history[0].candles, *after.candles]) == []


async def test_an_outage_is_said_once_and_not_at_every_look() -> None:
    """I29: twelve thousand lines of noise a day."""
    loop = Loop()
    loop.exchange.failing[BTC] = unreadable()

    for _ in range(50):
        await loop.data.look()
        loop.clock.advance(seconds=5)
    loop.exchange.failing.clear()
    await loop.data.look()
    loop.exchange.failing[BTC] = unreadable()
    loop.clock.advance(minutes=2)
    await loop.data.look()

    said = [line for line in loop.said if BTC in line]
    assert ["unreadable" in line for line in said] == [True, False, True]
    assert "asked again at each look" in said[0]


async def test_a_hole_is_asked_for_at_each_look_while_the_worker_would_wait_for_it_and_then_left() -> None:
    """The old service filled holes every 600 s, behind decisions that had long been made on them."""
    loop = Loop()
    await loop.data.look()
    (history, _) = sent(loop.queue)
    hole = history.candles[-1].closed_at
    loop.exchange.hidden.add((BTC, hole))
    loop.clock.advance(minutes=2)

    asked = loop.exchange.candle_reads
    await loop.data.look()
    waiting = [update.symbol for update in sent(loop.queue)]
    for _ in range(3):
        loop.clock.advance(seconds=5)
        await loop.data.look()
    asked = loop.exchange.candle_reads - asked
    loop.clock.advance(minutes=1)
    await loop.data.look()
    (left, _) = sent(loop.queue)

    assert waiting == [ETH]
    assert asked == 2 * 4 + 1  # each time at once again, as the worker's feed does; and ETH once
    assert [candle.opened_at for candle in left.candles] == [hole + MINUTE, hole + 2 * MINUTE]
    assert any("1 candle in between exist nowhere" in line for line in loop.said)
    assert sum("are missing" in line for line in loop.said) == 1


async def test_a_hole_that_is_filled_in_time_delays_its_candles_and_loses_none() -> None:
    loop = Loop()
    await loop.data.look()
    (history, _) = sent(loop.queue)
    hole = history.candles[-1].closed_at
    loop.exchange.hidden.add((BTC, hole))
    loop.clock.advance(minutes=2)
    await loop.data.look()
    sent(loop.queue)

    loop.exchange.hidden.clear()
    await loop.data.look()
    (update,) = sent(loop.queue)

    assert [candle.opened_at for candle in update.candles] == [hole, hole + MINUTE]


async def test_while_there_is_no_room_the_market_is_not_even_asked() -> None:
    loop = Loop()
    for _ in range(QUEUE_SIZE):
        loop.queue.put_nowait(MarketUpdate("other", MINUTE, ()))

    for _ in range(20):
        await loop.data.look()

    assert loop.exchange.candle_reads == 0
    assert sum("queue full" in line for line in loop.said) == 1


async def test_a_full_queue_does_not_hold_up_the_end() -> None:
    """The old polling hung in its queue when it was told to stop."""
    exchange, data, trading = services(room=1)

    async def deaf() -> None:
        await asyncio.sleep(3600)

    trading.tick = deaf  # type: ignore[method-assign]
    task = asyncio.create_task(run_services(data, trading))
    async with asyncio.timeout(5):
        while exchange.candle_reads < 1:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert asyncio.all_tasks() == {asyncio.current_task()}


# --- the queue's other end


async def test_candles_come_from_the_queue_and_nowhere_else() -> None:
    loop = Loop()
    market = QueuedMarket(loop.exchange, loop.queue)
    since = loop.clock.now() - timedelta(hours=1)

    before = await market.candles(BTC, MINUTE, since=since)
    await loop.data.look()
    after = await market.candles(BTC, MINUTE, since=since)

    assert before == []
    assert len(after) == 59  # the first minute after `since` to the last one closed
    assert await market.candles(BTC, timedelta(hours=1), since=since) == []


async def test_what_is_kept_is_bounded_by_what_was_not_read_yet_and_never_short_of_it() -> None:
    """The old cache kept 200 bars whatever was asked, and computed an EMA of 200 from them. I58: memory is bounded."""
    loop = Loop()
    market = QueuedMarket(loop.exchange, loop.queue)
    since, kept = loop.clock.now() - timedelta(days=30), []
    for _ in range(3):
        await loop.data.look()
        kept.append(await market.candles(BTC, MINUTE, since=since))
        since = kept[-1][-1].opened_at
        loop.clock.advance(hours=30)

    assert [len(each) for each in kept] == [1000, 1 + 1800, 1 + 1800], "more than any cache was told to keep"
    assert [gaps(each) for each in kept] == [[], [], []]
    assert sum(map(len, market._candles.values())) == 1801 + 1000 + 2 * 1800  # the other symbol is still to be read


# --- the trading service


async def test_without_history_nothing_is_decided() -> None:
    loop = Loop()
    await loop.trading.boot()

    for _ in range(3):
        await loop.trading.tick()

    assert loop.trading.book.decided == {}


async def test_a_setup_is_entered_filled_and_protected_by_one_stop_of_its_whole_size() -> None:
    loop = Loop()

    await loop.until_protected()

    (position,) = loop.trading.book.open_positions()
    (stop,) = position.working(Leg.STOP)
    assert position.symbol == BTC
    assert stop.spec.reduce_only and stop.spec.qty == position.qty > 0
    assert sum(order.spec.qty for order in position.working(Leg.TARGET)) == position.qty
    assert loop.trading.status.unprotected == ()


async def test_the_targets_close_the_position_with_a_profit() -> None:
    loop = Loop(replace(SETTINGS, live_symbols=(BTC,)))

    await loop.until_protected()
    (position,) = loop.trading.book.open_positions()
    await loop.run_until(lambda: not loop.trading.book.open_positions(), within_seconds=400)

    assert loop.trading.book.positions[position.id].realised_quote > 0


async def test_a_stop_closes_it_and_the_days_loss_outlives_every_later_look_at_the_account() -> None:
    """The old loop reset the daily counters at each account sync, so that the daily limit could never trip."""
    loop = Loop(replace(SETTINGS, live_symbols=(BTC,)))
    await loop.until_protected()
    equity = loop.trading.book.equity
    assert equity is not None

    loop.exchange.moved_pct = Decimal(-5)
    await loop.run_until(lambda: not loop.trading.book.open_positions(), within_seconds=30)
    lost = loop.trading.book.equity
    await loop.run_until(lambda: loop.clock.now() > lost.at + timedelta(minutes=5), within_seconds=400)

    assert loop.trading.book.loss_streak == 1
    assert loop.trading.book.equity.day_start == equity.day_start
    assert loop.trading.book.equity.day_loss_pct > 0


async def test_an_outage_of_the_market_stops_nothing_and_is_said() -> None:
    loop = Loop()
    await loop.trading.boot()
    loop.exchange.failing = {BTC: unreadable(), ETH: unreadable()}

    await loop.data.look()
    await loop.trading.tick()
    loop.exchange.failing.clear()

    assert any("the venue is down" in line for line in loop.said)
    await loop.run_until(lambda: bool(loop.trading.book.decided), within_seconds=5)


# --- both together


def services(room: int = QUEUE_SIZE) -> tuple[Exchange, DataService, TradingService]:
    clock, queue = SystemClock(), MarketQueue(room)
    exchange = Exchange(clock)
    data = DataService(exchange, queue, settings=HASTY, clock=clock, narrate=ignore)
    return exchange, data, TradingService(exchange, queue, settings=HASTY, clock=clock, narrate=ignore)


async def test_a_clean_stop_of_trading_ends_the_polling_too() -> None:
    exchange, data, trading = services()
    asyncio.get_running_loop().call_later(0.3, trading.stop)

    async with asyncio.timeout(5):
        await run_services(data, trading)

    assert trading.status.state == "stopped"
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert exchange.candle_reads >= 2


async def test_a_halted_loop_still_stops_at_once() -> None:
    """The old one slept for a minute at a time while its kill switch was on, and heard nothing."""
    _, data, trading = services()
    running = asyncio.create_task(run_services(data, trading))
    async with asyncio.timeout(5):
        while trading.status.state != "running":
            await asyncio.sleep(0.01)
        await trading._memory.halt("a person's word", by="test")
        while not trading.status.halted:
            await asyncio.sleep(0.01)
        trading.stop()
        await running

    assert (trading.status.state, trading.status.halted) == ("stopped", True)


def test_a_bug_while_hydrating_ends_both_with_70(capsys: pytest.CaptureFixture[str]) -> None:
    """The old hydration was a task that nobody kept: its crash was never seen, and trading went on without history."""

    async def broken() -> None:
        async def reads(*_: object) -> dict[str, list[Candle]]:
            raise ZeroDivisionError("a bug in the hydration")

        _, data, trading = services()
        data._read_history = reads
        await run_services(data, trading)

    assert run_entry(lambda: asyncio.run(broken()) or 0) == ExitCode.BUG
    assert "a bug in the hydration" in capsys.readouterr().err


def test_a_bug_in_the_data_service_ends_trading_and_the_process_with_70(capsys: pytest.CaptureFixture[str]) -> None:
    async def broken() -> None:
        exchange, data, trading = services()
        exchange.failing[ETH] = ZeroDivisionError("a bug in the data service")
        await run_services(data, trading)

    assert run_entry(lambda: asyncio.run(broken()) or 0) == ExitCode.BUG
    assert "a bug in the data service" in capsys.readouterr().err


def test_a_bug_in_the_trading_service_ends_the_polling_and_the_process_with_70(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def broken() -> None:
        exchange, data, trading = services()

        async def fails(_symbols: Sequence[str]) -> dict[str, Ticker]:
            raise ZeroDivisionError("a bug in the trading service")

        asyncio.get_running_loop().call_later(0.1, monkeypatch.setattr, exchange, "tickers", fails)
        await run_services(data, trading)

    assert run_entry(lambda: asyncio.run(broken()) or 0) == ExitCode.BUG
    assert "a bug in the trading service" in capsys.readouterr().err


def test_a_refusal_in_a_service_keeps_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    async def refused() -> None:
        exchange, data, trading = services()
        no_timeframe = RefusalKind("V07", "timeframe-not-offered")
        exchange.failing[BTC] = GateRefused(no_timeframe.because("no such candle", mend="choose another"))
        await run_services(data, trading)

    assert run_entry(lambda: asyncio.run(refused()) or 0) == ExitCode.REFUSED
    assert "refused V07" in capsys.readouterr().err

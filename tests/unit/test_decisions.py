"""What the candles said is written down in the order of the candles, whatever else happens in the tick."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from live.book import Book
from live.decisions import MOST_AT_ONCE, Decider
from live.events import Decided, decode
from live.execution import Execution
from live.journal import MemoryJournal, MemoryStore
from live.look import Look
from live.model import Account, Candle, Denied, Side, Signal
from live.order_id import OrderIds
from live.reconcile import Reading
from live.settings import Settings
from live.smc.events import Observation
from live.smc.reasons import Code
from live.standing import Hold
from live.strategy import Feed, News, Opinion
from live.venue import Venue

BAR = timedelta(minutes=15)
NOW = datetime(2026, 3, 2, 12, 0, 1, tzinfo=UTC)
HOLDER = UUID(int=1)


class Clock:
    def now(self) -> datetime:
        return NOW

    async def sleep(self, seconds: float) -> None:
        """Time stands still."""


@dataclass
class Told:
    """A feed that says what a test wants said."""

    symbol: str
    opinions: Sequence[Opinion]

    async def news(self, now: datetime) -> News:
        return News(tuple(each.candle for each in self.opinions), tuple(self.opinions))


def opinion(symbol: str, closed_at: datetime, *, signal: bool = False) -> Opinion:
    price = Decimal(100)
    candle = Candle(symbol, BAR, closed_at - BAR, price, price, price, price, Decimal(1))
    entry = Signal(
        symbol=symbol, side=Side.LONG, entry_price=price, stop_price=Decimal(90), targets=(Decimal(120),),
        known_at=closed_at, expires_at=closed_at + BAR, reasons=("a setup",),
    )  # fmt: skip
    code = Code.SIGNAL if signal else Code.NO_SWEEP
    return Opinion(candle, Observation(closed_at, (), entry if signal else None, ("why",), code))


def decided(*feeds: Told, stopping: Callable[[], bool] = lambda: False) -> list[list[Decided]]:
    """The appends that one look leads to; a hold stands, so that a signal is denied."""
    store, appends = MemoryStore(), list[list[Decided]]()
    epoch = store.take("scope", HOLDER)
    journal = MemoryJournal(store, scope="scope", epoch=epoch, holder=HOLDER)
    append = journal.append

    async def noted(events: Sequence[Any]) -> None:
        appends.append([each for each in events if isinstance(each, Decided)])
        await append(events)

    journal.append = noted  # type: ignore[method-assign]
    book = Book()
    execution = Execution(
        journal=journal, venue=cast(Venue, None), book=book, clock=Clock(), permit=lambda: None,
        order_ids=OrderIds("abc", epoch), request_expiry=timedelta(seconds=2), narrate=lambda text: None,
        alert=lambda key, text: None,
    )  # fmt: skip
    decider = Decider(
        feeds=cast(Sequence[Feed], feeds), book=book, journal=journal, execution=execution, clock=Clock(),
        settings=Settings(), narrate=lambda text: None, stopping=stopping,
    )  # fmt: skip
    look = Look(Reading(NOW, [], [], []), {}, Account(Decimal(1000), Decimal(1000), NOW))
    asyncio.run(decider.consider(look, lambda symbol: Denied(symbol, "x", "x"), Hold("halted", "to see")))
    rows = [decode(row.payload) for _, row in store.rows]
    assert [each for group in appends for each in group] == rows
    return appends


def test_fifty_candles_that_say_nothing_are_one_append() -> None:
    feeds = [Told(f"S{n}/USD:USD", [opinion(f"S{n}/USD:USD", NOW - timedelta(seconds=1))]) for n in range(50)]

    (one,) = decided(*feeds)

    assert len(one) == 50


def test_a_symbols_newest_row_is_of_its_newest_candle_though_a_signal_is_written_at_once() -> None:
    """A restart reads the newest row of each symbol: an older one after it had the signal entered a second time."""
    closed = NOW - timedelta(seconds=1)
    feed = Told("A/USD:USD", [opinion("A/USD:USD", closed - BAR), opinion("A/USD:USD", closed, signal=True)])

    rows = [each for group in decided(feed) for each in group]

    assert [each.closed_at for each in rows] == [closed - BAR, closed]


def test_an_outage_of_many_candles_is_written_in_bounded_statements() -> None:
    """A statement has 65,535 parameters at most."""
    closed = NOW - timedelta(seconds=1)
    feed = Told("A/USD:USD", [opinion("A/USD:USD", closed - n * BAR) for n in range(3 * MOST_AT_ONCE, 0, -1)])

    assert [len(group) for group in decided(feed)] == [MOST_AT_ONCE] * 3


def test_signals_that_stand_in_line_when_a_stop_is_asked_for_are_left_to_the_successor() -> None:
    """One look may bring many: SIGTERM in the midst of it lets none of the rest go out."""
    asked, closed = [False, False, True], NOW - timedelta(seconds=1)  # by the second feed's turn
    feeds = [Told(f"S{n}/USD:USD", [opinion(f"S{n}/USD:USD", closed, signal=True)]) for n in range(3)]

    rows = [each for group in decided(*feeds, stopping=lambda: asked.pop(0) if asked else True) for each in group]

    assert [each.symbol for each in rows] == ["S0/USD:USD"]


def test_a_signal_heard_while_a_stop_is_asked_for_is_left_to_the_successor() -> None:
    asked, closed = [False], NOW - timedelta(seconds=1)  # before its candle was read, and no more after that
    feed = Told("A/USD:USD", [opinion("A/USD:USD", closed, signal=True)])

    assert decided(feed, stopping=lambda: asked.pop(0) if asked else True) == []


def test_what_an_outage_left_is_denied_though_a_stop_is_asked_for_since_no_successor_hears_of_it() -> None:
    """A boot has an opinion on the newest candle alone, and a row of a later one hides that an older has none."""
    asked, closed = [False], NOW - timedelta(seconds=1)
    ages = [(2, True), (1, False), (0, True)]
    feed = Told("A/USD:USD", [opinion("A/USD:USD", closed - n * BAR, signal=signal) for n, signal in ages])

    groups = decided(feed, stopping=lambda: asked.pop(0) if asked else True)

    assert [each.closed_at for group in groups for each in group] == [closed - 2 * BAR, closed - BAR]

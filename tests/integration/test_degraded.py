"""Half blind, half deaf, or without its latch: no entry, every stop stays, and status says why."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from live.events import Ask, SymbolFrozen
from live.journal import JournalUnavailable, unavailable
from live.model import Leg, OrderSide, OrderType, VenueOrder, VenueOrderStatus
from live.position import Phase
from live.reconcile import FOREIGN
from live.records import Row
from live.strategy import News
from tests.integration.test_flatten import ask
from tests.integration.test_live_trading import BEGAN, BTC, SETTINGS, Stage, live_stops, the_position

THEIRS = VenueOrder(
    venue_order_id="v-hand",
    client_order_id=None,
    symbol=BTC,
    side=OrderSide.BUY,
    type=OrderType.LIMIT,
    qty=Decimal(1),
    filled_qty=Decimal(0),
    status=VenueOrderStatus.OPEN,
    reduce_only=False,
    limit_price=Decimal(50_000),
)


def lend_orders(stage: Stage, *more: VenueOrder) -> list[VenueOrder]:
    """Orders of others among those the venue shows, for as long as they are in the list."""
    resting, open_orders = list(more), stage.venue.open_orders

    async def with_theirs() -> list[VenueOrder]:
        return [*await open_orders(), *resting]

    stage.venue.open_orders = with_theirs  # type: ignore[method-assign]
    return resting


async def test_a_latch_that_cannot_be_read_ends_the_worker_before_it_sends_anything() -> None:
    """Unreadable counts as halted: there is no reading of the latch that lets an entry out."""
    stage = Stage()
    worker = await stage.booted()

    async def silent() -> Any:
        raise unavailable(OSError("the database does not answer"))

    worker._journal.latch = silent  # type: ignore[method-assign]

    with pytest.raises(JournalUnavailable):
        await stage.ticked(worker)
    assert stage.venue.sent == []


async def test_alerts_that_reach_nobody_hold_entries_and_nothing_else() -> None:
    stage = Stage()
    worker = stage.worker()
    worker._alerts_failing = lambda: True
    await worker.boot()

    await stage.ticked(worker, 3)

    assert stage.venue.sent == []
    assert worker.status.degraded == ("alerts reach nobody",)


async def test_a_clock_that_steps_while_running_holds_entries_and_keeps_the_stop() -> None:
    stage = Stage()
    worker = await stage.protected()
    stops = live_stops(worker)
    stage.venue.offset_seconds = 3.0

    await stage.ticked(worker, 5)

    assert live_stops(worker) == stops
    assert worker.status.clock_offset_seconds == 3.0
    assert any("clock" in words for words in worker.status.degraded)


async def test_a_venue_that_stays_unreadable_is_said_until_it_answers() -> None:
    stage = Stage()
    worker = await stage.protected()
    stage.venue.unreadable = True
    await stage.ticked(worker, 4)
    assert worker.status.degraded == ("venue unreadable 4 looks in a row",)

    stage.venue.unreadable = False
    await stage.ticked(worker)

    assert worker.status.degraded == ()


async def test_an_order_of_somebody_else_is_noticed_once_shown_and_never_cancelled() -> None:
    stage = Stage()
    worker = await stage.protected()
    lend_orders(stage, THEIRS)

    await stage.ticked(worker, 5)

    assert [words for words in worker.status.findings if words.startswith("foreign-order")]
    assert len([words for words in stage.alerts if "foreign-order" in words]) == 1
    assert THEIRS in await stage.venue.open_orders()
    assert the_position(worker).phase is Phase.PROTECTED


async def test_reconciling_the_same_again_writes_nothing_new() -> None:
    """nautilus 3878: each start made new synthetic trades of the same facts."""
    stage = Stage()
    worker = await stage.protected()
    lend_orders(stage, THEIRS)
    await stage.ticked(worker, 2)
    before, findings = await stage.events(worker), worker.status.findings

    await stage.ticked(worker, 5)
    successor = await stage.booted()
    await stage.ticked(successor, 3)

    new = [event.kind for event in (await stage.events(successor))[len(before) :]]
    assert set(new) <= {"worker_started", "equity_observed"}
    assert successor.status.findings == findings


async def test_a_symbol_frozen_for_an_order_in_our_name_thaws_when_it_is_gone_for_a_minute() -> None:
    stage = Stage()
    worker = await stage.booted()
    stranger = replace(THEIRS, client_order_id="ps-abc-0-1-e", symbol="ETH/USD:USD")
    resting = lend_orders(stage, stranger)
    await stage.ticked(worker)
    assert "ETH/USD:USD" in worker.book.frozen

    resting.clear()
    await stage.ticked(worker, 5)
    assert "ETH/USD:USD" in worker.book.frozen, "lists may lack it for a while"
    stage.clock.pass_(60)
    await stage.ticked(worker)

    assert worker.book.frozen == {}


async def test_a_symbol_that_thaws_for_one_reason_lets_no_entry_out_while_there_is_another() -> None:
    """A look lay between the thaw and the freeze for an order in our name, and a candle may close in it."""
    stage = Stage()
    worker = await stage.booted()
    (feed,) = worker._feeds
    news = feed.news

    async def once_thawed(now: datetime) -> News:
        return News() if worker.book.frozen else await news(now)

    feed.news = once_thawed  # type: ignore[method-assign]
    frozen = SymbolFrozen(at=stage.clock.now(), symbol=BTC, reason=f"{FOREIGN}: long 1 at 100")
    await worker._execution.record(frozen)
    lend_orders(stage, replace(THEIRS, client_order_id="ps-abc-0-1-e"))
    await stage.ticked(worker, 65)

    assert "is in our name" in worker.book.frozen[BTC]
    assert stage.venue.sent == []


async def test_a_corrupt_row_freezes_its_symbol_once_whatever_the_boots_and_a_person_thaws_it() -> None:
    """I43: one record quarantined; the rest is protected, and the answer of a person lasts."""
    stage = Stage()
    worker = await stage.protected()
    row = Row("filled", "ETH/USD:USD", "ps-9", "f-odd", BEGAN, '{"kind": "filled"}')
    stage.store.rows.append(("scope", row))

    first = await stage.booted()
    second = await stage.booted()
    frozen = [event for event in await stage.events(second) if isinstance(event, SymbolFrozen)]

    assert list(first.book.frozen) == list(second.book.frozen) == ["ETH/USD:USD"]
    assert len(frozen) == 1
    assert len(live_stops(second)) == len(live_stops(worker)) == 1, "the protection of the rest goes on"

    ask(stage, Ask.THAW, "ETH/USD:USD")
    await stage.ticked(second)
    third = await stage.booted()

    assert second.book.frozen == third.book.frozen == {}


async def test_a_look_that_hangs_does_not_hold_up_a_drain_beyond_its_bound() -> None:
    stage = Stage()
    worker = await stage.booted(replace(SETTINGS, live_drain_seconds=0.2))

    async def hangs() -> list[VenueOrder]:
        await asyncio.sleep(60)
        return []

    stage.venue.open_orders = hangs  # type: ignore[method-assign]
    worker.stop()
    began = time.monotonic()

    await worker.drain()

    assert time.monotonic() - began < 5
    assert worker.status.state == "stopped"


async def test_a_send_cut_off_by_the_drains_bound_leaves_the_order_undecided() -> None:
    """The lease is then not released, and the successor waits until the venue would refuse the request."""
    stage = Stage()
    worker = await stage.entered()
    worker.settings = replace(SETTINGS, live_drain_seconds=0.2)
    stage.market.price = stage.venue.sent[0].limit_price
    submit = stage.venue.submit

    async def hangs(spec: Any, **more: Any) -> Any:
        outcome = await submit(spec, **more)
        if spec.leg is Leg.STOP:
            await asyncio.sleep(60)
        return outcome

    stage.venue.submit = hangs  # type: ignore[method-assign]
    stage.clock.pass_(1)
    worker.stop()

    await worker.drain()

    assert worker.has_undecided_orders()
    successor = await stage.booted()
    assert len(live_stops(successor)) == 1, "what arrived is found again, not sent twice"


async def test_a_stop_asked_for_in_the_boot_ends_it_without_a_tick() -> None:
    stage = Stage()
    worker = stage.worker()
    worker.stop()

    await worker.boot()
    await worker.run()

    assert stage.venue.sent == []
    assert worker.status.state == "stopped"


@pytest.mark.parametrize("phase", ["nothing", "entering", "protected"])
async def test_restarting_in_any_phase_leads_to_the_same_book(phase: str) -> None:
    """I58: boot is boring."""
    stage = Stage()
    if phase == "nothing":
        worker = await stage.booted()
    else:
        worker = await (stage.entered() if phase == "entering" else stage.protected())
    before = worker.book.positions

    for _ in range(3):
        worker = await stage.booted()

    assert worker.book.positions == before

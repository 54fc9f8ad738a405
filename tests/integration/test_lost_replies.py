"""Every reply to every send is dropped: each intent is at the venue once, and what is held is protected.

The same by hand: python -m live.simulator --faults FILE with [{"kind": "lost_reply", "path": "sendorder"}].
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from live.position import Phase
from tests.wired import Wired, wired

NO_REPLY_TO_A_SEND = {"kind": "lost_reply", "path": "sendorder"}


async def ticked_until(stage: Wired, phase: Phase, *, ticks: int = 25) -> None:
    """Tick at the fast pace until the position is in that phase."""
    for _ in range(ticks):
        await stage.trading.tick()
        if [position.phase for position in stage.trading.book.open_positions()] == [phase]:
            return
        await asyncio.sleep(0.3)
    raise AssertionError([position.phase for position in stage.trading.book.open_positions()])


def sends(stage: Wired) -> Counter[str]:
    return Counter(each.client_order_id or "" for each in stage.world.ledger.requests if each.endpoint == "sendorder")


async def test_each_intent_is_sent_once_though_no_reply_to_a_send_ever_comes() -> None:
    async with wired() as stage:
        stage.faults(NO_REPLY_TO_A_SEND)
        entry = await stage.enter()
        await stage.trading.tick()
        assert len(stage.account.orders) == 1  # it is looked up, not sent again
        stage.fill(entry)

        await ticked_until(stage, Phase.PROTECTED)

        summary = stage.ledger()["summary"]
        assert set(sends(stage).values()) == {1}
        assert (summary["duplicates"], summary["resent"]) == (0, 0)
        assert summary["faults"] == {"lost_reply": sum(sends(stage).values())}
        assert [stop.remaining for stop in stage.stops()] == [order.qty for order in _entries(stage)]
        assert summary["naked_seconds_max"] < stage.trading.settings.live_naked_bound_seconds


async def test_a_reply_that_no_table_lists_is_unknown_and_sounds_an_alarm() -> None:
    """The word is named, so that the outcome table can grow by a row."""
    async with wired() as stage:
        stage.faults({"kind": "set_key", "path": "sendorder", "key": "sendStatus.status", "value": "heldForReview"})

        await stage.enter()

        (order,) = stage.trading.book.working_orders()
        assert order.is_unresolved
        assert any("status heldForReview" in alert for alert in stage.alerts)


async def test_a_reply_that_is_known_to_prove_nothing_sounds_none() -> None:
    async with wired() as stage:
        stage.faults({"kind": "http_status", "path": "sendorder", "status": 503, "acts": True})

        await stage.enter()

        assert not [alert for alert in stage.alerts if "outcome table" in alert]


async def test_a_hint_ends_the_pause_between_two_looks() -> None:
    async with wired() as stage:
        pausing = asyncio.create_task(stage.trading._pause())
        await asyncio.sleep(0)
        began = asyncio.get_running_loop().time()

        stage.trading.look_soon()
        await pausing

        assert asyncio.get_running_loop().time() - began < stage.trading.settings.live_fast_tick_seconds
        again = asyncio.create_task(stage.trading._pause())
        await asyncio.sleep(0.1)
        assert not again.done()  # one hint, one look
        stage.trading.stop()
        await again


def _entries(stage: Wired) -> list[Any]:
    return [order for order in stage.account.orders.values() if not order.reduce_only]

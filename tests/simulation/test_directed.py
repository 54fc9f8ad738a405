"""Situations that seeds once found and later code no longer plays by itself: each is brought about step by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

import pytest

from live.model import OrderSide
from live.position.commands import CancelOrder
from live.simulator.orders import Order, OrderKind
from tests.simulation import venue
from tests.simulation.invariants import NAKED_SLACK_SECONDS, broken
from tests.simulation.life import settle, step
from tests.simulation.market import INSTRUMENTS
from tests.simulation.stage import SETTINGS, Crash, Stage

_, _, SOL = INSTRUMENTS
TRAILING = replace(SETTINGS, live_trail_distance_pct=Decimal(1))
BOUND = SETTINGS.live_naked_bound_seconds + NAKED_SLACK_SECONDS


@dataclass
class DiesAtExits(Stage):
    """Its worker dies as soon as an exit has left, so that nobody hears what the venue made of it."""

    deaths: int = 5

    def _perhaps_die(self, number: int, when: str, name: str) -> None:
        if when == "after" and name.startswith("submit exit") and self.deaths:
            self.deaths -= 1
            raise Crash


@dataclass
class CancelledOnTheWay(Stage):
    """A person cancels the newest stop while the worker's cancel of an older one is on its way."""

    was_cancelled: bool = False

    async def moment(self) -> None:
        await super().moment()
        if not self.was_cancelled and self.effects and self.effects[-1].startswith("cancel stop"):
            self.was_cancelled = True
            self.venue.cancel_by_hand(stops(self)[-1])


def stops(stage: Stage) -> list[Order]:
    return [order for order in stage.venue.book.open_orders() if order.kind is OrderKind.STOP]


async def until(stage: Stage, comes_true: Callable[[], bool], *, steps: int = 40) -> None:
    for _ in range(steps):
        if comes_true():
            return
        await step(stage)
    pytest.fail("\n".join(stage.trace))


async def adopted(stage: Stage) -> Stage:
    """20 contracts bought by hand have had a stop of ours for a while, and nothing else happens."""
    stage.signal_share = 0.0
    await until(stage, lambda: stage.worker is not None and stage.worker.status.reconciled)
    stage.venue.trade_by_hand(SOL, OrderSide.BUY, Decimal(20))
    await until(stage, lambda: len(stops(stage)) == 1)
    known_from = stage.time + venue.KNOWN_BY
    await until(stage, lambda: stage.time > known_from)
    return stage


async def two_stops(stage: Stage) -> Stage:
    """The same, and the price has gone up: the stop that follows it rests beside the first one."""
    await adopted(stage)
    stage.venue.show(SOL, stage.market.prices[SOL] * Decimal("1.03"))
    await until(stage, lambda: len(stops(stage)) == 2)
    return stage


@pytest.mark.parametrize(("side", "qty"), [(OrderSide.SELL, "2"), (OrderSide.BUY, "2")], ids=["short", "long"])
async def test_what_stops_executed_after_a_size_was_taken_is_not_closed_once_more(
    side: OrderSide, qty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seed 2305: their fills were late, and a correction made the book forget that they are owed. It held contracts
    that were gone, sent exits for them, which closed what a person had opened meanwhile, and as often as a worker died
    at one of them what was there on the other side stayed naked for as long again."""
    monkeypatch.setitem(venue.LATENESS, "late_fill", (200,))
    stage = await adopted(DiesAtExits(seed=3, faults={"late_fill": 1.0}))
    stage.venue.trade_by_hand(SOL, OrderSide.BUY, Decimal(20))
    await until(stage, lambda: any("size corrected" in line for line in stage.trace))

    trigger = stops(stage)[-1].stop_price
    assert trigger is not None and len(stops(stage)) == 2
    stage.venue.show(SOL, trigger - 1)
    assert stage.venue.book.positions == {}
    stage.venue.trade_by_hand(SOL, side, Decimal(qty))
    await step(stage)

    assert stage.deaths == 5, "an exit was sent"
    await until(stage, lambda: stage.venue.naked_sides() == {})
    await settle(stage)
    assert broken(stage) == [] and stage.naked.seconds_max <= BOUND


async def test_the_only_stop_is_not_the_workers_fault_where_a_person_cancelled_the_new_one_on_the_way() -> None:
    """Seed 3945: the last look listed the new stop, so that the old one went; no worker can know, and it heals."""
    stage = await two_stops(CancelledOnTheWay(seed=3, settings=TRAILING))

    await until(stage, lambda: stage.was_cancelled)

    assert stops(stage) == []
    await settle(stage)
    assert broken(stage) == [] and stage.naked.seconds_max <= BOUND


async def test_a_worker_that_cancels_both_stops_is_found_out() -> None:
    stage = await two_stops(Stage(seed=3, settings=TRAILING))
    assert stage.worker is not None
    await stage.venue.open_orders()
    position = stage.worker.book.position_on(SOL)
    assert position is not None

    for order in stops(stage):
        assert stage.found == []
        await stage.worker._execution.perform(CancelOrder(position.id, str(order.client_order_id), "a mistake"))

    assert stage.found == [f"cancelled {order.client_order_id}, the only stop of an open position"]

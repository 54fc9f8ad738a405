"""One eventful life, and the same life with a crash before and after each of its effects: a successor mends each."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from live.model import OrderSide
from tests.simulation.driver import settle, step
from tests.simulation.invariants import broken
from tests.simulation.stage import BASES, BEGAN, INSTRUMENTS, Faults, Stage

SEED = 3
STEPS = 30
QUIET = 20
# per mille of the base price, one step after the other: through entries, first targets, break-even stops and stops
PATH = (0, 0, 0, 2, -2, 11, 13, 13, 1, -2, -11, -13, 0, 3, 22, 33, 0, -3, -22, -33)


async def life(crash_at: tuple[int, str] | None = None, *, fill_share: float = 0.0) -> Stage:
    """Three symbols that trade along PATH, a hand that closes one position and opens another."""
    stage = Stage(SEED, faults=Faults(partial_fill=fill_share))
    stage.crash_at = crash_at
    for number in range(STEPS):
        _move(stage, number)
        await step(stage)
    await settle(stage, ticks=QUIET)
    return stage


def _move(stage: Stage, number: int) -> None:
    if stage.worker is None or not stage.worker.status.reconciled:
        return
    for symbol, instrument in INSTRUMENTS.items():
        price = BASES[symbol] * (1 + Decimal(PATH[number % len(PATH)]) / 1000)
        stage.venue.show(symbol, instrument.round_price(price))
    if number in (15, 24):
        stage.venue.trade_by_hand("SOL/USD:USD", OrderSide.BUY if number == 15 else OrderSide.SELL, Decimal(20))


def effects_of_the_golden_life() -> int:
    return asyncio.run(life()).effects


def test_the_golden_life_is_eventful_and_breaks_no_rule() -> None:
    stage = asyncio.run(life())

    said = "\n".join(stage.full_trace())
    assert broken(stage) == []
    assert stage.time > BEGAN
    for wanted in ("-e ", "-s ", "-t ", "replaced", "filled", "by hand", "adopted"):
        assert wanted in said, wanted
    assert stage.effects > 40


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_at_any_effect_is_mended_by_the_successor(when: str) -> None:
    for number in range(1, effects_of_the_golden_life() + 1):
        stage = asyncio.run(life((number, when)))

        assert broken(stage) == [], f"crash {when} effect {number}"
        assert any(f"crash {when} effect {number}," in line for line in stage.trace)

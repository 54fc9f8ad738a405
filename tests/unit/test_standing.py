"""Why no entry is sent: the gravest reason first, and each degraded sense said in words."""

from __future__ import annotations

import pytest

from live.standing import UNREADABLE_TICKS, Senses, degraded, hold_on_entries
from live.status import Halt, HaltCause

SOUND = Senses(skew_seconds=0.1)
HALTED = Halt(halted=True, reason="drawdown", who="worker", cause=HaltCause.LIMITS)


def code(latch: Halt = Halt(), senses: Senses = SOUND, **more: object) -> str | None:  # noqa: B008 - frozen
    hold = hold_on_entries(latch, senses, **{"mismatches": (), **more})  # type: ignore[arg-type]
    return hold.code if hold else None


def test_with_sound_senses_entries_are_allowed() -> None:
    assert code() is None
    assert degraded(SOUND) == ()


@pytest.mark.parametrize(
    ("senses", "held"),
    [
        (Senses(unreadable_ticks=UNREADABLE_TICKS), "venue-unreadable"),
        (Senses(skew_seconds=0.6, allowed_skew_seconds=0.5), "clock-skew"),
        (Senses(alerts_failing=True), "alerts-failing"),
    ],
    ids=["venue", "clock", "alerts"],
)
def test_each_lost_sense_holds_entries_and_is_said(senses: Senses, held: str) -> None:
    assert code(senses=senses) == held
    assert len(degraded(senses)) == 1


def test_one_look_in_vain_is_weather_and_not_degraded() -> None:
    assert code(senses=Senses(unreadable_ticks=UNREADABLE_TICKS - 1)) is None


def test_overdue_candles_are_said_and_hold_back_nobody_else() -> None:
    stale = Senses(stale_symbols=("BTC/USD:USD",))

    assert code(senses=stale) is None
    assert degraded(stale) == ("candles overdue: BTC/USD:USD",)


def test_the_gravest_reason_comes_first() -> None:
    broken = Senses(unreadable_ticks=9, skew_seconds=9.0, alerts_failing=True)

    assert code(HALTED, broken, mismatches=("x",), flattening={1: "x"}) == "halted"
    assert code(senses=broken, mismatches=("x",), flattening={1: "x"}) == "flattening"
    assert code(senses=broken, mismatches=("x",)) == "clock-skew"
    assert code(mismatches=("x",)) == "unreconciled"


def test_a_cause_that_this_version_does_not_know_still_halts() -> None:
    assert HaltCause.of("something of tomorrow") is None
    assert code(Halt(halted=True, reason="?", cause=None)) == "halted"

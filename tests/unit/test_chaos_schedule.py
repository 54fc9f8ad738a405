"""What a chaos seed means: one schedule, always the same, and all kinds of fault among neighbours."""

from __future__ import annotations

import pytest

from prodsafe.lease_model import LeaseTiming
from tests.chaos.mutations import MUTATIONS, Rewrite, apply
from tests.chaos.points import POINTS
from tests.chaos.schedule import FAILOVERS, KINDS, PROMISED_SKEW_SECONDS, STOPS, draw, first_kind


def test_a_seed_is_one_schedule() -> None:
    assert draw(7) == draw(7)
    assert draw(7).as_text() == draw(7).as_text()
    assert draw(7).faults != draw(8).faults


@pytest.mark.parametrize("first", [1, 100, 999])
def test_as_many_neighbouring_seeds_as_there_are_kinds_begin_with_every_kind(first: int) -> None:
    assert {first_kind(seed) for seed in range(first, first + len(KINDS))} == set(KINDS)
    assert all(draw(seed).faults[0].kind == first_kind(seed) for seed in range(first, first + len(KINDS)))


def test_schedules_differ_in_what_they_are_meant_to_differ_in() -> None:
    drawn = [draw(seed) for seed in range(1, 301)]

    assert {len(schedule.faults) for schedule in drawn} == {1, 2, 3}
    assert {schedule.worker_kind for schedule in drawn} == {"sender", "whole"}
    assert {schedule.is_busy for schedule in drawn if schedule.worker_kind == "sender"} == {True, False}
    assert {schedule.workers for schedule in drawn} == {2, 3, 5}
    assert {f.terminated for s in drawn for f in s.faults if f.kind in STOPS} == {True, False}


def test_faults_stay_within_what_is_promised() -> None:
    length = LeaseTiming().length_seconds
    for schedule in (draw(seed) for seed in range(1, 301)):
        assert schedule.timing == LeaseTiming()
        assert schedule.promised is not any(fault.kind == "failover_async" for fault in schedule.faults)
        for fault in schedule.faults:
            assert fault.seconds <= 3 * length
            assert (
                fault.kind != "clock_offset"
                or abs(fault.size) <= PROMISED_SKEW_SECONDS < LeaseTiming().clock_skew_seconds
            )
            assert fault.kind not in FAILOVERS or len(schedule.faults) == 1


def test_every_point_of_the_send_path_has_its_stop() -> None:
    assert tuple(f"stop_{point}" for point in POINTS) == STOPS
    assert set(STOPS) <= set(KINDS)


def test_a_mutation_whose_text_the_product_no_longer_has_is_an_error() -> None:
    with pytest.raises(LookupError, match="0 times, not once"):
        apply(Rewrite("live.venue:KrakenFuturesVenue._last_word", "no such text", ""))


@pytest.mark.parametrize("name", MUTATIONS)
def test_every_mutation_has_a_schedule_and_a_clause(name: str) -> None:
    mutation = MUTATIONS[name]

    assert mutation.clauses
    assert {fault.kind for fault in mutation.schedule(1).faults} <= set(KINDS)
    assert mutation.schedule(1) == mutation.schedule(1)

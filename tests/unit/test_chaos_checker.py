"""The judge of the chaos runs is judged here: each clause fails on a small history made by hand, and passes on its
sound twin."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest

from prodsafe.lease_model import LeaseTiming
from tests.chaos.checker import CLAUSES, figures, judge, unexplained_losses
from tests.chaos.history import Arrival, Ended, History, LeaseChange, Said, Strike, Written, from_json, read_diary
from tests.chaos.report import as_markdown, judged, percentile, renewed, sentence, table_lines, unplayable

SCOPE = "account/venue/main/prod"
A, B = 100, 101  # epochs of the first holder and of its successor


def said(worker: str, at: float, kind: str, **changes: Any) -> Said:
    epoch = A if worker.startswith("a") else B
    return Said(worker=worker, at=at, kind=kind, **{"epoch": epoch, "holder": worker[0], "timeline": 1, **changes})


def change(at: float, epoch: int, holder: str, **changes: Any) -> LeaseChange:
    base = {"database": "primary", "scope": SCOPE, "timeline": 1, "state": "arming"}
    return LeaseChange(at=at, epoch=epoch, holder=holder, **{**base, **changes})


def written(at: float, epoch: int, cid: str, **changes: Any) -> Written:
    base = {"database": "primary", "scope": SCOPE, "holder": "a" if epoch == A else "b", "kind": "order_intended"}
    return Written(at=at, epoch=epoch, cid=cid, **{**base, **changes})


def arrival(at: float, epoch: int, cid: str, *, accepted: bool = True) -> Arrival:
    return Arrival(at=at, cid=cid, epoch=epoch, accepted=accepted, reason="placed" if accepted else "expired")


def takeover(**changes: Any) -> History:
    """A sends an order, is terminated at 10 s and notices; B follows after the grace, reads, and sends its own."""
    base: dict[str, Any] = {
        "seed": 1,
        "schedule": "terminate",
        "timing": asdict(LeaseTiming()),
        "promised": True,
        "settled": True,
        "scope": SCOPE,
        "server_version": "15.1",
        "said": (
            said("a.1", 1.0, "held", clean=True),
            said("a.1", 1.1, "read"),
            said("a.1", 2.0, "intended", cid="a1"),
            said("a.1", 2.1, "permit", cid="a1", asked=2.05),
            said("a.1", 9.9, "belief", asked=9.9),
            said("a.1", 10.02, "lost", word="L02"),
            said("b.1", 15.3, "held"),
            said("b.1", 15.4, "read", seen={str(A): 1}),
            said("b.1", 15.5, "belief", asked=15.5),
            said("b.1", 15.6, "intended", cid="b1"),
        ),
        "changes": (change(0.9, A, "a"), change(10.3, B, "b")),
        "written": (written(1.99, A, "a1"), written(15.59, B, "b1")),
        "arrivals": (arrival(2.2, A, "a1"), arrival(15.7, B, "b1")),
        "strikes": (
            Strike(
                kind="terminate", at=10, until=10, victim="a.1", victim_epoch=A, detect_from=10.0, takeover_from=10.0
            ),
        ),
        "ended": (Ended(worker="a.1", at=10.5, code=5), Ended(worker="b.1", at=17.0, code=0)),
    }
    return History(**{**base, **changes})


def with_line(line: Said, *, instead_of: str = "") -> tuple[Said, ...]:
    """The lines of the sound takeover with one more, or with one kind of the same worker replaced."""
    kept = [old for old in takeover().said if not (old.worker == line.worker and old.kind == instead_of)]
    return (*kept, line)


def clauses(history: History) -> set[str]:
    return {finding.clause for finding in judge(history).violations}


def test_a_sound_takeover_violates_nothing() -> None:
    assert clauses(takeover()) == set()


BAD: dict[str, list[History]] = {
    "C1": [
        takeover(
            arrivals=(arrival(15.2, B, "b1"), arrival(15.25, A, "a1")),
            written=(written(1.99, A, "a1"), written(15.1, B, "b1")),
        )
    ],
    "C2": [
        takeover(changes=(*takeover().changes, change(11, B, "z", database="standby"))),
        takeover(written=(*takeover().written, written(16, B, "z1", holder="z"))),
    ],
    "C3": [
        takeover(written=(*takeover().written, written(10.1, A, "a2"))),
        takeover(said=with_line(said("b.1", 15.4, "read", seen={}), instead_of="read")),
    ],
    "C4": [
        takeover(
            said=with_line(said("a.1", 12.6, "lost"), instead_of="lost"), ended=(Ended(worker="a.1", at=13, code=5),)
        ),
        takeover(ended=(Ended(worker="a.1", at=15.1, code=5),)),
        takeover(ended=(Ended(worker="b.1", at=17, code=0),)),
    ],
    "C5": [
        takeover(said=with_line(said("b.1", 21.1, "held"), instead_of="held"), arrivals=()),
        takeover(said=tuple(line for line in takeover().said if line.worker == "a.1"), arrivals=()),
        takeover(strikes=(replace(takeover().strikes[0], clean=True),)),
    ],
    "C6": [
        takeover(written=(written(1.99, A, "a1"),)),
        takeover(written=(written(1.99, A, "a1"), written(15.73, B, "b1"))),
        takeover(written=(written(1.99, A, "a1"), written(15.59, B + 1, "b1"))),
    ],
    "C7": [takeover(said=with_line(said("a.1", 15.61, "belief", asked=15.6)))],
    "C8": [
        takeover(
            said=with_line(said("a.1", 10.1, "intended", cid="a2")),
            arrivals=(*takeover().arrivals, arrival(10.2, A, "a2", accepted=False)),
        ),
        takeover(
            arrivals=(arrival(15.35, A, "a1"), arrival(15.7, B, "b1")),
        ),
    ],
    "C9": [
        takeover(settled=False),
        takeover(ended=(*takeover().ended, Ended(worker="c.1", at=12, code=70))),
        takeover(ended=(*takeover().ended, Ended(worker="c.1", at=12, code=-9))),
        takeover(ended=(*takeover().ended, Ended(worker="p.1", at=12, code=5, pooled=True))),
        takeover(
            said=with_line(said("p.1", 9.0, "held", epoch=A)),
            ended=(*takeover().ended, Ended(worker="p.1", at=12, code=1, pooled=True)),
        ),
    ],
}


def test_every_clause_has_a_history_that_breaks_it() -> None:
    assert set(BAD) == set(CLAUSES)


@pytest.mark.parametrize(
    ("clause", "number"), [(clause, n) for clause, found in BAD.items() for n in range(len(found))]
)
def test_a_clause_fails_on_the_history_that_breaks_it_and_no_other_does(clause: str, number: int) -> None:
    assert clauses(BAD[clause][number]) == {clause}


SOUND: dict[str, History] = {
    "an older order that the venue refused": takeover(
        arrivals=(*takeover().arrivals, arrival(16, A, "a2", accepted=False)),
        said=with_line(said("a.1", 9.95, "intended", cid="a2")),
        written=takeover().written,
    ),
    "an older order accepted while the successor still waits": takeover(
        arrivals=(*takeover().arrivals, arrival(11.9, A, "a2")),
        written=(*takeover().written, written(9.9, A, "a2")),
        said=tuple(
            replace(line, seen={str(A): 2}) if line.kind == "read" and line.worker == "b.1" else line
            for line in takeover().said
        ),
    ),
    "a permission asked before the successor's and answered after a freeze": takeover(
        said=with_line(said("a.1", 20.0, "belief", asked=9.95))
    ),
    "an intent after the loss whose request never left": takeover(
        said=tuple(
            replace(line, seen={str(A): 2}) if line.kind == "read" and line.worker == "b.1" else line
            for line in with_line(said("a.1", 10.05, "intended", cid="a2"))
        ),
        written=(*takeover().written, written(10.04, A, "a2")),
    ),
    "an intent that two clocks put a millisecond after its arrival": takeover(
        written=(written(1.99, A, "a1"), written(15.701, B, "b1"))
    ),
    "one holder of two epochs": takeover(changes=(*takeover().changes, change(11, B + 9, "b", database="standby"))),
    "the same rows on both sides of a failover": takeover(
        changes=(*takeover().changes, change(0.9, A, "a", database="standby")),
        written=(*takeover().written, written(1.99, A, "a1", database="standby")),
    ),
    "a killed worker": takeover(ended=(*takeover().ended, Ended(worker="c.1", at=9, code=-9, killed=True))),
    "a pooled worker that was refused": takeover(
        ended=(*takeover().ended, Ended(worker="p.1", at=9, code=1, pooled=True))
    ),
}


@pytest.mark.parametrize("name", SOUND)
def test_what_only_looks_wrong_is_no_violation(name: str) -> None:
    assert clauses(SOUND[name]) == set()


def test_a_read_is_compared_with_the_database_that_was_read() -> None:
    """After a failover the isolated primary may have intents which the new one, read by the successor, never had."""
    more = (*takeover().written, written(10.1, A, "a2"))
    promoted = tuple(replace(row, database="standby") for row in takeover().written)
    read = with_line(said("b.1", 15.4, "read", seen={str(A): 1}, timeline=2), instead_of="read")

    assert clauses(takeover(written=(*more, *promoted))) == {"C3"}
    assert clauses(takeover(written=(*more, *promoted), said=read)) == set()


def test_what_is_not_promised_is_counted_apart() -> None:
    """An asynchronous failover leaves the isolated holder its beats: its overlap is shown, and is no violation."""
    verdict = judge(replace(BAD["C7"][0], promised=False))

    assert verdict.violations == ()
    assert [finding.clause for finding in verdict.not_promised] == ["C7"]


@pytest.mark.parametrize("clause", ["C2", "C3", "C6", "C9"])
def test_an_asynchronous_failover_excuses_nothing_else(clause: str) -> None:
    assert clauses(replace(BAD[clause][0], promised=False)) == {clause}


def test_another_fault_in_between_takes_a_takeover_out_of_its_bound_and_out_of_the_figures() -> None:
    late = BAD["C5"][0]
    other = Strike(kind="kill", at=12, until=12)

    disturbed = replace(late, strikes=(*late.strikes, other))

    assert clauses(disturbed) == set()
    assert [figure.takeover for figure in figures(disturbed)] == [None, None]


def test_a_frozen_worker_is_measured_from_its_waking() -> None:
    frozen = Strike(kind="freeze", at=10, until=20, victim="a.1", victim_epoch=A, detect_from=20.0, takeover_from=10.0)
    history = takeover(
        strikes=(frozen,),
        said=with_line(said("a.1", 20.01, "doubt"), instead_of="lost"),
        ended=(Ended(worker="a.1", at=20.5, code=5), Ended(worker="b.1", at=22.0, code=0)),
    )

    (figure,) = figures(history)

    assert clauses(history) == set()
    assert figure.detection == pytest.approx(0.01)
    assert figure.takeover == pytest.approx(5.3)


def test_a_lease_lost_without_a_fault_is_counted() -> None:
    assert unexplained_losses(takeover()) == []
    assert len(unexplained_losses(takeover(strikes=()))) == 1


def test_a_history_survives_its_file() -> None:
    assert from_json(takeover().as_json()) == takeover()


def test_a_diary_cut_off_by_a_kill_keeps_its_whole_lines() -> None:
    lines = ['{"at": 1.0, "kind": "boot", "epoch": 0, "holder": ""}\n', '{"at": 2.0, "ki']

    assert [line.kind for line in read_diary("a.1", lines)] == ["boot"]


def test_the_report_states_the_bound_that_no_violation_proves() -> None:
    results = [judged(takeover(), "") for _ in range(200)]

    assert sentence(results) == "0 violations in 200 schedules (at most 3/200 = 1.5 % by the rule of three)"


def test_a_schedule_that_cannot_be_played_counts_as_violated() -> None:
    assert sentence([judged(takeover(), ""), unplayable(7, "seed 7", "boom")]) == "violations in 1 of 2 schedules"


def test_the_table_has_a_row_for_each_kind_even_if_it_was_never_struck() -> None:
    lines = table_lines([judged(takeover(), "")], ["terminate", "kill"])

    assert lines[1][:4] == ["terminate", "1", "0", "0"]
    assert lines[1][4:8] == ["20 ms", "20 ms", "20 ms", "2.50 s"]
    assert lines[2] == ["kill", "0", "0", "0", *["-"] * 8]
    assert as_markdown(lines).splitlines()[1].startswith("| --- | ---:")


def test_percentiles_are_ranks_that_were_measured() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([float(n) for n in range(1, 101)], 0.99) == 99.0
    assert percentile([1.0], 0.99) == 1.0


def test_a_page_keeps_what_people_wrote_around_what_the_driver_renews() -> None:
    page = "before\n<!-- chaos: made by the driver -->\nold\n<!-- chaos: end -->\nafter\n"

    assert renewed(page, "chaos", "new\n") == page.replace("old", "new")
    with pytest.raises(ValueError, match="mutations"):
        renewed(page, "mutations", "new")

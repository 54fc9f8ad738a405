"""Files against ledger: what is applied, what is refused, and why a worker may not start."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prodsafe.migrations.compatibility import LiveHolder, lives_with
from prodsafe.migrations.files import MALFORMED_FILE, Migration, parse_all
from prodsafe.migrations.plan import (
    AHEAD,
    BEHIND,
    EDITED,
    LATE,
    MISSING,
    NO_SUCH_MIGRATION,
    UNFINISHED,
    Applied,
    boot_refusals,
    changed,
    make_plan,
)
from prodsafe.migrations.standing import standings

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def files(count: int, set_name: str = "app") -> list[Migration]:
    return parse_all(set_name, {f"{n:04d}_expand_step{n}.sql": f"SELECT {n}".encode() for n in range(1, count + 1)})


def row(file: Migration) -> Applied:
    return Applied(
        file.set_name,
        file.version,
        file.name,
        file.checksum,
        NOON,
        "app (me@here pid 7)",
        3,
        file.kind,
        file.raw_checksum,
    )


def rows(count: int, set_name: str = "app") -> list[Applied]:
    return [row(file) for file in files(count, set_name)]


def kinds(refusals):
    return [refusal.kind for refusal in refusals]


def test_files_after_the_newest_applied_one_are_applied_in_order():
    plan = make_plan({"app": files(3)}, rows(1))

    assert [migration.version for migration in plan.apply] == [2, 3]
    assert plan.refusals == () and plan.versions == {"app": 1}


def test_nothing_is_left_to_do_when_all_is_applied():
    plan = make_plan({"app": files(2)}, rows(2))

    assert plan.apply == () and boot_refusals(plan) == []
    assert plan.as_lines() == ["nothing to do: schema at app 2"]


def test_sets_are_applied_in_the_order_they_are_given_and_numbered_apart():
    plan = make_plan({"prodsafe": files(2, "prodsafe"), "app": files(1)}, rows(1, "prodsafe"))

    assert [migration.label for migration in plan.apply] == ["prodsafe 0002_expand_step2", "app 0001_expand_step1"]


def test_an_edited_file_is_refused_with_both_checksums():
    edited = replace(files(2)[0], checksum="f" * 64)

    plan = make_plan({"app": [edited, files(2)[1]]}, rows(2))

    assert kinds(plan.refusals) == [EDITED]
    assert plan.refusals[0].seen and "ffffffffffff" in plan.refusals[0].seen


def test_a_file_that_changed_its_name_or_side_of_the_deploy_counts_as_edited():
    renamed = replace(files(1)[0], name="0001_contract_step1", kind="contract")

    assert kinds(make_plan({"app": [renamed]}, rows(1)).refusals) == [EDITED]


def test_an_applied_migration_without_its_file_is_refused_as_missing():
    assert kinds(make_plan({"app": files(3)[1:]}, rows(3)).refusals) == [MISSING]


def test_a_gap_in_the_numbers_that_was_never_applied_is_refused_and_named():
    plan = make_plan({"app": [*files(4)[:1], *files(4)[3:]]}, rows(1))

    assert kinds(plan.refusals) == [MALFORMED_FILE, MALFORMED_FILE]
    assert "0002" in plan.refusals[0].cause and "0003" in plan.refusals[1].cause


def test_a_database_that_is_ahead_by_a_contract_file_is_refused_and_by_expand_files_is_not():
    newer = rows(3)[1:]

    assert boot_refusals(make_plan({"app": files(1)}, [*rows(1), *newer])) == []
    plan = make_plan({"app": files(1)}, [*rows(1), replace(newer[0], kind="contract"), newer[1]])
    assert kinds(boot_refusals(plan)) == [AHEAD]
    assert "0003_expand_step3" in " ".join(plan.notices)
    assert newer[0].name not in " ".join(plan.notices)  # refused, so no notice may call it harmless


def test_a_file_below_the_newest_applied_one_that_never_ran_is_refused_as_late():
    assert kinds(make_plan({"app": files(3)}, [rows(3)[0], rows(3)[2]]).refusals) == [LATE]


def test_nothing_is_applied_once_one_set_is_refused_at_boot():
    plan = make_plan({"app": files(2)}, [replace(rows(1)[0], checksum="0" * 64)])

    assert kinds(boot_refusals(plan)) == [EDITED]


def test_a_worker_may_not_start_on_a_schema_that_is_behind():
    refusals = boot_refusals(make_plan({"app": files(2)}, rows(1)))

    assert kinds(refusals) == [BEHIND]
    assert "app 0002_expand_step2" in refusals[0].cause and "migrate_schema.py" in refusals[0].mend


def test_other_programs_sets_in_the_ledger_do_not_matter():
    assert boot_refusals(make_plan({"app": files(1)}, [*rows(1), *rows(9, "other")])) == []


def test_a_file_whose_meaning_stayed_is_a_notice_and_one_that_nobody_can_judge_is_refused():
    reworded = replace(files(1)[0], checksum="0" * 64, raw_checksum="0" * 64)
    assert [file.key for file, _ in changed({"app": [reworded]}, rows(1))] == [("app", 1)]

    same = make_plan({"app": [reworded]}, rows(1), reworded={("app", 1): ""})
    unknown = make_plan({"app": [reworded]}, rows(1), reworded={("app", 1): "no parser is here"})

    assert same.refusals == () and "repair app=1" in same.notices[0]
    assert kinds(unknown.refusals) == [EDITED] and "no parser is here" in unknown.refusals[0].cause


def test_a_half_done_file_is_gone_on_with_first_and_a_worker_waits_for_it():
    half = replace(rows(1)[0], state="running", steps_begun=2, steps_done=1)

    plan = make_plan({"app": files(2)}, [half])

    assert [migration.version for migration in plan.apply] == [1, 2]
    assert kinds(boot_refusals(plan)) == [UNFINISHED, BEHIND]
    assert boot_refusals(make_plan({"app": files(1)}, [*rows(1), replace(half, version=2)])) == []  # a newer release's


@pytest.mark.parametrize(("upto", "versions"), [(1, []), (2, [2]), (3, [2, 3]), (4, None), (0, None)])
def test_a_run_goes_up_to_a_file_that_is_there_and_never_back(upto, versions):
    plan = make_plan({"app": files(3)}, rows(1), upto={"app": upto})

    if versions is None:
        assert kinds(plan.refusals) == [NO_SUCH_MIGRATION]
    else:
        assert [migration.version for migration in plan.apply] == versions


def of_kinds(*wanted: str) -> list[Migration]:
    return parse_all("app", {f"{n:04d}_{kind}_it.sql": b"SELECT 1" for n, kind in enumerate(wanted, start=1)})


@pytest.mark.parametrize(
    ("wanted", "span"),
    [
        (["expand"], (1, 1)),
        (["expand", "contract", "contract"], (1, 3)),
        (["expand", "contract", "expand"], (3, 3)),
        (["expand", "contract", "data", "contract"], (3, 4)),
        (["contract"], (0, 1)),
    ],
)
def test_a_release_lives_without_its_last_contract_files(wanted, span):
    assert lives_with(of_kinds(*wanted)) == span


def test_a_contract_file_waits_for_who_does_not_know_it_and_what_comes_after_waits_too():
    available = of_kinds("expand", "contract", "expand")
    old, new, silent = (
        LiveHolder(who, span) for who, span in [("old", {"app": (1, 1)}), ("new", {"app": (1, 3)}), ("x", {})]
    )

    plan = make_plan({"app": available}, [row(available[0])], holders=[new, old])

    assert plan.apply == () and [each.migration.version for each in plan.deferred] == [2, 3]
    assert plan.deferred[0].because == "old knows app up to 0001"
    assert boot_refusals(make_plan({"app": available[:2]}, [row(available[0])])) == []
    assert make_plan({"app": available}, [row(available[0])], holders=[new]).deferred == ()
    assert make_plan({"app": available}, [row(available[0])], holders=[silent]).apply == ()


def test_a_set_that_waits_keeps_no_other_set_waiting():
    available = {"app": of_kinds("contract"), "other": files(1, "other")}

    plan = make_plan(available, [], holders=[LiveHolder("old", {"app": (0, 0)})])

    assert [migration.set_name for migration in plan.apply] == ["other"]


def test_every_migration_has_one_standing():
    available = {"app": [*files(4)[:1], replace(files(4)[1], checksum="0" * 64), *files(6)[3:5]]}
    applied = [row(file) for file in [*files(4)[:3], *files(7)[5:7]]]

    found = standings(available, applied, make_plan(available, applied))
    states = {standing.version: standing.state for standing in found}

    assert states == {1: "applied", 2: "edited", 3: "missing", 4: "late", 5: "late", 6: "ahead", 7: "ahead"}


@given(st.sets(st.integers(1, 8)), st.integers(0, 8))
def test_a_plan_applies_only_what_never_ran_and_only_upwards(applied_versions, file_count):
    ran = [row(file) for file in files(8) if file.version in applied_versions]

    plan = make_plan({"app": files(file_count)}, ran)

    versions = [migration.version for migration in plan.apply]
    assert versions == sorted(set(versions))
    assert all(version > max(applied_versions, default=0) for version in versions)
    own = {version for version in applied_versions if version <= file_count}
    whole = own == set(range(1, len(own) + 1)) and (own == set(range(1, file_count + 1)) or own == applied_versions)
    assert (plan.refusals == ()) == whole

"""How a traced statement is told, and when linter and trace are said to disagree."""

from __future__ import annotations

import pytest

from prodsafe.migrations.trace_report import FORETELLS, Lock, StatementTrace, disagreements, with_hazards

STRONG = Lock("app.t", "ACCESS EXCLUSIVE")


def traced(line: int = 1, **facts) -> StatementTrace:
    return StatementTrace("app 0002_expand_x", "ALTER TABLE t ...", line, True, **facts)


def test_the_strongest_lock_on_each_relation_is_told_and_who_waits_for_it():
    found = traced(locks=(Lock("app.t", "SHARE"), STRONG, Lock("app.cities", "SHARE ROW EXCLUSIVE")))

    assert found.strongest == {"app.t": "ACCESS EXCLUSIVE", "app.cities": "SHARE ROW EXCLUSIVE"}
    lines = "\n".join(found.as_lines())
    assert "lock: ACCESS EXCLUSIVE on app.t: readers and writers wait" in lines
    assert "lock: SHARE ROW EXCLUSIVE on app.cities: writers wait" in lines


@pytest.mark.parametrize(
    ("hazards", "facts", "agree"),
    [
        ((), {}, True),
        ((), {"locks": (STRONG,)}, True),
        ((), {"locks": (STRONG,), "scans": ("app.t",)}, False),
        ((), {"locks": (STRONG,), "rewrites": ("app.t",)}, False),
        ((), {"held": (STRONG,), "scans": ("app.t",)}, False),
        ((), {"locks": (Lock("app.t", "SHARE UPDATE EXCLUSIVE"),), "scans": ("app.t",)}, True),
        (("change-column-type",), {"locks": (STRONG,), "rewrites": ("app.t",), "scans": ("app.t",)}, True),
        (("change-column-type",), {"locks": (STRONG,)}, False),
        (("index-not-concurrent",), {"locks": (Lock("app.t", "SHARE"),), "scans": ("app.t",)}, True),
        (("drop-column",), {"locks": (STRONG,)}, True),
        (("fk-without-not-valid",), {"locks": (STRONG,)}, True),
        (("create-trigger",), {}, False),
        (("change-column-type",), {"error": "fails (42P01)"}, True),
    ],
)
def test_linter_and_trace_agree_or_it_is_said(hazards, facts, agree):
    found = disagreements([traced(hazards=hazards, **facts)])

    assert (found == []) == agree
    assert all(each.why and each.as_line().startswith("line 1: ") for each in found)


def test_a_finding_belongs_to_the_statement_in_which_its_line_lies():
    first, second = with_hazards([traced(1), traced(5)], [(3, "a"), (5, "b"), (9, "c")])

    assert (first.hazards, second.hazards) == (("a",), ("b", "c"))


def test_every_category_that_the_trace_can_confirm_is_one_of_the_linters():
    from prodsafe.migrations.lint.categories import CATEGORIES

    assert set(FORETELLS) <= set(CATEGORIES)

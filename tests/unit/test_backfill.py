"""Data files in batches: what the header and the statement must say, how the pace follows, what needs them finished."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prodsafe.errors import SchemaNotReady
from prodsafe.migrations.backfill_key import walk_of
from prodsafe.migrations.backfill_pace import (
    LARGEST_LAG_BYTES,
    TARGET_MS,
    Lag,
    Pace,
    Progress,
    Throttle,
    behind,
    duration,
    pause_seconds,
    progress_line,
)
from prodsafe.migrations.batches import numbered, parameters, parsable
from prodsafe.migrations.files import MALFORMED_FILE, Migration, parse_all
from prodsafe.migrations.plan import BACKFILL_UNFINISHED, BEHIND, Applied, boot_refusals, make_plan
from prodsafe.migrations.script import as_script

HEADER = "-- prodsafe: batch live.event by id size 500\n"
STATEMENT = "UPDATE live.event SET shown = true WHERE id BETWEEN :first AND :last AND shown IS NULL;\n"


def file(sql: str, name: str = "0001_data_fill.sql") -> Migration:
    [migration] = parse_all("app", {name: sql.encode()})
    return migration


def refused(sql: str, name: str = "0001_data_fill.sql") -> str:
    with pytest.raises(SchemaNotReady) as caught:
        file(sql, name)
    assert {each.kind for each in caught.value.refusals} == {MALFORMED_FILE}
    return "\n".join(each.cause for each in caught.value.refusals)


# the file


def test_a_header_and_one_statement_make_a_batch():
    batch = file(HEADER + STATEMENT).batch

    assert (batch.table, batch.key, batch.size) == ("live.event", "id", 500)
    assert file(HEADER.replace(" size 500", "") + STATEMENT).batch.size == 1000
    assert file('-- PRODSAFE: batch "My.T"."E" BY "Id" SIZE 7\n' + STATEMENT).batch.key == '"Id"'


def test_a_data_file_without_the_header_runs_as_a_whole():
    assert file("UPDATE a SET b = 1 WHERE c = ':first'").batch is None
    assert file("UPDATE a SET b = c::last WHERE d > 1").way == "in one transaction"
    assert file(HEADER + STATEMENT).way == "in batches of live.event by id"


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        (STATEMENT, "it has :first, but no line -- prodsafe: batch"),
        (HEADER + HEADER + STATEMENT, "two batches"),
        ("-- prodsafe: batch live.event by (scope, id)\n" + STATEMENT, "a key of several columns"),
        ("-- prodsafe: batch live.event by scope, id size 5\n" + STATEMENT, "a key of several columns"),
        ("-- prodsafe: batch live.event\n" + STATEMENT, "is not -- prodsafe: batch TABLE by KEY_COLUMN"),
        ("-- prodsafe: batch live.event by id size 0\n" + STATEMENT, "is not -- prodsafe: batch"),
        ("-- prodsafe: batch live.event by id size 999999\n" + STATEMENT, "more than 100,000 rows"),
        (HEADER + STATEMENT + STATEMENT, "a batch is one statement, and here are 2"),
        (HEADER + STATEMENT.replace(":last", "10"), "has no :last"),
        (HEADER + STATEMENT.replace("BETWEEN :first AND :last", "> 0"), "has no :first"),
        (HEADER + STATEMENT.replace(":first", "':first'"), "has no :first"),
        (HEADER + STATEMENT.replace(":first", "/* :first */ 1"), "has no :first"),
        (HEADER + STATEMENT.replace(":first", ":after"), ":after is nothing that a batch has"),
        (HEADER + "SELECT f(:first, :last)", "a batch is INSERT, UPDATE, DELETE or MERGE"),
        (HEADER + STATEMENT.replace("shown = true", "shown = true, id = id + 9"), "changes its own key"),
        (HEADER + STATEMENT.replace("shown = true", '(shown, "id") = (true, 2)'), "changes its own key"),
    ],
)
def test_what_means_to_be_a_batch_and_is_none_is_refused_with_the_reason(sql, said):
    assert said in refused(sql)


def test_only_a_data_file_is_done_in_batches():
    assert "only a data file" in refused(HEADER + STATEMENT, "0001_expand_fill.sql")


def test_a_key_that_is_only_compared_or_assigned_from_is_not_changed():
    for sql in (
        "UPDATE live.event SET a = id WHERE id = 3 AND id BETWEEN :first AND :last",
        "UPDATE live.event SET a = f(1, id) FROM x WHERE x.b = 1 AND id BETWEEN :first AND :last",
        "INSERT INTO live.other (id) SELECT id FROM live.event WHERE id BETWEEN :first AND :last",
        "WITH a AS (SELECT id FROM b WHERE id BETWEEN :first AND :last) DELETE FROM b USING a WHERE a.id = b.id",
    ):
        assert file(HEADER + sql).batch is not None, sql


# its parameters


def test_keys_go_to_the_server_as_parameters_of_the_keys_type_and_nothing_else_is_touched():
    sql = """UPDATE t SET a = ':first', b = c[1:last], d = e::last, f = $$ :last $$ -- :first
             WHERE k >= :first AND k <=:last"""

    assert numbered(sql, "uuid") == sql.replace("k >= :first", "k >= $1::uuid").replace("<=:last", "<=$2::uuid")


def test_a_parser_reads_the_file_with_every_character_in_its_place():
    text = HEADER + STATEMENT

    assert len(parsable(text)) == len(text) and parsable(text).count("$1    ") == parsable(text).count("$2   ") == 1
    assert parsable("SELECT 1") == "SELECT 1"


@given(st.text(alphabet=":'\"$-/* \nfirstlast1[](=", max_size=60))
def test_any_text_is_searched_for_parameters_without_failing_and_loses_nothing(text):
    places = parameters(text)

    assert all(text[start:end] == name for start, end, name in places)
    assert len(parsable(text)) == len(text)


# its pace


@given(
    st.integers(1, 100_000),
    st.lists(st.tuples(st.integers(0, 100_000), st.floats(0, 1e6), st.integers(0, 3)), max_size=30),
)
def test_the_size_stays_within_its_bounds_whatever_happens(size, batches):
    pace = Pace.starting(size, Throttle())
    for rows, took_ms, waiters in batches:
        pace = pace.after(rows, took_ms, waiters)
        assert max(1, size // 10) <= pace.size <= size * 10


def test_the_size_grows_while_batches_are_quick_and_shrinks_while_they_are_slow():
    pace = Pace.starting(1000, Throttle())

    assert pace.after(1000, 10, 0).size == 2000
    assert pace.after(1000, TARGET_MS, 0).size == 1000
    assert pace.after(1000, 10_000, 0).size == 500
    assert pace.after(1000, 10, 1).size == 500, "others waited for our locks"
    assert pace.after(30, 1, 0).size == 1000, "a short last batch says nothing of a full one"


def test_a_batch_that_does_not_get_through_is_halved_down_to_one_row_with_growing_pauses():
    pace, pauses = Pace.starting(1000, Throttle()), []
    for _ in range(12):
        pace = pace.refused()
        pauses.append(pace.pause_after_refusal)

    assert pace.size == 1
    assert pauses == sorted(pauses) and pauses[0] < 0.5 and pauses[-1] == 5.0
    assert pace.after(1, 1, 0).failures == 0


def test_a_size_that_a_person_gives_is_the_most():
    pace = Pace.starting(1000, Throttle(size=50))

    assert pace.size == 50 and pace.after(50, 1, 0).size == 50


def test_the_pause_is_the_longest_of_what_is_asked_what_the_rate_wants_and_what_waiters_need():
    assert pause_seconds(Throttle(), 1000, 200, 0) == 0
    assert pause_seconds(Throttle(pause_seconds=2), 1000, 200, 0) == 2
    assert pause_seconds(Throttle(max_rate=1000), 1000, 200, 0) == pytest.approx(0.8)
    assert pause_seconds(Throttle(), 1000, 200, 2) == pytest.approx(0.2)


def test_a_standby_counts_as_behind_by_its_time_and_by_its_bytes_where_it_has_no_time():
    throttle = Throttle(max_lag_seconds=10)

    assert behind([Lag("a", 9.9, 10), Lag("b", None, None), Lag("c", None, 5)], throttle) is None
    assert behind([Lag("a", 1, 10), Lag("b", 10.5, 10)], throttle) == "standby b is 10.5 s behind"
    assert "unnamed" in behind([Lag("", None, LARGEST_LAG_BYTES + 1)], throttle)
    assert behind([Lag("", None, None, visible=False)], throttle) is None


# its words


def test_a_line_of_progress_tells_share_rows_rate_and_what_is_left():
    now = Progress("t", "id", "bigint", "750", walked=7500, rows=7000, batches=9, expected=10_000)

    line = progress_line(now, since=replace(now, walked=5500), seconds=2)
    assert line == " 75.0 %, 7,500 rows, 1,000 rows/s, about 2 s left"
    assert progress_line(now, since=now, seconds=0, bar=True).startswith("[##################......]  75.0 %")
    assert "%" not in progress_line(replace(now, expected=None), since=now, seconds=1)


def test_more_rows_than_expected_are_not_the_whole_before_the_end():
    grown = Progress(walked=200, batches=1, expected=100)

    assert grown.share < 1 and replace(grown, finished=True).share == 1


def test_durations_are_told_in_a_persons_units():
    assert [duration(s) for s in (3, 89, 600, 36000)] == ["3 s", "89 s", "10 min", "10.0 h"]


# whether the plan keeps to the key


def scan(**fields):
    return {"Node Type": "ModifyTable", "Plans": [{"Relation Name": "t", **fields}]}


BOTH = "((id >= '1'::bigint) AND (id <= '9'::bigint))"


def test_a_plan_walks_the_key_by_its_index_or_as_a_filter_or_not_at_all():
    assert walk_of(scan(**{"Index Name": "t_pkey", "Index Cond": BOTH}), "id", {"t_pkey"}) == "index"
    assert walk_of(scan(**{"Index Name": "x", "Index Cond": BOTH}), "id", {"t_pkey"}) == ""
    assert walk_of(scan(Filter=BOTH), "id", {"t_pkey"}) == "filter"
    assert walk_of(scan(Filter="((shown IS NULL) AND (id >= 1) AND (id <= 9))"), "id", set()) == "filter"
    assert (
        walk_of(scan(Filter="(((code)::text >= ''::text) AND ((code)::text <= 'z'::text))"), "code", set()) == "filter"
    )
    assert walk_of(scan(Filter="(id >= 1)"), "id", set()) == ""
    assert walk_of(scan(Filter="((grid >= 1) AND (grid <= 9))"), "id", set()) == ""


def test_a_range_that_an_or_opens_again_is_no_range():
    assert walk_of(scan(Filter=f"({BOTH} OR flag)"), "id", set()) == ""
    assert walk_of(scan(Filter="((id >= 1) AND (id <= 9) AND (a OR (b AND c)))"), "id", set()) == "filter"
    either = {"Node Type": "BitmapOr", "Plans": [{"Index Name": "t_pkey", "Index Cond": BOTH}]}
    assert walk_of({"Node Type": "ModifyTable", "Plans": [either]}, "id", {"t_pkey"}) == ""


def test_a_range_in_a_sub_query_for_a_value_limits_nothing_and_one_in_a_cte_does():
    inner = {"Index Name": "t_pkey", "Index Cond": BOTH}
    assert walk_of({"Plans": [{**inner, "Subplan Name": "SubPlan 1"}]}, "id", {"t_pkey"}) == ""
    assert walk_of({"Plans": [{**inner, "Subplan Name": "CTE batch"}]}, "id", {"t_pkey"}) == "index"


# what needs it finished

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def folder(**extra: str) -> list[Migration]:
    contents = {"0001_expand_a.sql": b"SELECT 1", "0002_data_fill.sql": (HEADER + STATEMENT).encode()}
    return parse_all("app", {**contents, **{f"{name}.sql": sql.encode() for name, sql in extra.items()}})


def row(migration: Migration, state: str = "applied") -> Applied:
    m = migration
    return Applied("app", m.version, m.name, m.checksum, NOON, "me", 1, m.kind, m.raw_checksum, state)


def boot(files: list[Migration], done: int) -> list:
    """The refusals with the data file unfinished and so many files recorded."""
    rows = [row(each, "running" if each.kind == "data" else "applied") for each in files[:done]]
    return boot_refusals(make_plan({"app": files}, rows))


def test_a_worker_runs_beside_an_unfinished_backfill():
    assert boot(folder(), 2) == []
    assert boot(folder(**{"0003_expand_b": "SELECT 2"}), 3) == []


def test_a_data_file_that_was_never_begun_is_a_schema_behind():
    assert [each.kind for each in boot(folder(), 1)] == [BEHIND]


def test_a_release_with_a_contract_behind_it_needs_it_finished():
    [refusal] = boot(folder(**{"0003_contract_c": "SELECT 3"}), 2)

    assert refusal.kind is BACKFILL_UNFINISHED and "0003_contract_c" in refusal.cause
    assert "prodsafe migrate backfill" in refusal.mend


def test_a_file_may_say_that_it_needs_it_finished():
    refusals = boot(folder(**{"0003_expand_c": "-- prodsafe: require 0002\nSELECT 3"}), 2)

    assert BACKFILL_UNFINISHED in {each.kind for each in refusals}


def test_the_plan_says_that_it_runs_in_batches_and_the_script_leaves_them_to_the_command():
    files = folder()
    plan = make_plan({"app": files}, [row(files[0]), row(files[1], "running")])

    assert "(in batches of live.event by id; begun already)" in "\n".join(plan.as_lines())
    script = as_script(files)
    assert "prodsafe migrate backfill" in script and "BETWEEN :first" not in script.replace(files[1].sql, "")

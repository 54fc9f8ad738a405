"""Epochs that never repeat: not after a promotion, a restore or a database made anew. On PostgreSQL's own functions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prodsafe.lease import Lease, LeaseTiming, acquire
from prodsafe.lease_model import lock_key

SCOPE = "account/krakenfutures/main/prod"
TIMING = LeaseTiming(request_expiry_seconds=0.0, clock_skew_seconds=0.0, margin_seconds=0.0)
BEGAN = datetime(2026, 11, 22, tzinfo=UTC)

Connection = psycopg.Connection[tuple[object, ...]]


@pytest.fixture
def conn(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as conn:
        yield conn


@pytest.fixture(scope="module")
def clocked(make_database, migrated_template) -> Iterator[Connection]:
    """The migrated functions with a clock of ours: a schema before pg_catalog holds now()."""
    with psycopg.connect(make_database(migrated_template), autocommit=True) as conn:
        conn.execute("CREATE SCHEMA ours")
        conn.execute(
            "CREATE FUNCTION ours.now() RETURNS timestamptz LANGUAGE sql STABLE"
            " AS $$ SELECT current_setting('ours.now')::timestamptz $$"
        )
        conn.execute(
            "ALTER FUNCTION prodsafe.next_epoch(bigint, integer, boolean) SET search_path = ours, pg_catalog, pg_temp"
        )
        yield conn


def next_epoch(conn: Connection, previous: int, timeline: int, moved: bool, now: datetime) -> int:
    conn.execute("SELECT set_config('ours.now', %s, false)", (now.isoformat(),))
    row = conn.execute("SELECT prodsafe.next_epoch(%s, %s, %s)", (previous, timeline, moved)).fetchone()
    assert row is not None
    return int(str(row[0]))


def milliseconds(now: datetime) -> int:
    return (now - datetime(2026, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


@dataclass
class Lineage:
    """One database and the server it lives on, as a lease row remembers it; the row may be behind the server."""

    timeline: int = 1
    epoch: int = 0
    row_is_from_elsewhere: bool = False
    leapt_at: datetime = BEGAN


# what may happen next, and to which of the lineages there are: (kind, which, seconds that pass before it)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["take", "take", "take", "promote", "move", "anew"]), st.integers(0, 99), st.floats(0.2, 90.0)
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_two_lineages_never_hand_out_the_same_epoch(clocked: Connection, steps: list[tuple[str, int, float]]):
    """Research 2h: the isolated old primary and the promoted one both handed out epoch 5. Here every lineage lives on
    beside those that came of it, and a takeover takes 200 ms at least; a lineage is copied when it is 10 s old."""
    now, lineages, handed_out = BEGAN, [Lineage()], set[int]()
    for kind, which, seconds in steps:
        now += timedelta(seconds=seconds)
        chosen = lineages[which % len(lineages)]
        if kind == "take":
            fresh = chosen.row_is_from_elsewhere or chosen.epoch == 0
            epoch = next_epoch(clocked, chosen.epoch, chosen.timeline, chosen.row_is_from_elsewhere, now)
            assert epoch > chosen.epoch
            assert epoch not in handed_out
            assert not fresh or epoch > max(handed_out, default=0), "a new lineage starts above all there ever was"
            handed_out.add(epoch)
            chosen.epoch, chosen.row_is_from_elsewhere = epoch, False
            chosen.leapt_at = now if fresh else chosen.leapt_at
        elif kind == "anew":
            lineages.append(Lineage())
        elif now - chosen.leapt_at > timedelta(seconds=10):
            timeline = chosen.timeline + 1 if kind == "promote" else 1
            lineages.append(Lineage(timeline, chosen.epoch, row_is_from_elsewhere=True))


@given(st.timedeltas(timedelta(hours=1), timedelta(days=36500)))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_first_epoch_is_the_number_of_milliseconds_since_2026(clocked: Connection, since: timedelta):
    now = datetime(2026, 1, 1, tzinfo=UTC) + since

    assert next_epoch(clocked, 0, 1, False, now) == milliseconds(now)


@pytest.mark.parametrize(
    ("previous", "moved", "following"),
    [
        (41, False, 42),
        (41, True, milliseconds(BEGAN)),
        (milliseconds(BEGAN) + 7, True, milliseconds(BEGAN) + 8),  # its clock was ahead of ours: never back
        (milliseconds(BEGAN) + 7, False, milliseconds(BEGAN) + 8),
        (0, False, milliseconds(BEGAN)),
    ],
)
def test_an_epoch_goes_on_one_by_one_and_leaps_to_the_clock_where_a_lineage_begins(
    clocked: Connection, previous: int, moved: bool, following: int
):
    assert next_epoch(clocked, previous, 1, moved, BEGAN) == following


def test_a_server_whose_clock_is_before_2026_still_hands_out_an_epoch(clocked: Connection):
    assert next_epoch(clocked, 0, 1, False, datetime(1999, 1, 1, tzinfo=UTC)) == 1


def take(url: str) -> Lease:
    return acquire(url, [SCOPE], timing=TIMING, exit_on_loss=False)


def test_a_database_made_anew_starts_above_all_that_the_old_one_handed_out(make_database, migrated_template: str):
    """The venue's ledger remembers the old ones, whatever became of the database."""
    epochs = []
    for _ in range(2):
        url = make_database(migrated_template)
        for _ in range(3):
            lease = take(url)
            epochs.append(lease.token.epoch)
            assert lease.release()

    assert epochs == sorted(set(epochs))


def test_the_first_takeover_after_a_promotion_leaps_above_the_isolated_old_primary(conn: Connection, database_url: str):
    lease = take(database_url)
    lease.release()
    as_replicated_before_the_promotion(conn)

    promoted = take(database_url)
    promoted.release()

    assert promoted.token.epoch > lease.token.epoch + 1
    after = take(database_url)
    after.release()
    assert after.token.epoch == promoted.token.epoch + 1


def test_an_older_worker_that_does_not_tell_of_the_promotion_is_given_the_leap_all_the_same(
    conn: Connection, database_url: str
):
    """It asks for the next number as the first release did, and is answered with the one that it gets."""
    lease = take(database_url)
    lease.release()
    as_replicated_before_the_promotion(conn)

    conn.execute("SELECT pg_advisory_lock(%s)", (lock_key(SCOPE),))
    row = conn.execute(
        "UPDATE prodsafe.lease SET epoch = prodsafe.next_epoch(epoch, 1), timeline = 1, holder = gen_random_uuid(),"
        " state = 'arming' RETURNING epoch"
    ).fetchone()

    assert row is not None and int(str(row[0])) > lease.token.epoch + 1


def as_replicated_before_the_promotion(conn: Connection) -> None:
    """The row as it was on the timeline before; this server's own stands for the promoted one's."""
    with conn.transaction():
        conn.execute("SET LOCAL session_replication_role = replica")
        conn.execute("UPDATE prodsafe.lease SET timeline = 0")

"""prodsafe.fence() on a real PostgreSQL: what an older epoch cannot write, and what the lease's own tables refuse."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors, sql

from prodsafe.lease import Lease, LeaseTiming, acquire
from prodsafe.lease_store import force_release

SCOPE = "account/krakenfutures/main/prod"
TABLE = sql.Identifier("shop", "Big Event")
TIMING = LeaseTiming(request_expiry_seconds=0.0, clock_skew_seconds=0.0, margin_seconds=0.0)

Connection = psycopg.Connection[tuple[object, ...]]


@pytest.fixture
def conn(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as conn:
        yield conn


@pytest.fixture
def lease(database_url: str) -> Iterator[Lease]:
    lease = acquire(database_url, [SCOPE], timing=TIMING, exit_on_loss=False)
    yield lease
    lease.release()


@pytest.fixture
def fenced(conn: Connection) -> Connection:
    """A connection to a database with a fenced table whose name needs quotes."""
    conn.execute("CREATE SCHEMA shop")
    conn.execute(sql.SQL("CREATE TABLE {} (note text, scope text, epoch bigint, holder uuid)").format(TABLE))
    fence(conn)
    return conn


def fence(conn: Connection) -> None:
    conn.execute("SELECT prodsafe.fence(%s::text::regclass)", (TABLE.as_string(conn),))


def insert(
    conn: Connection, lease: Lease, *, scope: str | None = None, epoch: int | None = None, holder: UUID | None = None
) -> None:
    conn.execute(
        sql.SQL("INSERT INTO {} (note, scope, epoch, holder) VALUES ('x', %s, %s, %s)").format(TABLE),
        (scope or lease.scope, epoch or lease.token.epoch, holder or lease.token.holder),
    )


def count(conn: Connection) -> int:
    row = conn.execute(sql.SQL("SELECT count(*) FROM {}").format(TABLE)).fetchone()
    assert row is not None
    return int(str(row[0]))


def test_the_current_token_may_write(fenced: Connection, lease: Lease):
    insert(fenced, lease)

    assert count(fenced) == 1


def test_an_older_epoch_is_refused_and_told_the_current_one(fenced: Connection, lease: Lease):
    """W7: nothing carried an epoch, so nothing could refuse one."""
    force_release(fenced, SCOPE, reason="test")

    with pytest.raises(psycopg.Error) as caught:
        insert(fenced, lease)

    assert caught.value.sqlstate == "PF001"
    assert str(lease.token.holder) in str(caught.value)
    assert "The lease is at epoch 2 " in str(caught.value.diag.message_detail)


def test_the_right_epoch_with_another_holder_is_refused(fenced: Connection, lease: Lease):
    """After an asynchronous failover two holders may have the same epoch."""
    with pytest.raises(psycopg.Error) as caught:
        insert(fenced, lease, holder=uuid4())

    assert caught.value.sqlstate == "PF001"


def test_an_epoch_of_the_future_and_a_scope_without_a_lease_are_refused(fenced: Connection, lease: Lease):
    for wrong in ({"epoch": lease.token.epoch + 1}, {"scope": "account/other"}):
        with pytest.raises(psycopg.Error) as caught:
            insert(fenced, lease, **wrong)  # type: ignore[arg-type]
        assert caught.value.sqlstate == "PF001"


def test_a_row_without_a_token_is_refused(fenced: Connection, lease: Lease):
    with pytest.raises(psycopg.Error) as caught:
        fenced.execute(sql.SQL("INSERT INTO {} (note) VALUES ('x')").format(TABLE))

    assert caught.value.sqlstate == "PF001"


def test_a_released_token_may_not_write(fenced: Connection, lease: Lease):
    """release() says: I have stopped."""
    lease.release()

    with pytest.raises(psycopg.Error) as caught:
        insert(fenced, lease)

    assert caught.value.sqlstate == "PF001"


def test_an_update_needs_the_current_token_and_never_moves_a_row(fenced: Connection, lease: Lease):
    insert(fenced, lease)
    update = sql.SQL("UPDATE {} SET note = 'y', scope = %s, epoch = %s").format(TABLE)

    fenced.execute(update, (SCOPE, lease.token.epoch))
    for wrong in ((SCOPE, lease.token.epoch + 1), ("account/other", lease.token.epoch)):
        with pytest.raises(psycopg.Error) as caught:
            fenced.execute(update, wrong)
        assert caught.value.sqlstate == "PF001"


@pytest.mark.parametrize("statement", ["DELETE FROM {}", "TRUNCATE {}"])
def test_a_fenced_table_only_grows(fenced: Connection, lease: Lease, statement: str):
    insert(fenced, lease)

    with pytest.raises(psycopg.Error) as caught:
        fenced.execute(sql.SQL(statement).format(TABLE))

    assert caught.value.sqlstate == "PF002"
    assert count(fenced) == 1


def test_fencing_twice_is_fencing_once(fenced: Connection, lease: Lease):
    fence(fenced)

    row = fenced.execute(
        "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'prodsafe%%' AND tgrelid = %s::text::regclass",
        (TABLE.as_string(fenced),),
    ).fetchone()
    assert row == (2,)


def test_a_table_without_the_columns_is_refused_with_their_names(conn: Connection):
    conn.execute("CREATE TABLE public.plain (scope text, epoch integer)")

    with pytest.raises(psycopg.Error, match=r"cannot fence public\.plain: it has no column epoch bigint, holder uuid"):
        conn.execute("SELECT prodsafe.fence('public.plain')")


def test_a_view_cannot_be_fenced(conn: Connection):
    conn.execute("CREATE VIEW seen AS SELECT scope, epoch, holder FROM prodsafe.lease")

    with pytest.raises(psycopg.Error, match="not a table"):
        conn.execute("SELECT prodsafe.fence('seen')")


def test_a_partitioned_table_is_fenced_in_its_partitions(conn: Connection, lease: Lease):
    conn.execute("CREATE TABLE parted (scope text, epoch bigint, holder uuid) PARTITION BY LIST (scope)")
    conn.execute("CREATE TABLE part PARTITION OF parted DEFAULT")
    conn.execute("SELECT prodsafe.fence('parted')")

    with pytest.raises(psycopg.Error) as caught:
        conn.execute("INSERT INTO part VALUES (%s, %s, %s)", (SCOPE, 0, lease.token.holder))

    assert caught.value.sqlstate == "PF001"


def test_a_takeover_waits_for_a_fenced_write_under_way_and_sees_it(fenced: Connection, lease: Lease, database_url: str):
    """Research 3a: with a plain read of the epoch, 264 of 447 takeovers missed a write that committed after them."""
    done = threading.Event()

    def take_over() -> None:
        with psycopg.connect(database_url, autocommit=True) as other:
            force_release(other, SCOPE, reason="takeover")
        done.set()

    taker = threading.Thread(target=take_over)
    with psycopg.connect(database_url) as writer:
        insert(writer, lease)
        taker.start()
        waited = not done.wait(0.4)
        seen_meanwhile = count(fenced)
        writer.commit()
    taker.join(10)

    assert waited
    assert (seen_meanwhile, count(fenced)) == (0, 1)
    with pytest.raises(psycopg.Error) as caught:
        insert(fenced, lease)
    assert caught.value.sqlstate == "PF001"


def test_a_fenced_write_waits_for_a_takeover_under_way_and_is_then_refused(
    fenced: Connection, lease: Lease, database_url: str
):
    refused: list[str | None] = []

    def write() -> None:
        with psycopg.connect(database_url, autocommit=True) as writer:
            try:
                insert(writer, lease)
            except psycopg.Error as error:
                refused.append(error.sqlstate)

    writing = threading.Thread(target=write)
    with psycopg.connect(database_url) as taker:
        taker.execute(
            "UPDATE prodsafe.lease SET epoch = prodsafe.next_epoch(epoch, timeline), holder = gen_random_uuid(),"
            " state = 'fenced' WHERE scope = %s",
            (SCOPE,),
        )
        writing.start()
        writing.join(0.4)
        waited = writing.is_alive()
        taker.commit()
    writing.join(10)

    assert waited
    assert refused == ["PF001"]
    assert count(fenced) == 0


def test_a_snapshot_older_than_the_takeover_is_refused_too(fenced: Connection, lease: Lease, database_url: str):
    """Under REPEATABLE READ the old row is all that a transaction sees."""
    with psycopg.connect(database_url) as writer:
        writer.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        writer.execute("SELECT 1 FROM prodsafe.lease")
        force_release(fenced, SCOPE, reason="takeover")

        with pytest.raises(errors.SerializationFailure):
            insert(writer, lease)

        writer.rollback()
    assert count(fenced) == 0


def test_a_fenced_write_left_open_by_a_frozen_program_holds_up_a_takeover_for_two_seconds_at_most(
    fenced: Connection, lease: Lease, database_url: str
):
    """Research 3a: without a timeout such a transaction blocks every successor for ever."""
    frozen = psycopg.connect(database_url)
    insert(frozen, lease)

    force_release(fenced, SCOPE, reason="takeover")

    with pytest.raises(errors.IdleInTransactionSessionTimeout):
        frozen.execute("SELECT 1")
    frozen.close()
    assert count(fenced) == 0


def test_without_the_fence_the_stale_write_would_land(fenced: Connection, lease: Lease):
    """The control: it is the trigger, and nothing else, that keeps the older epoch out."""
    force_release(fenced, SCOPE, reason="test")
    fenced.execute(sql.SQL("DROP TRIGGER prodsafe_fence ON {}").format(TABLE))

    insert(fenced, lease)

    assert count(fenced) == 1


def test_an_owner_without_superuser_fences_and_a_writer_needs_no_right_on_the_lease(
    conn: Connection, lease: Lease, database_url: str
):
    owner, writer = (f"role_{uuid4().hex[:12]}" for _ in range(2))
    for role in (owner, writer):
        conn.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
    conn.execute(sql.SQL("GRANT USAGE ON SCHEMA prodsafe TO {}").format(sql.Identifier(owner)))
    conn.execute(sql.SQL("CREATE SCHEMA own AUTHORIZATION {}").format(sql.Identifier(owner)))
    conn.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(owner)))
    conn.execute("CREATE TABLE own.event (scope text, epoch bigint, holder uuid)")
    conn.execute("SELECT prodsafe.fence('own.event')")
    for grant in ("USAGE ON SCHEMA own", "INSERT ON own.event"):
        conn.execute(sql.SQL("GRANT " + grant + " TO {}").format(sql.Identifier(writer)))
    conn.execute("RESET ROLE")
    conn.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(writer)))

    conn.execute("INSERT INTO own.event VALUES (%s, %s, %s)", (SCOPE, lease.token.epoch, lease.token.holder))
    with pytest.raises(psycopg.Error) as stale:
        conn.execute("INSERT INTO own.event VALUES (%s, %s, %s)", (SCOPE, 0, lease.token.holder))
    with pytest.raises(errors.InsufficientPrivilege):
        conn.execute("SELECT * FROM prodsafe.lease")

    assert stale.value.sqlstate == "PF001"


@pytest.mark.parametrize(
    ("statement", "sqlstate"),
    [
        ("UPDATE prodsafe.lease SET epoch = epoch - 1", "PF003"),
        ("UPDATE prodsafe.lease SET epoch = epoch + 1", "PF003"),
        ("UPDATE prodsafe.lease SET holder = gen_random_uuid()", "PF003"),
        ("UPDATE prodsafe.lease SET epoch = epoch + 2, holder = gen_random_uuid()", "PF003"),
        ("UPDATE prodsafe.lease SET scope = 'other'", "PF003"),
        ("UPDATE prodsafe.lease SET key = key + 1", "PF003"),
        ("UPDATE prodsafe.lease SET timeline = timeline + 1", "PF003"),
        ("UPDATE prodsafe.lease SET system_id = system_id + 1", "PF003"),
        ("UPDATE prodsafe.lease SET state = 'fenced'", "PF003"),
        ("DELETE FROM prodsafe.lease", "PF002"),
        ("TRUNCATE prodsafe.lease", "PF002"),
        ("DELETE FROM prodsafe.lease_history", "PF002"),
        ("UPDATE prodsafe.lease_history SET reason = ''", "PF002"),
        ("TRUNCATE prodsafe.lease_history", "PF002"),
    ],
)
def test_the_lease_and_its_history_refuse_to_go_backwards_by_hand(
    conn: Connection, lease: Lease, statement: str, sqlstate: str
):
    with pytest.raises(psycopg.Error) as caught:
        conn.execute(statement)  # type: ignore[call-overload]

    assert caught.value.sqlstate == sqlstate
    lease.permit()


def test_a_released_lease_never_comes_back_under_its_old_epoch(conn: Connection, lease: Lease):
    lease.release()

    with pytest.raises(psycopg.Error, match="released never becomes active"):
        conn.execute("UPDATE prodsafe.lease SET state = 'active'")


@pytest.mark.parametrize(
    ("previous", "timeline", "moved", "following"),
    [
        (0, 1, False, 1),
        (41, 1, False, 42),
        (41, 2, False, 1_000_001),  # after a promotion: the isolated old primary may have handed out 42
        (1_000_001, 2, False, 1_000_002),
        (1_000_007, 3, False, 2_000_001),
        (41, 1, True, 1_000_001),  # after a move to another cluster, whose timeline begins again
        (1_000_041, 1, True, 2_000_001),
        (1_000_041, 1, False, 1_000_042),
    ],
)
def test_epochs_leap_after_a_promotion_or_a_move_and_never_repeat(
    conn: Connection, previous: int, timeline: int, moved: bool, following: int
):
    """Research 2h: two primaries handed out epoch 5 twice."""
    assert conn.execute("SELECT prodsafe.next_epoch(%s, %s, %s)", (previous, timeline, moved)).fetchone() == (
        following,
    )

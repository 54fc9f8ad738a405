"""prodsafe.fence() on a real PostgreSQL: what an older epoch cannot write, and what the lease's own tables refuse."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import conninfo, errors, sql

from prodsafe.lease import Lease, LeaseTiming, acquire
from prodsafe.lease_model import lock_key
from prodsafe.lease_store import force_release, read_leases

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
    (row,) = read_leases(fenced)
    assert row.epoch > lease.token.epoch
    assert f"The lease is at epoch {row.epoch} " in str(caught.value.diag.message_detail)


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
    functions = "prodsafe.fence, prodsafe.check_fence, prodsafe.refuse_removal"
    for grant in ("USAGE ON SCHEMA prodsafe", f"EXECUTE ON FUNCTION {functions}"):
        conn.execute(sql.SQL("GRANT " + grant + " TO {}").format(sql.Identifier(owner)))
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
        ("UPDATE prodsafe.lease SET state = 'released'", "PF003"),
        ("UPDATE prodsafe.lease SET state = 'arming', epoch = epoch + 1, holder = gen_random_uuid()", "PF003"),
        ("UPDATE prodsafe.lease SET state = 'active', epoch = epoch + 1, holder = gen_random_uuid()", "PF003"),
        ("UPDATE prodsafe.lease SET state = 'released', epoch = epoch + 1, holder = gen_random_uuid()", "PF003"),
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


# --- who may take the lease by SQL

INSERT_LEASE = (
    "INSERT INTO prodsafe.lease (scope, key, epoch, holder, timeline, system_id, state, acquired_at, grace_seconds,"
    " host, pid, version, who) VALUES ('by/hand', 7, 1, gen_random_uuid(), 1, 1, %s, now(), 0, '', 1, '', '')"
)
TAKE_LEASE = (
    "UPDATE prodsafe.lease SET state = 'arming', epoch = epoch + 1, holder = gen_random_uuid() WHERE scope = %s"
    " RETURNING epoch"
)


@pytest.mark.parametrize("state", ["arming", "active", "released", "fenced"])
def test_no_row_is_made_by_hand(conn: Connection, state: str):
    """A row made 'released' would let a successor skip the grace; one made 'active' would let a stranger write."""
    with pytest.raises(psycopg.Error) as caught:
        conn.execute(INSERT_LEASE, (state,))

    assert caught.value.sqlstate == "PF003"


def test_the_session_that_holds_the_lock_may_take_and_no_other(conn: Connection, lease: Lease, database_url: str):
    lease.release()
    conn.execute("SELECT pg_advisory_lock(%s)", (lock_key(SCOPE),))

    with psycopg.connect(database_url, autocommit=True) as other, pytest.raises(psycopg.Error, match="advisory lock"):
        other.execute(TAKE_LEASE, (SCOPE,))
    row = conn.execute(TAKE_LEASE, (SCOPE,)).fetchone()

    assert row == (lease.token.epoch + 1,)


@pytest.mark.parametrize(
    "lock",
    [
        "SELECT pg_advisory_lock_shared(%s)",
        "SELECT pg_advisory_lock(%s + 1)",
        "SELECT pg_advisory_lock((%s >> 32)::integer, 0)",
        "SELECT pg_advisory_lock((k >> 32)::integer, ((k << 32) >> 32)::integer) FROM (VALUES (%s::bigint)) AS v (k)",
    ],
)
def test_a_lock_that_is_not_quite_the_scopes_own_takes_nothing(conn: Connection, lease: Lease, lock: str):
    """Shared, another key, or the same bits as a pair of integers, which PostgreSQL keeps apart."""
    lease.release()
    conn.execute(lock, (lock_key(SCOPE),))  # type: ignore[call-overload]

    with pytest.raises(psycopg.Error, match="advisory lock"):
        conn.execute(TAKE_LEASE, (SCOPE,))


def test_only_the_holder_says_that_it_has_stopped(conn: Connection, lease: Lease):
    """A 'released' written by anybody else would let the successor skip the grace."""
    with pytest.raises(psycopg.Error, match="only the session that holds its advisory lock makes it released"):
        conn.execute("UPDATE prodsafe.lease SET state = 'released'")

    lease.permit()
    assert lease.release()


def test_nobody_may_use_tables_and_functions_without_being_granted_it(conn: Connection):
    """record_lease runs as its owner: on a table of one's own it would forge history."""
    rows = conn.execute(
        "SELECT relname::text FROM pg_class, aclexplode(relacl) WHERE relnamespace = 'prodsafe'::regnamespace"
        " AND relname LIKE 'lease%' AND grantee = 0"
        " UNION ALL SELECT proname::text FROM pg_proc,"
        " aclexplode(coalesce(proacl, acldefault('f', proowner)))"
        " WHERE pronamespace = 'prodsafe'::regnamespace AND grantee = 0"
    ).fetchall()

    assert rows == []


def test_a_worker_needs_no_more_than_the_tables(conn: Connection, database_url: str):
    role = f"role_{uuid4().hex[:12]}"
    conn.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
    for grant in ("USAGE ON SCHEMA prodsafe", "SELECT, INSERT, UPDATE ON prodsafe.lease, prodsafe.lease_beat"):
        conn.execute(sql.SQL("GRANT " + grant + " TO {}").format(sql.Identifier(role)))

    as_worker = conninfo.make_conninfo(database_url, options=f"-c role={role}")
    lease = acquire(as_worker, [SCOPE], timing=TIMING, exit_on_loss=False)

    lease.activate()
    assert lease.release()


# --- partitions


@pytest.fixture
def parted(conn: Connection, lease: Lease) -> Connection:
    """A fenced table with a partition, one below another, and one that was made after the fence; a row in each."""
    conn.execute("CREATE TABLE parted (n int, scope text, epoch bigint, holder uuid) PARTITION BY LIST (n)")
    conn.execute("CREATE TABLE part PARTITION OF parted FOR VALUES IN (1)")
    conn.execute("CREATE TABLE between PARTITION OF parted FOR VALUES IN (2) PARTITION BY LIST (n)")
    conn.execute("CREATE TABLE below PARTITION OF between FOR VALUES IN (2)")
    conn.execute("SELECT prodsafe.fence('parted')")
    conn.execute("CREATE TABLE later PARTITION OF parted FOR VALUES IN (3)")
    for number in (1, 2, 3):
        conn.execute(
            "INSERT INTO parted VALUES (%s, %s, %s, %s)", (number, SCOPE, lease.token.epoch, lease.token.holder)
        )
    return conn


@pytest.mark.parametrize("table", ["parted", "part", "between", "below", "later"])
def test_rows_are_deleted_from_no_partition_however_it_is_addressed(parted: Connection, table: str):
    """Statement triggers of the parent do not fire for a statement aimed at a partition."""
    with pytest.raises(psycopg.Error) as caught:
        parted.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))

    assert caught.value.sqlstate == "PF002"


@pytest.mark.parametrize("table", ["parted", "part", "between", "below"])
def test_no_partition_is_emptied_however_it_is_addressed(parted: Connection, table: str):
    with pytest.raises(psycopg.Error) as caught:
        parted.execute(f"TRUNCATE {table}")

    assert caught.value.sqlstate == "PF002"


def test_a_partition_made_after_the_fence_refuses_stale_rows_and_keeps_its_rows_once_fenced_again(parted: Connection):
    """TRUNCATE is all that a new partition lets pass: PostgreSQL gives it the row triggers of its parent only."""
    with pytest.raises(psycopg.Error) as stale:
        parted.execute("INSERT INTO later VALUES (3, %s, 0, gen_random_uuid())", (SCOPE,))
    assert stale.value.sqlstate == "PF001"

    parted.execute("SELECT prodsafe.fence('parted')")

    with pytest.raises(psycopg.Error) as emptied:
        parted.execute("TRUNCATE later")
    assert emptied.value.sqlstate == "PF002"


def test_the_function_says_what_to_repeat_for_new_partitions(conn: Connection):
    row = conn.execute("SELECT obj_description('prodsafe.fence(regclass)'::regprocedure)").fetchone()

    assert row is not None and "TRUNCATE only after prodsafe.fence(parent) was called again" in str(row[0])

"""The lease on a real PostgreSQL: one holder, a growing epoch, loss noticed however it comes, and the grace."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psycopg
import pytest
from psycopg import conninfo, sql

from prodsafe import lease_clock
from prodsafe.errors import DatabaseRefused, LeaseHeld, LeaseLost, Refusal, SchemaNotReady
from prodsafe.lease import Lease, LeaseTiming, Waiting, account_scope, acquire, key_scope, read_leases
from prodsafe.lease_model import lock_key
from prodsafe.lease_store import excludes, force_release

ACCOUNT = account_scope("krakenfutures", "main", "prod")
KEY = key_scope("krakenfutures", "demo-key")
# the length that production uses, with a grace that tests can wait for
TIMING = LeaseTiming(
    length_seconds=2.0, beat_seconds=0.25, request_expiry_seconds=0.0, clock_skew_seconds=0.0, margin_seconds=0.1
)
PATIENCE_SECONDS = 15.0

Connection = psycopg.Connection[tuple[object, ...]]


@pytest.fixture
def conn(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as conn:
        yield conn


@pytest.fixture
def take(database_url: str) -> Iterator[Callable[..., Lease]]:
    """take(ACCOUNT, KEY, ...) -> a lease in this process that a loss does not end."""
    taken: list[Lease] = []

    def take(*scopes: str, url: str = database_url, **options: object) -> Lease:
        settings: dict[str, object] = {"timing": TIMING, "exit_on_loss": False, **options}
        lease = acquire(url, scopes or [ACCOUNT], **settings)  # type: ignore[arg-type]
        taken.append(lease)
        return lease

    yield take
    for lease in taken:
        lease.abandon()


def eventually(holds: Callable[[], bool]) -> bool:
    ends_at = time.monotonic() + PATIENCE_SECONDS
    while not holds() and time.monotonic() < ends_at:
        time.sleep(0.01)
    return holds()


def server_process(conn: Connection, scope: str = ACCOUNT) -> int | None:
    return next(row.lock_pid for row in read_leases(conn) if row.scope == scope)


def history(conn: Connection) -> list[tuple[object, ...]]:
    return conn.execute("SELECT scope, epoch, state, reason FROM prodsafe.lease_history ORDER BY id").fetchall()


# --- one holder


def test_a_second_holder_is_refused_with_the_facts_of_the_first(take: Callable[..., Lease], conn: Connection):
    first = take(ACCOUNT, version="1.2.3")

    with pytest.raises(LeaseHeld) as caught:
        take(ACCOUNT)

    assert caught.value.exit_code == 3
    for fact in (socket.gethostname(), f"pid {os.getpid()}", f"epoch {first.token.epoch}", "Z, epoch"):
        assert fact in str(caught.value)
    first.permit()


def test_the_same_account_under_another_key_is_refused_and_so_is_the_same_key_under_another_name(
    take: Callable[..., Lease],
):
    """W11: renaming the account, or rotating the key, gave a second bot a lock of its own."""
    take(ACCOUNT, KEY)

    with pytest.raises(LeaseHeld, match=ACCOUNT):
        take(ACCOUNT, key_scope("krakenfutures", "other-key"))
    with pytest.raises(LeaseHeld, match=KEY):
        take(account_scope("krakenfutures", "renamed", "prod"), KEY)


def test_a_refused_worker_keeps_no_part_of_what_it_asked_for(take: Callable[..., Lease]):
    take(KEY)
    with pytest.raises(LeaseHeld):
        take(ACCOUNT, KEY)

    take(ACCOUNT).permit()


def test_each_lease_has_the_next_epoch_and_another_holder(take: Callable[..., Lease]):
    first = take(ACCOUNT)
    first.release()

    second = take(ACCOUNT)

    assert second.token.epoch == first.token.epoch + 1
    assert second.token.holder != first.token.holder
    assert second.token.timeline == first.token.timeline


def test_history_says_who_held_what_and_how_it_ended(take: Callable[..., Lease], conn: Connection):
    lease = take(ACCOUNT)
    lease.activate()
    lease.release("deploy")

    force_release(conn, ACCOUNT, reason="drill")

    first = lease.token.epoch
    *held, (scope, last, state, reason) = history(conn)
    assert held == [
        (ACCOUNT, first, "arming", "acquired"),
        (ACCOUNT, first, "active", "reconciled"),
        (ACCOUNT, first, "released", "deploy"),
    ]
    assert (scope, state, reason) == (ACCOUNT, "fenced", "drill")
    assert last > first, "a person's word leaps to the clock"


def test_beats_go_on_and_are_seen_by_others(take: Callable[..., Lease], conn: Connection):
    lease = take(ACCOUNT)

    def beats() -> int:
        row = conn.execute("SELECT seq FROM prodsafe.lease_beat").fetchone()
        return int(str(row[0])) if row else 0

    assert eventually(lambda: beats() >= 3)
    assert lease.seconds_since_beat < TIMING.length_seconds
    (row,) = read_leases(conn)
    assert row.beat_age_seconds is not None and row.beat_age_seconds < TIMING.length_seconds


def test_a_fenced_write_in_an_open_transaction_does_not_hold_up_the_beats(
    take: Callable[..., Lease], conn: Connection, database_url: str
):
    """Research 3b: beats on the lease row itself hit their lock_timeout behind any open fenced write."""
    lease = take(ACCOUNT)
    conn.execute("CREATE TABLE public.event (scope text, epoch bigint, holder uuid)")
    conn.execute("SELECT prodsafe.fence('public.event')")

    with psycopg.connect(database_url) as writer:
        writer.execute("INSERT INTO public.event VALUES (%s, %s, %s)", (ACCOUNT, lease.token.epoch, lease.token.holder))
        time.sleep(TIMING.length_seconds * 0.75)
        assert lease.seconds_since_beat < TIMING.length_seconds * 0.5
        lease.permit()


def test_lock_session_is_never_idle_in_a_transaction(take: Callable[..., Lease], conn: Connection):
    """W9: the lock session sat in a transaction for the life of the process."""
    take(ACCOUNT)

    def state() -> object:
        row = conn.execute("SELECT state FROM pg_stat_activity WHERE pid = %s", (server_process(conn),)).fetchone()
        return row and row[0]

    assert {state() for _ in range(50)} <= {"idle", "active"}


def test_lock_session_has_the_timeouts_that_free_it_when_its_client_is_gone(
    take: Callable[..., Lease], conn: Connection
):
    """W8: no timeout anywhere."""
    lease = take(ACCOUNT)
    lease.release()
    lease = take(ACCOUNT)

    settings = dict(
        lease._conn.execute(
            "SELECT name, setting FROM pg_settings WHERE name IN ('idle_session_timeout', 'statement_timeout',"
            " 'lock_timeout', 'idle_in_transaction_session_timeout', 'synchronous_commit', 'tcp_user_timeout')"
        ).fetchall()
    )

    assert settings == {
        "idle_session_timeout": "5000",
        "idle_in_transaction_session_timeout": "2000",
        "statement_timeout": "2000",
        "lock_timeout": "2000",
        "synchronous_commit": "on",
        "tcp_user_timeout": "4000",
    }


# --- hand-over


def test_after_a_clean_release_the_next_one_starts_without_a_grace(take: Callable[..., Lease]):
    first = take(ACCOUNT)
    assert first.release()

    phases: list[Waiting] = []
    second = take(ACCOUNT, on_wait=phases.append)

    assert second.predecessor_clean
    assert phases == []


def test_a_standby_takes_over_at_once_after_a_clean_release(take: Callable[..., Lease]):
    """A rolling deploy starts the new worker before it stops the old one."""
    first = take(ACCOUNT)
    seen: list[Waiting] = []
    releasing = threading.Timer(1.2, first.release)
    releasing.start()

    second = take(ACCOUNT, wait_seconds=PATIENCE_SECONDS, on_wait=seen.append)

    assert second.predecessor_clean
    assert {waiting.phase for waiting in seen} == {"held"}
    assert len(seen) <= 3, "told at most once a second"
    assert seen[0].holder is not None and seen[0].holder.epoch == first.token.epoch
    assert second.token.epoch == first.token.epoch + 1


def test_a_standby_gives_up_after_its_time(take: Callable[..., Lease]):
    take(ACCOUNT)

    began = time.monotonic()
    with pytest.raises(LeaseHeld):
        take(ACCOUNT, wait_seconds=0.6)

    assert time.monotonic() - began >= 0.6


def test_a_standby_that_is_told_to_stop_holds_nothing(take: Callable[..., Lease]):
    first = take(ACCOUNT)

    def stop(waiting: Waiting) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        take(ACCOUNT, wait_seconds=PATIENCE_SECONDS, on_wait=stop)
    first.release()

    assert take(ACCOUNT).token.epoch == first.token.epoch + 1


def test_a_successor_that_ends_within_the_grace_leaves_the_grace_to_the_next(take: Callable[..., Lease]):
    take(ACCOUNT).abandon()

    def stop(waiting: Waiting) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        take(ACCOUNT, on_wait=stop)
    phases: list[Waiting] = []
    third = take(ACCOUNT, on_wait=phases.append)

    assert not third.predecessor_clean
    assert {waiting.phase for waiting in phases} == {"grace"}


def test_the_grace_is_the_predecessors_when_that_is_longer(take: Callable[..., Lease]):
    """Its requests live as long as its own settings say."""
    slow = LeaseTiming(length_seconds=2.0, beat_seconds=0.25, request_expiry_seconds=1.0, margin_seconds=0.0)
    take(ACCOUNT, timing=slow).abandon()

    began = time.monotonic()
    take(ACCOUNT)

    assert time.monotonic() - began >= slow.grace_seconds > TIMING.grace_seconds


def test_leaving_the_block_releases_and_an_exception_only_lets_go(take: Callable[..., Lease], conn: Connection):
    """An exception leaves requests in doubt; then nobody may say that sending has stopped."""
    with take(ACCOUNT):
        pass
    with pytest.raises(ZeroDivisionError), take(ACCOUNT):
        raise ZeroDivisionError

    assert [state for _, _, state, _ in history(conn)] == ["arming", "released", "arming"]


def test_no_permit_after_release(take: Callable[..., Lease]):
    lease = take(ACCOUNT)
    lease.permit()

    lease.release()

    assert not lease.is_fresh
    with pytest.raises(LeaseLost, match="L04"):
        lease.permit()


def test_losing_one_of_its_scopes_fences_a_holder_off_the_others(take: Callable[..., Lease], conn: Connection):
    """One session holds all locks of a worker: who finds one of them free knows that the worker lost them all."""
    first = take(ACCOUNT, KEY)
    first.abandon()

    take(account_scope("krakenfutures", "renamed", "prod"), KEY)

    (row,) = (row for row in read_leases(conn) if row.scope == ACCOUNT)
    assert (row.state, row.epoch) == ("fenced", first.token.epoch + 1)


# --- loss


def test_a_terminated_session_ends_the_permits_before_the_deadline(take: Callable[..., Lease], conn: Connection):
    lost: list[Refusal] = []
    lease = take(ACCOUNT, on_lost=lost.append)

    conn.execute("SELECT pg_terminate_backend(%s)", (server_process(conn),))

    assert eventually(lambda: not lease.is_fresh)
    assert lease.seconds_since_beat < TIMING.length_seconds, "noticed at the socket, not by the deadline"
    with pytest.raises(LeaseLost, match="L02"):
        lease.permit()
    assert eventually(lambda: [refusal.id for refusal in lost] == ["L02"])


def test_locks_stripped_from_a_living_session_are_noticed(take: Callable[..., Lease]):
    """W6: SELECT 1 went on succeeding while a second bot had the lock."""
    lease = take(ACCOUNT, KEY)

    lease._conn.execute("DISCARD ALL")  # what a pooler does between two clients

    assert eventually(lambda: not lease.is_fresh)
    with pytest.raises(LeaseLost, match="no longer ours"):
        lease.permit()


def test_one_stripped_lock_of_two_is_a_loss(take: Callable[..., Lease]):
    lease = take(ACCOUNT, KEY)

    lease._conn.execute("SELECT pg_advisory_unlock(%s)", (lock_key(KEY),))

    assert eventually(lambda: not lease.is_fresh)


def test_a_forced_release_is_noticed_though_the_lock_is_still_held(take: Callable[..., Lease], conn: Connection):
    lease = take(ACCOUNT)

    force_release(conn, ACCOUNT, reason="drill")

    assert eventually(lambda: not lease.is_fresh)
    with pytest.raises(LeaseLost, match="no longer ours"):
        lease.permit()


def test_a_database_that_hangs_ends_the_lease_by_the_clock(take: Callable[..., Lease], database_url: str):
    lease = take(ACCOUNT)

    with psycopg.connect(database_url) as blocker:
        blocker.execute("LOCK TABLE prodsafe.lease IN ACCESS EXCLUSIVE MODE")
        assert eventually(lambda: not lease.is_fresh)

    with pytest.raises(LeaseLost):
        lease.permit()


def test_a_silent_cut_ends_the_lease_by_the_clock_alone(take: Callable[..., Lease], database_url: str):
    """W8: a half-open socket hung the monitor for hours. Nothing here waits for the network."""
    with cuttable(database_url) as (url, cut):
        lost: list[Refusal] = []
        lease = take(ACCOUNT, url=url, same_database_as=database_url, on_lost=lost.append)

        cut()

        assert eventually(lambda: not lease.is_fresh)
        assert lease._beats.is_alive(), "the beat still waits for an answer"
        with pytest.raises(LeaseLost, match="L03"):
            lease.permit()
        assert eventually(lambda: [refusal.id for refusal in lost] == ["L03"])
        assert not lease.release(), "nothing can be promised to a successor"


def test_release_on_a_dead_session_says_so_and_raises_nothing(take: Callable[..., Lease], conn: Connection):
    """W18: release() on a dead session raised and hid the error that mattered."""
    lease = take(ACCOUNT)
    conn.execute("SELECT pg_terminate_backend(%s)", (server_process(conn),))

    released = lease.release()

    assert not released
    assert [state for _, _, state, _ in history(conn)] == ["arming"]


def test_a_program_that_lost_its_lease_does_not_leave_the_block_as_if_nothing_were(
    take: Callable[..., Lease], conn: Connection
):
    with pytest.raises(LeaseLost, match="L02"), take(ACCOUNT) as lease:
        conn.execute("SELECT pg_terminate_backend(%s)", (server_process(conn),))
        assert eventually(lambda: not lease.is_fresh)


def test_a_wall_clock_that_is_set_back_ends_the_lease_within_a_beat(
    take: Callable[..., Lease], monkeypatch: pytest.MonkeyPatch
):
    """Research 3e N3: a request signed after the step would be accepted for longer than the grace allows."""
    lost: list[Refusal] = []
    lease = take(ACCOUNT, timing=LeaseTiming(beat_seconds=0.25), on_lost=lost.append)
    lease.permit()

    real = time.time
    monkeypatch.setattr(lease_clock, "_realtime", lambda: real() - 0.4)

    with pytest.raises(LeaseLost, match=r"(?s)L13.*back by 0\.4"):
        lease.permit()
    assert eventually(lambda: [refusal.id for refusal in lost] == ["L13"])
    assert not lease.release()


def test_a_jump_is_found_by_the_deadline_thread_when_nobody_asks_for_a_permit(
    take: Callable[..., Lease], monkeypatch: pytest.MonkeyPatch
):
    lost: list[Refusal] = []
    take(ACCOUNT, on_lost=lost.append)

    real = time.time
    monkeypatch.setattr(lease_clock, "_realtime", lambda: real() + 0.4)

    assert eventually(lambda: [refusal.id for refusal in lost] == ["L13"])


# --- real processes

TOLD_ONCE = """
import sys, time
from prodsafe.lease import LeaseTiming, acquire
from prodsafe.output import run_entry

def body():
    with acquire(sys.argv[1], [sys.argv[2]], timing=LeaseTiming(2.0, 0.25, 0.0, 0.0, 0.1)) as lease:
        print("holds", flush=True)
        while True:
            lease.permit()
            time.sleep(0.001)

sys.exit(run_entry(body))
"""


def test_a_worker_that_loses_its_lease_says_so_once_and_exits_5(conn: Connection, database_url: str):
    worker = subprocess.Popen(
        [sys.executable, "-c", TOLD_ONCE, database_url, ACCOUNT],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert next_line(worker) == "holds"

    conn.execute("SELECT pg_terminate_backend(%s)", (server_process(conn),))
    _, complained = worker.communicate(timeout=PATIENCE_SECONDS)

    assert worker.returncode == 5
    assert complained.count("refused L0") == 1


WORKER = """
import sys, time
import psycopg
from prodsafe.errors import LeaseLost
from prodsafe.lease import LeaseTiming, acquire

url, scope, exits = sys.argv[1], sys.argv[2], sys.argv[3] == "exits"
timing = LeaseTiming(2.0, 0.25, 0.0, 0.0, 0.1)
lease = acquire(url, [scope], timing=timing, exit_on_loss=exits)
lease.activate()
writer = psycopg.connect(url, autocommit=True)
print("holds", lease.token.epoch, lease.token.holder, flush=True)
slept_at = time.monotonic()
while time.monotonic() - slept_at < 1.5:  # until it was frozen for longer than its lease
    slept_at = time.monotonic()
    time.sleep(0.01)
try:
    lease.permit()
    print("permitted", flush=True)
except LeaseLost:
    print("no permit", flush=True)
try:  # a program that forgets to ask
    writer.execute("INSERT INTO public.event VALUES (%s, %s, %s)", (scope, lease.token.epoch, lease.token.holder))
    print("written", flush=True)
except psycopg.Error as error:
    print(error.sqlstate, flush=True)
time.sleep(60)
"""


@pytest.fixture
def start_worker(conn: Connection, database_url: str) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    conn.execute("CREATE TABLE public.event (scope text, epoch bigint, holder uuid)")
    conn.execute("SELECT prodsafe.fence('public.event')")
    workers: list[subprocess.Popen[str]] = []

    def start(on_loss: str) -> subprocess.Popen[str]:
        worker = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WORKER), database_url, ACCOUNT, on_loss],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        workers.append(worker)
        assert next_line(worker).startswith("holds")
        return worker

    yield start
    for worker in workers:
        with suppress(ProcessLookupError):
            worker.kill()
        worker.communicate()


def next_line(worker: subprocess.Popen[str]) -> str:
    assert worker.stdout is not None
    return worker.stdout.readline().strip()


def test_after_kill_9_the_successor_waits_the_grace(
    start_worker: Callable[..., subprocess.Popen[str]], take: Callable[..., Lease]
):
    worker = start_worker("exits")
    worker.kill()
    worker.wait()

    phases: list[Waiting] = []
    began = time.monotonic()
    lease = take(ACCOUNT, wait_seconds=PATIENCE_SECONDS, on_wait=phases.append)

    assert not lease.predecessor_clean
    assert time.monotonic() - began >= TIMING.grace_seconds
    assert phases[-1].phase == "grace"


def test_a_frozen_worker_loses_its_lock_to_a_successor_and_exits_5_when_it_wakes(
    start_worker: Callable[..., subprocess.Popen[str]], take: Callable[..., Lease]
):
    """W7: a resumed process sent orders for up to 30 s after another had taken the lock."""
    worker = start_worker("exits")

    os.kill(worker.pid, signal.SIGSTOP)
    successor = take(ACCOUNT, wait_seconds=PATIENCE_SECONDS)
    os.kill(worker.pid, signal.SIGCONT)
    printed, complained = worker.communicate(timeout=PATIENCE_SECONDS)

    assert worker.returncode == 5
    assert "lease-overdue" in complained or "lease-lost" in complained
    assert "permitted" not in printed and "written" not in printed
    successor.permit()


def test_a_frozen_program_that_wakes_and_never_asks_is_stopped_by_the_fence(
    start_worker: Callable[..., subprocess.Popen[str]], take: Callable[..., Lease]
):
    worker = start_worker("goes on")

    os.kill(worker.pid, signal.SIGSTOP)
    take(ACCOUNT, wait_seconds=PATIENCE_SECONDS)
    os.kill(worker.pid, signal.SIGCONT)

    assert next_line(worker) == "no permit"
    assert next_line(worker) == "PF001"


# --- bad input


def test_a_database_without_the_tables_names_the_command_that_makes_them(empty_database_url: str):
    with pytest.raises(SchemaNotReady, match=r"(?s)L07.*python migrate_schema\.py"):
        acquire(empty_database_url, [ACCOUNT])


def test_a_role_without_rights_on_the_lease_is_refused_by_name(conn: Connection, database_url: str):
    conn.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role := f"weak_{os.getpid()}_{time.monotonic_ns()}")))
    weak = conninfo.make_conninfo(database_url, options=f"-c role={role}")

    with pytest.raises(DatabaseRefused, match="L08"):
        acquire(weak, [ACCOUNT])


def test_a_lease_elsewhere_than_the_writes_is_refused(database_url: str, empty_database_url: str):
    """W11: advisory locks are per database."""
    with pytest.raises(DatabaseRefused, match="P08"):
        acquire(database_url, [ACCOUNT], same_database_as=empty_database_url)


def test_two_scopes_with_one_key_cannot_both_start(conn: Connection, database_url: str):
    plant(conn, scope="account/colliding", key=lock_key(ACCOUNT))

    with pytest.raises(DatabaseRefused, match="L05"):
        acquire(database_url, [ACCOUNT])


def test_a_lease_from_another_cluster_is_refused_until_a_person_says_so(conn: Connection, take: Callable[..., Lease]):
    """Research N5: a restored backup hands out old epochs again, and the old server may still have its worker."""
    plant(conn, scope=ACCOUNT, key=lock_key(ACCOUNT), epoch=41)
    with pytest.raises(DatabaseRefused, match="L06"):
        take(ACCOUNT)

    force_release(conn, ACCOUNT, reason="moved")

    taken = take(ACCOUNT).token.epoch
    assert taken > 1_000_000, "a clock's leap above 41 and all that the other cluster handed out since"
    (fenced,) = [epoch for _, epoch, state, _ in history(conn) if state == "fenced"]
    assert 1_000_000 < fenced < taken


def test_a_forced_release_leaps_though_the_cluster_is_the_same(conn: Connection, take: Callable[..., Lease]):
    """A dump that was restored into its own cluster: nothing in it tells that later epochs were handed out since."""
    held = take(ACCOUNT)
    before = held.token.epoch
    held.release("stopped")
    time.sleep(0.05)

    force_release(conn, ACCOUNT, reason="restored")

    assert take(ACCOUNT).token.epoch > before + 40, "milliseconds, where a takeover alone adds one"


def test_a_forced_release_takes_every_scope_of_a_holder_that_stopped_cleanly_too(
    conn: Connection, take: Callable[..., Lease]
):
    """One release after a restore, not one for each scope that would refuse in turn (L06)."""
    take(ACCOUNT, KEY).release("stopped")

    force_release(conn, ACCOUNT, reason="restored")

    assert {row.scope: row.state for row in read_leases(conn)} == {ACCOUNT: "fenced", KEY: "fenced"}


def test_the_old_primary_after_a_failover_is_refused_until_a_person_says_so(
    conn: Connection, take: Callable[..., Lease]
):
    """Research N5: timeline and epochs that went back are a server from before, or a copy of one."""
    identifier = conn.execute("SELECT system_identifier FROM pg_control_system()").fetchone()
    assert identifier is not None
    plant(conn, scope=ACCOUNT, key=lock_key(ACCOUNT), system_id=identifier[0], timeline=2)

    with pytest.raises(DatabaseRefused, match=r"(?s)L06.*later timeline"):
        take(ACCOUNT)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("ALTER TABLE prodsafe.lease OWNER TO {role}", "prodsafe.lease belongs to"),
        ("ALTER TABLE prodsafe.lease_beat OWNER TO {role}", "prodsafe.lease_beat belongs to"),
        ("ALTER TABLE prodsafe.migration OWNER TO {role}", "prodsafe.lease belongs to"),
        ("ALTER TABLE prodsafe.lease DISABLE TRIGGER lease_guard", "trigger lease_guard"),
        ("ALTER TABLE prodsafe.lease ENABLE REPLICA TRIGGER lease_keep", "trigger lease_keep"),
        ("DROP TRIGGER lease_record ON prodsafe.lease", "trigger lease_record"),
        ("ALTER TABLE prodsafe.lease_history DISABLE TRIGGER ALL", "trigger lease_history_keep"),
    ],
)
def test_a_lease_table_that_is_not_ours_is_refused_by_name_before_any_lock(
    conn: Connection, database_url: str, change: str, named: str
):
    role = f"other_{os.getpid()}_{time.monotonic_ns()}"
    conn.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
    conn.execute(change.format(role=role))

    with pytest.raises(DatabaseRefused, match="L14") as caught:
        acquire(database_url, [ACCOUNT])

    assert caught.value.exit_code == 1
    assert named in str(caught.value)
    assert read_leases(conn) == []


def test_a_worker_of_the_release_before_takes_holds_and_releases_beside_this_schema(
    conn: Connection, database_url: str, take: Callable[..., Lease]
):
    """An expand migration: the older worker names no parts of its grace, and asks for the epoch by the old function."""
    take(ACCOUNT).release()
    role = f"older_{os.getpid()}_{time.monotonic_ns()}"
    with psycopg.connect(database_url, autocommit=True) as older:
        older.execute("SELECT pg_advisory_lock(%s)", (lock_key(ACCOUNT),))
        epoch = takes_as_the_release_before(older, ACCOUNT, grace_seconds=9.0)
        (row,) = read_leases(conn)
        older.execute("UPDATE prodsafe.lease SET state = 'released', reason = 'by ' || %s", (role,))

    assert row.epoch == epoch
    assert (row.grace_seconds, row.grace_parts) == (9.0, {}), "parts of another's grace would be a lie"
    assert take(ACCOUNT).token.epoch == epoch + 1


def test_the_parts_of_the_grace_are_those_of_the_longest_one(take: Callable[..., Lease], conn: Connection):
    slow = LeaseTiming(length_seconds=2.0, beat_seconds=0.25, request_expiry_seconds=0.5, margin_seconds=0.0)
    take(ACCOUNT, timing=slow).abandon()

    take(ACCOUNT)

    (row,) = read_leases(conn)
    assert row.grace_parts == slow.grace_parts
    assert row.grace_seconds == slow.grace_seconds == sum(row.grace_parts.values())


def test_a_standby_waits_until_the_replica_is_promoted(take: Callable[..., Lease], conn: Connection, database_url: str):
    """During a failover a server answers that only reads; exit 1 would keep a supervisor from trying again."""
    name = conninfo.conninfo_to_dict(database_url)["dbname"]
    only_reads = sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = {}")
    conn.execute(only_reads.format(sql.Identifier(str(name)), sql.SQL("on")))
    seen: list[Waiting] = []

    def promote(waiting: Waiting) -> None:
        seen.append(waiting)
        conn.execute("SET default_transaction_read_only = off")
        conn.execute(only_reads.format(sql.Identifier(str(name)), sql.SQL("off")))

    lease = take(ACCOUNT, wait_seconds=PATIENCE_SECONDS, on_wait=promote)

    lease.permit()
    assert [waiting.phase for waiting in seen] == ["server"]
    assert "no primary answers" in seen[0].as_text() and "read-only" in seen[0].as_text()


def test_a_standby_whose_session_ends_while_it_waits_asks_again(take: Callable[..., Lease], conn: Connection):
    """The server it waits at restarts or fails over: it holds nothing yet, so it need not give up."""
    first = take(ACCOUNT)
    told: list[Waiting] = []

    def stir(waiting: Waiting) -> None:
        told.append(waiting)
        if len(told) == 1:
            conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'prodsafe/%%'"
                " AND datname = current_database() AND pid <> %s",
                (server_process(conn),),
            )
        else:
            first.release()

    second = take(ACCOUNT, wait_seconds=PATIENCE_SECONDS, on_wait=stir)

    assert len(told) >= 2
    assert second.predecessor_clean


def test_what_only_a_person_can_mend_is_not_waited_for(empty_database_url: str):
    began = time.monotonic()

    with pytest.raises(SchemaNotReady, match="L07"):
        acquire(empty_database_url, [ACCOUNT], wait_seconds=PATIENCE_SECONDS)

    assert time.monotonic() - began < PATIENCE_SECONDS / 2


def test_the_self_test_sees_a_lock_that_keeps_nobody_out_and_leaves_nothing_behind(
    conn: Connection, take: Callable[..., Lease]
):
    """Every scope is tried: behind a pooler each lock may have gone to another session."""
    take(ACCOUNT)

    assert excludes(conn, [ACCOUNT])
    assert not excludes(conn, [ACCOUNT, KEY])
    assert not excludes(conn, [KEY])

    row = conn.execute(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
    ).fetchone()
    assert row == (0,)


def plant(conn: Connection, *, scope: str, key: int, epoch: int = 1, system_id: object = 1, timeline: int = 1) -> None:
    """A lease row as another cluster left it: restored with its triggers off, as a dump is."""
    with conn.transaction():
        conn.execute("SET LOCAL session_replication_role = replica")
        conn.execute(
            "INSERT INTO prodsafe.lease (scope, key, epoch, holder, timeline, system_id, state, acquired_at,"
            " grace_seconds, host, pid, version, who)"
            " VALUES (%s, %s, %s, gen_random_uuid(), %s, %s, 'released', now(), 0, 'old', 1, '', '')",
            (scope, key, epoch, timeline, system_id),
        )


def takes_as_the_release_before(conn: Connection, scope: str, *, grace_seconds: float) -> int:
    """The takeover of the first release, word for word where it matters; the epoch that it was given."""
    row = conn.execute(
        "INSERT INTO prodsafe.lease AS l (scope, key, epoch, holder, timeline, system_id, state, acquired_at,"
        " grace_seconds, schema_range, host, pid, version, who, reason)"
        " SELECT %s, %s, prodsafe.next_epoch(0, 1), gen_random_uuid(), 1, system_identifier, 'arming',"
        " clock_timestamp(), %s, '{}', 'h', 1, '0', 'w', 'acquired' FROM pg_control_system()"
        " ON CONFLICT (scope) DO UPDATE SET epoch = prodsafe.next_epoch(l.epoch, excluded.timeline),"
        " holder = excluded.holder, timeline = excluded.timeline, state = excluded.state,"
        " acquired_at = excluded.acquired_at, grace_seconds = excluded.grace_seconds,"
        " schema_range = excluded.schema_range, host = excluded.host, pid = excluded.pid, version = excluded.version,"
        " who = excluded.who, reason = excluded.reason RETURNING epoch",
        (scope, lock_key(scope), grace_seconds),
    ).fetchone()
    assert row is not None
    return int(str(row[0]))


@contextmanager
def cuttable(url: str) -> Iterator[tuple[str, Callable[[], None]]]:
    """A TCP proxy before the server, and the function after which it swallows everything in silence."""
    given = conninfo.conninfo_to_dict(url)
    is_cut, is_over = threading.Event(), threading.Event()
    open_sockets: list[socket.socket] = []

    def pump() -> None:
        peers: dict[socket.socket, socket.socket] = {}
        while not is_over.is_set():
            readable, _, _ = select.select([listener, *peers], [], [], 0.02)
            for ready in readable:
                if ready is listener:
                    client, _ = listener.accept()
                    server = socket.create_connection((str(given["host"]), int(str(given["port"]))))
                    open_sockets.extend([client, server])
                    peers.update({client: server, server: client})
                elif is_cut.is_set():
                    time.sleep(0.02)
                elif data := ready.recv(65536):
                    peers[ready].sendall(data)
                else:
                    peers.pop(peers.pop(ready)).close()
                    ready.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=pump, daemon=True)
        thread.start()
        yield conninfo.make_conninfo(url, host="127.0.0.1", port=listener.getsockname()[1]), is_cut.set
        is_over.set()
        thread.join()
        for each in open_sockets:
            each.close()

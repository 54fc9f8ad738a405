"""The lease and a real streaming replica: refused while it follows, no second half of a pair after its promotion."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from live.schema import SETS
from prodsafe import postgres
from prodsafe.embedded import EmbeddedPostgres
from prodsafe.errors import DatabaseRefused
from prodsafe.lease import LeaseTiming, acquire
from prodsafe.migrations import migrate
from tests.standby import standby_of

SCOPE = "account/krakenfutures/main/prod"
TIMING = LeaseTiming(request_expiry_seconds=0.0, clock_skew_seconds=0.0, margin_seconds=0.0)


@pytest.fixture
def primary(postgres_binaries: Path | None) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(fsync=False, binaries=postgres_binaries) as server:
        migrate(server.url, SETS, wait_seconds=10.0, report=lambda line: None)
        yield server


@pytest.fixture
def replica(primary: EmbeddedPostgres, postgres_binaries: Path | None, tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    with standby_of(primary, tmp_path / "replica", postgres_binaries) as server:
        yield server


def promote(server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.url, autocommit=True) as conn:
        assert conn.execute("SELECT pg_promote()").fetchone() == (True,)


def wait_until_replayed(primary: EmbeddedPostgres, replica: EmbeddedPostgres) -> None:
    with psycopg.connect(primary.url) as conn:
        row = conn.execute("SELECT pg_current_wal_lsn()").fetchone()
    with psycopg.connect(replica.url, autocommit=True) as conn:
        while conn.execute("SELECT pg_last_wal_replay_lsn() >= %s", row).fetchone() != (True,):
            time.sleep(0.02)


def test_a_replica_is_no_place_for_a_lock_until_it_is_promoted_and_then_its_epochs_are_above_the_old_ones(
    primary: EmbeddedPostgres, replica: EmbeddedPostgres
):
    """Research 2d: a hot standby grants advisory locks that nobody else sees. 2h: after an asynchronous failover the
    old primary and the promoted one had two holders of epoch 5."""
    lease = acquire(primary.url, [SCOPE], timing=TIMING, exit_on_loss=False)
    wait_until_replayed(primary, replica)
    with pytest.raises(DatabaseRefused, match="P05"):
        acquire(replica.url, [SCOPE], timing=TIMING)
    with postgres.connect(replica.url) as conn, pytest.raises(DatabaseRefused, match="P05"):
        postgres.check_direct(conn)
    with pytest.raises(DatabaseRefused, match=r"(?s)P08.*a replica"):
        acquire(primary.url, ["account/other"], timing=TIMING, same_database_as=replica.url)

    promote(replica)

    with pytest.raises(DatabaseRefused, match=r"(?s)P08.*old primary"):
        acquire(replica.url, ["account/other"], timing=TIMING, same_database_as=primary.url)
    promoted = acquire(replica.url, [SCOPE], timing=TIMING, exit_on_loss=False)
    lease.permit()  # research 3e N2: nothing tells an isolated old primary's holder; its epoch is the older one
    lease.release()
    isolated = acquire(primary.url, [SCOPE], timing=TIMING, exit_on_loss=False)
    assert promoted.token.timeline == lease.token.timeline + 1
    assert not promoted.predecessor_clean
    assert promoted.token.epoch > isolated.token.epoch == lease.token.epoch + 1
    promoted.release()
    isolated.release()


def test_a_worker_that_stands_by_on_a_replica_takes_the_lease_when_it_is_promoted(
    primary: EmbeddedPostgres, replica: EmbeddedPostgres
):
    acquire(primary.url, [SCOPE], timing=TIMING, exit_on_loss=False).release()
    wait_until_replayed(primary, replica)
    phases: list[str] = []

    def fail_over(waiting: object) -> None:
        phases.append(getattr(waiting, "phase", ""))
        if len(phases) == 1:
            primary.stop()
            promote(replica)

    lease = acquire(replica.url, [SCOPE], timing=TIMING, exit_on_loss=False, wait_seconds=30.0, on_wait=fail_over)

    assert phases[0] == "server"
    assert lease.predecessor_clean
    lease.release()

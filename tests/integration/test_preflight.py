"""preflight(): gates, then schema, then lease, each refusing before the next is touched."""

from __future__ import annotations

import psycopg
import pytest

from prodsafe.environment import Environment, read_environment
from prodsafe.errors import DatabaseRefused, GateRefused, LeaseHeld, SchemaNotReady
from prodsafe.gates import GATES, Surroundings, select_gates
from prodsafe.lease import read_leases
from prodsafe.preflight import preflight

SCOPE = "account/krakenfutures/main/prod"
NOWHERE = "postgresql://nobody@127.0.0.1:9/none"


def environment(**variables: str) -> Environment:
    return read_environment(variables)


def states(url: str) -> list[str]:
    with psycopg.connect(url, autocommit=True) as conn:
        return [row.state for row in read_leases(conn)]


def test_the_block_runs_under_a_lease_and_gives_it_back(database_url: str):
    with preflight(environment(DATABASE_URL=database_url), Surroundings(), [SCOPE]) as lease:
        lease.permit()
        assert states(database_url) == ["arming"]

    assert states(database_url) == ["released"]


def test_gates_refuse_before_any_database_is_asked():
    env = environment(DATABASE_URL=NOWHERE)

    with pytest.raises(GateRefused, match="G04"), preflight(env, Surroundings(), [SCOPE], gates=GATES):
        pytest.fail("started")


def test_an_address_is_wanted_whatever_gates_are_chosen():
    gates = select_gates(["confirm-live"])

    with (
        pytest.raises(GateRefused, match="G06"),
        preflight(environment(CONFIRM_LIVE="YES"), Surroundings(), [SCOPE], gates=gates),
    ):
        pytest.fail("started")


def test_a_schema_behind_refuses_before_the_lease(empty_database_url: str):
    with (
        pytest.raises(SchemaNotReady, match="M03"),
        preflight(environment(DATABASE_URL=empty_database_url), Surroundings(), [SCOPE]),
    ):
        pytest.fail("started")


def test_a_held_lease_refuses_last(database_url: str):
    env = environment(DATABASE_URL=database_url)

    with (
        preflight(env, Surroundings(), [SCOPE]),
        pytest.raises(LeaseHeld),
        preflight(env, Surroundings(), [SCOPE]),
    ):
        pytest.fail("started twice")


def test_locks_in_another_database_than_the_writes_are_refused(database_url: str, empty_database_url: str):
    """W11: with two databases there is no exclusion at all."""
    env = environment(DATABASE_URL=database_url, LOCK_DATABASE_URL=empty_database_url)

    with pytest.raises(DatabaseRefused, match="P08"), preflight(env, Surroundings(), [SCOPE]):
        pytest.fail("started")

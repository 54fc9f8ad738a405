"""The boot sentence of a synchronous program: gates, then schema, then lease. [S]

with preflight(env, look_around(os.environ), ["account/krakenfutures/main/prod"]) as lease:
    ...
    lease.permit()   # before every send
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from prodsafe.environment import Environment
from prodsafe.errors import Refusal, SchemaNotReady
from prodsafe.gates import DATABASE_GATES, Gate, Surroundings, evaluate_gates, require_gates
from prodsafe.lease_model import LeaseTiming, Waiting
from prodsafe.output import warn

if TYPE_CHECKING:
    from prodsafe.lease import Lease
    from prodsafe.migrations import MigrationSet


@contextmanager
def preflight(
    env: Environment,
    surroundings: Surroundings,
    scopes: Sequence[str],
    *,
    gates: Sequence[Gate] = (),
    force: bool = False,
    sets: Sequence[MigrationSet] = (),
    timing: LeaseTiming = LeaseTiming(),  # noqa: B008 - frozen
    version: str = "",
    on_wait: Callable[[Waiting], None] | None = None,
    on_lost: Callable[[Refusal], None] | None = None,
    exit_on_loss: bool = True,
) -> Iterator[Lease]:
    """The lease, held for the block. Leaving the block releases it, an exception only lets go (see Lease).

    gates: beside those that any use of the database needs. sets: migrations beside prodsafe's own that must be applied.
    Raises GateRefused, DatabaseRefused, SchemaNotReady, LeaseHeld, LeaseLost, in the order of the sentence.
    """
    warn(require_gates(evaluate_gates(env, surroundings, _joined(gates)), force=force))
    assert env.database_url is not None and env.lock_database_url is not None  # the gates have seen to it
    # only now: a refusal by a gate must not pay for psycopg
    from prodsafe.lease import acquire
    from prodsafe.migrations import PRODSAFE_SET, schema_range

    every = [PRODSAFE_SET, *sets]
    _require_schema(env.database_url, every)
    with acquire(
        env.lock_database_url,
        scopes,
        timing=timing,
        wait_seconds=env.lock_wait_seconds,
        on_wait=on_wait,
        on_lost=on_lost,
        exit_on_loss=exit_on_loss,
        version=version,
        schema_range=schema_range(every),
        same_database_as=env.database_url,
    ) as lease:
        _require_schema(env.database_url, every)  # again: until the lease said what we need, a contract file might run
        yield lease


def _joined(gates: Sequence[Gate]) -> list[Gate]:
    known = {gate.kind.id for gate in gates}
    return [*(gate for gate in DATABASE_GATES if gate.kind.id not in known), *gates]


def _require_schema(url: str, sets: Sequence[MigrationSet]) -> None:
    from prodsafe.migrations import check_schema
    from prodsafe.postgres import connect, lost_connections_refused

    with closing(connect(url, application_name="prodsafe/preflight")) as conn, lost_connections_refused(conn):
        refusals = check_schema(conn, sets)
    if refusals:
        raise SchemaNotReady(*refusals)

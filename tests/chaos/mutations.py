"""Every layer of the lease, taken out: how, and the directed schedule under which the checker must see that it is gone.

A mutation changes the code of the worker's own process, or the functions of the test's own database; the product has
no switch for it. Texts that the product no longer contains are an error, so that no mutation fades away unnoticed.
"""

from __future__ import annotations

import importlib
import inspect
import random
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from prodsafe.lease_model import LeaseTiming
from tests.chaos.schedule import Fault, Schedule

SHORT = LeaseTiming(
    length_seconds=0.8, beat_seconds=0.2, request_expiry_seconds=0.6, clock_skew_seconds=0.1, margin_seconds=0.1
)
LONG_EXPIRY = LeaseTiming(
    length_seconds=0.8, beat_seconds=0.2, request_expiry_seconds=5.0, clock_skew_seconds=0.1, margin_seconds=0.1
)
QUIET_SECONDS = 60.0
SEEDS = (1, 2, 3)  # the directed schedules of a mutation: same faults, other moments


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Replace a text that occurs exactly once in the source of module:function, or in module:CONSTANT."""

    where: str
    old: str
    new: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """says: what is taken out. clauses: one of them must fail. sql: run in the database before anybody starts."""

    says: str
    clauses: frozenset[str]
    faults: Callable[[random.Random], tuple[Fault, ...]]
    code: tuple[Rewrite, ...] = ()
    sql: tuple[str, ...] = ()
    timing: LeaseTiming = SHORT
    workers: int = 2
    pace_seconds: float = 0.05

    def schedule(self, seed: int) -> Schedule:
        return Schedule(
            seed=seed,
            faults=self.faults(random.Random(seed)),
            workers=self.workers,
            pace_seconds=self.pace_seconds,
            linger_seconds=0.4,
            timing=self.timing,
        )


def _replaced_function(name: str, old: str, new: str) -> str:
    """The statement that replaces a text in a function of the database; fails where the text is not there."""
    return f"""
        DO $mutation$
        DECLARE source text := pg_get_functiondef('{name}'::regproc);
        BEGIN
            ASSERT position($old${old}$old$ IN source) > 0, 'the function no longer says so';
            EXECUTE replace(source, $old${old}$old$, $new${new}$new$);
        END $mutation$"""


def _one(kind: str, **given: Any) -> Callable[[random.Random], tuple[Fault, ...]]:
    return lambda rng: (Fault(kind=kind, delay_seconds=rng.uniform(0.3, 0.8), **given),)


def _commit_held_up(rng: random.Random) -> tuple[Fault, ...]:
    """An intent passes the fence and commits only after the successor's grace is over."""
    return (
        Fault(kind="slow_commit", delay_seconds=rng.uniform(0.2, 0.5), seconds=1.5, size=4.0),
        Fault(kind="terminate", delay_seconds=rng.uniform(0.5, 0.8)),
    )


def _venue_far_behind(rng: random.Random) -> tuple[Fault, ...]:
    """To a clock an hour behind nothing has ever expired: an expiry that nobody enforces."""
    return (
        Fault(kind="clock_offset", delay_seconds=0.2, size=-3600.0, seconds=9.0),
        *_one("stop_permitted", seconds=6.0, terminated=True)(rng),
    )


MUTATIONS: Mapping[str, Mutation] = {
    "fence-plain-read": Mutation(
        says="the fence reads the lease row without FOR SHARE",
        clauses=frozenset({"C3"}),
        sql=(_replaced_function("prodsafe.check_fence", "FOR SHARE;", ";"),),
        faults=_commit_held_up,
    ),
    "fence-key-share": Mutation(
        says="the fence takes FOR KEY SHARE and the takeover a plain UPDATE (either alone is covered by the other)",
        clauses=frozenset({"C3"}),
        sql=(_replaced_function("prodsafe.check_fence", "FOR SHARE;", "FOR KEY SHARE;"),),
        code=(Rewrite("prodsafe.lease_store:take", " ORDER BY scope FOR UPDATE", " ORDER BY scope"),),
        faults=_commit_held_up,
    ),
    "permit-removed": Mutation(
        says="nothing is asked between signing and the socket",
        clauses=frozenset({"C8"}),
        code=(Rewrite("live.venue:KrakenFuturesVenue._last_word", "            permit()\n", "            pass\n"),),
        faults=_one("terminate"),
    ),
    "expiry-not-signed": Mutation(
        says="requests carry no expiry",
        clauses=frozenset({"C1", "C8"}),
        code=(
            Rewrite("live.order_form:ccxt_arguments", ', "processBefore": instant(expires_at)}', "}"),
            Rewrite("live.order_form:send_query", '"processBefore": instant(expires_at),', ""),
        ),
        faults=_one("stop_permitted", seconds=6.0, terminated=True),
    ),
    "expiry-not-enforced": Mutation(
        says="the venue ignores the expiry",
        clauses=frozenset({"C1", "C8"}),
        faults=_venue_far_behind,
    ),
    "grace-zero": Mutation(
        says="a successor of an unclean end does not wait",
        clauses=frozenset({"C1", "C8"}),
        code=(Rewrite("prodsafe.lease_store:take", "grace_seconds if unclean else 0.0", "0.0"),),
        faults=_one("stop_permitted", seconds=3.0, terminated=True),
        timing=LONG_EXPIRY,
    ),
    "holder-left-out": Mutation(
        says="fence and beat compare the epoch only",
        clauses=frozenset({"C2"}),
        code=(Rewrite("prodsafe.lease_store:_BEAT", "WHERE l.holder = %(holder)s AND l.state", "WHERE l.state"),),
        sql=(_replaced_function("prodsafe.check_fence", " AND holder = NEW.holder", ""),),
        faults=_one("forged"),
    ),
    "no-idle-session-timeout": Mutation(
        says="the server keeps the lock of a silent session",
        clauses=frozenset({"C5"}),
        code=(Rewrite("prodsafe.lease_store:session_settings", "round(timing.idle_session_seconds * 1000)", "0"),),
        faults=_one("freeze", seconds=8.0),
        pace_seconds=QUIET_SECONDS,
    ),
    "beat-selects-1": Mutation(
        says="a beat proves that the connection lives and not that the lock is held",
        clauses=frozenset({"C4", "C7"}),
        code=(
            Rewrite(
                "prodsafe.lease_store:beat",
                "conn.execute(_BEAT, taken.parameters()).rowcount == len(taken.scopes)",
                'conn.execute("SELECT 1").rowcount == 1',
            ),
        ),
        faults=_one("discard_all"),
        pace_seconds=QUIET_SECONDS,
    ),
    "no-deadline-thread": Mutation(
        says="nothing ends a worker whose connection hangs",
        clauses=frozenset({"C4"}),
        code=(Rewrite("prodsafe.lease_held:Lease._watch_deadline", "        while", "        return\n        while"),),
        faults=_one("db_cut_both", seconds=8.0),
        pace_seconds=QUIET_SECONDS,
    ),
    "epochs-one-by-one": Mutation(
        says="after a promotion the epoch goes on by one, as on the old primary",
        clauses=frozenset({"C2"}),
        sql=(_replaced_function("prodsafe.next_epoch", "moved OR previous = 0", "false"),),
        faults=_one("failover_async", seconds=3.0, terminated=True),
        workers=3,
    ),
    "intent-not-written": Mutation(
        says="orders are sent without an intent in the journal",
        clauses=frozenset({"C6"}),
        code=(
            Rewrite(
                "live.execution:Execution.enter",
                "append_unless_halted([decision, approved, intended])",
                "append_unless_halted([decision, approved])",
            ),
        ),
        faults=_one("forged"),
    ),
}


def mutate(name: str) -> None:
    """Apply a mutation's code to this process."""
    for rewrite in MUTATIONS[name].code:
        apply(rewrite)


def apply(rewrite: Rewrite) -> None:
    """Raises LookupError when the product does not say what is to be replaced, exactly once."""
    module_name, _, path = rewrite.where.partition(":")
    module = importlib.import_module(module_name)
    found: Any = module
    for part in path.split("."):
        found = getattr(found, part)
    if isinstance(found, str):
        setattr(module, path, _replaced(found, rewrite))
        return
    assert isinstance(found, FunctionType)
    source = textwrap.dedent(_replaced(inspect.getsource(found), rewrite))
    made: dict[str, Any] = {}
    exec("from __future__ import annotations\n" + source, found.__globals__, made)
    found.__code__ = made[found.__name__].__code__  # in place: whoever imported the function calls the new code


def _replaced(text: str, rewrite: Rewrite) -> str:
    if text.count(rewrite.old) != 1:
        raise LookupError(f"{rewrite.where} says {rewrite.old!r} {text.count(rewrite.old)} times, not once")
    return text.replace(rewrite.old, rewrite.new)

"""How each kind of fault is done to the workers, their wires, their servers and the venue; what it must lead to. [E]"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

import psycopg

from live.model import Leg
from live.order_id import OrderId
from live.schema import SETS
from prodsafe.lease_model import scope_hash
from prodsafe.migrations.drift import accept
from tests.chaos.history import Strike
from tests.chaos.mutations import MUTATIONS
from tests.chaos.points import POINTS
from tests.chaos.schedule import Fault, Schedule
from tests.chaos.stage.proxy import Proxy
from tests.pgbouncer import PgBouncer
from tests.processes import worker_environment

if TYPE_CHECKING:
    from tests.chaos.play import Play, Running

LOCK_SESSION = "prodsafe/account"  # how the name of every session that holds or waits for the lock begins
SURE_SECONDS = 0.2  # a fault must be so much longer than the lease to be sure to end it
STOP_WAIT_SECONDS, SUCCESSOR_SECONDS, SERVER_SECONDS = 4.0, 20.0, 15.0
POOLED_SECONDS = 20.0

Struck = Callable[["Play", Fault, Strike, "Running | None"], Awaitable[Strike]]


async def strike(play: Play, fault: Fault) -> Strike:
    """Play one fault to its end, aimed at whoever holds the lease now."""
    victim = play.holder()
    now = time.time()
    begun = Strike(
        kind=fault.kind,
        at=now,
        until=now,
        victim=victim.name if victim else "",
        victim_epoch=victim.epoch if victim else 0,
    )
    done = await _HOW[fault.kind](play, fault, begun, victim)
    return replace(done, until=max(done.until, done.at))


def _ends(play: Play, done: Strike, seconds: float | None = None) -> Strike:
    """The strike with what it must lead to: the victim notices, a successor follows. seconds: how long it lasted, where
    that decides; nobody is due to follow where nobody held."""
    if not done.victim or (seconds is not None and seconds < play.schedule.timing.length_seconds + SURE_SECONDS):
        return done
    return replace(done, detect_from=done.at, takeover_from=done.at)


# --- processes ----------------------------------------------------------------------------------------------------


async def _kill(play: Play, fault: Fault, done: Strike, victim: Running | None) -> Strike:
    target = victim or play.somebody()
    if target is not None:
        target.kill()
    return replace(done, takeover_from=done.at if victim else None)


async def _kill_in_grace(play: Play, fault: Fault, done: Strike, victim: Running | None) -> Strike:
    """Kill the holder, then its successor while that waits out the grace."""
    if victim is None:
        return replace(done, note="nobody held")
    victim.kill()

    def arming() -> Running | None:
        return next(
            (
                r
                for r in play.runs()
                if r.is_alive and (line := r.last("waiting")) and line.word == "grace" and line.at > done.at
            ),
            None,
        )

    with contextlib.suppress(TimeoutError):  # another fault is in the way: then C5 and C9 judge what became of it
        await play.until(arming, SUCCESSOR_SECONDS, "a successor waits out the grace")
    successor = arming()
    if successor is not None:
        successor.kill()
    return replace(done, until=time.time(), takeover_from=time.time())


async def _sigterm(play: Play, fault: Fault, done: Strike, victim: Running | None) -> Strike:
    if victim is None:
        return replace(done, note="nobody held")
    in_doubt = any(line.word == "order_unknown" for line in victim.read())
    victim.child.terminate()
    return replace(done, takeover_from=done.at, clean=not in_doubt)


async def _freeze(play: Play, fault: Fault, done: Strike, victim: Running | None) -> Strike:
    target = victim or play.somebody()
    if target is None:
        return replace(done, note="nobody lived")
    target.child.stop()
    await asyncio.sleep(fault.seconds)
    return _resumed(play, target, done, fault.seconds)


async def _stop(play: Play, fault: Fault, done: Strike, victim: Running | None) -> Strike:
    """At a named point of the send path, reached by the victim itself."""
    if victim is None:
        return replace(done, note="nobody held")
    _arm(victim, fault.kind.removeprefix("stop_"))
    try:
        await victim.child.wait_stopped(STOP_WAIT_SECONDS)
    except TimeoutError:
        _arm(victim, "")
        return replace(done, until=time.time(), note="point not reached")
    stopping = victim.last("stopping")
    if stopping is None or not victim.is_alive:
        return replace(done, until=time.time(), note="ended before the point")
    done = replace(done, at=stopping.at)
    if not fault.terminated:
        await asyncio.sleep(fault.seconds)
        return _resumed(play, victim, done, fault.seconds)
    await terminate_session(play)
    await asyncio.sleep(fault.seconds)
    victim.child.resume()
    return replace(done, until=time.time(), detect_from=time.time(), takeover_from=done.at)


def _arm(victim: Running, point: str) -> None:
    """Tell it where to stop next; "" for nowhere."""
    victim.diary.with_suffix(".point").write_text(point)
    with contextlib.suppress(ProcessLookupError):
        os.kill(victim.child.pid, signal.SIGUSR1)


def _resumed(play: Play, target: Running, done: Strike, seconds: float) -> Strike:
    target.child.resume()
    now = time.time()
    done = _ends(play, replace(done, until=now), seconds)
    return done if done.detect_from is None else replace(done, detect_from=now)


async def _crowd(play: Play, fault: Fault, done: Strike, victim: Running | None) -> Strike:
    """Five booted at the same moment; now all but one stand by, and the one is killed."""
    return await _kill(play, fault, done, victim)


# --- wires --------------------------------------------------------------------------------------------------------


def _wire(play: Play, fault: Fault, victim: Running | None) -> Proxy:
    slot = play.slot_of(victim) if victim else play.slots[0]
    return slot.database if fault.kind.startswith("db_") else slot.venue


async def _cut(play: Play, fault: Fault, done: Strike, victim: Running | None) -> Strike:
    wire = _wire(play, fault, victim)
    wire.cut(up=not fault.kind.endswith("_down"), down=not fault.kind.endswith("_up"))
    await asyncio.sleep(fault.seconds)
    wire.heal()
    done = replace(done, until=time.time())
    return _ends(play, done, fault.seconds) if fault.kind.startswith("db_") else done


async def _delay(play: Play, fault: Fault, done: Strike, victim: Running | None) -> Strike:
    wire = _wire(play, fault, victim)
    wire.delay(up=fault.size, down=fault.size)
    await asyncio.sleep(fault.seconds)
    wire.delay()
    return replace(done, until=time.time() + fault.size)


async def _discard_all(play: Play, fault: Fault, done: Strike, victim: Running | None) -> Strike:
    if victim is None:
        return replace(done, note="nobody held")
    wire = play.slot_of(victim).database
    if not await wire.inject("DISCARD ALL", application_name_prefix=LOCK_SESSION):
        return replace(done, until=time.time(), note="the session did not take it")
    return _ends(play, done)


# --- servers ------------------------------------------------------------------------------------------------------


async def terminate_session(play: Play) -> float | None:
    """End the session that holds the lock; when, or None if nobody holds it."""
    return await asyncio.to_thread(_terminate, play.url)


def _terminate(url: str) -> float | None:
    with _administering(url) as conn:
        row = conn.execute(
            "SELECT pid FROM pg_locks JOIN pg_stat_activity USING (pid)"
            " WHERE locktype = 'advisory' AND granted AND datname = current_database()"
            " AND starts_with(application_name, %s) LIMIT 1",
            (LOCK_SESSION,),
        ).fetchone()
        at = time.time()
        if row is not None and conn.execute("SELECT pg_terminate_backend(%s)", row).fetchone() == (True,):
            return at
    return None


@contextlib.contextmanager
def _administering(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection of a person's; another fault may have the server restarting just now."""
    give_up_at = time.monotonic() + SERVER_SECONDS
    while True:
        try:
            conn = psycopg.connect(url, autocommit=True)
            break
        except psycopg.OperationalError:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(0.05)
    with closing(conn):
        yield conn


async def _terminated(play: Play, fault: Fault, done: Strike, victim: Running | None) -> Strike:
    at = await terminate_session(play)
    return replace(done, note="nobody held") if at is None else _ends(play, replace(done, at=at, until=at))


async def _kill_backend(play: Play, fault: Fault, done: Strike, victim: Running | None) -> Strike:
    struck = False
    with contextlib.suppress(psycopg.OperationalError):  # the server is away already, by another fault
        struck = await play.cluster.kill9_backend(play.url, LOCK_SESSION)
    done = replace(done, until=time.time())
    return _ends(play, done) if struck else replace(done, note="no session")


async def _restart(play: Play, fault: Fault, done: Strike, victim: Running | None) -> Strike:
    await play.cluster.restart("immediate" if fault.kind == "restart_immediate" else "fast")
    return _ends(play, replace(done, until=time.time()))


async def _failover(play: Play, fault: Fault, done: Strike, victim: Running | None) -> Strike:
    """The standby falls behind, then becomes a primary of its own. Who holds the lease by then, or waits out its grace,
    keeps its sessions on the old one; everybody else, and its own next process, comes to the new one.

    terminated: the lease changes hands on the old primary while the standby is behind, so that both hand out an epoch.
    """
    standby = play.standby
    assert standby is not None
    await standby.freeze()
    done = replace(done, at=time.time())
    if fault.terminated:
        await terminate_session(play)
    await asyncio.sleep(fault.seconds)
    await standby.promote()
    for slot in play.slots:
        slot.database.retarget("127.0.0.1", standby.port)
        if slot.now is None or not _has_the_lock(slot.now):
            slot.database.reset()
    now = time.time()
    if victim is None or fault.terminated:
        return replace(done, until=now)
    notices = fault.kind == "failover_sync"
    return replace(done, until=now, detect_from=done.at if notices else None, takeover_from=now)


def _has_the_lock(run: Running) -> bool:
    phase = run.last("waiting", "held", "doubt")
    return phase is not None and (phase.kind == "held" or phase.word == "grace")


async def _slow_commit(play: Play, fault: Fault, done: Strike, victim: Running | None) -> Strike:
    """Every commit of an intent takes `size` seconds longer, after the fence has looked."""
    await asyncio.to_thread(_execute, play.url, _SLOWER, [fault.size])
    await asyncio.sleep(fault.seconds)
    await asyncio.to_thread(_execute, play.url, _SLOWER, [0])
    return replace(done, until=time.time() + fault.size)


async def _forged(play: Play, fault: Fault, done: Strike, victim: Running | None) -> Strike:
    """A zombie of a restored backup writes: with the current epoch under a name of its own, and with an older epoch."""
    return replace(done, note=await asyncio.to_thread(_forge, play.url))


def _forge(url: str) -> str:
    said = []
    with _administering(url) as conn:
        row = conn.execute("SELECT scope, epoch, holder FROM prodsafe.lease WHERE scope LIKE 'account/%'").fetchone()
        assert row is not None
        scope, epoch, holder = row
        for token in ((scope, epoch, uuid4()), (scope, epoch - 1, holder)):
            order_id = OrderId(scope_hash(scope), token[1], uuid4().int % 10**9, Leg.ENTRY)
            try:
                conn.execute(
                    "INSERT INTO live.event (scope, epoch, holder, kind, client_order_id, at, payload)"
                    " VALUES (%s, %s, %s, 'order_intended', %s, now(), '{}')",
                    (*token, str(order_id)),
                )
                said.append("accepted")
            except psycopg.Error as error:
                said.append(f"refused {error.sqlstate}")
    return ", ".join(said)


async def _pooler(play: Play, fault: Fault, done: Strike, victim: Running | None) -> Strike:
    """Beside the others a worker is deployed with the pooled address: it must be refused, and send nothing."""
    mode: Literal["transaction", "session"] = "transaction" if fault.kind == "pooler_transaction" else "session"
    bouncer = PgBouncer(play.url, mode, play.folder / f"pooler-{time.monotonic_ns()}")
    await asyncio.to_thread(bouncer.__enter__)
    try:
        async with AsyncExitStack() as stack:
            slot = await play.add_slot(stack, f"p{len(play.slots)}")
            play.slots.append(slot)
            environ = worker_environment(bouncer.url, slot.venue.url_for(play.venue.url), LOCK_WAIT_SECONDS="120")
            run = await play.start_worker(slot, environ, pooled=True)
            try:
                await play.note_end(run, POOLED_SECONDS)
            except TimeoutError:
                run.child.kill()
                await play.note_end(run)
    finally:
        await asyncio.to_thread(bouncer.__exit__, None, None, None)
    refused = run.last("refused")
    return replace(done, until=time.time(), note=f"refused {refused.word}" if refused else "not refused")


# --- the venue ----------------------------------------------------------------------------------------------------


async def _clock_offset(play: Play, fault: Fault, done: Strike, victim: Running | None) -> Strike:
    await play.venue.set_clock_offset(fault.size)
    await asyncio.sleep(fault.seconds)
    await play.venue.set_clock_offset(0)
    return replace(done, until=time.time())


# --- the database, before anybody starts ---------------------------------------------------------------------------

_SLOW = """
CREATE TABLE public.chaos_slow AS SELECT 0::float8 AS seconds;
CREATE FUNCTION public.chaos_slow() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_sleep(seconds) FROM public.chaos_slow; RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER chaos_slow AFTER INSERT ON live.event DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.kind = 'order_intended') EXECUTE FUNCTION public.chaos_slow()
"""

_SLOWER = "UPDATE public.chaos_slow SET seconds = %s"


def prepare_database(url: str, schedule: Schedule, mutations: Sequence[str]) -> None:
    """What the schedule and the mutations need in the schema; then a person takes it for right, since a worker refuses
    to boot on a schema that has drifted."""
    statements = [statement for name in mutations for statement in MUTATIONS[name].sql]
    if any(fault.kind == "slow_commit" for fault in schedule.faults):
        statements.append(_SLOW)
    for statement in statements:
        _execute(url, statement)
    if statements:
        accept(url, SETS, "chaos")


def _execute(url: str, statements: Any, parameters: Sequence[object] | None = None) -> None:
    with _administering(url) as conn:
        conn.execute(statements, parameters)


_HOW: dict[str, Struck] = {
    "kill": _kill,
    "kill_in_grace": _kill_in_grace,
    "crowd": _crowd,
    "sigterm": _sigterm,
    "freeze": _freeze,
    "terminate": _terminated,
    "discard_all": _discard_all,
    "kill_backend": _kill_backend,
    "restart_immediate": _restart,
    "restart_fast": _restart,
    "db_delay": _delay,
    "venue_delay": _delay,
    "clock_offset": _clock_offset,
    "slow_commit": _slow_commit,
    "forged": _forged,
    **{f"stop_{point}": _stop for point in POINTS},
    **{f"{path}_cut_{way}": _cut for path in ("db", "venue") for way in ("both", "up", "down")},
    **dict.fromkeys(("failover_async", "failover_sync"), _failover),
    **dict.fromkeys(("pooler_transaction", "pooler_session"), _pooler),
}

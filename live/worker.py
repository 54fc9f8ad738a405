"""What the production worker is made of: health, schema, lease, journal, venue, LiveTrading; and how it ends. [S]"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from types import FrameType

from live import hints, identity_line, last_words, logs
from live.alerts import Alerter
from live.clock import SystemClock
from live.health import make_app, package_version
from live.health_server import HealthServer
from live.journal import PostgresJournal
from live.live_trading import LiveTrading
from live.meters import Meters
from live.pulse import Pulse
from live.report import Identity
from live.schema import SETS
from live.settings import Settings
from live.status import Status
from live.systemd import Systemd
from live.venue import CcxtVenue, open_venue
from prodsafe import lease as leases
from prodsafe.environment import Environment
from prodsafe.errors import ExitCode, Refused, SchemaNotReady
from prodsafe.lease import Lease, LeaseTiming, Waiting
from prodsafe.lease_model import scope_hash
from prodsafe.migrations import check_schema, plan_for, schema_range
from prodsafe.postgres import connect, lost_connections_refused

log = logs.get_logger("worker")

_READ_SECONDS = 10.0  # the longest wait for the reply to a reading request
_LAST_ALERTS_SECONDS = 5.0


def longest_stop_seconds(settings: Settings) -> float:
    """From SIGTERM to the exit, where a venue or a webhook is silent; every supervisor must be more patient.

    The tick under way ends with its next read, then the worker drains, tells its last alerts and releases the lease.
    """
    return _READ_SECONDS + settings.live_drain_seconds + _LAST_ALERTS_SECONDS + settings.live_lease_seconds


class Board:
    """The last published status; the health server's thread reads it at any time."""

    def __init__(self, systemd: Systemd | None = None) -> None:
        self._systemd = systemd or Systemd()
        self.version = package_version()
        self.may_be_heard: Callable[[], bool] = lambda: False  # whether a request of ours may still reach the venue
        self._read: Callable[[], Status] = self._starting("starting")

    def read(self) -> Status:
        return self._read()

    def show(self, read: Callable[[], Status]) -> None:
        self._read = read

    def wait(self, waiting: Waiting) -> None:
        """Progress of the lease. In every phase of it the worker is live but not ready: as "starting" it would answer
        503 on /health, and a rolling deploy's probe would kill it in the middle of a grace."""
        log.info("lease", state="standby", progress=waiting.as_text())
        self._systemd.standing_by(waiting.as_text())
        self._read = self._starting("standby", waiting.as_text())

    def _starting(self, state: str, standby_for: str | None = None) -> Callable[[], Status]:
        return lambda: Status(
            state=state,
            observed_at=datetime.now(UTC),
            host=socket.gethostname(),
            pid=os.getpid(),
            version=self.version,
            standby_for=standby_for,
        )


Until = Callable[[LiveTrading], bool]
"""Asked after each tick: whether the worker is to drain and end, though nobody told it to stop."""


def run_worker(
    env: Environment, settings: Settings, *, until: Until = lambda _: False, systemd: Systemd | None = None
) -> int:
    """The worker after its gates: returns 0 after a clean stop; raises what ends it otherwise (prodsafe.errors)."""
    systemd = systemd or Systemd()
    logs.configure()
    last_words.trace_crashes()
    signal.signal(signal.SIGTERM, _interrupt)
    board = Board(systemd)
    with _health(env, board):
        _require_schema(env)
        lease = _take_lease(env, settings, board)
        log.info("lease taken", scope=lease.scope, epoch=lease.token.epoch, clean=lease.predecessor_clean)
        identity = _identity(lease, settings, board.version)
        log.info("identity", **_line(identity), mode=_mode(env), symbols=settings.live_symbols)
        try:
            _require_schema(env)  # again: a contract file may have run until the lease row said what we need
            asyncio.run(_trade(env, settings, lease, identity, board, until, systemd))
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not interrupt the release
            released = _let_go(lease, board)
    log.info("stopped", released=released)
    return ExitCode.OK


def _let_go(lease: Lease, board: Board) -> bool:
    """Release when nothing of ours can be on its way any more; else the successor waits out the grace."""
    if board.may_be_heard():
        lease.abandon()
        return False
    return lease.release("stopped")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Before the loop runs, SIGTERM ends the process as Ctrl-C does: cleanly, with exit code 0."""
    raise KeyboardInterrupt


@contextlib.contextmanager
def _health(env: Environment, board: Board) -> Iterator[None]:
    if not env.with_health:
        yield
        return
    with HealthServer(make_app(board.read), env.health_host, env.port) as server:
        log.info("health", host=server.address[0], port=server.address[1])
        yield


def _require_schema(env: Environment) -> None:
    with connect(env.database_url or "", application_name="live/boot") as conn, lost_connections_refused(conn):
        refusals = check_schema(conn, SETS)
    if refusals:
        raise SchemaNotReady(*refusals)


def _take_lease(env: Environment, settings: Settings, board: Board) -> Lease:
    """Both scopes: neither renaming the account nor sharing its key evades the lease."""
    account = leases.account_scope(env.exchange_id, env.exchange_account or "", env.environment or "")
    key = leases.key_scope(env.exchange_id, env.exchange_api_key or "")
    return leases.acquire(
        env.lock_database_url or "",
        [account, key],
        timing=lease_timing(settings),
        wait_seconds=env.lock_wait_seconds,
        on_wait=board.wait,
        version=board.version,
        schema_range=schema_range(SETS),
        same_database_as=env.database_url,
    )


def lease_timing(settings: Settings) -> LeaseTiming:
    return LeaseTiming(
        length_seconds=settings.live_lease_seconds,
        beat_seconds=settings.live_beat_seconds,
        request_expiry_seconds=settings.live_request_expiry_seconds,
        clock_skew_seconds=settings.live_clock_skew_seconds,
        margin_seconds=settings.live_grace_margin_seconds,
    )


async def _trade(
    env: Environment,
    settings: Settings,
    lease: Lease,
    identity: Identity,
    board: Board,
    until: Until,
    systemd: Systemd,
) -> None:
    """Trade until asked to stop. Whatever it ends with, `board.may_be_heard` then tells how the lease may go."""
    meters, pulse = Meters(), Pulse()
    alerter = Alerter(env.alert_webhook_url, meters=meters)
    alerter.start()
    pulse.start()
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(systemd.watching(lambda: lease.is_fresh))
        stack.push_async_callback(alerter.stop, timeout_seconds=_LAST_ALERTS_SECONDS)
        journal = await _open_journal(env, lease, meters)
        stack.push_async_callback(journal.close)
        await stack.enter_async_context(last_words.recorded(journal))
        venue = _open_venue(env, settings, meters)
        stack.push_async_callback(venue.close)

        def narrate(text: str) -> None:
            log.info("tick", action=text)
            systemd.doing(text)

        def stop() -> None:
            systemd.stopping(longest_stop_seconds(settings))
            trading.stop()

        trading = LiveTrading(
            settings=settings,
            identity=identity,
            journal=journal,
            venue=venue,
            clock=SystemClock(),
            permit=lease.permit,
            lease_is_fresh=lambda: lease.is_fresh,
            narrate=narrate,
            alert=lambda key, text: alerter.alert(key, text, urgent=True),
            alerts_failing=lambda: alerter.is_failing,
            tell=lambda notice: alerter.alert(notice.key, notice.text, urgent=notice.urgent),
            meters=meters,
        )
        board.may_be_heard = lambda: trading.has_sent
        board.show(lambda: _seen(trading.status, lease, pulse))
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop)
        await trading.boot()
        await asyncio.to_thread(lease.activate)
        gc.collect()
        gc.freeze()  # what a boot loads stays for ever, and looking through all of it again takes 100 ms of some tick
        if waiting := await asyncio.to_thread(_unapplied, env):
            alerter.alert("migrations wait", waiting)
        log.info("trading", epoch=lease.token.epoch, symbols=settings.live_symbols)
        systemd.trading(f"trading {', '.join(settings.live_symbols)}, epoch {lease.token.epoch}")
        async with _hints(env, settings, venue, trading):
            await trading.run(until=lambda: until(trading))
        board.may_be_heard = trading.has_undecided_orders


async def _open_journal(env: Environment, lease: Lease, meters: Meters) -> PostgresJournal:
    """Over the direct address: what a session sets leaks through a pooler."""
    return await PostgresJournal.open(
        env.lock_database_url or "",
        scope=lease.scope,
        epoch=lease.token.epoch,
        holder=lease.token.holder,
        meters=meters,
    )


def _open_venue(env: Environment, settings: Settings, meters: Meters) -> CcxtVenue:
    return open_venue(
        env.exchange_id,
        api_key=env.exchange_api_key or "",
        api_secret=env.exchange_api_secret or "",
        api_password=env.exchange_api_password,
        sandbox=env.exchange_sandbox,
        url=env.exchange_url,
        send_timeout_seconds=settings.live_request_timeout_seconds,
        read_timeout_seconds=_READ_SECONDS,
        cancel_expiry_seconds=settings.live_request_expiry_seconds,
        meters=meters,
    )


def _seen(status: Status, lease: Lease, pulse: Pulse) -> Status:
    """The last published status, with what can be told without the worker's loop."""
    return replace(
        status,
        lease_fresh=lease.is_fresh,
        lease_beat_age_seconds=lease.seconds_since_beat,
        loop_age_seconds=pulse.age_seconds,
    )


def _hints(
    env: Environment, settings: Settings, venue: CcxtVenue, trading: LiveTrading
) -> contextlib.AbstractAsyncContextManager[None]:
    """The venue's feeds beside the loop, where settings ask for them."""
    if not settings.live_websocket_hints:
        return contextlib.nullcontext()
    exchange = hints.open_exchange(
        env.exchange_id,
        api_key=env.exchange_api_key or "",
        api_secret=env.exchange_api_secret or "",
        sandbox=env.exchange_sandbox,
        url=env.exchange_url,
        markets=venue.markets,
    )
    return hints.listening(
        hints.Hints(
            exchange,
            wake=trading.look_soon,
            narrate=lambda text: log.warning("hints", problem=text),
            spacing_seconds=settings.live_fast_tick_seconds,
        )
    )


def _line(who: Identity) -> dict[str, object]:
    """What somebody who reads this log a year later must know; no secret."""
    told = asdict(who)
    unsaid = ("holder", "scope_hash")
    return {"account": told.pop("scope"), **{name: value for name, value in told.items() if name not in unsaid}}


def _mode(env: Environment) -> str:
    return "sandbox" if env.exchange_sandbox else "simulator" if env.exchange_url else "live"


def _identity(lease: Lease, settings: Settings, version: str) -> Identity:
    return Identity(
        scope=lease.scope,
        scope_hash=scope_hash(lease.scope),
        epoch=lease.token.epoch,
        holder=str(lease.token.holder),
        predecessor_clean=lease.predecessor_clean,
        host=socket.gethostname(),
        pid=os.getpid(),
        version=version,
        commit=identity_line.commit(),
        settings_hash=identity_line.settings_hash(settings),
        schema={name: newest for name, (_, newest) in schema_range(SETS).items()},
    )


def _unapplied(env: Environment) -> str | None:
    """Contract files wait for the old worker to end, and somebody must run them after it has; None when none waits."""
    try:
        plan = plan_for(env.database_url or "", SETS)
    except Refused:  # what is wrong with the schema was checked before; this only reminds
        return None
    waiting = [each.name for each in plan.apply] + [each.migration.name for each in plan.deferred]
    return f"migrations wait: {', '.join(waiting)}; run python migrate_schema.py" if waiting else None

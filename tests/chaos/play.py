"""One schedule on real processes: set the stage, let the faults happen, end everybody, bring home the history. [S]"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from prodsafe.errors import ExitCode
from prodsafe.lease import account_scope
from tests.chaos import gather, strikes
from tests.chaos.history import Ended, History, Said, Strike, read_diary
from tests.chaos.schedule import FAILOVERS, Fault, Schedule
from tests.chaos.stage.cluster import Cluster, Server, Standby
from tests.chaos.stage.proxy import Proxy
from tests.chaos.stage.venue import SimulatedVenue
from tests.chaos.stage.zygote import Child, Zygote
from tests.processes import worker_environment

PRELOAD = (
    "psycopg",
    "ccxt",
    "ccxt.async_support",
    "aiohttp",
    "certifi",
    "tests.chaos.worker",
    "tests.chaos.stage.venue",
)
RESTARTED = frozenset({ExitCode.LEASE_HELD, ExitCode.LEASE_LOST, ExitCode.UNREADABLE})  # SPEC section 4
RESTART_SECONDS, REPLACE_SECONDS = 0.3, 1.0
LOOK_SECONDS = 0.02
BOOT_SECONDS, ENTRY_SECONDS, STOP_SECONDS = 30.0, 5.0, 20.0
PATIENCE_SECONDS = 10.0  # beyond a takeover's bound, for restarts and for a fault that struck in the middle of one
DWELL_SECONDS = 0.4  # that a holder goes on before and after what is looked at
FRESH_SECONDS = 0.5  # a worker that said nothing for so long may be frozen
SCOPE = account_scope("krakenfutures", "main", "prod")


@dataclass(slots=True, eq=False)
class Running:
    """One process of a worker, and what its diary says so far."""

    name: str
    child: Child
    diary: Path
    pooled: bool = False
    killed: bool = False
    said: list[Said] = field(default_factory=list)
    _offset: int = 0

    @property
    def is_alive(self) -> bool:
        return self.child.returncode is None

    def read(self) -> list[Said]:
        if self.diary.exists():
            with self.diary.open("rb") as file:
                file.seek(self._offset)
                new = file.read()
            whole = new[: new.rfind(b"\n") + 1]
            self._offset += len(whole)
            self.said += read_diary(self.name, whole.decode().splitlines(keepends=True))
        return self.said

    def last(self, *kinds: str) -> Said | None:
        return next((line for line in reversed(self.read()) if line.kind in kinds), None)

    @property
    def epoch(self) -> int:
        held = self.last("held")
        return held.epoch if held else 0

    def believes(self) -> bool:
        """It took the lease, and did not learn of a loss."""
        return self.is_alive and self.last("held") is not None and self.last("doubt", "lost", "denied") is None

    def kill(self) -> None:
        self.killed = True
        self.child.kill()


@dataclass(slots=True, eq=False)
class Slot:
    """One worker as a platform sees it: restarted as its exit code asks for, behind wires of its own."""

    name: str
    database: Proxy
    venue: Proxy
    runs: list[Running] = field(default_factory=list)

    @property
    def now(self) -> Running | None:
        return self.runs[-1] if self.runs and self.runs[-1].is_alive else None


class Play:
    """What the strikes act on. url: of the database, on the primary itself."""

    def __init__(
        self, schedule: Schedule, zygote: Zygote, cluster: Cluster, folder: Path, mutations: tuple[str, ...] = ()
    ) -> None:
        self.schedule = schedule
        self.cluster = cluster
        self.folder = folder
        self.slots: list[Slot] = []
        self.ended: list[Ended] = []
        self.standby: Standby | None = None
        self.played: list[Strike] = []
        self.url = ""
        self.venue: SimulatedVenue
        self._zygote = zygote
        self._mutations = mutations
        self._over = False
        self._keepers: list[asyncio.Task[None]] = []

    @property
    def database(self) -> str:
        return urlsplit(self.url).path.lstrip("/")

    @property
    def servers(self) -> Mapping[str, Server]:
        """The old one first."""
        return {"primary": self.cluster, **({"standby": self.standby} if self.standby else {})}

    def runs(self) -> list[Running]:
        return [run for slot in self.slots for run in slot.runs]

    def holder(self) -> Running | None:
        """The living process with the newest epoch that believes that it holds the lease."""
        return max((run for run in self.runs() if run.believes()), key=lambda run: run.epoch, default=None)

    def somebody(self) -> Running | None:
        return next((slot.now for slot in self.slots if slot.now is not None), None)

    def slot_of(self, run: Running) -> Slot:
        return next(slot for slot in self.slots if run in slot.runs)

    # --- workers

    async def start_worker(self, slot: Slot, environ: Mapping[str, str], *, pooled: bool = False) -> Running:
        name = f"{slot.name}.{len(slot.runs) + 1}"
        diary = self.folder / f"{name}.jsonl"
        arguments = {
            "diary": str(diary),
            "kind": self.schedule.worker_kind,
            "pace_seconds": self.schedule.pace_seconds,
            "linger_seconds": self.schedule.linger_seconds,
            "mutations": list(self._mutations),
        }
        log = self.folder / f"{name}.log"
        child = await self._zygote.start("tests.chaos.worker:main", arguments, environ=environ, log=log)
        slot.runs.append(Running(name, child, diary, pooled))
        return slot.runs[-1]

    def environment(self, slot: Slot) -> dict[str, str]:
        timing = self.schedule.timing
        return worker_environment(
            slot.database.url_for(self.url),
            slot.venue.url_for(self.venue.url),
            LOCK_WAIT_SECONDS="120",
            LIVE_DRAIN_SECONDS="5",
            LIVE_LEASE_SECONDS=str(timing.length_seconds),
            LIVE_BEAT_SECONDS=str(timing.beat_seconds),
            LIVE_REQUEST_EXPIRY_SECONDS=str(timing.request_expiry_seconds),
            LIVE_REQUEST_TIMEOUT_SECONDS=f"{0.75 * timing.length_seconds:.3f}",
            LIVE_CLOCK_SKEW_SECONDS=str(timing.clock_skew_seconds),
            LIVE_GRACE_MARGIN_SECONDS=str(timing.margin_seconds),
            **self.schedule.settings,
        )

    async def _keep(self, slot: Slot) -> None:
        """The platform: start, wait, start again where the exit code says that it helps."""
        while not self._over:
            run = await self.start_worker(slot, self.environment(slot))
            code = await self.note_end(run)
            if code in RESTARTED:
                await asyncio.sleep(RESTART_SECONDS)
            elif run.killed or code == ExitCode.OK:  # after a hand-over its place is taken, as by a rolling deploy
                await asyncio.sleep(REPLACE_SECONDS)
            else:
                return

    async def note_end(self, run: Running, timeout: float | None = None) -> int:
        code = await run.child.wait(timeout)
        self.ended.append(Ended(worker=run.name, at=time.time(), code=code, killed=run.killed, pooled=run.pooled))
        return code

    # --- the schedule

    async def perform(self) -> History:
        async with self._stage():
            await self._faults()
            settled = await self._settles()
            await self._stop_workers()
            return await self._history(settled)

    @contextlib.asynccontextmanager
    async def _stage(self) -> AsyncIterator[None]:
        schedule = self.schedule
        self.url = await self.cluster.make_database(await self.cluster.migrated_template())
        await asyncio.to_thread(strikes.prepare_database, self.url, schedule, self._mutations)
        async with AsyncExitStack() as stack:
            if schedule.needs_cluster:
                synchronous = any(fault.kind == "failover_sync" for fault in schedule.faults)
                self.standby = await self.cluster.add_standby(synchronous)
                stack.push_async_callback(self.standby.stop)
            self.venue = await stack.enter_async_context(
                SimulatedVenue(self._zygote, self.folder / "venue.log", seed=schedule.seed)
            )
            for number in range(schedule.workers):
                self.slots.append(await self.add_slot(stack, chr(ord("a") + number)))
            try:
                await self._start_workers()
                yield
            finally:
                self._over = True
                for run in self.runs():
                    run.kill()
                for keeper in self._keepers:
                    keeper.cancel()
                await asyncio.gather(*self._keepers, return_exceptions=True)

    async def add_slot(self, stack: AsyncExitStack, name: str) -> Slot:
        venue = urlsplit(self.venue.url)
        return Slot(
            name,
            await stack.enter_async_context(Proxy("127.0.0.1", self.cluster.port)),
            await stack.enter_async_context(Proxy("127.0.0.1", venue.port or 0)),
        )

    async def _start_workers(self) -> None:
        for slot in self.slots:
            self._keepers.append(asyncio.create_task(self._keep(slot)))
            if slot is self.slots[0] and not self.schedule.crowd:
                await self.until(lambda: self.holder() is not None, BOOT_SECONDS, "the first worker holds the lease")
        await self.until(self._all_stand, BOOT_SECONDS, "all workers hold or stand by")
        if self.schedule.worker_kind == "whole":
            await self._fill_an_entry()

    async def _fill_an_entry(self) -> None:
        """The market comes to one entry of LiveTrading, so that there is a position to protect and a stop to keep. What
        its strategy thinks of this seed's prices is not for us to demand: without an entry the lease is struck as well.
        """
        give_up_at = time.monotonic() + ENTRY_SECONDS
        while not (entries := [order for order in await self.venue.get("/sim/orders") if order["leg"] == "e"]):
            if time.monotonic() > give_up_at:
                return
            await asyncio.sleep(LOOK_SECONDS)
        await self.venue.post("/sim/price", {"symbol": entries[0]["symbol"], "price": entries[0]["limit_price"]})

    def _all_stand(self) -> bool:
        runs = [slot.now for slot in self.slots if not (slot.runs and slot.runs[-1].pooled)]
        return self._is_settled() and all(run is not None and run.last("held", "waiting") for run in runs)

    async def _faults(self) -> None:
        tasks: list[asyncio.Task[None]] = []
        for fault in self.schedule.faults:
            if fault.settled:
                await asyncio.gather(*tasks)
                await self._settles()
                await self.until(self._all_stand, BOOT_SECONDS, "all workers hold or stand by again")
            await asyncio.sleep(fault.delay_seconds)
            tasks.append(asyncio.create_task(self._strike(fault)))
        await asyncio.gather(*tasks)

    async def _strike(self, fault: Fault) -> None:
        self.played.append(await strikes.strike(self, fault))

    def _is_settled(self) -> bool:
        """A successor of everybody who was struck has reconciled, trades, and goes on."""
        holder = self.holder()
        if holder is None or holder.last("read") is None or not self._has_followed(holder):
            return False
        trades = not self.schedule.is_busy or holder.last("outcome") is not None
        said = holder.last("belief")
        return trades and said is not None and time.time() - said.at < FRESH_SECONDS

    def _has_followed(self, holder: Running) -> bool:
        ended = [strike.victim_epoch for strike in self.played if strike.takeover_from is not None]
        failed_over = any(strike.kind in FAILOVERS for strike in self.played)
        held = holder.last("held")
        return holder.epoch > max(ended, default=0) and held is not None and (held.timeline > 1 or not failed_over)

    async def _settles(self) -> bool:
        """Whether one and the same holder is there at the beginning and at the end of a while."""
        timing = self.schedule.timing
        patience = timing.idle_session_seconds + timing.grace_seconds + PATIENCE_SECONDS
        give_up_at = time.monotonic() + patience
        while time.monotonic() < give_up_at:
            before = self.holder() if self._is_settled() else None
            await asyncio.sleep(DWELL_SECONDS if before else LOOK_SECONDS)
            if before is not None and before is self.holder() and self._is_settled():
                return True
        return False

    async def until(self, ready: Callable[[], object], seconds: float, what: str) -> None:
        """Raises TimeoutError that names what did not come."""
        give_up_at = time.monotonic() + seconds
        while not ready():
            given_up = self._keepers and all(keeper.done() for keeper in self._keepers)
            if given_up or time.monotonic() > give_up_at:
                ends = ", ".join(f"{end.worker} {end.code}" for end in self.ended)
                raise TimeoutError(f"not within {seconds:.0f} s: {what} (ended: {ends or 'none'}; see {self.folder})")
            await asyncio.sleep(LOOK_SECONDS)

    async def _stop_workers(self) -> None:
        """SIGTERM to all, as when a platform takes the service down; to one that is being born once it has spoken.
        Who does not listen is killed, and its exit code tells."""
        self._over = True
        asked: list[Running] = []
        give_up_at = time.monotonic() + STOP_SECONDS
        while not all(keeper.done() for keeper in self._keepers) and time.monotonic() < give_up_at:
            for run in self.runs():
                if run.is_alive and run not in asked and run.last("waiting", "held", "refused"):
                    run.child.terminate()
                    run.child.resume()  # one that came to its point after all
                    asked.append(run)
            await asyncio.sleep(LOOK_SECONDS)
        for run in self.runs():
            run.child.kill()
        await asyncio.wait(self._keepers)

    async def _history(self, settled: bool) -> History:
        rows = [await gather.rows(name, server.url_of(self.database)) for name, server in self.servers.items()]
        return History(
            seed=self.schedule.seed,
            schedule=self.schedule.as_text(),
            timing=asdict(self.schedule.timing),
            promised=self.schedule.promised,
            settled=settled,
            scope=SCOPE,
            server_version=(await self.cluster.execute("SHOW server_version"))[0][0],
            said=tuple(line for run in self.runs() for line in run.read()),
            changes=tuple(change for changes, _ in rows for change in changes),
            written=tuple(row for _, written in rows for row in written),
            arrivals=gather.arrivals(await self.venue.ledger()),
            strikes=tuple(self.played),
            ended=tuple(self.ended),
        )

"""The simulated venue as a process of its own: its ledger is the truth of every schedule. [E]"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from live.simulator.__main__ import demo_customer
from live.simulator.faults import FaultSchedule
from live.simulator.kraken_futures import RateLimit
from live.simulator.scenarios import DEFAULT_BAR, make_scenario
from live.simulator.server import SimulatorServer, TrueClock
from live.simulator.world import Customer, World
from tests.chaos.stage.zygote import Child, Zygote

UNLIMITED = RateLimit(cost=10**9)
START_SECONDS, POLL_SECONDS, ANSWER_SECONDS = 20.0, 0.01, 10.0
ADDRESS = "EXCHANGE_URL="


class SimulatedVenue:
    """async with SimulatedVenue(zygote, log) as venue. customers=() means the built-in demo customer.

    It never limits the rate of requests. The zygote should have preloaded this module.
    """

    def __init__(
        self, zygote: Zygote, log: Path, *, customers: Sequence[Customer] = (), scenario: str = "still", seed: int = 1
    ) -> None:
        self.url = ""
        self._zygote = zygote
        self._log = log
        given = [{**asdict(customer), "balance": str(customer.balance)} for customer in customers]
        self._arguments = {"customers": given, "scenario": scenario, "seed": seed}

    async def __aenter__(self) -> SimulatedVenue:
        self._log.unlink(missing_ok=True)  # its first line is to be the new address
        entry = f"{__name__}:serve"
        self.child: Child = await self._zygote.start(entry, self._arguments, environ={}, log=self._log)
        async with asyncio.timeout(START_SECONDS):
            while not self.url:
                await asyncio.sleep(POLL_SECONDS)
                said = self._log.read_text() if self._log.exists() else ""
                if self.child.returncode is not None:
                    raise RuntimeError(f"the simulated venue ended with {self.child.returncode}: {said}")
                if said.endswith("\n"):
                    self.url = said.splitlines()[0].removeprefix(ADDRESS)
        self._session = aiohttp.ClientSession(self.url, timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS))
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._session.close()
        self.child.kill()  # it keeps nothing that a clean end would save
        await self.child.wait()

    @property
    def port(self) -> int:
        """For a Proxy before it."""
        return urlsplit(self.url).port or 0

    async def ledger(self) -> dict[str, Any]:
        """GET /sim/ledger."""
        ledger: dict[str, Any] = await self.get("/sim/ledger")
        return ledger

    async def set_clock_offset(self, seconds: float) -> None:
        """The venue's clock runs so much ahead of true time (which the ledger keeps to)."""
        await self.post("/sim/clock", {"offset_seconds": seconds})

    async def set_faults(self, rules: Sequence[dict[str, Any]]) -> None:
        """Replace the fault schedule (live/simulator/faults.py); [] ends it."""
        await self.post("/sim/faults", list(rules))

    async def get(self, path: str) -> Any:
        async with self._session.get(path) as reply:
            reply.raise_for_status()
            return await reply.json()

    async def post(self, path: str, body: object) -> Any:
        async with self._session.post(path, json=body) as reply:
            if reply.status != 200:
                raise ValueError(f"{path}: {reply.status} {await reply.text()}")
            return await reply.json()


# --- in the forked child -------------------------------------------------------------------------------------------


def serve(arguments: dict[str, Any]) -> int:
    given = [Customer(**{**customer, "balance": Decimal(customer["balance"])}) for customer in arguments["customers"]]
    asyncio.run(_serve(given or [demo_customer()], arguments["scenario"], arguments["seed"]))
    return 0


async def _serve(customers: Sequence[Customer], scenario: str, seed: int) -> None:
    clock = TrueClock()
    prices = make_scenario(scenario, seed=seed, began_at=clock.began_at, bar=DEFAULT_BAR)
    world = World(prices, customers, began_at=clock.began_at, seed=seed, faults=FaultSchedule(seed=seed))
    server = SimulatorServer(world, clock, rate_limit=UNLIMITED)
    print(f"{ADDRESS}{await server.start()}")
    await server.move_prices()

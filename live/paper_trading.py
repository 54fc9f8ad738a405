"""LiveTrading on paper: its venue and its journal live in this process's memory, so that no order can leave. [S]"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from decimal import Decimal
from uuid import uuid4

from live.clock import Clock
from live.events import Event
from live.health import package_version
from live.journal import MemoryJournal, MemoryStore
from live.live_trading import LiveTrading
from live.paper import Market, PaperVenue
from live.report import Identity
from live.settings import Settings
from live.simulator.matching import Fees
from live.smc.parameters import SmcParameters
from live.status import Halt
from prodsafe.lease_model import scope_hash

START_BALANCE = Decimal(10_000)


class PaperTrading(LiveTrading):
    """The worker's own loop with strategy, risk, execution, book and reconcile over the public half of a market.

    What it holds, what it has lost and whether it is halted end with the process. balance_quote: what it begins with;
    fees, fills_on_touch: as in PaperVenue.
    """

    def __init__(
        self,
        market: Market,
        *,
        scope: str,
        settings: Settings,
        clock: Clock,
        narrate: Callable[[str], None],
        balance_quote: Decimal = START_BALANCE,
        fees: Fees | None = None,
        fills_on_touch: bool = True,
        parameters: SmcParameters | None = None,
    ) -> None:
        store, holder = MemoryStore(), uuid4()
        epoch = store.take(scope, holder)
        self._memory = MemoryJournal(store, scope=scope, epoch=epoch, holder=holder, clock=clock.now)
        self._paper = PaperVenue(
            market, clock=clock, balance_quote=balance_quote, fees=fees, fills_on_touch=fills_on_touch
        )
        super().__init__(
            settings=settings,
            identity=Identity(
                scope=scope,
                scope_hash=scope_hash(scope),
                epoch=epoch,
                holder=str(holder),
                predecessor_clean=True,
                host=socket.gethostname(),
                pid=os.getpid(),
                version=package_version(),
            ),
            journal=self._memory,
            venue=self._paper,
            clock=clock,
            permit=lambda: None,  # a lease is for an account that two processes could share; this one is our own memory
            lease_is_fresh=lambda: True,
            narrate=narrate,
            alert=lambda _key, text: narrate(f"alert: {text}"),
            parameters=parameters,
        )

    async def boot_and_run(self) -> None:
        await self.boot()
        await self.run()

    @property
    def parameters(self) -> SmcParameters:
        """What the strategy was told."""
        return self._parameters

    async def charge_funding(self, share: Decimal) -> Decimal:
        """What holding costs now: this share of the positions' worth. Returns it in quote currency."""
        return await self._paper.charge_funding(share)

    async def recorded(self) -> list[Event]:
        """Every event so far, oldest first."""
        return (await self._memory.load()).events

    async def halted(self) -> Halt:
        return await self._memory.latch()

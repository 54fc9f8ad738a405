"""One look at the venue: everything that a tick knows of the outside. [E]"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from live.clock import Clock
from live.model import Account, Ticker
from live.reconcile import Reading
from live.reconciler import Reconciler
from live.venue import Venue


@dataclass(frozen=True, slots=True)
class Look:
    """Reconcile reads the first part, risk the rest."""

    reading: Reading
    tickers: Mapping[str, Ticker]
    account: Account


class Lookout:
    """Reads the venue for the symbols we trade and those on which it shows a position."""

    def __init__(self, *, venue: Venue, reconciler: Reconciler, clock: Clock, symbols: Sequence[str]) -> None:
        self._venue = venue
        self._reconciler = reconciler
        self._clock = clock
        self._symbols = symbols
        self._made_at = clock.now()

    async def look(self) -> Look:
        """Read the venue. Open orders and positions come before fills, so that a fill is never missed in between.

        Raises LeaseLost as soon as one reply shows a later holder: what else cannot be read must not hide that.
        """
        began_at = self._clock.now()
        since = self._reconciler.fills_since(self._made_at)
        open_orders = await self._venue.open_orders()
        self._reconciler.require_latest(order.client_order_id for order in open_orders)
        positions = await self._venue.positions()
        fills = await self._venue.fills(since=since)
        self._reconciler.require_latest(fill.client_order_id for fill in fills)
        symbols = {*self._symbols, *(position.symbol for position in positions)}
        tickers = await self._venue.tickers(sorted(symbols))
        account = await self._venue.account()
        venue_ahead = timedelta(seconds=self._venue.clock_offset_seconds or 0.0)
        return Look(Reading(began_at, positions, open_orders, fills, venue_ahead), tickers, account)

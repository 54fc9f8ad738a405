"""The simulated market as one value to drive: scenario, venue, recorded prices, ledger, faults. [P]"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol

from live.model import Candle, OrderSide
from live.simulator.faults import FaultSchedule
from live.simulator.ledger import Ledger, LedgerRequest
from live.simulator.matching import Venue
from live.simulator.orders import Contract, Order, Quote
from live.simulator.tape import MINUTE, Tape, floor_time, joined
from live.simulator.wire import Clock, unified_symbol


class Listed(Protocol):
    """What a scenario says of one contract."""

    @property
    def venue_id(self) -> str: ...
    @property
    def tick_size(self) -> Decimal: ...
    @property
    def qty_step(self) -> Decimal: ...
    @property
    def contract_size(self) -> Decimal: ...
    @property
    def max_leverage(self) -> Decimal: ...


class Prices(Protocol):
    """A scenario: prices for any moment and the candles that agree with them. scenarios.Scenario is one."""

    @property
    def listings(self) -> Sequence[Listed]: ...
    def price(self, venue_id: str, at: datetime) -> Decimal: ...
    def candles(self, venue_id: str, timeframe: timedelta, start: datetime, end: datetime) -> list[Candle]: ...


@dataclass(frozen=True, slots=True)
class Customer:
    """One account and the key that opens it. balance: opening collateral in quote currency."""

    name: str
    api_key: str
    api_secret: str
    balance: Decimal = Decimal(10000)


class World:
    """began_at: aware UTC; prices before it are the scenario's, after it what was recorded."""

    def __init__(
        self,
        prices: Prices,
        customers: Sequence[Customer],
        *,
        began_at: datetime,
        seed: int = 0,
        faults: FaultSchedule | None = None,
        liquidity: Decimal | None = None,
    ) -> None:
        self.prices = prices
        self.began_at = began_at
        self.customers = {customer.api_key: customer for customer in customers}
        # ids must not come back after a restart: a worker's journal remembers those of the venue before
        self.venue = Venue(
            [contract_of(listed, liquidity) for listed in prices.listings],
            balances={customer.name: customer.balance for customer in customers},
            id_seed=f"{seed}/{began_at.isoformat()}",
        )
        self.clock = Clock()
        self.ledger = Ledger()
        self.pinned: dict[str, Decimal] = {}
        self.leverage: dict[tuple[str, str], float] = {}
        self.set_faults(faults or FaultSchedule(seed=seed), began_at)
        self._names = {name: listed.venue_id for listed in prices.listings for name in _names_of(listed.venue_id)}
        self._tapes = {
            listed.venue_id: Tape(unified_symbol(listed.venue_id), listed.qty_step) for listed in prices.listings
        }
        self.tick(began_at)

    def set_faults(self, faults: FaultSchedule, now: datetime) -> None:
        """A new schedule; its seconds count from now."""
        self.faults, self.faults_began_at = faults, now

    def tick(self, now: datetime) -> None:
        """Show every price of this moment to the venue."""
        for venue_id in self.venue.contracts:
            self._show(venue_id, self.pinned.get(venue_id) or self.prices.price(venue_id, now), now)

    def pin(self, venue_id: str, price: Decimal, now: datetime) -> None:
        """The price, to the nearest tick, from now on; the scenario no longer moves this symbol. Matches at once."""
        tick = self.venue.contracts[venue_id].tick_size
        nearest = (price / tick).quantize(Decimal(1)) * tick if price.is_finite() else Decimal(0)
        if nearest <= 0:
            raise ValueError(f"price {price} is not a positive number of ticks of {tick}")
        self.pinned[venue_id] = nearest
        self._show(venue_id, nearest, now)

    def _show(self, venue_id: str, price: Decimal, now: datetime) -> None:
        self._tapes[venue_id].record(now, price)
        self.venue.tick(venue_id, Quote.around(price, self.venue.contracts[venue_id]), now)

    def venue_id(self, name: str) -> str:
        """The venue's id for PF_XBTUSD, pf_xbtusd or BTC/USD:USD. Raises KeyError."""
        return self._names[name.upper()]

    def candles(self, venue_id: str, timeframe: timedelta, start: datetime, end: datetime) -> list[Candle]:
        """Candles opened in [start, end), oldest first; the last one shows what has been seen of it so far.

        The bar in which the venue started joins the scenario's minutes before with the recorded ones after.
        """
        seam = floor_time(self.began_at, timeframe)
        start, end = floor_time(start + timeframe - timedelta(microseconds=1), timeframe), max(start, end)
        before = self.prices.candles(venue_id, timeframe, start, min(end, seam)) if start < seam else []
        if end <= seam:
            return before
        live_from, live_to = max(start, seam), floor_time(end - timedelta(microseconds=1), timeframe) + timeframe
        # up to the second: without the first part of its first minute the venue would record a candle that never was
        minutes = self.prices.candles(venue_id, MINUTE, live_from, self.began_at) if live_from < self.began_at else []
        return [*before, *joined([*minutes, *self._tapes[venue_id].minutes(live_from, live_to)], timeframe)]

    # --- what /sim may do by hand -------------------------------------------------------------------------------

    def hand_fill(self, order: Order, account: str, qty: Decimal | None, price: Decimal | None, now: datetime) -> None:
        """Execute an open order of the account, wholly or in part, at its own price unless another is given."""
        if not order.is_open:
            raise ValueError(f"order {order.order_id} is {order.status}")
        quote = self.venue.quotes[order.venue_id]
        at_price = price or order.limit_price or order.stop_price or quote.last
        self.venue.fill_by_hand(account, order, qty or order.remaining, at_price, now)
        self._note_hand("fill", account, order, now)

    def hand_trade(
        self, venue_id: str, account: str, side: OrderSide, qty: Decimal, price: Decimal | None, now: datetime
    ) -> Order:
        """Trade at market as a person at the venue's web page would: no client order id."""
        if not self.venue.contracts[venue_id].on_step(qty):
            raise ValueError(f"qty {qty} is not a positive multiple of {self.venue.contracts[venue_id].qty_step}")
        quote = self.venue.quotes[venue_id]
        best = quote.ask if side is OrderSide.BUY else quote.bid
        order = self.venue.trade_by_hand(account, venue_id, side, qty, price or best, now)
        self._note_hand("fill", account, order, now)
        return order

    def hand_cancel(self, order: Order, account: str, now: datetime) -> str:
        """Cancel as the venue does; returns its word: cancelled, filled or notFound."""
        verdict = self.venue.cancel(account, now, order_id=order.order_id, reason="cancelled_by_admin")
        self._note_hand("cancel", account, order, now, reason=verdict.status, accepted=verdict.accepted)
        return verdict.status

    def _note_hand(
        self, what: str, account: str, order: Order, now: datetime, *, reason: str = "by hand", accepted: bool = True
    ) -> None:
        self.ledger.requests.append(
            LedgerRequest(
                now, "hand", account, what, order.client_order_id, order.order_id, {}, accepted=accepted, reason=reason
            )
        )


def contract_of(listed: Listed, liquidity: Decimal | None = None) -> Contract:
    initial = 1 / listed.max_leverage
    return Contract(
        venue_id=listed.venue_id,
        tick_size=listed.tick_size,
        qty_step=listed.qty_step,
        contract_size=listed.contract_size,
        initial_margin=initial,
        maintenance_margin=initial / 2,
        liquidity=liquidity,
    )


def customers_from_json(data: Any) -> list[Customer]:
    """Accounts from parsed JSON: [{"name", "api_key", "api_secret", "balance"}]. Raises ValueError."""
    if not isinstance(data, list) or not data:
        raise ValueError("accounts are a list of {name, api_key, api_secret, balance}")
    try:
        customers = [
            Customer(row["name"], row["api_key"], row["api_secret"], Decimal(str(row.get("balance", 10000))))
            for row in data
        ]
    except (KeyError, TypeError, AttributeError, ArithmeticError) as error:
        raise ValueError(f"an account needs name, api_key, api_secret and perhaps balance: {error!r}") from error
    if len({customer.api_key for customer in customers}) < len(customers):
        raise ValueError("two accounts share one api_key")
    return customers


def _names_of(venue_id: str) -> tuple[str, str]:
    return venue_id.upper(), unified_symbol(venue_id).upper()

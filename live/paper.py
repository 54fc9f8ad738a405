"""Paper trading: the venue door over the simulator's matching, with real or replayed prices. No key, no wire. [E]

Orders and positions live in memory and end with the process. Prices are seen whenever somebody reads or sends: what the
market did between two looks, nobody here saw.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol

from live.clock import Clock
from live.model import (
    Accepted,
    Account,
    CancelOutcome,
    Candle,
    Fill,
    Gone,
    Instrument,
    OrderSpec,
    OrderType,
    Rejected,
    Side,
    SubmitOutcome,
    Ticker,
    Unknown,
    VenueOrder,
    VenueOrderStatus,
    VenuePosition,
)
from live.simulator.matching import Fees, Venue
from live.simulator.orders import (
    Contract,
    Execution,
    NewOrder,
    Order,
    OrderKind,
    OrderStatus,
    Position,
    Quote,
    Signal,
)
from live.simulator.scenarios import Scenario
from live.venue import Permit
from prodsafe.errors import VenueUnreadable

_ACCOUNT = "paper"
_KINDS = {OrderType.MARKET: OrderKind.MARKET, OrderType.LIMIT: OrderKind.LIMIT, OrderType.STOP: OrderKind.STOP}


class Market(Protocol):
    """The public half of a Venue: what can be known without a key. live.venue's venues are such, and ScenarioMarket."""

    async def instruments(self) -> dict[str, Instrument]: ...
    async def candles(self, symbol: str, timeframe: timedelta, *, since: datetime) -> list[Candle]: ...
    async def tickers(self, symbols: Sequence[str]) -> dict[str, Ticker]: ...
    async def close(self) -> None: ...


class PaperVenue:
    """Implements live.venue.Venue. What the market cannot say raises VenueUnreadable, as with a real venue.

    fees: what a fill costs. fills_on_touch: whether a price that only reaches a resting order fills it.
    """

    def __init__(
        self,
        market: Market,
        *,
        clock: Clock,
        balance_quote: Decimal = Decimal(10000),
        fees: Fees | None = None,
        fills_on_touch: bool = True,
    ) -> None:
        self._fees = fees
        self._fills_on_touch = fills_on_touch
        self._market = market
        self._clock = clock
        self._began_at = self._now = clock.now()
        self._balance_quote = balance_quote
        self._instruments: dict[str, Instrument] = {}
        self._venue: Venue | None = None
        self._opening = asyncio.Lock()

    @property
    def clock_offset_seconds(self) -> float:
        return 0.0  # matching lives in our own time

    async def instruments(self) -> dict[str, Instrument]:
        return await self._market.instruments()

    async def candles(self, symbol: str, timeframe: timedelta, *, since: datetime) -> list[Candle]:
        return await self._market.candles(symbol, timeframe, since=since)

    async def tickers(self, symbols: Sequence[str]) -> dict[str, Ticker]:
        return await self._market.tickers(symbols)

    async def account(self) -> Account:
        venue = await self._seen()
        margin = venue.margin(_ACCOUNT)
        return Account(margin.equity, max(margin.available, Decimal(0)), self._now)

    async def positions(self) -> list[VenuePosition]:
        venue = await self._seen()
        return [self._position(position) for position in venue.accounts[_ACCOUNT].positions.values()]

    async def open_orders(self) -> list[VenueOrder]:
        venue = await self._seen()
        return [self._order(order) for order in venue.accounts[_ACCOUNT].open_orders()]

    async def find_orders(self, specs: Sequence[OrderSpec], *, since: datetime) -> dict[str, VenueOrder]:
        account = (await self._seen()).accounts[_ACCOUNT]
        found = {spec.client_order_id: account.find(None, spec.client_order_id) for spec in specs}
        return {client_id: self._order(order) for client_id, order in found.items() if order is not None}

    async def fills(self, *, since: datetime) -> list[Fill]:
        venue = await self._seen()
        return [self._fill(done) for done in venue.accounts[_ACCOUNT].executions if done.at >= since]

    async def submit(self, spec: OrderSpec, *, expires_at: datetime, permit: Permit) -> SubmitOutcome:
        try:
            venue = await self._seen(spec.symbol)
        except VenueUnreadable as unreadable:
            return Rejected("not-sent", unreadable.refusals[0].cause)
        if spec.symbol not in self._instruments:
            return Rejected("local", f"the market lists no {spec.symbol}")
        permit()
        verdict = venue.submit(_ACCOUNT, self._asked(spec, expires_at), self._now)
        if verdict.accepted and verdict.order is not None:
            return Accepted(verdict.order.order_id)
        if verdict.status == "clientOrderIdAlreadyExist":
            return Unknown("duplicate client order id: the venue has it, look it up")
        return Rejected(verdict.status, "refused by the paper venue")

    async def cancel(self, spec: OrderSpec, venue_order_id: str | None, *, permit: Permit) -> CancelOutcome:
        try:
            venue = await self._seen()
        except VenueUnreadable as unreadable:
            return Rejected("not-sent", unreadable.refusals[0].cause)
        permit()
        client_id = None if venue_order_id else spec.client_order_id
        verdict = venue.cancel(_ACCOUNT, self._now, order_id=venue_order_id, client_order_id=client_id)
        return Accepted(venue_order_id) if verdict.accepted else Gone(verdict.status)

    async def close(self) -> None:
        await self._market.close()

    async def charge_funding(self, share: Decimal) -> Decimal:
        """Take this share of what each position is worth now from the account. Returns the sum, in quote currency."""
        venue = await self._seen()
        account = venue.accounts[_ACCOUNT]
        held = account.positions.values()
        worth = (abs(p.qty) * venue.contracts[p.venue_id].contract_size * venue.quotes[p.venue_id].mark for p in held)
        charged = sum(worth, Decimal(0)) * share
        account.cash -= charged
        return charged

    # --- the matching behind ------------------------------------------------------------------------------------

    async def _seen(self, *also: str) -> Venue:
        """The venue after a look at the prices of every symbol that has an order or a position, and of `also`."""
        if (venue := self._venue) is None:
            async with self._opening:
                venue = self._venue or await self._opened()
        account = venue.accounts[_ACCOUNT]
        busy = {order.venue_id for order in account.open_orders()} | account.positions.keys()
        self._now = max(self._now, self._clock.now())  # matching's time must not go back with the wall clock
        if not busy and not also:
            return venue
        symbols = [symbol for symbol, known in self._instruments.items() if known.venue_id in busy or symbol in also]
        tickers = await self._market.tickers(symbols)
        self._now = max(self._now, self._clock.now())
        for symbol, seen in tickers.items():
            last = (seen.bid_price + seen.ask_price) / 2
            quote = Quote(seen.bid_price, seen.ask_price, last, seen.mark_price, seen.mark_price)
            venue.tick(self._instruments[symbol].venue_id, quote, self._now)
        return venue

    async def _opened(self) -> Venue:
        self._instruments = await self._market.instruments()
        self._venue = Venue(
            [_contract(instrument) for instrument in self._instruments.values()],
            balances={_ACCOUNT: self._balance_quote},
            id_seed=f"paper/{self._began_at.isoformat()}",  # an id of an earlier process never comes back
            fees=self._fees,
            fills_on_touch=self._fills_on_touch,
        )
        return self._venue

    def _asked(self, spec: OrderSpec, expires_at: datetime) -> NewOrder:
        return NewOrder(
            venue_id=self._instruments[spec.symbol].venue_id,
            side=spec.side,
            kind=_KINDS[spec.type],
            qty=spec.qty,
            limit_price=spec.limit_price,
            stop_price=spec.trigger_price,
            signal=Signal.MARK,
            reduce_only=spec.reduce_only,
            client_order_id=spec.client_order_id,
            expires_at=expires_at,
        )

    def _symbol(self, venue_id: str) -> str:
        return next(symbol for symbol, known in self._instruments.items() if known.venue_id == venue_id)

    def _order(self, order: Order) -> VenueOrder:
        return VenueOrder(
            venue_order_id=order.order_id,
            client_order_id=order.client_order_id,
            symbol=self._symbol(order.venue_id),
            side=order.side,
            type=next(kind for kind, word in _KINDS.items() if word is order.kind),
            qty=order.qty,
            filled_qty=order.filled,
            status=_status(order),
            reduce_only=order.reduce_only,
            limit_price=order.limit_price,
            trigger_price=order.stop_price,
        )

    def _position(self, position: Position) -> VenuePosition:
        side = Side.LONG if position.qty > 0 else Side.SHORT
        return VenuePosition(self._symbol(position.venue_id), side, abs(position.qty), position.entry_price)

    def _fill(self, done: Execution) -> Fill:
        return Fill(
            fill_id=done.fill_id,
            venue_order_id=done.order.order_id,
            client_order_id=done.order.client_order_id,
            symbol=self._symbol(done.order.venue_id),
            side=done.order.side,
            qty=done.qty,
            price=done.price,
            fee_quote=done.fee,
            filled_at=done.at,
        )


class ScenarioMarket:
    """A scenario's prices as a market, in the clock's time: paper trading without any network."""

    def __init__(self, scenario: Scenario, *, clock: Clock) -> None:
        self._scenario = scenario
        self._clock = clock
        self._listings = {listing.symbol: listing for listing in scenario.listings}

    async def instruments(self) -> dict[str, Instrument]:
        return {
            symbol: Instrument(
                symbol=symbol,
                venue_id=listing.venue_id,
                tick_size=listing.tick_size,
                qty_step=listing.qty_step,
                min_qty=listing.min_qty,
                contract_size=listing.contract_size,
                max_leverage=listing.max_leverage,
            )
            for symbol, listing in self._listings.items()
        }

    async def candles(self, symbol: str, timeframe: timedelta, *, since: datetime) -> list[Candle]:
        return self._scenario.candles(self._listings[symbol].venue_id, timeframe, since, self._clock.now())

    async def tickers(self, symbols: Sequence[str]) -> dict[str, Ticker]:
        now = self._clock.now()
        return {symbol: self._ticker(symbol, now) for symbol in symbols if symbol in self._listings}

    def _ticker(self, symbol: str, now: datetime) -> Ticker:
        listing = self._listings[symbol]
        price = self._scenario.price(listing.venue_id, now)
        return Ticker(symbol, price, price - listing.tick_size, price + listing.tick_size, now)

    async def close(self) -> None:
        """Nothing is open."""


def _contract(instrument: Instrument) -> Contract:
    margin = 1 / instrument.max_leverage
    return Contract(
        venue_id=instrument.venue_id,
        tick_size=instrument.tick_size,
        qty_step=instrument.qty_step,
        contract_size=instrument.contract_size,
        initial_margin=margin,
        maintenance_margin=margin / 2,
    )


def _status(order: Order) -> VenueOrderStatus:
    ended = {OrderStatus.FILLED: VenueOrderStatus.FILLED, OrderStatus.CANCELLED: VenueOrderStatus.CANCELLED}
    return ended.get(order.status, VenueOrderStatus.OPEN)

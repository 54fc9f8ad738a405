"""Every question to the exchange, answered in our own values or with VenueUnreadable. [E]

`CcxtReads` asks through ccxt's unified methods, for any exchange; `KrakenFuturesReads` reads that venue's raw bodies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Container, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from live import decode, decode_kraken
from live.clock import Clock, ClockOffset, refine
from live.decode import Row, unreadable
from live.limiter import KRAKEN_FUTURES_CHARGES, Charge, Pool, Quota
from live.model import (
    Account,
    Candle,
    Fill,
    Instrument,
    OrderSpec,
    Ticker,
    VenueOrder,
    VenuePosition,
)
from live.order_form import instant
from live.wire import Ask, Wire, asking
from prodsafe.errors import GateRefused, RefusalKind

NO_TIMEFRAME = RefusalKind("V07", "timeframe-not-offered")

_PAGES_AT_MOST = 50  # a paging that does not end is a venue that cannot be read
_FILLS_PAGE = 100  # as the venue lists them; fewer means that there are no more
_LOOK_BACK = timedelta(seconds=5)  # the venue's clock may be behind ours, and history is asked by its clock
_UNIFIED = Charge(Pool.TRADING, 1.0)  # nobody has written down what the calls of other exchanges cost


class CcxtReads:
    """Reads through ccxt's unified methods: as good as ccxt's parsers, then checked value by value."""

    def __init__(self, wire: Wire, *, clock: Clock) -> None:
        self._wire = wire
        self._clock = clock
        self._loading = asyncio.Lock()
        self._instruments: dict[str, Instrument] = {}

    @property
    def clock_offset_seconds(self) -> float | None:
        """The venue's clock minus ours; None where it is not known."""
        return None

    @property
    def quota(self) -> Quota:
        """The request budgets, with what was waited for them."""
        return self._wire.quota

    @property
    def markets(self) -> Mapping[str, Any]:
        """ccxt's structures by symbol, as the instruments were last read; empty before."""
        return self._wire.exchange.markets or {}

    async def instruments(self) -> dict[str, Instrument]:
        """Tradeable perpetuals by unified symbol, fresh from the venue."""
        known = dict(self._wire.exchange.markets or {})
        markets = await self._unified(asking("load_markets", True))
        # what was listed once keeps its name: a list without it must not hide what we hold
        if gone := [market for symbol, market in known.items() if symbol not in markets]:
            self._wire.exchange.set_markets([*gone, *markets.values()])
        found = [decode.unified_instrument(raw) for raw in markets.values()]
        self._instruments = {each.symbol: each for each in found if each is not None}
        if not self._instruments:
            raise unreadable("the venue lists no tradeable perpetual")
        return dict(self._instruments)

    async def candles(self, symbol: str, timeframe: timedelta, *, since: datetime) -> list[Candle]:
        await self._known()
        raw = await self._unified(
            asking("fetch_ohlcv", symbol, self._timeframe_word(timeframe), _ms(since), None, {"paginate": True})
        )
        return _in_order(decode.unified_candles(raw, symbol, timeframe), since)

    async def tickers(self, symbols: Sequence[str]) -> dict[str, Ticker]:
        """Of those that are quoted now; a symbol without mark, bid or ask is absent."""
        await self._known()
        raw = await self._unified(asking("fetch_tickers", list(symbols)))
        found = [decode.unified_ticker(each, self._clock.now()) for each in Row(raw, "tickers").raw.values()]
        return {each.symbol: each for each in found if each is not None and each.symbol in symbols}

    async def account(self) -> Account:
        await self._known()
        raw = await self._unified(asking("fetch_balance"))
        return decode.unified_account(raw, self._quote(), self._clock.now())

    async def positions(self) -> list[VenuePosition]:
        await self._known()
        found = [decode.unified_position(raw) for raw in _rows(await self._unified(asking("fetch_positions")))]
        return decode.one_per_symbol([each for each in found if each is not None])

    async def open_orders(self) -> list[VenueOrder]:
        await self._known()
        return [decode.unified_order(raw) for raw in _rows(await self._unified(asking("fetch_open_orders")))]

    async def find_orders(self, specs: Sequence[OrderSpec], *, since: datetime) -> dict[str, VenueOrder]:
        """Among open and closed orders; those found nowhere are absent, which proves nothing by itself."""
        wanted = {spec.client_order_id for spec in specs}
        found = _by_client_id(await self.open_orders(), wanted)
        for symbol in sorted({spec.symbol for spec in specs if spec.client_order_id not in found}):
            rows = await self._unified(asking("fetch_closed_orders", symbol, _ms(since)))
            found = _by_client_id([decode.unified_order(raw) for raw in _rows(rows)], wanted) | found
        return found

    async def fills(self, *, since: datetime) -> list[Fill]:
        """Oldest first, each once."""
        await self._known()
        found = [decode.unified_fill(raw) for raw in _rows(await self._unified(asking("fetch_my_trades")))]
        return _in_time({fill.fill_id: fill for fill in found}, since)

    async def close(self) -> None:
        await self._wire.close()

    async def _known(self) -> None:
        """Instruments are read before anything that speaks of symbols; once is enough."""
        async with self._loading:
            if not self._instruments:
                await self.instruments()

    async def _unified(self, ask: Ask) -> Any:
        return await self._wire.read_unified(ask, charge=_UNIFIED)

    def _quote(self) -> str:
        quotes = {str(self._wire.exchange.market(symbol)["settle"]) for symbol in self._instruments}
        if len(quotes) != 1:
            raise unreadable("the perpetuals do not share one settlement currency", sorted(quotes))
        return quotes.pop()

    def _timeframe_word(self, timeframe: timedelta) -> str:
        exchange = self._wire.exchange
        for word in exchange.timeframes:
            if timedelta(seconds=exchange.parse_timeframe(word)) == timeframe:
                return str(word)
        raise GateRefused(
            NO_TIMEFRAME.because(
                "the venue has no candles of this length",
                mend=f"choose timeframes among {', '.join(exchange.timeframes)}",
                seen=str(timeframe),
            )
        )


class KrakenFuturesReads(CcxtReads):
    """Reads of Kraken Futures from the raw bodies, with the venue's clock measured on the way."""

    def __init__(self, wire: Wire, *, clock: Clock) -> None:
        super().__init__(wire, clock=clock)
        self._names: Mapping[str, str] = {}
        self._venue_ids: Mapping[str, str] = {}
        self._offset: ClockOffset | None = None
        fees = wire.exchange.fees["trading"]
        self._fee_rates = {kind: Decimal(str(fees[kind])) for kind in ("maker", "taker")}

    @property
    def clock_offset_seconds(self) -> float | None:
        """As far as every reply agrees; the latest alone after a clock was set. None before the first."""
        return None if self._offset is None else self._offset.seconds

    async def instruments(self) -> dict[str, Instrument]:
        payloads: list[Row] = []
        markets = await self._wire.read_unified(
            asking("fetch_markets"),
            charge=KRAKEN_FUTURES_CHARGES["instruments"],
            inspect=lambda reply: payloads.append(decode_kraken.read_payload("instruments", reply)),
        )
        # what was listed once keeps its name and its door: a list without it must not hide what we hold
        names = {**self._names, **decode_kraken.read_names(markets)}
        found = decode_kraken.read_instruments(payloads[-1], names)
        listed = {market["id"] for market in markets}
        gone = [known for known in (self._wire.exchange.markets or {}).values() if known["id"] not in listed]
        # only now: a degraded list must not take the place of a good one
        self._wire.exchange.set_markets([*gone, *markets])
        self._instruments, self._names = found, names
        self._venue_ids = {symbol: venue_id for venue_id, symbol in names.items()}
        return dict(found)

    async def candles(self, symbol: str, timeframe: timedelta, *, since: datetime) -> list[Candle]:
        await self._known()
        if symbol not in self._venue_ids:
            raise unreadable("the venue lists no such perpetual", symbol)
        request = {
            "price_type": "trade",
            "symbol": self._venue_ids[symbol],
            "interval": self._timeframe_word(timeframe),
        }
        found: dict[datetime, Candle] = {}
        start = since
        for _ in range(_PAGES_AT_MOST):
            window = {"from": _ms(start) // 1000, "to": _ms(self._clock.now()) // 1000}
            page = await self._read("charts", asking("chartsGetPriceTypeSymbolInterval", request | window))
            rows = decode_kraken.read_candles(page, symbol, timeframe)
            found |= {candle.opened_at: candle for candle in rows}
            if page.raw.get("more_candles") is not True or not rows:
                return _in_order(list(found.values()), since)
            start = _onward(max(candle.opened_at for candle in rows) + timeframe, start)
        raise unreadable("candles: the pages do not end")

    async def tickers(self, symbols: Sequence[str]) -> dict[str, Ticker]:
        await self._known()
        payload = await self._read("tickers", asking("publicGetTickers"))
        return decode_kraken.read_tickers(payload, self._names, symbols, self._clock.now())

    async def account(self) -> Account:
        payload = await self._read("accounts", asking("privateGetAccounts"))
        return decode_kraken.read_account(payload, self._clock.now())

    async def positions(self) -> list[VenuePosition]:
        await self._known()
        payload = await self._read("openpositions", asking("privateGetOpenpositions"))
        return decode_kraken.read_positions(payload, self._names)

    async def open_orders(self) -> list[VenueOrder]:
        await self._known()
        payload = await self._read("openorders", asking("privateGetOpenorders"))
        return decode_kraken.read_open_orders(payload, self._names)

    async def find_orders(self, specs: Sequence[OrderSpec], *, since: datetime) -> dict[str, VenueOrder]:
        """Open orders, then the five-second status window, then the history: each only for what is still missing."""
        types = {spec.client_order_id: spec.type for spec in specs}
        if not types:
            return {}
        found = _by_client_id(await self.open_orders(), types.keys())
        if missing := sorted(types.keys() - found):
            # orderIds makes ccxt repeat the key for each id, which the venue wants
            payload = await self._read(
                "orders/status", asking("privateGetOrdersStatus", {"orderIds": [], "cliOrdIds": missing})
            )
            rows = decode_kraken.read_order_statuses(payload, self._names, types)
            found |= _by_client_id(rows, set(missing))
        if gone := types.keys() - found:
            pages = await self._history("Orders", since) + await self._history("Triggers", since)
            found |= decode_kraken.read_history(pages, self._names, set(gone))
        return found

    async def fills(self, *, since: datetime) -> list[Fill]:
        """Oldest first, each once: the venue lists the newest hundred, then the hundred before a time."""
        await self._known()
        found: dict[str, Fill] = {}
        request: dict[str, str] = {}
        for _ in range(_PAGES_AT_MOST):
            charged_as = "fills/before" if request else "fills"
            payload = await self._read("fills", asking("privateGetFills", request), charged_as=charged_as)
            page = decode_kraken.read_fills(payload, self._names, self._fee_rates)
            fresh = [fill for fill in page if fill.fill_id not in found]
            found |= {fill.fill_id: fill for fill in fresh}
            oldest = min((fill.filled_at for fill in page), default=since)
            if len(page) < _FILLS_PAGE or oldest < since:
                return _in_time(found, since)
            if not fresh:
                raise unreadable("fills: more in one instant than the venue lists")
            # a millisecond later, so that fills of the same instant are not skipped; known ones fall out above
            request = {"lastFillTime": instant(oldest + timedelta(milliseconds=1))}
        raise unreadable("fills: the pages do not end")

    async def _history(self, kind: str, since: datetime) -> list[Row]:
        request: dict[str, Any] = {"since": _ms(since - _LOOK_BACK), "sort": "asc"}
        pages: list[Row] = []
        for _ in range(_PAGES_AT_MOST):
            page = await self._read("history", asking(f"historyGet{kind}", request))
            pages.append(page)
            token = page.optional_text("continuationToken")
            if token is None:
                return pages
            request = request | {"continuation_token": token}
        raise unreadable(f"history of {kind}: the pages do not end")

    async def _read(self, path: str, ask: Ask, *, charged_as: str | None = None) -> Row:
        asked_at = self._clock.now()
        reply = await self._wire.read_raw(ask, charge=KRAKEN_FUTURES_CHARGES[charged_as or path])
        answered_at = self._clock.now()
        payload = decode_kraken.read_payload(path, reply)
        if (said := decode_kraken.server_time(payload)) is not None:
            self._offset = refine(self._offset, asked_at=asked_at, answered_at=answered_at, said=said)
        return payload


def _by_client_id(orders: Sequence[VenueOrder], wanted: Container[str]) -> dict[str, VenueOrder]:
    return {
        order.client_order_id: order for order in orders if order.client_order_id and order.client_order_id in wanted
    }


def _in_time(fills: Mapping[str, Fill], since: datetime) -> list[Fill]:
    return sorted((fill for fill in fills.values() if fill.filled_at >= since), key=lambda fill: fill.filled_at)


def _in_order(candles: Sequence[Candle], since: datetime) -> list[Candle]:
    return sorted((candle for candle in candles if candle.opened_at >= since), key=lambda candle: candle.opened_at)


def _onward(start: datetime, before: datetime) -> datetime:
    if start <= before:
        raise unreadable("candles: a page brings nothing new and promises more")
    return start


def _rows(raw: object) -> list[object]:
    if not isinstance(raw, list):
        raise unreadable("the answer is not a list", raw)
    return raw


def _ms(moment: datetime) -> int:
    """Whole milliseconds since 1970 UTC."""
    return int(moment.timestamp() * 1000)

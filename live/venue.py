"""The exchange, through ccxt: the only door to it. [E]"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol, runtime_checkable

from live import decode_kraken, order_form
from live.clock import Clock, SystemClock
from live.limiter import KRAKEN_FUTURES_BUDGETS, KRAKEN_FUTURES_CHARGES, Budget, Lane, Limiter, Pool, Quota
from live.meters import Meters
from live.model import (
    Account,
    CancelOutcome,
    Candle,
    Fill,
    Instrument,
    Leg,
    OrderSpec,
    Rejected,
    SubmitOutcome,
    Ticker,
    VenueOrder,
    VenuePosition,
)
from live.outcome import NoReply, Reply, is_traded, read_cancel, read_submit
from live.reads import CcxtReads, KrakenFuturesReads
from live.wire import NotSent, Request, Wire, asking, open_wire
from prodsafe.errors import GateRefused, RefusalKind, VenueUnreadable

NO_OUTCOME_TABLE = RefusalKind("V02", "venue-without-outcome-table")
BAD_CREDENTIALS = RefusalKind("V08", "exchange-credentials-unusable")

Permit = Callable[[], None]
"""Raises LeaseLost when the right to send has ended; called between signing and the socket."""


class Venue(Protocol):
    """What the runtime asks of an exchange; venue.CcxtVenue and paper.PaperVenue answer.

    Every read raises VenueUnreadable when the reply is missing, degraded or not understood: it is never read as
    "flat" or "no orders". Times are aware UTC.
    """

    @property
    def clock_offset_seconds(self) -> float | None:
        """The venue's clock minus ours, as its last reply showed it; None before the first."""
        ...

    async def instruments(self) -> dict[str, Instrument]: ...
    async def candles(self, symbol: str, timeframe: timedelta, *, since: datetime) -> list[Candle]:
        """Rows from `since`, oldest first; the last one may still be open: market.closed() filters."""
        ...

    async def tickers(self, symbols: Sequence[str]) -> dict[str, Ticker]: ...
    async def account(self) -> Account: ...
    async def positions(self) -> list[VenuePosition]: ...
    async def open_orders(self) -> list[VenueOrder]: ...
    async def find_orders(self, specs: Sequence[OrderSpec], *, since: datetime) -> dict[str, VenueOrder]:
        """By client order id: from open orders, order status and history; those not found anywhere are absent."""
        ...

    async def fills(self, *, since: datetime) -> list[Fill]: ...

    async def submit(self, spec: OrderSpec, *, expires_at: datetime, permit: Permit) -> SubmitOutcome:
        """Sign with the expiry that the venue enforces, ask the permit, write to the socket once. Never retried."""
        ...

    async def cancel(self, spec: OrderSpec, venue_order_id: str | None, *, permit: Permit) -> CancelOutcome: ...
    async def close(self) -> None: ...


@runtime_checkable
class DeadManSwitched(Protocol):
    """A venue that cancels every order of the account unless it hears from us in time."""

    async def set_dead_man(self, seconds: int, *, permit: Permit) -> bool:
        """Arm for whole seconds, or disarm with 0. True only when the venue confirms just that."""
        ...


@runtime_checkable
class SignsAhead(Protocol):
    """A venue whose requests take a while to sign, which can be done before they may be sent."""

    async def sign_ahead(self, spec: OrderSpec, *, expires_at: datetime) -> None:
        """Make the request ready that `submit` of the same order and expiry will send. Sends and reads nothing."""
        ...


_PROTECTIVE_LEGS = frozenset({Leg.STOP, Leg.EXIT})


class CcxtVenue(CcxtReads):
    """Any ccxt exchange, to read from. It sends nothing: its replies to an order could not be told apart."""

    async def submit(self, spec: OrderSpec, *, expires_at: datetime, permit: Permit) -> SubmitOutcome:
        return Rejected("local", "this exchange has no outcome table: no order is sent to it")

    async def cancel(self, spec: OrderSpec, venue_order_id: str | None, *, permit: Permit) -> CancelOutcome:
        return Rejected("local", "this exchange has no outcome table: no cancel is sent to it")


class KrakenFuturesVenue(KrakenFuturesReads, CcxtVenue):
    """Kraken Futures, read and traded. cancel_expiry: a cancel that arrives later than that is refused there."""

    exchange_id = "krakenfutures"

    def __init__(self, wire: Wire, *, clock: Clock, cancel_expiry: timedelta) -> None:
        super().__init__(wire, clock=clock)
        self._cancel_expiry = cancel_expiry
        self._signed_ahead: tuple[OrderSpec, datetime, Request | NoReply] | None = None

    async def sign_ahead(self, spec: OrderSpec, *, expires_at: datetime) -> None:
        if order_form.problem(spec) is None and spec.symbol in self._venue_ids:
            self._signed_ahead = spec, expires_at, await self._sign(spec, expires_at)

    async def submit(self, spec: OrderSpec, *, expires_at: datetime, permit: Permit) -> SubmitOutcome:
        """Rejected "local": refused here and would be again. Rejected "not-sent": no byte left, later it may pass.

        Raises LeaseLost from the permit; then nothing was sent. Instruments must be readable once.
        """
        if (why := order_form.problem(spec)) is not None:
            return Rejected("local", why)
        try:
            await self._known()
        except VenueUnreadable as refused:
            return Rejected("not-sent", f"instruments unreadable: {refused.refusals[0].cause}")
        if spec.symbol not in self._venue_ids:
            return Rejected("local", f"the venue lists no perpetual {spec.symbol}")
        reply = await self._send(
            self._taken(spec, expires_at) or await self._sign(spec, expires_at),
            "sendorder",
            before_write=self._last_word(expires_at, permit),
            lane=Lane.PROTECTIVE if spec.leg in _PROTECTIVE_LEGS else Lane.ORDINARY,
        )
        return read_submit(self.exchange_id, reply, client_order_id=spec.client_order_id)

    def _taken(self, spec: OrderSpec, expires_at: datetime) -> Request | NoReply | None:
        """What was signed ahead for just this order and expiry; it serves once."""
        ahead, self._signed_ahead = self._signed_ahead, None
        return ahead[2] if ahead is not None and ahead[:2] == (spec, expires_at) else None

    async def _sign(self, spec: OrderSpec, expires_at: datetime) -> Request | NoReply:
        there = self._in_venue_time(expires_at)
        wanted = order_form.send_query(spec, self._venue_ids[spec.symbol], there)
        arguments = order_form.ccxt_arguments(spec, there)
        return await self._wire.sign(asking("create_order", *arguments), check=_exactly("/sendorder", wanted))

    async def cancel(self, spec: OrderSpec, venue_order_id: str | None, *, permit: Permit) -> CancelOutcome:
        """By the venue's id, or by ours where it is None. Gone.reason: "filled" or "notFound", the venue's word."""
        expires_at = self._clock.now() + self._cancel_expiry
        query = order_form.cancel_query(spec.client_order_id, venue_order_id, self._in_venue_time(expires_at))
        reply = await self._send(
            await self._wire.sign(asking("privatePostCancelorder", query), check=_exactly("/cancelorder", query)),
            "cancelorder",
            before_write=self._last_word(expires_at, permit),
        )
        return read_cancel(self.exchange_id, reply, client_order_id=spec.client_order_id, venue_order_id=venue_order_id)

    async def set_dead_man(self, seconds: int, *, permit: Permit) -> bool:
        """In whole seconds, as the venue takes them: ccxt's own call cuts milliseconds down to a disarming (trap 2)."""
        query, path = {"timeout": str(seconds)}, "cancelallordersafter"
        signed = await self._wire.sign(
            asking("privatePostCancelallordersafter", query), check=_exactly(f"/{path}", query)
        )
        reply = await self._send(signed, path, before_write=permit)
        return isinstance(reply, Reply) and decode_kraken.confirms_dead_man(reply, seconds)

    async def _send(
        self,
        signed: Request | NoReply,
        path: str,
        *,
        before_write: Callable[[], None],
        lane: Lane = Lane.PROTECTIVE,
    ) -> Reply | NoReply:
        if isinstance(signed, NoReply):
            return signed
        return await self._wire.send(signed, before_write=before_write, lane=lane, charge=KRAKEN_FUTURES_CHARGES[path])

    def _in_venue_time(self, moment: datetime) -> datetime:
        """Our moment on the venue's clock, at the earliest that it may show then: no request outlives what we meant.

        Where our clock was set while running, a stop must still get through: unmoved, its expiry would be past.
        """
        return moment if self._offset is None else moment + self._offset.earliest

    def _last_word(self, expires_at: datetime, permit: Permit) -> Callable[[], None]:
        def ask() -> None:
            if self._clock.now() >= expires_at:
                raise NotSent("expired before it reached the wire", code="not-sent")
            permit()

        return ask


def _exactly(path_end: str, wanted: dict[str, str]) -> Callable[[Request], None]:
    """Refuses a request in which ccxt rounded, renamed, dropped or added anything."""

    def check(request: Request) -> None:
        found = order_form.difference(request.url, path_end, wanted)
        if request.method != "POST" or request.body is not None or found is not None:
            raise NotSent(f"ccxt would send something else: {found or request.method}")

    return check


def open_venue(
    exchange_id: str,
    *,
    api_key: str,
    api_secret: str,
    api_password: str | None = None,
    sandbox: bool = False,
    url: str | None = None,
    for_live: bool = True,
    budget: Budget = KRAKEN_FUTURES_BUDGETS[Pool.TRADING],
    send_timeout_seconds: float = 1.8,
    read_timeout_seconds: float = 10.0,
    cancel_expiry_seconds: float = 2.0,
    clock: Clock | None = None,
    meters: Meters | None = None,
) -> CcxtVenue:
    """The door to an exchange; imports ccxt. Nothing is sent before the first call.

    for_live: real orders are meant, so an outcome table and usable credentials are demanded. url: a simulator on
    loopback. send_timeout_seconds must be below the lease's length, so that a send is over before another may act.
    Raises GateRefused.
    """
    if for_live and not is_traded(exchange_id):
        raise GateRefused(
            NO_OUTCOME_TABLE.because(
                "its replies cannot be told apart, or no sending path to it was ever tried: no real order goes there",
                mend="set EXCHANGE_ID=krakenfutures, or run with DRY_RUN=1",
                seen=exchange_id,
            )
        )
    wire = open_wire(
        exchange_id,
        api_key=api_key,
        api_secret=api_secret,
        api_password=api_password,
        sandbox=sandbox,
        url=url,
        quota=Quota({pool: Limiter(each) for pool, each in {**KRAKEN_FUTURES_BUDGETS, Pool.TRADING: budget}.items()}),
        send_timeout_seconds=send_timeout_seconds,
        read_timeout_seconds=read_timeout_seconds,
        meters=meters,
    )
    if for_live:
        _check_credentials(wire.exchange)
    used_clock = clock or SystemClock()
    if exchange_id == KrakenFuturesVenue.exchange_id:
        return KrakenFuturesVenue(wire, clock=used_clock, cancel_expiry=timedelta(seconds=cancel_expiry_seconds))
    return CcxtVenue(wire, clock=used_clock)


def _check_credentials(exchange: Any) -> None:
    """One signature, made and thrown away: a secret that cannot sign is found at the gate and not at the first stop."""
    try:
        exchange.check_required_credentials()
        exchange.sign("openorders", ["private"], "GET", {})
    except Exception as error:  # noqa: BLE001 - each exchange's signer fails in its own way on a bad secret
        raise GateRefused(
            BAD_CREDENTIALS.because(
                f"the key or secret cannot sign a request ({type(error).__name__})",
                mend="set EXCHANGE_API_KEY and EXCHANGE_API_SECRET as the exchange issued them",
            )
        ) from None

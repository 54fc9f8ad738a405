"""Strict reading of what an exchange says: exact values, or VenueUnreadable. Never a guess, never "none". [P]

`Row` is one JSON object with a name for the refusal; every accessor raises VenueUnreadable on a missing, null or
senseless value. Below it: the decoders of ccxt's unified structures, for exchanges without a decoder of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from live.model import (
    Account,
    Candle,
    Fill,
    Instrument,
    OrderSide,
    OrderType,
    Side,
    Ticker,
    VenueOrder,
    VenueOrderStatus,
    VenuePosition,
)
from prodsafe.errors import ExitCode, RefusalKind, VenueUnreadable

VENUE_UNREADABLE = RefusalKind("V01", "venue-unreadable", ExitCode.UNREADABLE)
KEY_REFUSED = RefusalKind("V09", "exchange-key-refused")

_HUGE = 24  # decimal digits before the point that no price, quantity or balance ever has


def unreadable(cause: str, seen: object = None) -> VenueUnreadable:
    """The refusal of a read. `seen` is shortened; nothing from it is used."""
    return VenueUnreadable(
        VENUE_UNREADABLE.because(
            cause,
            mend="wait for the venue or look at its status page; nothing was assumed from this reply",
            seen=None if seen is None else str(seen)[:200],
        )
    )


def key_refused(cause: str, seen: object = None) -> VenueUnreadable:
    """The refusal of a read that no waiting mends: the venue does not know the key, or does not allow it to read."""
    return VenueUnreadable(
        KEY_REFUSED.because(
            cause,
            mend="issue a new key with the rights to read and to trade, set EXCHANGE_API_KEY and EXCHANGE_API_SECRET",
            seen=None if seen is None else str(seen)[:200],
        )
    )


class Row:
    """One JSON object of a reply. what: where it was found, for the refusal."""

    __slots__ = ("raw", "what")

    def __init__(self, raw: object, what: str) -> None:
        if not isinstance(raw, Mapping):
            raise unreadable(f"{what} is not an object", raw)
        self.raw: Mapping[str, Any] = raw
        self.what = what

    def wrong(self, key: str, why: str) -> VenueUnreadable:
        return unreadable(f"{self.what}: {key} {why}", self.raw.get(key))

    def row(self, key: str) -> Row:
        return Row(self.raw.get(key), f"{self.what}.{key}")

    def rows(self, key: str) -> list[Row]:
        found = self.raw.get(key)
        if not isinstance(found, list):
            raise self.wrong(key, "is not a list")
        return [Row(item, f"{self.what}.{key}[{index}]") for index, item in enumerate(found)]

    def optional_text(self, key: str) -> str | None:
        """Text, or None where it is absent, null or empty."""
        value = self.raw.get(key)
        if value is None or value == "":
            return None
        if not isinstance(value, str) or not value.isprintable() or value.strip() != value:
            raise self.wrong(key, "is not plain text")
        return value

    def text(self, key: str) -> str:
        value = self.optional_text(key)
        if value is None:
            raise self.wrong(key, "is missing")
        return value

    def flag(self, key: str) -> bool:
        value = self.raw.get(key)
        if not isinstance(value, bool):
            raise self.wrong(key, "is not true or false")
        return value

    def optional_decimal(self, key: str) -> Decimal | None:
        """An exact finite number from a JSON number or its text; None where it is absent or null."""
        value = self.raw.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
            raise self.wrong(key, "is not a number")
        try:
            number = Decimal(repr(value) if isinstance(value, float) else value)
        except (InvalidOperation, ValueError) as error:
            raise self.wrong(key, "is not a number") from error
        if not number.is_finite() or abs(number.adjusted()) > _HUGE:
            raise self.wrong(key, "is out of all bounds")
        return number

    def decimal(self, key: str) -> Decimal:
        number = self.optional_decimal(key)
        if number is None:
            raise self.wrong(key, "is missing")
        return number

    def positive(self, key: str) -> Decimal:
        number = self.decimal(key)
        if number <= 0:
            raise self.wrong(key, "is not above zero")
        return number

    def not_negative(self, key: str) -> Decimal:
        number = self.decimal(key)
        if number < 0:
            raise self.wrong(key, "is below zero")
        return number

    def optional_positive(self, key: str) -> Decimal | None:
        """A number above zero, or None where it is absent, null or empty."""
        return None if self.raw.get(key) in (None, "") else self.positive(key)

    def time_iso(self, key: str) -> datetime:
        """An ISO 8601 instant with an offset, in UTC."""
        try:
            moment = datetime.fromisoformat(self.text(key))
            return _aware_utc(moment)
        except (ValueError, OverflowError) as error:
            raise self.wrong(key, "is not an instant with an offset") from error

    def time_ms(self, key: str) -> datetime:
        """Milliseconds since 1970 UTC, between 2000 and 2200."""
        number = self.decimal(key)
        if number != number.to_integral_value() or not 946_684_800_000 <= number <= 7_258_118_400_000:
            raise self.wrong(key, "is not a time in milliseconds")
        return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=int(number))

    def order_side(self, key: str) -> OrderSide:
        return OrderSide(self._one_of(key, OrderSide))

    def side(self, key: str) -> Side:
        return Side(self._one_of(key, Side))

    def _one_of(self, key: str, words: type[OrderSide] | type[Side]) -> str:
        word = self.text(key).lower()
        if word not in {member.value for member in words}:
            raise self.wrong(key, f"is none of {', '.join(words)}")
        return word


def _aware_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("naive time")
    return moment.astimezone(UTC)


def make_candle(row: Row, symbol: str, timeframe: timedelta, opened_at: datetime) -> Candle:
    """A candle whose prices agree with each other; keys open, high, low, close, volume."""
    candle = Candle(
        symbol=symbol,
        timeframe=timeframe,
        opened_at=opened_at,
        open=row.positive("open"),
        high=row.positive("high"),
        low=row.positive("low"),
        close=row.positive("close"),
        volume=row.not_negative("volume"),
    )
    if not candle.low <= min(candle.open, candle.close) <= max(candle.open, candle.close) <= candle.high:
        raise unreadable(f"{row.what}: open and close lie outside low and high", row.raw)
    return candle


def make_ticker(row: Row, symbol: str, read_at: datetime, *, mark: str) -> Ticker | None:
    """None where the venue quotes no mark, bid or ask at present: zero and null are "no quote", never a price."""
    quoted = [row.optional_decimal(key) or Decimal(0) for key in (mark, "bid", "ask")]
    if min(quoted) < 0:
        raise unreadable(f"{row.what}: a price is below zero", row.raw)
    if min(quoted) == 0:
        return None
    return Ticker(symbol, mark_price=quoted[0], bid_price=quoted[1], ask_price=quoted[2], read_at=read_at)


def one_per_symbol(positions: list[VenuePosition]) -> list[VenuePosition]:
    """The positions, one-way mode assumed: two of one symbol cannot be understood here."""
    if len({position.symbol for position in positions}) != len(positions):
        raise unreadable("two positions of one symbol", positions)
    return positions


# --- ccxt's unified structures ------------------------------------------------------------------------------------

_UNIFIED_STATUS = {
    "open": VenueOrderStatus.OPEN,
    "closed": VenueOrderStatus.FILLED,
    "canceled": VenueOrderStatus.CANCELLED,
    "expired": VenueOrderStatus.CANCELLED,
    "rejected": VenueOrderStatus.REJECTED,
}


def unified_instrument(raw: object) -> Instrument | None:
    """A tradeable linear perpetual, or None: only those own a name here (I49). Precisions are tick sizes."""
    row = Row(raw, "market")
    if not all(row.raw.get(key) is True for key in ("swap", "linear", "active")):
        return None
    precision = row.row("precision")
    limits = row.row("limits")
    step = precision.positive("amount")
    return Instrument(
        symbol=row.text("symbol"),
        venue_id=row.text("id"),
        tick_size=precision.positive("price"),
        qty_step=step,
        min_qty=limits.row("amount").optional_positive("min") or step,
        contract_size=row.positive("contractSize"),
        max_leverage=limits.row("leverage").optional_positive("max") or Decimal(1),
    )


def unified_candles(raw: object, symbol: str, timeframe: timedelta) -> list[Candle]:
    if not isinstance(raw, list):
        raise unreadable("candles are not a list", raw)
    found = []
    for item in raw:
        if not isinstance(item, list) or len(item) < 6:
            raise unreadable("a candle is not [time, open, high, low, close, volume]", item)
        row = Row(dict(zip(("time", "open", "high", "low", "close", "volume"), item, strict=False)), "candle")
        found.append(make_candle(row, symbol, timeframe, row.time_ms("time")))
    return found


def unified_ticker(raw: object, read_at: datetime) -> Ticker | None:
    row = Row(raw, "ticker")
    return make_ticker(row, row.text("symbol"), read_at, mark="markPrice")


def unified_account(raw: object, quote: str, read_at: datetime) -> Account:
    """Balance of the quote currency; its total is the nearest to equity that ccxt unifies."""
    row = Row(raw, "balance").row(quote)
    return Account(equity_quote=row.decimal("total"), available_quote=row.decimal("free"), read_at=read_at)


def unified_position(raw: object) -> VenuePosition | None:
    """None for a flat row, which some exchanges list."""
    row = Row(raw, "position")
    if row.decimal("contracts") == 0:
        return None
    return VenuePosition(row.text("symbol"), row.side("side"), row.positive("contracts"), row.positive("entryPrice"))


def unified_order(raw: object) -> VenueOrder:
    row = Row(raw, "order")
    trigger = row.optional_positive("triggerPrice")
    word = row.optional_text("type") or ""
    kind = OrderType.STOP if trigger is not None else {"market": OrderType.MARKET}.get(word, OrderType.LIMIT)
    status = _UNIFIED_STATUS.get(row.optional_text("status") or "", VenueOrderStatus.UNKNOWN)
    qty, filled_qty = row.positive("amount"), row.not_negative("filled")
    if status is VenueOrderStatus.FILLED and filled_qty < qty:
        status = VenueOrderStatus.CANCELLED  # some exchanges close what was cancelled half-way
    return VenueOrder(
        venue_order_id=row.text("id"),
        client_order_id=row.optional_text("clientOrderId"),
        symbol=row.text("symbol"),
        side=row.order_side("side"),
        type=kind,
        qty=qty,
        filled_qty=filled_qty,
        status=status,
        reduce_only=row.raw.get("reduceOnly") is True,
        limit_price=row.optional_positive("price") if kind is OrderType.LIMIT else None,
        trigger_price=trigger,
    )


def unified_fill(raw: object) -> Fill:
    row = Row(raw, "trade")
    fee = Row(row.raw.get("fee") or {"cost": 0}, "trade.fee")
    return Fill(
        fill_id=row.text("id"),
        venue_order_id=row.text("order"),
        client_order_id=row.optional_text("clientOrderId"),
        symbol=row.text("symbol"),
        side=row.order_side("side"),
        qty=row.positive("amount"),
        price=row.positive("price"),
        fee_quote=fee.optional_decimal("cost") or Decimal(0),
        filled_at=row.time_ms("timestamp"),
    )

"""What is asked of Kraken Futures for one order, and whether ccxt's signed request says exactly that. [P]"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from live.model import OrderSpec, OrderType

_NUMBERS = {"size", "limitPrice", "stopPrice"}
_TYPES = {OrderType.MARKET: "mkt", OrderType.LIMIT: "lmt", OrderType.STOP: "stp"}


def plain(number: Decimal) -> str:
    """The number without an exponent."""
    return format(number, "f")


def instant(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds, cut and not rounded: the venue must never wait longer than we meant."""
    utc = moment.astimezone(UTC)
    return utc.strftime("%Y-%m-%dT%H:%M:%S.") + f"{utc.microsecond // 1000:03d}Z"


def problem(spec: OrderSpec) -> str | None:
    """Why this order makes no sense to send, or None: a stop never has a limit price, a limit order never a trigger."""
    prices = (spec.limit_price is not None, spec.trigger_price is not None)
    wanted = {OrderType.MARKET: (False, False), OrderType.LIMIT: (True, False), OrderType.STOP: (False, True)}
    if prices != wanted[spec.type]:
        return f"a {spec.type} order with limit price {spec.limit_price} and trigger price {spec.trigger_price}"
    numbers = [each for each in (spec.qty, spec.limit_price, spec.trigger_price) if each is not None]
    if not all(number.is_finite() and number > 0 for number in numbers):
        return f"a number that is not above zero in {spec}"
    return None


def ccxt_arguments(spec: OrderSpec, expires_at: datetime) -> tuple[str, str, str, str, str | None, dict[str, Any]]:
    """Arguments of ccxt's create_order: symbol, type, side, amount, price, params.

    A stop is a market order with a trigger on the mark price: no price, so that ccxt makes no stop-limit of it.
    """
    params: dict[str, Any] = {"clientOrderId": spec.client_order_id, "processBefore": instant(expires_at)}
    if spec.reduce_only:
        params["reduceOnly"] = True
    if spec.trigger_price is not None:
        params |= {"triggerPrice": plain(spec.trigger_price), "triggerSignal": "mark"}
    kind = "limit" if spec.type is OrderType.LIMIT else "market"
    price = None if spec.limit_price is None else plain(spec.limit_price)
    return spec.symbol, kind, spec.side.value, plain(spec.qty), price, params


def send_query(spec: OrderSpec, venue_id: str, expires_at: datetime) -> dict[str, str]:
    """The query that must reach the venue, neither less nor more."""
    query = {
        "symbol": venue_id,
        "side": spec.side.value,
        "size": plain(spec.qty),
        "orderType": _TYPES[spec.type],
        "cliOrdId": spec.client_order_id,
        "processBefore": instant(expires_at),
    }
    if spec.limit_price is not None:
        query["limitPrice"] = plain(spec.limit_price)
    if spec.trigger_price is not None:
        query |= {"stopPrice": plain(spec.trigger_price), "triggerSignal": "mark"}
    if spec.reduce_only:
        query["reduceOnly"] = "true"
    return query


def cancel_query(client_order_id: str, venue_order_id: str | None, expires_at: datetime) -> dict[str, str]:
    """By the venue's id where it is known, else by ours."""
    which = {"cliOrdId": client_order_id} if venue_order_id is None else {"order_id": venue_order_id}
    return which | {"processBefore": instant(expires_at)}


def difference(url: str, path_end: str, wanted: Mapping[str, str]) -> str | None:
    """How a signed url differs from what was meant, or None. Numbers are compared by value, all else by letter."""
    parts = urlsplit(url)
    if not parts.path.endswith(path_end):
        return f"path {parts.path} instead of {path_end}"
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    sent = dict(pairs)
    if len(pairs) != len(sent):
        return "a parameter is there twice"
    wrong = [key for key in sorted(sent.keys() | wanted.keys()) if not _same(key, sent.get(key), wanted.get(key))]
    return "; ".join(f"{key} {sent.get(key)!r} instead of {wanted.get(key)!r}" for key in wrong) or None


def _same(key: str, sent: str | None, wanted: str | None) -> bool:
    if key not in _NUMBERS or sent is None or wanted is None:
        return sent == wanted
    try:
        return Decimal(sent) == Decimal(wanted)
    except InvalidOperation:
        return False

"""What is asked for one order, and that nothing else leaves: ccxt rounds, renames and drops in silence."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from urllib.parse import urlencode

import pytest

from live import order_form
from live.model import Leg, OrderSide, OrderSpec, OrderType

EXPIRES_AT = datetime(2026, 1, 1, 12, 0, 0, 999_999, tzinfo=UTC)
STOP = OrderSpec(
    client_order_id="ps-a-1-2-s",
    position_id="ps-a-1-2",
    symbol="BTC/USD:USD",
    side=OrderSide.SELL,
    leg=Leg.STOP,
    type=OrderType.STOP,
    qty=Decimal("0.0001"),
    trigger_price=Decimal("61000.5"),
    reduce_only=True,
)
WANTED = order_form.send_query(STOP, "PF_XBTUSD", EXPIRES_AT)


def signed(**changes: str | None) -> str:
    query = {key: value for key, value in (WANTED | changes).items() if value is not None}
    return f"https://futures.kraken.com/derivatives/api/v3/sendorder?{urlencode(query)}"


def test_the_expiry_is_cut_to_the_millisecond_and_in_utc() -> None:
    """Rounded up, the venue would wait longer than the lease allows."""
    assert order_form.instant(EXPIRES_AT) == "2026-01-01T12:00:00.999Z"
    assert order_form.instant(EXPIRES_AT.astimezone(timezone(timedelta(hours=5)))) == "2026-01-01T12:00:00.999Z"


def test_a_stop_is_a_reduce_only_market_order_on_the_mark_price() -> None:
    symbol, kind, side, amount, price, params = order_form.ccxt_arguments(STOP, EXPIRES_AT)

    assert (symbol, kind, side, amount, price) == ("BTC/USD:USD", "market", "sell", "0.0001", None)
    assert params == {
        "clientOrderId": "ps-a-1-2-s",
        "processBefore": "2026-01-01T12:00:00.999Z",
        "reduceOnly": True,
        "triggerPrice": "61000.5",
        "triggerSignal": "mark",
    }


def test_numbers_are_written_without_an_exponent() -> None:
    assert order_form.plain(Decimal("1E-8")) == "0.00000001"
    assert order_form.plain(Decimal("1E+3")) == "1000"


def test_the_same_value_in_another_spelling_is_no_difference() -> None:
    assert order_form.difference(signed(), "/sendorder", WANTED) is None
    assert order_form.difference(signed(stopPrice="61000.50", size="0.00010"), "/sendorder", WANTED) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"orderType": "lmt"},  # trap 4.3.1: an immediate order goes out resting
        {"timeInForce": "IOC"},  # trap 4.3.1
        {"size": "0.0002"},  # trap 4.3.8
        {"stopPrice": "61001"},  # trap 4.3.10
        {"stopPrice": "sixty"},
        {"stopPrice": None},  # trap 4.3.9: what remains is an immediate market sell
        {"trailingPercent": "1"},  # trap 4.3.9
        {"triggerSignal": "last"},
        {"limitPrice": "60000"},  # a stop-limit may trigger and not fill
        {"reduceOnly": None},
        {"reduceOnly": "True"},
        {"cliOrdId": None},
        {"processBefore": None},
        {"side": "buy"},
        {"symbol": "PI_XBTUSD"},
    ],
)
def test_any_change_of_meaning_is_a_difference(changes: dict[str, str | None]) -> None:
    assert order_form.difference(signed(**changes), "/sendorder", WANTED) is not None


def test_another_path_or_a_doubled_parameter_is_a_difference() -> None:
    assert order_form.difference(signed().replace("sendorder", "batchorder"), "/sendorder", WANTED) is not None
    assert order_form.difference(signed() + "&size=5", "/sendorder", WANTED) is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"trigger_price": None},
        {"limit_price": Decimal(1)},
        {"qty": Decimal(0)},
        {"qty": Decimal("Infinity")},
        {"trigger_price": Decimal("-5")},
        {"type": OrderType.LIMIT},
        {"type": OrderType.MARKET},
    ],
)
def test_an_order_that_makes_no_sense_has_a_problem(changes: dict[str, object]) -> None:
    assert order_form.problem(STOP) is None
    assert order_form.problem(replace(STOP, **changes)) is not None  # type: ignore[arg-type]


def test_a_cancel_names_one_order_and_expires() -> None:
    expiry = {"processBefore": "2026-01-01T12:00:00.999Z"}

    assert order_form.cancel_query("mine", "theirs", EXPIRES_AT) == {"order_id": "theirs"} | expiry
    assert order_form.cancel_query("mine", None, EXPIRES_AT) == {"cliOrdId": "mine"} | expiry


def test_the_door_is_imported_without_ccxt_or_aiohttp() -> None:
    """A refusal must not pay for them."""
    told = subprocess.run(
        [sys.executable, "-c", "import sys, live.venue; print([m for m in ('ccxt', 'aiohttp') if m in sys.modules])"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert told.stdout.strip() == "[]"

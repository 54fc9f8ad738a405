"""Sizing and limits: what is approved, what is denied and why, and when the worker halts."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.book import Book, fold
from live.events import EquityObserved, Event, SymbolFrozen
from live.model import Denied, Intent, Leg, Side
from live.risk import adopted_stop, breaches, size, split_targets
from live.settings import Settings
from tests.builders import (
    BTC,
    T0,
    account,
    approved,
    at,
    d,
    equity,
    filled,
    instrument,
    intended,
    live,
    signal,
    spec,
    ticker,
)

SETTINGS = Settings()


def sized(*events: Event, settings: Settings = SETTINGS, **given_instead: object) -> Intent | Denied:
    arguments: dict[str, object] = {
        "signal": signal(),
        "position_id": "ps-abc-1-1",
        "instrument": instrument(),
        "ticker": ticker(),
        "account": account(),
        "book": fold(events or [equity()]),
        "settings": settings,
        "now": at(1),
        **given_instead,
    }
    return size(arguments.pop("signal"), **arguments)  # type: ignore[arg-type]


def test_size_loses_the_set_share_of_equity_at_the_stop() -> None:
    intent = sized()

    assert isinstance(intent, Intent)
    assert intent.qty == d(5)  # 0.5 % of 10,000 over a distance of 10
    assert intent.risk_quote == d(50)


def test_position_notional_is_capped_before_entry() -> None:
    """I2: the limit existed only as a check after the trade."""
    intent = sized(settings=replace(SETTINGS, risk_max_position_notional_pct=Decimal(20)))

    assert isinstance(intent, Intent)
    assert intent.qty * 1000 <= 2000


def test_dollar_loss_per_trade_is_capped() -> None:
    """I23."""
    intent = sized(account=account("10000000", "10000000"), settings=replace(SETTINGS, risk_max_cost_r=Decimal(9)))

    assert isinstance(intent, Intent)
    assert intent.risk_quote <= 500


@pytest.mark.parametrize(
    ("code", "events"),
    [
        ("in-position", [equity(), approved(), intended(spec())]),
        ("daily-loss", [equity("10000"), equity("9790", 1)]),
        ("frozen", [equity(), SymbolFrozen(at=T0, symbol=BTC, reason="foreign position")]),
        ("no-equity", [SymbolFrozen(at=T0, symbol="ETH/USD:USD", reason="other")]),
    ],
)
def test_entry_is_denied(code: str, events: list[Event]) -> None:
    """I11: a limit without its input is closed; I6: an order in flight is a position."""
    denied = sized(*events)

    assert isinstance(denied, Denied)
    assert denied.code == code


def test_drawdown_denies_below_the_halt() -> None:
    yesterday = EquityObserved(at=at(-86400), equity_quote=d(11200))

    denied = sized(yesterday, equity("10000"))

    assert isinstance(denied, Denied)
    assert denied.code == "drawdown"


def test_cooldown_follows_a_close() -> None:
    stop = spec(Leg.STOP, 2)
    closed = [equity(), approved(), *live(spec()), filled(spec()), *live(stop, 2), filled(stop, "1", "120", 5)]

    denied = sized(*closed, now=at(60))

    assert isinstance(denied, Denied)
    assert denied.code == "cooldown"


def test_a_stop_that_the_market_passed_already_denies() -> None:
    denied = sized(ticker=ticker("985"))

    assert isinstance(denied, Denied)
    assert denied.code == "stop-crossed"


def test_fees_that_eat_the_risk_deny() -> None:
    denied = sized(signal=signal(stop_price=d("998")))

    assert isinstance(denied, Denied)
    assert denied.code == "cost"


def test_targets_that_cannot_be_split_go_to_the_last_one() -> None:
    targets = split_targets(signal(), d("0.02"), instrument())

    assert [(t.price, t.qty) for t in targets] == [(d(1030), d("0.02"))]


@given(
    qty_steps=st.integers(1, 10_000),
    prices=st.lists(st.integers(1001, 2000), min_size=1, max_size=5, unique=True).map(sorted),
)
def test_targets_always_add_up_to_the_position(qty_steps: int, prices: list[int]) -> None:
    """I51: the sum of reducing targets never exceeds the position."""
    qty = qty_steps * d("0.01")

    targets = split_targets(signal(targets=tuple(map(Decimal, prices))), qty, instrument())

    assert sum(t.qty for t in targets) == qty
    assert all(t.qty >= d("0.01") for t in targets)


@given(
    entry=st.integers(100, 100_000),
    distance=st.integers(1, 5_000),
    quote=st.integers(1, 10**9),
    side=st.sampled_from(Side),
)
def test_an_approved_size_never_breaks_a_limit(entry: int, distance: int, quote: int, side: Side) -> None:
    stop = entry - side.sign * distance
    result = sized(
        signal=signal(side=side, entry_price=Decimal(entry), stop_price=Decimal(stop)),
        ticker=ticker(str(entry)),
        account=account(str(quote), str(quote)),
    )

    if isinstance(result, Intent):
        assert result.qty >= d("0.01")
        assert result.risk_quote <= min(Decimal(quote) * SETTINGS.risk_per_trade_pct / 100, Decimal(500))
        assert result.qty * entry <= Decimal(quote) * SETTINGS.risk_max_position_notional_pct / 100
        assert side.sign * (Decimal(entry) - result.stop_price) > 0


# --- halting ----------------------------------------------------------------------------------------------------------


def test_no_breach_while_every_limit_holds() -> None:
    assert breaches(account(), {}, fold([equity()]), SETTINGS) == []


def test_open_losses_count_into_the_drawdown_halt() -> None:
    found = breaches(account("8400"), {}, fold([equity("10000"), equity("8400", 60)]), SETTINGS)

    assert any("drawdown" in each for each in found)
    assert any("daily loss" in each for each in found)


def test_loss_of_more_than_half_is_a_breach_not_a_stale_peak() -> None:
    """W4: a real loss above 50 % was declared implausible and trading went on."""
    assert breaches(account("4000"), {}, fold([equity("10000"), equity("4000", 60)]), SETTINGS)


def test_positions_without_known_equity_are_a_breach() -> None:
    """I11, W25: when the balance call fails the limit must not be off."""
    book: Book = fold([approved(), *live(spec()), filled(spec())])

    assert breaches(None, {}, book, SETTINGS) == ["equity unknown: no halt limit has an input"]


def test_zero_equity_is_a_breach() -> None:
    """W4."""
    assert breaches(account("0"), {}, fold([equity("0")]), SETTINGS) == ["equity 0"]


def test_notional_is_measured_at_the_mark() -> None:
    entry = spec(qty=d(10), limit_price=d(1000))
    book = fold([equity(), approved(qty=d(10)), *live(entry), filled(entry, "10", "1000")])

    found = breaches(account(), {BTC: ticker("2600")}, book, SETTINGS)

    assert any(each.startswith("largest notional 260") for each in found)


@pytest.mark.parametrize(("side", "expected"), [(Side.LONG, "98"), (Side.SHORT, "102")])
def test_adopted_stop_lies_behind_the_entry(side: Side, expected: str) -> None:
    assert adopted_stop(side, d(100), d(100), instrument(), d(2)) == d(expected)


def test_adopted_stop_is_never_beyond_the_market_already() -> None:
    """W37: a fixed distance from entry may already be crossed."""
    stop = adopted_stop(Side.LONG, d(100), d(90), instrument(tick_size=d("0.1")), d(2))

    assert stop < d(90)


def test_what_is_held_and_what_is_on_its_way_counts_into_the_limit_on_everything() -> None:
    """I6: an entry in flight is exposure."""
    held, asked = spec(Leg.ENTRY, 1, symbol="ETH/USD:USD"), spec(Leg.ENTRY, 9, position_id="p2", symbol="SOL/USD:USD")
    events = [
        equity(),
        approved(symbol="ETH/USD:USD"),
        *live(held),
        filled(held, price="1000"),
        approved(symbol="SOL/USD:USD", position_id="p2"),
        intended(replace(asked, limit_price=d(500))),
    ]
    settings = replace(SETTINGS, risk_max_position_notional_pct=Decimal(30), risk_max_notional_pct=Decimal(40))

    intent = sized(*events, settings=settings, position_id="p3")

    assert isinstance(intent, Intent)
    assert intent.qty == d("2.5"), "4000 in all, 1000 held, 500 asked for"

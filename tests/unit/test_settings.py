"""LIVE_* and RISK_*: strict, all complaints at once, and no limit tighter than what it guards."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from live.settings import KNOWN_SETTINGS, Settings, describe_settings, read_settings


def test_defaults_hold_together() -> None:
    settings, refusals = read_settings({})

    assert refusals == []
    assert settings == Settings()


def test_values_are_read_with_their_units() -> None:
    settings, refusals = read_settings({"RISK_PER_TRADE_PCT": "0.25", "LIVE_SYMBOLS": "BTC/USD:USD, ETH/USD:USD"})

    assert refusals == []
    assert settings.risk_per_trade_pct == Decimal("0.25")
    assert settings.live_symbols == ("BTC/USD:USD", "ETH/USD:USD")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RISK_PER_TRADE_PCT", "half"),
        ("RISK_PER_TRADE_PCT", "-1"),
        ("RISK_PER_TRADE_PCT", "nan"),
        ("RISK_PER_TRADE_PCT", "Infinity"),
        ("RISK_PER_TRADE_PCT", ""),
        ("RISK_PER_TRADE_PCT", "150"),
        ("RISK_PER_TRADE_PCT", "1_0"),
        ("RISK_PER_TRADE_PCT", "\u0661"),
        ("LIVE_BEAT_SECONDS", "1e-400"),
        ("LIVE_WARMUP_CANDLES", "1e30"),
        ("LIVE_CLOCK_SKEW_SECONDS", "1000000"),
        ("RISK_MAX_POSITIONS", "2.5"),
        ("LIVE_TIMEFRAME", "7m"),
        ("LIVE_SYMBOLS", "BTC/USD:USD,,ETH/USD:USD"),
        ("LIVE_FOREIGN_POSITIONS", "flatten"),
    ],
)
def test_malformed_values_are_refused_with_what_was_seen(name: str, value: str) -> None:
    _, (refusal,) = read_settings({name: value})

    assert refusal.id == "G40"
    assert refusal.seen is not None and name in refusal.seen


def test_all_complaints_come_at_once() -> None:
    _, refusals = read_settings({"LIVE_TIMEFRAME": "x", "RISK_MAX_POSITIONS": "y"})

    assert len(refusals) == 2


@pytest.mark.parametrize(
    "values",
    [
        {"RISK_MAX_DRAWDOWN_PCT": "20"},
        {"RISK_MAX_POSITIONS": "10"},
        {"RISK_HALT_NOTIONAL_PCT": "85", "RISK_MAX_NOTIONAL_PCT": "90"},
        {"LIVE_REQUEST_TIMEOUT_SECONDS": "3"},
    ],
)
def test_a_halt_tighter_than_what_it_guards_is_refused(values: dict[str, str]) -> None:
    """I1, I13: the auction used 90 % margin while the monitor halted at 85 %."""
    _, refusals = read_settings(values)

    assert "G41" in {refusal.id for refusal in refusals}


def test_every_setting_is_described() -> None:
    assert {name for name, _, _ in describe_settings()} == KNOWN_SETTINGS
    assert all(meaning for _, _, meaning in describe_settings())


def test_every_setting_is_read_by_somebody() -> None:
    """A limit that nothing reads is no limit (I11: the daily loss limit was never enforced)."""
    rooms = Path(__file__).resolve().parents[2] / "live"
    source = "".join(file.read_text() for file in rooms.rglob("*.py") if file.name != "settings.py")

    assert [name for name in KNOWN_SETTINGS if f"settings.{name.lower()}" not in source] == []

"""LIVE_* and RISK_*: strict, all complaints at once, and no limit tighter than what it guards."""

from __future__ import annotations

import json
from dataclasses import fields
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.cli import main
from live.settings import (
    KNOWN_SETTINGS,
    SECTIONS,
    Described,
    Settings,
    all_settings,
    guarded_limits,
    read_settings,
)
from live.settings_cli import page


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
        ("LIVE_SYMBOLS", "BTC/USD:USD,BTC/USD:USD"),
        ("LIVE_SYMBOLS", "PF_XBTUSD"),
        ("LIVE_SYMBOLS", "BTC/USD"),
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
        {"RISK_MAX_MARGIN_PCT": "90", "RISK_HALT_MARGIN_PCT": "85"},
        {"LIVE_LISTING_REFRESH_MINUTES": "200"},
        {"RISK_MAX_DATA_AGE_SECONDS": "4"},
    ],
)
def test_a_halt_tighter_than_what_it_guards_is_refused(values: dict[str, str]) -> None:
    """I1, I13: the auction used 90 % margin while the monitor halted at 85 %."""
    _, refusals = read_settings(values)

    assert "G41" in {refusal.id for refusal in refusals}


def test_every_setting_is_described() -> None:
    described = all_settings()

    assert {each.variable for each in described} == KNOWN_SETTINGS
    assert all(each.section and each.meaning and each.bounds for each in described)
    assert {each.section for each in described} == set(SECTIONS.values())


def test_a_number_has_its_unit_in_its_name() -> None:
    """A limit whose unit has to be guessed is set wrong one day: counts are the only numbers without one."""
    units = {each.variable: each.unit for each in all_settings()}
    measures = [each.name.upper() for each in fields(Settings) if isinstance(each.default, Decimal | float)]

    assert [name for name in measures if not units[name]] == []


@given(st.sampled_from(all_settings()), st.text(max_size=12))
def test_any_text_is_a_value_within_its_bounds_or_a_refusal(described: Described, text: str) -> None:
    settings, refusals = read_settings({described.variable: text})

    if not any(refusal.id == "G40" for refusal in refusals):
        value = getattr(settings, described.variable.lower())
        assert isinstance(value, str | tuple | bool | None) or value > 0


def test_every_limit_of_an_entry_that_is_also_watched_has_its_looser_halt() -> None:
    """I1, I2, I13: no halt without the gate before it, and none that the gate does not keep clear of."""
    halts = {name for name in KNOWN_SETTINGS if name.startswith("RISK_HALT_")}
    guarded = {(inner, outer) for inner, outer in guarded_limits() if outer in halts}

    assert guarded == {(name.replace("HALT", "MAX"), name) for name in halts}


def test_every_setting_is_read_by_somebody() -> None:
    """A limit that nothing reads is no limit (I11: the daily loss limit was never enforced)."""
    rooms = Path(__file__).resolve().parents[2] / "live"
    source = "".join(file.read_text() for file in rooms.rglob("*.py") if file.name != "settings.py")

    assert [name for name in KNOWN_SETTINGS if f"settings.{name.lower()}" not in source] == []


# --- for people -------------------------------------------------------------------------------------------------------


def test_the_page_of_settings_is_what_the_code_says() -> None:
    """Printed anew by: python -m live settings --markdown > docs/settings.md"""
    printed = Path(__file__).resolve().parents[2] / "docs" / "settings.md"

    assert printed.read_text() == page() + "\n"


def test_settings_tell_each_value_and_who_gave_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RISK_PER_TRADE_PCT", "0.25")

    code = main(["settings", "--json"])

    told = {each["variable"]: each for each in json.loads(capsys.readouterr().out)}
    assert (code, told.keys()) == (0, KNOWN_SETTINGS)
    assert (told["RISK_PER_TRADE_PCT"]["value"], told["RISK_PER_TRADE_PCT"]["source"]) == ("0.25", "environment")
    assert (told["RISK_MAX_POSITIONS"]["value"], told["RISK_MAX_POSITIONS"]["source"]) == ("4", "default")


@pytest.mark.parametrize(
    ("name", "value", "refusal"),
    [("RISK_PER_TRADE_PCT", "9", "G40"), ("RISK_HALT_MARGIN_PCT", "10", "G41"), ("RISK_PER_TRAD_PCT", "1", "G14")],
)
def test_settings_that_the_worker_would_refuse_are_refused_here_too(
    name: str, value: str, refusal: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, value)

    assert main(["settings"]) == 1
    assert refusal in capsys.readouterr().err

"""LIVE_* and RISK_*: one frozen object, strictly read, units in the names, limits checked against each other. [P]"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Any

from live.market import TIMEFRAMES
from prodsafe.errors import Refusal, RefusalKind

MALFORMED_SETTING = RefusalKind("G40", "setting-malformed")
CONTRADICTING_LIMITS = RefusalKind("G41", "limits-contradict")

_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


def _decimal(text: str) -> Decimal:
    """Plain digits only: what Python would also read (1e30, 1_000, other scripts' digits) is a slip here."""
    if not _NUMBER.fullmatch(text) or not Decimal(text):
        raise ValueError("must be a number above 0 in plain digits")
    return Decimal(text)


def _seconds(text: str) -> float:
    return float(_decimal(text))


def _count(text: str) -> int:
    value = _decimal(text)
    if value != value.to_integral_value():
        raise ValueError("must be a whole number above 0")
    return int(value)


def _up_to(most: int, parse: Callable[[str], Any]) -> Callable[[str], Any]:
    def bounded(text: str) -> Any:
        value = parse(text)
        if value > most:
            raise ValueError(f"must not be above {most}")
        return value

    return bounded


def _symbols(text: str) -> tuple[str, ...]:
    symbols = tuple(part.strip() for part in text.split(","))
    if not all(symbols) or len(set(symbols)) != len(symbols):
        raise ValueError("must be distinct names with a comma between them")
    return symbols


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return text

    return parse


def _setting(default: Any, parse: Callable[[str], Any], help_text: str) -> Any:
    return field(default=default, metadata={"parse": parse, "help": help_text})


@dataclass(frozen=True, slots=True)
class Settings:
    """Every trading and risk setting with its documented default; the variable is the name in capitals."""

    live_symbols: tuple[str, ...] = _setting(
        ("BTC/USD:USD", "ETH/USD:USD", "SOL/USD:USD", "XRP/USD:USD"), _symbols, "ccxt symbols to trade, comma between"
    )
    live_timeframe: str = _setting("15m", _one_of(*TIMEFRAMES), "candle on which the strategy decides")
    live_warmup_candles: int = _setting(
        2000, _up_to(10000, _count), "closed candles fed to the strategy before the first decision"
    )
    live_tick_seconds: float = _setting(5.0, _up_to(60, _seconds), "pause between two looks at the venue")
    live_fast_tick_seconds: float = _setting(
        1.0, _up_to(60, _seconds), "the same while an order works or protection is due"
    )
    live_drain_seconds: float = _setting(20.0, _up_to(600, _seconds), "longest time a clean stop may take")
    live_foreign_positions: str = _setting(
        "adopt", _one_of("adopt", "freeze"), "a position that no order of ours explains: adopt and protect, or freeze"
    )
    live_adopted_stop_pct: Decimal = _setting(
        Decimal(2), _up_to(50, _decimal), "stop distance of an adopted position, % of price"
    )
    live_stop_attempts: int = _setting(
        3, _up_to(20, _count), "refused protective stops before the position is closed at market"
    )
    live_naked_bound_seconds: float = _setting(
        20.0, _up_to(300, _seconds), "longest time a position may lack a live stop before it is closed at market"
    )
    live_request_timeout_seconds: float = _setting(
        1.5, _up_to(30, _seconds), "longest wait for the reply to a mutating request"
    )
    live_request_expiry_seconds: float = _setting(
        2.0, _up_to(30, _seconds), "after this the venue itself refuses a late request"
    )
    live_clock_skew_seconds: float = _setting(0.5, _up_to(5, _seconds), "allowance between our clock and the venue's")
    live_grace_margin_seconds: float = _setting(
        0.5, _up_to(60, _seconds), "safety added to the grace after an unclean predecessor"
    )
    live_lease_seconds: float = _setting(
        2.0, _up_to(60, _seconds), "the lease ends this long after the last good beat was sent"
    )
    live_beat_seconds: float = _setting(0.5, _up_to(30, _seconds), "pause between two beats of the lease")

    risk_per_trade_pct: Decimal = _setting(
        Decimal("0.5"), _up_to(5, _decimal), "of equity, lost if the stop fills at its price"
    )
    risk_max_loss_per_trade_quote: Decimal = _setting(Decimal(500), _decimal, "cap on the same, in quote currency")
    risk_max_positions: int = _setting(
        4, _up_to(1000, _count), "no entry beyond this many positions, in-flight entries included"
    )
    risk_halt_positions: int = _setting(6, _up_to(1000, _count), "halt at this many")
    risk_max_position_notional_pct: Decimal = _setting(
        Decimal(150), _up_to(5000, _decimal), "of equity, in one position"
    )
    risk_halt_position_notional_pct: Decimal = _setting(
        Decimal(250), _up_to(5000, _decimal), "halt at this much in one position"
    )
    risk_max_notional_pct: Decimal = _setting(
        Decimal(300), _up_to(5000, _decimal), "of equity, in all positions together"
    )
    risk_halt_notional_pct: Decimal = _setting(Decimal(450), _up_to(5000, _decimal), "halt at this much together")
    risk_max_daily_loss_pct: Decimal = _setting(
        Decimal(2), _up_to(100, _decimal), "of the day's first equity: no entry that day"
    )
    risk_halt_daily_loss_pct: Decimal = _setting(Decimal(4), _up_to(100, _decimal), "halt at this daily loss")
    risk_max_drawdown_pct: Decimal = _setting(
        Decimal(10), _up_to(100, _decimal), "below peak equity with open losses: no entry"
    )
    risk_halt_drawdown_pct: Decimal = _setting(Decimal(15), _up_to(100, _decimal), "halt at this drawdown")
    risk_max_loss_streak: int = _setting(4, _up_to(1000, _count), "losing trades in a row before entries pause")
    risk_loss_streak_pause_minutes: Decimal = _setting(Decimal(120), _up_to(100000, _decimal), "length of that pause")
    risk_symbol_cooldown_minutes: Decimal = _setting(
        Decimal(15), _up_to(100000, _decimal), "no entry this long after a close"
    )
    risk_max_cost_r: Decimal = _setting(
        Decimal("0.25"), _up_to(1, _decimal), "fees and slippage may cost this share of the risk"
    )
    risk_taker_fee_bps: Decimal = _setting(Decimal(5), _up_to(1000, _decimal), "assumed taker fee")
    risk_slippage_bps: Decimal = _setting(Decimal(4), _up_to(1000, _decimal), "assumed slippage of a stop")


KNOWN_SETTINGS: frozenset[str] = frozenset(f.name.upper() for f in fields(Settings))

# (operating limit, the looser limit that guards it): I1 and I13 were halts tighter than what they guarded
_GUARDED = (
    ("risk_max_positions", "risk_halt_positions"),
    ("risk_max_position_notional_pct", "risk_halt_position_notional_pct"),
    ("risk_max_position_notional_pct", "risk_max_notional_pct"),
    ("risk_max_notional_pct", "risk_halt_notional_pct"),
    ("risk_max_daily_loss_pct", "risk_halt_daily_loss_pct"),
    ("risk_max_drawdown_pct", "risk_halt_drawdown_pct"),
    ("risk_per_trade_pct", "risk_max_daily_loss_pct"),
    ("live_fast_tick_seconds", "live_tick_seconds"),
    ("live_request_timeout_seconds", "live_lease_seconds"),
    ("live_beat_seconds", "live_lease_seconds"),
    ("live_tick_seconds", "live_naked_bound_seconds"),
)


def read_settings(source: Mapping[str, str]) -> tuple[Settings, list[Refusal]]:
    """LIVE_*/RISK_* variables -> settings, and everything wrong with them at once.

    A malformed value keeps its default in the returned object, which must not be used when there are refusals.
    Unknown names are the environment gates' business.
    """
    values: dict[str, Any] = {}
    refusals: list[Refusal] = []
    for each in fields(Settings):
        name = each.name.upper()
        if name not in source:
            continue
        try:
            values[each.name] = each.metadata["parse"](source[name].strip())
        except ValueError as error:
            refusals.append(
                MALFORMED_SETTING.because(
                    f"{name} {error}",
                    seen=f"{name}={source[name]!r}",
                    mend=f"set {name} ({each.metadata['help']}; default {each.default}), or unset it",
                )
            )
    settings = Settings(**values)
    return settings, refusals or _contradictions(settings)


def _contradictions(settings: Settings) -> list[Refusal]:
    return [
        CONTRADICTING_LIMITS.because(
            f"{inner.upper()} must be below {outer.upper()}, which guards it",
            seen=f"{inner.upper()}={getattr(settings, inner)} {outer.upper()}={getattr(settings, outer)}",
            mend=f"lower {inner.upper()} or raise {outer.upper()}",
        )
        for inner, outer in _GUARDED
        if getattr(settings, inner) >= getattr(settings, outer)
    ]


def describe_settings() -> list[tuple[str, str, str]]:
    """(variable, default, meaning) of every setting, for help texts."""
    return [(each.name.upper(), _default_text(each.default), each.metadata["help"]) for each in fields(Settings)]


def _default_text(default: Any) -> str:
    return ",".join(default) if isinstance(default, tuple) else str(default)

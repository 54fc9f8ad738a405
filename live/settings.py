"""LIVE_* and RISK_*: one frozen object, strictly read, units in the names, limits checked against each other. [P]"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from itertools import pairwise
from typing import Any

from live.market import TIMEFRAMES
from live.model import TrailStep
from prodsafe.errors import Refusal, RefusalKind

MALFORMED_SETTING = RefusalKind("G40", "setting-malformed")
CONTRADICTING_LIMITS = RefusalKind("G41", "limits-contradict")

_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_SYMBOL = re.compile(r"[0-9A-Z]+/[0-9A-Z]+:[0-9A-Z]+")


@dataclass(frozen=True, slots=True)
class Kind:
    """How the text of a variable is read, and which values that takes, in words. parse raises ValueError."""

    parse: Callable[[str], Any]
    bounds: str


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


def _up_to(most: int, parse: Callable[[str], Any]) -> Kind:
    def bounded(text: str) -> Any:
        value = parse(text)
        if value > most:
            raise ValueError(f"must not be above {most}")
        return value

    return Kind(bounded, f"{'whole number, ' if parse is _count else ''}above 0, at most {most}")


def _read_symbols(text: str) -> tuple[str, ...]:
    """Canonical names only: the venue's own (PF_XBTUSD) and spot's (BTC/USD) are other things (I49, I50)."""
    symbols = tuple(part.strip() for part in text.split(","))
    if wrong := [symbol for symbol in symbols if not _SYMBOL.fullmatch(symbol)]:
        raise ValueError(f"must be names like BTC/USD:USD with a comma between them; {wrong[0]!r} is none")
    if len(set(symbols)) != len(symbols):
        raise ValueError("must be distinct names")
    return symbols


_SYMBOLS = Kind(_read_symbols, "distinct names BASE/QUOTE:SETTLE, comma between")


def _one_of(*words: str) -> Kind:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return text

    return Kind(parse, f"one of {', '.join(words)}")


def _read_flag(text: str) -> bool:
    if (word := text.lower()) not in _WORDS:
        raise ValueError(f"must be one of {', '.join(_WORDS)}")
    return _WORDS[word]


_WORDS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
_FLAG = Kind(_read_flag, "1 or 0")


def _read_dead_man(text: str) -> int:
    if not 20 <= (seconds := _count(text)) <= 600:
        raise ValueError("must be 20 to 600, or off: renewed each quarter of it, a shorter one fires by mishap")
    return seconds


_DEAD_MAN = Kind(_read_dead_man, "whole number, 20 to 600")


def _or_off(kind: Kind) -> Kind:
    """The word off, read as None, or a value of the kind."""
    return Kind(lambda text: None if text == "off" else kind.parse(text), f"off, or {kind.bounds}")


def _read_trail_steps(text: str) -> tuple[TrailStep, ...]:
    steps = tuple(TrailStep(*map(_decimal, part.strip().split(":", 1))) for part in text.split(",") if ":" in part)
    if len(steps) != len(text.split(",")):
        raise ValueError("must be steps GAIN:DISTANCE with a comma between them")
    for step, after in pairwise(steps):
        if after.from_r <= step.from_r or after.distance_r >= step.distance_r:
            raise ValueError(f"must trail closer with each larger gain, and {after} does not after {step}")
    if any(step.distance_r >= step.from_r for step in steps):
        raise ValueError("must lie behind the gain and beyond the entry: each distance below its gain")
    return steps


_TRAIL_STEPS = _or_off(Kind(_read_trail_steps, "steps GAIN:DISTANCE in R, comma between, each closer than the last"))


def _read_shares(text: str) -> tuple[Decimal, ...]:
    shares = tuple(_decimal(part.strip()) for part in text.split(","))
    if sum(shares) != 1:
        raise ValueError(f"must add up to 1, not {sum(shares)}")
    return shares


_SHARES = Kind(_read_shares, "shares above 0 that add up to 1, comma between")


def _setting(default: Any, kind: Kind, help_text: str) -> Any:
    return field(default=default, metadata={"kind": kind, "help": help_text})


@dataclass(frozen=True, slots=True)
class Settings:
    """Every trading and risk setting with its documented default; the variable is the name in capitals."""

    live_symbols: tuple[str, ...] = _setting(
        ("BTC/USD:USD", "ETH/USD:USD", "SOL/USD:USD", "XRP/USD:USD"), _SYMBOLS, "perpetuals to trade, by ccxt's names"
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
    live_target_shares: tuple[Decimal, ...] = _setting(
        (Decimal("0.4"), Decimal("0.4"), Decimal("0.2")),
        _SHARES,
        "of the position, closed at each target of a signal; with fewer targets the first shares, in proportion",
    )
    live_break_even_share: Decimal | None = _setting(
        Decimal("0.3"), _or_off(_up_to(1, _decimal)), "of the position, taken by targets before the stop moves to entry"
    )
    live_trail_steps_r: tuple[TrailStep, ...] | None = _setting(
        (
            TrailStep(Decimal(3), Decimal(2)),
            TrailStep(Decimal(5), Decimal("1.5")),
            TrailStep(Decimal(8), Decimal(1)),
        ),
        _TRAIL_STEPS,
        "once the mark was GAIN beyond entry, the stop follows its peak at DISTANCE; R is entry to first stop",
    )
    live_trail_distance_pct: Decimal | None = _setting(
        None, _or_off(_up_to(50, _decimal)), "of the peak, at which the stop of a position in profit follows"
    )
    live_trail_min_gain_r: Decimal = _setting(
        Decimal("0.1"), _up_to(5, _decimal), "least by which a stop that follows is moved; a tick at least"
    )
    live_trail_pause_seconds: float = _setting(
        30.0, _up_to(3600, _seconds), "shortest time between two such moves of one stop"
    )
    live_max_holding_minutes: Decimal | None = _setting(
        None, _or_off(_up_to(999_999, _decimal)), "a position older than this is closed at market"
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
    live_dead_man_seconds: int | None = _setting(
        None,
        _or_off(_DEAD_MAN),
        "while nothing but entries rests, the venue cancels them unless it hears from us within this; off while held",
    )
    live_websocket_hints: bool = _setting(
        False, _FLAG, "listen to the venue's private feeds, and look at once when one says something"
    )
    live_listing_refresh_minutes: Decimal = _setting(
        Decimal(15), _up_to(1440, _decimal), "pause between two readings of what the venue lists"
    )
    live_listing_max_age_minutes: Decimal = _setting(
        Decimal(120), _up_to(10080, _decimal), "no entry on a list of contracts older than this"
    )
    live_listing_max_shrink_pct: Decimal = _setting(
        Decimal(20), _up_to(99, _decimal), "a list that lost more of its contracts than this needs a second reading"
    )

    risk_per_trade_pct: Decimal = _setting(
        Decimal("0.5"), _up_to(5, _decimal), "of equity, lost if the stop fills; its slippage and all fees counted in"
    )
    risk_max_loss_per_trade_quote: Decimal = _setting(
        Decimal(500), _up_to(999_999_999, _decimal), "cap on the same, in quote currency"
    )
    risk_taker_fee_bps: Decimal = _setting(
        Decimal(5), _up_to(1000, _decimal), "assumed fee of the entry and of the stop"
    )
    risk_slippage_bps: Decimal = _setting(Decimal(4), _up_to(1000, _decimal), "assumed slippage of a stop")

    risk_max_positions: int = _setting(
        4, _up_to(1000, _count), "no entry beyond this many positions, in-flight entries included"
    )
    risk_halt_positions: int = _setting(6, _up_to(1000, _count), "halt at this many")
    risk_max_same_side_positions: int = _setting(
        3, _up_to(1000, _count), "no more longs, or shorts, at a time than this: they fall together"
    )
    risk_max_position_notional_pct: Decimal = _setting(
        Decimal(150), _up_to(5000, _decimal), "of equity, in one position"
    )
    risk_halt_position_notional_pct: Decimal = _setting(
        Decimal(250), _up_to(5000, _decimal), "halt at this much in one position"
    )
    risk_max_notional_pct: Decimal = _setting(
        Decimal(300), _up_to(5000, _decimal), "of equity, in all positions together: 300 is an effective leverage of 3"
    )
    risk_halt_notional_pct: Decimal = _setting(Decimal(450), _up_to(5000, _decimal), "halt at this much together")
    risk_max_margin_pct: Decimal = _setting(
        Decimal(50), _up_to(100, _decimal), "of equity, bound as margin; the rest stays free"
    )
    risk_halt_margin_pct: Decimal = _setting(
        Decimal(80), _up_to(100, _decimal), "halt when this much is bound; 100 is no margin left"
    )
    risk_min_liquidation_buffer_pct: Decimal = _setting(
        Decimal(35), _up_to(95, _decimal), "of the way from entry to the estimated liquidation, left beyond the stop"
    )

    risk_max_daily_loss_pct: Decimal = _setting(
        Decimal(2), _up_to(100, _decimal), "of the day's first equity, open losses counted: no entry that UTC day"
    )
    risk_halt_daily_loss_pct: Decimal = _setting(Decimal(4), _up_to(100, _decimal), "halt at this daily loss")
    risk_max_drawdown_pct: Decimal = _setting(
        Decimal(10), _up_to(100, _decimal), "below peak equity with open losses: no entry"
    )
    risk_halt_drawdown_pct: Decimal = _setting(Decimal(15), _up_to(100, _decimal), "halt at this drawdown")
    risk_max_loss_streak: int = _setting(4, _up_to(1000, _count), "losing trades in a row before entries pause")
    risk_loss_streak_pause_minutes: Decimal = _setting(Decimal(120), _up_to(100000, _decimal), "length of that pause")
    risk_symbol_cooldown_minutes: Decimal = _setting(
        Decimal(15), _up_to(100000, _decimal), "no entry on a symbol this long after a close there"
    )
    risk_symbol_max_losses: int = _setting(3, _up_to(100, _count), "losses on one symbol before it pauses")
    risk_symbol_loss_window_hours: Decimal = _setting(
        Decimal(24), _up_to(1000, _decimal), "the time within which those losses count"
    )
    risk_symbol_loss_pause_hours: Decimal = _setting(
        Decimal(12), _up_to(1000, _decimal), "length of that pause, from the last of them"
    )

    risk_max_data_age_seconds: float = _setting(
        20.0, _up_to(600, _seconds), "no entry on a price or a balance older than this"
    )
    risk_max_spread_bps: Decimal = _setting(
        Decimal(30), _up_to(1000, _decimal), "no entry where bid and ask lie further apart"
    )
    risk_max_mark_deviation_pct: Decimal = _setting(
        Decimal(2), _up_to(50, _decimal), "no entry where the mark, by which stops trigger, is further from the book"
    )
    risk_max_cost_r: Decimal = _setting(
        Decimal("0.25"), _up_to(1, _decimal), "fees and slippage may cost this share of entry to stop"
    )
    risk_max_funding_r: Decimal = _setting(
        Decimal("0.1"), _up_to(1, _decimal), "funding over the expected holding may cost this share of entry to stop"
    )
    risk_expected_holding_hours: Decimal = _setting(
        Decimal(12), _up_to(1000, _decimal), "how long a position is expected to pay funding"
    )
    risk_assumed_funding_bps_8h: Decimal = _setting(
        Decimal(3), _up_to(1000, _decimal), "funding against us in 8 hours where the venue does not tell it"
    )


KNOWN_SETTINGS: frozenset[str] = frozenset(f.name.upper() for f in fields(Settings))

# (operating limit, the looser limit that guards it): I1 and I13 were halts tighter than what they guarded
_GUARDED = (
    ("risk_max_positions", "risk_halt_positions"),
    ("risk_max_position_notional_pct", "risk_halt_position_notional_pct"),
    ("risk_max_position_notional_pct", "risk_max_notional_pct"),
    ("risk_max_notional_pct", "risk_halt_notional_pct"),
    ("risk_max_margin_pct", "risk_halt_margin_pct"),
    ("risk_max_daily_loss_pct", "risk_halt_daily_loss_pct"),
    ("risk_max_drawdown_pct", "risk_halt_drawdown_pct"),
    ("risk_per_trade_pct", "risk_max_daily_loss_pct"),
    ("live_fast_tick_seconds", "live_tick_seconds"),
    ("live_request_timeout_seconds", "live_lease_seconds"),
    ("live_beat_seconds", "live_lease_seconds"),
    ("live_tick_seconds", "live_naked_bound_seconds"),
    ("live_tick_seconds", "risk_max_data_age_seconds"),
    ("live_listing_refresh_minutes", "live_listing_max_age_minutes"),
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
            values[each.name] = each.metadata["kind"].parse(source[name].strip())
        except ValueError as error:
            refusals.append(
                MALFORMED_SETTING.because(
                    f"{name} {error}",
                    seen=f"{name}={source[name]!r}",
                    mend=f"set {name} ({each.metadata['help']}; default {_text(each.default)}), or unset it",
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


SECTIONS = {
    "live_symbols": "What is traded, and how often it looks",
    "live_foreign_positions": "Protection",
    "live_target_shares": "Taking profit, and stops that follow",
    "live_request_timeout_seconds": "Requests, clock and lease",
    "live_listing_refresh_minutes": "The venue's list of contracts",
    "risk_per_trade_pct": "Size of a trade",
    "risk_max_positions": "Exposure",
    "risk_max_daily_loss_pct": "Losses",
    "risk_max_data_age_seconds": "The market at entry",
}
"""The first setting of each section -> its title; the settings stand in the order of the class."""

_UNITS = {
    "pct": "%",
    "bps": "bps",
    "bps_8h": "bps in 8 h",
    "r": "share of R",
    "share": "share of the position",
    "shares": "shares of the position",
    "steps_r": "R:R",
    "quote": "quote currency",
    "seconds": "s",
    "minutes": "min",
    "hours": "h",
    "candles": "candles",
}


@dataclass(frozen=True, slots=True)
class Described:
    """One setting as people read it. value: in the environment's own words."""

    section: str
    variable: str
    value: str
    default: str
    unit: str
    bounds: str
    meaning: str


def all_settings(settings: Settings | None = None) -> list[Described]:
    """Every setting in the order of the class; settings: whose values are told, else the defaults'."""
    settings = settings or Settings()
    described, section = [], ""
    for each in fields(Settings):
        section = SECTIONS.get(each.name, section)
        described.append(
            Described(
                section=section,
                variable=each.name.upper(),
                value=_text(getattr(settings, each.name)),
                default=_text(each.default),
                unit=_unit(each.name),
                bounds=each.metadata["kind"].bounds,
                meaning=each.metadata["help"],
            )
        )
    return described


def _unit(name: str) -> str:
    endings = [ending for ending in _UNITS if name.endswith(f"_{ending}")]
    return _UNITS[max(endings, key=len)] if endings else ""


def guarded_limits() -> list[tuple[str, str]]:
    """(variable, the one that it must stay below), for help texts."""
    return [(inner.upper(), outer.upper()) for inner, outer in _GUARDED]


def _text(value: Any) -> str:
    if value is None:
        return "off"
    if isinstance(value, bool):
        return str(int(value))
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def describe_settings() -> list[tuple[str, str, str]]:
    """(variable, default, meaning) of each, for `prodsafe env`: the entry point that prodsafe asks."""
    return [(each.variable, each.default, each.meaning) for each in all_settings()]

"""How positions are looked after: the protection's bounds and the rules that move a stop or end a trade. [P]"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from live.model import TrailStep
from live.settings import Settings


@dataclass(frozen=True, slots=True)
class Rules:
    """What moves a stop toward profit, or ends a trade by time. None, or no step: that rule is off. One R: see stops.

    break_even_share: of the contracts entered; once targets took it, the stop moves to the entry (invariant J).
    trail_step_r, trail_pause: a trailing stop is replaced for a gain of at least so much, and at most so often.
    """

    break_even_share: Decimal | None = Decimal("0.3")
    trail_steps: tuple[TrailStep, ...] = ()
    trail_distance_pct: Decimal | None = None
    trail_step_r: Decimal = Decimal("0.1")
    trail_pause: timedelta = timedelta(seconds=30)
    max_holding: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """How protection behaves. entries_allowed False (halt, drain) also takes resting entries back.

    exit_wanted: why a person wants the position closed; None when nobody does. keeps_stop: its last stop stays although
    it is flat, for it may be the only one of what the venue holds. shown: client order ids that the open orders listed
    when the venue was last looked at; empty where it could not be read.
    """

    stop_attempts: int = 3
    naked_bound: timedelta = timedelta(seconds=20)
    retry: timedelta = timedelta(seconds=1)
    entries_allowed: bool = True
    exit_wanted: str | None = None
    keeps_stop: bool = False
    shown: frozenset[str] = frozenset()
    rules: Rules = Rules()


def policy_of(settings: Settings, *, entries_allowed: bool) -> Policy:
    minutes = settings.live_max_holding_minutes
    return Policy(
        stop_attempts=settings.live_stop_attempts,
        naked_bound=timedelta(seconds=settings.live_naked_bound_seconds),
        entries_allowed=entries_allowed,
        rules=Rules(
            break_even_share=settings.live_break_even_share,
            trail_steps=settings.live_trail_steps_r or (),
            trail_distance_pct=settings.live_trail_distance_pct,
            trail_step_r=settings.live_trail_min_gain_r,
            trail_pause=timedelta(seconds=settings.live_trail_pause_seconds),
            max_holding=None if minutes is None else timedelta(minutes=float(minutes)),
        ),
    )

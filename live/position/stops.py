"""Where a position's stop belongs: the first one, then break-even, then behind the peak; only ever toward profit. [P]

One R is the distance from the average entry to the initial stop, in quote currency per base unit.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from live.events import Peaked
from live.model import Instrument, Leg
from live.position.order import ZERO
from live.position.rules import Rules
from live.position.state import Position


def wanted_stop(position: Position, rules: Rules) -> Decimal:
    """The tightest that the rules name; never looser than what once was live (invariant D), whatever the rules are."""
    named = [position.stop_price]
    if _broke_even(position, rules):
        named.append(position.average_entry_price)
    if position.peak_price is not None and (trailed := trailing_stop(position, position.peak_price, rules)) is not None:
        named.append(trailed)
    return position.side.tightest(named)


def initial_risk(position: Position) -> Decimal:
    """One R; zero or less where the entry lies beyond the stop: an adopted position under water has no R."""
    return position.side.sign * (position.average_entry_price - position.initial_stop_price)


def trailing_stop(position: Position, peak_price: Decimal, rules: Rules) -> Decimal | None:
    """The tightest stop behind a peak; None while no rule trails yet."""
    sign, risk = position.side.sign, initial_risk(position)
    gain = sign * (peak_price - position.average_entry_price)
    distances = [step.distance_r * risk for step in rules.trail_steps if risk > 0 and gain >= step.from_r * risk]
    if rules.trail_distance_pct is not None and gain > 0:
        distances.append(peak_price * rules.trail_distance_pct / 100)
    return peak_price - sign * min(distances) if distances else None


def peaked(
    position: Position, mark_price: Decimal, instrument: Instrument, rules: Rules, now: datetime
) -> Peaked | None:
    """The fact to record when the mark has drawn the stop on by a step worth a replace; None otherwise.

    Recorded, so that no restart forgets how far the price had been. Within the pause a peak is not looked at.
    """
    if position.qty <= 0 or (position.peaked_at is not None and now - position.peaked_at < rules.trail_pause):
        return None
    trailed = trailing_stop(position, mark_price, rules)
    if trailed is None:
        return None
    known = wanted_stop(position, rules)
    gained = position.side.sign * (
        instrument.round_stop(trailed, position.side) - instrument.round_stop(known, position.side)
    )
    if gained < max(instrument.tick_size, rules.trail_step_r * initial_risk(position)):
        return None
    return Peaked(at=now, position_id=position.id, symbol=position.symbol, mark_price=mark_price)


def _broke_even(position: Position, rules: Rules) -> bool:
    """Invariant J: targets must have taken their share first."""
    taken = sum((order.filled_qty for order in position.legs(Leg.TARGET)), ZERO)
    share = rules.break_even_share
    return share is not None and position.entered_qty > 0 and taken >= share * position.entered_qty

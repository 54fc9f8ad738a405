"""Take-profits: together never more than the position (I51), never too small to send (I53). [P]"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from live.model import Instrument, Leg, Target
from live.position.commands import Command, cancels, may_retry, place_target
from live.position.order import ZERO, Order
from live.position.rules import Policy
from live.position.state import Phase, Position


def targets_due(position: Position, instrument: Instrument, policy: Policy, now: datetime) -> list[Command]:
    """Targets are for a position whose entry is over and whose stop is live: protection comes first."""
    if position.exposed_qty <= 0 or position.working(Leg.ENTRY) or position.phase is not Phase.PROTECTED:
        return []
    free = position.exposed_qty - sum((order.remaining_qty for order in position.working(Leg.TARGET)), ZERO)
    if free < 0:
        live = [order for order in position.working(Leg.TARGET) if order.remaining_qty > 0 and not order.is_unresolved]
        return cancels(position, live[-1:], policy, now, "more than the position")
    commands: list[Command] = []
    for target in scaled_targets(position, instrument):
        placed = [order for order in position.legs(Leg.TARGET) if order.spec.limit_price == target.price]
        qty = _still_to_place(target, placed, free, instrument)
        if qty > 0 and _may_place(placed, policy, now):
            free -= qty
            commands.append(place_target(position, target.price, qty))
    return commands


def _still_to_place(target: Target, placed: list[Order], free: Decimal, instrument: Instrument) -> Decimal:
    """Contracts of a target that no order of it took; what would be left over too small to close joins it."""
    missing = min(target.qty - sum((order.executed_qty for order in placed), ZERO), free)
    if missing < instrument.min_qty:
        return ZERO
    return free if free - missing < instrument.min_qty else missing


def _may_place(placed: list[Order], policy: Policy, now: datetime) -> bool:
    """One order at a time for each target, and not for ever where the venue or a person takes it away."""
    if any(order.is_working for order in placed):
        return False
    return sum(order.refusals for order in placed) < policy.stop_attempts and may_retry(placed, policy, now)


def scaled_targets(position: Position, instrument: Instrument) -> list[Target]:
    """The intended targets, scaled to what was entered; what is too small to send goes to the next one (I53).

    What is too small after the last one goes to the one before.
    """
    if position.wanted_qty <= 0:
        return list(position.targets)
    share = position.entered_qty / position.wanted_qty
    scaled: list[Target] = []
    carried = ZERO
    for target in position.targets:
        due = target.qty * share + carried
        qty = instrument.round_qty_down(due)
        if qty < instrument.min_qty:
            carried = due
            continue
        carried = due - qty
        scaled.append(Target(target.price, qty))
    return _with_rest(scaled, instrument.round_qty_down(carried))


def _with_rest(targets: list[Target], rest: Decimal) -> list[Target]:
    if not targets or rest <= 0:
        return targets
    *before, last = targets
    return [*before, Target(last.price, last.qty + rest)]

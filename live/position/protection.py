"""Which commands a position's state calls for: protection first, then targets, then clearing up. [P]

Commands follow from state alone, so a crash loses none: folding the journal and asking `due` again gives what was
still to do. Orders in flight count as already asked for.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from live.events import Event
from live.model import Instrument, Leg
from live.position.commands import Command, cancels, may_retry, place_exit, place_stop
from live.position.order import Order
from live.position.rules import Policy
from live.position.state import Position, apply
from live.position.stops import wanted_stop
from live.position.targets import targets_due


def step(position: Position, event: Event, instrument: Instrument, policy: Policy) -> tuple[Position, list[Command]]:
    """One fact in, the new state and what it calls for out. Performs nothing."""
    after = apply(position, event)
    return after, due(after, instrument, policy, event.at)


def due(
    position: Position, instrument: Instrument, policy: Policy, now: datetime, mark_price: Decimal | None = None
) -> list[Command]:
    """The commands that this state calls for at `now` (aware UTC). mark_price: just read, None where it was not."""
    return [
        *_entry_due(position, policy, now),
        *_protection_due(position, instrument, policy, now, mark_price),
        *targets_due(position, instrument, policy, now),
        *_clearing_due(position, policy, now),
    ]


def _entry_due(position: Position, policy: Policy, now: datetime) -> list[Command]:
    reason = _why_take_entries_back(position, policy, now)
    return cancels(position, position.legs(Leg.ENTRY), policy, now, reason) if reason else []


def _why_take_entries_back(position: Position, policy: Policy, now: datetime) -> str | None:
    if position.entry_expires_at is not None and now >= position.entry_expires_at:
        return "entry expired"
    if not policy.entries_allowed or policy.exit_wanted is not None:
        return "no entries now"
    if position.entered_qty > position.qty or position.legs(Leg.EXIT):
        return "the position is closing"
    if position.qty == 0 and position.corrected_at is not None:
        return "the venue holds the other side"
    return None


def _protection_due(
    position: Position, instrument: Instrument, policy: Policy, now: datetime, mark_price: Decimal | None
) -> list[Command]:
    """Invariant K: one live stop of the full size where it belongs, or a market exit."""
    if position.exposed_qty <= 0 or position.is_exiting:
        return []
    wanted = wanted_stop(position, policy.rules)
    trigger = instrument.round_stop(wanted, position.side)
    guards = [order for order in position.working(Leg.STOP) if _is_guard(order, position.exposed_qty, wanted, trigger)]
    if reason := _why_exit(position, policy, now) or _crossed(position, guards, trigger, mark_price):
        return [place_exit(position, reason)] if may_retry(position.legs(Leg.EXIT), policy, now) else []
    if guards:  # place new, verify, cancel old (I7): only now are the others superfluous
        if guards[-1].spec.client_order_id not in policy.shown:
            return []
        superfluous = [order for order in position.legs(Leg.STOP) if order is not guards[-1]]
        return cancels(position, superfluous, policy, now, "replaced")
    asked = _asked(position, trigger)
    if any(order.is_unresolved for order in asked) or not may_retry(asked, policy, now):
        return []
    return [place_stop(position, trigger)]


def _is_guard(order: Order, qty: Decimal, wanted: Decimal, trigger: Decimal) -> bool:
    """One that rests just where it is wanted is good although the venue's tick has become coarser since (I52)."""
    return order.is_untouched and order.qty == qty and order.trigger_price in (wanted, trigger)


def _asked(position: Position, trigger: Decimal) -> list[Order]:
    """Stops that were asked for just as one is wanted now."""
    wanted = (position.exposed_qty, trigger)
    return [order for order in position.legs(Leg.STOP) if (order.spec.qty, order.spec.trigger_price) == wanted]


def _why_exit(position: Position, policy: Policy, now: datetime) -> str | None:
    if policy.exit_wanted is not None:
        return policy.exit_wanted
    longest, since = policy.rules.max_holding, position.entered_at
    if longest is not None and since is not None and now - since >= longest:
        return f"held for {longest.total_seconds() / 60:.0f} min"
    return _why_give_up(position, policy, now)


def _why_give_up(position: Position, policy: Policy, now: datetime) -> str | None:
    """Heal first, then escalate (I40): the bound counts from the first try, not from a fill while nobody was there.

    A stop that is accepted and soon taken away again failed as much as one that was refused. One that was under way
    when the position became naked, and still is, counts as a try: nobody knows whether it protects.
    """
    if (since := position.naked_since) is None:
        return None
    recent = min(since, now - 2 * policy.naked_bound)
    failed = sum(order.refusals for order in position.legs(Leg.STOP) if order.intended_at >= recent)
    if failed >= policy.stop_attempts:
        return f"{failed} stops refused or taken away"
    stops = position.legs(Leg.STOP)
    tries = [max(stop.intended_at, since) for stop in stops if stop.intended_at >= since or stop.is_unresolved]
    if tries and (trying := now - min(tries)) >= policy.naked_bound:
        return f"no live stop after {trying.total_seconds():.0f} s of trying"
    return None


def _crossed(position: Position, guards: list[Order], trigger: Decimal, mark_price: Decimal | None) -> str | None:
    """A stop that the price has passed already is a market exit; one that rests or is under way is left to act."""
    if mark_price is None or guards or any(order.is_unresolved for order in _asked(position, trigger)):
        return None
    if position.side.sign * (mark_price - trigger) > 0:
        return None
    return f"mark {mark_price} is beyond the stop {trigger}"


def _clearing_due(position: Position, policy: Policy, now: datetime) -> list[Command]:
    if position.qty > 0 or position.working(Leg.ENTRY):
        return []
    kept = [order for order in position.legs(Leg.STOP) if order.is_untouched][-1:] if policy.keeps_stop else []
    return cancels(position, [order for order in position.orders.values() if order not in kept], policy, now, "flat")

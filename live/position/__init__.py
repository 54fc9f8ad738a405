"""State machine V2: `apply` folds one fact of a position, `due` reads the commands off its state, `step` is both. [P]

Rooms: order (one order), state (the fold), rules (settings of protection), stops and targets (where they belong),
commands, protection (what a state calls for).
"""

from live.position.commands import CancelOrder, Command, PlaceOrder
from live.position.order import NEVER_ARRIVED, IllegalTransition, Order, OrderStatus, order_after
from live.position.protection import due, step
from live.position.rules import Policy, Rules, policy_of
from live.position.state import Phase, Position, apply, opened, size_taken
from live.position.stops import peaked, wanted_stop
from live.position.targets import scaled_targets

__all__ = [
    "NEVER_ARRIVED",
    "CancelOrder",
    "Command",
    "IllegalTransition",
    "Order",
    "OrderStatus",
    "Phase",
    "PlaceOrder",
    "Policy",
    "Position",
    "Rules",
    "apply",
    "due",
    "opened",
    "order_after",
    "peaked",
    "policy_of",
    "scaled_targets",
    "size_taken",
    "step",
    "wanted_stop",
]

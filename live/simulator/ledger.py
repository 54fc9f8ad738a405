"""The ground truth of every end-to-end test: what was asked, what became of it, how long positions stood naked. [P]"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from live.order_id import parse
from live.simulator.accounts import Account
from live.simulator.matching import Venue
from live.simulator.orders import Episode, Execution, Order, OrderEvent, Position

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class LedgerRequest:
    """One request that would change something. at: its arrival in true time, aware UTC; reason: the venue's word.

    origin: api, or hand for what was done through /sim.
    """

    at: datetime
    origin: str
    account: str | None
    endpoint: str
    client_order_id: str | None
    order_id: str | None
    params: Mapping[str, str]
    accepted: bool
    reason: str
    fault: str | None = None

    def as_json(self) -> Json:
        return {
            "at": self.at.isoformat(),
            "origin": self.origin,
            "account": self.account,
            "endpoint": self.endpoint,
            **_sender(self.client_order_id),
            "order_id": self.order_id,
            "params": dict(self.params),
            "verdict": "accepted" if self.accepted else "rejected",
            "reason": self.reason,
            "fault": self.fault,
        }


@dataclass(frozen=True, slots=True)
class LedgerFault:
    at: datetime
    kind: str
    endpoint: str
    client_order_id: str | None

    def as_json(self) -> Json:
        return {
            "at": self.at.isoformat(),
            "kind": self.kind,
            "endpoint": self.endpoint,
            "client_order_id": self.client_order_id,
        }


class Ledger:
    """Append-only; a request that a fault kept from arriving is only in `faults`."""

    def __init__(self) -> None:
        self.requests: list[LedgerRequest] = []
        self.faults: list[LedgerFault] = []

    def as_json(self, venue: Venue, now: datetime) -> Json:
        accounts = venue.accounts.values()
        episodes = [episode_json(account, episode, now) for account in accounts for episode in account.episodes]
        return {
            "at": now.isoformat(),
            "requests": [request.as_json() for request in self.requests],
            "faults": [fault.as_json() for fault in self.faults],
            "orders": [row for account in accounts for row in orders_json(account)],
            "fills": [fill_json(account, fill) for account in accounts for fill in account.executions],
            "positions": positions_json(venue),
            "episodes": episodes,
            "summary": self._summary(venue, episodes),
        }

    def _summary(self, venue: Venue, episodes: list[Json]) -> Json:
        """duplicates: client order ids that became more than one order, which the venue's rule makes 0 unless that rule
        is broken; resent: how many times an id arrived again at sendorder.
        """
        accounts = list(venue.accounts.values())
        orders = [order for account in accounts for order in account.orders.values()]
        made = Counter(order.client_order_id for order in orders if order.client_order_id is not None)
        sent = Counter(
            request.client_order_id
            for request in self.requests
            if request.endpoint == "sendorder" and request.client_order_id is not None
        )
        return {
            "requests": len(self.requests),
            "rejected": sum(not request.accepted for request in self.requests),
            "orders": len(orders),
            "open_orders": sum(order.is_open for order in orders),
            "fills": sum(len(account.executions) for account in accounts),
            "duplicates": sum(count - 1 for count in made.values()),
            "resent": sum(count - 1 for count in sent.values()),
            "faults": dict(Counter(fault.kind for fault in self.faults)),
            "naked_seconds_max": max((episode["longest_naked_seconds"] for episode in episodes), default=0.0),
            "naked_seconds_total": sum(episode["naked_seconds"] for episode in episodes),
        }


def orders_json(account: Account) -> list[Json]:
    """Every order of the account with every state it went through, oldest first."""
    events: dict[str, list[OrderEvent]] = defaultdict(list)
    for event in account.events:
        events[event.order.order_id].append(event)
    return [order_json(account, order, events[order.order_id]) for order in account.orders.values()]


def order_json(account: Account, order: Order, events: Iterable[OrderEvent]) -> Json:
    """One order; events: its own."""
    states = [
        {
            "at": event.at.isoformat(),
            "event": event.kind,
            "status": event.order.status,
            "filled": _number(event.order.filled),
            "reason": event.reason,
        }
        for event in events
    ]
    return {
        "account": account.name,
        "order_id": order.order_id,
        **_sender(order.client_order_id),
        "symbol": order.venue_id,
        "side": order.side,
        "type": order.kind,
        "qty": _number(order.qty),
        "filled": _number(order.filled),
        "limit_price": _number(order.limit_price),
        "stop_price": _number(order.stop_price),
        "trigger_signal": order.signal if order.stop_price is not None else None,
        "reduce_only": order.reduce_only,
        "status": order.status,
        "open": order.is_open,
        "triggered": order.triggered,
        "placed_at": order.placed_at.isoformat(),
        "states": states,
    }


def fill_json(account: Account, fill: Execution) -> Json:
    return {
        "account": account.name,
        "fill_id": fill.fill_id,
        "order_id": fill.order.order_id,
        "client_order_id": fill.order.client_order_id,
        "symbol": fill.order.venue_id,
        "side": fill.order.side,
        "qty": _number(fill.qty),
        "price": _number(fill.price),
        "fee": _number(fill.fee),
        "maker": fill.is_maker,
        "at": fill.at.isoformat(),
    }


def positions_json(venue: Venue) -> list[Json]:
    return [
        position_json(venue, account, position)
        for account in venue.accounts.values()
        for position in account.positions.values()
    ]


def position_json(venue: Venue, account: Account, position: Position) -> Json:
    return {
        "account": account.name,
        "symbol": position.venue_id,
        "side": "long" if position.qty > 0 else "short",
        "qty": _number(abs(position.qty)),
        "entry_price": _number(position.entry_price),
        "unrealised": _number(venue.unrealised(position)),
        "opened_at": position.opened_at.isoformat(),
    }


def episode_json(account: Account, episode: Episode, now: datetime) -> Json:
    naked, longest = episode.naked_seconds(now)
    return {
        "account": account.name,
        "symbol": episode.venue_id,
        "side": episode.side,
        "opened_at": episode.opened_at.isoformat(),
        "closed_at": episode.closed_at.isoformat() if episode.closed_at else None,
        "naked_now": episode.naked_since is not None,
        "naked_seconds": naked,
        "longest_naked_seconds": longest,
    }


def _sender(client_order_id: str | None) -> Json:
    """The client order id, and who it says has sent the order: scope, epoch, sequence and leg, all null if not ours."""
    ours = parse(client_order_id)
    return {
        "client_order_id": client_order_id,
        "scope": ours.scope_hash if ours else None,
        "epoch": ours.epoch if ours else None,
        "seq": ours.seq if ours else None,
        "leg": ours.leg if ours else None,
    }


def _number(value: Decimal | None) -> float | None:
    return None if value is None else float(value)

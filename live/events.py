"""What can happen, as values: the journal's rows. Everything the worker knows is a fold of these. [P]

Each event is a fact in the past tense with its time (aware UTC). Encoding is strict both ways: an unknown kind, a
missing field or a naive time raises ValueError, so that a corrupt row is quarantined and never guessed at.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Literal

from live.model import Fill, Intent, OrderSpec, Side


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStarted:
    """An epoch began: the worker holds the lease and is about to reconcile."""

    at: datetime
    version: str
    host: str
    pid: int
    predecessor_clean: bool
    kind: Literal["worker_started"] = "worker_started"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStopped:
    at: datetime
    reason: str
    kind: Literal["worker_stopped"] = "worker_stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """Why a signal was or was not taken at one closed candle. closed_at: that candle's close.

    code: what decided, stable: the engine's (live.smc.reasons), or the denial's of what would have been a trade. Rows
    older than the field have none.
    """

    at: datetime
    symbol: str
    closed_at: datetime
    taken: bool
    side: Side | None
    reasons: tuple[str, ...]
    code: str = ""
    kind: Literal["decided"] = "decided"


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentApproved:
    at: datetime
    intent: Intent
    kind: Literal["intent_approved"] = "intent_approved"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderIntended:
    """Written before the request leaves. expires_at: after it the venue refuses the request."""

    at: datetime
    spec: OrderSpec
    expires_at: datetime
    kind: Literal["order_intended"] = "order_intended"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderAccepted:
    at: datetime
    client_order_id: str
    venue_order_id: str
    kind: Literal["order_accepted"] = "order_accepted"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRejected:
    """It certainly does not exist: refused by the venue, by us before the wire, or proven never to have arrived."""

    at: datetime
    client_order_id: str
    code: str
    reason: str
    kind: Literal["order_rejected"] = "order_rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderUnknown:
    at: datetime
    client_order_id: str
    reason: str
    kind: Literal["order_unknown"] = "order_unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderResubmitted:
    """Written before the same request leaves again under the same id, because it is proven never to have arrived."""

    at: datetime
    client_order_id: str
    expires_at: datetime
    kind: Literal["order_resubmitted"] = "order_resubmitted"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderShown:
    """The venue shows an order of ours otherwise than we know it: executed beyond its fills, or edited by a person.

    qty: the whole size there, what has executed included. ended: it rests no more, and its fills are still owed.
    """

    at: datetime
    client_order_id: str
    qty: Decimal
    filled_qty: Decimal
    limit_price: Decimal | None = None
    trigger_price: Decimal | None = None
    ended: bool = False
    kind: Literal["order_shown"] = "order_shown"


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelIntended:
    """Written before a cancel leaves."""

    at: datetime
    client_order_id: str
    kind: Literal["cancel_intended"] = "cancel_intended"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCancelled:
    """The venue says it rests no more and its remainder will not fill. Fills may still be reported later."""

    at: datetime
    client_order_id: str
    kind: Literal["order_cancelled"] = "order_cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """One execution of one of our orders. fill.fill_id makes it idempotent."""

    at: datetime
    client_order_id: str
    fill: Fill
    kind: Literal["filled"] = "filled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """A position found at the venue that no order of ours explains: ours from now on, to be protected.

    venue_at: `at` on the venue's clock, which dates fills; None in rows of older code, whose clock was taken to agree.
    """

    at: datetime
    position_id: str
    symbol: str
    side: Side
    qty: Decimal
    entry_price: Decimal
    stop_price: Decimal
    contract_size: Decimal = Decimal(1)
    venue_at: datetime | None = None
    kind: Literal["adopted"] = "adopted"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalFill:
    """An execution on our position that no order of ours made: a person at the web page, or a liquidation."""

    at: datetime
    position_id: str
    fill: Fill
    kind: Literal["external_fill"] = "external_fill"


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """Two agreeing readings of the venue contradict our fills: the position's size is the venue's from now on.

    venue_at: as Adopted has it. resting: its orders that the same look listed; what they execute later is not in qty.
    Rows of older code name none.
    """

    at: datetime
    position_id: str
    symbol: str
    qty: Decimal
    entry_price: Decimal
    reason: str
    venue_at: datetime | None = None
    resting: tuple[str, ...] = ()
    kind: Literal["corrected"] = "corrected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peaked:
    """The mark price farthest in a position's favour so far, written whenever its stop is to follow."""

    at: datetime
    position_id: str
    symbol: str
    mark_price: Decimal
    kind: Literal["peaked"] = "peaked"


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolFrozen:
    """Something at the venue is not understood: no entries on this symbol until a person looks."""

    at: datetime
    symbol: str
    reason: str
    kind: Literal["symbol_frozen"] = "symbol_frozen"


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolThawed:
    at: datetime
    symbol: str
    reason: str
    kind: Literal["symbol_thawed"] = "symbol_thawed"


class Ask(StrEnum):
    """What a person may ask of the worker beside a halt."""

    FLATTEN = "flatten"
    WITHDRAW = "withdraw"  # every flatten that is still open
    THAW = "thaw"


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonAsked:
    """The worker took up a row of live.person_request. symbol None: every symbol."""

    at: datetime
    request_id: int
    action: Ask
    symbol: str | None
    reason: str
    who: str
    kind: Literal["person_asked"] = "person_asked"

    def covers(self, symbol: str) -> bool:
        return self.symbol is None or self.symbol == symbol


@dataclass(frozen=True, slots=True, kw_only=True)
class FlattenDone:
    """Book and venue agree that nothing of what the request speaks of is held or rests any more."""

    at: datetime
    request_id: int
    kind: Literal["flatten_done"] = "flatten_done"


@dataclass(frozen=True, slots=True, kw_only=True)
class EquityObserved:
    """Account equity in quote currency, open profit and loss included; peak and day start are folds of these.

    rebased: a person resumed after a halt and answers for what was lost; peak and day start begin anew here.
    peak_quote, day_start_quote: as this mark leaves them, so that the newest one tells all; older rows have neither.
    """

    at: datetime
    equity_quote: Decimal
    rebased: bool = False
    peak_quote: Decimal | None = None
    day_start_quote: Decimal | None = None
    kind: Literal["equity_observed"] = "equity_observed"


Event = (
    WorkerStarted
    | WorkerStopped
    | Decided
    | IntentApproved
    | OrderIntended
    | OrderAccepted
    | OrderRejected
    | OrderUnknown
    | OrderResubmitted
    | OrderShown
    | CancelIntended
    | OrderCancelled
    | Filled
    | Adopted
    | ExternalFill
    | Corrected
    | Peaked
    | SymbolFrozen
    | SymbolThawed
    | PersonAsked
    | FlattenDone
    | EquityObserved
)


@cache
def _adapter() -> Any:
    from pydantic import Field, TypeAdapter

    return TypeAdapter(Annotated[Event, Field(discriminator="kind")])


def encode(event: Event) -> str:
    """The event as one JSON object; decimals as text, times as ISO 8601 with offset."""
    text: str = _adapter().serializer.to_json(event).decode()
    return text


def decode(payload: str | dict[str, Any]) -> Event:
    """The event back. Raises ValueError on an unknown kind, a missing field, a wrong type or a naive time."""
    event: Event = _adapter().validate_json(payload if isinstance(payload, str) else json.dumps(payload))
    if _has_naive_time(event):
        raise ValueError(f"naive time in event {event.kind}")
    return event


def _has_naive_time(value: object) -> bool:
    """Whether a time without zone hides anywhere in it; compared with an aware one it would end the process."""
    if isinstance(value, datetime):
        return value.tzinfo is None
    if is_dataclass(value):
        return any(_has_naive_time(getattr(value, each.name)) for each in fields(value))
    return False


def symbol_of(event: Event) -> str | None:
    """The symbol an event speaks about where it names one, for the journal's index."""
    match event:
        case (
            Decided(symbol=symbol)
            | Adopted(symbol=symbol)
            | Corrected(symbol=symbol)
            | Peaked(symbol=symbol)
            | SymbolFrozen(symbol=symbol)
            | SymbolThawed(symbol=symbol)
            | PersonAsked(symbol=symbol)
        ):
            return symbol
        case IntentApproved(intent=intent):
            return intent.symbol
        case OrderIntended(spec=spec):
            return spec.symbol
        case Filled(fill=fill) | ExternalFill(fill=fill):
            return fill.symbol
        case _:
            return None


def client_order_id_of(event: Event) -> str | None:
    """The client order id an event speaks about, for the journal's index."""
    match event:
        case Decided():  # most of all events, so that it stands first
            return None
        case OrderIntended(spec=spec):
            return spec.client_order_id
        case (
            OrderAccepted(client_order_id=cid)
            | OrderRejected(client_order_id=cid)
            | OrderUnknown(client_order_id=cid)
            | OrderResubmitted(client_order_id=cid)
            | OrderShown(client_order_id=cid)
            | CancelIntended(client_order_id=cid)
            | OrderCancelled(client_order_id=cid)
            | Filled(client_order_id=cid)
        ):
            return cid
        case _:
            return None

"""How facts become rows and rows facts again; the rules both journals keep. [P]

A client order id is intended once. A fill counts once: the same fill again is dropped, another fill under its
id is a bug.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from live.events import Event, ExternalFill, Filled, OrderIntended, client_order_id_of, decode, encode, symbol_of

AnyFill = Filled | ExternalFill


class JournalConflict(ValueError):
    """One id was about to mean two things: a bug, and the process stops (exit 70) before the venue hears."""


@dataclass(frozen=True, slots=True)
class Row:
    """One event as live.event stores it, without the holder's columns. at: aware UTC."""

    kind: str
    symbol: str | None
    client_order_id: str | None
    fill_id: str | None
    at: datetime
    payload: str


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A row that does not decode. symbol is its column, if any: freeze that symbol, alert, go on (I43)."""

    id: int
    kind: str
    symbol: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a scope's journal holds, in the order it was appended."""

    events: list[Event]
    quarantined: list[Quarantined]


def row_of(event: Event) -> Row:
    return Row(
        kind=event.kind,
        symbol=symbol_of(event),
        client_order_id=client_order_id_of(event),
        fill_id=event.fill.fill_id if isinstance(event, AnyFill) else None,
        at=event.at,
        payload=encode(event).replace("\\u0000", "\\ufffd"),  # jsonb takes no NUL; a venue's text may hold one
    )


def read_row(row_id: int, kind: str, symbol: str | None, payload: str) -> Event | Quarantined:
    """The event of a row, or why it is not one."""
    try:
        event = decode(payload)
    except ValueError as error:
        reason = " ".join(str(error).split())[:300]
        return Quarantined(row_id, kind, symbol, reason)
    if event.kind != kind:
        return Quarantined(row_id, kind, symbol, f"column kind is {kind}, payload says {event.kind}")
    return event


def sort_out(rows: Iterable[Event | Quarantined]) -> Loaded:
    loaded = Loaded([], [])
    for row in rows:
        if isinstance(row, Quarantined):
            loaded.quarantined.append(row)
        else:
            loaded.events.append(row)
    return loaded


def same_fill(known: AnyFill, offered: AnyFill) -> bool:
    """Whether two reports are one execution; fee and time may be known better by one than by the other."""
    return _execution(known) == _execution(offered)


def _execution(event: AnyFill) -> tuple[object, ...]:
    owner = event.client_order_id if isinstance(event, Filled) else event.position_id
    fill = event.fill
    return event.kind, owner, fill.symbol, fill.side, fill.venue_order_id, fill.qty, fill.price


def check_repeated_fill(known: AnyFill, offered: AnyFill) -> None:
    """Raises JournalConflict where one fill id carries two executions (I42)."""
    if not same_fill(known, offered):
        raise JournalConflict(f"fill {known.fill.fill_id} was recorded before with other content")


def without_repeats(events: Sequence[Event]) -> list[Event]:
    """The batch with each fill once. Raises JournalConflict when an id means two things inside the batch."""
    kept: list[Event] = []
    fills: dict[str, AnyFill] = {}
    intended: set[str] = set()
    for event in events:
        if isinstance(event, AnyFill):
            if (known := fills.get(event.fill.fill_id)) is not None:
                check_repeated_fill(known, event)
                continue
            fills[event.fill.fill_id] = event
        elif isinstance(event, OrderIntended):
            if event.spec.client_order_id in intended:
                raise JournalConflict(f"order {event.spec.client_order_id} is intended twice in one append")
            intended.add(event.spec.client_order_id)
        kept.append(event)
    return kept

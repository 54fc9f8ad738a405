"""Which zones still stand after what the engine told: a fold of its events, for pictures. [P]"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from live.smc.events import Event, Kind

GAP, BLOCK = "gap", "block"
_BORN = {Kind.FVG: GAP, Kind.ORDER_BLOCK: BLOCK}
_ENDED = {
    Kind.FVG_TOUCHED: GAP,
    Kind.FVG_FILLED: GAP,
    Kind.ORDER_BLOCK_TOUCHED: BLOCK,
    Kind.ORDER_BLOCK_BROKEN: BLOCK,
    Kind.ORDER_BLOCK_DEAD: BLOCK,
}


def kind_of_zone(event: Event) -> str:
    """ "gap" or "block", of an event that begins a zone."""
    return _BORN[event.kind]


def untouched_zones(events: Iterable[Event]) -> list[Event]:
    """The fair value gaps and order blocks that price has not come back to, oldest first, as they were told."""
    waiting: dict[tuple[str, int, datetime, float, float], Event] = {}
    for event in events:
        kind = _BORN.get(event.kind) or _ENDED.get(event.kind, "")
        key = (kind, event.direction, event.origin, event.bottom, event.top)
        if event.kind in _BORN:
            waiting[key] = event
        elif event.kind in _ENDED:
            waiting.pop(key, None)
    return list(waiting.values())

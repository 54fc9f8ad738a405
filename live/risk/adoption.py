"""The stop of a position whose plan nobody knows. [P]"""

from __future__ import annotations

from decimal import Decimal

from live.model import Instrument, Side


def adopted_stop(
    side: Side, entry_price: Decimal, mark_price: Decimal, instrument: Instrument, stop_pct: Decimal
) -> Decimal:
    """A stop for a position whose plan nobody knows: stop_pct from its entry, or from the mark if beyond that (W37)."""
    distance = stop_pct / 100
    from_entry = entry_price * (1 - side.sign * distance)
    beyond = side.sign * (mark_price - from_entry) <= 0
    return instrument.round_stop(mark_price * (1 - side.sign * distance) if beyond else from_entry, side)

"""Where a price lies in a dealing range: its discount or premium half, and how deep it retraces a leg. [P]"""

from __future__ import annotations

from enum import StrEnum


class Half(StrEnum):
    DISCOUNT = "discount"  # where a long is bought
    PREMIUM = "premium"  # where a short is sold
    EQUILIBRIUM = "equilibrium"  # exactly between: neither


def half(price: float, low: float, high: float) -> Half:
    """The half of the range in which the price lies, or beyond which it lies on that side."""
    middle = (low + high) / 2
    if price == middle:
        return Half.EQUILIBRIUM
    return Half.DISCOUNT if price < middle else Half.PREMIUM


def retraced(origin: float, end: float, share: float) -> float:
    """The price that gives back this share of a leg: 0 is its end, 1 its origin, whichever way the leg went."""
    return end - share * (end - origin)


def optimal_entry(origin: float, end: float, *, least: float, most: float) -> tuple[float, float]:
    """(bottom, top) of the prices between two retracements of a leg.

    After a rise they lie below its middle, in the discount; after a fall above it, in the premium.
    """
    one, other = retraced(origin, end, least), retraced(origin, end, most)
    return (other, one) if origin < end else (one, other)

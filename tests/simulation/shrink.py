"""The smallest life that still breaks a rule: fewer kinds of fault, then fewer steps. [P]"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tests.simulation.life import Life

Breaks = Callable[[Life], bool]
TRIES = 80


def shrunk(life: Life, struck: frozenset[str], breaks: Breaks) -> Life:
    """struck: the kinds of fault that happened in it. Tries at most TRIES lives, each one deterministic."""
    left = TRIES

    def still_breaks(smaller: Life) -> bool:
        nonlocal left
        left -= 1
        return left >= 0 and breaks(smaller)

    life = _fewer_kinds(replace(life, only=struck), still_breaks)
    return _fewer_steps(life, still_breaks)


def _fewer_kinds(life: Life, breaks: Breaks) -> Life:
    """Leave out halves, then quarters, and so on down to single kinds; what is not needed stays out."""
    size = max(len(life.only or ()) // 2, 1)
    while True:
        kinds = sorted(life.only or ())
        for first in range(0, len(kinds), size):
            smaller = replace(life, only=(life.only or frozenset()) - set(kinds[first : first + size]))
            if smaller != life and breaks(smaller):
                life = smaller
        if size == 1:
            return life
        size //= 2


def _fewer_steps(life: Life, breaks: Breaks) -> Life:
    """Bisect: a rule once broken in a prefix is usually broken in the whole, so the answer is small, not minimal."""
    low, high = 0, life.steps
    while high - low > 1:
        middle = (low + high) // 2
        if breaks(replace(life, steps=middle)):
            high = middle
        else:
            low = middle
    return replace(life, steps=high)

"""Works timed in turns, so that what else the machine does meets all of them, and what is told of their times. [P]"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median, quantiles

Figures = dict[str, float | int | None]
Times = dict[str, list[float]]
Work = Callable[[], object]


def seconds(work: Work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def in_turns(works: Mapping[str, Work], rounds: int, *, warm_up: int = 2) -> Times:
    """Seconds of every work in every round after the warm-up; each round begins with another of them."""
    names = list(works)
    taken: Times = {name: [] for name in names}
    for number in range(-warm_up, rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            spent = seconds(works[name])
            if number >= 0:
                taken[name].append(spent)
    return taken


def ratio(taken: Times, name: str, base: str) -> float | None:
    """The median of the rounds' own ratios; None where one of the two was not measured."""
    if name not in taken or base not in taken:
        return None
    return round(median(ours / theirs for ours, theirs in zip(taken[name], taken[base], strict=True)), 3)


def middle(taken: Times, name: str, scale: float) -> float | None:
    return figure(median(taken[name]), scale) if name in taken else None


def figure(value: float, scale: float) -> float:
    return round(value * scale, 3)


def spread(name: str, times: Sequence[float] | None, scale: float) -> Figures:
    """name_n, name_p50, name_p99 (from 100 values on) and name_max; null where nothing was measured."""
    if not times:
        return {f"{name}_n": 0, f"{name}_p50": None, f"{name}_max": None}
    figures: Figures = {f"{name}_n": len(times), f"{name}_p50": figure(median(times), scale)}
    if len(times) >= 100:
        figures[f"{name}_p99"] = figure(quantiles(times, n=100)[98], scale)
    return {**figures, f"{name}_max": figure(max(times), scale)}

"""How every bench speaks and ends: progress on stderr; figures, and last one JSON object, judged by limits. [S]"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from common.pairs import Figures

Limits = Mapping[str, float]  # the name of a figure or ratio: at most this


def say(what: str) -> None:
    """Progress, for who waits."""
    print(what, file=sys.stderr, flush=True)


def find_missing(peers: Iterable[str], is_installed: Callable[[str], bool]) -> list[str]:
    """The peers that are not there, told on stderr: their figures will be null."""
    missing = [peer for peer in peers if not is_installed(peer)]
    for peer in missing:
        say(f"not installed, its figures are null: {peer}; install the extra 'bench'")
    return missing


def problems(values: Mapping[str, float | None], limits: Limits) -> list[str]:
    """The limits that were passed, in words; what was not measured is no problem, and its null is there to see."""
    return [
        f"{name} is {value}, above {limit}"
        for name, limit in limits.items()
        if (value := values[name]) is not None and value > limit
    ]


def conclude(bench: str, figures: Figures, ratios: Figures, limits: Limits, **more: Any) -> int:
    """Print every figure, then the one JSON object; the exit code is 1 when a limit was passed."""
    values = {**figures, **ratios}
    width = max(map(len, values), default=0) + 2
    for name, value in values.items():
        print(f"{name:<{width}}{value}")
    found = problems(values, limits)
    verdict = {"bench": bench, "ok": not found, "problems": found, **more}
    print(json.dumps({**verdict, "limits": limits, "figures": figures, "ratios": ratios}))
    return 1 if found else 0

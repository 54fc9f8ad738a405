"""The order path, the tick and the worker's memory, beside their floors in one run. [S]

Progress goes to stderr; the last line of stdout is one JSON object, "ok": true when the targets of DESIGN section 7
hold. No peer answers the same question: docs/benchmarks.md says why, and what the floors are.
"""

from __future__ import annotations

import argparse
import sys
from typing import NamedTuple

from common.frame import Limits, conclude
from common.pairs import Figures
from common.server import open_server
from execution_parts import memory, ticks, wire

from live.schema import SETS
from prodsafe.migrations import migrate

FEW, MANY = 50, 500  # symbols
LIMITS = {
    "wire_entry_beside_bare": 1.5,
    "wire_stop_beside_bare": 1.5,
    "tick_50_ms_p99": 10.0,
    "tick_per_symbol_many_beside_few": 1.3,
    "quiet_tick_per_symbol_many_beside_few": 1.3,
    "above_floor_mib": 40.0,
    "growth_mib": 1.0,
}


class Plan(NamedTuple):
    """How much is measured."""

    sends: int
    rounds: int  # of ticks
    plays: int  # of all those rounds
    hours: int  # of the simulated day
    limits: Limits


WHOLE = Plan(sends=400, rounds=110, plays=3, hours=24, limits=LIMITS)
# a p99 needs a hundred ticks, and an hour or two of a day prove no absence of growth
QUICK_LIMITS = {name: limit for name, limit in LIMITS.items() if name not in ("tick_50_ms_p99", "growth_mib")}
QUICK = Plan(sends=60, rounds=8, plays=1, hours=1, limits=QUICK_LIMITS)


def measure(plan: Plan) -> tuple[Figures, Figures]:
    with open_server() as server:
        migrate(server.url, SETS, wait_seconds=10.0, report=lambda line: None)
        figures, ratios = wire.measure(server.url, plan.sends)
    more, more_ratios = ticks.measure(plan.rounds, FEW, MANY, plays=plan.plays)
    return figures | more | memory.measure(FEW, plan.hours), ratios | more_ratios


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a check in half a minute: few sends and ticks, one hour")
    plan = QUICK if parser.parse_args().quick else WHOLE
    figures, ratios = measure(plan)
    return conclude("execution", figures, ratios, plan.limits)


if __name__ == "__main__":
    sys.exit(main())

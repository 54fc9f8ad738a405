"""The streaming engine beside smartmoneyconcepts on the same generated candles, in one run. [S]

Progress goes to stderr; the last line of stdout is one JSON object, "ok": true when the targets of DESIGN section 7
hold, nothing was rewritten and both agree where they must. The peer's extra must be installed (`pip install
'.[bench]'`): without it there is no ratio and the run is not ok.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from common.frame import say
from smc_parts import engine, equality, rewrites
from smc_parts.data import walk
from smc_parts.peer import Peer, open_peer

from live.model import Candle

BELOW = {"mean_us": 20.0, "p99_us": 60.0, "snapshot_bytes": 10_000, "growth_kib": 1_024}
NONE_OF = ("rewrites", "mismatches", "late")
RATIO_500 = 5_000.0


class Plan(NamedTuple):
    """How much is measured."""

    candles: int  # for the time per candle, and for the sum over the peer's functions
    rounds: int
    memory_candles: int
    frames: int  # compared prefix by prefix
    rows: int  # of each
    replayed: tuple[int, int]  # from so many candles to so many


FULL = Plan(100_000, 10, 1_000_000, 12, 150, (500, 650))
QUICK = Plan(12_000, 5, 50_000, 3, 80, (300, 330))


def in_turns(peer: Peer | None, candles: Sequence[Candle], rounds: int) -> dict[str, Any]:
    """Both sides in every round; of each its best over the rounds, which is what it takes when nothing disturbs it."""
    ours, windows = [], {} if peer is None else {size: peer.frame(candles[-size:]) for size in (500, 5_000)}
    theirs: dict[int, list[float]] = {size: [] for size in windows}
    measured = candles[-12_000:]
    for number in range(1, rounds + 1):
        ours.append(engine.latency(measured, warm_up=2_000))
        for size, frame in windows.items():
            theirs[size] += [] if peer is None else [peer.seconds(frame) * 1e6 for _ in range(4)]
        say(f"round {number} of {rounds}: p99 {ours[-1].p99_us:.1f} us")
    best_us = sum(min(times) for times in zip(*(one.slices_us for one in ours), strict=True))
    figures: dict[str, Any] = {"mean_us": best_us / (len(measured) - 2_000), "p99_us": min(one.p99_us for one in ours)}
    for size, times in theirs.items():
        figures |= {f"peer_us_{size}": min(times), f"ratio_{size}": min(times) / figures["mean_us"]}
    return figures


def beside_peer(peer: Peer, candles: Sequence[Candle], plan: Plan) -> dict[str, Any]:
    """The whole history at once, what was rewritten in a replay, and where both must agree."""
    say(f"the peer's eight functions over {len(candles)} candles at once")
    theirs, ours = peer.seconds(peer.frame(candles)), engine.seconds(candles)
    begin, end = plan.replayed
    say(f"replaying prefixes of {begin} to {end} candles")
    rewritten = rewrites.of_peer(peer, candles[:end], first=begin)
    say(f"comparing {plan.frames} frames prefix by prefix")
    agreed = equality.compare(peer, frames=plan.frames, rows=plan.rows)
    return {
        "batch_candles": len(candles),
        "batch_peer_s": theirs,
        "batch_s": ours,
        "batch_ratio": theirs / ours,
        "replayed_steps": end - begin,
        "peer_rewrites": rewritten.total(),
        "peer_rewrites_by": dict(rewritten),
        "compared": {name: count for name, count in agreed.items() if name not in NONE_OF},
        "mismatches": agreed["mismatches"],
        "late": agreed["late"],
    }


def measure(plan: Plan, *, seed: int) -> dict[str, Any]:
    # before the peer: the growth is that of the process's peak, and its tables are large
    say(f"memory over {plan.memory_candles} candles")
    figures: dict[str, Any] = engine.memory(walk(plan.memory_candles, seed=seed), plan.memory_candles)._asdict()
    candles, peer = list(walk(plan.candles, seed=seed)), open_peer()
    begin, end = plan.replayed
    figures |= in_turns(peer, candles, plan.rounds)
    figures["rewrites"] = rewrites.ours(candles[:end], first=begin)
    return figures if peer is None else figures | beside_peer(peer, candles, plan)


def problems(figures: dict[str, Any]) -> list[str]:
    found = [
        f"{name} {figures[name]:.1f} is not below {most:.0f}" for name, most in BELOW.items() if figures[name] >= most
    ]
    found += [f"{figures[name]} {name}" for name in NONE_OF if figures.get(name)]
    if "ratio_500" not in figures:
        return [*found, "smartmoneyconcepts is not installed: no ratio; install the extra 'bench'"]
    if figures["ratio_500"] < RATIO_500:
        found.append(f"ratio {figures['ratio_500']:.0f} at 500 candles is below {RATIO_500:.0f}")
    if not all(figures["compared"].values()):
        found.append(f"nothing was compared: {figures['compared']}")
    return found


def rounded(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a check in half a minute: few candles, few rounds")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    figures = measure(QUICK if options.quick else FULL, seed=options.seed)
    wrong = problems(figures)
    limits = {"limits": {**BELOW, **dict.fromkeys(NONE_OF, 0)}, "at_least": {"ratio_500": RATIO_500}}
    rounded_figures = {name: rounded(one) for name, one in figures.items()}
    print(json.dumps({"bench": "smc", "ok": not wrong, **rounded_figures, **limits, "problems": wrong}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

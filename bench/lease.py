"""What the lease costs and how fast it reacts, beside its floors and two peers, on one embedded PostgreSQL. [S]

Progress goes to stderr; the last line of stdout is one JSON object, "ok": true when the targets of DESIGN section 7
hold. A peer that is not installed is named on stderr and its figures are null; so is what --quick leaves out.
"""

from __future__ import annotations

import argparse
import sys
from typing import NamedTuple

from common.frame import Limits, conclude, find_missing, say
from common.pairs import Figures
from common.server import open_server
from lease_parts import boot, calls, holders, loss, takeover
from lease_parts.peers import NEEDS, is_installed

from prodsafe.migrations import PRODSAFE_SET, migrate

LIMITS = {  # at most this; a figure that was not measured is no problem, and its null is there to see
    "boot_beside_floor": 1.3,
    "detection_ms_max": 50.0,
    "cut_s_max": 2.0,
    "takeover_clean_s_max": 1.0,
    "takeover_killed_s_max": 10.5,
    "takeover_frozen_s_max": 10.5,
    "holders_false_losses": 0,
}


class Plan(NamedTuple):
    """How much is measured."""

    rounds: int  # of whole processes and of acquire; 10 to 20 times as many of shorter calls
    samples: int  # of each detection and of the clean hand-over
    cuts: int
    crashes: int  # by SIGKILL, and as many by SIGSTOP
    holders: int
    seconds: float  # of each window of holders
    peer_default: bool  # the detection of asyncpg-lock as it comes, besides the fast one
    limits: Limits


WHOLE = Plan(rounds=15, samples=10, cuts=5, crashes=3, holders=200, seconds=20.0, peer_default=True, limits=LIMITS)
# three rounds of whole processes judge nothing: a busy machine has shown 1.45 in three and 1.19 in fifteen
QUICK_LIMITS = {name: limit for name, limit in LIMITS.items() if name != "boot_beside_floor"}
QUICK = Plan(3, samples=2, cuts=1, crashes=0, holders=20, seconds=1.0, peer_default=False, limits=QUICK_LIMITS)


def measure(plan: Plan, peers: list[str]) -> tuple[Figures, Figures]:
    settings = {"max_connections": str(2 * plan.holders + 50)}
    with open_server(settings) as server:
        url = server.url
        migrate(url, [PRODSAFE_SET], wait_seconds=10.0, report=lambda line: None)
        say("whole processes")
        figures, ratios = boot.measure(url, plan.rounds, peers)
        say("calls")
        more, more_ratios = calls.measure(url, plan.rounds, peers)
        say("loss and cut: each refusal told below is one that is measured")
        figures |= more | loss.measure(url, plan.samples, plan.cuts, peers, peer_default=plan.peer_default)
        say("take-over")
        figures |= takeover.measure(url, plan.samples, plan.crashes)
        say(f"{plan.holders} holders, twice {plan.seconds:g} s")
        assert server.pid is not None
        figures |= holders.measure(url, server.pid, plan.holders, plan.seconds)
    return figures, ratios | more_ratios


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a check in 20 s: few rounds, no crash, 20 holders")
    parser.add_argument("--rounds", type=int, help="of processes and of acquire (default 15)")
    parser.add_argument("--holders", type=int, help="leases that beat at once (default 200)")
    parser.add_argument("--seconds", type=float, help="of each of the two windows of holders (default 20)")
    options = parser.parse_args()
    given = {name: value for name in ("rounds", "holders", "seconds") if (value := getattr(options, name)) is not None}
    plan = (QUICK if options.quick else WHOLE)._replace(**given)
    missing = find_missing(NEEDS, is_installed)
    figures, ratios = measure(plan, [peer for peer in NEEDS if peer not in missing])
    return conclude("lease", figures, ratios, plan.limits, missing_peers=missing)


if __name__ == "__main__":
    sys.exit(main())

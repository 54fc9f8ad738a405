"""What migrations cost, beside the floor, alembic, yoyo, dbmate and squawk, on one embedded PostgreSQL with fsync. [S]

Progress goes to stderr; the last line of stdout is one JSON object, "ok": true when the targets of DESIGN section 7
hold. A peer that is not installed is named on stderr and its figures are null.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from common.frame import Limits, conclude, find_missing, say
from common.pairs import Figures
from common.server import open_server
from migrate_parts import apply, lint, noop, stall
from migrate_parts.tools import PEERS, is_installed

TABLE = "CREATE TABLE bench_{n} (id bigint PRIMARY KEY, note text NOT NULL);"
LIMITS = {  # at most this; a figure that was not measured is no problem, and its null is there to see
    "noop_own_beside_floor": 1.25,
    "noop_beside_floor": 1.25,
    "noop_beside_alembic": 1.0,
    "noop_beside_yoyo": 1.0,
    "apply_beside_alembic": 0.666,  # 1.5 times faster
    "apply_beside_yoyo": 0.333,  # 3 times faster
    "lint_ours_s": 0.25,
    "stall_ours_s_max": 0.5,  # the runner's lock_timeout of 0.4 s, and what the machine adds
}


class Plan(NamedTuple):
    """How much is measured."""

    files: int
    rounds: int  # of whole processes with nothing to do, and of the lint
    applies: int  # rounds of all files on empty databases
    window: float  # seconds for which the long transaction stands in the way
    tries: int  # of our own runner in its way
    limits: Limits


WHOLE = Plan(files=100, rounds=11, applies=5, window=4.0, tries=3, limits=LIMITS)
# one round of few files judges no speed
QUICK = Plan(10, rounds=1, applies=1, window=1.0, tries=1, limits={"stall_ours_s_max": LIMITS["stall_ours_s_max"]})


def measure(plan: Plan, peers: list[str]) -> tuple[Figures, Figures]:
    sql = [TABLE.format(n=number) for number in range(1, plan.files + 1)]
    with (
        tempfile.TemporaryDirectory(prefix="bench-migrate-") as folder,
        open_server() as server,
    ):
        root = Path(folder)
        say("nothing to do")
        figures, ratios = noop.measure(server.url_of, root / "noop", sql, plan.rounds, peers)
        say(f"{plan.files} files on empty databases")
        more, more_ratios = apply.measure(server.url_of, root / "apply", sql, plan.applies, peers)
        say("a reader behind a queued ALTER")
        figures |= more | stall.measure(server.url_of, root / "stall", plan.window, plan.tries, peers)
        say("lint")
        linted, lint_ratios = lint.measure(root / "lint", plan.files, plan.rounds, peers)
    return figures | linted, ratios | more_ratios | lint_ratios


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="a check in 30 s: one round, 10 files, only the stall judged"
    )
    parser.add_argument("--rounds", type=int, help="with nothing to do, and of the lint (default 11)")
    parser.add_argument("--applies", type=int, help="rounds of all files on empty databases (default 5)")
    options = parser.parse_args()
    given = {name: value for name in ("rounds", "applies") if (value := getattr(options, name)) is not None}
    plan = (QUICK if options.quick else WHOLE)._replace(**given)
    missing = find_missing(PEERS, is_installed)
    figures, ratios = measure(plan, [peer for peer in PEERS if peer not in missing])
    return conclude("migrate", figures, ratios, plan.limits, missing_peers=missing, files=plan.files)


if __name__ == "__main__":
    sys.exit(main())

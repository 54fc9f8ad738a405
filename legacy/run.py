"""python -m legacy.run live: the old command line's trading command. Deprecated, refused in production. [S]"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from legacy.wiring import add_options, run_parsed
from live.paper_loop import WORKER

PROGRAM = "python -m legacy.run"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=PROGRAM, description=f"Deprecated; production runs `{WORKER}`.")
    commands = parser.add_subparsers(dest="command", required=True)
    add_options(commands.add_parser("live", help="trade on paper, the same as legacy.main"))
    options = parser.parse_args(argv)
    return run_parsed(f"{PROGRAM} {options.command}", options)


if __name__ == "__main__":
    sys.exit(main())

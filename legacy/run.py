"""python -m legacy.run live: the old command line's trading command. Deprecated, refused in production. [S]"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from legacy.wiring import add_options, leave, run_parsed
from live.paper_loop import WORKER

PROGRAM = "python -m legacy.run"
ABOUT = f"""\
The old command line. Deprecated; production runs `{WORKER}`. Of its commands only `live` is left, on paper:

  ENVIRONMENT=dev python -m legacy.run live --bar 1m      what it needs and reads: python -m legacy.run live --help

What the others became:
  backtest       python -m live replay
  status         python -m live status
  kill-switch    python -m live halt, and only a person's python -m live resume
"""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    add_options(commands.add_parser("live", help="trade on paper, the same as legacy.main"))
    options = parser.parse_args(argv)
    return run_parsed(f"{PROGRAM} {options.command}", options)


if __name__ == "__main__":
    leave(main())

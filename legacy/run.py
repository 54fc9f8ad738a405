"""python -m legacy.run live: the old command line's trading command. Deprecated, refused in production. [S]"""

from __future__ import annotations

from collections.abc import Sequence

from legacy.door import enter

PROGRAM = "python -m legacy.run"
ABOUT = """\
The old command line. Deprecated; production runs `python -m live.prod_live`. Of its commands only `live` is left, on
paper:

  ENVIRONMENT=dev python -m legacy.run live --bar 1m      what it needs and reads: python -m legacy.run live --help

What the others became:
  backtest       python -m live replay
  status         python -m live status
  kill-switch    python -m live halt, and only a person's python -m live resume
"""


def main(argv: Sequence[str] | None = None) -> int:
    import argparse

    from legacy.wiring import add_options, run_parsed

    parser = argparse.ArgumentParser(
        prog=PROGRAM, description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    add_options(commands.add_parser("live", help="trade on paper, the same as legacy.main"))
    options = parser.parse_args(argv)
    return run_parsed(f"{PROGRAM} {options.command}", options)


if __name__ == "__main__":
    enter(main)

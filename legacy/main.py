"""python -m legacy.main: the old two-service loop. Deprecated, refused in production, never a real order. [S]"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from legacy.wiring import add_options, leave, run_parsed

ENTRY = "python -m legacy.main"


def main(argv: Sequence[str] | None = None) -> int:
    return run_parsed(ENTRY, add_options(argparse.ArgumentParser(prog=ENTRY)).parse_args(argv))


if __name__ == "__main__":
    leave(main())

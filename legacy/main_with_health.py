"""python -m legacy.main_with_health: legacy.main and the health server on HEALTH_HOST:PORT. Deprecated likewise. [S]"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from legacy.wiring import add_options, leave, run_parsed

ENTRY = "python -m legacy.main_with_health"


def main(argv: Sequence[str] | None = None) -> int:
    options = add_options(argparse.ArgumentParser(prog=ENTRY)).parse_args(argv)
    return run_parsed(ENTRY, options, with_health=True)


if __name__ == "__main__":
    leave(main())

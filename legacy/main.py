"""python -m legacy.main: the old two-service loop. Deprecated, refused in production, never a real order. [S]"""

from __future__ import annotations

from collections.abc import Sequence

from legacy.door import enter

ENTRY = "python -m legacy.main"


def main(argv: Sequence[str] | None = None) -> int:
    from legacy.wiring import parser, run_parsed

    return run_parsed(ENTRY, parser(ENTRY).parse_args(argv))


if __name__ == "__main__":
    enter(main)

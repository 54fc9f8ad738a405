"""python -m legacy.main_with_health: legacy.main and the health server on HEALTH_HOST:PORT. Deprecated likewise. [S]"""

from __future__ import annotations

from collections.abc import Sequence

from legacy.door import enter

ENTRY = "python -m legacy.main_with_health"


def main(argv: Sequence[str] | None = None) -> int:
    from legacy.wiring import parser, run_parsed

    return run_parsed(ENTRY, parser(ENTRY).parse_args(argv), with_health=True)


if __name__ == "__main__":
    enter(main)

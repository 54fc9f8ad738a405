"""Plain SQL migrations, safe with several deploys at once and an older worker running."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from prodsafe.migrations.compatibility import lives_with
from prodsafe.migrations.files import PRODSAFE_SET, Migration, MigrationSet, load, read
from prodsafe.migrations.plan import Plan, make_plan

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prodsafe.migrations.boot import check_schema
    from prodsafe.migrations.runner import Result, migrate, plan_for

__all__ = [
    "PRODSAFE_SET",
    "Migration",
    "MigrationSet",
    "Plan",
    "Result",
    "check_schema",
    "load",
    "make_plan",
    "migrate",
    "plan_for",
    "schema_range",
]

_LATER = {"check_schema": "boot", "Result": "runner", "migrate": "runner", "plan_for": "runner"}


def schema_range(sets: Iterable[MigrationSet]) -> dict[str, tuple[int, int]]:
    """What a release of these sets states in its lease: {set: (oldest, newest)} version that it can live with."""
    return {each.name: lives_with(read(each)) for each in sets}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # psycopg: only for who touches a database
    return getattr(importlib.import_module(f"prodsafe.migrations.{_LATER[name]}"), name)

"""Plain SQL migrations, safe with several deploys at once and an older worker running."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from prodsafe.migrations.files import PRODSAFE_SET, Migration, MigrationSet, load
from prodsafe.migrations.plan import Plan, make_plan

if TYPE_CHECKING:
    from prodsafe.migrations.runner import Result, check_schema, migrate, plan_for

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
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(
        importlib.import_module("prodsafe.migrations.runner"), name
    )  # psycopg: only for who touches a database

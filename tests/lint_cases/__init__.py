"""Hazards and safe twins, category by category: what looks alike and is not. Each case is SQL as one file on standard
input; of a hazard its category must be found, of a twin nothing at all.

From PostgreSQL's documentation (13 to 17), and from what users of other linters report as missed or as false alarms.
"""

from __future__ import annotations

from tests.lint_cases import blocking, failing, names
from tests.lint_cases.case import Case, Twins, case, found, report

__all__ = ["TWINS", "Case", "Twins", "case", "found", "report"]

TWINS: Twins = blocking.TWINS | failing.TWINS | names.TWINS

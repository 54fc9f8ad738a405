"""The licence of everything that is brought in: known, permitted where production runs it, listed in docs/licences.md.

The metadata's word comes first, so that a new licence is seen; a person's record in licences.toml speaks only where the
metadata leaves it open.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

from license_expression import ExpressionError, get_spdx_licensing
from packaging.utils import canonicalize_name

from supply.distributions import BASE, PRODUCTION, brought_in, installed, requirements
from supply.findings import Finding

POLICY = "supply/licences.toml"
TABLE = "docs/licences.md"
_SPDX = get_spdx_licensing()
_UNDECIDED = "run `make licences` and look at what changed"


@dataclass(frozen=True, slots=True)
class Row:
    """One distribution. licence: SPDX, "" when nobody knows; extras: those that bring it in, or the base alone."""

    name: str
    version: str
    licence: str
    extras: tuple[str, ...]

    @property
    def in_production(self) -> bool:
        return not set(PRODUCTION).isdisjoint(self.extras)

    def as_line(self) -> str:
        return f"| {self.name} | {self.version} | {self.licence} | {', '.join(self.extras)} |"


def read_policy(project: Path) -> dict[str, Any]:
    return tomllib.loads((project / POLICY).read_text())


def rows(project: Path, *folders: Path) -> list[Row]:
    """What is installed in these site-packages, or the running interpreter's, for any part of pyproject.toml."""
    policy, there = read_policy(project), installed(*folders)
    by_extra = {extra: brought_in(asked, there) for extra, asked in requirements(project).items()}
    found = []
    for name in sorted(set().union(*by_extra.values()) & there.keys()):
        extras = tuple(extra for extra, names in by_extra.items() if name in names)
        licence = licence_of(name, there[name], policy)
        found.append(Row(name, there[name].version, licence, (BASE,) if BASE in extras else extras))
    return found


def licence_of(name: str, distribution: Distribution, policy: Mapping[str, Any]) -> str:
    """SPDX: of License-Expression, else of License, else of one classifier, else as a person recorded it, else ""."""
    metadata = distribution.metadata
    classifiers = [text.rpartition(" :: ")[2] for text in metadata.get_all("Classifier") or () if "License ::" in text]
    several = [] if len(classifiers) > 1 else classifiers  # two do not say whether both hold or either
    for text in (*(metadata.get_all("License-Expression") or ()), *(metadata.get_all("License") or ()), *several):
        if licence := _spdx(policy["spelled"].get(text, text)):
            return licence
    return str(policy["recorded"].get(name, ""))


def _spdx(text: str) -> str:
    try:
        return str(_SPDX.parse(text, validate=True))
    except ExpressionError:
        return ""


def permits(licence: str, permitted: set[str]) -> bool:
    """Whether one may take it: every part of an AND, any part of an OR; nothing unknown."""

    def allowed(node: Any) -> bool:
        if isinstance(node, _SPDX.AND | _SPDX.OR):
            return (all if isinstance(node, _SPDX.AND) else any)(allowed(part) for part in node.args)
        return str(node) in permitted

    return bool(licence) and allowed(_SPDX.parse(licence))


def check_licences(project: Path, *folders: Path) -> list[Finding]:
    """A licence that nobody knows, one that production may not have, and a table that tells something else.

    Versions move with a new environment, and so may what comes with them: the table must have every direct requirement
    and agree on the licences that both know; a distribution that it lacks must only be permitted.
    """
    policy, found = read_policy(project), rows(project, *folders)
    listed = listed_licences(project)
    asked = [one.name for several in requirements(project).values() for one in several]
    unlisted = sorted({canonicalize_name(name) for name in asked} - listed.keys())
    return [
        *(finding for row in found if (finding := _judge(row, policy))),
        *(Finding(TABLE, f"{name} is asked for and not listed", _UNDECIDED) for name in unlisted),
        *_changed(found, listed),
    ]


def _judge(row: Row, policy: Mapping[str, Any]) -> Finding | None:
    if not row.licence:
        mend = f"read its licence file, then write it under [recorded] of {POLICY}"
        return Finding(row.name, f"nobody knows the licence of {row.name} {row.version}", mend)
    excepted = policy["excepted"].get(row.name, {}).get("licence") == row.licence
    if row.in_production and not excepted and not permits(row.licence, set(policy["permitted"])):
        cause = f"{row.name} {row.version}, for {', '.join(row.extras)}, is under {row.licence}, which is not permitted"
        return Finding(row.name, cause, f"do without it, or write it with its reason under [excepted] of {POLICY}")
    return None


def _changed(found: list[Row], listed: Mapping[str, str]) -> Iterator[Finding]:
    for row in found:
        if listed.get(row.name, row.licence) != row.licence:
            yield Finding(TABLE, f"{row.name} is listed under {listed[row.name]} and says {row.licence}", _UNDECIDED)


def listed_licences(project: Path) -> dict[str, str]:
    """{canonical name: licence} of docs/licences.md."""
    lines = (project / TABLE).read_text().splitlines()
    cells = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    return {name: licence for name, _, licence, _ in (row for row in cells if len(row) == 4)}


def table(project: Path, *folders: Path) -> str:
    """docs/licences.md. folders: site-packages that together hold every extra; where two have one, the last tells."""
    policy = read_policy(project)
    exceptions = [f"- `{name}` ({entry['licence']}): {entry['why']}." for name, entry in policy["excepted"].items()]
    return "\n".join(
        [
            "# Licences",
            "",
            "What the base and each extra bring in, transitively, and under which licence, as each distribution's",
            f"metadata or, where that leaves it open, a person's record in `{POLICY}` says. Written by",
            "`make licences`; `make supply` checks it. Versions are those installed when it was written. What",
            "a wheel carries inside (libpq, OpenSSL, compilers' libraries, PostgreSQL's binaries) is told by its own",
            "licence files and not here.",
            "",
            f"Permitted for {', '.join(PRODUCTION)}: {', '.join(policy['permitted'])}. Beside these:",
            "",
            *exceptions,
            "",
            "| distribution | version | licence | for |",
            "|---|---|---|---|",
            *(row.as_line() for row in rows(project, *folders)),
            "",
        ]
    )

"""Which distributions the base and each extra of pyproject.toml bring in, as installed metadata tells. [E]"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

BASE, BUILD = "base", "build-system"
PRODUCTION = (BASE, "live", "migrate", "dashboard", "demo")
"""What a machine of ours may run; dev, supply and bench stay on the developers' side."""


def requirements(project: Path) -> dict[str, list[Requirement]]:
    """{extra: what pyproject.toml asks for directly}, the base first, what builds the wheel last."""
    tables = tomllib.loads((project / "pyproject.toml").read_text())
    asked = {BASE: tables["project"]["dependencies"], **tables["project"]["optional-dependencies"]}
    asked[BUILD] = tables[BUILD]["requires"]
    return {extra: [Requirement(text) for text in texts] for extra, texts in asked.items()}


def installed(*folders: Path) -> dict[str, Distribution]:
    """{canonical name: distribution} of these site-packages; of the running interpreter's without any."""
    found = distributions(path=[str(folder) for folder in folders]) if folders else distributions()
    return {canonicalize_name(distribution.name): distribution for distribution in found}


def brought_in(asked: Iterable[Requirement], there: Mapping[str, Distribution]) -> set[str]:
    """Canonical names of what these requirements bring in, transitively, on this machine's platform.

    One that is not installed is named too, but what it would bring is unknown.
    """
    names: set[str] = set()
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = list(asked)
    while waiting:
        requirement = waiting.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        names.add(name)
        if (name, extras) not in seen and name in there:
            seen.add((name, extras))
            waiting += _wanted(there[name], extras)
    return names


def _wanted(distribution: Distribution, extras: frozenset[str]) -> list[Requirement]:
    every = [Requirement(text) for text in distribution.requires or ()]
    return [one for one in every if not one.marker or any(one.marker.evaluate({"extra": e}) for e in ("", *extras))]

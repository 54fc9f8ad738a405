"""A licence that production may not have or nobody knows stops CI; a person's word does not outlive a change of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from supply.licences import TABLE, check_licences, permits, rows, table
from tests.processes import PROJECT

PYPROJECT = """
[build-system]
requires = []
[project]
dependencies = ["the_base"]
[project.optional-dependencies]
live = ["wire[fast]>=1"]
dev = ["tester"]
"""
POLICY = """
permitted = ["MIT", "Apache-2.0"]
[spelled]
"Apache Software License" = "Apache-2.0"
[recorded]
odd = "MIT"
[excepted.driver]
licence = "LGPL-3.0-only"
why = "the design names it"
"""


def environment(folder: Path, **licences: str) -> tuple[Path, Path]:
    """(project, site-packages): the base needs a driver, wire[fast] needs `odd`. licences: lines of metadata."""
    needs = {
        "the-base": ["driver"],
        "wire": ['odd; extra == "fast"', 'never; extra == "slow"', 'never; sys_platform == "win32"'],
    }
    told = {
        "the-base": "License-Expression: MIT",
        "driver": "License-Expression: LGPL-3.0-only",
        "wire": "Classifier: License :: OSI Approved :: Apache Software License",
        "odd": "License: see the file",
        "tester": "License-Expression: GPL-3.0-only",
        **{name.replace("_", "-"): line for name, line in licences.items()},
    }
    for name, line in told.items():
        info = folder / "site" / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        wanted = "".join(f"Requires-Dist: {need}\n" for need in needs.get(name, []))
        provided = "Provides-Extra: fast\nProvides-Extra: slow\n"
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\n{line}\n{provided}{wanted}\n"
        )
    (folder / "supply").mkdir()
    (folder / "docs").mkdir()
    (folder / "supply/licences.toml").write_text(POLICY)
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / TABLE).write_text(table(folder, folder / "site"))
    return folder, folder / "site"


def test_every_distribution_has_its_licence_and_the_extras_that_bring_it_in(tmp_path: Path) -> None:
    found = {(row.name, row.licence, row.extras) for row in rows(*environment(tmp_path))}

    assert found == {
        ("the-base", "MIT", ("base",)),
        ("driver", "LGPL-3.0-only", ("base",)),
        ("wire", "Apache-2.0", ("live",)),
        ("odd", "MIT", ("live",)),
        ("tester", "GPL-3.0-only", ("dev",)),
    }


def test_recorded_excepted_and_developers_licences_pass(tmp_path: Path) -> None:
    assert check_licences(*environment(tmp_path)) == []


@pytest.mark.parametrize(
    ("name", "line", "cause"),
    [
        ("wire", "License-Expression: GPL-3.0-or-later", "under GPL-3.0-or-later, which is not permitted"),
        ("wire", "License-Expression: MIT AND AGPL-3.0-only", "which is not permitted"),
        ("odd", "License-Expression: LGPL-2.1-only", "which is not permitted"),
        ("driver", "License-Expression: GPL-3.0-only", "which is not permitted"),
        ("the_base", "Keywords: none", "nobody knows the licence"),
        ("tester", "License: ask us", "nobody knows the licence"),
    ],
)
def test_a_licence_that_is_not_permitted_or_not_known_is_found(
    tmp_path: Path, name: str, line: str, cause: str
) -> None:
    found = check_licences(*environment(tmp_path, **{name: line}))

    assert [finding.place for finding in found] == [name.replace("_", "-")]
    assert cause in found[0].cause


def test_a_table_that_tells_another_licence_or_lacks_a_requirement_is_found(tmp_path: Path) -> None:
    project, site = environment(tmp_path)
    written = (project / TABLE).read_text()
    (project / TABLE).write_text(
        written.replace("| Apache-2.0 | live |", "| MIT | live |").replace("| tester |", "| other |")
    )

    causes = [finding.cause for finding in check_licences(project, site)]

    assert causes == ["tester is asked for and not listed", "wire is listed under MIT and says Apache-2.0"]


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("MIT", True),
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", False),
        ("(MIT OR GPL-3.0-only) AND Apache-2.0", True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", False),
        ("", False),
    ],
)
def test_any_of_an_or_and_all_of_an_and(licence: str, allowed: bool) -> None:
    assert permits(licence, {"MIT", "Apache-2.0"}) is allowed


def test_this_environment_keeps_the_policy_and_the_table_agrees() -> None:
    assert check_licences(PROJECT) == []
    assert len(rows(PROJECT)) > 100, "the search itself must find them"

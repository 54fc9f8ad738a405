"""What `pip install .` brings: built from the tracked files, looked into, and installed into an empty environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from supply.findings import tracked_files
from tests.processes import PROJECT

SQL = {
    path.relative_to(PROJECT).as_posix() for room in ("prodsafe", "live") for path in (PROJECT / room).rglob("*.sql")
}


def build(folder: Path, kind: str) -> Path:
    """The path of a `wheel` or `sdist`, built as pip does but with the setuptools that is here: nothing is fetched."""
    source, out = folder / "source", folder / "out"
    for path in tracked_files(PROJECT):
        target = source / path.relative_to(PROJECT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    code = f"import setuptools.build_meta as backend; backend.build_{kind}({str(out)!r})"
    env = {"PATH": os.environ["PATH"], "SOURCE_DATE_EPOCH": "1700000000"}
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=source, env=env, check=True, capture_output=True)
    return next(out.iterdir())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("wheel"), "wheel")


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and, by their place only, the dependencies of this one."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False)
    pip = [sys.executable, "-m", "pip", "--python", str(folder), "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--disable-pip-version-check", str(wheel)], check=True)
    site = next(folder.glob("lib/python3*/site-packages"))
    (site / "dependencies.pth").write_text(
        sysconfig.get_path("purelib")
    )  # after ours: the editable checkout is not seen
    return folder


def test_the_wheel_holds_sql_type_markers_and_licence_and_nothing_of_the_workshop(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())

    assert len(SQL) >= 5
    assert names >= SQL | {"prodsafe/py.typed", "live/py.typed", "legacy/py.typed", "migrate_schema.py"}
    assert [name for name in names if name.endswith("dist-info/licenses/LICENSE")]
    rooms = {name.partition("/")[0] for name in names if ".dist-info" not in name}
    assert rooms == {"prodsafe", "live", "legacy", "migrate_schema.py"}


def test_the_wheel_tells_its_licence_its_pythons_and_bounded_requirements(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    metadata = archive.read(next(name for name in archive.namelist() if name.endswith("dist-info/METADATA"))).decode()
    lines = metadata.partition("\n\n")[0].splitlines()

    assert {"Name: prodsafe", "License-Expression: MIT", "License-File: LICENSE"} <= set(lines)
    needs = [line for line in lines if line.startswith("Requires-Dist: ")]
    table = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert len(needs) == len(table["dependencies"]) + sum(map(len, table["optional-dependencies"].values()))
    dated = ("certifi", "tzdata")  # data by its date: a newer one is always wanted
    assert not [line for line in needs if "<" not in line.partition(";")[0] and not line.split()[1].startswith(dated)]


def test_two_builds_of_the_same_files_are_the_same_bytes(wheel: Path, tmp_path: Path) -> None:
    assert build(tmp_path, "wheel").read_bytes() == wheel.read_bytes()


def test_the_source_distribution_can_build_the_wheel(tmp_path: Path) -> None:
    with tarfile.open(build(tmp_path, "sdist")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    assert names >= SQL | {"pyproject.toml", "LICENSE", "README.md", "prodsafe/py.typed", "live/prod_live.py"}


def test_an_installation_knows_its_command_its_gates_its_settings_and_its_migrations(installed: Path) -> None:
    code = """
import prodsafe, live
from importlib.metadata import entry_points
from live.schema import LIVE_SET
from prodsafe.migrations import PRODSAFE_SET, load
print(prodsafe.__file__)
print(sum(len(load(each)) for each in (PRODSAFE_SET, LIVE_SET)))
for group in ("gates", "settings", "migrations"):
    print(*{entry.value for entry in entry_points(group=f"prodsafe.{group}")})
"""
    told = run(installed, "python", "-c", code).stdout.splitlines()

    assert told[0].startswith(str(installed)), "what was installed is what is imported"
    assert int(told[1]) == len(SQL)
    assert told[2:] == ["live.gates:LIVE_GATES", "live.settings:describe_settings", "live.schema:LIVE_SET"]


def test_an_installed_command_refuses_an_empty_environment(installed: Path) -> None:
    done = run(installed, "prodsafe", "check")

    assert done.returncode == 1
    assert "G01" in done.stdout + done.stderr


def run(installed: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(installed / "bin" / program), *arguments]
    return subprocess.run(command, cwd=installed, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True)

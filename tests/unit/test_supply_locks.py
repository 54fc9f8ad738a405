"""Locks that miss something, hash something else or name an address are refused; no registry is asked."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import pytest

from supply.lock import LOCKS, REGISTRIES, check_addresses, check_locks, pins
from tests.processes import PROJECT
from tests.supplied import repository

PYPROJECT = """
[build-system]
requires = ["setuptools>=77,<100"]
[project]
dependencies = ["click>=8.1,<9"]
[project.optional-dependencies]
live = ["aiohttp>=3.11,<4"]
migrate = ["postgast>=0.2,<0.3"]
dashboard = ["plotly>=5,<7"]
"""
HASH = f"    --hash=sha256:{'0' * 64}"
WORKER, DASHBOARD, BACKEND = LOCKS


def pin(*names: str) -> str:
    return "".join(f"{name} \\\n{HASH}\n" for name in names)


def locked(folder: Path, **changed: str) -> Path:
    """A project whose locks are complete but for what is changed."""
    texts = {
        "worker": pin("aiohttp==3.12.0", "click==8.1.0", "postgast==0.2.99"),
        "dashboard": pin("aiohttp==3.12.0", "click==8.1.0", "plotly==6.0"),
        "backend": pin("setuptools==80.0"),
        **changed,
    }
    (folder / "deploy").mkdir()
    (folder / "pyproject.toml").write_text(PYPROJECT)
    for name, text in zip(LOCKS, texts.values(), strict=True):
        (folder / name).write_text(text)
    return folder


def causes(project: Path) -> list[tuple[str, str]]:
    return [(finding.place, finding.cause) for finding in check_locks(project)]


def test_complete_locks_pass(tmp_path: Path) -> None:
    assert causes(locked(tmp_path)) == []


@pytest.mark.parametrize(
    ("worker", "cause"),
    [
        (pin("click==8.1.0", "postgast==0.2.99"), "aiohttp<4,>=3.11 is asked for, and nothing is pinned"),
        (
            pin("aiohttp==4.0", "click==8.1.0", "postgast==0.2.99"),
            "aiohttp<4,>=3.11 is asked for, and 4.0 is pinned",
        ),
        (
            pin("aiohttp==3.12.0", "postgast==0.2.99") + "click==8.1.0\n",
            "click has something else than sha256 hashes, or none",
        ),
        (
            pin("aiohttp==3.12.0", "postgast==0.2.99") + f"click==8.1.0 \\\n    --hash=md5:{'0' * 32}\n",
            "click has something else than sha256 hashes, or none",
        ),
        ("--index-url https://mirror.example/simple\n", "neither a pin, a hash nor a comment"),
        ("click @ https://mirror.example/click.whl\n", "neither a pin, a hash nor a comment"),
        ("click>=8\n", "neither a pin, a hash nor a comment"),
    ],
)
def test_a_lock_that_production_could_not_trust_is_found(tmp_path: Path, worker: str, cause: str) -> None:
    (place, told), *others = causes(locked(tmp_path, worker=worker))

    assert (place, told[: len(cause)], others) == (WORKER, cause, [])


def test_a_lock_that_is_not_there_is_found(tmp_path: Path) -> None:
    project = locked(tmp_path)
    (project / BACKEND).unlink()

    assert [place for place, _ in causes(project)] == [BACKEND]


def test_what_a_pinned_version_needs_on_any_python_and_for_its_extra_is_pinned_too(
    tmp_path: Path,
) -> None:
    """psycopg needs typing-extensions before Python 3.13 only, and psycopg-binary for [binary]: one lock serves all."""
    project = locked(tmp_path, worker=pin("aiohttp==3.12.0", "postgast==0.2.99", f"psycopg=={version('psycopg')}"))
    (project / "pyproject.toml").write_text(PYPROJECT.replace('["click>=8.1,<9"]', '["psycopg[binary]"]'))

    found = [told for place, told in causes(project) if place == WORKER]

    assert sorted(re.split("[=>]", told)[0] for told in found) == ["psycopg-binary", "typing-extensions"]


def test_worker_and_dashboard_pin_alike(tmp_path: Path) -> None:
    project = locked(tmp_path, dashboard=pin("aiohttp==3.11.9", "click==8.1.0", "plotly==6.0"))

    assert causes(project) == [(DASHBOARD, f"aiohttp is 3.11.9 here and 3.12.0 in {WORKER}")]


def test_the_locks_of_this_repository_are_complete() -> None:
    assert check_locks(PROJECT) == []
    assert len(pins((PROJECT / WORKER).read_text())) > 30, "the reader itself must find them"


@pytest.mark.parametrize("host", REGISTRIES)
def test_a_registrys_host_is_found_in_any_tracked_file(tmp_path: Path, host: str) -> None:
    project = repository(tmp_path, {"a/b.txt": f"one\nsee https://files.{host.upper()}/x\n", "c.md": "nothing\n"})

    assert [finding.place for finding in check_addresses(project)] == ["a/b.txt:2"]


def test_a_registrys_host_is_found_in_a_commits_message(tmp_path: Path) -> None:
    project = repository(tmp_path, {"a.txt": "one\n"}, message=f"fetched from {REGISTRIES[0]}")

    assert [finding.place for finding in check_addresses(project)] == ["messages of commits:1"]


def test_no_file_of_this_repository_names_a_registry() -> None:
    assert check_addresses(PROJECT) == []

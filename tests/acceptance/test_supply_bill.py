"""The bill of materials says what the lock pins, and nothing about where or when it was made."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import supply.__main__ as command
from supply.bill import bill_of
from supply.findings import Finding
from supply.lock import LOCKS, REGISTRIES, pins
from tests.processes import PROJECT

LOCK = next(iter(LOCKS))


@pytest.fixture(scope="module")
def text() -> str:
    return bill_of(PROJECT, LOCK)


def test_it_lists_every_pin_with_its_hashes_and_its_licence(text: str) -> None:
    components: list[dict[str, Any]] = json.loads(text)["components"]
    pinned = pins((PROJECT / LOCK).read_text())

    assert {(each["name"], each["version"]) for each in components} == {(name, pin[0]) for name, pin in pinned.items()}
    assert all(each["licenses"][0]["expression"] for each in components)
    for each in components:
        hashes = {digest["content"] for digest in each["externalReferences"][0]["hashes"]}
        assert hashes == set(re.findall("[0-9a-f]{64}", "".join(pinned[each["name"]][1])))


def test_it_names_no_registry_no_time_and_no_number_of_its_own(text: str) -> None:
    assert not [host for host in REGISTRIES if host in text]
    assert {"serialNumber", "timestamp"}.isdisjoint({*json.loads(text), *json.loads(text)["metadata"]})


def test_the_same_lock_gives_the_same_bytes_and_a_comment_changes_none(text: str, tmp_path: Path) -> None:
    for name in ("pyproject.toml", LOCK, "docs/licences.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("# moved\n" * (name == LOCK) + (PROJECT / name).read_text())

    assert bill_of(tmp_path, LOCK) == text


def test_a_bill_that_breaks_the_schema_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supply.bill.listed_licences", lambda project: {"click": 7})
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "1"\n')
    (tmp_path / "a.lock").write_text(f"click==8.1.0 \\\n    --hash=sha256:{'0' * 64}\n")

    with pytest.raises(ValueError, match=r"a\.lock: the bill breaks CycloneDX's schema"):
        bill_of(tmp_path, "a.lock")


def test_a_check_that_finds_something_prints_it_and_exits_1(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Finding("a.md:3", "it is gone", "bring it back")
    monkeypatch.setattr(command, "_checks", lambda: {"one": lambda project: [], "two": lambda project: [found]})

    good = CliRunner().invoke(command.main, ["check", "one"])
    bad = CliRunner().invoke(command.main, ["check"])

    assert (good.exit_code, good.output) == (0, "one: ok\n")
    assert (bad.exit_code, bad.output.splitlines()) == (
        1,
        ["one: ok", "two: 1 found", "  a.md:3: it is gone", "  mend: bring it back"],
    )

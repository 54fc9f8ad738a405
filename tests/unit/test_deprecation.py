"""Deprecated doors are closed in production and squeak elsewhere."""

from __future__ import annotations

import pytest

from prodsafe import deprecation
from prodsafe.deprecation import refuse_in_production
from prodsafe.environment import read_environment
from prodsafe.errors import ExitCode, GateRefused


@pytest.mark.parametrize("word", [None, "", "prod", "PROD", "Production", "prod ", "paper", "Dev"])
def test_production_and_everything_that_counts_as_it_is_refused_with_a_pointer(word: str | None) -> None:
    """I61: the guard compared exactly, so PROD and unset passed it."""
    env = read_environment({} if word is None else {"ENVIRONMENT": word})

    with pytest.raises(GateRefused) as refused:
        refuse_in_production(env, entry="python -m legacy.main", pointer="python -m live.prod_live")

    assert refused.value.exit_code is ExitCode.REFUSED
    assert refused.value.refusals[0].id == "D01"
    assert "python -m live.prod_live" in refused.value.refusals[0].mend


@pytest.mark.parametrize("word", ["dev", "test", "staging"])
def test_elsewhere_each_door_warns_once(
    word: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(deprecation, "_warned", set())
    env = read_environment({"ENVIRONMENT": word})

    with pytest.warns(DeprecationWarning) as collected:
        for entry in ("python -m legacy.main", "python -m legacy.main", "python -m legacy.run live"):
            refuse_in_production(env, entry=entry, pointer="python -m live.prod_live")

    lines = capsys.readouterr().err.splitlines()
    said = [f"warning: {each.message}" for each in collected]
    assert said == lines
    assert len(lines) == 2
    assert all("deprecated" in line and "python -m live.prod_live" in line for line in lines)
    assert {each.filename for each in collected} == {__file__}, "it points at who opened the door"


@pytest.mark.filterwarnings("error::DeprecationWarning")
def test_where_deprecations_are_errors_the_door_is_closed_and_that_is_no_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deprecation, "_warned", set())

    for _ in range(2):
        with pytest.raises(GateRefused) as refused:
            refuse_in_production(read_environment({"ENVIRONMENT": "dev"}), entry="old", pointer="python -m new")

        assert (refused.value.exit_code, refused.value.refusals[0].id) == (ExitCode.REFUSED, "D01")
        assert "python -m new" in refused.value.refusals[0].mend

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

    for entry in ("python -m legacy.main", "python -m legacy.main", "python -m legacy.run live"):
        refuse_in_production(env, entry=entry, pointer="python -m live.prod_live")

    warnings = capsys.readouterr().err.splitlines()
    assert len(warnings) == 2
    assert all("deprecated" in line and "python -m live.prod_live" in line for line in warnings)

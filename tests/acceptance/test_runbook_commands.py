"""RUNBOOK.md, executed: every command block in the state that its section is for, or marked with the reason why not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.processes import base_environment
from tests.runbook import RUNBOOK, Block, Outcome, Ran, judge, run_block
from tests.runbook_stages import play


@pytest.fixture(scope="module")
def outcome(request: pytest.FixtureRequest) -> Iterator[Outcome]:
    """Played once; the table goes to the end of pytest's output, whatever it captures."""
    played = judge(RUNBOOK.read_text(), play)
    yield played
    plugins = request.config.pluginmanager
    with plugins.getplugin("capturemanager").global_and_fixture_disabled():
        for line in ["", "RUNBOOK.md", *played.table(), played.total]:
            plugins.getplugin("terminalreporter").write_line(line)


def test_every_block_of_the_runbook_does_what_it_says_or_is_marked(outcome: Outcome) -> None:
    assert not outcome.problems(), "\n".join(outcome.problems())
    assert len(outcome.found) == len(outcome.ran) + len(outcome.marked)
    assert len({ran.block for ran in outcome.ran}) == len(outcome.ran) > 90, "each once"


def test_what_cannot_be_run_here_is_the_platform_s(outcome: Outcome) -> None:
    """A mark is for what no test can have, not for what is tedious to set up."""
    platforms = ("systemctl", "doctl", "kubectl", "docker", "chronyc", "pip install")

    assert 0 < len(outcome.marked) < 10
    assert all(any(word in block.text for word in platforms) for block in outcome.marked)


# --- the runner itself can fail ---------------------------------------------------------------------------------------


def played(text: str, folder: Path) -> Outcome:
    """Another runbook, of which one stage plays the sections named `known`."""

    def play_known(blocks: Sequence[Block]) -> tuple[list[Ran], dict[str, str]]:
        return [run_block(block, base_environment(), folder) for block in blocks if block.heading == "known"], {}

    return judge(text, play_known)


def test_a_command_that_fails_is_told_with_its_line_and_the_rest_still_runs(tmp_path: Path) -> None:
    outcome = played("## known\n\n```sh\ntrue\nls /nowhere\necho on\n```\n", tmp_path)

    assert [ran.problem for ran in outcome.ran] == ["line 5: exit 2, not 0: ls /nowhere"]
    assert "on" in outcome.ran[0].output
    assert len(outcome.problems()) == 1 and "1 problems" in outcome.total


@pytest.mark.parametrize("command", ["if true", 'echo "$NEVER_SET"', "prodsafe-that-nobody-has"])
def test_what_bash_itself_refuses_is_a_problem(command: str, tmp_path: Path) -> None:
    assert played(f"## known\n```sh\n{command}\n```\n", tmp_path).problems()


def test_an_announced_exit_code_must_come_true(tmp_path: Path) -> None:
    good = "## known\n```sh\n(exit 3)    # exit 3: somebody else holds it\n```\n"

    assert played(good, tmp_path).problems() == []
    assert played(good.replace("(exit 3)", "(exit 1)"), tmp_path).problems()
    assert played(good.replace("(exit 3)", "true"), tmp_path).problems(), "also where it went well"


def test_a_block_of_no_stage_is_forgotten_unless_it_is_marked(tmp_path: Path) -> None:
    block = "## new procedure\n\n```sh\nsudo reboot\n```\n"

    assert [found.line for found in played(block, tmp_path).forgotten] == [3]
    marked = played(block.replace("```sh", "<!-- not run here: needs a machine -->\n```sh"), tmp_path)
    assert marked.problems() == [] and marked.marked[0].mark == "needs a machine"
    far = block.replace("```sh", "<!-- not run here: needs a machine -->\n\nSome words.\n\n```sh")
    assert played(far, tmp_path).forgotten, "a mark belongs to the block right below it"


def test_a_block_of_another_language_or_without_an_end_is_no_runbook(tmp_path: Path) -> None:
    for text in ("```\nls\n```\n", "```bash\nls\n```\n", "```sh\nls\n"):
        with pytest.raises(ValueError, match="line 1"):
            played(text, tmp_path)

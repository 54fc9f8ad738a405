"""RUNBOOK.md holds what a person on call needs: each refusal and no other, each symptom, links that lead somewhere."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from live.findings import FindingKind
from live.status import HaltCause
from live.status_screen import Verdict
from prodsafe.errors import ExitCode, RefusalKind
from tests.runbook import anchors, blocks_of, links, stray_commands

PROJECT = Path(__file__).resolve().parents[2]
ROOMS = ("prodsafe", "live", "legacy")


@cache
def runbook() -> str:
    return (PROJECT / "RUNBOOK.md").read_text()


def sections() -> dict[str, str]:
    """Each refusal's text, by its id."""
    parts = re.split(r"(?m)^### ([A-Z]\d\d) \S+$", runbook())
    return {name: re.split(r"(?m)^#+ ", text)[0] for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def symptoms() -> str:
    return runbook().split("## By symptom")[1].split("# Procedures")[0]


def calls(*rooms: str) -> Iterator[ast.Call]:
    """Every call in the source, read without importing anything heavy."""
    for file in sorted(path for room in rooms for path in (PROJECT / room).rglob("*.py")):
        yield from (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call))


def declared_kinds() -> list[RefusalKind]:
    """Every `NAME = RefusalKind("X01", "name", ...)` in the source."""
    return [
        RefusalKind(*(ast.literal_eval(argument) for argument in call.args[:2]))
        for call in calls(*ROOMS)
        if getattr(call.func, "id", "") == "RefusalKind"
    ]


def alert_keys() -> set[str]:
    """The first word, or words, of every alert's key: of notices, and of what the worker alerts by itself."""
    keys = set()
    for call in calls("live"):
        name = getattr(call.func, "id", None) or getattr(call.func, "attr", "")
        if name not in ("Notice", "Alert", "alert", "_alert") or not call.args:
            continue
        key = call.args[0]
        if isinstance(key, ast.JoinedStr):
            key = key.values[0]
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            keys.add(key.value.strip())
    return keys


# --- refusals


def test_every_refusal_has_its_section_and_every_section_its_refusal() -> None:
    found = re.findall(r"(?m)^### ([A-Z]\d\d) (\S+)$", runbook())

    assert sorted(found) == sorted((kind.id, kind.name) for kind in declared_kinds())


def test_ids_are_used_once() -> None:
    ids = [kind.id for kind in declared_kinds()]

    assert len(ids) == len(set(ids))
    assert len(ids) > 50, "the search itself must find them"


@pytest.mark.parametrize(("part", "words"), [("Means", 4), ("Why", 4), ("Mend", 2), ("At risk", 1)])
def test_every_section_says_what_it_means_why_it_protects_the_mend_and_what_is_at_risk(part: str, words: int) -> None:
    """In these words, each followed by some of its own before the next of them."""
    labels = re.compile(r"(?<!\w)(?:\*\*)?(Means|Seen|Why|Mend|At risk)(?:\*\*)?:")

    def is_said(text: str) -> bool:
        _, *said = labels.split(" ".join(text.split()))
        return any(
            label == part and len(re.findall(r"\w+", own)) >= words
            for label, own in zip(said[::2], said[1::2], strict=True)
        )

    assert [name for name, text in sections().items() if not is_said(text)] == []
    assert not is_said("Means: Why: Mend: At risk:")


# --- symptoms


def test_every_alert_leads_somewhere() -> None:
    keys = alert_keys()

    assert {"unprotected", "frozen", "halted", "migrations wait", "ended"} <= keys, "the search itself must find them"
    assert [key for key in sorted(keys) if f"`{key}`" not in symptoms()] == []


@pytest.mark.parametrize("words", [*FindingKind, *(f"H{n}" for n in range(10, 18))])
def test_every_finding_and_every_reason_of_health_leads_somewhere(words: str) -> None:
    assert re.search(rf"`{words}`|\[{words}\]", symptoms())


def test_every_verdict_that_is_not_well_leads_somewhere() -> None:
    fine = {Verdict.HEALTHY, Verdict.STARTING, Verdict.DRAINING, Verdict.UNHEALTHY, Verdict.NEVER_STARTED}

    assert [each for each in Verdict if each not in fine and f"`{each.upper()}`" not in symptoms()] == []
    assert len(HaltCause) == 4, "a new cause of a halt wants its words under Halt and resume"


def test_every_exit_code_has_its_row() -> None:
    rows = re.findall(r"(?m)^\| (\d+) \|", runbook().split("## By symptom")[0])

    assert sorted(map(int, rows)) == sorted(int(code) for code in ExitCode)


def test_every_alert_rule_is_a_symptom() -> None:
    rules = re.findall(r"(?m)^ *- alert: (\w+)$", (PROJECT / "deploy" / "alerts.rules.yml").read_text())

    known = {
        "PositionUnprotected",
        "LeaseNotFresh",
        "VenueNotReadable",
        "Halted",
        "OrdersRejected",
    }  # an id or key says it
    assert len(rules) > 10
    assert [rule for rule in rules if rule not in known and f"`{rule}`" not in symptoms()] == []


# --- links and commands


def test_every_link_leads_somewhere() -> None:
    known = anchors(runbook())
    inside = [link for link in links(runbook()) if link.startswith("#")]
    outside = [link.split("#")[0] for link in links(runbook()) if not link.startswith("#")]

    assert len(inside) > 80
    assert [link for link in inside if link[1:] not in known] == []
    assert [link for link in outside if not (PROJECT / link).exists()] == []
    assert len(known) == len(set(known)), "two headings of one name have one link"


def test_the_list_of_procedures_is_whole_and_in_order() -> None:
    procedures = runbook().split("\n# Procedures\n")[1].split("\n# Refusals\n")[0]

    titles = [f"#{title}" for title in anchors(procedures)]
    assert links(procedures)[: len(titles)] == titles
    assert len(titles) > 15


def test_commands_stand_in_blocks_that_are_run() -> None:
    assert stray_commands(runbook()) == []
    assert stray_commands("Look:\n\n    prodsafe lock status\n") == ["line 3: prodsafe lock status"]
    assert len(blocks_of(runbook())) > 90


def test_commands_within_a_sentence_are_ones_that_there_are() -> None:
    """`python -m live ...` and `prodsafe ...`: the command and each of its options exist."""
    from live.cli import cli as live
    from prodsafe.cli import cli as prodsafe

    prose = re.sub(r"(?ms)^```.*?^```$", "", runbook())
    spoken = re.findall(r"`(python -m live|prodsafe) ([a-z][^`]*)`", prose)
    roots = {"python -m live": live, "prodsafe": prodsafe}

    assert len(spoken) > 60
    assert [f"{name} {words}" for name, words in spoken if not _is_command(roots[name], words)] == []
    assert not _is_command(live, "halt --resaon why") and not _is_command(prodsafe, "lock sttaus")


def _is_command(command: click.Command, words: str) -> bool:
    context = click.Context(command)
    rest = words.split()
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.get_command(context, rest.pop(0))
        if found is None:
            return False
        command = found
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    own = " ".join(rest).partition(" -- ")[0].split()
    return all(word.partition("=")[0] in known for word in own if word.startswith("--"))

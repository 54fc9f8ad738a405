"""RUNBOOK.md, read and executed: python -m tests.runbook prints what was run, what was not and why.

Its command blocks are run as they stand, by bash, where a person would run them: beside real workers, an embedded
PostgreSQL and the simulated venue, in the state that each procedure is for (runbook_stages.py sets that up).
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.processes import PROJECT

RUNBOOK = PROJECT / "RUNBOOK.md"
BLOCK_SECONDS = 90

_FENCE = re.compile(r"```(\w*)")
_HEADING = re.compile(r"##+ (.+)")
_MARK = re.compile(r"<!-- not run here: (.+) -->")
_EXPECTED = re.compile(r"#.*\bexit (\d+)\b")

# Read by bash before the block: every command that fails unasked is written down with its line, and the block goes on,
# as it would for a person who types it.
_WATCH = """unset BASH_ENV
set -uo pipefail
trap 'echo "$LINENO $?" >>"{failures}"' ERR
"""


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block of commands. line: of its fence in the file; mark: why it cannot be run here, None if it can."""

    heading: str
    line: int
    text: str
    mark: str | None = None

    @property
    def expected(self) -> dict[int, int]:
        """Exit codes other than 0 that the block itself announces, by its own line: `command  # exit 1: why`."""
        lines = enumerate(self.text.splitlines(), 1)
        return {number: int(found.group(1)) for number, line in lines if (found := _EXPECTED.search(line))}


def blocks_of(text: str) -> list[Block]:
    """Every fenced block, in order. Raises ValueError for a fence of another language, or one that never ends."""
    found: list[Block] = []
    heading, mark, began, body = "", None, 0, list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        fence = _FENCE.fullmatch(line.strip())
        if began:
            if fence and not fence.group(1):
                found.append(Block(heading, began, "\n".join(body) + "\n", mark))
                began, mark = 0, None
            else:
                body.append(line)
        elif fence:
            if fence.group(1) != "sh":
                raise ValueError(f"line {number}: a block of {fence.group(1) or 'nothing'}; commands are ```sh")
            began, body = number, []
        elif line.strip():
            title, marked = _HEADING.fullmatch(line), _MARK.fullmatch(line.strip())
            heading = title.group(1) if title else heading
            mark = marked.group(1) if marked else None
    if began:
        raise ValueError(f"line {began}: the block never ends")
    return found


@dataclass(frozen=True, slots=True)
class Ran:
    """One block after its execution. problem: None when every command did what the block says."""

    block: Block
    output: str
    seconds: float
    problem: str | None = None


def bash(block: Block, folder: Path) -> tuple[list[str], dict[str, str], Path]:
    """How a block is started: the words, what its environment needs beside, and where its failures are written."""
    base = folder / f"block-{block.line}-{time.monotonic_ns()}"
    script, watch, failures = (base.with_suffix(end) for end in (".sh", ".watch", ".failures"))
    script.write_text(block.text)
    watch.write_text(_WATCH.format(failures=failures))
    failures.touch()
    return ["bash", "--noprofile", "--norc", str(script)], {"BASH_ENV": str(watch)}, failures


def run_block(block: Block, env: Mapping[str, str], folder: Path, *, cwd: Path = PROJECT) -> Ran:
    words, beside, failures = bash(block, folder)
    began = time.monotonic()
    try:
        done = subprocess.run(
            words, env={**env, **beside}, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=BLOCK_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as late:
        said = late.output.decode(errors="replace") if isinstance(late.output, bytes) else late.output or ""
        return Ran(block, said, time.monotonic() - began, f"not done after {BLOCK_SECONDS} s")
    failed = dict(map(int, line.split()) for line in failures.read_text().splitlines())
    problem = _problem(block, failed, done.returncode)
    return Ran(block, done.stdout, time.monotonic() - began, problem)


def _problem(block: Block, failed: Mapping[int, int], code: int) -> str | None:
    """Where what happened and what the block announces differ. failed: line -> exit code of what failed."""
    expected, lines = block.expected, block.text.splitlines()
    wrong = [
        f"line {block.line + number}: exit {failed.get(number, 0)}, not {expected.get(number, 0)}: {lines[number - 1]}"
        for number in sorted({*failed, *expected})
        if failed.get(number, 0) != expected.get(number, 0)
    ]
    if code and not failed:
        wrong.append(f"bash ended it with {code}")
    return "; ".join(wrong) or None


@dataclass(slots=True)
class Outcome:
    """What became of every block of a runbook."""

    found: list[Block]
    ran: list[Ran] = field(default_factory=list)
    failed_stages: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def marked(self) -> list[Block]:
        return [block for block in self.found if block.mark]

    @property
    def forgotten(self) -> list[Block]:
        """Neither run nor marked: a block that belongs to no stage, or that its stage did not get to."""
        done = {ran.block for ran in self.ran}
        return [block for block in self.found if not block.mark and block not in done]

    def problems(self) -> list[str]:
        return [
            *(f"{ran.block.heading}: {ran.problem}\n{ran.output[-2500:]}" for ran in self.ran if ran.problem),
            *(f"{heading}: {why}" for heading, why in self.failed_stages.items()),
            *(f"line {block.line}: no stage runs this block of {block.heading!r}" for block in self.forgotten),
        ]

    @property
    def total(self) -> str:
        """The line that says it all."""
        return (
            f"{len(self.found)} command blocks: {len(self.ran)} run, {len(self.marked)} marked,"
            f" {len(self.forgotten)} forgotten, {len(self.problems())} problems, {self.seconds:.0f} s"
        )

    def table(self) -> list[str]:
        """A line a section that has blocks, and under it each mark with its reason."""
        widest = max((len(block.heading) for block in self.found), default=0)
        lines = [f"{'section':<{widest}}  blocks  run  marked  result"]
        for heading in dict.fromkeys(block.heading for block in self.found):
            of = [block for block in self.found if block.heading == heading]
            ran = [ran for ran in self.ran if ran.block.heading == heading]
            marked = [block for block in of if block.mark]
            good = len(ran) + len(marked) == len(of) and not any(each.problem for each in ran)
            result = "ok" if good and heading not in self.failed_stages else "FAILED"
            lines.append(f"{heading:<{widest}}  {len(of):>6}  {len(ran):>3}  {len(marked):>6}  {result}")
            lines += [f"{'':<{widest}}  line {block.line} not run here: {block.mark}" for block in marked]
        return lines


Play = Callable[[Sequence[Block]], tuple[list[Ran], Mapping[str, str]]]
"""Runs the blocks that can be run; what became of each, and of each stage that failed beside its blocks."""


def judge(text: str, play: Play) -> Outcome:
    """The whole of a runbook: its blocks found, those that can be run played, and counted."""
    began = time.monotonic()
    outcome = Outcome(blocks_of(text))
    ran, failed = play([block for block in outcome.found if not block.mark])
    outcome.ran, outcome.failed_stages = sorted(ran, key=lambda each: each.block.line), dict(failed)
    outcome.seconds = time.monotonic() - began
    return outcome


def stray_commands(text: str) -> list[str]:
    """Indented lines outside a fence: commands that look like a block and would be run by nobody."""
    inside, found = False, []
    for number, line in enumerate(text.splitlines(), 1):
        if _FENCE.fullmatch(line.strip()):
            inside = not inside
        elif not inside and line.startswith("    ") and line.strip():
            found.append(f"line {number}: {line.strip()}")
    return found


def anchors(text: str) -> list[str]:
    """Every heading's link target, as GitHub makes it."""
    titles = re.findall(r"(?m)^#+ (.+)$", re.sub(r"(?ms)^```.*?^```$", "", text))
    return [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]


def links(text: str) -> list[str]:
    return re.findall(r"\]\(([^)]+)\)", text)


def main(lanes: Sequence[str]) -> int:
    from tests.runbook_stages import play

    outcome = judge(RUNBOOK.read_text(), partial(play, lanes=lanes))
    say = sys.stdout.write
    say("\n".join([*outcome.table(), "", *outcome.problems(), outcome.total, ""]))
    return 1 if outcome.problems() else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Puts an answer before whoever asked: colours for a terminal, plain columns for a pipe, JSON for a program. [E]

All of it leaves through prodsafe.output's mask. rich is imported only to draw on a terminal.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, TextIO, cast

from live.operators import printable
from live.screens import Grid, Line, Tone, fitting
from prodsafe.errors import ExitCode, Refused
from prodsafe.output import mask, refuse, say, say_error, say_json

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

Shown = Sequence[Line] | Grid

_STYLES = {Tone.PLAIN: "", Tone.GOOD: "green", Tone.WARN: "yellow", Tone.BAD: "bold red", Tone.QUIET: "dim"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command found, in every form: drawn on a terminal, text for a pipe, data for a program.

    news: what a watch into a pipe appends whenever it has changed. aside: what a person must know beside it.
    """

    shown: Shown
    text: str
    data: object
    news: str
    aside: str = ""
    exit_code: ExitCode = ExitCode.OK


def give(ask: Callable[[], Answer], *, as_json: bool, every_seconds: float | None) -> int:
    """Answer once, or again and again until Ctrl-C, which is how a watch ends: exit 0."""
    if every_seconds is not None:
        return _watch(ask, as_json=as_json, every_seconds=every_seconds)
    answer = ask()
    if as_json:
        say_json(answer.data)
    else:
        show(answer.shown, answer.text)
        if answer.aside:
            say_error(answer.aside)
    return answer.exit_code


def show(shown: Shown, text: str) -> None:
    """Drawn on a terminal, else as text."""
    if is_terminal():
        console = _console(sys.stdout)
        console.print(_drawn(shown, console.width))
    else:
        say(text)


def is_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()


def can_ask() -> bool:
    """Whether a person sits there who can be asked something."""
    return is_terminal() and sys.stdin is not None and sys.stdin.isatty()


def ask_line(question: str) -> str:
    """What a person types, stripped; blank where they end it instead."""
    try:
        return input(mask(question)).strip()
    except (EOFError, KeyboardInterrupt):
        say()
        return ""


# --- watching ---------------------------------------------------------------------------------------------------------


def _watch(ask: Callable[[], Answer], *, as_json: bool, every_seconds: float) -> int:
    """The first look must succeed; later ones outlast a database that does not answer for a while."""
    try:
        first = ask()
        if as_json or not is_terminal():
            _append(ask, first, as_json=as_json, every_seconds=every_seconds)
        else:
            _redraw(ask, first, every_seconds=every_seconds)
    except KeyboardInterrupt:
        pass
    return ExitCode.OK


def _append(ask: Callable[[], Answer], first: Answer, *, as_json: bool, every_seconds: float) -> None:
    answer: Answer | None = first
    told = ""
    while True:
        if answer is not None and as_json:
            say_json(answer.data)
        elif answer is not None and answer.news != told:
            told = answer.news
            say("\n".join(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {line}" for line in told.splitlines()))
        time.sleep(every_seconds)
        answer = _next_answer(ask, as_json=as_json)


def _next_answer(ask: Callable[[], Answer], *, as_json: bool) -> Answer | None:
    try:
        return ask()
    except Refused as refused:
        if refused.exit_code is not ExitCode.UNREADABLE:
            raise
        refuse(refused.refusals, as_json=as_json)
        return None


def _redraw(ask: Callable[[], Answer], first: Answer, *, every_seconds: float) -> None:
    from rich.live import Live

    console = _console(sys.stdout)
    shown, aside = first.shown, first.aside
    with Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(_framed(shown, aside, console.width, every_seconds), refresh=True)
            time.sleep(every_seconds)
            shown, aside = _next_shown(ask)


def _next_shown(ask: Callable[[], Answer]) -> tuple[Shown, str]:
    """What to draw; a database that does not answer is drawn, and nothing old beside it that could be taken for now."""
    try:
        answer = ask()
    except Refused as refused:
        if refused.exit_code is not ExitCode.UNREADABLE:
            raise
        words = [f"{each.kind.id} {each.kind.name}: {each.cause}" for each in refused.refusals]
        return [Line("NO ANSWER", "; ".join(words), Tone.BAD), Line("next", refused.refusals[0].mend)], ""
    return answer.shown, answer.aside


# --- drawing ----------------------------------------------------------------------------------------------------------


class _Masked(io.TextIOBase):
    """The terminal behind the mask: rich writes here, not to the stream itself."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(mask(text))

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # rich asks whether it may draw more than ASCII
        return self._stream.encoding


def _console(stream: TextIO) -> Console:
    from rich.console import Console

    return Console(file=cast(IO[str], _Masked(stream)), highlight=False, markup=False, emoji=False)


def _framed(shown: Shown, aside: str, width: int, every_seconds: float) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    head = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC, every {every_seconds:g} s; Ctrl-C ends"
    below = [_text(aside, _STYLES[Tone.WARN])] if aside else []
    return Group(Text(head, style="dim"), Text(), _drawn(shown, width), *below)


def _drawn(shown: Shown, width: int) -> RenderableType:
    return _grid(shown, width) if isinstance(shown, Grid) else _lines(shown)


def _lines(lines: Sequence[Line]) -> RenderableType:
    from rich.table import Table

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for n, line in enumerate(lines):
        style = _STYLES[line.tone]
        table.add_row(_text(line.label, f"bold {style}" if n == 0 else "bold"), _text(line.text, style))
    return table


def _grid(grid: Grid, width: int) -> RenderableType:
    from rich.console import Group
    from rich.table import Table

    if not grid.rows:
        return _text(grid.none, "dim")
    shown, hidden = fitting(grid, width)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for column in shown:
        table.add_column(column.head, justify="right" if column.number else "left", overflow="fold")
    for row in grid.rows:
        table.add_row(*(_text(grid.cell(row, each), _STYLES[grid.tone(row, each)]) for each in shown))
    if not hidden:
        return table
    names = ", ".join(column.head for column in grid.columns if column in hidden)
    return Group(table, _text(f"not shown in {width} columns: {names}; --json has everything", "dim"))


def _text(words: str, style: str) -> RenderableType:
    """Masked before it may be broken over lines, where a mask would not find it."""
    from rich.text import Text

    return Text(printable(mask(words)), style=style)

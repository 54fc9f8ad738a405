"""`prodsafe migrate backfill`: parse, run, show progress, stop when told, exit. [S]"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

import click

from prodsafe.errors import ExitCode
from prodsafe.migrations.files import PRODSAFE_SET, MigrationSet
from prodsafe.migrations.options import database_url, json_option, leave, sets_option, wait_option
from prodsafe.output import say, say_error, say_json

if TYPE_CHECKING:
    from prodsafe.migrations.backfill import Stop, Tell, Work
    from prodsafe.migrations.backfill_pace import Throttle

BAR_SECONDS, LINE_SECONDS = 0.2, 5.0
_LINE_UP = "\x1b[1A\x1b[2K"  # a terminal's own words: one line up, and empty it

seconds = click.FloatRange(min=0)
positive = click.FloatRange(min=0, min_open=True)


@click.command()
@sets_option
@json_option
@wait_option
@click.option("--dry-run", is_flag=True, help="Estimate what is left; one batch is run and rolled back.")
@click.option("--size", type=click.IntRange(1, 100_000), help="Rows of a batch at most. Default: by its duration.")
@click.option("--pause", type=seconds, default=0.0, show_default=True, help="Seconds between batches.")
@click.option("--max-rate", type=positive, metavar="ROWS", help="Rows a second at most.")
@click.option(
    "--max-lag", type=positive, default=10.0, show_default=True, help="Wait while a standby is so many seconds behind."
)
@click.option("--deadline", type=positive, help="Stop after so many seconds; exit 4 when it is not finished by then.")
@click.option(
    "--edited",
    type=click.Choice(["go-on", "start-over"]),
    help="For a file that was edited while half done: its new statement for the rest, or for every row again.",
)
def backfill(
    sets: list[MigrationSet],
    as_json: bool,
    wait: float,
    dry_run: bool,
    size: int | None,
    pause: float,
    max_rate: float | None,
    max_lag: float,
    deadline: float | None,
    edited: str | None,
) -> None:
    """Finish the data files that a deploy began, batch by batch, beside running workers.

    May be stopped and killed at any moment: each batch is a transaction with its mark, and the next run goes on.
    """

    def body() -> int:
        from prodsafe.migrations.backfill_pace import Throttle

        every = [PRODSAFE_SET, *sets]
        throttle = Throttle(size, pause, max_rate, max_lag)
        if dry_run:
            return _rehearse(every, throttle, as_json)
        return _run(every, throttle, wait, deadline, edited, as_json)

    leave(body, as_json)


def _rehearse(sets: list[MigrationSet], throttle: Throttle, as_json: bool) -> int:
    from prodsafe.migrations.backfill_run import rehearse

    found = rehearse(database_url(), sets, throttle, say_error)
    if as_json:
        say_json({"ok": True, "backfills": [each.as_dict() for each in found]})
    else:
        say("\n".join(each.as_line() for each in found) or "nothing to do: no backfill is pending")
    return ExitCode.OK


def _run(
    sets: list[MigrationSet], throttle: Throttle, wait: float, deadline: float | None, edited: str | None, as_json: bool
) -> int:
    import time

    from prodsafe.migrations.backfill import Stop
    from prodsafe.migrations.backfill_run import backfill as run

    screen = Screen(as_json)
    stop = Stop(None if deadline is None else time.monotonic() + deadline)
    with _stopped_by_signals(stop, screen):
        done = run(
            database_url(),
            sets,
            wait_seconds=wait,
            throttle=throttle,
            stop=stop,
            report=screen.report,
            tell_of=screen.tell_of,
            edited=edited,
        )
    if as_json:
        named = [{"set": m.set_name, "version": m.version, "name": m.name, **p.as_dict()} for m, p in done]
        say_json({"ok": True, "backfills": named})
    elif not done:
        say("nothing to do: no backfill is unfinished")
    return ExitCode.OK


class Screen:
    """Progress in place on a terminal, else a line every few seconds; with --json on stderr."""

    def __init__(self, as_json: bool) -> None:
        self._say = say_error if as_json else say
        self._in_place = (sys.stderr if as_json else sys.stdout).isatty()
        self._bar_is_last = False

    def report(self, line: str) -> None:
        self._bar_is_last = False
        self._say(line)

    def tell_of(self, work: Work) -> Tell:
        from prodsafe.migrations.backfill import teller

        every = BAR_SECONDS if self._in_place else LINE_SECONDS
        show = self._bar if self._in_place else self.report
        return teller(work.label, work.since, show, every_seconds=every, bar=self._in_place)

    def _bar(self, line: str) -> None:
        self._say(f"{_LINE_UP if self._bar_is_last else ''}{line}")
        self._bar_is_last = True


@contextmanager
def _stopped_by_signals(stop: Stop, screen: Screen) -> Iterator[None]:
    """SIGTERM and Ctrl-C end it after the batch at work; a second one rolls that back."""

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.asked.is_set():
            raise KeyboardInterrupt
        stop.asked.set()
        screen.report("stopping after the batch at work; a second signal rolls it back")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

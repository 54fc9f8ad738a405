"""What people type after `python -m live`: look, halt, resume, replay, trade on paper, see the demo. [S]

The operators' commands work from the database alone, so they answer when the worker is dead; those
that only read use a read-only role.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar

import click

from live.cli_parts import json_option, nobody_watches, now, operator_of, scope_option, watch_option
from prodsafe.errors import ExitCode
from prodsafe.output import run_entry, say_error, say_json

if TYPE_CHECKING:
    from live.book import Book
    from live.reader import Reader
    from live.screens import Grid
    from live.status_screen import View
    from live.terminal import Answer


class _Commands(click.Group):
    """The commands below and those of other modules, which are imported when they are asked for."""

    elsewhere: ClassVar = {
        "candles": "live.replay_cli",
        "events": "live.trace_cli",
        "flatten": "live.flatten_cli",
        "halt": "live.latch_cli",
        "paper": "live.replay_cli",
        "replay": "live.replay_cli",
        "resume": "live.latch_cli",
        "settings": "live.settings_cli",
        "thaw": "live.flatten_cli",
        "trace": "live.trace_cli",
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *self.elsewhere])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if (module := self.elsewhere.get(cmd_name)) is None:
            return super().get_command(ctx, cmd_name)
        command: click.Command = getattr(import_module(module), cmd_name)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Look at the worker and hold it back; replay and paper try its strategy.

    Needs DATABASE_URL, the worker's own database: whether a worker runs or not, the answers come from there. Nothing
    here sends an order. `halt` stops new entries at once; open positions keep their stops, and only a person clears
    it, with `resume`. `flatten` asks the worker to close them.

    \b
    Begin with:
      python -m live status                      who, how, why, and what next
      python -m live halt --reason "news"        no new entries from now on

    Exit codes: 0 done, 1 refused or not healthy, 2 wrong usage, 6 the database does not answer.
    """


class _Followed:
    """The account's book, folded once and then only forward. Rows that cannot be used are named on stderr (I43)."""

    def __init__(self) -> None:
        self._book: Book | None = None
        self._last_id = 0

    def catch_up(self, reader: Reader, account: str) -> Book:
        from live.book import Book
        from live.fold_rows import BULK
        from live.operators import fold_event_on

        if self._book is None:
            book, rows = Book(), reader.to_fold(account)
        else:
            news = reader.history(account, after_id=self._last_id, leaving_out=BULK)
            book, rows = self._book, ((row.id, row.event) for row in news)
        for row_id, event in rows:
            self._last_id = row_id
            for why in fold_event_on(book, row_id, event):
                say_error(why)
        self._book = book
        return book


@cli.command()
@watch_option
@scope_option
@json_option
def status(scope: str | None, as_json: bool, every_seconds: float | None) -> int:
    """Who holds the account, is it protected, is it halted, is it healthy, why, and what next.

    From the database alone, so it answers when the worker is dead, and says so. Exit 0 when healthy, 1 when not; a
    worker that stopped cleanly trades nothing, which is 1 too. A watch ends with 0.

    \b
    Example:
      python -m live status --watch 5
    """
    from live.screens import lines_text
    from live.status_screen import status_json, status_lines, status_sentence
    from live.terminal import Answer, give

    operator, followed = operator_of(scope), _Followed()

    def look() -> Answer:
        with operator.reading() as (reader, account):
            view = _view(reader, account, followed)
        lines = status_lines(view)
        code = ExitCode.REFUSED if view.reasons else ExitCode.OK
        return Answer(lines, lines_text(lines), status_json(view), news=status_sentence(view), exit_code=code)

    return give(look, as_json=as_json, every_seconds=every_seconds)


def _view(reader: Reader, account: str, followed: _Followed) -> View:
    from live.reader import is_beating
    from live.status_screen import View

    lease = reader.lease(account)
    return View(
        account=account,
        now=now(),
        status=reader.status(account),
        halt=reader.halt(account),
        lease=lease,
        beating=lease is not None and is_beating(lease),
        book=followed.catch_up(reader, account),
        flattens=tuple(reader.open_flattens(account)),
        decisions=tuple(reader.decisions(account)),
    )


@cli.command()
@watch_option
@scope_option
@json_option
@click.option("--all", "closed_too", is_flag=True, help="Closed positions too, the last 200.")
def positions(scope: str | None, as_json: bool, closed_too: bool, every_seconds: float | None) -> int:
    """Open positions, as the journal tells them, entries in flight included.

    Phase `open` means: contracts are held without a live stop of their full size; `naked s` says for how long, else the
    longest such time. Exit 0, whatever there is.

    \b
    Example:
      python -m live positions --json | jq '.[] | select(.phase == "open")'
    """
    from live.screens import positions_grid

    followed = _Followed()

    def grid(reader: Reader, account: str) -> Grid:
        book = followed.catch_up(reader, account)
        return positions_grid(list(book.positions.values()) if closed_too else book.open_positions(), now())

    return _give_grid(scope, grid, as_json=as_json, every_seconds=every_seconds)


@cli.command()
@watch_option
@scope_option
@json_option
@click.option("--all", "settled_too", is_flag=True, help="Settled orders too, of open and the last closed positions.")
def orders(scope: str | None, as_json: bool, settled_too: bool, every_seconds: float | None) -> int:
    """Orders that work at the venue, or whose fate is unknown. Exit 0, whatever there is.

    \b
    Example:
      python -m live orders --all
    """
    from live.screens import orders_grid

    followed = _Followed()

    def grid(reader: Reader, account: str) -> Grid:
        book = followed.catch_up(reader, account)
        return orders_grid([order for order in book.orders.values() if settled_too or order.is_working], now())

    return _give_grid(scope, grid, as_json=as_json, every_seconds=every_seconds)


def _give_grid(
    scope: str | None, grid: Callable[[Reader, str], Grid], *, as_json: bool, every_seconds: float | None
) -> int:
    from live.screens import grid_json, grid_text
    from live.terminal import Answer, give

    operator = operator_of(scope)

    def look() -> Answer:
        with operator.reading() as (reader, account):
            found, absent = grid(reader, account), nobody_watches(reader, account)
        text = grid_text(found)
        return Answer(found, text, grid_json(found), news=text, aside=absent)

    return give(look, as_json=as_json, every_seconds=every_seconds)


@cli.command()
@click.option("--keep", is_flag=True, help="Leave it running at the end, and print its addresses.")
def demo(keep: bool) -> int:
    """The whole story on an embedded PostgreSQL and a simulated venue: no account, no network."""
    from live.demo import main as tell

    return tell(keep=keep)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, run one command, return its exit code (SPEC section 4)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    as_json = bool({"--json", "--jsonl"} & set(words))

    def body() -> int:
        try:
            return int(cli.main(words, prog_name="python -m live", standalone_mode=False) or 0)
        except click.ClickException as error:
            return _wrong_usage(error, as_json=as_json)
        except click.Abort:
            return ExitCode.OK

    return run_entry(body, as_json=as_json)


def _wrong_usage(error: click.ClickException, *, as_json: bool) -> int:
    """As click words it, but through the mask, and as data where data was asked for."""
    if as_json:
        say_json({"ok": False, "usage": error.format_message()})
    context = getattr(error, "ctx", None)
    if context is not None:
        say_error(f"{context.get_usage()}\nTry '{context.command_path} --help'.\n")
    say_error(f"Error: {error.format_message()}")
    return ExitCode.USAGE

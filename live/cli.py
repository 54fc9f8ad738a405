"""What people type after `python -m live`: look, halt, resume, replay, trade on paper, see the demo. [S]

The operators' commands work from the database alone, so they answer when the worker is dead; those
that only read use a read-only role.
"""

from __future__ import annotations

import getpass
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import click

from live.cli_parts import database_url, json_option, this_environment
from prodsafe.errors import ExitCode
from prodsafe.output import run_entry, say, say_error, say_json

if TYPE_CHECKING:
    from live.book import Book
    from live.reader import Reader, Recorded
    from prodsafe.environment import Environment
    from prodsafe.postgres import Connection

_FOLLOW_SECONDS = 1.0
FC = TypeVar("FC", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Operator:
    """What was asked for. `scope` as given with --scope; `url` of the worker's database."""

    environment: Environment
    url: str
    scope: str | None

    @contextmanager
    def reading(self) -> Iterator[tuple[Reader, str]]:
        """A reader, and the account that is meant. Raises DatabaseRefused or GateRefused."""
        from live.operators import choose_scope, scope_of
        from live.reader import open_reader

        with open_reader(self.url, application_name="live/operator") as reader:
            yield reader, choose_scope(self.scope, scope_of(self.environment), reader.scopes())


def _not_blank(_context: click.Context, _parameter: click.Parameter, text: str) -> str:
    if not text.strip():
        raise click.BadParameter("say why, in words")
    return text.strip()


def reason_option(help_text: str) -> Callable[[FC], FC]:
    return click.option("--reason", required=True, callback=_not_blank, help=help_text)


scope_option = click.option(
    "--scope",
    help="The account, as `status` prints it. Else ENVIRONMENT, EXCHANGE_ID and EXCHANGE_ACCOUNT name it, else it is"
    " the only one in the database.",
)


class _Commands(click.Group):
    """The commands below and those of other modules, which are imported when they are asked for."""

    elsewhere: ClassVar = {
        "candles": "live.replay_cli",
        "flatten": "live.flatten_cli",
        "paper": "live.replay_cli",
        "replay": "live.replay_cli",
        "settings": "live.settings_cli",
        "thaw": "live.flatten_cli",
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

    Needs DATABASE_URL, the worker's own database. Nothing here sends an order. `halt` stops new entries at once; open
    positions keep their stops, and only a person clears it, with `resume`. `flatten` asks the worker to close them.
    """


@cli.command()
@scope_option
@json_option
def status(scope: str | None, as_json: bool) -> int:
    """Who holds the account, is it healthy, is it protected, is it halted. Exit 0 when healthy, 1 when not."""
    from live.status import as_dict, problems

    with operator_of(scope).reading() as (reader, account):
        seen, halt, lease = reader.status(account), reader.halt(account), reader.lease(account)
    reasons = ["no worker has reported on this account"] if seen is None else problems(seen, _now())
    if as_json:
        say_json(
            {
                "scope": account,
                "healthy": not reasons,
                "reasons": reasons,
                "status": as_dict(seen) if seen else None,
                "halt": {"halted": halt.halted, "reason": halt.reason, "who": halt.who, "at": _iso(halt.at)},
                "lease": lease.as_dict() if lease else None,
            }
        )
    else:
        from live.operators import status_lines

        say("\n".join(status_lines(account, seen, halt, lease, reasons, _now())))
    return ExitCode.REFUSED if reasons else ExitCode.OK


@cli.command()
@reason_option("Why; it is recorded and shown everywhere.")
@scope_option
@json_option
def halt(reason: str, scope: str | None, as_json: bool) -> int:
    """Set the halt latch: no new entries from the next check before a send on. Exits and stops stay."""
    from live import latch

    operator = operator_of(scope)
    with operator.reading() as (reader, account):
        before = reader.halt(account)
    with writing(operator.url) as connection:
        latch.set_halt(connection, account, reason=reason, who=who())
    if as_json:
        say_json({"scope": account, "halted": True, "reason": reason, "who": who(), "was_halted": before.halted})
    else:
        say(f"halted {account}: {reason}")
        if before.halted:
            say(f"it was halted before by {before.who}: {before.reason}")
        say("no new entries; open positions keep their stops. Clear it with: python -m live resume --reason ...")
    return ExitCode.OK


@cli.command()
@reason_option("Why it is safe to trade again; it is recorded.")
@scope_option
@json_option
def resume(reason: str, scope: str | None, as_json: bool) -> int:
    """Clear the halt latch. Says what was cleared; a halt set meanwhile by somebody else is not cleared.

    Refused while a flatten is open: what is entered next would be closed at once.
    """
    from live import latch

    operator = operator_of(scope)
    with operator.reading() as (reader, account):
        before = reader.halt(account)
        flattens = reader.open_flattens(account)
    if flattens:
        open_words = ", ".join(f"{each.request_id} by {each.who}" for each in flattens)
        say_error(
            f"{account}: a flatten is still open ({open_words}); wait for it, or: python -m live flatten --withdraw"
        )
        return ExitCode.REFUSED
    if not before.halted:
        _answer(as_json, f"{account} is not halted; nothing to clear", scope=account, cleared=None)
        return ExitCode.OK
    with writing(operator.url) as connection:
        cleared = latch.clear_halt(connection, account, reason=reason, who=who(), seen_id=before.id)
    if not cleared:
        say_error(f"{account}: the latch moved while you were looking; nothing was cleared. Look again: live status")
        return ExitCode.REFUSED
    was = {"reason": before.reason, "who": before.who, "at": _iso(before.at)}
    _answer(
        as_json,
        f"resumed {account}; cleared: {before.reason} (set by {before.who} at {_iso(before.at)})",
        scope=account,
        cleared=was,
    )
    return ExitCode.OK


@cli.command()
@scope_option
@json_option
@click.option("--all", "closed_too", is_flag=True, help="Closed positions too.")
def positions(scope: str | None, as_json: bool, closed_too: bool) -> int:
    """Open positions, as the journal tells them."""
    from live.operators import POSITION_HEADS, position_row

    with operator_of(scope).reading() as (reader, account):
        book = _fold(reader, account)
    chosen = list(book.positions.values()) if closed_too else book.open_positions()
    rows = [position_row(position, _now()) for position in chosen]
    _tabulate(as_json, POSITION_HEADS, rows, "no open position")
    return ExitCode.OK


@cli.command()
@scope_option
@json_option
@click.option("--all", "settled_too", is_flag=True, help="Settled orders too.")
def orders(scope: str | None, as_json: bool, settled_too: bool) -> int:
    """Orders that work at the venue, or whose fate is unknown."""
    from live.operators import ORDER_HEADS, order_row

    with operator_of(scope).reading() as (reader, account):
        book = _fold(reader, account)
    chosen = [order for order in book.orders.values() if settled_too or order.is_working]
    _tabulate(as_json, ORDER_HEADS, [order_row(order) for order in chosen], "no working order")
    return ExitCode.OK


@cli.command()
@scope_option
@json_option
@click.option("--symbol", help="Only events that speak of this symbol, e.g. BTC/USD:USD.")
@click.option("--kind", "kinds", multiple=True, help="Only this kind of event, e.g. decided; may be repeated.")
@click.option("--limit", default=40, show_default=True, type=click.IntRange(1, 100_000), help="How many, newest last.")
@click.option("--follow", is_flag=True, help="Go on printing new events until interrupted.")
def trace(
    scope: str | None, as_json: bool, symbol: str | None, kinds: tuple[str, ...], limit: int, follow: bool
) -> int:
    """What happened and why, one line per event."""
    from live.operators import trace_dict, trace_line

    with operator_of(scope).reading() as (reader, account):
        for row in _tail(reader, account, symbol=symbol, kinds=kinds, limit=limit, follow=follow):
            if as_json:
                say_json(trace_dict(row))
            else:
                say(trace_line(row))
    return ExitCode.OK


def _tail(
    reader: Reader, account: str, *, symbol: str | None, kinds: Sequence[str], limit: int, follow: bool
) -> Iterator[Recorded]:
    """The newest rows, then, when following, each new one as it comes."""
    rows = reader.tail(account, limit=limit, symbol=symbol, kinds=kinds)
    last_id = 0
    while True:
        yield from rows
        last_id = rows[-1].id if rows else last_id
        if not follow:
            return
        time.sleep(_FOLLOW_SECONDS)
        rows = reader.tail(account, limit=limit, symbol=symbol, kinds=kinds, after_id=last_id)


@cli.command()
@click.option("--keep", is_flag=True, help="Leave it running at the end, and print its addresses.")
def demo(keep: bool) -> int:
    """The whole story on an embedded PostgreSQL and a simulated venue: no account, no network."""
    from live.demo import main as tell

    return tell(keep=keep)


def operator_of(scope: str | None) -> Operator:
    environment = this_environment()
    return Operator(environment, database_url(environment), scope)


@contextmanager
def writing(url: str) -> Iterator[Connection]:
    """A connection that may write the latch; PostgreSQL's refusals become ours."""
    import psycopg

    from live.reader import unreadable
    from prodsafe.postgres import connect

    with connect(url, application_name="live/operator") as connection:
        try:
            with connection.transaction():  # for its length only: what a session sets leaks through a pooler
                connection.execute("SET LOCAL lock_timeout = 3000")
                yield connection
        except psycopg.Error as error:
            raise unreadable(error) from error


def _fold(reader: Reader, account: str) -> Book:
    """The book of the account. Rows that cannot be read or folded are named on stderr and left out (I43)."""
    from live.fold_rows import BULK
    from live.operators import fold_leniently

    book, left_out = fold_leniently(reader.history(account, leaving_out=BULK))
    for why in left_out:
        say_error(why)
    return book


def _tabulate(as_json: bool, heads: Sequence[str], rows: Sequence[Sequence[Any]], none: str) -> None:
    from live.operators import plain_json, table

    if as_json:
        say_json([dict(zip(heads, map(plain_json, row), strict=True)) for row in rows])
    else:
        say(table([head.replace("_", " ") for head in heads], rows) if rows else none)


def _answer(as_json: bool, text: str, **data: Any) -> None:
    if as_json:
        say_json(data)
    else:
        say(text)


def who() -> str:
    """The person, for the record: user@host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def _now() -> datetime:
    return datetime.now(UTC)


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat()


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, run one command, return its exit code (SPEC section 4)."""
    words = list(sys.argv[1:] if arguments is None else arguments)

    def body() -> int:
        try:
            return int(cli.main(words, prog_name="python -m live", standalone_mode=False) or 0)
        except click.ClickException as error:
            error.show()
            return ExitCode.USAGE
        except click.Abort:
            return ExitCode.OK

    return run_entry(body, as_json="--json" in words)

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
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from live.settings import TIMEFRAMES
from live.simulator.scenarios import SCENARIOS
from prodsafe.errors import ExitCode, GateRefused, RefusalKind
from prodsafe.output import register_secrets, run_entry, say, say_error, say_json
from prodsafe.values import read_seconds

if TYPE_CHECKING:
    from live.book import Book
    from live.reader import Reader, Recorded
    from prodsafe.environment import Environment
    from prodsafe.postgres import Connection

OPERATOR_DATABASE = RefusalKind("H05", "operator-database")

_FOLLOW_SECONDS = 1.0
_PROGRESS_SECONDS = 2.0


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


def _utc(_context: click.Context, _parameter: click.Parameter, text: str | None) -> datetime | None:
    """ISO 8601; a time without a zone is UTC, as every time here is."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no date or time, as 2026-03-01 or 2026-03-01T12:00Z") from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _seconds(_context: click.Context, _parameter: click.Parameter, text: str | None) -> float | None:
    try:
        return None if text is None else read_seconds(text)
    except ValueError as wrong:
        raise click.BadParameter(f"{text!r} {wrong}") from None


scope_option = click.option(
    "--scope",
    help="The account, as `status` prints it. Else ENVIRONMENT, EXCHANGE_ID and EXCHANGE_ACCOUNT name it, else it is"
    " the only one in the database.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="The same as data, for machines.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Look at the worker and hold it back; replay and paper try its strategy.

    Needs DATABASE_URL, the worker's own database. Nothing here sends an order. `halt` stops new entries at once; open
    positions keep their stops, and only a person clears it, with `resume`.
    """


@cli.command()
@scope_option
@json_option
def status(scope: str | None, as_json: bool) -> int:
    """Who holds the account, is it healthy, is it protected, is it halted. Exit 0 when healthy, 1 when not."""
    from live.status import as_dict, problems

    with _operator(scope).reading() as (reader, account):
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
@click.option("--reason", required=True, callback=_not_blank, help="Why; it is recorded and shown everywhere.")
@scope_option
@json_option
def halt(reason: str, scope: str | None, as_json: bool) -> int:
    """Set the halt latch: no new entries from the next check before a send on. Exits and stops stay."""
    from live import latch

    operator = _operator(scope)
    with operator.reading() as (reader, account):
        before = reader.halt(account)
    with _writing(operator.url) as connection:
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
@click.option("--reason", required=True, callback=_not_blank, help="Why it is safe to trade again; it is recorded.")
@scope_option
@json_option
def resume(reason: str, scope: str | None, as_json: bool) -> int:
    """Clear the halt latch. Says what was cleared; a halt set meanwhile by somebody else is not cleared."""
    from live import latch

    operator = _operator(scope)
    with operator.reading() as (reader, account):
        before = reader.halt(account)
    if not before.halted:
        _answer(as_json, f"{account} is not halted; nothing to clear", scope=account, cleared=None)
        return ExitCode.OK
    with _writing(operator.url) as connection:
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

    with _operator(scope).reading() as (reader, account):
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

    with _operator(scope).reading() as (reader, account):
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

    with _operator(scope).reading() as (reader, account):
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
@click.option(
    "--csv",
    "csv_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Candles of this file; columns: opened_at (ISO 8601 UTC or epoch seconds), open, high, low, close, volume.",
)
@click.option("--scenario", type=click.Choice(list(SCENARIOS)), help="Made-up candles instead.")
@click.option("--seed", default=1, show_default=True, help="Of the scenario.")
@click.option("--bars", default=3000, show_default=True, type=click.IntRange(1, 1_000_000), help="Of the scenario.")
@click.option("--symbol", help="Default: the first of LIVE_SYMBOLS.")
@click.option("--timeframe", type=click.Choice(TIMEFRAMES), help="Default: LIVE_TIMEFRAME.")
@click.option("--from", "begin_at", callback=_utc, help="Trade from here on (UTC); candles before it warm up.")
@click.option("--to", "end_at", callback=_utc, help="Use no candle that closes after this (UTC).")
@click.option("--balance", default=10_000.0, show_default=True, type=click.FloatRange(min=1), help="To begin with.")
@json_option
def replay(
    csv_file: Path | None,
    scenario: str | None,
    seed: int,
    bars: int,
    symbol: str | None,
    timeframe: str | None,
    begin_at: datetime | None,
    end_at: datetime | None,
    balance: float,
    as_json: bool,
) -> int:
    """What the worker would have done: recorded candles through its own strategy, risk and execution, on paper.

    The candles are those that workers have read (DATABASE_URL), of --csv or of --scenario. LIVE_* and RISK_* are the
    worker's settings. Nothing looks ahead, nothing is written, and the same candles give the same trades; where a
    candle does not tell, the worse is assumed, as printed at the end. It is no forecast.
    """
    import asyncio

    from live.market import timeframe as length_of
    from live.paper_loop import require_settings
    from live.recorded import cut, make_scenario_candles, read_candle_file, read_journal_candles
    from live.replay import replay as run
    from live.replay_report import as_data, as_text, summary_of, trades_of

    if csv_file and scenario:
        raise click.UsageError("--csv and --scenario are two sources of candles: choose one")
    environment = _environment()
    settings = require_settings(environment)
    symbol, length = symbol or settings.live_symbols[0], length_of(timeframe or settings.live_timeframe)
    if csv_file:
        candles = read_candle_file(csv_file, symbol, length)
    elif scenario:
        candles = make_scenario_candles(scenario, seed=seed, bars=bars, symbol=symbol, timeframe=length)
    else:
        candles = read_journal_candles(_database_url(environment), symbol, length)
    replayed = asyncio.run(
        run(
            cut(candles, begin_at=begin_at, end_at=end_at),
            settings,
            begin_at=begin_at,
            balance_quote=Decimal(str(balance)),
            progress=_progress(),
        )
    )
    trades = trades_of(replayed.events)
    summary = summary_of(replayed, trades)
    if as_json:
        say_json(as_data(summary, trades))
    else:
        say(as_text(summary, trades))
    return ExitCode.OK


def _progress() -> Callable[[int, int], None]:
    """Says on stderr how far a long run has come, now and then."""
    said_at = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal said_at
        if time.monotonic() - said_at >= _PROGRESS_SECONDS:
            said_at = time.monotonic()
            say_error(f"replay: {done} of {total} candles")

    return progress


@cli.command()
@click.option("--scenario", type=click.Choice(list(SCENARIOS)), help="Made-up prices; no network is needed.")
@click.option("--seconds", callback=_seconds, help="Stop by itself after this long.")
def paper(scenario: str | None, seconds: float | None) -> int:
    """Trade on paper: the worker's own loop on real prices, no key, no database, no order that leaves.

    Prices are the public market data of EXCHANGE_ID, or of the simulated venue at EXCHANGE_URL. LIVE_* and RISK_* are
    the worker's settings; WITH_HEALTH, HEALTH_HOST and PORT as there. DRY_RUN=0 is refused. What it holds and has lost
    is forgotten when it ends.
    """
    from live.paper_loop import build_paper, require_paper_settings, trade_on_paper

    environment = _environment()
    settings = require_paper_settings(environment)
    return trade_on_paper(
        environment,
        settings,
        build_paper(settings),
        scenario=scenario,
        seconds=seconds,
        with_health=environment.with_health,
    )


@cli.command()
@click.option("--keep", is_flag=True, help="Leave it running at the end, and print its addresses.")
def demo(keep: bool) -> int:
    """The whole story on an embedded PostgreSQL and a simulated venue: no account, no network."""
    from live.demo import main as tell

    return tell(keep=keep)


def _environment() -> Environment:
    """Read the environment, once."""
    from prodsafe.environment import read_environment

    environment = read_environment(os.environ)
    register_secrets(environment.secrets())
    return environment


def _operator(scope: str | None) -> Operator:
    environment = _environment()
    return Operator(environment, _database_url(environment), scope)


def _database_url(environment: Environment) -> str:
    """Raises GateRefused where the environment names no usable database."""
    if environment.database_url is None:
        malformed = [each for each in environment.problems if (each.seen or "").startswith("DATABASE_URL=")]
        missing = OPERATOR_DATABASE.because(
            "DATABASE_URL is not set; operators' commands look into the worker's database",
            mend="set DATABASE_URL as the worker has it",
        )
        raise GateRefused(*(malformed or [missing]))
    return environment.database_url


@contextmanager
def _writing(url: str) -> Iterator[Connection]:
    """A connection that may write the latch; PostgreSQL's refusals become ours."""
    import psycopg

    from live.reader import unreadable
    from prodsafe.postgres import connect

    with connect(url, application_name="live/operator", settings={"lock_timeout": 3000}) as connection:
        try:
            yield connection
        except psycopg.Error as error:
            raise unreadable(error) from error


def _fold(reader: Reader, account: str) -> Book:
    """The book of the account. Rows that cannot be read or folded are named on stderr and left out (I43)."""
    from live.operators import fold_leniently

    book, left_out = fold_leniently(reader.history(account))
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

"""`python -m live flatten | thaw`: a person wants positions closed, or a frozen symbol traded again. [S]

What is asked is written down before anything waits for it: the worker that holds the account performs it, and a
successor goes on where it was. Nothing here sends an order, unless --take-lease makes this process that worker.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from live.cli_parts import Operator, is_alive, json_option, operator_of, reason_option, scope_option, who, writing
from live.events import Ask, FlattenDone
from live.terminal import ask_line, can_ask
from prodsafe.errors import ExitCode, GateRefused, LeaseHeld, RefusalKind
from prodsafe.output import say, say_error, say_json

if TYPE_CHECKING:
    from live.book import Book
    from live.live_trading import LiveTrading
    from live.reader import Reader
    from live.settings import Settings
    from prodsafe.environment import Environment

UNKNOWN_SYMBOL = RefusalKind("H20", "nothing-known-of-symbol", ExitCode.REFUSED)
NO_WORKER = RefusalKind("H21", "no-worker-to-flatten", ExitCode.REFUSED)
NOT_CONFIRMED = RefusalKind("H22", "flatten-not-confirmed", ExitCode.REFUSED)
OTHER_ACCOUNT = RefusalKind("H23", "environment-names-another-account", ExitCode.REFUSED)

_LOOK_SECONDS = 0.5


@click.command()
@click.option("--symbol", help="Only this one, e.g. BTC/USD:USD.")
@click.option("--all", "everything", is_flag=True, help="Every symbol, foreign positions included.")
@reason_option("Why; it is recorded and shown everywhere.")
@click.option("--yes", "typed", metavar="SCOPE", help="Confirms without a question: the account, as `status` has it.")
@click.option("--wait", "wait_seconds", default=60.0, show_default=True, help="How long to wait for flat, in seconds.")
@click.option("--take-lease", is_flag=True, help="No worker runs: be it until all is flat. Needs its environment.")
@click.option("--withdraw", is_flag=True, help="Forget every flatten that is still open; the halt stays.")
@scope_option
@json_option
def flatten(
    symbol: str | None,
    everything: bool,
    reason: str,
    typed: str | None,
    wait_seconds: float,
    take_lease: bool,
    withdraw: bool,
    scope: str | None,
    as_json: bool,
) -> int:
    """Halt, close positions at market, wait until book and venue agree that they are flat. Exit 0 flat, 1 not yet.

    Entries stop first and are taken back; exits are market orders that only reduce; stops go once all is flat. What is
    asked stays asked over restarts and outages, until it is done or withdrawn.

    \b
    Examples:
      python -m live flatten --symbol BTC/USD:USD --reason "leaving it"
      python -m live flatten --withdraw --reason "changed my mind"
    """
    if withdraw:
        return _withdraw(operator_of(scope), reason, as_json)
    if (symbol is None) is not everything:
        raise click.UsageError("say either --symbol S or --all")
    operator = operator_of(scope)
    settings = _require_worker_environment(operator) if take_lease else None
    with operator.reading() as (reader, account):
        _require_known(reader, account, symbol)
        if settings is None:
            _require_worker(reader, account)
        _confirm(account, _held(reader, account, symbol), typed, as_json)
    request_id = _ask(operator, account, symbol, reason)
    if not as_json:
        say(f"halted {account}; request {request_id} is written down: {_what(symbol)} is to be flat")
    if settings is not None and _was_the_worker(operator.environment, settings, wait_seconds):
        wait_seconds = 0.0
    left = _watch(operator, request_id, wait_seconds, as_json)
    return _verdict(account, request_id, left, as_json)


@click.command()
@click.option("--symbol", help="Only this one; else every frozen symbol.")
@reason_option("What you found; it is recorded.")
@scope_option
@json_option
def thaw(symbol: str | None, reason: str, scope: str | None, as_json: bool) -> int:
    """Let frozen symbols be traded again. Say what you found; what is still wrong at the venue freezes them anew.

    Exit 0: asked for, or nothing was frozen.

    \b
    Example:
      python -m live thaw --symbol BTC/USD:USD --reason "row 812 was a test of ours"
    """
    from live.people import ask

    operator = operator_of(scope)
    with operator.reading() as (reader, account):
        frozen = {each: why for each, why in _fold(reader, account).frozen.items() if symbol in (None, each)}
    if not frozen:
        _answer(as_json, f"{account}: {symbol or 'nothing'} is not frozen", scope=account, frozen={})
        return ExitCode.OK
    with writing(operator.url) as connection:
        request_id = ask(connection, account, Ask.THAW, symbol=symbol, reason=reason, who=who())
    words = "; ".join(f"{each} ({why})" for each, why in frozen.items())
    text = f"request {request_id}: the worker thaws at its next look: {words}"
    _answer(as_json, text, scope=account, request_id=request_id, frozen=frozen)
    return ExitCode.OK


# --- before anything is written -------------------------------------------------------------------------------------


def _require_known(reader: Reader, account: str, symbol: str | None) -> None:
    """A misspelt symbol holds nothing, and would be reported flat."""
    known = reader.symbols(account)
    if symbol is None or symbol in known:
        return
    raise GateRefused(
        UNKNOWN_SYMBOL.because(
            f"this account's journal knows nothing of it; it knows: {', '.join(known) or 'no symbol'}",
            seen=symbol,
            mend="name one of those, or --all",
        )
    )


def _require_worker(reader: Reader, account: str) -> None:
    if is_alive(reader, account):
        return
    lease = reader.lease(account)
    raise GateRefused(
        NO_WORKER.because(
            "no worker holds this account, so nobody would close anything; nothing was written",
            seen=lease.as_text() if lease else "never taken",
            mend="start the worker and repeat this, or repeat it with --take-lease in the worker's environment",
        )
    )


def _require_worker_environment(operator: Operator) -> Settings:
    """The worker's own gates, none left out; and the account that it would trade must be the one that is meant."""
    from live.operators import scope_of
    from live.prod_live import pass_worker_gates

    settings = pass_worker_gates(operator.environment, force=False)
    named = scope_of(operator.environment)
    with operator.reading() as (_, account):
        if account == named:
            return settings
    raise GateRefused(
        OTHER_ACCOUNT.because(
            f"the environment names {named}, and the command means {account}",
            mend="set EXCHANGE_ID, EXCHANGE_ACCOUNT and ENVIRONMENT as that account's worker has them",
        )
    )


def _held(reader: Reader, account: str, symbol: str | None) -> list[str]:
    """What would be closed, as far as the journal and the worker's last word tell."""
    held = [
        f"{each.symbol} {each.side} {each.qty or each.wanted_qty} {each.phase}"
        for each in _fold(reader, account).open_positions()
        if symbol in (None, each.symbol)
    ]
    status = reader.status(account)
    return [*held, *(each for each in (status.findings if status else ()) if symbol is None or symbol in each)]


def _confirm(account: str, held: Sequence[str], typed: str | None, as_json: bool) -> None:
    """The account's name, typed by a person or given with --yes. Raises GateRefused on anything else."""
    if typed is None and not as_json and can_ask():
        say("\n".join(["to be closed at market:", *(f"  {each}" for each in held or ["nothing that is known of"])]))
        typed = ask_line(f"type {account} to go on: ")
    if typed != account:
        raise GateRefused(
            NOT_CONFIRMED.because(
                "closing positions wants the account's whole name, typed or given; nothing was written",
                seen=typed,
                mend=f"repeat it with --yes {account}",
            )
        )


# --- asking, and watching it happen -----------------------------------------------------------------------------------


def _ask(operator: Operator, account: str, symbol: str | None, reason: str) -> int:
    """Halt and request in one transaction: no entry is sent between the two."""
    from live import latch, people
    from live.status import HaltCause

    with writing(operator.url) as connection:
        words = f"flatten {_what(symbol)}: {reason}"
        latch.set_halt(connection, account, reason=words, who=who(), cause=HaltCause.FLATTEN)
        return people.ask(connection, account, Ask.FLATTEN, symbol=symbol, reason=reason, who=who())


def _withdraw(operator: Operator, reason: str, as_json: bool) -> int:
    from live import people

    with operator.reading() as (reader, account):
        numbers = [each.request_id for each in reader.open_flattens(account)]
    if not numbers:
        _answer(as_json, f"{account}: no flatten is open", scope=account, withdrawn=[])
        return ExitCode.OK
    with writing(operator.url) as connection:
        people.ask(connection, account, Ask.WITHDRAW, symbol=None, reason=reason, who=who())
    text = f"{account}: withdrawn: {', '.join(map(str, numbers))}; an exit that was sent already may still fill"
    _answer(as_json, f"{text}. The halt stays: python -m live resume --reason ...", scope=account, withdrawn=numbers)
    return ExitCode.OK


def _was_the_worker(environment: Environment, settings: Settings, wait_seconds: float) -> bool:
    """Schema, lease, boot, and ticks until it is flat or the time is over; then a drain. Raises what ends a worker.

    False where another worker took the lease first: it performs what was written down, and is to be waited for.
    """
    from live.worker import run_worker

    deadline = time.monotonic() + wait_seconds

    def is_over(trading: LiveTrading) -> bool:
        return not trading.book.flattening or time.monotonic() >= deadline

    try:
        run_worker(environment, settings, until=is_over)
    except LeaseHeld as held:
        say_error(held.refusals[0].cause)
        return False
    return True


def _watch(operator: Operator, request_id: int, wait_seconds: float, as_json: bool) -> list[str]:
    """What is left once it is done, withdrawn or the time is over; [] only for what the worker recorded as flat."""
    deadline, told = time.monotonic() + wait_seconds, ""
    while True:
        with operator.reading() as (reader, account):
            left = _left(reader, account, request_id)
            alive = is_alive(reader, account)
        words = "; ".join(left) if alive else f"no worker holds the account now; left: {'; '.join(left)}"
        if left and words != told and not as_json:
            say(words)
            told = words
        if not left or time.monotonic() >= deadline:
            return left
        time.sleep(_LOOK_SECONDS)


def _left(reader: Reader, account: str, request_id: int) -> list[str]:
    """[] when the journal says that venue and book agreed twice on flat, and folds to flat too."""
    from live import flatten as flattening

    book = _fold(reader, account)
    asked = next((each for each in reader.open_flattens(account) if each.request_id == request_id), None)
    if asked is not None:
        taken = request_id in book.flattening
        return flattening.left(asked, book) or ["waits for the second look" if taken else "not taken up yet"]
    done = reader.tail(account, kinds=["flatten_done"], limit=20)
    if any(isinstance(row.event, FlattenDone) and row.event.request_id == request_id for row in done):
        return []
    return ["withdrawn"]


def _verdict(account: str, request_id: int, left: Sequence[str], as_json: bool) -> int:
    if as_json:
        say_json({"scope": account, "request_id": request_id, "flat": not left, "left": list(left), "halted": True})
    elif left:
        say_error(f"not flat yet: {'; '.join(left)}")
        say_error(f"request {request_id} stays open: the worker or its successor goes on. Look: python -m live status")
    else:
        say("flat: nothing is held and nothing of ours rests. Still halted: python -m live resume --reason ...")
    return ExitCode.REFUSED if left else ExitCode.OK


def _what(symbol: str | None) -> str:
    return symbol or "everything"


def _fold(reader: Reader, account: str) -> Book:
    from live.fold_rows import BULK
    from live.operators import fold_leniently

    return fold_leniently(reader.history(account, leaving_out=BULK))[0]


def _answer(as_json: bool, text: str, **data: object) -> None:
    if as_json:
        say_json(data)
    else:
        say(text)

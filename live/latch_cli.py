"""`python -m live halt | resume`: the brake, and how a person lets go of it. [S]"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from live.cli_parts import is_alive, json_option, now, operator_of, reason_option, scope_option, who, writing
from prodsafe.errors import ExitCode, GateRefused, RefusalKind
from prodsafe.output import say, say_json

if TYPE_CHECKING:
    from live.events import PersonAsked
    from live.status import Halt, Status

FLATTEN_OPEN = RefusalKind("H24", "flatten-still-open", ExitCode.REFUSED)
LATCH_MOVED = RefusalKind("H25", "latch-moved", ExitCode.REFUSED)
NOT_RESUMED = RefusalKind("H26", "resume-not-confirmed", ExitCode.REFUSED)


@click.command()
@reason_option("Why; it is recorded and shown everywhere.")
@scope_option
@json_option
def halt(reason: str, scope: str | None, as_json: bool) -> int:
    """Set the halt latch: no new entries from the next check before a send on. Exits and stops stay.

    It asks nothing but why: a brake must not. Halting what is halted adds the reason to the record, and says so; with
    the same words it changes nothing. Works without a worker: the next one starts halted. Exit 0: it is halted.

    \b
    Example:
      python -m live halt --reason "news: looking at the venue by hand"
    """
    from live import latch

    operator = operator_of(scope)
    with operator.reading() as (reader, account):
        before, status, alive = reader.halt(account), reader.status(account), is_alive(reader, account)
    is_new = not (before.halted and (before.reason, before.who) == (reason, who()))
    if is_new:
        with writing(operator.url) as connection:
            latch.set_halt(connection, account, reason=reason, who=who())
    following = what_a_halt_does(status, alive=alive)
    if as_json:
        say_json(
            {
                "scope": account,
                "halted": True,
                "reason": reason,
                "who": who(),
                "was_halted": before.halted,
                "was": _as_dict(before) if before.halted else None,
                "recorded": is_new,
                "worker_alive": alive,
                "then": following,
            }
        )
    else:
        say("\n".join([*_halted_words(account, reason, before, is_new=is_new), *following]))
    return ExitCode.OK


def _halted_words(account: str, reason: str, before: Halt, *, is_new: bool) -> list[str]:
    if not before.halted:
        return [f"halted {account}: {reason}"]
    if not is_new:
        return [f"{account} was halted already, in these words, {_since(before)}; nothing was written"]
    return [
        f"halted {account}: {reason}",
        f"it was halted already, {_since(before)}: {before.reason}; both reasons are on record",
    ]


def what_a_halt_does(status: Status | None, *, alive: bool) -> list[str]:
    """What happens next, in words for a person."""
    from live.screens import count

    kept = "exits, targets and stops stay in force"
    if status is not None and (status.open_positions or status.live_orders):
        held = f"{count(status.open_positions, 'open position')}, {count(status.live_orders, 'working order')}"
        kept = f"{kept} ({held})"
    if alive:
        taken = f"no entry is sent from now on; at its next look the worker takes resting entries back; {kept}"
    else:
        taken = f"no worker holds the account now: nothing is sent anyway, and the next one starts halted; {kept}"
    return [taken, 'next: python -m live status; to clear it: python -m live resume --reason "..."']


@click.command()
@reason_option("Why it is safe to trade again; it is recorded.")
@click.option("--yes", is_flag=True, help="Do not ask at a terminal.")
@scope_option
@json_option
def resume(reason: str, yes: bool, scope: str | None, as_json: bool) -> int:
    """Clear the halt latch. Says what was cleared; a halt set meanwhile by somebody else is not cleared.

    At a terminal it shows the halt and asks. Peak equity and the day's start begin anew: who resumes answers for what
    was lost. Refused while a flatten is open: what is entered next would be closed at once. Exit 0: not halted now.

    \b
    Example:
      python -m live resume --reason "looked: book and venue agree"
    """
    from live import latch

    operator = operator_of(scope)
    with operator.reading() as (reader, account):
        before, flattens, alive = reader.halt(account), reader.open_flattens(account), is_alive(reader, account)
    _require_no_flatten(account, flattens)
    if not before.halted:
        _answer(as_json, [f"{account} is not halted; nothing to clear"], scope=account, cleared=None)
        return ExitCode.OK
    if not (yes or as_json):
        _confirm(account, before)
    with writing(operator.url) as connection:
        if not latch.clear_halt(connection, account, reason=reason, who=who(), seen_id=before.id):
            _refuse_moved(account)
    following = what_a_resume_does(alive=alive)
    cleared = f"resumed {account}; cleared: {before.reason} (set {_since(before)})"
    _answer(as_json, [cleared, *following], scope=account, cleared=_as_dict(before), worker_alive=alive, then=following)
    return ExitCode.OK


def what_a_resume_does(*, alive: bool) -> list[str]:
    if not alive:
        return ["no worker holds the account now: the next one trades as soon as it has reconciled"]
    return [
        "the worker sends entries again from its next look on, where nothing else holds them back; peak equity and the"
        " day's start begin anew",
        "next: python -m live status --watch",
    ]


def _require_no_flatten(account: str, flattens: Sequence[PersonAsked]) -> None:
    if not flattens:
        return
    words = ", ".join(f"{each.request_id} by {each.who}" for each in flattens)
    raise GateRefused(
        FLATTEN_OPEN.because(
            f"{account}: what would be entered next would be closed at once; a flatten is still open: {words}",
            mend='wait for it, or: python -m live flatten --withdraw --reason "..."',
        )
    )


def _refuse_moved(account: str) -> None:
    raise GateRefused(
        LATCH_MOVED.because(
            f"{account}: the latch moved while you were looking; nothing was cleared",
            mend="look again, then repeat this: python -m live status",
        )
    )


def _confirm(account: str, halted: Halt) -> None:
    """Asked of a person only; a script has said what it wants. Raises GateRefused unless the answer is yes."""
    from live.terminal import ask_line, can_ask

    if not can_ask():
        return
    say(f"{account} was halted {_since(halted)}: {halted.reason}")
    answer = ask_line("let it enter again? [y/N] ")
    if answer.lower() not in ("y", "yes"):
        raise GateRefused(
            NOT_RESUMED.because(
                "the halt stays: the question was not answered with yes; nothing was written",
                seen=answer or None,
                mend="repeat it and answer y, or give --yes",
            )
        )


def _since(halted: Halt) -> str:
    from live.screens import ago

    cause = f" for {halted.cause}" if halted.cause not in (None, "person") else ""
    return f"by {halted.who}{cause}, {ago(halted.at, now())}"


def _as_dict(halted: Halt) -> dict[str, str | None]:
    at = halted.at.isoformat() if halted.at else None
    return {"reason": halted.reason, "who": halted.who, "at": at, "cause": halted.cause}


def _answer(as_json: bool, lines: Sequence[str], **data: object) -> None:
    if as_json:
        say_json(data)
    else:
        say("\n".join(lines))

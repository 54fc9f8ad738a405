"""`python -m live trace`, also called `events`: what happened and why, row by row of the journal. [S]"""

from __future__ import annotations

import copy
import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import TYPE_CHECKING

import click

from live.cli_parts import Operator, json_option, nobody_watches, now, operator_of, scope_option, utc, watch_option
from prodsafe.errors import ExitCode, GateRefused, RefusalKind
from prodsafe.output import say, say_json

if TYPE_CHECKING:
    from live.reader import Reader, Recorded
    from live.terminal import Answer

SEARCH_TOO_LONG = RefusalKind("H27", "search-too-long", ExitCode.REFUSED)

EQUITY = "equity_observed"  # one a minute: of a quiet day's rows nearly all
FOLLOW_SECONDS = 1.0
NEWEST = 40
NEWEST_SINCE = 1000  # what --since shows without --limit
_AGE = re.compile(r"(?P<number>[0-9]{1,6})\s*(?P<unit>s|m|min|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "d": "days"}


def since(context: click.Context, parameter: click.Parameter, text: str | None) -> datetime | None:
    """ "2h" is two hours ago; else ISO 8601, UTC where no zone is named."""
    if text is not None and (age := _AGE.fullmatch(text.strip().lower())):
        return now() - timedelta(**{_UNITS[age["unit"]]: int(age["number"])})
    try:
        return utc(context, parameter, text)
    except click.BadParameter:
        raise click.BadParameter(f"{text!r} is neither an age, as 90s, 30m, 2h or 3d, nor an ISO time") from None


def kinds_known(_context: click.Context, _parameter: click.Parameter, kinds: tuple[str, ...]) -> tuple[str, ...]:
    """A misspelt kind finds nothing, and would look like nothing had happened."""
    from live.operators import KINDS

    for kind in kinds:
        if kind not in KINDS:
            near = get_close_matches(kind, KINDS, n=1)
            meant = f"did you mean {near[0]}? " if near else ""
            raise click.BadParameter(f"no event is called {kind!r}; {meant}they are: {', '.join(sorted(KINDS))}")
    return kinds


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows. limit: the newest so many; since: aware UTC; text: found anywhere in a row's fields, in any case.

    leaving_out: kinds that nobody asked for.
    """

    symbol: str | None
    kinds: tuple[str, ...]
    since: datetime | None
    text: str
    limit: int

    @property
    def leaving_out(self) -> tuple[str, ...]:
        return () if self.kinds or self.text else (EQUITY,)


@click.command()
@click.option("--symbol", help="Only events that speak of this symbol, e.g. BTC/USD:USD.")
@click.option("--kind", "kinds", multiple=True, callback=kinds_known, help="Only this kind, e.g. decided; repeatable.")
@click.option("--since", callback=since, metavar="AGE|TIME", help="Not older than this: 90s, 30m, 2h, 3d or ISO time.")
@click.option("--search", "text", default="", help="Only where this text is found: an order id, a word of a reason.")
@click.option("--limit", type=click.IntRange(1, 100_000), help="The newest so many; 40, with --since 1000.")
@click.option("--follow", is_flag=True, help="Go on printing new events, a line each, until Ctrl-C.")
@watch_option
@scope_option
@json_option
@click.option("--jsonl", "as_lines", is_flag=True, help="As data, one JSON object a line; the form for --follow.")
def trace(
    symbol: str | None,
    kinds: tuple[str, ...],
    since: datetime | None,
    text: str,
    limit: int | None,
    follow: bool,
    every_seconds: float | None,
    scope: str | None,
    as_json: bool,
    as_lines: bool,
) -> int:
    """What happened and why, newest last; `events` is the same command. Exit 0, whatever there is.

    Equity marks, one a minute, come only with --kind equity_observed or where --search finds them.

    \b
    Examples:
      python -m live trace --kind decided --symbol BTC/USD:USD --since 2h
      python -m live events --search ps-1f2e --jsonl
    """
    if as_json and (follow or as_lines):
        raise click.UsageError("--json is one array; with --follow, or one object a line, it is --jsonl")
    if as_lines and every_seconds is not None:
        raise click.UsageError("--watch shows the newest rows again and again; for new rows only: --follow --jsonl")
    wanted = Wanted(symbol, kinds, since, text, limit or (NEWEST_SINCE if since else NEWEST))
    operator = operator_of(scope)
    if follow or as_lines:
        return _stream(operator, wanted, as_lines=as_lines, follow=follow)
    return _table(operator, wanted, as_json=as_json, every_seconds=every_seconds)


events = copy.copy(trace)
events.name, events.short_help = "events", "The same as trace."


def _table(operator: Operator, wanted: Wanted, *, as_json: bool, every_seconds: float | None) -> int:
    from live.operators import trace_dict, trace_line
    from live.screens import events_grid
    from live.terminal import Answer, give

    def look() -> Answer:
        with operator.reading() as (reader, account):
            rows = find(reader, account, wanted)
            none = none_words(reader, account, wanted) if not rows else ""
            absent = nobody_watches(reader, account)
        grid = replace(events_grid(rows, now()), none=none)
        text = "\n".join(trace_line(row) for row in rows) or none
        return Answer(grid, text, [trace_dict(row) for row in rows], news=text, aside=absent)

    return give(look, as_json=as_json, every_seconds=every_seconds)


def none_words(reader: Reader, account: str, wanted: Wanted) -> str:
    known = reader.symbols(account)
    if wanted.symbol is None or wanted.symbol in known:
        return "no such event"
    return f"no event speaks of {wanted.symbol}; this account's journal knows: {', '.join(known) or 'no symbol'}"


def _stream(operator: Operator, wanted: Wanted, *, as_lines: bool, follow: bool) -> int:
    from live.operators import trace_dict, trace_line

    def tell(rows: Sequence[Recorded]) -> None:
        for row in rows:
            if as_lines:
                say_json(trace_dict(row))
            else:
                say(trace_line(row))

    with operator.reading() as (reader, account):
        last_id = newest_id(reader, account)
        tell([row for row in find(reader, account, wanted) if row.id <= last_id])
    if follow:
        _follow(operator, wanted, last_id, tell)
    return ExitCode.OK


def newest_id(reader: Reader, account: str) -> int:
    newest = reader.tail(account, limit=1)
    return newest[-1].id if newest else 0


def _follow(operator: Operator, wanted: Wanted, last_id: int, tell: Callable[[Sequence[Recorded]], None]) -> None:
    """Each look is its own short connection: a transaction that stays open for hours would hold the vacuum back."""
    try:
        while True:
            time.sleep(FOLLOW_SECONDS)
            with operator.reading() as (reader, account):
                rows = reader.tail(
                    account,
                    limit=NEWEST_SINCE,
                    symbol=wanted.symbol,
                    kinds=wanted.kinds,
                    leaving_out=wanted.leaving_out,
                    after_id=last_id,
                )
            last_id = rows[-1].id if rows else last_id
            tell([row for row in rows if holds(row, wanted.text)])
    except KeyboardInterrupt:
        return


def find(reader: Reader, account: str, wanted: Wanted) -> list[Recorded]:
    """The newest rows that match, oldest first. Raises GateRefused where a search reads through too much."""
    from live.reader import SearchTooLong

    try:
        if wanted.text:
            rows = reader.search(account, wanted.text, kinds=wanted.kinds, symbol=wanted.symbol, limit=wanted.limit)
        else:
            rows = reader.tail(
                account,
                limit=wanted.limit,
                symbol=wanted.symbol,
                kinds=wanted.kinds,
                leaving_out=wanted.leaving_out,
            )
    except SearchTooLong as error:
        raise GateRefused(
            SEARCH_TOO_LONG.because(str(error), seen=wanted.text, mend="repeat it with --kind or --symbol")
        ) from None
    # Rows are numbered as they are recorded, so the newest of all hold the newest since then.
    return [row for row in rows if wanted.since is None or row.recorded_at >= wanted.since]


def holds(row: Recorded, text: str) -> bool:
    """Whether a row's fields hold the text, whatever its case, as a search of the journal would say."""
    from live.operators import trace_dict

    return text.lower() in json.dumps(trace_dict(row)["event"], ensure_ascii=False).lower()

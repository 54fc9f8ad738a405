"""streamlit run live/dashboard.py: the read-only page for the person on call. [E]

Reads the journal under the read-only role, refreshes itself, sends nothing. What fails shows a calm sentence, never a
stack trace; details go to the log, masked.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock

import streamlit as st

from live import dashboard_parts as parts
from live.book import Book
from live.operators import KINDS, choose_scope, fold_on, scope_of
from live.position import Position
from live.reader import Reader, open_reader
from live.status import problems
from prodsafe.environment import read_environment
from prodsafe.errors import DatabaseRefused, GateRefused, Refused
from prodsafe.output import mask, register_secrets, say_error

_REFRESH_SECONDS = 5
_TOLD = tuple(kind for kind in KINDS if kind not in ("equity_observed", "decided"))  # those have views of their own
_FILL_KINDS = ("filled", "external_fill")


@dataclass(slots=True)
class Followed:
    """The account's book, folded once and then only forward; shared by all viewers of this process."""

    book: Book = field(default_factory=Book)
    last_id: int = 0
    left_out: list[str] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def catch_up(self, reader: Reader, scope: str) -> None:
        with self.lock:
            for row in reader.history(scope, after_id=self.last_id):
                self.left_out += fold_on(self.book, row)
                self.last_id = row.id


@st.cache_resource(max_entries=4)
def _followed(scope: str) -> Followed:
    return Followed()


def page() -> None:
    """Read the environment once per look and draw; everything below it refreshes on its own."""
    st.set_page_config(page_title="prodsafe", page_icon="🛡️", layout="wide")
    st.html(parts.STYLE)
    environment = read_environment(os.environ)
    register_secrets(environment.secrets())
    if environment.database_url is None:
        st.html(
            parts.note("DATABASE_URL is not set, or cannot be read.", ["Set it as the worker has it."], tone=parts.WARN)
        )
        return
    _refreshing(environment.database_url, scope_of(environment))


@st.fragment(run_every=_REFRESH_SECONDS)
def _refreshing(url: str, named: str | None) -> None:
    try:
        with open_reader(url, application_name="live/dashboard") as reader:
            _draw(reader, named)
    except Refused as refused:
        _explain(refused)
    except Exception as error:  # noqa: BLE001 - a bug here must show no trace to a browser
        say_error(f"dashboard: {type(error).__name__}: {error}")
        st.html(parts.note("This page could not be drawn. The log of the dashboard says why.", tone=parts.BAD))


def _explain(refused: Refused) -> None:
    say_error(str(refused))
    down = isinstance(refused, DatabaseRefused)
    text = (
        "The database cannot be read, so nothing is shown rather than something old."
        if down
        else "One thing is missing."
    )
    points = [f"{each.id} {each.kind.name}: {mask(each.mend)}" for each in refused.refusals]
    st.html(parts.note(text, [*points, f"Trying again every {_REFRESH_SECONDS} s."], tone=parts.WARN))


def _draw(reader: Reader, named: str | None) -> None:
    known = reader.scopes()
    if not known:
        st.html(parts.title("prodsafe"))
        st.html(parts.note("No worker has held an account here yet.", ["It appears here once it starts."]))
        return
    try:
        scope = choose_scope(None, named, known)
    except GateRefused:
        scope = str(st.selectbox("account", known, key="account"))
    followed = _followed(scope)
    followed.catch_up(reader, scope)
    _overview(reader, scope, followed)
    _equity(reader, scope)
    _market(reader, scope, followed.book)
    _history(reader, scope)


def _overview(reader: Reader, scope: str, followed: Followed) -> None:
    now = datetime.now(UTC)
    status, halt, lease = reader.status(scope), reader.halt(scope), reader.lease(scope)
    reasons = problems(status, now) if status else ["no worker has reported on this account"]
    positions = followed.book.open_positions()
    naked = [position.symbol for position in positions if position.naked_since is not None]
    st.html(parts.title(scope) + parts.header_cards(status, halt, lease, reasons, naked, now))
    if reasons:
        st.html(parts.note("Not healthy:", reasons, tone=parts.BAD))
    if followed.left_out:
        st.html(parts.note("Rows of the journal that cannot be used:", followed.left_out[-10:], tone=parts.WARN))
    rows = [parts.position_cells(each, _last_price(reader, each.symbol), now) for each in positions]
    shown = parts.html_table(parts.POSITION_HEADS, rows, none="No open position.")
    st.html(parts.heading("Open positions") + shown)
    for symbol, reason in sorted(followed.book.frozen.items()):
        st.html(parts.note(f"{symbol} is frozen, no entries: {reason}", tone=parts.WARN))


def _last_price(reader: Reader, symbol: str) -> float | None:
    frames = reader.timeframes(symbol)
    candles = reader.candles(symbol, frames[0], limit=1) if frames else []
    return float(candles[-1].close) if candles else None


def _equity(reader: Reader, scope: str) -> None:
    st.html(parts.heading("Equity"))
    points = reader.equity(scope)
    if points:
        st.plotly_chart(parts.equity_figure(points), key="equity", width="stretch", config={"displayModeBar": False})
    else:
        st.html(parts.empty("No equity observed yet."))


def _market(reader: Reader, scope: str, book: Book) -> None:
    st.html(parts.heading("Market"))
    symbols = reader.symbols(scope)
    if not symbols:
        st.html(parts.empty("No candles yet."))
        return
    left, right = st.columns([3, 1])
    symbol = str(
        left.selectbox("symbol", symbols, index=_first_of_interest(symbols, book.open_positions()), key="symbol")
    )
    frames = {_words(frame.total_seconds()): frame for frame in reader.timeframes(symbol)}
    if not frames:
        st.html(parts.empty("No candles of this symbol yet."))
        return
    frame = str(right.selectbox("timeframe", list(frames), key="timeframe"))
    fills = parts.fills_of(reader.tail(scope, symbol=symbol, kinds=_FILL_KINDS, limit=200))
    mine = [position for position in book.open_positions() if position.symbol == symbol]
    figure = parts.candle_figure(reader.candles(symbol, frames[frame], limit=200), mine, fills, title=symbol)
    st.plotly_chart(figure, key="candles", width="stretch", config={"displayModeBar": False})


def _first_of_interest(symbols: Sequence[str], positions: Sequence[Position]) -> int:
    held = {position.symbol for position in positions}
    return next((n for n, symbol in enumerate(symbols) if symbol in held), 0)


def _history(reader: Reader, scope: str) -> None:
    decisions = reader.tail(scope, kinds=("decided",), limit=15)
    rows = [parts.event_cells(row) for row in reversed(decisions)]
    heads = ("time (UTC)", "row", "event", "symbol", "what and why")
    shown = parts.html_table(heads, rows, none="No candle has closed under this worker yet.")
    st.html(parts.heading("Decisions, newest first") + shown)
    rows = [parts.event_cells(row) for row in reversed(reader.tail(scope, kinds=_TOLD, limit=40))]
    shown = parts.html_table(heads, rows, none="Nothing has happened yet.")
    st.html(parts.heading("Events, newest first") + shown)


def _words(seconds: float) -> str:
    minutes = seconds / 60
    return f"{minutes:g} min" if minutes < 60 else f"{minutes / 60:g} h"


page()

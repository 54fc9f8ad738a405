"""The event log, with a search. [E]"""

from __future__ import annotations

import streamlit as st

from live.operators import KINDS, describe, event_at, event_symbol, short_time
from live.panels import html
from live.panels.look import Look
from live.reader import Recorded, SearchTooLong

_MOST = 100
_QUIET = ("equity_observed", "decided")  # by far the most rows; each has a view of its own
_HEADS = ("time (UTC)", "row", "epoch", "event", "symbol", "what and why")


def draw(look: Look) -> None:
    first, second, third = st.columns([3, 2, 2])
    text = first.text_input("search", key="search", placeholder="an order id, a word of a reason", max_chars=100)
    kinds = second.multiselect("event", KINDS, key="kinds", placeholder="all but equity and decisions")
    symbols = third.multiselect("symbol", look.reader.symbols(look.scope), key="symbols", max_selections=1)
    wanted = tuple(kinds) or tuple(kind for kind in KINDS if kind not in _QUIET or text)
    try:
        found = look.reader.search(look.scope, text or "", kinds=wanted, symbol=next(iter(symbols), None), limit=_MOST)
    except SearchTooLong as error:
        st.html(html.note(str(error), tone=html.WARN))
        return
    rows = [event_cells(row) for row in reversed(found)]
    none = "Nothing of the kind." if text or kinds or symbols else "Nothing has happened yet."
    st.html(html.heading("Events, newest first") + html.table(_HEADS, rows, none=none, numbers=("row",)))
    if len(found) == _MOST:
        st.html(html.foot(f"The newest {_MOST}. More: python -m live trace --help"))


def event_cells(row: Recorded) -> list[str]:
    kind, symbol = row.event.kind.replace("_", " "), event_symbol(row) or "-"
    return [short_time(event_at(row)), f"#{row.id}", str(row.epoch), kind, symbol, describe(row.event)]

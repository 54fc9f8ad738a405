"""streamlit run live/dashboard.py: the read-only page for the person on call. [E]

Reads the journal under the read-only role, refreshes itself, sends nothing. What fails shows a calm sentence, never a
stack trace; details go to the log, masked. Bound to loopback by .streamlit/config.toml: put a login in front of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import streamlit as st

from live.operators import choose_scope, scope_of
from live.panels import equity, html, journal, market, now, orders, system
from live.panels.look import Followed, Look
from live.reader import Reader, open_reader
from prodsafe.environment import read_environment
from prodsafe.errors import DatabaseRefused, GateRefused, Refused
from prodsafe.output import mask, register_secrets, say_error

_REFRESH_SECONDS = 5
VIEWS: Mapping[str, Callable[[Look], None]] = {
    "Now": now.draw,
    "Orders": orders.draw,
    "Market": market.draw,
    "Equity": equity.draw,
    "Journal": journal.draw,
    "System": system.draw,
}


@st.cache_resource(max_entries=4)
def _followed(scope: str) -> Followed:
    return Followed()


def page() -> None:
    """Read the environment once per look and draw; everything below it refreshes on its own."""
    st.set_page_config(page_title="prodsafe", page_icon="🛡️", layout="wide")
    st.html(html.STYLE)
    environment = read_environment(os.environ)
    register_secrets(environment.secrets())
    if environment.database_url is None:
        text = "DATABASE_URL is not set, or cannot be read."
        st.html(html.note(text, ["Set it as the worker has it."], tone=html.WARN))
        return
    _refreshing(environment.database_url, scope_of(environment))


@st.fragment(run_every=_REFRESH_SECONDS)
def _refreshing(url: str, named: str | None) -> None:
    try:
        with open_reader(url, application_name="live/dashboard") as reader:
            _draw(reader, url, named)
    except Refused as refused:
        _explain(refused)
    except Exception as error:  # noqa: BLE001 - a bug here must show no trace to a browser
        say_error(f"dashboard: {type(error).__name__}: {error}")
        st.html(html.note("This page could not be drawn. The log of the dashboard says why.", tone=html.BAD))


def _explain(refused: Refused) -> None:
    say_error(str(refused))
    down = isinstance(refused, DatabaseRefused)
    unread = "The database cannot be read, so nothing is shown rather than something old."
    points = [f"{each.id} {each.kind.name}: {mask(each.mend)}" for each in refused.refusals]
    text = unread if down else "One thing is missing."
    st.html(html.note(text, [*points, f"Trying again every {_REFRESH_SECONDS} s."], tone=html.WARN))


def _draw(reader: Reader, url: str, named: str | None) -> None:
    known = reader.scopes()
    if not known:
        st.html(html.title("prodsafe"))
        st.html(html.note("No worker has held an account here yet.", ["It appears here once it starts."]))
        return
    try:
        scope = choose_scope(None, named, known)
    except GateRefused:
        scope = str(st.selectbox("account", known, key="account"))
    st.html(html.title(scope))
    followed = _followed(scope)
    followed.catch_up(reader, scope)
    look = Look(reader, url, scope, followed, datetime.now(UTC))
    VIEWS[_chosen_view()](look)
    st.html(html.foot(f"{look.now:%Y-%m-%d %H:%M:%S} UTC, renewed every {_REFRESH_SECONDS} s. Read-only."))


def _chosen_view() -> str:
    """The view, kept in the address (?view=Market), so that it can be sent to somebody."""
    first = next(iter(VIEWS))
    asked = st.query_params.get("view", first)
    chosen = st.segmented_control(
        "view", list(VIEWS), default=asked if asked in VIEWS else first, key="view", label_visibility="collapsed"
    )
    view = str(chosen or first)
    if view != asked:
        st.query_params["view"] = view
    return view


page()

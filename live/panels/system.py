"""Who held the account when, what the schema is, which program runs: for whoever deploys. [E]"""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from live.operators import short_time
from live.panels import html
from live.panels.look import Look
from live.schema import SETS
from live.status import Status
from prodsafe.lock_history import Tenure
from prodsafe.migrations.runner import status_for
from prodsafe.migrations.standing import Standing

_TENURES = 20
_SETTLED = ("applied", "reworded")


def draw(look: Look) -> None:
    status = look.reader.status(look.scope)
    st.html(html.heading("The worker") + html.cards(*_worker_cards(status)))
    rows = [_tenure_cells(each, look.now) for each in reversed(look.reader.tenures(look.scope, last=_TENURES))]
    heads = ("began (UTC)", "held for", "epoch", "host", "pid", "version", "by", "end", "why")
    shown = html.table(heads, rows, none="Never held.", numbers=("held for", "epoch", "pid"))
    st.html(html.heading("Who held the account, newest first") + shown)
    _migrations(look)


def _worker_cards(status: Status | None) -> list[str]:
    if status is None:
        return [html.card("worker", "never started", tone=html.BAD)]
    return [
        html.card(
            "version",
            status.version or "-",
            f"{status.commit or 'commit unknown'}, settings {status.settings_hash or '-'}",
        ),
        html.card("where", status.host or "-", f"pid {status.pid}, since {short_time(status.started_at)}"),
        html.card("book and venue", "agree" if status.reconciled else "differ", tone=_tone(status.reconciled)),
        html.card(
            "venue",
            "readable" if status.venue_readable else "not readable",
            "" if status.clock_offset_seconds is None else f"its clock {status.clock_offset_seconds:+.2f} s from ours",
            tone=_tone(status.venue_readable),
        ),
    ]


def _tone(good: bool) -> str:
    return html.GOOD if good else html.WARN


def _tenure_cells(tenure: Tenure, now: datetime) -> list[str]:
    minutes = ((tenure.ended_at or now) - tenure.began_at).total_seconds() / 60
    held = f"{minutes:,.0f} min" if minutes < 600 else f"{minutes / 60:,.0f} h"
    who = (str(tenure.epoch), tenure.host, str(tenure.pid), tenure.version, tenure.who)
    return [short_time(tenure.began_at), held, *who, tenure.end, tenure.reason or "-"]


def _migrations(look: Look) -> None:
    _, standings = status_for(look.url, SETS)
    waiting = [each for each in standings if each.state not in _SETTLED]
    if waiting:
        points = [
            f"{each.set_name} {each.name}: {each.state}{f', {each.note}' if each.note else ''}" for each in waiting
        ]
        st.html(html.note("Not applied, as this program's files have it:", points, tone=html.WARN))
    heads = ("migration", "set", "state", "applied (UTC)", "took", "by")
    rows = [_standing_cells(each) for each in reversed(standings)]
    st.html(html.heading("Schema") + html.table(heads, rows, none="No migration yet.", numbers=("took",)))


def _standing_cells(standing: Standing) -> list[str]:
    row = standing.row
    when = (short_time(row.applied_at), f"{row.duration_ms:,} ms", row.applied_by) if row else ("-", "-", "-")
    return [standing.name, standing.set_name, standing.state, *when]

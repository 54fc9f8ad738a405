"""The first view: who holds the account, is every position protected, why is (or was) nothing traded. [E]"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import streamlit as st

from live.operators import describe, event_at, event_symbol, plain, short_time
from live.panels import html
from live.panels.look import Look
from live.position import Position
from live.status import Halt, Status, age_seconds, problems

_POSITION_HEADS = (
    *("symbol", "side", "phase", "contracts", "entry", "last", "stop", "stop distance", "open P/L", "naked now"),
    "targets",
)
_NUMBERS = ("contracts", "entry", "last", "stop", "stop distance", "open P/L", "naked now")


def draw(look: Look) -> None:
    status, halt, lease = look.reader.status(look.scope), look.reader.halt(look.scope), look.reader.lease(look.scope)
    reasons = problems(status, look.now) if status else ["no worker has reported on this account"]
    positions = look.book.open_positions()
    naked = [position.symbol for position in positions if position.naked_since is not None]
    st.html(header_cards(status, halt, lease, reasons, naked, look))
    if reasons:
        st.html(html.note("Not healthy:", reasons, tone=html.BAD))
    for text, points in _attention(status):
        st.html(html.note(text, points, tone=html.WARN))
    for symbol, reason in sorted(look.book.frozen.items()):
        st.html(html.note(f"{symbol} is frozen, no entries: {reason}", tone=html.WARN))
    if look.followed.left_out:
        st.html(html.note("Rows of the journal that cannot be used:", look.followed.left_out[-10:], tone=html.WARN))
    rows = [position_cells(each, _last_price(look, each.symbol), look) for each in positions]
    shown = html.table(_POSITION_HEADS, rows, none="No open position.", numbers=_NUMBERS)
    st.html(html.heading("Open positions") + shown)
    _why(look)


def _attention(status: Status | None) -> list[tuple[str, Sequence[str]]]:
    """What is not wrong enough for /health, and yet to be known."""
    if status is None:
        return []
    each = (
        ("No entries, though nobody halted:", status.degraded),
        ("Book and venue differ:", status.findings),
        ("To be closed, as a person asked:", status.flattening),
    )
    return [(text, points) for text, points in each if points]


def _why(look: Look) -> None:
    """The last decision of each symbol: why it trades, or why it does not."""
    newest = [
        [event_symbol(row) or "-", short_time(event_at(row)), describe(row.event)]
        for row in look.reader.decisions(look.scope)
    ]
    heads = ("symbol", "decided (UTC)", "what and why")
    shown = html.table(heads, newest, none="No candle has closed under a worker yet.")
    st.html(html.heading("Why, at the last closed candle") + shown)


def header_cards(
    status: Status | None, halt: Halt, lease: Any, reasons: Sequence[str], naked: Sequence[str], look: Look
) -> str:
    """Readable in ten seconds."""
    state = status.state if status else "never started"
    cards = [
        html.card("state", state, "unhealthy" if reasons else "healthy", tone=html.BAD if reasons else html.GOOD),
        _lease_card(lease, fresh=status.lease_fresh if status else False),
        html.card(
            "halt",
            "HALTED" if halt.halted else "not halted",
            f"{halt.reason} ({halt.who}, {short_time(halt.at)})" if halt.halted else "entries allowed",
            tone=html.WARN if halt.halted else html.GOOD,
        ),
        _protection_card(status, naked),
    ]
    if status:
        cards += _work_cards(status, look)
    return html.cards(*cards)


def _work_cards(status: Status, look: Look) -> list[str]:
    tick = age_seconds(status.last_tick_at, look.now)
    late = tick is None or tick > status.tick_bound_seconds
    ago = "none" if tick is None else f"{max(tick, 0):.0f} s ago"
    held = f"{status.open_positions} open, orders working: {status.live_orders}"
    unknown = f"{status.unknown_orders} of unknown fate" if status.unknown_orders else ""
    return [
        html.card("last tick", ago, status.last_action, tone=html.BAD if late else html.GOOD),
        html.card("equity", money(status.equity_quote), ", ".join(filter(None, (held, unknown)))),
        html.card("program", status.version or "-", _schema(status)),
    ]


def _schema(status: Status) -> str:
    """The gates let only a fitting schema and environment through, so a worker that runs has passed them."""
    versions = ", ".join(f"{name} {version}" for name, version in status.schema.items())
    return f"schema {versions}; every gate passed" if versions else "every gate passed"


def money(text: str | None) -> str:
    """Decimal text with thousands apart; what is not a number is shown as it is."""
    try:
        return "-" if text is None else f"{Decimal(text):,.2f}"
    except (InvalidOperation, ValueError):
        return str(text)


def _lease_card(lease: Any, *, fresh: bool) -> str:
    if lease is None:
        return html.card("lease", "never taken", tone=html.BAD)
    beat = "no beat yet" if lease.beat_age_seconds is None else f"beat {lease.beat_age_seconds:.1f} s ago"
    where = f"{lease.host} pid {lease.pid}, {beat}"
    return html.card(f"lease, {lease.state}", f"epoch {lease.epoch}", where, tone=html.GOOD if fresh else html.BAD)


def _protection_card(status: Status | None, naked: Sequence[str]) -> str:
    longest = f"longest naked time {status.naked_seconds_max:.2f} s" if status else ""
    if naked:
        return html.card("protection", f"{len(naked)} without a stop", f"{', '.join(naked)}; {longest}", tone=html.BAD)
    return html.card("protection", "every position protected", longest, tone=html.GOOD)


def position_cells(position: Position, last_price: Decimal | None, look: Look) -> list[str]:
    naked = age_seconds(position.naked_since, look.now)
    distance = gain = "-"
    if last_price:
        distance = f"{abs(last_price - position.stop_price) / last_price * 100:.2f} %"
        moved = position.side.sign * (last_price - position.average_entry_price)
        gain = f"{moved * position.qty * position.contract_size:+,.2f}" if position.qty else "-"
    return [
        position.symbol,
        position.side.value,
        position.phase.value,
        plain(position.qty),
        plain(position.average_entry_price, digits=4),
        plain(last_price, digits=4) if last_price else "-",
        plain(position.stop_price, digits=4),
        distance,
        gain,
        "no" if naked is None else f"{naked:.0f} s",
        ", ".join(plain(target.price, digits=4) for target in position.targets) or "-",
    ]


def _last_price(look: Look, symbol: str) -> Decimal | None:
    """The last closed candle's: the dashboard asks no venue."""
    frames = look.reader.timeframes(symbol)
    candles = look.reader.candles(symbol, frames[0], limit=1) if frames else []
    return candles[-1].close if candles else None

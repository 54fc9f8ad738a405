"""Equity, the fall from its peak, and the positions that made it. [E]"""

from __future__ import annotations

import streamlit as st

from live.operators import plain, short_time
from live.panels import html
from live.panels.charts import equity_figure
from live.panels.look import Look
from live.position import Phase, Position

_CLOSED_SHOWN = 50


def draw(look: Look) -> None:
    equity = look.book.equity
    closed = [each for each in look.book.positions.values() if each.phase is Phase.CLOSED and each.closed_at]
    if equity is not None:
        st.html(
            html.cards(
                html.card("equity", f"{equity.last:,.2f}", short_time(equity.at)),
                html.card("below its peak", f"{equity.drawdown_pct:.2f} %", f"peak {equity.peak:,.2f}"),
                html.card(
                    "lost today", f"{max(equity.day_loss_pct, 0):.2f} %", f"day began at {equity.day_start:,.2f}"
                ),
                html.card("losses in a row", str(look.book.loss_streak)),
            )
        )
    points = look.reader.equity(look.scope)
    st.html(html.heading("Equity, and the fall from its peak"))
    if points:
        st.plotly_chart(equity_figure(points), key="equity", width="stretch", config={"displayModeBar": False})
    else:
        st.html(html.empty("No equity observed yet."))
    newest = sorted(closed, key=lambda each: each.closed_at or look.now, reverse=True)[:_CLOSED_SHOWN]
    rows = [_closed_cells(each) for each in newest]
    heads = ("closed (UTC)", "symbol", "side", "contracts", "entry", "realised", "naked at most", "held")
    numbers = ("contracts", "entry", "realised", "naked at most", "held")
    st.html(
        html.heading("Closed positions, newest first")
        + html.table(heads, rows, none="No position was closed yet.", numbers=numbers)
    )


def _closed_cells(position: Position) -> list[str]:
    held = (position.closed_at - position.opened_at).total_seconds() / 60 if position.closed_at else 0
    return [
        short_time(position.closed_at),
        position.symbol,
        position.side.value,
        plain(position.entered_qty),
        plain(position.average_entry_price, digits=4),
        f"{position.realised_quote:+,.2f}",
        f"{position.naked_seconds:.1f} s",
        f"{held:,.0f} min",
    ]

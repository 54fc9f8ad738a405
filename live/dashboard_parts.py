"""The dashboard's tables and pictures as values: HTML text and plotly figures. Everything shown is escaped. [P]"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from html import escape
from typing import Any

import plotly.graph_objects as go

from live.events import ExternalFill, Filled
from live.model import Candle, Fill, OrderSide
from live.operators import describe, event_at, event_symbol, plain, short_time
from live.position import Position
from live.reader import Recorded
from live.status import Halt, Status, age_seconds

GOOD, BAD, WARN, CALM = "#1a9c5b", "#d64545", "#c98a00", "#6b7280"

STYLE = """
<style>
.ps-cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .7rem; margin: .2rem 0 }
.ps-card { border: 1px solid color-mix(in srgb, currentColor 18%, transparent); border-left: 4px solid var(--tone);
           border-radius: .5rem; padding: .55rem .8rem; min-width: 0 }
.ps-card small { display: block; opacity: .65; font-size: .75rem; letter-spacing: .03em }
.ps-card b { display: block; font-size: 1.2rem; font-weight: 600; overflow-wrap: anywhere; line-height: 1.35 }
.ps-card span { display: block; opacity: .75; font-size: .8rem; overflow-wrap: anywhere }
.ps-note { border-left: 4px solid var(--tone); border-radius: .3rem; padding: .6rem .9rem; margin: .6rem 0;
           background: color-mix(in srgb, var(--tone) 12%, transparent) }
.ps-note ul { margin: .2rem 0 0 1.1rem; padding: 0 }
.ps-scroll { overflow-x: auto }
.ps-table { border-collapse: collapse; width: 100%; font-size: .85rem; font-variant-numeric: tabular-nums }
.ps-table th { text-align: left; font-weight: 500; opacity: .6; white-space: nowrap }
.ps-table th, .ps-table td { padding: .35rem .8rem .35rem 0; vertical-align: top;
           border-bottom: 1px solid color-mix(in srgb, currentColor 12%, transparent) }
.ps-table td { white-space: nowrap } .ps-table td:last-child { white-space: normal; overflow-wrap: anywhere }
.ps-h { font-size: 1rem; font-weight: 600; margin: .9rem 0 .2rem; padding: 0 }
.ps-title { font-size: 1.5rem; font-weight: 650; margin: 0; padding: 0 }
[data-testid="stMainBlockContainer"] { padding-top: 2.2rem; padding-bottom: 3rem }
.ps-empty { opacity: .6; font-size: .9rem }
</style>
"""


def card(title: str, value: str, detail: str = "", *, tone: str = CALM) -> str:
    return (
        f'<div class="ps-card" style="--tone:{tone}"><small>{escape(title)}</small>'
        f"<b>{escape(value)}</b><span>{escape(detail)}</span></div>"
    )


def note(text: str, points: Sequence[str] = (), *, tone: str = CALM) -> str:
    items = f"<ul>{''.join(f'<li>{escape(point)}</li>' for point in points)}</ul>" if points else ""
    return f'<div class="ps-note" style="--tone:{tone}">{escape(text)}{items}</div>'


def heading(text: str) -> str:
    return f'<h4 class="ps-h">{escape(text)}</h4>'


def title(text: str) -> str:
    return f'<h2 class="ps-title">{escape(text)}</h2>'


def empty(text: str) -> str:
    return f'<p class="ps-empty">{escape(text)}</p>'


def html_table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, none: str) -> str:
    if not rows:
        return empty(none)
    head = "".join(f"<th>{escape(each)}</th>" for each in heads)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="ps-scroll"><table class="ps-table"><tr>{head}</tr>{body}</table></div>'


def header_cards(
    status: Status | None, halt: Halt, lease: Any, reasons: Sequence[str], naked: Sequence[str], now: datetime
) -> str:
    """Who holds the account, is every position protected, may it trade: readable in ten seconds."""
    state = status.state if status else "never started"
    cards = [
        card("state", state, "healthy" if not reasons else "unhealthy", tone=BAD if reasons else GOOD),
        _lease_card(lease, fresh=status.lease_fresh if status else False),
        card(
            "halt",
            "HALTED" if halt.halted else "not halted",
            f"{halt.reason} ({halt.who}, {short_time(halt.at)})" if halt.halted else "entries allowed",
            tone=WARN if halt.halted else GOOD,
        ),
        _protection_card(status, naked),
    ]
    if status:
        tick = age_seconds(status.last_tick_at, now)
        late = tick is None or tick > status.tick_bound_seconds
        ago = "none" if tick is None else f"{tick:.0f} s ago"
        held = f"{status.open_positions} open, {status.live_orders} orders working"
        cards.append(card("last tick", ago, status.last_action, tone=BAD if late else GOOD))
        cards.append(card("equity", money(status.equity_quote), held))
    return f'<div class="ps-cards">{"".join(cards)}</div>'


def money(text: str | None) -> str:
    """Decimal text with thousands apart; what is not a number is shown as it is."""
    try:
        return "-" if text is None else f"{Decimal(text):,.2f}"
    except (InvalidOperation, ValueError):
        return str(text)


def _lease_card(lease: Any, *, fresh: bool) -> str:
    if lease is None:
        return card("lease", "never taken", tone=BAD)
    beat = "no beat yet" if lease.beat_age_seconds is None else f"beat {lease.beat_age_seconds:.1f} s ago"
    where = f"{lease.host} pid {lease.pid}, {beat}"
    return card(f"lease, {lease.state}", f"epoch {lease.epoch}", where, tone=GOOD if fresh else BAD)


def _protection_card(status: Status | None, naked: Sequence[str]) -> str:
    longest = f"longest naked time {status.naked_seconds_max:.2f} s" if status else ""
    if naked:
        return card("protection", f"{len(naked)} without a stop", f"{', '.join(naked)}; {longest}", tone=BAD)
    return card("protection", "every position protected", longest, tone=GOOD)


POSITION_HEADS = ("symbol", "side", "phase", "contracts", "entry", "stop", "stop distance", "targets", "naked now")


def position_cells(position: Position, last_price: float | None, now: datetime) -> list[str]:
    naked = age_seconds(position.naked_since, now)
    distance = "-"
    if last_price:
        distance = f"{abs(last_price - float(position.stop_price)) / last_price * 100:.2f} %"
    return [
        position.symbol,
        position.side.value,
        position.phase.value,
        plain(position.qty),
        plain(position.average_entry_price, digits=4),
        plain(position.stop_price, digits=4),
        distance,
        ", ".join(plain(target.price, digits=4) for target in position.targets) or "-",
        "no" if naked is None else f"{naked:.0f} s",
    ]


def event_cells(row: Recorded) -> list[str]:
    kind, symbol = row.event.kind.replace("_", " "), event_symbol(row) or "-"
    return [short_time(event_at(row)), f"#{row.id}", kind, symbol, describe(row.event)]


def equity_figure(points: Sequence[tuple[datetime, float]]) -> Any:
    """Equity over time in quote currency, times in UTC."""
    figure = go.Figure(
        go.Scatter(
            x=[at for at, _ in points],
            y=[equity for _, equity in points],
            mode="lines",
            line={"color": "#3b82f6", "width": 2},
            hovertemplate="%{x|%d %b %H:%M:%S}<br>%{y:,.2f}<extra></extra>",
        )
    )
    return _laid_out(figure, height=240)


def candle_figure(
    candles: Sequence[Candle], positions: Iterable[Position], fills: Iterable[Fill], *, title: str
) -> Any:
    """Closed candles with entry, stop and targets of open positions as lines, and fills as triangles."""
    figure = go.Figure(
        go.Candlestick(
            x=[candle.opened_at for candle in candles],
            open=[float(candle.open) for candle in candles],
            high=[float(candle.high) for candle in candles],
            low=[float(candle.low) for candle in candles],
            close=[float(candle.close) for candle in candles],
            increasing_line_color=GOOD,
            decreasing_line_color=BAD,
            name=escape(title),
        )
    )
    for position in positions:
        _line(figure, float(position.stop_price), "stop", BAD)
        if position.qty > 0:
            _line(figure, float(position.average_entry_price), f"{position.side.value} entry", CALM)
        for n, target in enumerate(position.targets, start=1):
            _line(figure, float(target.price), f"target {n}", GOOD)
    began = candles[0].opened_at if candles else None
    for side, marker, colour in ((OrderSide.BUY, "triangle-up", GOOD), (OrderSide.SELL, "triangle-down", BAD)):
        shown = [fill for fill in fills if fill.side is side and (began is None or fill.filled_at >= began)]
        if shown:
            figure.add_trace(_fill_marks(shown, marker, colour))
    figure.update_layout(xaxis_rangeslider_visible=False, showlegend=False)
    return _laid_out(figure, height=420)


def _fill_marks(fills: Sequence[Fill], marker: str, colour: str) -> Any:
    return go.Scatter(
        x=[fill.filled_at for fill in fills],
        y=[float(fill.price) for fill in fills],
        mode="markers",
        marker={"symbol": marker, "size": 12, "color": colour, "line": {"width": 1, "color": "white"}},
        text=[escape(f"{fill.side.value} {plain(fill.qty)} at {plain(fill.price)}") for fill in fills],
        hovertemplate="%{text}<extra></extra>",
    )


def _line(figure: Any, price: float, name: str, colour: str) -> None:
    figure.add_hline(y=price, line_dash="dot", line_color=colour, line_width=1.2)
    place = {"x": 1, "xref": "paper", "xanchor": "left", "y": price, "yref": "y"}
    figure.add_annotation(text=f" {escape(name)}", showarrow=False, font_color=colour, **place)


def _laid_out(figure: Any, *, height: int) -> Any:
    figure.update_layout(height=height, margin={"l": 8, "r": 70, "t": 8, "b": 8}, uirevision="keep")
    return figure


def fills_of(rows: Iterable[Recorded]) -> list[Fill]:
    return [row.event.fill for row in rows if isinstance(row.event, Filled | ExternalFill)]

"""The dashboard's pictures as plotly figures; names of a venue's are escaped, since plotly renders tags. [P]"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from live.events import ExternalFill, Filled
from live.model import Candle, Fill, OrderSide
from live.operators import plain
from live.panels.html import BAD, CALM, GOOD, WARN
from live.position import Position
from live.reader import EquityPoint, Recorded
from live.smc.events import Event, Kind, Scope
from live.smc.standing import GAP, kind_of_zone, untouched_zones

BLUE, VIOLET = "#3b82f6", "#8b6fd0"
_ZONES_SHOWN, _BREAKS_SHOWN, _SWEEPS_SHOWN = 6, 6, 4
_BROKEN = {Kind.BOS: "BOS", Kind.CHOCH: "CHoCH"}


def equity_figure(points: Sequence[EquityPoint]) -> Any:
    """Equity in quote currency above its fall from the peak in %, times in UTC."""
    figure = make_subplots(rows=2, shared_xaxes=True, row_heights=[0.68, 0.32], vertical_spacing=0.04)
    times = [point.at for point in points]
    line = {"color": BLUE, "width": 2}
    value = "%{x|%d %b %H:%M:%S}<br>%{y:,.2f}<extra></extra>"
    figure.add_scatter(
        x=times, y=[point.equity_quote for point in points], mode="lines", line=line, hovertemplate=value, row=1, col=1
    )
    figure.add_scatter(
        x=times,
        y=[-point.drawdown_pct for point in points],
        mode="lines",
        line={"color": BAD, "width": 1},
        fill="tozeroy",
        hovertemplate="%{x|%d %b %H:%M:%S}<br>%{y:.2f} %<extra></extra>",
        row=2,
        col=1,
    )
    figure.update_yaxes(ticksuffix=" %", rangemode="tozero", row=2, col=1)
    figure.update_layout(showlegend=False)
    return _laid_out(figure, height=360)


def candle_figure(
    candles: Sequence[Candle],
    positions: Iterable[Position],
    fills: Iterable[Fill],
    told: Sequence[Event] = (),
    *,
    title: str,
) -> Any:
    """Closed candles, what the strategy told of them, the open position's plan as lines, fills as triangles."""
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
    if candles:
        _structure(figure, told, candles[0].opened_at, candles[-1].closed_at)
    for position in positions:
        _plan(figure, position)
    began = candles[0].opened_at if candles else None
    for side, marker, colour in ((OrderSide.BUY, "triangle-up", GOOD), (OrderSide.SELL, "triangle-down", BAD)):
        shown = [fill for fill in fills if fill.side is side and (began is None or fill.filled_at >= began)]
        if shown:
            figure.add_trace(_fill_marks(shown, marker, colour))
    figure.update_layout(xaxis_rangeslider_visible=False, showlegend=False)
    return _laid_out(figure, height=460)


def _structure(figure: Any, told: Sequence[Event], begins_at: datetime, ends_at: datetime) -> None:
    """Zones that stand, breaks and sweeps. A zone of long ago is drawn from the left edge on."""
    for zone in untouched_zones(told)[-_ZONES_SHOWN:]:
        colour = VIOLET if kind_of_zone(zone) == GAP else WARN
        begin = max(zone.origin, begins_at)
        box = {"x0": begin, "x1": ends_at, "y0": zone.bottom, "y1": zone.top, "layer": "below", "opacity": 0.16}
        figure.add_shape(type="rect", fillcolor=colour, line_width=0, **box)
        _word(figure, begin, zone.top, "gap" if kind_of_zone(zone) == GAP else "block", colour, anchor="left")
    recent = [event for event in told if event.known_at >= begins_at]
    breaks = [event for event in recent if event.kind in _BROKEN and event.scope is not Scope.HIGHER]
    for event in breaks[-_BREAKS_SHOWN:]:
        _level(figure, max(event.origin, begins_at), event, CALM, "dot", _BROKEN[event.kind])
    for event in [event for event in recent if event.kind is Kind.SWEEP][-_SWEEPS_SHOWN:]:
        _level(figure, max(event.origin, begins_at), event, WARN, "dash", "sweep")


def _level(figure: Any, begin: datetime, event: Event, colour: str, dash: str, word: str) -> None:
    line = {"color": colour, "width": 1.2, "dash": dash}
    figure.add_shape(type="line", x0=begin, x1=event.known_at, y0=event.top, y1=event.top, line=line)
    _word(figure, begin + (event.known_at - begin) / 2, event.top, word, colour, anchor="center")


def _word(figure: Any, at: datetime, price: float, word: str, colour: str, *, anchor: str) -> None:
    font = {"color": colour, "size": 10}
    figure.add_annotation(x=at, y=price, text=word, showarrow=False, font=font, xanchor=anchor, yanchor="bottom")


def _plan(figure: Any, position: Position) -> None:
    _line(figure, float(position.stop_price), "stop", BAD)
    if position.qty > 0:
        _line(figure, float(position.average_entry_price), f"{position.side.value} entry", CALM)
    for n, target in enumerate(position.targets, start=1):
        _line(figure, float(target.price), f"target {n}", GOOD)


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

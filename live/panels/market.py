"""Candles with what the strategy sees in them, the open plan, and why each candle was or was not traded. [E]"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import streamlit as st

from live.model import Candle
from live.operators import describe, event_at, short_time
from live.panels import html
from live.panels.charts import candle_figure, fills_of
from live.panels.look import Look
from live.position import Position
from live.smc.engine import Engine
from live.smc.events import Event
from live.smc.parameters import SmcParameters

_SHOWN, _WARM_UP = 200, 800  # candles drawn, and read before them for what still stands
_FILL_KINDS = ("filled", "external_fill")


def draw(look: Look) -> None:
    symbols = look.reader.symbols(look.scope)
    if not symbols:
        st.html(html.empty("No candles yet."))
        return
    held = look.book.open_positions()
    left, right = st.columns([3, 1])
    symbol = str(left.selectbox("symbol", symbols, index=_first_of_interest(symbols, held), key="symbol"))
    frames = {_words(frame): frame for frame in look.reader.timeframes(symbol)}
    if not frames:
        st.html(html.empty("No candles of this symbol yet."))
        return
    frame = frames[str(right.selectbox("timeframe", list(frames), key="timeframe"))]
    candles = look.reader.candles(symbol, frame, limit=_SHOWN + _WARM_UP)
    fills = fills_of(look.reader.tail(look.scope, symbol=symbol, kinds=_FILL_KINDS, limit=200))
    mine = [position for position in held if position.symbol == symbol]
    figure = candle_figure(candles[-_SHOWN:], mine, fills, seen_in(candles, frame), title=symbol)
    st.plotly_chart(figure, key="candles", width="stretch", config={"displayModeBar": False})
    st.html(
        html.foot(
            "Shaded: fair value gaps and order blocks that price has not come back to. Dotted: broken structure. "
            "Dashed: swept liquidity. As the strategy's defaults see it; nothing is drawn before it could be known."
        )
    )
    _decisions(look, symbol)


def seen_in(candles: Sequence[Candle], timeframe: timedelta) -> list[Event]:
    """What the engine tells of these candles, oldest first."""
    if not candles:
        return []
    engine = Engine(SmcParameters(timeframe=timeframe), candles[0].symbol)
    return [event for candle in candles for event in engine.on_candle(candle).events]


def _decisions(look: Look, symbol: str) -> None:
    rows = [
        [short_time(event_at(row)), describe(row.event)]
        for row in reversed(look.reader.tail(look.scope, symbol=symbol, kinds=("decided",), limit=25))
    ]
    shown = html.table(("decided (UTC)", "what and why"), rows, none="No candle of it has closed under a worker yet.")
    st.html(html.heading(f"Decisions on {symbol}, newest first") + shown)


def _first_of_interest(symbols: Sequence[str], positions: Sequence[Position]) -> int:
    held = {position.symbol for position in positions}
    return next((n for n, symbol in enumerate(symbols) if symbol in held), 0)


def _words(frame: timedelta) -> str:
    minutes = frame.total_seconds() / 60
    return f"{minutes:g} min" if minutes < 60 else f"{minutes / 60:g} h"

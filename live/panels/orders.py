"""Orders and intents by state: what works, what nobody can tell, what ended and how. [E]"""

from __future__ import annotations

from collections.abc import Iterable

import streamlit as st

from live.operators import ORDER_HEADS, order_row, plain_cell
from live.panels import html
from live.panels.look import Look
from live.position import Order, OrderStatus

_ENDED_SHOWN = 60
_HEADS = tuple(head.replace("_", " ") for head in ORDER_HEADS)
_NUMBERS = ("qty", "filled qty", "price")
_GROUPS = (
    ("Fate unknown: no new risk on these symbols until evidence decides", (OrderStatus.UNKNOWN, OrderStatus.INTENDED)),
    ("Working at the venue", (OrderStatus.LIVE,)),
)


def draw(look: Look) -> None:
    orders = sorted(look.book.orders.values(), key=lambda order: order.intended_at, reverse=True)
    st.html(
        html.cards(
            *(
                html.card(status.value, str(_count(orders, status)), tone=_tone(orders, status))
                for status in OrderStatus
            )
        )
    )
    for text, states in _GROUPS:
        _group(text, [order for order in orders if order.status in states])
    ended = [order for order in orders if not order.is_working]
    _group("Ended, newest first", ended[:_ENDED_SHOWN])
    if len(ended) > _ENDED_SHOWN:
        st.html(html.foot(f"{len(ended) - _ENDED_SHOWN} older ones: python -m live trace --kind order_intended"))


def _group(text: str, orders: Iterable[Order]) -> None:
    rows = [[plain_cell(value) for value in order_row(order)] for order in orders]
    st.html(html.heading(text) + html.table(_HEADS, rows, none="None.", numbers=_NUMBERS))


def _count(orders: Iterable[Order], status: OrderStatus) -> int:
    return sum(order.status is status for order in orders)


def _tone(orders: Iterable[Order], status: OrderStatus) -> str:
    doubtful = status in (OrderStatus.UNKNOWN, OrderStatus.INTENDED) and _count(orders, status)
    return html.WARN if doubtful else html.GOOD if status is OrderStatus.LIVE else html.CALM

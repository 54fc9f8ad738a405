"""One trade as a picture: the candles around it, what the strategy knew when it decided, and what became of it. [P]"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from decimal import Decimal
from operator import attrgetter

from live.model import Candle, Side
from live.operators import plain
from live.replay_charts import (
    Frame,
    candles,
    drawing,
    framed,
    level,
    mark,
    price_grid,
    span,
    stairs,
    tags,
    time_axis,
)
from live.replay_report import Report, Trade, seven
from live.smc.events import Event, Kind, Scope
from live.smc.standing import kind_of_zone, untouched_zones

BEFORE, AFTER, MOST = 56, 12, 200  # candles: before the decision, after the end, and of one picture
HEIGHT_PX = 360

_LOOK_BACK = 400  # candles in which a zone that is still waiting may have been left
_BROKEN = {Kind.BOS: "BOS", Kind.CHOCH: "CHoCH"}
_ZONES_SHOWN, _BREAKS_SHOWN, _SWEEPS_SHOWN = 3, 4, 2


def window(report: Report, trade: Trade) -> str:
    """The picture and its time axis."""
    shown, decided = _around(report.candles, trade)
    prices = (trade.entry_price, trade.stop_price, *trade.target_prices)
    extremes = [float(price) for candle in shown for price in (candle.high, candle.low)]
    begins_at, ends_at = shown[0].opened_at, shown[-1].closed_at
    frame = framed(begins_at, ends_at, [*extremes, *map(float, prices)], margin=0.04)
    grid, words = price_grid(frame, lines=5, words=False)
    lines, times = time_axis(frame, most=6)
    known = _known(report, trade, frame, decided)
    shapes = [grid, lines, *_plan_boxes(frame, trade), *known[0], candles(frame, shown), *_plan_lines(frame, trade)]
    label = f"candles around a {trade.side} trade of {trade.decided_at:%Y-%m-%d %H:%M} UTC"
    over = [words, *known[1], *_fill_marks(frame, trade), _price_tags(frame, trade)]
    return drawing(shapes, over, css="window", label=label) + times


def cut_off(report: Report, trade: Trade) -> int:
    """How many candles of the trade the picture leaves out."""
    shown, _ = _around(report.candles, trade)
    end = trade.closed_at or report.candles[-1].closed_at
    return max((end - shown[-1].closed_at) // shown[0].timeframe, 0)


def _around(shown: Sequence[Candle], trade: Trade) -> tuple[Sequence[Candle], int]:
    """The candles to show, and the number of the first one that opened after the decision, counted from the start."""
    decided = bisect_left(shown, trade.decided_at, key=attrgetter("closed_at"))
    end = bisect_left(shown, trade.closed_at, key=attrgetter("opened_at")) if trade.closed_at else len(shown)
    first = max(decided - BEFORE, 0)
    return shown[first : min(end + AFTER, first + MOST)], decided


def _known(report: Report, trade: Trade, frame: Frame, decided: int) -> tuple[list[str], list[str]]:
    """(shapes, words) of zones, structure and sweeps: nothing that became knowable after the decision."""
    events = [
        event
        for observation in report.observations[max(decided - _LOOK_BACK, 0) : decided]
        for event in observation.events
    ]
    recent = [event for event in events if event.known_at >= frame.begins_at]
    parts = [
        *_zones(events, trade, frame),
        *_structure([event for event in recent if event.kind in _BROKEN and event.scope is not Scope.HIGHER], frame),
        *_sweeps([event for event in recent if event.kind is Kind.SWEEP], trade, frame),
    ]
    line = f'<path class="decided" d="M{frame.x(trade.decided_at)} 0V1000"/>'
    told = mark(frame.x(trade.decided_at), 0, "decided", css="word when")
    return [line, *(shape for shape, _ in parts)], [told, *(word for _, word in parts)]


def _zones(events: Sequence[Event], trade: Trade, frame: Frame) -> Iterator[tuple[str, str]]:
    """Gaps and blocks of the trade's direction that waited untouched, the nearest to the entry."""
    entry = float(trade.entry_price)
    waiting = [zone for zone in untouched_zones(events) if zone.direction == trade.side.sign]
    near = sorted(waiting, key=lambda zone: max(zone.bottom - entry, entry - zone.top, 0.0))
    for zone in near[:_ZONES_SHOWN]:
        if zone.top < frame.low or zone.bottom > frame.high:
            continue
        begin, top, bottom = max(zone.origin, frame.begins_at), min(zone.top, frame.high), max(zone.bottom, frame.low)
        css = kind_of_zone(zone)
        used = css == "gap" and zone.bottom <= entry <= zone.top
        shape = span(frame, begin, trade.opened_at, top, bottom, css="used" if used else css)
        word, place = ("fair value gap", top) if css == "gap" else ("order block", bottom)
        side = "word zone" if css == "gap" else "word zone below"
        yield shape, mark(frame.x(begin), frame.y(place), word, css=side)


def _structure(breaks: Sequence[Event], frame: Frame) -> Iterator[tuple[str, str]]:
    for event in breaks[-_BREAKS_SHOWN:]:
        begin = max(event.origin, frame.begins_at)
        middle = frame.x(begin + (event.known_at - begin) / 2)
        css = "word" if event.direction > 0 else "word below"
        yield (
            level(frame, begin, event.known_at, event.top, css="structure"),
            mark(middle, frame.y(event.top), _BROKEN[event.kind], css=css),
        )


def _sweeps(sweeps: Sequence[Event], trade: Trade, frame: Frame) -> Iterator[tuple[str, str]]:
    """Of the liquidity that the setup needs: below the price for a long, above it for a short."""
    wanted = [event for event in sweeps if event.direction == -trade.side.sign and frame.holds(event.top)]
    for event in wanted[-_SWEEPS_SHOWN:]:
        begin = max(event.origin, frame.begins_at)
        css = "word sweep below" if event.direction < 0 else "word sweep"
        yield (
            level(frame, begin, event.known_at, event.top, css="swept"),
            mark(frame.x(event.known_at), frame.y(event.top), "sweep", css=css),
        )


def _plan_boxes(frame: Frame, trade: Trade) -> list[str]:
    """Risk and reward as planned, while the position was held."""
    end = min(trade.closed_at or frame.ends_at, frame.ends_at)
    entry, stop, last = float(trade.entry_price), float(trade.stop_price), float(trade.target_prices[-1])
    bounds = ((entry, stop, "risk"), (entry, last, "reward"))
    return [span(frame, trade.opened_at, end, max(a, b), min(a, b), css=css) for a, b, css in bounds]


def _plan_lines(frame: Frame, trade: Trade) -> list[str]:
    end = min(trade.closed_at or frame.ends_at, frame.ends_at)
    stops = [(stop.at, float(stop.price)) for stop in trade.stops if stop.at <= end]
    drawn = [level(frame, trade.decided_at, end, float(trade.entry_price), css="entry-line")]
    if stops:
        drawn.append(stairs(frame, stops, end, css="stop-line"))
    return [
        *drawn,
        *(level(frame, trade.opened_at, end, float(price), css="target-line") for price in trade.target_prices),
    ]


def _fill_marks(frame: Frame, trade: Trade) -> Iterator[str]:
    for fill in trade.fills:
        if fill.at > frame.ends_at:
            return
        buys = (fill.leg == "entry") == (trade.side is Side.LONG)
        css = {"entry": "", "stop": " stopped", "target": " reached"}.get(fill.leg, "")
        title = (
            f"{fill.leg}: {'buy' if buys else 'sell'} {plain(fill.qty)} at {money(fill.price)}, {fill.at:%d %b %H:%M}"
        )
        sign, place = ("▲", "buy") if buys else ("▼", "sell")
        yield mark(frame.x(fill.at), frame.y(float(fill.price)), sign, css=place + css, title=title)


def _price_tags(frame: Frame, trade: Trade) -> str:
    prices = [(trade.entry_price, "entry"), (trade.stop_price, "stop")]
    prices += [(price, "target") for price in trade.target_prices]
    return tags(frame, [(float(price), money(price), css) for price, css in prices], height_px=HEIGHT_PX)


def money(price: Decimal | None) -> str:
    """A price to seven digits with thousands apart."""
    short = seven(price)
    return "-" if short is None else f"{short:,f}"

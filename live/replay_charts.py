"""A replay's pictures as HTML: shapes in SVG stretched to any width, words and marks over them. [P]"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape
from itertools import pairwise
from math import floor, log10

from live.model import Candle

SIZE = 1000  # of every drawing, both ways, in its own units

Point = tuple[datetime, float]

_STEPS = (
    timedelta(minutes=15), timedelta(minutes=30), timedelta(hours=1), timedelta(hours=2), timedelta(hours=4),
    timedelta(hours=6), timedelta(hours=12), timedelta(days=1), timedelta(days=2), timedelta(days=4),
    timedelta(days=7), timedelta(days=14),
)  # fmt: skip
_MONTHS = (1, 2, 3, 4, 6, 12)
_EPOCH = datetime(2024, 1, 1, tzinfo=UTC)  # a Monday


@dataclass(frozen=True, slots=True)
class Frame:
    """What part of time and price a drawing shows. low < high."""

    begins_at: datetime
    ends_at: datetime
    low: float
    high: float

    def x(self, at: datetime) -> int:
        return round(SIZE * ((at - self.begins_at) / (self.ends_at - self.begins_at)))

    def y(self, price: float) -> int:
        return round(SIZE * (self.high - price) / (self.high - self.low))

    def holds(self, price: float) -> bool:
        return self.low <= price <= self.high


def framed(begins_at: datetime, ends_at: datetime, values: Iterable[float], *, margin: float = 0.06) -> Frame:
    """A frame around the values, with a margin above and below as a share of their range."""
    seen = list(values)
    low, high = min(seen), max(seen)
    room = (high - low) * margin or abs(high) * 0.01 or 1.0
    return Frame(begins_at, max(ends_at, begins_at + timedelta(seconds=1)), low - room, high + room)


# --- shapes: text of SVG elements ------------------------------------------------------------------------------------


def candles(frame: Frame, shown: Sequence[Candle]) -> str:
    """Wick and body of each candle, one path for those that rose and one for those that fell."""
    paths: dict[bool, list[str]] = {True: [], False: []}
    for candle in shown:
        begin, end = frame.x(candle.opened_at), frame.x(candle.closed_at)
        inset = max((end - begin) * 0.16, 0.5)
        top, bottom = sorted((frame.y(float(candle.open)), frame.y(float(candle.close))))
        left, width = round(begin + inset, 1), round(end - begin - 2 * inset, 1)
        paths[candle.close >= candle.open].append(
            f"M{(begin + end) / 2:g} {frame.y(float(candle.high))}V{frame.y(float(candle.low))}"
            f"M{left:g} {top}h{width:g}V{bottom}h{-width:g}z"
        )
    return "".join(
        f'<path class="{name}" d="{"".join(paths[rose])}"/>' for rose, name in ((True, "rose"), (False, "fell"))
    )


def line(frame: Frame, points: Iterable[Point], *, css: str) -> str:
    return f'<path class="{css}" d="{_polyline(frame, points)}"/>'


def area(frame: Frame, points: Sequence[Point], *, base: float, css: str) -> str:
    """What lies between the line and a level."""
    level = frame.y(base)
    begin, end = frame.x(points[0][0]), frame.x(points[-1][0])
    return f'<path class="{css}" d="{_polyline(frame, points)}L{end} {level}L{begin} {level}z"/>'


def _polyline(frame: Frame, points: Iterable[Point]) -> str:
    return "M" + "L".join(f"{frame.x(at)} {frame.y(value)}" for at, value in points)


def span(frame: Frame, begin: datetime, end: datetime, top: float, bottom: float, *, css: str) -> str:
    """A box in time and price."""
    x, y = frame.x(begin), frame.y(top)
    return f'<rect class="{css}" x="{x}" y="{y}" width="{max(frame.x(end) - x, 1)}" height="{frame.y(bottom) - y}"/>'


def level(frame: Frame, begin: datetime, end: datetime, price: float, *, css: str) -> str:
    return f'<path class="{css}" d="M{frame.x(begin)} {frame.y(price)}H{frame.x(end)}"/>'


def stairs(frame: Frame, points: Sequence[Point], end: datetime, *, css: str) -> str:
    """A level that moves: each value holds until the next one's time."""
    first_at, first = points[0]
    moves = "".join(f"H{frame.x(at)}V{frame.y(value)}" for at, value in points[1:])
    return f'<path class="{css}" d="M{frame.x(first_at)} {frame.y(first)}{moves}H{frame.x(end)}"/>'


def band(frame: Frame, shown: Sequence[Candle], *, columns: int, css: str) -> str:
    """The range of prices, joined into at most that many columns."""
    tops: list[str] = []
    bottoms: list[str] = []
    for group in _grouped(shown, columns):
        x = frame.x(group[0].opened_at + (group[-1].closed_at - group[0].opened_at) / 2)
        tops.append(f"{x} {frame.y(float(max(candle.high for candle in group)))}")
        bottoms.append(f"{x} {frame.y(float(min(candle.low for candle in group)))}")
    return f'<path class="{css}" d="M{"L".join([*tops, *reversed(bottoms)])}z"/>'


def closes(shown: Sequence[Candle], *, columns: int) -> list[Point]:
    """The last close of each of at most that many groups."""
    return [(group[-1].closed_at, float(group[-1].close)) for group in _grouped(shown, columns)]


def _grouped(shown: Sequence[Candle], columns: int) -> Iterator[Sequence[Candle]]:
    size = -(-len(shown) // columns)
    return (shown[begin : begin + size] for begin in range(0, len(shown), size))


def thinned(points: Sequence[Point], columns: int) -> list[Point]:
    """First, lowest, highest and last of each column: a line that looks the same with far fewer points."""
    if len(points) <= 4 * columns:
        return list(points)
    begin, length = points[0][0], (points[-1][0] - points[0][0]) / columns
    groups: dict[int, list[Point]] = {}
    for point in points:
        groups.setdefault((point[0] - begin) // length, []).append(point)
    kept: list[Point] = []
    for group in groups.values():
        ends = (group[0], min(group, key=_value), max(group, key=_value), group[-1])
        kept.extend(sorted(set(ends)))
    return kept


def _value(point: Point) -> float:
    return point[1]


# --- words and marks over the shapes ---------------------------------------------------------------------------------


def drawing(shapes: Iterable[str], over: Iterable[str], *, css: str, label: str) -> str:
    """One picture. over: marks of `tag`, `mark`, `grid`, positioned in its own units."""
    return (
        f'<div class="plot {css}" role="img" aria-label="{escape(label)}">'
        f'<svg viewBox="0 0 {SIZE} {SIZE}" preserveAspectRatio="none" aria-hidden="true">{"".join(shapes)}</svg>'
        f"{''.join(over)}</div>"
    )


def mark(x: int, y: int, text: str, *, css: str, title: str = "", href: str = "") -> str:
    """A sign at a point; with href a link."""
    name, link = ("a", f' href="{escape(href)}"') if href else ("i", "")
    told = f' title="{escape(title)}"' if title else ""
    return f'<{name} class="{css}" style="left:{x / 10:g}%;top:{y / 10:g}%"{link}{told}>{escape(text)}</{name}>'


def tags(frame: Frame, prices: Iterable[tuple[float, str, str]], *, height_px: int) -> str:
    """Words at the right of their prices (price, words, css), pushed apart where they would cover each other."""
    rows = sorted(((frame.y(price), words, css) for price, words, css in prices), key=lambda row: row[0])
    gap = round(SIZE * 15 / height_px)
    places = [row[0] for row in rows]
    for number in range(1, len(places)):
        places[number] = max(places[number], places[number - 1] + gap)
    for number in reversed(range(len(places))):
        below = places[number + 1] - gap if number + 1 < len(places) else SIZE
        places[number] = min(places[number], below)
    return "".join(
        f'<b class="tag {css}" style="top:{place / 10:g}%">{escape(words)}</b>'
        for place, (_, words, css) in zip(places, rows, strict=True)
    )


def price_grid(frame: Frame, *, lines: int, words: bool = True, unit: str = "") -> tuple[str, str]:
    """(shapes, words) of horizontal lines at round values."""
    values = round_values(frame.low, frame.high, lines)
    shapes = "".join(f'<path class="grid" d="M0 {frame.y(value)}H{SIZE}"/>' for value in values)
    spoken = (f'<b class="tick" style="top:{frame.y(value) / 10:g}%">{number(value)}{unit}</b>' for value in values)
    return shapes, "".join(spoken) if words else ""


def time_axis(frame: Frame, *, most: int) -> tuple[str, str]:
    """(shapes, words) of vertical lines at round times in UTC; every second of the words may go where it is narrow."""
    times, pattern = round_times(frame.begins_at, frame.ends_at, most)
    shapes = "".join(f'<path class="grid" d="M{frame.x(at)} 0V{SIZE}"/>' for at in times)
    words = "".join(
        f'<i style="left:{frame.x(at) / 10:g}%">{at.strftime(pattern).lstrip("0")}</i>'
        for at in times
        if 20 < frame.x(at) < SIZE - 30
    )
    return shapes, f'<div class="times">{words}</div>'


def round_values(low: float, high: float, most: int) -> list[float]:
    """At most that many multiples of 1, 2 or 5 times a power of ten between the two."""
    rough = (high - low) / most
    power = 10.0 ** floor(log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first = floor(low / step) + 1
    return [count * step for count in range(first, floor(high / step) + 1)]


def round_times(begin: datetime, end: datetime, most: int) -> tuple[list[datetime], str]:
    """At most about that many hours, days, weeks or months between the two, and how to write them."""
    length = end - begin
    for step in _STEPS:
        if length / step <= most:
            first = _EPOCH + -((_EPOCH - begin) // step) * step
            found = [first + count * step for count in range((end - first) // step + 1)]
            return found, "%d %b" if step >= timedelta(days=1) else "%d %b %H:%M"
    for months in _MONTHS:
        if length / timedelta(days=30.4 * months) <= most:
            return _starts(begin, end, months=months), "%b %Y"
    years = -(-length // timedelta(days=365 * most))
    return _starts(begin, end, years=years), "%Y"


def _starts(begin: datetime, end: datetime, *, months: int = 12, years: int = 1) -> list[datetime]:
    """The first moments of every so many months of every so many years between the two."""
    chosen = range(begin.year, end.year + 1, years)
    firsts = (datetime(year, month, 1, tzinfo=UTC) for year in chosen for month in range(1, 13, months))
    return [first for first in firsts if begin <= first <= end]


def number(value: float) -> str:
    """A round value with thousands apart and no more decimals than it needs."""
    text = f"{value:,.6f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def runs(values: Sequence[float]) -> list[float]:
    """Falls below the highest so far, in per cent, 0 at a new high."""
    falls, peak = [], values[0]
    for value in values:
        peak = max(peak, value)
        falls.append((value - peak) / peak * 100 if peak > 0 else -100.0)
    return falls


def stepped(points: Sequence[Point], end: datetime) -> list[Point]:
    """Points whose values hold until the next one, with the corners between, up to the end."""
    corners = [(after[0], before[1]) for before, after in pairwise(points)]
    joined = [points[0]]
    for corner, point in zip(corners, points[1:], strict=True):
        joined += [corner, point]
    return [*joined, (end, points[-1][1])]

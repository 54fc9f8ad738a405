"""A replay's page: one file that needs nothing else, shows every trade, and nothing later than was known."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.recorded import make_scenario_candles
from live.replay import replay
from live.replay_charts import Frame, framed, number, round_times, round_values, runs, stepped, tags, thinned
from live.replay_page import page
from live.replay_report import Report, report_of
from live.replay_windows import MOST, cut_off, window
from live.settings import Settings
from live.smc.events import Event, Kind, Scope

BAR = timedelta(minutes=15)
BEGAN = datetime(2026, 1, 5, tzinfo=UTC)
BESIDE_NOTHING = {"meta", "path", "rect", "br"}


@cache
def report(bars: int = 1200, name: str = "default") -> Report:
    candles = make_scenario_candles(name, seed=1, bars=bars, symbol="BTC/USD:USD", timeframe=BAR)
    return report_of(asyncio.run(replay(candles, Settings())))


class Outline(HTMLParser):
    """What a browser would build: refuses tags that do not close, and collects ids and links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.links += [value for name, value in attrs if name in ("href", "src") and value]
        if tag not in BESIDE_NOTHING:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        assert tag in BESIDE_NOTHING

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


@pytest.mark.parametrize("bars", [1, 2, 30, 500, 1200])
def test_a_page_of_any_length_is_whole_and_needs_nothing_from_elsewhere(bars: int) -> None:
    text = page(report(bars))
    outline = Outline(text)

    assert "default-src 'none'" in text
    assert "<script" not in text and "url(" not in text and "@import" not in text
    assert all(link.startswith("#") for link in outline.links)
    assert {link[1:] for link in outline.links} <= set(outline.ids)
    assert all(re.fullmatch(r"[MLHVhz\d .-]+", drawn) for drawn in re.findall(r' d="([^"]*)"', text) if drawn)


def test_every_trade_has_its_dot_its_row_and_its_picture() -> None:
    shown = report()
    outline = Outline(page(shown))

    numbers = range(1, len(shown.trades) + 1)
    assert len(numbers) >= 4
    assert [each for each in outline.ids if each[0] == "t"] == [f"t{number}" for number in numbers]
    assert [each for each in outline.ids if each[0] == "w"] == [f"w{number}" for number in numbers]
    assert outline.links.count("#t1") == outline.links.count("#w1") == 1


def test_what_it_rests_on_and_that_it_is_no_forecast_is_said() -> None:
    text = page(report())

    assert "no forecast and no evidence of profit" in text
    assert "5 bps for taking and 2 bps for making" in text
    assert "only when the price trades through it" in text
    assert report().fingerprint in text


def test_words_from_outside_are_shown_and_never_run() -> None:
    shown = report()
    evil = "<img src=x onerror=alert(1)>"
    trade = replace(shown.trades[0], reasons=(evil,))
    summary = replace(shown.summary, symbol=evil, halted=evil, denied={evil: 1})

    text = page(replace(shown, trades=[trade], summary=summary))

    assert "<img" not in text
    assert text.count("&lt;img") == 5  # title, heading, halt, denial, reasons
    Outline(text)


def test_a_replay_without_a_trade_or_a_signal_has_a_page_too() -> None:
    text = page(report(300, "walk"))

    assert ">None.<" in text
    assert "One by one" not in text


def test_a_picture_shows_nothing_that_became_known_after_the_decision() -> None:
    shown = report()
    trade = shown.trades[0]
    before = window(shown, trade)
    later = [
        observation
        if observation.closed_at <= trade.decided_at
        else observation._replace(
            events=(Event(Kind.BOS, Scope.SWING, 1, BEGAN, observation.closed_at, 66_000.0, 66_000.0),)
        )
        for observation in shown.observations
    ]

    assert window(replace(shown, observations=later), trade) == before
    blind = [observation._replace(events=()) for observation in shown.observations]
    assert window(replace(shown, observations=blind), trade) != before
    assert all(word in before for word in ("CHoCH", "sweep", "fair value gap", "decided"))


def test_a_trade_too_long_for_a_picture_says_how_much_is_left_out() -> None:
    shown = report()
    long_held = replace(shown.trades[0], closed_at=shown.trades[0].opened_at + 400 * BAR)

    assert cut_off(shown, shown.trades[0]) == 0
    assert 200 < cut_off(shown, long_held) < 400
    assert window(shown, long_held).count("M") < 20 * MOST


# --- the drawing's arithmetic


@given(st.floats(-1e6, 1e6), st.floats(0.001, 1e6), st.integers(1, 12))
def test_round_values_lie_inside_and_are_no_more_than_asked(low: float, length: float, most: int) -> None:
    values = round_values(low, low + length, most)

    assert len(values) <= most + 1
    assert values == sorted(values)
    assert all(low - length * 1e-6 <= value <= low + length * (1 + 1e-6) for value in values)


@given(st.integers(0, 10**6), st.integers(1, 5 * 10**6), st.integers(2, 10))
def test_round_times_lie_inside_and_are_few(begin_minutes: int, minutes: int, most: int) -> None:
    begin = BEGAN + timedelta(minutes=begin_minutes)
    end = begin + timedelta(minutes=minutes)

    times, _ = round_times(begin, end, most)

    assert all(begin <= at <= end for at in times)
    assert len(times) <= most + 2


points = st.lists(
    st.tuples(st.integers(0, 10_000), st.floats(-1e6, 1e6)), min_size=1, max_size=300, unique_by=lambda p: p[0]
)


@given(points, st.integers(1, 20))
def test_a_thinned_line_keeps_its_ends_and_its_extremes(raw: list[tuple[int, float]], columns: int) -> None:
    line = sorted((BEGAN + timedelta(minutes=minute), value) for minute, value in raw)

    kept = thinned(line, columns)

    assert kept[0] == line[0] and kept[-1] == line[-1]
    assert [min(v for _, v in each) for each in (kept, line)] == [min(v for _, v in line)] * 2
    assert [max(v for _, v in each) for each in (kept, line)] == [max(v for _, v in line)] * 2
    assert kept == sorted(kept) and set(kept) <= set(line)


def test_a_value_holds_until_the_next_one() -> None:
    first, second = BEGAN, BEGAN + BAR

    assert stepped([(first, 1.0), (second, 2.0)], second + BAR) == [
        (first, 1.0), (second, 1.0), (second, 2.0), (second + BAR, 2.0),
    ]  # fmt: skip


def test_a_drawdown_is_counted_from_the_highest_so_far() -> None:
    assert runs([100.0, 80.0, 120.0, 60.0, 0.0]) == [0.0, -20.0, 0.0, -50.0, -100.0]


@given(st.lists(st.floats(0, 100), min_size=1, max_size=8))
def test_prices_beside_a_picture_never_cover_each_other(prices: list[float]) -> None:
    text = tags(Frame(BEGAN, BEGAN + BAR, 0.0, 100.0), [(price, "x", "") for price in prices], height_px=360)
    places = [float(place) * 3.6 for place in re.findall(r"top:([\d.e-]+)%", text)]

    assert all(after - before > 14 for before, after in pairwise(places))
    assert all(0 <= place <= 360 for place in places)


def test_a_flat_market_still_has_a_frame() -> None:
    frame = framed(BEGAN, BEGAN, [5.0, 5.0])

    assert frame.low < 5.0 < frame.high
    assert frame.begins_at < frame.ends_at


@pytest.mark.parametrize(("value", "text"), [(-0.0, "0"), (65000.0, "65,000"), (0.625, "0.625"), (-2.0, "-2")])
def test_numbers_beside_lines_are_short(value: float, text: str) -> None:
    assert number(value) == text

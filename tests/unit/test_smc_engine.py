"""The engine as a whole: causal, the same after any restart, symmetric, bounded; and equal to a plain reference."""

from __future__ import annotations

import pickle
import random
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta, timezone
from decimal import Decimal
from itertools import product
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from live.model import Candle, Side, Signal
from live.smc import Code, Engine, Event, Kind, Observation, Scope, Session, SmcParameters

SYMBOL = "BTC/USD:USD"
BAR = timedelta(minutes=15)
START = datetime(2026, 3, 1, tzinfo=UTC)
MIRROR = 1 << 14

# fractions of two, so that every sum and product of whole prices is exact and symmetry can be demanded to the last bit
SMALL = SmcParameters(
    htf_bars=4, atr_bars=4, internal_bars=1, swing_bars=2, htf_swing_bars=1, fvg_min_atr=0.0, displacement_atr=0.75,
    pool_tolerance_atr=0.25, pool_min_touches=1, ote_min=0.5, ote_max=0.875, stop_buffer_atr=0.25, min_rr=1.0,
)  # fmt: skip

Shape = tuple[int, int, int, int, int]  # jump from the last close, body, upper wick, lower wick, candles missing before
SHAPES = st.lists(
    st.tuples(
        st.integers(-3, 3), st.integers(-6, 6), st.integers(0, 4), st.integers(0, 4),
        st.sampled_from([0] * 30 + [1, 5]),
    ),
    max_size=150,
)  # fmt: skip


def candle(number: int, open_: int, high: int, low: int, close: int) -> Candle:
    prices = [Decimal(price) for price in (open_, high, low, close)]
    return Candle(SYMBOL, BAR, START + number * BAR, *prices, Decimal(1))


def candles_of(shapes: Sequence[Shape]) -> list[Candle]:
    """A walk in whole ticks around 8,000, with ties, flat bars, jumps and holes."""
    candles, number, close = [], 0, MIRROR // 2
    for jump, body, upper, lower, missing in shapes:
        open_ = close + jump
        close = open_ + body
        number += missing
        candles.append(candle(number, open_, max(open_, close) + upper, min(open_, close) - lower, close))
        number += 1
    return candles


def random_walk(count: int, seed: int) -> list[Candle]:
    rng = random.Random(seed)
    shapes = [(rng.randint(-1, 1), rng.randint(-9, 9), rng.randint(0, 5), rng.randint(0, 5), 0) for _ in range(count)]
    return candles_of(shapes)


def run(candles: Sequence[Candle], parameters: SmcParameters = SMALL) -> list[Observation]:
    engine = Engine(parameters, SYMBOL)
    return [engine.on_candle(one) for one in candles]


def events_of(observations: Sequence[Observation]) -> list[Event]:
    return [event for observation in observations for event in observation.events]


def mirrored(one: Candle) -> Candle:
    flipped = [MIRROR - price for price in (one.open, one.low, one.high, one.close)]
    return Candle(one.symbol, one.timeframe, one.opened_at, *flipped, one.volume)


def scaled(one: Candle, factor: int) -> Candle:
    return replace(one, open=one.open * factor, high=one.high * factor, low=one.low * factor, close=one.close * factor)


# --- causality ------------------------------------------------------------


@given(SHAPES, st.integers(0, 150))
def test_a_prefix_knows_exactly_the_events_known_by_its_end(shapes: list[Shape], cut: int) -> None:
    """The peer rewrote 343 published rows in 300 steps; W44: structure from bars not yet closed."""
    candles = candles_of(shapes)
    prefix = candles[:cut]
    end = prefix[-1].closed_at if prefix else START

    assert events_of(run(prefix)) == [event for event in events_of(run(candles)) if event.known_at <= end]


@given(SHAPES)
def test_nothing_is_known_before_it_happened_or_told_late(shapes: list[Shape]) -> None:
    candles = candles_of(shapes)

    for one, observation in zip(candles, run(candles), strict=True):
        assert observation.closed_at == one.closed_at
        for event in observation.events:
            assert event.known_at == one.closed_at
            assert START <= event.origin < event.known_at


def test_the_higher_timeframe_is_used_at_its_own_close_only() -> None:
    observations = run(random_walk(800, seed=5))

    known = {event.known_at for event in events_of(observations) if event.scope is Scope.HIGHER}
    assert known
    assert all((at - START) % (SMALL.htf_bars * BAR) == timedelta(0) for at in known)


# --- restart --------------------------------------------------------------


@given(SHAPES, st.integers(0, 150), st.integers(0, 20))
def test_a_restart_that_replays_history_goes_on_as_if_never_stopped(
    shapes: list[Shape], cut: int, overlap: int
) -> None:
    """The overlap of history and stream changes nothing: duplicates are refused by value (I48)."""
    candles = candles_of(shapes)
    restarted = Engine(SMALL, SYMBOL)
    for one in candles[:cut]:
        restarted.on_candle(one)

    repeated = [restarted.on_candle(one) for one in candles[max(0, cut - overlap) : cut]]
    after = [restarted.on_candle(one) for one in candles[cut:]]

    assert all(observation.refused for observation in repeated)
    assert after == run(candles)[cut:]


# --- symmetry -------------------------------------------------------------


def flipped_event(event: Event) -> Event:
    if event.kind is Kind.GAP:
        return event
    return event._replace(direction=-event.direction, bottom=MIRROR - event.top, top=MIRROR - event.bottom)


def flipped_signal(signal: Signal | None) -> object:
    if signal is None:
        return None
    side = Side.SHORT if signal.side is Side.LONG else Side.LONG
    prices = (signal.entry_price, signal.stop_price, *signal.targets)
    return (side, *(MIRROR - price for price in prices), signal.known_at, signal.expires_at)


def plain_signal(signal: Signal | None) -> object:
    if signal is None:
        return None
    prices = (signal.entry_price, signal.stop_price, *signal.targets)
    return (signal.side, *prices, signal.known_at, signal.expires_at)


def assert_mirror_symmetric(candles: Sequence[Candle]) -> int:
    signals = 0
    for one, other in zip(run(candles), run([mirrored(one) for one in candles]), strict=True):
        assert sorted(map(flipped_event, one.events)) == sorted(other.events)
        assert flipped_signal(one.signal) == plain_signal(other.signal)
        signals += one.signal is not None
    return signals


@given(SHAPES)
def test_shorts_are_longs_in_the_mirror(shapes: list[Shape]) -> None:
    assert_mirror_symmetric(candles_of(shapes))


def test_the_mirror_holds_on_a_long_walk_that_gives_signals_on_both_sides() -> None:
    candles = random_walk(4_000, seed=2)

    assert assert_mirror_symmetric(candles) > 10
    assert {one.signal.side for one in run(candles) if one.signal} == {Side.LONG, Side.SHORT}


@given(SHAPES, st.sampled_from([2, 8]))
def test_a_power_of_two_in_the_price_changes_nothing_but_the_price(shapes: list[Shape], factor: int) -> None:
    candles = candles_of(shapes)

    for one, other in zip(run(candles), run([scaled(c, factor) for c in candles]), strict=True):
        assert [e._replace(bottom=e.bottom * factor, top=e.top * factor) for e in one.events] == list(other.events)
        assert (one.signal is None) == (other.signal is None)
        if one.signal and other.signal:
            assert one.signal.entry_price * factor == other.signal.entry_price
            assert one.signal.stop_price * factor == other.signal.stop_price


# --- against a plain reference ----------------------------------------------


def known(
    candles: Sequence[Candle], kind: Kind, scope: Scope, direction: int, origin: int, at: int, *level: float
) -> Event:
    bottom, top = min(level), max(level)
    return Event(kind, scope, direction, candles[origin].opened_at, candles[at].closed_at, bottom, top)


def up_and_down(candles: Sequence[Candle]) -> list[tuple[int, list[tuple[float, float, float, float]]]]:
    """(direction, rows of open, high, low, close), the second time with all prices negated."""
    rows = [(float(c.open), float(c.high), float(c.low), float(c.close)) for c in candles]
    return [(1, rows), (-1, [(-o, -low, -high, -c) for o, high, low, c in rows])]


def plain_pivots(highs: Sequence[float], wings: int) -> list[int]:
    return [
        i
        for i in range(wings, len(highs) - wings)
        if highs[i] > max(highs[i - wings : i]) and highs[i] >= max(highs[i + 1 : i + wings + 1])
    ]


def plain_structure(candles: Sequence[Candle], scope: Scope, wings: int) -> list[tuple[Event, int, int]]:
    """(event, candle of the broken pivot, candle of the break) for every break, by rescanning all history."""
    sides = up_and_down(candles)
    trend, found = 0, []
    for t in range(len(candles)):
        for direction, rows in sides:
            confirmed = [i for i in plain_pivots([row[1] for row in rows], wings) if i + wings < t]
            if not confirmed:
                continue
            pivot = confirmed[-1]
            level = rows[pivot][1]
            if rows[t][3] > level and all(rows[s][3] <= level for s in range(pivot + wings + 1, t)):
                kind = Kind.CHOCH if trend == -direction else Kind.BOS
                found.append((known(candles, kind, scope, direction, pivot, t, level * direction), pivot, t))
                trend = direction
    return found


def first(numbers: Iterable[int], end: int) -> int:
    return next(iter(numbers), end)


def plain_gaps(candles: Sequence[Candle]) -> list[Event]:
    found = []
    for direction, rows in up_and_down(candles):
        for t in range(2, len(rows)):
            bottom, top = rows[t - 2][1], rows[t][2]
            if top <= bottom or rows[t - 1][3] <= rows[t - 1][0]:
                continue
            level = (bottom * direction, top * direction)
            found.append(known(candles, Kind.FVG, Scope.INTERNAL, direction, t - 1, t, *level))
            depths = {Kind.FVG_TOUCHED: top, Kind.FVG_HALF: (top + bottom) / 2, Kind.FVG_FILLED: bottom}
            for kind, depth in depths.items():
                at = first((j for j in range(t + 1, len(rows)) if rows[j][2] <= depth), len(rows))
                if at < len(rows):
                    found.append(known(candles, kind, Scope.INTERNAL, direction, t - 1, at, *level))
    return found


def plain_blocks(candles: Sequence[Candle], wings: int) -> list[Event]:
    found, end = [], len(candles)
    breaks = plain_structure(candles, Scope.INTERNAL, wings)
    for direction, rows in up_and_down(candles):
        dead_at: dict[int, int] = {}
        for event, pivot, t in breaks:
            if event.direction != direction:
                continue
            block = min(range(pivot + 1, t), key=lambda i: (rows[i][2], -i))
            if t < dead_at.get(block, -1):
                continue
            _, top, bottom, _ = rows[block]
            touched = first((j for j in range(t + 1, end) if rows[j][2] <= top), end)
            broken = first((j for j in range(touched, end) if rows[j][3] < bottom), end)
            dead_at[block] = dead = first((j for j in range(broken + 1, end) if rows[j][3] > top), end)
            life = zip(BLOCK_KINDS, (t, touched, broken, dead), strict=True)
            found += [
                known(candles, kind, Scope.INTERNAL, direction, block, at, bottom * direction, top * direction)
                for kind, at in life
                if at < end
            ]
    return found


def plain_liquidity(candles: Sequence[Candle], wings: int) -> list[Event]:
    """Every pool looked at on every candle; only equal highs share one (tolerance 0)."""
    found = []
    for direction, rows in up_and_down(candles):
        pivots = plain_pivots([row[1] for row in rows], wings)
        pools: dict[float, int] = {}
        for t, (_, high, _, close) in enumerate(rows):
            for level in [level for level in pools if level < high]:
                kind = Kind.SWEEP if close <= level else Kind.RUN
                found.append(known(candles, kind, Scope.SWING, direction, pools.pop(level), t, level * direction))
            if t - wings in pivots:
                level = rows[t - wings][1]
                origin = pools.setdefault(level, t - wings)
                found.append(known(candles, Kind.POOL, Scope.SWING, direction, origin, t, level * direction))
    return found


def plain_key(p: SmcParameters, scope: Scope, session: Session | None, one: Candle) -> object:
    """The period in which this candle opened, told by wall clocks; None outside of a session."""
    local = one.opened_at.astimezone(ZoneInfo(session.zone if session else p.period_zone))
    if session is None:
        return local.date() if scope is Scope.DAY else local.isocalendar()[:2]
    overnight = session.ends <= session.begins
    if session.begins <= local.time() and (overnight or local.time() < session.ends):
        return local.date()
    return local.date() - timedelta(days=1) if overnight and local.time() < session.ends else None


def plain_levels(candles: Sequence[Candle], p: SmcParameters) -> list[Event]:
    """Periods as runs of candles with one key; the first run counts when the candle before it would have another."""
    found = []
    references = [(Scope.DAY, None), (Scope.WEEK, None), *((Scope.SESSION, session) for session in p.sessions)]
    for (scope, session), (direction, rows) in product(references, up_and_down(candles)):
        keys = [plain_key(p, scope, session, one) for one in candles]
        before = replace(candles[0], opened_at=candles[0].opened_at - p.timeframe) if candles else None
        begin, standing = 0, None
        for t, (_, high, _, close) in enumerate(rows):
            if t and keys[t] != keys[t - 1]:
                whole = begin > 0 or (before is not None and plain_key(p, scope, session, before) != keys[0])
                if keys[begin] is not None and whole:
                    if standing is not None:
                        level = rows[standing][1] * direction
                        found.append(known(candles, Kind.FORGOTTEN, scope, direction, standing, t, level))
                    standing = max(range(begin, t), key=lambda i: (rows[i][1], -i))
                    level = rows[standing][1] * direction
                    found.append(known(candles, Kind.POOL, scope, direction, standing, t, level))
                begin = t
            if standing is not None and high > rows[standing][1]:
                kind = Kind.SWEEP if close <= rows[standing][1] else Kind.RUN
                found.append(known(candles, kind, scope, direction, standing, t, rows[standing][1] * direction))
                standing = None
    return found


BLOCK_KINDS = (Kind.ORDER_BLOCK, Kind.ORDER_BLOCK_TOUCHED, Kind.ORDER_BLOCK_BROKEN, Kind.ORDER_BLOCK_DEAD)
GAP_KINDS = (Kind.FVG, Kind.FVG_TOUCHED, Kind.FVG_HALF, Kind.FVG_FILLED)
UNCAPPED = replace(SMALL, pool_tolerance_atr=0.0, max_pools=1000, max_zones=1000, internal_bars=2, swing_bars=3)


def only(events: Sequence[Event], scope: Scope, *kinds: Kind) -> list[Event]:
    return sorted(event for event in events if event.kind in kinds and event.scope is scope)


def assert_equals_the_reference(candles: Sequence[Candle]) -> None:
    events = events_of(run(candles, UNCAPPED))

    for scope, wings in ((Scope.INTERNAL, 2), (Scope.SWING, 3)):
        breaks = [event for event, _, _ in plain_structure(candles, scope, wings)]
        assert only(events, scope, Kind.BOS, Kind.CHOCH) == sorted(breaks)
        pivots = [
            known(candles, Kind.PIVOT, scope, direction, i, i + wings, rows[i][1] * direction)
            for direction, rows in up_and_down(candles)
            for i in plain_pivots([row[1] for row in rows], wings)
        ]
        assert only(events, scope, Kind.PIVOT) == sorted(pivots)
    assert only(events, Scope.INTERNAL, *GAP_KINDS) == sorted(plain_gaps(candles))
    assert only(events, Scope.INTERNAL, *BLOCK_KINDS) == sorted(plain_blocks(candles, 2))
    assert only(events, Scope.SWING, Kind.POOL, Kind.SWEEP, Kind.RUN) == sorted(plain_liquidity(candles, 3))


PERIOD_SCOPES = (Scope.DAY, Scope.WEEK, Scope.SESSION)
BERLIN_NIGHTS = Session("Europe/Berlin", time(22), time(6, 30))


def hourly(shapes: Sequence[Shape], began_at: datetime) -> list[Candle]:
    hour = timedelta(hours=1)
    return [
        replace(one, timeframe=hour, opened_at=began_at + (one.opened_at - START) // BAR * hour)
        for one in candles_of(shapes)
    ]


def assert_levels_equal_the_reference(candles: Sequence[Candle], p: SmcParameters) -> list[Event]:
    engine = Engine(p, SYMBOL)
    found = [e for one in candles for e in engine.on_candle(one).events if e.scope in PERIOD_SCOPES]
    assert sorted(found) == sorted(plain_levels(candles, p))
    return found


@settings(max_examples=60)
@given(
    SHAPES,
    st.sampled_from(["UTC", "America/New_York", "Asia/Kathmandu"]),
    st.sampled_from(
        [datetime(2026, 3, 6, 3, tzinfo=UTC), datetime(2026, 3, 27, 22, tzinfo=UTC), datetime(2026, 10, 23, tzinfo=UTC)]
    ),
)
def test_levels_of_days_weeks_and_sessions_equal_a_plain_search_by_wall_clocks(
    shapes: list[Shape], zone: str, began_at: datetime
) -> None:
    """Over both changes of summer time, with holes of any place; a session that spans midnight among them."""
    p = replace(UNCAPPED, timeframe=timedelta(hours=1), period_zone=zone)
    p = replace(p, sessions=(*p.sessions, BERLIN_NIGHTS))

    assert_levels_equal_the_reference(hourly(shapes, began_at), p)


def test_levels_equal_a_plain_search_on_a_long_walk_with_weekends_missing() -> None:
    p = replace(UNCAPPED, timeframe=timedelta(hours=1), period_zone="America/New_York")
    rng = random.Random(8)
    shapes = [(0, rng.randint(-9, 9), rng.randint(0, 5), rng.randint(0, 5), 0) for _ in range(1200)]
    walk = hourly(shapes, START)
    candles = [one for one in walk if one.opened_at.weekday() < 5]

    found = assert_levels_equal_the_reference(candles, p)

    assert {(e.scope, e.kind) for e in found} >= {(scope, Kind.POOL) for scope in PERIOD_SCOPES}


@settings(max_examples=40)
@given(SHAPES.map(lambda shapes: [(*shape[:4], 0) for shape in shapes][:90]))
def test_the_stream_equals_a_plain_search_over_all_history(shapes: list[Shape]) -> None:
    assert_equals_the_reference(candles_of(shapes))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_stream_equals_a_plain_search_on_a_long_walk(seed: int) -> None:
    assert_equals_the_reference(random_walk(220, seed))


def joined(candles: Sequence[Candle], count: int) -> list[Candle]:
    """candles: without holes, the first one on the higher timeframe's grid."""
    groups = [candles[i : i + count] for i in range(0, len(candles) - count + 1, count)]
    return [
        replace(
            group[0],
            timeframe=count * BAR,
            high=max(one.high for one in group),
            low=min(one.low for one in group),
            close=group[-1].close,
        )
        for group in groups
    ]


def test_on_the_higher_timeframe_the_same_structure_is_found_on_its_own_candles() -> None:
    candles = random_walk(640, seed=6)
    wings = UNCAPPED.htf_swing_bars

    found = only(events_of(run(candles, UNCAPPED)), Scope.HIGHER, Kind.BOS, Kind.CHOCH)

    expected = [event for event, _, _ in plain_structure(joined(candles, UNCAPPED.htf_bars), Scope.HIGHER, wings)]
    assert found == sorted(expected)
    assert len(found) > 5


# --- decisions ------------------------------------------------------------


@given(SHAPES)
def test_every_candle_leaves_a_signal_or_a_reason(shapes: list[Shape]) -> None:
    for observation in run(candles_of(shapes)):
        assert (observation.signal is None) == bool(observation.reasons)
        assert (observation.code is Code.SIGNAL) == (observation.signal is not None)
        if observation.signal is None:
            assert observation.code.words in observation.reasons[0]


def test_no_sweep_gives_two_signals() -> None:
    """I31: the same signal again every cycle. A sweep is consumed by its signal."""
    sweeps_since_signal = {Side.LONG: 0, Side.SHORT: 0}
    signals = 0
    for observation in run(random_walk(4_000, seed=2)):
        for event in observation.events:
            if event.kind is Kind.SWEEP:
                sweeps_since_signal[Side.SHORT if event.direction > 0 else Side.LONG] += 1
        if observation.signal:
            signals += 1
            assert sweeps_since_signal[observation.signal.side] > 0
            sweeps_since_signal[observation.signal.side] = 0
    assert signals > 10


def test_a_signal_is_ordered_from_stop_to_last_target_and_expires() -> None:
    for observation in run(random_walk(4_000, seed=2)):
        if (signal := observation.signal) is None:
            continue
        ladder = [signal.stop_price, signal.entry_price, *signal.targets]
        assert ladder == sorted(ladder, reverse=signal.side is Side.SHORT)
        assert signal.known_at == observation.closed_at
        assert signal.expires_at == signal.known_at + SMALL.expiry_bars * BAR
        assert signal.reasons


def test_a_signal_goes_with_the_higher_timeframe_and_buys_its_discount_or_sells_its_premium() -> None:
    trend, high, low, signals = 0, 0.0, 0.0, 0
    for observation in run(random_walk(4_000, seed=2)):
        for event in only(observation.events, Scope.HIGHER, Kind.BOS, Kind.CHOCH):
            trend = event.direction
        for event in only(observation.events, Scope.HIGHER, Kind.PIVOT):
            high, low = (event.top, low) if event.direction > 0 else (high, event.bottom)
        if (signal := observation.signal) is not None:
            signals += 1
            assert signal.side.sign == trend
            assert (signal.entry_price < (high + low) / 2) is (signal.side is Side.LONG)
    assert signals > 10


def test_without_displacement_there_is_no_signal_and_the_reason_says_so() -> None:
    observations = run(random_walk(4_000, seed=2), replace(SMALL, displacement_atr=50.0))

    assert not any(observation.signal for observation in observations)
    assert "long: change of character without displacement" in {r for o in observations for r in o.reasons}


def test_a_block_that_causes_two_breaks_is_one_block() -> None:
    rows = [
        (8, 8, 7, 8), (8, 9, 7, 9), (9, 20, 9, 12), (12, 12, 8, 10), (10, 12, 6, 11),
        (11, 30, 11, 15), (15, 16, 2, 14), (17, 28, 17, 25), (25, 36, 24, 35),
    ]  # fmt: skip
    candles = [candle(number, *row) for number, row in enumerate(rows)]

    events = events_of(run(candles, UNCAPPED))

    assert [event.known_at for event in only(events, Scope.INTERNAL, Kind.BOS)] == [
        candles[7].closed_at,
        candles[8].closed_at,
    ]
    (block,) = only(events, Scope.INTERNAL, Kind.ORDER_BLOCK)
    assert (block.origin, block.known_at) == (candles[6].opened_at, candles[7].closed_at)
    assert_equals_the_reference(candles)


# --- what is not taken ------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (random_walk(40, seed=1)[9], Code.DUPLICATE),
        (candle(9, 100, 101, 99, 100), Code.REVISED),
        (candle(3, 100, 101, 99, 100), Code.OLDER),
        (replace(candle(10, 100, 101, 99, 100), symbol="ETH/USD:USD"), Code.FOREIGN),
        (replace(candle(10, 100, 101, 99, 100), timeframe=timedelta(minutes=1)), Code.FOREIGN),
        (replace(candle(10, 100, 101, 99, 100), opened_at=START + timedelta(days=1, seconds=1)), Code.OFF_GRID),
        (replace(candle(10, 100, 101, 99, 100), opened_at=datetime(2026, 3, 2)), Code.NAIVE),  # noqa: DTZ001
        (replace(candle(10, 100, 101, 99, 100), close=Decimal("NaN")), Code.IMPOSSIBLE),
        (replace(candle(10, 100, 101, 99, 100), close=Decimal("sNaN")), Code.IMPOSSIBLE),
        (replace(candle(10, 100, 101, 99, 100), high=Decimal("Infinity")), Code.IMPOSSIBLE),
        (candle(10, 100, 99, 98, 99), Code.IMPOSSIBLE),
        (candle(10, 0, 1, 0, 1), Code.IMPOSSIBLE),
    ],
)
def test_a_candle_that_cannot_be_taken_is_refused_by_value_and_changes_nothing(bad: Candle, why: Code) -> None:
    candles = random_walk(40, seed=1)
    engine = Engine(SMALL, SYMBOL)
    for one in candles[:10]:
        engine.on_candle(one)

    refused = engine.on_candle(bad)

    assert (refused.code, refused.refused) == (why, why.words)
    assert (refused.events, refused.signal, refused.reasons) == ((), None, ())
    assert [engine.on_candle(one) for one in candles[10:]] == run(candles)[10:]


def test_another_time_zone_is_the_same_moment() -> None:
    abroad = timezone(timedelta(hours=2))
    candles = random_walk(60, seed=1)

    there = run([replace(one, opened_at=one.opened_at.astimezone(abroad)) for one in candles])

    assert there == run(candles)
    assert {event.known_at.tzinfo for event in events_of(there)} == {UTC}


def test_missing_candles_are_an_event_and_no_gap_spans_the_hole() -> None:
    before = [candle(0, 100, 110, 90, 100), candle(1, 100, 130, 100, 130)]

    hole = run([*before, candle(5, 140, 150, 135, 145)])[-1]
    whole = run([*before, candle(2, 140, 150, 135, 145)])[-1]

    assert [event.kind for event in hole.events] == [Kind.GAP]
    assert [event.kind for event in whole.events] == [Kind.FVG]


def test_a_candle_in_which_nothing_moved_is_taken() -> None:
    assert [o.refused for o in run([candle(n, 100, 100, 100, 100) for n in range(50)])] == [None] * 50


# --- cost -------------------------------------------------------------------


def test_memory_does_not_grow_with_the_candles_seen() -> None:
    engine = Engine(SmcParameters(), SYMBOL)
    rng, close, sizes = random.Random(4), 50_000, []
    for number in range(100_000):
        open_ = close
        close = max(1_000, open_ + rng.randint(-90, 90))
        high, low = max(open_, close) + rng.randint(0, 50), min(open_, close) - rng.randint(0, 50)
        engine.on_candle(candle(number, open_, high, low, close))
        if number % 1_000 == 999:
            sizes.append(len(pickle.dumps(engine)))

    assert max(sizes[20:]) < 1.25 * max(sizes[:20])
    assert max(sizes) < 20_000


def test_what_is_forgotten_over_the_cap_is_said() -> None:
    tiny = replace(SMALL, max_pools=1, max_zones=1)

    kinds = {event.kind for event in events_of(run(random_walk(2_000, seed=3), tiny))}

    assert Kind.FORGOTTEN in kinds


def test_the_engine_needs_neither_numpy_nor_pandas() -> None:
    program = "import sys, live.smc; sys.exit(any(name in sys.modules for name in ('numpy', 'pandas', 'ccxt')))"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0

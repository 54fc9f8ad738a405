"""Recorded candles through the worker's own loop: nothing looks ahead, and the worse is assumed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from live import cli
from live.events import Decided, Event, Filled, IntentApproved, OrderIntended, WorkerStarted
from live.model import Candle, Leg, Side
from live.recorded import COLUMNS, SCENARIO_BEGAN_AT, make_scenario_candles, read_candle_file
from live.replay import ASSUMPTIONS, Replayed, instrument_of, next_stop, replay
from live.replay_report import as_data, as_text, summary_of, trades_of
from live.settings import Settings
from live.smc.engine import Engine
from live.smc.parameters import SmcParameters
from prodsafe.errors import GateRefused

BTC, ETH = "BTC/USD:USD", "ETH/USD:USD"
BAR = timedelta(minutes=15)
SETTINGS = Settings()
SETUP = 384  # BTC's candle number 383 completes the first setup that the strategy is warm enough to see
T0 = SCENARIO_BEGAN_AT


def scenario(bars: int, symbol: str = BTC, name: str = "default") -> list[Candle]:
    return make_scenario_candles(name, seed=1, bars=bars, symbol=symbol, timeframe=BAR)


def run(candles: Sequence[Candle], settings: Settings = SETTINGS, **options: object) -> Replayed:
    return asyncio.run(replay(candles, settings, **options))  # type: ignore[arg-type]


def events_of(replayed: Replayed, *, before: datetime) -> list[Event]:
    """Without the process's own (host, pid)."""
    return [event for event in replayed.events if not isinstance(event, WorkerStarted) and event.at < before]


def decisions(replayed: Replayed) -> list[Decided]:
    return [event for event in replayed.events if isinstance(event, Decided)]


def candle(number: int, open_: int, high: int, low: int, close: int) -> Candle:
    prices = (Decimal(open_), Decimal(high), Decimal(low), Decimal(close))
    return Candle(BTC, BAR, T0 + number * BAR, *prices, Decimal(1))


def after_the_setup(*shapes: tuple[int, int, int, int]) -> list[Candle]:
    """The first setup (entry 66664, stop 65860, first target near 67468), then candles as a test shapes them."""
    return [*scenario(SETUP), *(candle(SETUP + number, *shape) for number, shape in enumerate(shapes))]


# --- the same as live, and nothing from the future


@pytest.mark.parametrize(("name", "symbol"), [("default", BTC), ("default", ETH), ("walk", BTC)])
def test_the_decisions_are_those_of_the_engine_fed_directly(name: str, symbol: str) -> None:
    candles = scenario(800, symbol, name)
    engine = Engine(SmcParameters(timeframe=BAR), symbol)
    direct = [engine.on_candle(each) for each in candles]

    replayed = decisions(run(candles))

    assert [each.closed_at for each in replayed] == [each.closed_at for each in direct]
    assert [each.side for each in replayed] == [each.signal.side if each.signal else None for each in direct]
    assert all(
        mine.reasons[: len(theirs.reasons)] == theirs.reasons for mine, theirs in zip(replayed, direct, strict=True)
    )
    assert name == "walk" or any(each.taken for each in replayed)


def test_the_same_candles_give_the_same_events() -> None:
    candles = scenario(800)
    ends = candles[-1].closed_at + BAR

    assert events_of(run(candles), before=ends) == events_of(run(candles), before=ends)


@pytest.mark.parametrize("bars", [SETUP - 1, SETUP, SETUP + 1, SETUP + 2, 500])
def test_candles_that_come_later_change_nothing_before_them(bars: int) -> None:
    candles = scenario(800)
    whole, prefix = run(candles), run(candles[:bars])
    cut = candles[bars].opened_at

    assert events_of(prefix, before=cut) == events_of(whole, before=cut)


def test_an_entry_is_asked_for_and_filled_no_earlier_than_the_next_candles_open() -> None:
    replayed = run(scenario(800))
    signals = [each for each in decisions(replayed) if each.taken]
    entries = [each.at for each in replayed.events if isinstance(each, OrderIntended) and each.spec.leg is Leg.ENTRY]

    assert len(signals) == len(entries) == len(trades_of(replayed.events)) == 3
    assert all(signal.closed_at < asked for signal, asked in zip(signals, entries, strict=True))
    assert all(trade.opened_at > asked for trade, asked in zip(trades_of(replayed.events), entries, strict=True))


def test_the_limits_of_the_worker_are_asked_too() -> None:
    replayed = run(scenario(800), replace(SETTINGS, risk_max_cost_r=Decimal("0.01")))
    summary = summary_of(replayed, trades_of(replayed.events))

    assert (summary.signals, summary.taken, summary.trades) == (3, 0, 0)
    assert sum(summary.denied.values()) == 3
    assert all(code.isidentifier() or "-" in code for code in summary.denied)


def test_a_candle_that_is_missing_after_the_setup_makes_its_decision_too_late() -> None:
    candles = scenario(SETUP + 10)
    del candles[SETUP]

    replayed = run(candles)
    summary = summary_of(replayed, trades_of(replayed.events))

    assert (summary.missing_candles, summary.signals, summary.denied) == (1, 1, {"late": 1})


def test_candles_before_the_beginning_only_warm_up() -> None:
    candles = scenario(800)
    begin_at = candles[SETUP + 100].opened_at

    whole, part = run(candles), run(candles, begin_at=begin_at)

    assert decisions(part)[0].closed_at == begin_at
    assert [(each.closed_at, each.side) for each in decisions(part)] == [
        (each.closed_at, each.side) for each in decisions(whole) if each.closed_at >= begin_at
    ]
    assert part.candles[0].opened_at == begin_at


# --- inside a candle the worse is assumed


def test_a_candle_that_spans_stop_and_target_is_a_loss() -> None:
    replayed = run(after_the_setup((67000, 67100, 66500, 66700), (66700, 70000, 65000, 69000)))
    (trade,) = trades_of(replayed.events)

    assert trade.exits == ("stop",)
    assert Decimal("-1.1") < trade.r < -1


def test_a_short_mirrors_it() -> None:
    """ETH's setup is one bar later and a short."""
    candles = scenario(SETUP + 1, ETH)
    intent = next(each.intent for each in run(candles).events if isinstance(each, IntentApproved))
    entry, stop, target = intent.entry_price, intent.stop_price, intent.targets[-1].price
    assert entry is not None and intent.side is Side.SHORT
    last = candles[-1]
    fills = replace(last, opened_at=last.closed_at, open=last.close, high=entry + 1, low=last.close, close=entry)
    spans = replace(fills, opened_at=fills.closed_at, open=entry, high=stop + 1, low=target - 1, close=target)

    (trade,) = trades_of(run([*candles, fills, spans]).events)

    assert (trade.exits, trade.side) == (("stop",), Side.SHORT)
    assert trade.r < -1


def test_the_candle_that_fills_the_entry_reaches_a_target_with_its_close_only() -> None:
    high_first = trades_of(run(after_the_setup((67000, 70000, 66500, 67000))).events)
    closes_there = trades_of(run(after_the_setup((67000, 70000, 66500, 67600))).events)

    assert [trade.exits for trade in high_first] == [()]
    assert [trade.exits for trade in closes_there] == [("target",)]


def test_the_candle_that_fills_the_entry_can_stop_it_out_too() -> None:
    (trade,) = trades_of(run(after_the_setup((67000, 70000, 65000, 69000))).events)

    assert trade.exits == ("stop",)
    assert trade.entry_price == 66664
    assert trade.exit_price is not None and Decimal(65800) < trade.exit_price < 65860  # trigger less slippage


def test_a_market_that_opens_beyond_the_stop_fills_it_there() -> None:
    (trade,) = trades_of(run(after_the_setup((67000, 67100, 66500, 66700), (64000, 64100, 63900, 64000))).events)

    assert trade.exit_price is not None and trade.exit_price < 64000
    assert trade.r < -3


def test_after_the_halt_no_entry_is_taken() -> None:
    crash = (67000, 67100, 60000, 61000)
    candles = [*after_the_setup(crash), *scenario(800)[SETUP + 1 :]]
    tight = replace(SETTINGS, risk_max_drawdown_pct=Decimal("0.1"), risk_halt_drawdown_pct=Decimal("0.2"))

    replayed = run(candles, tight)
    summary = summary_of(replayed, trades_of(replayed.events))

    assert summary.trades == 1
    assert summary.halted is not None and "drawdown" in summary.halted
    assert set(summary.denied) <= {"halted"}


prices = st.integers(1, 1000).map(Decimal)


@given(prices, prices, st.lists(prices))
def test_the_way_to_a_turn_rests_at_every_level_between_in_order(
    price: Decimal, turn: Decimal, levels: list[Decimal]
) -> None:
    rested, at = [], price
    while at != turn:
        at = next_stop(at, turn, levels)
        rested.append(at)

    between = {level for level in levels if min(price, turn) < level < max(price, turn)}
    assert rested == sorted(between | ({turn} - {price}), reverse=turn < price)


# --- what it amounts to


@pytest.mark.parametrize("symbol", [BTC, ETH])
def test_the_trades_account_for_every_change_of_equity(symbol: str) -> None:
    replayed = run(scenario(1200, symbol))
    trades = trades_of(replayed.events)
    summary = summary_of(replayed, trades)

    assert summary.trades >= 3
    assert summary.open == 0
    assert summary.wins + summary.losses == summary.trades
    assert abs(replayed.end_equity - replayed.start_equity - summary.realised_quote) < Decimal("0.000001")
    assert summary.fees_quote == sum(
        round(each.fill.fee_quote, 8) for each in replayed.events if isinstance(each, Filled)
    )


def test_a_position_still_held_is_listed_as_open_and_a_resting_entry_as_never_filled() -> None:
    held = run(after_the_setup((67000, 67100, 66500, 66700)))
    asked = run(after_the_setup((67000, 67100, 66900, 67000)))

    (trade,) = trades_of(held.events)
    assert (trade.closed_at, trade.exit_price, trade.exits) == (None, None, ())
    assert "(open)" in as_text(summary_of(held, [trade]), [trade])
    assert summary_of(asked, trades_of(asked.events)).unfilled == 1


def test_a_drawdown_inside_a_candle_counts() -> None:
    replayed = run(after_the_setup((67000, 67100, 66500, 66700), (66700, 66800, 65900, 66700)))
    summary = summary_of(replayed, trades_of(replayed.events))

    assert summary.open == 1
    assert Decimal("0.4") < summary.max_drawdown_pct < Decimal("0.6")  # nearly the half per cent that is risked


def test_an_unlisted_symbol_trades_on_the_finest_tick_its_prices_show() -> None:
    foreign = [replace(each, symbol="X/Y", close=each.close + Decimal("0.250")) for each in scenario(3)]

    assert instrument_of(foreign).tick_size == Decimal("0.01")
    assert instrument_of(scenario(3)).venue_id == "PF_XBTUSD"


# --- candles from a file


def rows_of(candles: Sequence[Candle]) -> list[str]:
    return [
        ",".join(map(str, (each.opened_at.isoformat(), each.open, each.high, each.low, each.close, each.volume)))
        for each in candles
    ]


def write(path: Path, rows: Sequence[str], head: str = ",".join(COLUMNS)) -> Path:
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def test_a_file_gives_the_candles_that_were_written_with_either_kind_of_time(tmp_path: Path) -> None:
    candles = scenario(5)
    iso = rows_of(candles)
    seconds = [
        f"{int(each.opened_at.timestamp())},{row.partition(',')[2]}" for each, row in zip(candles, iso, strict=True)
    ]

    assert read_candle_file(write(tmp_path / "iso.csv", iso), BTC, BAR) == candles
    assert read_candle_file(write(tmp_path / "seconds.csv", seconds), BTC, BAR) == candles
    assert read_candle_file(write(tmp_path / "z.csv", [row.replace("+00:00", "Z") for row in iso]), BTC, BAR) == candles


GOOD = "2026-01-05T00:15:00Z,5,7,4,6,1"


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("2026-01-05T00:15:00,5,7,4,6,1", "neither ISO 8601 in UTC"),
        ("2026-01-05T00:15:00+01:00,5,7,4,6,1", "neither ISO 8601 in UTC"),
        ("soon,5,7,4,6,1", "neither ISO 8601 in UTC"),
        ("2026-01-05T00:20:00Z,5,7,4,6,1", "not on the grid"),
        ("2026-01-05T00:00:00Z,5,7,4,6,1", "not after the line before it"),
        ("2026-01-05T00:15:00Z,5,7,4,6", "5 columns instead of 6"),
        ("2026-01-05T00:15:00Z,5,7,4,6,1,1", "7 columns instead of 6"),
        ("2026-01-05T00:15:00Z,5,nan,4,6,1", "high 'nan' is not a number"),
        ("2026-01-05T00:15:00Z,-5,7,4,6,1", "open '-5' is not a number"),
        ("2026-01-05T00:15:00Z,5,7,4,6,", "volume '' is not a number"),
        ("2026-01-05T00:15:00Z,0,7,0,6,1", "not positive"),
        ("2026-01-05T00:15:00Z,5,7,4,8,1", "not within low and high"),
        ("", "0 columns instead of 6"),
    ],
)
def test_the_first_line_that_cannot_be_true_is_refused_by_its_number(tmp_path: Path, row: str, why: str) -> None:
    path = write(tmp_path / "bad.csv", ["2026-01-05T00:00:00Z,5,7,4,6,1", row, "also wrong"])

    with pytest.raises(GateRefused) as refused:
        read_candle_file(path, BTC, BAR)

    (refusal,) = refused.value.refusals
    assert refusal.id == "H06"
    assert refusal.cause.startswith("line 3: ")
    assert why in refusal.cause


@pytest.mark.parametrize("head", ["", "time,open,high,low,close,volume", GOOD])
def test_a_file_without_its_heads_is_refused(tmp_path: Path, head: str) -> None:
    with pytest.raises(GateRefused, match="line 1: the first line must be"):
        read_candle_file(write(tmp_path / "headless.csv", [GOOD], head), BTC, BAR)


def test_candles_of_another_timeframe_are_refused(tmp_path: Path) -> None:
    hourly = write(tmp_path / "hourly.csv", rows_of(scenario(9)[::4]))

    with pytest.raises(GateRefused, match="1:00:00 apart, the timeframe is 0:15:00"):
        read_candle_file(hourly, BTC, BAR)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.one_of(st.binary(max_size=80), st.text('0123456789-:TZ.,eE+"\n', max_size=80).map(str.encode)))
def test_whatever_a_file_holds_it_is_candles_or_a_refusal(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "any.csv"
    path.write_bytes(",".join(COLUMNS).encode() + b"\n" + body)

    try:
        candles = read_candle_file(path, BTC, BAR)
    except GateRefused as refused:
        assert refused.refusals[0].id == "H06"
    else:
        assert all(each.opened_at.tzinfo is UTC for each in candles)


# --- the command

Type = Callable[..., tuple[int, str, str]]


@pytest.fixture
def type_(capsys: pytest.CaptureFixture[str]) -> Type:
    """type_("--bars", "10") -> (exit code, stdout, stderr) of `python -m live replay`."""

    def typed(*words: str) -> tuple[int, str, str]:
        code = cli.main(["replay", *words])
        out = capsys.readouterr()
        return code, out.out, out.err

    return typed


def test_the_command_prints_trades_sums_and_what_it_assumed(type_: Type) -> None:
    code, out, err = type_("--scenario", "default", "--bars", "800")

    assert (code, err) == (0, "")
    assert out.count(" target stop ") == 3
    assert "signals   3 in 800 decisions, 3 taken; denied: none" in out
    assert all(f"assumed: {each}" in out for each in ASSUMPTIONS)


def test_a_file_and_its_scenario_give_the_same_data(type_: Type, tmp_path: Path) -> None:
    path = write(tmp_path / "candles.csv", rows_of(scenario(600)))

    of_file, of_scenario = (
        type_("--csv", str(path), "--json"),
        type_("--scenario", "default", "--bars", "600", "--json"),
    )

    assert of_file == of_scenario
    replayed = run(scenario(600))
    trades = trades_of(replayed.events)
    assert json.loads(of_file[1]) == json.loads(json.dumps(as_data(summary_of(replayed, trades), trades)))


def test_a_range_and_a_balance_may_be_named(type_: Type) -> None:
    day = ["--from", "2026-01-09", "--to", "2026-01-10T00:00Z"]
    code, out, _ = type_("--scenario", "default", "--bars", "800", *day, "--balance", "500", "--json")
    summary = json.loads(out)["summary"]

    assert code == 0
    assert (summary["candles"], summary["trades"], summary["start_equity_quote"]) == (96, 1, "500")
    assert (summary["begins_at"], summary["ends_at"]) == ("2026-01-09T00:00:00+00:00", "2026-01-10T00:00:00+00:00")


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (["--scenario", "default", "--csv", __file__], 2, "choose one"),
        (["--from", "yesterday"], 2, "no date or time"),
        (["--csv", "/nowhere/at/all.csv"], 2, "does not exist"),
        (["--csv", __file__], 1, "H06"),
        (["--scenario", "default", "--symbol", "X/Y"], 1, "H07"),
        (["--scenario", "default", "--from", "2040-01-01"], 1, "H07"),
        (["--scenario", "default", "--to", "2020-01-01"], 1, "H07"),
        ([], 1, "H05"),
    ],
)
def test_what_cannot_be_replayed_is_said(type_: Type, words: list[str], code: int, why: str) -> None:
    done = type_(*words)

    assert done[0] == code
    assert why in done[2]


def test_settings_that_make_no_sense_are_refused(type_: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RISK_MAX_POSITIONS", "none")
    monkeypatch.setenv("RISK_TYPO", "1")

    code, _, err = type_("--scenario", "default")

    assert code == 1
    assert "G40" in err and "RISK_TYPO" in err

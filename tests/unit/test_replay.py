"""Recorded candles through the worker's own loop: nothing looks ahead, and the worse is assumed."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from live import cli
from live.candle_files import candle_lines
from live.events import Decided, Event, Filled, IntentApproved, OrderIntended, WorkerStarted
from live.model import Candle, Leg, Side
from live.recorded import SCENARIO_BEGAN_AT, make_scenario_candles
from live.replay import Costs, Replayed, assumptions, instrument_of, next_stop, replay
from live.replay_report import as_data, as_text, report_of, trades_of
from live.settings import Settings
from live.smc.engine import Engine
from live.smc.parameters import SmcParameters

BTC, ETH = "BTC/USD:USD", "ETH/USD:USD"
BAR = timedelta(minutes=15)
SETTINGS = Settings()
ENTRY = 66664
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

    assert len(signals) == len(entries) == len(trades_of(replayed)) == 3
    assert all(signal.closed_at < asked for signal, asked in zip(signals, entries, strict=True))
    assert all(trade.opened_at > asked for trade, asked in zip(trades_of(replayed), entries, strict=True))


def test_the_limits_of_the_worker_are_asked_too() -> None:
    replayed = run(scenario(800), replace(SETTINGS, risk_max_cost_r=Decimal("0.01")))
    summary = report_of(replayed).summary

    assert (summary.signals, summary.taken, summary.trades) == (3, 0, 0)
    assert sum(summary.denied.values()) == 3
    assert all(code.isidentifier() or "-" in code for code in summary.denied)


def test_a_dear_slippage_is_a_cost_and_no_spread_of_the_market() -> None:
    """The replay's bid and ask are made of it, so it must not look like a market that nobody should enter."""
    replayed = run(scenario(800), costs=Costs(slippage_bps=Decimal(40)))

    assert report_of(replayed).summary.denied == {"cost": 3}


def test_a_candle_that_is_missing_after_the_setup_makes_its_decision_too_late() -> None:
    candles = scenario(SETUP + 10)
    del candles[SETUP]

    replayed = run(candles)
    summary = report_of(replayed).summary

    assert (summary.missing_candles, summary.signals, summary.denied) == (1, 1, {"data-age": 1})


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
    (trade,) = trades_of(replayed)

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

    (trade,) = trades_of(run([*candles, fills, spans]))

    assert (trade.exits, trade.side) == (("stop",), Side.SHORT)
    assert trade.r < -1


def test_the_candle_that_fills_the_entry_reaches_a_target_with_its_close_only() -> None:
    high_first = trades_of(run(after_the_setup((67000, 70000, 66500, 67000))))
    closes_there = trades_of(run(after_the_setup((67000, 70000, 66500, 67600))))

    assert [trade.exits for trade in high_first] == [()]
    assert [trade.exits for trade in closes_there] == [("target",)]


def test_the_candle_that_fills_the_entry_can_stop_it_out_too() -> None:
    (trade,) = trades_of(run(after_the_setup((67000, 70000, 65000, 69000))))

    assert trade.exits == ("stop",)
    assert trade.entry_price == 66664
    assert trade.exit_price is not None and Decimal(65800) < trade.exit_price < 65860  # trigger less slippage


def test_a_market_that_opens_beyond_the_stop_fills_it_there() -> None:
    (trade,) = trades_of(run(after_the_setup((67000, 67100, 66500, 66700), (64000, 64100, 63900, 64000))))

    assert trade.exit_price is not None and trade.exit_price < 64000
    assert trade.r < -3


def test_a_limit_fills_only_when_the_price_trades_through_it() -> None:
    """A touch says nothing of the queue before us."""
    touched = run(after_the_setup((67000, 67100, ENTRY, 67000)))
    through = run(after_the_setup((67000, 67100, ENTRY - 1, 67000)))

    assert trades_of(touched) == []
    assert [trade.entry_price for trade in trades_of(through)] == [ENTRY]


def test_a_target_that_is_only_touched_does_not_fill() -> None:
    (trade,) = trades_of(run(after_the_setup((67000, 67100, 66500, 66700))))
    target = int(trade.target_prices[0])
    fills, rises = (67000, 67100, 66500, 66700), (66700, target, 66650, 66700)

    (touched,) = trades_of(run(after_the_setup(fills, rises)))
    (through,) = trades_of(run(after_the_setup(fills, (66700, target + 1, 66650, 66700))))

    assert (touched.exits, through.exits) == ((), ("target",))


def test_an_entry_that_the_open_fills_meets_its_stop_first_too() -> None:
    (trade,) = trades_of(run(after_the_setup((66600, 70000, 65000, 69000))))

    assert trade.exits == ("stop",)
    assert trade.entry_price == 66627  # bought at the market, with slippage: the limit was above it already


def test_what_is_held_pays_funding_for_its_time_and_nothing_else_does() -> None:
    held = [(67000, 67100, 66500, 66700), *[(66700, 66800, 66650, 66700)] * 31]
    free, paying = (run(after_the_setup(*held), costs=Costs(funding_bps=Decimal(bps))) for bps in (0, 10))
    (without,), (with_funding,) = trades_of(free), trades_of(paying)

    eight_hours = with_funding.qty * 66700 * Decimal("0.001")
    assert abs(with_funding.funding_quote - eight_hours) < Decimal("0.0001")
    assert without.funding_quote == 0
    assert free.end_equity - paying.end_equity == sum(paying.funding.values())


shapes = st.lists(
    st.lists(st.integers(64_500, 69_500), min_size=4, max_size=4).map(
        lambda four: (four[0], max(four), min(four), four[1])
    ),
    min_size=1,
    max_size=6,
)


def continued(*candles: tuple[int, int, int, int]) -> Replayed:
    """The first setup is decided on at once, then these candles."""
    return run(after_the_setup(*candles), begin_at=T0 + SETUP * BAR)


@hypothesis_settings(deadline=None, max_examples=60)
@given(shapes)
def test_whatever_follows_a_signal_nothing_fills_before_it_nor_better_than_the_candle_was(
    following: list[tuple[int, int, int, int]],
) -> None:
    replayed = continued(*following)
    known_at = T0 + SETUP * BAR

    for trade in trades_of(replayed):
        for fill in trade.fills:
            assert fill.at > known_at
            candle = replayed.candles[(fill.at - known_at) // BAR]
            if fill.leg == "entry":
                assert candle.low < ENTRY and fill.price >= candle.low
            else:
                assert fill.price <= candle.high


@hypothesis_settings(deadline=None, max_examples=60)
@given(shapes)
def test_the_same_candles_one_candle_later_fill_one_candle_later(following: list[tuple[int, int, int, int]]) -> None:
    opens = max(following[0][0], ENTRY + 60)  # where the entry rests; one that crosses is another order
    first = (opens, max(opens, following[0][1]), min(opens, following[0][2]), following[0][3])
    quiet = (67300, 67310, 67290, 67300)

    now, later = continued(first, *following[1:]), continued(quiet, first, *following[1:])

    def fills(replayed: Replayed) -> list[tuple[int, str, Decimal, Decimal]]:
        return [
            ((fill.at - T0) // BAR, fill.leg, fill.price, fill.qty)
            for trade in trades_of(replayed)
            for fill in trade.fills
        ]

    assert fills(later) == [(number + 1, *rest) for number, *rest in fills(now)]


def test_after_the_halt_no_entry_is_taken() -> None:
    crash = (67000, 67100, 60000, 61000)
    candles = [*after_the_setup(crash), *scenario(800)[SETUP + 1 :]]
    tight = replace(SETTINGS, risk_max_drawdown_pct=Decimal("0.1"), risk_halt_drawdown_pct=Decimal("0.2"))

    replayed = run(candles, tight)
    summary = report_of(replayed).summary

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
    summary = report_of(replayed).summary

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

    (trade,) = trades_of(held)
    assert (trade.closed_at, trade.exit_price, trade.exits) == (None, None, ())
    assert "(open)" in as_text(report_of(held))
    assert report_of(asked).summary.unfilled == 1


def test_a_drawdown_inside_a_candle_counts() -> None:
    replayed = run(after_the_setup((67000, 67100, 66500, 66700), (66700, 66800, 65900, 66700)))
    summary = report_of(replayed).summary

    assert summary.open == 1
    assert Decimal("0.4") < summary.max_drawdown_pct < Decimal("0.6")  # nearly the half per cent that is risked


def test_an_unlisted_symbol_trades_on_the_finest_tick_its_prices_show() -> None:
    foreign = [replace(each, symbol="X/Y", close=each.close + Decimal("0.250")) for each in scenario(3)]

    assert instrument_of(foreign).tick_size == Decimal("0.01")
    assert instrument_of(scenario(3)).venue_id == "PF_XBTUSD"


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
    assert "no sweep of resting liquidity" in out
    assert all(f"assumed: {each}" in out for each in assumptions(Costs()))


def test_a_file_and_its_scenario_give_the_same_data(type_: Type, tmp_path: Path) -> None:
    path = tmp_path / "candles.csv"
    path.write_text("\n".join(candle_lines(scenario(600), "csv")))

    of_file, of_scenario = (
        type_("--candles", str(path), "--json"),
        type_("--scenario", "default", "--bars", "600", "--json"),
    )

    assert of_file == of_scenario
    assert json.loads(of_file[1]) == json.loads(json.dumps(as_data(report_of(run(scenario(600))))))


def test_the_same_twice_is_the_same_to_the_byte(type_: Type, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]

    printed = [type_("--scenario", "mixed", "--bars", "2500", "--json", "--report", str(each)) for each in folders]

    assert printed[0] == printed[1]
    for name in ("report.html", "report.json"):
        first, second = ((folder / name).read_bytes() for folder in folders)
        assert first == second and len(first) > 5_000


def test_the_report_file_holds_what_is_printed_and_every_change_of_equity(type_: Type, tmp_path: Path) -> None:
    _, out, _ = type_("--scenario", "default", "--bars", "800", "--json", "--report", str(tmp_path))
    kept = json.loads((tmp_path / "report.json").read_text())
    equity = kept.pop("equity")

    assert kept == json.loads(out)
    assert equity[0] == ["2026-01-05T00:00:00+00:00", "10000"]
    assert equity[-1][1] == kept["summary"]["end_equity_quote"]
    assert sum(kept["decisions"].values()) == 800
    assert kept["decisions"]["signal"] == kept["summary"]["signals"]


def test_a_report_that_cannot_be_written_is_refused_before_the_work(type_: Type, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    code, out, err = type_("--scenario", "default", "--report", str(tmp_path / "file" / "folder"))

    assert (code, out) == (1, "")
    assert "H08" in err


def test_costs_may_be_named_and_count_in_the_limits_too(type_: Type) -> None:
    free = ["--fees", "0", "--slippage", "0", "--funding", "0"]

    def summary(*words: str) -> dict[str, str]:
        return dict(json.loads(type_("--scenario", "default", "--bars", "800", "--json", *words)[1])["summary"])

    assert summary(*free)["fees_quote"] == summary(*free)["funding_quote"] == "0"
    assert Decimal(summary(*free)["total_r"]) > Decimal(summary()["total_r"])
    assert summary("--fees", "60/60")["denied"] == {"cost": 3}


def test_missing_candles_are_refused_until_they_are_allowed(type_: Type, tmp_path: Path) -> None:
    holed = scenario(300)
    del holed[100:103]
    path = tmp_path / "holed.csv"
    path.write_text("\n".join(candle_lines(holed, "csv")))

    refused, allowed = type_("--candles", str(path)), type_("--candles", str(path), "--allow-gaps", "--json")

    assert refused[0] == 1
    assert "H06" in refused[2] and "3 of its candles are missing" in refused[2]
    assert "2026-01-06 01:00 to 2026-01-06 01:45" in refused[2]
    assert json.loads(allowed[1])["summary"]["missing_candles"] == 3


def test_a_terminal_sees_how_far_it_is_and_a_pipe_does_not(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "live", "replay", "--scenario", "walk", "--bars", "600", "--json"]
    environment = {"PATH": os.environ["PATH"], "TERM": "xterm"}
    ours, theirs = pty.openpty()

    on_terminal = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, env=environment, timeout=60)
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    on_pipe = subprocess.run(command, capture_output=True, env=environment, timeout=60)

    assert "100%" in shown
    assert on_pipe.stderr == b""
    assert on_pipe.stdout == on_terminal.stdout


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
        (["--scenario", "default", "--candles", __file__], 2, "name one source"),
        ([], 2, "name one source"),
        (["--scenario", "default", "--fees", "5%"], 2, "basis points"),
        (["--scenario", "default", "--slippage", "101"], 2, "basis points"),
        (["--from", "yesterday"], 2, "no date or time"),
        (["--candles", "/nowhere/at/all.csv"], 2, "does not exist"),
        (["--candles", __file__], 1, "H06"),
        (["--scenario", "default", "--symbol", "X/Y"], 1, "H07"),
        (["--scenario", "default", "--from", "2040-01-01"], 1, "H07"),
        (["--scenario", "default", "--to", "2020-01-01"], 1, "H07"),
        (["--from-journal"], 1, "H05"),
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

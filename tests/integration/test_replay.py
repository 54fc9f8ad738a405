"""The candles that a worker has read, replayed from its database: the same decisions, and nothing is changed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from live import cli
from live.candle_files import candle_lines
from live.events import Decided, Event, IntentApproved, OrderIntended
from live.model import Candle, Leg
from live.paper import ScenarioMarket
from live.paper_trading import PaperTrading
from live.recorded import make_scenario_candles, read_journal_candles
from live.replay import ReplayClock, Replayed, replay
from live.settings import Settings
from live.simulator.scenarios import make_scenario
from live.smc.events import Observation
from live.strategy import Feed

BTC = "BTC/USD:USD"
BAR = timedelta(minutes=15)


def keep(url: str, candles: Sequence[Candle]) -> None:
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO live.candle (symbol, timeframe_seconds, opened_at, open, high, low, close, volume)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            [(c.symbol, 900, c.opened_at, c.open, c.high, c.low, c.close, c.volume) for c in candles],
        )


def replayed(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = cli.main(["replay", *words])
    out = capsys.readouterr()
    return code, out.out, out.err


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata"])
def test_the_journals_candles_replay_as_the_same_candles_from_elsewhere_do(
    zone: str, database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The server's time zone is the database's own business."""
    keep(database_url, make_scenario_candles("default", seed=1, bars=500, symbol=BTC, timeframe=BAR))
    with psycopg.connect(database_url, autocommit=True) as admin:
        name = admin.info.dbname
        admin.execute(f"ALTER DATABASE {name} SET timezone = '{zone}'")
    monkeypatch.setenv("DATABASE_URL", database_url)

    of_journal = replayed(capsys, "--from-journal", "--json")
    of_scenario = replayed(capsys, "--scenario", "default", "--bars", "500", "--json")

    assert of_journal == of_scenario
    assert json.loads(of_journal[1])["summary"]["trades"] == 1


def test_what_the_journal_does_not_hold_is_said_with_what_it_holds(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(database_url, make_scenario_candles("walk", seed=1, bars=5, symbol=BTC, timeframe=BAR))
    monkeypatch.setenv("DATABASE_URL", database_url)

    hourly, foreign = (
        replayed(capsys, "--from-journal", *words) for words in (("--timeframe", "1h"), ("--symbol", "X/Y"))
    )

    assert (hourly[0], foreign[0]) == (1, 1)
    assert "H07" in hourly[2] and "recorded of it are 15m" in hourly[2]
    assert "H07" in foreign[2] and "no worker has read any of it" in foreign[2]


def test_a_database_without_a_journal_is_a_refusal(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_database_url)

    code, _, err = replayed(capsys, "--from-journal")

    assert code == 6
    assert "R22" in err


def test_a_range_of_the_journal_brings_its_warm_up_along(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make_scenario_candles("default", seed=1, bars=600, symbol=BTC, timeframe=BAR)
    keep(database_url, made)
    monkeypatch.setenv("DATABASE_URL", database_url)
    day = ("--from", "2026-01-09", "--to", "2026-01-10")

    of_journal = replayed(capsys, "--from-journal", *day, "--json")
    of_scenario = replayed(capsys, "--scenario", "default", "--bars", "600", *day, "--json")

    assert of_journal == of_scenario
    assert json.loads(of_journal[1])["summary"]["trades"] == 1
    begin, end = made[200], made[250]
    read = read_journal_candles(
        database_url, BTC, BAR, begin_at=begin.opened_at, end_at=end.closed_at, warmup_candles=10
    )
    assert read == made[190:251]


def test_the_journals_candles_can_be_kept_as_a_file(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make_scenario_candles("mixed", seed=1, bars=300, symbol=BTC, timeframe=BAR)
    keep(database_url, made)
    monkeypatch.setenv("DATABASE_URL", database_url)

    assert cli.main(["candles", "--from", "2026-01-06"]) == 0

    assert capsys.readouterr().out.splitlines() == list(candle_lines(made[96:], "csv"))


def test_a_hole_in_the_journal_is_said(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make_scenario_candles("mixed", seed=1, bars=300, symbol=BTC, timeframe=BAR)
    keep(database_url, [*made[:100], *made[104:]])
    monkeypatch.setenv("DATABASE_URL", database_url)

    refused, allowed = (replayed(capsys, "--from-journal", *words) for words in ((), ("--allow-gaps",)))

    assert (refused[0], allowed[0]) == (1, 0)
    assert "H06" in refused[2] and "4 of its candles are missing" in refused[2]


# --- a live run and its replay ----------------------------------------------------------------------------------------

BOOT_AT = datetime(2026, 3, 2, 12, 0, 1, tzinfo=UTC)
SETTINGS = Settings(live_symbols=(BTC,), live_warmup_candles=1000)


class Told:
    """What the strategy said of each candle, noted where the worker reads it."""

    def __init__(self) -> None:
        self.observations: list[Observation] = []

    def listen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        news = Feed.news

        async def noted(feed: Feed, now: datetime) -> object:
            told = await news(feed, now)
            self.observations += [opinion.observation for opinion in told.opinions]
            return told

        monkeypatch.setattr(Feed, "news", noted)


async def live_session(clock: ReplayClock, hours: int) -> tuple[list[Event], list[Candle]]:
    """The worker's loop in the time of a virtual clock, on a market that moves between its looks."""
    # the scenario completes a setup at its beginning, and another 192 candles later: two days
    scenario = make_scenario("default", seed=1, began_at=BOOT_AT - 186 * BAR)
    trading = PaperTrading(
        ScenarioMarket(scenario, clock=clock),
        scope="session",
        settings=SETTINGS,
        clock=clock,
        narrate=lambda text: None,
    )
    await trading.boot()
    while clock.now() < BOOT_AT + timedelta(hours=hours):
        await trading.tick()
        await clock.sleep(SETTINGS.live_tick_seconds)
    candles = [candle for candle in trading._memory._store.candles.values() if candle.symbol == BTC]
    return await trading.recorded(), candles


def entries(events: Sequence[Event]) -> list[object]:
    """What was asked for, without the moment within the candle."""
    return [
        (event.spec.side, event.spec.limit_price)
        for event in events
        if isinstance(event, OrderIntended) and event.spec.leg is Leg.ENTRY
    ]


def decided(events: Sequence[Event], *, until: datetime) -> list[Decided]:
    """The decisions, without the moment within the candle at which they were made."""
    made = [event for event in events if isinstance(event, Decided) and event.closed_at <= until]
    return [replace(event, at=event.closed_at) for event in made]


def plans(events: Sequence[Event]) -> list[tuple[object, ...]]:
    return [
        (event.intent.side, event.intent.entry_price, event.intent.stop_price, event.intent.risk_quote)
        for event in events
        if isinstance(event, IntentApproved)
    ]


async def test_a_live_session_and_its_replay_tell_the_same_events_and_decide_the_same(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The strategy is one engine: what it said live, it says again of the candles that the journal kept."""
    told = Told()
    told.listen(monkeypatch)
    lived, saved = await live_session(ReplayClock(BOOT_AT), hours=5)
    said_live = list(told.observations)
    keep(database_url, saved)

    candles = await asyncio.to_thread(read_journal_candles, database_url, BTC, BAR)
    again: Replayed = await replay(candles, SETTINGS, begin_at=BOOT_AT.replace(second=0))

    until = candles[-1].closed_at
    assert said_live == told.observations[len(said_live) :]
    assert said_live[1:] == list(again.observations)
    assert decided(lived, until=until) == decided(again.events, until=until)
    assert plans(lived) == plans(again.events) != []
    assert entries(lived) == entries(again.events)

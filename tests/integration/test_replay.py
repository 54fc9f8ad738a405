"""The candles that a worker has read, replayed from its database without changing it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta

import psycopg
import pytest

from live import cli
from live.model import Candle
from live.recorded import make_scenario_candles

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

    of_journal = replayed(capsys, "--json")
    of_scenario = replayed(capsys, "--scenario", "default", "--bars", "500", "--json")

    assert of_journal == of_scenario
    assert json.loads(of_journal[1])["summary"]["trades"] == 1


def test_what_the_journal_does_not_hold_is_said_with_what_it_holds(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(database_url, make_scenario_candles("walk", seed=1, bars=5, symbol=BTC, timeframe=BAR))
    monkeypatch.setenv("DATABASE_URL", database_url)

    hourly, foreign = replayed(capsys, "--timeframe", "1h"), replayed(capsys, "--symbol", "X/Y")

    assert (hourly[0], foreign[0]) == (1, 1)
    assert "H07" in hourly[2] and "recorded of it are 15m" in hourly[2]
    assert "H07" in foreign[2] and "no worker has read any of it" in foreign[2]


def test_a_database_without_a_journal_is_a_refusal(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_database_url)

    code, _, err = replayed(capsys)

    assert code == 6
    assert "R22" in err

"""Candles from a file: what was written comes back, and what cannot be true is refused by the number of its line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from live import cli
from live.candle_files import COLUMNS, FORMATS, Format, candle_lines, read_candle_file, require_no_gap
from live.market import gaps
from live.model import Candle
from live.recorded import make_scenario_candles
from prodsafe.errors import GateRefused

BTC = "BTC/USD:USD"
BAR = timedelta(minutes=15)


def scenario(bars: int, name: str = "default") -> list[Candle]:
    return make_scenario_candles(name, seed=1, bars=bars, symbol=BTC, timeframe=BAR)


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
        ("2026-01-05T00:00:00Z,5,7,4,6,1", "comes twice"),
        ("2026-01-04T23:45:00Z,5,7,4,6,1", "not after the line before it"),
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


JSON_GOOD = {"opened_at": "2026-01-05T00:15:00Z", "open": 5, "high": "7", "low": 4.0, "close": 6, "volume": 1}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", ["mixed", "walk"])
def test_what_is_printed_is_read_back_as_the_same_candles(tmp_path: Path, form: Format, name: str) -> None:
    candles = scenario(400, name)
    path = tmp_path / "any name"
    path.write_text("\n".join(candle_lines(candles, form)) + "\n")

    assert read_candle_file(path, BTC, BAR) == candles


def test_json_lines_take_numbers_and_texts_without_a_float_between(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text(json.dumps(JSON_GOOD).replace("4.0", "4.000000000000000001") + "\n")

    (candle,) = read_candle_file(path, BTC, BAR)

    assert str(candle.low) == "4.000000000000000001"
    assert (candle.open, candle.high) == (5, 7)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("{", "it is no JSON object"),
        ("[1]", "it is no JSON object of opened_at"),
        ("", "it is no JSON object"),
        (json.dumps({**JSON_GOOD, "spread": 1}), "and nothing else"),
        (json.dumps({**JSON_GOOD, "high": None}), "high 'None' is not a number"),
        (json.dumps({**JSON_GOOD, "high": float("nan")}), "high 'NaN' is not a number"),
        (json.dumps({**JSON_GOOD, "high": 3}), "not within low and high"),
        (json.dumps({**JSON_GOOD, "opened_at": "2026-01-05T00:00:00Z"}), "comes twice"),
        ("[" * 100_000, "it is no JSON object"),
    ],
)
def test_a_json_line_that_cannot_be_true_is_refused_by_its_number(tmp_path: Path, row: str, why: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text("\n".join([json.dumps({**JSON_GOOD, "opened_at": "2026-01-05T00:00:00Z"}), row, "also wrong"]))

    with pytest.raises(GateRefused) as refused:
        read_candle_file(path, BTC, BAR)

    assert refused.value.refusals[0].cause.startswith("line 2: ")
    assert why in refused.value.refusals[0].cause


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "binary.csv"
    path.write_bytes(b"\x00\xff\xfe\x80")

    with pytest.raises(GateRefused, match="no text in UTF-8"):
        read_candle_file(path, BTC, BAR)


def test_a_hole_is_named_with_its_place_and_size() -> None:
    holed = scenario(9)
    del holed[4:6]

    require_no_gap(gaps(scenario(9)), "whole.csv")
    with pytest.raises(GateRefused) as refused:
        require_no_gap(gaps(holed), "holed.csv")

    (refusal,) = refused.value.refusals
    assert (
        refusal.cause == "2 of its candles are missing in 1 place, first from 2026-01-05 01:00 to 2026-01-05 01:30 UTC"
    )
    assert "--allow-gaps" in refusal.mend


def test_the_command_prints_the_candles_that_were_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--scenario", "mixed", "--bars", "200", "--from", "2026-01-05T12:00Z", "--to", "2026-01-05T13:00Z"]

    assert cli.main(["candles", *words]) == 0

    printed = capsys.readouterr().out.splitlines()
    wanted = [each for each in scenario(200, "mixed") if 12 <= each.opened_at.hour < 13 and each.opened_at.day == 5]
    assert printed == list(candle_lines(wanted, "csv"))

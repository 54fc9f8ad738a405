"""python -m live paper as a real process: the worker's loop on real prices, and no order that leaves."""

from __future__ import annotations

import json
import re

import pytest

from live.demo import wait_out_boundary
from live.simulator import DEMO_API_KEY, DEMO_API_SECRET
from tests.processes import Start, Venue, answer, base_environment, until

PAPER = ["-m", "live", "paper"]
HASTY = {**base_environment(), "LIVE_TICK_SECONDS": "0.4", "LIVE_FAST_TICK_SECONDS": "0.2"}
IMPORTED_NOTHING_HEAVY = """
import sys
from live import cli
code = cli.main(["paper"])
print(sorted({"ccxt", "aiohttp", "psycopg"} & set(sys.modules)))
sys.exit(code)
"""


def test_it_trades_on_the_venues_prices_and_the_venue_never_sees_an_order(venue: Venue, start: Start) -> None:
    """A key lying in the environment, and an environment that says prod, change nothing."""
    keys = {"EXCHANGE_API_KEY": DEMO_API_KEY, "EXCHANGE_API_SECRET": DEMO_API_SECRET, "ENVIRONMENT": "prod"}
    paper = start(PAPER, {**HASTY, **keys, "EXCHANGE_URL": venue.url, "LIVE_SYMBOLS": "BTC/USD:USD"})
    until(lambda: "entry long" in paper.text(), paper)
    entry = re.search(r"entry long \S+ BTC/USD:USD at (\d+)", paper.text())
    assert entry is not None

    venue.post("/sim/price", {"symbol": "PF_XBTUSD", "price": entry[1]})
    until(lambda: "filled buy" in paper.text() and "stop sell" in paper.text(), paper)
    until(lambda: "protected" in paper.text(), paper)

    assert paper.terminate() == 0, paper.text()
    assert "draining" in paper.text()
    ledger = venue.get("/sim/ledger")
    assert (ledger["requests"], ledger["orders"], ledger["fills"]) == ([], [], [])
    assert DEMO_API_SECRET not in paper.text()


def test_a_scenario_needs_no_venue_and_health_says_how_it_is(start: Start, free_port: int) -> None:
    wait_out_boundary()
    paper = start(
        [*PAPER, "--scenario", "still", "--seconds", "8"], {**HASTY, "WITH_HEALTH": "1", "PORT": str(free_port)}
    )
    until(lambda: "entry long" in paper.text(), paper)

    code, body = answer(f"http://127.0.0.1:{free_port}/api/metrics")

    assert code == 200
    assert (json.loads(body)["scope"], json.loads(body)["reconciled"]) == ("paper", True)
    assert paper.wait() == 0, paper.text()
    assert "draining" in paper.text()


def test_real_orders_are_refused_with_everything_else_that_is_wrong_and_before_anything_heavy(start: Start) -> None:
    wrong = {"DRY_RUN": "0", "LIVE_TIMEFRAME": "7m", "EXCHANGE_URL": "http://example.com"}
    paper = start(["-c", IMPORTED_NOTHING_HEAVY], {**base_environment(), **wrong})

    assert paper.wait() == 1
    assert set(re.findall(r"refused (\w+)", paper.text())) == {"R30", "G40", "G09"}
    assert paper.text().splitlines()[-1] == "[]"


def test_prices_that_cannot_be_read_end_it_and_are_never_made_up(start: Start, free_port: int) -> None:
    paper = start(PAPER, {**HASTY, "EXCHANGE_URL": f"http://127.0.0.1:{free_port}"})

    assert paper.wait() == 6
    assert "V01" in paper.text()


@pytest.mark.parametrize("words", [["--seconds", "soon"], ["--scenario", "none"], ["now"]])
def test_wrong_usage_is_exit_2(start: Start, words: list[str]) -> None:
    assert start([*PAPER, *words], HASTY).wait() == 2

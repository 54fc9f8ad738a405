"""Orders over a bad line: the worker as a process, a real PostgreSQL, and the venue's own record as the truth."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from live.demo import wait_out_boundary
from prodsafe.lease_model import account_scope
from tests.processes import Process, Start, Venue, base_environment, until, worker_environment

NAKED_BOUND_SECONDS = 20.0  # LIVE_NAKED_BOUND_SECONDS, as it is by default

BTC, ETH = "PF_XBTUSD", "PF_ETHUSD"

StartVenue = Callable[[list[dict[str, Any]]], Venue]


@pytest.fixture
def venue_with(start: Start, tmp_path: Path) -> StartVenue:
    """A venue whose faults are given at its start, as `python -m live.simulator --faults FILE`."""

    def begin(rules: list[dict[str, Any]]) -> Venue:
        faults = tmp_path / "faults.json"
        faults.write_text(json.dumps({"seed": 7, "rules": rules}))
        wait_out_boundary()
        simulator = start(["-m", "live.simulator", "--scenario", "still", "--faults", str(faults)], base_environment())
        until(lambda: "EXCHANGE_URL=" in simulator.text() and "\n" in simulator.text(), simulator)
        return Venue(simulator.text().splitlines()[0].removeprefix("EXCHANGE_URL="))

    return begin


def intended(database_url: str) -> list[str]:
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT client_order_id FROM live.event WHERE kind = 'order_intended' ORDER BY id"
        ).fetchall()
    return [row[0] for row in rows]


def fill_the_entry(worker: Process, venue: Venue) -> dict[str, Any]:
    """Let the market come to the first entry that rests; the entry."""
    until(lambda: bool(venue.open_orders("-e")), worker)
    entry = venue.open_orders("-e")[0]
    venue.post("/sim/price", {"symbol": entry["symbol"], "price": entry["limit_price"]})
    return entry


def held(venue: Venue, symbol: str) -> float:
    """Contracts, unsigned; 0 when flat."""
    return sum(abs(each["qty"]) for each in venue.get("/sim/positions") if each["symbol"] == symbol)


def said(worker: Process, word: str) -> str:
    """Every line of the worker's log with that word."""
    return "\n".join(line for line in worker.text().splitlines() if word in line)


def stops_on(venue: Venue, symbol: str) -> list[dict[str, Any]]:
    return [order for order in venue.open_orders("-s") if order["symbol"] == symbol]


@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "lost_reply", "path": "sendorder"},
        {"kind": "late_reply", "path": "sendorder", "seconds": 4},
        {"kind": "duplicate", "path": "sendorder"},
        {"kind": "http_status", "path": "sendorder", "status": 500, "acts": True},
    ],
    ids=["reply-lost", "reply-after-our-patience", "delivered-twice", "500-after-the-deed"],
)
def test_with_every_send_unanswered_each_intent_becomes_one_order_and_no_position_stays_naked(
    rule: dict[str, Any], database_url: str, venue_with: StartVenue, start: Start
) -> None:
    """W29; freqtrade 7184, hummingbot 8457, nautilus 4152: a reply that does not come is no rejection."""
    venue = venue_with([rule])
    worker = start(["-m", "live.prod_live"], worker_environment(database_url, venue.url))
    entry = fill_the_entry(worker, venue)
    until(lambda: len(stops_on(venue, entry["symbol"])) == 1, worker)
    assert worker.terminate() == 0, worker.text()

    ledger = venue.get("/sim/ledger")
    orders = Counter(order["client_order_id"] for order in ledger["orders"])
    assert orders == Counter(intended(database_url)), "each intent is one order, and there are no others"
    assert ledger["summary"]["faults"], "the line was bad"
    if rule["kind"] != "duplicate":
        assert ledger["summary"]["resent"] == 0, "nothing was sent a second time"
    assert len(stops_on(venue, entry["symbol"])) == 1
    assert ledger["summary"]["naked_seconds_max"] < NAKED_BOUND_SECONDS


def test_after_a_halt_nothing_enters_though_the_line_drops_every_reply(
    database_url: str, venue_with: StartVenue, start: Start
) -> None:
    """I15, W19: the kill switch of the command line; hummingbot 1508: stopped, and orders still made."""
    venue = venue_with([{"kind": "lost_reply", "path": "sendorder"}, {"kind": "lost_reply", "path": "cancelorder"}])
    env = worker_environment(database_url, venue.url)
    worker = start(["-m", "live.prod_live"], env)
    held = fill_the_entry(worker, venue)["symbol"]
    until(lambda: len(stops_on(venue, held)) == 1, worker)

    halted = start(["-m", "live", "halt", "--reason", "a person wants calm"], env)
    assert halted.wait() == 0, halted.text()
    halted_at = datetime.now(UTC)
    until(lambda: not venue.open_orders("-e"), worker)

    entries = [request for request in venue.sent() if request["leg"] == "e"]
    assert entries
    assert all(datetime.fromisoformat(request["at"]) < halted_at for request in entries)
    assert len(stops_on(venue, held)) == 1, "the stop outlives the halt"


def test_a_worker_that_boots_halted_enters_nothing_until_a_person_resumes(
    database_url: str, venue: Venue, start: Start
) -> None:
    """I35, W2: a latch at boot freezes; it flattens nothing, and no restart wears it off."""
    venue.post("/sim/fill", {"symbol": BTC, "side": "buy", "qty": 0.01})
    env = worker_environment(database_url, venue.url)
    halted = start(
        [
            "-m",
            "live",
            "halt",
            "--scope",
            account_scope("krakenfutures", "main", "prod"),
            "--reason",
            "not before I looked",
        ],
        env,
    )
    assert halted.wait() == 0, halted.text()

    first = start(["-m", "live.prod_live"], env)
    until(lambda: len(stops_on(venue, BTC)) == 1 and "denied ETH/USD:USD: halted" in first.text(), first)
    assert first.terminate() == 0, first.text()
    second = start(["-m", "live.prod_live"], env)
    until(lambda: second.text().count("halted") > 2, second)

    assert {request["leg"] for request in venue.sent()} == {"s"}
    assert held(venue, BTC) == 0.01


@pytest.mark.parametrize("setting", ["adopt", "freeze"])
def test_a_position_opened_by_a_person_is_adopted_or_frozen_as_set_and_never_closed(
    setting: str, database_url: str, venue: Venue, start: Start
) -> None:
    """I3: what the worker did not know was closed at market when it started. One is there at boot, one comes later."""
    venue.post("/sim/fill", {"symbol": BTC, "side": "buy", "qty": 0.01})
    env = worker_environment(
        database_url, venue.url, LIVE_FOREIGN_POSITIONS=setting, LIVE_SYMBOLS="BTC/USD:USD,SOL/USD:USD"
    )
    worker = start(["-m", "live.prod_live"], env)
    until(lambda: bool(venue.open_orders("-e")), worker)
    venue.post("/sim/fill", {"symbol": ETH, "side": "sell", "qty": 0.1})
    word = "adopted" if setting == "adopt" else "foreign position"
    until(lambda: all(f"{name}/USD:USD" in said(worker, word) for name in ("BTC", "ETH")), worker)
    assert worker.terminate() == 0, worker.text()

    assert (held(venue, BTC), held(venue, ETH)) == (0.01, 0.1)
    stops = {
        symbol: [(o["side"], o["qty"], o["reduce_only"]) for o in stops_on(venue, symbol)] for symbol in (BTC, ETH)
    }
    if setting == "adopt":
        assert stops == {BTC: [("sell", 0.01, True)], ETH: [("buy", 0.1, True)]}
    else:
        assert stops == {BTC: [], ETH: []}, "what is not ours is not touched"
    assert {request["leg"] for request in venue.sent() if request["params"]["symbol"].upper() in (BTC, ETH)} <= {"s"}

"""The worker's resident memory: beside the import of ccxt alone, and over a simulated day of ticks. [S]

Each side is a process of its own. The day runs on a virtual clock over the desk's venue, with a real door to an
exchange beside it that has read its markets; rows go where PostgreSQL would have them. Positions are opened, adopted,
protected, stopped out and cleared away all day long.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import timedelta
from pathlib import Path

from common.frame import say
from common.pairs import Figures, figure
from common.processes import Command, run

import live.worker  # noqa: F401 - what the process of a worker has loaded
from execution_parts.desk import BEGAN, DeskClock, DeskVenue, trader
from execution_parts.listener import listening
from live.simulator import DEMO_API_KEY, DEMO_API_SECRET
from live.venue import open_venue

BENCH = Path(__file__).parents[1]
FLOOR = "import ccxt, ccxt.async_support; print(open('/proc/self/statm').read())"
TICK_SECONDS = 5
TURN = 24  # ticks: every two minutes one position ends and another symbol's begins


def resident_mib(statm: str) -> float:
    """As Linux counts it, in pages."""
    return int(statm.split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


async def day(symbols: int, hours: int, venue_url: str) -> Figures:
    """What a worker holds in memory after so many hours on a virtual clock, and its growth since a quarter of them."""
    door = open_venue("krakenfutures", api_key=DEMO_API_KEY, api_secret=DEMO_API_SECRET, url=venue_url)
    await door.instruments()
    clock = DeskClock()
    venue = DeskVenue(symbols, timedelta(minutes=15), clock)
    worker = trader(venue, clock, "15m", forgetful=True)
    await worker.boot()
    seen: list[float] = []
    for number in range(1, hours * 3600 // TICK_SECONDS + 1):
        venue.at(BEGAN + timedelta(seconds=number * TICK_SECONDS))
        turn, due = divmod(number, TURN)
        if due == 0:
            venue.close(venue.names[turn % symbols])
            venue.open(venue.names[(turn + symbols // 2) % symbols])
        await worker.tick()
        if number % (3600 // TICK_SECONDS) == 0:
            seen.append(resident_mib(Path("/proc/self/statm").read_text()))
    await door.close()
    first, last = seen[max(0, len(seen) // 4 - 1)], seen[-1]
    return {"worker_mib": figure(last, 1), "growth_mib": figure(last - first, 1), "orders_in_the_day": venue.sent}


def measure(symbols: int, hours: int) -> Figures:
    say(f"memory of {symbols} symbols over {hours} h of ticks")
    environ = {**os.environ, "PYTHONPATH": str(BENCH)}
    floor = resident_mib(run(Command([sys.executable, "-c", FLOOR], environ)))
    with listening(symbols) as venue_url:
        words = [sys.executable, "-m", "execution_parts.memory", str(symbols), str(hours), venue_url]
        told = run(Command(words, environ))
    figures: Figures = json.loads(told.splitlines()[-1])
    above = float(figures["worker_mib"] or 0.0) - floor
    return figures | {"import_of_ccxt_mib": figure(floor, 1), "above_floor_mib": figure(above, 1)}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(day(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))))

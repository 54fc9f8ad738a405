"""What the three deprecated entry points share: the guard, the choice of prices, the two services as one. [S]

Outside production only, and never a real order: TradingService is handed the public half of a market and no key.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from live.market import TIMEFRAMES
from live.paper_loop import WORKER, Build, Work, require_paper_settings, trade_on_paper
from live.settings import Settings
from live.simulator.scenarios import SCENARIOS
from prodsafe.deprecation import refuse_in_production
from prodsafe.dotenv_guard import load_developer_dotenv, suppress_in_production
from prodsafe.environment import read_environment
from prodsafe.output import register_secrets, run_entry, say
from prodsafe.values import read_seconds

if TYPE_CHECKING:
    from legacy.data_service import DataService
    from legacy.trading_service import TradingService
    from live.clock import Clock
    from live.live_trading import LiveTrading
    from live.paper import Market

ABOUT = f"""\
Deprecated, for local experiments only; production runs `{WORKER}`.

DataService -> bounded queue -> TradingService, with the worker's own strategy, risk and execution. Orders go to a paper
venue in this process and nowhere else; positions, losses and halts are forgotten when it ends.

Prices: --scenario NAME if given; else the public market data of EXCHANGE_URL or EXCHANGE_ID if one is set (no key is
used, and an unreachable one is an error); else the scenario `default`, which needs no network. Where a venue is read,
DATABASE_URL may name a worker's database: the candles that it holds are history, read-only.

ENVIRONMENT must be dev, test or staging. `.env`, then `.env.local` of this folder are read; the environment wins.
LIVE_* and RISK_* are the worker's settings; HEALTH_HOST and PORT are main_with_health's.
Exit codes: 0 stopped, 1 refused, 2 wrong usage, 6 prices unreadable at the start, 70 a bug in either service.

Begin with:
  ENVIRONMENT=dev python -m legacy.main --bar 1m
  ENVIRONMENT=dev EXCHANGE_ID=krakenfutures python -m legacy.main_with_health      then http://127.0.0.1:8080/health
The same loop without the old shape: `python -m live paper`. On recorded candles: `python -m live replay`.
"""


def parser(entry: str) -> argparse.ArgumentParser:
    """The command line of an entry point without commands."""
    return add_options(argparse.ArgumentParser(prog=entry))


def add_options(to: argparse.ArgumentParser) -> argparse.ArgumentParser:
    to.formatter_class, to.description = argparse.RawDescriptionHelpFormatter, ABOUT
    to.add_argument("--scenario", choices=list(SCENARIOS), help="built-in prices instead of a venue's")
    to.add_argument("--bar", choices=TIMEFRAMES, help="candle to decide on (default: LIVE_TIMEFRAME)")
    to.add_argument("--seconds", type=_seconds, help="stop by itself after this long")
    return to


def _seconds(text: str) -> float:
    try:
        return read_seconds(text)
    except ValueError as wrong:
        raise argparse.ArgumentTypeError(f"{text!r} {wrong}") from None


def run_parsed(entry: str, options: argparse.Namespace, *, with_health: bool = False) -> int:
    """Everything after the command line; returns the exit code. entry: the command as a person types it."""
    return run_entry(lambda: _start(entry, options, with_health=with_health))


def _start(entry: str, options: argparse.Namespace, *, with_health: bool) -> int:
    suppress_in_production(os.environ)
    load_developer_dotenv(Path.cwd(), os.environ)
    env = read_environment(os.environ)
    register_secrets(env.secrets())
    refuse_in_production(env, entry=entry, pointer=WORKER)
    settings = require_paper_settings(env)
    if options.bar:
        settings = replace(settings, live_timeframe=options.bar)
    names_venue = env.exchange_url or os.environ.get("EXCHANGE_ID", "").strip()
    scenario = options.scenario or (None if names_venue else "default")
    return trade_on_paper(
        env,
        settings,
        _build(settings, None if scenario else env.database_url),  # no worker ever read a scenario's candles
        scenario=scenario,
        seconds=options.seconds,
        with_health=with_health,
    )


def _build(settings: Settings, database_url: str | None) -> Build:
    from legacy.data_service import DataService
    from legacy.hydration import journal_of
    from legacy.messages import market_queue
    from legacy.trading_service import TradingService

    def build(market: Market, clock: Clock) -> tuple[LiveTrading, Work]:
        queue = market_queue()
        data = DataService(
            market,
            queue,
            settings=settings,
            clock=clock,
            narrate=_narrator("data", clock),
            read_history=journal_of(database_url) if database_url else None,
        )
        trading = TradingService(market, queue, settings=settings, clock=clock, narrate=_narrator("trading", clock))
        return trading, lambda: run_services(data, trading)

    return build


def _narrator(service: str, clock: Clock) -> Callable[[str], None]:
    """Says when, who and what; a line that only says again that nothing is new is left out (I29)."""
    before = ""

    def narrate(text: str) -> None:
        nonlocal before
        if text != before:
            before = text
            say(f"{clock.now():%H:%M:%S} {service}: {text}")

    return narrate


async def run_services(data: DataService, trading: TradingService) -> None:
    """Both or neither: a clean stop of trading ends the polling, a failure of either ends the other and is raised."""
    await trading.boot()
    try:
        async with asyncio.TaskGroup() as group:
            polling = group.create_task(data.run())
            await trading.run()
            polling.cancel()
    except BaseExceptionGroup as failed:
        if len(failed.exceptions) == 1:
            raise failed.exceptions[0] from None  # as itself, so that a refusal keeps its exit code
        raise

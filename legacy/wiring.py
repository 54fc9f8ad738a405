"""What the three deprecated entry points share: the guard, the choice of prices, the two services as one. [S]

Outside production only, and never a real order: TradingService is handed the public half of a market and no key.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from live.settings import KNOWN_SETTINGS, TIMEFRAMES, Settings, read_settings
from live.simulator.scenarios import SCENARIOS, make_scenario
from prodsafe.deprecation import refuse_in_production
from prodsafe.dotenv_guard import load_developer_dotenv, suppress_in_production
from prodsafe.environment import Environment, read_environment
from prodsafe.errors import ExitCode, GateRefused, RefusalKind
from prodsafe.gates import Surroundings, settings_gate
from prodsafe.output import register_secrets, run_entry, say
from prodsafe.values import read_seconds

if TYPE_CHECKING:
    from legacy.data_service import DataService
    from legacy.trading_service import TradingService
    from live.clock import Clock
    from live.paper import Market

NEVER_REAL_ORDERS = RefusalKind("R30", "legacy-real-orders")

POINTER = "python -m live.prod_live"
ABOUT = f"""\
Deprecated, for local experiments only; production runs `{POINTER}`.

DataService -> bounded queue -> TradingService, with the worker's own strategy, risk and execution. Orders go to a paper
venue in this process and nowhere else; positions, losses and halts are forgotten when it ends.

Prices: --scenario NAME if given; else the public market data of EXCHANGE_URL or EXCHANGE_ID if one is set (no key is
used, and an unreachable one is an error); else the scenario `default`, which needs no network.

ENVIRONMENT must be dev, test or staging. `.env`, then `.env.local` of this folder are read; the environment wins.
LIVE_* and RISK_* are the worker's settings; HEALTH_HOST and PORT are main_with_health's.
Exit codes: 0 stopped, 1 refused, 2 wrong usage, 6 prices unreadable at the start, 70 a bug in either service.
"""


def add_options(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.formatter_class, parser.description = argparse.RawDescriptionHelpFormatter, ABOUT
    parser.add_argument("--scenario", choices=list(SCENARIOS), help="built-in prices instead of a venue's")
    parser.add_argument("--bar", choices=TIMEFRAMES, help="candle to decide on (default: LIVE_TIMEFRAME)")
    parser.add_argument("--seconds", type=_seconds, help="stop by itself after this long")
    return parser


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
    refuse_in_production(env, entry=entry, pointer=POINTER)
    settings = require_settings(env)
    if options.bar:
        settings = replace(settings, live_timeframe=options.bar)
    names_venue = env.exchange_url or os.environ.get("EXCHANGE_ID", "").strip()
    scenario = options.scenario or (None if names_venue else "default")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # until the loop runs, it ends the process as Ctrl-C does
    asyncio.run(_experiment(env, settings, scenario, seconds=options.seconds, with_health=with_health))
    return ExitCode.OK


def require_settings(env: Environment) -> Settings:
    """The settings, once everything in the environment is understood. Raises GateRefused with all that is wrong."""
    settings, refusals = read_settings(env.settings)
    refusals = [*env.problems, *settings_gate(KNOWN_SETTINGS).judge(env, Surroundings()), *refusals]
    if env.dry_run is False:
        never = NEVER_REAL_ORDERS.because(
            "the legacy loops never send a real order",
            mend=f"unset DRY_RUN to trade on paper, or run `{POINTER}`",
            seen="DRY_RUN=0",
        )
        refusals.append(never)
    if refusals:
        raise GateRefused(*refusals)
    return settings


async def _experiment(
    env: Environment, settings: Settings, scenario: str | None, *, seconds: float | None, with_health: bool
) -> None:
    from legacy.data_service import DataService
    from legacy.messages import market_queue
    from legacy.trading_service import TradingService
    from live.clock import SystemClock

    clock, queue, loop = SystemClock(), market_queue(), asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as stack:
        market = _open_market(env, settings, scenario, clock)
        stack.push_async_callback(market.close)
        data = DataService(market, queue, settings=settings, clock=clock, narrate=lambda text: say(f"data: {text}"))
        trading = TradingService(
            market, queue, settings=settings, clock=clock, narrate=lambda text: say(f"trading: {text}")
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, trading.stop)
        if seconds is not None:
            loop.call_later(seconds, trading.stop)
        if with_health:
            _serve_health(stack, env, trading)
        say(f"paper trading on {f'scenario {scenario}' if scenario else 'public prices'}: nothing is kept")
        await run_services(data, trading)


def _open_market(env: Environment, settings: Settings, scenario: str | None, clock: Clock) -> Market:
    if scenario is None:
        from live.venue import open_venue

        return open_venue(
            env.exchange_id,
            api_key="",
            api_secret="",
            sandbox=env.exchange_sandbox,
            url=env.exchange_url,
            for_live=False,
            clock=clock,
        )
    from live.market import timeframe
    from live.paper import ScenarioMarket

    bar = timeframe(settings.live_timeframe)
    return ScenarioMarket(make_scenario(scenario, seed=1, began_at=clock.now(), bar=bar), clock=clock)


def _serve_health(stack: contextlib.AsyncExitStack, env: Environment, trading: TradingService) -> None:
    from live.health import HealthServer, make_app

    server = stack.enter_context(HealthServer(make_app(lambda: trading.status), env.health_host, env.port))
    say(f"health: http://{server.address[0]}:{server.address[1]}/health")


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

"""A paper trading process: which prices, which settings, health, and a clean stop. No key is used, even if set. [S]

Light to import: a refusal must not pay for psycopg, ccxt or aiohttp.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from live.settings import KNOWN_SETTINGS, Settings, read_settings
from prodsafe.environment import Environment
from prodsafe.errors import ExitCode, GateRefused, Refusal, RefusalKind
from prodsafe.gates import Surroundings, settings_gate
from prodsafe.output import say

if TYPE_CHECKING:
    from live.clock import Clock
    from live.live_trading import LiveTrading
    from live.paper import Market
    from live.status import Status

PAPER_ONLY = RefusalKind("R30", "paper-only")
WORKER = "python -m live.prod_live"
SCOPE = "paper"

Work = Callable[[], Awaitable[None]]
Build = Callable[["Market", "Clock"], "tuple[LiveTrading, Work]"]
"""What trades on a market: asked for its status and to stop, and the work that ends after that."""


def require_settings(env: Environment, *also: Refusal) -> Settings:
    """The settings, once everything in the environment is understood. Raises GateRefused with all that is wrong."""
    settings, refusals = read_settings(env.settings)
    refusals = [*env.problems, *settings_gate(KNOWN_SETTINGS).judge(env, Surroundings()), *refusals, *also]
    if refusals:
        raise GateRefused(*refusals)
    return settings


def require_paper_settings(env: Environment) -> Settings:
    """The same where DRY_RUN=0 is refused too: it was meant for a program that sends real orders."""
    if env.dry_run is not False:
        return require_settings(env)
    only = PAPER_ONLY.because(
        "this program trades on paper and never sends a real order",
        mend=f"unset DRY_RUN to trade on paper, or run `{WORKER}`",
        seen="DRY_RUN=0",
    )
    return require_settings(env, only)


def trade_on_paper(
    env: Environment,
    settings: Settings,
    build: Build,
    *,
    scenario: str | None,
    seconds: float | None = None,
    with_health: bool = False,
) -> int:
    """Trade until SIGTERM, SIGINT or the end of `seconds`. Returns the exit code; raises what ends it otherwise.

    scenario: built-in prices by name; None means the public market data of EXCHANGE_URL or EXCHANGE_ID.
    """
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # until the loop runs, it ends the process as Ctrl-C
    asyncio.run(_trade(env, settings, build, scenario=scenario, seconds=seconds, with_health=with_health))
    return ExitCode.OK


def build_paper(settings: Settings) -> Build:
    """The worker's own loop, as `python -m live paper` runs it."""
    from live.paper_trading import PaperTrading

    def build(market: Market, clock: Clock) -> tuple[LiveTrading, Work]:
        def narrate(text: str) -> None:
            say(f"{clock.now():%H:%M:%S} {text}")

        trading = PaperTrading(market, scope=SCOPE, settings=settings, clock=clock, narrate=narrate)
        return trading, trading.boot_and_run

    return build


async def _trade(
    env: Environment,
    settings: Settings,
    build: Build,
    *,
    scenario: str | None,
    seconds: float | None,
    with_health: bool,
) -> None:
    from live.clock import SystemClock

    clock, loop = SystemClock(), asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as stack:
        market = _open_market(env, settings, scenario, clock)
        stack.push_async_callback(market.close)
        trading, work = build(market, clock)
        stop = _stop_of(trading)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        if seconds is not None:
            loop.call_later(seconds, stop)
        if with_health:
            _serve_health(stack, env, lambda: trading.status)
        say(f"paper trading on {f'scenario {scenario}' if scenario else 'public prices'}: nothing is kept")
        with contextlib.suppress(asyncio.CancelledError):  # by `stop` and nobody else
            await work()


def _stop_of(trading: LiveTrading) -> Callable[[], None]:
    """What asks for a clean stop. A boot on paper has nothing under way: a venue that hangs in it is not waited for."""
    task = asyncio.current_task()
    assert task is not None

    def stop() -> None:
        trading.stop()
        if trading.status.state in ("starting", "reconciling"):
            task.cancel()

    return stop


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
    from live.simulator.scenarios import make_scenario

    bar = timeframe(settings.live_timeframe)
    return ScenarioMarket(make_scenario(scenario, seed=1, began_at=clock.now(), bar=bar), clock=clock)


def _serve_health(stack: contextlib.AsyncExitStack, env: Environment, read: Callable[[], Status]) -> None:
    from live.health import make_app
    from live.health_server import HealthServer

    server = stack.enter_context(HealthServer(make_app(read), env.health_host, env.port))
    say(f"health: http://{server.address[0]}:{server.address[1]}/health")

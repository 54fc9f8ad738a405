"""python -m live.simulator: the simulated venue as a foreground process; SIGTERM stops it cleanly. [S]"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import textwrap
from datetime import timedelta
from pathlib import Path

import click

from live.market import TIMEFRAMES
from live.simulator import DEMO_ACCOUNT, DEMO_API_KEY, DEMO_API_SECRET
from live.simulator.faults import FaultKind, FaultSchedule, load_schedule
from live.simulator.scenarios import SCENARIOS, make_scenario
from live.simulator.server import SimulatorServer, TrueClock
from live.simulator.world import Customer, World, customers_from_json
from prodsafe.output import run_entry, say

FilePath = click.Path(exists=True, dir_okay=False, path_type=Path)

EPILOG = """\
\b
A fault schedule is a JSON list of rules, or {"seed": 7, "rules": [...]}; each rule names a kind and where it strikes:
  [{"kind": "lost_reply", "path": "sendorder"}]                        the reply to each send is dropped
  [{"kind": "late_request", "path": "sendorder", "nth": [2], "seconds": 5}]    the second send arrives late
  [{"kind": "set_key", "path": "openorders", "key": "openOrders", "value": []}]    open orders look empty
  [{"kind": "html", "path": "*", "probability": 0.1, "status": 502}]   one reply in ten is a proxy's page

\b
Kinds: KINDS.
Other keys: where {"cliOrdId": "*-s"}, times, from_seconds, until_seconds, acts. POST /sim/faults takes the same.

\b
What came of it: GET /sim/ledger lists each request, order and fill. With the replies of all sends dropped its summary
still says "duplicates": 0 and "resent": 0: each intent is there once.
""".replace("KINDS", "\n  ".join(textwrap.wrap(", ".join(FaultKind), 100)))


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120}, epilog=EPILOG)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port on 127.0.0.1; 0 lets the system choose.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of prices, ids and faults.")
@click.option("--scenario", type=click.Choice(list(SCENARIOS)), default="default", show_default=True)
@click.option(
    "--bar", type=click.Choice(list(TIMEFRAMES)), default="15m", show_default=True, help="The setups' candle."
)
@click.option("--faults", "faults_file", type=FilePath, help="JSON fault schedule, see below.")
@click.option("--accounts", "accounts_file", type=FilePath, help="JSON [{name, api_key, api_secret, balance}].")
def main(port: int, seed: int, scenario: str, bar: str, faults_file: Path | None, accounts_file: Path | None) -> None:
    """Kraken Futures' wire format on loopback. The first line on stdout is EXCHANGE_URL=http://127.0.0.1:PORT."""
    try:
        faults = load_schedule(faults_file.read_text(), seed=seed) if faults_file else FaultSchedule(seed=seed)
        customers = customers_from_json(json.loads(accounts_file.read_text())) if accounts_file else [demo_customer()]
    except ValueError as error:
        raise click.UsageError(str(error)) from error

    def body() -> int:
        asyncio.run(_serve(port, seed, scenario, TIMEFRAMES[bar], faults, customers))
        return 0

    sys.exit(run_entry(body))


def demo_customer() -> Customer:
    return Customer(DEMO_ACCOUNT, DEMO_API_KEY, DEMO_API_SECRET)


async def _serve(
    port: int, seed: int, scenario: str, bar: timedelta, faults: FaultSchedule, customers: list[Customer]
) -> None:
    clock = TrueClock()
    prices = make_scenario(scenario, seed=seed, began_at=clock.began_at, bar=bar)
    world = World(prices, customers, began_at=clock.began_at, seed=seed, faults=faults)
    server = SimulatorServer(world, clock, port=port)
    moving = asyncio.create_task(server.move_prices())
    loop = asyncio.get_running_loop()
    for stop_signal in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(stop_signal, moving.cancel)
    try:
        say(f"EXCHANGE_URL={await server.start()}")
        if customers == [demo_customer()]:  # built in and worth nothing: the two values that a person needs next
            say(f"EXCHANGE_API_KEY={DEMO_API_KEY}\nEXCHANGE_API_SECRET={DEMO_API_SECRET}")
        with contextlib.suppress(asyncio.CancelledError):
            await moving
    finally:
        await server.stop()


if __name__ == "__main__":
    main()

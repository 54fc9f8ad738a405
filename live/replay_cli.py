"""`python -m live replay | candles | paper`: try the strategy on recorded, made-up or present prices. [S]

Imported when one of them is asked for; nothing here sends an order.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from live.candle_files import FORMATS, Format
from live.cli_parts import database_url, json_option, seconds, this_environment, utc
from live.market import TIMEFRAMES, gaps
from live.market import timeframe as length_of
from live.recorded import MADE_UP
from live.simulator.scenarios import SCENARIOS
from prodsafe.errors import ExitCode, RefusalKind
from prodsafe.output import mask, say, say_json

if TYPE_CHECKING:
    from live.model import Candle
    from live.replay import Costs
    from live.replay_report import Report
    from live.settings import Settings
    from prodsafe.environment import Environment

REPORT_NOT_WRITTEN = RefusalKind("H08", "report-not-written")

_BPS = re.compile(r"[0-9]{1,3}(\.[0-9]{1,4})?")


def _bps(_context: click.Context, _parameter: click.Parameter, text: str | None) -> Decimal | None:
    """Basis points, 0 to 100: beyond one per cent of the notional it is another unit."""
    if text is None:
        return None
    if not _BPS.fullmatch(text) or Decimal(text) > 100:
        raise click.BadParameter(f"{text!r} is no number of basis points from 0 to 100, as 2.5")
    return Decimal(text)


def _fees(_context: click.Context, _parameter: click.Parameter, text: str | None) -> tuple[Decimal, Decimal] | None:
    """TAKER/MAKER in basis points; one number is both."""
    if text is None:
        return None
    taker, _, maker = text.partition("/")
    found = [_bps(_context, _parameter, each) for each in (taker, maker or taker)]
    return found[0] or Decimal(0), found[1] or Decimal(0)


def _which(command: Any) -> Any:
    """Options that say which candles of a source."""
    for option in (
        click.option("--to", "end_at", callback=utc, help="No candle that closes after this (UTC)."),
        click.option("--from", "begin_at", callback=utc, help="From here on (UTC)."),
        click.option("--timeframe", type=click.Choice(list(TIMEFRAMES)), help="Default: LIVE_TIMEFRAME."),
        click.option("--symbol", help="Default: the first of LIVE_SYMBOLS."),
        click.option("--bars", default=3000, show_default=True, type=click.IntRange(1, 1_000_000), help="Of it."),
        click.option("--seed", default=1, show_default=True, help="Of the scenario."),
    ):
        command = option(command)
    return command


@click.command()
@click.option(
    "--candles",
    "candle_file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Candles of a file.",
)
@click.option("--from-journal", is_flag=True, help="Candles that the workers of DATABASE_URL have read.")
@click.option(
    "--scenario", type=click.Choice(MADE_UP), help="Made-up candles; mixed is a random market with setups in it."
)
@_which
@click.option("--allow-gaps", is_flag=True, help="Go on over missing candles, as a worker does after an outage.")
@click.option("--fees", callback=_fees, metavar="TAKER/MAKER", help="bps of each fill. Default: RISK_TAKER_FEE_BPS/2.")
@click.option(
    "--slippage", callback=_bps, metavar="BPS", help="Beyond the price, each side. Default: RISK_SLIPPAGE_BPS."
)
@click.option("--funding", callback=_bps, metavar="BPS", help="Paid for each 8 hours held, long or short. Default: 1.")
@click.option("--balance", default=10_000.0, show_default=True, type=click.FloatRange(min=1), help="To begin with.")
@click.option(
    "--report",
    "report_dir",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write report.html and report.json there.",
)
@json_option
def replay(
    candle_file: Path | None,
    from_journal: bool,
    scenario: str | None,
    seed: int,
    bars: int,
    symbol: str | None,
    timeframe: str | None,
    begin_at: datetime | None,
    end_at: datetime | None,
    allow_gaps: bool,
    fees: tuple[Decimal, Decimal] | None,
    slippage: Decimal | None,
    funding: Decimal | None,
    balance: float,
    report_dir: Path | None,
    as_json: bool,
) -> int:
    """What the worker would have done: recorded candles through its own strategy, risk and execution, on paper.

    Nothing looks ahead, nothing is sent, and the same candles give the same report to the byte; where a candle does not
    tell, the worse is assumed, as printed at the end. It is no forecast. LIVE_* and RISK_* are the worker's settings.
    Candles before --from only warm the strategy up.

    \b
    Where candles come from, one of:
      --candles FILE   CSV whose first line is
                         opened_at,open,high,low,close,volume
                         2026-03-01T00:00:00Z,65000,65100.5,64900,65050,12.3
                       or JSON lines with these names, one object a line. Oldest
                       first, closed candles only; opened_at in ISO 8601 UTC or
                       epoch seconds. Any exchange's history fits after that.
      --from-journal   what a worker has saved; to keep it as a file:
                         python -m live candles > btc.csv
      --scenario NAME  made up, to look at the tool; a year of it as a file:
                         python -m live candles --scenario mixed --bars 35040 > year.csv
    """
    if sum((candle_file is not None, from_journal, scenario is not None)) != 1:
        raise click.UsageError("name one source of candles: --candles FILE, --from-journal or --scenario NAME")
    import asyncio

    from live.candle_files import require_no_gap
    from live.paper_loop import require_settings
    from live.recorded import cut
    from live.replay import replay as run
    from live.replay_report import as_data, as_text, report_of

    environment = this_environment()
    settings = require_settings(environment)
    source = _Source(environment, settings, symbol, timeframe, begin_at, end_at)
    if candle_file is not None:
        candles = source.of_file(candle_file)
    else:
        candles = source.of_journal() if scenario is None else source.of_scenario(scenario, seed, bars)
    candles = cut(candles, begin_at=begin_at, end_at=end_at)
    if not allow_gaps:
        require_no_gap(gaps(candles), str(candle_file) if candle_file else f"{candles[0].symbol} {source.timeframe}")
    if report_dir is not None:
        _make_folder(report_dir)
    with _progress() as progress:
        replayed = asyncio.run(
            run(
                candles,
                settings,
                begin_at=begin_at,
                costs=_costs(settings, fees, slippage, funding),
                balance_quote=Decimal(str(balance)),
                progress=progress,
            )
        )
    report = report_of(replayed)
    if report_dir is not None:
        _write(report, report_dir)
    if as_json:
        say_json(as_data(report))
    else:
        say(as_text(report))
        if report_dir is not None:
            say(f"\nreport: {report_dir / 'report.html'}")
    return ExitCode.OK


class _Source:
    """Which candles are meant, and the places they can be read from."""

    def __init__(
        self,
        environment: Environment,
        settings: Settings,
        symbol: str | None,
        timeframe: str | None,
        begin_at: datetime | None,
        end_at: datetime | None,
    ) -> None:
        self._environment = environment
        self._warmup_candles = settings.live_warmup_candles
        self._symbol = symbol or settings.live_symbols[0]
        self.timeframe = timeframe or settings.live_timeframe
        self._begin_at, self._end_at = begin_at, end_at

    @property
    def _length(self) -> timedelta:
        return length_of(self.timeframe)

    def of_file(self, path: Path) -> list[Candle]:
        from live.candle_files import read_candle_file

        return read_candle_file(path, self._symbol, self._length)

    def of_journal(self, *, warming: bool = True) -> list[Candle]:
        from live.recorded import read_journal_candles

        return read_journal_candles(
            database_url(self._environment),
            self._symbol,
            self._length,
            begin_at=self._begin_at,
            end_at=self._end_at,
            warmup_candles=self._warmup_candles if warming else 0,
        )

    def of_scenario(self, name: str, seed: int, bars: int) -> list[Candle]:
        from live.recorded import make_scenario_candles

        return make_scenario_candles(name, seed=seed, bars=bars, symbol=self._symbol, timeframe=self._length)


def _costs(
    settings: Settings, fees: tuple[Decimal, Decimal] | None, slippage: Decimal | None, funding: Decimal | None
) -> Costs:
    from live.replay import Costs

    costs = Costs(taker_fee_bps=settings.risk_taker_fee_bps, slippage_bps=settings.risk_slippage_bps)
    if fees is not None:
        costs = replace(costs, taker_fee_bps=fees[0], maker_fee_bps=fees[1])
    if slippage is not None:
        costs = replace(costs, slippage_bps=slippage)
    return costs if funding is None else replace(costs, funding_bps=funding)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar on the terminal, on stderr; nothing where stderr is a file or a pipe."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    with click.progressbar(length=1, label="replay", file=sys.stderr, update_min_steps=200) as bar:

        def advance(_done: int, total: int) -> None:
            bar.length = total
            bar.update(1)

        yield advance


def _make_folder(folder: Path) -> None:
    """Before the work, so that a mistyped place costs no waiting."""
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)


def _write(report: Report, folder: Path) -> None:
    import json

    from live.replay_page import page
    from live.replay_report import as_file

    with _writing(folder):
        (folder / "report.html").write_text(mask(page(report)), encoding="utf-8")
        data = json.dumps(as_file(report), indent=1, ensure_ascii=False)
        (folder / "report.json").write_text(mask(data) + "\n", encoding="utf-8")


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    from prodsafe.errors import GateRefused

    try:
        yield
    except OSError as error:
        cause = f"{error.strerror or error} ({type(error).__name__})"
        mend = "name a folder that can be written: --report DIR"
        raise GateRefused(REPORT_NOT_WRITTEN.because(cause, seen=str(folder), mend=mend)) from None


@click.command()
@click.option("--scenario", type=click.Choice(MADE_UP), help="Made-up candles instead of the journal's.")
@_which
@click.option("--format", "form", default="csv", show_default=True, type=click.Choice(FORMATS), help="Of the lines.")
def candles(
    scenario: str | None,
    seed: int,
    bars: int,
    symbol: str | None,
    timeframe: str | None,
    begin_at: datetime | None,
    end_at: datetime | None,
    form: Format,
) -> int:
    """Print candles as a file that `replay --candles` reads: what workers have saved, or made-up ones.

    \b
      python -m live candles --symbol BTC/USD:USD --from 2026-03-01 > btc.csv
      python -m live candles --scenario mixed --bars 35040 > year.csv
    """
    from live.candle_files import candle_lines
    from live.paper_loop import require_settings
    from live.recorded import cut

    environment = this_environment()
    source = _Source(environment, require_settings(environment), symbol, timeframe, begin_at, end_at)
    made = source.of_journal(warming=False) if scenario is None else source.of_scenario(scenario, seed, bars)
    chosen = [candle for candle in cut(made, begin_at=begin_at, end_at=end_at) if _opens_in(candle, begin_at)]
    say("\n".join(candle_lines(chosen, form)))
    return ExitCode.OK


def _opens_in(candle: Candle, begin_at: datetime | None) -> bool:
    return begin_at is None or candle.opened_at >= begin_at


@click.command()
@click.option("--scenario", type=click.Choice(list(SCENARIOS)), help="Made-up prices; no network is needed.")
@click.option("--seconds", "for_seconds", callback=seconds, help="Stop by itself after this long.")
def paper(scenario: str | None, for_seconds: float | None) -> int:
    """Trade on paper: the worker's own loop on real prices, no key, no database, no order that leaves.

    Prices are the public market data of EXCHANGE_ID, or of the simulated venue at EXCHANGE_URL. LIVE_* and RISK_* are
    the worker's settings; WITH_HEALTH, HEALTH_HOST and PORT as there. DRY_RUN=0 is refused. What it holds and has lost
    is forgotten when it ends.
    """
    from live.paper_loop import build_paper, require_paper_settings, trade_on_paper

    environment = this_environment()
    settings = require_paper_settings(environment)
    return trade_on_paper(
        environment,
        settings,
        build_paper(settings),
        scenario=scenario,
        seconds=for_seconds,
        with_health=environment.with_health,
    )

"""When the worker halts: limits on what is held, each looser than the one that entries keep (I1, I2, I13). [P]"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from live.book import Book
from live.model import Account, Ticker
from live.position import Position
from live.risk.proposal import ZERO
from live.settings import Settings


def breaches(account: Account | None, tickers: Mapping[str, Ticker], book: Book, settings: Settings) -> Sequence[str]:
    """Why the worker must halt now; [] while every halt limit holds. A missing input is a breach of its own (I11).

    The distance to liquidation is watched as margin: cross margin liquidates the account when none is left.
    """
    positions = [position for position in book.open_positions() if position.qty > 0]
    if account is None or book.equity is None:
        return ["equity unknown: no halt limit has an input"] if positions else []
    notionals = [_marked_notional(position, tickers) for position in positions]
    equity = account.equity_quote
    if equity <= 0:
        return [f"equity {equity}"]
    observed = [
        ("drawdown", book.equity.drawdown_pct, settings.risk_halt_drawdown_pct),
        ("daily loss", book.equity.day_loss_pct, settings.risk_halt_daily_loss_pct),
        ("largest notional", max(notionals, default=ZERO) / equity * 100, settings.risk_halt_position_notional_pct),
        ("notional", sum(notionals, ZERO) / equity * 100, settings.risk_halt_notional_pct),
        ("margin bound", account.used_quote / equity * 100 if positions else ZERO, settings.risk_halt_margin_pct),
    ]
    found = [f"{name} {value:.1f} % >= {limit} %" for name, value, limit in observed if value >= limit]
    if len(positions) >= settings.risk_halt_positions:
        found.append(f"{len(positions)} positions >= {settings.risk_halt_positions}")
    return found


def _marked_notional(position: Position, tickers: Mapping[str, Ticker]) -> Decimal:
    ticker = tickers.get(position.symbol)
    price = ticker.mark_price if ticker else position.average_entry_price
    return position.qty * position.contract_size * price

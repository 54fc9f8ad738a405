"""Signal + account + limits -> Intent or Denied, and when to halt. [P]

Every limit that is watched on open positions is also a gate on entries (I2), and is tighter there (I1, I13).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from live.book import Book
from live.model import Account, Denied, Instrument, Intent, Side, Signal, Target, Ticker
from live.position import Position
from live.settings import Settings

TARGET_SPLITS: Mapping[int, tuple[Decimal, ...]] = {
    1: (Decimal(1),),
    2: (Decimal("0.5"), Decimal("0.5")),
    3: (Decimal("0.4"), Decimal("0.4"), Decimal("0.2")),
}
BPS = Decimal(10_000)
ZERO = Decimal(0)


def size(
    signal: Signal,
    *,
    position_id: str,
    instrument: Instrument,
    ticker: Ticker,
    account: Account,
    book: Book,
    settings: Settings,
    now: datetime,
) -> Intent | Denied:
    """A sized, approved intent for a signal, or the first limit that denies it.

    now: aware UTC. The size loses risk_per_trade_pct of equity between entry and stop, cut to every notional cap.
    A missing or implausible input denies: a limit without its input is closed, not open (I11).
    """
    if denied := _not_now(signal, book, settings, now) or _implausible(signal, instrument, ticker, account):
        return denied
    entry = instrument.round_price(signal.entry_price)
    stop = instrument.round_stop(signal.stop_price, signal.side)
    if signal.side.sign * (entry - stop) <= 0:
        return Denied(signal.symbol, "stop-distance", f"stop {stop} leaves no room below entry {entry}")
    qty = _affordable_qty(entry, stop, instrument, account, book, settings)
    if qty < instrument.min_qty:
        return Denied(signal.symbol, "too-small", f"{qty} contracts are below the venue's minimum {instrument.min_qty}")
    risk_quote = instrument.notional_quote(qty, abs(entry - stop))
    if denied := _too_costly(signal, instrument.notional_quote(qty, entry), risk_quote, settings):
        return denied
    return Intent(
        position_id=position_id,
        symbol=signal.symbol,
        side=signal.side,
        qty=qty,
        entry_price=entry,
        stop_price=stop,
        targets=split_targets(signal, qty, instrument),
        risk_quote=risk_quote,
        decided_at=now,
        expires_at=signal.expires_at,
        reasons=signal.reasons,
        contract_size=instrument.contract_size,
    )


def _not_now(signal: Signal, book: Book, settings: Settings, now: datetime) -> Denied | None:
    """What forbids any entry, or one on this symbol, whatever its size."""

    def denied(code: str, reason: str) -> Denied:
        return Denied(signal.symbol, code, reason)

    open_positions = book.open_positions()
    pause = timedelta(minutes=float(settings.risk_loss_streak_pause_minutes))
    cooldown = timedelta(minutes=float(settings.risk_symbol_cooldown_minutes))
    closed_at = book.closed_at.get(signal.symbol)
    if signal.symbol in book.frozen:
        return denied("frozen", book.frozen[signal.symbol])
    if book.position_on(signal.symbol):
        return denied("in-position", "a position or an order in flight exists")
    if len(open_positions) >= settings.risk_max_positions:
        return denied("max-positions", f"{len(open_positions)} positions >= {settings.risk_max_positions}")
    if closed_at and now - closed_at < cooldown:
        return denied("cooldown", f"closed {(now - closed_at).total_seconds() / 60:.0f} min ago")
    if book.loss_streak >= settings.risk_max_loss_streak and book.last_loss_at and now - book.last_loss_at < pause:
        return denied("loss-streak", f"{book.loss_streak} losses in a row")
    if book.equity is None:
        return denied("no-equity", "equity was not observed yet, so no loss limit has an input")
    if (loss := book.equity.day_loss_pct) >= settings.risk_max_daily_loss_pct:
        return denied("daily-loss", f"daily loss {loss:.2f} % >= {settings.risk_max_daily_loss_pct} %")
    if (drawdown := book.equity.drawdown_pct) >= settings.risk_max_drawdown_pct:
        return denied("drawdown", f"drawdown {drawdown:.2f} % >= {settings.risk_max_drawdown_pct} %")
    return None


def _implausible(signal: Signal, instrument: Instrument, ticker: Ticker, account: Account) -> Denied | None:
    if account.equity_quote <= 0 or account.available_quote < 0:
        seen = f"equity {account.equity_quote}, available {account.available_quote}"
        return Denied(signal.symbol, "no-equity", seen)
    if signal.side.sign * (ticker.mark_price - signal.stop_price) <= 0:
        return Denied(signal.symbol, "stop-crossed", f"mark {ticker.mark_price} is beyond stop {signal.stop_price}")
    if instrument.symbol != signal.symbol or ticker.symbol != signal.symbol:
        return Denied(signal.symbol, "wrong-input", f"instrument {instrument.symbol}, ticker {ticker.symbol}")
    return None


def _affordable_qty(
    entry: Decimal, stop: Decimal, instrument: Instrument, account: Account, book: Book, settings: Settings
) -> Decimal:
    equity = account.equity_quote
    per_contract = instrument.notional_quote(Decimal(1), entry)
    risk = min(equity * settings.risk_per_trade_pct / 100, settings.risk_max_loss_per_trade_quote)
    held = sum((committed_notional(position) for position in book.open_positions()), ZERO)
    notional = min(
        equity * settings.risk_max_position_notional_pct / 100,
        equity * settings.risk_max_notional_pct / 100 - held,
        account.available_quote * instrument.max_leverage * Decimal("0.9"),
    )
    by_risk = risk / instrument.notional_quote(Decimal(1), abs(entry - stop))
    return instrument.round_qty_down(max(min(by_risk, notional / per_contract), ZERO))


def committed_notional(position: Position) -> Decimal:
    """What a position holds or may come to hold, at its entry price: orders in flight count as exposure (I6)."""
    entries = [order for order in position.orders.values() if order.is_working and not order.spec.reduce_only]
    pending = sum((order.remaining_qty * (order.spec.limit_price or ZERO) for order in entries), ZERO)
    return (position.qty * position.average_entry_price + pending) * position.contract_size


def _too_costly(signal: Signal, notional: Decimal, risk_quote: Decimal, settings: Settings) -> Denied | None:
    cost = notional * (2 * settings.risk_taker_fee_bps + settings.risk_slippage_bps) / BPS
    if cost > risk_quote * settings.risk_max_cost_r:
        return Denied(signal.symbol, "cost", f"fees and slippage {cost:.2f} > {settings.risk_max_cost_r} R")
    return None


def split_targets(signal: Signal, qty: Decimal, instrument: Instrument) -> tuple[Target, ...]:
    """The signal's targets with contracts that add up to qty; a share too small to send goes to the next (I51, I53)."""
    prices = _distinct(instrument.round_price(price) for price in signal.targets)[:3]
    targets: list[Target] = []
    left = qty
    for price, share in zip(prices, TARGET_SPLITS.get(len(prices), ()), strict=True):
        part = left if price == prices[-1] else min(instrument.round_qty_down(qty * share), left)
        if part < instrument.min_qty:
            continue
        targets.append(Target(price, part))
        left -= part
    return tuple(targets)


def _distinct(prices: Iterable[Decimal]) -> list[Decimal]:
    return list(dict.fromkeys(prices))


def breaches(account: Account | None, tickers: Mapping[str, Ticker], book: Book, settings: Settings) -> Sequence[str]:
    """Why the worker must halt now; [] while every halt limit holds. A missing input is a breach of its own (I11)."""
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
    ]
    found = [f"{name} {value:.1f} % >= {limit} %" for name, value, limit in observed if value >= limit]
    if len(positions) >= settings.risk_halt_positions:
        found.append(f"{len(positions)} positions >= {settings.risk_halt_positions}")
    return found


def _marked_notional(position: Position, tickers: Mapping[str, Ticker]) -> Decimal:
    ticker = tickers.get(position.symbol)
    price = ticker.mark_price if ticker else position.average_entry_price
    return position.qty * position.contract_size * price


def adopted_stop(
    side: Side, entry_price: Decimal, mark_price: Decimal, instrument: Instrument, stop_pct: Decimal
) -> Decimal:
    """A stop for a position whose plan nobody knows: stop_pct from its entry, or from the mark if beyond that (W37)."""
    distance = stop_pct / 100
    from_entry = entry_price * (1 - side.sign * distance)
    beyond = side.sign * (mark_price - from_entry) <= 0
    return instrument.round_stop(mark_price * (1 - side.sign * distance) if beyond else from_entry, side)

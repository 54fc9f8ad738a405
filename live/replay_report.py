"""What a replay's events amount to: its trades, and the counts and sums over them, as text and as plain data. [P]"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from live.events import Decided, Event, Filled, IntentApproved, OrderIntended
from live.market import gaps, timeframe_name
from live.model import Fill, Intent, Leg, OrderSpec, Side
from live.operators import plain_json, short_time, table
from live.replay import ASSUMPTIONS, Replayed

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Trade:
    """One position that was entered. closed_at is None while some of it is still held, exit_price while all of it is.

    Prices are averages in quote currency. exits: what closed it, in order ("target", "stop", "exit").
    realised_quote: closed profit and loss net of all fees; r: the same in multiples of what was risked.
    """

    opened_at: datetime
    closed_at: datetime | None
    symbol: str
    side: Side
    qty: Decimal
    entry_price: Decimal
    exit_price: Decimal | None
    exits: tuple[str, ...]
    r: Decimal
    realised_quote: Decimal
    fees_quote: Decimal
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """Sums over one replay; money in quote currency. denied: signals by code. unfilled: approved, never filled."""

    symbol: str
    timeframe: str
    begins_at: datetime
    ends_at: datetime
    candles: int
    missing_candles: int
    decisions: int
    signals: int
    taken: int
    denied: dict[str, int]
    unfilled: int
    trades: int
    open: int
    wins: int
    losses: int
    total_r: Decimal
    realised_quote: Decimal
    fees_quote: Decimal
    start_equity_quote: Decimal
    end_equity_quote: Decimal
    max_drawdown_pct: Decimal
    halted: str | None


def trades_of(events: Sequence[Event]) -> list[Trade]:
    """Every position that was entered, in the order of its entry."""
    intents = {event.intent.position_id: event.intent for event in events if isinstance(event, IntentApproved)}
    specs = {event.spec.client_order_id: event.spec for event in events if isinstance(event, OrderIntended)}
    fills: dict[str, list[tuple[OrderSpec, Fill]]] = {}
    for event in events:
        if isinstance(event, Filled):
            spec = specs[event.client_order_id]
            fills.setdefault(spec.position_id, []).append((spec, event.fill))
    return [_trade(intents[position_id], each) for position_id, each in fills.items()]


def _trade(intent: Intent, fills: Sequence[tuple[OrderSpec, Fill]]) -> Trade:
    entries = [fill for spec, fill in fills if spec.leg is Leg.ENTRY]
    exits = [(spec.leg, fill) for spec, fill in fills if spec.leg is not Leg.ENTRY]
    qty, entry_price = _averaged(entries)
    closed_qty, exit_price = _averaged([fill for _, fill in exits])
    fees = sum((fill.fee_quote for _, fill in fills), ZERO)
    gain = intent.side.sign * closed_qty * (exit_price - entry_price) * intent.contract_size
    return Trade(
        opened_at=entries[0].filled_at,
        closed_at=exits[-1][1].filled_at if closed_qty == qty else None,
        symbol=intent.symbol,
        side=intent.side,
        qty=qty,
        entry_price=entry_price,
        exit_price=exit_price if exits else None,
        exits=tuple(leg.name.lower() for leg, _ in exits),
        r=round((gain - fees) / intent.risk_quote, 4),
        realised_quote=round(gain - fees, 8),
        fees_quote=round(fees, 8),
        reasons=intent.reasons,
    )


def _averaged(fills: Sequence[Fill]) -> tuple[Decimal, Decimal]:
    """(contracts, average price); zeros for none."""
    qty = sum((fill.qty for fill in fills), ZERO)
    return qty, sum((fill.price * fill.qty for fill in fills), ZERO) / qty if qty else ZERO


def summary_of(replayed: Replayed, trades: Sequence[Trade]) -> Summary:
    candles, events, halt = replayed.candles, replayed.events, replayed.halt
    decisions = [event for event in events if isinstance(event, Decided)]
    signals = [decision for decision in decisions if decision.side is not None]
    approved = sum(isinstance(event, IntentApproved) for event in events)
    closed = [trade for trade in trades if trade.closed_at is not None]
    return Summary(
        symbol=candles[0].symbol,
        timeframe=timeframe_name(candles[0].timeframe),
        begins_at=candles[0].opened_at,
        ends_at=candles[-1].closed_at,
        candles=len(candles),
        missing_candles=sum(gap.missing for gap in gaps(candles)),
        decisions=len(decisions),
        signals=len(signals),
        taken=sum(decision.taken for decision in signals),
        denied=dict(sorted(Counter(_denial(decision) for decision in signals if not decision.taken).items())),
        unfilled=approved - len(trades),
        trades=len(trades),
        open=len(trades) - len(closed),
        wins=sum(trade.realised_quote > 0 for trade in closed),
        losses=sum(trade.realised_quote <= 0 for trade in closed),
        total_r=sum((trade.r for trade in trades), ZERO),
        realised_quote=sum((trade.realised_quote for trade in trades), ZERO),
        fees_quote=sum((trade.fees_quote for trade in trades), ZERO),
        start_equity_quote=replayed.start_equity,
        end_equity_quote=round(replayed.end_equity, 8),
        max_drawdown_pct=round(replayed.worst_drawdown_pct, 4),
        halted=f"{short_time(halt.at)}: {halt.reason}" if halt.halted else None,
    )


def _denial(decision: Decided) -> str:
    """The code in the last of its reasons, "denied <code>: <words>"."""
    return decision.reasons[-1].removeprefix("denied ").partition(":")[0]


TRADE_HEADS = ("opened", "closed", "side", "qty", "entry", "exit", "by", "R", "realised", "fees", "reasons")


def as_text(summary: Summary, trades: Sequence[Trade]) -> str:
    rows = [_row(trade) for trade in trades]
    listed = table(TRADE_HEADS, rows) if rows else "no trade"
    assumed = "\n".join(f"assumed: {each}" for each in ASSUMPTIONS)
    return "\n\n".join((listed, "\n".join(_summary_lines(summary)), assumed))


def _row(trade: Trade) -> tuple[object, ...]:
    exits = " ".join(trade.exits) if trade.closed_at else " ".join((*trade.exits, "(open)"))
    return (
        trade.opened_at, trade.closed_at, trade.side, trade.qty, _price(trade.entry_price), _price(trade.exit_price),
        exits, f"{trade.r:+.2f}", f"{trade.realised_quote:+.2f}", f"{trade.fees_quote:.2f}", "; ".join(trade.reasons),
    )  # fmt: skip


def _price(price: Decimal | None) -> Decimal | None:
    """An average, to seven digits."""
    return None if price is None else Decimal(f"{price:.7g}")


def _summary_lines(summary: Summary) -> list[str]:
    s = summary
    missing = f", {s.missing_candles} missing" if s.missing_candles else ""
    denied = "; ".join(f"{code} {count}" for code, count in s.denied.items()) or "none"
    return [
        f"candles   {s.candles} of {s.symbol} {s.timeframe}{missing}",
        f"time      {short_time(s.begins_at)} to {short_time(s.ends_at)} UTC",
        f"signals   {s.signals} in {s.decisions} decisions, {s.taken} taken; denied: {denied}",
        f"trades    {s.trades}, {s.wins} won, {s.losses} lost, {s.open} open; {s.unfilled} entries never filled",
        f"result    {s.total_r:+.2f} R, realised {s.realised_quote:+.2f} after {s.fees_quote:.2f} of fees",
        f"equity    {s.start_equity_quote:.2f} to {s.end_equity_quote:.2f}, max drawdown {s.max_drawdown_pct:.2f} %",
        f"halted    {s.halted or 'no'}",
    ]


def as_data(summary: Summary, trades: Sequence[Trade]) -> dict[str, Any]:
    """Plain JSON values under the field names; decimals as text, times as ISO 8601."""
    return {
        "summary": _plain(summary),
        "trades": [_plain(trade) for trade in trades],
        "assumptions": list(ASSUMPTIONS),
    }


def _plain(value: Summary | Trade) -> dict[str, Any]:
    return {name: plain_json(getattr(value, name)) for name in value.__dataclass_fields__}

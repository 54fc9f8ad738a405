"""What a replay amounts to: its trades, why there was no signal, equity and sums, as text and plain data. [P]"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from live.events import Decided, Event, Filled, IntentApproved, OrderIntended
from live.market import gaps, timeframe_name
from live.model import Candle, Fill, Intent, Leg, OrderSpec, Side
from live.operators import plain_json, short_time, table
from live.replay import Costs, Replayed, assumptions
from live.smc.events import Observation
from live.smc.reasons import Code

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class TradeFill:
    """One execution. leg: what the order was for ("entry", "stop", "target", "exit"); price in quote, qty contracts."""

    at: datetime
    leg: str
    price: Decimal
    qty: Decimal


@dataclass(frozen=True, slots=True)
class TradeStop:
    """The protective stop from this moment on."""

    at: datetime
    price: Decimal


@dataclass(frozen=True, slots=True)
class Trade:
    """One position that was entered. closed_at is None while some of it is still held, exit_price while all of it is.

    decided_at: when its signal was acted on. Prices are averages in quote currency; stop_price, target_prices: as
    planned. exits: what closed it, in order ("target", "stop", "exit"). realised_quote: closed profit and loss net of
    all fees and funding; r: the same in multiples of what was risked.
    """

    decided_at: datetime
    opened_at: datetime
    closed_at: datetime | None
    symbol: str
    side: Side
    qty: Decimal
    entry_price: Decimal
    stop_price: Decimal
    target_prices: tuple[Decimal, ...]
    exit_price: Decimal | None
    exits: tuple[str, ...]
    r: Decimal
    realised_quote: Decimal
    fees_quote: Decimal
    funding_quote: Decimal
    reasons: tuple[str, ...]
    fills: tuple[TradeFill, ...]
    stops: tuple[TradeStop, ...]


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
    mean_r: Decimal
    realised_quote: Decimal
    fees_quote: Decimal
    funding_quote: Decimal
    start_equity_quote: Decimal
    end_equity_quote: Decimal
    max_drawdown_pct: Decimal
    halted: str | None


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that is shown of one replay. decisions: how many candles ended with each code, most first."""

    summary: Summary
    trades: Sequence[Trade]
    decisions: dict[Code, int]
    costs: Costs
    fingerprint: str
    candles: Sequence[Candle]
    observations: Sequence[Observation]
    equity: Sequence[tuple[datetime, Decimal]]


def report_of(replayed: Replayed) -> Report:
    trades = trades_of(replayed)
    counted = Counter(observation.code for observation in replayed.observations)
    return Report(
        summary=_summary_of(replayed, trades),
        trades=trades,
        decisions=dict(sorted(counted.items(), key=lambda each: (-each[1], each[0]))),
        costs=replayed.costs,
        fingerprint=replayed.parameters.fingerprint(),
        candles=replayed.candles,
        observations=replayed.observations,
        equity=[(at, round(quote, 8)) for at, quote in replayed.equity],
    )


def trades_of(replayed: Replayed) -> list[Trade]:
    """Every position that was entered, in the order of its entry."""
    events = replayed.events
    intents = {event.intent.position_id: event.intent for event in events if isinstance(event, IntentApproved)}
    specs = {event.spec.client_order_id: event.spec for event in events if isinstance(event, OrderIntended)}
    fills: dict[str, list[tuple[OrderSpec, Fill]]] = {}
    for event in events:
        if isinstance(event, Filled):
            spec = specs[event.client_order_id]
            fills.setdefault(spec.position_id, []).append((spec, event.fill))
    stops = _stops(events)
    return [
        _trade(intents[each], filled, stops.get(each, []), replayed.funding.get(each, ZERO))
        for each, filled in fills.items()
    ]


def _stops(events: Sequence[Event]) -> dict[str, list[TradeStop]]:
    """By position: each stop that was asked for."""
    stops: dict[str, list[TradeStop]] = {}
    for event in events:
        if isinstance(event, OrderIntended) and event.spec.trigger_price is not None:
            stops.setdefault(event.spec.position_id, []).append(TradeStop(event.at, event.spec.trigger_price))
    return stops


def _trade(
    intent: Intent, fills: Sequence[tuple[OrderSpec, Fill]], stops: Sequence[TradeStop], funding: Decimal
) -> Trade:
    entries = [fill for spec, fill in fills if spec.leg is Leg.ENTRY]
    exits = [(spec.leg, fill) for spec, fill in fills if spec.leg is not Leg.ENTRY]
    qty, entry_price = _averaged(entries)
    closed_qty, exit_price = _averaged([fill for _, fill in exits])
    fees = sum((fill.fee_quote for _, fill in fills), ZERO)
    net = intent.side.sign * closed_qty * (exit_price - entry_price) * intent.contract_size - fees - funding
    return Trade(
        decided_at=intent.decided_at,
        opened_at=entries[0].filled_at,
        closed_at=exits[-1][1].filled_at if closed_qty == qty else None,
        symbol=intent.symbol,
        side=intent.side,
        qty=qty,
        entry_price=entry_price,
        stop_price=intent.stop_price,
        target_prices=tuple(target.price for target in intent.targets),
        exit_price=exit_price if exits else None,
        exits=tuple(leg.name.lower() for leg, _ in exits),
        r=round(net / intent.risk_quote, 4),
        realised_quote=round(net, 8),
        fees_quote=round(fees, 8),
        funding_quote=round(funding, 8),
        reasons=intent.reasons,
        fills=tuple(TradeFill(fill.filled_at, spec.leg.name.lower(), fill.price, fill.qty) for spec, fill in fills),
        stops=tuple(stops),
    )


def _averaged(fills: Sequence[Fill]) -> tuple[Decimal, Decimal]:
    """(contracts, average price); zeros for none."""
    qty = sum((fill.qty for fill in fills), ZERO)
    return qty, sum((fill.price * fill.qty for fill in fills), ZERO) / qty if qty else ZERO


def _summary_of(replayed: Replayed, trades: Sequence[Trade]) -> Summary:
    candles, events, halt = replayed.candles, replayed.events, replayed.halt
    decisions = [event for event in events if isinstance(event, Decided)]
    signals = [decision for decision in decisions if decision.side is not None]
    approved = sum(isinstance(event, IntentApproved) for event in events)
    closed = [trade for trade in trades if trade.closed_at is not None]
    total_r = sum((trade.r for trade in trades), ZERO)
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
        total_r=total_r,
        mean_r=round(total_r / len(trades), 4) if trades else ZERO,
        realised_quote=sum((trade.realised_quote for trade in trades), ZERO),
        fees_quote=sum((trade.fees_quote for trade in trades), ZERO),
        funding_quote=sum((trade.funding_quote for trade in trades), ZERO),
        start_equity_quote=replayed.start_equity,
        end_equity_quote=round(replayed.end_equity, 8),
        max_drawdown_pct=round(replayed.worst_drawdown_pct, 4),
        halted=f"{short_time(halt.at)}: {halt.reason}" if halt.halted else None,
    )


def _denial(decision: Decided) -> str:
    """The code in the last of its reasons, "denied <code>: <words>"."""
    return decision.reasons[-1].removeprefix("denied ").partition(":")[0]


TRADE_HEADS = ("opened", "closed", "side", "qty", "entry", "exit", "by", "R", "realised", "fees", "reasons")


def as_text(report: Report) -> str:
    rows = [_row(trade) for trade in report.trades]
    listed = table(TRADE_HEADS, rows) if rows else "no trade"
    assumed = "\n".join(f"assumed: {each}" for each in assumptions(report.costs))
    return "\n\n".join((listed, "\n".join(_summary_lines(report.summary)), _missing(report.decisions), assumed))


def _row(trade: Trade) -> tuple[object, ...]:
    exits = " ".join(trade.exits) if trade.closed_at else " ".join((*trade.exits, "(open)"))
    return (
        trade.opened_at, trade.closed_at, trade.side, trade.qty, seven(trade.entry_price), seven(trade.exit_price),
        exits, f"{trade.r:+.2f}", f"{trade.realised_quote:+.2f}", f"{trade.fees_quote:.2f}", "; ".join(trade.reasons),
    )  # fmt: skip


def seven(price: Decimal | None) -> Decimal | None:
    """An average price, to seven digits."""
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
        f"result    {s.total_r:+.2f} R, realised {s.realised_quote:+.2f} after {s.fees_quote:.2f} of fees and"
        f" {s.funding_quote:.2f} of funding",
        f"equity    {s.start_equity_quote:.2f} to {s.end_equity_quote:.2f}, max drawdown {s.max_drawdown_pct:.2f} %",
        f"halted    {s.halted or 'no'}",
    ]


def _missing(decisions: dict[Code, int]) -> str:
    """What stood at the end of each candle, most frequent first."""
    return "\n".join(f"{count:>9}  {code.words}" for code, count in decisions.items())


def as_data(report: Report) -> dict[str, Any]:
    """Plain JSON values under the field names; decimals as text, times as ISO 8601. Without the equity points."""
    return {
        "summary": _plain(report.summary),
        "trades": [_plain(trade) for trade in report.trades],
        "decisions": {code.value: count for code, count in report.decisions.items()},
        "costs": _plain(report.costs),
        "parameters": report.fingerprint,
        "assumptions": list(assumptions(report.costs)),
    }


def as_file(report: Report) -> dict[str, Any]:
    """The same with each point at which equity changed: [time, quote]."""
    return {**as_data(report), "equity": [[plain_json(at), plain_json(quote)] for at, quote in report.equity]}


def _plain(value: Any) -> dict[str, Any]:
    return {name: _plain_value(getattr(value, name)) for name in value.__dataclass_fields__}


def _plain_value(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain_value(each) for each in value]
    return _plain(value) if isinstance(value, TradeFill | TradeStop) else plain_json(value)

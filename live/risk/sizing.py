"""How many contracts at most: every cap as a straight line in the size, so that each names its numbers. [P]"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from live.model import Denied, Instrument, Signal, Target
from live.position import Position
from live.risk.proposal import ZERO, Proposal, shown
from live.settings import Settings

DEFAULT_SHARES = Settings().live_target_shares


@dataclass(frozen=True, slots=True)
class Cap:
    """A limit on the size. used before, taken by each contract, and limit, all in unit; taken is above zero."""

    code: str
    what: str
    used: Decimal
    taken: Decimal
    limit: Decimal
    unit: str

    @property
    def most_qty(self) -> Decimal:
        """Contracts that still fit; not rounded, below zero where the limit is passed already."""
        return (self.limit - self.used) / self.taken

    def measured(self, qty: Decimal) -> Decimal:
        return self.used + qty * self.taken


def affordable_qty(proposal: Proposal) -> Decimal | Denied:
    """The most contracts that break no cap, in the venue's steps; a denial where even its smallest order breaks one.

    proposal: one that no gate denies, so its prices and its distance are above zero.
    """
    tightest = min(caps(proposal), key=lambda cap: cap.most_qty)
    qty, smallest = proposal.instrument.round_qty_down(max(tightest.most_qty, ZERO)), _smallest_qty(proposal.instrument)
    if qty >= smallest:
        return qty
    what = f"with the venue's smallest order ({smallest} contracts) {tightest.what}"
    return proposal.beyond(tightest.code, what, tightest.measured(smallest), tightest.limit, tightest.unit)


def caps(proposal: Proposal) -> list[Cap]:
    """Every cap on the size. Effective leverage is the notional of everything, told in % of equity."""
    p, settings = proposal, proposal.settings
    contract = p.instrument.notional_quote(Decimal(1), p.entry)
    held = sum((committed_notional(position) for position in p.book.open_positions()), ZERO)
    notional = [
        _equity_cap(
            "position-notional", "the position comes to", ZERO, contract, settings.risk_max_position_notional_pct, p
        ),
        _equity_cap("notional", "all positions come to", held, contract, settings.risk_max_notional_pct, p),
    ]
    largest = max(min(cap.most_qty for cap in notional), ZERO) * contract
    level = p.instrument.margin_at(largest)
    # a stop loses more than its distance: its slippage, and the fees of both sides
    loss = p.instrument.notional_quote(Decimal(1), p.distance + p.cost)
    return [
        _equity_cap("risk-per-trade", "the loss at the stop is", ZERO, loss, settings.risk_per_trade_pct, p),
        Cap("loss-per-trade", "the loss at the stop is", ZERO, loss, settings.risk_max_loss_per_trade_quote, "quote"),
        *notional,
        _equity_cap(
            "margin", "margin bound is", max(p.account.used_quote, ZERO), contract * level.initial,
            settings.risk_max_margin_pct, p,
        ),
        _liquidation_cap(p, level.maintenance),
    ]  # fmt: skip


def _equity_cap(code: str, what: str, used: Decimal, taken: Decimal, limit: Decimal, p: Proposal) -> Cap:
    """used, taken: quote currency; limit: % of equity."""
    percent = 100 / p.account.equity_quote
    return Cap(code, what, used * percent, taken * percent, limit, "% of equity")


def _liquidation_cap(p: Proposal, maintenance: Decimal) -> Cap:
    """The estimated liquidation lies so far beyond the stop that the buffer is left of the way there from entry.

    Cross margin: the whole account is liquidated when its equity falls to the maintenance margin. So a move to where
    the buffer ends, and the maintenance margin of the position there, must fit into what is free today. What other
    positions bind counts with its initial margin, which is more than their maintenance.
    """
    buffer = p.settings.risk_min_liquidation_buffer_pct / 100
    reached = max(p.entry - p.sign * p.distance / (1 - buffer), ZERO)
    need = p.instrument.notional_quote(Decimal(1), p.sign * (p.entry - reached) + maintenance * reached)
    free = min(p.account.available_quote, p.account.equity_quote)
    what = f"a move to {shown(reached)}, short of liquidation, takes"
    return Cap("liquidation", what, ZERO, need, free, "quote of what is free")


def committed_notional(position: Position) -> Decimal:
    """What a position holds or may come to hold, at its entry price: orders in flight count as exposure (I6)."""
    entries = [order for order in position.orders.values() if order.is_working and not order.spec.reduce_only]
    pending = sum((order.remaining_qty * (order.spec.limit_price or ZERO) for order in entries), ZERO)
    return (position.qty * position.average_entry_price + pending) * position.contract_size


def _smallest_qty(instrument: Instrument) -> Decimal:
    """The venue's minimum in whole steps."""
    floor = instrument.round_qty_down(instrument.min_qty)
    return floor if floor == instrument.min_qty else floor + instrument.qty_step


def split_targets(
    signal: Signal, qty: Decimal, instrument: Instrument, shares: Sequence[Decimal] = DEFAULT_SHARES
) -> tuple[Target, ...]:
    """The signal's targets with contracts that add up to qty; a share too small to send goes to the next (I51, I53).

    With fewer targets than shares the first of them are used, in proportion.
    """
    prices = list(dict.fromkeys(instrument.round_price(price) for price in signal.targets))[: len(shares)]
    used = shares[: len(prices)]
    targets: list[Target] = []
    left = qty
    for price, share in zip(prices, used, strict=True):
        part = left if price == prices[-1] else min(instrument.round_qty_down(qty * share / sum(used)), left)
        if part < instrument.min_qty:
            continue
        targets.append(Target(price, part))
        left -= part
    return tuple(targets)

"""Signal + account + limits -> Intent or Denied, and when to halt. [P]

Every limit that is watched on open positions is also a gate on entries (I2), and is tighter there (I1, I13).
"""

from __future__ import annotations

from datetime import datetime

from live.book import Book
from live.model import Account, Denied, Instrument, Intent, Signal, Ticker
from live.risk.adoption import adopted_stop
from live.risk.gates import first_denial
from live.risk.halts import breaches
from live.risk.proposal import Proposal
from live.risk.sizing import affordable_qty, split_targets
from live.settings import Settings

__all__ = ["adopted_stop", "breaches", "size", "split_targets"]


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

    now: aware UTC. The size loses risk_per_trade_pct of equity when the stop fills, fees and slippage counted in, cut
    to every cap. A missing or implausible input denies: a limit without its input is closed, not open (I11).
    """
    proposal = Proposal(
        signal=signal, instrument=instrument, ticker=ticker, account=account, book=book, settings=settings, now=now
    )
    if denied := first_denial(proposal):
        return denied
    qty = affordable_qty(proposal)
    if isinstance(qty, Denied):
        return qty
    return Intent(
        position_id=position_id,
        symbol=signal.symbol,
        side=signal.side,
        qty=qty,
        entry_price=proposal.entry,
        stop_price=proposal.stop,
        targets=split_targets(signal, qty, instrument, settings.live_target_shares),
        risk_quote=instrument.notional_quote(qty, proposal.distance),
        decided_at=now,
        expires_at=signal.expires_at,
        reasons=signal.reasons,
        contract_size=instrument.contract_size,
    )

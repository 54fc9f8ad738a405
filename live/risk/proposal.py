"""A signal with everything that decides on it, and the shape of a denial. [P]"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Context, Decimal

from live.book import Book
from live.model import Account, Denied, Instrument, Signal, Ticker
from live.settings import Settings

ZERO = Decimal(0)
BPS = Decimal(10_000)
_SHOWN = Context(prec=6)  # digits that a person reads


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What is asked for and the state of the world, all of one moment. now: aware UTC."""

    signal: Signal
    instrument: Instrument
    ticker: Ticker
    account: Account
    book: Book
    settings: Settings
    now: datetime

    @property
    def sign(self) -> int:
        return self.signal.side.sign

    @property
    def entry(self) -> Decimal:
        return self.instrument.round_price(self.signal.entry_price)

    @property
    def stop(self) -> Decimal:
        return self.instrument.round_stop(self.signal.stop_price, self.signal.side)

    @property
    def distance(self) -> Decimal:
        """R of one base unit: quote currency from entry to stop; not above zero where the stop leaves no room."""
        return self.sign * (self.entry - self.stop)

    @property
    def cost(self) -> Decimal:
        """Fees of entry and stop and the stop's slippage, quote currency of one base unit. The entry may be a taker."""
        fee, slippage = self.settings.risk_taker_fee_bps / BPS, self.settings.risk_slippage_bps / BPS
        return fee * (self.entry + self.stop) + slippage * self.stop

    def denied(self, code: str, reason: str) -> Denied:
        """A denial by a state, which has no numbers."""
        return Denied(self.signal.symbol, code, reason)

    def beyond(self, code: str, what: str, measured: Decimal | float, limit: Decimal | float, unit: str) -> Denied:
        """A denial by a limit: `what` is measured, in unit, beyond it."""
        numbers = Decimal(measured), Decimal(limit)
        reason = f"{what} {shown(numbers[0])} {unit}, limit {shown(numbers[1])}"
        return Denied(self.signal.symbol, code, reason, *numbers, unit)


def shown(number: Decimal) -> str:
    """Six digits of it, never in powers of ten."""
    return f"{_SHOWN.plus(number).normalize(_SHOWN):f}"

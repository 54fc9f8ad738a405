"""What forbids an entry whatever its size: each gate reads the proposal and denies, or passes. [P]

A missing or implausible input denies: a limit without its input is closed, not open (I11).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

from live.model import Denied
from live.risk.proposal import BPS, ZERO, Proposal, shown

Gate = Callable[[Proposal], Denied | None]

IMPLAUSIBLE_FUNDING = Decimal("0.01")  # of the notional in one hour: such a rate was read in other units
IMPLAUSIBLE_PRICE = Decimal(10) ** 12
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def first_denial(proposal: Proposal) -> Denied | None:
    """The first gate's that is shut, the gravest first; None where all stand open."""
    return next((denied for gate in GATES if (denied := gate(proposal))), None)


# --- what we hold and have lost


def _losses(p: Proposal) -> Denied | None:
    """Both limits count open losses, and their marks outlive restarts (I12, W25)."""
    marks, settings = p.book.equity, p.settings
    if marks is None:
        return p.denied("no-equity", "equity was not observed yet, so no loss limit has an input")
    if p.account.equity_quote <= 0:
        return p.beyond("no-equity", "equity", p.account.equity_quote, ZERO, "quote")
    if (loss := marks.day_loss_pct) >= settings.risk_max_daily_loss_pct:
        return p.beyond("daily-loss", "daily loss, open losses counted:", loss, settings.risk_max_daily_loss_pct, "%")
    if (fallen := marks.drawdown_pct) >= settings.risk_max_drawdown_pct:
        return p.beyond("drawdown", "drawdown from the peak:", fallen, settings.risk_max_drawdown_pct, "%")
    return None


def _frozen(p: Proposal) -> Denied | None:
    reason = p.book.frozen.get(p.signal.symbol)
    return p.denied("frozen", reason) if reason is not None else None


def _in_position(p: Proposal) -> Denied | None:
    held = p.book.position_on(p.signal.symbol)
    if held is None:
        return None
    qty = held.qty or held.wanted_qty
    return p.beyond("in-position", "held or asked for already:", qty, ZERO, "contracts")


def _loss_streak(p: Proposal) -> Denied | None:
    last, pause = p.book.last_loss_at, p.settings.risk_loss_streak_pause_minutes
    if last is None or p.book.loss_streak < p.settings.risk_max_loss_streak or _passed(last, p.now, pause, MINUTE):
        return None
    what = f"until {last + _times(pause, MINUTE):%H:%M} UTC, losses in a row:"
    return p.beyond("loss-streak", what, p.book.loss_streak, p.settings.risk_max_loss_streak, "losses")


def _symbol_losses(p: Proposal) -> Denied | None:
    """The last losses of a symbol, when they came close together; the book keeps its last 200 closed positions."""
    most, pause = p.settings.risk_symbol_max_losses, p.settings.risk_symbol_loss_pause_hours
    lost = [each for each in p.book.positions.values() if each.symbol == p.signal.symbol and each.realised_quote < 0]
    times = sorted(each.closed_at for each in lost if each.closed_at is not None)[-most:]
    if len(times) < most or _passed(times[-1], p.now, pause, HOUR):
        return None
    if _passed(times[0], times[-1], p.settings.risk_symbol_loss_window_hours, HOUR):
        return None
    what = f"until {times[-1] + _times(pause, HOUR):%d %b %H:%M} UTC, recent losses on the symbol:"
    return p.beyond("symbol-losses", what, len(times), most, "losses")


def _cooldown(p: Proposal) -> Denied | None:
    closed_at, minutes = p.book.closed_at.get(p.signal.symbol), p.settings.risk_symbol_cooldown_minutes
    if closed_at is None or _passed(closed_at, p.now, minutes, MINUTE):
        return None
    return p.beyond("cooldown", "closed before", Decimal((p.now - closed_at) / MINUTE), minutes, "min")


def _max_positions(p: Proposal) -> Denied | None:
    count, limit = len(p.book.open_positions()), p.settings.risk_max_positions
    return p.beyond("max-positions", "open or asked for:", count, limit, "positions") if count >= limit else None


def _same_side(p: Proposal) -> Denied | None:
    """Perpetuals of one quote currency rise and fall together; a direction stands for the correlation."""
    side, limit = p.signal.side, p.settings.risk_max_same_side_positions
    count = sum(each.side is side for each in p.book.open_positions())
    return p.beyond("same-side", f"{side} already:", count, limit, "positions") if count >= limit else None


# --- what we are told


def _inputs(p: Proposal) -> Denied | None:
    t = p.ticker
    prices = (p.signal.entry_price, p.signal.stop_price, t.mark_price, t.bid_price, t.ask_price)
    if {p.instrument.symbol, t.symbol} != {p.signal.symbol}:
        return p.denied("wrong-input", f"instrument {p.instrument.symbol}, ticker {t.symbol}")
    if not all(price.is_finite() and 0 < price < IMPLAUSIBLE_PRICE for price in prices) or min(p.entry, p.stop) <= 0:
        return p.denied("wrong-input", f"a price cannot be true: {', '.join(map(str, prices))}")
    if not (p.account.equity_quote.is_finite() and p.account.available_quote.is_finite()):
        return p.denied("wrong-input", f"equity {p.account.equity_quote}, available {p.account.available_quote}")
    if t.bid_price > t.ask_price:
        return p.denied("wrong-input", f"bid {t.bid_price} above ask {t.ask_price}")
    if t.funding_rate_hourly is not None and abs(t.funding_rate_hourly) > IMPLAUSIBLE_FUNDING:
        return p.denied("wrong-input", f"funding of {shown(t.funding_rate_hourly * 100)} % an hour is implausible")
    return None


def _suspended(p: Proposal) -> Denied | None:
    return p.denied("suspended", "the venue has suspended trading in it") if p.ticker.suspended else None


def _data_age(p: Proposal) -> Denied | None:
    """Price and balance as old as we know them: since read, and for a quote how old it was then by the venue's clock.

    A time ahead of now by as much is as wrong.
    """
    quoted_at = p.ticker.quoted_at or p.ticker.read_at
    ages = {"price": p.now - p.ticker.read_at, "balance": p.now - p.account.read_at}
    ages["quote when it was read"] = p.ticker.read_at - quoted_at
    what, age = max(ages.items(), key=lambda each: abs(each[1]))
    limit = p.settings.risk_max_data_age_seconds
    seconds = abs(age).total_seconds()
    return p.beyond("data-age", f"age of the {what}", seconds, limit, "s") if seconds > limit else None


def _expired(p: Proposal) -> Denied | None:
    if p.now < p.signal.expires_at:
        return None
    age, life = p.now - p.signal.known_at, p.signal.expires_at - p.signal.known_at
    return p.beyond("expired", "age of the signal", age.total_seconds(), life.total_seconds(), "s")


# --- what the market asks for it


def _spread(p: Proposal) -> Denied | None:
    bid, ask = p.ticker.bid_price, p.ticker.ask_price
    spread, limit = (ask - bid) / (ask + bid) * 2 * BPS, p.settings.risk_max_spread_bps
    return p.beyond("spread", "spread", spread, limit, "bps") if spread > limit else None


def _mark_apart(p: Proposal) -> Denied | None:
    """Entries fill by the book and stops trigger by the mark: a gap between them is not in the stop's distance."""
    mark, limit = p.ticker.mark_price, p.settings.risk_max_mark_deviation_pct
    gap = max(p.ticker.bid_price - mark, mark - p.ticker.ask_price, ZERO) / mark * 100
    return p.beyond("mark-apart", "mark outside bid and ask by", gap, limit, "%") if gap > limit else None


def _stop_room(p: Proposal) -> Denied | None:
    if p.distance <= 0:
        return p.beyond("stop-distance", f"room from entry {p.entry} to stop {p.stop}:", p.distance, ZERO, "quote")
    if p.sign * (p.ticker.mark_price - p.stop) <= 0:
        return p.beyond("stop-crossed", "mark at or beyond the stop:", p.ticker.mark_price, p.stop, "quote")
    return None


def _cost(p: Proposal) -> Denied | None:
    share, limit = p.cost / p.distance, p.settings.risk_max_cost_r
    return p.beyond("cost", "fees and slippage", share, limit, "R") if share > limit else None


def _funding(p: Proposal) -> Denied | None:
    """Funding to be paid while the position is expected to last; what it would earn us counts for nothing."""
    told, assumed = p.ticker.funding_rate_hourly, p.settings.risk_assumed_funding_bps_8h / BPS / 8
    hourly = assumed if told is None else p.sign * told
    share = hourly * p.settings.risk_expected_holding_hours * p.entry / p.distance
    limit = p.settings.risk_max_funding_r
    return p.beyond("funding", "funding over the expected holding", share, limit, "R") if share > limit else None


GATES: tuple[Gate, ...] = (
    _frozen,
    _inputs,
    _losses,
    _in_position,
    _loss_streak,
    _symbol_losses,
    _cooldown,
    _max_positions,
    _same_side,
    _suspended,
    _data_age,
    _expired,
    _spread,
    _mark_apart,
    _stop_room,
    _cost,
    _funding,
)


def _times(count: Decimal, unit: timedelta) -> timedelta:
    return float(count) * unit


def _passed(begin: datetime, now: datetime, count: Decimal, unit: timedelta) -> bool:
    return now - begin >= _times(count, unit)

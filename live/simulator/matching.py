"""The venue's rules: what becomes of an order, when it fills, what it costs, what the account is worth. [P]

No I/O and no clock: every call is given `now`, which must not go back. Model, where Kraken's documents leave a choice:
- The book is one bid and one ask around the price. An order that crosses it on arrival executes at once at the best
  price (taker); a resting order executes at its own price (maker) once the last price reaches or passes it, or where
  fills_on_touch is off, only once it passes it: nobody knows how many orders stood before ours in the queue.
- A market order is immediate-or-cancel within 1 % of the best price (Kraken's price protection); what finds no
  liquidity is cancelled.
- Reduce-only, as Kraken's "Other order options" page describes it: refused when nothing can be reduced; a bigger one
  is cut to the position; resting ones never exceed the position in sum, and when it shrinks the least aggressive are
  cut or cancelled first. Waiting stops and take-profits are not in the book, do not count and stay: they are cut, or
  cancelled as would_not_reduce_position, when their price comes.
- A client order id that was ever placed is taken for good; one of a refused request is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from live.model import OrderSide
from live.simulator.accounts import Account, by_priority, has_come, move_position, note_protection
from live.simulator.orders import (
    ZERO,
    Contract,
    Execution,
    NewOrder,
    Order,
    OrderEvent,
    OrderKind,
    OrderStatus,
    Position,
    Quote,
    Verdict,
)

CLIENT_ORDER_ID_MAX = 100
MARKET_PROTECTION = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Fees:
    """Fractions of the notional."""

    taker: Decimal = Decimal("0.0005")
    maker: Decimal = Decimal("0.0002")


@dataclass(frozen=True, slots=True)
class Margin:
    """The account's money in quote currency. available: what new exposure may use as initial margin."""

    balance: Decimal
    unrealised: Decimal
    equity: Decimal
    initial: Decimal
    initial_with_orders: Decimal
    available: Decimal


class Venue:
    """All accounts over one market. balances: opening collateral in quote currency by account name.

    id_seed makes ids: the same calls with the same seed give the same ids, another seed gives none of them again.
    """

    def __init__(
        self,
        contracts: Iterable[Contract],
        *,
        balances: Mapping[str, Decimal],
        id_seed: str = "",
        fees: Fees | None = None,
        fills_on_touch: bool = True,
    ) -> None:
        self.contracts = {contract.venue_id: contract for contract in contracts}
        self.accounts = {name: Account(name, cash) for name, cash in balances.items()}
        self.quotes: dict[str, Quote] = {}
        self.fees = fees or Fees()
        self._fills_on_touch = fills_on_touch
        self._id_seed = id_seed
        self._ids_given = 0
        self._taken: dict[str, Decimal] = {}

    # --- the market moves ---------------------------------------------------------------------------------------

    def tick(self, venue_id: str, quote: Quote, now: datetime) -> None:
        """A new quote: fires conditional orders, fills resting ones, and gives the book its liquidity back."""
        self.advance(now)
        self.quotes[venue_id] = quote
        self._taken[venue_id] = ZERO
        for account in self.accounts.values():
            for order in account.open_orders(venue_id):
                self._fire(account, order, now)
            for order in by_priority(account.open_orders(venue_id)):
                self._match_resting(account, order, quote, now)

    def advance(self, now: datetime) -> None:
        """Let time pass: a dead-man switch whose time has come cancels everything of its account."""
        for account in self.accounts.values():
            if account.dead_man_at is not None and now >= account.dead_man_at:
                account.dead_man_at = None
                for order in account.open_orders():
                    self._close(account, order, now, reason="dead_man_switch")

    # --- what a customer may ask ----------------------------------------------------------------------------------

    def submit(self, account_name: str, new: NewOrder, now: datetime) -> Verdict:
        """Raises KeyError for an unknown account or contract: the wire answers those before."""
        self.advance(now)
        account, contract = self.accounts[account_name], self.contracts[new.venue_id]
        began = len(account.events)
        order = self._order_from(account, new, now)
        if reason := self._refusal(account, contract, new, order, now):
            if reason != "wouldProcessAfterSpecifiedTime":  # never reached the engine: leaves no trace in the history
                self._record(account, "rejected", order, reason, now)
            return Verdict(reason, order, tuple(account.events[began:]))
        account.orders[order.order_id] = order
        account.open_ids[order.order_id] = None
        if new.client_order_id is not None:
            account.client_ids[new.client_order_id] = order.order_id
        self._record(account, "placed", order, "new_user_order", now)
        note_protection(account, new.venue_id, now)
        if order.is_waiting:
            self._fire(account, order, now)
        else:
            self._take(account, order, now)
        return self._verdict_on_submit(account, order.order_id, began)

    def cancel(
        self,
        account_name: str,
        now: datetime,
        *,
        order_id: str | None = None,
        client_order_id: str | None = None,
        reason: str = "cancelled_by_user",
    ) -> Verdict:
        """`filled` and `notFound` are refusals that mean opposite things; a cancelled order is notFound."""
        self.advance(now)
        account = self.accounts[account_name]
        order = account.find(order_id, client_order_id)
        if order is None or order.status is OrderStatus.CANCELLED:
            return Verdict("notFound", order)
        if order.status is OrderStatus.FILLED:
            return Verdict("filled", order)
        began = len(account.events)
        self._close(account, order, now, reason=reason)
        return Verdict("cancelled", account.orders[order.order_id], tuple(account.events[began:]))

    def cancel_all(self, account_name: str, now: datetime, *, venue_id: str | None = None) -> list[OrderEvent]:
        self.advance(now)
        account = self.accounts[account_name]
        began = len(account.events)
        for order in account.open_orders(venue_id):
            self._close(account, order, now, reason="cancelled_by_user")
        return account.events[began:]

    def edit(
        self,
        account_name: str,
        now: datetime,
        *,
        order_id: str | None = None,
        client_order_id: str | None = None,
        qty: Decimal | None = None,
        limit_price: Decimal | None = None,
        stop_price: Decimal | None = None,
        expires_at: datetime | None = None,
    ) -> Verdict:
        """Change an open order in place; qty is the new total, what has filled included."""
        self.advance(now)
        if expires_at is not None and now > expires_at:
            return Verdict("wouldProcessAfterSpecifiedTime")
        account = self.accounts[account_name]
        order = account.find(order_id, client_order_id)
        if order is None or not order.is_open:
            return Verdict("orderForEditNotFound", order)
        if stop_price is not None and not order.is_waiting:
            return Verdict("orderForEditNotAStop", order)
        contract = self.contracts[order.venue_id]
        if qty is not None and (not contract.on_step(qty) or qty <= order.filled):
            return Verdict("invalidSize", order)
        if any(price is not None and not contract.on_tick(price) for price in (limit_price, stop_price)):
            return Verdict("invalidPrice", order)
        return self._edited(account, order, now, qty=qty, limit_price=limit_price, stop_price=stop_price)

    def arm_dead_man(self, account_name: str, timeout_seconds: int, now: datetime) -> datetime | None:
        """When everything will be cancelled unless armed again; 0 seconds disarms and gives None."""
        self.advance(now)
        account = self.accounts[account_name]
        account.dead_man_at = now + timedelta(seconds=timeout_seconds) if timeout_seconds else None
        return account.dead_man_at

    # --- what the venue or a person at its web page may do --------------------------------------------------------

    def fill_by_hand(self, account_name: str, order: Order, qty: Decimal, price: Decimal, now: datetime) -> None:
        """Execute an open order at a price of our choosing, as maker; qty is capped as any fill is."""
        self._fill(self.accounts[account_name], order, qty, price, is_maker=True, now=now)

    def trade_by_hand(
        self, account_name: str, venue_id: str, side: OrderSide, qty: Decimal, price: Decimal, now: datetime
    ) -> Order:
        """A market order from the venue's own web page: no client order id, no margin check, filled at `price`."""
        account = self.accounts[account_name]
        order = self._order_from(account, NewOrder(venue_id, side, OrderKind.MARKET, qty), now)
        account.orders[order.order_id] = order
        account.open_ids[order.order_id] = None
        self._record(account, "placed", order, "new_user_order", now)
        self._fill(account, order, qty, price, is_maker=False, now=now)
        return account.orders[order.order_id]

    # --- reading ------------------------------------------------------------------------------------------------

    def margin(self, account_name: str) -> Margin:
        account = self.accounts[account_name]
        unrealised = sum((self.unrealised(position) for position in account.positions.values()), ZERO)
        held = sum(
            (
                self.contracts[p.venue_id].margin_quote(p.qty, self.quotes[p.venue_id].mark)
                for p in account.positions.values()
            ),
            ZERO,
        )
        asked = sum((self._margin_asked(account, order) for order in account.open_orders()), ZERO)
        equity = account.cash + unrealised
        return Margin(account.cash, unrealised, equity, held, held + asked, equity - held - asked)

    def unrealised(self, position: Position) -> Decimal:
        """Open profit or loss at the mark price, quote currency."""
        mark = self.quotes[position.venue_id].mark
        return position.qty * (mark - position.entry_price) * self.contracts[position.venue_id].contract_size

    # --- rules --------------------------------------------------------------------------------------------------

    def _refusal(self, account: Account, contract: Contract, new: NewOrder, order: Order, now: datetime) -> str | None:
        """The first rule that the request breaks, in Kraken's word, or None."""
        rules: tuple[tuple[str, Callable[[], bool]], ...] = (
            ("wouldProcessAfterSpecifiedTime", lambda: new.expires_at is not None and now > new.expires_at),
            ("clientOrderIdTooLong", lambda: len(new.client_order_id or "") > CLIENT_ORDER_ID_MAX),
            ("clientOrderIdAlreadyExist", lambda: new.client_order_id in account.client_ids),
            ("invalidSize", lambda: not contract.on_step(new.qty)),
            ("invalidPrice", lambda: not _prices_fit(contract, new)),
            ("marketInactive", lambda: new.venue_id not in self.quotes),
            ("wouldNotReducePosition", lambda: new.reduce_only and order.qty <= 0),
            ("postWouldExecute", lambda: new.kind is OrderKind.POST and self._crosses(order)),
            ("iocWouldNotExecute", lambda: new.kind is OrderKind.IOC and not self._crosses(order)),
            ("insufficientAvailableFunds", lambda: self._too_big(account, order)),
        )
        return next((name for name, broken in rules if broken()), None)

    def _too_big(self, account: Account, order: Order) -> bool:
        asked = self._margin_asked(account, order)
        return asked > 0 and asked > self.margin(account.name).available

    def _margin_asked(self, account: Account, order: Order) -> Decimal:
        """Initial margin that the order would need; only what enlarges the exposure needs any."""
        if order.reduce_only:
            return ZERO
        quote = self.quotes[order.venue_id]
        enlarging = max(ZERO, order.remaining - account.reducible(order.venue_id, order.side))
        price = order.limit_price or order.stop_price or (quote.ask if order.side is OrderSide.BUY else quote.bid)
        return self.contracts[order.venue_id].margin_quote(enlarging, price)

    def _crosses(self, order: Order) -> bool:
        """Whether the order would execute against the book at once."""
        quote = self.quotes[order.venue_id]
        if order.limit_price is None:
            return True
        return order.limit_price >= quote.ask if order.side is OrderSide.BUY else order.limit_price <= quote.bid

    def _order_from(self, account: Account, new: NewOrder, now: datetime) -> Order:
        """The order as it would stand, a reduce-only one cut to what it can reduce (possibly to nothing)."""
        qty = new.qty
        if new.reduce_only and qty > 0:
            qty = min(qty, self._room(account, new))
        return Order(
            order_id=self._next_id("order"),
            client_order_id=new.client_order_id,
            venue_id=new.venue_id,
            side=new.side,
            kind=new.kind,
            qty=qty,
            limit_price=None if new.kind is OrderKind.MARKET else new.limit_price,
            stop_price=new.stop_price if new.kind.is_conditional else None,
            signal=new.signal,
            reduce_only=new.reduce_only,
            placed_at=now,
            updated_at=now,
            reduced_qty=new.qty - qty,
            first_fill_fraction=new.first_fill_fraction,
        )

    def _room(self, account: Account, new: NewOrder) -> Decimal:
        """How much a new reduce-only order may have."""
        reducible = account.reducible(new.venue_id, new.side)
        if new.kind.is_conditional:
            return new.qty if reducible else ZERO
        if new.kind in (OrderKind.MARKET, OrderKind.IOC):
            return reducible
        resting = sum((order.remaining for order in account.resting_reduce_only(new.venue_id)), ZERO)
        return max(ZERO, reducible - resting)

    # --- executions -----------------------------------------------------------------------------------------------

    def _fire(self, account: Account, order: Order, now: datetime) -> None:
        """Activate a conditional order whose price has come."""
        order = account.orders[order.order_id]
        if not order.is_waiting or not has_come(order, self.quotes[order.venue_id]):
            return
        if order.reduce_only and not account.reducible(order.venue_id, order.side):
            self._close(account, order, now, reason="would_not_reduce_position")
            return
        fired = replace(order, triggered=True, updated_at=now)
        account.orders[order.order_id] = fired
        self._record(account, "activated", fired, "stop_order_triggered", now, before=order)
        self._take(account, fired, now)

    def _take(self, account: Account, order: Order, now: datetime) -> None:
        """Let an arriving or activated order take what it can; the rest stays in the book or is cancelled."""
        quote = self.quotes[order.venue_id]
        if self._crosses(order):
            best = quote.ask if order.side is OrderSide.BUY else quote.bid
            self._fill(account, order, self._liquid(order), best, is_maker=False, now=now)
        order = account.orders[order.order_id]
        if order.is_open and not order.rests:
            self._close(account, order, now, reason="ioc_order_failed_because_it_would_not_be_executed")
        elif order.is_open and order.reduce_only:
            self._trim_reduce_only(account, order.venue_id, now)

    def _match_resting(self, account: Account, order: Order, quote: Quote, now: datetime) -> None:
        order = account.orders[order.order_id]
        if not order.is_resting or order.limit_price is None:
            return
        beyond = (order.limit_price - quote.last) * (1 if order.side is OrderSide.BUY else -1)
        if beyond > 0 or (beyond == 0 and self._fills_on_touch):
            self._fill(account, order, self._liquid(order), order.limit_price, is_maker=True, now=now)

    def _liquid(self, order: Order) -> Decimal:
        """How much of the order the market takes now."""
        contract, qty = self.contracts[order.venue_id], order.remaining
        if contract.liquidity is not None:
            qty = min(qty, contract.liquidity - self._taken.get(order.venue_id, ZERO))
        if order.first_fill_fraction is not None and order.filled == 0:
            qty = min(qty, max(contract.step_down(order.qty * order.first_fill_fraction), contract.qty_step))
        return qty

    def _fill(
        self, account: Account, order: Order, qty: Decimal, price: Decimal, *, is_maker: bool, now: datetime
    ) -> None:
        """Execute up to qty: never beyond the order, and for reduce-only never beyond the position."""
        qty = min(qty, order.remaining)
        if order.reduce_only:
            qty = min(qty, account.reducible(order.venue_id, order.side))
        if qty <= 0:
            return
        contract = self.contracts[order.venue_id]
        rate = self.fees.maker if is_maker else self.fees.taker
        fee = qty * price * contract.contract_size * rate
        mark = self.quotes[order.venue_id].mark
        execution = Execution(self._next_id("fill"), order, qty, price, mark, fee, is_maker, now)
        filled = order.filled + qty
        status = OrderStatus.FILLED if filled == order.qty else OrderStatus.PARTIALLY_FILLED
        after = replace(order, filled=filled, status=status, updated_at=now)
        self._taken[order.venue_id] = self._taken.get(order.venue_id, ZERO) + qty
        account.orders[order.order_id] = after
        account.executions.append(execution)
        account.cash -= fee
        account.fees += fee
        move_position(account, execution, contract)
        reason = "full_fill" if status is OrderStatus.FILLED else "partial_fill"
        self._record(account, "executed", after, reason, now, before=order, execution=execution)
        self._trim_reduce_only(account, order.venue_id, now)
        self._settle(account, after)
        note_protection(account, order.venue_id, now)

    def _trim_reduce_only(self, account: Account, venue_id: str, now: datetime) -> None:
        """Cut resting reduce-only orders, the least aggressive first, until together they fit the position."""
        resting = account.resting_reduce_only(venue_id)
        for order in reversed(by_priority(resting)):
            others = sum((o.remaining for o in account.resting_reduce_only(venue_id) if o.side is order.side), ZERO)
            excess = others - account.reducible(venue_id, order.side)
            if excess <= 0:
                continue
            if excess >= order.remaining:
                self._close(account, order, now, reason="would_not_reduce_position")
            else:
                cut = replace(order, qty=order.qty - excess, reduced_qty=order.reduced_qty + excess, updated_at=now)
                account.orders[order.order_id] = cut
                self._record(account, "updated", cut, "position_reduced", now, before=order)

    def _close(self, account: Account, order: Order, now: datetime, *, reason: str) -> None:
        """Cancel what is left of an order."""
        cancelled = replace(order, status=OrderStatus.CANCELLED, updated_at=now)
        account.orders[order.order_id] = cancelled
        self._settle(account, cancelled)
        self._record(account, "cancelled", cancelled, reason, now, before=order)
        note_protection(account, order.venue_id, now)

    def _edited(self, account: Account, order: Order, now: datetime, **changes: Decimal | None) -> Verdict:
        wanted: dict[str, Any] = {name: value for name, value in changes.items() if value is not None}
        began = len(account.events)
        after = replace(order, updated_at=now, **wanted)
        account.orders[order.order_id] = after
        if self._too_big(account, after):
            account.orders[order.order_id] = order
            return Verdict("insufficientAvailableFunds", order)
        self._record(account, "updated", after, "edited_by_user", now, before=order)
        note_protection(account, order.venue_id, now)
        if after.is_waiting:
            self._fire(account, after, now)
        else:
            self._take(account, after, now)
        return Verdict("edited", account.orders[order.order_id], tuple(account.events[began:]))

    # --- book-keeping ---------------------------------------------------------------------------------------------

    def _verdict_on_submit(self, account: Account, order_id: str, began: int) -> Verdict:
        order = account.orders[order_id]
        killed = order.status is OrderStatus.CANCELLED and order.filled == 0 and not order.triggered
        return Verdict("iocWouldNotExecute" if killed else "placed", order, tuple(account.events[began:]))

    def _settle(self, account: Account, order: Order) -> None:
        if not order.is_open:
            account.open_ids.pop(order.order_id, None)

    def _record(
        self,
        account: Account,
        kind: str,
        order: Order,
        reason: str,
        now: datetime,
        *,
        before: Order | None = None,
        execution: Execution | None = None,
    ) -> None:
        account.events.append(OrderEvent(self._next_id("event"), now, kind, order, reason, before, execution))

    def _next_id(self, what: str) -> str:
        self._ids_given += 1
        return str(uuid5(NAMESPACE_URL, f"{self._id_seed}/{what}/{self._ids_given}"))


def _prices_fit(contract: Contract, new: NewOrder) -> bool:
    """Every price that the order's kind needs is there, positive and on the tick."""
    if new.kind is OrderKind.MARKET:
        return True
    if new.kind.is_conditional:
        needed = [new.stop_price] if new.limit_price is None else [new.stop_price, new.limit_price]
    else:
        needed = [new.limit_price]
    return all(price is not None and contract.on_tick(price) for price in needed)

"""What must hold once the faults have stopped and the worker has had some ticks; each broken rule is one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

from live.book import Book, fold
from live.events import ExternalFill, Filled, IntentApproved, OrderIntended, decode
from live.live_trading import LiveTrading
from live.model import Leg, OrderSide
from live.order_id import parse
from live.position import IllegalTransition, Phase
from live.reconcile import FOREIGN
from live.simulator.orders import Order, OrderKind
from tests.simulation.stage import INSTRUMENTS, Stage

NAKED_SLACK_SECONDS = 40.0  # the bound ends in an exit; its request may be lost and looked up, twice
EQUITY_SLACK_PCT = 3  # the limit is checked against the equity of the last look


def broken(stage: Stage) -> list[str]:
    """Every rule that does not hold now; [] when all do."""
    worker = stage.worker
    if worker is None:
        return [*stage.found, "no worker could boot"]
    return [
        *stage.found,
        *_requests(stage),
        *_fills(stage),
        *_book_beside_venue(stage, worker.book),
        *_protection(stage, worker.book),
        *_journal(stage, worker),
        *_exposure(stage),
    ]


def _requests(stage: Stage) -> Iterator[str]:
    arrivals = stage.venue.arrivals
    for cid, times in Counter(each.spec.client_order_id for each in arrivals).items():
        if times > 1:
            yield f"{cid} arrived {times} times"
    taken = [parse(each.spec.client_order_id) for each in arrivals if each.refused is None]
    epochs = [named.epoch for named in taken if named]
    if epochs != sorted(epochs):
        yield f"epochs went back at the venue: {epochs}"
    events = [decode(row.payload) for _, row in stage.store.rows]
    signal_of = {e.intent.position_id: e.intent.reasons[0] for e in events if isinstance(e, IntentApproved)}
    entries = [e.spec for e in events if isinstance(e, OrderIntended) and e.spec.leg is Leg.ENTRY]
    for signal, times in Counter(signal_of[entry.position_id] for entry in entries).items():
        if times > 1:
            yield f"signal {signal} was entered {times} times"
    written = {e.spec.client_order_id for e in events if isinstance(e, OrderIntended)}
    for each in arrivals:
        if each.spec.client_order_id not in written:
            yield f"{each.spec.client_order_id} was sent and never written down"


def _fills(stage: Stage) -> Iterator[str]:
    ours = {e.fill_id for e in stage.venue.book.executions if parse(e.order.client_order_id)}
    events = [decode(row.payload) for _, row in stage.store.rows]
    recorded = Counter(e.fill.fill_id for e in events if isinstance(e, Filled | ExternalFill))
    if lost := ours - recorded.keys():  # one that names nobody, of an order the venue kept silent about, is external
        yield f"fills lost: {sorted(lost)}"
    if invented := {e.fill.fill_id for e in events if isinstance(e, Filled)} - ours:
        yield f"fills taken for ours: {sorted(invented)}"
    if doubled := [fill_id for fill_id, times in recorded.items() if times > 1]:
        yield f"fills recorded twice: {doubled}"


def _signed(book: Book, symbol: str) -> Decimal:
    held = (p for p in book.open_positions() if p.symbol == symbol)
    return sum((p.side.sign * p.qty for p in held), Decimal(0))


def _book_beside_venue(stage: Stage, book: Book) -> Iterator[str]:
    for symbol, instrument in INSTRUMENTS.items():
        held = stage.venue.book.positions.get(instrument.venue_id)
        theirs, ours = (held.qty if held else Decimal(0)), _signed(book, symbol)
        if ours != theirs and not _is_left_alone(book, symbol):
            yield f"{symbol}: book {ours}, venue {theirs}"
        if len([p for p in book.open_positions() if p.symbol == symbol]) > 1:
            yield f"{symbol}: two open positions in the book"
        yield from _orders_beside_venue(stage, book, symbol, instrument.venue_id)
    for order in book.working_orders():
        if order.is_unresolved:
            yield f"{order.spec.client_order_id} is undecided"


def _is_left_alone(book: Book, symbol: str) -> bool:
    """A person's position under the freeze policy: seen, frozen, not ours."""
    return book.frozen.get(symbol, "").startswith(FOREIGN) and _signed(book, symbol) == 0


def _orders_beside_venue(stage: Stage, book: Book, symbol: str, venue_id: str) -> Iterator[str]:
    theirs = {order.client_order_id for order in stage.venue.book.open_orders(venue_id)}
    ours = {o.spec.client_order_id for o in book.working_orders() if o.spec.symbol == symbol}
    if theirs - ours:
        yield f"{symbol}: rests at the venue, not in the book: {sorted(map(str, theirs - ours))}"
    if ours - theirs:
        yield f"{symbol}: works in the book, not at the venue: {sorted(ours - theirs)}"
    for position in book.open_positions():
        if position.symbol == symbol and position.phase is Phase.CLEARING:
            yield f"{symbol}: still clearing {position.id}"


def _protection(stage: Stage, book: Book) -> Iterator[str]:
    for symbol, instrument in INSTRUMENTS.items():
        orders = stage.venue.book.open_orders(instrument.venue_id)
        held = stage.venue.book.positions.get(instrument.venue_id)
        stops = [order for order in orders if order.kind is OrderKind.STOP]
        wanted = [_stop_of(held.qty)] if held else []
        found = [(order.side, order.remaining, order.reduce_only) for order in stops]
        if found != wanted and not _is_left_alone(book, symbol):
            yield f"{symbol}: stops {found}, wanted {wanted}"
        if any(not order.reduce_only and _reduces(order, held.qty) for order in orders if held):
            yield f"{symbol}: an order against the position is not reduce-only"
    bound = stage.settings.live_naked_bound_seconds + NAKED_SLACK_SECONDS
    if stage.naked_seconds_max > bound:
        yield f"naked for {stage.naked_seconds_max:.1f} s under a running worker, bound {bound} s"


def _stop_of(qty: Decimal) -> tuple[OrderSide, Decimal, bool]:
    return (OrderSide.SELL if qty > 0 else OrderSide.BUY), abs(qty), True


def _reduces(order: Order, qty: Decimal) -> bool:
    return order.side is _stop_of(qty)[0]


def _journal(stage: Stage, worker: LiveTrading) -> Iterator[str]:
    for _, halt in stage.store.halts:
        if halt.halted and "contradicts" in (halt.reason or ""):
            yield f"contradiction: {halt.reason}"
    try:
        again = fold(decode(row.payload) for _, row in stage.store.rows)
    except IllegalTransition as illegal:
        yield f"the journal does not fold: {illegal}"
        return
    for name in ("positions", "frozen", "decided", "loss_streak", "last_loss_at", "closed_at"):
        if getattr(again, name) != getattr(worker.book, name):
            yield f"the journal folds to other {name} than the worker holds"
    for symbol, reason in worker.book.frozen.items():
        if not _is_left_alone(worker.book, symbol):
            yield f"{symbol} frozen: {reason}"
    if not worker.status.reconciled or not worker.status.venue_readable:
        yield "not reconciled"


def _exposure(stage: Stage) -> Iterator[str]:
    """Only what we sent: a person may trade as much as they like."""
    limit_pct = stage.settings.risk_max_notional_pct + EQUITY_SLACK_PCT
    for seen_pct in stage.venue.exposures_pct:
        if seen_pct > limit_pct:
            yield f"an entry brought the exposure to {seen_pct:.1f} % of equity"

"""What must hold once the faults have stopped and the worker has had some ticks; each broken rule is one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal

from live.book import Book, fold
from live.events import (
    Decided,
    EquityObserved,
    Event,
    ExternalFill,
    Filled,
    IntentApproved,
    OrderIntended,
    OrderResubmitted,
    decode,
)
from live.live_trading import LiveTrading
from live.model import Leg, OrderSide
from live.order_id import parse
from live.position import IllegalTransition, Phase, Position
from live.reconcile import FOREIGN
from live.simulator.orders import Order, OrderKind
from tests.simulation.market import INSTRUMENTS
from tests.simulation.stage import Stage

NAKED_SLACK_SECONDS = 5.0  # the bound ends in an exit, which takes a look and a request
ZERO = Decimal(0)
MARK_SECONDS = 75.0
ROUTINE = ("decided", "equity_observed", "worker_started")
EQUITY_SLACK_PCT = 3  # the limit is checked against the equity of the last look


def broken(stage: Stage) -> list[str]:
    """Every rule that does not hold now; [] when all do."""
    worker = stage.worker
    if worker is None:
        return [*stage.found, "no worker could boot"]
    events = [decode(row.payload) for _, row in stage.store.rows]
    return [
        *stage.found,
        *_requests(stage, events),
        *_decisions(events),
        *_fills(stage, events),
        *_book_beside_venue(stage, worker.book),
        *_protection(stage, worker.book),
        *_journal(stage, worker, events),
        *_equity(stage, worker, events),
        *_exposure(stage),
    ]


def _requests(stage: Stage, events: Sequence[Event]) -> Iterator[str]:
    arrivals = stage.venue.arrivals
    again = Counter(e.client_order_id for e in events if isinstance(e, OrderResubmitted))
    for cid, times in stage.sent.items():
        if times > 1 + again[cid]:
            yield f"{cid} was sent {times} times"
    taken = [each.spec for each in arrivals if each.was_taken]
    for cid, times in Counter(spec.client_order_id for spec in taken).items():
        if times > 1:
            yield f"{cid} was placed {times} times"
    epochs = [named.epoch for named in map(parse, (spec.client_order_id for spec in taken)) if named]
    if epochs != sorted(epochs):
        yield f"epochs went back at the venue: {epochs}"
    for spec in taken:
        if spec.reduce_only == (spec.leg is Leg.ENTRY):
            yield f"{spec.client_order_id} reduces: {spec.reduce_only}"
    signal_of = {e.intent.position_id: e.intent.reasons[0] for e in events if isinstance(e, IntentApproved)}
    entries = [e.spec for e in events if isinstance(e, OrderIntended) and e.spec.leg is Leg.ENTRY]
    for signal, times in Counter(signal_of[entry.position_id] for entry in entries).items():
        if times > 1:
            yield f"signal {signal} was entered {times} times"
    written = {e.spec.client_order_id for e in events if isinstance(e, OrderIntended)}
    for each in arrivals:
        if each.spec.client_order_id not in written:
            yield f"{each.spec.client_order_id} was sent and never written down"


def _decisions(events: Sequence[Event]) -> Iterator[str]:
    """An entry has its decision in the journal, and a decision to take its entry."""
    taken = Counter(e.symbol for e in events if isinstance(e, Decided) and e.taken)
    entered = Counter(e.spec.symbol for e in events if isinstance(e, OrderIntended) and e.spec.leg is Leg.ENTRY)
    if taken != entered:
        yield f"decided to enter {dict(taken)}, entered {dict(entered)}"
    for (symbol, closed_at), times in Counter(
        (e.symbol, e.closed_at) for e in events if isinstance(e, Decided)
    ).items():
        if times > 1:
            yield f"{symbol}: the candle that closed at {closed_at} was decided {times} times"


def _fills(stage: Stage, events: Sequence[Event]) -> Iterator[str]:
    ours = {e.fill_id for e in stage.venue.book.executions if parse(e.order.client_order_id)}
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
    held = stage.venue.book.positions.get(venue_id)
    for position in book.open_positions():
        keeps_theirs = held is not None and position.side.sign * held.qty > 0 and _is_left_alone(book, symbol)
        if position.symbol == symbol and position.phase is Phase.CLEARING and not keeps_theirs:
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
        targets = sum(
            (order.remaining for order in orders if order.reduce_only and order.kind is OrderKind.LIMIT), ZERO
        )
        if targets > (abs(held.qty) if held else 0):
            yield f"{symbol}: targets of {targets} together exceed the position"
    bound = stage.settings.live_naked_bound_seconds + NAKED_SLACK_SECONDS
    if stage.naked.seconds_max > bound:
        yield f"naked for {stage.naked.seconds_max:.1f} s while the venue answered a worker, bound {bound} s"


def _stop_of(qty: Decimal) -> tuple[OrderSide, Decimal, bool]:
    return (OrderSide.SELL if qty > 0 else OrderSide.BUY), abs(qty), True


def _reduces(order: Order, qty: Decimal) -> bool:
    return order.side is _stop_of(qty)[0]


def _journal(stage: Stage, worker: LiveTrading, events: Sequence[Event]) -> Iterator[str]:
    for _, halt in stage.store.halts:
        if halt.halted and "contradicts" in (halt.reason or ""):
            yield f"contradiction: {halt.reason}"
    try:
        again = fold(events)
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


def _equity(stage: Stage, worker: LiveTrading, events: Sequence[Event]) -> Iterator[str]:
    """The marks that no restart may forgive: one a minute while the venue is readable, the peak a fold of them."""
    marks = [e for e in events if isinstance(e, EquityObserved)]
    known, now = worker.book.equity, stage.clock.now()
    if known is None or not marks:
        yield "equity was never marked"
        return
    if (age := (now - marks[-1].at).total_seconds()) > MARK_SECONDS:
        yield f"the last equity mark is {age:.0f} s old"
    rebased = max((n for n, mark in enumerate(marks) if mark.rebased), default=0)
    if known.peak < max(mark.equity_quote for mark in marks[rebased:]):
        yield f"peak equity {known.peak} is below a mark of it"


def _exposure(stage: Stage) -> Iterator[str]:
    """Only what we sent: a person may trade as much as they like."""
    limit_pct = stage.settings.risk_max_notional_pct + EQUITY_SLACK_PCT
    for seen_pct in stage.venue.exposures_pct:
        if seen_pct > limit_pct:
            yield f"an entry brought the exposure to {seen_pct:.1f} % of equity"
    for count in stage.venue.exposed_symbols:
        if count > stage.settings.risk_max_positions:
            yield f"an entry made {count} positions, {stage.settings.risk_max_positions} are allowed"


async def restless(stage: Stage) -> list[str]:
    """What a settled worker still does when it looks again: nothing."""
    assert stage.worker is not None
    before = len(stage.store.rows)
    for _ in range(2):
        await stage.worker.tick()
    return [f"nothing happened, and yet {what}" for what in _news(stage, before)]


async def restarted(stage: Stage) -> list[str]:
    """What a restart of a settled worker changes: nothing."""
    assert stage.worker is not None
    book, before, sent = stage.worker.book, len(stage.store.rows), sum(stage.sent.values())
    stage.say("restart")
    again = await stage.boot()
    found = [f"a restart wrote {what}" for what in _news(stage, before)]
    if sum(stage.sent.values()) != sent:
        found.append("a restart sent an order")
    if _held(again.book) != _held(book):
        found.append("a restart changed the positions")
    return found


def _news(stage: Stage, before: int) -> list[str]:
    """What was written since; an entry may expire at any time."""
    rows = [row for _, row in stage.store.rows[before:] if not (row.client_order_id or "").endswith("-e")]
    return [row.kind for row in rows if row.kind not in ROUTINE]


def _held(book: Book) -> list[Position]:
    return [position for position in book.positions.values() if position.qty > 0]

"""Random lives of one position: what we ask, what the venue says in any order, twice or never, what people do."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from hypothesis import strategies as st

from live.book import Book
from live.events import (
    CancelIntended,
    Corrected,
    Event,
    ExternalFill,
    Filled,
    OrderAccepted,
    OrderCancelled,
    OrderIntended,
    OrderRejected,
    OrderResubmitted,
    OrderShown,
    OrderUnknown,
    Peaked,
)
from live.model import Fill, Leg, OrderSide, OrderSpec, OrderType, Side, Target, TrailStep
from live.position import IllegalTransition, Order, PlaceOrder, Policy, Position, Rules, due
from tests.builders import BTC, approved, at, d, instrument, spec

ID = "ps-abc-1-1"
POLICY = Policy(rules=Rules(trail_steps=(TrailStep(d(3), d(2)), TrailStep(d(5), d(1))), trail_distance_pct=d(20)))
WORDS = ("do", "accept", "reject", "vanish", "unknown", "cancelled", "fill", "repeat", "shown", "ended", "edited")
HANDS = ("hand buys", "hand sells", "corrected", "peaked", "again", "time passes")

Move = tuple[str, int, int]
# entered, protected, three targets at rest: the further a life begins, the rarer are the states that it reaches
_GOLDEN = ("accept 0", "fill 0", "do 0", "accept 1", "do 0", "accept 2", "accept 3", "accept 4")
_golden = [(word, int(which), 9) for word, which in (each.split() for each in _GOLDEN)]
_often = ("do", "do", "accept", "accept", "fill", "fill")
_any = st.tuples(st.sampled_from((*WORDS, *HANDS, *_often)), st.integers(0, 9), st.integers(0, 9))
moves = st.builds(lambda begun, then: _golden[:begun] + then, st.integers(0, len(_golden)), st.lists(_any, max_size=32))
sides = st.sampled_from(Side)


@dataclass(frozen=True, slots=True)
class Moment:
    """One fact and the position on both sides of it. illegal: the reason for which it was refused."""

    event: Event
    before: Position
    after: Position
    now: datetime
    illegal: str | None = None


@dataclass
class Life:
    """One position played through its moves; `moments` is what happened."""

    side: Side
    policy: Policy = POLICY
    book: Book = field(default_factory=Book)
    moments: list[Moment] = field(default_factory=list)
    seconds: float = 0.0
    number: int = 1

    def __post_init__(self) -> None:
        sign = self.side.sign
        targets = tuple(
            Target(d(100) + sign * d(gain), d(part)) for gain, part in ((10, "0.4"), (20, "0.4"), (30, "0.2"))
        )
        self.book.apply(approved(side=self.side, stop_price=d(100) - sign * d(10), targets=targets))
        self.happen(self._intended(spec(Leg.ENTRY, 1, side=self.side.entry)))

    @property
    def position(self) -> Position:
        return self.book.positions[ID]

    @property
    def now(self) -> datetime:
        return at(self.seconds)

    def happen(self, event: Event) -> None:
        before, illegal = self.position, None
        try:
            self.book.apply(event)
        except IllegalTransition as refused:
            illegal = str(refused)
        self.moments.append(Moment(event, before, self.position, self.now, illegal))

    def play(self, played: list[Move]) -> Life:
        for word, which, how_much in played:
            self.seconds += 1
            for event in self._events(word, which, how_much):
                self.happen(event)
        return self

    def _events(self, word: str, which: int, how_much: int) -> list[Event]:
        order = list(self.position.orders.values())[which % len(self.position.orders)]
        qty = d(how_much + 1) / 10
        match word:
            case "do":
                return self._asked()
            case "fill":
                return [Filled(at=self.now, client_order_id=order.spec.client_order_id, fill=self._fill(order, qty))]
            case "repeat":
                return [self.moments[which * 7 % len(self.moments)].event]
            case "hand buys" | "hand sells":
                side = OrderSide.BUY if word == "hand buys" else OrderSide.SELL
                return [ExternalFill(at=self.now, position_id=ID, fill=self._hand_fill(side, qty))]
            case "corrected":
                held = qty - d("0.1")
                return [Corrected(at=self.now, position_id=ID, symbol=BTC, qty=held, entry_price=d(101), reason="")]
            case "peaked":
                mark = d(100) + self.side.sign * 10 * d(how_much)
                return [Peaked(at=self.now, position_id=ID, symbol=BTC, mark_price=mark)]
            case "again":
                return [OrderResubmitted(at=self.now, client_order_id=order.spec.client_order_id, expires_at=self.now)]
            case "time passes":
                self.seconds += 10 * how_much
                return []
            case _:
                return [self._said(word, order, qty)]

    def _said(self, word: str, order: Order, qty: Decimal) -> Event:
        """What the venue says of one order."""
        cid, now = order.spec.client_order_id, self.now
        match word:
            case "accept":
                return OrderAccepted(at=now, client_order_id=cid, venue_order_id=f"v-{cid}")
            case "reject":
                return OrderRejected(at=now, client_order_id=cid, code="invalidPrice", reason="no")
            case "vanish":
                return OrderRejected(at=now, client_order_id=cid, code="never-arrived", reason="nowhere")
            case "unknown":
                return OrderUnknown(at=now, client_order_id=cid, reason="timeout")
            case "cancelled":
                return OrderCancelled(at=now, client_order_id=cid)
            case "shown" | "ended":
                return self._shown(order, filled=min(qty, order.spec.qty), ended=word == "ended")
            case "edited":
                trigger = order.spec.trigger_price and order.spec.trigger_price - self.side.sign * (qty * 10 - 5)
                return self._shown(order, size=qty, trigger=trigger)
        raise AssertionError(word)

    def _shown(
        self,
        order: Order,
        *,
        filled: Decimal = Decimal(0),
        size: Decimal | None = None,
        trigger: Decimal | None = None,
        ended: bool = False,
    ) -> OrderShown:
        return OrderShown(
            at=self.now,
            client_order_id=order.spec.client_order_id,
            qty=size or order.spec.qty,
            filled_qty=filled,
            limit_price=order.spec.limit_price,
            trigger_price=trigger or order.spec.trigger_price,
            ended=ended,
        )

    def _asked(self) -> list[Event]:
        """What the state calls for, written down; whether the venue ever hears of it is another move."""
        events: list[Event] = []
        for command in due(self.position, instrument(), self.policy, self.now):
            if isinstance(command, PlaceOrder):
                self.number += 1
                events.append(self._intended(_spec_of(command, self.number)))
            else:
                events.append(CancelIntended(at=self.now, client_order_id=command.client_order_id))
        return events

    def _intended(self, wanted: OrderSpec) -> OrderIntended:
        return OrderIntended(at=self.now, spec=wanted, expires_at=at(self.seconds + 2))

    def _fill(self, order: Order, qty: Decimal) -> Fill:
        cid, price = order.spec.client_order_id, order.spec.limit_price or d(100)
        fill_id = f"f{len(self.moments)}"
        return Fill(fill_id, f"v-{cid}", None, BTC, order.spec.side, qty, price, d(0), self.now)

    def _hand_fill(self, side: OrderSide, qty: Decimal) -> Fill:
        return Fill(f"h{len(self.moments)}", "web", None, BTC, side, qty, d(100), d(0), self.now)


def _spec_of(command: PlaceOrder, number: int) -> OrderSpec:
    return OrderSpec(
        client_order_id=f"{ID[:-2]}-{number}-{command.leg.value}",
        position_id=command.position_id,
        symbol=command.symbol,
        side=command.side,
        leg=command.leg,
        type=OrderType(command.type),
        qty=command.qty,
        limit_price=command.limit_price,
        trigger_price=command.trigger_price,
        reduce_only=True,
    )

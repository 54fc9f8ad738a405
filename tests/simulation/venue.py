"""The matching venue behind a bad line: requests and replies go missing, lists are degraded, people trade there too."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from live.events import Corrected, PersonAsked
from live.model import (
    Accepted,
    CancelOutcome,
    Candle,
    Fill,
    Gone,
    Instrument,
    Leg,
    OrderSide,
    OrderSpec,
    Rejected,
    SubmitOutcome,
    Ticker,
    VenueOrder,
    VenuePosition,
)
from live.order_id import parse
from live.outcome import NoReply, Reply, read_cancel, read_submit
from live.outcome.reply import Verb
from live.paper import PaperVenue
from live.simulator.accounts import Account as VenueAccount
from live.simulator.orders import NewOrder, Order, OrderKind, OrderStatus, Quote
from live.venue import Permit
from prodsafe.errors import RefusalKind, VenueUnreadable
from tests.simulation.market import BASES, INSTRUMENTS, VENUE_IDS
from tests.simulation.weather import REFUSALS

if TYPE_CHECKING:
    from tests.simulation.stage import Stage

EXCHANGE, ACCOUNT = "krakenfutures", "paper"
UNREADABLE = RefusalKind("V01", "venue-unreadable")
EXPIRED = "wouldProcessAfterSpecifiedTime"
STATUS_WINDOW = timedelta(seconds=5)  # how long Kraken's order status knows an order that ended
LATENESS: dict[str, tuple[float, ...]] = {
    "late_fill": (1, 2, 2, 4, 4, 6, 6, 10, 200),
    "late_history": (1, 2, 2, 4, 4, 6, 6, 10),
    "status_window": (6, 8, 10, 20, 40),
}
LATE_REQUESTS_SECONDS = (4, 4, 15)
LONGEST_EMPTY_SECONDS = 30.0
TRUE_FOR = timedelta(seconds=60)  # between two such stretches
KNOWN_BY = timedelta(seconds=15)  # a position that stands so long must be known to the worker
LATE_MATCH = timedelta(seconds=3)
OFFSET_DOUBT_SECONDS = 0.05  # a reply is on its way for some time: that much less may the clocks differ


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request for an order as it reached the venue's door. word: the venue's verdict, "placed" when it was taken."""

    at: datetime
    spec: OrderSpec
    word: str

    @property
    def was_taken(self) -> bool:
        return self.word == "placed"


class StageVenue(PaperVenue):
    """What the worker asks goes through the stage's faults; `book` is the truth, which no fault can reach."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage.market, clock=stage.venue_clock, balance_quote=Decimal(100_000))
        self._stage = stage
        self._late: list[tuple[datetime, OrderSpec, datetime]] = []
        self._last_positions: list[VenuePosition] = []
        self._last_orders: list[VenueOrder] = []
        self._told: dict[str, VenueOrder] = {}
        self._was_degraded = False
        self._offset_seconds = 0.0
        self._empty_until = stage.time
        self.arrivals: list[Arrival] = []
        self.exposures_pct: list[Decimal] = []
        self.exposed_symbols: list[int] = []
        self.was_touched = False

    @property
    def clock_offset_seconds(self) -> float:
        """As the last reply showed it."""
        return self._offset_seconds

    def _in_venue_time(self, moment: datetime) -> datetime:
        """As the real door writes it: by the least that the venue's clock can be ahead of ours."""
        return moment + timedelta(seconds=self._offset_seconds - OFFSET_DOUBT_SECONDS)

    @property
    def is_open(self) -> bool:
        """Whether anybody has asked for anything yet."""
        return self._venue is not None

    @property
    def book(self) -> VenueAccount:
        assert self._venue is not None
        return self._venue.accounts[ACCOUNT]

    # --- requests that change something ---------------------------------------------------------------------------

    async def submit(self, spec: OrderSpec, *, expires_at: datetime, permit: Permit) -> SubmitOutcome:
        with self._stage.effect(f"submit {spec.leg.name.lower()} {spec.client_order_id}"):
            return read_submit(EXCHANGE, await self._send(spec, expires_at, permit))

    async def _send(self, spec: OrderSpec, expires_at: datetime, permit: Permit) -> Reply | NoReply:
        """In the order of the real door: the expiry is looked at, the permit asked, then the request leaves."""
        stage = self._stage
        await stage.moment()
        if stage.hits("not_sent") or stage.clock.now() >= expires_at:
            stage.excuse_request(spec)
            return NoReply(sent=False, what="no byte left")
        permit()
        stage.note_send(spec)
        expires_at = self._in_venue_time(expires_at)
        if stage.is_out or stage.hits("lost_request"):
            stage.excuse_request(spec)
            return await self._silence("the request was lost")
        if stage.hits("late_request"):
            self._late.append(
                (stage.time + timedelta(seconds=stage.rng.uniform(0, stage.rng.choice((4, 4, 15)))), spec, expires_at)
            )
            stage.excuse_request(spec)
            return await self._silence("the request is still on its way")
        if stage.hits("slow_request"):
            await stage.pass_(stage.rng.uniform(0.4, 1.4))
        if spec.leg is Leg.STOP and stage.hits("refused_stop"):  # no excuse: an exit would be taken
            stage.say(f"refused {spec.client_order_id}")
            return self._refusal()
        if stage.hits("refused"):
            stage.say(f"refused {spec.client_order_id}")
            stage.excuse_request(spec)
            return self._refusal()
        reply = await self._arrive(spec, expires_at)
        if stage.hits("repeated_request"):
            reply = await self._arrive(spec, expires_at)
        return await self._on_the_way_back(reply, "submit")

    async def cancel(self, spec: OrderSpec, venue_order_id: str | None, *, permit: Permit) -> CancelOutcome:
        with self._stage.effect(f"cancel {spec.leg.name.lower()} {spec.client_order_id}"):
            return read_cancel(EXCHANGE, await self._cancel(spec, venue_order_id, permit))

    async def _cancel(self, spec: OrderSpec, venue_order_id: str | None, permit: Permit) -> Reply | NoReply:
        stage = self._stage
        await stage.moment()
        permit()
        stage.note_send(spec, cancels=True)
        if stage.is_out or stage.hits("lost_cancel"):
            return await self._silence("the request was lost")
        venue_id = INSTRUMENTS[spec.symbol].venue_id
        covered = self._stops(venue_id)
        outcome = await super().cancel(spec, venue_order_id, permit=lambda: None)
        self._told.pop(spec.client_order_id, None)
        if covered and not self._stops(venue_id) and self._is_old(spec.symbol) and not self._was_told_a_stop(spec):
            stage.found.append(f"cancelled {spec.client_order_id}, the only stop of an open position")
        word = outcome.reason if isinstance(outcome, Gone | Rejected) else "cancelled"
        stage.say(f"cancel {spec.client_order_id}: {word}")
        if stage.hits("lost_cancel"):
            return await self._silence("the reply was lost")
        return await self._on_the_way_back(_said("cancel", word), "cancel")

    async def _silence(self, what: str) -> NoReply:
        """The worker waits as long as it waits for any reply; nothing says that it lives to hear none."""
        self._stage.perhaps_die_waiting()
        await self._stage.pass_(self._stage.settings.live_request_timeout_seconds)
        return NoReply(sent=True, what=what)

    async def _on_the_way_back(self, reply: Reply, verb: Verb) -> Reply | NoReply:
        stage = self._stage
        if verb == "submit" and stage.hits("lost_reply"):
            return await self._silence("the reply was lost")
        if stage.hits("degraded_reply" if verb == "submit" else "degraded_cancel"):
            return stage.rng.choice(_degraded(reply, verb))
        return reply

    def _refusal(self) -> Reply:
        word = self._stage.rng.choice((*REFUSALS, "apiLimitExceeded", "429"))
        if word == "429":
            return Reply(429, "slow down")
        if word == "apiLimitExceeded":
            return Reply(200, json.dumps({"result": "error", "error": word}))
        return _said("submit", word)

    async def _arrive(self, spec: OrderSpec, expires_at: datetime) -> Reply:
        outcome = await super().submit(spec, expires_at=expires_at, permit=lambda: None)
        word = _word(outcome)
        if word == EXPIRED:
            self._stage.excuse_request(spec)
        self.arrivals.append(Arrival(self._stage.time, spec, word))
        if spec.leg is Leg.ENTRY and word == "placed" and not self.was_touched:
            self.exposures_pct.append(self._exposure_pct())
            self.exposed_symbols.append(len(self._exposed()))
        self._stage.say(f"arrived {spec.client_order_id} {spec.side} {spec.qty} {spec.symbol}: {word}")
        return _said("submit", word, outcome.venue_order_id if isinstance(outcome, Accepted) else None)

    def _asked(self, spec: OrderSpec, expires_at: datetime) -> NewOrder:
        asked = super()._asked(spec, expires_at)
        thin = self._stage.hits("partial_fill") and (asked.kind is OrderKind.LIMIT or self._stage.rng.random() < 0.3)
        return replace(asked, first_fill_fraction=Decimal("0.4")) if thin else asked

    # --- reads ------------------------------------------------------------------------------------------------------

    async def instruments(self) -> dict[str, Instrument]:
        await self._read()
        listed = await super().instruments()
        if self._stage.hits("short_list"):
            listed.pop(self._stage.rng.choice(list(listed)))
        return listed

    async def candles(self, symbol: str, timeframe: timedelta, *, since: datetime) -> list[Candle]:
        await self._read()
        stage = self._stage
        if stage.hits("hand_halt"):
            await stage.halt_by_hand()
        seen = await super().candles(symbol, timeframe, since=since)
        if len(seen) > 1 and stage.hits("missing_candle"):
            seen.pop(stage.rng.choice((-1, -2, 0)))
        if seen and stage.hits("revised_candle"):
            candle = seen.pop(0)
            seen.append(replace(candle, close=candle.close + 1, high=candle.high + 1))
        if seen and stage.hits("mixed_candles"):
            seen.append(stage.rng.choice(seen))
            stage.rng.shuffle(seen)
        return seen

    async def tickers(self, symbols: Sequence[str]) -> dict[str, Ticker]:
        await self._read()
        seen = await super().tickers(symbols)
        if seen and self._stage.hits("missing_ticker"):
            seen.pop(self._stage.rng.choice(list(seen)))
            self._stage.excuse_look()
        return seen

    async def positions(self) -> list[VenuePosition]:
        """Only emptiness lasts, as long as an empty list may be doubted; other untruths are told once in a row."""
        await self._read()
        seen, stage = await super().positions(), self._stage
        if stage.hits("empty_positions") and stage.time - self._empty_until > TRUE_FOR:
            seconds = stage.rng.uniform(0, LONGEST_EMPTY_SECONDS)
            self._empty_until = stage.time + timedelta(seconds=seconds)
            stage.excuse_look(seconds)
        if stage.time < self._empty_until:
            return []
        told = self._stale_or_cut(seen) if seen and not self._was_degraded else seen
        self._was_degraded, self._last_positions = told is not seen, seen
        if self._was_degraded:
            stage.excuse_look()
        return told

    def _stale_or_cut(self, seen: list[VenuePosition]) -> list[VenuePosition]:
        stage = self._stage
        if stage.hits("stale_positions"):
            return list(self._last_positions)
        if stage.hits("missing_position"):
            return [each for each in seen if each is not stage.rng.choice(seen)]
        return seen

    async def open_orders(self) -> list[VenueOrder]:
        self._told = {}
        await self._read()
        told = await self._orders_told()
        self._told = {each.client_order_id or "": each for each in told}
        return told

    async def _orders_told(self) -> list[VenueOrder]:
        stage = self._stage
        seen = [each for each in await super().open_orders() if not self._is_hidden(each.client_order_id or "")]
        before, self._last_orders = self._last_orders, seen
        if stage.hits("stale_orders"):
            return list(before)
        if seen and stage.hits("empty_orders"):
            return []
        if seen and stage.hits("missing_order"):
            return [each for each in seen if each is not stage.rng.choice(seen)]
        return list(seen)

    async def find_orders(self, specs: Sequence[OrderSpec], *, since: datetime) -> dict[str, VenueOrder]:
        await self._read()
        found = await super().find_orders(specs, since=since)
        return {cid: seen for cid, seen in found.items() if self._is_told(cid) and not self._is_hidden(cid)}

    async def fills(self, *, since: datetime) -> list[Fill]:
        await self._read()
        stage = self._stage
        seen: list[Fill] = []
        for fill in await super().fills(since=since):
            if self._is_late("late_fill", fill.fill_id, fill.filled_at):
                continue
            shown = replace(fill, client_order_id=None) if stage.fixed("nameless_fill", fill.fill_id) else fill
            seen.extend([shown, shown] if stage.hits("repeated_fill") else [shown])
        if seen and stage.hits("mixed_fills"):
            stage.rng.shuffle(seen)
        if seen and stage.hits("empty_fills"):
            return []
        if seen and stage.hits("cut_fills"):
            return stage.rng.choice((seen[: len(seen) // 2], seen[len(seen) // 2 :]))
        return seen

    async def _read(self) -> None:
        await self._stage.moment()
        if self._stage.is_out or self._stage.hits("unreadable"):
            self._stage.excuse_look()
            raise VenueUnreadable(UNREADABLE.because("degraded reply", mend="wait"))
        self._offset_seconds = self._stage.venue_clock.ahead_seconds - self._stage.clock.ahead_seconds

    def _is_late(self, fault: str, name: str, happened_at: datetime) -> bool:
        """Whether it is not told yet: an order's history within ten seconds, a fill sometimes after minutes."""
        if not self._stage.fixed(fault, name):
            return False
        return self._clock.now() < happened_at + self._lateness(fault, name)

    def _lateness(self, fault: str, name: str) -> timedelta:
        return timedelta(seconds=random.Random(f"{fault} {name}").choice(LATENESS[fault]))

    def _is_hidden(self, client_order_id: str) -> bool:
        """Some orders are shown by nothing for ten seconds of each minute, although they rest."""
        hidden = self._stage.fixed("hidden_order", client_order_id)
        return hidden and self._clock.now().second // 10 == len(client_order_id) % 6

    def _is_told(self, client_order_id: str) -> bool:
        """Whether order status or history know of it: status forgets what ended, and history lags."""
        order = self.book.find(None, client_order_id)
        assert order is not None
        if self._is_late("late_history", client_order_id, order.updated_at):
            return False
        if order.is_open or not self._stage.fixed("status_window", client_order_id):
            return True
        age = self._clock.now() - order.updated_at
        return age < STATUS_WINDOW or age >= self._lateness("status_window", client_order_id)

    # --- what happens there without us ------------------------------------------------------------------------------

    async def world_moves(self) -> None:
        """Late requests arrive, prices move, people act."""
        stage = self._stage
        due = [each for each in self._late if each[0] <= stage.time]
        self._late = [each for each in self._late if each[0] > stage.time]
        for _, spec, expires_at in due:
            await self._arrive(spec, expires_at)
        if self._venue is None or not stage.faults:
            return
        for symbol in INSTRUMENTS:
            if stage.hits("price_move"):
                self.show(symbol, self._next_price(symbol))
        if stage.hits("price_gap"):
            symbol = stage.rng.choice(list(INSTRUMENTS))
            self.show(symbol, stage.market.prices[symbol] * (1 + Decimal(stage.rng.choice((-6, -3, 3, 6))) / 100))
        if stage.hits("new_tick"):
            self._change_tick(stage.rng.choice(list(INSTRUMENTS)))
        if stage.hits("overfill"):
            self._overfill()
        self._people_act()

    def _people_act(self) -> None:
        stage = self._stage
        if stage.hits("hand_trade"):
            self._somebody_trades(stage.rng.choice(list(INSTRUMENTS)))
        if self.book.open_ids and stage.hits("hand_cancel"):
            self.cancel_by_hand(self._any_order())
        if self.book.open_ids and stage.hits("hand_edit"):
            self.edit_by_hand(self._any_order())

    def _any_order(self) -> Order:
        return self._stage.rng.choice(self.book.open_orders())

    def show(self, symbol: str, price: Decimal) -> None:
        """The price from now on, on the tick; matches at once."""
        assert self._venue is not None
        instrument = self._stage.market.listed[symbol]
        price = instrument.round_price(price)
        self._stage.market.show(symbol, price)
        self._stage.say(f"price {symbol} {price}")
        quote = Quote(price - instrument.tick_size, price + instrument.tick_size, price, price, price)
        self._venue.tick(instrument.venue_id, quote, self._moved())

    def _next_price(self, symbol: str) -> Decimal:
        """Often exactly where one of the orders waits, or just beyond it: that is where the faults are."""
        rng, instrument = self._stage.rng, self._stage.market.listed[symbol]
        levels = [order.stop_price or order.limit_price for order in self.book.open_orders(instrument.venue_id)]
        level = rng.choice([*levels, None])
        if level is None:
            level = BASES[symbol] * (1 + Decimal(rng.randint(-25, 25)) / 1000)
        return level + rng.randint(-2, 2) * instrument.tick_size

    def _somebody_trades(self, symbol: str) -> None:
        """A person closes the position, a part of it or more than it, or opens one."""
        rng, instrument = self._stage.rng, INSTRUMENTS[symbol]
        held = self.book.positions.get(instrument.venue_id)
        qty = abs(held.qty) * rng.choice((Decimal("0.5"), 1, 1, 2)) if held else instrument.qty_step * 20
        opposite = OrderSide.SELL if held and held.qty > 0 else OrderSide.BUY
        side = opposite if held and rng.random() < 0.8 else rng.choice(list(OrderSide))
        self.trade_by_hand(symbol, side, max(instrument.round_qty_down(Decimal(qty)), instrument.qty_step))

    def trade_by_hand(self, symbol: str, side: OrderSide, qty: Decimal) -> None:
        """A market order of a person at the venue's web page."""
        assert self._venue is not None
        price = self._stage.market.prices[symbol]
        self.show(symbol, price)
        self.was_touched = True
        self._stage.say(f"by hand {side} {qty} {symbol}")
        self._venue.trade_by_hand(ACCOUNT, INSTRUMENTS[symbol].venue_id, side, qty, price, self._moved())

    def cancel_by_hand(self, order: Order) -> None:
        assert self._venue is not None
        self._stage.say(f"by hand cancelled {order.client_order_id}")
        self._venue.cancel(ACCOUNT, self._moved(), order_id=order.order_id)

    def edit_by_hand(self, order: Order) -> None:
        """A person halves an order, or moves a stop a little further away."""
        assert self._venue is not None
        instrument = self._stage.market.listed[VENUE_IDS[order.venue_id]]
        half = max(instrument.round_qty_down(order.qty / 2), instrument.qty_step)
        further = None
        if order.is_waiting and order.stop_price is not None and self._stage.rng.random() < 0.5:
            away = -1 if order.side is OrderSide.SELL else 1
            further = instrument.round_price(order.stop_price * (1 + Decimal(away) / 200))
        verdict = self._venue.edit(
            ACCOUNT, self._moved(), order_id=order.order_id, qty=None if further else half, stop_price=further
        )
        self._stage.say(f"by hand edited {order.client_order_id} to {further or half}: {verdict.status}")

    def _change_tick(self, symbol: str) -> None:
        """Five times as coarse, and at the next change as it was."""
        assert self._venue is not None
        old, first = self._stage.market.listed[symbol], INSTRUMENTS[symbol]
        tick = first.tick_size if old.tick_size != first.tick_size else first.tick_size * 5
        self._stage.say(f"tick of {symbol} is {tick}")
        self._stage.market.listed[symbol] = replace(old, tick_size=tick)
        contract = self._venue.contracts[old.venue_id]
        self._venue.contracts[old.venue_id] = replace(contract, tick_size=tick)

    def _overfill(self) -> None:
        """The venue executes one step more of an entry than was asked for, as it fills."""
        done = self.book.executions[-1:]
        order = self.book.orders[done[0].order.order_id] if done else None
        if order is None or order.status is not OrderStatus.FILLED or not _is_entry(order.client_order_id):
            return
        if self._clock.now() - done[0].at > LATE_MATCH or done[0].order.filled >= order.qty:
            return
        symbol = VENUE_IDS[order.venue_id]
        self.trade_by_hand(symbol, order.side, INSTRUMENTS[symbol].qty_step)
        self.book.executions[-1] = replace(self.book.executions[-1], order=order)
        self._stage.say(f"overfilled {order.client_order_id}")

    def calm(self) -> None:
        self._empty_until = self._stage.time

    def _moved(self) -> datetime:
        self._now = max(self._now, self._clock.now())
        return self._now

    # --- the truth --------------------------------------------------------------------------------------------------

    def naked_sides(self) -> dict[str, int]:
        """Of each position without a stop of its size: 1 long, -1 short."""
        if self._venue is None:
            return {}
        naked = {venue_id: each.qty for venue_id, each in self.book.positions.items() if not self._has_stop(venue_id)}
        return {VENUE_IDS[venue_id]: 1 if qty > 0 else -1 for venue_id, qty in naked.items()}

    def _is_old(self, symbol: str) -> bool:
        """Whether the position has stood as it is for some time, so that the worker must know of it."""
        held = self.book.positions.get(INSTRUMENTS[symbol].venue_id)
        return held is not None and self._clock.now() - held.filled_at > KNOWN_BY

    def _was_told_a_stop(self, spec: OrderSpec) -> bool:
        """Whether the worker's last list shows another stop of this position, not cancelled by it since.

        A person, or the market, may take that one away while the cancel is on its way: no worker can know.
        """
        return any(
            (each.symbol, each.side, each.reduce_only) == (spec.symbol, spec.side, True)
            and each.trigger_price is not None
            for each in self._told.values()
        )

    def check_correction(self, event: Corrected) -> None:
        """A correction to flat of what has been held for a while believed one bad reading (W3)."""
        held = self.book.positions.get(INSTRUMENTS[event.symbol].venue_id)
        if held is None or event.qty > 0 or not self._is_old(event.symbol):
            return
        named = "long" if held.qty > 0 else "short"
        if f"book {named}" in event.reason:
            self._stage.found.append(f"{event.symbol} was held, and corrected to flat")

    def wrong_with(self, spec: OrderSpec) -> Iterator[str]:
        """What this order does to its position: a stop only moves toward the market, no exit without a cause."""
        if self._venue is None:
            return
        venue_id = INSTRUMENTS[spec.symbol].venue_id
        held = venue_id in self.book.positions
        if spec.leg is Leg.EXIT and held and not self._stage.may_close(spec):
            yield f"sent {spec.client_order_id} for a position that nobody asked to close"
        for order in self._stops(venue_id) if spec.leg is Leg.STOP else []:
            if self._is_further_away(spec, order):
                yield f"{spec.client_order_id}: the stop moved away, from {order.stop_price} to {spec.trigger_price}"

    def _is_further_away(self, spec: OrderSpec, order: Order) -> bool:
        """Than a stop of the same position, by more than the coarsest tick."""
        if self._stage.position_of.get(order.client_order_id or "") != spec.position_id:
            return False
        assert order.stop_price is not None and spec.trigger_price is not None
        closer = 1 if spec.side is OrderSide.SELL else -1
        return closer * (order.stop_price - spec.trigger_price) > INSTRUMENTS[spec.symbol].tick_size * 5

    def has_taken(self, client_order_id: str) -> bool:
        return self.book.find(None, client_order_id) is not None

    def rests(self, client_order_id: str) -> bool:
        order = self.book.find(None, client_order_id)
        return order is not None and order.is_open

    def check_flat(self, asked: PersonAsked) -> None:
        """What was asked to be closed and is called closed is not held any more."""
        for symbol, instrument in INSTRUMENTS.items():
            held = instrument.venue_id in self.book.positions
            if asked.covers(symbol) and held and self._is_old(symbol):
                self._stage.found.append(f"{symbol} is held, and its flatten was called done")

    def _exposed(self) -> set[str]:
        """Contracts held, or that resting entries may come to hold."""
        entries = {order.venue_id for order in self.book.open_orders() if not order.reduce_only}
        return entries | self.book.positions.keys()

    def _exposure_pct(self) -> Decimal:
        """Of equity: what is held at its entry price, and what resting entries may add."""
        assert self._venue is not None
        held = sum((abs(each.qty) * each.entry_price for each in self.book.positions.values()), Decimal(0))
        entries = [order for order in self.book.open_orders() if not order.reduce_only]
        asked = sum((order.remaining * (order.limit_price or Decimal(0)) for order in entries), Decimal(0))
        return (held + asked) / self._venue.margin(ACCOUNT).equity * 100

    def _has_stop(self, venue_id: str) -> bool:
        """Whether the position has a stop of its full size."""
        qty = abs(self.book.positions[venue_id].qty)
        return any(order.remaining >= qty for order in self._stops(venue_id))

    def _stops(self, venue_id: str) -> list[Order]:
        """What would close the position on a loss, of any size; [] without a position."""
        held = self.book.positions.get(venue_id)
        guard = OrderSide.SELL if held is not None and held.qty > 0 else OrderSide.BUY
        orders = self.book.open_orders(venue_id) if held is not None else []
        return [each for each in orders if each.kind is OrderKind.STOP and each.reduce_only and each.side is guard]


def _word(outcome: SubmitOutcome) -> str:
    """The venue's verdict; paper trading leaves only a client order id open that it knows already."""
    if isinstance(outcome, Accepted):
        return "placed"
    return outcome.code if isinstance(outcome, Rejected) else "clientOrderIdAlreadyExist"


def _is_entry(client_order_id: str | None) -> bool:
    named = parse(client_order_id)
    return named is not None and named.leg is Leg.ENTRY


def _said(verb: Verb, word: str, order_id: str | None = None) -> Reply:
    """Kraken's reply to an order or a cancel that was understood."""
    done = {"status": word, **({"order_id": order_id} if order_id else {})}
    return Reply(200, json.dumps({"result": "success", "sendStatus" if verb == "submit" else "cancelStatus": done}))


def _degraded(reply: Reply, verb: Verb) -> list[Reply]:
    """What a gateway or a half-dead backend makes of a reply; none of these says what became of the request."""
    key = "sendStatus" if verb == "submit" else "cancelStatus"
    return [
        Reply(502, "<html><body>Bad Gateway</body></html>"),
        Reply(200, "<html><body>We will be back soon</body></html>"),
        Reply(200, reply.body[: len(reply.body) // 2]),
        Reply(200, ""),
        Reply(200, json.dumps({"result": "error", "error": "Unavailable"})),
        Reply(500, reply.body),
        Reply(200, json.dumps({"result": "success"})),
        Reply(200, json.dumps({"result": "success", key: None})),
        Reply(200, json.dumps({"result": "success", key: {"status": "somethingNew"}})),
    ]

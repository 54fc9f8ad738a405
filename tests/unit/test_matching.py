"""The simulated venue's rules, as a trader would tell them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.model import OrderSide
from live.simulator.matching import Venue
from live.simulator.orders import Contract, NewOrder, OrderKind, OrderStatus, Quote, Signal, Verdict

BTC = Contract("PF_XBTUSD", tick_size=Decimal("1"), qty_step=Decimal("0.01"))
BUY, SELL = OrderSide.BUY, OrderSide.SELL
LIMIT, POST, IOC, MARKET, STOP = OrderKind.LIMIT, OrderKind.POST, OrderKind.IOC, OrderKind.MARKET, OrderKind.STOP


class Story:
    """One account at a venue whose clock stands at second 0 until told; prices and sizes as plain numbers."""

    def __init__(self, price: int = 100, *, cash: int = 10000, liquidity: str | None = None) -> None:
        contract = replace(BTC, liquidity=None if liquidity is None else Decimal(liquidity))
        self.venue = Venue([contract], balances={"me": Decimal(cash)}, id_seed="story")
        self.contract = contract
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.price(price)

    @property
    def me(self):
        return self.venue.accounts["me"]

    @property
    def position(self) -> Decimal:
        held = self.me.positions.get("PF_XBTUSD")
        return held.qty if held else Decimal(0)

    def price(self, price: int, **other: int) -> None:
        quote = Quote.around(Decimal(price), self.contract)
        changed = {name: Decimal(value) for name, value in other.items()}
        values = {name: getattr(quote, name) for name in ("bid", "ask", "last", "mark", "index")}
        self.venue.tick("PF_XBTUSD", Quote(**{**values, **changed}), self.now)

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.venue.advance(self.now)

    def send(self, side: OrderSide, kind: OrderKind, qty: str, **rest: object) -> Verdict:
        for name in ("limit_price", "stop_price"):
            if name in rest:
                rest[name] = Decimal(str(rest[name]))
        new = NewOrder("PF_XBTUSD", side, kind, Decimal(qty), **rest)  # type: ignore[arg-type]
        return self.venue.submit("me", new, self.now)

    def order(self, verdict: Verdict):
        assert verdict.order is not None
        return self.me.orders[verdict.order.order_id]


# --- when orders fill ---------------------------------------------------------------------------------------------


def test_market_order_fills_at_the_best_price_of_the_other_side_and_pays_the_taker_fee():
    story = Story(100)

    verdict = story.send(BUY, MARKET, "2")

    (fill,) = story.me.executions
    assert verdict.status == "placed"
    assert (fill.price, fill.qty, fill.is_maker) == (Decimal(101), Decimal(2), False)
    assert fill.fee == 2 * 101 * Decimal("0.0005")


def test_limit_order_that_crosses_fills_at_the_best_price_not_at_its_own():
    story = Story(100)

    story.send(BUY, LIMIT, "1", limit_price=110)

    assert story.me.executions[0].price == 101


def test_resting_limit_order_fills_at_its_price_as_maker_when_the_price_touches_it():
    story = Story(100)
    resting = story.send(BUY, LIMIT, "1", limit_price=95)
    story.price(96)
    assert story.order(resting).status is OrderStatus.UNTOUCHED

    story.price(95)

    (fill,) = story.me.executions
    assert (fill.price, fill.is_maker, fill.fee) == (Decimal(95), True, 95 * Decimal("0.0002"))


def test_resting_limit_order_fills_at_its_price_when_the_price_jumps_beyond():
    story = Story(100)
    story.send(SELL, LIMIT, "1", limit_price=105)

    story.price(120)

    assert story.me.executions[0].price == 105


def test_post_only_order_that_would_execute_is_refused():
    assert Story(100).send(BUY, POST, "1", limit_price=101).status == "postWouldExecute"


def test_immediate_order_that_does_not_cross_is_refused():
    assert Story(100).send(BUY, IOC, "1", limit_price=99).status == "iocWouldNotExecute"


def test_thin_book_fills_in_parts_and_the_rest_of_a_limit_order_stays():
    story = Story(100, liquidity="0.3")

    verdict = story.send(BUY, LIMIT, "1", limit_price=101)

    assert story.order(verdict).filled == Decimal("0.3")
    assert story.order(verdict).status is OrderStatus.PARTIALLY_FILLED
    for _ in range(3):
        story.price(100)
    assert story.order(verdict).status is OrderStatus.FILLED
    assert [fill.qty for fill in story.me.executions] == [Decimal(q) for q in ("0.3", "0.3", "0.3", "0.1")]


def test_thin_book_cancels_the_rest_of_a_market_order():
    story = Story(100, liquidity="0.3")

    verdict = story.send(BUY, MARKET, "1")

    assert verdict.status == "placed"
    assert story.order(verdict).status is OrderStatus.CANCELLED
    assert story.position == Decimal("0.3")


def test_partial_fill_fault_takes_only_a_share_at_first():
    story = Story(100)

    verdict = story.send(BUY, LIMIT, "1", limit_price=101, first_fill_fraction=Decimal("0.4"))

    assert story.order(verdict).filled == Decimal("0.4")
    story.price(100)
    assert story.order(verdict).filled == Decimal(1)


# --- conditional orders ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signal", list(Signal))
def test_stop_fires_on_the_price_it_watches_and_on_no_other(signal):
    story = Story(100)
    story.send(BUY, MARKET, "1")
    stop = story.send(SELL, STOP, "1", stop_price=90, signal=signal, reduce_only=True)

    story.price(95, **{name: 89 for name in ("mark", "last", "index") if name != signal.value})
    assert story.order(stop).is_waiting

    story.price(95, **{signal.value: 90})
    assert story.order(stop).status is OrderStatus.FILLED
    assert story.position == 0


def test_stop_fills_beyond_its_price_when_the_market_gaps():
    story = Story(100)
    story.send(BUY, MARKET, "1")
    story.send(SELL, STOP, "1", stop_price=90, signal=Signal.MARK, reduce_only=True)

    story.price(80)

    assert story.me.executions[-1].price == 79


def test_stop_whose_price_has_already_come_fires_at_once():
    story = Story(100)
    story.send(BUY, MARKET, "1")

    story.send(SELL, STOP, "1", stop_price=105, signal=Signal.MARK, reduce_only=True)

    assert story.position == 0


def test_stop_limit_becomes_a_resting_limit_order_under_the_same_id():
    story = Story(100)
    story.send(BUY, MARKET, "1")
    stop = story.send(SELL, STOP, "1", stop_price=90, limit_price=95, signal=Signal.MARK, reduce_only=True)

    story.price(90)

    assert story.order(stop).is_resting
    story.price(95)
    assert story.me.executions[-1].price == 95


def test_take_profit_waits_for_the_other_side_of_the_price():
    story = Story(100)
    story.send(BUY, MARKET, "1")
    target = story.send(SELL, OrderKind.TAKE_PROFIT, "1", stop_price=110, reduce_only=True)

    story.price(109)
    assert story.order(target).is_waiting
    story.price(110)

    assert story.order(target).status is OrderStatus.FILLED


# --- reduce-only ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [MARKET, LIMIT, STOP])
def test_reduce_only_without_a_position_is_refused(kind):
    verdict = Story(100).send(SELL, kind, "1", limit_price=120, stop_price=90, reduce_only=True)

    assert verdict.status == "wouldNotReducePosition"


def test_reduce_only_on_the_side_that_would_enlarge_is_refused():
    story = Story(100)
    story.send(BUY, MARKET, "1")

    assert story.send(BUY, MARKET, "1", reduce_only=True).status == "wouldNotReducePosition"


def test_reduce_only_market_order_bigger_than_the_position_closes_it_and_no_more():
    story = Story(100)
    story.send(BUY, MARKET, "1")

    story.send(SELL, MARKET, "5", reduce_only=True)

    assert story.position == 0


def test_targets_together_never_exceed_the_position():
    """I51."""
    story = Story(100)
    story.send(BUY, MARKET, "1")
    story.send(SELL, LIMIT, "0.7", limit_price=110, reduce_only=True)

    second = story.send(SELL, LIMIT, "0.7", limit_price=120, reduce_only=True)
    third = story.send(SELL, LIMIT, "0.7", limit_price=130, reduce_only=True)

    assert story.order(second).qty == Decimal("0.3")
    assert third.status == "wouldNotReducePosition"


def test_full_size_stop_and_targets_may_stand_side_by_side():
    story = Story(100)
    story.send(BUY, MARKET, "1")
    story.send(SELL, STOP, "1", stop_price=90, reduce_only=True)

    assert story.send(SELL, LIMIT, "1", limit_price=110, reduce_only=True).status == "placed"


def test_position_that_shrinks_cuts_the_least_aggressive_resting_reduction_first():
    story = Story(100)
    story.send(BUY, MARKET, "1")
    near = story.send(SELL, LIMIT, "0.5", limit_price=110, reduce_only=True)
    far = story.send(SELL, LIMIT, "0.5", limit_price=120, reduce_only=True)

    story.send(SELL, MARKET, "0.3", reduce_only=True)
    assert (story.order(near).qty, story.order(far).qty) == (Decimal("0.5"), Decimal("0.2"))
    story.send(SELL, MARKET, "0.4", reduce_only=True)

    assert story.order(near).qty == Decimal("0.3")
    assert story.order(far).status is OrderStatus.CANCELLED


def test_closed_position_leaves_its_waiting_stop_which_dies_when_its_price_comes():
    """An orphaned stop can wait, but it can never open a position."""
    story = Story(100)
    story.send(BUY, MARKET, "1")
    stop = story.send(SELL, STOP, "1", stop_price=90, reduce_only=True)
    story.send(SELL, MARKET, "1", reduce_only=True)
    assert story.order(stop).is_waiting

    story.price(85)

    assert story.order(stop).status is OrderStatus.CANCELLED
    assert story.me.events[-1].reason == "would_not_reduce_position"
    assert story.position == 0


# --- refusals -------------------------------------------------------------------------------------------------------


def test_request_after_its_deadline_is_refused_and_its_client_id_stays_free():
    story = Story(100)
    late = story.send(BUY, MARKET, "1", client_order_id="a", expires_at=story.now - timedelta(milliseconds=1))
    assert late.status == "wouldProcessAfterSpecifiedTime"
    assert story.me.events == []

    assert story.send(BUY, MARKET, "1", client_order_id="a", expires_at=story.now).status == "placed"


def test_client_order_id_is_taken_for_good_even_after_the_order_ended():
    story = Story(100)
    story.send(BUY, MARKET, "1", client_order_id="a")

    assert story.send(BUY, MARKET, "1", client_order_id="a").status == "clientOrderIdAlreadyExist"


def test_client_order_id_longer_than_100_is_refused():
    assert Story(100).send(BUY, MARKET, "1", client_order_id="x" * 101).status == "clientOrderIdTooLong"


@pytest.mark.parametrize("qty", ["0", "-1", "0.001", "0.015"])
def test_size_off_the_step_is_refused(qty):
    assert Story(100).send(BUY, MARKET, qty).status == "invalidSize"


@pytest.mark.parametrize("prices", [{}, {"limit_price": 0}, {"limit_price": -5}, {"limit_price": "99.5"}])
def test_limit_order_without_a_price_on_the_tick_is_refused(prices):
    assert Story(100).send(BUY, LIMIT, "1", **prices).status == "invalidPrice"


def test_stop_without_a_trigger_price_is_refused():
    story = Story(100)
    story.send(BUY, MARKET, "1")

    assert story.send(SELL, STOP, "1", limit_price=90, reduce_only=True).status == "invalidPrice"


def test_order_beyond_the_margin_is_refused_and_one_that_reduces_never_is():
    story = Story(100, cash=10)
    assert story.send(BUY, MARKET, "6").status == "insufficientAvailableFunds"
    assert story.send(BUY, MARKET, "4").status == "placed"
    assert story.send(BUY, LIMIT, "4", limit_price=90).status == "insufficientAvailableFunds"

    assert story.send(SELL, MARKET, "4", reduce_only=True).status == "placed"


# --- money ----------------------------------------------------------------------------------------------------------


def test_average_entry_and_profit():
    story = Story(100)
    story.send(BUY, MARKET, "1")
    story.price(200)
    story.send(BUY, MARKET, "1")
    assert story.me.positions["PF_XBTUSD"].entry_price == Decimal(151)

    story.price(300)
    story.send(SELL, MARKET, "1")

    assert story.me.realised == 299 - 151
    assert story.me.positions["PF_XBTUSD"].entry_price == Decimal(151)
    assert story.venue.margin("me").equity == 10000 - story.me.fees + 148 + 149


def test_order_through_flat_turns_the_position_at_the_new_price():
    story = Story(100)
    story.send(BUY, MARKET, "1")

    story.send(SELL, MARKET, "3")

    held = story.me.positions["PF_XBTUSD"]
    assert (held.qty, held.entry_price) == (Decimal(-2), Decimal(99))
    assert story.me.realised == 99 - 101


# --- cancel, edit, dead-man switch --------------------------------------------------------------------------------


def test_cancel_tells_filled_from_not_found():
    """Trap 4.3.7: the two mean opposite things."""
    story = Story(100)
    filled = story.send(BUY, MARKET, "1")
    resting = story.send(BUY, LIMIT, "1", limit_price=90, client_order_id="mine")

    assert story.venue.cancel("me", story.now, order_id=filled.order.order_id).status == "filled"
    assert story.venue.cancel("me", story.now, client_order_id="mine").status == "cancelled"
    assert story.venue.cancel("me", story.now, order_id=resting.order.order_id).status == "notFound"
    assert story.venue.cancel("me", story.now, order_id="nobody").status == "notFound"


def test_edit_moves_a_waiting_stop():
    story = Story(100)
    story.send(BUY, MARKET, "1")
    stop = story.send(SELL, STOP, "1", stop_price=90, reduce_only=True)

    verdict = story.venue.edit("me", story.now, order_id=stop.order.order_id, stop_price=Decimal(95))

    assert verdict.status == "edited"
    story.price(95)
    assert story.position == 0


def test_edit_refuses_what_it_must():
    story = Story(100)
    resting = story.send(BUY, LIMIT, "1", limit_price=90).order.order_id

    def edit(**changes):
        return story.venue.edit("me", story.now, **{"order_id": resting, **changes}).status

    assert edit(order_id="nobody", qty=Decimal(1)) == "orderForEditNotFound"
    assert edit(stop_price=Decimal(80)) == "orderForEditNotAStop"
    assert edit(qty=Decimal("0.001")) == "invalidSize"
    assert edit(limit_price=Decimal("0.5")) == "invalidPrice"
    assert edit(qty=Decimal(1_000_000)) == "insufficientAvailableFunds"
    assert edit(expires_at=story.now - timedelta(seconds=1)) == "wouldProcessAfterSpecifiedTime"


def test_dead_man_switch_cancels_everything_once_its_time_has_come_stops_included():
    story = Story(100)
    story.send(BUY, MARKET, "1")
    story.send(SELL, STOP, "1", stop_price=90, reduce_only=True)
    story.venue.arm_dead_man("me", 60, story.now)

    story.wait(59)
    assert len(story.me.open_orders()) == 1
    story.wait(1)

    assert story.me.open_orders() == []
    assert story.me.events[-1].reason == "dead_man_switch"


def test_dead_man_switch_disarmed_with_zero_cancels_nothing():
    story = Story(100)
    story.send(BUY, LIMIT, "1", limit_price=90)
    story.venue.arm_dead_man("me", 60, story.now)
    story.venue.arm_dead_man("me", 0, story.now)

    story.wait(600)

    assert len(story.me.open_orders()) == 1


# --- naked time -----------------------------------------------------------------------------------------------------


def test_naked_time_runs_from_the_fill_until_a_stop_of_the_full_size_stands():
    story = Story(100)
    story.send(BUY, MARKET, "1")
    story.wait(3)
    story.send(SELL, STOP, "0.9", stop_price=90, reduce_only=True)
    story.wait(2)

    story.send(SELL, STOP, "1", stop_price=90, reduce_only=True)
    story.wait(100)

    assert story.me.episodes[0].naked_seconds(story.now) == (5.0, 5.0)


def test_naked_time_starts_again_when_the_stop_is_cancelled_and_ends_with_the_position():
    story = Story(100)
    story.send(BUY, MARKET, "1")
    story.wait(1)
    stop = story.send(SELL, STOP, "1", stop_price=90, reduce_only=True)
    story.wait(10)
    story.venue.cancel("me", story.now, order_id=stop.order.order_id)
    story.wait(4)

    story.send(SELL, MARKET, "1")
    story.wait(50)

    assert story.me.episodes[0].naked_seconds(story.now) == (5.0, 4.0)
    assert story.me.episodes[0].closed_at is not None


def test_stop_that_is_not_reduce_only_or_on_the_wrong_side_protects_nothing():
    story = Story(100)
    story.send(BUY, MARKET, "1")
    story.send(SELL, STOP, "1", stop_price=90)
    story.wait(2)

    assert story.me.episodes[0].naked_seconds(story.now) == (2.0, 2.0)


# --- what holds whatever is asked -------------------------------------------------------------------------------

SIZES = st.integers(1, 300).map(lambda hundredths: str(Decimal(hundredths) / 100))
PRICES = st.integers(80, 120)
ASK = st.tuples(
    st.sampled_from([BUY, SELL]), st.sampled_from(list(OrderKind)), SIZES, PRICES, PRICES, st.booleans(), st.booleans()
)
STEPS = st.lists(st.one_of(PRICES, ASK), max_size=40)


@given(steps=STEPS, liquidity=st.sampled_from([None, "0.05", "1"]))
def test_whatever_happens_the_books_agree(steps, liquidity):
    story = Story(100, cash=300, liquidity=liquidity)
    for step in steps:
        before = story.position
        if isinstance(step, int):
            story.price(step)
            continue
        side, kind, qty, limit, stop, with_limit, reduce_only = step
        prices = {"limit_price": limit} if with_limit or not kind.is_conditional else {}
        story.send(side, kind, qty, stop_price=stop, reduce_only=reduce_only, **prices)
        if reduce_only and kind in (MARKET, IOC, LIMIT):
            assert abs(story.position) <= abs(before)
            assert story.position * before >= 0

    account = story.me
    signed = [fill.qty if fill.order.side is BUY else -fill.qty for fill in account.executions]
    assert story.position == sum(signed, Decimal(0))
    for order in account.orders.values():
        filled = sum((f.qty for f in account.executions if f.order.order_id == order.order_id), Decimal(0))
        assert order.filled == filled <= order.qty
        assert (order.order_id in account.open_ids) == order.is_open
    for side in (BUY, SELL):
        resting = [o.remaining for o in account.resting_reduce_only("PF_XBTUSD") if o.side is side]
        assert sum(resting, Decimal(0)) <= account.reducible("PF_XBTUSD", side)
    # an average entry may need more than the 28 digits that Decimal keeps
    assert abs(account.cash - (300 + account.realised - account.fees)) < Decimal("1e-20")


@given(steps=STEPS)
def test_reduce_only_executions_never_enlarge_or_turn_a_position(steps):
    story = Story(100, liquidity="0.5")
    for step in steps:
        if isinstance(step, int):
            story.price(step)
        else:
            side, kind, qty, limit, stop, _, reduce_only = step
            story.send(side, kind, qty, stop_price=stop, limit_price=limit, reduce_only=reduce_only)

    position = Decimal(0)
    for fill in story.me.executions:
        after = position + (fill.qty if fill.order.side is BUY else -fill.qty)
        if fill.order.reduce_only:
            assert abs(after) < abs(position)
            assert after * position >= 0
        position = after


def test_same_calls_with_the_same_seed_give_the_same_ids():
    def fill_ids() -> list[str]:
        story = Story(100)
        story.send(BUY, MARKET, "1")
        return [fill.fill_id for fill in story.me.executions]

    assert fill_ids() == fill_ids()

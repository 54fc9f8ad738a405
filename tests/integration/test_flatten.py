"""A person wants out: entries stop, exits are reduce-only, stops go last, and it goes on after any restart."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from live.events import Ask, FlattenDone, OrderIntended, PersonAsked
from live.live_trading import LiveTrading
from live.model import Leg, OrderSide, Rejected, VenuePosition
from live.position import Phase
from live.status import HaltCause
from tests.integration.test_live_trading import BEGAN, BTC, SETTINGS, Stage, live_stops, the_position


def ask(stage: Stage, action: Ask = Ask.FLATTEN, symbol: str | None = None) -> None:
    """What the command writes down; the latch is set with it, as there."""
    number = len(stage.store.asked) + 1
    asked = PersonAsked(
        at=stage.clock.now(), request_id=number, action=action, symbol=symbol, reason="enough", who="ann@desk"
    )
    stage.store.asked.append(("scope", asked))


async def halt(worker: LiveTrading, cause: HaltCause = HaltCause.FLATTEN) -> None:
    await worker._journal.halt("enough", by="ann@desk", cause=cause)


async def done(stage: Stage, worker: LiveTrading) -> list[int]:
    return [event.request_id for event in await stage.events(worker) if isinstance(event, FlattenDone)]


async def test_a_held_position_is_closed_at_market_and_its_orders_go_only_once_it_is_flat() -> None:
    stage = Stage()
    worker = await stage.protected()
    sent_before = len(stage.venue.sent)
    ask(stage)
    await halt(worker)

    await stage.ticked(worker, 6)

    exits = stage.venue.sent[sent_before:]
    assert [spec.leg for spec in exits] == [Leg.EXIT]
    assert all(spec.reduce_only for spec in exits)
    assert the_position(worker).phase is Phase.CLOSED
    assert await stage.venue.positions() == []
    assert await stage.venue.open_orders() == []
    assert await done(stage, worker) == [1]
    kinds = [event.kind for event in await stage.events(worker)]
    assert kinds.index("person_asked") < len(kinds) - 1 - kinds[::-1].index("cancel_intended")


async def test_the_stop_stays_until_the_exit_has_filled() -> None:
    """W22: the stop was cancelled first, and a failed close left the position naked."""
    stage = Stage()
    worker = await stage.protected()
    stage.venue.refused_legs = {Leg.EXIT}
    ask(stage)

    await stage.ticked(worker, 10)

    assert the_position(worker).qty > 0
    assert live_stops(worker), "an exit that the venue refuses costs no stop"
    assert await done(stage, worker) == []
    assert any("protected" in words for words in worker.status.flattening)

    stage.venue.refused_legs = set()
    await stage.ticked(worker, 30)

    assert the_position(worker).phase is Phase.CLOSED
    assert await done(stage, worker) == [1]


async def test_a_resting_entry_is_taken_back() -> None:
    stage = Stage()
    worker = await stage.entered()
    ask(stage)

    await stage.ticked(worker, 6)

    assert await stage.venue.open_orders() == []
    assert the_position(worker).phase is Phase.CANCELLED
    assert await done(stage, worker) == [1]


async def test_nothing_is_entered_while_a_request_is_open_even_if_somebody_resumed() -> None:
    stage = Stage()
    worker = await stage.booted()
    stage.venue.unreadable = True
    ask(stage)
    await stage.ticked(worker)
    stage.venue.unreadable = False

    await stage.ticked(worker)

    assert stage.venue.sent == []
    assert worker.book.flattening, "one reading that shows nothing is not believed"


async def test_a_request_goes_on_after_a_crash_and_exits_once() -> None:
    stage = Stage()
    worker = await stage.protected()
    stage.venue.refused_legs = {Leg.EXIT}
    ask(stage)
    await stage.ticked(worker, 2)
    stage.venue.refused_legs = set()

    successor = await stage.booted()
    await stage.ticked(successor, 12)

    exits = [spec for spec in stage.venue.sent if spec.leg is Leg.EXIT]
    assert len(exits) == 1
    assert await stage.venue.positions() == []
    assert await done(stage, successor) == [1]


async def test_a_lost_reply_to_the_exit_never_opens_the_other_side() -> None:
    stage = Stage()
    worker = await stage.protected()
    stage.venue.lost_replies = 1
    ask(stage)

    await stage.ticked(worker, 10)

    assert await stage.venue.positions() == []
    assert len([spec for spec in stage.venue.sent if spec.leg is Leg.EXIT]) == 1
    assert await done(stage, worker) == [1]


async def test_an_outage_half_way_keeps_the_request() -> None:
    stage = Stage()
    worker = await stage.protected()
    stage.venue.positions_unreadable = True
    ask(stage)
    await stage.ticked(worker, 5)
    assert await done(stage, worker) == [], "what cannot be read is not flat"

    stage.venue.positions_unreadable = False
    await stage.ticked(worker, 6)

    assert await done(stage, worker) == [1]


async def test_another_symbol_is_left_alone() -> None:
    stage = Stage()
    worker = await stage.protected()
    ask(stage, symbol="ETH/USD:USD")

    await stage.ticked(worker, 4)

    assert the_position(worker).phase is Phase.PROTECTED
    assert await done(stage, worker) == [1]


async def test_a_withdrawn_request_closes_nothing_more() -> None:
    stage = Stage()
    worker = await stage.protected()
    stage.venue.refused_legs = {Leg.EXIT}
    ask(stage)
    await stage.ticked(worker, 3)
    ask(stage, Ask.WITHDRAW)
    stage.venue.refused_legs = set()

    await stage.ticked(worker, 30)

    assert the_position(worker).phase is Phase.PROTECTED
    assert not worker.book.flattening


async def test_a_persons_position_that_was_only_frozen_is_closed_when_a_person_asks() -> None:
    """It is never closed by itself (I3); asking for everything flat is a person's word on it."""
    stage = Stage()
    worker = await stage.booted(replace(SETTINGS, live_foreign_positions="freeze"))
    await halt(worker)
    await stage.ticked(worker)
    await stage.trade_by_hand(OrderSide.BUY)
    await stage.ticked(worker, 4)
    assert worker.book.frozen and await stage.venue.positions(), "seen, and left alone"

    ask(stage)
    await stage.ticked(worker, 8)

    assert await stage.venue.positions() == []
    assert await done(stage, worker) == [1]
    assert not worker.book.frozen


async def shown_once(stage: Stage) -> LiveTrading:
    """A worker that is asked to be flat while a person buys; one list has shown the contracts, the next ones do not."""
    worker = await stage.booted()
    ask(stage)
    await stage.trade_by_hand(OrderSide.BUY)
    await stage.ticked(worker)
    stage.venue.shown_flat = True
    return worker


async def test_lists_that_lack_what_was_shown_a_moment_ago_make_no_flatten_done() -> None:
    """Seed 1985 of the simulation: 16 s of lists without a person's contracts, and they outlived the request."""
    stage = Stage()
    worker = await shown_once(stage)

    await stage.ticked(worker, 16)
    assert await done(stage, worker) == []
    assert any(f"{BTC} was shown at the venue" in words for words in worker.status.flattening)
    stage.venue.shown_flat = False
    await stage.ticked(worker, 8)

    assert await stage.venue.positions() == []
    assert await done(stage, worker) == [1]


async def test_what_was_shown_and_stays_away_for_a_minute_is_believed_gone() -> None:
    stage = Stage()
    worker = await shown_once(stage)
    await stage.trade_by_hand(OrderSide.SELL)

    await stage.ticked(worker, 59)
    assert await done(stage, worker) == []
    await stage.ticked(worker, 2)

    assert await done(stage, worker) == [1], "two readings in a row, the minute over"


async def test_a_position_shown_as_it_was_before_its_exits_fill_holds_nothing_up() -> None:
    """Positions are read before fills: what filled in between explains the size that the list still shows."""
    stage = Stage()
    worker = await stage.protected()
    read, still = stage.venue.positions, await stage.venue.positions()
    ask(stage)
    await stage.ticked(worker)

    async def as_before() -> list[VenuePosition]:
        stage.venue.positions = read  # type: ignore[method-assign]
        return still

    stage.venue.positions = as_before  # type: ignore[method-assign]
    await stage.ticked(worker)
    assert the_position(worker).qty == 0
    await stage.ticked(worker, 5)

    assert await done(stage, worker) == [1]


async def test_draining_keeps_an_open_request_for_the_successor() -> None:
    stage = Stage()
    worker = await stage.protected()
    stage.venue.refused_legs = {Leg.EXIT}
    ask(stage)
    await stage.ticked(worker)
    worker.stop()
    await worker.drain()
    assert live_stops(worker)

    stage.venue.refused_legs = set()
    successor = await stage.booted()
    await stage.ticked(successor, 12)

    assert await done(stage, successor) == [1]


@pytest.mark.parametrize("cause", list(HaltCause))
async def test_no_cause_of_a_halt_ever_closes_a_position_or_takes_its_stop(cause: HaltCause) -> None:
    """W2, I35, I38: infrastructure never flattens; only a person's own request does."""
    stage = Stage()
    worker = await stage.protected()
    stops = live_stops(worker)

    await halt(worker, cause)
    await stage.ticked(worker, 10)
    successor = await stage.booted()
    await stage.ticked(successor, 5)

    assert live_stops(successor) == stops
    assert not [event for event in await stage.events(successor) if _is_exit(event)]
    assert successor.status.halted and successor.status.halt_cause == cause


def _is_exit(event: object) -> bool:
    return isinstance(event, OrderIntended) and event.spec.leg is Leg.EXIT


async def test_a_refused_exit_is_asked_for_again_and_again() -> None:
    stage = Stage()
    worker = await stage.protected()
    refused: list[Rejected] = []
    submit = stage.venue.submit

    async def counted(spec, **more):  # type: ignore[no-untyped-def]
        outcome = await submit(spec, **more)
        if isinstance(outcome, Rejected):
            refused.append(outcome)
        return outcome

    stage.venue.submit = counted  # type: ignore[method-assign]
    stage.venue.refused_legs = {Leg.EXIT}
    ask(stage)

    await stage.ticked(worker, 60)

    assert 5 <= len(refused) <= 40, "retried for as long as it is wanted, and not each tick"
    assert the_position(worker).phase is Phase.PROTECTED


def test_the_request_covers_one_symbol_or_all() -> None:
    one = PersonAsked(at=BEGAN, request_id=1, action=Ask.FLATTEN, symbol=BTC, reason="r", who="w")

    assert one.covers(BTC) and not one.covers("ETH/USD:USD")


async def test_an_exit_that_fills_in_part_is_followed_by_one_for_the_rest() -> None:
    stage = Stage()
    worker = await stage.protected()
    held = the_position(worker).qty
    asked, first = stage.venue._asked, True

    def thin(spec, expires_at):  # type: ignore[no-untyped-def]
        nonlocal first
        order = asked(spec, expires_at)
        if spec.leg is Leg.EXIT and first:
            first = False
            return replace(order, first_fill_fraction=Decimal("0.4"))
        return order

    stage.venue._asked = thin  # type: ignore[method-assign]
    ask(stage)

    await stage.ticked(worker, 20)

    exits = [spec.qty for spec in stage.venue.sent if spec.leg is Leg.EXIT]
    assert exits[0] == held
    assert await stage.venue.positions() == []
    assert await done(stage, worker) == [1]

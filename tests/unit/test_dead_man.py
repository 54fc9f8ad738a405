"""When the venue's dead-man switch is armed: never while a stop exists or will be needed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.book import Book, fold
from live.dead_man import DeadMan, Switch, Wish, after, due, wish
from live.events import Event
from live.model import Leg, VenueOrder, VenuePosition
from live.reconcile import Reading
from tests import builders as b

MINUTE = timedelta(seconds=60)


def book(*events: Event) -> Book:
    return fold(events)


def reading(orders: Sequence[VenueOrder] = (), positions: Sequence[VenuePosition] = ()) -> Reading:
    return Reading(b.T0, list(positions), list(orders), [])


ENTRY = b.spec()
STOP = b.spec(Leg.STOP, seq=2)
RESTING = (b.approved(), *b.live(ENTRY))
HELD = (*RESTING, b.filled(ENTRY))


def test_it_is_armed_while_nothing_but_our_entries_rests() -> None:
    assert wish(book(*RESTING), reading([b.venue_order(ENTRY)])) is Wish.ARMED


def test_an_entry_whose_reply_was_lost_counts_as_resting() -> None:
    assert wish(book(b.approved(), b.intended(ENTRY)), reading()) is Wish.ARMED


@pytest.mark.parametrize(
    ("events", "orders", "positions"),
    [
        ((), [], []),  # nothing rests: there is nothing to cancel
        (HELD, [], [b.venue_position()]),  # a position needs a stop next
        ((*HELD, *b.live(STOP)), [b.venue_order(STOP)], [b.venue_position()]),  # a stop depends on it
        (RESTING, [b.venue_order(ENTRY)], [b.venue_position()]),  # the fill is not in the book yet
        (RESTING, [b.venue_order(ENTRY)], [b.venue_position(symbol="ETH/USD:USD")]),  # somebody else's position
        (RESTING, [b.venue_order(ENTRY), b.venue_order(STOP)], []),  # a stop that the book does not know
        (RESTING, [b.venue_order(ENTRY), b.venue_order(ENTRY, client_order_id=None)], []),  # a person's order
    ],
)
def test_it_is_disarmed_where_it_would_cancel_more_than_our_entries(
    events: tuple[Event, ...], orders: list[VenueOrder], positions: list[VenuePosition]
) -> None:
    assert wish(book(*events), reading(orders, positions)) is Wish.DISARMED


def test_a_venue_that_cannot_be_read_renews_nothing_and_still_frees_the_stops() -> None:
    """Then it fires and takes the entries back, which is what it is for."""
    assert wish(book(*RESTING), None) is Wish.LEFT_ALONE
    assert wish(book(*HELD), None) is Wish.DISARMED


def test_it_is_renewed_four_times_within_its_own_time() -> None:
    armed = after(Switch(None), 60, confirmed=True, now=b.at(0))

    assert due(Switch(None), Wish.ARMED, b.at(0), MINUTE) == 60
    assert due(armed, Wish.ARMED, b.at(14), MINUTE) is None
    assert due(armed, Wish.ARMED, b.at(15), MINUTE) == 60


def test_it_is_disarmed_once_and_only_where_it_may_be_armed() -> None:
    armed = after(Switch(None), 60, confirmed=True, now=b.at(0))

    assert due(armed, Wish.DISARMED, b.at(30), MINUTE) == 0
    assert due(after(armed, 0, confirmed=True, now=b.at(30)), Wish.DISARMED, b.at(31), MINUTE) is None
    assert due(Switch(None), Wish.DISARMED, b.at(0), MINUTE) is None
    assert due(armed, Wish.DISARMED, b.at(61), MINUTE) is None  # it has fired, or there was nothing to cancel


def test_an_arming_without_a_reply_may_have_been_heard() -> None:
    doubtful = after(Switch(None), 60, confirmed=False, now=b.at(0))

    assert due(doubtful, Wish.ARMED, b.at(1), MINUTE) == 60
    assert due(doubtful, Wish.DISARMED, b.at(1), MINUTE) == 0


def test_a_disarming_without_a_reply_is_tried_again_until_it_is_confirmed() -> None:
    doubtful = after(after(Switch(None), 60, confirmed=True, now=b.at(0)), 0, confirmed=False, now=b.at(5))

    assert due(doubtful, Wish.DISARMED, b.at(6), MINUTE) == 0


@given(
    st.lists(
        st.tuples(st.sampled_from(Wish), st.booleans(), st.booleans(), st.floats(0.5, 40)), min_size=1, max_size=30
    )
)
def test_what_is_believed_to_be_off_is_off(steps: list[tuple[Wish, bool, bool, float]]) -> None:
    """heard: the venue did it; reply: we were told so. Whatever was lost, what is believed to be off never fires."""
    switch, fires_at, seconds_now = Switch(None), None, 0.0
    for wanted, heard, reply, passed in steps:
        seconds_now += passed
        now = b.at(seconds_now)
        fires_at = None if fires_at is not None and fires_at <= now else fires_at
        seconds = due(switch, wanted, now, MINUTE)
        if seconds is not None:
            if heard:
                fires_at = now + timedelta(seconds=seconds) if seconds else None
            switch = after(switch, seconds, confirmed=heard and reply, now=now)
        assert fires_at is None or switch.may_fire(now), steps


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> object:
        return b.at(self.seconds)


def tended(timeout: int | None, held: Book, clock: Clock, asked: list[int], *, confirms: bool = True) -> DeadMan:
    async def set_switch(seconds: int) -> bool:
        asked.append(seconds)
        return confirms

    return DeadMan(timeout, book=held, clock=clock, set_switch=set_switch, narrate=lambda _: None)  # type: ignore[arg-type]


async def test_off_it_asks_nothing() -> None:
    asked: list[int] = []

    await tended(None, book(*HELD), Clock(), asked).tend(reading())

    assert asked == []


async def test_the_first_tending_disarms_what_a_predecessor_may_have_armed() -> None:
    asked: list[int] = []
    man = tended(60, book(*HELD), Clock(), asked)

    await man.tend(reading(positions=[b.venue_position()]))
    await man.tend(reading(positions=[b.venue_position()]))

    assert asked == [0]


async def test_an_unconfirmed_disarming_is_repeated_for_as_long_as_it_could_fire() -> None:
    asked: list[int] = []
    clock = Clock()
    man = tended(60, book(*HELD), clock, asked, confirms=False)
    for _ in range(5):
        await man.tend(None)
        clock.seconds += 15

    assert asked == [0, 0, 0, 0]  # after 60 s it is spent

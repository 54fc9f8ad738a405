"""The venue's list of contracts: what is believed at once, what needs a second reading, and what it may be used for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.book import Book, fold
from live.decode import unreadable
from live.events import Event
from live.listing import WHOLE_LIST, Listing, accept
from live.listing_watch import SECOND_READING, ListingWatch
from live.model import Denied, Instrument
from live.settings import Settings
from tests.builders import BTC, T0, approved, at, d, filled, instrument, intended, live, spec

ETH, SOL = "ETH/USD:USD", "SOL/USD:USD"
NEEDED = {BTC}
HOUR = timedelta(hours=1)


def listed(*names: str, **changes: object) -> dict[str, Instrument]:
    """Contracts of these symbols, the first with changes."""
    found = {name: instrument(symbol=name, venue_id=f"PF_{name[:3]}USD") for name in names}
    return found | {names[0]: replace(found[names[0]], **changes)}  # type: ignore[arg-type]


MANY = listed(BTC, ETH, *(f"X{number}/USD:USD" for number in range(98)))


def after(*readings: Mapping[str, Instrument], needed: set[str] = NEEDED) -> Listing:
    """The listing after these readings, a minute apart."""
    known: Listing | None = None
    for minute, read in enumerate(readings):
        known = accept(known, read, at(60 * minute), needed=needed, max_shrink_pct=d(20))
    assert known is not None
    return known


def without(*names: str) -> dict[str, Instrument]:
    return {name: each for name, each in MANY.items() if name not in names}


def test_a_list_as_before_is_believed_at_once() -> None:
    listing = after(MANY, without("X1/USD:USD"))

    assert (listing.doubts, listing.read_at) == ({}, at(60))
    assert "X1/USD:USD" not in listing.tradeable


def test_a_universe_that_collapses_is_not_believed() -> None:
    """I30: 247 contracts became 11 after a failure in discovery."""
    collapsed = after(MANY, listed(BTC, ETH))

    assert collapsed.tradeable == MANY.keys()
    assert collapsed.doubts == {WHOLE_LIST: "only 2 of 100 contracts are still listed"}


def test_a_second_reading_that_agrees_is_believed() -> None:
    listing = after(MANY, listed(BTC, ETH), listed(BTC, ETH))

    assert (listing.tradeable, listing.doubts) == ({BTC, ETH}, {})


def test_two_degraded_lists_that_differ_are_not_two_readings() -> None:
    listing = after(MANY, listed(BTC, ETH), listed(BTC, SOL))

    assert listing.tradeable == MANY.keys()


def test_a_good_list_ends_the_doubt() -> None:
    listing = after(MANY, listed(BTC, ETH), MANY)

    assert (listing.doubts, listing.read_at) == ({}, at(120))


@pytest.mark.parametrize("name", ["tick_size", "qty_step", "min_qty", "contract_size"])
def test_other_sizes_of_a_needed_contract_need_a_second_reading(name: str) -> None:
    """I44: another process wrote its own specs over the live ones."""
    changed = MANY | listed(BTC, **{name: d(7)})

    doubted, believed = after(MANY, changed), after(MANY, changed, changed)

    assert name in doubted.doubts[BTC]
    assert doubted.instruments[BTC] == MANY[BTC]
    assert getattr(believed.instruments[BTC], name) == d(7)


def test_margins_may_change_at_once() -> None:
    assert after(MANY, MANY | listed(BTC, max_leverage=d(10))).instruments[BTC].max_leverage == d(10)


def test_what_is_held_keeps_its_last_good_spec_when_it_is_delisted() -> None:
    """Stops and exits are sized by it; only entries stop."""
    listing = after(MANY, without(BTC), without(BTC))

    assert listing.instruments[BTC] == MANY[BTC]
    assert isinstance(denied := listing.for_entry(BTC, at(120), d(120)), Denied)
    assert denied.code == "not-listed"


def test_a_doubted_contract_is_not_entered_and_others_are() -> None:
    listing = after(MANY, without(BTC))

    assert isinstance(denied := listing.for_entry(BTC, at(60), d(120)), Denied)
    assert denied.code == "listing-doubted"
    assert listing.for_entry(ETH, at(60), d(120)) == MANY[ETH]


def test_an_old_list_is_not_entered_by_and_says_how_old_it_is() -> None:
    listing = after(MANY)

    assert listing.for_entry(BTC, T0 + HOUR, d(60)) == MANY[BTC]
    assert isinstance(denied := listing.for_entry(BTC, T0 + 2 * HOUR, d(60)), Denied)
    assert (denied.code, denied.measured, denied.limit, denied.unit) == ("listing-age", d(120), d(60), "min")


readings = st.lists(
    st.dictionaries(st.sampled_from([BTC, ETH, SOL]), st.sampled_from([d(1), d(2)]), min_size=1).map(
        lambda ticks: {name: instrument(symbol=name, tick_size=tick) for name, tick in ticks.items()}
    ),
    min_size=1,
    max_size=8,
)


@given(readings)
def test_no_row_of_readings_loses_a_spec_or_believes_a_change_told_once(rows: list[dict[str, Instrument]]) -> None:
    for count in range(1, len(rows)):
        before, now = after(*rows[:count]), after(*rows[: count + 1])

        assert before.instruments.keys() <= now.instruments.keys()
        if BTC in before.tradeable and now.instruments[BTC] != before.instruments[BTC]:
            assert rows[count - 1].get(BTC) == rows[count][BTC], "told twice in a row"


@given(readings)
def test_a_list_told_twice_in_a_row_is_always_believed(rows: list[dict[str, Instrument]]) -> None:
    """No row of degraded readings can shut a worker out of a true list for good."""
    assert after(*rows, rows[-1]).tradeable == rows[-1].keys()


# --- the watch --------------------------------------------------------------------------------------------------------


@dataclass
class World:
    """A venue that lists what it is told to, on a clock that stands until it is moved."""

    lists: Mapping[str, Instrument] | None
    seconds: float = 0.0
    asked: int = 0
    hangs_seconds: float = 0.0
    said: list[str] = field(default_factory=list)

    def now(self) -> datetime:
        return at(self.seconds)

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    async def instruments(self) -> dict[str, Instrument]:
        self.asked += 1
        self.seconds += self.hangs_seconds
        if self.lists is None:
            raise unreadable("no answer")
        return dict(self.lists)


def watch(world: World, book: Book | None = None) -> ListingWatch:
    return ListingWatch(
        venue=world,  # type: ignore[arg-type]
        book=book or Book(),
        clock=world,
        settings=Settings(live_symbols=(BTC,)),
        narrate=world.said.append,
        alert=lambda key, text: world.said.append(f"alert {key}: {text}"),
    )


async def test_before_the_first_reading_nothing_is_entered() -> None:
    assert isinstance(watch(World(MANY)).for_entry(BTC), Denied)


async def test_the_list_is_read_again_on_its_cadence() -> None:
    world = World(MANY)
    one = watch(world)
    await one.read()

    for world.seconds in (60, 899, 900, 901):
        await one.refresh()

    assert world.asked == 2


async def test_a_venue_that_cannot_tell_leaves_the_last_good_list_until_it_is_too_old() -> None:
    world = World(MANY)
    one = watch(world)
    await one.read()
    world.lists = None

    for world.seconds in range(900, 7400, 60):
        await one.refresh()

    denied = one.for_entry(BTC)
    assert isinstance(denied, Denied) and denied.code == "listing-age"
    assert one.instruments[BTC] == MANY[BTC], "exits keep it"
    assert world.said[0] == "the venue's list could not be read: no answer"


async def test_a_doubted_list_is_said_aloud_and_read_again_soon() -> None:
    world = World(MANY)
    one = watch(world)
    await one.read()
    world.lists = without(BTC)

    world.seconds = 900
    await one.refresh()
    assert world.said[0] == f"the venue's list is doubted: {BTC} no longer listed"
    assert world.said[1].startswith(f"alert listing {BTC}: ")
    world.seconds += SECOND_READING.total_seconds()
    await one.refresh()

    assert world.asked == 3
    assert isinstance(denied := one.for_entry(BTC), Denied) and denied.code == "not-listed"


async def test_a_held_contract_is_needed_even_when_it_is_not_traded_any_more() -> None:
    world = World(MANY)
    one = watch(world, fold([approved(symbol=ETH)]))
    await one.read()
    world.lists = without(ETH)

    await one.read()

    assert any("no longer listed" in said for said in world.said)


@pytest.mark.parametrize(
    ("events", "asked"),
    [
        ([approved(), *live(spec()), filled(spec())], 1),
        ([approved(), intended(spec())], 1),
        ([approved(), *live(spec())], 2),
    ],
)
async def test_nothing_is_read_while_a_stop_is_due_or_an_order_undecided(events: list[Event], asked: int) -> None:
    """A list of a thousand contracts must not stand before a stop; an entry that rests for hours holds up nothing."""
    world = World(MANY)
    one = watch(world, fold(events))
    await one.read()
    world.seconds = 10_000

    await one.refresh()

    assert world.asked == asked


# --- a list that the venue contradicts --------------------------------------------------------------------------------

NAKED: list[Event] = [approved(), *live(spec()), filled(spec())]
NEW_TICK = MANY | listed(BTC, tick_size=d(7))


async def read_while_contradicted(*lists: Mapping[str, Instrument] | None, seconds: int) -> list[float]:
    """When the list was read, in s since a naked position's stop was first refused for its price; ticks are quick.

    lists: what the venue tells from then on, reading by reading, then the last. It refuses until ours is NEW_TICK.
    """
    world = World(MANY)
    one = watch(world, fold(NAKED))
    world.seconds = -60
    await one.read()
    reads: list[float] = []
    for world.seconds in (tick / 4 for tick in range(4 * seconds + 1)):
        asked = world.asked
        world.lists = lists[min(len(reads), len(lists) - 1)]
        if one.instruments[BTC] != NEW_TICK[BTC]:
            one.contradicted()
        await one.refresh()
        reads += [world.seconds] * (world.asked - asked)
    return reads


async def test_a_contradicted_list_is_read_at_once_though_a_stop_is_due_and_a_second_later_to_be_believed() -> None:
    assert await read_while_contradicted(NEW_TICK, seconds=10) == [0, 1]


async def test_a_contradicted_list_that_never_says_the_same_twice_is_read_once_a_second_and_not_in_every_tick() -> None:
    degraded = [without(f"X{number}/USD:USD") | listed(BTC, tick_size=d(number + 2)) for number in range(4)]

    assert await read_while_contradicted(*degraded, seconds=3) == [0, 1, 2, 3]


async def test_a_contradicted_list_that_cannot_be_read_is_not_asked_for_in_every_tick_either() -> None:
    """Each such reading may cost a look at what is held the whole patience of a request."""
    assert await read_while_contradicted(None, seconds=3) == [0, 1, 2, 3]


async def test_a_contradicted_list_that_agrees_with_ours_is_read_once_a_second_however_often_it_refuses() -> None:
    assert await read_while_contradicted(MANY, seconds=3) == [0, 1, 2, 3]


@pytest.mark.parametrize("hangs_seconds", [0.5, 3, 10])
async def test_a_contradicted_list_that_hangs_takes_a_tenth_of_the_time_at_most(hangs_seconds: float) -> None:
    """Each look waited for it, and a position whose stop was refused stayed naked beyond its bound."""
    world = World(MANY)
    one = watch(world, fold(NAKED))
    world.seconds = -60
    await one.read()
    world.lists, world.seconds, asked, world.hangs_seconds = None, 0, world.asked, hangs_seconds

    while world.seconds < 120:
        one.contradicted()
        await one.refresh()
        world.seconds += 0.25

    assert 1 < world.asked - asked <= 1 + 120 / (10 * hangs_seconds)

"""What the fold of the journal remembers, and what no restart forgives."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from live.book import CLOSED_KEPT, IDS_FORGOTTEN_AT_ONCE, IDS_KEPT, Book, fold
from live.events import (
    Adopted,
    Decided,
    EquityObserved,
    Event,
    Filled,
    OrderCancelled,
    OrderRejected,
    SymbolFrozen,
    SymbolThawed,
)
from live.model import Leg, Side
from live.position import IllegalTransition, Phase
from live.position.order import NEVER_ARRIVED
from tests.builders import BTC, T0, accepted, approved, at, d, equity, fill, filled, intended, live, spec

ENTRY = spec(Leg.ENTRY, 1)
STOP = spec(Leg.STOP, 2)


def stopped_out(price: str) -> list[Event]:
    return [approved(), *live(ENTRY), filled(ENTRY), *live(STOP, 2), filled(STOP, "1", price, 5)]


def test_a_position_in_flight_counts_as_a_position() -> None:
    """I6: the next cycle saw no position and entered again every two minutes."""
    book = fold([approved(), intended(ENTRY)])

    position = book.position_on(BTC)

    assert position is not None and position.phase is Phase.ENTERING


def test_a_second_position_on_a_symbol_is_illegal() -> None:
    """Invariant A."""
    with pytest.raises(IllegalTransition, match="open already"):
        fold([approved(), intended(ENTRY), approved(position_id="ps-abc-1-7")])


def test_a_fill_counts_once_however_often_the_venue_repeats_it() -> None:
    """Invariant G; I42."""
    once = filled(ENTRY, "0.5", fill_id="same")

    book = fold([approved(), *live(ENTRY), once, once, once])

    assert book.positions["ps-abc-1-1"].qty == d("0.5")


def test_a_fill_joins_its_order_through_the_venues_id() -> None:
    """trap 4.3.11: fills carry order_id but no client order id."""
    book = fold([approved(), *live(ENTRY)])

    order = book.order_of(None, f"v-{ENTRY.client_order_id}")

    assert order is not None and order.spec == ENTRY


def test_peak_and_day_start_survive_because_they_are_folds() -> None:
    """I12, W25: each restart forgave the drawdown."""
    book = fold([equity("10000"), equity("12000", 60), equity("9000", 120)])

    assert book.equity is not None
    assert book.equity.drawdown_pct == d(25)
    assert book.equity.day_loss_pct == d(10)


def test_a_new_utc_day_starts_its_own_loss_count_but_keeps_the_peak() -> None:
    tomorrow = EquityObserved(at=T0 + timedelta(days=1), equity_quote=d(9000))

    book = fold([equity("10000"), tomorrow])

    assert book.equity is not None
    assert (book.equity.day_loss_pct, book.equity.drawdown_pct) == (d(0), d(10))


def test_a_person_who_resumed_starts_the_marks_anew() -> None:
    """I35: a stale peak halted for ever."""
    rebased = EquityObserved(at=at(60), equity_quote=d(300), rebased=True)

    book = fold([equity("10000"), rebased])

    assert book.equity is not None and book.equity.drawdown_pct == 0


def test_losses_in_a_row_are_counted_and_a_win_ends_the_row() -> None:
    lost = fold(stopped_out("90"))
    assert (lost.loss_streak, lost.closed_at[BTC]) == (1, at(5))

    won = fold(stopped_out("120"))
    assert won.loss_streak == 0


def test_frozen_symbols_stay_frozen_until_thawed() -> None:
    frozen = SymbolFrozen(at=T0, symbol=BTC, reason="foreign position: long 1")
    book = fold([frozen])
    assert BTC in book.frozen

    book.apply(SymbolThawed(at=at(1), symbol=BTC, reason="gone"))

    assert BTC not in book.frozen


def test_each_candle_is_decided_once() -> None:
    later, earlier = at(900), at(0)
    decisions = [
        Decided(at=at(901), symbol=BTC, closed_at=closed_at, taken=False, side=None, reasons=())
        for closed_at in (later, earlier)
    ]

    assert fold(decisions).decided[BTC] == later


def test_an_adopted_position_is_naked_from_the_moment_of_its_adoption() -> None:
    adopted = Adopted(
        at=T0, position_id="ps-abc-1-1", symbol=BTC, side=Side.LONG, qty=d(2), entry_price=d(100), stop_price=d(98)
    )

    position = fold([adopted]).positions["ps-abc-1-1"]

    assert (position.qty, position.phase, position.naked_since) == (d(2), Phase.OPEN, T0)


def test_memory_of_closed_positions_is_bounded_but_their_fills_stay_known() -> None:
    """I58: worker memory does not grow with the days."""
    book = Book()
    for n in range(CLOSED_KEPT + 5):
        entry = spec(Leg.ENTRY, n, client_order_id=f"ps-abc-1-{n}-e", position_id=f"p{n}")
        book.apply(approved(position_id=f"p{n}"))
        for event in (*live(entry), OrderCancelled(at=at(1), client_order_id=entry.client_order_id)):
            book.apply(event)

    assert len(book.positions) == CLOSED_KEPT
    assert book.is_ours("ps-abc-1-0-e", None)


def whole_life(n: int, began: float, *, never_arrived: bool = False) -> list[Event]:
    """Entered, protected and stopped out within ten seconds, perhaps after a first entry that nobody ever heard of."""
    lost, entry, stop = (
        spec(leg, n, client_order_id=f"ps-abc-1-{n}-{name}", position_id=f"p{n}")
        for leg, name in ((Leg.ENTRY, "x"), (Leg.ENTRY, "e"), (Leg.STOP, "s"))
    )
    gone = OrderRejected(at=at(began), client_order_id=lost.client_order_id, code=NEVER_ARRIVED, reason=NEVER_ARRIVED)
    return [
        replace(approved(position_id=f"p{n}"), at=at(began)),
        *([intended(lost, began), gone] if never_arrived else []),
        *live(entry, began),
        filled(entry, seconds=began + 1),
        *live(stop, began + 2),
        filled(stop, "1", "90", began + 5),
    ]


@settings(max_examples=5, deadline=None)
@given(st.lists(st.sampled_from([10.0, 60.0, 600.0, 7200.0]), min_size=320, max_size=360))
def test_whatever_a_venue_may_still_tell_is_known_and_what_is_older_is_forgotten(pauses: list[float]) -> None:
    """G and I58 together: a fill told again counts nothing; ids do not grow with the positions that ever were."""
    book, began, told = Book(), 0.0, []
    for n, pause in enumerate(pauses):
        life = whole_life(n, began)
        for event in life:
            book.apply(event)
        told.append((n, life))
        began += pause + 10
        known = [fills_of(each) for _, each in told if each[-1].at >= life[-1].at - IDS_KEPT]
        kept = [fills_of(each) for number, each in told[-CLOSED_KEPT - 1 :] if f"p{number}" in book.positions]
        assert all(book.knows_fill(fill_id) for fills in known + kept for fill_id in fills)

    before = dict(book.positions)
    for event in (event for _, life in told[-CLOSED_KEPT:] for event in life if isinstance(event, Filled)):
        book.apply(event)

    assert book.positions == before
    forgotten = [n for n, life in told if not any(map(book.knows_fill, fills_of(life)))]
    assert forgotten == list(range(len(forgotten)))
    assert [book.is_ours(f"ps-abc-1-{n}-e", None) for n, _ in told] == [n >= len(forgotten) for n, _ in told]
    last_dropped = told[-CLOSED_KEPT - 1][1][-1].at
    old = [n for n, life in told[:-CLOSED_KEPT] if last_dropped - life[-1].at >= IDS_KEPT]
    assert len(old) - len(forgotten) < IDS_FORGOTTEN_AT_ONCE


def test_an_order_concluded_from_silence_stays_ours_however_long_ago_that_was() -> None:
    """It may still show itself, and is then no stranger's."""
    book = Book()
    for n in range(CLOSED_KEPT + 2 * IDS_FORGOTTEN_AT_ONCE):
        for event in whole_life(n, n * 7200.0, never_arrived=n == 3):
            book.apply(event)

    assert [n for n in range(10) if book.is_ours(f"ps-abc-1-{n}-e", None)] == [3]
    assert book.is_ours("ps-abc-1-3-x", None)


def fills_of(life: list[Event]) -> list[str]:
    return [event.fill.fill_id for event in life if isinstance(event, Filled)]


def test_replaying_every_prefix_of_a_life_never_fails() -> None:
    """Each prefix is a crash: the fold must be able to start from all of them."""
    life = stopped_out("90")

    phases = [fold(life[:n]).positions["ps-abc-1-1"].phase for n in range(2, len(life) + 1)]

    assert phases == [
        Phase.ENTERING,
        Phase.ENTERING,
        Phase.OPEN,
        Phase.OPEN,
        Phase.PROTECTED,
        Phase.CLOSED,
    ]


def test_fills_are_read_back_to_the_last_full_reading() -> None:
    book = fold([equity("10000", 300)])

    assert book.fills_since(at(1000)) < at(300)


def test_a_fill_of_nobodys_order_is_illegal() -> None:
    with pytest.raises(IllegalTransition, match="ever intended"):
        fold([Filled(at=at(1), client_order_id="ps-zzz-1-1-e", fill=fill(ENTRY))])


def test_acknowledgement_is_needed_before_haste_ends() -> None:
    book = fold([approved(), *live(ENTRY), filled(ENTRY)])
    assert book.needs_haste()

    for event in live(STOP, 2):
        book.apply(event)

    assert not book.needs_haste()
    assert accepted(STOP).venue_order_id == f"v-{STOP.client_order_id}"


# --- found by the simulation ------------------------------------------------------------------------------------------


def test_a_late_fill_of_a_closed_position_adds_nothing_to_what_was_adopted() -> None:
    """The size read from the venue holds it already; it was counted twice."""
    cancelled = OrderCancelled(at=at(1), client_order_id=ENTRY.client_order_id)
    adopted = Adopted(
        at=at(10), position_id="p2", symbol=BTC, side=Side.LONG, qty=d(1), entry_price=d(100), stop_price=d(98)
    )

    book = fold([approved(), *live(ENTRY), cancelled, adopted, filled(ENTRY, seconds=0.5)])

    assert book.signed_qty(BTC) == d(1)
    assert [position.id for position in book.open_positions()] == ["p2"]


def test_the_position_closed_last_is_remembered_however_old_it_is() -> None:
    """A position older than two hundred closed ones was forgotten in the moment it closed."""
    book = fold([approved(symbol="ETH/USD:USD"), *live(ENTRY), filled(ENTRY)])
    for n in range(2, CLOSED_KEPT + 5):
        entry = spec(Leg.ENTRY, n, client_order_id=f"ps-abc-1-{n}-e", position_id=f"p{n}")
        book.apply(approved(position_id=f"p{n}"))
        for event in (*live(entry), OrderCancelled(at=at(1), client_order_id=entry.client_order_id)):
            book.apply(event)

    for event in (*live(STOP, 2), filled(STOP, "1", "90", 5)):
        book.apply(event)

    assert book.positions["ps-abc-1-1"].phase is Phase.CLOSED


def test_a_stop_that_rests_for_days_does_not_widen_the_reading_of_fills() -> None:
    """The venue lists a hundred fills a page: days of them made it unreadable."""
    book = fold([approved(), *live(ENTRY), filled(ENTRY), *live(STOP, 2), equity("10000", 500_000)])

    assert book.fills_since(T0) > at(490_000)

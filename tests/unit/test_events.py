"""The journal's rows: every event survives its encoding, and nothing that is not one is taken for one."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from live.events import Decided, EquityObserved, Event, Filled, decode, encode
from live.model import Fill, OrderSide
from live.records import (
    JournalConflict,
    Quarantined,
    check_repeated_fill,
    read_row,
    row_of,
    same_fill,
    without_repeats,
)
from live.smc import Code

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

st.register_type_strategy(Decimal, st.decimals(min_value=-(10**9), max_value=10**9, allow_nan=False, places=8))
st.register_type_strategy(datetime, st.datetimes(timezones=st.just(UTC)))
st.register_type_strategy(str, st.text(st.characters(codec="utf-8"), max_size=20))
any_event = st.one_of([st.from_type(kind) for kind in get_args(Event)])


def filled(**changes: object) -> Filled:
    fill = Fill(
        fill_id="f1",
        venue_order_id="v1",
        client_order_id=None,
        symbol="BTC/USD:USD",
        side=OrderSide.BUY,
        qty=Decimal("0.5"),
        price=Decimal("60950"),
        fee_quote=Decimal("15.2"),
        filled_at=NOW,
    )
    return Filled(at=NOW, client_order_id="ps-e", fill=replace(fill, **changes))


@settings(deadline=None)  # the first one pays for the decoder
@given(any_event)
def test_every_event_comes_back_as_it_was_written(event: Event) -> None:
    assert decode(encode(event)) == event


def test_a_decision_written_before_decisions_had_codes_still_decodes() -> None:
    row = {
        "kind": "decided",
        "at": "2026-11-22T12:00:00Z",
        "symbol": "BTC/USD:USD",
        "closed_at": "2026-11-22T12:00:00Z",
        "taken": False,
        "side": None,
        "reasons": ["no sweep"],
    }

    decided = decode(row)

    assert isinstance(decided, Decided)
    assert decided.code == ""


def test_the_engine_s_code_is_written_as_its_word() -> None:
    decided = Decided(
        at=NOW, symbol="BTC/USD:USD", closed_at=NOW, taken=False, side=None, reasons=(), code=Code.NO_SWEEP
    )

    assert json.loads(encode(decided))["code"] == "no-sweep"
    assert decode(encode(decided)) == decided


@given(any_event)
def test_a_row_read_from_jsonb_is_the_event_although_its_keys_moved(event: Event) -> None:
    shuffled = json.dumps(dict(sorted(json.loads(encode(event)).items(), reverse=True)))

    assert read_row(1, event.kind, None, shuffled) == event


def test_money_is_text_in_the_journal_so_that_no_digit_is_lost() -> None:
    payload = json.loads(encode(EquityObserved(at=NOW, equity_quote=Decimal("10000.10000000000000000001"))))

    assert payload["equity_quote"] == "10000.10000000000000000001"


@pytest.mark.parametrize(
    "payload",
    [
        '{"kind": "nothing_we_know", "at": "2026-11-22T12:00:00Z"}',
        '{"kind": "equity_observed", "at": "2026-11-22T12:00:00Z"}',
        '{"kind": "equity_observed", "at": "2026-11-22T12:00:00", "equity_quote": "1"}',
        '{"kind": "equity_observed", "at": "2026-11-22T12:00:00Z", "equity_quote": "a lot"}',
        "[]",
        "not even JSON",
    ],
)
def test_what_is_not_an_event_is_quarantined_and_never_guessed_at(payload: str) -> None:
    """I43: one corrupt row must not end the boot."""
    with pytest.raises(ValueError):
        decode(payload)

    row = read_row(7, "equity_observed", "BTC/USD:USD", payload)

    assert isinstance(row, Quarantined)
    assert (row.id, row.symbol) == (7, "BTC/USD:USD")
    assert row.reason


def test_a_naive_time_deep_inside_an_event_is_refused() -> None:
    payload = encode(filled()).replace('"filled_at":"2026-11-22T12:00:00Z"', '"filled_at":"2026-11-22T12:00:00"')

    with pytest.raises(ValueError, match="naive"):
        decode(payload)


def test_a_row_whose_column_contradicts_its_payload_is_quarantined() -> None:
    row = row_of(EquityObserved(at=NOW, equity_quote=Decimal(1)))

    assert isinstance(read_row(1, "filled", None, row.payload), Quarantined)


def test_the_same_fill_reported_with_other_digits_fee_and_time_is_the_same() -> None:
    again = filled(qty=Decimal("0.50"), fee_quote=Decimal(0), filled_at=NOW + timedelta(seconds=1))

    assert same_fill(filled(), again)
    check_repeated_fill(filled(), again)


@pytest.mark.parametrize(
    "change", [{"qty": Decimal(1)}, {"price": Decimal(1)}, {"symbol": "ETH/USD:USD"}, {"side": OrderSide.SELL}]
)
def test_another_fill_under_a_known_id_is_an_error(change: dict[str, object]) -> None:
    """I42: the same fill id for several positions was ignored, and quantities went negative."""
    with pytest.raises(JournalConflict, match="f1"):
        check_repeated_fill(filled(), filled(**change))


def test_a_batch_keeps_each_fill_once() -> None:
    assert without_repeats([filled(), filled()]) == [filled()]

    with pytest.raises(JournalConflict):
        without_repeats([filled(), filled(qty=Decimal(1))])

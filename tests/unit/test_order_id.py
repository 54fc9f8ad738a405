"""Client order ids say scope, epoch, sequence and leg, so that the venue's ledger alone shows who sent what."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from live.model import Leg
from live.order_id import OrderId, OrderIds, base36, parse


def test_ids_of_an_epoch_are_deterministic_and_never_repeat() -> None:
    ids = OrderIds("k3f9", 41)

    assert [str(ids.next(leg)) for leg in (Leg.ENTRY, Leg.STOP, Leg.TARGET)] == [
        "ps-k3f9-15-1-e",
        "ps-k3f9-15-2-s",
        "ps-k3f9-15-3-t",
    ]


def test_other_peoples_ids_are_nobodys() -> None:
    assert parse(None) is None
    assert parse("my-web-order") is None
    assert parse("ps-abc-1-1-z") is None


def test_an_id_of_another_epoch_or_scope_is_not_our_own() -> None:
    ids = OrderIds("abc", 41)

    assert ids.is_own("ps-abc-15-1-s")
    assert not any(ids.is_own(each) for each in ("ps-abc-14-1-s", "ps-xyz-15-1-s", "my-web-order"))


@given(st.integers(0, 2**63), st.integers(0, 2**63), st.sampled_from(Leg))
def test_parsing_undoes_writing(epoch: int, seq: int, leg: Leg) -> None:
    order_id = OrderId("abc", epoch, seq, leg)

    assert parse(str(order_id)) == order_id
    assert int(base36(epoch), 36) == epoch

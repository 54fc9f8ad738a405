"""LiveTrading and the venue's dead-man switch, over the wire: entries are taken back, a stop never is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from live import decode_kraken
from live.outcome import Reply
from live.position import Phase
from tests.wired import SETTINGS, Wired, wired


@pytest.fixture
async def stage() -> AsyncIterator[Wired]:
    async with wired(replace(SETTINGS, live_dead_man_seconds=60)) as found:
        yield found


async def test_boot_disarms_what_a_predecessor_may_have_armed(stage: Wired) -> None:
    assert stage.asked() == ["0"]


async def test_a_worker_that_dies_while_an_entry_rests_has_it_taken_back(stage: Wired) -> None:
    entry = await stage.enter()
    await stage.trading.tick()
    armed_at = stage.account.dead_man_at

    stage.let_pass(61)  # and no worker any more

    order = stage.account.find(None, entry)
    assert armed_at is not None
    assert order is not None and not order.is_open


async def test_it_is_disarmed_before_the_first_stop_and_never_cancels_it(stage: Wired) -> None:
    entry = await stage.enter()
    await stage.trading.tick()
    assert stage.account.dead_man_at is not None
    stage.fill(entry)

    await stage.trading.tick()

    assert [position.phase for position in stage.trading.book.open_positions()] == [Phase.PROTECTED]
    sent = stage.asked()
    assert sent.index("0", 1) < sent.index("stp")  # the first "0" is the boot's
    assert stage.account.dead_man_at is None
    stage.let_pass(3600)
    assert len(stage.stops()) == 1


async def test_a_switch_that_cannot_be_disarmed_does_not_keep_the_stop_waiting(stage: Wired) -> None:
    """The reply, or the request, is lost: the stop is placed at once, and the disarming is tried with every tick."""
    entry = await stage.enter()
    await stage.trading.tick()
    stage.fill(entry)
    stage.faults({"kind": "lost_request", "path": "cancelallordersafter"})

    await stage.trading.tick()
    protected_meanwhile = len(stage.stops())
    stage.faults()
    await stage.trading.tick()

    assert protected_meanwhile == 1
    assert stage.account.dead_man_at is None
    stage.let_pass(3600)
    assert len(stage.stops()) == 1


async def test_the_wire_says_whole_seconds(stage: Wired) -> None:
    """Trap 4.3.2: ccxt's own call cuts 500 ms to 0, which disarms."""
    assert await stage.venue.set_dead_man(20, permit=lambda: None)  # type: ignore[attr-defined]
    assert stage.world.ledger.requests[-1].params == {"timeout": "20"}
    assert stage.account.dead_man_at is not None

    assert await stage.venue.set_dead_man(0, permit=lambda: None)  # type: ignore[attr-defined]
    assert stage.account.dead_man_at is None


@pytest.mark.parametrize(
    ("body", "seconds", "confirmed"),
    [
        ('{"result":"success","status":{"currentTime":"2026-01-01T00:00:00.000Z","triggerTime":"0"}}', 0, True),
        ('{"result":"success","status":{"currentTime":"2026-01-01T00:00:00.000Z","triggerTime":"0"}}', 60, False),
        (
            '{"result":"success","status":{"currentTime":"2026-01-01T00:00:00.000Z",'
            '"triggerTime":"2026-01-01T00:01:00.000Z"}}',
            60,
            True,
        ),
        (
            '{"result":"success","status":{"currentTime":"2026-01-01T00:00:00.000Z",'
            '"triggerTime":"2026-01-01T00:01:00.000Z"}}',
            0,
            False,
        ),
        ('{"result":"success"}', 0, False),
        ('{"result":"success","status":{"triggerTime":null}}', 0, False),
        ('{"result":"error","error":"apiLimitExceeded"}', 0, False),
        ("<html>", 0, False),
    ],
)
def test_only_a_plain_answer_confirms(body: str, seconds: int, confirmed: bool) -> None:
    assert decode_kraken.confirms_dead_man(Reply(200, body), seconds) is confirmed

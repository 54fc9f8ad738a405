"""What an operator reads: the one screen of `status`, the tables, and what fits a terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.book import fold
from live.events import (
    Adopted,
    Ask,
    Decided,
    Event,
    OrderAccepted,
    OrderIntended,
    OrderUnknown,
    PersonAsked,
    SymbolFrozen,
)
from live.latch_cli import what_a_halt_does, what_a_resume_does
from live.model import Leg, OrderSide, OrderSpec, OrderType, Side
from live.operators import KINDS, plain_cell, trace_line
from live.reader import Recorded
from live.screens import (
    GAP,
    Column,
    Grid,
    Line,
    Tone,
    ago,
    count,
    events_grid,
    fitting,
    grid_json,
    grid_text,
    lasting,
    lines_text,
    money,
    orders_grid,
    positions_grid,
)
from live.status import Halt, HaltCause, Status
from live.status_screen import Verdict, View, next_steps, status_json, status_lines, status_sentence, verdict_of
from live.trace_cli import holds, kinds_known, since
from prodsafe.lease import LeaseRow

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SCOPE = "account/krakenfutures/desk/prod"
SYMBOL = "BTC/USD:USD"
HELD = Adopted(
    at=NOW - timedelta(hours=1),
    position_id="p1",
    symbol=SYMBOL,
    side=Side.LONG,
    qty=Decimal("0.5"),
    entry_price=Decimal("60950"),
    stop_price=Decimal("60400"),
)


def stop() -> list[Event]:
    at = HELD.at + timedelta(seconds=1)
    side, trigger = OrderSide.SELL, Decimal("60400")
    spec = OrderSpec("ps-1-s", "p1", SYMBOL, side, Leg.STOP, OrderType.STOP, HELD.qty, trigger_price=trigger)
    return [
        OrderIntended(at=at, spec=spec, expires_at=at + timedelta(seconds=2)),
        OrderAccepted(at=at, client_order_id="ps-1-s", venue_order_id="v1"),
    ]


def lease(**changes: Any) -> LeaseRow:
    row = LeaseRow(
        scope=SCOPE,
        epoch=7,
        holder=UUID(int=1),
        timeline=1,
        state="active",
        acquired_at=NOW - timedelta(hours=2),
        grace_seconds=5.0,
        schema_range={},
        host="box",
        pid=812,
        version="1.2.3",
        who="root",
        reason="",
        beat_age_seconds=0.3,
        lock_pid=99,
    )
    return replace(row, **changes)


def running(**changes: Any) -> Status:
    status = Status(
        state="running",
        observed_at=NOW - timedelta(seconds=1),
        epoch=7,
        last_tick_at=NOW - timedelta(seconds=1),
        lease_fresh=True,
        reconciled=True,
        equity_quote="10087.2243806",
        last_action="no action: flat",
    )
    return replace(status, **changes)


def view(*events: Event, **changes: Any) -> View:
    """A worker at work, well, that holds what the events say."""
    well = View(account=SCOPE, now=NOW, status=running(), halt=Halt(), lease=lease(), beating=True, book=fold(events))
    return replace(well, **changes)


def dead(*events: Event, state: str = "running", lease_state: str = "active", **changes: Any) -> View:
    gone = running(state=state, lease_fresh=False, observed_at=NOW - timedelta(minutes=9))
    return view(*events, beating=False, status=gone, lease=lease(state=lease_state, lock_pid=None), **changes)


def text_of(seen: View) -> str:
    return lines_text(status_lines(seen))


def labelled(lines: Sequence[Line], label: str) -> Line:
    return next(line for line in lines if line.label == label)


def decided(symbol: str, *, minutes: int = 0, taken: bool = False, why: str = "no sweep", row: int = 1) -> Recorded:
    at = NOW - timedelta(minutes=minutes)
    side = Side.LONG if taken else None
    return Recorded(row, 7, at, Decided(at=at, symbol=symbol, closed_at=at, taken=taken, side=side, reasons=(why,)))


def asked() -> PersonAsked:
    return PersonAsked(at=NOW, request_id=4, action=Ask.FLATTEN, symbol=None, reason="leaving", who="ann@box")


# --- the verdict ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "verdict"),
    [
        (view(), Verdict.HEALTHY),
        (view(halt=Halt(halted=True, reason="news", who="ann", at=NOW)), Verdict.HALTED),
        (view(status=running(venue_readable=False)), Verdict.UNHEALTHY),
        (view(status=running(state="reconciling", reconciled=False)), Verdict.STARTING),
        (view(status=None), Verdict.STARTING),
        (view(status=running(epoch=6, lease_fresh=False)), Verdict.STARTING),
        (view(status=running(state="draining")), Verdict.DRAINING),
        (dead(state="stopped", lease_state="released"), Verdict.STOPPED),
        (dead(), Verdict.NO_WORKER),
        (dead(lease_state="released"), Verdict.NO_WORKER),
        (view(status=None, lease=None, beating=False), Verdict.NEVER_STARTED),
    ],
)
def test_the_first_word_is_the_verdict(seen: View, verdict: Verdict) -> None:
    assert verdict_of(seen) is verdict
    assert text_of(seen).startswith(verdict.upper())
    assert status_sentence(seen).startswith(verdict.upper())


def test_a_well_worker_is_one_screen_that_names_holder_protection_halt_and_the_last_look() -> None:
    text = text_of(view(HELD, *stop(), decisions=(decided(SYMBOL),)))

    assert len(text.splitlines()) <= 12
    assert "root, host box, pid 812, epoch 7" in text
    assert "the position has its stop" in text
    assert "halt        no" in text
    assert "1 open position, 1 working order, equity 10,087.22" in text
    assert "1.0 s ago: no action: flat" in text
    assert f"{SYMBOL}  12:00:00  no trade: no sweep" in text
    assert "next        nothing" in text


def test_every_reason_has_its_line_with_its_id_and_the_next_step_names_the_section() -> None:
    lines = status_lines(view(status=running(venue_readable=False, reconciled=False)))

    assert labelled(lines, "reason").text.startswith("H13 venue-not-readable")
    assert any(line.text.startswith("H14 not-reconciled") and line.label == "" for line in lines)
    assert labelled(lines, "next").text == "RUNBOOK.md, H13 venue-not-readable"


def test_a_halt_is_told_with_who_when_why_and_what_set_it() -> None:
    latched = Halt(True, "daily loss 2.1 %", "worker", NOW - timedelta(minutes=5), 3, HaltCause.LIMITS)

    lines = status_lines(view(halt=latched))

    assert labelled(lines, "halt").text == "HALTED by worker (limits), 5 min ago: daily loss 2.1 %"
    assert "python -m live resume" in labelled(lines, "next").text


# --- protection -------------------------------------------------------------------------------------------------------


def test_a_position_without_its_stop_comes_first_in_what_to_do_and_is_red() -> None:
    lines = status_lines(view(HELD, status=running(unprotected=(SYMBOL,))))

    assert labelled(lines, "protection") == Line("protection", f"UNPROTECTED: {SYMBOL}", Tone.BAD)
    assert "H15 position-unprotected" in labelled(lines, "next").text


def test_of_a_dead_worker_the_journal_is_asked_whether_a_position_is_naked() -> None:
    assert dead(HELD).unprotected == [SYMBOL]
    assert dead(HELD, *stop()).unprotected == []
    assert labelled(status_lines(dead(HELD, *stop())), "protection").text.endswith(
        "as last recorded: nobody watches now"
    )


def test_what_a_foreign_position_lacks_is_told_after_the_worker_died_too() -> None:
    foreign = dead()
    assert foreign.status is not None
    foreign = replace(foreign, status=replace(foreign.status, unprotected=("ETH/USD:USD (foreign position)",)))

    assert "ETH/USD:USD" in labelled(status_lines(foreign), "protection").text


@pytest.mark.parametrize(("number", "words"), [(0, "0 orders"), (1, "1 order"), (2, "2 orders")])
def test_one_is_singular(number: int, words: str) -> None:
    assert count(number, "order") == words


# --- why nothing is traded --------------------------------------------------------------------------------------------


def test_what_holds_entries_back_is_told_though_nobody_halted() -> None:
    frozen = SymbolFrozen(at=NOW, symbol=SYMBOL, reason="row 812")

    lines = status_lines(view(frozen, status=running(degraded=("alerts reach nobody",))))

    assert labelled(lines, "held back").text == "alerts reach nobody: no entries"
    assert any(line.text == f"{SYMBOL} is frozen, no entries on it: row 812" for line in lines)
    assert lines[0] == Line("HEALTHY", "entries held back", Tone.GOOD)
    assert "python -m live thaw" in labelled(lines, "next").text


def test_what_is_asked_to_be_closed_is_told_with_what_is_left_of_it() -> None:
    lines = status_lines(view(HELD, *stop(), asked(), flattens=(asked(),)))

    closing = labelled(lines, "closing").text
    assert closing.startswith("request 4: ann@box asks to flatten everything: leaving; left: ")
    assert SYMBOL in closing
    assert "--withdraw" in labelled(lines, "next").text


def test_nobody_closes_what_was_asked_once_the_worker_is_dead() -> None:
    assert any("--take-lease" in step for step in next_steps(dead(asked(), flattens=(asked(),))))


def test_an_order_of_unknown_fate_is_counted_and_shown_where_to_look() -> None:
    intended = stop()[0]
    unknown = OrderUnknown(at=NOW, client_order_id="ps-1-s", reason="no reply")

    seen = view(HELD, intended, unknown)

    assert "1 of unknown fate" in text_of(seen)
    assert any("python -m live orders" in step for step in next_steps(seen))


def test_of_many_symbols_what_was_taken_and_the_newest_are_shown_and_the_rest_counted() -> None:
    rows = [decided(f"S{n:02}", minutes=n, row=n) for n in range(1, 30)]
    rows.append(decided("TAKEN", minutes=900, taken=True, row=99))

    lines = status_lines(view(decisions=tuple(rows)))

    start = next(n for n, line in enumerate(lines) if line.label == "why")
    assert lines[start].text.startswith("TAKEN")
    assert lines[start + 1].text.startswith("S01")
    assert lines[start + 8].text == "and 22 more symbols: python -m live trace --kind decided"
    assert len(lines) < 24


# --- what next --------------------------------------------------------------------------------------------------------


@given(
    st.builds(
        dict,
        halt=st.sampled_from([Halt(), Halt(halted=True, reason="r", who="w", at=NOW)]),
        flattens=st.sampled_from([(), (asked(),)]),
        status=st.one_of(
            st.none(),
            st.builds(
                running,
                state=st.sampled_from(["starting", "running", "draining", "stopped", "standby"]),
                lease_fresh=st.booleans(),
                unprotected=st.sampled_from([(), (SYMBOL,)]),
                venue_readable=st.booleans(),
                epoch=st.sampled_from([None, 6, 7]),
                last_tick_at=st.sampled_from([None, NOW, NOW - timedelta(days=1)]),
            ),
        ),
        lease=st.sampled_from([None, lease(), lease(state="released", lock_pid=None, beat_age_seconds=None)]),
        beating=st.booleans(),
    )
)
def test_whatever_the_state_there_is_a_screen_a_next_step_and_data(changes: dict[str, Any]) -> None:
    if changes["lease"] is None:
        changes["beating"] = False
    seen = view(HELD, **changes)

    lines = status_lines(seen)
    body = json.loads(json.dumps(status_json(seen)))

    assert lines[0].label == verdict_of(seen).upper()
    assert any(line.label == "next" and line.text for line in lines)
    assert "\n" not in status_sentence(seen)
    assert body["verdict"] == verdict_of(seen).value and body["next"]
    if seen.unprotected:
        assert "H15" in body["next"][0]


def test_what_follows_a_halt_and_a_resume_depends_on_whether_somebody_is_there() -> None:
    alive = " ".join(what_a_halt_does(running(open_positions=1, live_orders=3), alive=True))
    absent = " ".join(what_a_halt_does(None, alive=False))

    assert "at its next look the worker takes resting entries back" in alive
    assert "1 open position, 3 working orders" in alive
    assert "the next one starts halted" in absent
    assert "sends entries again" in " ".join(what_a_resume_does(alive=True))
    assert "the next one trades" in " ".join(what_a_resume_does(alive=False))


# --- tables -----------------------------------------------------------------------------------------------------------


def test_a_narrow_terminal_loses_the_least_needed_columns_first_and_never_the_needed_ones() -> None:
    grid = orders_grid(list(fold([HELD, *stop()]).orders.values()), NOW)

    wide, nothing = fitting(grid, 400)
    narrow, hidden = fitting(grid, 80)
    tiny, _ = fitting(grid, 10)

    assert [column.name for column in wide] == [column.name for column in grid.columns] and nothing == []
    assert "venue_order_id" in [column.name for column in hidden]
    assert [column.rank for column in tiny] == [0] * len(tiny)
    assert {"client_order_id", "symbol", "status"} <= {column.name for column in narrow}


@given(
    ranks=st.lists(st.integers(0, 5), min_size=1, max_size=8),
    cells=st.lists(st.text("ab", max_size=30), min_size=8, max_size=8),
    width=st.integers(1, 200),
)
def test_what_is_shown_fits_or_cannot_be_left_out(ranks: list[int], cells: list[str], width: int) -> None:
    columns = tuple(Column(str(n), f"c{n}", rank=rank) for n, rank in enumerate(ranks))
    grid = Grid(columns, [{str(n): cell for n, cell in enumerate(cells)}], "none", NOW)

    shown, hidden = fitting(grid, width)

    taken = sum(max(len(grid.cell(grid.rows[0], each)), len(each.head)) + GAP for each in shown) - GAP
    assert taken <= width or all(each.rank == 0 for each in shown)
    assert sorted([*shown, *hidden], key=columns.index) == list(columns)


def test_a_pipe_gets_every_column_and_data_every_field_under_its_name() -> None:
    grid = positions_grid(fold([HELD, *stop()]).open_positions(), NOW)

    head, row = grid_text(grid).splitlines()

    assert head.split()[:6] == ["symbol", "side", "phase", "size", "entry", "stop"]
    assert row.split()[:6] == [SYMBOL, "long", "protected", "0.5", "60950", "60400"]
    assert grid_json(grid)[0]["qty"] == "0.5" and grid_json(grid)[0]["opened_at"] == HELD.at.isoformat()
    assert grid_text(positions_grid([], NOW)) == "no open position"


def test_a_time_of_today_is_shown_without_its_day() -> None:
    yesterday = decided(SYMBOL, minutes=24 * 60)
    grid = events_grid([decided(SYMBOL, minutes=1), yesterday], NOW)

    assert [grid.cell(row, grid.columns[0]) for row in grid.rows] == ["11:59:00", "2026-02-28 12:00"]


def test_what_a_venue_wrote_moves_no_cursor_and_breaks_no_line() -> None:
    hostile = "refused\x1b[2J\x1b]0;owned\x07\r\nflat"

    assert plain_cell(hostile) == "refused [2J ]0;owned flat"
    assert lines_text([Line("finding", hostile)]).isprintable()
    assert trace_line(decided(SYMBOL, why=hostile)).isprintable()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.34, "0.3 s"), (59, "59 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (172800, "2 d")],
)
def test_how_long_is_told_in_one_unit(seconds: float, words: str) -> None:
    assert lasting(seconds) == words
    assert ago(NOW - timedelta(seconds=seconds), NOW) == f"{words} ago"


def test_money_that_is_no_number_is_shown_as_it_is() -> None:
    assert [money(text) for text in ("10087.2243806", "-3", None, "?")] == ["10,087.22", "-3.00", "-", "?"]


# --- what is asked of the trace ---------------------------------------------------------------------------------------

_PARAMETER = click.Option(["--x"])
_CONTEXT = click.Context(click.Command("trace"))


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("30min", 1800), ("2h", 7200), ("3D", 259200)]
)
def test_an_age_is_a_time_before_now(text: str, seconds: int) -> None:
    at = since(_CONTEXT, _PARAMETER, text)

    assert at is not None
    assert abs((datetime.now(UTC) - at).total_seconds() - seconds) < 60


def test_a_time_is_read_as_utc_and_anything_else_is_refused() -> None:
    assert since(_CONTEXT, _PARAMETER, "2026-03-01T12:00") == NOW
    assert since(_CONTEXT, _PARAMETER, None) is None
    for wrong in ("yesterday", "2 fortnights", "", "-2h"):
        with pytest.raises(click.BadParameter, match="ISO time"):
            since(_CONTEXT, _PARAMETER, wrong)


def test_every_kind_there_is_may_be_asked_for_and_no_other() -> None:
    assert kinds_known(_CONTEXT, _PARAMETER, KINDS) == KINDS
    with pytest.raises(click.BadParameter, match="did you mean filled"):
        kinds_known(_CONTEXT, _PARAMETER, ("filed",))


def test_a_row_that_comes_while_following_is_searched_as_the_journal_is() -> None:
    assert holds(decided(SYMBOL, why="No SWEEP of liquidity"), "no sweep")
    assert holds(decided(SYMBOL), "btc/usd")
    assert not holds(decided(SYMBOL), "eth")

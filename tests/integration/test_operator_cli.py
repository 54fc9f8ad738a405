"""What an operator types when the worker is alive, dead, or halted."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from live import cli, cli_parts, latch, people
from live.events import (
    Ask,
    Decided,
    EquityObserved,
    Event,
    Filled,
    IntentApproved,
    OrderAccepted,
    OrderIntended,
    SymbolFrozen,
)
from live.journal import PostgresJournal
from live.model import Fill, Intent, Leg, OrderSide, OrderSpec, OrderType, Side, Target
from live.reader import open_reader
from live.status import Status
from prodsafe.errors import ExitCode
from prodsafe.lease import account_scope, acquire

SCOPE = account_scope("krakenfutures", "desk", "test")
SYMBOL = "BTC/USD:USD"

Type = Callable[..., tuple[int, str, str]]


@pytest.fixture
def type_(database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Type:
    """type_("halt", "--reason", ...) -> (exit code, stdout, stderr), with DATABASE_URL set."""
    monkeypatch.setenv("DATABASE_URL", database_url)

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.main(words)
        out = capsys.readouterr()
        return int(code), out.out, out.err

    return run


def story(at: datetime) -> list[Event]:
    """A long of 0.5 with its stop live at the venue."""
    intent = Intent(
        position_id="p1",
        symbol=SYMBOL,
        side=Side.LONG,
        qty=Decimal("0.5"),
        entry_price=None,
        stop_price=Decimal("60400"),
        targets=(Target(Decimal("61900"), Decimal("0.5")),),
        risk_quote=Decimal("275"),
        decided_at=at,
        expires_at=at + timedelta(minutes=15),
        reasons=("bullish BOS",),
    )
    fill = Fill("f1", "v-e", None, SYMBOL, OrderSide.BUY, Decimal("0.5"), Decimal("60950"), Decimal("15.2"), at)
    return [
        Decided(at=at, symbol=SYMBOL, closed_at=at, taken=True, side=Side.LONG, reasons=("bullish BOS",)),
        IntentApproved(at=at, intent=intent),
        *placed(at, Leg.ENTRY, OrderSide.BUY, OrderType.MARKET, None),
        Filled(at=at, client_order_id="ps-e", fill=fill),
        *placed(at, Leg.STOP, OrderSide.SELL, OrderType.STOP, Decimal("60400")),
    ]


def placed(at: datetime, leg: Leg, side: OrderSide, type: OrderType, trigger: Decimal | None) -> list[Event]:
    spec = OrderSpec(f"ps-{leg}", "p1", SYMBOL, side, leg, type, Decimal("0.5"), trigger_price=trigger)
    return [
        OrderIntended(at=at, spec=spec, expires_at=at + timedelta(seconds=2)),
        OrderAccepted(at=at, client_order_id=spec.client_order_id, venue_order_id=f"v-{leg}"),
    ]


def worked(
    url: str,
    events: list[Event],
    *,
    scope: str = SCOPE,
    during: Callable[[], None] = lambda: None,
    says_that_it_stops: bool = True,
    **status: Any,
) -> None:
    """A worker holds the account, appends these, reports itself running, calls `during`, and gives the account back."""

    async def report(epoch: int, holder: object, rows: list[Event], state: str) -> None:
        now = datetime.now(UTC)
        journal = await PostgresJournal.open(url, scope=scope, epoch=epoch, holder=holder)
        await journal.append(rows)
        seen = Status(state=state, observed_at=now, last_tick_at=now, reconciled=True, last_action="no action: flat")
        await journal.save_status(replace(seen, epoch=epoch, **status))
        await journal.close()

    with acquire(url, [scope], exit_on_loss=False) as lease:
        lease.activate()
        epoch, holder = lease.token.epoch, lease.token.holder
        asyncio.run(report(epoch, holder, events, "running"))
        during()
        if says_that_it_stops:
            asyncio.run(report(epoch, holder, [], "stopped"))


# --- status -----------------------------------------------------------------------------------------------------------


def test_status_is_0_while_the_worker_lives_and_1_once_it_has_stopped(type_: Type, database_url: str) -> None:
    seen: list[tuple[int, str, str]] = []
    worked(database_url, story(datetime.now(UTC)), during=lambda: seen.append(type_("status")))

    code, out, _ = type_("status")

    assert seen[0][0] == ExitCode.OK
    assert "HEALTHY" in seen[0][1] and SCOPE in seen[0][1] and "no action: flat" in seen[0][1]
    assert code == ExitCode.REFUSED
    assert out.startswith("STOPPED") and "cleanly" in out and "gave it back" in out


def test_a_worker_that_stopped_is_said_to_be_stopped_for_one_reason_and_the_next_step_is_named(
    type_: Type, database_url: str
) -> None:
    worked(database_url, story(datetime.now(UTC)))

    code, out, _ = type_("status", "--json")
    body = json.loads(out)

    assert code == ExitCode.REFUSED
    assert (body["verdict"], body["healthy"], body["worker_alive"]) == ("stopped", False, False)
    assert [reason.split()[0] for reason in body["reasons"]] == ["H10"]
    assert "python -m live.prod_live" in body["next"][0] and "H10" in body["next"][0]
    assert (body["scope"], body["halt"]["halted"], body["lease"]["state"]) == (SCOPE, False, "released")


def test_a_worker_that_never_said_that_it_stopped_is_missed_and_its_position_is_not_watched(
    type_: Type, database_url: str
) -> None:
    worked(database_url, story(datetime.now(UTC)), says_that_it_stops=False)

    code, out, _ = type_("status")

    assert code == ExitCode.REFUSED
    assert out.startswith("NO WORKER")
    assert "the position has its stop" in out and "nobody watches now" in out


def test_a_naked_position_is_told_from_the_journal_when_the_worker_is_dead(type_: Type, database_url: str) -> None:
    """A worker that died between a fill and its stop said last that all was well."""
    worked(database_url, story(datetime.now(UTC))[:-2], says_that_it_stops=False)

    body = json.loads(type_("status", "--json")[1])

    assert body["unprotected"] == [SYMBOL]
    assert "H15" in body["next"][0]


def test_status_tells_why_the_last_candle_of_each_symbol_was_traded_or_not(type_: Type, database_url: str) -> None:
    now = datetime.now(UTC)
    decided = [
        Decided(at=now, symbol=symbol, closed_at=now, taken=False, side=None, reasons=(why,))
        for symbol, why in [("ETH/USD:USD", "old"), ("ETH/USD:USD", "no sweep"), ("SOL/USD:USD", "no structure")]
    ]
    worked(database_url, [*story(now), *decided])

    out = type_("status")[1]

    assert "take long: bullish BOS" in out
    assert "no trade: no sweep" in out and "no trade: no structure" in out
    assert "no trade: old" not in out


def test_status_tells_what_holds_entries_back_and_what_is_being_closed(type_: Type, database_url: str) -> None:
    frozen = SymbolFrozen(at=datetime.now(UTC), symbol=SYMBOL, reason="a size that nobody explains")
    seen: list[str] = []
    worked(
        database_url,
        [frozen],
        during=lambda: seen.append(type_("status")[1]),
        degraded=("alerts reach nobody",),
        findings=("foreign-order ETH/USD:USD: limit buy 3",),
    )

    assert "alerts reach nobody: no entries" in seen[0]
    assert f"{SYMBOL} is frozen, no entries on it: a size that nobody explains" in seen[0]
    assert "foreign-order ETH/USD:USD" in seen[0]
    assert "python -m live thaw" in seen[0]


# --- halt, resume -----------------------------------------------------------------------------------------------------


def test_halt_and_resume_say_what_they_did_what_follows_and_record_who_and_why(type_: Type, database_url: str) -> None:
    """W19: the kill switch of the command line did not stop a running bot."""
    worked(database_url, [])

    halted = type_("halt", "--reason", "venue behaves oddly")
    status = type_("status")
    resumed = type_("resume", "--reason", "venue answered our ticket")
    again = type_("resume", "--reason", "to be sure")

    assert (halted[0], resumed[0], again[0]) == (0, 0, 0)
    assert f"halted {SCOPE}: venue behaves oddly" in halted[1]
    assert "the next one starts halted" in halted[1] and "python -m live resume" in halted[1]
    assert "HALTED by" in status[1] and "venue behaves oddly" in status[1]
    assert "cleared: venue behaves oddly" in resumed[1] and "the next one trades" in resumed[1]
    assert "not halted; nothing to clear" in again[1]
    assert latch_rows(database_url) == [
        (True, "venue behaves oddly", cli_parts.who()),
        (False, "venue answered our ticket", cli_parts.who()),
    ]


def latch_rows(url: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT halted, reason, who FROM live.halt_event ORDER BY id").fetchall()


def test_halting_what_is_halted_says_so_keeps_both_reasons_and_repeats_nothing(type_: Type, database_url: str) -> None:
    worked(database_url, [])
    type_("halt", "--reason", "first")

    repeated = type_("halt", "--reason", "first")
    second = type_("halt", "--reason", "second")
    third = json.loads(type_("halt", "--reason", "second", "--json")[1])

    assert (repeated[0], second[0]) == (0, 0)
    assert "was halted already" in repeated[1] and "nothing was written" in repeated[1]
    assert "it was halted already" in second[1] and "first" in second[1]
    assert (third["was_halted"], third["recorded"], third["was"]["reason"]) == (True, False, "second")
    assert [row[1] for row in latch_rows(database_url)] == ["first", "second"]


def test_what_follows_a_halt_is_told_of_the_worker_that_lives(type_: Type, database_url: str) -> None:
    seen: list[tuple[int, str, str]] = []

    def halt_and_look() -> None:
        seen.append(type_("halt", "--reason", "news"))
        seen.append(type_("status"))
        seen.append(type_("resume", "--reason", "read it"))

    worked(database_url, [], during=halt_and_look, open_positions=1, live_orders=2)

    assert "takes resting entries back" in seen[0][1] and "1 open position, 2 working orders" in seen[0][1]
    assert seen[1][0] == ExitCode.OK and seen[1][1].startswith("HALTED")
    assert "sends entries again" in seen[2][1]


def test_nothing_is_resumed_while_a_flatten_is_open(type_: Type, database_url: str) -> None:
    worked(database_url, [])
    type_("halt", "--reason", "leaving")
    with psycopg.connect(database_url) as connection:
        people.ask(connection, SCOPE, Ask.FLATTEN, symbol=None, reason="leaving", who="me")

    code, out, error = type_("resume", "--reason", "stay after all", "--json")

    assert code == ExitCode.REFUSED
    assert json.loads(out)["refusals"][0]["id"] == "H24"
    assert "python -m live flatten --withdraw" in error
    assert len(latch_rows(database_url)) == 1


def test_a_halt_that_came_while_a_person_looked_is_not_cleared(
    type_: Type, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    worked(database_url, [])
    type_("halt", "--reason", "mine")

    def another_halts(_account: str, _halted: object) -> None:
        with psycopg.connect(database_url) as connection:
            latch.set_halt(connection, SCOPE, reason="theirs", who="another")

    monkeypatch.setattr("live.latch_cli._confirm", another_halts)

    code, _, error = type_("resume", "--reason", "looked")

    assert code == ExitCode.REFUSED and "H25" in error
    assert latch_rows(database_url)[-1] == (True, "theirs", "another")


@pytest.mark.parametrize(
    "words", [["halt"], ["resume"], ["halt", "--reason", "  "], ["nonsense"], ["trace", "--limit", "0"]]
)
def test_wrong_usage_is_2_and_changes_nothing(type_: Type, database_url: str, words: list[str]) -> None:
    assert type_(*words)[0] == ExitCode.USAGE

    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT count(*) FROM live.halt_event").fetchone() == (0,)


def test_a_halt_never_goes_to_an_account_that_nobody_knows(
    type_: Type, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    worked(database_url, [])

    by_option = type_("halt", "--reason", "r", "--scope", "account/krakenfutures/dsek/test")
    monkeypatch.setenv("EXCHANGE_ACCOUNT", "dsek")
    monkeypatch.setenv("ENVIRONMENT", "test")
    by_environment = type_("halt", "--reason", "r", "--json")

    assert by_option[0] == by_environment[0] == ExitCode.REFUSED
    assert "H04" in by_option[2] and SCOPE in by_option[2]
    assert json.loads(by_environment[1])["refusals"][0]["id"] == "H04"
    assert type_("halt", "--reason", "r", "--scope", SCOPE)[0] == 0


def test_an_account_may_be_halted_before_its_first_worker_starts(type_: Type) -> None:
    assert type_("halt", "--reason", "not yet")[0] == ExitCode.REFUSED
    assert type_("halt", "--reason", "not yet", "--scope", SCOPE)[0] == 0


def test_positions_and_orders_are_folds_of_the_journal(type_: Type, database_url: str) -> None:
    worked(database_url, story(datetime.now(UTC)))

    positions = json.loads(type_("positions", "--json")[1])
    orders = json.loads(type_("orders", "--json")[1])
    table = type_("positions")[1]

    assert [(p["symbol"], p["phase"], p["qty"], p["stop_price"]) for p in positions] == [
        (SYMBOL, "protected", "0.5", "60400")
    ]
    assert [(o["client_order_id"], o["status"]) for o in orders] == [("ps-s", "live")]
    assert len(json.loads(type_("orders", "--all", "--json")[1])) == 2
    assert "60950" in table and "protected" in table


def test_what_a_worker_writes_while_the_book_is_folded_is_seen_at_the_next_look_and_not_in_part(
    type_: Type, database_url: str
) -> None:
    now = datetime.now(UTC)
    worked(database_url, [SymbolFrozen(at=now, symbol=SYMBOL, reason="r"), *story(now)])

    with open_reader(database_url) as reader:
        rows = reader.to_fold(SCOPE)
        before = [next(rows)[0]]
        worked(database_url, [SymbolFrozen(at=now, symbol="ETH/USD:USD", reason="meanwhile")])
        before += [row_id for row_id, _ in rows]
        seen = [row.id for row in reader.tail(SCOPE)]

    assert before == seen and len(seen) == 8
    assert "meanwhile" in type_("status")[1]


def test_a_row_that_cannot_be_read_hides_only_itself(type_: Type, database_url: str) -> None:
    """I43: a corrupt row must not take the view of everything else away."""

    def spoil() -> None:
        with psycopg.connect(database_url, autocommit=True) as admin:
            admin.execute(
                "INSERT INTO live.event (scope, epoch, holder, kind, symbol, at, payload)"
                " SELECT scope, epoch, holder, 'adopted', 'ETH/USD:USD', now(), '{}' FROM prodsafe.lease"
            )

    worked(database_url, story(datetime.now(UTC)), during=spoil)

    code, out, error = type_("positions")

    assert code == 0
    assert SYMBOL in out
    assert "(adopted) cannot be read and is left out" in error


# --- trace, events ----------------------------------------------------------------------------------------------------


def test_trace_tells_what_happened_and_why_one_line_each(type_: Type, database_url: str) -> None:
    worked(database_url, story(datetime.now(UTC)))

    lines = type_("trace")[1].splitlines()
    decisions = type_("trace", "--kind", "decided", "--symbol", SYMBOL)[1].splitlines()

    assert len(lines) == 7
    assert "take long: bullish BOS" in lines[0]
    assert decisions == lines[:1]
    assert type_("events")[1].splitlines() == lines


def test_trace_as_data_is_one_array_or_one_object_a_line(type_: Type, database_url: str) -> None:
    worked(database_url, story(datetime.now(UTC)))

    array = json.loads(type_("trace", "--json", "--limit", "2")[1])
    lines = [json.loads(line) for line in type_("trace", "--jsonl", "--limit", "2")[1].splitlines()]

    assert [row["event"]["kind"] for row in array] == ["order_intended", "order_accepted"]
    assert lines == array
    assert json.loads(type_("trace", "--json", "--kind", "adopted")[1]) == []
    assert type_("trace", "--json", "--follow")[0] == ExitCode.USAGE


def test_a_kind_that_does_not_exist_is_wrong_usage_and_the_kinds_are_listed(type_: Type, database_url: str) -> None:
    worked(database_url, story(datetime.now(UTC)))

    code, out, error = type_("trace", "--kind", "decide")
    as_data = type_("events", "--kind", "decide", "--json")

    assert (code, out) == (ExitCode.USAGE, "")
    assert "did you mean decided?" in error and "order_unknown" in error
    assert json.loads(as_data[1])["ok"] is False


def test_events_are_found_by_text_and_by_age(type_: Type, database_url: str) -> None:
    worked(database_url, story(datetime.now(UTC)))
    with psycopg.connect(database_url) as connection:
        (recorded_at,) = connection.execute("SELECT max(recorded_at) FROM live.event").fetchone() or ()
    after = (recorded_at + timedelta(microseconds=1)).isoformat()

    by_text = json.loads(type_("trace", "--search", "BULLISH", "--json")[1])

    assert [row["event"]["kind"] for row in by_text] == ["decided", "intent_approved"]
    assert len(json.loads(type_("trace", "--since", "2h", "--json")[1])) == 7
    assert json.loads(type_("trace", "--since", after, "--json")[1]) == []
    assert type_("trace", "--since", "yesterday")[0] == ExitCode.USAGE


def test_equity_marks_do_not_push_what_happened_out_of_sight(type_: Type, database_url: str) -> None:
    """One a minute: forty of them were all that a quiet hour's trace showed."""
    now = datetime.now(UTC)
    marks = [EquityObserved(at=now, equity_quote=Decimal(1000 + n)) for n in range(50)]
    worked(database_url, [*story(now), *marks])

    lines = type_("trace")[1].splitlines()

    assert len(lines) == 7 and not any("equity" in line for line in lines)
    assert len(type_("trace", "--kind", "equity_observed")[1].splitlines()) == 40
    assert "equity 1049" in type_("trace", "--search", "1049")[1]


def test_a_symbol_that_nobody_knows_is_told_beside_those_that_are_known(type_: Type, database_url: str) -> None:
    worked(database_url, story(datetime.now(UTC)))

    code, out, _ = type_("trace", "--symbol", "BTCUSD")

    assert code == 0 and f"no event speaks of BTCUSD; this account's journal knows: {SYMBOL}" in out


def test_following_the_trace_prints_what_is_new_and_wanted_and_ends_with_the_interrupt(
    type_: Type, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    news = [
        Decided(at=now, symbol=SYMBOL, closed_at=now, taken=False, side=None, reasons=(why,))
        for why in ("wanted", "another")
    ]
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) > 1:
            raise KeyboardInterrupt
        worked(database_url, news)

    worked(database_url, [*story(now), news[0]])
    monkeypatch.setattr("live.trace_cli.time.sleep", nap)

    code, out, _ = type_("trace", "--follow", "--search", "wanted")

    assert code == ExitCode.OK
    assert [line.split(" ", 2)[2].split(": ")[-1] for line in out.splitlines()] == ["wanted", "wanted"]


@pytest.mark.parametrize("command", ["positions", "orders", "trace"])
def test_what_nobody_keeps_up_to_date_says_so_beside_the_answer(type_: Type, database_url: str, command: str) -> None:
    seen: list[tuple[int, str, str]] = []
    worked(database_url, story(datetime.now(UTC)), during=lambda: seen.append(type_(command)))

    code, out, error = type_(command)

    assert (code, out) == seen[0][:2]
    assert seen[0][2] == ""
    assert error.startswith(f"no worker holds {SCOPE} now")


def test_nothing_that_draws_is_imported_for_a_pipe(database_url: str) -> None:
    words = "import sys; from live import cli; cli.main(['status']); sys.exit('rich' in sys.modules)"
    env = {**os.environ, "DATABASE_URL": database_url, "EXCHANGE_ACCOUNT": "desk", "ENVIRONMENT": "test"}

    done = subprocess.run([sys.executable, "-c", words], env=env, capture_output=True, text=True, timeout=60)

    assert done.stdout.startswith("NEVER STARTED") and done.returncode == 0, done.stderr


# --- watching ---------------------------------------------------------------------------------------------------------


def test_a_watch_into_a_pipe_appends_what_changed_and_ends_with_the_interrupt(
    type_: Type, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 2:
            worked(database_url, story(datetime.now(UTC)))
        if len(naps) == 4:
            raise KeyboardInterrupt

    worked(database_url, [])
    monkeypatch.setattr("live.terminal.time.sleep", nap)

    code, out, _ = type_("positions", "--watch")

    assert code == ExitCode.OK and len(naps) == 4
    assert "no open position" in out.splitlines()[0]
    assert len(out.splitlines()) == 3 and SYMBOL in out.splitlines()[2]


def test_a_watch_as_data_is_one_value_for_each_look(
    type_: Type, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 1:
            with psycopg.connect(database_url) as connection:
                latch.set_halt(connection, SCOPE, reason="news", who="me")
        else:
            raise KeyboardInterrupt

    worked(database_url, [])
    monkeypatch.setattr("live.terminal.time.sleep", nap)

    code, out, _ = type_("status", "--watch", "0.5", "--json")

    assert code == ExitCode.OK and naps == [0.5, 0.5]
    assert [json.loads(line)["halt"]["halted"] for line in out.splitlines()] == [False, True]


def test_a_watch_outlasts_a_database_that_does_not_answer_for_a_while(
    type_: Type, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        with psycopg.connect(database_url, autocommit=True) as connection:
            if len(naps) == 1:
                connection.execute("ALTER TABLE live.event RENAME TO event_away")
            elif len(naps) == 2:
                connection.execute("ALTER TABLE live.event_away RENAME TO event")
            else:
                raise KeyboardInterrupt

    worked(database_url, story(datetime.now(UTC)))
    monkeypatch.setattr("live.terminal.time.sleep", nap)

    code, out, error = type_("orders", "--watch", "--json")

    assert code == ExitCode.OK and "R22" in error
    assert [isinstance(json.loads(line), list) for line in out.splitlines()] == [True, False, True]


# --- refusals ---------------------------------------------------------------------------------------------------------

READING = [["status"], ["positions"], ["orders"], ["trace"], ["events"]]
WRITING = [["halt", "--reason", "r"], ["resume", "--reason", "r"]]


@pytest.mark.parametrize("words", [*READING, *WRITING], ids=lambda words: words[0])
def test_whatever_is_missing_every_command_is_refused_with_one_id_also_as_data(
    type_: Type, empty_database_url: str, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    missing = {
        "H05": None,
        "P01": "postgresql://someone:s3cretword@127.0.0.1:9/none",
        "R22": empty_database_url,
    }
    for refusal, url in missing.items():
        monkeypatch.delenv("DATABASE_URL")
        if url:
            monkeypatch.setenv("DATABASE_URL", url)

        code, out, error = type_(*words, "--json")

        assert code == (ExitCode.REFUSED if refusal == "H05" else ExitCode.UNREADABLE), error
        assert [each["id"] for each in json.loads(out)["refusals"]] == [refusal]
        assert refusal in error and "s3cretword" not in out + error
        monkeypatch.setenv("DATABASE_URL", "restored by the next round")


def test_an_unreachable_database_is_6_with_the_mend_and_without_the_password(
    type_: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://someone:s3cretword@127.0.0.1:9/none")

    code, out, error = type_("halt", "--reason", "r")

    assert code == ExitCode.UNREADABLE
    assert "P01" in error and "mend:" in error and "s3cretword" not in out + error


def test_without_a_database_address_it_says_what_to_set(type_: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL")

    code, _, error = type_("status")

    assert code == ExitCode.REFUSED
    assert "H05 operator-database" in error


def test_help_teaches_without_touching_anything(type_: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL")

    code, out, _ = type_("--help")

    assert code == ExitCode.OK
    assert all(word in out for word in ("status", "halt", "resume", "positions", "orders", "trace", "DATABASE_URL"))


@pytest.mark.parametrize(
    "command",
    ["status", "positions", "orders", "trace", "events", "halt", "resume", "flatten", "thaw", "settings"],
)
def test_the_help_of_each_command_teaches_with_an_example_and_its_exit_codes(
    type_: Type, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.delenv("DATABASE_URL")

    code, out, _ = type_(command, "--help")

    assert code == ExitCode.OK
    assert f"python -m live {command} " in out.partition("Example")[2]
    assert "exit" in out.lower().partition("options:")[0]

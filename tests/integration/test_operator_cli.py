"""What an operator types when the worker is alive, dead, or halted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest

from live import cli
from live.events import Decided, Event, Filled, IntentApproved, OrderAccepted, OrderIntended
from live.journal import PostgresJournal
from live.model import Fill, Intent, Leg, OrderSide, OrderSpec, OrderType, Side, Target
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


def worked(url: str, events: list[Event], *, scope: str = SCOPE, during: Callable[[], None] = lambda: None) -> None:
    """A worker holds the account, appends these, reports itself running, calls `during`, and stops cleanly."""

    async def work(epoch: int, holder: object) -> None:
        now = datetime.now(UTC)
        journal = await PostgresJournal.open(url, scope=scope, epoch=epoch, holder=holder)
        await journal.append(events)
        await journal.save_status(
            Status(state="running", observed_at=now, last_tick_at=now, reconciled=True, last_action="no action: flat")
        )
        await journal.close()

    with acquire(url, [scope], exit_on_loss=False) as lease:
        lease.activate()
        asyncio.run(work(lease.token.epoch, lease.token.holder))
        during()


def test_status_is_0_while_the_worker_lives_and_1_when_it_is_dead(type_: Type, database_url: str) -> None:
    seen: list[tuple[int, str, str]] = []
    worked(database_url, story(datetime.now(UTC)), during=lambda: seen.append(type_("status")))

    dead = type_("status")

    assert seen[0][0] == ExitCode.OK
    assert "healthy" in seen[0][1] and SCOPE in seen[0][1] and "no action: flat" in seen[0][1]
    assert dead[0] == ExitCode.REFUSED
    assert "UNHEALTHY: H11 lease-not-fresh" in dead[1] and "released" in dead[1]


def test_status_as_data_holds_the_same(type_: Type, database_url: str) -> None:
    worked(database_url, [])

    code, out, _ = type_("status", "--json")
    body = json.loads(out)

    assert code == ExitCode.REFUSED
    assert (body["healthy"], body["scope"], body["halt"]["halted"]) == (False, SCOPE, False)
    assert body["lease"]["state"] == "released"


def test_halt_and_resume_say_what_they_did_and_record_who_and_why(type_: Type, database_url: str) -> None:
    """W19: the kill switch of the command line did not stop a running bot."""
    worked(database_url, [])

    halted = type_("halt", "--reason", "venue behaves oddly")
    status = type_("status")
    resumed = type_("resume", "--reason", "venue answered our ticket")
    again = type_("resume", "--reason", "to be sure")

    assert (halted[0], resumed[0], again[0]) == (0, 0, 0)
    assert f"halted {SCOPE}: venue behaves oddly" in halted[1]
    assert "HALTED by" in status[1] and "venue behaves oddly" in status[1]
    assert "cleared: venue behaves oddly" in resumed[1]
    assert "not halted; nothing to clear" in again[1]
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT halted, reason, who FROM live.halt_event ORDER BY id").fetchall()
    assert rows == [(True, "venue behaves oddly", cli.who()), (False, "venue answered our ticket", cli.who())]


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


def test_trace_tells_what_happened_and_why_one_line_each(type_: Type, database_url: str) -> None:
    worked(database_url, story(datetime.now(UTC)))

    lines = type_("trace")[1].splitlines()
    decisions = type_("trace", "--kind", "decided", "--symbol", SYMBOL)[1].splitlines()

    assert len(lines) == 7
    assert "take long: bullish BOS" in lines[0]
    assert lines[0].endswith(decisions[0].split(" ", 2)[2]) and len(decisions) == 1
    assert [json.loads(line)["event"]["kind"] for line in type_("trace", "--json", "--limit", "2")[1].splitlines()] == [
        "order_intended",
        "order_accepted",
    ]


def test_following_the_trace_prints_new_events_and_ends_with_the_interrupt(
    type_: Type, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    decided = Decided(at=now, symbol=SYMBOL, closed_at=now, taken=False, side=None, reasons=("new",))
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 1:
            worked(database_url, [decided])
        else:
            raise KeyboardInterrupt

    worked(database_url, story(now))
    monkeypatch.setattr("live.cli.time.sleep", nap)

    code, out, _ = type_("trace", "--follow", "--limit", "1")

    assert code == ExitCode.OK
    assert len(out.splitlines()) == 2 and out.splitlines()[1].endswith("no trade: new")


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

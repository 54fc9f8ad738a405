"""The journal's contract, kept by both journals; and what only PostgreSQL can promise."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from operator import attrgetter
from uuid import UUID, uuid4

import psycopg
import pytest

from live import latch, people
from live.book import fold, next_mark
from live.events import (
    Ask,
    Decided,
    EquityObserved,
    Event,
    ExternalFill,
    Filled,
    OrderAccepted,
    OrderIntended,
    OrderRejected,
    PersonAsked,
    SymbolFrozen,
    WorkerStarted,
)
from live.journal import Journal, JournalUnavailable, MemoryJournal, MemoryStore, PostgresJournal
from live.model import Candle, Fill, Leg, OrderSide, OrderSpec, OrderType
from live.position import NEVER_ARRIVED
from live.reader import EquityPoint, open_reader
from live.reconcile import DOUBT
from live.records import JournalConflict, Row
from live.status import HaltCause, Status
from prodsafe.errors import DatabaseRefused, ExitCode, LeaseLost
from prodsafe.lease import Lease, acquire
from tests.builders import approved

NOW = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)
SCOPE, OTHER_SCOPE = "account/krakenfutures/desk/test", "account/krakenfutures/other/test"


MINUTE = timedelta(minutes=1)


def started(at: datetime) -> WorkerStarted:
    return WorkerStarted(at=at, version="0", host="h", pid=1, predecessor_clean=True)


def equity(amount: int | str) -> EquityObserved:
    return EquityObserved(at=NOW, equity_quote=Decimal(amount))


def intended(client_order_id: str) -> OrderIntended:
    spec = OrderSpec(
        client_order_id=client_order_id,
        position_id="p1",
        symbol="BTC/USD:USD",
        side=OrderSide.BUY,
        leg=Leg.ENTRY,
        type=OrderType.MARKET,
        qty=Decimal("0.5"),
    )
    return OrderIntended(at=NOW, spec=spec, expires_at=NOW + timedelta(seconds=2))


def filled(fill_id: str = "f1", **changes: object) -> Filled:
    fill = Fill(
        fill_id=fill_id,
        venue_order_id="v1",
        client_order_id=None,
        symbol="BTC/USD:USD",
        side=OrderSide.BUY,
        qty=Decimal("0.5"),
        price=Decimal("60950.5"),
        fee_quote=Decimal("15.2"),
        filled_at=NOW,
    )
    return Filled(at=NOW, client_order_id="ps-1", fill=replace(fill, **changes))


def candle(close: str = "101", *, minute: int = 0) -> Candle:
    prices = (Decimal("100"), Decimal("102"), Decimal("99.5"), Decimal(close))
    return Candle("BTC/USD:USD", timedelta(minutes=5), NOW + timedelta(minutes=minute), *prices, Decimal("7"))


@dataclass
class Store:
    """One store and the ways to reach it, whichever it is."""

    open: Callable[..., Journal]
    take: Callable[[str], tuple[int, UUID]]
    spoil: Callable[[str], None]
    candles: Callable[[], list[Candle]]
    ask: Callable[[Ask, str], None]


@pytest.fixture(params=["memory", "postgres"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield memory_store()
        return
    url = request.getfixturevalue("database_url")
    with ExitStack() as open_things:
        yield postgres_store(url, open_things)


def memory_store() -> Store:
    store = MemoryStore()

    def take(scope: str) -> tuple[int, UUID]:
        holder = uuid4()
        return store.take(scope, holder), holder

    def spoil(payload: str) -> None:
        store.rows.append((SCOPE, Row("filled", "BTC/USD:USD", "ps-9", "f9", NOW, payload)))

    def ask(action: Ask, scope: str) -> None:
        request_id = len(store.asked) + 1
        asked = PersonAsked(at=NOW, request_id=request_id, action=action, symbol=None, reason="why", who="ann@desk")
        store.asked.append((scope, asked))

    return Store(
        lambda epoch, holder, scope=SCOPE: MemoryJournal(store, scope=scope, epoch=epoch, holder=holder),
        take,
        spoil,
        lambda: list(store.candles.values()),
        ask,
    )


def postgres_store(url: str, open_things: ExitStack) -> Store:
    leases: dict[str, Lease] = {}

    def take(scope: str) -> tuple[int, UUID]:
        if scope in leases:
            leases[scope].release()
        leases[scope] = open_things.enter_context(acquire(url, [scope], exit_on_loss=False))
        leases[scope].activate()
        return leases[scope].token.epoch, leases[scope].token.holder

    def connect(epoch: int, holder: UUID, scope: str = SCOPE) -> Journal:
        connection = open_things.enter_context(psycopg.connect(url, autocommit=True))
        return PostgresJournal(connection, scope=scope, epoch=epoch, holder=holder)

    def candles() -> list[Candle]:
        with open_reader(url) as reader:
            return reader.candles("BTC/USD:USD", timedelta(minutes=5))

    def spoil(payload: str) -> None:
        token = leases[SCOPE].token
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(
                "INSERT INTO live.event (scope, epoch, holder, kind, symbol, fill_id, at, payload)"
                " VALUES (%s, %s, %s, 'filled', 'BTC/USD:USD', 'f9', now(), %s)",
                (SCOPE, token.epoch, token.holder, payload),
            )

    def ask(action: Ask, scope: str) -> None:
        with psycopg.connect(url) as person:
            people.ask(person, scope, action, symbol=None, reason="why", who="ann@desk")

    return Store(connect, take, spoil, candles, ask)


@pytest.fixture
def journal(store: Store) -> Journal:
    return store.open(*store.take(SCOPE))


# --- both -------------------------------------------------------------------------------------------------------------


async def test_events_come_back_in_the_order_they_were_appended(journal: Journal) -> None:
    events: list[Event] = [
        equity("10000.10"),
        intended("ps-1"),
        OrderAccepted(at=NOW, client_order_id="ps-1", venue_order_id="v1"),
        filled(),
        ExternalFill(at=NOW, position_id="p1", fill=replace(filled("f2").fill, side=OrderSide.SELL)),
        SymbolFrozen(at=NOW, symbol="ETH/USD:USD", reason="not understood"),
    ]

    await journal.append(events[:4])
    await journal.append(events[4:])
    await journal.append([])
    loaded = await journal.load()

    assert loaded.events == events
    assert loaded.quarantined == []


async def test_a_successor_reads_what_its_predecessor_wrote(store: Store) -> None:
    await store.open(*store.take(SCOPE)).append([equity(1)])

    successor = store.open(*store.take(SCOPE))
    await successor.append([equity(2)])

    assert (await successor.load()).events == [equity(1), equity(2)]


async def test_a_nul_in_a_venue_s_words_does_not_stop_the_journal(journal: Journal) -> None:
    await journal.append([SymbolFrozen(at=NOW, symbol="ETH/USD:USD", reason="odd\x00reply")])

    assert (await journal.load()).events == [SymbolFrozen(at=NOW, symbol="ETH/USD:USD", reason="odd\ufffdreply")]


async def test_accounts_do_not_see_each_other(store: Store) -> None:
    mine, other = store.open(*store.take(SCOPE)), store.open(*store.take(OTHER_SCOPE), OTHER_SCOPE)

    await mine.append([intended("ps-1"), filled()])
    await other.append([intended("ps-1"), filled()])

    assert len((await other.load()).events) == 2
    await mine.halt("mine only", "ann")
    assert not (await other.latch()).halted


async def test_an_older_epoch_can_write_nothing(store: Store) -> None:
    old = store.open(*store.take(SCOPE))
    await old.append([equity(1)])
    new = store.open(*store.take(SCOPE))

    with pytest.raises(LeaseLost) as refused:
        await old.append([equity(2)])

    assert refused.value.exit_code == ExitCode.LEASE_LOST
    assert (await new.load()).events == [equity(1)]


async def test_an_older_epoch_cannot_speak_for_the_worker(store: Store) -> None:
    old = store.open(*store.take(SCOPE))
    store.take(SCOPE)

    with pytest.raises(LeaseLost):
        await old.save_status(Status(state="running", observed_at=NOW))


async def test_a_client_order_id_is_intended_once(journal: Journal) -> None:
    await journal.append([intended("ps-1")])

    with pytest.raises(JournalConflict):
        await journal.append([equity(1), intended("ps-1")])
    with pytest.raises(JournalConflict):
        await journal.append([intended("ps-2"), intended("ps-2")])

    assert (await journal.load()).events == [intended("ps-1")], "all of a batch or nothing of it"


async def test_a_fill_reported_again_is_dropped_and_the_rest_of_the_batch_is_kept(journal: Journal) -> None:
    await journal.append([filled()])

    await journal.append([equity(1), filled(qty=Decimal("0.50"), fee_quote=Decimal(0)), filled("f2"), filled("f2")])

    assert (await journal.load()).events == [filled(), equity(1), filled("f2")]


@pytest.mark.parametrize("change", [{"qty": Decimal("0.6")}, {"price": Decimal(1)}, {"venue_order_id": "v2"}])
async def test_another_fill_under_a_known_id_is_refused_with_its_whole_batch(
    journal: Journal, change: dict[str, object]
) -> None:
    """I42: one fill id for several positions made a negative quantity and a crash at boot."""
    await journal.append([filled()])

    with pytest.raises(JournalConflict):
        await journal.append([equity(1), filled(**change)])

    assert (await journal.load()).events == [filled()]


async def test_a_corrupt_row_is_set_apart_and_everything_else_is_loaded(store: Store) -> None:
    """I43: one corrupt row ended the whole boot, and nothing was protected."""
    journal = store.open(*store.take(SCOPE))
    await journal.append([equity(1)])
    store.spoil('{"kind": "filled", "at": "yesterday"}')
    await journal.append([equity(2)])

    loaded = await journal.load()

    assert loaded.events == [equity(1), equity(2)]
    assert [(row.kind, row.symbol) for row in loaded.quarantined] == [("filled", "BTC/USD:USD")]


async def test_an_entry_is_not_written_while_the_latch_is_set_and_the_latch_is_the_answer(journal: Journal) -> None:
    """W19: the switch was read by nobody, or before the moment that counted. Here look and writing are one."""
    assert await journal.append_unless_halted([intended("ps-1")]) is None
    await journal.halt("a person wants calm", "ann")

    refused = await journal.append_unless_halted([intended("ps-2"), equity(1)])

    assert refused is not None
    assert refused.reason == "a person wants calm"
    assert (await journal.load()).events == [intended("ps-1")]
    assert await journal.resume("seen", "ann", seen_id=refused.id)
    assert await journal.append_unless_halted([intended("ps-2")]) is None


async def test_an_entry_is_written_whole_or_not_at_all_and_its_order_is_intended_once(store: Store) -> None:
    """It has a statement of its own, which must keep what every append promises."""
    journal = store.open(*store.take(SCOPE))
    entry: list[Event] = [equity(1), approved(), intended("ps-1")]
    assert await journal.append_unless_halted(entry) is None

    for twice in (entry, [intended("ps-2"), intended("ps-1")], [intended("ps-2"), intended("ps-2")]):
        with pytest.raises(JournalConflict):
            await journal.append_unless_halted(twice)
    assert (await journal.load()).events == entry

    successor = store.open(*store.take(SCOPE))
    with pytest.raises(LeaseLost):
        await journal.append_unless_halted([intended("ps-2")])
    assert await successor.append_unless_halted([intended("ps-2")]) is None


async def test_a_halt_is_one_fact_that_everybody_reads_and_only_a_named_person_clears(store: Store) -> None:
    """I35, I36, W19, W24: four kill switches in four files, and clearing one left the others set."""
    worker = store.open(*store.take(SCOPE))
    assert not (await worker.latch()).halted

    await worker.halt("daily loss 4.1 % >= 4 %", "risk")
    successor = store.open(*store.take(SCOPE))
    seen = await successor.latch()

    assert (seen.halted, seen.reason, seen.who) == (True, "daily loss 4.1 % >= 4 %", "risk")
    with pytest.raises(ValueError):
        await successor.resume("  ", "ann", seen_id=seen.id)
    assert await successor.resume("looked at it", "ann@desk", seen_id=seen.id)
    assert not (await worker.latch()).halted


async def test_resuming_never_clears_a_halt_that_the_person_has_not_seen(journal: Journal) -> None:
    await journal.halt("first", "ann")
    seen = await journal.latch()
    await journal.halt("second, worse", "risk")

    assert not await journal.resume("first is mended", "ann", seen_id=seen.id)
    assert (await journal.latch()).reason == "second, worse"


async def test_a_candle_is_kept_as_it_was_first_read(store: Store) -> None:
    journal = store.open(*store.take(SCOPE))

    await journal.save_candles([candle("101"), candle("101", minute=5)])
    await journal.save_candles([candle("999"), candle("103", minute=10)])
    await journal.save_candles([])

    assert store.candles() == [candle("101"), candle("101", minute=5), candle("103", minute=10)]


async def test_the_strategy_s_memory_is_the_last_one_saved_for_its_symbol_and_timeframe(store: Store) -> None:
    bar, text = timedelta(minutes=15), '{"b": 1.0,  "a": 1e-05}'
    journal = store.open(*store.take(SCOPE))
    assert await journal.load_snapshot("BTC/USD:USD", bar) is None

    await journal.save_snapshot("BTC/USD:USD", bar, "older")
    await journal.save_snapshot("BTC/USD:USD", bar, text)
    await journal.save_snapshot("ETH/USD:USD", bar, "other")

    successor = store.open(*store.take(SCOPE))
    assert await successor.load_snapshot("BTC/USD:USD", bar) == text
    assert await successor.load_snapshot("BTC/USD:USD", 4 * bar) is None
    assert await store.open(*store.take(OTHER_SCOPE), OTHER_SCOPE).load_snapshot("BTC/USD:USD", bar) is None


async def test_an_older_epoch_cannot_replace_the_strategy_s_memory(store: Store) -> None:
    bar, old = timedelta(minutes=15), store.open(*store.take(SCOPE))
    await old.save_snapshot("BTC/USD:USD", bar, "old")
    new = store.open(*store.take(SCOPE))

    with pytest.raises(LeaseLost):
        await old.save_snapshot("BTC/USD:USD", bar, "late")
    assert await new.load_snapshot("BTC/USD:USD", bar) == "old"


async def test_one_append_after_another_keeps_its_order_when_many_wait(journal: Journal) -> None:
    await asyncio.gather(*(journal.append([equity(n)]) for n in range(1, 40)))

    assert (await journal.load()).events == [equity(n) for n in range(1, 40)]


# --- PostgreSQL -------------------------------------------------------------------------------------------------------


@pytest.fixture
async def held(database_url: str) -> AsyncIterator[PostgresJournal]:
    """A journal under a real lease."""
    with acquire(database_url, [SCOPE], exit_on_loss=False) as lease:
        lease.activate()
        journal = await PostgresJournal.open(
            database_url, scope=SCOPE, epoch=lease.token.epoch, holder=lease.token.holder
        )
        yield journal
        await journal.close()


async def test_after_a_release_the_journal_refuses_its_old_holder(database_url: str) -> None:
    lease = acquire(database_url, [SCOPE], exit_on_loss=False)
    lease.activate()
    token = lease.token
    journal = await PostgresJournal.open(database_url, scope=SCOPE, epoch=token.epoch, holder=token.holder)
    lease.release()

    with pytest.raises(LeaseLost):
        await journal.append([equity(1)])
    with pytest.raises(LeaseLost):
        await journal.load()
    await journal.close()


async def test_a_lost_connection_breaks_the_journal_for_good(held: PostgresJournal, database_url: str) -> None:
    """Whether the last append was committed is unknown then; only a restart that folds again can tell."""
    await held.append([equity(1)])
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'live/journal%'"
            " AND datname = current_database()"
        )

    for _ in range(2):
        with pytest.raises(JournalUnavailable) as refused:
            await held.append([equity(2)])
        assert refused.value.exit_code == ExitCode.LEASE_LOST


@pytest.mark.parametrize("what", ["an append, on the loop", "the latch, on the thread"])
async def test_a_server_process_that_stands_still_breaks_the_journal_within_its_patience(
    held: PostgresJournal, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends no statement by itself, its kernel answers for it, and the lease lives in another session."""
    monkeypatch.setattr("live.journal._PATIENCE_SECONDS", 0.5)
    await held.append([equity(1)])
    backend = held._connection.info.backend_pid
    os.kill(backend, signal.SIGSTOP)
    try:
        with pytest.raises(JournalUnavailable):
            async with asyncio.timeout(5):
                await (held.append([equity(2)]) if what.startswith("an") else held.latch())
    finally:
        os.kill(backend, signal.SIGCONT)


async def test_a_cancelled_task_does_not_undo_its_append(held: PostgresJournal) -> None:
    task = asyncio.ensure_future(held.append([equity(1)]))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    await held.append([equity(2)])

    assert (await held.load()).events == [equity(1), equity(2)]


async def test_a_journal_longer_than_a_page_is_loaded_whole(held: PostgresJournal) -> None:
    await held.append([equity(n) for n in range(4500)])

    assert [event.equity_quote for event in (await held.load()).events] == list(range(4500))


async def test_a_year_of_marks_and_decisions_is_not_read_and_the_book_is_the_same(held: PostgresJournal) -> None:
    """Boot must not take longer the longer a worker has lived: the newest mark and decisions stand for all before."""
    events, known = list[Event](), None
    for n in range(240):
        at = NOW + timedelta(hours=n)
        mark = next_mark(known, Decimal(10_000 + (n * 37) % 900), at, rebased=n == 30)
        book = fold([*events, mark])
        known = book.equity
        decided = Decided(at=at, symbol=f"S{n % 3}", closed_at=at, taken=False, side=None, reasons=("nothing",))
        events += [mark, decided]
    events.insert(100, SymbolFrozen(at=NOW, symbol="BTC/USD:USD", reason="looked odd"))
    await held.append(events)

    loaded = (await held.load()).events

    assert len(loaded) == 1 + 3 + 1
    whole, short = fold(events), fold(loaded)
    assert (short.equity, short.decided, short.frozen) == (whole.equity, whole.decided, whole.frozen)


async def test_a_doubt_that_is_over_does_not_come_back_because_a_boot_reads_no_old_marks(held: PostgresJournal) -> None:
    """Their absence passed for time in which nobody could look, and each look after a boot asked for orders of days."""
    lost, hours = OrderRejected(at=NOW, client_order_id="ps-1", code=NEVER_ARRIVED, reason="nowhere"), 8
    marks = [replace(next_mark(None, Decimal(1), NOW, rebased=False), at=NOW + n * MINUTE) for n in range(60 * hours)]
    restarts = [started(NOW + n * timedelta(hours=1)) for n in range(hours)]
    events: list[Event] = [approved(position_id="p1"), intended("ps-1"), lost]
    await held.append([*events, *sorted([*marks, *restarts], key=attrgetter("at"))])

    book = fold([*(await held.load()).events, started(marks[-1].at + 10 * MINUTE)])

    doubted = [book.doubted_orders(marks[-1].at + minutes * MINUTE - DOUBT) for minutes in (10, 11, 14)]
    assert doubted == [[], [], []]


async def test_marks_of_older_code_are_all_read_since_no_newer_one_sums_them_up(held: PostgresJournal) -> None:
    await held.append([equity(n) for n in (5, 9, 7)])

    assert fold((await held.load()).events).equity == fold([equity(n) for n in (5, 9, 7)]).equity


async def test_what_people_ask_is_read_once_and_in_order(store: Store) -> None:
    journal = store.open(*store.take(SCOPE))
    store.ask(Ask.FLATTEN, SCOPE)
    store.ask(Ask.THAW, OTHER_SCOPE)
    store.ask(Ask.WITHDRAW, SCOPE)

    everything = await journal.asked(0)
    rest = await journal.asked(everything[0].request_id)

    assert [(each.action, each.symbol, each.who) for each in everything] == [
        (Ask.FLATTEN, None, "ann@desk"), (Ask.WITHDRAW, None, "ann@desk"),
    ]  # fmt: skip
    assert rest == everything[1:]


async def test_a_halt_tells_what_it_was_for(journal: Journal) -> None:
    for cause in HaltCause:
        await journal.halt("why", by="somebody", cause=cause)
        assert (await journal.latch()).cause is cause


async def test_history_cannot_be_rewritten_by_hand(held: PostgresJournal, database_url: str) -> None:
    await held.append([equity(1)])
    await held.halt("maintenance", "ann")
    await held.save_candles([candle()])

    for statement in (
        "UPDATE live.event SET payload = '{}'",
        "DELETE FROM live.event",
        "TRUNCATE live.event",
        "UPDATE live.halt_event SET halted = false",
        "DELETE FROM live.halt_event",
        "TRUNCATE live.halt_event",
        "UPDATE live.candle SET close = 1",
    ):
        with psycopg.connect(database_url, autocommit=True) as admin, pytest.raises(psycopg.Error, match="refuse"):
            admin.execute(statement)

    assert (await held.load()).events == [equity(1)]
    assert (await held.latch()).halted


async def test_an_append_is_durable_where_the_role_says_otherwise(held: PostgresJournal) -> None:
    await held.append([equity(0)])
    held._connection.execute("SET synchronous_commit = off")
    held._connection.execute("BEGIN")

    await held.append([equity(1)])

    setting = held._connection.execute("SHOW synchronous_commit").fetchone()
    held._connection.execute("COMMIT")
    assert setting == ("on",)


async def test_a_halt_under_way_is_not_hidden_by_a_resume(held: PostgresJournal, database_url: str) -> None:
    """The resume waits for the uncommitted halt, then sees that the latch moved."""
    await held.halt("first", "ann")
    seen = await held.latch()
    with psycopg.connect(database_url) as other:
        other.execute(
            "INSERT INTO live.halt_event (scope, halted, reason, who) VALUES (%s, true, 'second', 'risk')", (SCOPE,)
        )
        resuming = asyncio.create_task(held.resume("mended", "ann", seen_id=seen.id))
        await asyncio.sleep(0.2)
        assert not resuming.done()
        other.commit()

    assert await resuming is False
    assert (await held.latch()).reason == "second"


async def test_a_reader_sees_everything_and_can_write_nothing(held: PostgresJournal, database_url: str) -> None:
    await held.append([equity(1), filled()])
    await held.save_candles([candle("101"), candle("999"), candle("103", minute=5)])
    await held.save_status(Status(state="running", observed_at=NOW))

    with open_reader(database_url) as reader:
        assert reader.scopes() == [SCOPE]
        assert [row.event for row in reader.tail(SCOPE)] == [equity(1), filled()]
        assert [row.event for row in reader.tail(SCOPE, kinds=["filled"], symbol="BTC/USD:USD")] == [filled()]
        assert [row.event for row in reader.history(SCOPE, page_rows=1)] == [equity(1), filled()]
        assert [each.close for each in reader.candles("BTC/USD:USD", timedelta(minutes=5))] == [
            Decimal(101),
            Decimal(103),
        ]
        assert reader.equity(SCOPE) == [EquityPoint(NOW, 1.0, 0.0)]
        assert [row.event for row in reader.history(SCOPE, leaving_out=["equity_observed"])] == [filled()]
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            latch.set_halt(reader._connection, SCOPE, reason="r", who="w")
        role = reader._connection.execute(
            "SELECT current_user, has_table_privilege('live.halt_event', 'INSERT, UPDATE, DELETE, TRUNCATE')"
        ).fetchone()
    assert role == ("prodsafe_reader", False)


async def test_a_dead_worker_is_not_believed_although_its_last_word_was_running(database_url: str) -> None:
    with acquire(database_url, [SCOPE], exit_on_loss=False) as lease:
        lease.activate()
        token = lease.token
        journal = await PostgresJournal.open(database_url, scope=SCOPE, epoch=token.epoch, holder=token.holder)
        await journal.save_status(Status(state="running", observed_at=NOW, lease_fresh=True))
        with open_reader(database_url) as reader:
            alive = reader.status(SCOPE)
        await journal.close()

    with open_reader(database_url) as reader:
        dead = reader.status(SCOPE)

    assert alive is not None and alive.lease_fresh
    assert dead is not None and dead.state == "running" and not dead.lease_fresh


def test_a_database_without_schema_is_refused_with_the_mend(empty_database_url: str) -> None:
    with pytest.raises(DatabaseRefused, match="migrate_schema"), open_reader(empty_database_url) as reader:
        reader.scopes()

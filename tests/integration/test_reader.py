"""What the dashboard reads: equity with its fall, a search of the journal, who held the account."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from live.events import EquityObserved, SymbolFrozen, SymbolThawed
from live.journal import PostgresJournal
from live.reader import SearchTooLong, open_reader
from prodsafe.lease import account_scope, acquire

SCOPE = account_scope("krakenfutures", "desk", "test")
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SYMBOL = "BTC/USD:USD"


def equity(minute: int, quote: int, *, rebased: bool = False) -> EquityObserved:
    return EquityObserved(at=NOW + timedelta(minutes=minute), equity_quote=Decimal(quote), rebased=rebased)


@pytest.fixture
async def journal(database_url: str) -> AsyncIterator[PostgresJournal]:
    with acquire(database_url, [SCOPE], exit_on_loss=False) as lease:
        lease.activate()
        token = lease.token
        journal = await PostgresJournal.open(database_url, scope=SCOPE, epoch=token.epoch, holder=token.holder)
        yield journal
        await journal.close()


async def test_the_fall_is_counted_from_the_peak_also_where_the_peak_is_thinned_out(journal, database_url) -> None:
    await journal.append([equity(n, quote) for n, quote in enumerate((100, 200, 150, 100, 180, 160))])

    with open_reader(database_url) as reader:
        points = reader.equity(SCOPE, points=2)

    assert [point.equity_quote for point in points] == [150, 160]
    assert [round(point.drawdown_pct, 6) for point in points] == [25, 20]


async def test_a_resume_that_rebased_the_marks_begins_a_new_peak(journal, database_url) -> None:
    await journal.append([equity(0, 200), equity(1, 100), equity(2, 100, rebased=True), equity(3, 90)])

    with open_reader(database_url) as reader:
        assert [round(point.drawdown_pct, 6) for point in reader.equity(SCOPE)] == [0, 50, 0, 10]


@pytest.mark.parametrize(
    ("text", "found"),
    [("MAINTENANCE", 1), ("50%_off", 1), ("50%", 1), ("5_", 0), ("", 2), ("no such word", 0)],
)
async def test_a_search_takes_its_text_as_it_stands(journal, database_url, text: str, found: int) -> None:
    await journal.append(
        [
            SymbolFrozen(at=NOW, symbol=SYMBOL, reason="maintenance"),
            SymbolThawed(at=NOW, symbol=SYMBOL, reason="50%_off is no pattern"),
        ]
    )

    with open_reader(database_url) as reader:
        assert len(reader.search(SCOPE, text)) == found
        assert len(reader.search(SCOPE, text, symbol="ETH/USD:USD")) == 0


async def test_a_search_that_takes_too_long_is_cut_off_and_the_look_goes_on(journal, database_url, monkeypatch) -> None:
    await journal.append([equity(n, 100) for n in range(2000)])
    monkeypatch.setattr("live.reader._SEARCH_MS", 1)

    with open_reader(database_url) as reader:
        with pytest.raises(SearchTooLong, match="choose an event or a symbol"):
            for _ in range(50):  # a millisecond may be enough for one of them
                reader.search(SCOPE, "nowhere to be found")
        assert reader.scopes() == [SCOPE]


async def test_the_holders_are_told_with_how_each_ended(journal, database_url) -> None:
    with open_reader(database_url) as reader:
        (tenure,) = reader.tenures(SCOPE, last=5)

    assert (tenure.end, tenure.ended_at) == ("held", None)

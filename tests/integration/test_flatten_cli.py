"""What `python -m live flatten | thaw | resume` write, refuse and say, against the journal alone."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from uuid import UUID

import psycopg
import pytest

from live import cli_parts, latch, people
from live.events import Ask, Event, FlattenDone, PersonAsked, SymbolFrozen
from live.journal import PostgresJournal
from prodsafe.lease import Lease, account_scope, acquire
from tests.integration.test_operator_cli import SYMBOL, Type, story, type_

__all__ = ["type_"]  # the fixture

SCOPE = account_scope("krakenfutures", "desk", "test")
NOW = datetime.now(UTC)
ALL = ("flatten", "--all", "--reason", "enough", "--wait", "0.2")


@pytest.fixture
def lease(database_url: str):  # type: ignore[no-untyped-def]
    """A worker that holds the account and beats, and does nothing else."""
    with acquire(database_url, [SCOPE], exit_on_loss=False) as held:
        held.activate()
        append(database_url, held, *story(NOW))
        yield held


def append(url: str, lease: Lease, *events: Event) -> None:
    async def write(epoch: int, holder: UUID) -> None:
        journal = await PostgresJournal.open(url, scope=SCOPE, epoch=epoch, holder=holder)
        await journal.append(events)
        await journal.close()

    asyncio.run(write(lease.token.epoch, lease.token.holder))


def requests(url: str) -> list[tuple[str, str | None, str]]:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT action, symbol, who FROM live.person_request ORDER BY id").fetchall()


def test_the_halt_comes_with_the_request_and_both_say_why_and_who(type_: Type, lease: Lease, database_url: str) -> None:
    code, _, err = type_(*ALL, "--yes", SCOPE)

    assert code == 1, "nobody performs it here"
    assert "not flat yet" in err and "long 0.5 protected" in err
    assert requests(database_url) == [("flatten", None, cli_parts.who())]
    with psycopg.connect(database_url) as connection:
        halt = latch.read(connection, SCOPE)
    assert halt.halted and halt.cause == "flatten" and "enough" in (halt.reason or "")


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        ((*ALL,), "H22"),
        ((*ALL, "--yes", "another account"), "H22"),
        (("flatten", "--symbol", "BTCUSD", "--reason", "x", "--yes", SCOPE), "H20"),
    ],
    ids=["unconfirmed", "another-name", "misspelt-symbol"],
)
def test_what_is_refused_writes_nothing(
    words: tuple[str, ...], refusal: str, type_: Type, lease: Lease, database_url: str
) -> None:
    code, _, err = type_(*words)

    assert code == 1 and refusal in err
    assert requests(database_url) == []


def test_without_a_beating_worker_it_is_refused(type_: Type, database_url: str) -> None:
    with acquire(database_url, [SCOPE], exit_on_loss=False) as lease:
        lease.activate()
        append(database_url, lease, *story(NOW))

    code, _, err = type_(*ALL, "--yes", SCOPE)

    assert code == 1 and "H21" in err
    assert requests(database_url) == []


@pytest.mark.parametrize(
    "words", [("flatten", "--reason", "x"), ("flatten", "--all", "--symbol", SYMBOL, "--reason", "x")]
)
def test_one_of_symbol_and_all_is_wanted(words: tuple[str, ...], type_: Type) -> None:
    assert type_(*words)[0] == 2


def test_it_is_flat_only_by_the_worker_s_own_record_of_it(type_: Type, lease: Lease, database_url: str) -> None:
    code, out, _ = type_(*ALL, "--yes", SCOPE, "--json")
    request_id = json.loads(out)["request_id"]
    assert code == 1

    taken = PersonAsked(at=NOW, request_id=request_id, action=Ask.FLATTEN, symbol=None, reason="enough", who="ann")
    append(database_url, lease, taken, FlattenDone(at=NOW, request_id=request_id))

    with psycopg.connect(database_url) as connection:
        assert people.open_flattens(connection, SCOPE) == []


def test_resuming_waits_for_an_open_flatten_or_its_withdrawal(type_: Type, lease: Lease, database_url: str) -> None:
    """Otherwise the next entry would be closed at once."""
    type_(*ALL, "--yes", SCOPE)

    refused, _, err = type_("resume", "--reason", "all well")
    withdrawn, out, _ = type_("flatten", "--withdraw", "--reason", "changed my mind")
    resumed, _, _ = type_("resume", "--reason", "all well")

    assert (refused, withdrawn, resumed) == (1, 0, 0)
    assert "flatten is still open" in err and "withdrawn: 1" in out
    assert requests(database_url) == [("flatten", None, cli_parts.who()), ("withdraw", None, cli_parts.who())]


def test_thaw_asks_for_what_is_frozen_and_says_why_it_was(type_: Type, lease: Lease, database_url: str) -> None:
    append(database_url, lease, SymbolFrozen(at=NOW, symbol=SYMBOL, reason="journal row 7 does not decode"))

    nothing = type_("thaw", "--symbol", "ETH/USD:USD", "--reason", "looked")
    code, out, _ = type_("thaw", "--reason", "looked: a test row")

    assert nothing[0] == 0 and "not frozen" in nothing[1]
    assert code == 0 and "journal row 7" in out
    assert requests(database_url) == [("thaw", None, cli_parts.who())]

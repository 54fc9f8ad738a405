"""The history that a worker's database holds, read-only, and how it is joined with what the venue tells. [E] and [P]

A database that does not answer holds nothing up: it is read by a thread that the process's end does not wait for.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import psycopg

from live.market import gaps
from live.model import Candle
from live.reader import STORE_UNREADABLE, open_reader, unreadable
from prodsafe.errors import DatabaseRefused

T = TypeVar("T")
History = Mapping[str, Sequence[Candle]]
ReadHistory = Callable[[Sequence[str], timedelta, datetime], Awaitable[History]]
"""(symbols, timeframe, since) -> their candles opened since then (aware UTC), oldest first. Raises DatabaseRefused."""

PATIENCE_SECONDS = 10.0  # for the connection and everything that is read by it


class OtherMarket(ValueError):
    """The journal's candles and the venue's are not of one market."""


def journal_of(url: str, *, patience_seconds: float = PATIENCE_SECONDS) -> ReadHistory:
    """What the workers of this database have read, as they first read it; nothing is written there."""

    async def read(symbols: Sequence[str], length: timedelta, since: datetime) -> History:
        try:
            return await _beside(lambda: _read(url, symbols, length, since), patience_seconds)
        except TimeoutError:
            cause = f"no answer within {patience_seconds:g} s"
            raise DatabaseRefused(
                STORE_UNREADABLE.because(cause, mend="see that DATABASE_URL points at a database that answers")
            ) from None

    return read


def wanted_since(recorded: Sequence[Candle], begin: datetime) -> datetime:
    """From where the venue must be asked: the first candle since `begin` that is not recorded, or the last that is.

    At least one recorded candle comes along, to see whether both tell of one market.
    """
    if not recorded or recorded[0].opened_at > begin:
        return begin
    return min([*(gap.begins_at for gap in gaps(recorded)), recorded[-1].opened_at])


def joined(recorded: Sequence[Candle], told: Sequence[Candle]) -> list[Candle]:
    """The keyed union; of a candle in both the recorded reading stays, which a worker may have decided on.

    Raises OtherMarket where the venue tells other prices of any of them, or none of them.
    """
    kept = {candle.opened_at: candle for candle in recorded}
    shared = [candle for candle in told if candle.opened_at in kept]
    if recorded and not shared:
        raise OtherMarket("the venue tells none of the journal's candles")
    for candle in shared:
        if _prices(candle) != _prices(kept[candle.opened_at]):
            raise OtherMarket(f"the venue tells the candle of {candle.opened_at:%d %b %H:%M} with other prices")
    union = {candle.opened_at: candle for candle in told} | kept
    return [union[opened_at] for opened_at in sorted(union)]


def _read(url: str, symbols: Sequence[str], length: timedelta, since: datetime) -> History:
    try:
        with open_reader(url, application_name="legacy/hydration") as reader:
            rows = {symbol: reader.candles(symbol, length, limit=None, since=since) for symbol in symbols}
    except psycopg.Error as error:  # not allowed to look, or another schema: no reason for a local experiment to end
        raise unreadable(error) from error
    return {symbol: [_in_utc(candle) for candle in found] for symbol, found in rows.items()}


def _in_utc(candle: Candle) -> Candle:
    return replace(candle, opened_at=candle.opened_at.astimezone(UTC))  # it comes in the server's zone


def _prices(candle: Candle) -> tuple[object, ...]:
    return candle.open, candle.high, candle.low, candle.close


async def _beside(work: Callable[[], T], patience_seconds: float) -> T:
    """What the work returns or raises. A thread of the loop's pool would be waited for at the end, for ever maybe."""
    answer: Future[T] = Future()
    answer.set_running_or_notify_cancel()

    def run() -> None:
        try:
            answer.set_result(work())
        except BaseException as error:  # noqa: BLE001 - carried to who waits, who raises it
            answer.set_exception(error)

    threading.Thread(target=run, name="legacy-hydration", daemon=True).start()
    async with asyncio.timeout(patience_seconds):
        return await asyncio.wrap_future(answer)

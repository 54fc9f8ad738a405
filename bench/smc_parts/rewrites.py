"""What was said and later said otherwise: both sides replayed prefix by prefix on the same candles. [S]"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from live.model import Candle
from live.smc import Engine, Event, SmcParameters
from smc_parts.data import SYMBOL
from smc_parts.peer import Peer


def ours(candles: Sequence[Candle], *, first: int) -> int:
    """Events that an engine of a shorter prefix told and one of a longer prefix tells otherwise, or not at all."""
    rewritten, told = 0, _events(candles[:first])
    for end in range(first + 1, len(candles) + 1):
        again = _events(candles[:end])
        rewritten += sum(one != other for one, other in zip(told, again, strict=False)) + max(0, len(told) - len(again))
        told = again
    return rewritten


def _events(candles: Sequence[Candle]) -> list[Event]:
    engine = Engine(SmcParameters(), SYMBOL)
    return [event for candle in candles for event in engine.on_candle(candle).events]


def of_peer(peer: Peer, candles: Sequence[Candle], *, first: int) -> Counter[str]:
    """Rows of each function's table that changed after they had been there."""
    rewritten: Counter[str] = Counter()
    frame = peer.frame(candles)
    before = peer.everything(frame.iloc[:first])
    for end in range(first + 1, len(candles) + 1):
        after = peer.everything(frame.iloc[:end])
        for name, table in before.items():
            rewritten[name] += _changed(table, after[name].iloc[: len(table)])
        before = after
    return rewritten


def _changed(one: Any, other: Any) -> int:
    one, other = one.reset_index(drop=True), other.reset_index(drop=True)
    differs = (one != other) & ~(one.isna() & other.isna())
    return int(differs.any(axis=1).sum())

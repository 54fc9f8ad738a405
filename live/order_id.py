"""Client order ids: ps-<scope hash>-<epoch base36>-<seq base36>-<leg>; the venue's ledger shows who sent what. [P]"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from live.model import Leg

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_PATTERN = re.compile(r"ps-([0-9a-z]+)-([0-9a-z]+)-([0-9a-z]+)-([estx])")


@dataclass(frozen=True, slots=True)
class OrderId:
    scope_hash: str
    epoch: int
    seq: int
    leg: Leg

    def __str__(self) -> str:
        return f"{self.root}-{self.leg.value}"

    @property
    def root(self) -> str:
        """The id without its leg: what an entry's position is called."""
        return f"ps-{self.scope_hash}-{base36(self.epoch)}-{base36(self.seq)}"


class OrderIds:
    """The ids of one epoch: deterministic, each sequence number once. An epoch has one holder, so no two are equal."""

    def __init__(self, scope_hash: str, epoch: int) -> None:
        self.scope_hash = scope_hash
        self.epoch = epoch
        self._seq = 0

    def next(self, leg: Leg) -> OrderId:
        self._seq += 1
        return OrderId(self.scope_hash, self.epoch, self._seq, leg)

    def is_own(self, client_order_id: str) -> bool:
        """Whether an id is of this epoch: sent later, one of another would name a holder that is gone."""
        known = parse(client_order_id)
        return known is not None and (known.scope_hash, known.epoch) == (self.scope_hash, self.epoch)


def base36(number: int) -> str:
    """A non-negative whole number in base 36, lower case."""
    digits = ""
    while True:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
        if number == 0:
            return digits


@lru_cache(maxsize=4096)  # what rests at the venue is read again in every tick
def parse(client_order_id: str | None) -> OrderId | None:
    """What one of our ids says; None for anybody else's."""
    match = _PATTERN.fullmatch(client_order_id or "")
    if match is None:
        return None
    scope_hash, epoch, seq, leg = match.groups()
    return OrderId(scope_hash, int(epoch, 36), int(seq, 36), Leg(leg))

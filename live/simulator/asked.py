"""A request as it came off the wire, and the readers of its parameters, which refuse in the venue's words. [P]"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import parse_qs

from live.simulator.accounts import Account
from live.simulator.wire import Clock, Json
from live.simulator.world import Customer, World

MAX_DIGITS = 18


class VenueFault(Exception):
    """The request is answered with result: error and this word."""

    def __init__(self, error: str, *, status: int = 200) -> None:
        self.error = error
        self.status = status
        super().__init__(error)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came off the wire. path: without the query, which is raw, as the signature covers it."""

    method: str
    path: str
    query: str = ""
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def signed_text(self) -> str:
        return self.query or self.body

    def params(self) -> dict[str, str]:
        """Query and form parameters, the last value of each; lists through `many`."""
        return {name: values[-1] for name, values in self._parsed().items()}

    def many(self, name: str) -> list[str]:
        parsed = self._parsed()
        return [*parsed.get(name, []), *parsed.get(f"{name}[]", [])]

    def _parsed(self) -> dict[str, list[str]]:
        return parse_qs(self.signed_text, keep_blank_values=True)


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: Json


@dataclass(frozen=True, slots=True)
class Call:
    """What a handler is given: the parameters, the time, and for private endpoints the account."""

    asked: Asked
    params: Mapping[str, str]
    now: datetime
    names: Mapping[str, str]
    customer: Customer | None = None
    first_fill_fraction: Decimal | None = None

    def account(self, world: World) -> Account:
        assert self.customer is not None, "only private routes ask"
        return world.venue.accounts[self.customer.name]


def required(params: Mapping[str, Any], name: str) -> str:
    value = params.get(name)
    if value is None or value == "":
        raise VenueFault("requiredArgumentMissing")
    return str(value)


def decimal(params: Mapping[str, Any], name: str) -> Decimal | None:
    value = params.get(name)
    if value is None or value == "":
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation as error:
        raise VenueFault(f"invalidArgument: {name}") from error
    if not number.is_finite() or abs(number.adjusted()) > MAX_DIGITS:
        raise VenueFault(f"invalidArgument: {name}")
    return number


def integer(params: Mapping[str, Any], name: str, *, at_most: int = 10**15) -> int | None:
    """A whole number from 0; the bound keeps times within what a datetime can hold."""
    number = decimal(params, name)
    if number is None:
        return None
    if number != int(number) or not 0 <= number <= at_most:
        raise VenueFault(f"invalidArgument: {name}")
    return int(number)


def deadline(params: Mapping[str, Any], clock: Clock) -> datetime | None:
    """processBefore as true time: the client wrote it in the venue's time."""
    value = params.get("processBefore")
    if value is None or value == "":
        return None
    try:
        at = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise VenueFault("invalidArgument: processBefore") from error
    return (at if at.tzinfo else at.replace(tzinfo=UTC)) - clock.offset


def is_true(params: Mapping[str, Any], name: str) -> bool:
    return str(params.get(name, "")).lower() == "true"


def listed(world: World, name: str, *, error: str) -> str:
    try:
        return world.venue_id(name)
    except KeyError:
        raise VenueFault(error) from None

"""The venue's dead-man switch: when it is armed, and when it must not be. [P] decision, [S] tending.

Armed, it cancels every order of the account unless it is renewed: good for entries that rest while nobody watches, and
fatal for a stop. So it is armed only while nothing but entries of ours rests and nothing is held, and it is disarmed
before the first stop is placed. Off unless LIVE_DEAD_MAN_SECONDS says how long.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from live.book import Book
from live.clock import Clock
from live.model import Leg
from live.reconcile import Reading

RENEWALS = 4  # within the time of one arming: Kraken's advice is 60 s, renewed each 15 to 20 s


class Wish(StrEnum):
    ARMED = "armed"
    DISARMED = "disarmed"
    LEFT_ALONE = "left alone"


@dataclass(frozen=True, slots=True)
class Switch:
    """What is known of the venue's switch. Aware UTC.

    may_fire_until: it may be armed until then, whoever armed it; None when the venue confirmed that it is not.
    armed_at: when it was last confirmed to be armed.
    """

    may_fire_until: datetime | None
    armed_at: datetime | None = None

    def may_fire(self, now: datetime) -> bool:
        return self.may_fire_until is not None and now < self.may_fire_until


def wish(book: Book, reading: Reading | None) -> Wish:
    """reading None: the venue could not be read. What then is held by the book still counts, and nothing is renewed."""
    entries = {order.spec.client_order_id for order in book.working_orders() if order.spec.leg is Leg.ENTRY}
    if any(order.spec.leg is not Leg.ENTRY for order in book.working_orders()):
        return Wish.DISARMED
    if any(position.qty > 0 for position in book.open_positions()):
        return Wish.DISARMED
    if reading is None:
        return Wish.LEFT_ALONE
    others = [order for order in reading.open_orders if order.client_order_id not in entries]
    if others or reading.positions or not entries:
        return Wish.DISARMED  # it would cancel what is not ours, or the stop that what is held will need
    return Wish.ARMED


def due(switch: Switch, wanted: Wish, now: datetime, timeout: timedelta) -> int | None:
    """The seconds to set the switch to now, 0 to disarm it, or None when it stands as it should."""
    match wanted:
        case Wish.DISARMED if switch.may_fire(now):
            return 0
        case Wish.ARMED if switch.armed_at is None or now - switch.armed_at >= timeout / RENEWALS:
            return int(timeout.total_seconds())
        case _:
            return None


def after(switch: Switch, seconds: int, *, confirmed: bool, now: datetime) -> Switch:
    """What is known after the switch was asked for `seconds`. Without a confirmation it may or may not have heard."""
    if seconds == 0:
        return Switch(None) if confirmed else replace(switch, armed_at=None)
    until = now + timedelta(seconds=seconds)
    latest = max(until, switch.may_fire_until or until)
    return Switch(latest, now if confirmed else switch.armed_at)


class DeadMan:
    """Keeps the switch as it should be. set_switch: asks the venue for so many seconds, and tells if it confirmed."""

    def __init__(
        self,
        timeout_seconds: int | None,
        *,
        book: Book,
        clock: Clock,
        set_switch: Callable[[int], Awaitable[bool]],
        narrate: Callable[[str], None],
    ) -> None:
        self._timeout = None if timeout_seconds is None else timedelta(seconds=timeout_seconds)
        self._book = book
        self._clock = clock
        self._set_switch = set_switch
        self._narrate = narrate
        # a predecessor may have armed it a moment ago
        self.switch = Switch(None if self._timeout is None else clock.now() + self._timeout)

    async def tend(self, reading: Reading | None) -> None:
        """Called before anything is protected: a stop is placed after the switch was told to leave it alone.

        A disarming that is not confirmed is tried again with every tick; the stop does not wait for it, since a stop
        that may be cancelled within a minute is better than none.
        """
        if self._timeout is None:
            return
        now = self._clock.now()
        seconds = due(self.switch, wish(self._book, reading), now, self._timeout)
        if seconds is None:
            return
        confirmed = await self._set_switch(seconds)
        self.switch = after(self.switch, seconds, confirmed=confirmed, now=self._clock.now())
        if seconds == 0 or not confirmed:
            what = "disarmed" if seconds == 0 else f"armed for {seconds} s"
            self._narrate(f"dead-man switch {what}{'' if confirmed else ': not confirmed'}")

"""Keeps the venue's list of contracts current, while nothing more urgent is under way. [E]"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from live.book import Book
from live.clock import Clock
from live.listing import Instruments, Listing, accept
from live.model import Denied, Instrument
from live.settings import Settings
from live.venue import Venue
from prodsafe.errors import VenueUnreadable

SECOND_READING = timedelta(minutes=1)  # how soon a list in doubt, or one that could not be read, is asked for again
CONTRADICTED = timedelta(seconds=1)  # the same, while the venue itself says that our list is wrong
PAUSE = 9  # times as long as a reading took that failed: a list that hangs holds up a tenth of all looks at most


class ListingWatch:
    """What the venue lists, read at boot and on a cadence; a list in doubt is said aloud and read again.

    While the venue cannot tell, the last good list stands: exits use it, entries until it is too old.
    """

    def __init__(
        self,
        *,
        venue: Venue,
        book: Book,
        clock: Clock,
        settings: Settings,
        narrate: Callable[[str], None],
        alert: Callable[[str, str], None],
    ) -> None:
        self._venue = venue
        self._book = book
        self._clock = clock
        self._settings = settings
        self._narrate = narrate
        self._alert = alert
        self._listing: Listing | None = None
        self._due_at: datetime | None = None
        self._asked_at = clock.now() - CONTRADICTED  # never yet: a first contradiction waits for nothing
        self._contradicted = False

    @property
    def instruments(self) -> Instruments:
        """The last good spec of every contract, by symbol: for stops and exits. {} before the first reading."""
        return self._listing.instruments if self._listing else {}

    def for_entry(self, symbol: str) -> Instrument | Denied:
        """The spec to enter by, or why there is none now."""
        if self._listing is None:
            return Denied(symbol, "not-listed", "the venue's list was not read yet")
        return self._listing.for_entry(symbol, self._clock.now(), self._settings.live_listing_max_age_minutes)

    async def read(self) -> None:
        """Ask the venue. Raises VenueUnreadable when the list cannot be read."""
        self._asked_at = self._clock.now()
        read = await self._venue.instruments()
        held = (position.symbol for position in self._book.open_positions())
        self._listing = accept(
            self._listing,
            read,
            self._clock.now(),
            needed={*self._settings.live_symbols, *held},
            max_shrink_pct=self._settings.live_listing_max_shrink_pct,
        )
        minutes = float(self._settings.live_listing_refresh_minutes)
        self._due_at = self._clock.now() + (SECOND_READING if self._listing.doubts else timedelta(minutes=minutes))
        for symbol, doubt in self._listing.doubts.items():
            self._narrate(f"the venue's list is doubted: {symbol} {doubt}")
            self._alert(f"listing {symbol}", f"the venue's list is doubted until it is read twice: {symbol} {doubt}")

    def contradicted(self) -> None:
        """The venue refused a price or a size that our list allows: a new tick or step, and a stop may wait for it."""
        if not self._contradicted:
            self._contradicted = True
            self._due_at = self._asked_at + CONTRADICTED

    async def refresh(self) -> None:
        """Ask again when it is time; a list that cannot be read leaves the last good one in place.

        One that the venue contradicted is read whatever else is urgent, and again soon, until it can be believed.
        """
        if not self._is_due() or (self._is_urgent() and not self._contradicted):
            return
        try:
            await self.read()
            self._contradicted = self._contradicted and bool(self._listing and self._listing.doubts)
            if self._contradicted:
                self._due_at = self._clock.now() + CONTRADICTED
        except VenueUnreadable as unreadable:
            soon = min(max(CONTRADICTED, PAUSE * (self._clock.now() - self._asked_at)), SECOND_READING)
            self._due_at = self._clock.now() + (soon if self._contradicted else SECOND_READING)
            self._narrate(f"the venue's list could not be read: {unreadable.refusals[0].cause}")

    def _is_due(self) -> bool:
        return self._due_at is None or self._clock.now() >= self._due_at

    def _is_urgent(self) -> bool:
        """Whether a stop is due or an order undecided. An entry that rests may rest for hours: it is not waited for."""
        naked = any(position.naked_since is not None for position in self._book.open_positions())
        return naked or any(order.is_unresolved for order in self._book.working_orders())

"""What must hold before the first tick: the journal folds, symbols exist, clocks agree, resting orders are ours. [P]"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

from live.book import Book
from live.events import SymbolFrozen, symbol_of
from live.position import IllegalTransition, Order
from live.records import Loaded
from live.status import Halt
from prodsafe.errors import ExitCode, GateRefused, RefusalKind, VenueUnreadable

UNKNOWN_SYMBOL = RefusalKind("R01", "symbol-not-listed")
NOT_RECONCILED = RefusalKind("R02", "not-reconciled", ExitCode.UNREADABLE)
CLOCK_SKEW = RefusalKind("R03", "clock-skew", ExitCode.UNREADABLE)
WRONG_JOURNAL = RefusalKind("R04", "orders-of-another-journal", ExitCode.UNREADABLE)

ROW = "journal row"  # how a freeze begins that only a person ends
BOOT_READS = timedelta(seconds=3)  # how long a venue that cannot be read at boot is asked again
UNDECIDED = timedelta(seconds=10)  # how long beyond its expiry an order's fate may stay open


def fold_journal(book: Book, loaded: Loaded, symbols: Sequence[str], at: datetime) -> list[SymbolFrozen]:
    """Fold the journal into the book. A row that cannot be folded freezes its symbol; the rest is protected (I43).

    symbols: all that are traded; a row that names none freezes them all. Returns the freezes that are new, not yet
    recorded: a row that a person has answered for, or that froze its symbol at an earlier boot, does not freeze again.
    """
    unfolded = [(row.symbol, f"{ROW} {row.id} does not decode: {row.reason}") for row in loaded.quarantined]
    for event in loaded.events:
        try:
            book.apply(event)
        except IllegalTransition as illegal:
            unfolded.append((symbol_of(event), f"{ROW} {event.kind} contradicts the rows before it: {illegal}"))
    frozen = {symbol for symbol, reason in book.frozen.items() if reason.startswith(ROW)}
    events = []
    for each, reason in ((each, reason) for symbol, reason in unfolded for each in ([symbol] if symbol else symbols)):
        if each not in frozen and (each, reason) not in book.thawed_by_person:
            frozen.add(each)
            events.append(SymbolFrozen(at=at, symbol=each, reason=reason))
    return events


def require_listed(symbols: Sequence[str], listed: Collection[str]) -> None:
    """Raises GateRefused for a symbol that the venue does not list."""
    if missing := [symbol for symbol in symbols if symbol not in listed]:
        raise GateRefused(
            UNKNOWN_SYMBOL.because(
                f"the venue lists no tradeable contract {', '.join(missing)}",
                seen=f"LIVE_SYMBOLS={','.join(symbols)}",
                mend=f"choose from: {', '.join(sorted(listed)[:12])} ...",
            )
        )


def require_clock(skew_seconds: float | None, allowed_seconds: float) -> None:
    """Grace and request expiry hold only while our clock and the venue's agree within the allowance."""
    if skew_seconds is not None and skew_seconds > allowed_seconds:
        raise VenueUnreadable(
            CLOCK_SKEW.because(
                f"our clock and the venue's differ by {skew_seconds:.2f} s; an order could outlive its expiry",
                seen=f"LIVE_CLOCK_SKEW_SECONDS={allowed_seconds}",
                mend="synchronise this machine's clock (chrony, NTP), then start the worker again",
            )
        )


def require_own_journal(strangers: Sequence[str]) -> None:
    """Whatever we send is in the journal first; resting orders that it lacks were sent from another one."""
    if strangers:
        raise VenueUnreadable(
            WRONG_JOURNAL.because(
                f"orders in this account's name rest at the venue and not in this journal: {', '.join(strangers)}",
                mend="point DATABASE_URL at the database whose worker sent them; RUNBOOK says what if it is lost",
            )
        )


def not_reconciled(working: Iterable[Order], mismatches: Iterable[str]) -> VenueUnreadable:
    """Why the boot ends though the venue could be read: it did not say what became of these."""
    undecided = [order.spec.client_order_id for order in working if order.is_unresolved]
    return VenueUnreadable(
        NOT_RECONCILED.because(
            f"the venue did not say what became of {', '.join([*undecided, *mismatches])}",
            mend="look at the venue's own page for these, then restart the worker",
        )
    )


def resumed_while_away(latch: Halt, book: Book) -> bool:
    """Whether a person lifted a halt after the last equity mark; the latch carries the database's clock."""
    known = book.equity
    return bool(known and latch.id and latch.at and not latch.halted and latch.at > known.at)

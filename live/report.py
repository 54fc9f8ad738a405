"""What the worker says about itself: who it is, its status after each step, its holdings in one line. [P]"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from live.book import Book
from live.position import OrderStatus, Phase, Position
from live.reconcile import FOREIGN
from live.settings import Settings
from live.status import Halt, Status

STALLED_SECONDS = 60.0  # a tick older than this, or than six pauses, is a stalled loop


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who trades: the lease's scope and epoch, and the process that holds it."""

    scope: str
    scope_hash: str
    epoch: int
    holder: str
    predecessor_clean: bool
    host: str
    pid: int
    version: str
    commit: str = ""
    settings_hash: str = ""
    schema: Mapping[str, int] = field(default_factory=dict)


def starting(who: Identity, settings: Settings, now: datetime) -> Status:
    return Status(
        state="starting",
        observed_at=now,
        scope=who.scope,
        epoch=who.epoch,
        holder=who.holder,
        host=who.host,
        pid=who.pid,
        version=who.version,
        commit=who.commit,
        settings_hash=who.settings_hash,
        schema=who.schema,
        started_at=now,
        tick_bound_seconds=max(STALLED_SECONDS, 6 * settings.live_tick_seconds),
    )


def observed(
    status: Status, *, book: Book, latch: Halt, now: datetime, lease_fresh: bool, changes: Mapping[str, object]
) -> Status:
    """The status now, with what the book and the latch say and what else changed."""
    held, working = book.open_positions(), book.working_orders()
    return replace(
        status,
        observed_at=now,
        lease_fresh=lease_fresh,
        halted=latch.halted,
        halt_reason=latch.reason if latch.halted else None,
        halt_cause=latch.cause if latch.halted else None,
        unprotected=_unprotected(held, book.frozen),
        naked_seconds_max=_naked_seconds(book.naked_seconds_max, held, now),
        unknown_orders=sum(order.status is OrderStatus.UNKNOWN for order in working),
        open_positions=sum(position.qty > 0 for position in held),
        live_orders=sum(order.status is OrderStatus.LIVE for order in working),
        **changes,  # type: ignore[arg-type]  # checked by the frozen dataclass's own field names
    )


def _unprotected(held: Iterable[Position], frozen: Mapping[str, str]) -> tuple[str, ...]:
    """Symbols of positions without their stop: ours, and foreign ones that settings leave alone."""
    naked = [position.symbol for position in held if position.phase is Phase.OPEN]
    foreign = [f"{symbol} ({reason})" for symbol, reason in frozen.items() if reason.startswith(FOREIGN)]
    return (*naked, *foreign)


def _naked_seconds(longest: float, held: Iterable[Position], now: datetime) -> float:
    running = [(now - each.naked_since).total_seconds() for each in held if each.naked_since is not None]
    return max([longest, *running])


def holdings(book: Book, latch: Halt, epoch: int) -> str:
    """One line: "long 0.02 BTC/USD:USD protected, lease 41"."""
    held = [f"{each.side} {each.qty or each.wanted_qty} {each.symbol} {each.phase}" for each in book.open_positions()]
    return f"{', '.join(held) or 'flat'}, lease {epoch}{', halted' if latch.halted else ''}"

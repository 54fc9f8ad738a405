"""A worker's diary: what it believed, line by line with the time, and the named points at which it can be frozen. [E]

Wraps what live.worker takes from its rooms and changes no decision of theirs. Lines are written with one write() to a
file opened for appending, so that they survive kill -9.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from live import worker
from live.events import CancelIntended, Event, OrderAccepted, OrderIntended, OrderRejected, OrderUnknown
from live.order_id import parse
from live.records import Loaded
from live.status import Halt
from prodsafe import lease as leases
from prodsafe.errors import Refusal, Refused
from prodsafe.lease import Lease, Waiting

LOOK_SECONDS = 0.02  # how often a worker is asked whether it believes that it may act
# Which of two primaries was read: a journal connects after the lease was taken, and a failover may lie between.
_TIMELINE = """
SELECT CASE WHEN pg_is_in_recovery() THEN 0
            ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::integer END
"""


class Diary:
    """One file per process. `epoch` and `holder` are on every line once the lease is held."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.epoch = 0
        self.holder = ""
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def say(self, kind: str, **facts: Any) -> None:
        line = {"at": time.time(), "kind": kind, "epoch": self.epoch, "holder": self.holder, **facts}
        os.write(self._file, json.dumps(line).encode() + b"\n")


class Stops:
    """Freezes this process at a named point, once for each SIGUSR1; the point's name is in `<diary>.point`."""

    def __init__(self, diary: Diary) -> None:
        self._diary = diary
        self._armed = ""

    def listen(self) -> None:
        signal.signal(signal.SIGUSR1, self._arm)

    def _arm(self, _number: int, _frame: FrameType | None) -> None:
        self._armed = self._diary.path.with_suffix(".point").read_text()

    def at(self, point: str) -> None:
        if point != self._armed:
            return
        self._armed = ""
        self._diary.say("stopping", word=point)
        os.kill(os.getpid(), signal.SIGSTOP)
        self._diary.say("resumed", word=point)


class Observer:
    """Puts itself between live.worker and the lease, the journal and LiveTrading.

    linger_seconds: how long an alert hook of ours dwells after a loss; only the permit stops the sends meanwhile.
    """

    def __init__(self, diary: Diary, *, linger_seconds: float) -> None:
        self.diary = diary
        self.stops = Stops(diary)
        self._linger_seconds = linger_seconds
        self._asked = 0
        self._cid = ""

    def install(self, trading: Callable[..., Any]) -> None:
        """trading: what live.worker makes in place of LiveTrading, with the same arguments."""
        self.stops.listen()
        room: Any = worker
        leases.acquire = self._acquiring(leases.acquire)
        journal = room.PostgresJournal
        journal.append = self._appending(journal.append)
        journal.append_unless_halted = self._appending(journal.append_unless_halted)
        journal.load = self._loading(journal.load)
        room.LiveTrading = lambda **given: trading(**{**given, "permit": self._permitting(given["permit"])})

    def _acquiring(self, acquire: Callable[..., Lease]) -> Callable[..., Lease]:
        def observed(*given: Any, **named: Any) -> Lease:
            try:
                lease = acquire(*given, **{**named, **self._listeners(named)})
            except Refused as refused:
                self.diary.say("refused", word=refused.refusals[0].id)
                raise
            self.diary.epoch, self.diary.holder = lease.token.epoch, str(lease.token.holder)
            self.diary.say("held", timeline=lease.token.timeline, clean=lease.predecessor_clean)
            threading.Thread(target=self._keep_asking, args=(lease,), name="chaos-belief", daemon=True).start()
            return lease

        return observed

    def _listeners(self, named: dict[str, Any]) -> dict[str, Any]:
        def on_wait(waiting: Waiting) -> None:
            self.diary.say("waiting", word=waiting.phase)
            if given := named.get("on_wait"):
                given(waiting)

        def on_lost(refusal: Refusal) -> None:
            self.diary.say("lost", word=refusal.id)
            if given := named.get("on_lost"):
                given(refusal)
            time.sleep(self._linger_seconds)

        return {"on_wait": on_wait, "on_lost": on_lost}

    def _keep_asking(self, lease: Lease) -> None:
        """The permit's own condition, by a question that changes nothing: the figures stay those of the product."""
        while True:
            asked = time.time()
            if not lease.is_fresh:
                self.diary.say("doubt")
                return
            self.diary.say("belief", asked=asked)
            time.sleep(LOOK_SECONDS)

    def _permitting(self, permit: Callable[[], None]) -> Callable[[], None]:
        """The permit of a send is asked twice: before a connection is opened and on the open connection."""

        def observed() -> None:
            self._asked += 1
            if self._cid:  # a cancel is not stopped: a late one harms nobody
                self.stops.at("signed" if self._asked == 1 else "connected")
            asked = time.time()
            try:
                permit()
            except Refused as refused:
                self.diary.say("denied", cid=self._cid, word=refused.refusals[0].id)
                raise
            self.diary.say("permit", cid=self._cid, asked=asked)
            if self._cid and self._asked > 1:
                self.stops.at("permitted")

        return observed

    def _appending(self, append: Callable[..., Awaitable[Halt | None]]) -> Callable[..., Awaitable[Halt | None]]:
        @functools.wraps(append)
        async def observed(journal: Any, events: Sequence[Event]) -> Halt | None:
            if any(isinstance(event, OrderAccepted | OrderRejected | OrderUnknown) for event in events):
                self.stops.at("answered")
            if (halted := await append(journal, events)) is not None:
                return halted
            self._asked = 0
            for event in events:
                self._note(event)
            return None

        return observed

    def _note(self, event: Event) -> None:
        match event:
            case CancelIntended():
                self._cid = ""
            case OrderIntended(spec=spec):
                self._cid = spec.client_order_id
                self.diary.say("intended", cid=self._cid)
                self.stops.at("intended")
            case (
                OrderAccepted(client_order_id=cid)
                | OrderRejected(client_order_id=cid)
                | OrderUnknown(client_order_id=cid)
            ):
                self.diary.say("outcome", cid=cid, word=event.kind)

    def _loading(self, load: Callable[..., Awaitable[Loaded]]) -> Callable[..., Awaitable[Loaded]]:
        @functools.wraps(load)
        async def observed(journal: Any) -> Loaded:
            loaded = await load(journal)
            ((timeline,),) = await journal._run(lambda: journal._connection.execute(_TIMELINE).fetchall())
            self.diary.say("read", seen=_intents_by_epoch(loaded), timeline=timeline)
            return loaded

        return observed


def _intents_by_epoch(loaded: Loaded) -> dict[str, int]:
    seen: dict[str, int] = {}
    for event in loaded.events:
        if isinstance(event, OrderIntended) and (order_id := parse(event.spec.client_order_id)) is not None:
            seen[str(order_id.epoch)] = seen.get(str(order_id.epoch), 0) + 1
    return seen

"""What is left of a worker that dies: a row in the journal, an alert, and a trace of every thread. [E]

Light to import: a refusal by a gate passes here, and pays for nothing that it does not use.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from prodsafe.errors import ExitCode, Refused
from prodsafe.output import mask, say_error

if TYPE_CHECKING:
    from live.alerts import Alert
    from live.journal import Journal

_TRIES = 3
_TIMEOUT_SECONDS = 2.0
_LONGEST = 500


def trace_crashes() -> None:
    """A crash of the interpreter itself prints where each thread was: names of functions, never a value."""
    import faulthandler

    with contextlib.suppress(ValueError, AttributeError):  # a stderr without a file behind it cannot be used
        faulthandler.enable(sys.stderr)


@contextlib.asynccontextmanager
async def recorded(journal: Journal) -> AsyncIterator[None]:
    """A bug inside is written to the journal, masked, before it ends the process."""
    try:
        yield
    except Refused:
        raise
    except Exception as bug:  # whatever it is: it is written down and goes on its way
        from live.events import WorkerStopped

        with contextlib.suppress(Refused):  # a journal that is gone must not hide the bug
            await journal.append([WorkerStopped(at=datetime.now(UTC), reason=f"died: {in_words(bug)}")])
        raise


def in_words(error: BaseException) -> str:
    """One masked line: a refusal by its ids, anything else by its type."""
    if isinstance(error, Refused):
        return "; ".join(f"{each.id} {each.kind.name}: {mask(each.cause)}" for each in error.refusals)[:_LONGEST]
    return mask(f"{type(error).__name__}: {' '.join(str(error).split())}")[:_LONGEST]


@contextlib.contextmanager
def told(url: str | None, who: str) -> Iterator[None]:
    """What ends the worker early goes to the webhook, too; said synchronously, since no loop may be left to say it.

    A lease that another worker holds (exit 3) is not told: a supervisor that tries again and again would shout.
    """
    try:
        yield
    except Exception as error:  # whatever it is: it is told and goes on its way
        if url and getattr(error, "exit_code", None) != ExitCode.LEASE_HELD:
            from live.alerts import Alert

            why = "ended by" if isinstance(error, Refused) else "ended by a bug:"
            send_now(url, Alert(f"ended {who}", f"{who} {why} {in_words(error)}", datetime.now(UTC), urgent=True))
        raise


def send_now(url: str, alert: Alert) -> bool:
    """Deliver one alert before the process ends, in a few seconds at most. False, and said, when that fails."""
    import urllib.request

    from live.alerts import request_for

    try:
        wanted = request_for(url, alert)
        body = json.dumps(dict(wanted.body)).encode()
        request = urllib.request.Request(wanted.url, body, {"Content-Type": "application/json"}, method="POST")
    except ValueError as error:
        say_error(f"the last alert could not be sent: {error}")
        return False
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(0.5)
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS):
                return True
        except (OSError, ValueError):  # its text may hold the address
            continue
    say_error("the last alert could not be delivered")
    return False

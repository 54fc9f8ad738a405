"""A signal in the middle of a command is no success: `python migrate_schema.py && worker` must not start the worker."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from prodsafe.errors import ExitCode, RefusalKind, SchemaNotReady

INTERRUPTED = RefusalKind("M13", "migration-interrupted", exit_code=ExitCode.SCHEMA_NOT_READY)


@contextmanager
def interruption_refused() -> Iterator[None]:
    """Inside the block Ctrl-C and SIGTERM roll back what is open and end as SchemaNotReady (M13). Main thread only."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        raise SchemaNotReady(
            INTERRUPTED.because(
                "stopped by a signal; the statement at work was rolled back",
                mend="run the same command again: it goes on where this one ended",
            )
        ) from None
    finally:
        signal.signal(signal.SIGTERM, before)

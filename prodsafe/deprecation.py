"""Refuses deprecated entry points in production and warns about them elsewhere. [E]"""

from __future__ import annotations

import warnings

from prodsafe.environment import Environment
from prodsafe.errors import GateRefused, RefusalKind
from prodsafe.output import say_error

DEPRECATED_ENTRY = RefusalKind("D01", "deprecated-entry")

_warned: set[str] = set()


def refuse_in_production(env: Environment, *, entry: str, pointer: str) -> None:
    """Raise GateRefused (exit 1) where ENVIRONMENT counts as production, also unset or `Production`; else warn once,
    by a line on stderr and a DeprecationWarning.

    entry: the deprecated command. pointer: the command to use instead.
    """
    if env.is_production:
        raise GateRefused(
            DEPRECATED_ENTRY.because(
                f"`{entry}` is deprecated: it has no lease, no fencing and no gates",
                mend=f"run `{pointer}` in production, or set ENVIRONMENT=dev to experiment here",
                seen=f"ENVIRONMENT {env.environment or 'unset or not understood'}",
            )
        )
    if entry not in _warned:
        words = f"`{entry}` is deprecated, for local experiments only; production runs `{pointer}`"
        _warn(words, pointer)
        _warned.add(entry)
        say_error(f"warning: {words}")


def _warn(words: str, pointer: str) -> None:
    """For those who collect Python's warnings; where they are made errors, this door is closed and not a bug."""
    try:
        warnings.warn(words, DeprecationWarning, stacklevel=3)
    except DeprecationWarning:
        raise GateRefused(
            DEPRECATED_ENTRY.because(
                words,
                mend=f"run `{pointer}`, or let Python's deprecation warnings be warnings",
                seen="-W error or PYTHONWARNINGS=error",
            )
        ) from None

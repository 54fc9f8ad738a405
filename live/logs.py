"""Logging: one event is one line, JSON unless a person reads it, and secrets never get through. [E]"""

from __future__ import annotations

import logging
import sys
from types import ModuleType
from typing import Any, TextIO

from prodsafe.output import mask

# structlog would load rich for a traceback that no line here shows: 3 MiB of a worker's memory.
_rich: ModuleType | None = sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
import structlog  # noqa: E402
from structlog.typing import EventDict, Processor, WrappedLogger  # noqa: E402

if _rich is None:
    del sys.modules["rich"]


def configure(*, stream: TextIO | None = None, as_json: bool | None = None, level: int = logging.INFO) -> None:
    """Send structlog and the standard library's logging to `stream` (stderr) in one format.

    as_json None: JSON unless the stream is a terminal.
    """
    stream = stream or sys.stderr
    as_json = not stream.isatty() if as_json is None else as_json
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(as_json), _mask_line],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)  # libraries only speak up when something is wrong
    logging.getLogger("live").setLevel(level)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )


def get_logger(name: str = "live", **bound: Any) -> structlog.typing.FilteringBoundLogger:
    """A logger whose lines carry `bound`; log.info("tick", action="no action: flat") is one line.

    It takes its set-up at its first line, not here, so that a module's logger obeys a later `configure`.
    """
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(f"live.{name}".removesuffix(".live"), **bound)
    return logger


def _renderers(as_json: bool) -> list[Processor]:
    if as_json:
        return [structlog.processors.EventRenamer("event"), structlog.processors.JSONRenderer(default=str)]
    return [structlog.dev.ConsoleRenderer(colors=False, sort_keys=False)]


def _mask_line(_logger: WrappedLogger, _method: str, line: str | EventDict) -> str:
    """The last step: no secret, and no line break that would let one event look like two."""
    return mask(str(line)).replace("\r", "\\r").replace("\n", "\\n")

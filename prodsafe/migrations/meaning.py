"""Whether two SQL texts mean the same: comments, layout and case of keywords do not count, everything else does. [P]

PostgreSQL's own parser says so. Its fingerprint would not do: that ignores constants, so DEFAULT 5 equals DEFAULT 6.
"""

from __future__ import annotations

import hashlib
import importlib
from typing import Any

from prodsafe.migrations.batches import parsable
from prodsafe.migrations.plan import SAME_MEANING

NO_PARSER = "its text changed, and whether only a comment did is not known without the parser: pip install postgast"
NO_TEXT = "its text changed, and the release that applied it kept no text to compare"
NOT_PARSED = "its text changed, and the parser does not understand it"
CONTRADICTED = "the ledger's checksum is not that of the ledger's own text"
CHANGED = "what it says changed"


def compare(ran: str | None, checksum: str, file: str) -> str:
    """SAME_MEANING, or why the file is not known to mean what ran. checksum: of the text that ran, by the ledger."""
    if ran is None:
        return NO_TEXT
    if hashlib.sha256(ran.encode()).hexdigest() != checksum:
        return CONTRADICTED
    try:
        postgast: Any = importlib.import_module("postgast")  # an extra, and slow to load: only for who needs it
    except ImportError:
        return NO_PARSER
    try:
        return SAME_MEANING if _tree(postgast, parsable(ran)) == _tree(postgast, parsable(file)) else CHANGED
    except postgast.PgQueryError:
        return NOT_PARSED


def _tree(postgast: Any, text: str) -> bytes:
    parsed = postgast.parse(text)
    for statement in parsed.stmts:
        statement.stmt_location = statement.stmt_len = 0
        _forget_places(statement.stmt)
    return bytes(parsed.SerializeToString(deterministic=True))


def _forget_places(message: Any) -> None:
    for field, value in message.ListFields():
        if field.name in ("location", "list_start", "list_end") or field.name.endswith("_location"):
            message.ClearField(field.name)
        elif field.message_type is not None:
            for each in value if _is_list(value) else [value]:
                _forget_places(each)


def _is_list(value: Any) -> bool:
    return hasattr(value, "append")

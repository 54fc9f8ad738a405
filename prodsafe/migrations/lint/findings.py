"""One finding as a value. [P]"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """severity: error, warning or note. line, column: from 1. mend: SQL, its comments say in which file."""

    category: str
    severity: str
    file: str
    line: int
    column: int
    message: str
    mend: str
    source: str = ""  # the line it points at

    def as_dict(self) -> dict[str, object]:
        return {
            "category": self.category,
            "severity": self.severity,
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "message": self.message,
            "mend": self.mend,
        }

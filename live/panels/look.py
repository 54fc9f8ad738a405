"""One look at one account: what every view may read. [E]"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock

from live.book import Book
from live.operators import fold_on
from live.reader import Reader

NOT_FOLDED = ("decided",)  # most of the rows, and nothing of the book


@dataclass(slots=True)
class Followed:
    """The account's book, folded once and then only forward; shared by all viewers of this process."""

    book: Book = field(default_factory=Book)
    last_id: int = 0
    left_out: list[str] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def catch_up(self, reader: Reader, scope: str) -> None:
        with self.lock:
            for row in reader.history(scope, after_id=self.last_id, leaving_out=NOT_FOLDED):
                self.left_out += fold_on(self.book, row)
                self.last_id = row.id


@dataclass(frozen=True, slots=True)
class Look:
    """url: the database's, for what is asked under its own connection. now: aware UTC."""

    reader: Reader
    url: str
    scope: str
    followed: Followed
    now: datetime

    @property
    def book(self) -> Book:
        return self.followed.book

"""What a rule is given: one statement, the schema before it, and the transaction it runs in. [P]"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from prodsafe.migrations.lint.nodes import Name, table_of
from prodsafe.migrations.lint.parser import Node, Statement
from prodsafe.migrations.lint.schema import Schema
from prodsafe.migrations.lint.sqltext import quoted

SHARE_UPDATE_EXCLUSIVE, SHARE, SHARE_ROW_EXCLUSIVE, ACCESS_EXCLUSIVE = 4, 5, 6, 8
LOCK_NAMES = {
    1: "ACCESS SHARE", 2: "ROW SHARE", 3: "ROW EXCLUSIVE", 4: "SHARE UPDATE EXCLUSIVE", 5: "SHARE",
    6: "SHARE ROW EXCLUSIVE", 7: "EXCLUSIVE", 8: "ACCESS EXCLUSIVE",
}  # fmt: skip
BLOCKS_WRITES = SHARE  # from this level on a lock makes writers wait


@dataclass(frozen=True, slots=True)
class Hazard:
    """One thing found. offset: characters of the file; mend: SQL, "" where there is no other form."""

    category: str
    offset: int
    message: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """A lock that the open transaction keeps until it ends. offset: of the statement that took it."""

    level: int
    shown: str
    offset: int


@dataclass
class Transaction:
    """The transaction a statement runs in. ours: opened by the runner around the file, not by a BEGIN in it."""

    is_open: bool = False
    ours: bool = False
    began_at: int = 0
    held: dict[Name, Held] = field(default_factory=dict)
    unchecked: set[tuple[Name, str]] = field(default_factory=set)  # constraints added NOT VALID in it
    enum_values: dict[str, str] = field(default_factory=dict)  # value -> type, added in it
    made_types: set[Name] = field(default_factory=set)


@dataclass
class Settings:
    """What the file SET so far. *_ms: None where it said nothing, 0 for no limit."""

    lock_timeout_ms: int | None = None
    statement_timeout_ms: int | None = None
    no_effect: bool = False  # a SET LOCAL lock_timeout stood outside of any transaction
    utc: bool = False


@dataclass(frozen=True, slots=True)
class Remade:
    """What the same file drops and makes again, or makes safe elsewhere: a drop of it removes nothing for long."""

    constraints: frozenset[tuple[Name, str]] = frozenset()
    triggers: frozenset[tuple[Name, str]] = frozenset()
    functions: frozenset[Name] = frozenset()
    relations: frozenset[Name] = frozenset()
    required: frozenset[tuple[Name, str]] = frozenset()  # columns that the file SETs NOT NULL
    attached: frozenset[Name] = frozenset()  # tables that it makes partitions of another


@dataclass(frozen=True, slots=True)
class Scene:
    """in_body: inside a DO block or a called function; at: where to point then, as its offsets are not the file's."""

    statement: Statement
    schema: Schema
    transaction: Transaction
    settings: Settings
    remade: Remade
    in_body: bool = False
    at: int | None = None

    def offset(self, location: int | None = None) -> int:
        return self.at if self.at is not None else self.statement.offset(location)

    def is_new(self, relation: Node | Name) -> bool:
        return self.schema.is_new(table_of(relation) if isinstance(relation, dict) else relation)

    def key(self, relation: Node) -> str:
        """The column that a table is walked by, as SQL."""
        known = self.schema.seen(table_of(relation))
        return quoted(known.key) if known is not None else "id"

    def hazard(self, category: str, message: str, *, at: int | None = None, mend: str = "") -> Hazard:
        """at: an offset of the statement's file, its beginning by default."""
        place = self.at if self.at is not None else (self.statement.start if at is None else at)
        return Hazard(category, place, message, mend)


def bare_scene(statement: Statement, schema: Schema) -> Scene:
    """A statement outside of any transaction, when only its names matter."""
    return Scene(statement, schema, Transaction(), Settings(), Remade())


Hazards = Iterator[Hazard]


def steps(*each: tuple[str, str]) -> str:
    """A mend of several files: (where it belongs, SQL) in order."""
    return "\n".join(f"-- {where}\n{sql}" for where, sql in each)


def in_batches(table: str, key: str) -> str:
    """Where a mend's statement over one window of keys belongs."""
    return f"in a data file, headed `batch {table} by {key}`, with :first and :last in place of 1 and 1000"


NOW, NEXT, LATER, CONTRACT = (
    "in this file",
    "in a next expand file",
    "in a further expand file",
    "in a contract file, when no old worker runs",
)

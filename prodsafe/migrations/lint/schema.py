"""What is known of the schema: what the statements read so far have made, changed and removed. [P]

A table nobody here has seen is taken for an existing, big one. Every object carries the file that made it: what this
very file made holds no row that anybody else can see, so nothing done to it can block.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from prodsafe.migrations.lint.nodes import DEFAULT_SCHEMA, Name, Type
from prodsafe.migrations.lint.parser import Node

UNKNOWN = -1  # made before anything that was read
NO_TABLE: Name = ("", "")  # where an event trigger stands


@dataclass
class Column:
    """default: its expression, None for none; unknown_default: an earlier file may have set one."""

    name: str
    type: Type | None = None
    not_null: bool = False
    default: Node | None = None
    unknown_default: bool = False
    generated: bool = False
    identity: bool = False
    born: int = UNKNOWN


@dataclass
class Constraint:
    """kind: check, foreign, unique, primary, exclusion or notnull; valid: its rows were checked."""

    name: str
    kind: str
    columns: tuple[str, ...] = ()
    expression: Node | None = None
    valid: bool = True
    born: int = UNKNOWN


@dataclass
class Index:
    name: Name
    table: Name
    columns: tuple[str, ...] = ()  # "" for an expression
    computed_from: frozenset[str] = frozenset()  # the columns of its expressions and of its WHERE
    unique: bool = False
    partial: bool = False
    primary: bool = False
    born: int = UNKNOWN


@dataclass
class Table:
    """kind: table, view, matview, sequence or foreign; complete: all of its columns are in columns."""

    name: Name
    kind: str = "table"
    columns: dict[str, Column] = field(default_factory=dict)
    constraints: dict[str, Constraint] = field(default_factory=dict)
    complete: bool = False
    partitioned: bool = False
    partition_key: tuple[str, ...] = ()
    default_partition: Name | None = None
    temporary: bool = False
    populated: bool = True  # false: a materialized view made WITH NO DATA
    born: int = UNKNOWN

    @property
    def key(self) -> str:
        """The column of its primary key; id where nobody here knows it, or where it has several."""
        keys = [each.columns for each in self.constraints.values() if each.kind == "primary"]
        return keys[0][0] if keys and len(keys[0]) == 1 else "id"

    def is_key(self, column: str) -> bool:
        return any(
            each.kind in ("unique", "primary") and each.columns == (column,) for each in self.constraints.values()
        )


@dataclass
class Function:
    """body: the SQL or PL/pgSQL text, "" where it is not to be read; body_at: its offset in its own file."""

    name: Name
    language: str
    volatility: str
    body: str = ""
    born: int = UNKNOWN


@dataclass
class UserType:
    """constrained: a domain with a constraint or NOT NULL; values: of an enum."""

    name: Name
    kind: str
    base: Type | None = None
    constrained: bool = False
    values: list[str] = field(default_factory=list)
    born: int = UNKNOWN


@dataclass
class Schema:
    file: int = 0
    tables: dict[Name, Table] = field(default_factory=dict)
    indexes: dict[Name, Index] = field(default_factory=dict)
    functions: dict[Name, Function] = field(default_factory=dict)
    types: dict[Name, UserType] = field(default_factory=dict)
    triggers: dict[tuple[Name, str], int] = field(default_factory=dict)
    schemas: dict[str, int] = field(default_factory=dict)
    roles: dict[str, int] = field(default_factory=dict)
    search_path: str = ""  # the schema that names without one belong to, where the file SETs it

    def next_file(self) -> None:
        self.file += 1
        self.search_path = ""

    def become(self, other: Schema) -> None:
        """All that is known is what the other knows; everybody keeps this object."""
        for each in fields(self):
            setattr(self, each.name, getattr(other, each.name))

    def table(self, name: Name) -> Table:
        """What is known of it; a note of an existing one where nothing is."""
        return self.seen(name) or self.tables.setdefault(name, Table(name))

    def seen(self, name: Name) -> Table | None:
        """The table of this name, also where search_path makes t and s.t the same."""
        if name in self.tables or not self.search_path:
            return self.tables.get(name)
        other = {DEFAULT_SCHEMA: self.search_path, self.search_path: DEFAULT_SCHEMA}.get(name[0])
        return self.tables.get((other, name[1])) if other is not None else None

    def is_new(self, name: Name) -> bool:
        """Whether this very file made the table, so that nobody else holds or waits for it."""
        table = self.seen(name)
        return table is not None and (table.born == self.file or table.temporary)

    def knows(self, name: Name) -> bool:
        table = self.seen(name)
        return table is not None and table.born != UNKNOWN

    def indexes_of(self, table: Name) -> list[Index]:
        return [each for each in self.indexes.values() if each.table == table]

    def recomputed_for(self, table: Name, column: str) -> str:
        """What PostgreSQL computes again for each row when a column gets another type of the same bytes; or ""."""
        known = self.tables.get(table)
        for check in known.constraints.values() if known else ():
            if check.kind == "check" and check.valid and column in check.columns:
                return f"CHECK {check.name}"
        return next((f"index {each.name[1]}" for each in self.indexes_of(table) if column in each.computed_from), "")

    def resolved(self, kind: Type) -> Type:
        """The type a domain is made of, through domains of domains; any other type as it is."""
        known = self.types.get(kind.key)
        while known is not None and known.kind == "domain" and known.base is not None and not kind.array:
            kind = known.base
            known = self.types.get(kind.key)
        return kind

    def is_constrained(self, kind: Type) -> bool:
        """Whether it is a domain whose values are checked."""
        known = self.types.get(kind.key)
        return known is not None and known.kind == "domain" and known.constrained

    def index_named(self, schema: str, name: str) -> Index | None:
        return self.indexes.get((schema, name))

    def volatility(self) -> dict[Name, str]:
        return {name: function.volatility for name, function in self.functions.items()}

    def is_unique(self, table: Name, column: str) -> bool:
        known = self.tables.get(table)
        return (known is not None and known.is_key(column)) or any(
            index.unique and not index.partial and index.columns == (column,) for index in self.indexes_of(table)
        )

    def is_not_null(self, table: Name, column: str) -> bool | None:
        """True or False where known, None where the column was never seen."""
        known = self.tables.get(table)
        if known is None or column not in known.columns:
            return None
        found = known.columns[column]
        if found.not_null or any(
            each.kind == "primary" and column in each.columns for each in known.constraints.values()
        ):
            return True
        return None if found.born == UNKNOWN else False

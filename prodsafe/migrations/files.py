"""SQL files -> Migrations: names, order, checksums, and what may not stand in a file. [P], but load() reads a folder.

NNNN_expand_what.sql, NNNN_contract_what.sql or NNNN_data_what.sql. A file runs in one transaction of ours, unless a
statement of it cannot: then each statement is a step of its own, which the next run completes after a kill.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from prodsafe.errors import ExitCode, Refusal, RefusalKind, SchemaNotReady
from prodsafe.migrations.batches import Batch, read_batch
from prodsafe.migrations.directives import Directives, read_directives
from prodsafe.migrations.statements import Statement, Way, runs_in_one_transaction, split

MALFORMED_FILE = RefusalKind("M01", "malformed-migration-file", exit_code=ExitCode.SCHEMA_NOT_READY)
NOT_TRANSACTIONAL = RefusalKind("M02", "not-transactional-statement", exit_code=ExitCode.SCHEMA_NOT_READY)

KINDS = ("expand", "contract", "data")
VERBS = frozenset({"require", "batch"})  # the directives beside `allow`: require 0007; batch live.event by id
_NAME = re.compile(rf"(?P<version>[0-9]{{4}})_(?P<kind>{'|'.join(KINDS)})_(?P<what>[a-z0-9]+(?:_[a-z0-9]+)*)\.sql")
_TRANSACTION_CONTROL = re.compile(
    r"(begin|start transaction|commit|rollback(?! to)|abort|end|prepare transaction)\b", re.IGNORECASE
)
_UNNAMED_INDEX = re.compile(r"create (unique )?index concurrently (if not exists )?on ", re.IGNORECASE)
_LOCAL = re.compile(r"set (local|constraints|transaction)\b", re.IGNORECASE)
_FROM_CLIENT = re.compile(r"copy\b.*\b(from stdin|to stdout)\b|.*\\", re.IGNORECASE)  # outside quotes only psql has \


@dataclass(frozen=True, slots=True)
class Migration:
    """One file. checksum: of the text without BOM, CRLF, trailing blanks; raw_checksum: of the bytes. Hex SHA-256.

    sql: that text. statements: what it holds, in order. kind: expand, contract or data.
    """

    set_name: str
    version: int
    kind: str
    name: str
    sql: str
    checksum: str
    raw_checksum: str
    statements: tuple[Statement, ...] = field(default=(), repr=False, compare=False)
    directives: Directives = field(default=Directives(), repr=False, compare=False)

    @property
    def label(self) -> str:
        return f"{self.set_name} {self.name}"

    @property
    def key(self) -> tuple[str, int]:
        return self.set_name, self.version

    @property
    def transactional(self) -> bool:
        """Whether it runs in one transaction, with its row in the ledger; else statement by statement."""
        return runs_in_one_transaction(self.statements)

    @property
    def batch(self) -> Batch | None:
        """How it is done in batches; None for a file that runs as a whole."""
        found = read_batch(self.kind, self.directives, self.statements)
        return found if isinstance(found, Batch) else None

    @property
    def way(self) -> str:
        """How it runs, in words."""
        if batch := self.batch:
            return f"in batches of {batch.table} by {batch.key}"
        return "in one transaction" if self.transactional else "statement by statement"

    @property
    def requires(self) -> tuple[int, ...]:
        """The versions of its set that must be finished before it, by its `require` directives."""
        return tuple(int(each.rest) for each in self.directives.others if each.verb == "require")


@dataclass(frozen=True, slots=True)
class MigrationSet:
    """A folder of files numbered from 0001, with its own versions in the common ledger."""

    name: str
    folder: Path


PRODSAFE_SET = MigrationSet("prodsafe", Path(__file__).parent / "sql")


def load(migration_set: MigrationSet) -> list[Migration]:
    """The set's migrations by version. Raises SchemaNotReady with every malformed file at once (M01, M02).

    Files that do not end in .sql are not looked at.
    """
    try:
        contents = {
            path.name: path.read_bytes() for path in migration_set.folder.iterdir() if path.suffix.lower() == ".sql"
        }
    except OSError as error:
        raise SchemaNotReady(
            MALFORMED_FILE.because(
                f"set {migration_set.name}: cannot read {error.filename}: {error.strerror}",
                mend="run from the folder that holds it, with a user that may read it",
            )
        ) from error
    return parse_all(migration_set.name, contents)


def parse_all(set_name: str, contents: dict[str, bytes]) -> list[Migration]:
    """File name -> bytes into migrations by version; names, doubles and statements are checked."""
    parsed = [parse(set_name, name, contents[name]) for name in sorted(contents)]
    migrations = [found for found in parsed if isinstance(found, Migration)]
    refusals = [found for found in parsed if isinstance(found, Refusal)]
    refusals += [refusal for migration in migrations for refusal in _check_directives(migration)]
    refusals += [refusal for migration in migrations for refusal in _check_statements(migration)]
    refusals += _check_doubles(set_name, migrations)
    if refusals:
        raise SchemaNotReady(*refusals)
    return migrations


def parse(set_name: str, name: str, content: bytes) -> Migration | Refusal:
    found = _NAME.fullmatch(name)
    if not found or int(found["version"]) == 0:
        return _malformed(
            set_name,
            name,
            "the name is not NNNN_expand_what.sql",
            f"name it NNNN_({'|'.join(KINDS)})_what.sql, from 0001",
        )
    try:
        sql = normalised(content)
    except UnicodeDecodeError as error:
        return _malformed(set_name, name, f"not UTF-8: {error.reason} at byte {error.start}", "save it as UTF-8")
    if "\0" in sql:  # the protocol ends its text there: the rest would never run
        return _malformed(set_name, name, "a NUL character", "remove it")
    return Migration(
        set_name=set_name,
        version=int(found["version"]),
        kind=found["kind"],
        name=name.removesuffix(".sql"),
        sql=sql,
        checksum=hashlib.sha256(sql.encode()).hexdigest(),
        raw_checksum=hashlib.sha256(content).hexdigest(),
        statements=tuple(split(sql)),
        directives=read_directives(sql, verbs=VERBS),
    )


def normalised(content: bytes) -> str:
    """The text without what editors and version control change by themselves: BOM, CRLF, blanks at line ends."""
    lines = content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(line.rstrip() for line in lines).strip() + "\n"


def _check_directives(migration: Migration) -> list[Refusal]:
    refusals = [
        _malformed(
            migration.set_name, f"{migration.name} line {each.line}", f"{each.why}: {each.text[:80]}", "correct it"
        )
        for each in migration.directives.malformed
    ]
    wrong = read_batch(migration.kind, migration.directives, migration.statements)
    if isinstance(wrong, str):
        refusals.append(_malformed(migration.set_name, migration.name, wrong, "docs/data-files.md shows the form"))
    for each in migration.directives.others:
        # files run in order, so an earlier one is finished before this one begins
        if each.verb == "require" and not (each.rest.isdecimal() and 0 < int(each.rest) < migration.version):
            where = f"{migration.name} line {each.line}"
            cause = f"it requires {each.rest!a}, which is no earlier file of its set"
            refusals.append(_malformed(migration.set_name, where, cause, "name an earlier one by its number"))
    return refusals


def _check_statements(migration: Migration) -> list[Refusal]:
    if not migration.statements:
        return [_malformed(migration.set_name, migration.name, "no statement in it", "write one, or remove it")]
    return [refusal for each in migration.statements if (refusal := _check_statement(migration, each))]


def _check_statement(migration: Migration, statement: Statement) -> Refusal | None:
    where, shown = f"{migration.name} line {statement.line}", statement.code[:80]
    if _TRANSACTION_CONTROL.match(statement.code):
        return _malformed(
            migration.set_name,
            where,
            f"transaction control in the file: {shown}",
            "remove it: each file runs in one transaction, together with its row in the ledger",
        )
    if _FROM_CLIENT.match(statement.code):
        return _malformed(migration.set_name, where, f"a client's command, not SQL: {shown}", "write it as plain SQL")
    wrong = _NO_STEP.get(statement.way) or _unusable_outside(migration, statement)
    if wrong:
        cause, mend = wrong
        return NOT_TRANSACTIONAL.because(f"{migration.set_name} {where}: {cause}: {shown}", mend=mend)
    return None


_NO_STEP = {
    Way.NEVER: (
        "PostgreSQL runs this outside any transaction, and what a killed run left of it cannot be told",
        "run it by hand, once; no migration needs it",
    )
}


def _unusable_outside(migration: Migration, statement: Statement) -> tuple[str, str] | None:
    """Cause and mend, for a statement that the next run could not heal or that would do nothing where it stands."""
    if _UNNAMED_INDEX.match(statement.code):
        return "an index that is built concurrently needs a name, so that a killed build is found again", (
            "write CREATE INDEX CONCURRENTLY name ON table (...)"
        )
    if _LOCAL.match(statement.code) and not migration.transactional:
        return "this file holds a statement that runs outside any transaction, where this does nothing", (
            "write SET without LOCAL; each file begins with the defaults anyway"
        )
    return None


def _check_doubles(set_name: str, migrations: Sequence[Migration]) -> list[Refusal]:
    versions = [migration.version for migration in migrations]
    doubles = [migration.name for migration in migrations if versions.count(migration.version) > 1]
    if not doubles:
        return []
    return [_malformed(set_name, ", ".join(doubles), "one number twice", "renumber the one that was never applied")]


def _malformed(set_name: str, name: str, cause: str, mend: str) -> Refusal:
    return MALFORMED_FILE.because(f"{set_name} {name}: {cause}", mend=mend)

"""SQL files -> Migrations: names, order, checksums. [P], but read() and load() read a folder.

NNNN_expand_what.sql, NNNN_contract_what.sql or NNNN_data_what.sql. A file runs in one transaction of ours, unless a
statement of it cannot: then each statement is a step of its own, which the next run completes after a kill.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from prodsafe.errors import ExitCode, Refusal, RefusalKind, SchemaNotReady

if TYPE_CHECKING:
    from prodsafe.migrations.batches import Batch
    from prodsafe.migrations.directives import Directives
    from prodsafe.migrations.statements import Statement

MALFORMED_FILE = RefusalKind("M01", "malformed-migration-file", exit_code=ExitCode.SCHEMA_NOT_READY)

KINDS = ("expand", "contract", "data")
VERBS = frozenset({"require", "batch"})  # the directives beside `allow`: require 0007; batch live.event by id
_NAME = re.compile(rf"(?P<version>[0-9]{{4}})_(?P<kind>{'|'.join(KINDS)})_(?P<what>[a-z0-9]+(?:_[a-z0-9]+)*)\.sql")


@dataclass(frozen=True)
class Migration:
    """One file. checksum: of the text without BOM, CRLF, trailing blanks; raw_checksum: of the bytes. Hex SHA-256.

    sql: that text. kind: expand, contract or data. What the text says is read when it is asked for: most files of a
    deploy ran long ago, and nothing of theirs is asked but the checksums.
    """

    set_name: str
    version: int
    kind: str
    name: str
    sql: str
    checksum: str
    raw_checksum: str

    @property
    def label(self) -> str:
        return f"{self.set_name} {self.name}"

    @property
    def key(self) -> tuple[str, int]:
        return self.set_name, self.version

    @cached_property
    def statements(self) -> tuple[Statement, ...]:
        """In order."""
        from prodsafe.migrations.statements import split

        return tuple(split(self.sql))

    @cached_property
    def directives(self) -> Directives:
        from prodsafe.migrations.directives import read_directives

        return read_directives(self.sql, verbs=VERBS)

    @cached_property
    def transactional(self) -> bool:
        """Whether it runs in one transaction, with its row in the ledger; else statement by statement."""
        from prodsafe.migrations.statements import runs_in_one_transaction

        return runs_in_one_transaction(self.statements)

    @cached_property
    def batch(self) -> Batch | None:
        """How it is done in batches; None for a file that runs as a whole."""
        from prodsafe.migrations.batches import Batch, read_batch

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
    return parse_all(migration_set.name, _contents(migration_set))


def read(migration_set: MigrationSet) -> list[Migration]:
    """As load(), but only names and encodings are checked: checks.check() is for the files that are to run."""
    return _whole(*_sorted_out(migration_set.name, _contents(migration_set)))


def parse_all(set_name: str, contents: dict[str, bytes]) -> list[Migration]:
    """File name -> bytes into migrations by version; names, doubles and statements are checked."""
    from prodsafe.migrations.checks import check

    migrations, refusals = _sorted_out(set_name, contents)
    return _whole(migrations, [*check(migrations), *refusals])


def parse(set_name: str, name: str, content: bytes) -> Migration | Refusal:
    found = _NAME.fullmatch(name)
    if not found or int(found["version"]) == 0:
        return malformed(
            set_name,
            name,
            "the name is not NNNN_expand_what.sql",
            f"name it NNNN_({'|'.join(KINDS)})_what.sql, from 0001",
        )
    try:
        sql = normalised(content)
    except UnicodeDecodeError as error:
        return malformed(set_name, name, f"not UTF-8: {error.reason} at byte {error.start}", "save it as UTF-8")
    if "\0" in sql:  # the protocol ends its text there: the rest would never run
        return malformed(set_name, name, "a NUL character", "remove it")
    return Migration(
        set_name=set_name,
        version=int(found["version"]),
        kind=found["kind"],
        name=name.removesuffix(".sql"),
        sql=sql,
        checksum=hashlib.sha256(sql.encode()).hexdigest(),
        raw_checksum=hashlib.sha256(content).hexdigest(),
    )


def normalised(content: bytes) -> str:
    """The text without what editors and version control change by themselves: BOM, CRLF, blanks at line ends."""
    text = content.removeprefix(b"\xef\xbb\xbf").decode()
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(map(str.rstrip, lines)).strip() + "\n"


def malformed(set_name: str, name: str, cause: str, mend: str) -> Refusal:
    return MALFORMED_FILE.because(f"{set_name} {name}: {cause}", mend=mend)


def _contents(migration_set: MigrationSet) -> dict[str, bytes]:
    try:
        return {
            path.name: path.read_bytes() for path in migration_set.folder.iterdir() if path.suffix.lower() == ".sql"
        }
    except OSError as error:
        raise SchemaNotReady(
            MALFORMED_FILE.because(
                f"set {migration_set.name}: cannot read {error.filename}: {error.strerror}",
                mend="run from the folder that holds it, with a user that may read it",
            )
        ) from error


def _sorted_out(set_name: str, contents: dict[str, bytes]) -> tuple[list[Migration], list[Refusal]]:
    parsed = [parse(set_name, name, contents[name]) for name in sorted(contents)]
    migrations = [found for found in parsed if isinstance(found, Migration)]
    refusals = [found for found in parsed if isinstance(found, Refusal)]
    return migrations, refusals + _check_doubles(set_name, migrations)


def _check_doubles(set_name: str, migrations: Sequence[Migration]) -> list[Refusal]:
    versions = [migration.version for migration in migrations]
    if len(versions) == len(set(versions)):
        return []
    doubles = [migration.name for migration in migrations if versions.count(migration.version) > 1]
    return [malformed(set_name, ", ".join(doubles), "one number twice", "renumber the one that was never applied")]


def _whole(migrations: list[Migration], refusals: Sequence[Refusal]) -> list[Migration]:
    if refusals:
        raise SchemaNotReady(*refusals)
    return migrations

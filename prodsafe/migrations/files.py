"""SQL files -> Migrations: names, order, checksums, and what may not stand in a file. [P], but load() reads a folder.

One file is one step and runs in one transaction of ours: NNNN_expand_what.sql, NNNN_contract_what.sql or
NNNN_data_what.sql.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from prodsafe.errors import ExitCode, Refusal, RefusalKind, SchemaNotReady

MALFORMED_FILE = RefusalKind("M01", "malformed-migration-file", exit_code=ExitCode.SCHEMA_NOT_READY)
NOT_TRANSACTIONAL = RefusalKind("M02", "not-transactional-statement", exit_code=ExitCode.SCHEMA_NOT_READY)

KINDS = ("expand", "contract", "data")
_NAME = re.compile(rf"(?P<version>[0-9]{{4}})_(?P<kind>{'|'.join(KINDS)})_(?P<what>[a-z0-9]+(?:_[a-z0-9]+)*)\.sql")
_TOKEN = re.compile(
    r"""
    (?P<comment> --[^\n]* )
  | (?P<block> /\* )
  | (?P<dollar> (?<![\w$])\$(?:[A-Za-z_\x80-\U0010ffff][A-Za-z_0-9\x80-\U0010ffff]*)?\$ )
  | (?P<escaped> \b[eE]'(?:[^'\\]|\\.|'')*' )
  | (?P<string> '(?:[^']|'')*' )
  | (?P<identifier> "(?:[^"]|"")*" )
  | (?P<end> ; )
    """,
    re.VERBOSE | re.DOTALL,
)
_BLOCK_EDGE = re.compile(r"/\*|\*/")
_TRANSACTION_CONTROL = re.compile(
    r"(begin|start transaction|commit|rollback(?! to)|abort|end|prepare transaction)\b", re.IGNORECASE
)
_ATOMIC_BODY = re.compile(r"create (or replace )?(function|procedure)\b.*\bbegin atomic\b", re.IGNORECASE)
_OUTSIDE_TRANSACTION = re.compile(
    r"(create (unique )?index concurrently|drop index concurrently|reindex (\([^)]*\) ?)?(\w+ )?concurrently"
    r"|reindex (\([^)]*\) ?)?(database|system|schema)|alter table .*\bdetach partition .*\bconcurrently|vacuum"
    r"|(create|drop) (database|tablespace|subscription)|alter (system|subscription)"
    r"|alter database .*\bset tablespace|cluster$)(?!\w)",
    re.IGNORECASE,
)
_FROM_CLIENT = re.compile(r"copy\b.*\b(from stdin|to stdout)\b|.*\\", re.IGNORECASE)  # outside quotes only psql has \


@dataclass(frozen=True, slots=True)
class Migration:
    """One file. checksum: of the text without BOM, CRLF, trailing blanks; raw_checksum: of the bytes. Hex SHA-256."""

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
    )


def normalised(content: bytes) -> str:
    """The text without what editors and version control change by themselves: BOM, CRLF, blanks at line ends."""
    lines = content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(line.rstrip() for line in lines).strip() + "\n"


def statements(sql: str) -> list[str]:
    """The statements on one line each: comments dropped, quoted text emptied, blanks squeezed; no empty ones."""
    found: list[str] = []
    for piece in "".join(_code(sql)).split(";"):
        statement = " ".join(piece.split())
        if found and _ATOMIC_BODY.match(found[-1]) and not found[-1].lower().endswith(("; end", "atomic end")):
            found[-1] += f"; {statement}"
        elif statement:
            found.append(statement)
    return found


def _code(sql: str) -> Iterator[str]:
    """The SQL with comments and the inside of quotes left out; semicolons that remain end statements."""
    at = 0
    while token := _TOKEN.search(sql, at):
        yield sql[at : token.start()]
        at = token.end()
        match token.lastgroup:
            case "comment":
                yield " "
            case "block":
                at = _end_of_block_comment(sql, at)
                yield " "
            case "dollar":
                closing = sql.find(token.group(), at)
                at = closing + len(token.group()) if closing >= 0 else len(sql)
                yield " '' "
            case "end":
                yield ";"
            case "identifier":
                yield '""'
            case _:
                yield "''"
    yield sql[at:]


def _end_of_block_comment(sql: str, at: int) -> int:
    depth = 1  # PostgreSQL's block comments nest
    while depth and (edge := _BLOCK_EDGE.search(sql, at)):
        depth += 1 if edge.group() == "/*" else -1
        at = edge.end()
    return at if depth == 0 else len(sql)


def _check_statements(migration: Migration) -> list[Refusal]:
    found = statements(migration.sql)
    refusals = [refusal for statement in found if (refusal := _check_statement(migration, statement))]
    if not found:
        refusals.append(_malformed(migration.set_name, migration.name, "no statement in it", "write one, or remove it"))
    return refusals


def _check_statement(migration: Migration, statement: str) -> Refusal | None:
    shown = statement[:80]
    if _TRANSACTION_CONTROL.match(statement):
        return _malformed(
            migration.set_name,
            migration.name,
            f"transaction control in the file: {shown}",
            "remove it: each file runs in one transaction, together with its row in the ledger",
        )
    if _FROM_CLIENT.match(statement):
        return _malformed(
            migration.set_name, migration.name, f"a client's command, not SQL: {shown}", "write it as plain SQL"
        )
    if _OUTSIDE_TRANSACTION.match(statement):
        return NOT_TRANSACTIONAL.because(
            f"{migration.label}: PostgreSQL does not run this inside a transaction: {shown}",
            mend="use the transactional form, e.g. CREATE INDEX in the file that makes the table",
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

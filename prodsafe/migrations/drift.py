"""The live catalog, object by object, against what the migrations made. [E]

The applied files run on a throw-away server in the order in which they were applied. The boot asks fingerprints.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from psycopg import errors

from prodsafe.errors import Refusal
from prodsafe.migrations.catalog import Entry, Owned, owned_by, read_catalog
from prodsafe.migrations.difference import Difference, compare
from prodsafe.migrations.files import Migration, MigrationSet, load
from prodsafe.migrations.fingerprints import DRIFTED, check_drift, record_fingerprints
from prodsafe.migrations.ledger import read_ledger
from prodsafe.migrations.plan import Applied
from prodsafe.migrations.throwaway import connected, throwaway
from prodsafe.postgres import Connection, lost_connections_refused


@dataclass(frozen=True, slots=True)
class Verdict:
    """What verify() found. schema: the applied version of each set; waiting: files that are not (wholly) applied."""

    differences: tuple[Difference, ...]
    versions: dict[str, int]
    waiting: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        return {
            "ok": not self.differences,
            "versions": self.versions,
            "waiting": list(self.waiting),
            "differences": [each.as_dict() for each in self.differences],
        }


def verify(url: str, sets: Sequence[MigrationSet], binaries: Path | None) -> Verdict:
    """Object by object, against a throw-away server of the same major version.

    The caller has seen that files and ledger agree. Raises SchemaNotReady (M26, M28), DatabaseRefused.
    """
    available = [migration for each in sets for migration in load(each)]
    with connected(url) as conn, lost_connections_refused(conn):
        names = {each.name for each in sets}
        rows = [row for row in read_ledger(conn) if row.set_name in names]
        begun = {row.set_name for row in rows}  # of a set that never ran here, nothing is expected
        owned = known_roles(conn, owned_by(migration.sql for migration in available if migration.set_name in begun))
        found = read_catalog(conn, owned)
        major = conn.info.server_version // 10000
    ran = applied_in_order(available, rows)
    expected = expected_catalog(ran, owned, binaries, major)
    versions = {each.name: max((m.version for m in ran if m.set_name == each.name), default=0) for each in sets}
    waiting = tuple(migration.label for migration in available if migration not in ran)
    return Verdict(tuple(compare(expected, found)), versions, waiting)


def refusal_for(verdict: Verdict) -> Refusal:
    """What verify() says when it found differences."""
    return DRIFTED.because(
        f"{len(verdict.differences)} objects are not what the migrations made",
        seen=", ".join(each.what for each in verdict.differences[:3]),
        mend='run the SQL shown; or to keep it: prodsafe migrate verify --accept "why", and a migration that makes it',
    )


def confirm(url: str, sets: Sequence[MigrationSet]) -> None:
    """After verify() found no difference: a fingerprint that says otherwise was taken of a drifted schema.

    Who may only read leaves it as it is.
    """
    with connected(url) as conn, lost_connections_refused(conn), suppress(errors.InsufficientPrivilege):
        if check_drift(conn, sets):
            record_fingerprints(conn, sets, reason="verified", anew=True)


def accept(url: str, sets: Sequence[MigrationSet], reason: str) -> None:
    """A person takes the schema as it is for right, until the next migration."""
    with connected(url) as conn, lost_connections_refused(conn):
        record_fingerprints(conn, sets, reason=f"accepted: {reason}", anew=True)


def applied_in_order(available: Sequence[Migration], rows: Sequence[Applied]) -> list[Migration]:
    """The files that ran to their end, by the time they ran: a GRANT ON ALL TABLES reaches what was there then."""
    files = {migration.key: migration for migration in available}
    finished = sorted((row for row in rows if not row.running), key=lambda row: row.applied_at)
    return [files[row.key] for row in finished if row.key in files]


def expected_catalog(migrations: Sequence[Migration], owned: Owned, binaries: Path | None, major: int) -> list[Entry]:
    """What these files make of an empty database. Raises SchemaNotReady (M26, M28)."""
    with throwaway(binaries, major=major) as server, connected(server.from_files(migrations)) as conn:
        return read_catalog(conn, owned)


def known_roles(conn: Connection, owned: Owned) -> Owned:
    """Without the roles that this server does not have: nothing can be granted to them here."""
    rows = conn.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY (%s)", [list(owned.roles)])
    return Owned(owned.schemas, tuple(sorted(name for (name,) in rows)))

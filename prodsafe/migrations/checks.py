"""What may not stand in a migration file: malformed directives, transaction control, a client's commands. [P]

Asked of what is to run: a file that ran as it is was asked then.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from prodsafe.errors import ExitCode, Refusal, RefusalKind
from prodsafe.migrations.batches import read_batch
from prodsafe.migrations.files import Migration, malformed
from prodsafe.migrations.statements import Statement, Way

NOT_TRANSACTIONAL = RefusalKind("M02", "not-transactional-statement", exit_code=ExitCode.SCHEMA_NOT_READY)

_TRANSACTION_CONTROL = re.compile(
    r"(begin|start transaction|commit|rollback(?! to)|abort|end|prepare transaction)\b", re.IGNORECASE
)
_UNNAMED_INDEX = re.compile(r"create (unique )?index concurrently (if not exists )?on ", re.IGNORECASE)
_LOCAL = re.compile(r"set (local|constraints|transaction)\b", re.IGNORECASE)
_FROM_CLIENT = re.compile(r"copy\b.*\b(from stdin|to stdout)\b|.*\\", re.IGNORECASE)  # outside quotes only psql has \


def check(migrations: Iterable[Migration]) -> list[Refusal]:
    """Why these files cannot run (M01, M02); [] when they can."""
    return [refusal for each in migrations for refusal in (*_check_directives(each), *_check_statements(each))]


def _check_directives(migration: Migration) -> list[Refusal]:
    refusals = [
        malformed(
            migration.set_name, f"{migration.name} line {each.line}", f"{each.why}: {each.text[:80]}", "correct it"
        )
        for each in migration.directives.malformed
    ]
    wrong = read_batch(migration.kind, migration.directives, migration.statements)
    if isinstance(wrong, str):
        refusals.append(malformed(migration.set_name, migration.name, wrong, "docs/data-files.md shows the form"))
    for each in migration.directives.others:
        # files run in order, so an earlier one is finished before this one begins
        if each.verb == "require" and not (each.rest.isdecimal() and 0 < int(each.rest) < migration.version):
            where = f"{migration.name} line {each.line}"
            cause = f"it requires {each.rest!a}, which is no earlier file of its set"
            refusals.append(malformed(migration.set_name, where, cause, "name an earlier one by its number"))
    return refusals


def _check_statements(migration: Migration) -> list[Refusal]:
    if not migration.statements:
        return [malformed(migration.set_name, migration.name, "no statement in it", "write one, or remove it")]
    return [refusal for each in migration.statements if (refusal := _check_statement(migration, each))]


def _check_statement(migration: Migration, statement: Statement) -> Refusal | None:
    where, shown = f"{migration.name} line {statement.line}", statement.code[:80]
    if statement.is_open:  # what follows it would be taken for a part of it, and not run
        return malformed(migration.set_name, where, f"a quote or comment that never ends: {shown}", "close it")
    if _TRANSACTION_CONTROL.match(statement.code):
        return malformed(
            migration.set_name,
            where,
            f"transaction control in the file: {shown}",
            "remove it: each file runs in one transaction, together with its row in the ledger",
        )
    if _FROM_CLIENT.match(statement.code):
        return malformed(migration.set_name, where, f"a client's command, not SQL: {shown}", "write it as plain SQL")
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

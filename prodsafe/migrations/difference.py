"""Two catalogs -> what differs, and the SQL that shows or mends it. [P]"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prodsafe.migrations.catalog import Entry

_RELATIONS = ("schema", "table", "foreign table", "view", "materialized view")
_NOT_NULL, _DEFAULT = " NOT NULL", " DEFAULT "
_COLUMN_OF = re.compile(r"TABLE (?P<table>.*) \((?P<column>.*)\)")


@dataclass(frozen=True, slots=True)
class Difference:
    """One object that is not as the files make it. expected None: no file makes it; found None: it is not there."""

    expected: Entry | None
    found: Entry | None

    @property
    def entry(self) -> Entry:
        """Either of them: both name the same object."""
        entry = self.expected or self.found
        assert entry is not None
        return entry

    @property
    def verdict(self) -> str:
        return "missing" if self.found is None else "unexpected" if self.expected is None else "changed"

    @property
    def what(self) -> str:
        entry = self.entry
        return f"{entry.kind} {entry.name}{f' on {entry.parent}' if entry.parent else ''}"

    @property
    def mend(self) -> str:
        """SQL that makes the database what the files say; a comment where no statement brings it back."""
        if self.found is None:
            return _make(self.entry)
        if self.expected is None:
            return _remove(self.entry)
        return _change(self.expected, self.found)

    def as_lines(self) -> list[str]:
        expected, found = _shown(self.expected, self.found), _shown(self.found, self.expected)
        mend = self.mend.replace("\n", "\n            ")
        return [
            f"{self.verdict} {self.what}",
            f"  expected: {expected}",
            f"  found:    {found}",
            f"  mend:     {mend}",
        ]

    def as_dict(self) -> dict[str, object]:
        return {
            "verdict": self.verdict,
            "kind": self.entry.kind,
            "name": self.entry.name,
            "on": self.entry.parent or None,
            "expected": _whole(self.expected),
            "found": _whole(self.found),
            "mend": self.mend,
        }


def compare(expected: Sequence[Entry], found: Sequence[Entry]) -> list[Difference]:
    """What differs, by object. Of a table that is there on one side only, its parts are not told one by one."""
    wanted, there = {entry.key: entry for entry in expected}, {entry.key: entry for entry in found}
    differing = [
        Difference(wanted.get(key), there.get(key))
        for key in sorted(wanted | there)
        if wanted.get(key) != there.get(key)
    ]
    return [each for each in differing if not _told_by_another(each, differing)]


def _told_by_another(difference: Difference, others: Iterable[Difference]) -> bool:
    entry = difference.entry
    wholes = {other.entry.name for other in others if other.verdict != "changed" and other.entry.kind in _RELATIONS}
    schema = entry.name.rpartition(".")[0] if entry.kind not in ("column", "constraint", "trigger") else ""
    owner = entry.parent.partition(" ")[2] if entry.kind == "privilege" else entry.parent
    if owner in wholes or schema in wholes or _COLUMN_OF.sub(r"\g<table>", entry.parent) in wholes:
        return True
    return entry.kind == "index" and any(  # a constraint's own index comes and goes with it
        (other.entry.kind, other.entry.parent, other.verdict) == ("constraint", entry.parent, difference.verdict)
        and entry.name.endswith(f".{other.entry.name}")
        for other in others
    )


def _whole(entry: Entry | None) -> str | None:
    return None if entry is None else " ".join(part for part in (entry.definition, entry.state) if part) or "there"


def _shown(entry: Entry | None, other: Entry | None) -> str:
    """On one line; of a long text only the first line in which it differs from the other."""
    whole = _whole(entry)
    if whole is None:
        return "nothing"
    lines, others = whole.splitlines(), (_whole(other) or "").splitlines()
    if len(lines) == 1 or not others:
        return lines[0] + (" ..." if len(lines) > 1 else "")
    differing = [(n, line) for n, line in enumerate(lines, 1) if line not in others]
    return f"line {differing[0][0]}: {differing[0][1].strip()}" if differing else f"{len(lines)} lines"


def _alter(entry: Entry) -> str:
    return f"ALTER {'' if entry.parent.startswith('DOMAIN ') else 'TABLE '}{entry.parent}"


def _make(entry: Entry) -> str:
    match entry.kind:
        case "schema":
            return f"CREATE SCHEMA {entry.name};"
        case "column":
            return f"{_alter(entry)} ADD COLUMN {entry.name} {entry.definition};"
        case "index":
            return re.sub(r"^CREATE (UNIQUE )?INDEX", r"\g<0> CONCURRENTLY", entry.definition) + ";"
        case "constraint":
            return _make_constraint(entry)
        case "trigger" | "rule" | "function":
            return f"{entry.definition.rstrip(';')};"
        case "view":
            return f"CREATE OR REPLACE VIEW {entry.name} {entry.definition}"
        case "policy":
            return f"CREATE POLICY {entry.name} ON {entry.parent} AS {entry.definition};"
        case "privilege":
            return _privilege("GRANT", entry.definition, entry)
        case _:
            return f"-- no statement brings back what was in it: restore {entry.name} from a backup"


def _make_constraint(entry: Entry) -> str:
    """Checks and foreign keys in two steps, so that writers do not wait while the rows are read."""
    add = f"{_alter(entry)} ADD CONSTRAINT {entry.name} {entry.definition.removesuffix(' NOT VALID')}"
    if not entry.definition.startswith(("CHECK", "FOREIGN KEY")):
        return f"{add};"
    return f"{add} NOT VALID; {_alter(entry)} VALIDATE CONSTRAINT {entry.name};"


def _remove(entry: Entry) -> str:
    match entry.kind:
        case "column":
            return f"{_alter(entry)} DROP COLUMN {entry.name};"
        case "index":
            return f"DROP INDEX CONCURRENTLY {entry.name};"
        case "constraint":
            return f"{_alter(entry)} DROP CONSTRAINT {entry.name};"
        case "trigger" | "rule" | "policy":
            return f"DROP {entry.kind.upper()} {entry.name} ON {entry.parent};"
        case "enforcement":
            return f"{_alter(entry)} ENABLE TRIGGER ALL;"
        case "privilege":
            return _privilege("REVOKE", entry.definition, entry)
        case _:
            return f"DROP {entry.kind.upper()} {entry.name};"


def _change(expected: Entry, found: Entry) -> str:
    if expected.definition.removesuffix(" NOT VALID") == found.definition.removesuffix(" NOT VALID"):
        return _change_state(expected, found)
    match expected.kind:
        case "column":
            return _change_column(expected, found)
        case "index" | "constraint" | "rule" | "policy":
            return f"{_remove(found)} {_make(expected)}"
        case "trigger":
            return expected.definition.replace("CREATE TRIGGER", "CREATE OR REPLACE TRIGGER", 1) + ";"
        case "function" | "view":
            return _make(expected)
        case "privilege":
            return _change_privilege(expected, found)
        case _:
            return f"-- alter {expected.kind} {expected.name} by hand, in a new migration file: {expected.definition}"


def _change_state(expected: Entry, found: Entry) -> str:
    match expected.kind:
        case "index":
            return f"REINDEX INDEX CONCURRENTLY {expected.name};"
        case "constraint" if found.state == "NOT VALID":
            return f"{_alter(expected)} VALIDATE CONSTRAINT {expected.name};"
        case "trigger" | "rule":
            word = {"": "ENABLE", "DISABLED": "DISABLE"}.get(expected.state, f"ENABLE {expected.state}")
            return f"{_alter(expected)} {word} {expected.kind.upper()} {expected.name};"
        case "table":
            return _row_security(expected)
        case _:
            return f"{_remove(found)} {_make(expected)}"


def _row_security(expected: Entry) -> str:
    on = "ENABLE" if "ROW SECURITY" in expected.state else "DISABLE"
    forced = "FORCE" if "FORCED" in expected.state else "NO FORCE"
    table = f"ALTER TABLE {expected.name}"
    return f"{table} {on} ROW LEVEL SECURITY; {table} {forced} ROW LEVEL SECURITY;"


def _change_column(expected: Entry, found: Entry) -> str:
    wanted, there = _column(expected.definition), _column(found.definition)
    column = f"ALTER COLUMN {expected.name}"
    steps = []
    if wanted[0] != there[0]:
        steps.append(f"{column} TYPE {wanted[0]}")
    if wanted[1] != there[1]:
        steps.append(f"{column} SET DEFAULT {wanted[1]}" if wanted[1] else f"{column} DROP DEFAULT")
    if wanted[2] != there[2]:
        steps.append(f"{column} {'SET' if wanted[2] else 'DROP'} NOT NULL")
    if not steps:  # generated or identity: only a new column becomes that
        return f"-- make {expected.parent}.{expected.name} anew, in a new migration file: {expected.definition}"
    return f"{_alter(expected)} {', '.join(steps)};"


def _column(definition: str) -> tuple[str, str, bool]:
    """Type (with collation, identity and generation), default or '', NOT NULL."""
    not_null = definition.endswith(_NOT_NULL)
    kind, _, default = definition.removesuffix(_NOT_NULL).partition(_DEFAULT)
    return (definition.removesuffix(_NOT_NULL), "", not_null) if " GENERATED " in kind else (kind, default, not_null)


def _privilege(verb: str, privileges: str, entry: Entry) -> str:
    granted, target = privileges, entry.parent
    if column := _COLUMN_OF.fullmatch(entry.parent):
        granted = ", ".join(f"{word} ({column['column']})" for word in privileges.split(", "))
        target = f"TABLE {column['table']}"
    who = "PUBLIC" if entry.name == "public" else entry.name
    plain = granted.replace(" WITH GRANT OPTION", "")
    return f"{verb} {plain} ON {target} {'TO' if verb == 'GRANT' else 'FROM'} {who};"


def _change_privilege(expected: Entry, found: Entry) -> str:
    wanted, there = (dict.fromkeys(entry.definition.split(", ")) for entry in (expected, found))
    extra, lost = [word for word in there if word not in wanted], [word for word in wanted if word not in there]
    revoke = [_privilege("REVOKE", ", ".join(extra), found)] if extra else []
    return " ".join([*revoke, *([_privilege("GRANT", ", ".join(lost), expected)] if lost else [])])

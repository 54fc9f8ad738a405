"""Which table locks a statement takes, and whom each of them keeps out; a table of PostgreSQL's rules. [P]

By the words of the statement: `prodsafe migrate trace` measures the same on a real server. First row that matches wins.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from prodsafe.migrations.statements import QUALIFIED, Statement

ACCESS_SHARE = "ACCESS SHARE"
ROW_SHARE = "ROW SHARE"
ROW_EXCLUSIVE = "ROW EXCLUSIVE"
SHARE_UPDATE_EXCLUSIVE = "SHARE UPDATE EXCLUSIVE"
SHARE = "SHARE"
SHARE_ROW_EXCLUSIVE = "SHARE ROW EXCLUSIVE"
EXCLUSIVE = "EXCLUSIVE"
ACCESS_EXCLUSIVE = "ACCESS EXCLUSIVE"

BLOCKS = {
    ACCESS_SHARE: "nobody",
    ROW_SHARE: "nobody",
    ROW_EXCLUSIVE: "nobody",
    SHARE_UPDATE_EXCLUSIVE: "other schema changes and VACUUM",
    SHARE: "writers",
    SHARE_ROW_EXCLUSIVE: "writers",
    EXCLUSIVE: "writers",
    ACCESS_EXCLUSIVE: "readers and writers",
}


@dataclass(frozen=True, slots=True)
class TableLock:
    """relation: as written in the file; the table of an index that is named is found by who has the database."""

    mode: str
    relation: str

    @property
    def blocks(self) -> str:
        return BLOCKS[self.mode]


_T = rf"(?P<t>{QUALIFIED})"  # the relation that the statement names first
_IF = r"(?:if (?:not )?exists )?"
_ONLY = r"(?:only )?"
_ALTER = rf"alter (?:table|materialized view|foreign table|view) {_IF}{_ONLY}{_T}(?= ).*"

_ROWS: tuple[tuple[str, str], ...] = (
    (rf"{_ALTER}\bdetach partition\b.*\bconcurrently", SHARE_UPDATE_EXCLUSIVE),
    (rf"{_ALTER}\battach partition\b", SHARE_UPDATE_EXCLUSIVE),
    (rf"alter table {_IF}{_ONLY}{_T} validate constraint [^,]*$", SHARE_UPDATE_EXCLUSIVE),
    (rf"alter table {_IF}{_ONLY}{_T} (?:alter (?:column )?\S+ )?(?:set statistics|set \(|reset \(|cluster on)[^,]*",
     SHARE_UPDATE_EXCLUSIVE),
    (rf"alter table {_IF}{_ONLY}{_T} (?:set (?:without )?cluster|set without oids)", SHARE_UPDATE_EXCLUSIVE),
    (rf"alter table {_IF}{_ONLY}{_T} add (?:constraint \S+ )?foreign key\b(?!.*, ?(?:add|alter|drop)\b)",
     SHARE_ROW_EXCLUSIVE),
    (rf"alter table {_IF}{_ONLY}{_T} (?:enable|disable) (?:replica |always )?trigger\b", SHARE_ROW_EXCLUSIVE),
    (rf"alter index {_IF}{_T} (?:rename|set \(|reset \(|attach)", SHARE_UPDATE_EXCLUSIVE),
    (_ALTER, ACCESS_EXCLUSIVE),
    (rf"create (?:unique )?index concurrently {_IF}(?:\S+ )?on {_ONLY}{_T}", SHARE_UPDATE_EXCLUSIVE),
    (rf"create (?:unique )?index {_IF}(?:\S+ )?on {_ONLY}{_T}", SHARE),
    (rf"drop index concurrently {_IF}{_T}", SHARE_UPDATE_EXCLUSIVE),
    (rf"drop (?:index|table|materialized view|view|foreign table|sequence) {_IF}{_T}", ACCESS_EXCLUSIVE),
    (rf"reindex (?:\([^)]*\) ?)?(?:index|table) concurrently {_T}", SHARE_UPDATE_EXCLUSIVE),
    (rf"reindex (?:\([^)]*\) ?)?(?:index|table) {_T}", SHARE),
    (rf"create (?:or replace )?(?:constraint )?trigger\b.*? on {_T}", SHARE_ROW_EXCLUSIVE),
    (rf"drop (?:trigger|rule|policy) {_IF}\S+ on {_T}", ACCESS_EXCLUSIVE),
    (rf"(?:create|alter) policy \S+ on {_T}", ACCESS_EXCLUSIVE),
    (rf"create (?:or replace )?rule\b.*? to {_T}", ACCESS_EXCLUSIVE),
    (rf"truncate (?:table )?{_ONLY}{_T}", ACCESS_EXCLUSIVE),
    (rf"lock (?:table )?{_ONLY}{_T} in access share mode", ACCESS_SHARE),
    (rf"lock (?:table )?{_ONLY}{_T} in row share mode", ROW_SHARE),
    (rf"lock (?:table )?{_ONLY}{_T} in row exclusive mode", ROW_EXCLUSIVE),
    (rf"lock (?:table )?{_ONLY}{_T} in share update exclusive mode", SHARE_UPDATE_EXCLUSIVE),
    (rf"lock (?:table )?{_ONLY}{_T} in share mode", SHARE),
    (rf"lock (?:table )?{_ONLY}{_T} in share row exclusive mode", SHARE_ROW_EXCLUSIVE),
    (rf"lock (?:table )?{_ONLY}{_T} in exclusive mode", EXCLUSIVE),
    (rf"lock (?:table )?{_ONLY}{_T}", ACCESS_EXCLUSIVE),
    (rf"(?:vacuum (?:\([^)]*\bfull\b[^)]*\)|full)|cluster)(?: (?:verbose|analyze))* {_T}", ACCESS_EXCLUSIVE),
    (rf"(?:vacuum|analyze)(?: ?\([^)]*\))?(?: (?:freeze|verbose|analyze))* {_T}", SHARE_UPDATE_EXCLUSIVE),
    (rf"refresh materialized view concurrently {_T}", EXCLUSIVE),
    (rf"refresh materialized view {_T}", ACCESS_EXCLUSIVE),
    (rf"comment on (?:table|view) {_T}", SHARE_UPDATE_EXCLUSIVE),
    (rf"(?:insert|merge) into {_ONLY}{_T}", ROW_EXCLUSIVE),
    (rf"(?:update|delete from) {_ONLY}{_T}", ROW_EXCLUSIVE),
    (rf"create statistics\b.* from {_T}", SHARE_UPDATE_EXCLUSIVE),
)  # fmt: skip
_TABLE_OF = tuple((re.compile(row, re.IGNORECASE), mode) for row, mode in _ROWS)
_REFERENCED = re.compile(rf"\breferences {_T}", re.IGNORECASE)
_PARENT = re.compile(rf"create table.*\bpartition of {_T}", re.IGNORECASE)
_PARTITION = re.compile(rf"\b(?:attach|detach) partition {_T}", re.IGNORECASE)
_OPAQUE = re.compile(r"(do|call|select|with|explain|execute)\b", re.IGNORECASE)


def locks_of(statement: Statement) -> list[TableLock]:
    """The locks on tables that may be in use, the named one first; [] for what only makes new objects."""
    text = statement.clean
    named = [TableLock(mode, found["t"]) for pattern, mode in _TABLE_OF if (found := pattern.match(text))][:1]
    others = [TableLock(SHARE_ROW_EXCLUSIVE, found["t"]) for found in _REFERENCED.finditer(text)]
    others += [TableLock(ACCESS_EXCLUSIVE, found["t"]) for found in [_PARENT.match(text)] if found]
    others += [TableLock(ACCESS_EXCLUSIVE, found["t"]) for found in _PARTITION.finditer(text)]
    return list(dict.fromkeys([*named, *others]))


def is_opaque(statement: Statement) -> bool:
    """Whether a table of words cannot say what it locks: code in it decides."""
    return bool(_OPAQUE.match(statement.code))

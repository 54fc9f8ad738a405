"""Which locks a statement takes, by its words."""

from __future__ import annotations

import pytest

from prodsafe.migrations.locks import ACCESS_EXCLUSIVE as AX
from prodsafe.migrations.locks import BLOCKS, is_opaque, locks_of
from prodsafe.migrations.locks import EXCLUSIVE as EX
from prodsafe.migrations.locks import ROW_EXCLUSIVE as RX
from prodsafe.migrations.locks import SHARE as S
from prodsafe.migrations.locks import SHARE_ROW_EXCLUSIVE as SRX
from prodsafe.migrations.locks import SHARE_UPDATE_EXCLUSIVE as SUX
from prodsafe.migrations.statements import split


def locks(sql: str) -> list[tuple[str, str]]:
    (statement,) = split(sql)
    return [(lock.mode, lock.relation) for lock in locks_of(statement)]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("ALTER TABLE t ADD COLUMN c int", [(AX, "t")]),
        ('alter table if exists only s."T t" drop column c', [(AX, 's."T t"')]),
        ("ALTER TABLE t VALIDATE CONSTRAINT k", [(SUX, "t")]),
        ("ALTER TABLE t VALIDATE CONSTRAINT k, DROP COLUMN c", [(AX, "t")]),
        ("ALTER TABLE t SET (fillfactor = 70)", [(SUX, "t")]),
        ("ALTER TABLE t ALTER COLUMN c SET STATISTICS 500", [(SUX, "t")]),
        ("ALTER TABLE t ALTER COLUMN c SET NOT NULL", [(AX, "t")]),
        ("ALTER TABLE t ADD CONSTRAINT k FOREIGN KEY (c) REFERENCES u (id) NOT VALID", [(SRX, "t"), (SRX, "u")]),
        ("ALTER TABLE t ADD COLUMN u int REFERENCES u (id)", [(AX, "t"), (SRX, "u")]),
        ("ALTER TABLE p ATTACH PARTITION q DEFAULT", [(SUX, "p"), (AX, "q")]),
        ("ALTER TABLE p DETACH PARTITION q CONCURRENTLY", [(SUX, "p"), (AX, "q")]),
        ("CREATE INDEX i ON t (c)", [(S, "t")]),
        ("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON t (c)", [(SUX, "t")]),
        ("DROP INDEX i", [(AX, "i")]),
        ("DROP INDEX CONCURRENTLY i", [(SUX, "i")]),
        ("REINDEX TABLE t", [(S, "t")]),
        ("REINDEX (VERBOSE) INDEX CONCURRENTLY i", [(SUX, "i")]),
        ("CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()", [(SRX, "t")]),
        ("DROP TRIGGER x ON t", [(AX, "t")]),
        ("TRUNCATE t", [(AX, "t")]),
        ("LOCK TABLE t IN SHARE MODE", [(S, "t")]),
        ("LOCK t", [(AX, "t")]),
        ("VACUUM (ANALYZE) t", [(SUX, "t")]),
        ("VACUUM FULL t", [(AX, "t")]),
        ("REFRESH MATERIALIZED VIEW CONCURRENTLY m", [(EX, "m")]),
        ("UPDATE ONLY t SET c = 1", [(RX, "t")]),
        ("INSERT INTO t VALUES (1)", [(RX, "t")]),
        ("CREATE TABLE t (id int REFERENCES u)", [(SRX, "u")]),
        ("CREATE TABLE q PARTITION OF p DEFAULT", [(AX, "p")]),
        ("CREATE TABLE t (id int)", []),
        ("GRANT SELECT ON t TO r", []),
    ],
)
def test_each_statement_takes_the_locks_of_its_kind(sql, expected):
    assert locks(sql) == expected


def test_only_the_strongest_lock_keeps_readers_out():
    assert [mode for mode, blocked in BLOCKS.items() if "readers" in blocked] == [AX]


@pytest.mark.parametrize(
    ("sql", "opaque"), [("DO $$ BEGIN END $$", True), ("SELECT f()", True), ("DROP TABLE t", False)]
)
def test_code_is_said_to_be_opaque(sql, opaque):
    assert is_opaque(split(sql)[0]) == opaque

"""One lexer for the runner and the linter: no byte is lost, and PostgreSQL's own scanner and parser see the same."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from prodsafe.errors import SchemaNotReady
from prodsafe.migrations.files import parse_all
from prodsafe.migrations.lexer import Token, cut, lexemes
from prodsafe.migrations.lint.parser import parse
from prodsafe.migrations.statements import Way, split

FRAGMENTS = st.sampled_from(
    ["'", "''", '"', '""', "$$", "$a$", "$ä$", "$1", "E'", "e'", "\\", "\\'", "U&'", 'U&"', "B'", "n'", "--", "/*",
     "*/", "/", "*", "-", ";", "a", "a$", "1", "1.5e3", ".", "(", ")", "\n", "\r", " ", "\t", "ä", "\xa0", "e", "b"]
)  # fmt: skip
postgast = importlib.import_module("postgast")  # its stubs are none that mypy can read
SEMICOLON, *COMMENTS = (postgast.pg_query_pb2.Token.Value(name) for name in ("ASCII_59", "SQL_COMMENT", "C_COMMENT"))
NASTY = st.lists(FRAGMENTS, max_size=25).map("".join)


@given(st.one_of(NASTY, st.text(max_size=100)))
@example("'open")
@example("/* a /* b */")
@example("$a$ $b$ $a")
def test_no_byte_of_any_text_is_lost(sql: str) -> None:
    found = list(lexemes(sql))

    assert "".join(each.text for each in found) == sql
    assert [each.start for each in found] == [0, *(each.end for each in found)][: len(found)]


@given(st.one_of(NASTY, st.text(max_size=100)))
def test_between_the_statements_stand_comments_blanks_and_semicolons_alone(sql: str) -> None:
    at = 0
    for piece in [*cut(sql), [Token("symbol", "", len(sql), len(sql))]]:
        between = lexemes(sql, at, piece[0].start)
        assert all(each.kind in ("space", "comment", "block") or each.text == ";" for each in between)
        at = piece[-1].end
    assert [each.text for each in split(sql)] == [sql[each[0].start : each[-1].end] for each in cut(sql)]


@given(NASTY)
@settings(max_examples=400, deadline=None)
@example("a$$b;$$")
@example("e'\\';' ; 'x'")
@example("E'a'\n'b\\';' ;")
@example("E'a' -- x\n  '\\';' ;")
@example("-- x\r;")
@example("/* /* */ ; */ ;")
@example('U&"a;""b" ;')
@example("$1$$;$$")
@example("1$$;$$")
def test_quotes_and_comments_end_where_postgresqls_own_scanner_sees_their_end(sql: str) -> None:
    assume(not any(each.kind == "meta" for each in lexemes(sql)))  # psql's, not PostgreSQL's
    try:
        scanned = postgast.scan(sql).tokens
    except postgast.PgQueryError:
        return
    told = {
        (len(sql.encode()[: each.start].decode()), len(sql.encode()[: each.end].decode()))
        for each in scanned
        if each.token in (SEMICOLON, *COMMENTS)
    }

    seen = {(each.start, each.end) for each in lexemes(sql) if each.text == ";" or each.kind in ("comment", "block")}
    assert seen == told


STATEMENTS = [
    "SELECT 1",
    "select 'a;b', E'c\\';d', $$ ; $$, $q$ ; $$ ; $q$, U&'\\0061;', \"x;y\"",
    'CREATE TABLE U&"d\\0061t;a" ("ü;" int)',
    "CREATE RULE r AS ON INSERT TO t DO ALSO (INSERT INTO a VALUES (1); DELETE FROM b; SELECT ';')",
    'CREATE OR REPLACE RULE "r;" AS ON DELETE TO t DO INSTEAD (SELECT 1; SELECT 2)',
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT CASE WHEN a THEN 1 ELSE 2 END; END",
    "CREATE OR REPLACE PROCEDURE p(a int) BEGIN ATOMIC INSERT INTO t VALUES (1); SELECT 1 AS end; SELECT t.end FROM t;"
    " END",
    "CREATE FUNCTION f() RETURNS int AS 'BEGIN; END;' LANGUAGE plpgsql",
    "DO $body$ BEGIN EXECUTE $q$ DROP TABLE x; $q$; END; $body$",
    "ALTER TABLE t ADD CONSTRAINT c CHECK (a IN ('(', ';')) NOT VALID",
    "CREATE TABLE rule (a int)",
    "BEGIN",
    "END",
    "COMMENT ON TABLE t IS 'it''s; \"odd\"'",
    "CREATE INDEX CONCURRENTLY i ON t ((a->>';'))",
]
BETWEEN = st.sampled_from(
    [";", ";;", " ; ", ";\n", "; -- it's; a comment\n", ";/* a /* nested; */ ; ' */", ";\r\n", ";\t"]
)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(STATEMENTS), BETWEEN), max_size=8), BETWEEN)
def test_statements_are_cut_where_postgresqls_own_parser_cuts_them(parts: list[tuple[str, str]], last: str) -> None:
    sql = "".join(text + between for text, between in parts).removesuffix(";") + last.replace(";", " ")

    by_parser = [each.start for each in parse(sql).statements]
    assert [each[0].start for each in cut(sql)] == by_parser
    assert [each.text for each in split(sql)] == [text for text, _ in parts]
    assert [each.line for each in split(sql)] == [sql.count("\n", 0, start) + 1 for start in by_parser]


@pytest.mark.parametrize("sql", ["SELECT 'a", 'SELECT "a', "SELECT 1 /* b", "DO $x$ a; $y$", "SELECT E'\\'", "/* x"])
def test_what_never_ends_is_the_open_end_of_its_statement(sql: str) -> None:
    first, last = split(f"SELECT 1; {sql} ; SELECT 2")

    assert (first.is_open, last.is_open) == (False, True)
    assert last.text == f"{sql} ; SELECT 2"


def test_a_psql_command_is_a_statement_of_its_own() -> None:
    assert [each.text for each in split("SELECT 1\n\\echo it's\nSELECT 2;")] == ["SELECT 1", "\\echo it's", "SELECT 2"]


@pytest.mark.parametrize("piece", ["'", "$a$ ", "/*", "E'\\'", "a;", "-- x\n", "(", '"', "$1", "CREATE RULE r ("])
def test_the_work_grows_with_the_length_of_the_text_alone(piece: str) -> None:
    """Counted in steps of the cutter, as seconds would depend on the machine: one token at most for a character."""
    sql = piece * 20_000

    assert sum(1 for _ in lexemes(sql)) <= len(sql)
    assert sum(map(len, cut(sql))) <= len(sql)


@pytest.mark.parametrize(
    "sql", ["/* open", "CREATE TABLE a (b int); /* todo * / CREATE TABLE c (d int);", "SELECT 'open"]
)
def test_a_file_that_never_closes_a_quote_or_comment_is_refused_before_anything_of_it_runs(sql: str) -> None:
    """What follows it would be taken for a part of it: the file would look applied, and half of it never ran."""
    with pytest.raises(SchemaNotReady, match="never ends"):
        parse_all("app", {"0001_expand_it.sql": sql.encode()})


@pytest.mark.parametrize(
    ("sql", "way"),
    [
        ("REINDEX (CONCURRENTLY) TABLE t", Way.ALONE),
        ("reindex(verbose, concurrently true) index i", Way.ALONE),
        ("REINDEX (CONCURRENTLY false) TABLE t", Way.TRANSACTION),
        ("REINDEX (CONCURRENTLY off, VERBOSE) TABLE t", Way.TRANSACTION),
        ("DISCARD ALL", Way.ALONE),
        ("DISCARD PLANS", Way.TRANSACTION),
        ("CLUSTER VERBOSE", Way.ALONE),
        ("CLUSTER t USING i", Way.TRANSACTION),
        ('ALTER TABLE t ADD COLUMN "detach partition concurrently" int', Way.TRANSACTION),
    ],
)
def test_what_no_transaction_can_hold_is_told_by_its_words_outside_of_quotes(sql: str, way: Way) -> None:
    assert [each.way for each in split(sql)] == [way]


def test_the_runner_reads_its_files_without_the_parser() -> None:
    """The parser takes a third of the time of a run with nothing to do."""
    loaded = (
        "import sys, prodsafe.migrations.runner; print([m for m in sys.modules if 'postgast' in m or '.lint' in m])"
    )

    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"

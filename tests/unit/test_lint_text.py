"""Arbitrary text: tokens, pieces, bodies and the whole linter never raise, and every place lies inside the text."""

from __future__ import annotations

import json
import re

from hypothesis import example, given, settings
from hypothesis import strategies as st

from prodsafe.migrations.directives import read_directives
from prodsafe.migrations.lexer import cut, tokens
from prodsafe.migrations.lint.bodies import plpgsql
from prodsafe.migrations.lint.categories import CATEGORIES
from prodsafe.migrations.lint.findings import Finding
from prodsafe.migrations.lint.formats import as_dict, as_github, as_sarif, as_text, explanation, listing
from prodsafe.migrations.lint.linter import Options, Report, SqlFile, lint
from prodsafe.migrations.lint.parser import meaning, parse
from prodsafe.migrations.lint.sqltext import clauses, one_line, quoted

VOCABULARY = r"""
    ALTER TABLE t ADD COLUMN a int DROP CREATE INDEX ON ( ) , ; 'x' "Q" $$ $a$ DO BEGIN END IF THEN LOOP COMMIT
    UPDATE SET = 1 WHERE id IN SELECT FROM INSERT INTO VALUES CASE WHEN ELSE -- /* */ \d NOT NULL VALID CHECK
    EXECUTE ü FOR UNIQUE PRIMARY KEY REFERENCES USING CONCURRENTLY CASCADE TYPE text DEFAULT now() CONSTRAINT
    c VALIDATE RETURNING ROLLBACK ATOMIC
"""
WORDS = st.sampled_from([*VOCABULARY.split(), "\n"])
SQLISH = st.lists(WORDS, max_size=40).map(" ".join)
ALL = Options(hygiene=True, style=True)


def judged(sql: str) -> Report:
    return lint([SqlFile("x.sql", sql)], options=ALL)


@settings(deadline=None)
@given(st.one_of(SQLISH, st.text(max_size=200)))
@example("\\")
@example("SELECT " + "(" * 3000)
@example("SELECT " + "1+" * 5000 + "1")
@example("CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; END")
@example("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.a := 1; END $$")
@example("DO 'BEGIN DROP TABLE t; END'")
@example("DO ''")
@example("ALTER TABLE t")
@example("\x00\x01")
def test_any_text_is_judged_the_same_twice_with_every_place_inside_it(sql: str) -> None:
    report = judged(sql)

    lines = sql.removeprefix("\ufeff").split("\n")
    for each in report.findings:
        assert 1 <= each.line <= len(lines)
        assert 1 <= each.column <= len(lines[each.line - 1]) + 1
        assert each.category in CATEGORIES
    assert judged(sql) == report


@given(st.one_of(SQLISH, st.text(max_size=200)))
def test_tokens_follow_each_other_and_are_the_text_itself(sql: str) -> None:
    end = 0
    for token in tokens(sql):
        assert end <= token.start < token.end
        assert sql[token.start : token.end] == token.text
        end = token.end
    for start, stop in [(each[0].start, each[-1].end) for each in cut(sql)] + clauses(sql, 0, len(sql)):
        assert 0 <= start < stop <= len(sql)


@given(SQLISH)
def test_pieces_of_a_body_lie_inside_it(body: str) -> None:
    for piece in plpgsql(body):
        assert 0 <= piece.offset <= len(body)


@given(st.text(max_size=40).filter(lambda text: "\0" not in text and text))
def test_a_quoted_name_is_read_back_as_it_was(name: str) -> None:
    [statement] = parse(f"DROP TABLE {quoted(name)}").statements

    assert statement.node["objects"][0]["List"]["items"][0]["String"]["sval"] == name[: _cut(name)]


def _cut(name: str) -> int:
    """PostgreSQL keeps 63 bytes of a name, whole characters."""
    return len(name.encode()[:63].decode(errors="ignore"))


def test_whole_text_and_pieces_are_parsed_into_the_same_statements() -> None:
    sql = "SELECT 'ä;ö';\nCREATE TABLE \"ü\" (a int);\n-- x\nDO $$ BEGIN; END $$; SELECT 2"

    broken = parse(sql + "; SELEC")

    assert [(each.kind, each.start, each.end) for each in broken.statements] == [
        (each.kind, each.start, each.end) for each in parse(sql).statements
    ]
    assert [sql[each.start : each.end] for each in parse(sql).statements][1] == 'CREATE TABLE "ü" (a int)'


def test_the_meaning_of_sql_is_in_its_words_and_constants_not_in_its_looks() -> None:
    base = meaning("ALTER TABLE t ADD COLUMN a int DEFAULT 5;")

    assert meaning('-- why\nalter table "t"\n  add a integer default 5') == base
    assert meaning("ALTER TABLE t ADD COLUMN a int DEFAULT 6;") != base
    assert meaning("ALTER TABLE t ADD COLUMN b int DEFAULT 5;") != base


def test_a_body_gives_its_sql_its_execute_and_its_commit() -> None:
    body = """
    <<outer>>
    DECLARE
        r record; n int := (SELECT 1);
    BEGIN
        SELECT count(*) INTO STRICT n FROM a WHERE CASE WHEN true THEN b ELSE c END;
        IF n > 0 AND CASE WHEN true THEN true ELSE false END THEN
            DELETE FROM a RETURNING id INTO n;
        ELSIF n = 0 THEN
            PERFORM f(1);
        END IF;
        FOR r IN SELECT id FROM b LOOP
            UPDATE c SET d = 1 WHERE id = r.id;
            COMMIT;
        END LOOP;
        CASE n WHEN 1 THEN TRUNCATE t; ELSE NULL; END CASE;
        EXECUTE format('DROP TABLE %I', n) INTO n USING n;
        RETURN QUERY EXECUTE q;
    EXCEPTION WHEN OTHERS THEN
        RAISE NOTICE 'DELETE FROM t; %', 1;
    END"""

    assert [(piece.kind, one_line(piece.text), piece.loops) for piece in plpgsql(body)] == [
        ("sql", "SELECT count(*) FROM a WHERE CASE WHEN true THEN b ELSE c END", 0),
        ("sql", "DELETE FROM a", 0),
        ("sql", "SELECT f(1)", 0),
        ("sql", "SELECT id FROM b", 0),
        ("sql", "UPDATE c SET d = 1 WHERE id = r.id", 1),
        ("commit", "commit", 1),
        ("sql", "TRUNCATE t", 0),
        ("dynamic", "format('DROP TABLE %I', n)", 0),
        ("dynamic", "q", 0),
    ]


@given(SQLISH)
def test_directives_are_read_from_any_text(sql: str) -> None:
    read_directives(f"-- prodsafe: {sql}\n{sql}", categories=CATEGORIES)


# formats

FINDING = Finding("drop-table", "error", "a b/x.sql", 2, 3, "50 %: gone,\nall", "DROP TABLE t;", "  DROP TABLE t;")
REPORT = Report((FINDING,), files=1, statements=2, allowed=1)


def test_text_shows_the_line_with_a_caret_under_the_place_and_sums_up() -> None:
    assert as_text(REPORT).split("\n") == [
        "a b/x.sql:2:3: error drop-table",
        "  2 |   DROP TABLE t;",
        "    |   ^",
        "  50 %: gone,",
        "all",
        "  mend:",
        "    DROP TABLE t;",
        "",
        "1 error in 1 file, 2 statements; 1 allowed by a directive",
    ]


def test_text_of_a_clean_report_is_one_line() -> None:
    assert as_text(Report((), files=3, statements=9)) == "no hazard in 3 files, 9 statements"


def test_a_terminal_is_not_painted_by_the_file_it_shows() -> None:
    report = judged("DROP TABLE t; --\x1b[31m red")

    assert "\x1b" not in as_text(report)


def test_github_commands_escape_what_would_end_them() -> None:
    first = as_github(REPORT).split("\n")[0]

    assert first == (
        "::error file=a b/x.sql,line=2,col=3,title=prodsafe drop-table::50 %25: gone,%0Aall%0Amend:%0ADROP TABLE t;"
    )
    odd = Finding("drop-table", "note", "a:b,c%.sql", 1, 1, "m", "")
    assert "file=a%3Ab%2Cc%25.sql" in as_github(Report((odd,), 1, 1))
    assert as_github(Report((odd,), 1, 1)).startswith("::notice ")


def test_sarif_names_its_rules_with_help_and_points_at_the_place() -> None:
    log = json.loads(as_sarif(REPORT, "1.2"))
    [run] = log["runs"]
    [result], [rule] = run["results"], run["tool"]["driver"]["rules"]
    region = result["locations"][0]["physicalLocation"]["region"]

    assert (log["version"], run["tool"]["driver"]["version"]) == ("2.1.0", "1.2")
    assert rule["id"] == result["ruleId"] == "drop-table"
    assert rule["help"]["text"] and rule["shortDescription"]["text"] and rule["help"]["markdown"]
    assert (result["level"], result["ruleIndex"]) == ("error", 0)
    assert (region["startLine"], region["startColumn"]) == (2, 3)
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "a%20b/x.sql"


FINDINGS = st.builds(
    Finding,
    category=st.sampled_from(sorted(CATEGORIES)),
    severity=st.sampled_from(["error", "warning", "note"]),
    file=st.text(min_size=1, max_size=20).filter(lambda name: "\0" not in name),
    line=st.integers(1, 99),
    column=st.integers(1, 99),
    message=st.text(min_size=1, max_size=60),
    mend=st.text(max_size=60),
    source=st.text(max_size=60),
)
REPORTS = st.lists(FINDINGS, max_size=5).map(lambda findings: Report(tuple(findings), 1, 1))


@given(REPORTS)
def test_sarif_has_the_shape_of_its_2_1_0_schema_whatever_is_found(report: Report) -> None:
    """The required properties and the value sets of the schema, for the part of it that is written."""
    log = json.loads(as_sarif(report, "1.2"))

    assert set(log) == {"$schema", "version", "runs"} and log["version"] == "2.1.0"
    [run] = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert run["columnKind"] in ("utf16CodeUnits", "unicodeCodePoints")
    assert [each["id"] for each in rules] == sorted({each.category for each in report.findings})
    for rule in rules:
        assert all(rule[each]["text"] for each in ("shortDescription", "fullDescription", "help"))
        assert rule["defaultConfiguration"]["level"] in ("none", "note", "warning", "error")
    for result, finding in zip(run["results"], report.findings, strict=True):
        [location] = result["locations"]
        place = location["physicalLocation"]
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"] == finding.category
        assert result["level"] in ("none", "note", "warning", "error") and result["message"]["text"]
        assert re.fullmatch(r"[A-Za-z0-9:/%._~!$&'()*+,;=@-]+", place["artifactLocation"]["uri"])
        assert (place["region"]["startLine"], place["region"]["startColumn"]) == (finding.line, finding.column)


@given(REPORTS)
def test_a_github_command_is_one_line_and_says_all_of_the_finding(report: Report) -> None:
    *commands, summary = re.split(r"[\r\n]", as_github(report))

    assert len(commands) == len(report.findings) and not summary.startswith("::")
    for command, finding in zip(commands, report.findings, strict=True):
        head, _, data = command.removeprefix("::").partition("::")
        word, _, properties = head.partition(" ")
        values = dict(each.split("=", 1) for each in properties.split(","))
        assert word in ("error", "warning", "notice")
        assert _unescaped(values["file"]) == finding.file
        assert _unescaped(data).startswith(finding.message) and _unescaped(data).endswith(finding.mend)


def _unescaped(text: str) -> str:
    for code, char in (("%2C", ","), ("%3A", ":"), ("%0A", "\n"), ("%0D", "\r"), ("%25", "%")):
        text = text.replace(code, char)
    return text


def test_json_has_the_keys_that_were_promised() -> None:
    assert as_dict(REPORT) == {
        "findings": [
            {"category": "drop-table", "severity": "error", "file": "a b/x.sql", "line": 2, "column": 3,
             "message": "50 %: gone,\nall", "mend": "DROP TABLE t;"}
        ]
    }  # fmt: skip


def test_every_category_is_listed_and_explained() -> None:
    listed = [line.split()[0] for line in listing().split("\n")]

    assert listed == list(CATEGORIES)
    for category in CATEGORIES.values():
        assert re.search(r"instead:  \S", explanation(category))

"""`prodsafe migrate lint` as a person and a CI job run it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.processes import PROJECT

BARE = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}


def run(*words: str, stdin: str = "", folder: Path = PROJECT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "prodsafe", "migrate", "lint", *words],
        input=stdin, capture_output=True, text=True, cwd=folder, env=BARE, timeout=60, check=False,
    )  # fmt: skip


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f"{name}.sql").write_text(text)


def test_one_file_on_standard_input_is_judged_in_json_with_the_safe_form():
    done = run("--stdin", "--json", stdin="CREATE INDEX i ON t (c);")

    printed = json.loads(done.stdout)
    assert set(printed) == {"findings"}
    [found] = printed["findings"]
    assert {"category", "line", "column", "message", "mend"} <= set(found)
    assert (found["category"], found["line"], found["column"]) == ("index-not-concurrent", 1, 1)
    assert found["mend"] == "CREATE INDEX CONCURRENTLY i ON t (c);"
    assert (done.returncode, done.stderr) == (4, "")


def test_safe_sql_leaves_with_zero():
    done = run("--stdin", "--json", stdin="CREATE INDEX CONCURRENTLY i ON t (c);")

    assert (done.returncode, json.loads(done.stdout)) == (0, {"findings": []})


def test_a_warning_alone_leaves_with_zero():
    done = run("--stdin", stdin="CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f();")

    assert done.returncode == 0
    assert "warning create-trigger" in done.stdout


def test_the_transaction_round_the_text_can_be_said():
    sql = "CREATE INDEX CONCURRENTLY i ON t (c);"

    assert run("--stdin", "--no-transaction", stdin=sql).returncode == 0
    refused = run("--stdin", "--json", "--assume-transaction", stdin=sql)
    assert [each["category"] for each in json.loads(refused.stdout)["findings"]] == ["concurrent-in-transaction"]


def test_an_earlier_schema_can_be_given(tmp_path: Path):
    write(tmp_path, before="CREATE TABLE t (a varchar(20));")
    sql = "ALTER TABLE t ALTER COLUMN a TYPE varchar(40);"

    assert run("--stdin", stdin=sql).returncode == 4
    assert run("--stdin", "--setup", str(tmp_path / "before.sql"), stdin=sql).returncode == 0


def test_a_folder_is_judged_in_order_and_one_file_knows_those_before_it(tmp_path: Path):
    write(
        tmp_path,
        **{
            "0001_expand_make": "CREATE TABLE t (a varchar(20)); CREATE INDEX i ON t (a);",
            "0002_expand_index": "CREATE INDEX j ON t (a);",
            "0003_expand_grow": "ALTER TABLE t ALTER COLUMN a TYPE text;",
            "0004_contract_drop": "ALTER TABLE t DROP COLUMN a;",
        },
    )

    folder = run("--json", str(tmp_path))
    alone = run(str(tmp_path / "0003_expand_grow.sql"))

    found = [
        (Path(each["file"]).name, each["category"], each["severity"]) for each in json.loads(folder.stdout)["findings"]
    ]
    assert found == [
        ("0002_expand_index.sql", "index-not-concurrent", "error"),
        ("0004_contract_drop.sql", "drop-column", "note"),
    ]
    assert folder.returncode == 4
    assert (alone.returncode, alone.stdout) == (0, "no hazard in 1 file, 1 statement\n")


def test_text_shows_the_line_and_the_mend():
    done = run("--stdin", stdin="SELECT 1;\n  DROP INDEX i;")

    assert done.stdout.split("\n")[:3] == [
        "<stdin>:2:3: error index-drop-not-concurrent", "  2 |   DROP INDEX i;", "    |   ^",
    ]  # fmt: skip
    assert "DROP INDEX CONCURRENTLY i;" in done.stdout


def test_sarif_and_github_are_what_their_readers_take(tmp_path: Path):
    write(tmp_path, x="DROP TABLE t;")

    sarif = json.loads(run("--format", "sarif", str(tmp_path)).stdout)
    github = run("--format", "github", "x.sql", folder=tmp_path).stdout

    assert sarif["version"] == "2.1.0"
    assert sarif["runs"][0]["results"][0]["ruleId"] == "drop-table"
    assert github.startswith("::error file=x.sql,line=1,col=1,title=prodsafe drop-table::")


def test_categories_are_listed_and_explained():
    assert "index-not-concurrent" in run("--list").stdout
    explained = run("--explain", "set-not-null-full-scan")

    assert explained.returncode == 0
    assert "NOT VALID" in explained.stdout


def test_wrong_usage_leaves_with_two_and_one_sentence(tmp_path: Path):
    (tmp_path / "latin.sql").write_bytes(b"SELECT '\xe9';")

    for words in (
        ["--explain", "nonsense"],
        ["nowhere.sql"],
        ["--stdin", "x.sql"],
        [str(tmp_path / "latin.sql")],
        ["--format", "x"],
    ):
        done = run(*words, folder=tmp_path)
        assert (done.returncode, done.stdout) == (2, ""), words
        assert "Traceback" not in done.stderr


def test_a_folder_without_sql_is_wrong_usage_and_no_clean_bill(tmp_path: Path):
    done = run(str(tmp_path))

    assert done.returncode == 2
    assert "no .sql file" in done.stderr


def test_without_words_the_projects_own_folder_is_judged():
    done = run()

    assert "live/migrations" in done.stdout or done.stdout.startswith("no hazard in ")
    assert done.returncode in (0, 4)


def test_neither_a_database_driver_nor_protobuf_is_loaded(tmp_path: Path):
    write(tmp_path, x="SELECT 1;")
    program = (
        "import sys; from prodsafe.migrations.lint_command import lint\n"
        f"lint.main([{str(tmp_path)!r}], standalone_mode=False)\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'psycopg', 'google', 'pydantic', 'asyncio'}))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=BARE, cwd=PROJECT, check=True
    )

    assert done.stdout.endswith("[]\n")

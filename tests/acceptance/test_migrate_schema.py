"""`python migrate_schema.py` as a deploy runs it: a process, its words and its exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from prodsafe.embedded_binaries import find_binaries
from prodsafe.migrations.locking import LOCK_KEY

PROJECT = Path(__file__).resolve().parents[2]


def command(url: str | None, *options: str) -> tuple[list[str], dict[str, str]]:
    environment = dict(os.environ) if url is None else {**os.environ, "DATABASE_URL": url}
    return [sys.executable, str(PROJECT / "migrate_schema.py"), *options], environment


def run(url: str | None, *options: str, cwd: Path = PROJECT) -> subprocess.CompletedProcess[str]:
    arguments, environment = command(url, *options)
    done = subprocess.run(arguments, env=environment, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    password = urlsplit(url or "").password
    assert not password or password not in done.stdout + done.stderr
    return done


def query(url: str, sql: str) -> list[tuple]:
    with psycopg.connect(url, autocommit=True) as conn:
        cursor = conn.execute(sql)
        return cursor.fetchall() if cursor.description else []


def test_an_empty_database_gets_prodsafes_tables_then_lives_and_a_second_run_does_nothing(empty_database_url):
    first, second = run(empty_database_url), run(empty_database_url)

    assert first.returncode == 0 and second.returncode == 0
    lines = first.stdout.splitlines()
    assert lines[0].startswith("applied prodsafe 0001_expand_lease in ")
    assert any(line.startswith("applied live 0001_expand_journal in ") for line in lines)
    assert second.stdout.startswith("nothing to do: schema at prodsafe ") and ", live " in second.stdout


def test_deploys_that_start_at_once_all_succeed(empty_database_url):
    arguments, environment = command(empty_database_url)
    processes = [
        subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(3)
    ]
    outputs = [process.communicate(timeout=60)[0] for process in processes]

    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    assert sum("applied prodsafe 0001" in output for output in outputs) == 1


def test_without_an_address_it_refuses_also_when_a_dotenv_file_holds_one(empty_database_url, tmp_path):
    (tmp_path / ".env").write_text(f"DATABASE_URL={empty_database_url}\n")

    done = run(None, cwd=tmp_path)

    assert done.returncode == 1 and "refused G06 database-address" in done.stderr
    assert query(empty_database_url, "SELECT to_regclass('prodsafe.migration')") == [(None,)]


@pytest.mark.parametrize("url", ["mysql://me:s3cret@127.0.0.1/app", " ", "postgresql://me:s3cret@127.0.0.1:x/app"])
def test_an_address_that_is_none_is_refused_and_not_shown(url):
    done = run(url)

    assert done.returncode == 1 and "G06" in done.stderr
    assert "s3cret" not in done.stdout + done.stderr


def test_a_database_that_is_not_there_is_unreachable_within_ten_seconds():
    began = time.monotonic()
    done = run("postgresql://me:s3cret@127.0.0.1:1/app")

    assert done.returncode == 6 and "refused P01 database-unreachable" in done.stderr
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ("UPDATE prodsafe.migration SET checksum = 'other' WHERE set_name = 'live'", "M06 migration-edited"),
        (
            "INSERT INTO prodsafe.migration SELECT set_name, 9999, '9999_contract_x', 'contract', '', '', applied_at,"
            " applied_by, 0 FROM prodsafe.migration WHERE set_name = 'live' AND version = 1",
            "M04 schema-ahead",
        ),
    ],
)
def test_a_ledger_that_the_files_contradict_ends_the_deploy(database_url, change, refusal):
    query(database_url, change)

    done = run(database_url)

    assert done.returncode == 4 and f"refused {refusal}" in done.stderr


def test_a_migration_lock_that_is_held_too_long_ends_the_deploy(empty_database_url):
    with psycopg.connect(empty_database_url) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK_KEY])

        done = run(empty_database_url, "--wait", "0.3")

    assert done.returncode == 4 and "refused M08 migration-lock-held" in done.stderr


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_no_success_so_that_the_worker_is_not_started(empty_database_url, sign):
    arguments, environment = command(empty_database_url)
    with psycopg.connect(empty_database_url) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK_KEY])
        with subprocess.Popen(
            arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert "waiting for another runner" in process.stdout.readline()
            process.send_signal(sign)
            _, said = process.communicate(timeout=20)

    assert process.returncode == 4 and "refused M13 migration-interrupted" in said


def test_a_plan_is_shown_and_nothing_is_changed(empty_database_url):
    done = run(empty_database_url, "--plan")

    assert done.returncode == 0 and "  prodsafe 0001_expand_lease" in done.stdout
    assert json.loads(run(empty_database_url, "--plan", "--json").stdout)["apply"][0]["set"] == "prodsafe"
    assert query(empty_database_url, "SELECT to_regclass('prodsafe.migration')") == [(None,)]


def test_json_is_one_object_on_stdout_and_progress_goes_to_stderr(empty_database_url):
    done = run(empty_database_url, "--json")

    answer = json.loads(done.stdout)
    assert answer["ok"] is True and answer["applied"][0]["name"] == "0001_expand_lease"
    assert "applied prodsafe" in done.stderr


def test_a_refusal_in_json_is_data(database_url):
    query(database_url, "UPDATE prodsafe.migration SET checksum = 'other' WHERE set_name = 'prodsafe'")

    for options in (["--json"], ["--plan", "--json"]):
        done = run(database_url, *options)

        answer = json.loads(done.stdout)
        assert done.returncode == 4 and answer["ok"] is False
        assert answer["refusals"][0]["id"] == "M06"


@pytest.mark.parametrize("options", [["--wait", "soon"], ["--wait", "-1"], ["--force"]])
def test_wrong_usage_is_told_apart(options):
    assert run(None, *options).returncode == 2


def test_a_run_with_nothing_to_do_loads_nothing_heavy(database_url):
    arguments, environment = command(database_url)

    done = subprocess.run([arguments[0], "-X", "importtime", *arguments[1:]], env=environment, capture_output=True)

    modules = {line.rpartition("|")[2].strip() for line in done.stderr.decode().splitlines()}
    loaded = {name.partition(".")[0] for name in modules}
    assert done.returncode == 0 and "psycopg" in loaded
    assert not loaded & {"pydantic", "pydantic_settings", "click", "ccxt", "aiohttp", "dotenv", "argparse"}
    working = {f"prodsafe.migrations.{name}" for name in ("apply", "checks", "statements", "directives", "batches")}
    assert not modules & working, "files that ran long ago are only compared by their checksums"


@pytest.mark.parametrize("name", ["PGHOSTADDR", "PGSERVICE", "PGOPTIONS"])
def test_what_libpq_would_read_beside_the_address_is_refused_as_by_the_worker(empty_database_url, name):
    arguments, environment = command(empty_database_url)

    done = subprocess.run(arguments, env={**environment, name: "elsewhere"}, capture_output=True, text=True)

    assert done.returncode == 1 and f"unset {name}" in done.stderr
    assert schema_of(empty_database_url) == []


def schema_of(url: str) -> list[tuple[str]]:
    with psycopg.connect(url) as conn:
        return conn.execute("SELECT nspname FROM pg_namespace WHERE nspname IN ('prodsafe', 'live')").fetchall()


def test_how_long_a_deploy_gives_a_backfill_is_an_option(empty_database_url, tmp_path):
    (tmp_path / "0001_expand_rows.sql").write_text(
        "CREATE TABLE filled AS SELECT n AS id, 0 AS seen FROM generate_series(1, 500) AS n;\n"
        "ALTER TABLE filled ADD PRIMARY KEY (id);"
    )
    (tmp_path / "0002_data_seen.sql").write_text(
        "-- prodsafe: batch filled by id size 100\nUPDATE filled SET seen = seen + 1 WHERE id BETWEEN :first AND :last;"
    )
    mine = ("--set", f"bot={tmp_path}")

    none = migrate_command(empty_database_url, tmp_path, "apply", *mine, "--backfill", "0")
    rest = migrate_command(empty_database_url, tmp_path, "apply", *mine, "--backfill", "60")

    assert none.returncode == 0 and "unfinished bot 0002_data_seen" in none.stdout
    assert rest.returncode == 0 and "applied bot 0002_data_seen" in rest.stdout


def migrate_command(url: str, cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`prodsafe migrate ...` as a person types it, in a folder that is not the repository's."""
    return subprocess.run(
        [sys.executable, "-m", "prodsafe", "migrate", *words],
        env={**os.environ, "DATABASE_URL": url}, cwd=cwd, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_installed_programs_sets_are_the_default_in_any_folder(database_url, tmp_path):
    done = migrate_command(database_url, tmp_path, "status", "--json")

    states = {(row["set"], row["state"]) for row in json.loads(done.stdout)["migrations"]}
    assert done.returncode == 0 and states == {("prodsafe", "applied"), ("live", "applied")}
    assert migrate_command(database_url, tmp_path, "apply").stdout.startswith("nothing to do: schema at prodsafe ")


def test_files_are_made_planned_applied_up_to_one_and_shown(empty_database_url, tmp_path):
    folder = tmp_path / "sql"

    def call(command: str, *words: str):
        return migrate_command(empty_database_url, tmp_path, command, "--set", f"app={folder}", *words)

    path = Path(call("new", "expand", "add_note").stdout.strip())
    assert path.name == "0001_expand_add_note.sql"
    assert call("apply").returncode == 4  # nothing stands in it yet
    path.write_text(path.read_text() + "CREATE TABLE note (id int);\n")
    assert call("apply", "--to", "1").returncode == 0
    (folder / "0002_expand_x.sql").write_text("ALTER TABLE note ADD COLUMN x int; CREATE TABLE y (id int);")
    (folder / "0003_contract_z.sql").write_text("DROP TABLE y")
    assert call("new", "expand", "Bad-Name").returncode == 2 and call("apply", "--to", "x=1").returncode == 2

    planned = call("plan").stdout
    assert "ACCESS EXCLUSIVE on note (" in planned and "blocks readers and writers" in planned
    assert planned.index("expand, safe beside") < planned.index("contract, nobody needs the old shape")
    locks = json.loads(call("plan", "--json").stdout)["locks"]
    assert {(lock["relation"], lock["mode"]) for lock in locks} == {
        ("note", "ACCESS EXCLUSIVE"),
        ("y", "ACCESS EXCLUSIVE"),
    }
    assert call("apply", "--to", "app=2").returncode == 0
    assert call("apply", "--to", "app=1").returncode == 4  # there is no way back
    states = [row["state"] for row in json.loads(call("status", "--json").stdout)["migrations"] if row["set"] == "app"]
    assert states == ["applied", "applied", "pending"]
    path.write_text("CREATE TABLE other (id int);\n")
    edited = call("status")
    assert edited.returncode == 4 and "edited     app 0001_expand_add_note" in edited.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["apply", "--set", "app=a", "--set", "app=b"], "app is given twice"),
        (["verify", "--set", "app=a", "--accept", " "], "say why"),
        (["baseline", "--set", "app=a", "--to", "1", "--reason", ""], "say why"),
        (["trace", "--set", "app=a", "--like", "NOT_SET_ANYWHERE"], "NOT_SET_ANYWHERE is not set"),
    ],
)
def test_a_set_given_twice_and_a_reason_left_blank_are_wrong_usage(tmp_path, words, told):
    """The second folder would silently take the place of the first; a blank reason vouches for nothing."""
    done = migrate_command("", tmp_path, *words)

    assert done.returncode == 2 and told in done.stderr


def test_the_list_of_commands_tells_each_whole(tmp_path):
    listed = migrate_command("", tmp_path, "--help").stdout

    assert "refused when its meaning did" in " ".join(listed.split())


def test_a_plan_names_who_is_in_the_way(empty_database_url, tmp_path):
    (tmp_path / "0001_expand_a.sql").write_text("CREATE TABLE a (id int)")
    command = ["--set", f"app={tmp_path}"]
    assert migrate_command(empty_database_url, tmp_path, "apply", *command).returncode == 0
    (tmp_path / "0002_expand_b.sql").write_text("ALTER TABLE a ADD COLUMN note text")
    with psycopg.connect(empty_database_url, application_name="a-long-report") as reader:
        reader.execute("SELECT * FROM a")

        shown = migrate_command(empty_database_url, tmp_path, "plan", *command).stdout

    assert "in the way now:" in shown and "a-long-report" in shown and "holds a AccessShareLock" in shown


def test_the_sql_of_a_plan_runs_in_psql_and_leaves_the_ledger_as_the_runner_does(
    make_database, postgres_binaries, tmp_path
):
    (tmp_path / "0001_expand_a.sql").write_text("-- it's a comment\nCREATE TABLE a (id int, note text DEFAULT 'it''s')")
    (tmp_path / "0002_expand_b.sql").write_text("SET a.b = 1; CREATE INDEX CONCURRENTLY a_id ON a (id); VACUUM a;")
    by_hand, by_runner = make_database(), make_database()
    command = ["--set", f"app={tmp_path}"]
    script = migrate_command("", tmp_path, "plan", "--sql", "--from", "app=0", *command)
    psql = find_binaries(postgres_binaries)[0] / "psql"

    done = subprocess.run([psql, "-X", "-q", by_hand], input=script.stdout, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    migrate_command(by_runner, tmp_path, "apply", *command)
    ledger = "SELECT version, name, checksum, raw_checksum, content, state, steps_done FROM prodsafe.migration WHERE"
    assert query(by_hand, f"{ledger} set_name = 'app'") == query(by_runner, f"{ledger} set_name = 'app'")


def test_a_signal_ends_every_migrate_command_with_a_refusal(empty_database_url, tmp_path):
    (tmp_path / "0001_expand_a.sql").write_text("SELECT pg_sleep(30)")
    with subprocess.Popen(
        [sys.executable, "-m", "prodsafe", "migrate", "apply", "--set", f"app={tmp_path}"],
        env={**os.environ, "DATABASE_URL": empty_database_url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not query(empty_database_url, "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)

    assert process.returncode == 4 and "refused M13" in said


def test_the_direct_address_is_read_for_statements_outside_transactions_and_must_be_one(empty_database_url):
    arguments, environment = command(empty_database_url)

    done = subprocess.run(
        arguments, env={**environment, "LOCK_DATABASE_URL": "mysql://x"}, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1 and "LOCK_DATABASE_URL" in done.stderr

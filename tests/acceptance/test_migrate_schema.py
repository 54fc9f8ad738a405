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
from click.testing import CliRunner

from prodsafe.migrations.cli import migrate as migrate_group
from prodsafe.migrations.runner import LOCK_KEY

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
        ("UPDATE prodsafe.migration SET version = 9999 WHERE set_name = 'live'", "M04 schema-ahead"),
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

    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.decode().splitlines()}
    assert done.returncode == 0 and "psycopg" in loaded
    assert not loaded & {"pydantic", "pydantic_settings", "click", "ccxt", "aiohttp", "dotenv"}


def test_the_migrate_commands_make_apply_and_verify_a_file(empty_database_url, tmp_path):
    folder, environment = f"app={tmp_path / 'sql'}", {"DATABASE_URL": empty_database_url}

    def prodsafe_migrate(*arguments: str):
        return CliRunner().invoke(migrate_group, [arguments[0], "--set", folder, *arguments[1:]], env=environment)

    made = prodsafe_migrate("new", "expand", "add_note")
    path = Path(made.output.strip())
    assert made.exit_code == 0 and path.name == "0001_expand_add_note.sql"
    assert prodsafe_migrate("apply").exit_code == 4  # nothing stands in it yet
    path.write_text(path.read_text() + "CREATE TABLE note (id int);\n")

    assert "  app 0001_expand_add_note" in prodsafe_migrate("plan").output
    assert prodsafe_migrate("apply").exit_code == 0
    states = json.loads(prodsafe_migrate("status", "--json").output)["migrations"]
    assert [row["state"] for row in states if row["set"] == "app"] == ["applied"]
    assert prodsafe_migrate("verify").exit_code == 0
    path.write_text("CREATE TABLE other (id int);\n")
    assert prodsafe_migrate("verify").exit_code == 4
    assert "edited   app 0001_expand_add_note" in prodsafe_migrate("status").output
    assert prodsafe_migrate("new", "expand", "Bad-Name").exit_code == 2

"""`prodsafe check` and `prodsafe env` as real processes whose environment holds nothing but what a test gives."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

GOOD = {
    "ENVIRONMENT": "prod",
    "DRY_RUN": "0",
    "USE_STATE_MACHINE_V2": "true",
    "CONFIRM_LIVE": "YES",
    "DATABASE_URL": "postgresql://worker:rather-secret@127.0.0.1:5432/trading",
    "EXCHANGE_ACCOUNT": "main",
    "EXCHANGE_API_KEY": "kEy7wJq2Zp0LxV9tB4",
    "EXCHANGE_API_SECRET": "sEc8rMnT1yUaHd3QfG6kXo5=",
    "ALERT_WEBHOOK_URL": "https://hooks.example/T0/B0/zzz",
}
SECRETS = ["rather-secret", GOOD["EXCHANGE_API_KEY"], GOOD["EXCHANGE_API_SECRET"], GOOD["ALERT_WEBHOOK_URL"]]
Done = subprocess.CompletedProcess[str]


def prodsafe(
    folder: Path, *arguments: str, environ: dict[str, str], python: tuple[str, ...] = ("-m", "prodsafe")
) -> Done:
    command = [sys.executable, *python, *arguments]
    return subprocess.run(
        command,
        cwd=folder,
        env={"PATH": os.environ["PATH"], **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def refused(done: Done) -> list[str]:
    return [line.split()[1] for line in done.stderr.splitlines() if line.startswith("refused ")]


def test_an_empty_environment_is_refused_by_every_gate_at_once(tmp_path: Path) -> None:
    done = prodsafe(tmp_path, "check", environ={})

    assert done.returncode == 1
    assert refused(done)[:8] == ["G01", "G02", "G03", "G04", "G06", "G07", "G08", "G08"]
    assert "warning G20" in done.stderr
    assert re.search(r"(?m)^G05 +no-exchange-tests +pass$", done.stdout)


@pytest.mark.parametrize("which", [["--base"], ["--live"], []])
def test_a_good_environment_passes(tmp_path: Path, which: list[str]) -> None:
    done = prodsafe(tmp_path, "check", *which, environ=GOOD)

    assert (done.returncode, done.stderr) == (0, "")


def test_all_but_the_confirmation_is_refused_for_that_one_gate(tmp_path: Path) -> None:
    done = prodsafe(tmp_path, "check", environ={**GOOD, "CONFIRM_LIVE": ""})

    assert (done.returncode, refused(done)) == (1, ["G04"])


def test_a_dotenv_file_that_holds_everything_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("".join(f"{name}={raw}\n" for name, raw in GOOD.items()))
    done = prodsafe(tmp_path, "check", environ={})

    assert done.returncode == 1
    assert {"G01", "G02", "G03", "G04", "G06", "G07", "G08"} <= set(refused(done))


def test_a_dotenv_file_that_was_exported_is_refused_by_the_names_it_shares(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"EXCHANGE_API_SECRET={GOOD['EXCHANGE_API_SECRET']}\nEXCHANGE_ACCOUNT=other\n")
    done = prodsafe(tmp_path, "check", environ=GOOD)

    assert refused(done) == ["G11"]
    assert "EXCHANGE_API_SECRET" in done.stderr and "EXCHANGE_ACCOUNT" not in done.stderr


def test_a_test_double_is_seen_although_a_path_contains_test(tmp_path: Path) -> None:
    """W42: the old detector switched itself off for such a path."""
    folder = tmp_path / "tests"
    folder.mkdir()
    code = (
        f"import sys, runpy, unittest.mock; sys.path.insert(0, {str(folder)!r}); sys.argv = ['prodsafe', 'check'];"
        "runpy.run_module('prodsafe', run_name='__main__')"
    )
    done = prodsafe(folder, environ=GOOD, python=("-c", code))

    assert (done.returncode, refused(done)) == (1, ["G12"])


MALFORMED_SECRETS = {
    "DATABASE_URL": "postgresql://worker:rather-secret@h:port/d",
    "LOCK_DATABASE_URL": "rather-secret",
    "EXCHANGE_API_SECRET": "'sEc8rMnT1yUaHd3QfG6kXo5'",
    "EXCHANGE_API_KEY": "your_api_key",
    "ALERT_WEBHOOK_URL": "hooks.example/T0/B0/zzz",
}


@pytest.mark.parametrize("command", [["check"], ["check", "--json"], ["env"], ["env", "--json"]])
@pytest.mark.parametrize("changed", [{}, MALFORMED_SECRETS], ids=["good", "malformed"])
def test_no_secret_is_ever_printed(tmp_path: Path, command: list[str], changed: dict[str, str]) -> None:
    done = prodsafe(tmp_path, *command, environ={**GOOD, **changed})

    hidden = [*SECRETS, *changed.values(), "rather-secret", "T0/B0/zzz"]
    assert not [secret for secret in hidden if secret in done.stdout + done.stderr]


def test_json_holds_every_gate(tmp_path: Path) -> None:
    done = prodsafe(tmp_path, "check", "--json", environ={**GOOD, "DRY_RUN": "ture"})

    data = json.loads(done.stdout)
    assert (done.returncode, data["ok"]) == (1, False)
    (gate,) = [gate for gate in data["gates"] if not gate["passed"]]
    assert gate["refusals"][0]["seen"] == "DRY_RUN='ture'"
    assert len(data["gates"]) >= 17


def test_env_says_where_each_value_comes_from(tmp_path: Path) -> None:
    done = prodsafe(
        tmp_path, "env", "--json", environ={**GOOD, "PORT": "x\x1b[2J", "EXCHANGE_ID": "", "LIVE_SYMBOLS": "A"}
    )

    rows = {row["name"]: row for row in json.loads(done.stdout)["variables"]}
    assert rows["ENVIRONMENT"]["source"] == rows["LIVE_SYMBOLS"]["source"] == "environment"
    assert rows["PORT"] == {**rows["PORT"], "value": "'x\\x1b[2J'", "source": "refused"}
    assert rows["EXCHANGE_ID"] == {**rows["EXCHANGE_ID"], "value": "krakenfutures", "source": "default"}
    assert rows["EXCHANGE_API_PASSWORD"]["source"] == "not set"
    assert rows["DATABASE_URL"]["value"] == "postgresql://worker:***@127.0.0.1:5432/trading"


def test_env_is_aligned_and_never_fails(tmp_path: Path) -> None:
    done = prodsafe(tmp_path, "env", environ={"PORT": "x", "DATABASE_URL": "\udcff"})

    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert len({len(line) - len(line.lstrip()) for line in lines}) == 1
    assert next(line for line in lines if line.startswith("PORT")).split()[1:3] == ["x", "refused"]


def test_a_person_at_a_terminal_is_told_that_the_account_will_be_asked_for(tmp_path: Path) -> None:
    parent, child = pty.openpty()
    command = [sys.executable, "-m", "prodsafe", "check"]
    environ = {"PATH": os.environ["PATH"], **GOOD}
    done = subprocess.run(
        command, cwd=tmp_path, env=environ, stdin=child, capture_output=True, text=True, timeout=30, check=False
    )
    os.close(parent)
    os.close(child)

    assert done.returncode == 0
    assert "warning G22 account-not-typed" in done.stderr


def test_installed_programs_contribute_their_gates(tmp_path: Path) -> None:
    (tmp_path / "bot-1.0.dist-info").mkdir()
    (tmp_path / "bot-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: bot\nVersion: 1.0\n")
    (tmp_path / "bot-1.0.dist-info" / "entry_points.txt").write_text("[prodsafe.gates]\nbot = bot:GATES\n")
    (tmp_path / "bot.py").write_text(
        "from prodsafe.errors import RefusalKind\nfrom prodsafe.gates import GATES as BASE, Gate\n"
        "KIND = RefusalKind('G90', 'bot-is-fed')\n"
        "OWN = Gate(KIND, lambda env, surroundings: [KIND.because('hungry', mend='feed it')])\nGATES = (*BASE, OWN)\n"
    )
    environ = {**GOOD, "PYTHONPATH": str(tmp_path)}

    done = prodsafe(tmp_path, "check", environ=environ)
    assert refused(done) == ["G90"]
    assert done.stdout.count("G04 ") == 1
    assert refused(prodsafe(tmp_path, "check", "--base", environ=environ)) == []


@pytest.mark.parametrize("arguments", [["check"], ["env"], ["--help"]])
def test_nothing_heavy_is_imported(tmp_path: Path, arguments: list[str]) -> None:
    done = prodsafe(tmp_path, *arguments, environ={}, python=("-X", "importtime", "-m", "prodsafe"))

    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "click" in imported
    assert not imported & {"psycopg", "ccxt", "aiohttp", "postgast", "streamlit"}


@pytest.mark.parametrize("arguments", [["bogus"], ["check", "--bogus"], ["env", "surplus"]])
def test_wrong_usage_is_exit_code_two(tmp_path: Path, arguments: list[str]) -> None:
    done = prodsafe(tmp_path, *arguments, environ={})

    assert done.returncode == 2
    assert "Usage:" in done.stderr and "Traceback" not in done.stderr


def test_help_teaches(tmp_path: Path) -> None:
    top = prodsafe(tmp_path, "--help", environ={}).stdout
    check = prodsafe(tmp_path, "check", "--help", environ={}).stdout

    assert all(word in top for word in ("check", "env", "lock", "migrate", "run", "Exit codes"))
    assert all(name in check for name in GOOD)


def test_a_reader_that_stops_early_causes_no_trace(tmp_path: Path) -> None:
    command = f"{sys.executable} -m prodsafe env | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env={"PATH": os.environ["PATH"]}, capture_output=True, check=False
    )

    assert done.returncode == 0
    assert done.stderr == b""


WORKER = ("-m", "live.prod_live")


def test_the_worker_is_refused_by_every_gate_at_once(tmp_path: Path) -> None:
    done = prodsafe(tmp_path, environ={}, python=WORKER)

    assert done.returncode == 1
    assert refused(done) == ["G01", "G02", "G03", "G04", "G06", "G07", "G08", "G08"]


@pytest.mark.parametrize("flags", [[], ["--force"], ["--check"], ["--force", "--check"]])
def test_the_worker_needs_the_confirmation_also_with_force(tmp_path: Path, flags: list[str]) -> None:
    done = prodsafe(tmp_path, *flags, environ={**GOOD, "CONFIRM_LIVE": ""}, python=WORKER)

    assert (done.returncode, refused(done)) == (1, ["G04"])


@pytest.mark.parametrize("environment", ["prod", "dev"])
def test_the_worker_never_reads_a_dotenv_file(tmp_path: Path, environment: str) -> None:
    (tmp_path / ".env").write_text("".join(f"{name}={raw}\n" for name, raw in GOOD.items()))
    done = prodsafe(tmp_path, "--force", environ={"ENVIRONMENT": environment}, python=WORKER)

    assert done.returncode == 1
    assert {"G02", "G03", "G04", "G06", "G07", "G08"} <= set(refused(done))


@pytest.mark.parametrize("name", ["RISK_PER_TRAED_PCT", "LIVE_NO_SUCH_SETTING"])
def test_the_worker_refuses_a_misspelt_limit(tmp_path: Path, name: str) -> None:
    assert refused(prodsafe(tmp_path, environ={**GOOD, name: "1"}, python=WORKER)) == ["G14"]


def test_a_refused_worker_has_imported_nothing_heavy(tmp_path: Path) -> None:
    done = prodsafe(tmp_path, environ={}, python=("-X", "importtime", *WORKER))

    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "live.gates" in imported
    assert not imported & {"psycopg", "ccxt", "aiohttp", "structlog"}


def test_a_person_who_types_another_account_is_refused(tmp_path: Path) -> None:
    parent, child = pty.openpty()
    os.write(parent, b"other\n")
    environ = {"PATH": os.environ["PATH"], **GOOD}
    command = [sys.executable, *WORKER]
    done = subprocess.run(
        command, cwd=tmp_path, env=environ, stdin=child, capture_output=True, text=True, timeout=30, check=False
    )
    os.close(parent)
    os.close(child)

    assert (done.returncode, refused(done)) == (1, ["G22"])
    assert "main" in done.stdout and "typed 'other'" in done.stderr

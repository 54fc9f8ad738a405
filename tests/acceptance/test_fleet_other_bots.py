"""docs/other-bots.md, typed: its blocks in their order, with stand-ins where it names a bot."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from prodsafe.lease_model import LeaseTiming
from prodsafe.run import ASK_AT, KILL_AT
from tests.processes import PROJECT, base_environment

PAGE = (PROJECT / "docs" / "other-bots.md").read_text()
# Loops, takes SIGTERM as Ctrl-C and needs a moment to stop: freqtrade without a market.
BOT = """\
import os, signal, sys, time

def stop(*_):
    raise KeyboardInterrupt

signal.signal(signal.SIGTERM, stop)
try:
    print("bot: started", *sys.argv[1:], flush=True)
    while True:
        time.sleep(0.05)
except KeyboardInterrupt:
    time.sleep(0.5)
    print("bot: stopped", flush=True)
"""
RUN_SQL = (
    "import os, psycopg, sys; psycopg.connect(os.environ['DATABASE_URL'], autocommit=True).execute(sys.stdin.read())"
)
# What the page says of a token whose lease has gone: the same three values a moment later.
STALE = """
python - <<'PYTHON'
import json, os, subprocess, sys
asked = subprocess.run(["prodsafe", "lock", "status", "--json", "--match", "binance"], capture_output=True)
row = json.loads(asked.stdout)["leases"][0]
token = {f"PRODSAFE_{name}": str(row[name.lower()]) for name in ("SCOPE", "EPOCH", "HOLDER")}
done = subprocess.run([sys.executable, "decide.py"], env={**os.environ, **token}, capture_output=True, text=True)
print("stale:", json.dumps({"state": row["state"], "code": done.returncode, "error": done.stderr}))
PYTHON
"""


def blocks() -> list[tuple[str, str]]:
    """Each fenced block of the page: its language, its text."""
    return re.findall(r"(?ms)^```(\w+)\n(.*?)^```$", PAGE)


def as_script() -> str:
    """A shell types the page: SQL goes to the server, the program is saved under the name that the page gives it."""
    typed = {
        "sh": "{}",
        "sql": f"python -c \"{RUN_SQL}\" <<'SQL'\n{{}}SQL\n",
        "python": "cat > decide.py <<'PYTHON'\n{}PYTHON\n",
    }
    return "".join(typed[language].replace("{}", text) for language, text in blocks() if language in typed)


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory, postgres_binaries: Path | None) -> str:
    """What the shell printed."""
    folder = tmp_path_factory.mktemp("bot")
    programs = folder / "programs"
    programs.mkdir()
    (programs / "freqtrade").write_text(f"#!{sys.executable}\n{BOT}")
    (programs / "freqtrade").chmod(0o755)
    for name in ("report", "consume"):
        (folder / f"{name}.py").write_text(f"print('{name}: done')\n")
    path = os.pathsep.join([str(Path(sys.executable).parent), str(programs), os.environ["PATH"]])
    binaries = {"PRODSAFE_PG_BIN": str(postgres_binaries)} if postgres_binaries else {}
    script = f"set -euo pipefail\ntrap 'kill %1; wait %1' EXIT\n{as_script()}{STALE}"
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env={**base_environment(), **binaries, "PATH": path}, timeout=90,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_bot_runs_unchanged_and_takes_its_time_to_stop(typed: str) -> None:
    assert typed.count("bot: started trade --config config.json") == 1, "the second one has started nothing"
    assert typed.index("bot: started") < typed.index("refused L01 lease-held") < typed.index("bot: stopped")
    assert re.search(r"EPOCH +FROM.*\n\d+ .* released\n", typed), "it stopped cleanly, so the next one need not wait"


def test_the_other_programs_of_the_page_run_to_their_end(typed: str) -> None:
    assert "report: done" in typed and "consume: done" in typed


def test_a_row_with_a_token_whose_lease_has_gone_is_refused(typed: str) -> None:
    (told,) = re.findall(r"^stale: (.*)$", typed, re.MULTILINE)
    stale = json.loads(told)

    assert (stale["state"], stale["code"]) == ("released", 1)
    assert "fenced: epoch" in stale["error"]


def test_the_supervisors_start_the_same_command(typed: str) -> None:
    (shown,) = re.findall(r"(?m)^(prodsafe run .*) &$", PAGE)
    found = dict(blocks())

    (unit,) = re.findall(r"(?m)^ExecStart=(.*)$", found["ini"])
    assert unit.replace("/srv/bot/.venv/bin/", "") == shown
    assert yaml.safe_load(found["yaml"])["command"] == shown


def test_the_table_of_lengths_is_what_the_guard_does() -> None:
    rows = re.findall(r"(?m)^\| (\d+)[^|]*\| ([\d.]+) s \| (\d+) s \| (\d+) s \|$", PAGE)

    assert len(rows) == 3
    for length, asked, grace, idle in rows:
        timing = LeaseTiming(length_seconds=float(length), beat_seconds=float(length) / 4)
        assert float(asked) == pytest.approx((KILL_AT - ASK_AT) * timing.length_seconds)
        assert float(grace) == timing.grace_seconds
        assert float(idle) == timing.idle_session_seconds

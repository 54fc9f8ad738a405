"""No dotenv file reaches a production process; developers' files may set anything but production.

A suppression has no end, so everything that suppresses runs in a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from prodsafe.dotenv_guard import DotenvFile, find_dotenv_files, is_dotenv_name, load_developer_dotenv
from prodsafe.errors import GateRefused

THIRD_PARTY = """
import dotenv
from dotenv import dotenv_values, find_dotenv, load_dotenv
from dotenv.main import DotEnv, get_key

def everything(folder):
    import io, os
    path = os.path.join(folder, ".env")
    return {
        "load": load_dotenv(), "load_path": load_dotenv(path, override=True),
        "load_attribute": dotenv.load_dotenv(path),
        "load_stream": load_dotenv(stream=io.StringIO("A=1")),
        "values": dict(dotenv_values()), "values_path": dict(dotenv_values(path)),
        "values_stream": dict(dotenv_values(stream=io.StringIO("A=1"))),
        "find": find_dotenv(), "find_cwd": find_dotenv(usecwd=True), "get_key": get_key(path, "LEAKED"),
        "object": dict(DotEnv(path).dict()), "parse": list(DotEnv(path).parse()),
        "set": DotEnv(path).set_as_environment_variables(), "environ": os.environ.get("LEAKED"),
    }
"""
SETTINGS = """
from pydantic_settings import BaseSettings, SettingsConfigDict

class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_file=(".env", ".env.local"), extra="allow")
    leaked: str = "nothing"
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A folder with a dotenv file and third-party code that wants to load it."""
    (tmp_path / ".env").write_text("LEAKED=yes\n")
    (tmp_path / ".env.local").write_text("LEAKED=local\n")
    (tmp_path / "third_party.py").write_text(THIRD_PARTY)
    (tmp_path / "their_settings.py").write_text(SETTINGS)
    return tmp_path


def run(program: Path, code: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", f"import os, sys\nsys.path.insert(0, {str(program)!r})\n{code}"]
    return subprocess.run(command, cwd=program, env=environ, capture_output=True, text=True, timeout=30, check=False)


SUPPRESS = "from prodsafe.dotenv_guard import suppress_in_production; suppress_in_production(os.environ)\n"
LOOK = f"import third_party; print([n for n, v in third_party.everything({'.'!r}).items() if v])"


@pytest.mark.parametrize("environment", ["prod", "production", "PROD ", "", None])
def test_nothing_is_loaded_by_code_imported_later(program: Path, environment: str | None) -> None:
    """I60: load_dotenv overwrote production secrets. Unset and look-alike environments are production."""
    done = run(program, SUPPRESS + LOOK, **({} if environment is None else {"ENVIRONMENT": environment}))

    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_nothing_is_loaded_through_names_bound_before(program: Path) -> None:
    done = run(program, "import third_party\n" + SUPPRESS + LOOK, ENVIRONMENT="prod")

    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_the_same_code_loads_everything_elsewhere(program: Path) -> None:
    """The two tests above can fail: without the guard each of these doors is open."""
    done = run(program, SUPPRESS + LOOK, ENVIRONMENT="dev")

    assert done.stdout.count("'") == 2 * 14, (done.stdout, done.stderr)


@pytest.mark.parametrize("first", ["import their_settings\n" + SUPPRESS, SUPPRESS + "import their_settings\n"])
@pytest.mark.parametrize(("environment", "expected"), [("prod", "nothing"), ("dev", "local")])
def test_pydantic_settings_files_are_suppressed_in_production_only(
    program: Path, first: str, environment: str, expected: str
) -> None:
    done = run(program, first + "print(their_settings.Settings().leaked)", ENVIRONMENT=environment)

    assert (done.returncode, done.stdout.strip()) == (0, expected), done.stderr


def test_pydantic_settings_files_given_at_call_time_are_suppressed(program: Path) -> None:
    done = run(program, SUPPRESS + "import their_settings; print(their_settings.Settings(_env_file='.env').leaked)")

    assert done.stdout.strip() == "nothing"


def test_it_is_said_once(program: Path) -> None:
    done = run(program, SUPPRESS + LOOK + "\nimport their_settings; their_settings.Settings()", ENVIRONMENT="prod")

    assert done.stderr.count("not loaded") == 1
    assert "ENVIRONMENT counts as production" in done.stderr


@pytest.mark.parametrize(
    "read",
    [
        "open('.env').read()",
        "open(b'.env.local').read()",
        "__import__('pathlib').Path('.env').read_text()",
        "os.read(os.open('.env', os.O_RDONLY), 9)",
        f"open(os.path.join({'.'!r}, 'sub', '..', '.env')).read()",
    ],
)
def test_loaders_of_any_other_make_find_no_file(program: Path, read: str) -> None:
    (program / "sub").mkdir()
    code = f"try: print({read})\nexcept FileNotFoundError as error: print(type(error).__name__)"

    assert run(program, SUPPRESS + code, ENVIRONMENT="prod").stdout.strip() == "FileNotFoundError"
    assert "LEAKED" in run(program, SUPPRESS + code, ENVIRONMENT="dev").stdout


def test_other_files_open_as_ever(program: Path) -> None:
    (program / ".env.example").write_text("A=")
    done = run(program, SUPPRESS + "print(len(open('third_party.py').read()) > 9, open('.env.example').read())")

    assert done.stdout.strip() == "True A="


def test_child_processes_inherit_python_dotenvs_own_switch(program: Path) -> None:
    child = "from dotenv import load_dotenv; print(load_dotenv())"
    code = f"import subprocess; subprocess.run([sys.executable, '-c', {child!r}])"

    assert run(program, SUPPRESS + code, ENVIRONMENT="prod").stdout.strip() == "False"


def test_suppressing_twice_and_without_any_dotenv_costs_no_import(program: Path) -> None:
    code = "print(sorted(n for n in sys.modules if n.startswith(('dotenv', 'pydantic'))), len(sys.meta_path))"
    plain = run(program, "import prodsafe.dotenv_guard\n" + code)
    done = run(program, SUPPRESS * 2 + code)

    before, after = (int(text.rpartition(", ")[2].split()[-1].rstrip(")")) for text in (plain.stdout, done.stdout))
    assert done.stdout.startswith("[] ")
    assert after == before + 1


def test_an_unknown_kind_of_dotenv_is_refused_rather_than_trusted(program: Path) -> None:
    (program / "dotenv").mkdir()
    (program / "dotenv" / "__init__.py").write_text("from dotenv.main import load_dotenv\n")
    (program / "dotenv" / "main.py").write_text("def load_dotenv(): return True\n")
    done = run(program, SUPPRESS + "import dotenv", ENVIRONMENT="prod")

    assert done.returncode != 0
    assert "D04" in done.stderr


@pytest.mark.parametrize("name", [".env", ".env.local", ".env.production", "prod.env", ".envrc", ".ENV"])
def test_dotenv_files_are_known_by_name(name: str) -> None:
    assert is_dotenv_name(name)


@pytest.mark.parametrize(
    "name", [".env.example", "sample.env", ".env.template", "env", "environment", ".environ", "x.envy", ""]
)
def test_templates_and_other_files_are_not(name: str) -> None:
    assert not is_dotenv_name(name)


def test_finding_reports_names_and_never_values(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("export A='one'\nB=two\nC=\nD\n# E=five\nF=${B}x\nnot a line\n")
    (tmp_path / "virtualenv.env").mkdir()

    (found,) = find_dotenv_files(tmp_path, {"A": "one ", "B": "other", "C": "", "F": "twox"})

    assert found == DotenvFile(str(tmp_path / ".env"), ("A", "F"))
    assert "twox" not in repr(found)


@pytest.mark.parametrize("content", [b"A=\xff\xfe\n", b"A=1\nA\n\r\r\n==\n", b"\x00", b"'" * 5000, b"${A" * 99])
def test_garbage_in_a_dotenv_file_raises_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".env").write_bytes(content)

    (found,) = find_dotenv_files(tmp_path, {"A": "x"})

    assert found.equal_names == ()


def test_oversized_and_missing_places_are_problems_or_nothing(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"#" * (1 << 20) + b"#\n")

    assert find_dotenv_files(tmp_path, {})[0].problem == "it is larger than 1 MiB"
    assert find_dotenv_files(tmp_path / "missing", {}) == []


def test_developers_load_the_file_then_the_local_one_and_the_environment_wins(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=1\nB=1\nC=1\nD=${A}/${HOME}\n")
    (tmp_path / ".env.local").write_text("B=2\n")
    environ = {"ENVIRONMENT": "dev", "C": "mine", "HOME": "/home/x"}

    assert load_developer_dotenv(tmp_path, environ) == ["A", "B", "D"]
    assert environ == {"ENVIRONMENT": "dev", "HOME": "/home/x", "A": "1", "B": "2", "C": "mine", "D": "1//home/x"}


@pytest.mark.parametrize("word", [None, "", "prod", "Production", "DEV"])
def test_developers_files_are_not_loaded_where_the_environment_counts_as_production(
    tmp_path: Path, word: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".env").write_text("ENVIRONMENT=dev\nA=1\n")
    environ = {} if word is None else {"ENVIRONMENT": word}

    assert load_developer_dotenv(tmp_path, environ) == []
    assert "A" not in environ
    assert "not loaded" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line",
    [
        "ENVIRONMENT=prod",
        "ENVIRONMENT=Production",
        "ENVIRONMENT='prod '",
        "ENVIRONMENT=",
        "export ENVIRONMENT=prod",
        "ENVIRONMENT=prod\nENVIRONMENT=dev",
        "P=prod\nENVIRONMENT=${P}",
        "DRY_RUN=0",
        "DRY_RUN=false",
        "DRY_RUN=ture",
        "DRY_RUN=",
        "CONFIRM_LIVE=YES",
        "CONFIRM_LIVE=no",
    ],
)
@pytest.mark.parametrize("name", [".env", ".env.local"])
def test_a_dotenv_file_that_declares_production_is_refused_whole(tmp_path: Path, name: str, line: str) -> None:
    (tmp_path / name).write_text(f"A=1\n{line}\n")
    environ = {"ENVIRONMENT": "dev"}

    with pytest.raises(GateRefused) as refused:
        load_developer_dotenv(tmp_path, environ)

    assert {refusal.id for refusal in refused.value.refusals} == {"D02"}
    assert environ == {"ENVIRONMENT": "dev"}


def test_a_gentle_dotenv_file_is_loaded(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ENVIRONMENT=test\nDRY_RUN=1\n")

    assert load_developer_dotenv(tmp_path, {"ENVIRONMENT": "dev"}) == ["DRY_RUN"]


def test_every_bad_file_is_reported_at_once(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=1\nthis is no line\n")
    (tmp_path / ".env.local").write_text("CONFIRM_LIVE=YES\nDRY_RUN=0\n")

    with pytest.raises(GateRefused) as refused:
        load_developer_dotenv(tmp_path, {"ENVIRONMENT": "dev"})

    assert [refusal.id for refusal in refused.value.refusals] == ["D03", "D02", "D02"]
    assert "line 2" in refused.value.refusals[0].cause

"""deploy/Dockerfile's steps in a clean folder, then what runs in it: refused bare, and the worker line for real.

The packages come from the registry that pip is configured for, by their hashes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.deploys import of_compose, of_kubernetes, read
from tests.dockerfile import Stage, build
from tests.processes import PROJECT, Venue, answer, until, worker_environment

HELD_BACK = {".git", ".venv", ".venv-bench", ".mypy_cache", ".ruff_cache", ".hypothesis", ".demo", "build", "dist"}
MARK = "a-secret-that-lies-beside-the-checkout"
READ_ONLY = '''\
"""A root file system that is read-only, as Python code meets it: whatever would write is told so."""
import errno, os, sys
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "shutil.copyfile"}
def refuse(event, args):
    writes = event == "open" and isinstance(args[2], int) and args[2] & WRITES and not str(args[0]).startswith("/dev/")
    if writes or event in CHANGES:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(args[0]))
sys.addaudithook(refuse)
'''


def machine() -> dict[str, str]:
    """What the build may know of the machine: how pip finds its packages."""
    lent = ("PIP_", "SSL_", "REQUESTS_", "XDG_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
    return {name: value for name, value in os.environ.items() if name.upper().startswith(lent) or name == "HOME"}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """The checkout, with a .env and other people's secrets in it, through every step of the file."""
    context, folder = tmp_path_factory.mktemp("context"), tmp_path_factory.mktemp("image")
    for path in PROJECT.iterdir():
        if path.name not in HELD_BACK and not path.name.endswith(".egg-info"):
            (shutil.copytree if path.is_dir() else shutil.copy2)(path, context / path.name)  # type: ignore[operator]
    for place in (".env", ".env.local", "live/.env", "deploy/secrets.env", "id_rsa", "prodsafe/key.env"):
        (context / place).write_text(f"EXCHANGE_API_SECRET={MARK}\n")
    try:
        return build(context / "deploy" / "Dockerfile", context, folder, machine())
    except subprocess.CalledProcessError as failed:
        pytest.fail(f"{failed.cmd}\n{failed.stdout}\n{failed.stderr}")


class Container:
    """The image's command, in its folder, with its environment and nothing of this machine's."""

    def __init__(self, image: Stage, given: Mapping[str, str], folder: Path, words: list[str] | None = None) -> None:
        self.log = folder / "container.log"
        site = folder / "site"
        site.mkdir(exist_ok=True)
        (site / "sitecustomize.py").write_text(READ_ONLY)
        env = {**image.environment({}), "HOME": "/nonexistent", "PYTHONPATH": str(site), **given}
        with self.log.open("w") as log:
            self.popen = subprocess.Popen(
                [image.here(word) for word in words or image.command],
                env=env, cwd=image.here(image.folder), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def text(self) -> str:
        return self.log.read_text()

    def wait(self, seconds: float = 60) -> int:
        return self.popen.wait(seconds)

    def peak_mib(self) -> float:
        """Of the worker, the shell's only child."""
        (child,) = Path(f"/proc/{self.popen.pid}/task/{self.popen.pid}/children").read_text().split()
        (line,) = [x for x in Path(f"/proc/{child}/status").read_text().splitlines() if x.startswith("VmHWM")]
        return int(line.split()[1]) / 1024


@pytest.fixture
def ended() -> Iterator[list[Container]]:
    containers: list[Container] = []
    yield containers
    for each in containers:
        if each.popen.poll() is None:
            each.popen.terminate()
            each.popen.wait(40)


def files(image: Stage) -> set[tuple[str, int, int]]:
    found = [path for path in image.root.rglob("*") if path.is_file() and not path.is_symlink()]
    return {(str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in found}


def test_no_secret_and_nothing_but_the_program_reaches_the_image(image: Stage) -> None:
    layers = [path for stage in image.root.parent.iterdir() for path in (stage / "src", stage / "app")]
    sent = [path for layer in layers for path in layer.rglob("*") if path.is_file()]

    assert {path.name for path in Path(image.here("/app")).iterdir()} == {"migrate_schema.py", "worker.sh"}
    assert any(path.name == "worker.py" for path in sent), "the program is there"
    assert not [path for path in sent if MARK in path.read_text(errors="replace")]
    assert not [path for path in sent if path.name.startswith((".env", ".git")) or "tests" in path.parts]


def test_a_bare_image_is_refused_and_the_blocks_of_the_files_are_not(image: Stage, tmp_path: Path) -> None:
    check = ["python", "-m", "live.prod_live", "--check"]
    bare = Container(image, {}, tmp_path, ["python", "-m", "live.prod_live"])
    assert bare.wait() == 1
    assert {"G01", "G02", "G03", "G04", "G06", "G07", "G08"} <= set(bare.text().split()), bare.text()

    for deploy in (of_compose(), of_kubernetes("worker-rollover.yaml")):
        passed = Container(image, deploy.complete, tmp_path, check)
        assert passed.wait() == 0, passed.text()
        assert "nothing was started" in passed.text()
        unconfirmed = Container(image, {**deploy.complete, "CONFIRM_LIVE": "no"}, tmp_path, check)
        assert unconfirmed.wait() == 1
        assert "refused G04" in unconfirmed.text()

    old_door = Container(image, of_compose().complete, tmp_path, ["python", "-m", "legacy.main_with_health"])
    assert old_door.wait() == 1
    assert "live.prod_live" in old_door.text(), "and says what to start instead"


def test_the_image_migrates_trades_and_drains_without_writing_anything(
    image: Stage, empty_database_url: str, venue: Venue, free_port: int, tmp_path: Path, ended: list[Container]
) -> None:
    before = files(image)
    own = {**of_compose().env, "PORT": str(free_port), "HEALTH_HOST": "127.0.0.1"}
    given = worker_environment(empty_database_url, venue.url, **own)
    env = {name: value for name, value in given.items() if name not in ("PATH", "HOME")}

    worker = Container(image, env, tmp_path)
    ended.append(worker)
    until(lambda: '"trading"' in worker.text(), worker, seconds=90)  # type: ignore[arg-type]
    until(lambda: answer(f"http://127.0.0.1:{free_port}/ready")[0] == 200, worker)  # type: ignore[arg-type]
    healthy = Container(image, {"PORT": str(free_port)}, tmp_path / "..", image.health)
    assert healthy.wait() == 0, healthy.text()
    peak_mib = worker.peak_mib()

    worker.popen.terminate()

    assert worker.wait() == 0, worker.text()
    assert '"released": true' in worker.text()
    assert "Read-only file system" not in worker.text()
    assert files(image) == before
    limit = read("kubernetes/worker.yaml")["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"]
    assert peak_mib * 2 < float(limit.removesuffix("Mi")), "the limit leaves as much again (I58)"
    dead = Container(image, {"PORT": str(free_port)}, tmp_path / "..", image.health)
    assert dead.wait() == 1, "nobody answers"

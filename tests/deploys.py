"""What the files of deploy/ say of the worker that they start: one value a file, whatever its format."""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from live.simulator import DEMO_API_KEY, DEMO_API_SECRET
from tests.processes import PROJECT

DEPLOY = PROJECT / "deploy"
UNIT = DEPLOY / "systemd" / "prodsafe-worker.service"
KUBERNETES = DEPLOY / "kubernetes"
LINE = "python migrate_schema.py && python -m live.prod_live"
SCRIPT = "/bin/sh /app/worker.sh"
NOT_OURS = ("PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")

SECRETS = {
    "DATABASE_URL": "postgresql://prodsafe:a-long-password@db.internal:5432/prodsafe",
    "EXCHANGE_API_KEY": DEMO_API_KEY,
    "EXCHANGE_API_SECRET": DEMO_API_SECRET,
    "ALERT_WEBHOOK_URL": "https://alerts.internal/hook",
}
"""What a person adds to each block; LOCK_DATABASE_URL is DATABASE_URL where it is not set."""


@dataclass(frozen=True, slots=True)
class Deploy:
    """A worker as one file starts it. secrets: the names the file takes from elsewhere. grace_seconds: from SIGTERM to
    SIGKILL. overlaps: whether the platform starts a successor while the old worker still runs."""

    name: str
    env: Mapping[str, str]
    command: str
    grace_seconds: float
    secrets: frozenset[str]
    overlaps: bool

    @property
    def complete(self) -> dict[str, str]:
        """The file's own block and a person's secrets, as the process would see it."""
        return {**{name: value for name, value in self.env.items() if name not in NOT_OURS}, **SECRETS}


def read(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text())


def manifests() -> dict[str, list[dict[str, Any]]]:
    """Kubernetes objects by file; kustomization.yaml is none."""
    paths = [path for path in sorted(KUBERNETES.glob("*.yaml")) if path.name != "kustomization.yaml"]
    return {path.name: list(yaml.safe_load_all(path.read_text())) for path in paths}


def unit() -> dict[str, list[str]]:
    """The unit's settings; one that stands several times has several values."""
    found: dict[str, list[str]] = defaultdict(list)
    for name, value in re.findall(r"(?m)^(\w+)=(.*)$", UNIT.read_text()):
        found[name].append(value)
    return found


def seconds(text: str) -> float:
    """`60s`, as compose writes it."""
    return float(text.removesuffix("s"))


def procfile() -> dict[str, str]:
    lines = (PROJECT / "Procfile").read_text().splitlines()
    return dict(line.split(": ", 1) for line in lines if line and not line.startswith("#"))


def heroku_settings() -> dict[str, str]:
    """What docs/deploy.md has a person set, since a Procfile holds no variable."""
    told = re.search(r"(?m)^ *heroku config:set ((?:.*\\\n)*.*)$", (PROJECT / "docs" / "deploy.md").read_text())
    assert told, "docs/deploy.md names what Heroku must be told"
    return dict(word.split("=", 1) for word in shlex.split(told[1].replace("\\\n", " ")))


def of_compose() -> Deploy:
    worker = read("compose.yaml")["services"]["worker"]
    return Deploy(
        "compose",
        worker["environment"],
        " ".join(worker["command"]),
        seconds(worker["stop_grace_period"]),
        frozenset(SECRETS),
        overlaps=False,
    )


def of_app_platform() -> Deploy:
    (worker,) = read("app.yaml")["workers"]
    return Deploy(
        "app-platform",
        {each["key"]: each["value"] for each in worker["envs"] if "value" in each},
        worker["run_command"],
        worker["termination"]["grace_period_seconds"],
        frozenset(each["key"] for each in worker["envs"] if each.get("type") == "SECRET"),
        overlaps=True,
    )


def of_kubernetes(file: str) -> Deploy:
    spec = read(f"kubernetes/{file}")["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    return Deploy(
        f"kubernetes-{file.removesuffix('.yaml')}",
        {each["name"]: each["value"] for each in container["env"] if "value" in each},
        " ".join(container["command"]),
        pod["terminationGracePeriodSeconds"],
        frozenset(each["name"] for each in container["env"] if "valueFrom" in each),
        overlaps=spec["strategy"]["type"] == "RollingUpdate",
    )


def of_systemd() -> Deploy:
    said = unit()
    pairs = [word for line in said["Environment"] for word in shlex.split(line)]
    _, _, line = shlex.split(said["ExecStart"][0])
    return Deploy(
        "systemd",
        dict(pair.split("=", 1) for pair in pairs),
        line,
        float(said["TimeoutStopSec"][0]),
        frozenset(SECRETS),
        overlaps=False,
    )


def of_heroku() -> Deploy:
    return Deploy("heroku", heroku_settings(), procfile()["worker"], 30.0, frozenset(SECRETS), overlaps=True)


def deploys() -> list[Deploy]:
    return [
        of_compose(),
        of_app_platform(),
        of_kubernetes("worker.yaml"),
        of_kubernetes("worker-rollover.yaml"),
        of_systemd(),
        of_heroku(),
    ]

"""deploy/ beside guards, exit codes and health server: each name, number and path is one of theirs (I61)."""

from __future__ import annotations

import importlib.resources
import importlib.util
import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from live.gates import LIVE_GATES
from live.health import make_app
from live.settings import KNOWN_SETTINGS, read_settings
from live.status import LOOP_BOUND_SECONDS, Status
from live.worker import longest_stop_seconds
from migrate_schema import Options
from prodsafe.environment import NAMES, VARIABLES, read_environment
from prodsafe.errors import ExitCode
from prodsafe.gates import Surroundings, evaluate_gates
from tests.deploys import (
    DEPLOY,
    KUBERNETES,
    LINE,
    NOT_OURS,
    SCRIPT,
    SECRETS,
    UNIT,
    Deploy,
    deploys,
    manifests,
    procfile,
    read,
    seconds,
    unit,
)
from tests.processes import PROJECT

each_deploy = pytest.mark.parametrize("deploy", deploys(), ids=lambda deploy: deploy.name)


def refused(block: dict[str, str]) -> set[str]:
    results = evaluate_gates(read_environment(block), Surroundings(), LIVE_GATES)
    return {result.kind.id for result in results if not result.passed}


# --- the block of variables -------------------------------------------------------------------------------------------


@each_deploy
def test_every_variable_is_one_that_is_read(deploy: Deploy) -> None:
    assert {*deploy.env, *deploy.secrets} - {*NOT_OURS} <= {*NAMES, *KNOWN_SETTINGS}


@each_deploy
def test_no_secret_has_a_value_in_the_file_and_every_secret_has_a_place(deploy: Deploy) -> None:
    secret = {variable.name for variable in VARIABLES if variable.secret}

    assert secret & set(deploy.env) == set()
    assert set(SECRETS) <= deploy.secrets <= secret


@each_deploy
def test_the_block_and_its_secrets_pass_every_gate(deploy: Deploy) -> None:
    assert refused(deploy.complete) == set()


@pytest.mark.parametrize(
    ("name", "gate"),
    [
        ("ENVIRONMENT", "G01"),
        ("DRY_RUN", "G02"),
        ("USE_STATE_MACHINE_V2", "G03"),
        ("CONFIRM_LIVE", "G04"),
        ("DATABASE_URL", "G06"),
        ("EXCHANGE_ACCOUNT", "G07"),
        ("EXCHANGE_API_KEY", "G08"),
        ("EXCHANGE_API_SECRET", "G08"),
    ],
)
@each_deploy
def test_without_one_of_the_hard_variables_it_is_refused(deploy: Deploy, name: str, gate: str) -> None:
    assert refused({key: value for key, value in deploy.complete.items() if key != name}) == {gate}


@pytest.mark.parametrize("name", ["DATABASE_URL", "EXCHANGE_API_KEY", "EXCHANGE_API_SECRET", "ALERT_WEBHOOK_URL"])
@each_deploy
def test_a_secret_that_the_platform_did_not_fill_in_is_refused(deploy: Deploy, name: str) -> None:
    """I59: secrets came late, and the validation was made lenient."""
    assert refused({**deploy.complete, name: "${secret.VALUE}"})


@each_deploy
def test_real_exchange_tests_are_said_to_be_off(deploy: Deploy) -> None:
    assert deploy.env["RUN_REAL_EXCHANGE_TESTS"] == "0"


# --- commands ---------------------------------------------------------------------------------------------------------


def commands() -> dict[str, str]:
    """Every command of every file, by where it stands."""
    found = {deploy.name: deploy.command for deploy in deploys()}
    found |= {f"Procfile {name}": command for name, command in procfile().items()}
    found |= {f"compose {n}": " ".join(s["command"]) for n, s in read("compose.yaml")["services"].items() if n != "db"}
    found |= {f"app {each['name']}": each["run_command"] for each in read("app.yaml")["services"]}
    found |= {
        f"{file} {container['name']}": " ".join(container["command"])
        for file, objects in manifests().items()
        for each in objects
        if each["kind"] == "Deployment"
        for container in each["spec"]["template"]["spec"]["containers"]
    }
    return found | {"worker.sh": script_line()}


def script_line() -> str:
    return (DEPLOY / "worker.sh").read_text().splitlines()[-1].replace("run ", "")


@pytest.mark.parametrize(("place", "command"), commands().items(), ids=commands())
def test_every_command_exists_and_none_is_a_deprecated_door(place: str, command: str) -> None:
    """I61, I62: the platform started the old entry, and a spec named a script that had been deleted."""
    modules, scripts = re.findall(r"python -m ([\w.]+)", command), re.findall(r"python (\w+\.py)", command)

    assert modules or scripts or command == SCRIPT
    assert all(importlib.util.find_spec(module) for module in modules)
    assert all((PROJECT / script).exists() for script in scripts)
    assert "legacy" not in command
    assert "--force" not in command


@each_deploy
def test_the_worker_is_started_by_the_worker_line(deploy: Deploy) -> None:
    assert deploy.command.replace("&& exec ", "&& ") in (LINE, SCRIPT)
    assert script_line() == LINE


FAKE = """\
#!/bin/sh
case "$*" in
migrate_schema.py) name=migration code=$MIGRATION stopped=4 ;;
*) name=worker code=$WORKER stopped=0 ;;
esac
trap 'exit $stopped' TERM
echo "$*" >> "$TOLD"
[ "$HANGS" = $name ] || exit "$code"
sleep 5 &
wait $!
"""


@pytest.fixture
def line(tmp_path: Path) -> Any:
    """worker.sh with a python that does as it is told."""
    python, told = tmp_path / "python", tmp_path / "told"
    python.write_text(FAKE)
    python.chmod(0o755)

    def start(migration: int = 0, worker: int = 0, hangs: str = "") -> tuple[subprocess.Popen[bytes], Path]:
        env = {"MIGRATION": str(migration), "WORKER": str(worker), "HANGS": hangs, "TOLD": str(told)}
        path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
        return subprocess.Popen(["sh", DEPLOY / "worker.sh"], env={**env, "PATH": path}), told

    return start


@pytest.mark.parametrize("code", [1, 4, 6])
def test_a_migration_that_fails_starts_no_worker(line: Any, code: int) -> None:
    process, told = line(migration=code)

    assert process.wait(10) == code
    assert told.read_text().splitlines() == ["migrate_schema.py"]


@pytest.mark.parametrize("code", sorted(ExitCode))
def test_the_line_ends_with_the_workers_exit_code(line: Any, code: int) -> None:
    process, told = line(worker=code)

    assert process.wait(10) == code
    assert told.read_text().splitlines() == ["migrate_schema.py", "-m live.prod_live"]


@pytest.mark.parametrize(("hangs", "code"), [("migration", 4), ("worker", 0)])
def test_sigterm_reaches_what_runs_and_starts_nothing_more(line: Any, hangs: str, code: int) -> None:
    """Lost on process 1, it would let the worker start and trade until it is killed."""
    process, told = line(hangs=hangs)
    runs = {"migration": ["migrate_schema.py"], "worker": ["migrate_schema.py", "-m live.prod_live"]}[hangs]
    while not told.exists() or told.read_text().splitlines() != runs:
        assert process.poll() is None

    process.terminate()

    assert process.wait(4) == code
    assert told.read_text().splitlines() == runs


# --- patience and exit codes ------------------------------------------------------------------------------------------


@each_deploy
def test_the_platform_waits_longer_than_the_longest_stop(deploy: Deploy) -> None:
    settings, _ = read_settings({name: text for name, text in deploy.env.items() if name in KNOWN_SETTINGS})

    assert deploy.grace_seconds > longest_stop_seconds(settings)


@each_deploy
def test_a_standby_waits_longer_than_the_old_worker_may_take_to_stop(deploy: Deploy) -> None:
    wait_seconds = read_environment(deploy.complete).lock_wait_seconds

    assert wait_seconds >= deploy.grace_seconds + 60 if deploy.overlaps else wait_seconds >= 0


def advice() -> dict[int, str]:
    """RUNBOOK.md's table: what a supervisor should do with each exit code."""
    rows = re.findall(r"(?m)^\| (\d+) \| [^|]+ \| ([^|]+) \|", (PROJECT / "RUNBOOK.md").read_text())
    return {int(code): words.strip() for code, words in rows}


def test_systemd_does_not_restart_what_a_person_must_mend_and_restarts_the_rest() -> None:
    told = advice()
    assert set(told) == set(ExitCode)
    stay_down = {code for code, words in told.items() if words.startswith("no") and code != ExitCode.OK}

    said = unit()

    assert {int(code) for code in said["RestartPreventExitStatus"][0].split()} == stay_down == {1, 2, 4}
    assert said["Restart"] == ["on-failure"], "0 is a clean end and stays one"
    assert said["StartLimitIntervalSec"] == ["0"], "the rest is tried for ever"
    assert "ExecStartPre" not in said, "whose exit code RestartPreventExitStatus does not see"


def test_systemds_patience_is_longer_than_what_it_waits_for() -> None:
    said = unit()
    migrations = Options()

    assert said["Type"] == ["notify"]
    assert float(said["TimeoutStartSec"][0]) > migrations.wait + migrations.deadline + 300
    assert float(said["WatchdogSec"][0]) >= 4 * LOOP_BOUND_SECONDS, "health tells of a blocked loop long before"
    assert float(said["WatchdogSec"][0]) >= 15, "a standby tells once a second, and a connection may take 5"


def test_systemd_verifies_the_unit_and_finds_it_hardened(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    assert analyze, "this test needs Debian's package systemd (make system)"
    broken = tmp_path / "broken.service"
    broken.write_text(UNIT.read_text().replace("WatchdogSec=", "WatchDogSeconds="))

    verified = subprocess.run([analyze, "verify", UNIT], capture_output=True, text=True)
    noticed = subprocess.run([analyze, "verify", broken], capture_output=True, text=True)
    security = subprocess.run(
        [analyze, "security", "--offline=true", "--threshold=20", UNIT], capture_output=True, text=True
    )

    assert (verified.returncode, verified.stderr) == (0, "")
    assert "WatchDogSeconds" in noticed.stderr
    assert security.returncode == 0, security.stdout[-300:]


# --- health -----------------------------------------------------------------------------------------------------------


def served() -> set[str]:
    app = make_app(lambda: Status(state="unknown", observed_at=None))  # type: ignore[arg-type]
    return {resource.canonical for resource in app.router.resources()}


def containers() -> list[dict[str, Any]]:
    return [
        container
        for objects in manifests().values()
        for each in objects
        if each["kind"] == "Deployment"
        for container in each["spec"]["template"]["spec"]["containers"]
    ]


def test_every_probe_asks_a_path_that_is_served_on_the_port_that_is_served() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    for container in containers():
        port = next(each["value"] for each in container["env"] if each["name"] == "PORT")
        assert container["ports"] == [{"name": "health", "containerPort": int(port)}]
        probes = [probe["httpGet"] for name, probe in container.items() if name.endswith("Probe")]
        assert len(probes) >= 2
        assert all(probe["path"] in served() and probe["port"] == "health" for probe in probes)
    spec = read("app.yaml")
    (worker,), (web,) = spec["workers"], spec["services"]
    checks = [worker["liveness_health_check"], web["health_check"]]
    assert all(check["http_path"] in served() for check in checks)
    assert worker["liveness_health_check"]["port"] == web["http_port"] == 8080
    assert {each["value"] for part in (worker, web) for each in part["envs"] if each["key"] == "PORT"} == {"8080"}
    for service in ("worker", "web"):
        said = read("compose.yaml")["services"][service]
        assert said["ports"][0].endswith(f":{said['environment']['PORT']}")
        assert said["ports"][0].startswith("127.0.0.1:"), "health has no login"
    assert set(re.findall(r"'(/\w+)'", dockerfile)) == {"/alive"} <= served()
    assert re.search(r"(?m)^EXPOSE 8080$", dockerfile) and "PORT=8080" in dockerfile


def test_liveness_asks_only_for_what_a_restart_mends() -> None:
    """A venue that is down turns /health 503; ending the worker for that leaves positions alone until it is back."""
    asked = {c["livenessProbe"]["httpGet"]["path"] for c in containers()}
    asked |= {c["startupProbe"]["httpGet"]["path"] for c in containers() if "startupProbe" in c}
    asked.add(read("app.yaml")["workers"][0]["liveness_health_check"]["http_path"])

    assert asked == {"/alive"}


def test_a_rollover_asks_health_and_a_recreation_asks_ready() -> None:
    """/ready with maxUnavailable 0 waits for ever; acceptance/test_deploy_rollover.py plays it."""
    rolling, recreated = read("kubernetes/worker-rollover.yaml"), read("kubernetes/worker.yaml")

    for spec, path in ((rolling, "/health"), (recreated, "/ready")):
        (container,) = spec["spec"]["template"]["spec"]["containers"]
        assert container["readinessProbe"]["httpGet"].pop("path") == path
        spec["spec"].pop("strategy")
    assert rolling == recreated, "and nothing else differs"


# --- Kubernetes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.31", "1.33", "1.35"])
def test_kubernetes_own_schema_takes_every_manifest(version: str) -> None:
    objects = [each for found in manifests().values() for each in found]
    assert {each["kind"] for each in objects} == {"Deployment", "Service", "PodDisruptionBudget"}

    for each in objects:
        kubernetes_validate.validate(each, version, strict=True)

    worker = json.dumps(manifests()["worker.yaml"][0])
    misspelt = json.loads(worker.replace("readOnlyRootFilesystem", "readonlyRootFilesystem"))
    with pytest.raises(kubernetes_validate.ValidationError, match="readonlyRootFilesystem"):
        kubernetes_validate.validate(misspelt, version, strict=True)


def test_every_selector_finds_what_it_is_meant_for() -> None:
    objects = [each for file, found in manifests().items() if file != "worker.yaml" for each in found]
    pods = {
        tuple(sorted(each["spec"]["template"]["metadata"]["labels"].items())): each
        for each in objects
        if each["kind"] == "Deployment"
    }
    for each in objects:
        selector = each["spec"]["selector"]
        wanted = tuple(sorted(selector.get("matchLabels", selector).items()))
        assert wanted in pods, each["metadata"]
        if each["kind"] == "Service":
            named = {p["name"] for p in pods[wanted]["spec"]["template"]["spec"]["containers"][0]["ports"]}
            assert {port["targetPort"] for port in each["spec"]["ports"]} <= named
    resources = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["resources"]
    assert {*resources, "worker.yaml"} == set(manifests()), "one worker and not two"


def test_every_pod_runs_without_rights_and_takes_secrets_by_reference_only() -> None:
    for objects in manifests().values():
        for pod in (each["spec"]["template"]["spec"] for each in objects if each["kind"] == "Deployment"):
            assert pod["securityContext"]["runAsNonRoot"] is True
            assert pod["securityContext"]["runAsUser"] == 10001
            assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            assert pod["automountServiceAccountToken"] is False
            (container,) = pod["containers"]
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["requests"]["memory"] == container["resources"]["limits"]["memory"]
            references = {e["name"]: e["valueFrom"]["secretKeyRef"] for e in container["env"] if "valueFrom" in e}
            assert all(reference == {"name": "prodsafe", "key": name} for name, reference in references.items())
    assert not any(each["kind"] == "Secret" for objects in manifests().values() for each in objects)


def test_variables_that_kubernetes_makes_of_services_reach_no_pod() -> None:
    """A Service called risk-engine would put RISK_ENGINE_PORT into each pod: an unknown limit, so no worker starts."""
    block = deploys()[0].complete

    assert refused({**block, "RISK_ENGINE_PORT": "tcp://10.0.0.7:80"}) == {"G14"}
    pods = [e["spec"]["template"]["spec"] for o in manifests().values() for e in o if e["kind"] == "Deployment"]
    assert all(pod["enableServiceLinks"] is False for pod in pods)


def test_a_pod_may_take_as_long_to_start_as_its_migrations() -> None:
    (container,) = read("kubernetes/worker.yaml")["spec"]["template"]["spec"]["containers"]
    probe, migrations = container["startupProbe"], Options()

    assert probe["periodSeconds"] * probe["failureThreshold"] > migrations.wait + migrations.deadline
    assert read("kubernetes/worker.yaml")["spec"]["progressDeadlineSeconds"] > migrations.wait + migrations.deadline


# --- compose ----------------------------------------------------------------------------------------------------------


def test_the_compose_specification_takes_the_file() -> None:
    vendored = importlib.resources.files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json"
    schema = json.loads(vendored.read_text())

    jsonschema.validate(read("compose.yaml"), schema)

    misspelt = (DEPLOY / "compose.yaml").read_text().replace("stop_grace_period", "stop_grace_seconds")
    with pytest.raises(jsonschema.ValidationError, match="stop_grace_seconds"):
        jsonschema.validate(yaml.safe_load(misspelt), schema)


def test_every_service_of_compose_is_locked_down_and_its_secrets_lie_elsewhere() -> None:
    found = read("compose.yaml")
    for name, service in found["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["restart"] == "unless-stopped", name
        for file in service.get("env_file", []):
            assert file["path"].startswith("/etc/") and file["required"] is True, name
    assert all(secret["file"].startswith("/etc/") for secret in found["secrets"].values())
    assert found["services"]["db"]["networks"] == ["data"]
    assert found["networks"]["data"] == {"internal": True}
    assert found["services"]["worker"]["depends_on"] == {"db": {"condition": "service_healthy"}}
    assert seconds(found["services"]["db"]["stop_grace_period"]) >= 60


# --- App Platform -----------------------------------------------------------------------------------------------------

# the app spec's documented keys, as far as a worker or a service of an image can use them; anything else is misspelt
COMPONENT = {
    "name",
    "image",
    "run_command",
    "instance_count",
    "instance_size_slug",
    "envs",
    "alerts",
    "log_destinations",
}
APP_KEYS = {
    "app": {"name", "region", "workers", "services", "alerts", "envs", "databases", "domains", "ingress", "features"},
    "workers": COMPONENT | {"termination", "liveness_health_check"},
    "services": COMPONENT | {"termination", "liveness_health_check", "health_check", "http_port", "internal_ports"},
    "image": {"registry_type", "repository", "tag"},
    "termination": {"grace_period_seconds"},  # drain_seconds is a service's only
    "env": {"key", "value", "scope", "type"},
    "alert": {"rule", "operator", "value", "window", "disabled"},
}
CHECK_RANGES = {
    "initial_delay_seconds": (0, 3600),
    "period_seconds": (1, 300),
    "timeout_seconds": (1, 120),
    "failure_threshold": (1, 50),
    "success_threshold": (1, 1),
    "port": (1, 65535),
}


def test_the_app_spec_uses_documented_keys_within_their_ranges() -> None:
    spec = read("app.yaml")
    assert set(spec) <= APP_KEYS["app"]
    for kind in ("workers", "services"):
        (component,) = spec[kind]
        assert set(component) <= APP_KEYS[kind]
        assert set(component["image"]) == APP_KEYS["image"]
        assert component["instance_count"] == 1
        assert set(component.get("termination", {})) <= APP_KEYS["termination"]
        for variable in component["envs"]:
            assert set(variable) <= APP_KEYS["env"]
            assert variable["scope"] == "RUN_TIME"
            assert isinstance(variable.get("value", ""), str), variable
            assert ("value" in variable) != (variable.get("type") == "SECRET"), variable
        for check in (component.get("health_check", {}), component.get("liveness_health_check", {})):
            for key, value in check.items():
                low, high = CHECK_RANGES.get(key, (None, None))
                assert key == "http_path" or low <= value <= high, key
        assert all(set(alert) <= APP_KEYS["alert"] for alert in component.get("alerts", []))
    assert 1 <= spec["workers"][0]["termination"]["grace_period_seconds"] <= 600
    assert re.fullmatch(r"[a-z][a-z0-9-]{0,30}[a-z0-9]", spec["name"])


# --- the image --------------------------------------------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"(?m)^#.*\n", "", (DEPLOY / "Dockerfile").read_text()).replace("\\\n", " ")
    return [(words[0], words[1]) for line in text.splitlines() if (words := line.split(" ", 1)) and line.strip()]


def test_the_image_is_pinned_hashed_and_without_rights_or_secrets() -> None:
    steps = instructions()
    last = steps[max(i for i, (word, _) in enumerate(steps) if word == "FROM") :]
    final = dict(reversed(last))

    bases = {rest.split()[0] for word, rest in steps if word == "FROM"}
    assert all(re.fullmatch(r"python:3\.1[1-3]\.\d+-slim-\w+", base) for base in bases)
    installs = [rest for word, rest in steps if word == "RUN" and re.search("pip .*(install|wheel) ", rest)]
    assert len(installs) == 4
    for run in installs:
        hashed = "--require-hashes" in run and "--only-binary :all:" in run
        assert hashed or ("--no-index" in run and "--no-deps" in run), run
    assert not [rest for word, rest in steps if word in ("ARG", "ADD")]
    said = " ".join(rest for word, rest in steps if word in ("ENV", "LABEL", "RUN", "CMD"))
    secret = [variable.name for variable in VARIABLES if variable.secret]
    assert not [name for name in (*secret, "ENVIRONMENT", "CONFIRM_LIVE") if name in said], (
        "started bare, it is refused"
    )
    uid, gid = final["USER"].split(":")
    assert int(uid) > 0 and int(gid) > 0
    assert final["STOPSIGNAL"] == "SIGTERM"
    assert json.loads(final["CMD"]) == SCRIPT.split()
    assert json.loads(final["HEALTHCHECK"].partition("CMD ")[2])[0] == "python"
    assert not [rest for word, rest in last if word == "RUN"], "nothing is installed in what runs"


def test_no_platform_runs_whatever_image_is_the_latest() -> None:
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    spec = read("app.yaml")

    tags = {component["image"]["tag"] for kind in ("workers", "services") for component in spec[kind]}
    tags |= {container["image"].partition(":")[2] for container in containers()}
    assert tags == {version}


def test_what_builds_the_wheel_is_hashed_and_within_the_projects_own_range() -> None:
    from packaging.requirements import Requirement

    (wanted,) = map(Requirement, tomllib.loads((PROJECT / "pyproject.toml").read_text())["build-system"]["requires"])
    locked = re.search(r"(?m)^(\w+)==(\S+) \\\n +--hash=sha256:[0-9a-f]{64}$", (DEPLOY / "backend.lock").read_text())

    assert locked is not None
    assert locked[1] == wanted.name
    assert wanted.specifier.contains(locked[2])

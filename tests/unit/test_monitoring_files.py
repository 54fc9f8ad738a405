"""deploy/'s alert rules and Grafana dashboard speak of metrics that exist, and of sections that the runbook has."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from live.meters import METERS, Meters
from live.metrics import prometheus_text
from live.status import Status

PROJECT = Path(__file__).resolve().parents[2]
RULES = PROJECT / "deploy" / "alerts.rules.yml"
BOARD = PROJECT / "deploy" / "grafana-dashboard.json"
NAME = re.compile(r"\blive_[a-z_]+")


def told() -> str:
    """What /metrics says of a worker that has done a little of everything."""
    now, meters = datetime(2026, 11, 22, tzinfo=UTC), Meters()
    for name, meter in METERS.items():
        tell = meters.count if meter.kind == "counter" else lambda name, **labels: meters.observe(name, 0.1, **labels)
        tell(name, **dict.fromkeys(meter.labels, "some"))
    status = Status(
        state="running",
        observed_at=now,
        epoch=1,
        started_at=now,
        last_tick_at=now,
        reconciled_at=now,
        equity_quote="1",
        drawdown_pct=0.0,
        clock_offset_seconds=0.0,
        lease_beat_age_seconds=0.1,
        counters=meters.totals(),
    )
    return prometheus_text(status, now).decode()


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def queries() -> list[str]:
    return [target["expr"] for panel in json.loads(BOARD.read_text())["panels"] for target in panel["targets"]]


def test_every_metric_that_is_asked_for_exists() -> None:
    asked = {name for text in [*(rule["expr"] for rule in rules()), *queries()] for name in NAME.findall(text)}
    exist = {line.split("{")[0].split(" ")[0] for line in told().splitlines() if not line.startswith("#")}

    assert len(asked) > 20
    assert asked - exist == set()


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_every_alert_says_what_is_wrong_and_names_a_section_of_the_runbook(rule: dict[str, Any]) -> None:
    runbook = (PROJECT / "RUNBOOK.md").read_text()
    _, section = rule["annotations"]["runbook"].split(", ", 1)

    assert rule["labels"]["severity"] in ("page", "warn")
    assert rule["annotations"]["summary"]
    wanted = section.split(" to ")[0]
    assert re.search(rf"(?m)^##+ {re.escape(wanted)}", runbook), section


def test_promtool_takes_the_rules_and_what_the_worker_serves() -> None:
    promtool = shutil.which("promtool")
    assert promtool, "this test needs Debian's package prometheus (make system)"

    checked = subprocess.run([promtool, "check", "rules", str(RULES)], capture_output=True, text=True)
    linted = subprocess.run([promtool, "check", "metrics"], input=told(), capture_output=True, text=True)

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(rules())} rules found" in checked.stdout + checked.stderr
    assert linted.returncode == 0, linted.stdout + linted.stderr

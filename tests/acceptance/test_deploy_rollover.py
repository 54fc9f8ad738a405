"""A Kubernetes Deployment's roll-over, played over two real workers: which readiness ends it, which waits for ever."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.deploys import of_kubernetes, read
from tests.processes import Process, Start, Venue, answer, until, worker_environment


@dataclass
class Pod:
    """A worker with its probe's port."""

    process: Process
    port: int

    def is_ready(self, path: str) -> bool:
        try:
            return answer(f"http://127.0.0.1:{self.port}{path}")[0] == 200
        except OSError:
            return False


@dataclass
class Controller:
    """The Deployment controller's arithmetic for one old and one new pod. What it may stop is what is left above
    replicas - maxUnavailable once the pods that are not available yet are taken off."""

    spec: dict[str, Any]

    @property
    def path(self) -> str:
        (container,) = self.spec["template"]["spec"]["containers"]
        path: str = container["readinessProbe"]["httpGet"]["path"]
        return path

    def may_start_new(self, pods: int) -> bool:
        return pods < self.spec["replicas"] + self.spec["strategy"]["rollingUpdate"]["maxSurge"]

    def may_stop_old(self, old: Pod, new: Pod) -> bool:
        least = self.spec["replicas"] - self.spec["strategy"]["rollingUpdate"]["maxUnavailable"]
        unavailable_new = 0 if new.is_ready(self.path) else 1
        return 2 - least - unavailable_new > 0 and old.process.popen.poll() is None


def rollover(path: str | None = None) -> Controller:
    """The manifest's own rule; path: another readiness than the file's."""
    spec = read("kubernetes/worker-rollover.yaml")["spec"]
    if path is not None:
        spec["template"]["spec"]["containers"][0]["readinessProbe"]["httpGet"]["path"] = path
    return Controller(spec)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pods(database_url: str, venue: Venue, start: Start) -> tuple[Pod, Callable[[], Pod]]:
    """The old worker, trading; and how to start the new one, with the file's own block."""

    def pod() -> Pod:
        port = free_port()
        given = {"PORT": str(port), "HEALTH_HOST": "127.0.0.1"}
        env = worker_environment(database_url, venue.url, **{**of_kubernetes("worker-rollover.yaml").env, **given})
        return Pod(start(["-m", "live.prod_live"], env), port)

    old = pod()
    until(lambda: old.is_ready("/ready"), old.process)
    return old, pod


def test_a_rollover_that_asks_health_stops_the_old_worker_and_the_standby_trades(
    database_url: str, venue: Venue, start: Start
) -> None:
    controller = rollover()
    old, new_pod = pods(database_url, venue, start)
    assert controller.path == "/health"
    assert controller.may_start_new(1)

    new = new_pod()
    until(lambda: controller.may_stop_old(old, new), new.process)
    assert "standing by" in new.process.text(), "the old worker was not stopped for one that was not there yet"
    assert old.process.terminate() == 0
    stopped_at = time.monotonic()

    until(lambda: '"trading"' in new.process.text(), new.process)
    until(lambda: new.is_ready("/ready"), new.process)
    assert "grace" not in new.process.text()
    assert time.monotonic() - stopped_at < 10


def test_a_rollover_that_asks_ready_waits_for_ever(database_url: str, venue: Venue, start: Start) -> None:
    """Why the manifest does not: the new worker waits for the old one, and the controller for the new one."""
    controller = rollover("/ready")
    old, new_pod = pods(database_url, venue, start)
    new = new_pod()
    until(lambda: "standing by" in new.process.text(), new.process)

    seen = []
    for _ in range(12):
        seen.append(controller.may_stop_old(old, new))
        time.sleep(0.25)

    assert not any(seen)
    assert not controller.may_start_new(2)
    assert old.is_ready("/ready"), "nothing changes any more, on either side"
    assert new.is_ready("/health")

"""The status as Prometheus text. Names are stable, ages are in seconds, money in quote currency. [P]"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from live.status import Status, age_seconds, problems, ready

CONTENT_TYPE = CONTENT_TYPE_LATEST
_STATES = ("starting", "standby", "reconciling", "running", "draining", "stopped", "unknown")


def metric_families(status: Status, now: datetime) -> Iterable[Metric]:
    """The status as Prometheus gauges; names are stable, ages are in seconds."""
    reasons = problems(status, now)
    values: list[tuple[str, str, float | None]] = [
        ("live_healthy", "1 when /health answers 200", float(not reasons)),
        ("live_ready", "1 when /ready answers 200", float(ready(status, now))),
        ("live_lease_fresh", "1 while the lease is held and beating", float(status.lease_fresh)),
        ("live_lease_epoch", "the lease's growing number", status.epoch),
        ("live_halted", "1 while the halt latch is set", float(status.halted)),
        ("live_database_readable", "1 when the last look at the database worked", float(status.database_readable)),
        ("live_venue_readable", "1 when the last look at the venue worked", float(status.venue_readable)),
        ("live_reconciled", "1 once book and venue agree", float(status.reconciled)),
        ("live_last_tick_age_seconds", "since the last finished tick", age_seconds(status.last_tick_at, now)),
        ("live_tick_bound_seconds", "a last tick older than this is a stalled loop", status.tick_bound_seconds),
        ("live_unprotected_positions", "open positions without a live stop", len(status.unprotected)),
        ("live_naked_seconds_max", "longest time a position spent without a live stop", status.naked_seconds_max),
        ("live_unknown_orders", "orders whose fate at the venue is not known", status.unknown_orders),
        ("live_open_positions", "open positions", status.open_positions),
        ("live_live_orders", "orders working at the venue", status.live_orders),
        ("live_equity_quote", "account equity in quote currency", _number(status.equity_quote)),
        ("live_uptime_seconds", "since the worker started", age_seconds(status.started_at, now)),
    ]
    for name, meaning, value in values:
        if value is not None:
            yield GaugeMetricFamily(name, meaning, value=value)
    states = GaugeMetricFamily("live_state", "1 for the state the worker is in", labels=["state"])
    for state in _STATES:
        states.add_metric([state], float(state == status.state))
    yield states
    counters = GaugeMetricFamily("live_counter", "running totals of the worker, by name", labels=["name"])
    for name, count in sorted(status.counters.items()):
        counters.add_metric([name], count)
    yield counters


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def prometheus_text(status: Status, now: datetime) -> bytes:
    class StatusCollector(Collector):
        def collect(self) -> Iterable[Metric]:
            return metric_families(status, now)

    registry = CollectorRegistry()  # its own: nothing a library registers globally gets served
    registry.register(StatusCollector())
    return generate_latest(registry)

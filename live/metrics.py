"""The status as Prometheus text. Names are stable, ages are in seconds, money in quote currency. [P]"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, SummaryMetricFamily
from prometheus_client.registry import Collector

from live.meters import METERS, TICK_BUCKETS_SECONDS, Meter, parse_key
from live.status import Status, age_seconds, problems, ready

CONTENT_TYPE = CONTENT_TYPE_LATEST
_STATES = ("starting", "standby", "reconciling", "running", "draining", "stopped", "unknown")


def metric_families(status: Status, now: datetime) -> Iterable[Metric]:
    """Gauges of the status as it is, then the worker's running totals."""
    for name, meaning, value in _gauges(status, now):
        if value is not None:
            yield GaugeMetricFamily(name, meaning, value=value)
    states = GaugeMetricFamily("live_state", "1 for the state the worker is in", labels=["state"])
    for state in _STATES:
        states.add_metric([state], float(state == status.state))
    yield states
    reasons = GaugeMetricFamily("live_problem", "1 for each id that /health names", labels=["id"])
    for reason in problems(status, now):
        reasons.add_metric([reason.split(" ", 1)[0]], 1.0)
    yield reasons
    info = GaugeMetricFamily("live_worker", "always 1; who it is", labels=["scope", "host", "version"])
    info.add_metric([status.scope, status.host, status.version], 1.0)
    yield info
    for name, meter in METERS.items():
        yield from _totals(name, meter, status.counters)


def _gauges(status: Status, now: datetime) -> list[tuple[str, str, float | None]]:
    return [
        ("live_healthy", "1 when /health answers 200", float(not problems(status, now))),
        ("live_ready", "1 when /ready answers 200", float(ready(status, now))),
        ("live_lease_fresh", "1 while the lease is held and beating", float(status.lease_fresh)),
        ("live_lease_epoch", "the lease's growing number", status.epoch),
        ("live_lease_beat_age_seconds", "since the last good beat of the lease", status.lease_beat_age_seconds),
        ("live_halted", "1 while the halt latch is set", float(status.halted)),
        ("live_database_readable", "1 when the last look at the database worked", float(status.database_readable)),
        ("live_venue_readable", "1 when the last look at the venue worked", float(status.venue_readable)),
        ("live_reconciled", "1 once book and venue agree", float(status.reconciled)),
        ("live_reconcile_age_seconds", "since book and venue were last seen to agree",
         age_seconds(status.reconciled_at, now)),
        ("live_last_tick_age_seconds", "since the last finished tick", age_seconds(status.last_tick_at, now)),
        ("live_tick_bound_seconds", "a last tick older than this is a stalled loop", status.tick_bound_seconds),
        ("live_unprotected_positions", "open positions without a live stop", len(status.unprotected)),
        ("live_naked_seconds_max", "longest time a position spent without a live stop", status.naked_seconds_max),
        ("live_unknown_orders", "orders whose fate at the venue is not known", status.unknown_orders),
        ("live_open_positions", "open positions", status.open_positions),
        ("live_live_orders", "orders working at the venue", status.live_orders),
        ("live_equity_quote", "account equity in quote currency", _number(status.equity_quote)),
        ("live_drawdown_pct", "how far equity is below its durable peak", status.drawdown_pct),
        ("live_clock_offset_seconds", "the venue's clock minus ours", status.clock_offset_seconds),
        ("live_uptime_seconds", "since the worker started", age_seconds(status.started_at, now)),
    ]  # fmt: skip


def _totals(name: str, meter: Meter, counters: Mapping[str, float]) -> Iterable[Metric]:
    """The family of one meter with every label that was counted; a family that never was is still named."""
    told = _read(name, meter, counters)
    family = f"live_{name}"
    match meter.kind:
        case "counter":
            counter = CounterMetricFamily(family.removesuffix("_total"), meter.meaning, labels=meter.labels)
            for labels, values in told:
                counter.add_metric(labels, values[""])
            yield counter
        case "summary":
            summary = SummaryMetricFamily(family, meter.meaning, labels=meter.labels)
            for labels, values in told:
                summary.add_metric(labels, int(values["_count"]), values["_sum"])
            yield summary
        case _:
            histogram = HistogramMetricFamily(family, meter.meaning, labels=meter.labels)
            for labels, values in told:
                buckets = [(f"{bound:g}", values.get(f"{bound:g}", 0.0)) for bound in TICK_BUCKETS_SECONDS]
                histogram.add_metric(labels, [*buckets, ("+Inf", values["_count"])], values["_sum"])
            yield histogram


def _read(name: str, meter: Meter, counters: Mapping[str, float]) -> list[tuple[list[str], dict[str, float]]]:
    """(label values, {"_sum", "_count", a bucket's bound or "": total}) of one meter, by label values."""
    found: dict[tuple[str, ...], dict[str, float]] = {}
    for text, total in counters.items():
        sample, labels = parse_key(text)
        part = sample.removeprefix(name)
        if sample == part or part not in ("", "_sum", "_count", "_bucket"):
            continue
        whose = tuple(labels.get(label, "") for label in meter.labels)
        found.setdefault(whose, {"_sum": 0.0, "_count": 0.0, "": 0.0})[labels.get("le", part)] = total
    return [(list(whose), totals) for whose, totals in sorted(found.items())]


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

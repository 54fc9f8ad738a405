"""Running totals as a status row carries them, and as Prometheus reads them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from live.meters import METERS, TICK_BUCKETS_SECONDS, Meters, key, parse_key
from live.metrics import prometheus_text
from live.status import Status, decode_status, encode_status

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def samples(meters: Meters) -> dict[str, float]:
    """Every sample that Prometheus reads, after the way through the database."""
    status = decode_status(encode_status(Status(state="running", observed_at=NOW, counters=meters.totals())))
    families = text_string_to_metric_families(prometheus_text(status, NOW).decode())
    return {key(each.name, each.labels): each.value for family in families for each in family.samples}


def test_what_was_counted_is_what_is_read() -> None:
    meters = Meters()
    meters.count("orders_total", leg="stop", outcome="accepted")
    meters.count("orders_total", leg="stop", outcome="accepted")
    meters.count("orders_total", leg="entry", outcome="unknown")

    read = samples(meters)

    assert read['live_orders_total{leg="stop",outcome="accepted"}'] == 2
    assert read['live_orders_total{leg="entry",outcome="unknown"}'] == 1


def test_a_duration_is_in_every_bucket_that_holds_it() -> None:
    meters = Meters()
    for seconds in (0.05, 0.3, 100.0):
        meters.observe("tick_seconds", seconds)

    read = samples(meters)

    buckets = [read[f'live_tick_seconds_bucket{{le="{bound:g}"}}'] for bound in TICK_BUCKETS_SECONDS]
    assert buckets == [1, 1, 2, 2, 2, 2, 2, 2]
    assert read['live_tick_seconds_bucket{le="+Inf"}'] == read["live_tick_seconds_count"] == 3
    assert read["live_tick_seconds_sum"] == pytest.approx(100.35)


def test_every_meter_has_its_family_before_anything_was_counted() -> None:
    """An alert on a name that is missing until the first failure never fires."""
    text = prometheus_text(Status(state="running", observed_at=NOW), NOW).decode()

    assert [name for name in METERS if f"# HELP live_{name} {METERS[name].meaning}" not in text] == []


@given(st.dictionaries(st.sampled_from(["leg", "outcome", "request"]), st.text(max_size=12), max_size=3))
def test_a_key_is_read_back_whatever_a_venue_put_into_a_label(labels: dict[str, str]) -> None:
    name, read = parse_key(key("orders_total", labels))

    assert name == "orders_total"
    assert set(read) == set(labels)
    assert key("orders_total", read) == key("orders_total", labels)


def test_each_problem_is_a_series_by_its_id() -> None:
    status = Status(state="running", observed_at=NOW, lease_fresh=True, reconciled=True)
    text = prometheus_text(status, NOW).decode()

    assert 'live_problem{id="H16"} 1.0' in text

"""The fault schedule: strict to read, exact in what it strikes, the same again for the same seed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.simulator.__main__ import EPILOG
from live.simulator.faults import FaultKind, FaultSchedule, load_schedule, parse_schedule, with_key, without_key

SEND = "/derivatives/api/v3/sendorder"


def strikes(schedule: FaultSchedule, times: int, path: str = SEND, **params: str) -> list[FaultKind | None]:
    rules = [schedule.decide("POST", path, params, elapsed_seconds=1.0) for _ in range(times)]
    return [rule.kind if rule else None for rule in rules]


def test_nth_strikes_exactly_those_requests():
    schedule = parse_schedule([{"kind": "lost_reply", "path": "sendorder", "nth": [2, 4]}])

    lost = FaultKind.LOST_REPLY
    assert strikes(schedule, 5) == [None, lost, None, lost, None]


def test_other_paths_are_not_struck_and_not_counted():
    schedule = parse_schedule([{"kind": "reset", "path": "sendorder", "nth": [1]}])

    assert strikes(schedule, 3, path="/derivatives/api/v3/openorders") == [None, None, None]
    assert strikes(schedule, 1) == [FaultKind.RESET]


def test_where_picks_requests_by_a_parameter():
    schedule = parse_schedule([{"kind": "result_error", "where": {"cliOrdId": "*-s"}}])

    assert strikes(schedule, 1, cliOrdId="ps-a-1-1-e") == [None]
    assert strikes(schedule, 1, cliOrdId="ps-a-1-2-s") == [FaultKind.RESULT_ERROR]


def test_times_ends_a_rule():
    schedule = parse_schedule([{"kind": "html", "times": 2}])

    assert strikes(schedule, 4) == [FaultKind.HTML, FaultKind.HTML, None, None]


def test_outage_strikes_between_its_seconds():
    schedule = parse_schedule([{"kind": "http_status", "status": 503, "from_seconds": 10, "until_seconds": 20}])

    struck = [schedule.decide("GET", SEND, {}, elapsed_seconds=at) is not None for at in (9.9, 10, 19.9, 20)]

    assert struck == [False, True, True, False]


@given(seed=st.integers(), probability=st.floats(0, 1))
def test_same_seed_same_faults(seed, probability):
    rules = [{"kind": "lost_reply", "probability": probability}, {"kind": "truncated", "probability": 0.5}]

    one, other = parse_schedule(rules, seed=seed), parse_schedule(rules, seed=seed)

    assert strikes(one, 30) == strikes(other, 30)


def test_rules_do_not_disturb_each_others_luck():
    alone = parse_schedule([{"kind": "lost_reply", "path": "sendorder", "probability": 0.5}], seed=3)
    beside = parse_schedule(
        [
            {"kind": "lost_reply", "path": "sendorder", "probability": 0.5},
            {"kind": "html", "path": "openorders", "probability": 0.5},
        ],
        seed=3,
    )
    strikes(beside, 17, path="/derivatives/api/v3/openorders")

    assert strikes(alone, 30) == strikes(beside, 30)


def test_only_faults_after_the_venue_read_the_request_have_acted():
    acting = {kind for kind in FaultKind if FaultSchedule([_rule(kind)]).rules[0].does_act}

    assert not acting & {FaultKind.LOST_REQUEST, FaultKind.HTTP_STATUS, FaultKind.HTML, FaultKind.RESULT_ERROR}
    assert acting >= {FaultKind.LOST_REPLY, FaultKind.LATE_REPLY, FaultKind.MISSING_KEY, FaultKind.DUPLICATE}


def test_acts_turns_an_error_into_one_after_the_deed():
    (rule,) = parse_schedule([{"kind": "http_status", "status": 504, "acts": True}]).rules

    assert rule.does_act


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"rules": {}},
        {"rules": [], "sed": 1},
        {"rules": [], "seed": "x"},
        [{"kind": "nothing"}],
        [{"kind": ["reset"]}],
        [{"kind": "reset", "nht": [1]}],
        [{"kind": "reset", "nth": [0]}],
        [{"kind": "reset", "nth": "first"}],
        [{"kind": "reset", "probability": 1.5}],
        [{"kind": "reset", "probability": "often"}],
        [{"kind": "late_reply", "seconds": -1}],
        [{"kind": "partial_fill", "fraction": 0}],
        [{"kind": "missing_key"}],
        [{"kind": "http_status", "status": 99}],
        [{"kind": "reset", "where": {"cliOrdId": 7}}],
        "nonsense",
    ],
)
def test_schedule_that_is_not_understood_is_refused(bad):
    with pytest.raises(ValueError):
        parse_schedule(bad)


LEAVES = st.none() | st.booleans() | st.integers() | st.text()
ANY_JSON = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
NAMES = st.sampled_from(["path", "where", "nth", "times", "acts", "seconds", "status", "key", "value", "fraction"])


@given(data=ANY_JSON | st.lists(st.dictionaries(NAMES, ANY_JSON).map(lambda rule: {"kind": "reset", **rule})))
def test_any_json_is_a_schedule_or_a_value_error(data):
    try:
        schedule = load_schedule(json.dumps(data))
    except ValueError:
        return
    strikes(schedule, 2, cliOrdId="ps-a-1-1-e")


def test_keys_are_removed_and_replaced_at_depth():
    body = {"result": "success", "openOrders": [{"order_id": "a", "side": "buy"}], "accounts": {"flex": {"pv": 1}}}

    assert without_key(body, "openOrders") == {"result": "success", "accounts": {"flex": {"pv": 1}}}
    assert without_key(body, "openOrders.order_id")["openOrders"] == [{"side": "buy"}]
    assert with_key(body, "accounts.flex.pv", None)["accounts"] == {"flex": {"pv": None}}
    assert with_key(body, "missing.key", 1) == body


def _rule(kind: FaultKind):
    return parse_schedule([{"kind": kind, "key": "x"}]).rules[0]


def test_every_example_of_the_help_is_a_schedule() -> None:
    examples = [line.strip() for line in EPILOG.splitlines() if line.strip().startswith("[{")]

    assert len(examples) >= 4
    for example in examples:
        schedule, _ = json.JSONDecoder().raw_decode(example)
        assert len(parse_schedule(schedule).rules) == 1
    assert all(kind in EPILOG for kind in FaultKind)

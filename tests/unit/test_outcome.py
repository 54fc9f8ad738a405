"""What a reply to an order means, reply by reply: the table is the specification."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.model import Accepted, Gone, Rejected, Unknown
from live.outcome import (
    TABLES,
    Meaning,
    NoReply,
    Reply,
    has_table,
    is_refused_for_rate,
    is_traded,
    read_cancel,
    read_submit,
)

VENUE = "krakenfutures"
ORDER_ID = "179f9af8-e45e-469d-b3e9-2fd4675cb7d0"

REFUSED_ERRORS = [
    "apiLimitExceeded",
    "authenticationError",
    "accountInactive",
    "invalidArgument: symbol",
    "requiredArgumentMissing",
    "invalidAccount",
    "invalidAmount",
    "invalidUnit",
    "insufficientFunds",
    "INSUFFICIENT_MARGIN",
    "marketUnavailable",
    "contractNotFound",
    "Json Parse Error",
    "Bad Request",
]
NOT_PLACED = [
    "invalidOrderType",
    "invalidSide",
    "invalidSize",
    "invalidPrice",
    "requiredArgumentMissing",
    "insufficientAvailableFunds",
    "selfFill",
    "tooManySmallOrders",
    "tooManyOrders",
    "maxPositionViolation",
    "marketSuspended",
    "marketInactive",
    "marketIsPostOnly",
    "clientOrderIdTooLong",
    "clientOrderIdTooBig",
    "clientOrderIdInvalid",
    "outsidePriceCollar",
    "postWouldExecute",
    "iocWouldNotExecute",
    "wouldCauseLiquidation",
    "wouldIncreasePriceDislocation",
    "wouldNotReducePosition",
    "reduceOnlyWouldIncreasePosition",
    "fixedLeverageTooHigh",
    "wouldProcessAfterSpecifiedTime",
]


def reply(body: object, status: int = 200) -> Reply:
    return Reply(status, body if isinstance(body, str) else json.dumps(body))


def sent(status: object, order_id: object = ORDER_ID) -> dict[str, Any]:
    return {"result": "success", "sendStatus": {"status": status, "order_id": order_id, "orderEvents": []}}


def cancelled(status: object) -> dict[str, Any]:
    return {"result": "success", "cancelStatus": {"status": status, "order_id": ORDER_ID}}


def error(word: str) -> dict[str, Any]:
    return {"result": "error", "error": word, "serverTime": "2026-01-01T00:00:00.000Z"}


@pytest.mark.parametrize("word", ["placed", "partiallyFilled", "filled"])
def test_an_order_with_an_id_and_a_known_good_word_is_accepted(word: str) -> None:
    assert read_submit(VENUE, reply(sent(word))) == Accepted(ORDER_ID)


@pytest.mark.parametrize("order_id", [None, "", 7, ["x"]])
def test_an_acceptance_without_an_order_id_is_unknown(order_id: object) -> None:
    """Trap 4.3.3, I56: no id is ever made up."""
    assert isinstance(read_submit(VENUE, reply(sent("placed", order_id))), Unknown)


@pytest.mark.parametrize("word", NOT_PLACED)
def test_a_known_refusal_of_the_order_is_rejected_with_the_venues_word(word: str) -> None:
    """Traps 4.3.3 and 4.3.4: ccxt lets wouldCauseLiquidation pass and calls marketSuspended a network trouble."""
    outcome = read_submit(VENUE, reply(sent(word, None)))

    assert isinstance(outcome, Rejected)
    assert outcome.code == word


@pytest.mark.parametrize("word", ["somethingNew", "cancelled", "notFound", "edited", "PLACED", "", None, 7])
def test_a_word_without_a_row_is_unknown_even_with_an_id(word: object) -> None:
    """Trap 4.3.3: unknown sendStatus values pass as success in ccxt."""
    assert isinstance(read_submit(VENUE, reply(sent(word))), Unknown)


def test_a_duplicate_client_id_is_unknown_and_asks_for_a_look_up() -> None:
    outcome = read_submit(VENUE, reply(sent("clientOrderIdAlreadyExist", None)))

    assert isinstance(outcome, Unknown)
    assert "look it up" in outcome.reason


@pytest.mark.parametrize("word", REFUSED_ERRORS)
@pytest.mark.parametrize("status", [200, 400, 401, 429, 500])
def test_an_error_body_that_proves_no_processing_is_rejected_under_any_http_code(word: str, status: int) -> None:
    assert isinstance(read_submit(VENUE, reply(error(word), status)), Rejected)
    assert isinstance(read_cancel(VENUE, reply(error(word), status)), Rejected)


@pytest.mark.parametrize(
    "word", ["Server Error", "unknownError", "Unavailable", "nonceDuplicate", "nonceBelowThreshold", "neverHeardOf"]
)
def test_an_error_body_that_proves_nothing_is_unknown(word: str) -> None:
    """Trap 4.3.5: ccxt raises ExchangeError, its word for a definite refusal."""
    assert isinstance(read_submit(VENUE, reply(error(word), 500)), Unknown)
    assert isinstance(read_cancel(VENUE, reply(error(word), 500)), Unknown)


def test_the_errors_list_is_read_like_the_error_word() -> None:
    body = {"result": "error", "errors": [{"code": 92, "message": "INSUFFICIENT_MARGIN"}], "status": "INTERNAL"}

    assert isinstance(read_submit(VENUE, reply(body, 500)), Rejected)


@pytest.mark.parametrize("status", [400, 403, 404, 408, 418, 500, 502, 503, 504, 520, 301])
@pytest.mark.parametrize("body", ["", "<html>bad gateway</html>", "[]", "null", '{"result":"success"', "{}"])
def test_an_http_error_alone_is_unknown(status: int, body: str) -> None:
    assert isinstance(read_submit(VENUE, Reply(status, body)), Unknown)
    assert isinstance(read_cancel(VENUE, Reply(status, body)), Unknown)


def test_http_429_is_a_refusal_before_processing() -> None:
    """Trap 4.3.14."""
    assert read_submit(VENUE, Reply(429, "slow down")) == Rejected("429", "http 429 (HTTP 429): slow down")


@pytest.mark.parametrize(
    "contradiction",
    [
        reply(sent("placed"), 500),
        reply(sent("placed"), 429),
        reply(sent("placed") | {"error": "apiLimitExceeded"}),
        reply(error("apiLimitExceeded") | {"sendStatus": {"status": "placed", "order_id": ORDER_ID}}),
        reply({"sendStatus": {"status": "placed", "order_id": ORDER_ID}}),
        reply({"result": "success", "sendStatus": [1]}),
        reply({"result": "SUCCESS", "sendStatus": {"status": "placed", "order_id": ORDER_ID}}),
    ],
)
def test_a_reply_that_contradicts_itself_is_unknown(contradiction: Reply) -> None:
    assert isinstance(read_submit(VENUE, contradiction), Unknown)


@pytest.mark.parametrize("body", ["<html>ok</html>", "", '{"result": "success", "sendStatus": {"status": "pla', "NaN"])
def test_a_200_that_is_no_json_is_unknown(body: str) -> None:
    assert isinstance(read_submit(VENUE, Reply(200, body)), Unknown)


def test_a_cancel_done_is_accepted() -> None:
    assert isinstance(read_cancel(VENUE, reply(cancelled("cancelled"))), Accepted)


@pytest.mark.parametrize("word", ["filled", "notFound"])
def test_filled_and_not_found_are_told_apart(word: str) -> None:
    """Trap 4.3.7, I7: ccxt raises OrderNotFound for both."""
    assert read_cancel(VENUE, reply(cancelled(word))) == Gone(word)


def test_an_unknown_cancel_word_is_unknown() -> None:
    """Trap 4.3.7: ccxt takes it for success."""
    assert isinstance(read_cancel(VENUE, reply(cancelled("perhaps"))), Unknown)


def test_the_reply_to_an_order_says_nothing_about_a_cancel() -> None:
    assert isinstance(read_cancel(VENUE, reply(sent("placed"))), Unknown)
    assert isinstance(read_submit(VENUE, reply(cancelled("cancelled"))), Unknown)


def test_without_a_reply_the_outcome_is_unknown_unless_nothing_was_sent() -> None:
    """W29: a timeout is no refusal. A connection that never stood is one."""
    assert isinstance(read_submit(VENUE, NoReply(sent=True, what="timeout")), Unknown)
    assert read_submit(VENUE, NoReply(sent=False, what="refused")) == Rejected("not-sent", "refused")
    assert isinstance(read_cancel(VENUE, NoReply(sent=True, what="timeout")), Unknown)


def test_an_exchange_without_a_table_is_never_understood() -> None:
    assert not has_table("binance")
    assert isinstance(read_submit("binance", reply(sent("placed"))), Unknown)


def test_only_a_venue_with_a_tried_sending_path_is_traded() -> None:
    """A table is knowledge; orders go where the whole way was tested."""
    assert {exchange_id for exchange_id in TABLES if is_traded(exchange_id)} == {"krakenfutures"}
    assert not is_traded("binance")


def test_every_row_that_decides_is_reached_by_some_reply() -> None:
    decided = {row for row, meaning in TABLES[VENUE].submit.items() if meaning is not Meaning.UNKNOWN}

    words = [*NOT_PLACED, "placed", "partiallyFilled", "filled"]
    reached = {f"status {word}" for word in words}
    reached |= {f"error {word.partition(':')[0]}" for word in REFUSED_ERRORS} | {"http 429"}
    assert decided == reached


@pytest.mark.parametrize(
    ("said", "unlisted"),
    [
        (reply(sent("brandNew")), "status brandNew"),
        (reply(sent(None)), "status None"),
        (reply(error("brandNewError: why")), "error brandNewError"),
        (Reply(299, "<html>"), "http 299"),
        (Reply(503, "<html>"), None),
        (reply(error("Server Error"), 500), None),
        (reply(sent("clientOrderIdAlreadyExist")), None),
        (reply(sent("placed"), 500), None),
    ],
)
def test_what_nobody_has_written_down_names_itself(said: Reply, unlisted: str | None) -> None:
    """Unlisted is unknown with an alarm, so that the table can grow; what is known to prove nothing is no alarm."""
    outcome = read_submit(VENUE, said)

    assert isinstance(outcome, Unknown)
    assert outcome.unlisted == unlisted


def test_a_reply_about_another_order_decides_nothing() -> None:
    """Two replies that changed places must not give one order the other's id."""
    placed = sent("placed") | {"sendStatus": sent("placed")["sendStatus"] | {"cliOrdId": "ps-a-1-1-e"}}
    done = {
        "result": "success",
        "cancelStatus": {"status": "cancelled", "order_id": ORDER_ID, "cliOrdId": "ps-a-1-1-e"},
    }

    assert read_submit(VENUE, reply(placed), client_order_id="ps-a-1-1-e") == Accepted(ORDER_ID)
    assert isinstance(read_submit(VENUE, reply(placed), client_order_id="ps-a-1-2-e"), Unknown)
    assert isinstance(read_cancel(VENUE, reply(done), client_order_id="ps-a-1-2-e"), Unknown)
    assert isinstance(read_cancel(VENUE, reply(done), venue_order_id="another"), Unknown)
    assert read_cancel(VENUE, reply(done), client_order_id="ps-a-1-1-e", venue_order_id=ORDER_ID) == Accepted(ORDER_ID)


@pytest.mark.parametrize("order_id", ["<html>", " ", "a b", "x" * 65, 7, {}, []])
def test_what_cannot_be_an_order_id_is_none(order_id: object) -> None:
    assert isinstance(read_submit(VENUE, reply(sent("placed", order_id))), Unknown)


def test_the_name_of_an_unlisted_word_is_short_and_on_one_line() -> None:
    outcome = read_submit(VENUE, reply(sent("a\nb" * 400)))

    assert isinstance(outcome, Unknown)
    assert outcome.unlisted is not None
    assert len(outcome.unlisted) <= 80 and outcome.unlisted.isprintable()


# --- bybit and binanceusdm: tables without a sending path ------------------------------------------------------------


def bybit(code: object, order_id: object = ORDER_ID) -> Reply:
    return reply({"retCode": code, "retMsg": "", "result": {"orderId": order_id, "orderLinkId": "x"}})


def binance(code: int, status: int = 400) -> Reply:
    return reply({"code": code, "msg": ""}, status)


@pytest.mark.parametrize(
    ("exchange_id", "said", "expected"),
    [
        ("bybit", bybit(0), Accepted(ORDER_ID)),
        ("bybit", bybit(0, ""), Unknown),
        ("bybit", bybit(110072), Unknown),
        ("bybit", bybit(10016), Unknown),
        ("bybit", bybit(10000), Unknown),
        ("bybit", bybit(110007), Rejected),
        ("bybit", bybit(True), Unknown),
        ("bybit", bybit("0"), Unknown),
        ("bybit", bybit(999999), Unknown),
        ("bybit", Reply(403, "<html>"), Unknown),
        ("binanceusdm", reply({"orderId": 7, "status": "NEW"}), Accepted("7")),
        ("binanceusdm", reply({"orderId": 7, "status": "EXPIRED"}), Accepted("7")),
        ("binanceusdm", reply({"orderId": None, "status": "NEW"}), Unknown),
        ("binanceusdm", reply({"orderId": 7, "status": "REJECTED"}), Rejected),
        ("binanceusdm", reply({"algoId": 9, "algoStatus": "NEW"}), Accepted("9")),
        ("binanceusdm", binance(-4116), Unknown),
        ("binanceusdm", binance(-1006, 503), Unknown),
        ("binanceusdm", binance(-1007, 503), Unknown),
        ("binanceusdm", binance(-1001, 503), Unknown),
        ("binanceusdm", binance(-2019), Rejected),
        ("binanceusdm", binance(-2019, 200), Unknown),
        ("binanceusdm", binance(-4120), Rejected),
        ("binanceusdm", binance(-99999), Unknown),
    ],
)
def test_the_known_codes_of_other_venues(exchange_id: str, said: Reply, expected: Any) -> None:
    outcome = read_submit(exchange_id, said)

    assert outcome == expected if isinstance(expected, Accepted) else isinstance(outcome, expected)


@pytest.mark.parametrize(("exchange_id", "said"), [("bybit", bybit(110072)), ("binanceusdm", binance(-4116))])
def test_a_duplicate_id_asks_for_a_look_up_at_every_venue(exchange_id: str, said: Reply) -> None:
    outcome = read_submit(exchange_id, said)

    assert isinstance(outcome, Unknown)
    assert "look it up" in outcome.reason


@pytest.mark.parametrize(
    ("exchange_id", "said", "expected"),
    [
        ("bybit", bybit(0), Accepted(ORDER_ID)),
        ("bybit", bybit(110001), Gone("110001")),
        ("bybit", bybit(10016), Unknown),
        ("binanceusdm", reply({"orderId": 7, "status": "CANCELED"}), Accepted("7")),
        ("binanceusdm", reply({"algoId": 9, "code": "200"}), Accepted("9")),
        ("binanceusdm", binance(-2011), Gone("-2011")),
        ("binanceusdm", binance(-1007, 408), Unknown),
    ],
)
def test_cancels_at_other_venues(exchange_id: str, said: Reply, expected: Any) -> None:
    outcome = read_cancel(exchange_id, said)

    assert outcome == expected if isinstance(expected, Accepted | Gone) else isinstance(outcome, expected)


@pytest.mark.parametrize("exchange_id", TABLES)
@given(body=st.text(max_size=40), status=st.integers(100, 599))
def test_no_table_takes_a_text_for_an_acceptance(exchange_id: str, body: str, status: int) -> None:
    assert not isinstance(read_submit(exchange_id, Reply(status, body)), Accepted)


@pytest.mark.parametrize(
    ("exchange_id", "said", "refused"),
    [
        (VENUE, reply(error("apiLimitExceeded")), True),
        (VENUE, Reply(429, ""), True),
        (VENUE, reply(error("authenticationError")), False),
        (VENUE, reply(sent("placed")), False),
        ("bybit", bybit(10006), True),
        ("bybit", bybit(0), False),
        ("binanceusdm", binance(-1003, 400), True),
        ("binanceusdm", Reply(418, ""), True),
        ("elsewhere", reply(error("apiLimitExceeded")), False),
    ],
)
def test_a_refusal_for_rate_is_told_at_every_venue(exchange_id: str, said: Reply, refused: bool) -> None:
    """Trap 4.3.14."""
    assert is_refused_for_rate(exchange_id, said) is refused


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["success", "error", "placed"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["result", "error", "errors", "sendStatus", "cancelStatus", "status", "order_id", "message"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(json_values, st.sampled_from([200, 400, 429, 500]))
def test_any_json_at_all_gives_an_outcome_and_accepts_only_what_is_whole(body: Any, status: int) -> None:
    outcome = read_submit(VENUE, reply(json.dumps(body), status))

    assert isinstance(outcome, Accepted | Rejected | Unknown)
    if isinstance(outcome, Accepted):
        assert status == 200
        assert body["result"] == "success"
        assert body["sendStatus"]["order_id"] == outcome.venue_order_id
    assert isinstance(read_cancel(VENUE, reply(json.dumps(body), status)), Accepted | Gone | Rejected | Unknown)


@given(st.text(max_size=60), st.integers(100, 599))
def test_any_text_at_all_gives_an_outcome(body: str, status: int) -> None:
    assert not isinstance(read_submit(VENUE, Reply(status, body)), Accepted)

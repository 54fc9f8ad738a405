"""Binance USD-M futures: the code of an error body, or the status of an order. [P]

https://developers.binance.com/docs/derivatives/usds-margined-futures/error-code. A 503 without a code is ambiguous by
Binance's own words; -1008 (throttled) is a failure by the same page.
"""

from __future__ import annotations

from live.outcome.reply import (
    CONTRADICTION,
    HTTP_SAYS_NOTHING,
    Meaning,
    OutcomeTable,
    Reading,
    Reply,
    Verb,
    key,
    parse_object,
    rows,
    text_or_none,
)


def read(reply: Reply, verb: Verb) -> Reading:
    """An order's status, a conditional order's algoStatus, or the error's code."""
    payload = parse_object(reply.body)
    if payload is None:
        return Reading(f"http {reply.status}")
    code = payload.get("code")
    went_well = 200 <= reply.status < 300
    if isinstance(code, int) and not isinstance(code, bool) and code < 0:
        return Reading(key("code", code) if not went_well else CONTRADICTION)
    if not went_well:
        return Reading(f"http {reply.status}")
    if isinstance(algo_id := payload.get("algoId"), int):
        # the reply to a cancel of a conditional order carries a code of 200 and no status
        word = payload.get("algoStatus") if verb == "submit" else payload.get("code")
        return Reading(key("algo", word), str(algo_id), text_or_none(payload.get("clientAlgoId")))
    order_id = payload.get("orderId")
    named = str(order_id) if isinstance(order_id, int) else None
    return Reading(key("status", payload.get("status")), named, text_or_none(payload.get("clientOrderId")))


# Refused before the matching engine: access, rate, signature, time window, parameters.
_REFUSED = {
    **rows(Meaning.REJECTED, "code", (-1002, -1003, -1005, -1008, -1011, -1013, -1014, -1015, -1016)),
    **rows(Meaning.REJECTED, "code", (-1020, -1021, -1022, -1023, -1099, -2014, -2015, -2017, -5028)),
    **rows(Meaning.REJECTED, "code", range(-1136, -1099)),
    "http 418": Meaning.REJECTED,  # banned for a while
    "http 429": Meaning.REJECTED,
}

# The order was looked at and not taken: margin, reduce-only, would trigger at once, filters of price and quantity.
_NOT_PLACED = {
    **rows(Meaning.REJECTED, "code", (-2010, *range(-2028, -2017))),
    **rows(Meaning.REJECTED, "code", (*range(-4008, -4000), -4013, -4014, -4015, -4016, -4023, -4024, -4029, -4030)),
    **rows(Meaning.REJECTED, "code", (-4055, -4061, -4087, -4088, -4118, -4120, -4131, *range(-4144, -4135))),
    **rows(Meaning.REJECTED, "code", (-4164, -4165, -4183, -4184, -4192, -4400, -4401, -5021, -5022, -5024, -5041)),
}

# unknown, disconnected, busy, unexpected reply and timeout (both "execution status unknown"), error message received
_UNPROVEN = rows(Meaning.UNKNOWN, "code", (-1000, -1001, -1004, -1006, -1007, -1010)) | {CONTRADICTION: Meaning.UNKNOWN}

_DUPLICATE = rows(Meaning.UNKNOWN, "code", (-4111, -4115, -4116))

BINANCE_USDM = OutcomeTable(
    read=read,
    submit={
        **HTTP_SAYS_NOTHING,
        # EXPIRED: taken, and what could not be done at once was dropped; it is there to be read
        **rows(Meaning.ACCEPTED, "status", ("NEW", "PARTIALLY_FILLED", "FILLED", "EXPIRED", "EXPIRED_IN_MATCH")),
        "status REJECTED": Meaning.REJECTED,
        "status CANCELED": Meaning.UNKNOWN,
        "algo NEW": Meaning.ACCEPTED,
        "algo REJECTED": Meaning.REJECTED,
        **_REFUSED,
        **_NOT_PLACED,
        **_UNPROVEN,
        **_DUPLICATE,
    },
    cancel={
        **HTTP_SAYS_NOTHING,
        "status CANCELED": Meaning.ACCEPTED,
        "algo 200": Meaning.ACCEPTED,
        **rows(Meaning.GONE, "code", (-2011, -2013)),  # unknown order: filled, cancelled before, or never there
        "status FILLED": Meaning.GONE,
        **_REFUSED,
        **_UNPROVEN,
    },
    duplicate=frozenset(_DUPLICATE),
    throttled=frozenset({"code -1003", "code -1008", "code -1015"}),
)

"""Bybit v5: retCode of order/create and order/cancel. https://bybit-exchange.github.io/docs/v5/error [P]

retCode 0 acknowledges the request; the order itself shows in the order stream or in open orders a moment later.
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
    plain_id,
    rows,
    text_or_none,
)


def read(reply: Reply, verb: Verb) -> Reading:
    payload = parse_object(reply.body)
    code = None if payload is None else payload.get("retCode")
    if payload is None or not isinstance(code, int) or isinstance(code, bool):
        return Reading(f"http {reply.status}")
    if code != 0:
        return Reading(key("code", code))
    if not 200 <= reply.status < 300:
        return Reading(CONTRADICTION)
    result = payload.get("result")
    done = result if isinstance(result, dict) else {}
    return Reading("code 0", plain_id(done.get("orderId")), text_or_none(done.get("orderLinkId")))


# Refused before the matching engine: expired request or key, parameters, signature, permission, rate, account checks.
_REFUSED = {
    **rows(Meaning.REJECTED, "code", (-1, -2015, 7001, 33004, 10001, 10002, 10003, 10004, 10005, 10006, 10008, 10009)),
    **rows(Meaning.REJECTED, "code", (10010, 10017, 10018, 10020, 10024, 10027, 10028, 10029, 100028, 110018, 110019)),
    **rows(Meaning.REJECTED, "code", (110032, 110063, 110066, 110067, 110068, 110069, 110070, 110071)),
    "http 429": Meaning.REJECTED,
}

# The order was looked at and not taken: price, size, margin, limits, reduce-only, trigger on the wrong side.
_NOT_PLACED = {
    **rows(Meaning.REJECTED, "code", (110003, 110004, 110006, 110007, 110009, 110011, 110012, 110014, 110016, 110017)),
    **rows(Meaning.REJECTED, "code", (110020, 110021, 110022, 110023, 110039, 110040, 110042, 110044, 110045, 110049)),
    **rows(Meaning.REJECTED, "code", (110051, 110052, 110053, 110057, 110058, 110092, 110093, 110094)),
    **rows(Meaning.REJECTED, "code", (130006, 130021, 130074, 131001)),
}

# 10000 and 5004 server timeout, 10007 backend timeout (older documents), 10016 internal error, 429 overload, 10019 and
# 170007 service restarting and its timeout: the request may have gone through.
_UNPROVEN = rows(Meaning.UNKNOWN, "code", (429, 5004, 10000, 10007, 10016, 10019, 170007, 170146, 170147)) | {
    CONTRADICTION: Meaning.UNKNOWN
}

_DUPLICATE = rows(Meaning.UNKNOWN, "code", (10014, 110030, 110072, 12141, 170141))

BYBIT = OutcomeTable(
    read=read,
    submit={
        **HTTP_SAYS_NOTHING,
        "code 0": Meaning.ACCEPTED,
        **_REFUSED,
        **_NOT_PLACED,
        **_UNPROVEN,
        **_DUPLICATE,
    },
    cancel={
        **HTTP_SAYS_NOTHING,
        "code 0": Meaning.ACCEPTED,
        **_REFUSED,
        **rows(Meaning.GONE, "code", (110001, 110008, 110010)),  # not there or too late; finished; cancelled before
        **_UNPROVEN,
    },
    duplicate=frozenset(_DUPLICATE),
    throttled=frozenset({"code 10006", "code 10018"}),
)

"""What live adds to the guard's gates: settings that make sense, and a venue whose replies can be told apart. [P]"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable

from live.outcome import has_table, is_traded
from live.settings import CONTRADICTING_LIMITS, KNOWN_SETTINGS, MALFORMED_SETTING, read_settings
from prodsafe.environment import Environment
from prodsafe.errors import Refusal, RefusalKind
from prodsafe.gates import GATES, Gate, Surroundings, settings_gate

VENUE_WITHOUT_TABLE = RefusalKind("G42", "venue-without-outcome-table")
SECRET_UNUSABLE = RefusalKind("G43", "exchange-secret-unusable")

_SECRETS_IN_BASE64 = frozenset({"krakenfutures"})


def _settings_of(kind: RefusalKind) -> Gate:
    def judge(env: Environment, _: Surroundings) -> Iterable[Refusal]:
        _settings, refusals = read_settings(env.settings)
        return [refusal for refusal in refusals if refusal.kind == kind]

    return Gate(kind, judge)


def _venue_is_known(env: Environment, _: Surroundings) -> Iterable[Refusal]:
    if is_traded(env.exchange_id):
        return
    known = has_table(env.exchange_id)
    yield VENUE_WITHOUT_TABLE.because(
        "this exchange's replies are written down, but no path that sends orders there has been built and tried"
        if known
        else "nobody has written down what this exchange's replies mean, so an order's fate there would be a guess",
        seen=f"EXCHANGE_ID={env.exchange_id}",
        mend="set EXCHANGE_ID=krakenfutures",
    )


def _secret_can_sign(env: Environment, _: Surroundings) -> Iterable[Refusal]:
    """Found here and not by the venue: behind the lease a wrong secret would cost a grace and a boot."""
    secret = env.exchange_api_secret
    if env.exchange_id in _SECRETS_IN_BASE64 and secret and not _is_base64(secret):
        yield SECRET_UNUSABLE.because(
            "EXCHANGE_API_SECRET is not base64, as this exchange issues its secrets: it was cut, quoted or mixed up",
            seen=f"EXCHANGE_API_SECRET, {len(secret)} characters",
            mend="set EXCHANGE_API_SECRET as the exchange showed it, without quotes or line ends",
        )


def _is_base64(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) > 0
    except (binascii.Error, ValueError):
        return False


LIVE_GATES: tuple[Gate, ...] = (
    *GATES,
    settings_gate(KNOWN_SETTINGS),
    _settings_of(MALFORMED_SETTING),
    _settings_of(CONTRADICTING_LIMITS),
    Gate(VENUE_WITHOUT_TABLE, _venue_is_known),
    Gate(SECRET_UNUSABLE, _secret_can_sign),
)
"""Everything that must hold before something that can send a real order may start."""

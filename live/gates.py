"""What live adds to the guard's gates: settings that make sense, and a venue whose replies can be told apart. [P]"""

from __future__ import annotations

from collections.abc import Iterable

from live.outcome import has_table
from live.settings import CONTRADICTING_LIMITS, KNOWN_SETTINGS, MALFORMED_SETTING, read_settings
from prodsafe.environment import Environment
from prodsafe.errors import Refusal, RefusalKind
from prodsafe.gates import GATES, Gate, Surroundings, settings_gate

VENUE_WITHOUT_TABLE = RefusalKind("G42", "venue-without-outcome-table")


def _settings_of(kind: RefusalKind) -> Gate:
    def judge(env: Environment, _: Surroundings) -> Iterable[Refusal]:
        _settings, refusals = read_settings(env.settings)
        return [refusal for refusal in refusals if refusal.kind == kind]

    return Gate(kind, judge)


def _venue_is_known(env: Environment, _: Surroundings) -> Iterable[Refusal]:
    if not has_table(env.exchange_id):
        yield VENUE_WITHOUT_TABLE.because(
            "nobody has written down what this exchange's replies mean, so an order's fate there would be a guess",
            seen=f"EXCHANGE_ID={env.exchange_id}",
            mend="set EXCHANGE_ID=krakenfutures",
        )


LIVE_GATES: tuple[Gate, ...] = (
    *GATES,
    settings_gate(KNOWN_SETTINGS),
    _settings_of(MALFORMED_SETTING),
    _settings_of(CONTRADICTING_LIMITS),
    Gate(VENUE_WITHOUT_TABLE, _venue_is_known),
)
"""Everything that must hold before something that can send a real order may start."""

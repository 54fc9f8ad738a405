"""What live adds to the guard's gates about the venue and its key."""

from __future__ import annotations

import pytest

from live.gates import LIVE_GATES
from prodsafe.environment import read_environment
from prodsafe.gates import Surroundings, evaluate_gates


def refused(**variables: str) -> dict[str, str]:
    """The cause of each refused gate of live's own, by id."""
    results = evaluate_gates(read_environment(variables), Surroundings(), LIVE_GATES)
    found = [refusal for result in results for refusal in result.refusals]
    return {refusal.id: f"{refusal.cause} {refusal.seen}" for refusal in found if refusal.id in {"G42", "G43"}}


@pytest.mark.parametrize("secret", ["c2VjcmV0IHNlY3JldA==", "rttp4AzwRfYEdQ7R7X8Z/04Y4TZPa97pqCypi3xXxAqftygftnI6H9yG"])
def test_a_secret_in_base64_passes(secret: str) -> None:
    assert refused(EXCHANGE_ID="krakenfutures", EXCHANGE_API_SECRET=secret) == {}


@pytest.mark.parametrize("secret", ["s3cr3t-4b8e6d", "c2VjcmV0IHNlY3JldA", "c2Vj cmV0"])
def test_a_secret_that_cannot_sign_is_refused_before_the_lease_and_not_shown(secret: str) -> None:
    causes = refused(EXCHANGE_ID="krakenfutures", EXCHANGE_API_SECRET=secret)

    assert set(causes) == {"G43"}
    assert secret not in causes["G43"]


def test_other_venues_have_other_secrets() -> None:
    assert "G43" not in refused(EXCHANGE_ID="bybit", EXCHANGE_API_SECRET="no-base64-at-all")


@pytest.mark.parametrize(
    ("exchange_id", "why"),
    [("bybit", "no path"), ("binanceusdm", "no path"), ("kraken", "nobody has written down")],
)
def test_a_venue_where_nothing_was_ever_tried_is_refused(exchange_id: str, why: str) -> None:
    assert why in refused(EXCHANGE_ID=exchange_id)["G42"]

"""A wrong key, met by the real worker: a clear refusal that no supervisor restarts into."""

from __future__ import annotations

from tests.processes import Start, Venue, worker_environment


def test_a_key_that_the_venue_does_not_know_ends_the_boot_with_exit_1(
    start: Start, venue: Venue, database_url: str
) -> None:
    wrong = {"EXCHANGE_API_KEY": "another-key-of-nobody", "EXCHANGE_API_SECRET": "YW5vdGhlciBzZWNyZXQgb2Ygbm9ib2R5"}
    worker = start(["-m", "live.prod_live"], worker_environment(database_url, venue.url, **wrong))

    assert worker.wait(60) == 1
    told = worker.text()
    assert "V09 exchange-key-refused" in told
    assert "issue a new key" in told
    assert not any(secret in told for secret in wrong.values())
    assert venue.sent() == []


def test_a_secret_that_is_no_base64_is_refused_before_the_database_is_touched(start: Start) -> None:
    nowhere = worker_environment("postgresql://worker:pw@127.0.0.1:1/trading", "http://127.0.0.1:1")
    worker = start(["-m", "live.prod_live"], nowhere | {"EXCHANGE_API_SECRET": "cut-off-in-the-midd"})

    assert worker.wait(60) == 1
    told = worker.text()
    assert "G43 exchange-secret-unusable" in told
    assert "cut-off-in-the-midd" not in told
    assert "P01" not in told

"""Two real workers, leases in two databases that know nothing of each other: the venue tells the older one."""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from live import latch
from prodsafe.lease import account_scope
from tests.processes import Start, Venue, entered_and_protected, until, worker_environment

SCOPE = account_scope("krakenfutures", "main", "prod")


def test_a_running_worker_ends_with_5_when_the_venue_shows_a_later_holder_and_touches_nothing(
    database_url: str, make_database: Callable[..., str], migrated_template: str, venue: Venue, start: Start
) -> None:
    """As after an asynchronous failover: the old primary lives on alone, and its beats go on succeeding (2h, N2)."""
    with psycopg.connect(database_url, autocommit=True) as conn:  # it holds nothing, so nothing stops the later one
        latch.set_halt(conn, SCOPE, reason="drill", who="test")
    old = start(["-m", "live.prod_live"], worker_environment(database_url, venue.url))
    until(lambda: '"trading"' in old.text(), old)
    new = start(["-m", "live.prod_live"], worker_environment(make_database(migrated_template), venue.url))

    entered_and_protected(new, venue)

    assert old.wait() == 5, old.text()
    assert "refused R05 superseded-at-venue" in old.text()
    (stop,) = venue.open_orders("-s")
    sent = [request["client_order_id"] for request in venue.sent()]
    epochs = {client_order_id.split("-")[2] for client_order_id in sent}
    assert epochs == {stop["client_order_id"].split("-")[2]}, "only the later holder has sent anything"
    assert new.terminate() == 0, new.text()

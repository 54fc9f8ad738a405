"""A venue whose list of contracts loses one that we hold: it keeps its name and its door."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import pytest
from aiohttp import web

from live.clock import SystemClock
from live.model import Side, VenuePosition
from live.simulator import DEMO_API_KEY, DEMO_API_SECRET
from live.venue import CcxtVenue, KrakenFuturesVenue, Venue, open_venue
from prodsafe.errors import VenueUnreadable

NOW = "2026-01-01T00:00:00.000Z"


LEVELS = [
    {"numNonContractUnits": 500000, "initialMargin": 0.04, "maintenanceMargin": 0.02},
    {"numNonContractUnits": 0, "initialMargin": 0.02, "maintenanceMargin": 0.01},
]


def contract(venue_id: str, levels: Sequence[Mapping[str, object]]) -> dict[str, object]:
    return {
        "symbol": venue_id,
        "type": "flexible_futures",
        "tradeable": True,
        "tickSize": 0.5,
        "contractSize": 1,
        "contractValueTradePrecision": 4,
        "marginLevels": levels,
    }


@dataclass
class Lister:
    """Lists what it is told to, and always shows one position in bitcoin."""

    listed: list[str]
    url: str = ""
    levels: Sequence[Mapping[str, object]] = tuple(LEVELS)
    tickers: list[dict[str, object]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        position = {"symbol": "PF_XBTUSD", "side": "long", "size": 0.5, "price": 65000}
        bodies = {
            "instruments": {"instruments": [contract(each, self.levels) for each in self.listed]},
            "openpositions": {"openPositions": [position]},
            "tickers": {"tickers": self.tickers},
        }
        body = bodies[request.path.rsplit("/", 1)[-1]]
        return web.json_response({"result": "success", "serverTime": NOW, **body})


@pytest.fixture
async def lister() -> AsyncIterator[Lister]:
    told = Lister(["PF_XBTUSD", "PF_ETHUSD"])
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", told.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    told.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield told
    await runner.cleanup()


@pytest.fixture
async def venue(lister: Lister) -> AsyncIterator[Venue]:
    opened = open_venue("krakenfutures", api_key=DEMO_API_KEY, api_secret=DEMO_API_SECRET, url=lister.url)
    yield opened
    await opened.close()


async def test_a_position_keeps_its_name_when_a_later_list_lacks_its_contract(lister: Lister, venue: Venue) -> None:
    """I50: under another name it would be a stranger's position, and ours would be gone."""
    await venue.instruments()
    lister.listed = ["PF_ETHUSD"]

    later = await venue.instruments()

    assert list(later) == ["ETH/USD:USD"]
    assert await venue.positions() == [VenuePosition("BTC/USD:USD", Side.LONG, Decimal("0.5"), Decimal(65000))]


async def test_a_position_keeps_its_name_through_ccxts_own_parsers_too(
    lister: Lister, venue: KrakenFuturesVenue
) -> None:
    plain = CcxtVenue(venue._wire, clock=SystemClock())
    await plain.instruments()
    lister.listed = ["PF_ETHUSD"]

    assert list(await plain.instruments()) == ["ETH/USD:USD"]
    assert [position.symbol for position in await plain.positions()] == ["BTC/USD:USD"]


async def test_margin_levels_are_told_by_notional_smallest_first(venue: Venue) -> None:
    bitcoin = (await venue.instruments())["BTC/USD:USD"]

    assert [level.from_notional_quote for level in bitcoin.margin_levels] == [0, 500000]
    assert bitcoin.max_leverage == 50
    assert bitcoin.margin_at(Decimal(499999)).initial == Decimal("0.02")
    assert bitcoin.margin_at(Decimal(500000)).maintenance == Decimal("0.02")


@pytest.mark.parametrize(
    "level",
    [
        {"initialMargin": 2, "maintenanceMargin": 0.01},
        {"initialMargin": 0.01, "maintenanceMargin": 0.02},
        {"initialMargin": 0.01, "maintenanceMargin": 0},
        {"initialMargin": None, "maintenanceMargin": 0.01},
        {"initialMargin": 0.02},
    ],
)
async def test_margins_that_cannot_be_true_make_the_list_unreadable(
    lister: Lister, venue: Venue, level: dict[str, object]
) -> None:
    """They bound the size of an entry: a guess in their place would be a leverage that nobody chose."""
    lister.levels = [level]

    with pytest.raises(VenueUnreadable):
        await venue.instruments()


async def test_funding_is_told_as_a_share_of_the_notional(lister: Lister, venue: Venue) -> None:
    """The venue tells quote currency per contract; read as a share it looked like -58 %."""
    quote = {"symbol": "PF_XBTUSD", "markPrice": 65000, "bid": 65000, "ask": 65000.5, "suspended": True}
    lister.tickers = [quote | {"fundingRate": -0.65}]

    ticker = (await venue.tickers(["BTC/USD:USD"]))["BTC/USD:USD"]

    assert (ticker.funding_rate_hourly, ticker.suspended) == (Decimal("-0.00001"), True)
    assert ticker.quoted_at is not None and ticker.quoted_at.isoformat() == "2026-01-01T00:00:00+00:00"

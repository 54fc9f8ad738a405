"""The venue's private WebSocket feeds as hints: something happened, look now. Never the truth. [E]

What a feed says is thrown away: replayed, repeated or forged it can make the worker look early and nothing else. A feed
that fails costs one line in the log; the looks at their pace go on. Off unless LIVE_WEBSOCKET_HINTS is 1.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from live.wire import NotSent, check_loopback

FEEDS = ("watch_orders", "watch_my_trades")  # positions change with every price: they would hint all the time
BACK_OFF_SECONDS = (1.0, 2.0, 5.0, 15.0, 60.0)


class Hints:
    """Watches the feeds of one account. exchange: ccxt.pro's, knowing its markets; it is closed here.

    wake is called at most once in spacing_seconds, so that a flood of messages is not a flood of looks.
    """

    def __init__(
        self,
        exchange: Any,
        *,
        wake: Callable[[], None],
        narrate: Callable[[str], None],
        spacing_seconds: float = 1.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._exchange = exchange
        self._wake = wake
        self._narrate = narrate
        self._spacing_seconds = spacing_seconds
        self._sleep = sleep
        self._said = asyncio.Event()
        self._failures = 0

    async def run(self) -> None:
        """Until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pass_on())
                tasks.create_task(self._listen())
        finally:
            await self._exchange.close()

    async def _pass_on(self) -> None:
        while True:
            await self._said.wait()
            self._said.clear()
            self._wake()
            await self._sleep(self._spacing_seconds)

    async def _listen(self) -> None:
        """Both feeds on one connection. Whatever goes wrong ends it, and a new one is made after a while."""
        while True:
            try:
                async with asyncio.TaskGroup() as feeds:
                    for feed in FEEDS:
                        feeds.create_task(self._follow(feed))
            except* Exception as errors:  # noqa: BLE001 - ccxt raises anything on a message that it cannot read
                if self._failures == 0:  # one line for each outage; the text may carry keys and is not shown
                    kinds = ", ".join(sorted({type(error).__name__ for error in errors.exceptions}))
                    self._narrate(f"no hints from the venue: {kinds}; the looks go on at their pace")
            await self._exchange.close()
            await self._sleep(BACK_OFF_SECONDS[min(self._failures, len(BACK_OFF_SECONDS) - 1)])
            self._failures += 1

    async def _follow(self, feed: str) -> None:
        while True:
            await getattr(self._exchange, feed)()
            self._failures = 0
            self._said.set()


@contextlib.asynccontextmanager
async def listening(hints: Hints) -> AsyncIterator[None]:
    """The feeds are watched beside the body, and closed with it."""
    watching = asyncio.create_task(hints.run())
    try:
        yield
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching


def open_exchange(
    exchange_id: str, *, api_key: str, api_secret: str, sandbox: bool, url: str | None, markets: Mapping[str, Any]
) -> Any:
    """ccxt.pro's exchange of that id, which asks nothing over HTTP; imports ccxt.pro. markets: as venue.py read them.

    url: of a venue simulator on loopback, refused otherwise.
    """
    import ccxt.pro

    class Listening(getattr(ccxt.pro, exchange_id)):  # type: ignore[misc]
        async def fetch(self, *_: Any, **__: Any) -> Any:
            raise NotSent("a listener asks nothing over HTTP")

        def handle_message(self, client: Any, message: Any) -> None:
            """ccxt calls this where an exception would end its reading for good and leave the watchers waiting."""
            try:
                super().handle_message(client, message)
            except Exception as error:  # noqa: BLE001 - anything at all, on a message that it cannot read
                client.reject(error)

        def __repr__(self) -> str:
            return f"<{exchange_id} feeds>"  # never ccxt's own: it carries the keys

        __str__ = __repr__

    Listening.__name__ = Listening.__qualname__ = exchange_id  # ccxt takes the id of some exchanges from here
    exchange = Listening({"apiKey": api_key, "secret": api_secret, "enableRateLimit": False})
    if url is not None:
        exchange.urls["api"]["ws"] = _feed_url(exchange.urls["api"]["ws"], check_loopback(url))
    elif sandbox:
        exchange.set_sandbox_mode(True)
    exchange.set_markets(list(markets.values()))
    return exchange


def _feed_url(url: str, base: str) -> str:
    """The same path on the host of `base`, ws for http."""
    here, there = urlsplit(base), urlsplit(url)
    return urlunsplit(("wss" if here.scheme == "https" else "ws", here.netloc, there.path, "", ""))

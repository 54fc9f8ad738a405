"""Tells people over a webhook: Telegram, Discord, Slack or plain JSON, chosen by the address. [E]

Never blocks and never raises into the worker: alerts wait in a bounded queue, a task of its own delivers them, what
cannot be delivered is counted and logged. The address is a secret and appears in no log.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from live.logs import get_logger
from live.meters import Meters
from prodsafe.output import mask

_TIMEOUT_SECONDS = 5.0
_FAILING = 3  # alerts in a row
_TRIES = 3
_QUEUE_LENGTH = 100
_LONGEST_TEXT = 1900  # Discord takes 2000 characters, Telegram 4096, Slack more


@dataclass(frozen=True, slots=True)
class Alert:
    """key: what it is about; the same key again soon is the same alert. urgent: never held back by rate."""

    key: str
    text: str
    at: datetime
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """One POST of a JSON body."""

    url: str
    body: Mapping[str, Any]


Post = Callable[[Request], Awaitable[int]]
"""Sends one request and returns the HTTP status; raises OSError or TimeoutError when there is none."""


def request_for(url: str, alert: Alert) -> Request:
    """The alert as the service behind the address wants it. Raises ValueError on a Telegram address without chat_id."""
    parts = urlsplit(url)
    host, text = parts.hostname or "", mask(alert.text)[:_LONGEST_TEXT]
    if host == "api.telegram.org":
        chat_id = parse_qs(parts.query).get("chat_id", [""])[0]
        if not chat_id:
            raise ValueError("a Telegram address needs ?chat_id=... at its end")
        return Request(f"{parts.scheme}://{parts.netloc}{parts.path}", {"chat_id": chat_id, "text": text})
    if host in ("discord.com", "discordapp.com"):
        return Request(url, {"content": text, "allowed_mentions": {"parse": []}})
    if host == "hooks.slack.com":
        return Request(url, {"text": text})
    return Request(url, {"text": text, "key": alert.key, "urgent": alert.urgent, "at": alert.at.isoformat()})


@dataclass(slots=True)
class Throttle:
    """Which alerts go out: each key once per `quiet`, and at most `per_minute` that are not urgent."""

    quiet: timedelta = timedelta(minutes=5)
    per_minute: int = 20
    _last: dict[str, datetime] = field(default_factory=dict)
    _sent: deque[datetime] = field(default_factory=deque)
    _held: dict[str, int] = field(default_factory=dict)

    def admit(self, alert: Alert) -> Alert | None:
        """The alert to send, saying how many like it were held back; None to hold it back."""
        last = self._last.get(alert.key)
        repeated = last is not None and alert.at - last < self.quiet
        while self._sent and alert.at - self._sent[0] >= timedelta(minutes=1):
            self._sent.popleft()
        if repeated or (not alert.urgent and len(self._sent) >= self.per_minute):
            self._held[alert.key] = self._held.get(alert.key, 0) + 1
            return None
        self._forget(alert.at)
        self._last[alert.key] = alert.at
        self._sent.append(alert.at)
        held = self._held.pop(alert.key, 0)
        text = f"{alert.text} (and {held} more like it)" if held else alert.text
        return Alert(alert.key, text, alert.at, alert.urgent)

    def _forget(self, now: datetime) -> None:
        """Keep memory bounded: keys that were quiet for long are as good as new, unless some were held back."""
        for key in [key for key, at in self._last.items() if now - at >= self.quiet and key not in self._held]:
            del self._last[key]


class Alerter:
    """The worker's voice. `alert` returns at once; without an address it does nothing but count.

    clock returns aware UTC. Start it on the worker's loop; `stop` gives what is queued a last chance.
    """

    def __init__(
        self,
        url: str | None,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        post: Post | None = None,
        throttle: Throttle | None = None,
        retry_seconds: float = 1.0,
        meters: Meters | None = None,
    ) -> None:
        self._meters = meters or Meters()
        self._url, self._clock, self._post = url, clock, post or post_json
        self._throttle = throttle or Throttle()
        self._retry_seconds = retry_seconds
        self._queue: asyncio.Queue[Alert] = asyncio.Queue(_QUEUE_LENGTH)
        self._task: asyncio.Task[None] | None = None
        self._log = get_logger("alerts")
        self.delivered = 0
        self.failed = 0
        self._failed_in_a_row = 0
        self.held_back = 0

    @property
    def is_failing(self) -> bool:
        """Whether the last few alerts reached nobody: from here on, nobody hears of what goes wrong."""
        return self._failed_in_a_row >= _FAILING

    def alert(self, key: str, text: str, *, urgent: bool = False) -> None:
        """Queue an alert. The oldest one that waits gives way when the queue is full."""
        admitted = self._throttle.admit(Alert(key, text, self._clock(), urgent))
        if self._url is None or admitted is None:
            self.held_back += 1
            self._meters.count("alerts_total", result="held back")
            return
        if self._queue.full():
            dropped = self._queue.get_nowait()
            self._queue.task_done()
            self._fail(dropped, "the queue is full")
        self._queue.put_nowait(admitted)

    def start(self) -> None:
        if self._url is not None and self._task is None:
            self._task = asyncio.create_task(self._deliver_all(self._url), name="alerts")

    async def stop(self, *, timeout_seconds: float = 5.0) -> None:
        """Deliver what is queued, for at most so long, then end."""
        if self._task is None:
            return
        try:
            await asyncio.wait_for(self._queue.join(), timeout_seconds)
        except TimeoutError:
            self._log.warning("alerts left undelivered", waiting=self._queue.qsize())
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None

    async def _deliver_all(self, url: str) -> None:
        while True:
            alert = await self._queue.get()
            try:
                await self._deliver(request_for(url, alert), alert)
            except ValueError as error:
                self._fail(alert, str(error))
            finally:
                self._queue.task_done()

    async def _deliver(self, request: Request, alert: Alert) -> None:
        why = ""
        for attempt in range(_TRIES):
            if attempt:
                await asyncio.sleep(self._retry_seconds * 2 ** (attempt - 1))
            try:
                status = await asyncio.wait_for(self._post(request), _TIMEOUT_SECONDS)
            except (OSError, TimeoutError) as error:
                why = type(error).__name__  # its text may hold the address
                continue
            if status < 300:
                self.delivered += 1
                self._meters.count("alerts_total", result="delivered")
                self._failed_in_a_row = 0
                return
            why = f"HTTP {status}"
            if 400 <= status < 500 and status != 429:
                break  # the same request will be refused again
        self._fail(alert, why)

    def _fail(self, alert: Alert, why: str) -> None:
        self.failed += 1
        self._meters.count("alerts_total", result="failed")
        self._failed_in_a_row += 1
        self._log.warning("alert not delivered", key=alert.key, text=alert.text, why=why)


async def post_json(request: Request) -> int:
    """POST through aiohttp; follows no redirect, so that the address's secret goes nowhere else."""
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(request.url, json=dict(request.body), allow_redirects=False) as response,
        ):
            return response.status
    except (aiohttp.ClientError, aiohttp.InvalidURL) as error:
        raise OSError(type(error).__name__) from None

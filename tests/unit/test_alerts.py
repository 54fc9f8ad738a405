"""Alerts reach people, or are counted; trading never waits for them."""

from __future__ import annotations

import asyncio
import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from live import logs
from live.alerts import Alert, Alerter, Request, Throttle, request_for
from prodsafe.output import register_secrets

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ALERT = Alert("halt", "halted: daily loss", NOW)


def alert(key: str = "halt", *, seconds: float = 0, urgent: bool = False) -> Alert:
    return Alert(key, "halted", NOW + timedelta(seconds=seconds), urgent)


class Post:
    """A webhook's answers in turn: an HTTP status, or an exception to raise."""

    def __init__(self, *answers: int | BaseException) -> None:
        self.answers = list(answers)
        self.requests: list[Request] = []

    async def __call__(self, request: Request) -> int:
        self.requests.append(request)
        answer = self.answers.pop(0) if self.answers else 200
        if isinstance(answer, BaseException):
            raise answer
        return answer


async def deliver(post: Post, *alerts: Alert, url: str = "http://127.0.0.1/hook") -> Alerter:
    alerter = Alerter(url, clock=lambda: NOW, post=post, retry_seconds=0)
    alerter.start()
    for each in alerts:
        alerter.alert(each.key, each.text, urgent=each.urgent)
    await alerter.stop()
    return alerter


@pytest.mark.parametrize(
    ("url", "field"),
    [
        ("https://api.telegram.org/botT0KEN/sendMessage?chat_id=42", "text"),
        ("https://discord.com/api/webhooks/1/T0KEN", "content"),
        ("https://hooks.slack.com/services/T/B/X", "text"),
        ("https://example.org/hook", "text"),
    ],
)
def test_the_address_chooses_the_shape_of_the_message(url: str, field: str) -> None:
    assert request_for(url, ALERT).body[field] == "halted: daily loss"


def test_telegram_gets_its_chat_id_in_the_body_and_not_in_the_address() -> None:
    request = request_for("https://api.telegram.org/botT0KEN/sendMessage?chat_id=42", ALERT)

    assert request.url == "https://api.telegram.org/botT0KEN/sendMessage"
    assert request.body["chat_id"] == "42"
    with pytest.raises(ValueError, match="chat_id"):
        request_for("https://api.telegram.org/botT0KEN/sendMessage", ALERT)


def test_discord_pings_nobody_whatever_a_venue_writes() -> None:
    assert request_for("https://discord.com/api/webhooks/1/x", ALERT).body["allowed_mentions"] == {"parse": []}


def test_a_secret_in_an_alert_is_masked_and_a_long_text_is_cut() -> None:
    register_secrets(["hunter2-api-key"])

    text = request_for("https://example.org/", Alert("k", "key hunter2-api-key " + "x" * 9000, NOW)).body["text"]

    assert "hunter2" not in text
    assert len(text) < 2000


def test_the_same_alert_again_soon_is_held_back_and_counted_when_it_comes_again() -> None:
    throttle = Throttle(quiet=timedelta(minutes=5))

    assert throttle.admit(alert()) is not None
    assert throttle.admit(alert(seconds=10)) is None
    assert throttle.admit(alert("other", seconds=10)) is not None
    again = throttle.admit(alert(seconds=301))

    assert again is not None
    assert "1 more like it" in again.text


def test_urgent_alerts_pass_when_the_minute_is_full() -> None:
    throttle = Throttle(per_minute=2)
    for n in range(5):
        throttle.admit(alert(f"k{n}"))

    assert throttle.admit(alert("calm")) is None
    assert throttle.admit(alert("urgent", urgent=True)) is not None
    assert throttle.admit(alert("calm", seconds=61)) is not None


def test_keys_that_never_repeat_do_not_fill_the_memory() -> None:
    throttle = Throttle(quiet=timedelta(seconds=1))
    for n in range(1000):
        throttle.admit(alert(f"k{n}", seconds=3 * n))

    assert len(throttle._last) < 5


async def test_a_failing_webhook_is_tried_again() -> None:
    post = Post(500, TimeoutError(), 200)

    alerter = await deliver(post, ALERT)

    assert (alerter.delivered, alerter.failed, len(post.requests)) == (1, 0, 3)


async def test_a_refused_request_is_not_repeated_but_counted() -> None:
    post = Post(404)

    alerter = await deliver(post, ALERT)

    assert (alerter.delivered, alerter.failed, len(post.requests)) == (0, 1, 1)


async def test_a_full_queue_drops_the_oldest_and_never_blocks() -> None:
    alerter = Alerter("http://127.0.0.1/", clock=lambda: NOW, post=Post(), throttle=Throttle(per_minute=10_000))

    for n in range(150):
        alerter.alert(f"k{n}", "text")

    assert alerter.failed == 50


async def test_a_webhook_that_never_answers_does_not_hold_up_the_stop() -> None:
    async def hang(_request: Request) -> int:
        await asyncio.sleep(60)
        return 200

    alerter = Alerter("http://127.0.0.1/", clock=lambda: NOW, post=hang)
    alerter.start()
    alerter.alert("k", "text")

    await asyncio.wait_for(alerter.stop(timeout_seconds=0.05), 1)


async def test_without_an_address_nothing_is_sent_and_nothing_fails() -> None:
    alerter = Alerter(None)
    alerter.start()
    alerter.alert("k", "text", urgent=True)
    await alerter.stop()

    assert (alerter.delivered, alerter.failed) == (0, 0)


async def test_a_failure_is_logged_without_the_address() -> None:
    stream = io.StringIO()
    logs.configure(stream=stream, as_json=True)

    await deliver(
        Post(*[OSError("cannot reach https://example.org/T0KEN")] * 3), ALERT, url="https://example.org/T0KEN"
    )

    line = json.loads(stream.getvalue())
    assert line["event"] == "alert not delivered"
    assert line["key"] == "halt"
    assert "T0KEN" not in stream.getvalue()


async def test_a_real_webhook_receives_plain_json() -> None:
    received: list[dict[str, object]] = []

    async def hook(request: web.Request) -> web.Response:
        received.append(await request.json())
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/hook", hook)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()

    alerter = Alerter(f"http://127.0.0.1:{runner.addresses[0][1]}/hook", clock=lambda: NOW)
    alerter.start()
    alerter.alert("halt", "halted: daily loss", urgent=True)
    await alerter.stop()
    await runner.cleanup()

    assert received == [{"text": "halted: daily loss", "key": "halt", "urgent": True, "at": NOW.isoformat()}]

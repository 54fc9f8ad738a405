"""What supervisors, load balancers and Prometheus ask of a worker, over HTTP (SPEC section 7). [E]

Knows no engine: it is given a function that returns a Status. It answers from a thread and an event loop of its own, so
that a blocked worker turns unhealthy instead of silent (W40). Read-only; serves no secret and no stack trace.

    python -m live.health      the dedicated component: the same answers from the database alone
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from types import FrameType
from typing import Any

from aiohttp import web

from live.health_server import HealthRefused, HealthServer
from live.status import LOOP_BLOCKED, Status, age_seconds, as_dict, problems, ready
from prodsafe.errors import DatabaseRefused, ExitCode, RefusalKind
from prodsafe.output import mask, register_secrets, run_entry, say, say_error

HEALTH_ENVIRONMENT = RefusalKind("H02", "health-environment")

ReadStatus = Callable[[], Awaitable[Status] | Status]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_READ_SECONDS = 8.0
_OURS = ("PORT=", "HEALTH_HOST=", "DATABASE_URL=")
_LINKS = ("/health", "/ready", "/alive", "/api/health", "/api/ready", "/api/metrics", "/metrics")


# --- the answers ------------------------------------------------------------------------------------------------------


def health_body(status: Status, now: datetime) -> tuple[int, dict[str, Any]]:
    """(HTTP status, body): 200 when healthy or standing by, 503 with every reason when not."""
    reasons = problems(status, now)
    word = "standby" if status.state == "standby" else "unhealthy" if reasons else "healthy"
    return 503 if reasons else 200, {"status": word, "reasons": reasons, **_summary(status, now)}


def ready_body(status: Status, now: datetime) -> tuple[int, dict[str, Any]]:
    """(HTTP status, body): 200 only for a running, healthy worker; a standby waits, hence 503."""
    is_ready = ready(status, now)
    reasons = problems(status, now)
    if not is_ready and not reasons:
        reasons = [f"state is {status.state}, not running"]
    return 200 if is_ready else 503, {"ready": is_ready, "reasons": reasons, "state": status.state}


def alive_body(status: Status, now: datetime) -> tuple[int, dict[str, Any]]:
    """(HTTP status, body): 503 only for what a restart mends, a loop that stands still.

    A venue or a database that is down is no reason to end a worker: it goes on by itself, a new one could not start.
    """
    blocked = [reason for reason in problems(status, now) if reason.startswith(f"{LOOP_BLOCKED.id} ")]
    return 503 if blocked else 200, {"alive": not blocked, "reasons": blocked, "state": status.state}


def _summary(status: Status, now: datetime) -> dict[str, Any]:
    """What a person on call asks first: who holds the account, is it protected, is it halted."""
    return {
        "state": status.state,
        "scope": status.scope,
        "epoch": status.epoch,
        "holder": status.holder,
        "host": status.host,
        "pid": status.pid,
        "version": status.version,
        "lease_fresh": status.lease_fresh,
        "last_tick_age_seconds": age_seconds(status.last_tick_at, now),
        "reconciled": status.reconciled,
        "halted": status.halted,
        "halt_reason": status.halt_reason,
        "unprotected": list(status.unprotected),
        "naked_seconds_max": status.naked_seconds_max,
        "unknown_orders": status.unknown_orders,
        "standby_for": status.standby_for,
        "halt_cause": status.halt_cause,
        "degraded": list(status.degraded),
        "findings": list(status.findings),
        "flattening": list(status.flattening),
        "lease_beat_age_seconds": status.lease_beat_age_seconds,
        "reconcile_age_seconds": age_seconds(status.reconciled_at, now),
        "loop_age_seconds": status.loop_age_seconds,
        "clock_offset_seconds": status.clock_offset_seconds,
        "drawdown_pct": status.drawdown_pct,
        "schema": dict(status.schema),
        "commit": status.commit,
        "settings_hash": status.settings_hash,
        "observed_at": status.observed_at.isoformat(),
    }


def utc_now() -> datetime:
    return datetime.now(UTC)


# --- the application --------------------------------------------------------------------------------------------------


def make_app(read_status: ReadStatus, *, clock: Callable[[], datetime] = utc_now) -> web.Application:
    """The application over any source of Status, sync or async. A source that raises or hangs makes it unhealthy."""
    answers = _Answers(read_status, clock)
    app = web.Application(middlewares=[_guarded])
    app.add_routes(
        [
            web.get("/", answers.root),
            web.get("/health", answers.health),
            web.get("/api/health", answers.health),
            web.get("/ready", answers.ready),
            web.get("/api/ready", answers.ready),
            web.get("/alive", answers.alive),
            web.get("/api/metrics", answers.metrics_json),
            web.get("/metrics", answers.metrics_text),
        ]
    )
    return app


class _Answers:
    """One handler per path; each looks at the status once."""

    def __init__(self, read_status: ReadStatus, clock: Callable[[], datetime]) -> None:
        self._read_status, self._clock = read_status, clock

    async def root(self, request: web.Request) -> web.Response:
        """A page for a browser, JSON for everything else."""
        if "text/html" not in request.headers.get("Accept", ""):
            return _json({"name": "prodsafe live worker", "version": package_version(), "links": list(_LINKS)})
        from live.health_page import page_html

        status, now = await self._observe(), self._clock()
        page = page_html(status, problems(status, now), _LINKS, now)
        headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return web.Response(text=mask(page), content_type="text/html", headers=headers)

    async def health(self, _request: web.Request) -> web.Response:
        code, body = health_body(await self._observe(), self._clock())
        return _json(body, status=code)

    async def ready(self, _request: web.Request) -> web.Response:
        code, body = ready_body(await self._observe(), self._clock())
        return _json(body, status=code)

    async def alive(self, _request: web.Request) -> web.Response:
        code, body = alive_body(await self._observe(), self._clock())
        return _json(body, status=code)

    async def metrics_json(self, _request: web.Request) -> web.Response:
        status, now = await self._observe(), self._clock()
        healthy, tick_age = not problems(status, now), age_seconds(status.last_tick_at, now)
        return _json({**as_dict(status), "healthy": healthy, "last_tick_age_seconds": tick_age})

    async def metrics_text(self, _request: web.Request) -> web.Response:
        from live.metrics import CONTENT_TYPE, prometheus_text

        body = prometheus_text(await self._observe(), self._clock())
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    async def _observe(self) -> Status:
        try:
            async with asyncio.timeout(_READ_SECONDS):
                found = self._read_status()
                return await found if inspect.isawaitable(found) else found
        except (DatabaseRefused, TimeoutError, OSError) as error:
            say_error(f"health: the status could not be read: {type(error).__name__}: {error}")
            return Status(state="unknown", observed_at=self._clock(), database_readable=False, venue_readable=False)


def _json(body: Mapping[str, Any], *, status: int = 200) -> web.Response:
    return web.Response(text=mask(json.dumps(body)), status=status, content_type="application/json")


@web.middleware
async def _guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """No trace leaves: every failure becomes a plain JSON object; answers are never cached."""
    try:
        response = await handler(request)
    except web.HTTPException as refused:
        response = _json({"error": refused.reason}, status=refused.status)
        response.headers.extend({"Allow": refused.headers["Allow"]} if "Allow" in refused.headers else {})
    except Exception as error:  # noqa: BLE001 - a bug here must neither leak a trace nor end the server
        say_error(f"health: bug while answering {request.path}: {type(error).__name__}: {error}")
        response = _json({"error": "internal error"}, status=500)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Server"] = "prodsafe"
    return response


def package_version() -> str:
    try:
        return version("prodsafe")
    except PackageNotFoundError:
        return "unknown"


# --- the dedicated component ------------------------------------------------------------------------------------------


def status_from_database(url: str, scope: str | None, *, clock: Callable[[], datetime]) -> Status:
    """One look: the last word of the account's worker, corrected by lease and latch. Raises DatabaseRefused."""
    from live.reader import open_reader

    with open_reader(url, application_name="live/health") as reader:
        scope = scope or next(iter(reader.scopes()), None)
        status = reader.status(scope) if scope else None
        if scope is None or status is None:
            return Status(state="unknown", observed_at=clock(), scope=scope or "", venue_readable=False)
        return status


def main() -> int:
    """PORT, HEALTH_HOST, DATABASE_URL; EXCHANGE_ACCOUNT chooses the account where the database knows several."""
    from live.operators import scope_of
    from prodsafe.dotenv_guard import suppress_in_production
    from prodsafe.environment import read_environment

    suppress_in_production(os.environ)
    environment = read_environment(os.environ)
    register_secrets(environment.secrets())
    concerning = [each for each in environment.problems if (each.seen or "").startswith(_OURS)]
    if concerning or environment.database_url is None:
        missing = HEALTH_ENVIRONMENT.because(
            "DATABASE_URL is not set; the health component reads the worker's state there",
            mend="set DATABASE_URL to the worker's database",
        )
        raise HealthRefused(*(concerning or [missing]))
    url, scope = environment.database_url, scope_of(environment)

    async def read() -> Status:
        return await asyncio.to_thread(status_from_database, url, scope, clock=utc_now)

    return serve(HealthServer(make_app(read), environment.health_host, environment.port))


def serve(server: HealthServer) -> int:
    """Run until SIGTERM or SIGINT. Returns 0."""
    stop = threading.Event()

    def ask_to_stop(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask_to_stop)
    with server:
        host, port = server.address
        say(f"health: http://{host}:{port}/health")
        stop.wait()
    return ExitCode.OK


if __name__ == "__main__":
    raise SystemExit(run_entry(main))

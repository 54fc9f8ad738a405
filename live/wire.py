"""The HTTP under ccxt: ccxt builds and signs each request, this room writes it once and keeps the raw reply. [E]

No retries, no redirects, no proxies, no requests to another host. A mutating request is signed first and sent by a
second call, which asks its permit after the connection stands and before the first byte leaves, so that nothing can be
sent by a worker whose lease has ended.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import urlsplit, urlunsplit

from live.decode import key_refused, unreadable
from live.limiter import BudgetSpent, Charge, Lane, Quota
from live.meters import Meters
from live.outcome import NoReply, Reply, is_refused_for_rate
from prodsafe.errors import GateRefused, Refusal, RefusalKind, Refused
from prodsafe.values import is_loopback

NO_SUCH_EXCHANGE = RefusalKind("V03", "no-such-exchange")
URL_NOT_LOOPBACK = RefusalKind("V04", "exchange-url-not-loopback")
VENUE_NOT_HTTPS = RefusalKind("V05", "venue-not-https")
NO_SANDBOX = RefusalKind("V06", "no-sandbox")

_PATIENCE_SECONDS = 3.0  # for a place in the request budget; whoever holds a position must not wait behind that

Ask = Callable[[Any], Awaitable[Any]]
"""Calls one method of the ccxt exchange it is given."""


def asking(method: str, *arguments: Any) -> Ask:
    """The call of that ccxt method, unified or implicit."""
    return lambda exchange: getattr(exchange, method)(*arguments)


@dataclass(frozen=True, slots=True)
class Request:
    """One request as ccxt signed it. headers: with the key and the signature, so never shown."""

    method: str
    url: str
    body: str | None
    headers: Any = field(repr=False)


class NotSent(Exception):
    """Raised by a check before the wire: the request is refused here, and no byte of it has left. code: NoReply's."""

    def __init__(self, what: str, *, code: str = "local") -> None:
        super().__init__(what)
        self.code = code


class _Unwound(Exception):
    """Leads out of ccxt once its part is done: its parsers must not see the raw reply, nor its errors replace it."""


def _no_permit() -> None:
    """Reads need none."""


@dataclass(slots=True)
class _Call:
    """What belongs to one request; found by the hooks through a context variable, so that calls may overlap."""

    timeout_seconds: float
    sign_only: bool = False
    keep_raw: bool = True
    before_write: Callable[[], None] = _no_permit
    inspect: Callable[[Reply], object] | None = None
    signed: Request | None = None
    sent: bool = False
    answer: Reply | NoReply | None = None


_current: ContextVar[_Call] = ContextVar("live_wire_call")


class Wire:
    """One ccxt exchange whose HTTP is ours. Build it with `open_wire`; the loop it is first used in owns it."""

    def __init__(
        self,
        exchange: Any,
        *,
        quota: Quota,
        send_timeout_seconds: float,
        read_timeout_seconds: float,
        meters: Meters | None = None,
    ):
        self.exchange = exchange
        self.quota = quota
        self._meters = meters or Meters()
        self._send_timeout_seconds = send_timeout_seconds
        self._read_timeout_seconds = read_timeout_seconds
        self._origins = {_origin(url) for url in _flat(exchange.urls["api"])}
        self._session: Any = None
        exchange.wire = self

    def __repr__(self) -> str:
        return f"Wire({self.exchange.id})"  # never ccxt's object: it carries the keys

    async def sign(self, ask: Ask, *, check: Callable[[Request], None]) -> Request | NoReply:
        """The mutating request that ccxt makes of `ask`, once `check` lets it pass; nothing is sent.

        NoReply: refused by ccxt's own checks or by NotSent; what else `check` raises passes through.
        """
        call = _Call(self._send_timeout_seconds, sign_only=True)
        try:
            await self._run(call, ask)
            if call.signed is None:
                raise RuntimeError("ccxt returned without asking the venue")
            check(call.signed)
        except NotSent as refused:
            return NoReply(sent=False, what=str(refused), code=refused.code)
        except _base_error() as refused:  # ccxt's own checks of the arguments, all before the wire
            return NoReply(sent=False, what=f"{type(refused).__name__}: {refused}", code="local")
        return call.signed

    async def send(
        self, request: Request, *, before_write: Callable[[], None], lane: Lane, charge: Charge
    ) -> Reply | NoReply:
        """Write one signed request once. What `before_write` raises passes through, except NotSent, which comes back
        as a proof that nothing left; it is asked before connecting, and again before the first byte."""
        call = _Call(self._send_timeout_seconds, before_write=before_write)
        try:
            patience_seconds = None if lane is Lane.PROTECTIVE else _PATIENCE_SECONDS
            self._waited(lane, await self.quota.acquire(lane, charge, patience_seconds=patience_seconds))
            before_write()  # no connection is opened for nothing; the word that counts is asked again on it
            with self._current_is(call):
                return self._noted(await self._exchange(call, request), charge)
        except BudgetSpent as spent:
            return NoReply(sent=False, what=str(spent))
        except NotSent as refused:
            return NoReply(sent=False, what=str(refused), code=refused.code)

    async def read_raw(self, ask: Ask, *, charge: Charge) -> Reply:
        """One read, its raw reply. Raises VenueUnreadable when none came."""
        await self._room_to_read(charge)
        call = _Call(self._read_timeout_seconds)
        try:
            await self._run(call, ask)
        except (NotSent, _base_error()) as refused:
            raise unreadable(f"ccxt refuses to ask: {type(refused).__name__}", refused) from refused
        match self._noted(self._answer(call), charge):
            case Reply() as reply:
                return reply
            case NoReply(what=what):
                raise unreadable(f"no reply from the venue: {what}")

    async def read_unified(self, ask: Ask, *, charge: Charge, inspect: Callable[[Reply], object] | None = None) -> Any:
        """What ccxt makes of its replies; each raw one is shown to `inspect` first. Raises VenueUnreadable."""
        await self._room_to_read(charge)
        call = _Call(self._read_timeout_seconds, keep_raw=False, inspect=inspect)
        try:
            found = await self._run(call, ask)
        except Refused:
            raise
        except _base_error("AuthenticationError") as error:
            raise key_refused(f"the venue answers {type(error).__name__}", error) from error
        except Exception as error:  # ccxt's parsers raise anything at all on a degraded body
            raise unreadable(f"ccxt cannot read the venue: {type(error).__name__}", error) from error
        finally:
            if call.answer is not None:
                self._noted(call.answer, charge)
        return found

    async def _room_to_read(self, charge: Charge) -> None:
        """A read that would have to wait for long is not asked: the tick goes on, and protects what it knows."""
        try:
            seconds = await self.quota.acquire(Lane.ORDINARY, charge, patience_seconds=_PATIENCE_SECONDS)
            self._waited(Lane.ORDINARY, seconds)
        except BudgetSpent as spent:
            raise unreadable(f"not asked: {spent}") from spent

    def _waited(self, lane: Lane, seconds: float) -> None:
        self._meters.observe("limiter_wait_seconds", seconds, lane=lane.value)

    def _noted(self, answer: Reply | NoReply, charge: Charge) -> Reply | NoReply:
        refused = isinstance(answer, Reply) and is_refused_for_rate(self.exchange.id, answer)
        self.quota.note(charge, refused_for_rate=refused)
        return answer

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
        await self.exchange.close()

    async def exchange_fetch(self, url: str, method: str, headers: Any, body: Any) -> Any:
        """ccxt's `fetch`: every request that it signs passes here, and either stays here or is exchanged at once."""
        call = _current.get()
        if _origin(url) not in self._origins:
            raise NotSent(f"{_origin(url)} is not the venue")
        request = Request(method, url, body, self.exchange.prepare_request_headers(headers))
        if call.sign_only:
            call.signed = request
            raise _Unwound
        call.answer = await self._exchange(call, request)
        if call.keep_raw:
            raise _Unwound
        return self._as_ccxt_wants_it(call, url, method, headers, body)

    async def _exchange(self, call: _Call, request: Request) -> Reply | NoReply:
        """The one place where anything is sent to the venue."""
        began = time.perf_counter()
        answer = await self._exchange_bytes(call, request)
        name = _named(request.url)
        self._meters.observe("venue_request_seconds", time.perf_counter() - began, request=name)
        if isinstance(answer, NoReply):
            self._meters.count("venue_failures_total", request=name)
        return answer

    async def _run(self, call: _Call, ask: Ask) -> Any:
        with self._current_is(call):
            try:
                return await ask(self.exchange)
            except _Unwound:
                return None

    @staticmethod
    @contextmanager
    def _current_is(call: _Call) -> Iterator[None]:
        token = _current.set(call)
        try:
            yield
        finally:
            _current.reset(token)

    def _answer(self, call: _Call) -> Reply | NoReply:
        if call.answer is None:
            raise RuntimeError("ccxt returned without asking the venue")
        return call.answer

    async def _exchange_bytes(self, call: _Call, request: Request) -> Reply | NoReply:
        import aiohttp
        import yarl

        try:
            async with self._open_session().request(
                request.method,
                yarl.URL(request.url, encoded=True),
                data=request.body.encode() if request.body else None,
                headers=request.headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=call.timeout_seconds),
            ) as response:
                if not call.sent:
                    raise RuntimeError("aiohttp has sent a request past its permit: this version must not be used")
                return Reply(response.status, (await response.read()).decode("utf-8", errors="replace"))
        except (aiohttp.ClientError, TimeoutError, OSError) as failure:
            return NoReply(call.sent, f"{type(failure).__name__}: {failure}".rstrip(": "))

    def _open_session(self) -> Any:
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=_tls()),
                cookie_jar=aiohttp.DummyCookieJar(),
                request_class=_permitted_request(),
                trust_env=False,
            )
        return self._session

    def _as_ccxt_wants_it(self, call: _Call, url: str, method: str, headers: Any, body: Any) -> Any:
        match call.answer:
            case Reply(status=status, body=text) as reply:
                if call.inspect is not None:
                    call.inspect(reply)
                parsed = json.loads(text, parse_float=str)  # exact: ccxt takes numbers as text
                self.exchange.handle_errors(status, "", url, method, {}, text, parsed, headers, body)
                self.exchange.handle_http_status_code(status, "", url, method, text)
                return parsed
            case NoReply(what=what):
                raise unreadable(f"no reply from the venue: {what}")


def open_wire(
    exchange_id: str,
    *,
    api_key: str,
    api_secret: str,
    api_password: str | None,
    sandbox: bool,
    url: str | None,
    quota: Quota,
    send_timeout_seconds: float,
    read_timeout_seconds: float,
    meters: Meters | None = None,
) -> Wire:
    """The ccxt exchange of that id, pointed at its own host, its sandbox, or a loopback `url`. Refuses otherwise."""
    base = _exchange_class(exchange_id)
    exchange = _guarded(base)(
        {"apiKey": api_key, "secret": api_secret, "password": api_password or "", "enableRateLimit": False}
    )
    exchange.options["maxRetriesOnFailure"] = 0
    exchange.number = str  # decimals stay text from the body to ours
    exchange.timeout_on_exit = 0
    if url is not None:
        exchange.urls["api"] = _rewritten(exchange.urls["api"], check_loopback(url))
    elif sandbox:
        _enter_sandbox(exchange)
    if url is None and any(urlsplit(each).scheme != "https" for each in _flat(exchange.urls["api"])):
        _refuse(VENUE_NOT_HTTPS.because("an address of the venue is not https", mend="pin the ccxt version"))
    return Wire(
        exchange,
        quota=quota,
        send_timeout_seconds=send_timeout_seconds,
        read_timeout_seconds=read_timeout_seconds,
        meters=meters,
    )


def _named(url: str) -> str:
    """The request's name for a metric: the last word of its path, with nothing of a symbol in it."""
    words = urlsplit(url).path.strip("/").split("/")
    return "charts" if "charts" in words else words[-1]


def check_loopback(url: str) -> str:
    """The url, when it is http(s) on this machine; refused otherwise: keys must not follow a variable elsewhere."""
    if not _is_loopback(url):
        _refuse(
            URL_NOT_LOOPBACK.because(
                "EXCHANGE_URL is for a venue simulator on this machine only",
                mend="unset EXCHANGE_URL to reach the venue itself, or name http://127.0.0.1:PORT",
                seen=url,
            )
        )
    return url


def _is_loopback(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for a port that is none
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and is_loopback(parts.hostname or "") and parts.username is None


def _refuse(refusal: Refusal) -> NoReturn:
    raise GateRefused(refusal)


def _exchange_class(exchange_id: str) -> Any:
    import ccxt
    import ccxt.async_support

    if exchange_id not in ccxt.exchanges:
        _refuse(
            NO_SUCH_EXCHANGE.because(
                "ccxt knows no exchange of this id", mend="set EXCHANGE_ID, for example krakenfutures", seen=exchange_id
            )
        )
    return getattr(ccxt.async_support, exchange_id)


def _base_error(name: str = "BaseError") -> type[Exception]:
    import ccxt

    found: type[Exception] = getattr(ccxt, name)
    return found


def _guarded(base: Any) -> Any:
    """The exchange class with its HTTP handed to the Wire, and a repr without keys."""

    class Guarded(base):  # type: ignore[misc]
        wire: Any = None

        async def fetch(self, url: str, method: str = "GET", headers: Any = None, body: Any = None) -> Any:
            return await self.wire.exchange_fetch(url, method, headers, body)

        def __repr__(self) -> str:
            return f"<{self.id}>"

        __str__ = __repr__

    Guarded.__name__ = Guarded.__qualname__ = base.__name__  # ccxt takes the id of some exchanges from here
    return Guarded


def _permitted_request() -> Any:
    import aiohttp

    class PermittedRequest(aiohttp.ClientRequest):
        async def send(self, conn: Any) -> Any:
            """The connection stands and nothing is written yet: the last moment to say no."""
            call = _current.get()
            call.before_write()
            call.sent = True
            return await super().send(conn)

    return PermittedRequest


def _enter_sandbox(exchange: Any) -> None:
    if "test" not in exchange.urls:
        _refuse(
            NO_SANDBOX.because("this exchange has no sandbox in ccxt", mend="set EXCHANGE_SANDBOX=0", seen=exchange.id)
        )
    exchange.set_sandbox_mode(True)


def _tls() -> ssl.SSLContext:
    import certifi

    return ssl.create_default_context(cafile=certifi.where())


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _flat(urls: Any) -> list[str]:
    """Every address in ccxt's urls: a text, or a mapping of them, nested."""
    return [urls] if isinstance(urls, str) else [each for inner in urls.values() for each in _flat(inner)]


def _rewritten(urls: Any, base: str) -> Any:
    """The same addresses on another host: scheme and host of `base`, paths kept."""
    if isinstance(urls, str):
        to, kept = urlsplit(base), urlsplit(urls)
        return urlunsplit((to.scheme, to.netloc, kept.path, kept.query, ""))
    return {key: _rewritten(inner, base) for key, inner in urls.items()}
